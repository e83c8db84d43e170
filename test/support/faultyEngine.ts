/**
 * A server in memory, as an engine, over a network that can be made bad: what it carries is lost, late, there twice and
 * in another order, links are cut, nodes are cut off, and the server is paused, or starts again and has forgotten all.
 * By a seed, and by the clock of the test.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import { BrokerError, StaleKey, Unavailable } from "@millrace/core/cluster/BrokerError"
import type { Appended, Engine, Link, Receiver, Tail } from "@millrace/core/cluster/Engine"
import * as Parcel from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"
import * as Producers from "@millrace/core/cluster/Producers"

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

/** What the network does. Shares are of 1. */
export interface Network {
  /** Of what is told of without having been asked for, how much is lost, although the link holds. */
  drop: number
  /** The same of questions and of answers. */
  lose: number
  duplicate: number
  /** Up to how many milliseconds something takes. */
  delay: number
  /** Whether what is told of may overtake. */
  reorder: boolean
}

export const perfect: Network = { drop: 0, lose: 0, duplicate: 0, delay: 0, reorder: false }

export interface Options {
  readonly seed?: number
  readonly network?: Partial<Network>
  /** Publications of a topic that are kept. Default 1,000. */
  readonly maxEntries?: number
  readonly maxBytes?: number
  readonly repeats?: Producers.Options
}

interface Log {
  entries: Array<{ readonly offset: number; readonly bytes: Uint8Array }>
  last: number
  /** The offset of the last that was forgotten. */
  forgotten: number
}

interface Joined {
  readonly node: string
  readonly receiver: Receiver
  readonly topics: Set<string>
  readonly channels: Set<string>
  readonly ended: Deferred.Deferred<BrokerError>
  /** Of the server. */
  readonly life: number
  /** What comes until then is done, although the link was cut. */
  until: number
  /** When the last thing of those that keep their order comes, in each direction. */
  lastIn: number
  lastOut: number
}

const unavailable = (what: string) =>
  new BrokerError({ reason: new Unavailable({ outcome: "Unknown", cause: new Error(what) }) })

export class FaultyServer {
  readonly network: Network
  /** For people who look: what was called. */
  readonly calls: Array<string> = []
  /** Of those, what was answered. */
  readonly answered: Array<string> = []
  readonly maxBytes: number
  /** What is answered instead, by what is called. */
  refuse: (call: string) => BrokerError | undefined = () => undefined
  private readonly random: () => number
  private readonly maxEntries: number
  private readonly repeats: Producers.Options | undefined
  private readonly clock: Clock.Clock
  private readonly context: Context.Context<never>
  private readonly links = new Set<Joined>()
  private readonly apart = new Set<string>()
  private readonly awake = Latch.makeUnsafe(true)
  private isRunning = true
  private life = 0
  private logs = new Map<string, Log>()
  private producers: Producers.Producers
  private position: Position
  private under: Array<{ readonly time: number; readonly order: number; readonly arrive: () => void }> = []
  private order = 0

  constructor(options: Options, context: Context.Context<never>) {
    this.network = { ...perfect, ...options.network }
    this.random = random(options.seed ?? 1)
    this.maxEntries = options.maxEntries ?? 1_000
    this.maxBytes = options.maxBytes ?? 1_048_576
    this.repeats = options.repeats
    this.context = context
    this.clock = Context.get(context, Clock.Clock)
    this.producers = new Producers.Producers(this.repeats)
    this.position = { epoch: "life0", offset: 0 }
  }

  /** How many links there are. */
  get size(): number {
    return this.links.size
  }

  /** Where the log is. */
  get at(): Position {
    return this.position
  }

  /** What is kept of these topics, in order. */
  all(topics: ReadonlyArray<string>): ReadonlyArray<{ readonly topic: string; readonly bytes: Uint8Array }> {
    return topics
      .flatMap((topic) => (this.logs.get(topic)?.entries ?? []).map(({ bytes, offset }) => ({ topic, bytes, offset })))
      .sort((one, other) => one.offset - other.offset)
  }

  // Faults.

  /** Ends the links of a node; of all when none is named. */
  cut(node?: string): void {
    // Who is cut may be back before the others are.
    for (const link of Array.from(this.links))
      if (node === undefined || link.node === node) this.end(link, "it was cut")
  }

