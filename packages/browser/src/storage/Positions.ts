/**
 * Positions by topic, in memory and written behind: however many messages come, one write is under way at most.
 */
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import { type Contents, isCount } from "./Entries.ts"
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

export class Positions {
  /** The store of positions in a database. */
  static readonly layout = (database: IDBDatabase): void => {
    database.createObjectStore("positions")
  }

  private readonly writes: Writes
  private readonly capacity: number
  /** Who was heard of last comes last. */
  private reachedBy = new Map<string, Reached>()
  /** Topics of which something else is written. */
  private dirty = new Set<string>()
  private isScheduled = false
  private order = 0
  private failure: StoreUnavailable | undefined

  constructor(writes: Writes, capacity: number) {
    this.writes = writes
    this.capacity = capacity
  }

  get all(): ReadonlyMap<string, string> {
    return new Map([...this.reachedBy].map(([topic, { position }]) => [topic, position]))
  }

  /** What is there, and how many of it nobody can read. */
  loaded({ keys, values }: Contents): number {
    const read: Array<[string, Reached]> = []
    const damaged: Array<IDBValidKey> = []
    for (const [i, topic] of keys.entries()) {
      const record = values[i]
      if (typeof topic === "string" && isReached(record)) read.push([topic, record])
      else damaged.push(topic)
    }
    read.sort(([, one], [, other]) => one.order - other.order)
    this.reachedBy = new Map(read)
    this.order = read.at(-1)?.[1].order ?? 0
    const remove = (transaction: IDBTransaction) => {
      for (const topic of damaged) transaction.objectStore("positions").delete(topic)
    }
    if (damaged.length > 0) this.writes.put(remove, () => {})
    this.bound()
    return damaged.length
  }

  /** Fails with what the last write has failed with: it is tried again with this one. */
  reached(topic: string, position: string): Effect.Effect<void, StoreUnavailable> {
    return this.changed(topic, () => {
      this.reachedBy.delete(topic)
      this.reachedBy.set(topic, { position, order: ++this.order })
      this.bound()
    })
  }

  forget(topic: string): Effect.Effect<void, StoreUnavailable> {
    return this.changed(topic, () => this.reachedBy.delete(topic))
  }

  private bound(): void {
    for (const topic of this.reachedBy.keys()) {
      if (this.reachedBy.size <= this.capacity) return
      this.reachedBy.delete(topic)
      this.touch(topic)
    }
  }

  private changed(topic: string, change: () => void): Effect.Effect<void, StoreUnavailable> {
    return Effect.suspend(() => {
      change()
      this.touch(topic)
      const { failure } = this
      this.failure = undefined
      return failure === undefined ? Effect.void : Effect.fail(failure)
    })
  }

  private touch(topic: string): void {
    this.dirty.add(topic)
    if (this.isScheduled) return
    this.isScheduled = true
    let written = new Set<string>()
    this.writes.soon(
      (transaction) => {
        written = this.dirty
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
        if (failure === undefined) return
        this.isScheduled = false
        this.failure = failure
        for (const topic of written) this.dirty.add(topic)
      }
    )
  }
}
