/**
 * Positions by topic, in memory and written behind: however many messages come, one write is under way at most.
 */
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import { type Contents, isCount } from "./Entries.ts"
import type { LeaveNote } from "./LeaveNote.ts"
import type { Writes } from "./Writes.ts"

interface Reached {
  readonly position: string
  /** Which of two was said later. No time: clocks are set. */
  readonly order: number
}

const isReached = (record: unknown): record is Reached => {
  const { order, position } = Object(record) as { readonly [Name in keyof Reached]: unknown }
  return typeof position === "string" && isCount(order)
}

const nothing = (): void => {}

export class Positions {
  /** The store of positions in a database. */
  static readonly layout = (database: IDBDatabase): void => {
    database.createObjectStore("positions")
  }

  private readonly writes: Writes
  private readonly capacity: number
  /** Who was heard of last comes last. */
  private reachedBy = new Map<string, Reached>()
  private readonly note: LeaveNote
  /** Whether there is a note, of what was not written then. */
  private isNoted = false
  /** Topics of which something else is written. */
  private dirty = new Set<string>()
  /** Those that are being written: with a page that goes, they may not be. */
  private underWay: ReadonlySet<string> = new Set()
  private isScheduled = false
  private order = 0
  private failure: StoreUnavailable | undefined

  constructor(writes: Writes, capacity: number, note: LeaveNote) {
    this.writes = writes
    this.capacity = capacity
    this.note = note
  }

  get all(): ReadonlyMap<string, string> {
    return new Map([...this.reachedBy].map(([topic, { position }]) => [topic, position]))
  }

  /** What is there, and how many of it nobody can read. */
  loaded({ keys, values }: Contents): number {
    const known = new Map<string, Reached>()
    const damaged: Array<IDBValidKey> = []
    for (const [i, topic] of keys.entries()) {
      const record = values[i]
      if (typeof topic === "string" && isReached(record)) known.set(topic, record)
      else damaged.push(topic)
    }
    const noted = this.note.read()
    for (const [topic, reached] of Object.entries(Object(noted) as object)) {
      if (!isReached(reached) || (known.get(topic)?.order ?? -1) >= reached.order) continue
      known.set(topic, reached)
      this.dirty.add(topic)
    }
    this.isNoted = noted !== null
    // Also what was noted: it was reached later than the database has it.
    const reached = [...known].sort(([, one], [, other]) => one.order - other.order)
    this.reachedBy = new Map(reached)
    this.order = reached.at(-1)?.[1].order ?? 0
    const remove = (transaction: IDBTransaction) => {
      for (const topic of damaged) transaction.objectStore("positions").delete(topic)
    }
    if (damaged.length > 0) this.writes.put(remove, () => {})
    this.bound()
    if (this.isNoted) this.schedule()
    return damaged.length
  }

  /** The page goes, and what is not written now may never be. */
  leave(): void {
    const unwritten = new Set([...this.underWay, ...this.dirty])
    if (unwritten.size === 0) return
    this.isNoted = true
    const reached = [...unwritten].map((topic) => [topic, this.reachedBy.get(topic)] as const)
    this.note.write(Object.fromEntries(reached))
  }

  /** Fails with what the last write has failed with: it is tried again with this one. */
  reached(topic: string, position: string): Effect.Effect<void, StoreUnavailable> {
    return this.changed(topic, () => {
      const isFirst = !this.reachedBy.delete(topic)
      this.reachedBy.set(topic, { position, order: ++this.order })
      this.bound()
      return isFirst
    })
  }

  forget(topic: string): Effect.Effect<void, StoreUnavailable> {
    return this.changed(topic, () => {
      this.reachedBy.delete(topic)
      return false
    })
  }

  private bound(): void {
    for (const topic of this.reachedBy.keys()) {
      if (this.reachedBy.size <= this.capacity) return
      this.reachedBy.delete(topic)
      this.touch(topic)
    }
  }

  /** `change` says whether it is the first position of the topic: who comes back without any hears nothing of what it missed. */
  private changed(topic: string, change: () => boolean): Effect.Effect<void, StoreUnavailable> {
    return Effect.suspend(() => {
      const isFirst = change()
      this.touch(topic)
      // What is to be written at leisure is written with it.
      if (isFirst) this.writes.put(nothing, nothing)
      const { failure } = this
      this.failure = undefined
      return failure === undefined ? Effect.void : Effect.fail(failure)
    })
  }

  private touch(topic: string): void {
    this.dirty.add(topic)
    this.schedule()
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    const written = new Set<string>()
    this.writes.soon(
      (transaction) => {
        // Those of the first time, too: what has failed with others is tried again without them.
        for (const topic of this.dirty) written.add(topic)
        this.underWay = written
        this.dirty = new Set()
        this.isScheduled = false
        const store = transaction.objectStore("positions")
        for (const topic of written) {
          const reached = this.reachedBy.get(topic)
          if (reached === undefined) store.delete(topic)
          else store.put(reached, topic)
        }
      },
      (failure) => {
        if (this.underWay === written) this.underWay = new Set()
        if (failure === undefined) {
          if (this.isNoted && this.dirty.size === 0) this.note.clear()
          this.isNoted &&= this.dirty.size > 0
          return
        }
        this.isScheduled = false
        this.failure = failure
        for (const topic of written) this.dirty.add(topic)
      }
    )
  }
}
