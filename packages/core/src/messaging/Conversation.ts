/**
 * A session without its types: meets the other end, runs the machinery behind it, and is what a program is given of it.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Handler } from "./Replying.ts"
import type * as Contract from "./Contract.ts"
import { type Audience, type Counters, Dialogue, type Verdict } from "./Dialogue.ts"
import * as Identifier from "./Identifier.ts"
import * as JsonCodec from "./JsonCodec.ts"
import * as Meeting from "./Meeting.ts"
import type { MessageCodec } from "./MessageCodec.ts"
import * as Repeats from "./Repeats.ts"
import type { SessionError, SessionViolation, Undecodable } from "./SessionError.ts"
import { defaults, type Limits } from "./SessionLimits.ts"
import * as SessionMeter from "./SessionMeter.ts"
import * as Tracing from "./Tracing.ts"
import type { Wire } from "./Wire.ts"

/** What both ends may choose. */
export interface Options {
  /** What may be spoken; the connection's subprotocol chooses, and the first where it has none. Default: JSON. */
  readonly codecs?: readonly [MessageCodec, ...ReadonlyArray<MessageCodec>] | undefined
  readonly limits?: Partial<Limits> | undefined
  /**
   * What to do with something that is no packet, has a name that is not in the contract, or does not decode, and that
   * nobody can be answered for. It is counted and dropped in either case. Default: `Ignore`.
   */
  readonly onInvalid?: ((error: SessionViolation | Undecodable) => Verdict) | undefined
}

/** How a question is asked. */
export interface RequestOptions {
  /** How long to wait for the answer. Default: `Limits.requestTimeout`. */
  readonly timeout?: Duration.Input | undefined
  /**
   * Says that this is the same question as another one with this key, which an idempotent request may be asked with.
   * Default: a key of its own.
   */
  readonly key?: string | undefined
}

/** How a stream is read. */
export interface StreamOptions {
  /** How many elements may be on their way or wait here. Default: `Limits.credit`. */
  readonly credit?: number | undefined
}

/** How handlers are run. */
export interface HandleOptions {
  /**
   * How many messages and requests are dealt with at a time. Default 1: each waits for the one before it, so that the
   * order is the peer's. Streams go on beside them.
   */
  readonly concurrency?: number | "unbounded" | undefined
}

/** What is spoken where nobody has chosen. */
export const defaultCodecs: readonly [MessageCodec, ...ReadonlyArray<MessageCodec>] = [JsonCodec.json]

interface Parts {
  readonly role: Contract.Role
  readonly contract: Contract.Contract
  readonly wire: Wire
  readonly options: Options
}

const settingsOf = ({ contract, options, wire }: Parts) => {
  const { codecs = defaultCodecs } = options
  return {
    contract,
    wire,
    codec: codecs.find(({ subprotocol }) => subprotocol === wire.subprotocol) ?? codecs[0],
    limits: { ...defaults, ...options.limits }
  }
}

/** The client's end. */
export const greet = (
  parts: Omit<Parts, "role">,
  credentials: unknown,
  audience?: Audience
): Effect.Effect<Conversation, SessionError, Scope.Scope> =>
  Effect.flatMap(Meeting.greet({ ...settingsOf({ ...parts, role: "client" }), credentials }), (met) =>
    begin({ ...parts, role: "client" }, met, "", audience)
  )

/** The server's end. `principal` tells whose keys are whose. */
export const accept = <Known, R>(
  parts: Omit<Parts, "role">,
  authenticate: Meeting.Authenticate<Known, R>,
  principal: (known: Known) => string
): Effect.Effect<Conversation, SessionError, R | Scope.Scope> =>
  Effect.flatMap(Meeting.accept({ ...settingsOf({ ...parts, role: "server" }), authenticate }), (met) =>
    begin({ ...parts, role: "server" }, met, `${parts.contract.name} ${principal(met.known)}`)
  )

const begin = (parts: Parts, met: Meeting.Met<unknown>, principal: string, audience?: Audience) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const { contract, options, role } = parts
    const meter = Context.get(context, SessionMeter.Source)(context)
    const dialogue = new Dialogue({
      ...settingsOf(parts),
      says: contract.says[role],
      hears: contract.says[role === "client" ? "server" : "client"],
      judge: options.onInvalid ?? (() => "Ignore"),
      repeats: Context.get(context, Repeats.Current),
      principal,
      meter,
      audience
    })
    const conversation = new Conversation(parts, met, dialogue, meter)
    yield* Effect.acquireRelease(
      Effect.sync(() => meter.opened()),
      () => Effect.flatMap(dialogue.abandon, (cause) => meter.ended(cause))
    )
    audience?.joined(conversation)
    const read = Tracing.session({ contract: contract.name, session: met.id }, role, dialogue.read)
    conversation.reading = yield* Effect.forkScoped(conversation.annotated(read), { startImmediately: true })
    return conversation
  })

/** A name that the types do not allow is a mistake of the program. */
export const coderOf = <Tag extends "Message" | "Request" | "Stream">(
  says: Contract.Coders,
  tag: Tag,
  name: string
) => {
  const coder = says.get(name)
  if (coder?._tag !== tag) throw new TypeError(`the contract has no ${tag.toLowerCase()} ${JSON.stringify(name)}`)
  return coder as Extract<Contract.MessageCoder | Contract.RequestCoder | Contract.StreamCoder, { _tag: Tag }>
}

