/**
 * The hub as a server: what `millrace serve` runs, for whoever wants it in a program of their own.
 *
 *     GET  /          a page to try it with
 *     GET  /ws        the WebSocket, with the messages that docs/protocol.md describes
 *     GET  /cable     the WebSocket of clients of Action Cable
 *     GET  /socket.io/  polls, posts and the WebSocket of clients of Socket.IO
 *     GET  /events    topics as an event stream, and /.well-known/mercure for who speaks Mercure
 *     POST /publish   one message, for programs
 *     GET  /topics    which there are here; /topics/:topic/history and /topics/:topic/presence
 *     GET  /frames    what goes over a WebSocket, for whose it is
 *     GET  /health    whether it is up, and how busy
 */
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import * as http from "node:http"
import { hostname } from "node:os"
import { dirname, extname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Broker } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Cluster from "@millrace/core/cluster/Cluster"
import * as Hub from "@millrace/core/cluster/Hub"
import type { Access } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubMetrics from "@millrace/core/cluster/HubMetrics"
import { HubPresence } from "@millrace/core/cluster/HubPresence"
import * as HubSession from "@millrace/core/cluster/HubSession"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Presence from "@millrace/core/cluster/Presence"
import * as Questions from "@millrace/core/cluster/Questions"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as CableSessions from "@millrace/core/interop/actioncable/CableSessions"
import type * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import * as Origin from "@millrace/core/codec/Origin"
import type * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import type { Extension } from "@millrace/core/connection/Extension"
import * as Limits from "@millrace/core/connection/Limits"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DrainOptions } from "./Connections.ts"
import * as EventFront from "./EventFront.ts"
import * as Answer from "./hub/Answer.ts"
import * as Cable from "./hub/Cable.ts"
import * as FrameViews from "./hub/FrameViews.ts"
import * as Guest from "./hub/Guest.ts"
import * as LookingOn from "./hub/LookingOn.ts"
import * as NodeOrigins from "./hub/NodeOrigins.ts"
import * as Publishing from "./hub/Publishing.ts"
import * as Reading from "./hub/Reading.ts"
import * as SocketIo from "./hub/SocketIo.ts"
import * as HubEvents from "./HubEvents.ts"
import * as NodeEventStream from "./NodeEventStream.ts"
import * as NodeSocketIoServer from "./NodeSocketIoServer.ts"
import * as NodeWebSocketServer from "./NodeWebSocketServer.ts"
import * as Upgrade from "./Upgrade.ts"

/** Where to listen, and for whom. Nothing of it is required. */
export interface Options extends NodeWebSocketServer.ListenOptions {
  /** Which pages may connect. Default: the hub's own, and with `advertise` those of other nodes, also when they have gone. */
  readonly origin?: Origin.Policy | undefined
  /** `maxMessageBytes` also bounds the body of a publication. */
  readonly limits?: Partial<Limits.Limits> | undefined
  /** Spoken where a client offers them. Default: none, so nothing is compressed. */
  readonly extensions?: ReadonlyArray<Extension> | undefined
  readonly drain?: DrainOptions | undefined
  /** Default: members that are too slow are disconnected with 1013. */
  readonly hub?: Hub.Options | undefined
  /** What stands between this node and others. Default: memory, and there are no others. */
  readonly broker?: Broker["Service"] | undefined
  /** What is kept of what was published, where the broker is memory. */
  readonly history?: MemoryBroker.Options | undefined
  /** What this node is called, for people. Default: the name of the machine. */
  readonly name?: string | undefined
  /** Where clients reach this node. With it, they are told the addresses of all nodes that have one. */
  readonly advertise?: string | undefined
  /** What `Authorization: Bearer` has to say for `POST /publish`. Default: anybody may publish. */
  readonly publishToken?: string | undefined
  /** Who asks: for each WebSocket, event stream and request. Default: nobody in particular, by the name that it brings. */
  readonly identify?: Guest.Identify | undefined
  /** Who may join and publish. Default: everybody. */
  readonly authorize?: Access<Guest.Request> | undefined
  /** How long a user may be away without having left, and how many there may be. */
  readonly presence?: Presence.Options | undefined
  /** How many clients may look at the frames of their own connections at a time; `false` for none. Default: 16. */
  readonly frames?: FrameViews.Options | false | undefined
  /** What clients of Action Cable find at `/cable`; `false` for nothing. Default: `TopicChannel`. */
  readonly cable?: Cable.Options | false | undefined
  /** What clients of Socket.IO find at `/socket.io/`; `false` for nothing. Default: the topics, in the namespace `/`. */
  readonly socketio?: SocketIo.Options | false | undefined
  /** How event streams begin, what they say while there is nothing to say, and how long a client may read nothing. */
  readonly events?: (EventStreamBody.Options & Pick<NodeEventStream.Options, "stallTimeout">) | undefined
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8"
}

