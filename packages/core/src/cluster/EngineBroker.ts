/**
 * A broker on any engine: keeps a link to the server, comes back when it breaks, restores what was subscribed to, fills
 * holes from the log or tells them, and publishes again, with the same key, what may have been lost on the way.
 *
 * Not in here: how the server is spoken to (`Engine`), the order of what comes (`Continuity`), who is told of it
 * (`EngineTopics`, `EngineChannels`) and what is on its way (`EngineOutbox`).
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Reconnect from "../connection/Reconnect.ts"
import { Watched } from "../connection/Watched.ts"
import * as Identifier from "../messaging/Identifier.ts"
import { Broker, maxCastBytes, type Receipt, type Status } from "./Broker.ts"
import { BrokerError, TooLarge } from "./BrokerError.ts"
import type { Engine, Link, Receiver, Tail } from "./Engine.ts"
import { EngineLink, errorOf, silent, unavailable } from "./EngineLink.ts"
import * as EngineName from "./EngineName.ts"
import { EngineOutbox } from "./EngineOutbox.ts"
import { EngineTopics } from "./EngineTopics.ts"
import type { Entry, Missed } from "./History.ts"
import * as Parcel from "./Parcel.ts"
import type { Position } from "./Position.ts"

/** Nothing of it is required. */
export interface Options {
  /** When it is tried again, told why it broke. Default: random waits that double, of 100 ms at most up to 5 s. */
  readonly reconnect?: Schedule.Schedule<unknown, BrokerError> | undefined
  /** How long it may take to have a link that answers. Default 10 s. */
  readonly connectTimeout?: Duration.Input | undefined
  /** A server that takes longer for an answer is taken for dead. Default 5 s. */
  readonly callTimeout?: Duration.Input | undefined
  /** How long nothing may be heard before the server is asked whether it is there. Default 5 s. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long it is tried to publish again what was on its way when the link broke. Default 10 s. */
  readonly publishTimeout?: Duration.Input | undefined
  /** Publications on their way, at most 1,000; others wait. Default 512. */
  readonly maxInFlight?: number | undefined
  /** Their bytes; one may be over it alone. Default 4 MiB. */
  readonly maxInFlightBytes?: number | undefined
  /**
   * Bytes of all that are on their way or wait, with 1 KiB more for each; what is over it fails with `Unavailable`, and is
   * not published. One may be over it alone. Default 64 MiB.
   */
  readonly maxQueuedBytes?: number | undefined
  /** Topics that are asked about at once, after a break. Default 64. */
  readonly maxAsks?: number | undefined
  /**
   * Bytes that are held while holes are filled, of all topics; what is over it is asked for again. As many may wait beside
   * them, of topics without a hole, for the order of all; what is over it is told without. Default 16 MiB.
   */
  readonly maxHeldBytes?: number | undefined
}

export const defaults = {
  connectTimeout: "10 seconds",
  callTimeout: "5 seconds",
  heartbeat: "5 seconds",
  publishTimeout: "10 seconds",
  maxInFlight: 512,
  maxInFlightBytes: 4_194_304,
  maxQueuedBytes: 67_108_864,
  maxAsks: 64,
  maxHeldBytes: 16_777_216
} satisfies Options

/** When it is tried again, unless another schedule is given. */
export const reconnect: Schedule.Schedule<number> = Reconnect.fullJitter({ base: "100 millis", cap: "5 seconds" })

/** A link that held for so many milliseconds is no failure, though it broke. */
const worthwhile = 5_000

/** Publications that are not parcels: somebody else writes where the nodes do, or one of another version. */
export const unreadable = Metric.counter("millrace_broker_unreadable", {
  description: "Publications that could not be read and were left out",
  incremental: true
})

const closed = new Error("it was closed")

interface Around {
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
  readonly node: string
  readonly scope: Scope.Scope
}

class Running {
  private readonly engine: Engine
  private readonly clock: Clock.Clock
  private readonly context: Context.Context<never>
  private readonly scope: Scope.Scope
  private readonly maxAsks: number
  private readonly callTimeout: number
  private readonly heartbeat: number
  private readonly connectTimeout: number
  private readonly publishTimeout: number
  private readonly reconnect: Schedule.Schedule<unknown, BrokerError>
  private readonly watched: Watched<Status>
  readonly topics: EngineTopics
  readonly outbox: EngineOutbox
  readonly node: string
  private link: EngineLink | undefined
  /** Who waits for the first link, or for it to fail. */
  private waiting: Array<() => void> = []
  /** Of the log, when it was there last. */
  private epoch: string | undefined
  private sequence = 0
  private warned = false

