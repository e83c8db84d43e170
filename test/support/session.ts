/** Sessions over connections in memory, and peers that say what the test writes. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { StandardSchemaV1 } from "effect/StandardSchema"
import * as Stream from "effect/Stream"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import { SessionError } from "@millrace/core/messaging/SessionError"
import { start } from "./connection.ts"

export class Taken extends Schema.TaggedError<Taken>()("Taken", { name: Schema.String }) {}

/** Another library's schema, of which nothing is a value, and which has much to say about that. */
const wordy: StandardSchemaV1 = {
  "~standard": { version: 1, vendor: "wordy", validate: () => ({ issues: [{ message: "no ".repeat(5_000) }] }) }
}

/** A contract with something of everything. */
export const Chat = Contract.make("chat", {
  version: "1",
  events: { said: Schema.String, left: Schema.Number },
  commands: { say: Schema.String, tell: Schema.Number, open: Schema.Unknown },
  requests: {
    rename: { payload: Schema.String, success: Schema.String, error: Taken },
    ping: {},
    pay: { payload: Schema.Number, success: Schema.Number, error: Taken, idempotent: true },
    never: { payload: wordy },
    any: { payload: Schema.Unknown, success: Schema.Unknown, error: Schema.Unknown }
  },
  streams: { count: { payload: Schema.Number, element: Schema.Number, error: Taken } },
  serverRequests: { confirm: { payload: Schema.String, success: Schema.Boolean } },
  serverStreams: { ticks: { element: Schema.Number } }
})

export type Chat = typeof Chat

export type Client = Session.Client<Chat>
export type Server = Session.Server<Chat>

/** What answers nothing that a test does not look at. */
export const silent = {
  rename: () => Effect.never,
  ping: () => Effect.never,
  pay: () => Effect.never,
  never: () => Effect.never,
  any: () => Effect.never,
  count: () => Stream.never
}

/** Both ends of a contract, which have met. */
export const meet = <D extends Contract.Definition>(
  contract: Contract.Contract<D>,
  options: { readonly client?: Session.Options; readonly server?: Session.Options } = {}
): Effect.Effect<
  {
    readonly client: Session.Client<Contract.Contract<D>>
    readonly server: Session.Server<Contract.Contract<D>>
    readonly wires: WebSocket.Pair
  },
  SessionError,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const wires = yield* WebSocket.makePair()
    const accepting = yield* start(Session.accept(contract, wires.server, options.server))
    const client = yield* Session.connect(contract, wires.client, ...([options.client] as never))
    return { client, server: yield* Fiber.join(accepting), wires }
  })

/** The other end of a session: what it says is the test's. */
export interface Peer {
  readonly wire: WebSocket.WebSocket
  /** Says packets, as JSON; a string is said as it is. */
  readonly say: (...packets: ReadonlyArray<unknown>) => Effect.Effect<void, WebSocketError>
  /** All that it was told, parsed. */
  readonly heard: Array<unknown>
}

const peerOf = (wire: WebSocket.WebSocket) =>
  Effect.gen(function* () {
    const heard: Array<unknown> = []
    const read = Effect.forever(
      Effect.map(wire.receive, (message) => {
        heard.push(message._tag === "Text" ? JSON.parse(message.text) : message.bytes)
      }),
      { disableYield: true }
    )
    yield* Effect.forkScoped(Effect.exit(read), { startImmediately: true })
    const say: Peer["say"] = (...packets) =>
      Effect.forEach(packets, (packet) => wire.send(typeof packet === "string" ? packet : JSON.stringify(packet)), {
        discard: true
      })
    return { wire, say, heard } satisfies Peer
  })

export const hello = ["hello", { contract: "chat", version: "1" }]
export const welcome = ["welcome", { contract: "chat", version: "1", session: "s" }]

/** A server whose client is the test. */
export const serverOf = (options?: Session.Options) =>
  Effect.gen(function* () {
    const wires = yield* WebSocket.makePair()
    const peer = yield* peerOf(wires.client)
    yield* peer.say(hello)
    const session: Server = yield* Session.accept(Chat, wires.server, options)
    while (peer.heard.length === 0) yield* turn
    peer.heard.length = 0
    return { session, peer, wire: wires.server }
  })

/** A client whose server is the test. */
export const clientOf = (options?: Session.Options) =>
  Effect.gen(function* () {
    const wires = yield* WebSocket.makePair()
    const peer = yield* peerOf(wires.server)
    yield* peer.say(welcome)
    const session: Client = yield* Session.connect(Chat, wires.client, options)
    while (peer.heard.length === 0) yield* turn
    peer.heard.length = 0
    return { session, peer, wire: wires.client }
  })

/** Some turns: until both ends have told one another all that they have to tell. */
export const turn: Effect.Effect<void> = Effect.promise(async () => {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** Why it failed: the tag of the reason, `Failed` with its code; another error as it is. */
export const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.match(effect, {
    onSuccess: () => "succeeded",
    onFailure: (error) => {
      if (!(error instanceof SessionError)) return error
      const { reason } = error
      return reason._tag === "Failed" ? `Failed ${reason.code}` : reason._tag
    }
  })
