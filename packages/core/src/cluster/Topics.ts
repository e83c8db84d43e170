/**
 * The topics of one node and their members: a publication is one loop over the members with the same bytes. No fiber, no
 * queue entry and no copy for a member that keeps up; what happens to the others is for `SlowConsumer`.
 *
 * Not in here: where publications come from, and how a member gets what it missed (`Hub`).
 */
import * as Effect from "effect/Effect"
import type { Gap, Member, Notice } from "./Member.ts"
import type { Publication } from "./Publication.ts"
import { type Counters, Lag, type SlowConsumer } from "./SlowConsumer.ts"
import type * as Target from "./Target.ts"

/** What a member wants of one topic. */
export interface SeatOptions {
  /** Only what this is true of is written to the member. Must be fast, and not throw. Default: everything. */
  readonly filter?: ((publication: Publication) => boolean) | undefined
}

/** What is kept for a member of a topic beside that it is one. Most members have none. */
interface Seat {
  readonly filter: ((publication: Publication) => boolean) | undefined
  lag: Lag | undefined
}

class Topic {
  readonly members = new Set<Member>()
  seats: Map<Member, Seat> | undefined
  /** How many are on their way in. */
  holds = 0
}

/** What the owner of the topics decides. */
export interface Options {
  readonly slowConsumer: (topic: string) => SlowConsumer
  readonly run: (effect: Effect.Effect<unknown>) => void
  /** The first member is in, or on its way; the last is out. */
  readonly opened: (topic: string) => void
  readonly closed: (topic: string) => void
}

export class Topics implements Target.Places<Member> {
  readonly counters: Counters = { dropped: 0, coalesced: 0, disconnected: 0, suspended: 0 }
  private readonly options: Options
  private readonly topics = new Map<string, Topic>()

  constructor(options: Options) {
    this.options = options
  }

  get size(): number {
    return this.topics.size
  }

  names(): Iterable<string> {
    return this.topics.keys()
  }

  ofTopic(name: string): Iterable<Member> {
    return this.topics.get(name)?.members ?? []
  }

  *ofMember(id: string): Iterable<Member> {
    for (const { members } of this.topics.values()) for (const member of members) if (member.id === id) yield member
  }

  *ofUser(user: string): Iterable<Member> {
    for (const { members } of this.topics.values()) for (const member of members) if (member.user === user) yield member
  }

  count(name: string): number {
    return this.topics.get(name)?.members.size ?? 0
  }

  // Who is in.

  /** Keeps the topic open for somebody who is on the way in. */
  hold(name: string): void {
    this.open(name).holds++
  }

