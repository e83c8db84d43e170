/**
 * A server of Action Cable on a hub: `actioncable-v1-json` of Rails, and `actioncable-v1-ext-json` of AnyCable, for
 * clients that are as they were.
 *
 *     const cable = yield* CableServer.make({ channels: { ChatChannel } })
 *     yield* NodeWebSocketServer.serve({ subprotocols: CableServer.subprotocols }, (connection) =>
 *       cable.serve(connection, { name: "ada" })
 *     )
 *
 * What is published to a topic, by whomever and over whichever wire, reaches the subscriptions of the channels that have
 * it. Not in here: who may connect, which is the server's `handshake`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Broker } from "../../cluster/Broker.ts"
import type { BrokerError } from "../../cluster/BrokerError.ts"
import * as Cast from "../../cluster/Cast.ts"
import type { Client } from "../../cluster/HubAccess.ts"
import type * as Hub from "../../cluster/Hub.ts"
import type { Presence } from "../../cluster/Presence.ts"
import * as Prepared from "../../connection/Prepared.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import * as Identifier from "../../messaging/Identifier.ts"
import { CableEncodings } from "./CableMember.ts"
import { CablePresence } from "./CablePresence.ts"
import type * as Protocol from "./CableProtocol.ts"
import * as CableSession from "./CableSession.ts"
import * as CableSessions from "./CableSessions.ts"
import type { Channels } from "./Channel.ts"
import * as Packet from "./Packet.ts"

/** Those that a server of it offers, the one that says more first. A client that offers none is taken for Rails' own. */
export const subprotocols: ReadonlyArray<string> = [Packet.extendedSubprotocol, Packet.subprotocol]

export interface Options<Request = unknown, R = never> extends Omit<Protocol.Config, "extended"> {
  readonly channels: Channels<Request, R>
  /** The time between two pings. A client of Rails' reconnects after twice 3 s without a word. Default 3 s. */
  readonly pingInterval?: Duration.Input | undefined
  /** What stands between this node and others, so that `disconnect` reaches all of them. Default: there are no others. */
  readonly broker?: Broker["Service"] | undefined
  /** Who is present, for clients of AnyCable's protocol and channels that say where. Default: nobody can be. */
  readonly presence?: Presence["Service"] | undefined
  /**
   * Lets clients of AnyCable's protocol go on with their sessions: whoever comes back with its name, as the same user and
   * to this node, need not subscribe again, and asks for what it has missed. Channels are asked again. Default: each
   * connection is a new session.
   */
  readonly resume?: Resume | boolean | undefined
}

/** Sessions that clients of AnyCable's protocol can come back to. */
export interface Resume extends CableSessions.Options {
  /** How long one is kept when its connection has ended. Default 2 minutes. */
  readonly maxAway?: Duration.Input | undefined
}

/** Who is connected. */
export interface Who<Request>
  extends Partial<Pick<Client<Request>, "name" | "user">>, Pick<Client<Request>, "request"> {
  /** The name of the session that the client had, which it says: see `CableSessions.sidOf`. */
  readonly sid?: string | undefined
}

export interface CableServer<in Request = unknown, out R = never> {
  /** Serves a connection until it ends, as `CableSession.serve` does. */
  readonly serve: (connection: WebSocket, who: Who<Request>) => Effect.Effect<void, WebSocketError, Hub.Hub | R>
  /** Tells a client that it may not be here, and closes: it does not come back by itself. */
  readonly unauthorized: (connection: WebSocket) => Effect.Effect<void, WebSocketError>
  /**
   * Ends the connections of a user, as `ActionCable.server.remote_connections` does; with `broker`, to all nodes, each of
   * which is told once at most. `reconnect`: whether its clients are to come back. Succeeds with how many there were on
   * this node, and fails when the others could not be told.
   */
  readonly disconnect: (user: string, reconnect?: boolean) => Effect.Effect<number, BrokerError, R>
  /** Tells all clients of this node to come back, as when the server is about to be another. */
  readonly restart: Effect.Effect<number, never, R>
}

export const defaultPingInterval = "3 seconds"
export const defaultMaxAway = "2 minutes"

/** On which nodes tell each other. No topic of a client's is one: the broker keeps them apart. */
export const channel = "$cable"

/** Longest name of a user that other nodes are told, in bytes. */
export const maxUserBytes = 1_024

/** Connections that are told one thing in one go, before others have their turn. */
const slice = 512

interface Told {
  readonly node: string
  readonly user: string
  readonly reconnect: boolean
}

