/**
 * The machinery behind `HubClient`: what `HubClientProtocol` wants done is done here, over one connection after the other.
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
import { Disconnected, Mismatch, SessionError } from "../messaging/SessionError.ts"
import type { Wire } from "../messaging/Wire.ts"
import type * as Message from "../protocol/Message.ts"
import type * as HubClient from "./HubClient.ts"
import { HubClientError, Stopped, Unsayable } from "./HubClientError.ts"
import { type Action, type Actions, HubClientProtocol, type Question } from "./HubClientProtocol.ts"
import type { Element, Present, PresenceElement } from "./HubElement.ts"
import type { Receipt } from "./HubHeard.ts"
import { protocol as spoken } from "./HubMessage.ts"
import { isProducer, isTopic, maxDepth } from "./HubName.ts"
import { HubNodes } from "./HubNodes.ts"
import { maxTogether, print, type Publication } from "./HubPublications.ts"
import { defaults as readerDefaults, type HubReader } from "./HubReader.ts"
import { type HubStore, type Kept, StoreUnavailable, type Unanswered } from "./HubStore.ts"
import { isTooDeep, type JsonText, toJson } from "./JsonText.ts"
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

/** Deeper than others can have it who are told of it inside of more. */
const maxInfoDepth = maxDepth - 3

/** What one connection is to the client. */
interface Session {
  readonly wire: Wire
  /** How many messages have come. */
  heard: number
  /** The protocol of a hub that has another. */
  foreign: unknown
}

/** Where somebody waits. */
interface Seat {
  waiter: (() => void) | undefined
}

const encoder = new TextEncoder()

const failWith = (reason: HubClientError["reason"]) => Effect.fail(new HubClientError({ reason }))

const unsayable = (detail: string) => failWith(new Unsayable({ detail }))

