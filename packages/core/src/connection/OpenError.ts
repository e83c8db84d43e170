/**
 * The one error of opening a connection as a client. Whose fault it was is the type of its reason.
 */
import * as Data from "effect/Data"
import type { HandshakeViolation, InvalidHead, MalformedHead } from "../codec/HandshakeError.ts"
import type { Refused } from "./Refused.ts"
import type { TransportError } from "./WebSocketError.ts"

/** The caller's fault: `url` is not the URL of a WebSocket. Nothing was sent. RFC 6455 section 3. */
export class InvalidUrl extends Data.TaggedError("InvalidUrl")<{ readonly url: string; readonly detail: string }> {
  override get message(): string {
    return `${JSON.stringify(this.url)} cannot be opened: ${this.detail}`
  }
}

/** The caller's fault: the platform does not take the options, such as a certificate that is none. Nothing was sent. */
export class InvalidOptions extends Data.TaggedError("InvalidOptions")<{ readonly cause: unknown }> {
  override get message(): string {
    return `the options cannot be used: ${this.cause instanceof Error ? this.cause.message : this.cause}`
  }
}

/** The network's or the server's fault: the connection was not open after `timeout` milliseconds. */
export class HandshakeTimeout extends Data.TaggedError("HandshakeTimeout")<{ readonly timeout: number }> {
  override get message(): string {
    return `the connection was not open after ${this.timeout} ms`
  }
}

/**
 * Nobody's fault: HTTP/2 was the only way that was asked for, and the server does not go it. It speaks no HTTP/2, or not
 * without TLS, or takes no WebSockets over it (RFC 8441 section 3), or wants HTTP/1.1 for this one.
 */
export class Http2Unavailable extends Data.TaggedError("Http2Unavailable")<{
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `there is no WebSocket over HTTP/2 here: ${this.detail} (${this.clause})`
  }
}

/**
 * The connection did not open, and the platform keeps to itself why: so that a page cannot look around in networks, a
 * browser tells none whether nobody listens at `url`, a name or a certificate is wrong, or a server has refused, nor with
 * which status. So nobody can say whose fault it was, or whether to come back.
 */
export class Undisclosed extends Data.TaggedError("Undisclosed")<{ readonly url: string }> {
  override get message(): string {
    return `${this.url} did not open, and a page is not told why`
  }
}

/**
 * Everything that can go wrong before a connection is open, under one tag.
 *
 * Who only retries catches `OpenError`; who cares handles a reason, as in
 * `Effect.catchReason("OpenError", "Refused", ...)`. At fault were: the caller (`InvalidUrl`, `InvalidHead`,
 * `InvalidOptions`), the server (`HandshakeViolation`, `MalformedHead`), the network (`TransportError`,
 * `HandshakeTimeout`), or nobody (`Refused`, `Http2Unavailable`). In a page all
 * but the caller's and the timeout are `Undisclosed`.
 */
export class OpenError extends Data.TaggedError("OpenError")<{
  readonly reason:
    | HandshakeTimeout
    | HandshakeViolation
    | Http2Unavailable
    | InvalidHead
    | InvalidOptions
    | InvalidUrl
    | MalformedHead
    | Refused
    | TransportError
    | Undisclosed
}> {
  override get message(): string {
    return this.reason.message
  }
}
