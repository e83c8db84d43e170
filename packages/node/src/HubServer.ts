/**
 * The hub as a server: what `millrace serve` runs, for whoever wants it in a program of their own.
 *
 *     GET  /          a page to try it with
 *     GET  /ws        the WebSocket, with the messages that docs/protocol.md describes
 *     GET  /events    topics as an event stream, and /.well-known/mercure for who speaks Mercure
 *     POST /publish   one message, for programs
 *     GET  /health    whether it is up, and how busy
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as http from "node:http"
import { fileURLToPath } from "node:url"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubKey from "@millrace/core/cluster/HubKey"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubSession from "@millrace/core/cluster/HubSession"
import type * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Position from "@millrace/core/cluster/Position"
import * as Origin from "@millrace/core/codec/Origin"
import type * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import type { Extension } from "@millrace/core/connection/Extension"
import * as Limits from "@millrace/core/connection/Limits"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { DrainOptions } from "./Connections.ts"
import * as EventFront from "./EventFront.ts"
import * as HubEvents from "./HubEvents.ts"
import * as NodeEventStream from "./NodeEventStream.ts"
import * as NodeWebSocketServer from "./NodeWebSocketServer.ts"
import * as Upgrade from "./Upgrade.ts"

/** Where to listen, and for whom. Nothing of it is required. */
export interface Options extends NodeWebSocketServer.ListenOptions {
  /** Which pages may connect. Default: the hub's own. */
  readonly origin?: Origin.Policy | undefined
  /** `maxMessageBytes` also bounds the body of a publication. */
  readonly limits?: Partial<Limits.Limits> | undefined
  /** Spoken where a client offers them. Default: none, so nothing is compressed. */
  readonly extensions?: ReadonlyArray<Extension> | undefined
  readonly drain?: DrainOptions | undefined
  /** Default: members that are too slow are disconnected with 1013. */
  readonly hub?: Hub.Options | undefined
  /** What is kept of what was published, for event streams that come back. */
  readonly history?: MemoryBroker.Options | undefined
  /** How event streams begin, what they say while there is nothing to say, and how long a client may read nothing. */
  readonly events?: (EventStreamBody.Options & Pick<NodeEventStream.Options, "stallTimeout">) | undefined
}

const page = (name: string) => readFileSync(fileURLToPath(import.meta.resolve(`@millrace/browser/console/${name}`)))

/** The files of the page, read once: there are few and they do not change while the server runs. */
const pages = (): ReadonlyMap<string, { readonly type: string; readonly body: Buffer }> =>
  new Map([
    ["/", { type: "text/html; charset=utf-8", body: page("index.html") }],
    ["/console.css", { type: "text/css; charset=utf-8", body: page("console.css") }],
    ["/console.js", { type: "text/javascript; charset=utf-8", body: page("console.js") }]
  ])

/** The page loads nothing from elsewhere and runs nothing that is not its own file. */
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const send = (
  response: http.ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  headers: http.OutgoingHttpHeaders = {}
): void => {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "X-Content-Type-Options": "nosniff",
    ...headers
  })
  response.end(response.req.method === "HEAD" ? undefined : body)
}

const json = (
  response: http.ServerResponse,
  status: number,
  value: unknown,
  headers: http.OutgoingHttpHeaders = {}
): void =>
  send(response, status, "application/json", `${JSON.stringify(value)}\n`, { "Cache-Control": "no-store", ...headers })

const problem = (
  response: http.ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: http.OutgoingHttpHeaders = {}
): void => json(response, status, { error: { code, message } }, headers)

/** The body as text; `undefined`, and the answer is given, when it is longer than allowed or not UTF-8. */
const readBody = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  limit: number
): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let length = 0
    const tooLarge = () => {
      request.removeAllListeners("data")
      // The rest of it is not read; the connection cannot be used for another request.
      problem(response, 413, "too-large", `a publication has at most ${limit} bytes`, { Connection: "close" })
      request.resume()
      resume(Effect.succeed(undefined))
    }
    if (Number(request.headers["content-length"] ?? 0) > limit) return tooLarge()
    request.on("data", (chunk: Buffer) => {
      length += chunk.length
      if (length > limit) tooLarge()
      else chunks.push(chunk)
    })
    request.on("end", () => {
      // The one too many may have been the last: then the answer is given.
      if (length > limit) return
      try {
        resume(Effect.succeed(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks))))
      } catch {
        problem(response, 400, "bad-json", "the body is not UTF-8")
        resume(Effect.succeed(undefined))
      }
    })
    request.on("close", () => resume(Effect.succeed(undefined)))
  })

/** Whether the body is JSON as it is: of that type, in no other character set than UTF-8, and not compressed. */
const isPlainJson = ({ headers }: http.IncomingMessage): boolean => {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";")
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("charset="))
  const inUtf8 = charset === undefined || charset === "charset=utf-8" || charset === 'charset="utf-8"'
  return type.trim() === "application/json" && inUtf8 && (headers["content-encoding"] ?? "identity") === "identity"
}

/** Where it listens, and the hub itself, to publish from within the program. */
export interface Running extends NodeWebSocketServer.Listening {
  readonly hub: Hub.Hub["Service"]
}