/** The files of the page, read once: there are few and they do not change while the server runs. */
const pages = (): ReadonlyMap<string, { readonly type: string; readonly body: Buffer }> => {
  const folder = dirname(fileURLToPath(import.meta.resolve("@millrace/browser/console/index.html")))
  return new Map(
    readdirSync(folder).flatMap((name) => {
      const type = types[extname(name)]
      if (type === undefined) return []
      return [[name === "index.html" ? "/" : `/${name}`, { type, body: readFileSync(join(folder, name)) }] as const]
    })
  )
}

/** The page loads nothing from elsewhere and runs nothing that is not its own file; it may go to the other nodes. */
const contentSecurityPolicy = (urls: ReadonlyArray<string>) =>
  `default-src 'none'; script-src 'self'; style-src 'self'; connect-src ${NodeOrigins.sources(urls)}; ` +
  "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Where it listens, and the hub itself, to publish from within the program. */
export interface Running extends NodeWebSocketServer.Listening {
  readonly hub: Hub.Hub["Service"]
  /** The cluster that it is a node of: its nodes, and what can be asked of them. */
  readonly cluster: Cluster.Cluster["Service"]
  /** Who is in which topic, on all nodes. */
  readonly presence: Presence.Presence["Service"]
  /** Clients of Action Cable, to disconnect users, on all nodes, or to send them elsewhere. */
  readonly cable: CableServer.CableServer<Guest.Request> | undefined
  /** Clients of Socket.IO, to say something to them alone. */
  readonly socketio: SocketServer.SocketServer<SocketIo.Caller> | undefined
}

/** The URLs of the nodes that have said one. */
const urlsOf = (nodes: Nodes.Nodes["Service"]): ReadonlyArray<string> =>
  nodes.list().flatMap(({ url }) => (url === undefined ? [] : [url]))

/**
 * Runs a hub as long as the scope is open. Fails when the address cannot be listened on, and when the broker refuses to let
 * it hear; a broker that is not there yet is waited for meanwhile. A policy or an address that cannot be is a defect.
 */
