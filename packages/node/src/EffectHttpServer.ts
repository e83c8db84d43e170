/**
 * An HTTP server for Effect applications, in place of `NodeHttpServer.layer`, whose WebSockets are ours: routes that are
 * connections, beside other routes, and `HttpServerRequest.upgrade`, on which Effect's own RPC and the like run.
 *
 *     const routes = Layer.mergeAll(
 *       HttpRouter.add("GET", "/health", HttpServerResponse.text("ok")),
 *       HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade((connection) =>
 *         Stream.runForEach(connection.messages, connection.send)))
 *     )
 *     const server = HttpRouter.serve(routes).pipe(Layer.provide(EffectHttpServer.layer({ port: 8080 })))
 *
 * What Effect calls unstable, `effect/http`, is known to this file and to those in `effect/`. Nothing of it loads `ws`.
 */
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as NodeHttpPlatform from "@effect/platform-node/NodeHttpPlatform"
import type { Options as NodeOptions } from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Etag from "effect/http/Etag"
import * as HttpEffect from "effect/http/HttpEffect"
import type { HttpPlatform } from "effect/http/HttpPlatform"
import * as HttpServer from "effect/http/HttpServer"
import { ClientAbort, ServeError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Connections from "./Connections.ts"
import { type Exchange, Request } from "./effect/Request.ts"
import { leaveBody, respond } from "./effect/Response.ts"
import { endpoint, type Options as WebSocketOptions, toRawSocket, toWebSocket, Upgrades } from "./effect/Upgrades.ts"
import * as Http1Upgrade from "./Http1Upgrade.ts"

export { upgrade } from "./effect/Route.ts"
export { Upgrades }
export { accept, refuse } from "./Endpoint.ts"

/**
 * Where to listen and how to end, as for `NodeHttpServer.layer`: without a `host` on every interface, and without a
 * `port` on one that is free.
 */
export interface Options extends Omit<NodeOptions, "websocket"> {
  /** With a certificate and its key, and `ca` and `requestCert` for mutual TLS, the server speaks `https:` and `wss:`. */
  readonly tls?: https.ServerOptions | undefined
  /** A server with settings of its own, in place of `tls`. Default: one that gives a client 10 s to send its request. */
  readonly server?: (() => http.Server | https.Server) | undefined
  readonly drain?: Connections.DrainOptions | undefined
  /**
   * For the WebSockets that `HttpServerRequest.upgrade` opens: which pages may connect, by default those of the same
   * origin, and what a connection may take. A route of `upgrade` has its own.
   */
  readonly websocket?: WebSocketOptions | undefined
}

/** A client has so long to send the head of its request. */
const timeouts = { headersTimeout: 10_000, connectionsCheckingInterval: 2_000 }

/** Routes come with requests, so their deadlines are not known before: in milliseconds, the shortest to be kept well. */
const shortestDeadline = 800

/** How long what the server still has to say may take when its time is up. */
const lastWords = 1_000

const make = ({ drain = {}, server: create, tls, websocket = {}, ...options }: Options) =>
  Effect.gen(function* () {
    const server =
      create?.() ?? (tls === undefined ? http.createServer(timeouts) : https.createServer({ ...timeouts, ...tls }))
    const shared = endpoint(websocket)
    const sockets = yield* makeSockets(server)
    const closed = yield* Effect.cached(close(server))
    yield* Effect.addFinalizer(() => closed)
    yield* listen(server, options)
    yield* Effect.addFinalizer(() => Effect.andThen(Effect.forkDetach(closed), sockets.end))
    const address = yield* addressOf(server)
    const pending: Upgrades["Service"]["pending"] = new WeakMap()
    const serve: Serve = (app, middleware) =>
      Effect.gen(function* () {
        const running = yield* makeRunning
        const connections = yield* Connections.make(drain, shortestDeadline)
        const context = yield* Effect.context<never>()
        // Effect would run it uninterruptible, where it is no route of a router.
        const handled = HttpEffect.toHandled(Effect.interruptible(app), respond, middleware)
        const answer = (exchange: Exchange) => {
          const own = Context.add(context, HttpServerRequest.HttpServerRequest, new Request(exchange))
          const fiber = Effect.runForkWith(own)(
            Effect.withFiber((fiber) => {
              exchange.fiber = fiber
              return handled
            })
          )
          running.add(fiber)
          const { response } = exchange
          response.on("close", () => {
            if (!response.writableEnded) fiber.interruptUnsafe(undefined, ClientAbort.annotation)
          })
        }
        const onRequest: http.RequestListener = (incoming, response) => {
          response.on("error", () => {}).prependListener("finish", () => leaveBody(incoming))
          answer({ incoming, response, upgrade: undefined, switched: undefined, fiber: undefined })
        }
        const onUpgrade: UpgradeListener = (incoming, socket, head) => {
          const upgrade = new Http1Upgrade.Http1Upgrade(incoming, socket, head)
          const isWebSocket = Http1Upgrade.isWebSocket(incoming)
          if (!isWebSocket && hasBody(incoming)) return upgrade.refuse(notUpgraded)
          const response = upgrade.respond()
          if (response === undefined) return
          response.on("error", () => {})
          if (isWebSocket) pending.set(incoming, { upgrade, response, connections })
          const toSocket = isWebSocket ? toWebSocket(pending, shared) : toRawSocket(upgrade)
          answer({ incoming, response, upgrade: toSocket, switched: undefined, fiber: undefined })
        }
        yield* Effect.addFinalizer(() => Effect.sync(() => server.off("request", onRequest).off("upgrade", onUpgrade)))
        server.on("request", onRequest).on("upgrade", onUpgrade)
        if (options.disablePreemptiveShutdown !== true) {
          const patience = options.gracefulShutdownTimeout ?? "20 seconds"
          yield* Effect.addFinalizer(() => Effect.timeoutOption(closed, patience))
        }
        // Begun first and waited for last: meanwhile the server stops listening, and waits for other requests.
        yield* Effect.addFinalizer(() => Effect.andThen(sockets.cutSilent, Effect.forkDetach(connections.drain(drain))))
      })
    return Context.make(Upgrades, { pending }).pipe(
      Context.add(HttpServer.HttpServer, HttpServer.make({ address, serve }))
    )
  })

type Serve = Parameters<typeof HttpServer.make>[0]["serve"]

type UpgradeListener = (incoming: http.IncomingMessage, socket: Duplex, head: Buffer) => void

/** The parser has let go of it, so nobody could read it. */
const hasBody = ({ headers }: http.IncomingMessage): boolean =>
  (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined

const notUpgraded = new Refusal({
  status: 400,
  headers: [],
  clause: "RFC 9110 7.8",
  detail: "send this request without Upgrade"
})

/** How many milliseconds a handler has to come to its end when its connection was closed. */
const notice = 100

/** Those who answer. At the end they are interrupted, and waited for no longer than `lastWords`. */
const makeRunning = Effect.acquireRelease(
  Effect.sync(() => {
    const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
    return {
      fibers,
      add: (fiber: Fiber.Fiber<unknown, unknown>) => {
        if (fiber.pollUnsafe() !== undefined) return
        fibers.add(fiber)
        fiber.addObserver(() => fibers.delete(fiber))
      }
    }
  }),
  ({ fibers }) =>
    Effect.timeoutOption(Fiber.awaitAll(Array.from(fibers)), notice).pipe(
      Effect.andThen(Effect.suspend(() => Effect.timeoutOption(Fiber.interruptAll(Array.from(fibers)), lastWords)))
    )
)

const listen = (server: http.Server, options: NodeOptions): Effect.Effect<void, ServeError> =>
  Effect.callback((resume) => {
    const fail = (cause: unknown) => resume(Effect.fail(new ServeError({ cause })))
    server.once("error", fail)
    try {
      server.listen(options, () => {
        server.off("error", fail)
        resume(Effect.void)
      })
    } catch (cause) {
      fail(cause)
    }
  })

const addressOf = (server: http.Server): Effect.Effect<NetAddress.SocketAddress, ServeError> => {
  const address = server.address()
  if (typeof address === "string") return Effect.succeed(NetAddress.unixPathAddress(address))
  const { address: ip, port } = address!
  return Effect.fromResult(NetAddress.inetAddressFromIpString(ip, port)).pipe(
    Effect.mapError((cause) => new ServeError({ cause }))
  )
}

/** Stops listening, and waits until all connections have ended. */
const close = (server: http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (!server.listening) return resume(Effect.void)
    server.close(() => resume(Effect.void))
  })

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
      /** Browsers connect ahead of their requests; the server would wait for a request until its time is up. */
      cutSilent: cutIf(({ bytesRead }) => bytesRead === 0),
      /** Waits for them no longer than `lastWords`: some would never end. */
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
 * The server, and what Effect's HTTP needs of Node.js, in place of `NodeHttpServer.layer`. It lasts as long as its scope:
 * then it stops listening, closes the WebSockets with 1001 in batches over `drain.window`, gives other requests
 * `gracefulShutdownTimeout`, by default 20 s, interrupts what is left, and cuts what has not ended a second later.
 *
 * It differs from `NodeHttpServer` where that would wait: handlers can be interrupted, also those of
 * `HttpServer.serve`; the head of a stream leaves before its first chunk; and a request to upgrade to anything but a
 * WebSocket has no body.
 *
 * Fails when the address cannot be listened on.
 */
export const layer = (
  options: Options = {}
): Layer.Layer<
  HttpServer.HttpServer | Upgrades | NodeServices.NodeServices | HttpPlatform | Etag.Generator,
  ServeError
> => Layer.mergeAll(layerServer(options), NodeHttpPlatform.layer, Etag.layerWeak, NodeServices.layer)
