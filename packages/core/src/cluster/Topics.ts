/**
 * The topics of one node and their members: a publication is one loop over the members with the same bytes. No fiber, no
 * queue entry and no copy for a member that keeps up; what happens to the others is for `Backlog`.
 *
 * Not in here: where publications come from, and how a member gets what it missed (`Hub`).
 */
import * as Effect from "effect/Effect"
import { Backlog } from "./Backlog.ts"
import type { Gap, Member, Notice } from "./Member.ts"
import * as Position from "./Position.ts"
import type { Publication } from "./Publication.ts"
import { type Counters, disconnect, type SlowConsumer } from "./SlowConsumer.ts"
import type { Spoken } from "./Spoken.ts"
import type * as Target from "./Target.ts"

/** What a member wants of one topic. */
export interface SeatOptions {
  /** Only what this is true of is written to the member. Must be fast. What it throws for is lost, and told. Default: everything. */
  readonly filter?: ((publication: Publication) => boolean) | undefined
}

/** Takes what is for a member that is catching up. */
export interface Keeper {
  /** From then on it counts as a member. */
  isAdmitted: boolean
  readonly keep: (item: Publication | Notice) => void
}

/** What is kept for a member of a topic beside that it is one. Most members have none. */
interface Seat {
  filter: ((publication: Publication) => boolean) | undefined
  /** It is catching up. */
  keeper: Keeper | undefined
  /** It has what is up to here. */
  after: Position.Position | undefined
}

/** Most topics have neither seats nor holds. */
class Topic {
  readonly members = new Set<Member>()
  seats: Map<Member, Seat> | undefined = undefined
  /** Who keeps it open, being on the way in. */
  holds = 0
  /** How many of the members are not admitted yet. */
  strangers = 0
}

/** What the owner of the topics decides. */
export interface Options {
  readonly slowConsumer: (topic: string) => SlowConsumer
  readonly spoken: Spoken
  readonly run: (effect: Effect.Effect<unknown>) => void
  /** The first member is in, or on its way; the last is out. */
  readonly opened: (topic: string) => void
  readonly closed: (topic: string) => void
}

export class Topics implements Target.Places<Member> {
  readonly counters: Counters = { dropped: 0, coalesced: 0, disconnected: 0, suspended: 0 }
  private readonly options: Options
  private readonly topics = new Map<string, Topic>()
  /** Of those that are behind. */
  private readonly backlogs = new Map<Member, Backlog>()

  constructor(options: Options) {
    this.options = options
  }

  get size(): number {
    return this.topics.size
  }

