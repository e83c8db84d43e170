/**
 * One client of Socket.IO in one namespace, as a program has it, and what a program does with those who come.
 *
 *     const connect: Socket.Connect = (socket) =>
 *       Effect.gen(function* () {
 *         if (socket.auth["token"] !== "t") return yield* Socket.refuse("who are you?", { code: 7 })
 *         yield* socket.join("lobby")
 *         return { say: ([text]) => socket.to("lobby").emit("said", text) }
 *       })
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "../../cluster/BrokerError.ts"
import type { Position } from "../../cluster/Position.ts"
import type { Published } from "../../cluster/Published.ts"
import type { Target } from "../../cluster/Target.ts"
import type { Audience } from "./Audience.ts"
import type * as Packet from "./Packet.ts"

/** A client is not let in. It hears `connect_error` with both, and may come again. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly message: string
  /** A value of JSON, which the client finds in `data` of the error. */
  readonly data?: unknown
}> {}

export const refuse = (message: string, data?: unknown): Effect.Effect<never, Refused> =>
  Effect.fail(new Refused({ message, data }))

/** The socket is over, and nothing is said to its client any more. */
export class SocketClosed extends Data.TaggedError("SocketClosed")<{}> {
  override get message(): string {
    return "the socket is closed"
  }
}

/** What was asked has no answer. */
export class Unanswered extends Data.TaggedError("Unanswered")<{
  /**
   * `Late`: there was none in time. `Gone`: the client is gone. `TooMany`: it has so much to answer already that it was
   * not asked. `TooEarly`: it is not let in yet, and was not asked.
   */
  readonly because: "Gone" | "Late" | "TooEarly" | "TooMany"
}> {
  override get message(): string {
    return `not answered: ${this.because}`
  }
}

/** Why a client is not in a namespace any more. */
export type Reason =
  /** It has left. */
  | "client"
  /** The program has put it out, or has ended. */
  | "server"
  /** Its connection has ended, and it has not come back, where it could have. */
  | "transport"
  /** It has broken a rule. */
  | "violation"

export interface AskOptions {
  /** How long the answer may take. Default 20 s. */
  readonly timeout?: Duration.Input | undefined
}

export const defaultAskTimeout = "20 seconds"

/** What a program has of a client. Where connections are recovered, it outlives the one that it began with. */
export interface Socket<out Request = unknown> {
  /** What the client knows as `socket.id`: no other socket has it, on any node. */
  readonly id: string
  /** Without a query. */
  readonly namespace: string
  /** What the client has written behind a `?` in the name of the namespace. */
  readonly query: string | undefined
  /** What it has said about itself, whatever that is. */
  readonly auth: Packet.Payload
  /** What the server knows of the request that came first. */
  readonly request: Request
  /** Who it belongs to, as the server has found out. */
  readonly user: string | undefined
  /** False while the client may come back, and when it is over. */
  readonly isConnected: boolean
  /** Whether it was let in on another node, and its client has come back to this one: it is in its rooms already. */
  readonly isRecovered: boolean
  /** Suspends while the client has too much to read. While it is away, the event waits for it. */
  readonly emit: (
    name: string,
    ...args: ReadonlyArray<unknown>
  ) => Effect.Effect<void, Packet.UnsendablePacket | SocketClosed>
  /** Says it now or not at all: nothing where the client has too much to read, or is away. Succeeds with whether it was said. */
  readonly emitVolatile: (
    name: string,
    ...args: ReadonlyArray<unknown>
  ) => Effect.Effect<boolean, Packet.UnsendablePacket>
  /**
   * Succeeds with what the client answers. Where it has come back, it is asked again what it has not answered: it may see
   * that twice.
   */
  readonly ask: (
    name: string,
    args: ReadonlyArray<unknown>,
    options?: AskOptions
  ) => Effect.Effect<ReadonlyArray<unknown>, Packet.UnsendablePacket | Unanswered>
  /**
   * Makes it a member of the room's topic; before it is let in, it is one when it is. With a position it gets first what
   * was published behind that. Dies of a `TypeError` for a room whose topic has no proper name.
   */
  readonly join: (room: string, since?: Position) => Effect.Effect<void, BrokerError>
  readonly leave: (room: string) => Effect.Effect<void>
  /** From where on in the log a room that it is in is its: by that, a client that has gone can join it again. */
  readonly joinedAt: (room: string) => Position | undefined
  /** Those that it is in now, in the order in which it joined. */
  readonly rooms: ReadonlyArray<string>
  /** All in these rooms but itself. A `Target` holds topics, not rooms. */
  readonly to: (...rooms: ReadonlyArray<Target | string>) => Audience
  /** All of the namespace but itself. */
  readonly others: Audience
  /** Puts the client out of the namespace: it does not come back by itself. */
  readonly disconnect: Effect.Effect<void>
  /** Waits until it is over. */
  readonly closed: Effect.Effect<Reason>
}

/** An event, for who wants more of it than its arguments. */
export interface Event {
  readonly name: string
  /** Whether the client waits for an answer. */
  readonly isAsked: boolean
}

/**
 * What is done about an event. What it succeeds with is the answer, where one is wanted: an array of arguments, and anything
 * else is an answer without. A failure is logged, and the client gets no answer.
 */
export type Listener<out R = never> = (
  args: ReadonlyArray<unknown>,
  event: Event
) => Effect.Effect<ReadonlyArray<unknown> | Published | void, unknown, R>

/**
 * One for all events, or each by its name: only what the object has itself counts, and other events are ignored. They
 * are run one after the other for each socket; a client that says more than may wait is not read meanwhile.
 */
export type Handler<R = never> = Listener<R> | { readonly [name: string]: Listener<R> }

/**
 * Decides on a client. The scope is that of the socket: what it holds is released when the socket is over. What is
 * emitted and joined in it comes behind the word that the client is in.
 */
export type Connect<in Request = unknown, out R = never> = (
  socket: Socket<Request>
) => Effect.Effect<Handler<R> | void, Refused, R | Scope.Scope>
