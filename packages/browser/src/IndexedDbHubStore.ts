/**
 * What outlives a client of the hub in a page, in IndexedDB: a page that is loaded again says what was not answered, and
 * gets what it has missed.
 *
 *     const store = yield* IndexedDbHubStore.make({ name: "chat of ada" })
 *     const hub = yield* HubClient.make(wire, { store })
 *
 * What survives: a reload, a page that is closed, a tab or a browser that crashes; with `durability: "strict"` a power
 * failure, too. It does not survive its user who clears what sites keep, nor the end of a private window.
 */
import type * as HubStore from "@millrace/core/cluster/HubStore"
import type { JsonText } from "@millrace/core/cluster/JsonText"
import type { Key } from "@millrace/core/cluster/Parcel"
import * as Identifier from "@millrace/core/messaging/Identifier"
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { isCount, type Reading } from "./storage/Entries.ts"
import { LeaveNote } from "./storage/LeaveNote.ts"
import { Positions } from "./storage/Positions.ts"
import * as Storage from "./storage/Storage.ts"

export interface Options extends Storage.Options {
  /** Topics whose positions are kept; the one that was heard of least recently is forgotten. Default 1,000. */
  readonly maxPositions?: number | undefined
}

export const defaults = { ...Storage.defaults, maxPositions: 1_000 } as const satisfies Omit<Options, "name">

export interface IndexedDbHubStore extends HubStore.HubStore {
  /** How many records could not be read and were removed: somebody else has written there. */
  readonly damaged: () => number
}

/** What an entry takes beside its texts, in bytes, about. */
const perEntry = 128

const keyOf = ({ epoch, producer, sequence }: Key): string => JSON.stringify([producer, epoch, sequence])

const sizeOf = ({ dataJson, key, topic }: HubStore.Unanswered): number =>
  perEntry + 2 * (dataJson.length + topic.length + key.producer.length)

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return !/[\t\n\r]/.test(text)
  } catch {
    return false
  }
}

/** Anybody of this origin can write there. */
const read = (record: unknown, said: unknown): Reading<HubStore.Unanswered> | undefined => {
  const { at, dataJson, echo, key, topic } = Object(record) as { readonly [Name in keyof HubStore.Unanswered]: unknown }
  const { epoch, producer, sequence } = Object(key) as { readonly [Name in keyof Key]: unknown }
  if (typeof topic !== "string" || typeof dataJson !== "string" || typeof producer !== "string") return undefined
  if (!isCount(epoch) || !isCount(sequence) || typeof at !== "number" || typeof echo !== "boolean") return undefined
  if (topic === "" || producer === "" || !isJson(dataJson)) return undefined
  const known: Key = { epoch, producer, sequence }
  // Of a mark that nobody can read it is known that it was said.
  const saidAt = said === undefined || isCount(said) ? said : 0
  const value: HubStore.Unanswered = { topic, dataJson: dataJson as JsonText, key: known, echo, at, saidAt }
  return { key: keyOf(known), bytes: sizeOf(value), value }
}

/**
 * Opens it for one client, until the scope ends: what is to be written then is. Fails with `StoreUnavailable` where there
 * is no storage or it may not be used, and with `inUse` where another client has it, after `wait`.
 *
 * `keep` succeeds when the publication is written. Positions are written behind: the first of a topic at once, others 200 ms
 * later at most; and what is not written when the page goes is noted in `localStorage`, as a transaction may go with its
 * page. So a page that is loaded again gets nothing twice; one that crashes may get the last 200 ms again.
 */
export const make = (options: Options): Effect.Effect<IndexedDbHubStore, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const opened = yield* Storage.open("millrace-hub:", [Positions.layout], options)
    const { entries, writes } = opened
    const note = new LeaveNote(`millrace-hub:${options.name}`)
    const positions = new Positions(writes, options.maxPositions ?? defaults.maxPositions, note)
    const leaving = new AbortController()
    yield* Effect.addFinalizer(() => Effect.sync(() => leaving.abort()))
    globalThis.addEventListener?.("pagehide", () => positions.leave(), { signal: leaving.signal })
    let damaged = 0
    return {
      load: Effect.gen(function* () {
        yield* writes.settled
        const [kept, said, reached] = yield* Storage.readAll(opened, ["entries", "marks", "positions"])
        const unanswered = entries.loaded(kept, said, read)
        damaged += unanswered.damaged + positions.loaded(reached)
        const producer = yield* Identifier.next
        return { producer, epoch: 0, sequence: 0, unanswered: unanswered.values, positions: positions.all }
      }),
      keep: (publication) => {
        const { at, dataJson, echo, key, saidAt, topic } = publication
        return entries.add(keyOf(key), sizeOf(publication), { topic, dataJson, key: { ...key }, echo, at }, saidAt)
      },
      said: (key, at) => entries.mark(keyOf(key), at),
      answered: (key) => entries.remove(keyOf(key)),
      reached: (topic, position) => positions.reached(topic, position),
      forget: (topic) => positions.forget(topic),
      damaged: () => damaged
    }
  })
