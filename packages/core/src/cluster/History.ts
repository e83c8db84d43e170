/**
 * What was published lately, so that a client that comes back gets what it missed, in order and once, or is told that
 * there is a gap.
 *
 * Pure but for what it holds: time is an argument. Not in here: who listens (`Hub`).
 */
import * as Duration from "effect/Duration"
import type { Position } from "./Position.ts"

/** How much is kept. What goes over a bound is forgotten, the oldest first. Nothing of it is required. */
export interface Options {
  /** Publications of one topic. Default 1,000. */
  readonly maxEntries?: number | undefined
  /** Bytes of one topic's publications, each with 256 beside its own. Default 1 MiB. */
  readonly maxBytes?: number | undefined
  /** The same of all topics. Default 16 MiB. */
  readonly maxTotalBytes?: number | undefined
  /** How long. Default 5 minutes. */
  readonly maxAge?: Duration.Input | undefined
  /** Topics, also those of which nothing is kept but that there was something. Default 10,000. */
  readonly maxTopics?: number | undefined
}

/** The bounds, unless others are given. */
export const defaults = {
  maxEntries: 1_000,
  maxBytes: 1_048_576,
  maxTotalBytes: 16_777_216,
  maxAge: "5 minutes",
  maxTopics: 10_000
} satisfies Options

/** What a publication takes beside its bytes, about. */
const overhead = 256

/** A publication that is kept. */
export interface Entry<out A> {
  readonly topic: string
  readonly offset: number
  readonly value: A
}

/** What a client has missed. */
export interface Missed<out A> {
  /** In the order of publication. */
  readonly entries: ReadonlyArray<Entry<A>>
  /** The topics of which something was missed that is not kept, or may have been. Empty: the entries are all there is. */
  readonly gap: ReadonlyArray<string>
  /** Where the client was, in this epoch: it can ask again from here. */
  readonly from: Position
  /** Where it is when it has the entries. */
  readonly to: Position
}

interface Kept<A> extends Entry<A> {
  readonly bytes: number
  readonly time: number
  forgotten: boolean
}

/** What is kept of a topic; `first` is where it begins in `entries`. */
interface Log<A> {
  entries: Array<Kept<A>>
  first: number
  bytes: number
  /** The offset of the last that was forgotten; 0 for none. */
  forgotten: number
}

/** Takes those off that were shifted, when they are most. */
const compacted = <A>(entries: Array<A>, first: number): Array<A> | undefined =>
  first > 32 && first * 2 > entries.length ? entries.slice(first) : undefined

/** Made by `make`. */
export class History<in out A> {
  private readonly epoch: string
  private readonly maxEntries: number
  private readonly maxBytes: number
  private readonly maxTotalBytes: number
  private readonly maxAge: number
  private readonly maxTopics: number
  /** The topics that were published to last come last. */
  private readonly logs = new Map<string, Log<A>>()
  /** The entries of all topics, and among them some that their topic has forgotten. */
  private order: Array<Kept<A>> = []
  private first = 0
  private stale = 0
  private bytes = 0
  private offset = 0
  /** The last offset of a topic that is not even known to have been one. */
  private forgottenTopics = 0

  constructor(epoch: string, options: Options) {
    this.epoch = epoch
    this.maxEntries = options.maxEntries ?? defaults.maxEntries
    this.maxBytes = options.maxBytes ?? defaults.maxBytes
    this.maxTotalBytes = options.maxTotalBytes ?? defaults.maxTotalBytes
    this.maxAge = Duration.toMillis(options.maxAge ?? defaults.maxAge)
    this.maxTopics = options.maxTopics ?? defaults.maxTopics
  }

  /** Where a client is that has missed nothing. */
  get position(): Position {
    return { epoch: this.epoch, offset: this.offset }
  }

  /** Bytes that are kept, with what each publication takes beside its own. */
  get size(): number {
    return this.bytes
  }

