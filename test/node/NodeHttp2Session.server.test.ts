/** Our client and our server over HTTP/2, for what both of them have to do. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeHttp2Session from "@millrace/node/NodeHttp2Session"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { selfSigned } from "../support/certificate.ts"
import { plain, start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { counting } from "../support/frames.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"

const certificate = selfSigned("localhost")

const tls = { ca: certificate.cert }

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** One that tells its client what it has seen of it. */
const seen = ({ header, httpVersion, scheme }: UpgradeRequest) =>
  Effect.succeed(
    Endpoint.accept(`${httpVersion} ${scheme} ${header("x-who")}`, { headers: [["Set-Cookie", "seen=yes"]] })
  )

describe.each([
  ["a connection of its own", false],
  ["a session", true]
] as const)("over %s", (_which, shared) => {
  const connectTo = (url: string, options: NodeHttp2Session.Options = {}) =>
    shared ? NodeHttp2Session.connect(url, options) : Effect.succeed(true)

  it.live.each([
    ["ws", undefined],
    ["wss", certificate]
  ] as const)("of %s, both know the other, and bring messages of any length across and back", ([scheme, tlsOptions]) =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        { http2: true, tls: tlsOptions, subprotocols: ["chat"], handshake: seen, path: "/chat" },
        (connection) => Effect.andThen(connection.send(connection.handshake), echo(connection))
      )
      const http2 = yield* connectTo(`${scheme}://localhost:${server.port}`, { tls })
      const connection = yield* NodeWebSocket.open(`${scheme}://localhost:${server.port}/chat?x`, {
        http2,
        ...(shared ? {} : { tls }),
        subprotocols: ["other", "chat"],
        headers: { "X-Who": "ada" }
      })
      expect(plain([yield* connection.receive])).toEqual([`2 ${scheme === "ws" ? "http" : "https"} ada`])
      expect([connection.subprotocol, connection.handshake.httpVersion]).toEqual(["chat", "2"])
      expect(HttpHeaders.values(connection.handshake.headers, "set-cookie")).toEqual(["seen=yes"])
      for (const length of [0, 1, 125, 126, 65_535, 65_536, 300_000, 1_048_576]) {
        const bytes = counting(length)
        yield* connection.send(bytes)
        const [back] = plain([yield* connection.receive])
        expect(Buffer.from(back as Uint8Array).equals(bytes)).toBe(true)
      }
    })
  )

  it.live("a refusal is the server's, with its status, its fields and its body", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        {
          http2: true,
          path: "/chat",
          handshake: () => Endpoint.refuse(429, { headers: [["Retry-After", "7"]], body: "slower, bitte schön" })
        },
        () => Effect.never
      )
      const http2 = yield* connectTo(server.url)
      const refused = (path: string, options?: NodeWebSocket.Options) =>
        Effect.map(Effect.flip(NodeWebSocket.open(`${server.url}${path}`, { http2, ...options })), ({ reason }) => {
          if (reason._tag !== "Refused") throw reason
          return reason
        })
      const reason = yield* refused("/chat")
      expect([reason.status, reason.text, reason.truncated]).toEqual([429, "slower, bitte schön", false])
      expect(HttpHeaders.combined(reason.headers, "retry-after")).toBe("7")
      expect((yield* refused("/other")).status).toBe(404)
      expect((yield* refused("/chat", { origin: "https://evil.example" })).status).toBe(403)
    })
  )

  it.live("either side's Close is answered, with its code and its words", () =>
    Effect.gen(function* () {
      const ended: Array<unknown> = []
      const server = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
        Effect.gen(function* () {
          const [first] = plain([yield* connection.receive])
          if (first === "close") yield* connection.close(4001, "from here")
          else yield* Effect.exit(connection.pull)
          ended.push((yield* connection.closed).received)
        })
      )
      const http2 = yield* connectTo(server.url)
      const theirs = yield* NodeWebSocket.open(server.url, { http2 })
      yield* theirs.send("close")
      expect((yield* Effect.flip(Stream.runDrain(theirs.messages))).reason).toMatchObject({
        _tag: "ConnectionLost",
        received: { code: 4001, reason: "from here" }
      })
      const ours = yield* NodeWebSocket.open(server.url, { http2 })
      yield* ours.send("wait")
      yield* ours.close(4002, "from there")
      expect((yield* ours.closed).received?.code).toBe(4002)
      yield* eventually(() => ended.length === 2)
      expect(ended).toMatchObject([{ code: 4001 }, { code: 4002, reason: "from there" }])
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live("a server that shuts down closes with 1001, and then nobody is let in", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(NodeWebSocketServer.serve({ http2: true }, echo), scope)
      const http2 = yield* connectTo(server.url)
      const connections = yield* Effect.all([1, 2, 3].map(() => NodeWebSocket.open(server.url, { http2 })))
      const ends = yield* Effect.forEach(connections, ({ messages }) => start(Effect.exit(Stream.runDrain(messages))))
      yield* Scope.close(scope, Exit.void)
      for (const end of ends) expect(Exit.isSuccess(yield* Fiber.join(end))).toBe(true)
      for (const { closed } of connections) expect((yield* closed).received?.code).toBe(1001)
      const { reason } = yield* Effect.flip(NodeWebSocket.open(server.url, { http2 }))
      expect(reason._tag).toBe("TransportError")
    })
  )

  it.live("what is made and killed at random points leaves neither of them anything", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({ http2: true, tls: certificate }, echo)
        const url = `wss://localhost:${server.port}`
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const options = { ...(shared ? {} : { tls }), limits: { closeTimeout: "100 millis" } } as const
        const live = (http2: NodeWebSocket.Options["http2"]) =>
          Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* NodeWebSocket.open(url, { http2, ...options })
              for (let i = 0; i < 10; i++) {
                yield* connection.send("x".repeat(i * 1_000))
                yield* connection.receive
              }
            })
          )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const http2 = yield* connectTo(url, { tls })
            for (let round = 0; round < 15; round++) {
              const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () => start(live(http2)))
              for (const fiber of fibers) {
                for (let turn = Math.floor(Math.random() * 12); turn > 0; turn--) yield* Effect.yieldNow
                yield* Fiber.interrupt(fiber)
              }
            }
            yield* live(http2)
          })
        )
        yield* eventually(() => server.connections() === 0 && alive.fibers === before.fibers)
        yield* backTo(before.resources)
      })
    )
  )
})

describe("a session with a server that allows few streams", () => {
  it.live("serves many WebSockets one after the other, each as one ends", () =>
    Effect.gen(function* () {
      let most = 0
      const server = yield* NodeWebSocketServer.serve({ http2: { maxStreams: 3 } }, (connection) =>
        Effect.suspend(() => {
          most = Math.max(most, server.connections())
          return Effect.andThen(connection.receive, connection.send("done"))
        })
      )
      const session = yield* NodeHttp2Session.connect(server.url)
      const one = Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* NodeWebSocket.open(server.url, { http2: session })
          yield* connection.send("hello")
          return plain([yield* connection.receive])[0]
        })
      )
      const done = yield* Effect.all(
        Array.from({ length: 30 }, () => one),
        { concurrency: "unbounded" }
      )
      expect(done).toEqual(Array.from({ length: 30 }, () => "done"))
      expect(most).toBeLessThanOrEqual(4)
    })
  )
})