  release(name: string): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    topic.holds--
    this.closeEmpty(name, topic)
  }

  /** `false` when it is in already: then nothing changes but its filter. */
  join(name: string, member: Member, { filter }: SeatOptions = {}): boolean {
    const topic = this.open(name)
    const isNew = !topic.members.has(member)
    if (isNew) topic.members.add(member)
    const seat = topic.seats?.get(member)
    if (filter !== seat?.filter) {
      topic.seats ??= new Map()
      topic.seats.set(member, { filter, lag: seat?.lag })
    }
    return isNew
  }

  leave(name: string, member: Member): boolean {
    const topic = this.topics.get(name)
    if (topic?.members.delete(member) !== true) return false
    topic.seats?.get(member)?.lag?.release()
    topic.seats?.delete(member)
    this.closeEmpty(name, topic)
    return true
  }

  private open(name: string): Topic {
    const existing = this.topics.get(name)
    if (existing !== undefined) return existing
    const topic = new Topic()
    this.topics.set(name, topic)
    this.options.opened(name)
    return topic
  }

  private closeEmpty(name: string, topic: Topic): void {
    if (topic.members.size > 0 || topic.holds > 0) return
    this.topics.delete(name)
    this.options.closed(name)
  }

  // What they get.

  /** Writes to the members of the publication's topic, and gives the number of those that it was written to. */
  publish(publication: Publication, isLeftOut?: (member: Member) => boolean): number {
    const topic = this.topics.get(publication.topic)
    if (topic === undefined) return 0
    const { message } = publication
    let written = 0
    let slow: Array<Member> | undefined
    for (const member of topic.members) {
      if (isLeftOut !== undefined && isLeftOut(member)) continue
      const seat = topic.seats?.get(member)
      if (seat !== undefined) {
        if (seat.filter !== undefined && !seat.filter(publication)) continue
        if (seat.lag !== undefined && !this.caughtUp(topic, member, seat, seat.lag)) {
          ;(slow ??= []).push(member)
          continue
        }
      }
      const result = member.tryWriteUnsafe(message, publication)
      if (result === "Written") written++
      else if (result === "Full") (slow ??= []).push(member)
    }
    // Closing wakes who waits to send, who may publish: not before everybody has this message.
    if (slow !== undefined) for (const member of slow) this.outrun(topic, member, publication)
    return written
  }

  /** Tells all members of a topic of a gap in it. */
  tell(name: string, gap: Gap): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    for (const member of topic.members) {
      const lag = topic.seats?.get(member)?.lag
      if (lag !== undefined) lag.tell(gap)
      else if (member.tellUnsafe?.(gap) === "Full") this.startLag(topic, name, member).tell(gap)
    }
  }

  /** Tells one member, as soon as it has room. */
  insist(member: Member, notice: Notice): void {
    if (member.tellUnsafe?.(notice) !== "Full" || member.room === undefined) return
    const again: Effect.Effect<void> = Effect.flatMap(member.room, () =>
      member.tellUnsafe?.(notice) === "Full" ? again : Effect.void
    )
    this.options.run(again)
  }

  /** Succeeds when no publisher of the topic has to wait for a slow member any more. */
  settled(name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const seats = this.topics.get(name)?.seats
      if (seats === undefined || this.options.slowConsumer(name)._tag !== "Suspend") return Effect.void
      const lags = [...seats.values()].flatMap(({ lag }) => (lag === undefined || lag.isEmpty ? [] : [lag]))
      if (lags.length === 0) return Effect.void
      this.counters.suspended++
      return Effect.forEach(lags, emptied, { discard: true })
    })
  }

  private caughtUp(topic: Topic, member: Member, seat: Seat, lag: Lag): boolean {
    lag.flush(member)
    if (!lag.isEmpty) return false
    this.endLag(topic, member, seat)
    return true
  }

  private outrun(topic: Topic, member: Member, publication: Publication): void {
    // It may have left in the meantime.
    if (!topic.members.has(member)) return
    const policy = this.options.slowConsumer(publication.topic)
    if (policy._tag !== "Disconnect") {
      const lag = topic.seats?.get(member)?.lag ?? this.startLag(topic, publication.topic, member)
      if (lag.add(publication) !== "Disconnect") return
    }
    // It leaves at once, so that it is told once; closing takes as long as the connection allows.
    this.leave(publication.topic, member)
    this.counters.disconnected++
    const code = policy._tag === "Disconnect" ? policy.code : tryAgainLater
    this.options.run(Effect.ignore(member.close(code, "too slow")))
  }

  private startLag(topic: Topic, name: string, member: Member): Lag {
    const lag = new Lag(this.options.slowConsumer(name), this.counters)
    topic.seats ??= new Map()
    const seat: Seat = topic.seats.get(member) ?? { filter: undefined, lag }
    seat.lag = lag
    topic.seats.set(member, seat)
    const { room } = member
    if (room === undefined) return lag
    const isOver = () => topic.seats?.get(member)?.lag !== lag
    const follow: Effect.Effect<void> = Effect.flatMap(room, () => {
      if (isOver() || this.caughtUp(topic, member, seat, lag)) return Effect.void
      // Room was told of and is gone already.
      return Effect.andThen(Effect.yieldNow, follow)
    })
    this.options.run(follow)
    return lag
  }

  private endLag(topic: Topic, member: Member, seat: Seat): void {
    seat.lag = undefined
    if (seat.filter === undefined) topic.seats?.delete(member)
    if (topic.seats?.size === 0) topic.seats = undefined
  }
}

/** Try Again Later. */
const tryAgainLater = 1013

const emptied = (lag: Lag): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (lag.isEmpty) return resume(Effect.void)
    return Effect.sync(lag.whenEmpty(() => resume(Effect.void)))
  })
