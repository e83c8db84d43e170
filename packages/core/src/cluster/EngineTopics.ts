/**
 * Which topics a node listens to on a server, counted over all who subscribe. Restores them when there is a link again,
 * and sees to it that who subscribes is told of each publication once, in order, or of a gap. Its turns tell the link of
 * channels, too (`EngineChannels`).
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Attachment, Gap, Subscriber } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import { type Actions, type Budget, Continuity, type Tail } from "./Continuity.ts"
import type { Appended, Tail as EngineTail } from "./Engine.ts"
import { EngineChannels } from "./EngineChannels.ts"
import { type EngineLink, errorOf } from "./EngineLink.ts"
import { EngineOrder } from "./EngineOrder.ts"
import * as Parcel from "./Parcel.ts"
import type { Position } from "./Position.ts"

export interface Bounds {
  /** How many topics are asked about at once. */
  readonly maxAsks: number
  /** Bytes of what came behind a hole that is being filled, of all topics. */
  readonly maxHeldBytes: number
}

/** There are many who wait for nothing. */
const nobody: ReadonlyArray<never> = []

/** Most topics of one call. */
const batch = 1_000

/** What a publication that is held takes beside its bytes, about. */
const overhead = 256

const tailOf = ({ entries, gap, to }: EngineTail): Tail<Uint8Array> => ({
  entries: entries.map(({ bytes, offset }) => ({ offset, value: bytes })),
  gap,
  to
})

type Subscribed = Effect.Effect<Position | undefined, BrokerError>

/** One who subscribes, of one topic. */
interface Member {
  readonly subscriber: Subscriber
  /**
   * `Waiting` until the topic is listened to; `Pending` when that could not be waited for, and it is told where it begins;
   * `Active` when it is told everything.
   */
  state: "Waiting" | "Pending" | "Active" | "Gone"
  /** Who waits in `subscribe`. */
  waiting: ReadonlyArray<(subscribed: Subscribed) => void>
}

/** There are many, so it is small. */
interface Topic {
  readonly name: string
  members: ReadonlyArray<Member>
  /** `undefined` before it was listened to for the first time. */
  continuity: Continuity<Uint8Array> | undefined
  /** Whether the link that there is has been told. */
  listening: "No" | "Asked" | "Yes"
}

export class EngineTopics {
  private readonly bounds: Bounds
  private readonly context: Context.Context<never>
  /** Called with each parcel that cannot be read. */
  private readonly unreadable: (topic: string, why: string) => void
  /** Whether who subscribes may wait for a link. */
  private readonly isDown: () => boolean
  readonly channels: EngineChannels
  private readonly topics = new Map<string, Topic>()
  private readonly budget: Budget
  private readonly order: EngineOrder<Topic>
  private link: EngineLink | undefined
  /**
   * Those that were listened to before, and are again: they are asked about when all of them are, up to where the log is
   * then. What is behind that comes by the link, in the order of the log, as an answer would not.
   */
  private readonly toRestore = new Map<Topic, Position>()
  private readonly restoring = new Map<Topic, Position>()
  /** To be told to the link, in the next turn. */
  private toListen = new Set<Topic>()
  private toUnlisten = new Set<string>()
  private wake: (() => void) | undefined
  /** To be asked about, and those that are. */
  private readonly toAsk = new Map<Topic, Position>()
  private readonly asking = new Set<Fiber.Fiber<unknown, unknown>>()
  /** What came while somebody was being told of something else. */
  private told: Array<() => void> | undefined
  /** Who waited in `subscribe`, to go on when everybody was told: they may do anything. */
  private woken: Array<() => void> = []

  constructor(
    bounds: Bounds,
    context: Context.Context<never>,
    isDown: () => boolean,
    unreadable: (topic: string, why: string) => void
  ) {
    this.bounds = bounds
    this.context = context
    this.isDown = isDown
    this.channels = new EngineChannels(isDown, () => this.wake?.())
    this.unreadable = unreadable
    this.budget = { left: bounds.maxHeldBytes }
    this.order = new EngineOrder(bounds.maxHeldBytes)
  }

  /** Topics that are subscribed to, or were until just now. */
  get size(): number {
    return this.topics.size
  }

  // Who subscribes.