  /** How many members are behind. */
  get behind(): number {
    return this.backlogs.size
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

  has(name: string, member: Member): boolean {
    return this.topics.get(name)?.members.has(member) === true
  }

  /** Those that are not admitted yet are not counted. */
  count(name: string): number {
    const topic = this.topics.get(name)
    return topic === undefined ? 0 : topic.members.size - topic.strangers
  }

  /** How many of them there are by each wire; `other` are those that have none. They are walked. */
  wires(name: string): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    const topic = this.topics.get(name)
    for (const member of topic?.members ?? []) {
      if (topic?.seats?.get(member)?.keeper?.isAdmitted === false) continue
      const { wire = "other" } = member
      counts.set(wire, (counts.get(wire) ?? 0) + 1)
    }
    return counts
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

  /** `false` when it is in already: then nothing changes but its filter. With a keeper that gets what is for it. */
  join(name: string, member: Member, { filter, keeper }: SeatOptions & { readonly keeper?: Keeper } = {}): boolean {
    const topic = this.open(name)
    const isNew = !topic.members.has(member)
    if (isNew) {
      topic.members.add(member)
      this.options.spoken.joined(name, member)
    }
    const seat = topic.seats?.get(member)
    if (seat !== undefined) {
      seat.filter = filter
      this.tidy(topic, member, seat)
    } else if (filter !== undefined || (isNew && keeper !== undefined)) {
      topic.seats ??= new Map()
      topic.seats.set(member, { filter, keeper: isNew ? keeper : undefined, after: undefined })
      if (isNew && keeper?.isAdmitted === false) topic.strangers++
    }
    return isNew
  }

  /** Whether the keeper has the member's place. */
  isKept(name: string, member: Member, keeper: Keeper): boolean {
    return this.topics.get(name)?.seats?.get(member)?.keeper === keeper
  }

  /** It counts as a member from now on, where the keeper has its place. */
  admit(names: ReadonlyArray<string>, member: Member, keeper: Keeper): void {
    for (const name of names) if (this.isKept(name, member, keeper)) this.topics.get(name)!.strangers--
    keeper.isAdmitted = true
  }

  /** The member takes its own place again, and has everything up to there. */
  seat(name: string, member: Member, after: Position.Position | undefined): void {
    const topic = this.topics.get(name)
    const seat = topic?.seats?.get(member)
    if (topic === undefined || seat === undefined) return
    if (seat.keeper?.isAdmitted === false) topic.strangers--
    seat.keeper = undefined
    seat.after = after
    this.tidy(topic, member, seat)
  }

  leave(name: string, member: Member): boolean {
    const topic = this.topics.get(name)
    if (topic?.members.delete(member) !== true) return false
    if (topic.seats?.get(member)?.keeper?.isAdmitted === false) topic.strangers--
    if (topic.seats?.delete(member) === true && topic.seats.size === 0) topic.seats = undefined
    this.options.spoken.left(name, member)
    this.closeEmpty(name, topic)
    const backlog = this.backlogs.get(member)
    if (backlog === undefined) return true
    const settled = backlog.forget(name)
    if (backlog.isEmpty) this.backlogs.delete(member)
    for (const go of settled) go()
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

  private tidy(topic: Topic, member: Member, { after, filter, keeper }: Seat): void {
    if (after !== undefined || filter !== undefined || keeper !== undefined) return
    topic.seats?.delete(member)
    if (topic.seats?.size === 0) topic.seats = undefined
  }

  // What they get.

  /** Writes to the members of the publication's topic, and gives the number of those that it was written to. */
  publish(publication: Publication, isLeftOut?: (member: Member) => boolean): number {
    const topic = this.topics.get(publication.topic)
    if (topic === undefined) return 0
    const { message } = publication
    const { backlogs } = this
    let written = 0
    let slow: Array<Member> | undefined
    for (const member of topic.members) {
      if (isLeftOut !== undefined && isLeftOut(member)) continue
      if (topic.seats !== undefined) {
        const seat = topic.seats.get(member)
        if (seat !== undefined && !this.isFor(topic, member, seat, publication)) continue
        if (seat?.keeper !== undefined) {
          seat.keeper.keep(publication)
          if (seat.keeper.isAdmitted) written++
          continue
        }
      }
      if (backlogs.size > 0 && !this.isCaughtUp(member)) {
        ;(slow ??= []).push(member)
        continue
      }
      const result = member.tryWriteUnsafe(message, publication)
      if (result === "Written") written++
      else if (result === "Full") (slow ??= []).push(member)
    }
    // Closing wakes who waits to send, who may publish: not before everybody has this message.
    if (slow !== undefined) for (const member of slow) this.outrun(topic, member, publication)
    return written
  }

  private isFor(topic: Topic, member: Member, seat: Seat, publication: Publication): boolean {
    const { at } = publication
    if (seat.after !== undefined && at !== undefined) {
      if (!Position.isBehind(at, seat.after)) return false
      seat.after = undefined
      this.tidy(topic, member, seat)
    }
    return seat.filter === undefined || this.passes(seat.filter, member, publication)
  }

  private passes(filter: (publication: Publication) => boolean, member: Member, publication: Publication): boolean {
    try {
      return filter(publication)
    } catch (cause) {
      this.complain("a filter has thrown", cause)
      this.lose(member, publication)
      return false
    }
  }

  /** Whether its filter lets a publication through. */
  wants(member: Member, publication: Publication): boolean {
    const filter = this.topics.get(publication.topic)?.seats?.get(member)?.filter
    return filter === undefined || this.passes(filter, member, publication)
  }

  /** Tells all members of a topic of a gap in it. */
  tell(name: string, gap: Gap): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    for (const member of topic.members) {
      const keeper = topic.seats?.get(member)?.keeper
      if (keeper !== undefined) keeper.keep(gap)
      else if (!this.isCaughtUp(member)) this.backlogs.get(member)?.lose(gap, name, this.options.slowConsumer(name))
      else if (member.tellUnsafe?.(gap) === "Full") this.fall(member).lose(gap, name, this.options.slowConsumer(name))
    }
  }

  /** Tells those of a topic that have something already what its place is. */
  advance(name: string, position: Position.Position, has: (member: Member) => boolean): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    const notice: Notice = { _tag: "Advanced", topic: name, position }
    for (const member of topic.members) {
      if (!has(member)) continue
      const keeper = topic.seats?.get(member)?.keeper
      if (keeper === undefined) this.insist(member, notice)
      else keeper.keep(notice)
    }
  }

