/**
 * WebSocket servers on `node:http`, `node:https` and `node:http2`.
 *
 * `serve` runs a server of its own. `attach` adds endpoints to a server that is there already: its other routes stay
 * as they are. Both last as long as their scope, and end by draining: no new connections, 1001 to those there are, in
 * batches, then the end.
 */
import type * as https from "node:https"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Claims from "./Claims.ts"
import * as Connections from "./Connections.ts"
import * as Endpoint from "./Endpoint.ts"
import { listen, ListenError, type Listening, type ListenOptions } from "./Listen.ts"
import * as OwnServer from "./OwnServer.ts"
import * as Sessions from "./Sessions.ts"
import * as Upgrade from "./Upgrade.ts"

export { accept, refuse } from "./Endpoint.ts"
export { listen, ListenError, type Listening, type ListenOptions }

/** An endpoint at a path: exactly that path, or with `"*"` at every path that no other endpoint claims. */
export interface Route<R> {
  readonly path: string
  readonly endpoint: Endpoint.Endpoint<never, unknown, R>
}

/** Who may connect, and where. */
export interface RouteOptions<A, RH> extends Endpoint.Options<A, RH> {
  /** Begins with a slash, and has no query; or `"*"`. Compared as it is sent, percent-encoding and all. */
  readonly path: string
}

/** An endpoint and where it is, for `attach`. */
export const route = <A = undefined, E = never, R = never, RH = never>(
  options: RouteOptions<A, RH>,
  handler: Endpoint.Handler<A, E, R>
): Route<R | RH> => {
  const { path } = options
  if (path !== Claims.everyPath && !path.startsWith("/"))
    throw new TypeError(`"${path}" is no path: it begins with a slash`)
  return { path, endpoint: Endpoint.make(options, handler) as unknown as Endpoint.Endpoint<never, unknown, R | RH> }
}

/** What can be asked of the endpoints that were added. */
export interface Attached {
  /** How many connections there are now. */
  readonly connections: () => number
}

/** How the endpoints end. */
export interface AttachOptions {
  readonly drain?: Connections.DrainOptions | undefined
}

/**
 * Adds endpoints to a server as long as the scope is open. On a server of `node:http2` they are there over HTTP/2, and
 * with `allowHTTP1` over HTTP/1.1 as well: from then on it tells the clients of new sessions that it has WebSockets.
 *
 * A request for a WebSocket that no endpoint claims is answered with 404, unless another listener for such requests is
 * there to claim it. A request to upgrade to something else than a WebSocket is served as the plain request that it
 * also is; a CONNECT for something else is answered with 501, and one for nothing with 405.
 */
export const attach = <R>(
  server: Claims.Server,
  routes: ReadonlyArray<Route<R>>,
  options: AttachOptions = {}
): Effect.Effect<Attached, never, Exclude<R, Scope.Scope> | Scope.Scope> => attachAll([server], routes, options)

const attachAll = <R>(
  servers: ReadonlyArray<Claims.Server>,
  routes: ReadonlyArray<Route<R>>,
  options: AttachOptions
): Effect.Effect<Attached, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const claim = (path: string) => {
      const found = routes.find((one) => one.path === path)
      if (found === undefined) return undefined
      return (upgrade: Upgrade.Upgrade) => {
        if (connections.isDraining) upgrade.refuse(Upgrade.shuttingDown)
        else connections.serve(found.endpoint, upgrade, context)
      }
    }
    // Finalizers run last to first: after the drain nobody of ours is left; until then, whoever comes is told.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const server of servers) Claims.release(server, claim)
      })
    )
    const deadlines = routes.flatMap(({ endpoint: { grace, settings } }) => {
      return [grace, settings.closeTimeout, settings.pingInterval, settings.pingTimeout]
    })
    const connections = yield* Connections.make(options.drain ?? {}, Math.min(...deadlines))
    yield* Effect.sync(() => {
      for (const server of servers) Claims.register(server, claim)
    })
    return { connections: () => connections.size }
  }) as Effect.Effect<Attached, never, Exclude<R, Scope.Scope> | Scope.Scope>

/** Where to listen, who may connect, and how to end. Nothing of it is required. */
export interface ServeOptions<A, RH> extends Endpoint.Options<A, RH>, ListenOptions, AttachOptions {
  /** Default: every path. */
  readonly path?: string | undefined
  /** With a certificate and its key, and `ca` and `requestCert` for mutual TLS, the server speaks `wss:`. */
  readonly tls?: https.ServerOptions | undefined
  /**
   * Whether WebSockets are served over HTTP/2, too (RFC 8441), on the same port: chosen by ALPN with `tls`, and by the
   * client's first bytes without. An object says what a session may take. Default: HTTP/1.1 only.
   */
  readonly http2?: boolean | Sessions.Options | undefined
}

/** Where the server listens, and how many it serves. */
export interface Served extends Attached, Listening {}

/**
 * Serves WebSockets at one path, or at every one, as long as the scope is open. A request that asks for none gets 426
 * there, 405 over HTTP/2, and every request gets 404 elsewhere.
 *
 *     const server = yield* NodeWebSocketServer.serve({ port: 8080, path: "/echo" }, (connection) =>
 *       Stream.runForEach(connection.messages, connection.send))
 *
 * A client has `handshakeTimeout` to send its request, once more for TLS and once more for an HTTP/2 session without a
 * stream. Fails when the address cannot be listened on.
 */
export const serve = <A = undefined, E = never, R = never, RH = never>(
  options: ServeOptions<A, RH>,
  handler: Endpoint.Handler<A, E, R>
): Effect.Effect<Served, ListenError, Exclude<R | RH, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const { http2, path = Claims.everyPath, tls } = options
    const served = route({ ...options, path }, handler)
    const patience = Math.ceil(Duration.toMillis(options.handshakeTimeout ?? "10 seconds"))
    const wanted = http2 === true ? {} : http2 === false ? undefined : http2
    const own = OwnServer.make({
      tls,
      http2: wanted,
      limits: served.endpoint.maxima,
      patience,
      isServed: (asked) => path === Claims.everyPath || asked === path
    })
    const listening = yield* listen(own.server, options)
    const sessions = own.http2 === undefined ? undefined : yield* Sessions.make(own.http2, wanted ?? {}, patience)
    const attached = yield* attachAll(own.parts, [served], options)
    // Finalizers run last to first: stop accepting connections and streams, drain, let the sessions end, cut.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        own.server.close()
        sessions?.close()
      })
    )
    return { ...listening, ...attached }
  }) as Effect.Effect<Served, ListenError, Exclude<R | RH, Scope.Scope> | Scope.Scope>
