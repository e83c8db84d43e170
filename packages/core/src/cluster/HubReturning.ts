/**
 * The machinery behind `HubClient`: what `HubClientProtocol` wants done is done here, over one connection after the other
 * (`HubConversation`).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cause from "effect/Cause"
import type * as Arr from "effect/Array"
import * as Comeback from "../connection/Comeback.ts"
import { Unresponsive, WebSocketError } from "../connection/WebSocketError.ts"
import * as Again from "../messaging/Again.ts"
import { SessionError } from "../messaging/SessionError.ts"
import type * as HubClient from "./HubClient.ts"
import { HubClientError, Stopped, Unsayable } from "./HubClientError.ts"
import { type Action, type Actions, HubClientProtocol, type Question } from "./HubClientProtocol.ts"
import { ended, HubConversation, type Session } from "./HubConversation.ts"
import type { Element, Present, PresenceElement } from "./HubElement.ts"
import type { Receipt } from "./HubHeard.ts"
import { HubNodes } from "./HubNodes.ts"
import { maxTogether, type Publication } from "./HubPublications.ts"
import { defaults as readerDefaults, type HubReader } from "./HubReader.ts"
import * as HubSayable from "./HubSayable.ts"
import { HubSeats, type Seat } from "./HubSeats.ts"
import { type HubStore, type Kept, StoreUnavailable, type Unanswered } from "./HubStore.ts"
import type { JsonText } from "./JsonText.ts"
import * as Position from "./Position.ts"
import { SteadyClock } from "./SteadyClock.ts"

export const defaults = {
  ...readerDefaults,
  maxUnanswered: 256,
  maxMessageBytes: 1_048_576,
  /** Durations in milliseconds. */
  window: 120_000,
  timeout: 10_000
} as const

/** How long it is waited until the hub is asked again what it could not do, in milliseconds; it doubles. */
const firstPause = 250
const longestPause = 8_000

/** How long the end of the client waits for the store, in milliseconds. */
const storeTimeout = 5_000

const failWith = (reason: HubClientError["reason"]) => Effect.fail(new HubClientError({ reason }))

const unsayable = (detail: string) => failWith(new Unsayable({ detail }))

export class HubReturning implements HubClient.HubClient {
  private readonly protocol: HubClientProtocol
  private readonly comeback: Comeback.Comeback<Session, Again.Cause>
  private readonly store: HubStore | undefined
  private readonly clock: SteadyClock
  private readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  private readonly maxUnanswered: number
  private readonly maxMessageBytes: number
  private readonly window: number
  private readonly timeout: number
  /** Where the program was, by topic: what the store has. */
  private readonly positions: Map<string, string>
  private readonly producer: string
  private readonly epoch: number
  private sequence: number

  private readonly conversation: HubConversation
  private readonly seats = new HubSeats()
  private called: string | undefined
  private readonly nodes = new HubNodes()
  private readonly todo: Array<Action> = []
  private isBusy = false
  private pause = firstPause
  private isPaused = false
  private isExpiring = false
  private hasStoreFailed = false
  /** Who waits for a place among the unanswered, in order. */
  private readonly line = new Set<Seat>()
  private readonly background = new Set<Fiber.Fiber<unknown>>()
  private readonly leftBehind = new Set<Publication>()
  private readonly outcomes: Array<HubClient.Outcome> = []
  private readonly curious = new Set<Seat>()
  private readonly left: number

