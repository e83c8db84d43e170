/**
 * What outlives a client of the hub, such as a page that is loaded again: publications that were not answered yet, and
 * where its subscriptions were. Implemented by platforms: `IndexedDbHubStore` of `@millrace/browser` is one.
 */
import * as Effect from "effect/Effect"
import * as Identifier from "../messaging/Identifier.ts"
import { type StoreError, StoreFull, type StoreUnavailable } from "../messaging/StoreError.ts"
import type { JsonText } from "./JsonText.ts"
import type { Key } from "./Parcel.ts"

export { type StoreError, StoreFull, StoreUnavailable } from "../messaging/StoreError.ts"

/** A publication that was not answered yet. */
export interface Unanswered {
  readonly topic: string
  readonly dataJson: JsonText
  readonly key: Key
  readonly echo: boolean
  /** When it was kept, in milliseconds since 1970. */
  readonly at: number
  /** When it was said for the first time, or about to be, in milliseconds since 1970; `undefined` where it never was. */
  readonly saidAt: number | undefined
}

/** What is there when a client begins. */
export interface Kept {
  /**
   * The client's name as a producer. Another one for each life, unless the storage cannot lose what it has said was
   * written: no sequence is used twice, whatever was lost.
   */
  readonly producer: string
  readonly epoch: number
  /** The first that was never used. */
  readonly sequence: number
  /** In the order in which they were kept. */
  readonly unanswered: ReadonlyArray<Unanswered>
  /** By topic, as `Position.print` has them. */
  readonly positions: ReadonlyMap<string, string>
}

/**
 * For one client at a time. What it is told is done in order. Of `keep` and `said` the publication fails that could not be
 * kept; `answered` and `reached` that fail are logged: the next life says again what the hub knows by its key, or tells it
 * as `Uncertain`, and hears again what it has heard. The end of the client waits 5 s for what is not done.
 */
export interface HubStore {
  /** Once, when the client begins. */
  readonly load: Effect.Effect<Kept, StoreUnavailable>
  /** Keeps a publication before it is said for the first time; takes up its sequence. */
  readonly keep: (publication: Unanswered) => Effect.Effect<void, StoreError>
  /** One that was kept without `saidAt` is said now: done before it is. From then on nobody can know if it was published. */
  readonly said: (key: Key, at: number) => Effect.Effect<void, StoreUnavailable>
  /** It was answered. */
  readonly answered: (key: Key) => Effect.Effect<void, StoreUnavailable>
  /** What the program has of a topic is up to here. May be written late, but in order. */
  readonly reached: (topic: string, position: string) => Effect.Effect<void, StoreUnavailable>
  /** The program is done with a topic. */
  readonly forget: (topic: string) => Effect.Effect<void, StoreUnavailable>
}

const nameOf = ({ epoch, producer, sequence }: Key): string => `${epoch}:${sequence}:${producer}`

/** Outlives a client, and not the program: for several clients one after the other, and for tests. Default: 1,024 publications. */
export const memory = (capacity = 1_024): HubStore => {
  const unanswered = new Map<string, Unanswered>()
  const positions = new Map<string, string>()
  return {
    load: Effect.map(Identifier.next, (producer) => ({
      producer,
      epoch: 0,
      sequence: 0,
      unanswered: [...unanswered.values()],
      positions: new Map(positions)
    })),
    keep: (publication) =>
      Effect.suspend(() => {
        if (unanswered.size >= capacity) return Effect.fail(new StoreFull({ capacity }))
        unanswered.set(nameOf(publication.key), publication)
        return Effect.void
      }),
    said: (key, saidAt) =>
      Effect.sync(() => {
        const publication = unanswered.get(nameOf(key))
        if (publication !== undefined) unanswered.set(nameOf(key), { ...publication, saidAt })
      }),
    answered: (key) => Effect.sync(() => void unanswered.delete(nameOf(key))),
    reached: (topic, position) => Effect.sync(() => void positions.set(topic, position)),
    forget: (topic) => Effect.sync(() => void positions.delete(topic))
  }
}
