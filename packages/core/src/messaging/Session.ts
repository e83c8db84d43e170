/**
 * A contract over a connection: typed messages, requests and streams in both directions.
 *
 *     // A server, for each connection:
 *     const session = yield* Session.accept(Chat, connection)
 *     yield* session.handle({
 *       say: ({ text }) => rooms.say(session.id, text),
 *       rename: (name) => rooms.rename(session.id, name),
 *       history: (since) => rooms.history(since)
 *     })
 *
 *     // A client:
 *     const session = yield* Session.connect(Chat, yield* NodeWebSocket.open("ws://localhost:8080/chat"))
 *     yield* session.request("rename", "ada")
 *     yield* session.events("said").pipe(Stream.runForEach(...))
 *
 * The session lives as long as its scope, the connection as long as its own. Not in here: coming back after a
 * connection is lost, which is `Client`; the rules of the wire, which are in docs/session-protocol.md.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Handler } from "./Answering.ts"
import * as Contract from "./Contract.ts"
import { type Counters, Dialogue, type Verdict } from "./Dialogue.ts"
import * as Identifier from "./Identifier.ts"
import * as JsonCodec from "./JsonCodec.ts"
import * as Meeting from "./Meeting.ts"
import type { MessageCodec } from "./MessageCodec.ts"
import * as Repeats from "./Repeats.ts"
import type { SessionError, SessionViolation, Undecodable } from "./SessionError.ts"
import { defaults, type Limits } from "./SessionLimits.ts"
import { SessionMetrics } from "./SessionMetrics.ts"
import * as Tracing from "./Tracing.ts"
import type { Wire } from "./Wire.ts"

type Messages<V extends Contract.Vocabulary> = V["messages"]
type Requests<V extends Contract.Vocabulary> = V["requests"]
type Streams<V extends Contract.Vocabulary> = V["streams"]

type Name<T> = keyof T & string

/** A schema that is left out stands for nothing. */
type SentOf<D, Key extends string> = D extends { readonly [K in Key]: infer S } ? Contract.Sent<S> : void
type ReceivedOf<D, Key extends string> = D extends { readonly [K in Key]: infer S } ? Contract.Received<S> : void
type ErrorSent<D> = D extends { readonly error: infer S } ? Contract.Sent<S> : never
type ErrorReceived<D> = D extends { readonly error: infer S } ? Contract.Received<S> : never

/** A payload of nothing need not be written. */
type Arguments<Payload, Options> = [Payload] extends [void]
  ? [payload?: Payload, options?: Options]
  : [payload: Payload, options?: Options]

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

/** What answers to what the peer may say. Requests and streams all have to be answered; messages may be left to `events`. */
export type Handlers<Hears extends Contract.Vocabulary> = {
  readonly [N in Name<Messages<Hears>>]?: (
    payload: Contract.Received<Messages<Hears>[N]>
  ) => Effect.Effect<unknown, never, unknown>
} & {
  readonly [N in Name<Requests<Hears>>]: (
    payload: ReceivedOf<Requests<Hears>[N], "payload">
  ) => Effect.Effect<SentOf<Requests<Hears>[N], "success">, ErrorSent<Requests<Hears>[N]>, unknown>
} & {
  readonly [N in Name<Streams<Hears>>]: (
    payload: ReceivedOf<Streams<Hears>[N], "payload">
  ) => Stream.Stream<SentOf<Streams<Hears>[N], "element">, ErrorSent<Streams<Hears>[N]>, unknown>
}

/** What the handlers need. */
export type Requirements<H> = {
  readonly [N in keyof H]: H[N] extends (payload: never) => Effect.Effect<unknown, unknown, infer R>
    ? R
    : H[N] extends (payload: never) => Stream.Stream<unknown, unknown, infer R>
      ? R
      : never
}[keyof H]

/** How handlers are run. */
export interface HandleOptions {
  /**
   * How many messages and requests are dealt with at a time. Default 1: each waits for the one before it, so that the
   * order is the peer's. Streams go on beside them.
   */
  readonly concurrency?: number | "unbounded" | undefined
}

/** One end of a session, which says `Says` and hears `Hears`. `Known` is what `authenticate` found out. */
export interface Session<
  in Says extends Contract.Vocabulary,
  out Hears extends Contract.Vocabulary,
  out Known = unknown
