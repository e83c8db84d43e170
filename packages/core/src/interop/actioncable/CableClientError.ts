/** Why a client of Action Cable could not do what it was asked for, and how a connection of it ended. */
import * as Data from "effect/Data"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type { UnsendableValue } from "./Packet.ts"

/** The server does not take the subscription, or not any more. The protocol has no room for a reason. */
export class Rejected extends Data.TaggedError("Rejected")<{ readonly identifier: string }> {
  override get message(): string {
    return `the server has rejected the subscription ${this.identifier}`
  }
}

/**
 * The server has neither confirmed nor rejected a subscription for `waited` milliseconds: that of Rails says nothing
 * where it has no such channel.
 */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly identifier: string
  readonly waited: number
}> {
  override get message(): string {
    return `the server has not answered the subscription ${this.identifier} for ${this.waited} ms`
  }
}

/** The caller's fault: it has left the subscription. */
export class NotSubscribed extends Data.TaggedError("NotSubscribed")<{ readonly identifier: string }> {
  override get message(): string {
    return `there is no subscription ${this.identifier} any more`
  }
}

/** The server speaks Rails' own protocol, which has neither whispers nor presence; or it cannot say who is present. */
export class Unsupported extends Data.TaggedError("Unsupported")<{ readonly what: "presence" | "whisper" }> {
  override get message(): string {
    return `the server has no ${this.what}`
  }
}

/** The client does not come back any more. */
export class Stopped extends Data.TaggedError("Stopped")<{
  /** `undefined` when whoever had it is done with it. */
  readonly cause: Cause | undefined
}> {
  override get message(): string {
    return "the client has stopped"
  }
}

/**
 * Everything that can go wrong with what a client is asked for, under one tag. At fault were: the caller
 * (`NotSubscribed`, `UnsendableValue`), or the server by its choice.
 */
export class CableClientError extends Data.TaggedError("CableClientError")<{
  readonly reason: NotSubscribed | Rejected | Stopped | Unanswered | UnsendableValue | Unsupported
}> {
  override get message(): string {
    return this.reason.message
  }
}

/** The server has ended the connection and said why, such as `unauthorized`, `server_restart`, `remote`. */
export class Dismissed extends Data.TaggedError("Dismissed")<{
  readonly reason: string | undefined
  /** Whether it wants the client to come back. */
  readonly reconnect: boolean
}> {
  override get message(): string {
    return `the server has ended the connection: ${this.reason ?? "it gave no reason"}`
  }
}

/** The server has agreed to none of the subprotocols of Action Cable. */
export class Foreign extends Data.TaggedError("Foreign")<{ readonly subprotocol: string | undefined }> {
  override get message(): string {
    return this.subprotocol === undefined
      ? "the server speaks no subprotocol"
      : `the server speaks ${JSON.stringify(this.subprotocol)}`
  }
}

/** How a connection ended, or why there was none. */
export type Cause =
  /** It could not be opened, or not in time: what `open` failed with. */
  | { readonly _tag: "NotOpened"; readonly error: unknown }
  /** It was open, and then not; `undefined` after an ordinary close. */
  | { readonly _tag: "Ended"; readonly error: Dismissed | Foreign | WebSocketError | undefined }
