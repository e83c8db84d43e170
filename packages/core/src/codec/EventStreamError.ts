/**
 * What can be wrong with an event stream. Whose fault it is, is the type. Of the stream's grammar nothing can be broken:
 * WHATWG HTML 9.2.6 gives every sequence of bytes a meaning.
 *
 * | error                  | whose fault   | who sees it                     |
 * | ---------------------- | ------------- | ------------------------------- |
 * | `EventStreamViolation` | the peer's    | whoever parses a stream         |
 * | `InvalidEvent`         | the caller's  | whoever prints or encodes one   |
 */
import * as Data from "effect/Data"

/** The peer sent more than we want to hold: a line, or an event's data, of more than `limit` bytes. */
export class EventStreamViolation extends Data.TaggedError("EventStreamViolation")<{
  readonly over: "line" | "event"
  /** In bytes. */
  readonly limit: number
}> {
  override get message(): string {
    return this.over === "line"
      ? `event stream with a line of more than ${this.limit} bytes`
      : `event with more than ${this.limit} bytes of data`
  }
}

/**
 * The caller gave an event that would not arrive as it is. Nothing was printed. `clause` names the rule; `detail` is for
 * people and quotes nothing of the event.
 */
export class InvalidEvent extends Data.TaggedError("InvalidEvent")<{
  readonly field: "event" | "id" | "retry"
  readonly clause: string
  readonly detail: string
}> {
  override get message(): string {
    return `Invalid ${this.field}: ${this.detail} (${this.clause})`
  }
}