  constructor(
    open: HubClient.Open<unknown, Scope.Scope>,
    options: HubClient.Options,
    kept: Kept,
    context: Context.Context<never>
  ) {
    const { capacity, capacityLength, maxUnanswered, store } = { ...defaults, ...defined(options) }
    if (!(maxUnanswered >= 1 && maxUnanswered <= maxTogether)) {
      throw new RangeError(`maxUnanswered is 1 to ${maxTogether}: the hub does not know more keys of one producer`)
    }
    this.store = store
    this.clock = new SteadyClock(Context.get(context, Clock.Clock))
    const fork = Effect.runForkWith(context)
    this.fork = (effect) => {
      const fiber = fork(effect)
      this.background.add(fiber)
      fiber.addObserver(() => this.background.delete(fiber))
      return fiber
    }
    this.maxUnanswered = maxUnanswered
    this.maxMessageBytes = options.maxMessageBytes ?? defaults.maxMessageBytes
    this.window = Duration.toMillis(options.window ?? defaults.window)
    this.timeout = Duration.toMillis(options.timeout ?? defaults.timeout)
    const patience = Math.max(0, this.window - this.timeout)
    this.protocol = new HubClientProtocol({ capacity, capacityLength, maxUnanswered, patience })
    this.positions = new Map(kept.positions)
    this.producer = kept.producer
    this.epoch = kept.epoch
    this.sequence = kept.sequence
    this.left = kept.unanswered.length
    for (const unanswered of kept.unanswered) {
      const [publication, actions] = this.protocol.load(unanswered, this.now)
      this.leftBehind.add(publication)
      this.perform(actions)
    }
    this.conversation = new HubConversation({
      timeout: this.timeout,
      seats: this.seats,
      connected: () => this.protocol.connected(),
      received: (text) => this.perform(this.protocol.received(text, this.now)),
      lost: () => this.lost(),
      isOpen: () => this.protocol.isOpen,
      isWaiting: () => this.protocol.isWaiting,
      check: () => this.comeback.heed("Check")
    })
    this.comeback = new Comeback.Comeback<Session, Again.Cause>(
      {
        open: this.conversation.meet(Effect.isEffect(open) ? open : this.nodes.using(open)),
        failed: (error) => (error instanceof SessionError ? { _tag: "Ended", error } : { _tag: "NotOpened", error }),
        nameOf: () => this.called ?? "",
        live: (session) => this.conversation.converse(session),
        heard: (session) => session.heard,
        check: () => this.asked(undefined),
        silent: (_, silence) => ended(new WebSocketError({ reason: new Unresponsive({ silence }) })),
        again: options.again ?? Again.decide,
        stopped: (cause, mistake) => this.stopped(cause, mistake)
      },
      {
        reconnect: options.reconnect,
        heartbeat: options.heartbeat,
        openTimeout: this.timeout,
        // Answers that do not come are looked into, whatever goes on.
        surroundings: options.surroundings ?? Stream.empty
      }
    )
  }

  get start(): Effect.Effect<void, never, Scope.Scope> {
    // What the store is doing it may bring to its end, unless it never does.
    const settled = Effect.suspend(() => {
      const all = Effect.interruptible(Fiber.interruptAll([...this.background]))
      return Effect.timeoutOption(all, storeTimeout)
    })
    return Effect.andThen(
      Effect.addFinalizer(() => settled),
      Effect.suspend(() => {
        this.expire()
        return this.comeback.start
      })
    )
  }

  // What a program is given.

  get state() {
    return this.comeback.state
  }

  get states() {
    return this.comeback.states
  }

  get retry() {
    return this.comeback.retry
  }

  get subscribe() {
    return (topic: string, options: HubClient.SubscribeOptions = {}): Stream.Stream<never, HubClientError> => {
      const reading = Effect.suspend(() => {
        const sayable = Result.andThen(HubSayable.topic(topic), () => HubSayable.presence(options.presence))
        if (Result.isFailure(sayable)) return unsayable(sayable.failure)
        return Effect.acquireRelease(
          Effect.sync(() => this.read(topic, options.position, sayable.success)),
          (reader) => Effect.sync(() => this.perform(this.protocol.unsubscribe(reader)))
        )
      })
      return Stream.scoped(
        Stream.fromPull(Effect.map(reading, (reader) => this.pullOf(reader)))
      ) as unknown as Stream.Stream<never, HubClientError>
    }
  }

