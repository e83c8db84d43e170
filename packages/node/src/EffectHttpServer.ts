/**
 * WebSocket endpoints as routes of an Effect `HttpRouter` application, beside its other routes.
 *
 *     const routes = Layer.mergeAll(
 *       HttpRouter.add("GET", "/health", HttpServerResponse.text("ok")),
 *       HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade((connection) =>
 *         Stream.runForEach(connection.messages, connection.send)))
 *     )
 *     const server = HttpRouter.serve(routes).pipe(Layer.provide(EffectHttpServer.layer({ port: 8080 })))
 *
 * What Effect calls unstable, `effect/http` and the server of `@effect/platform-node`, is known to this file only. It
 * leaves to that server all but requests to open a WebSocket. Not in here: `HttpServerRequest.upgrade`, which fails for
 * a WebSocket as it does for a request that is no upgrade.
 */
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type { NodeServices } from "@effect/platform-node/NodeServices"
import * as Handshake from "@millrace/core/codec/Handshake"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Cookies from "effect/http/Cookies"
import type * as Etag from "effect/http/Etag"
import type { HttpPlatform } from "effect/http/HttpPlatform"
import * as HttpServer from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Connections from "./Connections.ts"
import * as Endpoint from "./Endpoint.ts"
import * as Http1Upgrade from "./Http1Upgrade.ts"
import * as Upgrade from "./Upgrade.ts"

export { accept, refuse } from "./Endpoint.ts"

/** A request to open a WebSocket that no route has answered yet. */
interface Pending {
  readonly upgrade: Http1Upgrade.Http1Upgrade
  /** For any answer but the one that opens the connection. */
  readonly response: http.ServerResponse
  readonly connections: Connections.Connections
}

/** What `upgrade` needs of the server that it is served by: a route on another one does not compile. */
export class Upgrades extends Context.Service<Upgrades, { readonly pending: WeakMap<object, Pending> }>()(
  "@millrace/node/EffectHttpServer/Upgrades"
) {}

// The route.

/**
 * A route, for `HttpRouter.add("GET", ...)`, that opens a WebSocket; as an effect, the life of a connection.
 *
 * The handler and `handshake` have the services of the route, its request among them. The handler runs in a fiber of
 * its own, by the rules of `Endpoint.Handler`. The route waits for it, answers with 101 when the connection has ended,
 * and closes the connection with 1001 when it is interrupted itself.
 *
 * A refusal is an answer like that of any route, so what the application does to answers is done to it: 426 when the
 * request is no upgrade, 400 for a bad handshake, 403 for the origin, 503 while the server shuts down, and what
 * `handshake` refuses with. To the 101, which is sent before the handler runs, `handshake` alone can add fields. The
 * route dies when `handshake` does.
 */
