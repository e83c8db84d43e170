/**
 * The one error of a broker. Whose fault it was is the type of its reason.
 */
import * as Data from "effect/Data"
import type { Key } from "./Parcel.ts"

/** The network's or the broker's: it cannot be reached, or has not answered in time. */
export class Unavailable extends Data.TaggedError("Unavailable")<{
  /**
   * Whether a publication that failed with this may be there all the same. `Unknown`: it was on its way. Publishing it
   * again with the same key is safe either way.
   */
  readonly outcome: "NotPublished" | "Unknown"
  readonly cause: unknown
}> {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `the broker is not available: ${cause}`
  }
}

/** The operator's: the broker answers, and says no. A wrong password, a right that is missing, a server that is full. */
export class Rejected extends Data.TaggedError("Rejected")<{ readonly cause: unknown }> {
  override get message(): string {
    return `the broker refused: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** The caller's: more bytes than the broker takes in one publication. */
export class TooLarge extends Data.TaggedError("TooLarge")<{ readonly length: number; readonly limit: number }> {
  override get message(): string {
    return `a publication of ${this.length} bytes is over the broker's limit of ${this.limit}`
  }
}

/**
 * The caller's: the producer has a newer life than this key, or the key is so old that nobody can tell any more whether
 * it was used. It was not published now.
 */
export class StaleKey extends Data.TaggedError("StaleKey")<{ readonly key: Key }> {
  override get message(): string {
    const { epoch, producer, sequence } = this.key
    return `the key ${JSON.stringify(producer)} ${epoch}:${sequence} is too old to be known`
  }
}

/** Everything that can go wrong with a broker, under one tag: `Effect.catchReason("BrokerError", "Unavailable", ...)`. */
export class BrokerError extends Data.TaggedError("BrokerError")<{
  readonly reason: Unavailable | Rejected | TooLarge | StaleKey
}> {
  override get message(): string {
    return this.reason.message
  }
}