  constructor(engine: Engine, options: Options, around: Around) {
    const { clock, context, node, scope } = around
    const maxAsks = options.maxAsks ?? defaults.maxAsks
    this.engine = engine
    this.clock = clock
    this.context = context
    this.scope = scope
    this.node = node
    this.maxAsks = maxAsks
    this.callTimeout = Duration.toMillis(options.callTimeout ?? defaults.callTimeout)
    this.heartbeat = Duration.toMillis(options.heartbeat ?? defaults.heartbeat)
    this.connectTimeout = Duration.toMillis(options.connectTimeout ?? defaults.connectTimeout)
    this.publishTimeout = Duration.toMillis(options.publishTimeout ?? defaults.publishTimeout)
    this.reconnect = options.reconnect ?? reconnect
    this.watched = new Watched<Status>({ _tag: "Connecting" }, () => false)
    const { publishTimeout } = this
    const maxInFlight = options.maxInFlight ?? defaults.maxInFlight
    const maxInFlightBytes = options.maxInFlightBytes ?? defaults.maxInFlightBytes
    const maxQueuedBytes = options.maxQueuedBytes ?? defaults.maxQueuedBytes
    this.outbox = new EngineOutbox({ maxInFlight, maxInFlightBytes, maxQueuedBytes, publishTimeout }, clock, context)
    this.topics = new EngineTopics(
      { maxAsks, maxHeldBytes: options.maxHeldBytes ?? defaults.maxHeldBytes },
      context,
      () => this.status._tag === "Down",
      (topic, why) => this.leaveOut(topic, why)
    )
  }

  get status(): Status {
    return this.watched.value
  }

  get statuses() {
    return this.watched.changes
  }

  private leaveOut(topic: string, why: string): void {
    unreadable.updateUnsafe(1, this.context)
    if (this.warned) return
    this.warned = true
    Effect.runForkWith(this.context)(
      Effect.logDebug(`something in ${JSON.stringify(topic)} is no parcel: ${why}; others are only counted`)
    )
  }

  // The link.