  get publish() {
    return (
      topic: string,
      data: unknown,
      options: HubClient.PublishOptions = {}
    ): Effect.Effect<Receipt, HubClientError> =>
      Effect.suspend(() => {
        const { echo = true, key } = options
        const json = Result.andThen(HubSayable.topic(topic), () => HubSayable.publication(data, key))
        if (Result.isFailure(json)) return unsayable(json.failure)
        const make = (saidAt: number | undefined): Unanswered => ({
          topic,
          dataJson: json.success,
          key: key ?? { producer: this.producer, epoch: this.epoch, sequence: this.sequence++ },
          echo,
          at: this.now,
          saidAt
        })
        const longest = { producer: this.producer, epoch: this.epoch, sequence: Number.MAX_SAFE_INTEGER }
        const said = { topic, dataJson: json.success, echo, key: key ?? longest }
        const detail = HubSayable.tooMuch(said, this.maxMessageBytes)
        return detail === undefined ? this.published(make) : unsayable(detail)
      })
  }

  get present() {
    return (topic: string): Effect.Effect<Present, HubClientError> =>
      Effect.suspend(() => {
        const sayable = HubSayable.topic(topic)
        if (Result.isFailure(sayable)) return unsayable(sayable.failure)
        return Effect.map(this.asked(topic), ({ answer }) => answer as Present)
      })
  }

  get ping(): Effect.Effect<Duration.Duration, HubClientError> {
    return Effect.andThen(
      this.name,
      Effect.map(Effect.timed(this.asked(undefined)), ([duration]) => duration)
    )
  }

  get name(): Effect.Effect<string, HubClientError> {
    return Effect.suspend(() => {
      const seat: Seat = { waiter: undefined }
      return Effect.ensuring(
        this.seats.until(
          () => this.protocol.isOpen,
          () => Effect.succeed(this.called!),
          this.joining(seat)
        ),
        Effect.sync(() => this.curious.delete(seat))
      )
    })
  }

  get leftovers(): Stream.Stream<HubClient.Outcome> {
    const watching = Effect.acquireRelease(
      Effect.sync(() => this.joining({ waiter: undefined })),
      (seat) => Effect.sync(() => this.curious.delete(seat))
    )
    return Stream.scoped(
      Stream.fromPull(
        Effect.map(watching, (seat) => {
          let told = 0
          const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<HubClient.Outcome>> = Effect.suspend(() => {
            const news = this.outcomes.slice(told)
            told += news.length
            if (news.length > 0) return Effect.succeed(news as unknown as Arr.NonEmptyReadonlyArray<HubClient.Outcome>)
            if (told === this.left || this.seats.end !== undefined) return Cause.done()
            return Effect.andThen(
              this.seats.wait(() => this.outcomes.length > told, seat),
              pull
            )
          })
          return pull
        })
      )
    )
  }

  get forget() {
    return (topic: string): Effect.Effect<void, HubClientError> =>
      Effect.suspend(() => {
        this.positions.delete(topic)
        const { store } = this
        if (store === undefined) return Effect.void
        return Effect.mapError(store.forget(topic), (reason) => new HubClientError({ reason }))
      })
  }

  // Subscriptions.

  private read(topic: string, position: Position.Position | undefined, presence: JsonText | "" | undefined): HubReader {
    // Where others read it is live, and begins now.
    const kept = this.protocol.subscriptions.has(topic) ? undefined : this.positions.get(topic)
    const at = position ?? (kept === undefined ? undefined : Position.parse(kept))
    const reader = this.protocol.reader(topic, at, presence)
    this.perform(this.protocol.subscribe(reader))
    return reader
  }

  private pullOf(reader: HubReader): Pull.Pull<Arr.NonEmptyReadonlyArray<Element | PresenceElement>, HubClientError> {
    // With a store one by one, so that it knows what the program has dealt with.
    const most = this.store === undefined ? Infinity : 1
    const next = this.seats.until(
      () => !reader.isEmpty || reader.state === "Over",
      () => {
        if (reader.isEmpty) return reader.end === undefined ? Effect.interrupt : failWith(reader.end)
        const [elements, actions] = this.protocol.take(reader, most)
        this.perform(actions)
        return Effect.succeed(elements as unknown as Arr.NonEmptyReadonlyArray<Element | PresenceElement>)
      },
      reader
    )
    if (this.store === undefined) return next
    return Effect.suspend(() => {
      // Now, and not when there is more: this life may end before.
      reader.comesForMore()
      this.reached(reader)
      return next
    })
  }