/** The handlers of an object by their names. */
export const handlersOf = (
  handlers: Readonly<Record<string, Handler>>,
  { concurrency = 1 }: HandleOptions,
  context: Context.Context<never>
) => ({
  byName: new Map(Object.entries(handlers)),
  concurrency: concurrency === "unbounded" ? Infinity : concurrency,
  context
})

/** The key of a question that may be asked again: its own, or a new one. */
export const keyOf = ({ key }: RequestOptions): Effect.Effect<string> =>
  key === undefined ? Identifier.next : Effect.succeed(key)

export class Conversation {
  readonly id: string
  readonly known: unknown
  readonly peer: Meeting.Peer
  reading: Fiber.Fiber<void> | undefined
  private readonly dialogue: Dialogue
  private readonly limits: Limits
  private readonly meter: SessionMeter.SessionMeter
  private readonly says: Contract.Coders
  private readonly wire: Wire

  constructor(
    { contract, options, role, wire }: Parts,
    met: Meeting.Met<unknown>,
    dialogue: Dialogue,
    meter: SessionMeter.SessionMeter
  ) {
    this.id = met.id
    this.known = met.known
    this.peer = met.peer
    this.dialogue = dialogue
    this.limits = { ...defaults, ...options.limits }
    this.meter = meter
    this.says = contract.says[role]
    this.wire = wire
  }

  /** What is logged in the course of the session says of which. */
  annotated<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.annotateLogs(effect, { session: this.id })
  }

  get ended(): Effect.Effect<void, SessionError> {
    return Effect.flatMap(this.dialogue.ended, ({ forStreams }) => Pull.catchDone(forStreams, () => Effect.void))
  }

  /** The same, when the messages that came before the end were dealt with. */
  get dealtWith(): Effect.Effect<void, SessionError> {
    const { answering, ended } = this.dialogue
    return Effect.flatMap(ended, () => Effect.andThen(answering.idle, this.ended))
  }

  /** See `Dialogue.heard`. */
  get heard(): number {
    return this.dialogue.heard
  }

  /** How long the peer takes to answer now. */
  get ping(): Effect.Effect<Duration.Duration, SessionError> {
    return Effect.map(Effect.timed(this.dialogue.ping), ([duration]) => duration)
  }

  /** Ends at once for everybody who waits, whatever the peer says. Its connection is to be closed. */
  giveUp(reason: SessionError["reason"]): void {
    this.dialogue.giveUp(reason)
    this.reading?.interruptUnsafe()
  }

  get emit() {
    return (name: string, payload?: unknown): Effect.Effect<void, SessionError> =>
      Effect.suspend(() => this.dialogue.emit(coderOf(this.says, "Message", name), payload))
  }

  /** The same by another coder. */
  emitBy(coder: Contract.MessageCoder, payload: unknown): Effect.Effect<void, SessionError> {
    return this.dialogue.emit(coder, payload)
  }

  get request() {
    return (name: string, payload?: unknown, options: RequestOptions = {}): Effect.Effect<unknown, unknown> =>
      Effect.suspend(() => {
        const coder = coderOf(this.says, "Request", name)
        const timeout = options.timeout ?? this.limits.requestTimeout
        const ask = (key: string | undefined) =>
          Tracing.asked(name, (trace) => this.dialogue.asking.request(coder, payload, { timeout, key, trace }))
        return this.meter.timed(coder.idempotent ? Effect.flatMap(keyOf(options), ask) : ask(undefined))
      })
  }

  get stream() {
    return (name: string, payload?: unknown, options: StreamOptions = {}): Stream.Stream<unknown, unknown> =>
      this.dialogue.asking.stream(coderOf(this.says, "Stream", name), payload, {
        credit: options.credit ?? this.limits.credit,
        trace: undefined
      })
  }

  get events() {
    return (name: string): Stream.Stream<unknown, SessionError> => this.dialogue.hearing.stream(name)
  }

  /** Begins to answer, and goes on until somebody stops it, or the session ends. */
  serve(handlers: Readonly<Record<string, Handler>>, options: HandleOptions, context: Context.Context<never>): void {
    this.dialogue.serve(handlersOf(handlers, options, context))
  }

  /** Answers nothing more, and interrupts what it was about to. */
  get stop(): Effect.Effect<void> {
    return this.dialogue.answering.stop()
  }

  get handle() {
    return <R>(
      handlers: Readonly<Record<string, Handler>>,
      options: HandleOptions = {}
    ): Effect.Effect<void, SessionError, R> =>
      this.annotated(
        Effect.contextWith((context: Context.Context<R>) => {
          let serves = false
          const served = Effect.suspend(() => {
            this.serve(handlers, options, context as Context.Context<never>)
            serves = true
            return this.dealtWith
          })
          // A handler may interrupt it while it begins.
          return Effect.onInterrupt(served, () => (serves ? this.stop : Effect.void))
        })
      )
  }

  get close() {
    return (code?: number, reason?: string): Effect.Effect<void> => Effect.ignore(this.wire.close(code, reason))
  }

  get counters(): () => Counters {
    return () => ({ ...this.dialogue.counters })
  }
}