  attach(subscriber: Subscriber): Effect.Effect<Attachment, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new Map<string, Member>()),
        (mine) =>
          Effect.sync(() => {
            for (const topic of mine.keys()) this.unsubscribe(mine, topic)
          })
      ),
      (mine): Attachment => ({
        subscribe: (topic) => this.subscribe(subscriber, mine, topic),
        unsubscribe: (topic) => this.unsubscribe(mine, topic)
      })
    )
  }

  private subscribe(subscriber: Subscriber, mine: Map<string, Member>, name: string): Subscribed {
    const subscribed: Subscribed = Effect.callback((resume) => {
      const topic = this.topicOf(name)
      let member = mine.get(name)
      if (member === undefined || member.state === "Gone") {
        member = { subscriber, state: "Waiting", waiting: nobody }
        mine.set(name, member)
        topic.members = [...topic.members, member]
      }
      const position = topic.continuity?.position
      if (topic.listening === "Yes" && position !== undefined && this.order.isOpen) {
        member.state = "Active"
        return resume(Effect.succeed(position))
      }
      if (this.isDown()) {
        if (member.state === "Waiting") member.state = "Pending"
        return resume(Effect.undefined)
      }
      const waiting = member
      waiting.waiting = [...waiting.waiting, resume]
      if (topic.listening === "Yes") this.tell(() => this.settle(topic))
      return Effect.sync(() => {
        waiting.waiting = waiting.waiting.filter((other) => other !== resume)
        // Nobody waits, and nobody was told that it is subscribed to.
        if (waiting.waiting.length === 0 && waiting.state === "Waiting") this.unsubscribe(mine, name)
      })
    })
    // It was refused. A client can ask for any number of topics.
    return Effect.tapError(subscribed, () =>
      Effect.sync(() => {
        if (mine.get(name)?.state === "Gone") mine.delete(name)
      })
    )
  }

  private topicOf(name: string): Topic {
    let topic = this.topics.get(name)
    if (topic !== undefined) return topic
    topic = { name, members: [], continuity: undefined, listening: "No" }
    this.topics.set(name, topic)
    this.toListen.add(topic)
    this.wake?.()
    return topic
  }

  private unsubscribe(mine: Map<string, Member>, name: string): void {
    const member = mine.get(name)
    const topic = this.topics.get(name)
    if (member === undefined || topic === undefined) return
    mine.delete(name)
    member.state = "Gone"
    const { waiting } = member
    member.waiting = nobody
    topic.members = topic.members.filter((other) => other !== member)
    // While it is being asked for, it is left to whoever asks.
    if (topic.members.length === 0 && topic.listening !== "Asked") this.forget(topic)
    for (const resume of waiting) resume(Effect.undefined)
  }

  private forget(topic: Topic): void {
    topic.continuity?.release()
    this.restoring.delete(topic)
    this.tell(() => this.order.settle(topic))
    this.topics.delete(topic.name)
    this.toListen.delete(topic)
    if (topic.listening === "No") return
    topic.listening = "No"
    this.toUnlisten.add(topic.name)
    this.wake?.()
  }

  // What is told by the link.

  appended(link: EngineLink | undefined, appended: Appended): void {
    this.tell(() => {
      if (link === undefined || link !== this.link) return
      const topic = this.topics.get(appended.topic)
      if (topic?.continuity === undefined) return
      const { bytes, position, previous } = appended
      this.act(topic, topic.continuity.came({ position, previous, value: bytes, bytes: bytes.length + overhead }))
    })
  }

  heard(link: EngineLink | undefined, channel: string, bytes: Uint8Array): void {
    this.tell(() => {
      if (link === undefined || link !== this.link) return
      this.channels.heard(channel, bytes)
    })
  }

  /** Whoever is told may cause something else to be told: that comes behind it, for all. */
  private tell(what: () => void): void {
    if (this.told !== undefined) return void this.told.push(what)
    this.told = [what]
    for (const each of this.told) each()
    this.told = undefined
    const { woken } = this
    this.woken = []
    for (const wake of woken) wake()
  }

  private act(topic: Topic, actions: Actions<Uint8Array>): void {
    // Before anything of it is told: what is told waits for what is not known yet.
    if (topic.continuity?.isLive === false) this.order.hold(topic)
    for (const action of actions) {
      if (action._tag === "Deliver") {
        const { position, value } = action
        this.order.offer(position, value.length + overhead, () => this.deliver(topic, position, value))
      } else if (action._tag === "Lost") {
        const { from, to } = action
        // The log went back: its offsets say nothing of what was before.
        if (to.epoch === from.epoch && to.offset < from.offset) this.order.begin()
        this.order.offer(to, overhead, () => this.lose(topic.members, { topic: topic.name, from, to }))
      } else this.ask(topic, action.after)
    }
    if (topic.continuity?.isLive !== false) this.order.settle(topic)
  }

  private deliver({ members, name }: Topic, position: Position, bytes: Uint8Array): void {
    const parcel = Parcel.decode(bytes)
    if (Result.isFailure(parcel)) return this.unreadable(name, parcel.failure)
    const delivery = { topic: name, position, parcel: parcel.success }
    for (const member of members) if (member.state === "Active") member.subscriber.deliver(delivery)
  }

  private lose(members: ReadonlyArray<Member>, gap: Gap): void {
    for (const member of members) if (member.state === "Active") member.subscriber.lost(gap)
  }

  /** Everything up to here is told to those who are there: the others begin behind that. */
  private settle(topic: Topic): void {
    const position = topic.continuity?.position
    if (position !== undefined) this.order.offer(position, overhead, () => this.begin(topic, position))
  }

  private begin(topic: Topic, position: Position): void {
    for (const member of topic.members) {
      const { state, waiting } = member
      if (state === "Gone") continue
      member.state = "Active"
      member.waiting = nobody
      if (state === "Pending") member.subscriber.lost({ topic: topic.name, from: undefined, to: position })
      for (const resume of waiting) this.woken.push(() => resume(Effect.succeed(position)))
    }
  }

  // The link.

  /** There is one. Restores what there was; as long as the scope is open. */
  open(link: EngineLink): Effect.Effect<void, BrokerError> {
    return Effect.suspend(() => {
      this.link = link
      // In the order in which they came: those that are to be restored are before those that are new.
      this.toListen = new Set(this.topics.values())
      this.channels.open(link)
      return Effect.forever(Effect.suspend(() => this.turn(link)))
    })
  }

  /** It is gone. Who waits does not wait any more. */
  broken(): void {
    this.link = undefined
    this.wake = undefined
    this.toUnlisten.clear()
    this.toAsk.clear()
    this.toRestore.clear()
    this.restoring.clear()
    for (const fiber of this.asking) fiber.interruptUnsafe()
    this.asking.clear()
    for (const topic of this.topics.values()) {
      topic.listening = "No"
      topic.continuity?.broken()
      // It was never told where it is, and begins anew.
      if (topic.continuity?.position === undefined) topic.continuity = undefined
      else this.order.hold(topic)
      if (topic.members.length === 0) this.forget(topic)
    }
    this.channels.broken()
    this.giveUp()
  }

  /** There is none, and nobody knows when there will be one. */
  giveUp(): void {
    for (const { members } of this.topics.values()) {
      for (const member of members) {
        const { waiting } = member
        if (member.state !== "Waiting") continue
        member.state = "Pending"
        member.waiting = nobody
        for (const resume of waiting) resume(Effect.undefined)
      }
    }
    this.channels.giveUp()
  }

  /** Waits until there is something to tell the link, and tells it all that the turn has brought. */
  private turn(link: EngineLink): Effect.Effect<void, BrokerError> {
    return Effect.andThen(
      Effect.andThen(this.work, Effect.yieldNow),
      Effect.suspend(() => {
        if (link !== this.link) return Effect.never
        if (this.toUnlisten.size > 0) {
          const names = [...this.toUnlisten]
          this.toUnlisten.clear()
          link.link.unlisten(names)
        }
        this.channels.unhearAll(link)
        const hearing = this.channels.hearAll(link)
        const topics: Array<Topic> = []
        for (const topic of this.toListen) {
          if (topics.length === batch) break
          this.toListen.delete(topic)
          topics.push(topic)
        }
        return Effect.andThen(
          Effect.andThen(hearing, this.listenAll(link, topics)),
          Effect.suspend(() => this.restoreAll(link))
        )
      })
    )
  }

  private readonly work: Effect.Effect<void> = Effect.suspend(() => (this.hasWork ? Effect.void : this.waiting))

  private get hasWork(): boolean {
    const { channels, toListen, toRestore, toUnlisten } = this
    // Who has left may be the last that was waited for.
    return toListen.size + toUnlisten.size + toRestore.size > 0 || channels.hasWork
  }

  private readonly waiting = Effect.callback<void>((resume) => {
    // The fiber may have yielded since it was looked, and nobody was there to be woken.
    if (this.hasWork) return resume(Effect.void)
    const wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
    this.wake = wake
    return Effect.sync(() => {
      if (this.wake === wake) this.wake = undefined
    })
  })

  /** What the broker refuses is refused to who asks for it, and to nobody else. */
  private listenAll(link: EngineLink, topics: ReadonlyArray<Topic>): Effect.Effect<void, BrokerError> {
    if (topics.length === 0) return Effect.void
    for (const topic of topics) {
      topic.listening = "Asked"
      topic.continuity ??= new Continuity(this.budget)
    }
    return Effect.matchEffect(link.call(link.link.listen(topics.map(({ name }) => name))), {
      onSuccess: () => this.listened(link, topics),
      onFailure: (error) => {
        if (link.isLost || error.reason._tag === "Unavailable") return Effect.fail(error)
        if (topics.length > 1)
          return Effect.forEach(topics, (topic) => this.listenAll(link, [topic]), { discard: true })
        return this.refuse(topics[0]!, error)
      }
    })
  }

  private refuse(topic: Topic, error: BrokerError): Effect.Effect<void, BrokerError> {
    // What it had taken once cannot be let go silently.
    if (topic.members.some(({ state }) => state === "Active" || state === "Pending")) return Effect.fail(error)
    return Effect.sync(() => {
      topic.listening = "No"
      this.topics.delete(topic.name)
      topic.continuity?.release()
      // Something may have come of it.
      this.tell(() => this.order.settle(topic))
      for (const member of topic.members) {
        const { waiting } = member
        member.state = "Gone"
        member.waiting = nobody
        for (const resume of waiting) resume(Effect.fail(error))
      }
    })
  }

  /** Where they are: those that are new, behind what the log has now; the others, where they were. */
  private listened(link: EngineLink, topics: ReadonlyArray<Topic>): Effect.Effect<void, BrokerError> {
    const isNew = topics.some(({ continuity }) => continuity?.position === undefined)
    return Effect.map(isNew ? link.call(link.link.position) : Effect.undefined, (position) => {
      this.tell(() => {
        if (link !== this.link) return
        for (const topic of topics) {
          topic.listening = "Yes"
          if (topic.members.length === 0) {
            this.forget(topic)
            continue
          }
          const continuity = topic.continuity!
          if (continuity.position !== undefined) {
            for (const action of continuity.restored())
              if (action._tag === "Ask") this.toRestore.set(topic, action.after)
          } else {
            this.act(topic, continuity.begin(position!))
            this.settle(topic)
          }
        }
      })
    })
  }

  /** When the last of them is listened to. Those that are new come behind them, and are not waited for. */
  private restoreAll(link: EngineLink): Effect.Effect<void, BrokerError> {
    const [next] = this.toListen
    if (this.toRestore.size === 0 || (next !== undefined && isKnown(next))) return Effect.void
    return Effect.map(link.call(link.link.position), (position) => {
      this.tell(() => {
        if (link !== this.link) return
        for (const [topic, after] of this.toRestore) {
          this.toRestore.delete(topic)
          if (this.topics.get(topic.name) !== topic) continue
          this.restoring.set(topic, position)
          this.ask(topic, after)
        }
      })
    })
  }

  // What was missed.

  private ask(topic: Topic, after: Position): void {
    this.toAsk.set(topic, after)
    this.askNext()
  }

  private askNext(): void {
    for (const [topic, after] of this.toAsk) {
      if (this.link === undefined || this.asking.size >= this.bounds.maxAsks) return
      this.toAsk.delete(topic)
      // Who has left is not told any more.
      if (this.topics.get(topic.name) === topic) this.askNow(this.link, topic, after)
    }
  }

  private askNow(link: EngineLink, topic: Topic, after: Position): void {
    const fiber = Effect.runForkWith(this.context)(link.call(link.link.since(topic.name, after)))
    this.asking.add(fiber)
    fiber.addObserver((exit) => {
      this.asking.delete(fiber)
      if (link !== this.link) return
      // The operator's: it may not be read, and so nobody can say what was missed.
      if (Exit.isFailure(exit)) return link.lose(errorOf(exit))
      this.tell(() => {
        if (link !== this.link || topic.continuity === undefined || this.topics.get(topic.name) !== topic) return
        const to = this.restoring.get(topic)
        this.restoring.delete(topic)
        this.act(topic, topic.continuity.tail(upTo(tailOf(exit.value), to)))
        this.settle(topic)
      })
      this.askNext()
    })
  }
}

/** Whether it was told where it is before, and is restored. */
const isKnown = ({ continuity }: Topic): boolean => continuity?.position !== undefined

/** Without what is behind a position. */
const upTo = (tail: Tail<Uint8Array>, to: Position | undefined): Tail<Uint8Array> =>
  to === undefined || to.epoch !== tail.to.epoch || to.offset >= tail.to.offset
    ? tail
    : { ...tail, to, entries: tail.entries.filter(({ offset }) => offset <= to.offset) }
