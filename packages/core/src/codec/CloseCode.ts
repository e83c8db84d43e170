/**
 * Close codes, RFC 6455 section 7.4, and the body of a Close frame, section 5.5.1.
 */
import * as Result from "effect/Result"
import { ProtocolViolation } from "./ProtocolViolation.ts"
import * as Utf8 from "./Utf8.ts"

/**
 * What a Close frame says. `code` is 1005 where its body is empty (section 7.1.5): "no status was given".
 */
export interface CloseStatus {
  readonly code: number
  /** For people, often empty. On the wire at most 123 bytes of UTF-8. */
  readonly reason: string
}

/** The codes that have a name: section 7.4.1 and the IANA registry of section 11.7. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  /** Stands for an empty Close frame; never on the wire. */
  noStatus: 1005,
  /** Stands for a connection that ended without a Close frame; never on the wire. */
  abnormal: 1006,
  invalidPayload: 1007,
  policyViolation: 1008,
  messageTooBig: 1009,
  mandatoryExtension: 1010,
  internalError: 1011,
  serviceRestart: 1012,
  tryAgainLater: 1013,
  badGateway: 1014
} as const

/** The longest reason in bytes: a control frame holds 125, two of them are the code. Section 5.5. */
export const maxReasonBytes = 123

/**
 * Whether a code may stand in a Close frame, in either direction: those of section 7.4.1 and the IANA registry that
 * are not reserved for local use, and the ranges of section 7.4.2 for libraries (3000-3999) and applications
 * (4000-4999).
 */
export const isOnWire = (code: number): boolean =>
  Number.isInteger(code) &&
  ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999))

/** An ordinary end: done, going away, or no status, which is what a page's `close()` sends. */
export const isOrdinary = (code: number): boolean =>
  code === CloseCode.normal || code === CloseCode.goingAway || code === CloseCode.noStatus

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

/**
 * Decodes the body of a Close frame. An empty body gives 1005.
 *
 * Fails with 1002 for a body of one byte (section 5.5.1) and for a code that must not be on the wire (section 7.4),
 * with 1007 for a reason that is not UTF-8 (section 8.1).
 */
export const decode = (body: Uint8Array): Result.Result<CloseStatus, ProtocolViolation> => {
  if (body.length === 0) return Result.succeed({ code: CloseCode.noStatus, reason: "" })
  if (body.length === 1) return violation(1002, "RFC 6455 5.5.1", "close body of one byte")
  const code = (body[0]! << 8) | body[1]!
  if (!isOnWire(code)) return violation(1002, "RFC 6455 7.4", "invalid close code")
  const reason = body.subarray(2)
  if (!Utf8.isValid(reason)) return violation(1007, "RFC 6455 8.1", "close reason is not UTF-8")
  return Result.succeed({ code, reason: decoder.decode(reason) })
}

const violation = (closeCode: 1002 | 1007, clause: string, detail: string) =>
  Result.fail(new ProtocolViolation({ closeCode, clause, detail }))

/**
 * Encodes the body of a Close frame, at most 125 bytes. A reason of more than 123 bytes is cut after its last whole
 * character that fits; 1005 gives an empty body.
 */
export const encode = (status: CloseStatus): Uint8Array => {
  if (status.code === CloseCode.noStatus) return new Uint8Array(0)
  const body = new Uint8Array(2 + maxReasonBytes)
  const { written } = encoder.encodeInto(status.reason, body.subarray(2))
  body[0] = status.code >> 8
  body[1] = status.code
  return body.subarray(0, 2 + written)
}