const toldOf = (bytes: Uint8Array): Told | undefined => {
  const value = Cast.decode(bytes, 4 * maxUserBytes)
  if (typeof value !== "object" || value === null) return undefined
  const { node, reconnect, user } = value as { readonly [name: string]: unknown }
  return typeof node === "string" && Cast.isText(user, maxUserBytes) && typeof reconnect === "boolean"
    ? { node, user, reconnect }
    : undefined
}

/** As long as the scope is open. */
export const make = <Request = unknown, R = never>({
  broker,
  channels,
  pingInterval = defaultPingInterval,
  presence: people,
  resume = false,
  ...config
}: Options<Request, R>): Effect.Effect<CableServer<Request, R>, BrokerError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const source = yield* Identifier.Source
    const sessions = new Map<CableSession.CableSession<Request, R>, string | undefined>()
    const { maxAway = defaultMaxAway, ...bounds } = typeof resume === "object" ? resume : {}
    const kept = resume === false ? undefined : new CableSessions.CableSessions(Duration.toMillis(maxAway), bounds)
    const clock = yield* Clock.Clock
    const presence = people && new CablePresence(people)
    const encodings = { plain: new CableEncodings(false), extended: new CableEncodings(true) }

    const pings = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      kept?.expire(now)
      const time = Math.floor(now / 1_000)
      const ping = Prepared.make(`{"type":"ping","message":${time}}`)
      let told = 0
      for (const session of sessions.keys()) {
        session.pingUnsafe(ping, time)
        if (++told % slice === 0) yield* Effect.yieldNow
      }
    })
    yield* Effect.forkScoped(Effect.schedule(pings, Schedule.spaced(pingInterval)))

    const end = (
      reason: string,
      reconnect: boolean,
      isMeant: (user: string | undefined) => boolean
    ): Effect.Effect<number, never, R> =>
      Effect.suspend(() => {
        const meant = [...sessions].filter(([, user]) => isMeant(user))
        const ended = Effect.forEach(meant, ([session]) => Effect.ignore(session.disconnect(reason, reconnect)), {
          concurrency: "unbounded",
          discard: true
        })
        return Effect.as(ended, meant.length)
      })

    const disconnect = (user: string, reconnect: boolean) =>
      Effect.suspend(() => {
        // Those who are away do not come back to what they had either.
        kept?.dismiss(user)
        return end("remote", reconnect, (other) => other === user)
      })
    if (broker !== undefined) {
      const context = yield* Effect.context<R>()
      yield* broker.hear(channel, (bytes) => {
        const told = toldOf(bytes)
        if (told === undefined || told.node === broker.node) return
        Effect.runForkWith(context)(disconnect(told.user, told.reconnect))
      })
    }

    return {
      serve: (connection, { name, request, sid: before, user }) =>
        Effect.suspend(() => {
          const extended = connection.subprotocol === Packet.extendedSubprotocol
          const id = source()
          const resumable = extended ? kept : undefined
          const restored =
            before === undefined ? undefined : resumable?.take(before, user, clock.currentTimeMillisUnsafe())
          // No member is known to others by it, as it may be by `id`.
          const sid = resumable && source()
          return CableSession.serve<Request, R>(connection, {
            channels,
            presence,
            client: { id, name: name ?? id, user, request },
            encodings: extended ? encodings.extended : encodings.plain,
            // Rails' own clients do not know of them.
            config: { ...config, extended, pongs: extended && config.pongs === true },
            acceptance: { sid, restored },
            watch: (session) => {
              sessions.set(session, user)
              if (sid !== undefined) resumable?.connect(sid, user, () => session.leaveUnsafe())
              return () => {
                sessions.delete(session)
                if (sid !== undefined) resumable?.depart(sid, session.identifiers, clock.currentTimeMillisUnsafe())
              }
            }
          })
        }),
      unauthorized: (connection) =>
        Effect.andThen(
          connection.send('{"type":"disconnect","reason":"unauthorized","reconnect":false}'),
          Effect.ignore(connection.close(1000))
        ),
      disconnect: (user, reconnect = true) => {
        const here = disconnect(user, reconnect)
        if (broker === undefined) return here
        if (!Cast.isText(user, maxUserBytes)) return Effect.die(new RangeError("the name of a user is too long"))
        // The others do not wait for the closing handshakes here, and those here do not need the others.
        const others = Effect.exit(broker.cast(channel, Cast.encode({ node: broker.node, user, reconnect })))
        return Effect.flatMap(others, (told) => Effect.tap(here, () => told))
      },
      restart: end("server_restart", true, () => true)
    }
  })
