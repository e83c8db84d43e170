/**
 * The machinery behind `Client`: what goes over one session after the other, and what waits between them. That there is
 * another one is `Comeback`'s business.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as References from "effect/References"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Comeback from "../connection/Comeback.ts"
import { OpenError } from "../connection/OpenError.ts"
import { Unresponsive, WebSocketError } from "../connection/WebSocketError.ts"
import * as Again from "./Again.ts"
import type { Handler } from "./Replying.ts"
import { Backlog } from "./Backlog.ts"
import type * as Client from "./Client.ts"
import type { Contract, MessageCoder, RequestCoder, StreamCoder } from "./Contract.ts"
import * as Conversation from "./Conversation.ts"
import type { Audience } from "./Dialogue.ts"
import { Hearing } from "./Hearing.ts"
import { Outbox, type Say } from "./Outbox.ts"
import type { Keeper } from "./OutboxStore.ts"
import * as SessionEnd from "./SessionEnd.ts"
import { Disconnected, NotOpened, RequestTimeout, SessionError, Unencodable } from "./SessionError.ts"
import { defaults, type Limits } from "./SessionLimits.ts"
import type { Wire } from "./Wire.ts"

/** For so many milliseconds it is waited whether a server that does not answer any more is about to close. */
const patience = 1_000

type Options = Client.CommonOptions<never, never> & {
  readonly credentials?: Effect.Effect<unknown, unknown> | undefined
}

const failWith = (reason: SessionError["reason"]) => Effect.fail(new SessionError({ reason }))

/** Handlers that stay, whatever becomes of the connections. */
interface Serving {
  readonly handlers: Readonly<Record<string, Handler>>
  readonly options: Conversation.HandleOptions
  readonly context: Context.Context<never>
}

export class Returning {
  private readonly contract: Contract
  private readonly limits: Limits
  private readonly comeback: Comeback.Comeback<Conversation.Conversation, Again.Cause>
  private readonly audience: Audience
  private readonly outbox: Outbox
  private readonly keeper: Keeper | undefined
  private readonly ending = Deferred.makeUnsafe<SessionEnd.SessionEnd>()
  private readonly closing = Deferred.makeUnsafe<void>()
  /** The session that there is. */
  private conversation: Conversation.Conversation | undefined
  /** The same, as long as something may be said in it. */
  private live: Conversation.Conversation | undefined
  /** Sessions that have ended, the first first, some of whose messages are not dealt with yet; with the end of that. */
  private readonly leaving = new Map<Conversation.Conversation, Fiber.Fiber<void>>()
  private serving: Serving | undefined
  private end: SessionEnd.SessionEnd | undefined

  constructor(contract: Contract, open: Effect.Effect<Wire, unknown, Scope.Scope>, options: Options) {
    this.contract = contract
    this.limits = { ...defaults, ...options.limits }
    const backlog = new Backlog()
    this.audience = {
      backlog,
      hearing: new Hearing(backlog, { count: this.limits.maxUnread, bytes: this.limits.maxPendingBytes }),
      joined: (conversation) => {
        this.conversation = conversation
        this.serve(conversation, this.unsettled)
      }
    }
    this.outbox = new Outbox(() => this.live, options.outbox, options.maxWaiting)
    this.keeper = options.outbox?.store?.open(contract, this.outbox, this.saying)
    this.comeback = new Comeback.Comeback<Conversation.Conversation, Again.Cause>(
      {
        open: this.meet(contract, open, options),
        failed: (error) => (error instanceof SessionError ? { _tag: "Ended", error } : { _tag: "NotOpened", error }),
        nameOf: ({ id }) => id,
        live: (conversation) => this.converse(conversation),
        heard: ({ heard }) => heard,
        check: ({ ping }) => ping,
        silent: (conversation, silence) => {
          const reason = new Disconnected({ cause: new WebSocketError({ reason: new Unresponsive({ silence }) }) })
          conversation.giveUp(reason)
          return { _tag: "Ended", error: new SessionError({ reason }) }
        },
        again: options.again ?? Again.decide,
        leave: (close, ending) => this.leave(close, ending),
        stopped: (cause, mistake) => this.stopped(cause, mistake)
      },
      options
    )
  }