  private reached(reader: HubReader): void {
    const { store } = this
    const reached = store === undefined ? undefined : this.protocol.subscriptions.reached(reader)
    if (store === undefined || reached === undefined) return
    const position = Position.print(reached)
    this.positions.set(reader.topic, position)
    this.write(store.reached(reader.topic, position))
  }

  /**
   * What the store is told is told in order. That it cannot be told is nothing that the program could do anything about
   * now: its next life hears again what it has, and says again what was answered, which the hub knows. It is logged when
   * it begins.
   */
  private write(write: Effect.Effect<unknown, unknown>): void {
    const written = Effect.matchCauseEffect(write, {
      onSuccess: () => Effect.sync(() => void (this.hasStoreFailed = false)),
      onFailure: (cause) => {
        if (this.hasStoreFailed) return Effect.void
        this.hasStoreFailed = true
        return Effect.logWarning("the store of a client of the hub has failed", cause)
      }
    })
    this.fork(Effect.uninterruptible(written))
  }

  // Publications.

  private get hasRoom(): boolean {
    return this.protocol.publications.size < this.maxUnanswered
  }

  private published(make: (saidAt: number | undefined) => Unanswered): Effect.Effect<Receipt, HubClientError> {
    const begin = (): Publication => {
      const { isReady } = this.protocol.publications
      return this.protocol.publish(make(isReady ? this.now : undefined))
    }
    // One that has begun, and nobody has to do with any more, would hold up all behind it.
    return Effect.uninterruptibleMask((restore) => {
      if (this.seats.end !== undefined) return this.seats.end
      if (this.line.size === 0 && this.hasRoom) return this.settled(begin(), restore)
      const seat: Seat = { waiter: undefined }
      this.line.add(seat)
      const isFirst = () => this.hasRoom && this.line.values().next().value === seat
      const turn = restore(this.seats.until(isFirst, () => Effect.void, seat))
      const served = Effect.onExit(Effect.map(turn, begin), () =>
        Effect.sync(() => {
          this.line.delete(seat)
          this.serve()
        })
      )
      return Effect.flatMap(served, (publication) => this.settled(publication, restore))
    })
  }

  /** The next one has its turn. */
  private serve(): void {
    if (this.hasRoom) this.line.values().next().value?.waiter?.()
  }

  private settled(
    publication: Publication,
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  ): Effect.Effect<Receipt, HubClientError> {
    const { store } = this
    const { key } = publication.unanswered
    const kept = Effect.sync(() => this.perform(this.protocol.kept(publication, this.now)))
    const keeping =
      store === undefined
        ? kept
        : Effect.andThen(
            Effect.mapError(store.keep(publication.unanswered), (reason) => new HubClientError({ reason })),
            kept
          )
    const result = this.seats.until(
      () => publication.result !== undefined,
      () => {
        const { result } = publication
        return Result.isSuccess(result!) ? Effect.succeed(result.success) : failWith(result!.failure)
      },
      publication
    )
    return Effect.onExit(restore(Effect.andThen(keeping, result)), () =>
      Effect.sync(() => {
        // Nobody wants to know any more, or it could not be kept. What stops with the client is for its next life.
        if (publication.result !== undefined || this.seats.end !== undefined) return
        this.perform(this.protocol.giveUp(publication, this.now))
        if (store !== undefined) this.write(store.answered(key))
        this.serve()
      })
    )
  }

  private outcome({ result, unanswered }: Publication): void {
    const { dataJson, key, topic } = unanswered
    const data: unknown = JSON.parse(dataJson)
    this.outcomes.push({
      topic,
      data,
      key,
      result: Result.mapError(result!, (reason) => new HubClientError({ reason }))
    })
    this.tellCurious()
  }

  // Questions.

