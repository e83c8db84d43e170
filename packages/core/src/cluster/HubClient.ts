/**
 * A client of the hub, by protocol 1 of docs/protocol.md, that comes back by itself: topics as streams that miss nothing
 * or are told what, publications that are said again until they are answered, and heard once.
 *
 *     const hub = yield* HubClient.make(NodeWebSocket.open("ws://localhost:8080/ws", HubClient.subprotocols))
 *     yield* Effect.forkScoped(Stream.runForEach(hub.subscribe("lobby"), (element) => Console.log(element)))
 *     yield* hub.publish("lobby", { text: "hello" })
 *
 * Not in here: the network, which is the `Wire` that it is given.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Happening } from "../connection/Surroundings.ts"
import type * as Again from "../messaging/Again.ts"
import type * as Client from "../messaging/Client.ts"
import * as Identifier from "../messaging/Identifier.ts"
import type { Wire } from "../messaging/Wire.ts"
import type { HubClientError } from "./HubClientError.ts"
import type { Element, Present, PresenceElement } from "./HubElement.ts"
import type { Receipt } from "./HubHeard.ts"
import { subprotocol } from "./HubMessage.ts"
import { HubReturning } from "./HubReturning.ts"
import type { HubStore, Kept, StoreUnavailable } from "./HubStore.ts"
import type { Key } from "./Parcel.ts"
import type * as Position from "./Position.ts"

export type * from "./HubElement.ts"
export type { Receipt } from "./HubHeard.ts"

export interface SubscribeOptions {
  /**
   * Where the reader was: what it missed comes first. Default: where the other streams of the topic are; for the first of
   * them where the store says that the program was, or now.
   */
  readonly position?: Position.Position | undefined
  /**
   * Whether the client is to be there for others, and be told who is: with what they are to know of it, any value of JSON
   * of at most 1 KiB, or `true` for nothing. Of several streams of a topic the latest counts.
   */
  readonly presence?: true | { readonly info?: unknown } | undefined
}

export interface PublishOptions {
  /** By which a repeat is known. Default: the client's own producer and the next sequence. */
  readonly key?: Key | undefined
  /** Whether this client's own subscriptions get it, too. Default true. */
  readonly echo?: boolean | undefined
}

/**
 * Opens a connection to the hub. Where it is a function, it gets the addresses of the hub's nodes as the hub has told them
 * last, with the one to try now in front: each attempt gets another one, and once in a round there is none, to go where
 * the first has gone. The first node is anyone, so that clients of a node that has gone go to different ones.
 *
 *     HubClient.make(([node = "https://hub.example.com"]) => open(new URL("/ws", node)))
 */
export type Open<E, R> = Effect.Effect<Wire, E, R> | ((nodes: ReadonlyArray<string>) => Effect.Effect<Wire, E, R>)

/** How to come back, and what to keep. Nothing is required. */
export interface Options {
  /** How long to wait before each attempt. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Client.Lost> | undefined
  /** Whether to come back at all. Default `Again.decide`. */
  readonly again?: ((cause: Again.Cause) => Again.Decision) | undefined
  /** What goes on around the client. Default: nothing is known of it. */
  readonly surroundings?: Stream.Stream<Happening> | undefined
  /** After so long without anything from the hub it is asked whether it is there. Default: never. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long opening, and an answer of the hub, may take. Default 10 s. */
  readonly timeout?: Duration.Input | undefined
  /** Publications that wait for an answer, at most. Beyond it `publish` suspends. Default 256. */
  readonly maxUnanswered?: number | undefined
  /** Elements that wait to be pulled from one stream, at most. Default 1,024: see `subscribe`. */
  readonly capacity?: number | undefined
  /** The same in characters of their JSON text. Default 4 Mi. One message always has room. */
  readonly capacityLength?: number | undefined
  /** The longest message that the hub takes, in bytes of UTF-8. Default 1 MiB. Longer ones are `Unsayable`. */
  readonly maxMessageBytes?: number | undefined
  /** For how long the hub knows keys. Default 2 minutes. What was said longer ago is not said again: `Uncertain`. */
  readonly window?: Duration.Input | undefined
  /** What outlives the client: publications that were not answered, and positions. Default: nothing does. */
  readonly store?: HubStore | undefined
}

