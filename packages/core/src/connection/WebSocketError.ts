/**
 * The one error of a connection. Whose fault it was is the type of its reason.
 */
import * as Data from "effect/Data"
import * as CloseCode from "../codec/CloseCode.ts"
import type { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type { Closed, InvalidCloseCode, NotOpen } from "../protocol/WebSocketProtocol.ts"

const show = (status: CloseCode.CloseStatus | undefined): string =>
  status === undefined ? "nothing" : `${status.code} ${status.reason}`.trimEnd()

/**
 * The connection ended otherwise than by an ordinary close: both Close frames exchanged, with 1000, 1001 or no code.
 * An ordinary close is no error; it ends the stream of messages.
 *
 * A peer that vanished leaves `received` undefined, which RFC 6455 section 7.1.5 calls code 1006.
 */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<Omit<Closed, "_tag" | "violation">> {
  /** The WebSocket Connection Close Code: section 7.1.5. */
  get code(): number {
    return this.received?.code ?? CloseCode.CloseCode.abnormal
  }

  override get message(): string {
    return `the WebSocket connection was lost: sent ${show(this.sent)}, received ${show(this.received)}`
  }
}

/** The network's fault: the bytes below failed, by a reset, a TLS alert, a broken pipe. */
export class TransportError extends Data.TaggedError("TransportError")<{ readonly cause: unknown }> {
  override get message(): string {
    return `the transport under the WebSocket failed: ${this.cause instanceof Error ? this.cause.message : this.cause}`
  }
}

/** The network's or the peer's fault: nothing came, not even the answer to a Ping, for `silence` milliseconds. */
export class Unresponsive extends Data.TaggedError("Unresponsive")<{ readonly silence: number }> {
  override get message(): string {
    return `the peer has not answered a Ping for ${this.silence} ms`
  }
}

/**
 * The caller's fault, where the platform cannot make a peer wait, as in a page: more than `limit` bytes came that nobody
 * pulled. The connection was closed; what had come before can still be pulled.
 */
export class InboxFull extends Data.TaggedError("InboxFull")<{ readonly limit: number }> {
  override get message(): string {
    return `more than ${this.limit} bytes came that were not pulled`
  }
}

/**
 * Everything that can go wrong with a connection, under one tag.
 *
 * Who only retries catches `WebSocketError`; who cares handles a reason, as in
 * `Effect.catchReason("WebSocketError", "NotOpen", ...)`. At fault were: the peer (`ProtocolViolation`), the network
 * (`TransportError`, `Unresponsive`), the caller (`InboxFull`, `InvalidCloseCode`, `NotOpen`), or either side by a
 * choice that its close code tells (`ConnectionLost`).
 */
export class WebSocketError extends Data.TaggedError("WebSocketError")<{
  readonly reason:
    | ConnectionLost
    | InboxFull
    | InvalidCloseCode
    | NotOpen
    | ProtocolViolation
    | TransportError
    | Unresponsive
}> {
  override get message(): string {
    return this.reason.message
  }
}
