/**
 * Socket.IO on Node.js, for clients of versions 3 and 4: long-polling and WebSockets at one path of a server.
 *
 *     const io = yield* SocketServer.make({ namespaces: { "/": connect } })
 *     const server = yield* NodeSocketIoServer.serve({ port: 3000 }, io)
 *
 * Clients of version 2 are told that their protocol is not spoken here. Not in here: namespaces, rooms and events, which
 * are `SocketServer`'s.
 */
import * as http from "node:http"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import type * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Claims from "./Claims.ts"
import { listen, ListenError, type Listening, type ListenOptions } from "./Listen.ts"
import * as NodeEngineServer from "./NodeEngineServer.ts"
import type { Asking } from "./session/Asking.ts"
import { KeptRequest } from "./session/KeptRequest.ts"

export { type Asking, ListenError }

/** Finds out who wants to connect, or refuses: once for each session, before anything is said in it. */
export type Identify<Request, R = never> = (request: Asking) => Effect.Effect<SocketServer.Who<Request>, Refusal, R>

export interface Options<Request = Asking, R = never> extends NodeEngineServer.Options {
  /** Default: that of the server of Socket.IO. */
  readonly cluster?: NodeEngineServer.Options["cluster"]
  /** Begins with a slash, and mostly ends with one: compared as it is sent. Default `/socket.io/`. */
  readonly path?: string | undefined
  /** Default: everybody is nobody in particular, and a socket's `request` is what came over HTTP. */
  readonly identify?: Identify<Request, R> | undefined
}

/** The server's requests are to go through `respond` first of all. */
export type Attached = NodeEngineServer.Attached

const anybody = (request: Asking) => Effect.succeed({ request })

/** Adds it to a server of `node:http`, `node:https` or `node:http2`, as long as the scope is open. */
export const attach = <Request = Asking, R = never>(
  server: Claims.Server,
  io: SocketServer.SocketServer<Request>,
  { identify, path = "/socket.io/", ...options }: Options<Request, R> = {}
): Effect.Effect<Attached, never, R | Scope.Scope> =>
  NodeEngineServer.attach(server, { cluster: io.cluster, ...options, path }, (request) =>
    // A socket mostly keeps it as long as it is there.
    Effect.map((identify ?? (anybody as unknown as Identify<Request, R>))(new KeptRequest(request)), io.open)
  )

export interface ServeOptions<Request = Asking, R = never> extends Options<Request, R>, ListenOptions {}

export interface Served extends Listening, Pick<Attached, "sessions"> {}

/** A server of its own over HTTP/1.1, as long as the scope is open. All that is not for the path gets 404. */
export const serve = <Request = Asking, R = never>(
  options: ServeOptions<Request, R>,
  io: SocketServer.SocketServer<Request>
): Effect.Effect<Served, ListenError, R | Scope.Scope> =>
  Effect.gen(function* () {
    const server = http.createServer()
    const listening = yield* listen(server, options)
    const attached = yield* attach(server, io, options)
    server.on("request", (request, response) => {
      if (!attached.respond(request, response)) response.writeHead(404).end()
    })
    return { host: listening.host, port: listening.port, url: listening.url, sessions: attached.sessions }
  })
