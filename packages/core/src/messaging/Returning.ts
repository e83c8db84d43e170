/**
 * The machinery behind `Client`: one session after the other, and what waits between them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as RetryAfter from "../codec/RetryAfter.ts"
import { OpenError } from "../connection/OpenError.ts"
import * as Reconnect from "../connection/Reconnect.ts"
import { Watched } from "../connection/Watched.ts"
import * as Again from "./Again.ts"
import type { Handler } from "./Answering.ts"
import { Backlog } from "./Backlog.ts"
import type * as Client from "./Client.ts"
import type { Contract } from "./Contract.ts"
import * as Conversation from "./Conversation.ts"
import type { Audience } from "./Dialogue.ts"
import { Hearing } from "./Hearing.ts"
import { Outbox } from "./Outbox.ts"
import * as SessionEnd from "./SessionEnd.ts"
import { Disconnected, OutboxFull, RequestTimeout, SessionError } from "./SessionError.ts"
import { defaults, type Limits } from "./SessionLimits.ts"
import type { Wire } from "./Wire.ts"

/** A session of so many milliseconds was worth it, and begins a new row. */
const worthwhile = 10_000

const defaultMaxWaiting = 1_024

type Options = Client.CommonOptions<never, never> & {
  readonly credentials?: Effect.Effect<unknown, unknown> | undefined
}
type NextDelay = Effect.Success<ReturnType<typeof Schedule.toStep<unknown, Client.Lost, never, never>>>

const failWith = (reason: SessionError["reason"]) => Effect.fail(new SessionError({ reason }))

/** Handlers that stay, whatever becomes of the connections. */
interface Serving {
  readonly handlers: Readonly<Record<string, Handler>>
  readonly options: Conversation.HandleOptions
  readonly context: Context.Context<never>
}

export class Returning {
  private readonly contract: Contract
  private readonly open: Effect.Effect<Wire, unknown, Scope.Scope>
  private readonly options: Options
  private readonly limits: Limits
  private readonly watched = new Watched<Client.State>(
    { _tag: "Connecting", failures: 0 },
    ({ _tag }) => _tag === "Stopped"
  )
  private readonly audience: Audience
  private readonly outbox: Outbox
  private readonly ending = Deferred.makeUnsafe<SessionEnd.SessionEnd>()
  private conversation: Conversation.Conversation | undefined
  private serving: Serving | undefined
  private end: SessionEnd.SessionEnd | undefined
  /** Questions that wait for a connection. */
  private waiting = new Set<(go: Effect.Effect<Conversation.Conversation, SessionError>) => void>()
  private failures = 0
  private nextDelay: NextDelay | undefined
  private wake: (() => void) | undefined

  constructor(contract: Contract, open: Effect.Effect<Wire, unknown, Scope.Scope>, options: Options) {
    this.contract = contract
    this.open = open
    this.options = options
    this.limits = { ...defaults, ...options.limits }
    const backlog = new Backlog()
    this.audience = { backlog, hearing: new Hearing(backlog, this.limits.maxUnread) }
    this.outbox = new Outbox(options.outbox)
  }

  // What a program is given.

  get state(): Effect.Effect<Client.State> {
    return Effect.sync(() => this.watched.value)
  }

  get states(): Stream.Stream<Client.State> {
    return this.watched.changes
  }

  get retry(): Effect.Effect<void> {
    return Effect.sync(() => this.wake?.())
  }

  get dropped(): () => number {
    return () => this.outbox.dropped
  }

  get ended(): Effect.Effect<void, SessionError> {
    return Effect.flatMap(Deferred.await(this.ending), ({ forStreams }) =>
      Pull.catchDone(forStreams, () => Effect.void)
    )
  }

  get events() {
    return (name: string): Stream.Stream<unknown, SessionError> => this.audience.hearing.stream(name)
  }

  get emit() {
    return (name: string, payload?: unknown): Effect.Effect<void, SessionError> =>
      Effect.suspend(() => {
        Conversation.coderOf(this.contract.says.client, "Message", name)
        if (this.end !== undefined) return this.end.forCalls
        const say = (conversation: Conversation.Conversation) => conversation.emit(name, payload)
        // In order: behind what waits already.
        if (this.conversation === undefined || !this.outbox.isEmpty) return this.outbox.put(say)
        return Effect.catch(say(this.conversation), (error) =>
          // It was not sent, so it can be sent by the next one.
          error.reason._tag === "Disconnected" ? this.outbox.put(say) : Effect.fail(error)
        )
      })
  }