  private asked(topic: string | undefined): Effect.Effect<Question, HubClientError> {
    return Effect.uninterruptibleMask((restore) => {
      if (this.seats.end !== undefined) return this.seats.end
      const [question, actions] = this.protocol.ask(topic)
      this.perform(actions)
      const answered = this.seats.until(
        () => question.answer !== undefined,
        () => {
          const { answer } = question
          return answer !== "Pong" && answer?._tag === "Refused" ? failWith(answer) : Effect.succeed(question)
        },
        question
      )
      return Effect.onExit(restore(answered), () => Effect.sync(() => this.protocol.unask(question)))
    })
  }

  private joining(seat: Seat): Seat {
    this.curious.add(seat)
    return seat
  }

  private tellCurious(): void {
    for (const seat of this.curious) seat.waiter?.()
  }

  /** In milliseconds since 1970. */
  private get now(): number {
    return this.clock.now
  }

  // What the protocol wants done.

  /** In order: who is told of something may do the next thing in the same turn. */
  private perform(actions: Actions): void {
    if (actions.length === 0) return
    // One by one: there may be more than a call takes arguments.
    for (const action of actions) this.todo.push(action)
    if (this.isBusy) return
    this.isBusy = true
    // What is added meanwhile has its turn, too.
    for (const action of this.todo) this.act(action)
    this.todo.length = 0
    this.isBusy = false
  }

  private act(action: Action): void {
    switch (action._tag) {
      case "Say":
        return this.conversation.say(action.text)
      case "Welcome":
        this.called = action.name
        this.nodes.know(action.nodes)
        return this.tellCurious()
      case "Wake":
        return action.reader.waiter?.()
      case "Mark":
        return this.mark(action.publication, action.at)
      case "Settle":
        return this.settle(action.publication)
      case "Answer":
        return action.question.waiter?.()
      case "PutOff":
        return this.putOff()
      case "Eased":
        this.pause = firstPause
        return
      case "Foreign":
        this.conversation.isForeign(action.protocol)
    }
  }

  private mark(publication: Publication, at: number): void {
    const { key } = publication.unanswered
    if (this.store === undefined) return this.perform(this.protocol.marked(publication, this.now))
    const marked = Effect.matchCause(this.store.said(key, at), {
      onSuccess: () => this.perform(this.protocol.marked(publication, this.now)),
      // Also when it is broken: those behind it do not wait for ever.
      onFailure: (cause) => {
        const error = Cause.squash(cause)
        const reason = error instanceof StoreUnavailable ? error : new StoreUnavailable({ inUse: false, cause: error })
        this.perform(this.protocol.unkept(publication, reason, this.now))
      }
    })
    this.fork(Effect.uninterruptible(marked))
  }

  private settle(publication: Publication): void {
    if (this.store !== undefined) this.write(this.store.answered(publication.unanswered.key))
    if (this.leftBehind.delete(publication)) this.outcome(publication)
    publication.waiter?.()
    this.serve()
  }

  private putOff(): void {
    if (this.isPaused) return
    this.isPaused = true
    const { pause } = this
    this.pause = Math.min(2 * pause, longestPause)
    this.fork(
      Effect.andThen(
        Effect.sleep(pause),
        Effect.sync(() => {
          this.isPaused = false
          this.perform(this.protocol.retry(this.now))
        })
      )
    )
  }

  /** What was said and not answered is given up when the hub has forgotten its key, though there is no connection. */
  private expire(): void {
    if (this.isExpiring || !this.protocol.publications.mayExpire) return
    this.isExpiring = true
    this.fork(
      Effect.andThen(
        Effect.sleep(this.window),
        Effect.sync(() => {
          this.isExpiring = false
          this.perform(this.protocol.expire(this.now))
          this.expire()
        })
      )
    )
  }

  private lost(): void {
    this.perform(this.protocol.lost())
    this.expire()
  }

  private stopped(cause: Again.Cause | Comeback.Died | undefined, mistake: Cause.Cause<never> | undefined): () => void {
    const known = cause?._tag === "Died" ? undefined : cause
    return this.seats.close(
      mistake === undefined
        ? Exit.fail(new HubClientError({ reason: new Stopped({ cause: known }) }))
        : Exit.failCause(mistake)
    )
  }
}

/** Without what is `undefined`, which would hide a default. */
const defined = <A extends object>(options: A) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]?: Exclude<A[K], undefined>
  }
