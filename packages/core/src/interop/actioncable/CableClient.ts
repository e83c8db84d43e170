/**
 * A client of Action Cable that comes back by itself: of `actioncable-v1-json` of Rails, and of
 * `actioncable-v1-ext-json` of AnyCable, by which nothing is missed over a break.
 *
 *     const cable = yield* CableClient.make(NodeWebSocket.open("ws://localhost:8080/cable", CableClient.offer))
 *     const chat = yield* cable.subscribe("ChatChannel", { room: 1 })
 *     yield* Effect.forkScoped(Stream.runForEach(chat.messages, (message) => Console.log(message)))
 *     yield* chat.perform("speak", { text: "hello" })
 *
 * Not in here: the network, which is the `Wire` that it is given.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Comeback from "../../connection/Comeback.ts"
import type { Happening } from "../../connection/Surroundings.ts"
import type { Wire } from "../../messaging/Wire.ts"
import type { CableClientError, Cause } from "./CableClientError.ts"
import type { Element } from "./CableReader.ts"
import { CableReturning } from "./CableReturning.ts"
import * as Packet from "./Packet.ts"

export type { Element, Gap, Joined, Left, Message } from "./CableReader.ts"

/** What a client is at. It is `Away` behind the `Leave` of its surroundings, until their `Return`. */
export type State = Comeback.State<Cause>

/**
 * Opens a connection. Where it is a function, it gets the name of the session that there was last, by which a server of
 * AnyCable's protocol goes on with it: see `resume`.
 */
export type Open<E, R> = Effect.Effect<Wire, E, R> | ((sid: string | undefined) => Effect.Effect<Wire, E, R>)

/** How to come back, and what to keep. Nothing is required. */
export interface Options {
  /** How long to wait before each attempt. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Comeback.Lost<Cause>> | undefined
  /**
   * Whether to come back at all. Default `decide`: not where the server says `reconnect: false`, as it does to who is not
   * `unauthorized`, nor after a refusal that would be repeated. Whoever gets a new token in `open` may want to come back
   * after `token_expired`.
   */
  readonly again?: ((cause: Cause) => Comeback.Decision) | undefined
  /** What goes on around the client. Default: nothing is known of it. */
  readonly surroundings?: Stream.Stream<Happening> | undefined
  /** A connection over which nothing came for so long is given up. A server pings every 3 s. Default 6 s. */
  readonly staleAfter?: Duration.Input | undefined
  /** How long opening, and an answer of the server, may take. Default 10 s. */
  readonly timeout?: Duration.Input | undefined
  /** Elements that wait to be taken of one subscription, at most. Default 1,024: see `messages`. */
  readonly capacity?: number | undefined
  /** The same as the length of the messages that they came in, in UTF-16 units. Default 4 Mi. */
  readonly capacityLength?: number | undefined
}

/** A subscription, which lives as long as its scope, over as many connections as it takes. */
export interface Subscription {
  /** By which the server knows it. */
  readonly identifier: string
  /**
   * What comes, from when the server had it in. What may be missing is told as a `Gap`, in its place: what was said while
   * there was no connection, where the server has no history; and what found no room, as more than `capacity` elements
   * waited. Of several streams that are run each element goes to one.
   *
   * Ends with the subscription. Fails when the server takes it back (`Rejected`), and when the client has stopped.
   */
  readonly messages: Stream.Stream<Element, CableClientError>
  /**
   * Calls an action of the channel; `receive` is that of who names none. Waits until the server has the subscription in,
   * and succeeds when it is handed to the connection: once at most, as nobody answers. A server ignores what is too long
   * for it.
   */
  readonly perform: (action: string, data?: Packet.Payload) => Effect.Effect<void, CableClientError>
  /** Tells the other subscribers something that no channel sees, once at most. AnyCable's protocol, or `Unsupported`. */
  readonly whisper: (data: unknown) => Effect.Effect<void, CableClientError>
  /** Is seen by the others as present, until it leaves or is over. AnyCable's protocol, or `Unsupported`. */
  readonly join: (id: string, info?: unknown) => Effect.Effect<void, CableClientError>
  readonly leave: Effect.Effect<void, CableClientError>
  /** Who is present. AnyCable's protocol, or `Unsupported`. */
  readonly present: Effect.Effect<ReadonlyArray<Packet.Present>, CableClientError>
  /** How many are. */
  readonly count: Effect.Effect<number, CableClientError>
}

export interface CableClient {
  /**
   * Subscribes to a channel; two that say the same share what the server sends. Waits for a connection, and succeeds when
   * the server has confirmed it. Fails with `Rejected`; and with `Unanswered` where it says nothing for `timeout`.
   */
  readonly subscribe: (
    channel: string,
    params?: Packet.Payload
  ) => Effect.Effect<Subscription, CableClientError, Scope.Scope>
  /** The same, by an identifier that somebody else has made. */
  readonly subscribeTo: (identifier: string) => Effect.Effect<Subscription, CableClientError, Scope.Scope>
  readonly state: Effect.Effect<State>
  /** The state as it is, and each one after it. Ends behind `Stopped`. Who is more than 16 behind misses the oldest. */
  readonly states: Stream.Stream<State>
  /** Makes the next attempt at once, if one is being waited for. */
  readonly retry: Effect.Effect<void>
}

/** What to offer in the handshake, the one that says more first. */
export const subprotocols: ReadonlyArray<string> = [Packet.extendedSubprotocol, Packet.subprotocol]

/** The same, as the options of `NodeWebSocket.open`. */
export const offer = { subprotocols } as const

/** The URL of a server, by which it goes on with a session. */
export const resume = (url: string, sid: string | undefined): string =>
  sid === undefined ? url : `${url}${url.includes("?") ? "&" : "?"}sid=${encodeURIComponent(sid)}`

/** As they are where nothing is said. Durations in milliseconds. */
export { decide, defaults } from "./CableReturning.ts"

/**
 * A client that lives as long as the scope. It begins to connect at once, and never fails by itself: what is asked of it
 * fails with `Stopped` when it has stopped, as when the server did not want it back, or with its scope.
 *
 * `open` is run for each attempt, in a scope that ends with the connection.
 */
export const make = <E, R>(
  open: Open<E, R>,
  options: Options = {}
): Effect.Effect<CableClient, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.contextWith((context) => {
    const client = new CableReturning(open as never, options, context as never)
    return Effect.as(client.start, client)
  }) as never