  // What a program is given.

  get state(): Effect.Effect<Client.State> {
    return this.comeback.state
  }

  get states(): Stream.Stream<Client.State> {
    return this.comeback.states
  }

  get retry(): Effect.Effect<void> {
    return this.comeback.retry
  }

  get ping(): Effect.Effect<Duration.Duration, SessionError> {
    return Effect.suspend(() => this.live?.ping ?? (this.end ?? SessionEnd.ordinary).forCalls)
  }

  get dropped(): () => number {
    return () => this.outbox.dropped + (this.keeper?.dropped ?? 0)
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
        const coder = Conversation.coderOf(this.contract.says.client, "Message", name)
        if (this.end !== undefined) return this.end.forCalls
        // What can be said to nobody need not wait to be told so.
        const refused = this.outbox.free === undefined ? unencodable(coder, payload) : undefined
        if (refused !== undefined) return refused
        const say = this.saying((conversation) => conversation.emit(name, payload))
        return this.keeper?.put(coder, payload, say) ?? this.outbox.put(say)
      })
  }

  private readonly saying =
    (say: Say): Say =>
    (conversation) =>
      Effect.tapError(say(conversation), (error) =>
        Effect.sync(() => {
          if (isLoss(error)) this.lost(conversation)
        })
      )

  get request() {
    return (
      name: string,
      payload?: unknown,
      options: Conversation.RequestOptions = {}
    ): Effect.Effect<unknown, unknown> =>
      Effect.suspend(() => {
        const coder = Conversation.coderOf(this.contract.says.client, "Request", name)
        const timeout = Duration.toMillis(options.timeout ?? this.limits.requestTimeout)
        const asked = coder.idempotent
          ? Effect.flatMap(Conversation.keyOf(options), (key) => this.ask(coder, payload, key))
          : this.ask(coder, payload, undefined)
        return timeout === Infinity
          ? asked
          : Effect.timeoutOrElse(asked, {
              duration: timeout,
              orElse: () => failWith(new RequestTimeout({ name, timeout }))
            })
      })
  }

  /** Asks; with a key, as often as it takes until there is an answer. What was not sent has not been asked yet. */
  private ask(coder: RequestCoder, payload: unknown, key: string | undefined): Effect.Effect<unknown, unknown> {
    return Effect.flatMap(this.connected(coder, payload), (conversation) =>
      Effect.catch(conversation.request(coder.name, payload, { timeout: Infinity, key }), (error) => {
        const again = this.ask(coder, payload, key)
        if (key !== undefined && isUnavailable(error)) {
          const ended = Effect.timeoutOption(Effect.exit(conversation.ended), patience)
          return Effect.flatMap(ended, (ended) => (Option.isSome(ended) ? again : Effect.fail(error)))
        }
        if (!isLoss(error)) return Effect.fail(error)
        this.lost(conversation)
        const isOver = this.end !== undefined || (key === undefined && !isUnsent(error))
        return isOver ? Effect.fail(error) : again
      })
    )
  }

  get stream() {
    return (name: string, payload?: unknown, options?: Conversation.StreamOptions): Stream.Stream<unknown, unknown> =>
      Stream.unwrap(
        Effect.suspend(() => {
          const coder = Conversation.coderOf(this.contract.says.client, "Stream", name)
          return Effect.map(this.connected(coder, payload), (conversation) =>
            Stream.tapError(conversation.stream(name, payload, options), (error) =>
              Effect.sync(() => {
                if (isLoss(error)) this.lost(conversation)
              })
            )
          )
        })
      )
  }

  get handle() {
    return <R>(
      handlers: Readonly<Record<string, Handler>>,
      options: Conversation.HandleOptions = {}
    ): Effect.Effect<void, SessionError, R> =>
      Effect.contextWith((context: Context.Context<R>) => {
        if (this.serving !== undefined) return Effect.die(new TypeError("the client has handlers already"))
        this.serving = { handlers, options, context: context as Context.Context<never> }
        this.serveAll()
        const dealtWith = Effect.flatMap(Effect.exit(this.ended), (exit) =>
          Effect.andThen(
            Effect.suspend(() => Fiber.awaitAll(this.unsettled)),
            exit
          )
        )
        return Effect.onExit(dealtWith, (exit) => {
          this.serving = undefined
          return Exit.isSuccess(exit) || !Cause.hasInterrupts(exit.cause) ? Effect.void : this.stopAll
        })
      })
  }

  private get unsettled(): ReadonlyArray<Fiber.Fiber<void>> {
    return [...this.leaving.values()]
  }

  private serveAll(): void {
    const before: Array<Fiber.Fiber<void>> = []
    for (const [conversation, dealtWith] of this.leaving) {
      this.serve(conversation, [...before])
      before.push(dealtWith)
    }
    if (this.conversation !== undefined) this.serve(this.conversation, before)
  }

  /** Begins to answer in a session, when what came in those before it was dealt with. */
  private serve(conversation: Conversation.Conversation, before: ReadonlyArray<Fiber.Fiber<void>>): void {
    const { serving } = this
    if (serving === undefined) return
    const annotations = { ...Context.get(serving.context, References.CurrentLogAnnotations), session: conversation.id }
    const context = Context.add(serving.context, References.CurrentLogAnnotations, annotations)
    const handlers = before.length === 0 ? serving.handlers : this.behind(serving.handlers, before)
    conversation.serve(handlers, serving.options, context)
  }

  /** Streams are in no order with what else there is. */
  private behind(handlers: Readonly<Record<string, Handler>>, before: ReadonlyArray<Fiber.Fiber<void>>) {
    const { server } = this.contract.says
    const turn = Fiber.awaitAll(before)
    return Object.fromEntries(
      Object.entries(handlers).map(([name, handler]): [string, Handler] => {
        if (server.get(name)?._tag === "Stream") return [name, handler]
        return [name, (payload) => Effect.andThen(turn, () => handler(payload) as Effect.Effect<unknown, unknown>)]
      })
    )
  }

  private readonly stopAll: Effect.Effect<void> = Effect.suspend(() => {
    const all = [...this.leaving.keys()]
    if (this.conversation !== undefined) all.push(this.conversation)
    // Not `Effect.forEach`, which would be most of a kilobyte more for each page to load.
    return Effect.gen(function* () {
      const stopping: Array<Fiber.Fiber<void>> = []
      for (const { stop } of all) stopping.push(yield* Effect.forkDetach(stop, { startImmediately: true }))
      yield* Fiber.awaitAll(stopping)
    })
  })

  /** The session of now, or of the next connection, when it is the turn of the question. */
  private connected(
    coder: RequestCoder | StreamCoder,
    payload: unknown
  ): Effect.Effect<Conversation.Conversation, SessionError> {
    return Effect.suspend(() => {
      if (this.end !== undefined) return this.end.forCalls
      const { free } = this.outbox
      if (free !== undefined) return Effect.succeed(free)
      return unencodable(coder, payload) ?? this.outbox.turn
    })
  }

  /** Nothing can be said in it any more. Who learns of it first says so. */
  private lost(conversation: Conversation.Conversation): void {
    if (this.live === conversation) this.live = undefined
  }

  // One session after the other.

  /** Lives as long as the scope. */
  get start(): Effect.Effect<void, never, Scope.Scope> {
    // First of all, as the other finalizer waits for those who wait for this.
    const closing = Effect.addFinalizer(() => Effect.sync(() => Deferred.doneUnsafe(this.closing, Exit.void)))
    return Effect.andThen(this.comeback.start, closing)
  }

  /** A connection, and a session over it. Who cannot say who they are does not knock. */
  private meet(
    contract: Contract,
    open: Effect.Effect<Wire, unknown, Scope.Scope>,
    options: Options
  ): Effect.Effect<Conversation.Conversation, unknown, Scope.Scope> {
    return Effect.flatMap(options.credentials ?? Effect.void, (credentials) =>
      Effect.flatMap(open, (wire) => Conversation.greet({ contract, wire, options }, credentials, this.audience))
    )
  }

  private converse(conversation: Conversation.Conversation): Effect.Effect<Again.Cause> {
    return Effect.gen({ self: this }, function* () {
      this.live = conversation
      yield* Effect.forkDetach(this.outbox.flush(conversation), { startImmediately: true, uninterruptible: true })
      return yield* Effect.matchEager(conversation.ended, {
        onSuccess: (): Again.Cause => ({ _tag: "Ended", error: undefined }),
        onFailure: (error): Again.Cause => ({ _tag: "Ended", error })
      })
    })
  }

  /**
   * Closes what belongs to an attempt; of a session when the messages that came before its end were dealt with. Nobody
   * waits for that to connect again, as they may be waiting for it themselves.
   */
  private leave(close: Effect.Effect<void>, ending: Comeback.Ending): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { conversation } = this
      this.conversation = undefined
      if (conversation === undefined) return yield* close
      this.lost(conversation)
      if (ending === "Failed" || ending === "Stopped") return yield* close
      if (ending === "Left") yield* Effect.forkDetach(conversation.close(), { startImmediately: true })
      const handled = Effect.raceFirst(Effect.exit(conversation.dealtWith), Deferred.await(this.closing))
      const dealtWith = yield* Effect.forkDetach(Effect.asVoid(handled), { startImmediately: true })
      if (dealtWith.pollUnsafe() === undefined) {
        this.leaving.set(conversation, dealtWith)
        yield* Fiber.await(dealtWith)
      }
      yield* close
      this.leaving.delete(conversation)
    })
  }

  private stopped(cause: Client.Stopped["cause"], mistake: Cause.Cause<never> | undefined): () => void {
    const died = mistake === undefined ? undefined : Exit.failCause(mistake)
    const end = died === undefined ? endOf(cause as Again.Cause | undefined) : { forStreams: died, forCalls: died }
    this.end = end
    this.live = undefined
    return () => {
      this.outbox.ended(end)
      this.audience.hearing.ended(end)
      Deferred.doneUnsafe(this.ending, Exit.succeed(end))
    }
  }
}