> {
  /** Chosen by the server, the same at both ends. */
  readonly id: string
  /** What the other end said of its contract. */
  readonly peer: Meeting.Peer
  /** On a server what `authenticate` found out; `undefined` on a client. */
  readonly known: Known
  /** Says something that is not answered. Suspends while the connection's outbox is full. Delivered at most once. */
  readonly emit: <N extends Name<Messages<Says>>>(
    name: N,
    ...payload: Arguments<Contract.Sent<Messages<Says>[N]>, never>
  ) => Effect.Effect<void, SessionError>
  /**
   * Asks, and waits for the answer: the error is one of the contract, or a `SessionError`. To be interrupted is to
   * cancel it, which interrupts the handler at the other end.
   */
  readonly request: <N extends Name<Requests<Says>>>(
    name: N,
    ...payload: Arguments<SentOf<Requests<Says>[N], "payload">, RequestOptions>
  ) => Effect.Effect<ReceivedOf<Requests<Says>[N], "success">, ErrorReceived<Requests<Says>[N]> | SessionError>
  /**
   * Asks for a stream each time that it is run. It is sent no faster than it is read: `credit` elements wait here at
   * most. To stop reading it is to cancel it, which ends it at the other end.
   */
  readonly stream: <N extends Name<Streams<Says>>>(
    name: N,
    ...payload: Arguments<SentOf<Streams<Says>[N], "payload">, StreamOptions>
  ) => Stream.Stream<ReceivedOf<Streams<Says>[N], "element">, ErrorReceived<Streams<Says>[N]> | SessionError>
  /**
   * The messages of a name. The first to listen gets those that came before, up to `Limits.maxUnread`; several listeners
   * get each all of them. Ends with an ordinary close, fails with any other end.
   */
  readonly events: <N extends Name<Messages<Hears>>>(
    name: N
  ) => Stream.Stream<Contract.Received<Messages<Hears>[N]>, SessionError>
  /**
   * Answers what the peer asks, until the session ends: what came before this waits for it. Succeeds after an ordinary
   * close. To be interrupted is to stop answering. A defect answers its request, and is logged.
   */
  readonly handle: <H extends Handlers<Hears>>(
    handlers: H,
    options?: HandleOptions
  ) => Effect.Effect<void, SessionError, Requirements<H>>
  /** Waits for the end: succeeds after an ordinary close. */
  readonly ended: Effect.Effect<void, SessionError>
  /** Closes the connection, as `WebSocket.close` does. */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void>
  /** What was not as it should be. */
  readonly counters: () => Counters
}

/** The session that a client of a contract has. */
export type Client<C extends Contract.Contract> = Session<
  Contract.ClientSays<C["definition"]>,
  Contract.ServerSays<C["definition"]>,
  undefined
>

/** The session that a server of a contract has. */
export type Server<C extends Contract.Contract, Known = undefined> = Session<
  Contract.ServerSays<C["definition"]>,
  Contract.ClientSays<C["definition"]>,
  Known
>

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

/** What a server may choose. */
export interface AcceptOptions<C extends Contract.Contract, Known, R> extends Options {
  /**
   * Finds out who it is by the credentials, which are what the contract says. Whoever is refused is closed with 4501
   * and the words of the refusal. Default: everybody is welcome.
   */
  readonly authenticate?:
    | ((credentials: CredentialsOf<C>, hello: Meeting.Peer) => Effect.Effect<Known, Meeting.Refusal, R>)
    | undefined
  /**
   * Whose idempotency keys are whose: those who share a name share keys. Default: all clients of a contract, as keys are
   * random.
   */
  readonly principal?: ((known: Known) => string) | undefined
}

/** What a client may choose. */
export type ConnectOptions<C extends Contract.Contract> = Options & Credentials<C>

type CredentialsOf<C extends Contract.Contract> =
  Contract.Credentials<C["definition"]> extends infer S
    ? S extends undefined
      ? undefined
      : Contract.Received<S>
    : never

type Credentials<C extends Contract.Contract> =
  Contract.Credentials<C["definition"]> extends infer S
    ? S extends undefined
      ? { readonly credentials?: undefined }
      : { readonly credentials: Contract.Sent<S> }
    : never

/** Why somebody is not let in: words for who asked, no secret. */
export const refuse = (detail = ""): Effect.Effect<never, Meeting.Refusal> =>
  Effect.fail(new Meeting.Refusal({ detail }))

/**
 * Waits for the client's first message, and answers it. Fails, with the connection closed, when the client does not say
 * what it should: not in time (4408), too much (4400), another contract (4500), the wrong credentials (4501).
 */
export const accept = <D extends Contract.Definition, Known = undefined, R = never>(
  contract: Contract.Contract<D>,
  wire: Wire,
  options: AcceptOptions<Contract.Contract<D>, Known, R> = {}
): Effect.Effect<Server<Contract.Contract<D>, Known>, SessionError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const limits = { ...defaults, ...options.limits }
    const codec = codecOf(wire, options)
    const met = yield* Meeting.accept({
      contract,
      wire,
      codec,
      limits,
      authenticate: (options.authenticate ?? (() => Effect.void)) as Meeting.Authenticate<Known, R>
    })
    const principal = `${contract.name} ${options.principal?.(met.known) ?? ""}`
    return (yield* begin("server", contract, wire, codec, met, options, principal)) as never
  })