export const upgrade: {
  <E = never, R = never>(
    handler: Endpoint.Handler<undefined, E, R>
  ): Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    Exclude<R, Scope.Scope> | HttpServerRequest.HttpServerRequest | Upgrades
  >
  <A = undefined, E = never, R = never, RH = never>(
    options: Endpoint.Options<A, RH>,
    handler: Endpoint.Handler<A, E, R>
  ): Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    never,
    Exclude<R, Scope.Scope> | RH | HttpServerRequest.HttpServerRequest | Upgrades
  >
} = <R>(
  ...[options, handler]:
    | [Endpoint.Handler<undefined, unknown, R>]
    | [Endpoint.Options<undefined, R>, Endpoint.Handler<undefined, unknown, R>]
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | HttpServerRequest.HttpServerRequest | Upgrades> => {
  const endpoint = typeof options === "function" ? Endpoint.make({}, options) : Endpoint.make(options, handler!)
  return Effect.gen(function* () {
    const request = NodeHttpServerRequest.toIncomingMessage(yield* HttpServerRequest.HttpServerRequest)
    const { pending } = yield* Upgrades
    const found = pending.get(request)
    if (found === undefined) return yield* Effect.fail(notAnUpgrade)
    pending.delete(request)
    const { connections } = found
    if (connections.isDraining) return yield* Effect.fail(Upgrade.shuttingDown)
    const context = yield* Effect.context<R>()
    const fiber = connections.fork(endpoint, found.upgrade, (host) => live(endpoint, found, host), context)
    return yield* Fiber.join(fiber).pipe(
      // Effect would run it uninterruptible, where it is no route of a router.
      Effect.interruptible,
      Effect.onInterrupt(() => Effect.timeoutOption(Fiber.interrupt(fiber), endpoint.settings.closeTimeout + 1_000)),
      Effect.as(switched)
    )
  }).pipe(Effect.uninterruptible, Effect.catchTag("Refusal", toResponse))
}

const live = <A, E, R>(
  endpoint: Endpoint.Endpoint<A, E, R>,
  { response, upgrade }: Pending,
  host: Endpoint.Host
): Effect.Effect<void, Refusal, R> =>
  Effect.flatMap(Endpoint.open(endpoint, upgrade), (opened) => {
    // The socket is the connection's. A response that has ended is one that the server has no more to do for.
    response.detachSocket(upgrade.duplex as Socket)
    response.end()
    return Endpoint.run(endpoint, opened, host) as Effect.Effect<void, never, R>
  })

/** Told to the application; the client got its own when the connection was opened. */
const switched = HttpServerResponse.empty({ status: 101 })

const notAnUpgrade = new Refusal({
  status: 426,
  headers: [],
  clause: "RFC 9110 15.5.22",
  detail: "this is a WebSocket endpoint"
})

/** Dies when the refusal cannot be sent: a mistake of whoever made it. */
const toResponse = (refusal: Refusal): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const refused = Handshake.refuse(refusal)
  if (Result.isFailure(refused)) return Effect.die(refused.failure)
  const { body, response } = refused.success
  const fields = new Map<string, string>()
  for (const [name] of response.headers) {
    const values = HttpHeaders.combined(response.headers, name)
    if (values !== undefined && !HttpHeaders.equalsIgnoringCase(name, "Set-Cookie")) fields.set(name, values)
  }
  return Effect.succeed(
    HttpServerResponse.uint8Array(body, {
      status: response.status,
      headers: fields,
      cookies: Cookies.fromSetCookie(HttpHeaders.values(response.headers, "Set-Cookie"))
    })
  )
}

// The server.

/**
 * Where to listen and how to end, as for `NodeHttpServer.layer`: without a `host` on every interface, and without a
 * `port` on one that is free.
 */
export interface Options extends Omit<NodeHttpServer.Options, "websocket"> {
  /** With a certificate and its key, and `ca` and `requestCert` for mutual TLS, the server speaks `https:` and `wss:`. */
  readonly tls?: https.ServerOptions | undefined
  /** A server with settings of its own, in place of `tls`. Default: one that gives a client 10 s to send its request. */
  readonly server?: (() => http.Server | https.Server) | undefined
  readonly drain?: Connections.DrainOptions | undefined
}

/** A client has so long to send the head of its request. */
const timeouts = { headersTimeout: 10_000, connectionsCheckingInterval: 2_000 }

/** Routes come with requests, so their deadlines are not known before: in milliseconds, the shortest to be kept well. */
const shortestDeadline = 800

/** How long what the server still has to say may take when its time is up. */
const lastWords = 1_000