  get request() {
    return (
      name: string,
      payload?: unknown,
      options: Conversation.RequestOptions = {}
    ): Effect.Effect<unknown, unknown> =>
      Effect.suspend(() => {
        const { idempotent } = Conversation.coderOf(this.contract.says.client, "Request", name)
        const timeout = Duration.toMillis(options.timeout ?? this.limits.requestTimeout)
        const asked = idempotent
          ? Effect.flatMap(Conversation.keyOf(options), (key) => this.insist(name, payload, key))
          : Effect.flatMap(this.connected, ({ request }) => request(name, payload, { timeout: Infinity }))
        return timeout === Infinity
          ? asked
          : Effect.timeoutOrElse(asked, {
              duration: timeout,
              orElse: () => failWith(new RequestTimeout({ name, timeout }))
            })
      })
  }

  /** Asks until there is an answer, with the same key. */
  private insist(name: string, payload: unknown, key: string): Effect.Effect<unknown, unknown> {
    return Effect.flatMap(this.connected, ({ request }) =>
      Effect.catch(request(name, payload, { timeout: Infinity, key }), (error) =>
        error instanceof SessionError && error.reason._tag === "Disconnected" && this.end === undefined
          ? this.insist(name, payload, key)
          : Effect.fail(error)
      )
    )
  }

  get stream() {
    return (name: string, payload?: unknown, options?: Conversation.StreamOptions): Stream.Stream<unknown, unknown> =>
      Stream.unwrap(Effect.map(this.connected, (conversation) => conversation.stream(name, payload, options)))
  }

  get handle() {
    return <R>(
      handlers: Readonly<Record<string, Handler>>,
      options: Conversation.HandleOptions = {}
    ): Effect.Effect<void, SessionError, R> =>
      Effect.contextWith((context: Context.Context<R>) => {
        if (this.serving !== undefined) return Effect.die(new TypeError("the client has handlers already"))
        this.serving = { handlers, options, context: context as Context.Context<never> }
        this.conversation?.serve(handlers, options, this.serving.context)
        return Effect.onExit(this.ended, () => {
          this.serving = undefined
          return this.conversation?.stop ?? Effect.void
        })
      })
  }

  /** The session of now, or of the next connection. */
  private readonly connected: Effect.Effect<Conversation.Conversation, SessionError> = Effect.suspend(() => {
    if (this.end !== undefined) return this.end.forCalls
    if (this.conversation !== undefined) return Effect.succeed(this.conversation)
    if (this.waiting.size >= (this.options.maxWaiting ?? defaultMaxWaiting)) {
      return failWith(new OutboxFull({ capacity: this.waiting.size }))
    }
    return Effect.callback<Conversation.Conversation, SessionError>((resume) => {
      this.waiting.add(resume)
      return Effect.sync(() => this.waiting.delete(resume))
    })
  })

  // One connection after the other.

  /** Until it is the end. */
  readonly run: Effect.Effect<void> = Effect.suspend(() => {
    const once = Effect.gen({ self: this }, function* () {
      this.watched.set({ _tag: "Connecting", failures: this.failures })
      const began = yield* Clock.currentTimeMillis
      const cause = yield* Effect.scoped(this.session)
      if (this.end !== undefined) return
      if ((yield* Clock.currentTimeMillis) - began >= worthwhile && cause._tag === "Ended") this.prosper()
      return yield* this.lose(cause)
    })
    return Effect.whileLoop({
      while: () => this.end === undefined,
      body: () => once,
      step: () => undefined
    })
  })

  /** One session, from opening to its end. */
  private readonly session: Effect.Effect<Again.Cause, never, Scope.Scope> = Effect.suspend(() => {
    const timeout = Duration.toMillis(this.options.openTimeout ?? "30 seconds")
    const { contract, options } = this
    const met = Effect.flatMap(this.open, (wire) =>
      Effect.flatMap(options.credentials ?? Effect.void, (credentials) =>
        Conversation.greet({ contract, wire, options }, credentials, this.audience)
      )
    )
    const inTime = Effect.timeoutOrElse(met, {
      duration: timeout,
      orElse: () => failWith(new RequestTimeout({ name: "hello", timeout }))
    })
    return Effect.matchEffect(inTime, {
      onFailure: (error) =>
        Effect.succeed<Again.Cause>(
          error instanceof SessionError ? { _tag: "Ended", error } : { _tag: "NotOpened", error }
        ),
      onSuccess: (conversation) => this.converse(conversation)
    })
  })

