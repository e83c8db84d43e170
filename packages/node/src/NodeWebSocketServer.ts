/**
 * WebSocket servers on `node:http` and `node:https`.
 *
 * `serve` runs a server of its own. `attach` adds endpoints to a server that is there already: its other routes stay
 * as they are. Both last as long as their scope, and end by draining: no new connections, 1001 to those there are, in
 * batches, then the end.
 */
import * as http from "node:http"
import * as https from "node:https"
import type { Duplex } from "node:stream"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Connections from "./Connections.ts"
import * as Endpoint from "./Endpoint.ts"
import { listen, ListenError, type Listening, type ListenOptions } from "./Listen.ts"
import * as Upgrade from "./Upgrade.ts"

export { accept, refuse } from "./Endpoint.ts"
export { listen, ListenError, type Listening, type ListenOptions }

/** An endpoint at a path: exactly that path, or with `"*"` at every path that no other endpoint claims. */
export interface Route<R> {
  readonly path: string
  readonly endpoint: Endpoint.Endpoint<never, unknown, R>
}

/** Who may connect, and where. */
/** The path of an endpoint that takes what no other endpoint claims. */
const everyPath = "*"

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
  if (path !== everyPath && !path.startsWith("/")) throw new TypeError(`"${path}" is no path: it begins with a slash`)
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

/** What one `attach` does with an upgrade to one of its paths; `undefined` for a path that is none of them. */
type Claim = (path: string) => ((upgrade: Upgrade.Upgrade) => void) | undefined

/** The claims of all `attach` calls on a server, so that an upgrade is refused only when nobody claims it. */
const claims = new WeakMap<http.Server, Set<Claim>>()

const notFound = new Refusal({ status: 404, headers: [], clause: "RFC 9110 15.5.5", detail: "no WebSocket here" })

/**
 * Adds endpoints to a server as long as the scope is open.
 *
 * An upgrade that no endpoint claims is answered with 404, unless another listener for upgrades is there to claim it. A
 * request to upgrade to something else than a WebSocket is served as the plain request that it also is.
 */
export const attach = <R>(
  server: http.Server,
  routes: ReadonlyArray<Route<R>>,
  options: AttachOptions = {}
): Effect.Effect<Attached, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const claim = (path: string) => {
      const found = routes.find((one) => one.path === path)
      if (found === undefined) return undefined
      return (upgrade: Upgrade.Upgrade) => {
        if (connections.isDraining) Upgrade.refuse(upgrade, Upgrade.shuttingDown)
        else connections.serve(found.endpoint, upgrade, context)
      }
    }
    // Finalizers run last to first: after the drain nobody of ours is left; until then, whoever comes is told.
    yield* Effect.addFinalizer(() => Effect.sync(() => release(server, claim)))
    const deadlines = routes.flatMap(({ endpoint: { grace, settings } }) => {
      return [grace, settings.closeTimeout, settings.pingInterval, settings.pingTimeout]
    })
    const connections = yield* Connections.make(options.drain ?? {}, Math.min(...deadlines))
    yield* Effect.sync(() => register(server, claim))
    return { connections: () => connections.size }
  }) as Effect.Effect<Attached, never, Exclude<R, Scope.Scope> | Scope.Scope>

const register = (server: http.Server, claim: Claim): void => {
  const existing = claims.get(server)
  if (existing !== undefined) {
    existing.add(claim)
    return
  }
  claims.set(server, new Set([claim]))
  server.on("upgrade", onUpgrade)
}

const release = (server: http.Server, claim: Claim): void => {
  const existing = claims.get(server)
  existing?.delete(claim)
  if (existing?.size === 0) {
    claims.delete(server)
    server.off("upgrade", onUpgrade)
  }
}