const endOf = (cause: Again.Cause | undefined): SessionEnd.SessionEnd => {
  const error = cause?.error
  if (error === undefined) return SessionEnd.ordinary
  if (error instanceof SessionError) return SessionEnd.failed(error.reason)
  return SessionEnd.failed(
    error instanceof OpenError ? new Disconnected({ cause: error }) : new NotOpened({ cause: error })
  )
}

/** Whether it is the end of the session that a question fails with, and not an answer. */
const isLoss = (error: unknown): error is SessionError =>
  error instanceof SessionError && (error.reason._tag === "Disconnected" || error.reason._tag === "SessionViolation")

/** What handlers that are interrupted say, as by a server that is about to close. Nothing was done. */
const isUnavailable = (error: unknown): boolean =>
  error instanceof SessionError && error.reason._tag === "Failed" && error.reason.code === "unavailable"

const isUnsent = ({ reason }: SessionError): boolean =>
  reason._tag === "Disconnected" && reason.cause?.reason._tag === "NotOpen"

/** The failure of what can be said to nobody; `undefined` for all else. */
const unencodable = (
  { name, payload: coder }: MessageCoder | RequestCoder | StreamCoder,
  payload: unknown
): Effect.Effect<never, SessionError> | undefined => {
  const wire = coder.encode(payload)
  return Result.isFailure(wire) ? failWith(new Unencodable({ name, cause: wire.failure })) : undefined
}