/** What became of a publication that an earlier life of the program has left unanswered. */
export interface Outcome {
  readonly topic: string
  readonly data: unknown
  readonly key: Key
  readonly result: Result.Result<Receipt, HubClientError>
}

/** A client of one hub. */
export interface HubClient extends Pick<Client.Returning, "retry" | "state" | "states"> {
  /**
   * What is published to a topic, from when the stream is run, over as many connections as it takes: each once, in order.
   * Any number may run at the same time: the topic is subscribed to while there is one. Fails when the hub says no
   * (`Refused`), when it takes the client out of the topic (`Kicked`), and when the client has stopped.
   *
   * A stream that is not pulled holds up nobody. When `capacity` elements wait for it, it leaves, and comes back with its
   * position when half of them were pulled: what the hub keeps it gets then, what it does not is told as a `Gap`.
   */
  readonly subscribe: {
    (
      topic: string,
      options: SubscribeOptions & { readonly presence: NonNullable<SubscribeOptions["presence"]> }
    ): Stream.Stream<Element | PresenceElement, HubClientError>
    (topic: string, options?: Omit<SubscribeOptions, "presence">): Stream.Stream<Element, HubClientError>
  }
  /**
   * Publishes a value of JSON once, however often it takes: succeeds when the hub has answered. They are said in the order
   * of the calls. Interrupting it gives the publication up where it has not been said yet; what was said may have been
   * published.
   *
   * While the hub's broker is away it is tried again. So it waits for as long as it takes; it fails with `Uncertain` when it
   * was said and no answer came in `window`.
   */
  readonly publish: (topic: string, data: unknown, options?: PublishOptions) => Effect.Effect<Receipt, HubClientError>
  /** Who is in a topic: asks, and tells nobody of this client. */
  readonly present: (topic: string) => Effect.Effect<Present, HubClientError>
  /** What becomes of the publications that the store had when the client began, from the first; ends with the last. */
  readonly leftovers: Stream.Stream<Outcome>
  /** The program is done with a topic: the store forgets where it was. */
  readonly forget: (topic: string) => Effect.Effect<void, HubClientError>
  /** The name that the hub goes by for this client; waits for a connection. */
  readonly name: Effect.Effect<string, HubClientError>
  /** How long the hub takes to answer now; waits for a connection. */
  readonly ping: Effect.Effect<Duration.Duration, HubClientError>
}

/** What to offer in the handshake. */
export const subprotocols: ReadonlyArray<string> = [subprotocol]

/** As they are where nothing is said. Durations in milliseconds. */
export { defaults } from "./HubReturning.ts"

/**
 * A client that lives as long as the scope. It begins to connect at once, and never fails by itself: what is asked of it
 * fails with `Stopped` when it has stopped, as after a refusal that would be repeated, or with its scope.
 *
 * `open` is run for each attempt, in a scope that ends with the connection. Fails with `StoreUnavailable` where there is a
 * store and it cannot be read. Dies of a `RangeError` for a `maxUnanswered` that is not 1 to 1,000.
 */
export const make: {
  <E, R>(
    open: Open<E, R>,
    options?: Options & { readonly store?: undefined }
  ): Effect.Effect<HubClient, never, Exclude<R, Scope.Scope> | Scope.Scope>
  <E, R>(
    open: Open<E, R>,
    options: Options
  ): Effect.Effect<HubClient, StoreUnavailable, Exclude<R, Scope.Scope> | Scope.Scope>
} = (<E, R>(open: Open<E, R>, options: Options = {}) =>
  Effect.gen(function* () {
    const kept = yield* options.store?.load ?? nothing
    const context = yield* Effect.context<never>()
    const client = new HubReturning(open as never, options, kept, context)
    yield* client.start
    return client
  })) as never

/** What there is without a store. */
const nothing: Effect.Effect<Kept> = Effect.map(Identifier.next, (producer) => ({
  producer,
  epoch: 0,
  sequence: 0,
  unanswered: [],
  positions: new Map()
}))