  /** Keeps a publication of `length` bytes. `now` is in milliseconds. The position is the one behind it. */
  append(topic: string, value: A, length: number, now: number): Position {
    const bytes = length + overhead
    const entry: Kept<A> = { topic, offset: ++this.offset, value, bytes, time: now, forgotten: false }
    const log = this.logs.get(topic) ?? this.newLog()
    this.logs.delete(topic)
    this.logs.set(topic, log)
    log.entries.push(entry)
    log.bytes += bytes
    this.order.push(entry)
    this.bytes += bytes
    while (log.entries.length - log.first > this.maxEntries || log.bytes > this.maxBytes) {
      this.forgetFirst(log)
      this.stale++
    }
    this.expire(now)
    while (this.bytes > this.maxTotalBytes) this.forgetOldest()
    while (this.logs.size > this.maxTopics) this.forgetTopic()
    if (this.stale > 32 && this.stale * 2 > this.order.length - this.first) {
      this.order = this.order.slice(this.first).filter(({ forgotten }) => !forgotten)
      this.first = this.stale = 0
    }
    return this.position
  }

  /** The offset of the topic's last publication: 0 for none, `undefined` where it is not known any more. */
  last(topic: string): number | undefined {
    const log = this.logs.get(topic)
    if (log !== undefined) return log.entries.at(-1)?.offset ?? log.forgotten
    return this.forgottenTopics === 0 ? 0 : undefined
  }

  /** What was published to these topics behind a position, as a client tells it; `undefined` for one that cannot be read. */
  since(topics: Iterable<string>, position: Position | undefined, now: number): Missed<A> {
    this.expire(now)
    const known = position !== undefined && position.epoch === this.epoch && position.offset <= this.offset
    const offset = known ? position.offset : 0
    const entries: Array<Entry<A>> = []
    const gap: Array<string> = []
    for (const topic of new Set(topics)) {
      const log = this.logs.get(topic)
      if (!known || (log?.forgotten ?? this.forgottenTopics) > offset) gap.push(topic)
      if (log !== undefined)
        for (let at = after(log, offset); at < log.entries.length; at++) entries.push(log.entries[at]!)
    }
    entries.sort((one, other) => one.offset - other.offset)
    return { entries, gap, from: { epoch: this.epoch, offset }, to: this.position }
  }

  /** A topic that is new to us may have been one before. */
  private newLog(): Log<A> {
    return { entries: [], first: 0, bytes: 0, forgotten: this.forgottenTopics }
  }

  private expire(now: number): void {
    for (let oldest = this.oldest; oldest !== undefined && now - oldest.time > this.maxAge; oldest = this.oldest) {
      this.forgetOldest()
    }
  }

  private get oldest(): Kept<A> | undefined {
    while (this.order[this.first]?.forgotten === true) {
      this.first++
      this.stale--
    }
    return this.order[this.first]
  }

  private forgetOldest(): void {
    const { oldest } = this
    if (oldest === undefined) return
    this.forgetFirst(this.logs.get(oldest.topic)!)
    this.first++
    const rest = compacted(this.order, this.first)
    if (rest === undefined) return
    this.order = rest
    this.first = 0
  }

  /** Of a topic, its oldest; where it is among all is for the caller. */
  private forgetFirst(log: Log<A>): void {
    const entry = log.entries[log.first++]!
    entry.forgotten = true
    log.bytes -= entry.bytes
    log.forgotten = entry.offset
    this.bytes -= entry.bytes
    const rest = compacted(log.entries, log.first)
    if (rest === undefined && log.first < log.entries.length) return
    log.entries = rest ?? []
    log.first = 0
  }

  /** The topic that nobody has published to for longest, and that there was one. */
  private forgetTopic(): void {
    const [topic, log] = this.logs.entries().next().value!
    while (log.first < log.entries.length) {
      this.forgetFirst(log)
      this.stale++
    }
    this.forgottenTopics = Math.max(this.forgottenTopics, log.forgotten)
    this.logs.delete(topic)
  }
}

/** The index of the first entry behind an offset. */
const after = <A>({ entries, first }: Log<A>, offset: number): number => {
  let low = first
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.offset > offset) high = middle
    else low = middle + 1
  }
  return low
}

/** An empty history. `epoch` must never have been that of another one: some random text without line ends. */
export const make = <A>(epoch: string, options: Options = {}): History<A> => new History(epoch, options)
