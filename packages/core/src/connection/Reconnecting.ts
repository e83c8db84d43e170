/**
 * The machinery behind `EventSource`: carries out what the protocol says, with a network, a clock and a schedule.
 *
 * There is no fiber but the one that pulls, so the state is moved by one party at a time. Only the finalizer may come in
 * between, and what happens in the surroundings.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventStream from "../codec/EventStream.ts"
import type { Headers } from "../codec/HttpHeaders.ts"
import * as Protocol from "../protocol/EventSourceProtocol.ts"
import type { Closed, Ended, EventSource, Lost, Options, State } from "./EventSource.ts"
import { Attempt, type Answer } from "./EventSourceAttempt.ts"
import { EventSourceError, type InvalidRequest, type NetworkError, OpenTimeout, Silent } from "./EventSourceError.ts"
import * as EventSourceRequest from "./EventSourceRequest.ts"
import type { Request, Response } from "./Fetch.ts"
import * as Reconnect from "./Reconnect.ts"
import type { Happening } from "./Surroundings.ts"
import { Watched } from "./Watched.ts"

type Events = Arr.NonEmptyReadonlyArray<EventStream.Event>
type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>
type Answered = Exit.Exit<Answer, InvalidRequest | NetworkError | OpenTimeout>
type NextDelay = Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Lost, never, never>>>

const ended: Ended = { _tag: "Ended", message: "the server has ended the response" }

/** Who is open for so many milliseconds is no failure, though not an event came. */
const worthwhile = 10_000

const defaultOpenTimeout = "30 seconds"

/**
 * After a sleep, in milliseconds: how long a connection that was silent for too long has left at least, for what has come
 * meanwhile and waits in the platform.
 */
const grace = 1_000

/** An open connection. */
interface Live {
  readonly scope: Scope.Closeable
  readonly pull: Pull.Pull<Chunks, NetworkError>
  readonly parser: EventStream.Parser
  /** In milliseconds of the clock. */
  readonly since: number
}

export class Reconnecting implements EventSource {
  private readonly options: Options
  private readonly config: Protocol.Config
  private readonly request: Result.Result<Request, InvalidRequest>
  private readonly reconnect: Schedule.Schedule<unknown, Lost>
  private readonly isRepeatable: boolean
  /** Of the connections. Not below that of the caller, as it is to end after the state does. */
  private readonly scope = Scope.makeUnsafe()
  private readonly watched: Watched<State>
  /** Both in milliseconds. */
  private readonly openTimeout: number
  private readonly silence: number | undefined
  /** `undefined` when it could not even begin. */
  private protocol: Protocol.State | undefined
  /** What the protocol adds to the next request. */
  private fields: Headers = []
  private live: Live | undefined
  private end: Exit.Exit<never, Cause.Done | EventSourceError> | undefined
  private pulling = false
  private failures = 0
  /** The schedule, once it has begun. */
  private nextDelay: NextDelay | undefined
  /** The last wait: since when, by the clock, how long, and how long for who is in a hurry; in milliseconds. */
  private since = 0
  private delay = 0
  private least = 0
  private lost: Lost | undefined
  /** Between `Leave` and `Return`. */
  private away = false
  /** How often something has happened that changes what is to be done, and who waits for it. */
  private happenings = 0
  private wake: (() => void) | undefined

  constructor(url: string, options: Options) {
    const { heartbeat, lastEventId = "", openTimeout = defaultOpenTimeout, rules } = options
    this.options = options
    this.config = { ...Protocol.defaults, reconnectionTime: 0, ...rules }
    this.request = EventSourceRequest.make(url, options)
    const safe = Result.isSuccess(this.request) && EventSourceRequest.isSafe(this.request.success)
    this.reconnect = options.reconnect ?? (safe ? Reconnect.fullJitter() : Reconnect.never)
    this.isRepeatable = safe || options.reconnect !== undefined
    this.openTimeout = Duration.toMillis(openTimeout)
    this.silence = heartbeat === undefined ? undefined : 2 * Duration.toMillis(heartbeat)
    this.watched = new Watched<State>({ _tag: "Connecting", lastEventId }, ({ _tag }) => _tag === "Closed")
    const begun = Result.flatMap(this.request, () => Protocol.start(this.config, lastEventId))
    if (Result.isSuccess(begun)) this.move(begun.success)
    else this.finish(begun.failure)
  }

  get state(): Effect.Effect<State> {
    return Effect.sync(() => this.watched.value)
  }

  get states(): Stream.Stream<State> {
    return this.watched.changes
  }

  get events(): Stream.Stream<EventStream.Event, EventSourceError> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  readonly pull: Pull.Pull<Events, EventSourceError> = Effect.suspend(() => {
    if (this.pulling) return Effect.die(new Error("an event source is for one fiber at a time"))
    this.pulling = true
    return Effect.ensuring(
      this.step,
      Effect.sync(() => {
        this.pulling = false
      })
    )
  })

