/**
 * What outlives a client of the hub, such as a page that is loaded again: publications that were not answered yet, and
 * where its subscriptions were. Implemented by platforms: `IndexedDbHubStore` of `@millrace/browser` is one.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { JsonText } from "./JsonText.ts"
import type { Key } from "./Parcel.ts"

/** A publication that was not answered yet. */
export interface Unanswered {
  readonly topic: string
  readonly dataJson: JsonText
  readonly key: Key
  readonly echo: boolean
  /** When it was kept, in milliseconds since 1970. */
  readonly at: number
}

/** What is there when a client begins. */
export interface Kept {
  /** The client's name as a producer, the same as long as the storage lasts. */
  readonly producer: string
  readonly epoch: number
  /** The first that was never used. */
  readonly sequence: number
  /** In the order in which they were kept. */
  readonly unanswered: ReadonlyArray<Unanswered>
  /** By topic, as `Position.print` has them. */
  readonly positions: ReadonlyMap<string, string>
}

/** There is no room for one more: publications are bounded. The program's, or its user's, to say. */
export class StoreFull extends Data.TaggedError("StoreFull")<{ readonly capacity: number }> {
  override get message(): string {
    return `${this.capacity} publications wait for an answer already`
  }
}

/** The storage cannot be used: it is forbidden, its quota is used up, or another client has it (`inUse`). */
export class StoreUnavailable extends Data.TaggedError("StoreUnavailable")<{
  readonly inUse: boolean
  readonly cause: unknown
}> {
  override get message(): string {
    return this.inUse ? "another client uses this storage" : `the storage cannot be used: ${String(this.cause)}`
  }
}

export type StoreError = StoreFull | StoreUnavailable

/** For one client at a time. What it is told is done in order. */
export interface HubStore {
  /** Once, when the client begins. */
  readonly load: Effect.Effect<Kept, StoreUnavailable>
  /** Keeps a publication before it is said for the first time; takes up its sequence. */
  readonly keep: (publication: Unanswered) => Effect.Effect<void, StoreError>
  /** It was answered. */
  readonly answered: (key: Key) => Effect.Effect<void, StoreUnavailable>
  /** What the program has of a topic is up to here. May be written late, but in order. */
  readonly reached: (topic: string, position: string) => Effect.Effect<void, StoreUnavailable>
  /** The program is done with a topic. */
  readonly forget: (topic: string) => Effect.Effect<void, StoreUnavailable>
}