const ended = (cause: WebSocketError | undefined): Again.Cause => ({
  _tag: "Ended",
  error: cause && new SessionError({ reason: new Disconnected({ cause }) })
})

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

  private session: Session | undefined
  private called: string | undefined
  private readonly nodes = new HubNodes()
  private end: Exit.Exit<never, HubClientError> | undefined
  /** Texts that are not handed to the connection yet. */
  private outgoing: Array<string> = []
  private readonly sender: Seat = { waiter: undefined }
  private readonly todo: Array<Action> = []
  private isBusy = false
  private pause = firstPause
  private isPaused = false
  private isExpiring = false
  private hasStoreFailed = false
  /** Everybody who waits for something, to be told of the end. */
  private readonly seats = new Set<Seat>()
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
    this.comeback = new Comeback.Comeback<Session, Again.Cause>(
      {
        open: this.meet(Effect.isEffect(open) ? open : this.nodes.using(open)),
        failed: (error) => (error instanceof SessionError ? { _tag: "Ended", error } : { _tag: "NotOpened", error }),
        nameOf: () => this.called ?? "",
        live: (session) => this.converse(session),
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
        if (!isTopic(topic)) return unsayable(`not a topic: ${JSON.stringify(topic)}`)
        const presence = presenceOf(options.presence)
        if (Result.isFailure(presence)) return unsayable(presence.failure)
        return Effect.acquireRelease(
          Effect.sync(() => this.read(topic, options.position, presence.success)),
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
        if (!isTopic(topic)) return unsayable(`not a topic: ${JSON.stringify(topic)}`)
        if (data === undefined) return unsayable("there is no data: null is a value")
        const { echo = true, key } = options
        if (key !== undefined && !isProducer(key.producer)) return unsayable("a producer is 1 to 120 bytes of UTF-8")
        const json = jsonOf(data)
        if (Result.isFailure(json)) return unsayable(json.failure)
        const make = (saidAt: number | undefined): Unanswered => ({
          topic,
          dataJson: json.success,
          key: key ?? { producer: this.producer, epoch: this.epoch, sequence: this.sequence++ },
          echo,
          at: this.now,
          saidAt
        })
        const detail = this.tooMuch({ topic, dataJson: json.success, echo, key })
        return detail === undefined ? this.published(make) : unsayable(detail)
      })
  }

  get present() {
    return (topic: string): Effect.Effect<Present, HubClientError> =>
      Effect.suspend(() =>
        isTopic(topic)
          ? Effect.map(this.asked(topic), ({ answer }) => answer as Present)
          : unsayable(`not a topic: ${JSON.stringify(topic)}`)
      )
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
        this.until(
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
            if (told === this.left || this.end !== undefined) return Cause.done()
            return Effect.andThen(
              this.waiting(() => this.outcomes.length > told, seat),
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
    const next = this.until(
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
      if (this.end !== undefined) return this.end
      if (this.line.size === 0 && this.hasRoom) return this.settled(begin(), restore)
      const seat: Seat = { waiter: undefined }
      this.line.add(seat)
      const isFirst = () => this.hasRoom && this.line.values().next().value === seat
      const turn = restore(this.until(isFirst, () => Effect.void, seat))
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
    const result = this.until(
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
        if (publication.result !== undefined || this.end !== undefined) return
        this.perform(this.protocol.giveUp(publication, this.now))
        if (store !== undefined) this.write(store.answered(key))
        this.serve()
      })
    )
  }

  private tooMuch(publication: Pick<Unanswered, "dataJson" | "echo" | "topic"> & HubClient.PublishOptions) {
    const { maxMessageBytes, producer } = this
    const key = publication.key ?? { producer, epoch: this.epoch, sequence: Number.MAX_SAFE_INTEGER }
    const text = print({ ...publication, key, at: 0, saidAt: undefined }, Number.MAX_SAFE_INTEGER)
    if (text.length * 3 > maxMessageBytes && encoder.encode(text).length > maxMessageBytes) {
      return `it is longer than the ${maxMessageBytes} bytes that the hub takes`
    }
    return isTooDeep(text, maxDepth) ? `data is nested more than ${maxDepth - 1} deep` : undefined
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
      if (this.end !== undefined) return this.end
      const [question, actions] = this.protocol.ask(topic)
      this.perform(actions)
      const answered = this.until(
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

  // Waiting.

  /** Does something when it may be done, or fails with the end of the client. */
  private until<A, E>(
    mayGo: () => boolean,
    go: () => Effect.Effect<A, E>,
    seat: Seat
  ): Effect.Effect<A, E | HubClientError> {
    return Effect.suspend((): Effect.Effect<A, E | HubClientError> => {
      if (mayGo()) return go()
      if (this.end !== undefined) return this.end
      return Effect.andThen(this.waiting(mayGo, seat), this.until(mayGo, go, seat))
    })
  }

  private waiting(mayGo: () => boolean, seat: Seat): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      // The fiber may have yielded since it was looked, and nobody was there to be woken.
      if (mayGo() || this.end !== undefined) return resume(Effect.void)
      const leave = () => {
        seat.waiter = undefined
        this.seats.delete(seat)
      }
      seat.waiter = () => {
        leave()
        resume(Effect.void)
      }
      this.seats.add(seat)
      return Effect.sync(leave)
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
        this.outgoing.push(action.text)
        return this.sender.waiter?.()
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
        if (this.session !== undefined) this.session.foreign = action.protocol
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

  // One connection after the other.

  /** A connection over which the hub has said welcome. */
  private meet(open: Effect.Effect<Wire, unknown, Scope.Scope>): Effect.Effect<Session, unknown, Scope.Scope> {
    return Effect.flatMap(
      Effect.flatMap(open, (wire) => this.begun(wire)),
      (session) => {
        const { wire } = session
        const welcomed: Effect.Effect<Session, unknown> = Effect.suspend(() => {
          if (session.foreign !== undefined) return Effect.fail(mismatch(session.foreign))
          if (this.protocol.isOpen) return Effect.succeed(session)
          const received = Pull.catchDone(wire.receive, () => Effect.fail(closed))
          return Effect.flatMap(received, (message) => {
            this.hear(session, [message])
            return welcomed
          })
        })
        return Effect.mapError(welcomed, (error) =>
          error instanceof WebSocketError ? new SessionError({ reason: new Disconnected({ cause: error }) }) : error
        )
      }
    )
  }

  /** What a connection is, as long as the scope of its attempt: however that ends, and at whichever moment. */
  private begun(wire: Wire): Effect.Effect<Session, never, Scope.Scope> {
    const begin = Effect.sync(() => {
      const session: Session = { wire, heard: 0, foreign: undefined }
      this.session = session
      this.protocol.connected()
      return session
    })
    return Effect.acquireRelease(begin, () => this.lost)
  }

  private converse(session: Session): Effect.Effect<Again.Cause> {
    const { wire } = session
    const reading = wire.pull.pipe(
      Effect.flatMap((messages) => {
        this.hear(session, messages)
        return session.foreign === undefined ? Effect.void : Effect.fail(mismatch(session.foreign))
      }),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.succeed(ended(undefined))),
      Effect.catch((error) =>
        Effect.succeed(error instanceof WebSocketError ? ended(error) : ({ _tag: "Ended", error } as const))
      )
    )
    return Effect.raceFirst(reading, Effect.raceFirst(this.saying(wire), this.watch(session)))
  }

  private hear(session: Session, messages: ReadonlyArray<Message.Message>): void {
    session.heard += messages.length
    for (const message of messages) {
      if (message._tag === "Text") this.perform(this.protocol.received(message.text, this.now))
    }
  }

  private readonly lost: Effect.Effect<void> = Effect.sync(() => {
    this.session = undefined
    this.outgoing = []
    this.perform(this.protocol.lost())
    this.expire()
  })

  /** Says what there is to say. Where it cannot, the reader learns why. */
  private saying(wire: Wire): Effect.Effect<never> {
    const hasWork = () => this.outgoing.length > 0
    const once: Effect.Effect<void, WebSocketError> = Effect.suspend(() => {
      if (!hasWork()) return this.waiting(hasWork, this.sender)
      const texts = this.outgoing
      this.outgoing = []
      return Effect.forEach(texts, (text) => wire.send(text), { discard: true })
    })
    return Effect.catch(Effect.forever(once), () => Effect.never)
  }

  /** Whoever owes answers and says nothing at all is asked for a sign of life. */
  private watch(session: Session): Effect.Effect<never> {
    const once = Effect.suspend(() => {
      const { heard } = session
      const { isWaiting } = this.protocol
      return Effect.andThen(
        Effect.sleep(this.timeout),
        Effect.sync(() => {
          if (isWaiting && this.protocol.isWaiting && session.heard === heard) this.comeback.heed("Check")
        })
      )
    })
    return Effect.forever(once)
  }

  private stopped(cause: Again.Cause | Comeback.Died | undefined, mistake: Cause.Cause<never> | undefined): () => void {
    const known = cause?._tag === "Died" ? undefined : cause
    this.end =
      mistake === undefined
        ? Exit.fail(new HubClientError({ reason: new Stopped({ cause: known }) }))
        : Exit.failCause(mistake)
    return () => {
      for (const seat of this.seats) seat.waiter?.()
    }
  }
}

const closed = new SessionError({ reason: new Disconnected({ cause: undefined }) })

const mismatch = (theirs: unknown): SessionError =>
  new SessionError({ reason: new Mismatch({ ours: `protocol ${spoken}`, theirs: `protocol ${String(theirs)}` }) })

const jsonOf = (value: unknown): Result.Result<JsonText, string> => {
  try {
    return Result.succeed(toJson(value))
  } catch (error) {
    return Result.fail(error instanceof Error ? error.message : String(error))
  }
}

const presenceOf = (
  presence: HubClient.SubscribeOptions["presence"]
): Result.Result<JsonText | "" | undefined, string> => {
  if (presence === undefined) return Result.succeed(undefined)
  if (presence === true || presence.info === undefined) return Result.succeed("")
  return Result.flatMap(jsonOf(presence.info), (info) =>
    isTooDeep(info, maxInfoDepth) ? Result.fail(`info is nested more than ${maxInfoDepth} deep`) : Result.succeed(info)
  )
}

/** Without what is `undefined`, which would hide a default. */
const defined = <A extends object>(options: A) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]?: Exclude<A[K], undefined>
  }
