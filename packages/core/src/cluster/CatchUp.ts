/**
 * How a member gets what it missed and then what is published, without a hole between the two and nothing twice: what is
 * published meanwhile is kept for it, as far as the bound allows, and read from the log where it does not.
 */
import * as Effect from "effect/Effect"
import * as Prepared from "../connection/Prepared.ts"
import type { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { Entry, Missed } from "./History.ts"
import type { Gap, Member, Notice } from "./Member.ts"
import type { Parcel } from "./Parcel.ts"
import * as Position from "./Position.ts"
import { Publication } from "./Publication.ts"
import * as Spoken from "./Spoken.ts"
import type { Keeper } from "./Topics.ts"

/** What is kept for a member that is catching up. */
export const maxKept = 1_024

/** What is published to a member while it is catching up. */
export class Kept implements Keeper {
  private items: Array<Publication | Notice> = []
  private hasOverflowed = false
  /** Topics of which something was not kept that the log does not have. */
  private readonly lost = new Set<string>()
  isAdmitted = false

  keep(item: Publication | Notice): void {
    if (this.items.length < maxKept) return void this.items.push(item)
    this.hasOverflowed = true
    if (item instanceof Publication) {
      if (item.at === undefined) this.lost.add(item.topic)
    } else if (item._tag === "Gap") for (const topic of item.topics) this.lost.add(topic)
  }

  get isEmpty(): boolean {
    return this.items.length === 0 && !this.hasOverflowed
  }

  /** All that was kept; when that is not all there was, the topics of which the log does not have the rest. */
  take(): ReadonlyArray<Publication | Notice> | { readonly lost: ReadonlyArray<string> } {
    const { hasOverflowed, items } = this
    const lost = [...this.lost]
    this.items = []
    this.hasOverflowed = false
    this.lost.clear()
    return hasOverflowed ? { lost } : items
  }
}

/** Publications that were read from the log, so that those that many ask for at a time are encoded once. */
export class Replays {
  private readonly publications = new Map<string, Publication>()
  private readers = 0

  /** Nothing is held when nobody reads. */
  reading<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => void this.readers++),
      () => effect,
      () =>
        Effect.sync(() => {
          if (--this.readers === 0) this.publications.clear()
        })
    )
  }

  get size(): number {
    return this.publications.size
  }

  of({ offset, topic, value }: Entry<Parcel>, epoch: string): Publication {
    const name = `${epoch}:${offset}`
    const known = this.publications.get(name)
    if (known?.topic === topic) return known
    const made = new Publication(topic, Prepared.make(value.message), { epoch, offset })
    if (this.readers === 0) return made
    this.publications.set(name, made)
    if (this.publications.size > maxKept) this.publications.delete(this.publications.keys().next().value!)
    return made
  }
}

/** Who catches up, and how it is told. */
export interface Catching {
  readonly member: Member
  /** Behind which it begins, and whether what was published since has to be read first. */
  readonly from: Position.Position | undefined
  readonly mustRead: boolean
  /** Whether something of a topic is to be written to it still. */
  readonly isIn: (topic: string) => boolean
  readonly wants: (publication: Publication) => boolean
  readonly kept: Kept
  /** Called when there is no more, in the same step, with where the member is in each of its topics. */
  readonly done: (reached: (topic: string) => Position.Position | undefined) => void
}

/**
 * Writes to the member what was published to the topics behind a position, in order, then what was kept for it, until
 * there is no more. Succeeds with `"Gone"` when the member is, and with `"Full"` when it has no room and does not say
 * when it will have.
 */