  /** Nothing comes to the node or from it, and nobody is told. */
  partition(node: string): void {
    this.apart.add(node)
  }

  heal(node: string): void {
    this.apart.delete(node)
  }

  pause(): void {
    this.awake.closeUnsafe()
  }

  resume(): void {
    this.awake.openUnsafe()
  }

  /** All is forgotten. */
  kill(): void {
    this.isRunning = false
    this.forget()
    this.cut()
  }

  /** As when somebody empties it. The links hold. */
  forget(): void {
    this.life++
    this.logs = new Map()
    this.producers = new Producers.Producers(this.repeats)
    this.position = { epoch: `life${this.life}`, offset: 0 }
  }

  start(): void {
    this.isRunning = true
  }

  /** Empty again, as from a copy that is older, and takes itself for the same. */
  rewind(): void {
    this.logs = new Map()
    this.position = { ...this.position, offset: 0 }
  }

  /** A node is told of a topic, although nobody has answered it. */
  listen(node: string, topic: string): void {
    for (const link of this.links) if (link.node === node) link.topics.add(topic)
  }

  /** As somebody else would who writes where the nodes do. */
  append(
    topic: string,
    bytes: Uint8Array,
    key?: Parcel.Key
  ): { readonly position: Position; readonly repeated: boolean } {
    const now = this.clock.currentTimeMillisUnsafe()
    const { epoch } = this.position
    const answer = key === undefined ? undefined : this.producers.ask(key, now)
    if (answer?._tag === "Stale") throw new BrokerError({ reason: new StaleKey({ key: key! }) })
    if (answer?._tag === "Repeat") return { position: { epoch, offset: answer.offset }, repeated: true }
    const position = { epoch, offset: this.position.offset + 1 }
    this.position = position
    const log = this.logs.get(topic) ?? { entries: [], last: 0, forgotten: 0 }
    this.logs.set(topic, log)
    const appended: Appended = { topic, position, previous: log.last, bytes }
    log.last = position.offset
    log.entries.push({ offset: position.offset, bytes })
    while (log.entries.length > this.maxEntries) log.forgotten = log.entries.shift()!.offset
    if (key !== undefined) this.producers.record(key, position.offset, now)
    for (const link of this.links) {
      if (link.topics.has(topic)) this.tell(link, () => link.receiver.appended(appended), this.network)
    }
    return { position, repeated: false }
  }

  private tail(topic: string, after: Position | undefined): Tail {
    const to = this.position
    const known = after !== undefined && after.epoch === to.epoch && after.offset <= to.offset
    const offset = known ? after.offset : 0
    const log = this.logs.get(topic)
    return {
      entries: (log?.entries ?? []).filter((entry) => entry.offset > offset),
      gap: !known || (log?.forgotten ?? 0) > offset,
      to
    }
  }

  private end(link: Joined, why: string): void {
    this.links.delete(link)
    link.until = this.later
    Deferred.doneUnsafe(link.ended, Exit.succeed(unavailable(why)))
  }

  // The network.

  private carry(time: number, arrive: () => void): void {
    const now = this.clock.currentTimeMillisUnsafe()
    if (time <= now && this.under.length === 0) return arrive()
    this.under.push({ time, order: this.order++, arrive })
    this.under.sort((one, other) => one.time - other.time || one.order - other.order)
    Effect.runForkWith(this.context)(
      Effect.andThen(
        Effect.sleep(Math.max(0, time - now)),
        Effect.sync(() => this.arrive())
      )
    )
  }

  private arrive(): void {
    const now = this.clock.currentTimeMillisUnsafe()
    while (this.under.length > 0 && this.under[0]!.time <= now) this.under.shift()!.arrive()
  }

  private get later(): number {
    return this.clock.currentTimeMillisUnsafe() + Math.floor(this.random() * (this.network.delay + 1))
  }