function onUpgrade(this: http.Server, incoming: http.IncomingMessage, socket: Duplex, head: Buffer): void {
  const upgrade = { incoming, socket, head }
  const alone = this.listenerCount("upgrade") === 1
  if (!Upgrade.isWebSocket(incoming)) {
    if (alone) serveAsRequest(this, upgrade)
    return
  }
  for (const path of [Upgrade.pathOf(incoming), everyPath]) {
    for (const claim of claims.get(this) ?? []) {
      const serve = path === undefined ? undefined : claim(path)
      if (serve !== undefined) return serve(upgrade)
    }
  }
  if (alone) Upgrade.refuse(upgrade, notFound)
}

/** A server may ignore `Upgrade`: RFC 9110 section 7.8. Node.js hands the socket over all the same. */
const serveAsRequest = (server: http.Server, { head, incoming, socket }: Upgrade.Upgrade): void => {
  const hasBody =
    incoming.headers["content-length"] !== undefined || incoming.headers["transfer-encoding"] !== undefined
  if (hasBody || head.length > 0) {
    // The parser has let go of the body, so it cannot be read any more.
    return Upgrade.refuse({ incoming, socket, head }, notUpgraded)
  }
  const response = Upgrade.respond({ incoming, socket, head })
  if (response !== undefined) server.emit("request", incoming, response)
}

const notUpgraded = new Refusal({
  status: 400,
  headers: [],
  clause: "RFC 9110 7.8",
  detail: "send this request without Upgrade"
})

/** Where to listen, who may connect, and how to end. Nothing of it is required. */
export interface ServeOptions<A, RH> extends Endpoint.Options<A, RH>, ListenOptions, AttachOptions {
  /** Default: every path. */
  readonly path?: string | undefined
  /** With a certificate and its key, and `ca` and `requestCert` for mutual TLS, the server speaks `wss:`. */
  readonly tls?: https.ServerOptions | undefined
}

/** Where the server listens, and how many it serves. */
export interface Served extends Attached, Listening {}

/**
 * Serves WebSockets at one path, or at every one, as long as the scope is open. A request that is no upgrade gets 426
 * there, and every request gets 404 elsewhere.
 *
 *     const server = yield* NodeWebSocketServer.serve({ port: 8080, path: "/echo" }, (connection) =>
 *       Stream.runForEach(connection.messages, connection.send))
 *
 * A client has `handshakeTimeout` to send its request, once more for TLS. Fails when the address cannot be listened on.
 */
export const serve = <A = undefined, E = never, R = never, RH = never>(
  options: ServeOptions<A, RH>,
  handler: Endpoint.Handler<A, E, R>
): Effect.Effect<Served, ListenError, Exclude<R | RH, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const { path = everyPath } = options
    const onRequest: http.RequestListener = (request, response) => {
      const found = path === everyPath || Upgrade.pathOf(request) === path
      response.writeHead(found ? 426 : 404, {
        "Content-Type": "text/plain; charset=utf-8",
        ...(found ? { Upgrade: "websocket", Connection: "Upgrade, close" } : {})
      })
      response.end(found ? "this is a WebSocket endpoint\n" : "not found\n")
    }
    const patience = Math.ceil(Duration.toMillis(options.handshakeTimeout ?? "10 seconds"))
    const timeouts = Number.isFinite(patience)
      ? {
          headersTimeout: patience,
          requestTimeout: Math.max(300_000, patience),
          connectionsCheckingInterval: Math.min(2_000, Math.ceil(patience / 4))
        }
      : { headersTimeout: 0 }
    const server =
      options.tls === undefined
        ? http.createServer(timeouts, onRequest)
        : https.createServer({ ...timeouts, handshakeTimeout: timeouts.headersTimeout, ...options.tls }, onRequest)
    const listening = yield* listen(server, options)
    const attached = yield* attach(server, [route({ ...options, path }, handler)], options)
    // Finalizers run last to first: stop accepting, drain, cut.
    yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
    return { ...listening, ...attached }
  }) as Effect.Effect<Served, ListenError, Exclude<R | RH, Scope.Scope> | Scope.Scope>
