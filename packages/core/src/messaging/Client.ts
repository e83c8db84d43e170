/**
 * A client of a contract that comes back by itself.
 *
 *     const chat = yield* Client.make(Chat, NodeWebSocket.open("wss://example.com/chat"), { credentials: freshToken })
 *     yield* chat.emit("say", { text: "hello" })
 *     yield* chat.events("said").pipe(Stream.runForEach(...))
 *
 * It is a session that outlives its connections: what listens and what answers stays, what is asked waits for the next
 * connection. What was asked when one was lost fails, as nobody can know whether it was heard; a request that its
 * contract calls idempotent is asked again instead. Not in here: what is missed in between, which needs positions (the
 * hub's `History`).
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Comeback from "../connection/Comeback.ts"
import type * as Surroundings from "../connection/Surroundings.ts"
import type * as Again from "./Again.ts"
import type * as Contract from "./Contract.ts"
import type * as Conversation from "./Conversation.ts"
import type { OutboxStore } from "./OutboxStore.ts"
import { Returning as Machinery } from "./Returning.ts"
import type * as Session from "./Session.ts"
import type { Wire } from "./Wire.ts"

export type { Away, Connecting, Died, Open } from "../connection/Comeback.ts"

/** There is no connection; the next attempt is in `delay` milliseconds. */
export type Waiting = Comeback.Waiting<Again.Cause>

/** There will be no more attempts. */
export type Stopped = Comeback.Stopped<Again.Cause>

/** What a client is at. It is `Away` behind the `Leave` of its surroundings, until their `Return`. */
export type State = Comeback.State<Again.Cause>

/** Why there is no connection. What a `Schedule` is asked with. */
export type Lost = Comeback.Lost<Again.Cause>

/**
 * What happens to a message that is to be said while there is no connection and the outbox is full. While there is one,
 * and what waits is being said, it waits, too.
 */
export type Overflow =
  /** It is refused: `OutboxFull`. */
  | "Fail"
  /** Who says it waits. */
  | "Suspend"
  /** The oldest makes room for it, and is counted. */
  | "DropOldest"
  /** It is dropped, and counted. */
  | "DropNewest"

/** Messages that wait for a connection. */
export interface Outbox {
  /** How many messages. Default 256. */
  readonly capacity?: number | undefined
  /** Default `Fail`. */
  readonly overflow?: Overflow | undefined
  /** What outlives the client: messages that wait. Default: nothing does. */
  readonly store?: OutboxStore | undefined
}

/** How to come back. Nothing is required. */
export interface CommonOptions<E, R> extends Conversation.Options {
  /** How long to wait before each attempt, on top of what the server asks for. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Lost, E, R> | undefined
  /** Whether to come back at all. Default `Again.decide`. */
  readonly again?: ((cause: Again.Cause) => Again.Decision) | undefined
  /** How long the credentials, opening and meeting may take together. Default 30 s. */
  readonly openTimeout?: Duration.Input | undefined
  /**
   * What goes on around the client: that the network is back, that the page is put away. Default: nothing is known of it.
   * The clients of `BrowserClient` have those of their page.
   */
  readonly surroundings?: Stream.Stream<Surroundings.Happening> | undefined
  /**
   * After so long without a word from the server, and twice as long at most, it is asked for a sign of life; when none
   * has come for 20 s more, the connection is given up. Default: never, as on Node.js the WebSocket's own Pings do it.
   */
  readonly heartbeat?: Duration.Input | undefined
  readonly outbox?: Outbox | undefined
  /** How many requests and streams may wait for a connection. Beyond it they fail with `OutboxFull`. Default 1,024. */
  readonly maxWaiting?: number | undefined
}

/** The credentials are asked for at each attempt, so that they are fresh. */
type Credentials<C extends Contract.Contract, R> =
  Contract.Credentials<C["definition"]> extends infer S
    ? S extends undefined
      ? { readonly credentials?: undefined }
      : { readonly credentials: Effect.Effect<Contract.Sent<S>, unknown, R> }
    : never

export type Options<C extends Contract.Contract, R> = CommonOptions<never, R> & Credentials<C, R>

/** What only a client that comes back has. */
export interface Returning {
  readonly state: Effect.Effect<State>
  /** The state as it is, and each one after it. Ends behind `Stopped`. Who is more than 16 behind misses the oldest. */
  readonly states: Stream.Stream<State>
  /** Makes the next attempt at once, if one is being waited for: the network is back, or somebody asks. */
  readonly retry: Effect.Effect<void>
  /** Messages that were given up: the outbox had no room for them, or the codec could not say them. */
  readonly dropped: () => number
}

/**
 * A session as `Session.Session` has it, over as many connections as it takes. `emit` succeeds when the message is in a
 * connection's outbox or in the client's own; questions wait for a connection, requests within their timeout. What waits
 * goes in the order in which it was given. A question that was on its way when a connection was lost fails with
 * `Disconnected`, but for requests that are idempotent: they are asked again with their key, also where a server has
 * said `unavailable` and closed within a second.
 *
 * `ping` asks the server that is there now: without a connection it fails with `Disconnected`.
 *
 * Handlers stay, and so do those who listen. What was received is handed to them, though its connection has ended.
 */
export interface Client<C extends Contract.Contract>
  extends Pick<Session.Client<C>, "emit" | "ended" | "events" | "handle" | "ping" | "request" | "stream">, Returning {}

/**
 * A client that lives as long as the scope. It begins to connect at once, and never fails by itself: `ended` tells why
 * it has stopped, and so does everything that is asked of it then: `Disconnected` with the `OpenError` or the
 * `WebSocketError`, `Rejected`, `Mismatch`, or `NotOpened` with what else `open` or `credentials` has failed with.
 *
 * `credentials` and then `open` are run for each attempt, in a scope that ends with the connection. With the scope of the
 * client a connection is closed with 1000, and what waits for one is given up.
 */
export const make = <D extends Contract.Definition, E, R, R2 = never>(
  contract: Contract.Contract<D>,
  open: Effect.Effect<Wire, E, R>,
  ...[options = {} as never]: {} extends Credentials<Contract.Contract<D>, R2>
    ? [options?: Options<Contract.Contract<D>, R2>]
    : [options: Options<Contract.Contract<D>, R2>]
): Effect.Effect<Client<Contract.Contract<D>>, never, Exclude<R, Scope.Scope> | R2 | Scope.Scope> =>
  Effect.gen(function* () {
    const machinery = new Machinery(contract, open as Effect.Effect<Wire, unknown, Scope.Scope>, options as never)
    yield* machinery.start
    return machinery as never
  }) as never