  /** To a node, without having been asked. A cast comes once and in order, or not at all. */
  private tell(link: Joined, what: () => void, network: Network): void {
    const { drop, duplicate, reorder } = network
    const times = this.random() < drop ? 0 : this.random() < duplicate ? 2 : 1
    for (let i = 0; i < times; i++) {
      const time = reorder ? this.later : Math.max(link.lastOut, this.later)
      if (!reorder) link.lastOut = time
      this.carry(time, () => {
        if (this.links.has(link) && !this.apart.has(link.node)) what()
      })
    }
  }

  /** A question and its answer. What is lost has none. */
  private ask<A>(link: Joined, name: string, answer: () => A): Effect.Effect<A, BrokerError> {
    return Effect.callback<A, BrokerError>((resume) => {
      this.calls.push(name)
      const lost = () => this.random() < this.network.lose || this.apart.has(link.node)
      if (lost()) return
      const time = Math.max(link.lastIn, this.later)
      link.lastIn = time
      const answered = () => {
        // What was said before the link was cut may be done all the same, up to somewhere, and nobody is told.
        if (!this.links.has(link) && (link.life !== this.life || time > link.until)) return
        let exit: Exit.Exit<A, BrokerError>
        try {
          const refused = this.refuse(name)
          exit = refused === undefined ? Exit.succeed(answer()) : Exit.fail(refused)
        } catch (error) {
          exit = Exit.fail(error as BrokerError)
        }
        if (lost()) return
        this.carry(this.later, () => {
          if (!this.links.has(link) || this.apart.has(link.node)) return
          this.answered.push(name)
          resume(exit)
        })
      }
      this.carry(time, () => {
        if (this.awake.isOpen()) answered()
        else
          Effect.runForkWith(this.context)(
            Effect.andThen(
              this.awake.await,
              Effect.sync(() => answered())
            )
          )
      })
    })
  }

  /** What a node has of it. */
  engine(node: string): Engine {
    return {
      name: "faulty",
      maxBytes: this.maxBytes,
      open: (receiver) =>
        Effect.gen({ self: this }, function* () {
          this.calls.push("open")
          if (this.apart.has(node)) return yield* Effect.never
          yield* this.awake.await
          if (!this.isRunning) return yield* Effect.fail(unavailable("it does not run"))
          const link: Joined = {
            node,
            receiver,
            topics: new Set(),
            channels: new Set(),
            ended: Deferred.makeUnsafe(),
            life: this.life,
            until: 0,
            lastIn: 0,
            lastOut: 0
          }
          yield* Effect.acquireRelease(
            Effect.sync(() => this.links.add(link)),
            () => Effect.sync(() => this.end(link, "it was closed"))
          )
          return this.linkOf(link)
        })
    }
  }

  private linkOf(link: Joined): Link {
    return {
      append: (topic, bytes, key) => this.ask(link, `append ${topic}`, () => this.append(topic, bytes, key)),
      since: (topic, after) => this.ask(link, `since ${topic}`, () => this.tail(topic, after)),
      position: Effect.suspend(() => this.ask(link, "position", () => this.position)),
      listen: (topics) =>
        this.ask(link, `listen ${topics.join(",")}`, () => {
          for (const topic of topics) link.topics.add(topic)
        }),
      unlisten: (topics) => {
        this.calls.push(`unlisten ${topics.join(",")}`)
        for (const topic of topics) link.topics.delete(topic)
      },
      cast: (channel, bytes) =>
        this.ask(link, `cast ${channel}`, () => {
          for (const other of this.links) {
            if (other.channels.has(channel)) this.tell(other, () => other.receiver.heard(channel, bytes), perfect)
          }
        }),
      hear: (channels) =>
        this.ask(link, `hear ${channels.join(",")}`, () => {
          for (const channel of channels) link.channels.add(channel)
        }),
      unhear: (channels) => {
        this.calls.push(`unhear ${channels.join(",")}`)
        for (const channel of channels) link.channels.delete(channel)
      },
      ended: Deferred.await(link.ended)
    }
  }
}

export const make = (options: Options = {}): Effect.Effect<FaultyServer> =>
  Effect.contextWith((context: Context.Context<never>) => Effect.sync(() => new FaultyServer(options, context)))

/** `undefined` for what is none. */
export const parcelOf = (bytes: Uint8Array): Parcel.Parcel | undefined => Result.getOrUndefined(Parcel.decode(bytes))
