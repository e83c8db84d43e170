/**
 * The one error of an event source. Whose fault it was is the type of its reason.
 *
 * | reason                  | whose fault                                              | comes back by itself |
 * | ----------------------- | -------------------------------------------------------- | -------------------- |
 * | `InvalidRequest`        | the caller's                                             | no                   |
 * | `UnsendableLastEventId` | the caller's, or that of the server which has sent it    | no                   |
 * | `NetworkError`          | the network's                                            | yes                  |
 * | `OpenTimeout`           | the network's, or the server's                           | yes                  |
 * | `Silent`                | the network's, or the server's                           | yes                  |
 * | `Refused`               | nobody's as such: its status says what to do             | as its status says   |
 * | `EventStreamViolation`  | the server's                                             | no                   |
 * | `Undisclosed`           | nobody's: a page is not told what a server has answered  | no                   |
 * | `InboxFull`             | the caller's                                             | no                   |
 *
 * The last two are those of the platform's own source: `NativeEventSource` of the browser package.
 *
 * That a server ends a response is no error, and every source comes back from it.
 */
import * as Data from "effect/Data"
import type { EventStreamViolation } from "../codec/EventStreamError.ts"
import type { UnsendableLastEventId } from "../protocol/EventSourceProtocol.ts"
import type { Undisclosed } from "./OpenError.ts"
import type { Refused } from "./Refused.ts"
import type { InboxFull } from "./WebSocketError.ts"

/** The caller's fault: a request that cannot be sent. Nothing was. `part` says what is wrong with it. */
export class InvalidRequest extends Data.TaggedError("InvalidRequest")<{
  readonly part: "URL" | "method" | "header" | "body" | "options"
  /** For people. It quotes no field value. */
  readonly detail: string
  /** What the platform said, where it was the platform that refused. */
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.part}: ${this.detail}`
  }
}

/** The network's fault: no such host, nobody listens, a reset, a certificate that cannot be verified. */
export class NetworkError extends Data.TaggedError("NetworkError")<{ readonly cause: unknown }> {
  override get message(): string {
    return `the network failed: ${this.cause instanceof Error ? this.cause.message : this.cause}`
  }
}

/** With what is below an error that says nothing itself: `fetch failed`, or one for each address of a name. */
export const networkError = (cause: unknown): NetworkError => {
  if (cause instanceof AggregateError && cause.errors.length > 0) return networkError(cause.errors[0])
  if (cause instanceof TypeError && cause.cause !== undefined) return networkError(cause.cause)
  return new NetworkError({ cause })
}

/** The network's or the server's fault: no response had begun after `timeout` milliseconds. */
export class OpenTimeout extends Data.TaggedError("OpenTimeout")<{ readonly timeout: number }> {
  override get message(): string {
    return `no response after ${this.timeout} ms`
  }
}

/** The network's or the server's fault: not a byte came for `silence` milliseconds, heartbeats included. */
export class Silent extends Data.TaggedError("Silent")<{ readonly silence: number }> {
  override get message(): string {
    return `not a byte came for ${this.silence} ms`
  }
}

/**
 * Everything that can go wrong with an event source, under one tag.
 *
 * Who cares handles a reason, as in `Effect.catchReason("EventSourceError", "Refused", ...)`.
 */
export class EventSourceError extends Data.TaggedError("EventSourceError")<{
  readonly reason:
    | EventStreamViolation
    | InboxFull
    | InvalidRequest
    | NetworkError
    | OpenTimeout
    | Refused
    | Silent
    | Undisclosed
    | UnsendableLastEventId
}> {
  override get message(): string {
    return this.reason.message
  }
}
