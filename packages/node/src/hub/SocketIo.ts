/**
 * `/socket.io/`: the hub's topics for clients of Socket.IO. In the namespace `/` the hub listens to three events, and
 * answers where an answer is wanted:
 *
 *     subscribe    topic, { since }        { topic, position, gap }
 *     unsubscribe  topic                   { topic }
 *     publish      topic, name, ...args    { topic, position, receivers }
 *
 * or `{ error: { code, message } }`, by the codes of `HubMessage`. Who may join and publish is asked as for every other
 * wire. A client is in its topics as a socket is in its rooms: `SocketWire` says which event a publication is.
 */
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Cluster } from "@millrace/core/cluster/Cluster"
import type * as Hub from "@millrace/core/cluster/Hub"
import type { Access, Client } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Position from "@millrace/core/cluster/Position"
import type * as Packet from "@millrace/core/interop/socketio/Packet"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as SocketWire from "@millrace/core/interop/socketio/SocketWire"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Guest from "./Guest.ts"

export const path = "/socket.io/"

/** Who has opened a session. */
export interface Caller {
  /** What it is called in the messages that it publishes. */
  readonly name: string
  readonly request: Guest.Request
}

export interface Options extends Pick<SocketServer.Options<Caller>, "connectTimeout" | "recovery"> {
  /**
   * Who a client is by its `auth`, in place of what `identify` has found by its first request; what is not said stays as
   * it was. Or `Socket.refuse`, with what the client is to hear. Asked for each namespace that it wants to be in.
   */
  readonly authenticate?:
    | ((auth: Packet.Payload, request: Guest.Request) => Effect.Effect<Guest.Identity, Socket.Refused>)
    | undefined
  /** Beside `/`, or in its place: only what the object has itself counts. */
  readonly namespaces?: { readonly [name: string]: Socket.Connect<Caller> } | undefined
  /** Sessions at a time. Default 100,000. */
  readonly maxSessions?: number | undefined
}

/** Why something was not done, as clients of `POST /publish` know it. */
const refused = ({ code, message }: Pick<HubMessage.Refusal, "code" | "message">) => ({ error: { code, message } })

const wrong = (code: HubMessage.ErrorCode, message?: string) => Effect.fail(HubMessage.refuse(code, undefined, message))

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const topicOf = (value: unknown): Effect.Effect<string, HubMessage.Refusal> =>
  typeof value === "string" && HubMessage.isTopic(value) ? Effect.succeed(value) : wrong("bad-topic")

const may = (
  asked: Access<Guest.Request>["join"],
  client: Client<Guest.Request>,
  topic: string
): Effect.Effect<void, HubMessage.Refusal> =>
  asked === undefined
    ? Effect.void
    : Effect.mapError(asked(client, topic), ({ message }) => HubMessage.refuse("forbidden", undefined, message))

const unavailable = (error: BrokerError) => HubMessage.refuseBroker(error)

type Args = ReadonlyArray<unknown>

/** The answer to an event, or why there is none. */
type Answer = Effect.Effect<object, HubMessage.Refusal>

/** What every client finds in `/`. */
export const topics =
  (hub: Hub.Hub["Service"], { join, publish }: Access<Guest.Request> = {}): Socket.Connect<Caller> =>
  (socket) => {
    const { id, user } = socket
    const { name, request } = socket.request
    const client: Client<Guest.Request> = { id, name, user, request }

    const subscribed = (args: Args): Answer =>
      Effect.gen(function* () {
        const topic = yield* topicOf(args[0])
        const since = yield* sinceOf(args[1])
        const { rooms } = socket
        if (rooms.length >= HubMessage.maxTopics && !rooms.includes(topic)) return yield* wrong("too-many-topics")
        yield* may(join, client, topic)
        const missed = since === undefined ? undefined : yield* Effect.mapError(hub.since([topic], since), unavailable)
        yield* Effect.mapError(socket.join(topic, since), unavailable)
        const at = socket.joinedAt(topic)
        return { topic, position: at && Position.print(at), gap: missed && missed.gap.length > 0 }
      })

    const unsubscribed = (args: Args): Answer =>
      Effect.flatMap(topicOf(args[0]), (topic) => Effect.as(socket.leave(topic), { topic }))

    const published = ([to, event, ...args]: Args): Answer =>
      Effect.gen(function* () {
        const topic = yield* topicOf(to)
        if (typeof event !== "string")
          return yield* wrong("bad-message", "publish: a topic, the name of an event, and what it has")
        yield* may(publish, client, topic)
        const time = yield* Clock.currentTimeMillis
        const message = SocketWire.toPublish(event, args, { topic, from: name, time })
        if (Result.isFailure(message)) return yield* wrong("bad-message", message.failure.message)
        const { position, receivers } = yield* Effect.mapError(hub.publish(topic, message.success), (error) =>
          HubMessage.refuseBroker(error)
        )
        return { topic, position: position && Position.print(position), receivers }
      })

    const events: ReadonlyMap<string, (args: Args) => Answer> = new Map([
      ["subscribe", subscribed],
      ["unsubscribe", unsubscribed],
      ["publish", published]
    ])
    const unknown = () => wrong("unknown-type", `the hub listens to ${[...events.keys()].join(", ")}`)
    return Effect.succeed((args, event) =>
      Effect.match((events.get(event.name) ?? unknown)(args), {
        onFailure: (refusal) => [refused(refusal)],
        onSuccess: (answer) => [answer]
      })
    )
  }

const sinceOf = (options: unknown): Effect.Effect<Position.Position | undefined, HubMessage.Refusal> => {
  if (options === undefined || options === null) return Effect.undefined
  const since = isObject(options) ? options["since"] : null
  if (since === undefined) return Effect.undefined
  const position = typeof since === "string" ? HubMessage.decodePosition(since) : undefined
  return position === undefined
    ? wrong("bad-message", '"since" is a position that a hub has told')
    : Effect.succeed(position)
}

const identified = (
  authenticate: NonNullable<Options["authenticate"]>,
  { auth, request: caller, user }: SocketServer.Applicant<Caller>
) =>
  Effect.gen(function* () {
    const known = yield* authenticate(auth, caller.request)
    const { name = caller.name } = known
    if (!HubMessage.isClientName(name)) return yield* Socket.refuse(Guest.badName, { code: "bad-name" })
    return { user: known.user ?? user, request: { ...caller, name } }
  })

export const make = (
  hub: Hub.Hub["Service"],
  cluster: Cluster["Service"],
  access: Access<Guest.Request> | undefined,
  maxMessageBytes: number,
  { authenticate, connectTimeout, namespaces, recovery }: Options
) =>
  SocketServer.make<Caller>({
    authenticate: authenticate && ((applicant) => identified(authenticate, applicant)),
    connectTimeout,
    recovery,
    // A poll may come to any of the nodes.
    cluster: hub.broker.isLocal ? undefined : cluster,
    maxDepth: HubMessage.maxDepth - 1,
    maxAttachmentBytes: maxMessageBytes,
    namespaces: { "/": topics(hub, access), ...namespaces }
  })