export const serve = (
  options: Options = {}
): Effect.Effect<Running, NodeWebSocketServer.ListenError | BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { authorize, identify } = options
    const broker = options.broker ?? (yield* MemoryBroker.make(options.history))
    const hub = yield* Hub.on(broker, options.hub)
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    const files = pages()
    const maxBody = options.limits?.maxMessageBytes ?? Limits.defaults.maxMessageBytes
    const views = options.frames === false ? undefined : yield* FrameViews.make(maxBody, options.frames)
    let attached: NodeWebSocketServer.Attached | undefined
    let engine: NodeSocketIoServer.Attached | undefined
    let events: HubEvents.Options | undefined

    const connections = () => (attached?.connections() ?? 0) + (engine?.sessions() ?? 0) + (events?.streams.size() ?? 0)
    const nodes = yield* Nodes.make(broker, {
      name: options.name ?? (hostname().slice(0, 32) || "node"),
      url: options.advertise,
      describe: () => ({ connections: connections(), topics: hub.topics() })
    })
    const questions = yield* Questions.make(broker, nodes)
    const cluster = yield* Cluster.make(hub, nodes, questions)
    const presence = yield* Presence.make(broker, nodes, options.presence)
    const cable =
      options.cable === false ? undefined : yield* Cable.make(hub, broker, authorize, presence, options.cable ?? {})
    // Before what carries it: clients whose connections end with the server come back, and those who are put out do not.
    const socketio =
      options.socketio === false
        ? undefined
        : yield* Effect.provideService(
            SocketIo.make(hub, cluster, authorize, maxBody, options.socketio ?? {}),
            Hub.Hub,
            hub
          )
    const shown = new HubPresence(presence, (effect) => void Effect.runForkWith(context)(effect))
    yield* HubMetrics.watch(hub)

    const publishing: Publishing.Options = {
      hub,
      maxBody,
      token: options.publishToken,
      identify,
      authorize
    }
    const reading: Reading.Options = { hub, cluster, presence, identify, authorize }
    const addresses = () => (options.advertise === undefined ? [] : urlsOf(nodes))
    const known = new NodeOrigins.Remembered()
    const recall = ({ url }: Nodes.Node) => {
      if (options.advertise !== undefined && url !== undefined) known.add(url)
    }
    for (const node of nodes.list()) recall(node)
    yield* nodes.listen({ joined: recall })
    const origin = options.origin ?? Origin.sameOriginOr(() => known.list())

    const onRequest: http.RequestListener = (request, response) => {
      // A client that goes away in the middle of an answer is its own affair.
      response.on("error", cut)
      const path = Upgrade.pathOf(request) ?? ""
      const isRead = request.method === "GET" || request.method === "HEAD"
      const notAllowed = (allow: string) =>
        Answer.problem(response, 405, "method-not-allowed", `use ${allow}`, { Allow: allow })
      const run = Effect.runForkWith(context)
      if (path === "/publish") {
        // Pages of the other nodes may. Those of other sites may not, whatever they may read.
        const mayAsk = options.origin === undefined && request.headers.origin !== undefined
        const cors = mayAsk ? HubEvents.crossOrigin(origin, request) : undefined
        if (cors !== undefined && request.method === "OPTIONS") {
          return HubEvents.preflight(response, cors, "POST", "Authorization, Content-Type, Idempotency-Key")
        }
        for (const [name, value] of cors ?? []) response.setHeader(name, value)
        if (request.method !== "POST") return notAllowed("POST")
        return void run(Publishing.publish(publishing, request, response))
      }
      const dialect = HubEvents.dialects.get(path)
      if (dialect !== undefined) {
        if (!isRead && request.method !== "OPTIONS") return notAllowed("GET, HEAD")
        if (events === undefined) return starting(response)
        return void run(HubEvents.respond(events, dialect, request, response))
      }
      const place = Reading.placeOf(path)
      if (place !== undefined) {
        if (!isRead) return notAllowed("GET, HEAD")
        const cors = HubEvents.crossOrigin(origin, request)
        if (cors === undefined) return HubEvents.foreign(Answer.problem, response)
        return void run(Reading.read(reading, place, request, response, cors))
      }
      if (path === "/frames" && views !== undefined) {
        if (!isRead && request.method !== "OPTIONS") return notAllowed("GET, HEAD")
        if (events === undefined) return starting(response)
        return void run(LookingOn.respond({ views, streams: events.streams, origin, identify }, request, response))
      }
      if (path === "/health") {
        if (!isRead) return notAllowed("GET, HEAD")
        const uptime = Math.floor((clock.currentTimeMillisUnsafe() - startedAt) / 1000)
        const health = { ...healthOf(hub, connections(), uptime), nodes: options.advertise && addresses() }
        return Answer.json(response, 200, health, Object.fromEntries(HubEvents.crossOrigin(origin, request) ?? []))
      }
      if (path === SocketIo.path && socketio !== undefined) {
        if (engine?.respond(request, response) !== true) starting(response)
        return
      }
      if (path === "/ws" || (path === "/cable" && cable !== undefined)) {
        return Answer.problem(response, 426, "upgrade-required", "this is a WebSocket", { Upgrade: "websocket" })
      }
      const file = files.get(path)
      if (file === undefined) return Answer.problem(response, 404, "not-found", "there is nothing here")
      if (!isRead) return notAllowed("GET, HEAD")
      Answer.send(response, 200, file.type, file.body, {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": contentSecurityPolicy(addresses()),
        "Referrer-Policy": "no-referrer"
      })
    }

    const context = yield* Effect.context<never>()
    const server = http.createServer({ headersTimeout, connectionsCheckingInterval: 2_000 }, onRequest)
    EventFront.divert(server, {
      patience: headersTimeout,
      isServed: (path) => {
        const dialect = HubEvents.dialects.get(path)
        return dialect !== undefined && events !== undefined && HubEvents.isAtOnce(events, dialect)
      },
      serve: (request, socket, hand) => {
        const dialect = HubEvents.dialects.get(request.url.split("?", 1)[0]!)
        if (events === undefined || dialect === undefined) return hand()
        return void Effect.runForkWith(context)(HubEvents.respondOn(events, dialect, request, socket, hand))
      }
    })
    const listening = yield* NodeWebSocketServer.listen(server, options)
    // Behind it, as finalizers run last to first: the event streams end before the sockets are cut.
    const streams = yield* NodeEventStream.make({
      ...options.events,
      drain: options.drain,
      outboxBytes: options.limits?.outboxBytes
    })
    events = { hub, streams, origin, identify, authorize, refuse: Answer.problem }
    attached = yield* NodeWebSocketServer.attach(
      server,
      [
        NodeWebSocketServer.route(
          {
            path: "/ws",
            origin,
            limits: options.limits,
            extensions: options.extensions,
            subprotocols: [HubMessage.subprotocol],
            handshake: (asked) => welcomed(options, asked, views)
          },
          (connection) => {
            const { name, request, user, view } = connection.handshake
            const nodesOf = options.advertise === undefined ? undefined : addresses
            return HubSession.serve(connection, {
              client: name,
              user,
              request,
              authorize,
              presence: shown,
              nodes: nodesOf,
              frames: view?.token
            }).pipe(Effect.provideService(Hub.Hub, hub))
          }
        ),
        ...(cable === undefined
          ? []
          : [
              NodeWebSocketServer.route(
                {
                  path: "/cable",
                  origin,
                  limits: options.limits,
                  extensions: options.extensions,
                  subprotocols: CableServer.subprotocols,
                  handshake: (asked) => {
                    const sid = CableSessions.sidOf(asked.query, asked.header)
                    const guest = Effect.map(guestOf(options, asked), (who) =>
                      NodeWebSocketServer.accept({ ...who, sid })
                    )
                    return Effect.catchTag(guest, "Refusal", unauthorized)
                  }
                },
                (connection) => {
                  const { handshake } = connection
                  return handshake === undefined
                    ? cable.unauthorized(connection)
                    : Effect.provideService(cable.serve(connection, handshake), Hub.Hub, hub)
                }
              )
            ])
      ],
      { drain: options.drain }
    )
    if (socketio !== undefined) {
      engine = yield* NodeSocketIoServer.attach(server, socketio, {
        path: SocketIo.path,
        origin,
        extensions: options.extensions,
        drain: options.drain,
        outboxBytes: options.limits?.outboxBytes,
        maxPayload: maxBody,
        protocol: {
          payload: { maxBytes: maxBody },
          // Room for the longest message, as text in which bytes may stand.
          maxQueuedBytes: Math.max(options.limits?.outboxBytes ?? Limits.defaults.outboxBytes, 2 * maxBody)
        },
        maxSessions: options.socketio === false ? undefined : options.socketio?.maxSessions,
        identify: (asked) =>
          Effect.map(guestOf(options, asked), ({ name, request, user }) => ({ user, request: { name, request } }))
      })
    }
    // Finalizers run last to first: stop accepting, drain, cut.
    yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
    return { ...listening, hub, cluster, presence, cable, socketio }
  })

