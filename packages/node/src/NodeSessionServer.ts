/**
 * Sessions of a contract on Node.js, over WebSockets and over plain HTTP, at one path of one port: a client that cannot
 * have a WebSocket where it is has an event stream and POST.
 *
 *     const server = yield* NodeSessionServer.serve(Chat, { port: 8080, path: "/chat" }, (session) =>
 *       session.handle({
 *         say: ({ text }) => rooms.say(session.id, text),
 *         rename: (name) => rooms.rename(session.id, name)
 *       }))
 *
 * `serve` runs a server of its own; `attach` adds the path to a server that is there already. Not in here: the contract's
 * rules, which are those of `Session` whatever carries it; the client, which tries both ways with `Fallback`.
 */
import type * as https from "node:https"
import type { Cluster } from "@millrace/core/cluster/Cluster"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Origin from "@millrace/core/codec/Origin"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import type { Limits as ConnectionLimits } from "@millrace/core/connection/Limits"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import type * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import type { SessionError } from "@millrace/core/messaging/SessionError"
import * as SessionLimits from "@millrace/core/messaging/SessionLimits"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Claims from "./Claims.ts"
import * as Connections from "./Connections.ts"
import * as NodeEventStream from "./NodeEventStream.ts"
import * as NodeWebSocketServer from "./NodeWebSocketServer.ts"
import * as OwnServer from "./OwnServer.ts"
import * as Sessions from "./Sessions.ts"
import * as Upgrade from "./Upgrade.ts"
import * as Relay from "./session/Relay.ts"
import type { AnyRequest, AnyResponse, Asking } from "./session/Asking.ts"
import { Exchange } from "./session/Exchange.ts"

export { refuse } from "./Endpoint.ts"
export { listen } from "./Listen.ts"
export type { Asking }

/** What a connection may take, and what a session may. */
export interface Limits extends ConnectionLimits, SessionLimits.Limits {}

/** Who may have a session, and what it may take. Nothing of it is required. */
export interface Options<C extends Contract.Contract, Known, R> extends Omit<
  Session.AcceptOptions<C, Known, R>,
  "limits"
> {
  /** Which pages may connect, over either way. Default: those of the same origin. */
  readonly origin?: Origin.Policy | undefined
  /**
   * Looks at the request before there is a connection, and lets it pass or refuses it, as with `refuse(401)`: for what a
   * gateway or a cookie says. Credentials of the contract come later, and are for `authenticate`. Default: lets it pass.
   */
  readonly handshake?: ((request: Asking) => Effect.Effect<unknown, Refusal, R>) | undefined
  /** How long a client may take to ask, and `handshake` to answer. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  readonly limits?: Partial<Limits> | undefined
  /** After how long without a byte an event stream says that it is there: see `NodeEventStream`. Default 15 s. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long a client of an event stream may read nothing while there is more to say. Default 60 s. */
  readonly stallTimeout?: Duration.Input | undefined
  /** How long a handler may go on when its session has ended. Default: the `closeTimeout` of `limits`. */
  readonly grace?: Duration.Input | undefined
  /**
   * The nodes that serve the same path: a POST may come to any of them, so that no balancer has to be sticky. Default:
   * this node alone.
   */
  readonly cluster?: Pick<Cluster["Service"], "nodes" | "questions"> | undefined
  /** How sessions end when the scope does. */
  readonly drain?: Connections.DrainOptions | undefined
}

/**
 * The life of a session, in a scope of its own: when it returns, the session is closed with 1000, with 1011 when it fails
 * and with 1001 when it is interrupted.
 */
export type Handler<C extends Contract.Contract, Known, E, R> = (
  session: Session.Server<C, Known>
) => Effect.Effect<unknown, E, R>

/** Where sessions are on a server that is there already. */
export interface AttachOptions<C extends Contract.Contract, Known, R> extends Options<C, Known, R> {
  /** Begins with a slash, and has no query. Compared as it is sent. */
  readonly path: string
}

export interface Attached {
  /** How many connections there are now, over both ways. */
  readonly connections: () => number
  /**
   * Answers a request that is for the path, and tells whether it was. To be called first of all by the server's listener
   * for requests; a WebSocket needs no call.
   */
  readonly respond: (request: AnyRequest, response: AnyResponse) => boolean
}

/**
 * Adds sessions to a server of `node:http`, `node:https` or `node:http2`, as long as the scope is open.
 *
 *     const chat = yield* NodeSessionServer.attach(server, Chat, { path: "/chat" }, handler)
 *     server.on("request", (request, response) => {
 *       if (!chat.respond(request, response)) app(request, response)
 *     })
 */
export const attach = <D extends Contract.Definition, Known = undefined, R = never, E = never, RH = never>(
  server: Claims.Server,
  contract: Contract.Contract<D>,
  options: AttachOptions<Contract.Contract<D>, Known, R>,
  handler: Handler<Contract.Contract<D>, Known, E, RH>
): Effect.Effect<Attached, never, Exclude<R | RH, Scope.Scope> | Scope.Scope> =>
  attachAll([server], contract, options, handler)

