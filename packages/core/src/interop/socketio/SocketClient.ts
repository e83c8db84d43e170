/**
 * A client of Socket.IO, protocol revision 5, in one namespace of any server that speaks it. It comes back by itself.
 *
 *     const open = NodeWebSocket.open(SocketClient.address("https://example.com"))
 *     const socket = yield* SocketClient.make(open, { auth: Effect.succeed({ token }) })
 *     yield* socket.emit("say", "hello")
 *     const [answer] = yield* socket.ask("upper", ["tea"], { timeout: "1 second" })
 *     yield* socket.on("said").pipe(Stream.runForEach(({ args }) => Console.log(args)))
 *
 * It needs nothing but a way to open a WebSocket, so it runs wherever there is one; `EngineWire` opens what polls, and goes
 * on over a WebSocket. Not in here: several namespaces over one connection.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Comeback from "../../connection/Comeback.ts"
import type { Happening } from "../../connection/Surroundings.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import * as EngineRequest from "../engineio/EngineRequest.ts"
import type * as Packet from "./Packet.ts"
import type { Decision } from "./SocketClientAgain.ts"
import type { Cause, SocketClientError } from "./SocketClientError.ts"
import type * as Protocol from "./SocketClientProtocol.ts"
import { SocketClientReturning } from "./SocketClientReturning.ts"

export { defaults } from "./SocketClientReturning.ts"

/** What a client is at. It is `Away` behind the `Leave` of its surroundings, until their `Return`. */
export type State = Comeback.State<Cause>

/** Why there is no connection. What a `Schedule` is asked with. */
export type Lost = Comeback.Lost<Cause>

/** The part of a connection that a client needs. */
export type Wire = Pick<WebSocket, "pull" | "receive" | "sendAll">

/** An event of the server's. */
export interface Event {
  readonly name: string
  /**
   * Values of JSON, in which a `Uint8Array` may stand. A server that recovers connections adds one to most events, by
   * which it knows what the client has seen: it stands last.
   */
  readonly args: ReadonlyArray<unknown>
  /** Whether the server waits for an answer. */
  readonly isAsked: boolean
  /**
   * Answers, once: succeeds with whether the answer was taken to be said. It is not where the server does not ask, where
   * it was answered before, and when the connection has ended over which it has asked.
   */
  readonly reply: (...args: ReadonlyArray<unknown>) => Effect.Effect<boolean, SocketClientError>
}

/** The server has let the client in. */
export interface Entrance {
  /** What the server calls the client: another name after each connection, unless that was recovered. */
  readonly id: string
  /** Whether the client is the one that it was before, and gets all that it has missed. */
  readonly recovered: boolean
}

/** What happens to an event that is to be said while there is no connection, when `capacity` of them wait for one. */
export type Overflow =
  /** It is refused: `OutboxFull`. */
  | "Fail"
  /** The oldest makes room for it, and is counted. Questions stay. */
  | "DropOldest"
  /** It is dropped, and counted. */
  | "DropNewest"

/** How to join, to come back, and how much to keep. Nothing is required. */
export interface Options<R = never> {
  /** Begins with `/`. Default `/`. */
  readonly namespace?: string | undefined
  /** What the server is to know of the client: a JSON object. Asked for at each attempt, so that it is fresh. */
  readonly auth?: Effect.Effect<Packet.Payload, unknown, R> | Packet.Payload | undefined
  /** Where an earlier life of the program was, by its `place`. Default: nowhere. */
  readonly place?: Protocol.Place | undefined
  /** How long to wait before each attempt. Default `Reconnect.fullJitter()`. */
  readonly reconnect?: Schedule.Schedule<unknown, Lost> | undefined
  /** Whether to come back at all. Default `SocketClientAgain.decide`. */
  readonly again?: ((cause: Cause) => Decision) | undefined
  /** How long `auth`, opening and being let in may take together. Default 30 s. */
  readonly openTimeout?: Duration.Input | undefined
  /** What goes on around the client. Default: nothing is known of it. */
  readonly surroundings?: Stream.Stream<Happening> | undefined
  /** How many events and answers may wait to be said. While there is a connection `emit` suspends then. Default 256. */
  readonly capacity?: number | undefined
  /** What to do when so many wait and there is no connection. Default `Fail`. */
  readonly overflow?: Overflow | undefined
  /**
   * How many events may wait for one stream, or for the first of them: the server is not read while one has more. A server
   * that is not read for longer than it waits for a pong ends the connection. Default 1,024.
   */
  readonly maxUnread?: number | undefined
  /** The same in bytes, about. Default 1 MiB. */
  readonly maxUnreadBytes?: number | undefined
  /** Limits of packets, both ways. */
  readonly packets?: Packet.Options | undefined
  /** Limits of what a server says before it lets the client in. */
  readonly protocol?: Protocol.Config | undefined
}