/** Runs a hub as long as the scope is open. Fails when the address cannot be listened on. */
export const serve = (options: Options = {}): Effect.Effect<Running, NodeWebSocketServer.ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const hub = yield* Hub.make({ ...options.hub, history: options.history })
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    const files = pages()
    const maxBody = options.limits?.maxMessageBytes ?? Limits.defaults.maxMessageBytes
    let attached: NodeWebSocketServer.Attached | undefined
    let events: HubEvents.Options | undefined

    const publish = (request: http.IncomingMessage, response: http.ServerResponse): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (!isPlainJson(request)) {
          return problem(response, 415, "unsupported-media-type", "send application/json, in UTF-8 and not compressed")
        }
        const body = yield* readBody(request, response, maxBody)
        if (body === undefined) return
        const decoded = HubMessage.decodePublish(body)
        if (Result.isFailure(decoded)) return problem(response, 400, decoded.failure.code, decoded.failure.message)
        const { dataJson, key, topic } = decoded.success
        const time = clock.currentTimeMillisUnsafe()
        const message = HubMessage.encodeMessage({ topic, dataJson, from: HubMessage.httpClient, time })
        yield* Effect.match(hub.publish(topic, message, { key: key && HubKey.ofClient(key) }), {
          onFailure: (error) => problem(response, 503, "unavailable", error.message),
          onSuccess: ({ position, receivers, repeated }) =>
            json(response, 200, {
              receivers,
              position: position && Position.print(position),
              repeated: repeated || undefined
            })
        })
      })

    const onRequest: http.RequestListener = (request, response) => {
      // A client that goes away in the middle of an answer is its own affair.
      response.on("error", cut)
      const path = Upgrade.pathOf(request) ?? ""
      const isRead = request.method === "GET" || request.method === "HEAD"
      const notAllowed = (allow: string) =>
        problem(response, 405, "method-not-allowed", `use ${allow}`, { Allow: allow })
      if (path === "/publish") {
        if (request.method !== "POST") return notAllowed("POST")
        Effect.runFork(publish(request, response))
        return
      }
      const dialect = HubEvents.dialects.get(path)
      if (dialect !== undefined) {
        if (!isRead && request.method !== "OPTIONS") return notAllowed("GET, HEAD")
        if (events === undefined) return problem(response, 503, "starting", "come back", { "Retry-After": "1" })
        Effect.runForkWith(context)(HubEvents.respond(events, dialect, request, response))
        return
      }
      if (path === "/health") {
        if (!isRead) return notAllowed("GET, HEAD")
        const uptime = Math.floor((clock.currentTimeMillisUnsafe() - startedAt) / 1000)
        return json(response, 200, {
          status: "ok",
          connections: (attached?.connections() ?? 0) + (events?.streams.size() ?? 0),
          topics: hub.topics(),
          uptime
        })
      }
      if (path === "/ws") {
        return problem(response, 426, "upgrade-required", "this is a WebSocket", { Upgrade: "websocket" })
      }
      const file = files.get(path)
      if (file === undefined) return problem(response, 404, "not-found", "there is nothing here")
      if (!isRead) return notAllowed("GET, HEAD")
      send(response, 200, file.type, file.body, {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": contentSecurityPolicy,
        "Referrer-Policy": "no-referrer"
      })
    }

    const context = yield* Effect.context<never>()
    const server = http.createServer({ headersTimeout, connectionsCheckingInterval: 2_000 }, onRequest)
    EventFront.divert(server, {
      patience: headersTimeout,
      isServed: (path) => HubEvents.dialects.has(path),
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
    events = { hub, streams, origin: options.origin ?? Origin.sameOrigin, refuse: problem }
    attached = yield* NodeWebSocketServer.attach(
      server,
      [
        NodeWebSocketServer.route(
          {
            path: "/ws",
            origin: options.origin,
            limits: options.limits,
            extensions: options.extensions,
            subprotocols: [HubMessage.subprotocol],
            handshake: ({ query }) => {
              const name = query.get("name") ?? randomName()
              return HubMessage.isClientName(name)
                ? Effect.succeed(NodeWebSocketServer.accept(name))
                : NodeWebSocketServer.refuse(400, {
                    headers: [["Content-Type", "application/json"]],
                    body: `${JSON.stringify({ error: { code: "bad-name", message: badName } })}\n`
                  })
            }
          },
          (connection) =>
            HubSession.serve(connection, { client: connection.handshake }).pipe(Effect.provideService(Hub.Hub, hub))
        )
      ],
      { drain: options.drain }
    )
    // Finalizers run last to first: stop accepting, drain, cut.
    yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
    return { ...listening, hub }
  })

/** How many milliseconds a client has to send its request. */
const headersTimeout = 10_000

/** One for all responses: an event stream keeps its listeners as long as it is open. */
function cut(this: http.ServerResponse): void {
  this.destroy()
}

/** Not to be guessed, though nothing is secured by it: 72 random bits. */
const randomName = (): string => randomBytes(9).toString("base64url")

const badName = `a name has 1 to ${HubMessage.maxNameLength} characters, no control characters, and no "@" in front`
