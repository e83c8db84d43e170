/**
 * What can go wrong with a client of Socket.IO: one error, and whose fault it was is the type of its reason.
 */
import * as Data from "effect/Data"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type { EngineViolation } from "../engineio/Packet.ts"
import type { SocketIoViolation, UnsendablePacket } from "./Packet.ts"

/** The server does not let the client in: its `connect_error`. Nobody's fault as such. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly message: string
  /** What the application has added: a value of JSON. */
  readonly data: unknown
}> {}

/** The server has put the client out of the namespace. */
export class PutOut extends Data.TaggedError("PutOut")<{}> {
  override get message(): string {
    return "the server has put us out of the namespace"
  }
}

/** The network's fault, or nobody's: the connection has ended. `cause` is `undefined` where it did in order. */
export class Lost extends Data.TaggedError("Lost")<{ readonly cause: WebSocketError | undefined }> {
  override get message(): string {
    return this.cause === undefined ? "the server has ended the connection" : this.cause.message
  }
}

/** The network's or the server's fault: for so many milliseconds there was no ping. */
export class Silent extends Data.TaggedError("Silent")<{ readonly silence: number }> {
  override get message(): string {
    return `the server has not pinged for ${this.silence} ms`
  }
}

/** The server's fault: it has said what the protocol does not have. */
export class Violation extends Data.TaggedError("Violation")<{
  readonly violation: EngineViolation | SocketIoViolation
}> {
  override get message(): string {
    return `the server has broken a rule: ${this.violation.message}`
  }
}

/** Why there is no connection, or not any more. */
export type Cause =
  /** It could not be opened, or not in time: what `open` or `auth` has failed with. */
  | { readonly _tag: "NotOpened"; readonly error: unknown }
  | { readonly _tag: "Refused"; readonly error: Refused }
  /** The client was in the namespace, or about to be. */
  | { readonly _tag: "Ended"; readonly error: Lost | PutOut | Silent | Violation }

/** The client is done with: by its own scope, where there is no cause, or by what would be the same the next time. */
export class Stopped extends Data.TaggedError("Stopped")<{ readonly cause: Cause | undefined }> {
  override get message(): string {
    const error = this.cause?.error
    return error === undefined ? "the client has ended" : error instanceof Error ? error.message : String(error)
  }
}

/** The caller's pace: so many events wait for a connection already. Nothing was said. */
export class OutboxFull extends Data.TaggedError("OutboxFull")<{ readonly capacity: number }> {
  override get message(): string {
    return `${this.capacity} events wait for a connection already`
  }
}

/** The server's or the network's fault: no answer has come for so many milliseconds. It may have heard the question. */
export class Late extends Data.TaggedError("Late")<{ readonly name: string; readonly timeout: number }> {
  override get message(): string {
    return `no answer to ${JSON.stringify(this.name)} in ${this.timeout} ms`
  }
}

/** The connection was lost over which it was asked: nobody knows whether the server has heard it. */
export class Unanswered extends Data.TaggedError("Unanswered")<{ readonly name: string }> {
  override get message(): string {
    return `the connection was lost before ${JSON.stringify(this.name)} was answered`
  }
}

/**
 * Everything that can go wrong with what is asked of a client, under one tag. At fault were: the caller
 * (`UnsendablePacket`, `OutboxFull`), the server (`Late`), the network (`Unanswered`), or whoever `Stopped` names.
 */
export class SocketClientError extends Data.TaggedError("SocketClientError")<{
  readonly reason: Late | OutboxFull | Stopped | Unanswered | UnsendablePacket
}> {
  override get message(): string {
    return this.reason.message
  }
}
