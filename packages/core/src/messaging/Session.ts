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
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Contract from "./Contract.ts"
import * as Conversation from "./Conversation.ts"
import type { HandleOptions, Options, RequestOptions, StreamOptions } from "./Conversation.ts"
import type { Counters } from "./Dialogue.ts"
import * as Meeting from "./Meeting.ts"
import type { MessageCodec } from "./MessageCodec.ts"
import type { SessionError } from "./SessionError.ts"
import type { Wire } from "./Wire.ts"

export type { HandleOptions, Options, RequestOptions, StreamOptions }

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

/**
 * What answers to what the peer may say. Requests and streams all have to be answered; messages may be left to `events`.
 * A `SessionError`, of something that was said or asked meanwhile, is no answer: the peer is told `unavailable`.
 */
export type Handlers<Hears extends Contract.Vocabulary> = {
  readonly [N in Name<Messages<Hears>>]?: (
    payload: Contract.Received<Messages<Hears>[N]>
  ) => Effect.Effect<unknown, SessionError, unknown>
} & {
  readonly [N in Name<Requests<Hears>>]: (
    payload: ReceivedOf<Requests<Hears>[N], "payload">
  ) => Effect.Effect<SentOf<Requests<Hears>[N], "success">, ErrorSent<Requests<Hears>[N]> | SessionError, unknown>
} & {
  readonly [N in Name<Streams<Hears>>]: (
    payload: ReceivedOf<Streams<Hears>[N], "payload">
  ) => Stream.Stream<SentOf<Streams<Hears>[N], "element">, ErrorSent<Streams<Hears>[N]> | SessionError, unknown>
}

/** What nobody says is answered by nobody: a misspelt name. */
export type NoOthers<H, Known> = { readonly [N in Exclude<keyof H, keyof Known>]: never }

/** What the handlers need. */
export type Requirements<H> = {
  readonly [N in keyof H]: H[N] extends (payload: never) => Effect.Effect<unknown, unknown, infer R>
    ? R
    : H[N] extends (payload: never) => Stream.Stream<unknown, unknown, infer R>
      ? R
      : never
}[keyof H]

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
   *
   * A listener that is `Limits.maxUnread` behind makes the peer wait, and all that comes behind its messages: also the
   * answer to what it asks in between, which then times out. What may come faster than that is better a stream.
   */
  readonly events: <N extends Name<Messages<Hears>>>(
    name: N
  ) => Stream.Stream<Contract.Received<Messages<Hears>[N]>, SessionError>
  /**
   * Answers what the peer asks, until the session ends: what came before this waits for it. Succeeds after an ordinary
   * close. To be interrupted is to stop answering. A defect answers its request, and is logged.
   */
  readonly handle: <H extends Handlers<Hears>>(
    handlers: H & NoOthers<H, Handlers<Hears>>,
    options?: HandleOptions
  ) => Effect.Effect<void, SessionError, Requirements<H>>
  /** How long the other end takes to answer now: a round trip, and what waits on either side to be sent or read. */
  readonly ping: Effect.Effect<Duration.Duration, SessionError>
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

/** What a server hears of who a client is. */
export type CredentialsOf<C extends Contract.Contract> =
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
  Conversation.accept(
    { contract, wire, options },
    (options.authenticate ?? (() => Effect.void)) as Meeting.Authenticate<Known, R>,
    (known) => options.principal?.(known) ?? ""
  ) as never

/** Says hello, and waits for the welcome. */
export const connect = <D extends Contract.Definition>(
  contract: Contract.Contract<D>,
  wire: Wire,
  ...[options = {} as never]: {} extends Credentials<Contract.Contract<D>>
    ? [options?: ConnectOptions<Contract.Contract<D>>]
    : [options: ConnectOptions<Contract.Contract<D>>]
): Effect.Effect<Client<Contract.Contract<D>>, SessionError, Scope.Scope> =>
  Conversation.greet({ contract, wire, options }, (options as { readonly credentials?: unknown }).credentials) as never

/** The subprotocols to offer, or to serve, for these codecs. */
export const subprotocols = (codecs: ReadonlyArray<MessageCodec> = Conversation.defaultCodecs): ReadonlyArray<string> =>
  codecs.map(({ subprotocol }) => subprotocol)