  /** As long as it is wanted. Ends when the schedule does. */
  get run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      let step = yield* Schedule.toStep(this.reconnect)
      for (;;) {
        let since: number | undefined
        const exit = yield* Effect.exit(
          Effect.scoped(
            Effect.flatMap(this.connect, ([link, epoch]) => {
              since = this.clock.currentTimeMillisUnsafe()
              return this.use(link, epoch)
            })
          )
        )
        const error = errorOf(exit)
        const now = this.clock.currentTimeMillisUnsafe()
        if (since === undefined) this.failed(error)
        else if (now - since >= worthwhile) step = yield* Schedule.toStep(this.reconnect)
        const next = yield* Pull.catchDone(step(now, error), () => Effect.undefined)
        if (next === undefined) return
        yield* Effect.sleep(next[1])
      }
    })
  }

  /** A link that answers, and the epoch of its log. */
  private get connect(): Effect.Effect<readonly [EngineLink, string], BrokerError, Scope.Scope> {
    return Effect.suspend(() => {
      let made: EngineLink | undefined
      const receiver: Receiver = {
        appended: (appended) => {
          if (made === undefined) return
          made.news = true
          this.topics.appended(made, appended)
        },
        heard: (channel, bytes) => {
          if (made === undefined) return
          made.news = true
          this.topics.heard(made, channel, bytes)
        }
      }
      const opened = Effect.flatMap(this.engine.open(receiver), (link) =>
        Effect.map(link.position, ({ epoch }) => {
          made = new EngineLink(link, this.callTimeout, (error) => this.lost(error))
          return [made, epoch] as const
        })
      )
      return Effect.timeoutOrElse(opened, {
        duration: Duration.millis(this.connectTimeout),
        orElse: () => Effect.fail(silent(this.connectTimeout))
      })
    })
  }

  /** Until it breaks. */
  private use(link: EngineLink, epoch: string): Effect.Effect<never, BrokerError> {
    return Effect.suspend(() => {
      this.link = link
      this.set({ _tag: "Up", since: this.clock.currentTimeMillisUnsafe() })
      if (this.epoch !== undefined && this.epoch !== epoch) {
        this.outbox.forget(new Error("the server has forgotten what was published before"))
      }
      this.epoch = epoch
      const ended = Effect.flatMap(link.link.ended, (error) => Effect.fail(error))
      const restored = this.topics.open(link)
      this.outbox.open(link)
      const all = Effect.all([ended, restored, this.watch(link), link.broken], {
        concurrency: "unbounded",
        discard: true
      })
      return Effect.andThen(all, Effect.never)
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          link.lose(Exit.hasInterrupts(exit) ? unavailable(closed) : errorOf(exit))
        })
      )
    )
  }

  /** Sees whether the server answers: what is on its way, or a question when nothing else was heard. */
  private watch(link: EngineLink): Effect.Effect<never, BrokerError> {
    const look: Effect.Effect<void, BrokerError> = Effect.suspend(() => {
      if (link.news) {
        link.news = false
        return wait
      }
      const asked = Effect.map(link.call(link.link.position), () => {
        // That it has answered this is no news.
        link.news = false
      })
      return Effect.andThen(asked, wait)
    })
    const wait: Effect.Effect<void> = Effect.suspend(() => {
      const until = this.clock.currentTimeMillisUnsafe() + this.heartbeat
      const turn: Effect.Effect<void> = Effect.suspend(() => {
        const left = until - this.clock.currentTimeMillisUnsafe()
        if (left <= 0) return Effect.void
        const watched = this.outbox.watch(link)
        return Effect.andThen(Effect.sleep(Duration.millis(Math.max(1, Math.min(left, watched)))), turn)
      })
      return turn
    })
    return Effect.andThen(wait, Effect.forever(look))
  }

  /** In the turn in which it breaks. */
  private lost(error: BrokerError): void {
    this.link = undefined
    this.set({ _tag: "Down", since: this.clock.currentTimeMillisUnsafe(), error, attempts: 0 })
    this.giveUp(error)
  }

  /** It was tried, and cannot be reached. */
  private failed(error: BrokerError): void {
    const { status } = this
    if (status._tag === "Down") return this.set({ ...status, error, attempts: status.attempts + 1 })
    this.set({ _tag: "Down", since: this.clock.currentTimeMillisUnsafe(), error, attempts: 1 })
    this.giveUp(error)
  }

  /** Nobody waits any more, but what is to be published, for a while. */
  private giveUp(error: BrokerError): void {
    this.outbox.broken()
    this.topics.broken()
    const expiring = Effect.andThen(
      Effect.sleep(Duration.millis(this.publishTimeout)),
      Effect.sync(() => this.outbox.expire(error))
    )
    Fiber.runIn(Effect.runForkWith(this.context)(expiring), this.scope)
  }

  private set(status: Status): void {
    this.watched.set(status)
    const { waiting } = this
    this.waiting = []
    for (const go of waiting) go()
  }

  /** The end. */
  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      if (this.status._tag !== "Down") this.failed(unavailable(closed))
      this.outbox.close(closed)
    })
  }

  // What is asked of it.

  /** By the link that there is; by the first, while it is waited for. */
  private by<A>(ask: (link: Link) => Effect.Effect<A, BrokerError>): Effect.Effect<A, BrokerError> {
    return Effect.suspend(() => {
      const { link, status } = this
      if (link !== undefined) return link.call(ask(link.link))
      if (status._tag === "Down") return Effect.fail(unavailable(status.error))
      return Effect.andThen(this.settled, this.by(ask))
    })
  }

  private readonly settled = Effect.callback<void>((resume) => {
    // The fiber may have yielded since it was looked, and nobody was there to be woken.
    if (this.status._tag !== "Connecting") return resume(Effect.void)
    const go = () => resume(Effect.void)
    this.waiting.push(go)
    return Effect.sync(() => {
      this.waiting = this.waiting.filter((other) => other !== go)
    })
  })

  publish(topic: string, parcel: Parcel.Parcel): Effect.Effect<Receipt, BrokerError> {
    return Effect.suspend(() => {
      const { status } = this
      const key = parcel.key ?? { producer: this.node, epoch: 0, sequence: this.sequence }
      const bytes = Parcel.encode({ ...parcel, key })
      const limit = this.engine.maxBytes
      if (bytes.length > limit) return Effect.fail(tooLarge(bytes.length, limit))
      if (status._tag === "Down") return Effect.fail(unavailable(status.error))
      const isOwn = parcel.key === undefined
      if (isOwn) this.sequence++
      return this.outbox.publish({ topic, bytes, key, isOwn })
    })
  }

  get position(): Effect.Effect<Position, BrokerError> {
    return this.by((link) => link.position)
  }

  cast(channel: string, bytes: Uint8Array): Effect.Effect<void, BrokerError> {
    const limit = Math.min(this.engine.maxBytes, maxCastBytes)
    if (bytes.length > limit) return Effect.fail(tooLarge(bytes.length, limit))
    return this.by((link) => link.cast(channel, bytes))
  }

  since(
    topics: ReadonlyArray<string>,
    position: Position | undefined
  ): Effect.Effect<Missed<Parcel.Parcel>, BrokerError> {
    const names = [...new Set(topics)]
    const tails = Effect.forEach(names, (topic) => this.tailOf(topic, position), { concurrency: this.maxAsks })
    return Effect.flatMap(Effect.all([this.position, tails]), ([before, found]) => {
      // Who has forgotten in between has nothing in common with what was found before.
      if (found.some(({ to }) => to.epoch !== before.epoch)) return this.since(topics, position)
      // The topics are read one after the other: what all of them are known up to is where the first was read.
      const to = found.reduce(
        (least, tail) => (tail.to.offset < least.offset ? tail.to : least),
        found[0]?.to ?? before
      )
      return Effect.succeed(this.missed(names, found, position, to))
    })
  }

  private missed(
    names: ReadonlyArray<string>,
    tails: ReadonlyArray<Tail>,
    position: Position | undefined,
    to: Position
  ): Missed<Parcel.Parcel> {
    const isKnown = position !== undefined && position.epoch === to.epoch && position.offset <= to.offset
    const entries: Array<Entry<Parcel.Parcel>> = []
    const gap: Array<string> = []
    for (const [i, tail] of tails.entries()) {
      const topic = names[i]!
      if (tail.gap || !isKnown) gap.push(topic)
      for (const { bytes, offset } of tail.entries) {
        if (offset > to.offset) break
        const parcel = Parcel.decode(bytes)
        if (Result.isFailure(parcel)) this.leaveOut(topic, parcel.failure)
        else entries.push({ topic, offset, value: parcel.success })
      }
    }
    entries.sort((one, other) => one.offset - other.offset)
    return { entries, gap, from: { epoch: to.epoch, offset: isKnown ? position.offset : 0 }, to }
  }

  /** A position that the log has not come to is none. */
  private tailOf(topic: string, after: Position | undefined): Effect.Effect<Tail, BrokerError> {
    return Effect.flatMap(
      this.by((link) => link.since(topic, after)),
      (tail) =>
        after !== undefined && after.epoch === tail.to.epoch && after.offset > tail.to.offset
          ? this.by((link) => link.since(topic, undefined))
          : Effect.succeed(tail)
    )
  }
}