export interface AskOptions {
  /** How long the answer may take, from now on. Default 20 s. */
  readonly timeout?: Duration.Input | undefined
}

export interface SocketClient {
  readonly state: Effect.Effect<State>
  /** The state as it is, and each one after it. Ends behind `Stopped`. Who is more than 16 behind misses the oldest. */
  readonly states: Stream.Stream<State>
  /** Makes the next attempt at once, if one is being waited for. */
  readonly retry: Effect.Effect<void>
  /** Waits until the client is in, if it is not now, and fails with `Stopped` when it will not be: after a refusal, for one. */
  readonly entered: Effect.Effect<Entrance, SocketClientError>
  /** The entrance that there is, and each one after it. Ends with the client, as `events` does. */
  readonly entrances: Stream.Stream<Entrance, SocketClientError>
  /**
   * All events, from when the stream is first pulled, with those that came before anybody has listened for them. Any number
   * of streams may run, and each gets every event. Ends with the scope of the client, and fails with `Stopped` when it
   * stops for another reason.
   */
  readonly events: Stream.Stream<Event, SocketClientError>
  /** The same for the events of one name. */
  readonly on: (name: string) => Stream.Stream<Event, SocketClientError>
  /**
   * Says an event, at most once: succeeds when it is in the connection's outbox, or in the client's own, where it waits for
   * a connection. They go in the order of the calls.
   */
  readonly emit: (name: string, ...args: ReadonlyArray<unknown>) => Effect.Effect<void, SocketClientError>
  /** Says it now or not at all: nothing where there is no connection, or it does not take more. Succeeds with whether. */
  readonly emitVolatile: (name: string, ...args: ReadonlyArray<unknown>) => Effect.Effect<boolean, SocketClientError>
  /**
   * Succeeds with what the server answers. It waits for a connection within its timeout. Fails with `Unanswered` when that is
   * lost before there is an answer: it is not asked again, as nobody knows whether it was heard. Interrupting it takes it
   * back where it was not said yet.
   */
  readonly ask: (
    name: string,
    args: ReadonlyArray<unknown>,
    options?: AskOptions
  ) => Effect.Effect<ReadonlyArray<unknown>, SocketClientError>
  /** By which a server that recovers connections knows the client: for the next life of the program. Its `pid` is a secret. */
  readonly place: Effect.Effect<Protocol.Place | undefined>
  /** Events that were given up: there was no room for them in the outbox, or nobody listened and there was none to keep them. */
  readonly dropped: () => number
}

/** Where to open the WebSocket of a client that begins with one: `EngineRequest.address`. */
export const address = (url: string | URL): string => EngineRequest.address(url, "websocket")

/**
 * A client that lives as long as the scope. It begins to connect at once, and never fails by itself: what is asked of it
 * fails with `Stopped` when it has stopped. With the scope the connection is closed behind what waits to be said.
 *
 * `auth` and then `open` are run for each attempt, in a scope that ends with the connection. Dies of a `TypeError` for a
 * namespace that no packet can have.
 */
export const make = <E, R, R2 = never>(
  open: Effect.Effect<Wire, E, R>,
  options: Options<R2> = {}
): Effect.Effect<SocketClient, never, Exclude<R, Scope.Scope> | R2 | Scope.Scope> =>
  Effect.gen(function* () {
    const client = new SocketClientReturning(open as never, options as Options)
    yield* client.start
    return client
  }) as never