const make = ({ drain = {}, server: create, tls, ...options }: Options) =>
  Effect.gen(function* () {
    const server =
      create?.() ?? (tls === undefined ? http.createServer(timeouts) : https.createServer({ ...timeouts, ...tls }))
    const sockets = yield* makeSockets(server)
    const effects = yield* NodeHttpServer.make(() => server, options)
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        Effect.sync(() => server.close()),
        sockets.end
      )
    )
    const pending: Upgrades["Service"]["pending"] = new WeakMap()
    const serve: Serve = (app, middleware) =>
      Effect.gen(function* () {
        const requests = yield* Scope.fork(yield* Effect.scope, "parallel")
        const handle = yield* NodeHttpServer.makeHandler(app, { middleware: middleware as never, scope: requests })
        const connections = yield* Connections.make(drain, shortestDeadline)
        const onUpgrade: UpgradeListener = (incoming, socket, head) => {
          if (!Http1Upgrade.isWebSocket(incoming)) return onOtherUpgrade(incoming, socket, head)
          const upgrade = new Http1Upgrade.Http1Upgrade(incoming, socket, head)
          const response = upgrade.respond()
          if (response === undefined) return
          pending.set(incoming, { upgrade, response, connections })
          handle(incoming, response)
        }
        yield* Effect.addFinalizer(() => Effect.sync(() => server.off("upgrade", onUpgrade)))
        yield* effects.serve(app, middleware!)
        // Effect's server has just begun to listen for them.
        const onOtherUpgrade = server.listeners("upgrade").at(-1) as UpgradeListener
        server.off("upgrade", onOtherUpgrade).on("upgrade", onUpgrade)
        // Begun first and waited for last: meanwhile Effect's server stops listening, and waits for other requests.
        yield* Effect.addFinalizer(() => Effect.andThen(sockets.cutSilent, Effect.forkDetach(connections.drain(drain))))
      })
    return Context.make(Upgrades, { pending }).pipe(
      Context.add(HttpServer.HttpServer, HttpServer.make({ address: effects.address, serve }))
    )
  })

type Serve = Parameters<typeof HttpServer.make>[0]["serve"]

type UpgradeListener = (incoming: http.IncomingMessage, socket: Duplex, head: Buffer) => void

/** The sockets of a server, whatever is spoken on them. */
const makeSockets = (server: http.Server) =>
  Effect.sync(() => {
    const sockets = new Set<Socket>()
    let onEmpty: (() => void) | undefined
    server.on("connection", (socket: Socket) => {
      sockets.add(socket)
      socket.once("close", () => {
        sockets.delete(socket)
        if (sockets.size === 0) onEmpty?.()
      })
    })
    const cutIf = (matches: (socket: Socket) => boolean) =>
      Effect.sync(() => {
        for (const socket of sockets) if (matches(socket)) socket.destroy()
      })
    const empty = Effect.callback<void>((resume) => {
      onEmpty = () => resume(Effect.void)
      if (sockets.size === 0) onEmpty()
    })
    return {
      /** Browsers connect ahead of their requests; Effect's server would wait for a request until its time is up. */
      cutSilent: cutIf(({ bytesRead }) => bytesRead === 0),
      /** Waits for them no longer than `lastWords`: Effect's server would wait for ever, or leave them behind. */
      end: Effect.andThen(
        Effect.timeoutOption(empty, lastWords),
        cutIf(() => true)
      )
    }
  })

/** The server alone: see `layer`. */
export const layerServer = (options: Options = {}): Layer.Layer<HttpServer.HttpServer | Upgrades, ServeError> =>
  Layer.effectContext(make(options))

/**
 * An HTTP server for Effect applications whose routes may be WebSockets, in place of `NodeHttpServer.layer`. It lasts
 * as long as its scope: then it stops listening, closes the WebSockets with 1001 in batches over `drain.window`, gives
 * other requests `gracefulShutdownTimeout`, interrupts what is left, and cuts what has not ended a second later.
 *
 * Fails when the address cannot be listened on.
 */
export const layer = (
  options: Options = {}
): Layer.Layer<HttpServer.HttpServer | Upgrades | NodeServices | HttpPlatform | Etag.Generator, ServeError> =>
  Layer.mergeAll(layerServer(options), NodeHttpServer.layerHttpServices)