const attachAll = <D extends Contract.Definition, Known, R, E, RH>(
  servers: ReadonlyArray<Claims.Server>,
  contract: Contract.Contract<D>,
  options: AttachOptions<Contract.Contract<D>, Known, R>,
  handler: Handler<Contract.Contract<D>, Known, E, RH>
): Effect.Effect<Attached, never, Exclude<R | RH, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const { drain = {}, handshake, path } = options
    const context = yield* Effect.context<never>()
    const subprotocols = Session.subprotocols(options.codecs)
    const live = (connection: WebSocket.WebSocket, greeted: () => void) =>
      Effect.catchIf(
        Effect.flatMap(Session.accept(contract, connection, options), (session) => {
          greeted()
          return handler(session)
        }),
        isSessionError,
        report
      )
    const route = NodeWebSocketServer.route(
      {
        path,
        subprotocols,
        origin: options.origin,
        limits: options.limits,
        grace: options.grace,
        handshakeTimeout: options.handshakeTimeout,
        handshake:
          handshake === undefined
            ? undefined
            : (request) => Effect.as(handshake(request), NodeWebSocketServer.accept(undefined))
      },
      (connection) => live(connection, () => {})
    )
    // Both ways end at the same time, each as it should.
    const both = yield* Scope.fork(yield* Effect.scope, "parallel")
    const attached: Array<NodeWebSocketServer.Attached> = []
    for (const server of servers) {
      const way = NodeWebSocketServer.attach(server, [route], { drain })
      attached.push(yield* Scope.provide(way, yield* Scope.fork(both)))
    }
    const { grace, settings } = route.endpoint
    const heartbeat = options.heartbeat ?? EventStreamBody.defaultHeartbeat
    const plain = yield* Scope.fork(both)
    const streams = yield* Scope.provide(
      NodeEventStream.make({ methods: ["POST"], heartbeat, drain, stallTimeout: options.stallTimeout }),
      plain
    )
    // Behind the streams, as finalizers run last to first: a session ends in words before its stream does.
    const connections = yield* Scope.provide(Connections.make(drain, Math.min(grace, settings.closeTimeout)), plain)
    const relay =
      options.cluster === undefined
        ? undefined
        : yield* Scope.provide(
            Relay.make(options.cluster, path, () => exchange),
            plain
          )
    const exchange: Exchange = new Exchange({
      relay,
      streams,
      connections,
      settled: route.endpoint,
      origin: options.origin ?? Origin.sameOrigin,
      subprotocols,
      limits: settings,
      maxHelloBytes: options.limits?.maxHelloBytes ?? SessionLimits.defaults.maxHelloBytes,
      heartbeat: Duration.toMillis(heartbeat),
      patience: options.handshakeTimeout ?? "10 seconds",
      admit: handshake as ((request: Asking) => Effect.Effect<unknown, Refusal>) | undefined,
      live: live as never,
      context
    })
    return {
      connections: () => attached.reduce((sum, { connections }) => sum + connections(), 0) + exchange.size,
      respond: (request: AnyRequest, response: AnyResponse) => {
        if ((request.url ?? "").split("?", 1)[0] !== path) return false
        exchange.respond(request, response)
        return true
      }
    }
  }) as never

const isSessionError = (error: unknown): error is SessionError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "SessionError"

/** How sessions end: a handler that does nothing about it does nothing wrong. */
const report = (error: SessionError): Effect.Effect<void> => Effect.logDebug("a session ended with a failure", error)

/** Where to listen, and what as. Nothing of it is required. */
export interface ServeOptions<C extends Contract.Contract, Known, R>
  extends Options<C, Known, R>, NodeWebSocketServer.ListenOptions {
  /** Default: `/`. */
  readonly path?: string | undefined
  /** With a certificate and its key the server speaks `wss:` and `https:`. */
  readonly tls?: https.ServerOptions | undefined
  /** Whether HTTP/2 is served, too, on the same port: see `NodeWebSocketServer`. Default: HTTP/1.1 only. */
  readonly http2?: boolean | Sessions.Options | undefined
}

/** Where the server listens, and how many it serves. */
export interface Served extends NodeWebSocketServer.Listening, Pick<Attached, "connections"> {}

/**
 * Serves sessions at one path as long as the scope is open; everything else is answered with 404. `url` is with `ws:` or
 * `wss:`, which `EventStreamWire` takes for `http:` and `https:`.
 *
 * Fails when the address cannot be listened on. Ends by draining: no new connections, 1001 to those there are, then the
 * end.
 */
export const serve = <D extends Contract.Definition, Known = undefined, R = never, E = never, RH = never>(
  contract: Contract.Contract<D>,
  options: ServeOptions<Contract.Contract<D>, Known, R>,
  handler: Handler<Contract.Contract<D>, Known, E, RH>
): Effect.Effect<Served, NodeWebSocketServer.ListenError, Exclude<R | RH, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const { http2, path = "/", tls } = options
    const patience = Math.ceil(Duration.toMillis(options.handshakeTimeout ?? "10 seconds"))
    const wanted = http2 === true ? {} : http2 === false ? undefined : http2
    let attached: Attached | undefined
    const own = OwnServer.make({
      tls,
      http2: wanted,
      limits: Upgrade.defaultLimits,
      patience,
      isServed: () => false,
      plain: (request, response) => {
        if (attached?.respond(request, response) === true) return
        response.statusCode = 404
        response.setHeader("Content-Type", "text/plain; charset=utf-8")
        response.end("not found\n")
      }
    })
    const listening = yield* NodeWebSocketServer.listen(own.server, options)
    const sessions = own.http2 === undefined ? undefined : yield* Sessions.make(own.http2, wanted ?? {}, patience)
    attached = yield* attachAll(own.parts, contract, { ...options, path }, handler)
    // Finalizers run last to first: stop accepting connections and streams, drain, let the sessions end, cut.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        own.server.close()
        sessions?.close()
      })
    )
    return { ...listening, connections: attached.connections }
  }) as never