/** Says hello, and waits for the welcome. */
export const connect = <D extends Contract.Definition>(
  contract: Contract.Contract<D>,
  wire: Wire,
  ...[options = {} as never]: {} extends Credentials<Contract.Contract<D>>
    ? [options?: ConnectOptions<Contract.Contract<D>>]
    : [options: ConnectOptions<Contract.Contract<D>>]
): Effect.Effect<Client<Contract.Contract<D>>, SessionError, Scope.Scope> =>
  Effect.gen(function* () {
    const given: Options & { readonly credentials?: unknown } = options
    const codec = codecOf(wire, given)
    const limits = { ...defaults, ...given.limits }
    const met = yield* Meeting.greet({ contract, wire, codec, limits, credentials: given.credentials })
    return (yield* begin("client", contract, wire, codec, met, given, "")) as never
  })

const json: readonly [MessageCodec] = [JsonCodec.make()]

/** The subprotocols to offer, or to serve, for these codecs. */
export const subprotocols = (codecs: ReadonlyArray<MessageCodec> = json): ReadonlyArray<string> =>
  codecs.map(({ subprotocol }) => subprotocol)

const codecOf = ({ subprotocol }: Wire, { codecs = json }: Options): MessageCodec =>
  codecs.find((codec) => codec.subprotocol === subprotocol) ?? codecs[0]

const begin = (
  role: Contract.Role,
  contract: Contract.Contract,
  wire: Wire,
  codec: MessageCodec,
  { id, known, peer }: Meeting.Met<unknown>,
  options: Options,
  principal: string
) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const limits = { ...defaults, ...options.limits }
    const metrics = new SessionMetrics(context)
    const dialogue = new Dialogue({
      wire,
      codec,
      says: contract.says[role],
      hears: contract.says[role === "client" ? "server" : "client"],
      limits,
      judge: options.onInvalid ?? (() => "Ignore"),
      repeats: Context.get(context, Repeats.Current),
      principal,
      metrics
    })
    const annotated = Effect.annotateLogs({ session: id })
    yield* Effect.acquireRelease(
      Effect.sync(() => metrics.opened()),
      () => Effect.flatMap(dialogue.abandon, (cause) => metrics.ended(cause))
    )
    yield* Effect.forkScoped(annotated(dialogue.read), { startImmediately: true })
    return sessionOf(dialogue, { id, known, peer, limits, wire, says: contract.says[role], annotated, metrics })
  })

interface Parts {
  readonly id: string
  readonly known: unknown
  readonly peer: Meeting.Peer
  readonly limits: Limits
  readonly wire: Wire
  readonly says: Contract.Coders
  readonly annotated: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly metrics: SessionMetrics
}

/** A name that the types do not allow is a mistake of the program. */
const coderOf = <Tag extends "Message" | "Request" | "Stream">(says: Contract.Coders, tag: Tag, name: string) => {
  const coder = says.get(name)
  if (coder?._tag !== tag) throw new TypeError(`the contract has no ${tag.toLowerCase()} ${JSON.stringify(name)}`)
  return coder as Extract<Contract.MessageCoder | Contract.RequestCoder | Contract.StreamCoder, { _tag: Tag }>
}

const sessionOf = (dialogue: Dialogue, { annotated, id, known, limits, metrics, peer, says, wire }: Parts) => {
  const { answering, asking, hearing } = dialogue
  const ended = Effect.flatMap(dialogue.ended, ({ forStreams }) => Pull.catchDone(forStreams, () => Effect.void))
  return {
    id,
    peer,
    known,
    ended,
    emit: (name: string, payload?: unknown) =>
      Effect.suspend(() => dialogue.emit(coderOf(says, "Message", name), payload)),
    request: (name: string, payload?: unknown, options: RequestOptions = {}) =>
      Effect.suspend(() => {
        const coder = coderOf(says, "Request", name)
        const timeout = options.timeout ?? limits.requestTimeout
        const ask = (key: string | undefined) =>
          Tracing.asked(name, (trace) => asking.request(coder, payload, { timeout, key, trace }))
        const asked = coder.idempotent ? Effect.flatMap(keyOf(options), ask) : ask(undefined)
        return metrics.timed(asked)
      }),
    stream: (name: string, payload?: unknown, options: StreamOptions = {}) =>
      asking.stream(coderOf(says, "Stream", name), payload, {
        credit: options.credit ?? limits.credit,
        trace: undefined
      }),
    events: (name: string) => hearing.stream(name),
    handle: (handlers: Readonly<Record<string, Handler>>, options: HandleOptions = {}) =>
      annotated(
        Effect.contextWith((context: Context.Context<never>) => {
          const { concurrency = 1 } = options
          dialogue.serve({
            byName: new Map(Object.entries(handlers)),
            concurrency: concurrency === "unbounded" ? Infinity : concurrency,
            context
          })
          return Effect.onInterrupt(ended, () => answering.stop())
        })
      ),
    close: (code?: number, reason?: string) => Effect.ignore(wire.close(code, reason)),
    counters: () => ({ ...dialogue.counters })
  }
}

const keyOf = ({ key }: RequestOptions): Effect.Effect<string> =>
  key === undefined ? Identifier.next : Effect.succeed(key)