/** Clients of Action Cable come back for ever, unless they are let in to be told not to. */
const unauthorized = (refusal: Refusal) =>
  refusal.status === 401 || refusal.status === 403
    ? Effect.succeed(NodeWebSocketServer.accept(undefined))
    : Effect.fail(refusal)

/** Who a connection belongs to. What it came with is kept only where somebody asks for it again. */
const guestOf = ({ authorize, cable, identify, socketio }: Options, asked: NodeSocketIoServer.Asking) =>
  Effect.gen(function* () {
    const { header, headers, path, query } = asked
    const request: Guest.Request = { purpose: "socket", path, query, headers, header }
    const { name = query.get("name") ?? randomName(), user } = identify === undefined ? {} : yield* identify(request)
    if (!HubMessage.isClientName(name)) {
      return yield* NodeWebSocketServer.refuse(400, {
        headers: [["Content-Type", "application/json"]],
        body: `${JSON.stringify({ error: { code: "bad-name", message: Guest.badName } })}\n`
      })
    }
    const isAsked =
      authorize !== undefined ||
      (cable !== false && cable?.channels !== undefined) ||
      (socketio !== false && (socketio?.authenticate ?? socketio?.namespaces) !== undefined)
    return { name, user, request: isAsked ? request : nothing }
  })

const welcomed = (options: Options, asked: Upgrade.UpgradeRequest, views: FrameViews.FrameViews | undefined) =>
  Effect.map(guestOf(options, asked), (guest) => {
    const view = asked.query.get("frames") === "1" ? views?.open(guest.user) : undefined
    return NodeWebSocketServer.accept({ ...guest, view }, { tap: view?.tap })
  })

const nothing = undefined as unknown as Guest.Request

const starting = (response: http.ServerResponse): void =>
  Answer.problem(response, 503, "starting", "come back", { "Retry-After": "1" })

/** A node that cannot reach its broker still serves who is connected: it is no reason to take it away. */
const healthOf = (hub: Hub.Hub["Service"], connections: number, uptime: number): object => {
  const { broker } = hub
  const status = broker.status()
  return {
    status: status._tag === "Up" ? "ok" : "degraded",
    connections,
    topics: hub.topics(),
    uptime,
    node: broker.node,
    broker: {
      name: broker.name,
      status: status._tag.toLowerCase(),
      since: status._tag === "Connecting" ? undefined : new Date(status.since).toISOString(),
      attempts: status._tag === "Down" ? status.attempts : undefined
    },
    slow: hub.counters()
  }
}

/** How many milliseconds a client has to send its request. */
const headersTimeout = 10_000

/** One for all responses: an event stream keeps its listeners as long as it is open. */
function cut(this: http.ServerResponse): void {
  this.destroy()
}

/** Not to be guessed, though nothing is secured by it: 72 random bits. */
const randomName = (): string => randomBytes(9).toString("base64url")
