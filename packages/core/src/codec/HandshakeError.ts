/**
 * What can go wrong in an opening handshake. Whose fault it is, is the type:
 *
 * | error                | whose fault                  | who sees it                                        |
 * | -------------------- | ---------------------------- | -------------------------------------------------- |
 * | `InvalidHead`        | ours, the caller's           | whoever builds or prints a request or a response   |
 * | `MalformedHead`      | the peer's                   | both ends: what came is not HTTP, or is too much   |
 * | `Refusal`            | the client's, or a policy    | the server, which answers with it                  |
 * | `HandshakeViolation` | the peer's                   | the client, and both ends for extension parameters |
 * | `Declined`           | nobody's: HTTP at work       | the client: 401, 403, a redirect, 404 ...          |
 *
 * `clause` names the rule, such as `"RFC 6455 4.2.1"`. `detail` is for people and never for matching; it quotes nothing
 * that a peer sent, nor any field value, so that it may be logged and sent.
 */
import * as Data from "effect/Data"
import type { Headers } from "./HttpHeaders.ts"

/** The caller gave something that must not stand in a handshake. Nothing was built. */
export class InvalidHead extends Data.TaggedError("InvalidHead")<{
  readonly part:
    | "method"
    | "version"
    | "target"
    | "host"
    | "status"
    | "reason"
    | "field name"
    | "field value"
    | "key"
    | "subprotocol"
    | "extension"
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `Invalid ${this.part}: ${this.detail} (${this.clause})`
  }
}

/** The peer sent what does not follow the grammar, or goes over a limit. A server answers it with `status`. */
export class MalformedHead extends Data.TaggedError("MalformedHead")<{
  readonly status: 400 | 431 | 505
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.detail} (${this.clause})`
  }
}

/**
 * A server's "no", as a value: a status, fields beside those that every refusal has, and a body.
 *
 * The server makes one where the client's handshake breaks RFC 6455 section 4.2.1; an application makes its own, for
 * 401, 403, 404, 429 or 503.
 */
export class Refusal extends Data.TaggedError("Refusal")<{
  /** 300 to 599. */
  readonly status: number
  /** `Content-Type` is `text/plain; charset=utf-8` unless it is among them. */
  readonly headers: Headers
  readonly clause: string
  readonly detail: string
  /** What the client is sent; without one it is sent `detail`. */
  readonly body?: string | undefined
}> {
  override get message(): string {
    return `${this.status}: ${this.detail} (${this.clause})`
  }
}

/** The peer broke a rule of the handshake, so the connection must be failed. `field` names the header field. */
export class HandshakeViolation extends Data.TaggedError("HandshakeViolation")<{
  readonly field:
    | "Upgrade"
    | "Connection"
    | "Sec-WebSocket-Accept"
    | "Sec-WebSocket-Protocol"
    | "Sec-WebSocket-Extensions"
    | ":status"
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.detail} (${this.clause})`
  }
}

/**
 * The server answered with another status than the one that opens a WebSocket: the semantics of HTTP apply (RFC 6455
 * section 4.1). `headers` are the whole response, for `WWW-Authenticate`, `Location`, `Retry-After` and the versions
 * of section 4.4.
 */
export class Declined extends Data.TaggedError("Declined")<{
  readonly status: number
  readonly headers: Headers
  readonly clause: string
}> {
  override get message(): string {
    return `The server answered with status ${this.status} (${this.clause})`
  }
}