  /** Tells one member, as soon as it has room. What moves its position comes behind what waits for it. */
  insist(member: Member, notice: Notice): void {
    if (member.tellUnsafe === undefined) return
    const isBehind = !this.isCaughtUp(member)
    if (!isBehind || notice._tag !== "Advanced") {
      if (member.tellUnsafe(notice) !== "Full") return
      // Nobody would say when to try again.
      if (!isBehind && member.room === undefined) return
    }
    this.fall(member).tell(notice)
  }

  /** Closes a member that is too slow. */
  disconnect(member: Member, code: number): void {
    this.counters.disconnected++
    this.options.run(Effect.ignore(member.close(code, "too slow")))
  }

  /** Succeeds when nobody is behind in a topic whose publishers wait for that. */
  settled(name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.backlogs.size === 0 || this.options.slowConsumer(name)._tag !== "Suspend") return Effect.void
      if (this.laggard(name) === undefined) return Effect.void
      this.counters.suspended++
      return this.allSettled(name)
    })
  }

  private allSettled(name: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const backlog = this.laggard(name)
      if (backlog === undefined) return Effect.void
      const settled = Effect.callback<void>((resume) => {
        return Effect.sync(backlog.whenSettled(name, () => resume(Effect.void)))
      })
      // Somebody who waited for longer may have published meanwhile.
      return Effect.andThen(settled, this.allSettled(name))
    })
  }

  private laggard(name: string): Backlog | undefined {
    for (const backlog of this.backlogs.values()) if (backlog.has(name)) return backlog
    return undefined
  }

  /** Writes what waits for a member, as far as there is room. Whether nothing does any more. */
  private isCaughtUp(member: Member): boolean {
    const backlog = this.backlogs.get(member)
    if (backlog === undefined) return true
    const settled = backlog.flush(member)
    const { isEmpty } = backlog
    if (isEmpty) this.backlogs.delete(member)
    // Who goes on may publish, and the member be behind again.
    for (const go of settled) go()
    return isEmpty && !this.backlogs.has(member)
  }

  private outrun(topic: Topic, member: Member, publication: Publication): void {
    // It may have left in the meantime.
    if (!topic.members.has(member)) return
    const policy = this.options.slowConsumer(publication.topic)
    if (policy._tag !== "Disconnect" || this.backlogs.has(member)) {
      try {
        const verdict = this.fall(member).add(publication, policy, member.room !== undefined)
        if (verdict !== "Disconnect") return
      } catch (cause) {
        this.complain("the key of a policy has thrown", cause)
        return this.lose(member, publication)
      }
    }
    // It leaves at once, so that it is told once; closing takes as long as the connection allows.
    this.leave(publication.topic, member)
    this.disconnect(member, policy._tag === "Disconnect" ? policy.code : disconnect.code)
  }

  private lose(member: Member, { at, topic }: Publication): void {
    this.counters.dropped++
    const from = at === undefined ? undefined : { epoch: at.epoch, offset: at.offset - 1 }
    const gap: Gap = { _tag: "Gap", topics: [topic], from, to: at }
    this.fall(member).lose(gap, topic, this.options.slowConsumer(topic))
  }

  /** The member is behind from now on, until it has what waits for it. */
  private fall(member: Member): Backlog {
    const known = this.backlogs.get(member)
    if (known !== undefined) return known
    const backlog = new Backlog(this.counters)
    this.backlogs.set(member, backlog)
    const { room } = member
    if (room === undefined) return backlog
    const follow: Effect.Effect<void> = Effect.flatMap(room, () => {
      // Another one if it was caught up in between: then that is followed.
      if (this.backlogs.get(member) !== backlog || this.isCaughtUp(member)) return Effect.void
      // Room was told of and is gone already.
      return Effect.andThen(Effect.yieldNow, follow)
    })
    this.options.run(Effect.andThen(Effect.yieldNow, follow))
    return backlog
  }

  private complain(what: string, cause: unknown): void {
    this.options.run(Effect.logError(what, cause))
  }
}
