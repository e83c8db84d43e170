/**
 * Whether to come back after a session has ended: a total function, which a program may replace.
 *
 * The rule: what would end the same way if it were tried again as it is, is not tried again.
 */
import { CloseCode } from "../codec/CloseCode.ts"
import type { OpenError } from "../connection/OpenError.ts"
import { SessionError } from "./SessionError.ts"

/** How a session ended, or why there was none. */
export type Cause =
  /** The connection could not be opened, or not in time: what `open` or `credentials` failed with. */
  | { readonly _tag: "NotOpened"; readonly error: unknown }
  /** It was open, and then not: by a close frame, the network, a breach of the rules or a refusal of the credentials. */
  | { readonly _tag: "Ended"; readonly error: SessionError | undefined }

export type Decision = "Again" | "Stop"

/** Statuses that may be others the next time: RFC 9110 sections 15.5.9, 15.6; RFC 6585 section 4. */
const isPassing = (status: number): boolean => status === 408 || status === 425 || status === 429 || status >= 500

const stopping: ReadonlySet<number> = new Set([
  CloseCode.protocolError,
  CloseCode.unsupportedData,
  CloseCode.invalidPayload,
  CloseCode.messageTooBig,
  CloseCode.mandatoryExtension
])

/**
 * After a close code: of those of RFC 6455 section 7.4.1 the ones that say that this client is wrong for this server are
 * the end, and of the free ones 3500 to 3999 and 4500 to 4999, by convention of docs/closing.md.
 */
export const afterCode = (code: number): Decision =>
  stopping.has(code) || (code >= 3_500 && code < 4_000) || (code >= 4_500 && code < 5_000) ? "Stop" : "Again"

const afterOpening = ({ reason }: OpenError): Decision => {
  switch (reason._tag) {
    case "Refused":
      return isPassing(reason.status) ? "Again" : "Stop"
    case "HandshakeTimeout":
    case "TransportError":
    case "Undisclosed":
      return "Again"
    default:
      return "Stop"
  }
}

const afterSession = ({ reason }: SessionError): Decision => {
  switch (reason._tag) {
    case "Mismatch":
    case "Rejected":
    case "Unencodable":
      return "Stop"
    case "SessionViolation":
      return afterCode(reason.code)
    case "Undecodable":
      // A session ends with it where `onInvalid` says so.
      return afterCode(CloseCode.invalidPayload)
    case "Disconnected": {
      const cause = reason.cause?.reason
      if (cause === undefined) return "Again"
      if (cause._tag === "ProtocolViolation") return afterCode(cause.closeCode)
      if (cause._tag === "ConnectionLost") return afterCode(cause.code)
      return "Again"
    }
    default:
      return "Again"
  }
}

const isOpenError = (error: unknown): error is OpenError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "OpenError"

/**
 * The default. After an ordinary close, a lost connection, a server that is down or busy: again. After a refusal that
 * would be repeated, other credentials or another contract being wanted: stop. Of an error that it does not know, which
 * an opening of one's own may fail with, it says again.
 */
export const decide = (cause: Cause): Decision => {
  if (cause.error instanceof SessionError) return afterSession(cause.error)
  return isOpenError(cause.error) ? afterOpening(cause.error) : "Again"
}