export const run = (
  broker: Broker["Service"],
  replays: Replays,
  topics: ReadonlyArray<string>,
  { done, from: start, isIn, kept, member, mustRead, wants }: Catching
): Effect.Effect<"Done" | "Gone" | "Full", BrokerError> =>
  Effect.gen(function* () {
    /** What the log was read to. */
    let read = start
    /** What was written last of a topic that it was published to meanwhile. */
    const last = new Map<string, Position.Position>()
    /** What was written without a place, by its key. */
    const unplaced = new Set<string>()
    const reached = (topic: string) => last.get(topic) ?? read
    const isNews = ({ at, topic }: Publication): boolean => {
      const position = reached(topic)
      return at === undefined || position === undefined || Position.isBehind(at, position)
    }
    let from = start
    for (let mustReadNow = mustRead; ; mustReadNow = true) {
      let missed: Missed<Parcel> | undefined
      if (mustReadNow) {
        missed = yield* broker.since(topics, from)
        if (missed.gap.length > 0 && !isOf(missed.from, from)) {
          // Of another epoch: all of it is missing. What is missing of this one is known when it is asked from its place.
          const offset = (missed.entries[0]?.offset ?? missed.to.offset + 1) - 1
          const to = { epoch: missed.to.epoch, offset }
          const written = yield* write(member, [{ _tag: "Gap", topics: missed.gap, from, to }], isIn)
          if (written !== "Done") return written
          missed = yield* broker.since(topics, (from = to))
        }
        const { epoch } = missed.to
        const entries = missed.entries.filter(({ offset, topic, value }) => {
          const before = last.get(topic)
          const isHad = before !== undefined && !Position.isBehind({ epoch, offset }, before)
          return !isHad && !isFor(topic, value, member, unplaced)
        })
        const items = entries.map((entry) => replays.of(entry, epoch)).filter(wants)
        const written = yield* write(member, withGaps(items, missed, from), isIn)
        if (written !== "Done") return written
        from = read = missed.to
      }
      for (;;) {
        const items = kept.take()
        if ("lost" in items) {
          if (items.lost.length === 0) break
          const gap: Gap = { _tag: "Gap", topics: items.lost, from: undefined, to: undefined }
          const written = yield* write(member, [gap], isIn)
          if (written !== "Done") return written
          break
        }
        const news: Array<Publication | Notice> = []
        for (const item of items) {
          if (!(item instanceof Publication)) news.push(item)
          else if (isNews(item)) {
            if (item.at !== undefined) last.set(item.topic, item.at)
            else if (item.key !== undefined) {
              if (missed?.entries.some((entry) => isKnownBy(entry, item)) === true) continue
              unplaced.add(inTopic(item.topic, item.key))
            }
            news.push(item)
            // In one process what comes later is later in all topics.
            if (broker.isLocal && item.at !== undefined) from = item.at
          }
        }
        const written = yield* write(member, news, isIn)
        if (written !== "Done") return written
        if (kept.isEmpty) {
          done(reached)
          return "Done"
        }
      }
    }
  })

const isKnownBy = ({ topic, value: { key } }: Entry<Parcel>, { key: name, topic: its }: Publication): boolean =>
  topic === its && key !== undefined && Spoken.nameOf(key) === name

/** What has a key in another topic is something else, whoever chose it. */
const inTopic = (topic: string, key: string): string => `${topic.length}:${topic}${key}`

/** Whether a parcel is not for a member, or has been written to it already. */
const isFor = (topic: string, { except, key }: Parcel, { id }: Member, unplaced: ReadonlySet<string>): boolean =>
  (id !== undefined && except.includes(id)) ||
  (unplaced.size > 0 && key !== undefined && unplaced.has(inTopic(topic, Spoken.nameOf(key))))

/** Whether a position was known as it was told. */
const isOf = (known: Position.Position, told: Position.Position | undefined): boolean =>
  told !== undefined && known.epoch === told.epoch && known.offset === told.offset

/**
 * Each gap before the first of its topic, or at the end. So a member that has been told of one and goes has missed
 * nothing of other topics that is before where the gap ends.
 */
const withGaps = (
  publications: ReadonlyArray<Publication>,
  { gap, to }: Missed<Parcel>,
  from: Position.Position | undefined
): ReadonlyArray<Publication | Notice> => {
  if (gap.length === 0) return publications
  const missing = new Set(gap)
  const items: Array<Publication | Notice> = []
  for (const publication of publications) {
    const { at, topic } = publication
    if (missing.delete(topic)) {
      items.push({ _tag: "Gap", topics: [topic], from, to: { epoch: to.epoch, offset: at!.offset - 1 } })
    }
    items.push(publication)
  }
  if (missing.size > 0) items.push({ _tag: "Gap", topics: [...missing], from, to })
  return items
}

/** As the member has room. */
const write = (
  member: Member,
  items: Iterable<Publication | Notice>,
  isIn: (topic: string) => boolean
): Effect.Effect<"Done" | "Gone" | "Full"> =>
  Effect.gen(function* () {
    for (const item of items) {
      for (;;) {
        // It may have left the topic while it had to wait.
        if (item instanceof Publication && !isIn(item.topic)) break
        const written =
          item instanceof Publication
            ? member.tryWriteUnsafe(item.message, item)
            : (member.tellUnsafe?.(item) ?? "Written")
        if (written === "NotOpen") return "Gone"
        if (written === "Written") break
        if (member.room === undefined) return "Full"
        yield* member.room
        yield* Effect.yieldNow
      }
    }
    return "Done"
  })