  private converse(conversation: Conversation.Conversation): Effect.Effect<Again.Cause> {
    return Effect.suspend(() => {
      if (this.end !== undefined) return Effect.interrupt
      this.conversation = conversation
      this.watched.set({ _tag: "Open", session: conversation.id })
      const { serving } = this
      if (serving !== undefined) conversation.serve(serving.handlers, serving.options, serving.context)
      const { waiting } = this
      this.waiting = new Set()
      for (const resume of waiting) resume(Effect.succeed(conversation))
      const ended = Effect.matchEager(conversation.ended, {
        onSuccess: (): Again.Cause => ({ _tag: "Ended", error: undefined }),
        onFailure: (error): Again.Cause => ({ _tag: "Ended", error })
      })
      return Effect.ensuring(
        Effect.raceAllFirst([ended, Effect.andThen(this.outbox.flush(conversation), ended), this.over]),
        Effect.sync(() => {
          this.conversation = undefined
        })
      )
    })
  }

  /** The next failure will be the first of a row. */
  private prosper(): void {
    this.failures = 0
    this.nextDelay = undefined
  }

  /** Decides whether and when to come back, and waits. */
  private lose(cause: Again.Cause): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if ((this.options.again ?? Again.decide)(cause) === "Stop") return this.finish(cause)
      const now = yield* Clock.currentTimeMillis
      const lost: Client.Lost = { cause, failures: ++this.failures, asked: askedBy(cause, now) }
      this.nextDelay ??= yield* Schedule.toStep(
        (this.options.reconnect ?? Reconnect.fullJitter()) as Schedule.Schedule<unknown, Client.Lost>
      )
      const next = yield* Pull.catchDone(this.nextDelay(now, lost), () => Effect.undefined)
      if (next === undefined) return this.finish(cause)
      const delay = lost.asked + Duration.toMillis(next[1])
      this.watched.set({ _tag: "Waiting", lost, delay })
      yield* Effect.raceFirst(Effect.sleep(delay), this.woken)
    })
  }

  private readonly over: Effect.Effect<Again.Cause> = Effect.suspend(() =>
    Effect.as(Deferred.await(this.ending), { _tag: "Ended", error: undefined } as const)
  )

  private readonly woken: Effect.Effect<void> = Effect.callback<void>((resume) => {
    this.wake = () => resume(Effect.void)
    return Effect.sync(() => {
      this.wake = undefined
    })
  })

  private finish(cause: Again.Cause | undefined): void {
    if (this.end !== undefined) return
    const end = endOf(cause)
    this.end = end
    this.watched.set({ _tag: "Stopped", cause })
    const { waiting } = this
    this.waiting = new Set()
    for (const resume of waiting) resume(end.forCalls)
    this.outbox.ended(end)
    this.audience.hearing.ended(end)
    Deferred.doneUnsafe(this.ending, Exit.succeed(end))
  }

  /** The finalizer. A session that is open ends in order; an attempt that is under way is given up. */
  readonly close = (running: Fiber.Fiber<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const open = this.conversation !== undefined
      this.finish(undefined)
      return open ? Effect.asVoid(Fiber.await(running)) : Fiber.interrupt(running)
    })
}

const endOf = (cause: Again.Cause | undefined): SessionEnd.SessionEnd => {
  if (cause?.error === undefined) return SessionEnd.ordinary
  if (cause.error instanceof SessionError) return SessionEnd.failed(cause.error.reason)
  // What an opening of one's own has failed with.
  return SessionEnd.failed(new Disconnected({ cause: cause.error as OpenError }))
}

/** What a server asks for that is not there, or too busy. In milliseconds. */
const askedBy = ({ error }: Again.Cause, now: number): number =>
  error instanceof OpenError && error.reason._tag === "Refused" ? (RetryAfter.read(error.reason.headers, now) ?? 0) : 0
