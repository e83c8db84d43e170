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
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import type * as Again from "../messaging/Again.ts"
import type * as Client from "../messaging/Client.ts"
import type { HubClientError } from "./HubClientError.ts"
import type { HubStore } from "./HubStore.ts"
import type { Key } from "./Parcel.ts"
import type * as Position from "./Position.ts"

/** What was published. */
export interface Message {
  readonly _tag: "Message"
  readonly topic: string
  /** Any value of JSON, as its publisher said it. */
  readonly data: unknown
  /** Who published: a name that proves nothing, or `@http`. */
  readonly from: string
  /** When the hub took it, in milliseconds since 1970, by the hub's clock. */
  readonly time: number
  /** Behind it; `undefined` for what has no place in the log. */
  readonly position: Position.Position | undefined
}

/** Something of the topic did not reach this stream, or may not have. No `Gap`, nothing lost. */
export interface Gap {
  readonly _tag: "Gap"
  readonly topic: string
  readonly from: Position.Position | undefined
  readonly to: Position.Position | undefined
}

/** What the stream has got its place since: it is there. */
export interface Advanced {
  readonly _tag: "Advanced"
  readonly topic: string
  readonly position: Position.Position
}

export type Element = Advanced | Gap | Message

export interface SubscribeOptions {
  /** Where the reader was: what it missed comes first. Default: where the store says that it was, or now. */
  readonly position?: Position.Position | undefined
}

export interface PublishOptions {
  /** By which a repeat is known. Default: the client's own producer and the next sequence. */
  readonly key?: Key | undefined
  /** Whether this client's own subscriptions get it, too. Default true. */
  readonly echo?: boolean | undefined
}

/** The answer to a publication. */
export interface Receipt {
  /** Connections of that node that it was handed to. */
  readonly receivers: number
  readonly position: Position.Position | undefined
  /** It had been published before, by an attempt whose answer was lost. */
  readonly repeated: boolean
}

/** How to come back, and what to keep. Nothing is required. */
export interface Options {
  /** How long to wait before each attempt. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Client.Lost> | undefined
  /** Whether to come back at all. Default `Again.decide`. */
  readonly again?: ((cause: Again.Cause) => Again.Decision) | undefined
  /** What goes on around the client. Default: nothing is known of it. */
  readonly surroundings?: Stream.Stream<"Check" | "Leave" | "Retry" | "Return"> | undefined
  /** After so long without anything from the hub it is asked whether it is there. Default: never. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long opening, and an answer of the hub, may take. Default 10 s. */
  readonly timeout?: Duration.Input | undefined
  /** Publications that wait for an answer, at most. Beyond it `publish` suspends. Default 256. */
  readonly maxUnanswered?: number | undefined
  /** Elements that wait to be pulled from one stream, at most. Beyond it nothing is read. Default 256. */
  readonly capacity?: number | undefined
  /** What outlives the client: publications that were not answered, and positions. Default: nothing does. */
  readonly store?: HubStore | undefined
}

/** A client of one hub. */
export interface HubClient extends Pick<Client.Returning, "retry" | "state" | "states"> {
  /**
   * What is published to a topic, from when the stream is run, over as many connections as it takes: each once, in order.
   * Any number may run at the same time: the topic is subscribed to while there is one. Fails when the hub says no
   * (`Refused`), and when the client has stopped.
   */
  readonly subscribe: (topic: string, options?: SubscribeOptions) => Stream.Stream<Element, HubClientError>
  /**
   * Publishes a value of JSON once, however often it takes: succeeds when the hub has answered. Interrupting it gives the
   * publication up where it has not been said yet; what was said may have been published.
   */
  readonly publish: (topic: string, data: unknown, options?: PublishOptions) => Effect.Effect<Receipt, HubClientError>
  /** The name that the hub goes by for this client; waits for a connection. */
  readonly name: Effect.Effect<string, HubClientError>
  /** How long the hub takes to answer now. */
  readonly ping: Effect.Effect<Duration.Duration, HubClientError>
}