  private readonly step: Pull.Pull<Events, EventSourceError> = Effect.suspend(() => {
    if (this.end !== undefined) return this.end
    if (this.live !== undefined) return this.read(this.live)
    const { happened } = this
    return Effect.andThen(this.away ? happened : Effect.raceFirst(this.connect, happened), this.step)
  })

  /** The finalizer. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.finish({ _tag: "Done" })
    this.stir()
    return Scope.close(this.scope, Exit.void)
  })

  // The surroundings.

  happen(happening: Happening): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (this.end !== undefined || !this.isRepeatable) return Effect.void
      if (happening === "Leave") return this.leave
      const returns = happening === "Return" && this.away
      // An attempt is not begun anew.
      if (this.protocol!._tag === "Connecting" && !returns) return Effect.void
      if (returns) this.away = false
      this.hurry(now)
      this.stir()
      return Effect.void
    })
  }

  private readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    const { live } = this
    this.show({ _tag: "Away", lastEventId: this.protocol!.lastEventId })
    this.away = true
    this.stir()
    if (live === undefined) return Effect.void
    this.live = undefined
    this.protocol = Protocol.ended(this.protocol!)[0]
    this.delay = this.least = 0
    return Scope.close(live.scope, Exit.void)
  })

  /** Waits no longer than the server has asked for which is there. */
  private hurry(now: number): void {
    const { lastEventId, _tag } = this.protocol!
    if (_tag === "Connecting") return this.show({ _tag, lastEventId })
    if (_tag !== "Waiting") return
    this.delay = Math.min(this.delay, this.least)
    const delay = this.left(now)
    if (delay === 0) this.elapse()
    else this.show({ _tag, lost: this.lost!, delay, lastEventId })
  }

  /** Wakes who waits for something to happen. */
  private stir(): void {
    this.happenings++
    this.wake?.()
  }

  /** Until something has happened since now. */
  private get happened(): Effect.Effect<void> {
    const { happenings } = this
    return Effect.callback((resume) => {
      this.wake = () => resume(Effect.void)
      // The fiber may have yielded since it was looked.
      if (this.happenings !== happenings) this.wake()
    })
  }

  private show(state: State): void {
    if (!this.away) this.watched.set(state)
  }

  private move([state, actions]: Protocol.Transition): void {
    this.protocol = state
    for (const action of actions) if (action._tag === "Connect") this.fields = action.headers
  }

  /** Whoever is first says how it ended. */
  private finish(reason: Closed["reason"]): void {
    if (this.end !== undefined) return
    const isOrderly = reason._tag === "Done" || reason._tag === "Ended" || reason._tag === "NoContent"
    this.end = Exit.fail(isOrderly ? Cause.Done() : new EventSourceError({ reason }))
    this.watched.set({ _tag: "Closed", reason })
  }

  // Connecting.

  private readonly connect: Effect.Effect<void> = Effect.suspend(() =>
    this.protocol?._tag === "Waiting" ? this.wait : this.attempt(this.protocol as Protocol.Connecting)
  )

