/**
 * A request to open a WebSocket, whatever carries it, and the answers to it: accept or refuse. The carriers are
 * `Http1Upgrade` and `Http2Upgrade`.
 *
 * Node.js has parsed the head by then; the rules of the opening handshake are those of `codec/Handshake` and
 * `codec/ExtendedConnect`.
 */
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { type InvalidHead, Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { Chosen, Offered } from "@millrace/core/codec/Negotiation"
import * as Result from "effect/Result"

/** What an endpoint's handshake looks at before it accepts or refuses. */
export interface UpgradeRequest {
  /** What the client asks for, by the rules of RFC 6455 section 4.2.1 or of RFC 8441 section 5. */
  readonly client: Offered
  /** The target without its query, as it was sent. */
  readonly path: string
  readonly query: URLSearchParams
  /** All fields, in the order of the wire; without the pseudo-header fields of HTTP/2. */
  readonly headers: HttpHeaders.Headers
  /** The value of a field, whatever its case; repeated ones joined by a comma, or by a semicolon for `Cookie`. */
  readonly header: (name: string) => string | undefined
  readonly httpVersion: "1.1" | "2"
  /** What the client says it reached us by: `:scheme`. `undefined` over HTTP/1.1, which has no word for it. */
  readonly scheme: "http" | "https" | undefined
  /** As the socket says; behind a proxy that is the proxy. `undefined` on a unix socket. */
  readonly remoteAddress: string | undefined
  /** Whether the socket itself is TLS. */
  readonly encrypted: boolean
  /** The TCP, TLS or unix socket, to be looked at: over HTTP/2 it carries other streams, too. */
  readonly socket: Socket
  /** The request as `node:http` has it; `undefined` over HTTP/2. */
  readonly incoming: IncomingMessage | undefined
}

/** A request by the rules, which somebody has to accept or to refuse. */
export interface Asked {
  readonly request: UpgradeRequest
  /**
   * Sends the response that opens the connection, unless the client has gone. Fails, before a byte is sent, when
   * `chosen` cannot be sent.
   */
  readonly accept: (chosen: Chosen) => Result.Result<void, InvalidHead>
}

/** What Node.js hands over with a request to open a WebSocket. */
export interface Upgrade {
  /** What the connection will run over: the socket, or a stream of HTTP/2. */
  readonly duplex: Duplex
  /** Bytes that were read behind the head: the first frames of an eager client. */
  readonly head: Uint8Array
  /** The path that is asked for; `undefined` when the target is none. */
  readonly path: string | undefined
  /** Reads the client's handshake. The refusal is the client's fault and is to be sent to it. */
  readonly read: (limits: Limits) => Result.Result<Asked, Refusal>
  /** Sends a refusal, and the end. One that cannot be sent as it is becomes a plain 500. */
  readonly refuse: (refusal: Refusal) => void
  /** `true` for a client that can have no answer any more, or may have none; it has been cut then. */
  readonly cutEarly: () => boolean
}

/** How much a client may ask with. */
export interface Limits {
  /** Bytes of the target and of the names and values of the fields, as they are when they are not compressed. */
  readonly maxHandshakeBytes: number
  readonly maxHandshakeFields: number
}

/** 16 KiB, as Node.js has it for HTTP/1.1, and 128 fields: a browser sends some twenty, and cookies. */
export const defaultLimits: Limits = { maxHandshakeBytes: 16_384, maxHandshakeFields: 128 }

const tooLarge = (detail: string) =>
  Result.fail(new Refusal({ status: 431, headers: [], clause: "RFC 6585 5", detail }))

/** Refuses with 431 what goes over a limit. The target counts where it is not among the fields. */
export const checkSize = (
  fields: HttpHeaders.Headers,
  target: string,
  limits: Limits
): Result.Result<void, Refusal> => {
  if (fields.length > limits.maxHandshakeFields) return tooLarge("the request has too many fields")
  let bytes = target.length
  for (const [name, value] of fields) bytes += name.length + value.length
  return bytes > limits.maxHandshakeBytes
    ? tooLarge("the fields of the request are too long")
    : Result.succeed(undefined)
}

/** Name and value in turn, as Node.js gives them, as a list of fields in the order of the wire. */
export const fieldsOf = (raw: ReadonlyArray<string>): HttpHeaders.Headers => {
  const fields: Array<readonly [string, string]> = []
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([raw[i]!, raw[i + 1]!])
  return fields
}

/** The fields of a request or a response, in the order of the wire. */
export const headersOf = ({ rawHeaders }: Pick<IncomingMessage, "rawHeaders">): HttpHeaders.Headers =>
  fieldsOf(rawHeaders)

/** The path that a request is for, as it was sent but without its query; `undefined` when the target is none. */
export const pathOf = ({ url: target = "" }: Pick<IncomingMessage, "url">): string | undefined => {
  const path = target.split("?", 1)[0]!
  if (path.startsWith("/")) return path
  if (!URL.canParse(target) || !path.includes("://")) return undefined
  // Not that of a `URL`, which takes "/a/../b" for "/b".
  const slash = path.indexOf("/", path.indexOf("://") + 3)
  return slash === -1 ? "/" : path.slice(slash)
}

/** The value of a field, whatever its case; repeated ones joined by a comma, or by a semicolon for `Cookie`. */
export const valueOf = (headers: HttpHeaders.Headers, name: string): string | undefined =>
  HttpHeaders.equalsIgnoringCase(name, "cookie")
    ? HttpHeaders.values(headers, name).join("; ") || undefined
    : HttpHeaders.combined(headers, name)

/** The parts of a request that follow from its target and its fields. */
export const partsOf = (
  client: Offered,
  headers: HttpHeaders.Headers
): Pick<UpgradeRequest, "client" | "header" | "headers" | "path" | "query"> => {
  const [path = "/", ...query] = client.target.split("?")
  return {
    client,
    path,
    query: new URLSearchParams(query.join("?")),
    headers,
    header: (name) => valueOf(headers, name)
  }
}

/** Looks on when a client that was told to go takes its time, and cuts it after 5 s. */
export const cutLate = (duplex: Duplex, cut: () => void): void => {
  // Not `socket.setTimeout`, which a client that sends on would never let end.
  const timer = setTimeout(cut, linger)
  duplex.once("close", () => clearTimeout(timer))
}

const linger = 5_000

/** For a mistake of ours, of which the client is told nothing. */
export const internalError = new Refusal({
  status: 500,
  headers: [],
  clause: "RFC 9110 15.6.1",
  detail: "internal server error"
})

/** For whoever comes while the server ends, or has not been accepted when it does. */
export const shuttingDown = new Refusal({
  status: 503,
  headers: [["Retry-After", "1"]],
  clause: "RFC 9110 15.6.4",
  detail: "the server is shutting down"
})
