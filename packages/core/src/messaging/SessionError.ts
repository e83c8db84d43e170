/**
 * The one error of a session. Whose fault it was is the type of its reason. Errors that are part of a contract are not
 * among them: they are the ones of its requests and streams.
 */
import * as Data from "effect/Data"
import type { OpenError } from "../connection/OpenError.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import type { FailCode } from "./Packet.ts"
import type { StoreUnavailable } from "./StoreError.ts"

/** Nobody's fault, or the network's: the connection ended before this was done. Whether the peer has seen it is unknown. */
export class Disconnected extends Data.TaggedError("Disconnected")<{
  /** `undefined` after an ordinary close; of a client that comes back, also why it could not be opened. */
  readonly cause: OpenError | WebSocketError | undefined
}> {
  override get message(): string {
    return `the session has ended: ${this.cause?.message ?? "the connection was closed"}`
  }
}

/** The fault of the program's own `open` or `credentials`: what they failed with, after which a client has stopped. */
export class NotOpened extends Data.TaggedError("NotOpened")<{ readonly cause: unknown }> {
  override get message(): string {
    return `there is no connection: ${wordsOf(this.cause)}`
  }
}

/** No answer came within `timeout` milliseconds. The peer was told that nobody waits any more. */
export class RequestTimeout extends Data.TaggedError("RequestTimeout")<{
  readonly name: string
  readonly timeout: number
}> {
  override get message(): string {
    return `no answer to ${JSON.stringify(this.name)} for ${this.timeout} ms`
  }
}

/** The peer could not answer. The code says why: it may be a mistake of either end. */
export class Failed extends Data.TaggedError("Failed")<{
  readonly name: string
  readonly code: FailCode
  readonly detail: string
}> {
  override get message(): string {
    return `${JSON.stringify(this.name)} failed (${this.code})${this.detail === "" ? "" : `: ${this.detail}`}`
  }
}

/** The peer's fault: what came is not what the contract says. */
export class Undecodable extends Data.TaggedError("Undecodable")<{ readonly name: string; readonly cause: unknown }> {
  override get message(): string {
    return `what came for ${JSON.stringify(this.name)} is not in the contract: ${wordsOf(this.cause)}`
  }
}

/** The caller's fault: a value that the contract does not encode. Nothing was sent. */
export class Unencodable extends Data.TaggedError("Unencodable")<{ readonly name: string; readonly cause: unknown }> {
  override get message(): string {
    return `${JSON.stringify(this.name)} cannot be sent: ${wordsOf(this.cause)}`
  }
}

/** The caller's fault, or the network's: too much waits for a connection. Nothing was sent. */
export class OutboxFull extends Data.TaggedError("OutboxFull")<{
  /** How many may wait. */
  readonly capacity: number
}> {
  override get message(): string {
    return `there is no connection, and ${this.capacity} wait for one already`
  }
}

/** The ends have different contracts, or different versions of one. */
export class Mismatch extends Data.TaggedError("Mismatch")<{
  /** Name and version. */
  readonly ours: string
  /** Name and version, or what the peer said of it when it closed. */
  readonly theirs: string
}> {
  override get message(): string {
    return `the contracts differ: ours is ${this.ours}, theirs ${this.theirs}`
  }
}

/** The server did not accept the credentials. */
export class Rejected extends Data.TaggedError("Rejected")<{
  /** What the server says about it; it is no secret. */
  readonly detail: string
}> {
  override get message(): string {
    return `the credentials were refused${this.detail === "" ? "" : `: ${this.detail}`}`
  }
}

/** The peer's fault: it broke the rules of a session, and the connection was closed with `code`. */
export class SessionViolation extends Data.TaggedError("SessionViolation")<{
  readonly code: number
  readonly detail: string
}> {
  override get message(): string {
    return `the peer broke the rules: ${this.detail}`
  }
}

const wordsOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/**
 * Everything that can go wrong with a session, under one tag.
 *
 * Who only retries catches `SessionError`; who cares handles a reason, as in
 * `Effect.catchReason("SessionError", "RequestTimeout", ...)`.
 */
export class SessionError extends Data.TaggedError("SessionError")<{
  readonly reason:
    | Disconnected
    | Failed
    | Mismatch
    | NotOpened
    | OutboxFull
    | Rejected
    | RequestTimeout
    | SessionViolation
    | StoreUnavailable
    | Undecodable
    | Unencodable
}> {
  override get message(): string {
    return this.reason.message
  }
}