  /** What is left of the wait, if somebody who pulled was interrupted. */
  private readonly wait: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.andThen(
      Effect.sleep(this.left(now)),
      Effect.sync(() => this.elapse())
    )
  )

  /** Whatever has become of the clock. */
  private left(now: number): number {
    return Math.max(0, Math.min(this.since + this.delay - now, this.delay))
  }

  private elapse(): void {
    if (this.protocol?._tag !== "Waiting") return
    const transition = Protocol.elapsed(this.protocol)
    this.move(transition)
    const [state] = transition
    if (state._tag === "Closed") this.finish(state.reason as Protocol.UnsendableLastEventId)
    else this.show({ _tag: "Connecting", lastEventId: state.lastEventId })
  }

  private attempt(state: Protocol.Connecting): Effect.Effect<void> {
    return Effect.uninterruptibleMask((restore) => {
      const scope = Scope.forkUnsafe(this.scope)
      const attempt = new Attempt(this.options.fetch, this.config, scope, state)
      const request = EventSourceRequest.withFields(Result.getOrThrow(this.request), this.fields)
      const late = Effect.suspend(() => attempt.late ?? Effect.fail(new OpenTimeout({ timeout: this.openTimeout })))
      const answered = Effect.raceFirst(attempt.ask(request), Effect.andThen(Effect.sleep(this.openTimeout), late))
      return Effect.flatMap(Effect.exit(restore(answered)), (exit) =>
        Exit.isSuccess(exit) && exit.value._tag === "Opened"
          ? this.open(scope, exit.value.state, exit.value.response)
          : Effect.andThen(Scope.close(scope, exit), this.unanswered(state, exit))
      )
    })
  }

  private open(scope: Scope.Closeable, state: Protocol.Open, response: Response): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const pull = yield* Scope.provide(Stream.toPull(response.body), scope)
      const since = yield* Clock.currentTimeMillis
      if (this.end !== undefined || this.away) return yield* Scope.close(scope, Exit.void)
      this.protocol = state
      const parser = EventStream.makeParser({ ...this.options.limits, lastEventId: state.lastEventId })
      this.live = { scope, pull, parser, since }
      this.watched.set({ _tag: "Open", url: response.url, headers: response.headers })
    })
  }

  /** There is no event stream: the end, or the next wait. */
  private unanswered(state: Protocol.Connecting, exit: Answered): Effect.Effect<void> {
    if (Exit.isFailure(exit)) {
      const error = Cause.findError(exit.cause)
      if (Result.isFailure(error)) return Effect.failCause(error.failure)
      const reason = error.success
      if (reason._tag !== "InvalidRequest") return this.lose(reason, Protocol.ended(state))
      return Effect.sync(() => this.finish(reason))
    }
    const answer = exit.value
    if (answer._tag === "Later") return this.lose(answer.error, answer.transition)
    return Effect.sync(() => this.finish(answer._tag === "Refused" ? answer.error : { _tag: "NoContent" }))
  }

  /** Decides when to come back, or that this is the end. */
  private lose(reason: Lost["reason"], transition: Protocol.Transition): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const [state, actions] = transition
      const { delay: asked } = actions.find((action) => action._tag === "Wait")!
      const lost: Lost = { reason, failures: ++this.failures, asked }
      const now = yield* Clock.currentTimeMillis
      this.nextDelay ??= yield* Schedule.toStep(this.reconnect)
      const next = yield* Pull.catchDone(this.nextDelay(now, lost), () => Effect.undefined)
      if (next === undefined) return this.finish(reason)
      if (this.end !== undefined) return
      const delay = asked + Duration.toMillis(next[1])
      this.protocol = state
      this.since = now
      this.delay = delay
      this.least = reason._tag === "Refused" || reason._tag === "Ended" ? asked : 0
      this.lost = lost
      this.show({ _tag: "Waiting", lost, delay, lastEventId: state.lastEventId })
    })
  }

  // Open.

  private read(live: Live): Pull.Pull<Events, EventSourceError> {
    const { silence } = this
    const pulled: Pull.Pull<Chunks, NetworkError | Silent> =
      silence === undefined ? live.pull : Effect.raceFirst(live.pull, this.silent(silence))
    return Effect.matchCauseEffect(pulled, {
      // What comes when it was left will come again.
      onSuccess: (chunks) => (this.live === live ? this.take(live, chunks) : this.step),
      onFailure: (cause) => {
        const error = Cause.findError(cause)
        if (Result.isFailure(error)) return Effect.failCause(error.failure)
        if (this.live !== live) return this.step
        const reason = Cause.isDone(error.success) ? ended : error.success
        return Effect.andThen(Effect.uninterruptible(this.drop(live, reason)), this.step)
      }
    })
  }

  /** Fails when nothing has come for so long: by the clock after a sleep, in which timers stand still. */
  private silent(silence: number): Effect.Effect<never, Silent> {
    return Effect.flatMap(Clock.currentTimeMillis, (since) => {
      const listen = (left: number): Effect.Effect<never, Silent> => {
        const over = Effect.andThen(Effect.sleep(left), Effect.fail(new Silent({ silence })))
        if (this.options.surroundings === undefined) return over
        const look = Effect.flatMap(Clock.currentTimeMillis, (now) =>
          listen(Math.min(left, Math.max(since + silence - now, grace)))
        )
        return Effect.andThen(Effect.raceFirst(over, this.happened), look)
      }
      return listen(silence)
    })
  }

  private take(live: Live, chunks: Chunks): Pull.Pull<Events, EventSourceError> {
    let events: ReadonlyArray<EventStream.Event> = []
    for (const chunk of chunks) {
      const parsed = live.parser.push(chunk)
      this.move(Protocol.receive(this.config, this.protocol!, parsed))
      events = events.length === 0 ? parsed.events : events.concat(parsed.events)
      if (parsed.violation === undefined) continue
      this.live = undefined
      this.finish(parsed.violation)
      const closing = Effect.uninterruptible(Scope.close(live.scope, Exit.void))
      return Effect.andThen(closing, isSome(events) ? Effect.succeed(events) : this.step)
    }
    if (!isSome(events)) return this.step
    this.prosper()
    return Effect.succeed(events)
  }

  /** Lets go of a connection that has ended. */
  private drop(live: Live, reason: Lost["reason"]): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.live = undefined
      yield* Scope.close(live.scope, Exit.void)
      if (this.end !== undefined) return
      if ((yield* Clock.currentTimeMillis) - live.since >= worthwhile) this.prosper()
      yield* this.lose(reason, Protocol.ended(this.protocol!))
    })
  }

  /** The next failure will be the first of a row. */
  private prosper(): void {
    this.failures = 0
    this.nextDelay = undefined
  }
}

const isSome = (events: ReadonlyArray<EventStream.Event>): events is Events => events.length > 0
