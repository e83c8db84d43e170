/**
 * The one error of presence: the caller's, or a bound that is reached.
 */
import * as Data from "effect/Data"

/** There is no room for one more member: in the topic, or in all of them together. */
export class TooManyMembers extends Data.TaggedError("TooManyMembers")<{
  /** `undefined`: it is all topics together that have too many. */
  readonly topic: string | undefined
  readonly limit: number
}> {
  override get message(): string {
    return this.topic === undefined
      ? `there are ${this.limit} members already in all topics`
      : `there are ${this.limit} members already in the topic ${JSON.stringify(this.topic)}`
  }
}

/** A name or an info that is empty or too long: bytes of UTF-8. */
export class WrongLength extends Data.TaggedError("WrongLength")<{
  readonly of: "topic" | "member" | "user" | "info"
  readonly limit: number
}> {
  override get message(): string {
    return `the ${this.of} has not 1 to ${this.limit} bytes`
  }
}

/** An info that is not one line of JSON text. */
export class InvalidInfo extends Data.TaggedError("InvalidInfo")<{}> {
  override get message(): string {
    return "the info is not one line of JSON text"
  }
}

/** Why somebody is not let in: `Effect.catchReason("PresenceError", "TooManyMembers", ...)`. */
export class PresenceError extends Data.TaggedError("PresenceError")<{
  readonly reason: TooManyMembers | WrongLength | InvalidInfo
}> {
  override get message(): string {
    return this.reason.message
  }
}
