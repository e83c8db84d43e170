/**
 * Who has published what, by key, so that a repeat is recognised: for brokers that have no other memory of it.
 *
 * Pure but for what it holds: time is an argument. A key is known for the window, as far as the bounds allow: a producer
 * has its last 1,000 sequences, and when there are too many keys those of the producer that was silent for longest are
 * forgotten first.
 */
import * as Duration from "effect/Duration"
import type { Key } from "./Parcel.ts"

export interface Options {
  /** Default 2 minutes. */
  readonly window?: Duration.Input | undefined
  /** Keys of all producers. Default 100,000. */
  readonly maxKeys?: number | undefined
}

export const defaults = { window: 120_000, maxKeys: 100_000 } satisfies Options

/** How many sequences of one producer are told apart. */
export const maxSequences = 1_000

/** What a key says of a publication. */
export type Answer =
  | { readonly _tag: "New" }
  /** It was published, with this offset. */
  | { readonly _tag: "Repeat"; readonly offset: number }
  /** Of an earlier life of its producer, or too far back to be known. */
  | { readonly _tag: "Stale" }

interface Producer {
  epoch: number
  highest: number
  /** Of the last 1,000 sequences up to the highest, those that were published. */
  readonly offsets: Map<number, number>
  time: number
}

const isNew: Answer = { _tag: "New" }
const isStale: Answer = { _tag: "Stale" }

export class Producers {
  private readonly window: number
  private readonly maxKeys: number
  /** Who published last comes last. */
  private readonly producers = new Map<string, Producer>()
  private keys = 0

  constructor(options: Options = {}) {
    this.window = Duration.toMillis(options.window ?? defaults.window)
    this.maxKeys = options.maxKeys ?? defaults.maxKeys
  }

  /** How many keys are known. */
  get size(): number {
    return this.keys
  }

  /** Whether something with this key may be published. `now` is in milliseconds. */
  ask(key: Key, now: number): Answer {
    this.expire(now)
    const producer = this.producers.get(key.producer)
    if (producer === undefined || key.epoch > producer.epoch) return isNew
    if (key.epoch < producer.epoch) return isStale
    const offset = producer.offsets.get(key.sequence)
    if (offset !== undefined) return { _tag: "Repeat", offset }
    return key.sequence <= producer.highest - maxSequences ? isStale : isNew
  }

  /** It was published. */
  record({ epoch, producer: name, sequence }: Key, offset: number, now: number): void {
    let producer = this.producers.get(name)
    if (producer === undefined || producer.epoch !== epoch) {
      if (producer !== undefined) this.forget(name, producer)
      producer = { epoch, highest: sequence, offsets: new Map(), time: now }
    }
    this.producers.delete(name)
    this.producers.set(name, producer)
    producer.time = now
    producer.offsets.set(sequence, offset)
    this.keys++
    this.reach(producer, sequence)
    for (const [silent, its] of this.producers) {
      if (this.keys <= this.maxKeys || its === producer) break
      this.forget(silent, its)
    }
  }

  /** Those that are too far back now are stale, and not kept. They may have come in any order. */
  private reach(producer: Producer, sequence: number): void {
    const { highest, offsets } = producer
    if (sequence <= highest) return
    producer.highest = sequence
    const before = offsets.size
    const end = sequence - maxSequences
    // None is higher than the highest, and none lower than its last thousand.
    const last = Math.min(end, highest)
    for (let each = highest - maxSequences + 1; each <= last; each++) offsets.delete(each)
    this.keys -= before - offsets.size
  }

  private forget(name: string, producer: Producer): void {
    this.keys -= producer.offsets.size
    this.producers.delete(name)
  }

  private expire(now: number): void {
    for (const [name, producer] of this.producers) {
      if (now - producer.time <= this.window) return
      this.forget(name, producer)
    }
  }
}