const tooLarge = (length: number, limit: number): BrokerError =>
  new BrokerError({ reason: new TooLarge({ length, limit }) })

/** A broker on an engine. It connects at once, and as long as the scope is open. */
export const make = (engine: Engine, options: Options = {}): Effect.Effect<Broker["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    const node = yield* Identifier.next
    const scope = yield* Effect.scope
    const running = new Running(engine, options, { clock, context, node, scope })
    yield* Effect.addFinalizer(() => running.close)
    yield* Effect.forkScoped(running.run)
    // A name that the server could not be told would end the link of all the others, each time it is restored.
    const named = <A, R>(name: string, effect: Effect.Effect<A, BrokerError, R>) =>
      EngineName.checked(name, engine.maxNameBytes ?? EngineName.maxBytes, effect)
    return Broker.of({
      name: engine.name,
      isLocal: false,
      node,
      attach: (subscriber) =>
        Effect.map(running.topics.attach(subscriber), ({ subscribe, unsubscribe }) => ({
          subscribe: (topic) => named(topic, subscribe(topic)),
          unsubscribe
        })),
      publish: (topic, parcel) => named(topic, running.publish(topic, parcel)),
      since: (topics, position) =>
        topics.reduceRight((since, topic) => named(topic, since), running.since(topics, position)),
      position: running.position,
      cast: (channel, bytes) => named(channel, running.cast(channel, bytes)),
      hear: (channel, heard) => named(channel, running.topics.channels.hear(channel, heard)),
      status: () => running.status,
      statuses: running.statuses
    })
  })

export const layer = (engine: Engine, options?: Options): Layer.Layer<Broker> =>
  Layer.effect(Broker, make(engine, options))
