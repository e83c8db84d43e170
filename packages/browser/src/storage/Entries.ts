/**
 * A list in a store of a database, in the order in which it was given, up to bounds. An entry may be marked later, which
 * does not write it again. It is its owner's alone, so that what is in memory is what is written.
 */
import { type StoreError, StoreFull, type StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import type { Writes } from "./Writes.ts"

export interface Limits {
  /** How many. */
  readonly capacity: number
  /** Bytes, as `add` is told. */
  readonly maxBytes: number
}

interface Place {
  readonly id: number
  readonly bytes: number
}

/** The stores of entries and of their marks in a database. */
export const layout = (database: IDBDatabase): void => {
  database.createObjectStore("entries")
  database.createObjectStore("marks")
}

/** A number that can be counted on from for as long as anybody lives, whoever has written it. */
export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 52

/** All that a store has, in order. */
export interface Contents {
  readonly keys: ReadonlyArray<IDBValidKey>
  readonly values: ReadonlyArray<unknown>
}

/** What is read from a record; `undefined` for one that nobody can read. */
export interface Reading<A> {
  readonly key: string
  readonly bytes: number
  readonly value: A
}

export class Entries {
  private readonly writes: Writes
  private readonly limits: Limits
  private places = new Map<string, Place>()
  private bytes = 0
  private nextId = 0

  constructor(writes: Writes, limits: Limits) {
    this.writes = writes
    this.limits = limits
  }

  /** What is there, with its mark. What cannot be read is removed. */
  loaded<A>(
    entries: Contents,
    marks: Contents,
    read: (record: unknown, mark: unknown) => Reading<A> | undefined
  ): { readonly values: ReadonlyArray<A>; readonly damaged: number } {
    this.places = new Map()
    this.bytes = 0
    const marked = new Map(marks.keys.map((id, i) => [id, marks.values[i]]))
    const values: Array<A> = []
    const damaged: Array<IDBValidKey> = []
    for (const [i, id] of entries.keys.entries()) {
      const reading = read(entries.values[i], marked.get(id))
      if (!isCount(id) || reading === undefined || this.places.has(reading.key)) damaged.push(id)
      else {
        this.place(reading.key, { id, bytes: reading.bytes })
        marked.delete(id)
        values.push(reading.value)
      }
    }
    const remove = (transaction: IDBTransaction) => {
      for (const id of damaged) transaction.objectStore("entries").delete(id)
      for (const id of marked.keys()) transaction.objectStore("marks").delete(id)
    }
    if (damaged.length + marked.size > 0) this.writes.put(remove, () => {})
    return { values, damaged: damaged.length }
  }

  private place(key: string, place: Place): void {
    this.places.set(key, place)
    this.bytes += place.bytes
    this.nextId = Math.max(this.nextId, place.id + 1)
  }

  private displace(key: string): Place | undefined {
    const place = this.places.get(key)
    if (place === undefined) return undefined
    this.places.delete(key)
    this.bytes -= place.bytes
    return place
  }

  /** Succeeds when it is written. One that is there already is left as it is. Interrupting it removes it again. */
  add(key: string, bytes: number, record: object, mark?: unknown): Effect.Effect<void, StoreError> {
    return Effect.suspend((): Effect.Effect<void, StoreError> => {
      const { capacity, maxBytes } = this.limits
      if (this.places.has(key)) return Effect.void
      if (this.places.size >= capacity) return Effect.fail(new StoreFull({ capacity }))
      if (this.bytes + bytes > maxBytes) return Effect.fail(new StoreFull({ capacity: maxBytes, unit: "bytes" }))
      const id = this.nextId
      this.place(key, { id, bytes })
      const written = this.writes.written((transaction) => {
        transaction.objectStore("entries").add(record, id)
        if (mark !== undefined) transaction.objectStore("marks").put(mark, id)
      })
      return written.pipe(
        Effect.tapError(() => Effect.sync(() => this.displace(key))),
        Effect.onInterrupt(() => Effect.sync(() => this.writes.put(this.removal(key), () => {})))
      )
    })
  }

  /** Succeeds when it is written; `undefined` is no mark. What is not there is not marked. */
  mark(key: string, mark: unknown): Effect.Effect<void, StoreUnavailable> {
    return Effect.suspend(() =>
      this.writes.written((transaction) => {
        const place = this.places.get(key)
        if (place === undefined) return
        const marks = transaction.objectStore("marks")
        if (mark === undefined) marks.delete(place.id)
        else marks.put(mark, place.id)
      })
    )
  }

  /** Succeeds when it is gone. */
  remove(key: string): Effect.Effect<void, StoreUnavailable> {
    return Effect.suspend(() => this.writes.written(this.removal(key)))
  }

  private removal(key: string): (transaction: IDBTransaction) => void {
    const place = this.displace(key)
    return (transaction) => {
      if (place === undefined) return
      transaction.objectStore("entries").delete(place.id)
      transaction.objectStore("marks").delete(place.id)
    }
  }
}
