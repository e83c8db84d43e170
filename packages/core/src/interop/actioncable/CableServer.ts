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
import type { Client } from "../../cluster/HubAccess.ts"
import type * as Hub from "../../cluster/Hub.ts"
import * as Prepared from "../../connection/Prepared.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import * as Identifier from "../../messaging/Identifier.ts"
import { CableEncodings } from "./CableMember.ts"
import type * as Protocol from "./CableProtocol.ts"
import * as CableSession from "./CableSession.ts"
import type { Channels } from "./Channel.ts"
import * as Packet from "./Packet.ts"

/** Those that a server of it offers, the one that says more first. A client that offers none is taken for Rails' own. */
export const subprotocols: ReadonlyArray<string> = [Packet.extendedSubprotocol, Packet.subprotocol]

export interface Options<Request = unknown, R = never> extends Omit<Protocol.Config, "extended"> {
  readonly channels: Channels<Request, R>
  /** The time between two pings. A client of Rails' reconnects after twice 3 s without a word. Default 3 s. */
  readonly pingInterval?: Duration.Input | undefined
}

/** Who is connected. */
export type Who<Request> = Partial<Pick<Client<Request>, "name" | "user">> & Pick<Client<Request>, "request">

export interface CableServer<in Request = unknown, out R = never> {
  /** Serves a connection until it ends, as `CableSession.serve` does. */
  readonly serve: (connection: WebSocket, who: Who<Request>) => Effect.Effect<void, WebSocketError, Hub.Hub | R>
  /** Tells a client that it may not be here, and closes: it does not come back by itself. */
  readonly unauthorized: (connection: WebSocket) => Effect.Effect<void, WebSocketError>
  /**
   * Ends the connections of a user to this server, as `ActionCable.server.remote_connections` does. `reconnect`: whether
   * its clients are to come back. Succeeds with how many there were.
   */
  readonly disconnect: (user: string, reconnect?: boolean) => Effect.Effect<number, never, R>
  /** Tells all clients to come back, as when the server is about to be another. */
  readonly restart: Effect.Effect<number, never, R>
}

export const defaultPingInterval = "3 seconds"

/** As long as the scope is open. */
export const make = <Request = unknown, R = never>({
  channels,
  pingInterval = defaultPingInterval,
  ...config
}: Options<Request, R>): Effect.Effect<CableServer<Request, R>, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const source = yield* Identifier.Source
    const sessions = new Map<CableSession.CableSession<Request, R>, string | undefined>()
    const encodings = { plain: new CableEncodings(false), extended: new CableEncodings(true) }

    const pings = Effect.gen(function* () {
      const time = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const ping = Prepared.make(`{"type":"ping","message":${time}}`)
      for (const session of sessions.keys()) session.pingUnsafe(ping, time)
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

    return {
      serve: (connection, { name, request, user }) => {
        const extended = connection.subprotocol === Packet.extendedSubprotocol
        const id = source()
        return CableSession.serve<Request, R>(connection, {
          channels,
          client: { id, name: name ?? id, user, request },
          encodings: extended ? encodings.extended : encodings.plain,
          config: { ...config, extended },
          watch: (session) => {
            sessions.set(session, user)
            return () => void sessions.delete(session)
          }
        })
      },
      unauthorized: (connection) =>
        Effect.andThen(
          connection.send('{"type":"disconnect","reason":"unauthorized","reconnect":false}'),
          Effect.ignore(connection.close(1000))
        ),
      disconnect: (user, reconnect = true) => end("remote", reconnect, (other) => other === user),
      restart: end("server_restart", true, () => true)
    }
  })
