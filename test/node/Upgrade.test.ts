/** What a server answers to a request that asks for a WebSocket, rightly or wrongly, in bytes. */
import * as http from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { start } from "../support/connection.ts"
import { eventually } from "../support/eventually.ts"
import { backTo, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { concat, encode, frame } from "../support/frames.ts"

const echo = NodeWebSocketServer.serve({}, (connection) => Stream.runForEach(connection.messages, connection.send))

/** Asks, and gives back the whole answer when the server has ended. */
const ask = (port: number, request: string) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    peer.send(request)
    const head = yield* peer.head
    const body = yield* peer.rest
    return { ...head, body: body.toString() }
  })

const missing = (name: string) => RawPeer.upgradeRequest("/", { [name]: undefined })

describe("accept", () => {
  it.live("answers with the key's counterpart, and with nothing that was not asked for", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const peer = yield* RawPeer.connect(server.port)
      peer.send(RawPeer.upgradeRequest("/", { "Sec-WebSocket-Extensions": "permessage-deflate" }))
      const head = yield* peer.head
      expect(head.start).toBe("HTTP/1.1 101 Switching Protocols")
      expect(head.headers).toEqual([
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
        ["Sec-WebSocket-Accept", RawPeer.sampleAccept]
      ])
    })
  )

  it.live("keeps the frames that came in one segment with the request, also while the handshake takes time", () =>
    Effect.gen(function* () {
      let answer: (() => void) | undefined
      const server = yield* NodeWebSocketServer.serve(
        {
          handshake: () =>
            Effect.callback<Endpoint.Accepted<undefined>>((resume) => {
              answer = () => resume(Effect.succeed(Endpoint.accept(undefined)))
            })
        },
        (connection) => Stream.runForEach(connection.messages, connection.send)
      )
      const peer = yield* RawPeer.connect(server.port)
      const early = encode(frame(1, Buffer.from("early")), 0x01020304)
      const half = encode(frame(1, Buffer.from("halved")), 0x05060708)
      peer.send(concat([Buffer.from(RawPeer.upgradeRequest()), early, half.subarray(0, 8)]))
      yield* eventually(() => answer !== undefined)
      answer!()
      expect((yield* peer.head).status).toBe(101)
      expect(Buffer.from((yield* peer.frame).payload).toString()).toBe("early")
      peer.send(half.subarray(8))
      expect(Buffer.from((yield* peer.frame).payload).toString()).toBe("halved")
    })
  )
})

describe("read", () => {
  it.live("gives the handshake all it may want to look at", () =>
    Effect.gen(function* () {
      let seen: UpgradeRequest | undefined
      const handshake = (request: UpgradeRequest) =>
        Effect.sync(() => {
          seen = request
          return Endpoint.accept(undefined)
        })
      const server = yield* NodeWebSocketServer.serve({ handshake }, () => Effect.never)
      const peer = yield* RawPeer.connect(server.port)
      const twice = "Cookie: a=1\r\nX-Twice: one\r\nX-Twice: two\r\nCookie: b=2\r\n\r\n"
      peer.send(RawPeer.upgradeRequest("/chat/%C3%BC?room=1&room=a?b&__proto__=x").replace(/\r\n$/, twice))
      expect((yield* peer.head).status).toBe(101)
      const request = seen!
      expect(request.path).toBe("/chat/%C3%BC")
      expect([...request.query]).toEqual([
        ["room", "1"],
        ["room", "a?b"],
        ["__proto__", "x"]
      ])
      expect(request.header("X-TWICE")).toBe("one, two")
      expect(request.header("cookie")).toBe("a=1; b=2")
      expect(request.header("constructor")).toBeUndefined()
      expect(request.headers.map(([name]) => name).slice(-4)).toEqual(["Cookie", "X-Twice", "X-Twice", "Cookie"])
      expect(request.remoteAddress).toBe("127.0.0.1")
      expect(request.encrypted).toBe(false)
    })
  )
})

describe("refuse", () => {
  it.live.each([
    ["another version", 426, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Version": "8" })],
    ["no version", 400, missing("Sec-WebSocket-Version")],
    ["no key", 400, missing("Sec-WebSocket-Key")],
    ["a short key", 400, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Key": "c2hvcnQ=" })],
    ["a key that is no base64", 400, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Key": "!".repeat(24) })],
    ["POST", 405, RawPeer.upgradeRequest("/", {}, "POST")],
    ["a body", 400, RawPeer.upgradeRequest("/", { "Content-Length": "5" })],
    ["HTTP/1.0", 400, RawPeer.upgradeRequest().replace("HTTP/1.1", "HTTP/1.0")],
    ["no Host", 400, missing("Host")],
    ["a Host that is none", 400, RawPeer.upgradeRequest("/", { Host: "a/b" })],
    ["extensions that are no list", 400, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Extensions": "a;;b" })],
    ["a subprotocol twice", 400, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Protocol": "a, a" })],
    ["bytes that are no HTTP", 400, "\x16\x03\x01\r\n\r\n"]
  ] as const)("%s gets %i, an end, and harms nobody", ([, status, request]) =>
    Effect.gen(function* () {
      const server = yield* echo
      const answer = yield* ask(server.port, request)
      expect(answer.status).toBe(status)
      expect(answer.header("Connection")).toMatch(/close/i)
      if (status === 426) expect(answer.header("Sec-WebSocket-Version")).toBe("13")
      if (status === 405) expect(answer.header("Allow")).toBe("GET")
      expect(server.connections()).toBe(0)
      yield* RawPeer.open(server.port)
    })
  )

  it.live("more than 2,000 fields, more than Node.js keeps, neither crash nor connect", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const many = RawPeer.upgradeRequest("/", { Host: undefined }).replace(
        "\r\n",
        `\r\nHost: localhost\r\n${"a:\r\n".repeat(2_100)}`
      )
      const answer = yield* ask(server.port, many)
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(server.connections()).toBe(0)
      yield* RawPeer.open(server.port)
    })
  )

  it.live("a head that does not end is cut off by its length", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const answer = yield* ask(server.port, `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}`)
      expect(answer.status).toBe(431)
    })
  )

  it.live("leaves no timer behind when the client has gone", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const before = resources()
      for (let i = 0; i < 5; i++) {
        yield* Effect.scoped(ask(server.port, RawPeer.upgradeRequest("/", { "Sec-WebSocket-Version": "8" })))
      }
      yield* backTo(before, 2_000)
    })
  )

  it.live("a client that was refused and goes on sending is not listened to for long", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const peer = yield* RawPeer.connect(server.port, { allowHalfOpen: true })
      peer.send(RawPeer.upgradeRequest("/", { "Sec-WebSocket-Version": "8" }))
      expect((yield* peer.head).status).toBe(426)
      let closed = false
      peer.socket.once("close", () => {
        closed = true
      })
      const before = performance.now()
      yield* start(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => peer.send("x")),
            Effect.sleep("100 millis")
          )
        )
      )
      yield* eventually(() => closed, 10_000)
      expect(performance.now() - before).toBeLessThan(7_000)
    })
  )
})

describe("a client that does not wait for the response to the request before", () => {
  it.live.each([
    ["a WebSocket", "/ws", "websocket"],
    ["a WebSocket where none is", "/nowhere", "websocket"],
    ["something else", "/", "h2c"]
  ] as const)(
    "and asks for %s is cut: nothing gets in between, and that response into no frames",
    ([_what, path, to]) =>
      Effect.gen(function* () {
        const server = http.createServer((_request, response) => setTimeout(() => response.end("late"), 20))
        const { port } = yield* NodeWebSocketServer.listen(server, {})
        const attached = yield* NodeWebSocketServer.attach(server, [
          NodeWebSocketServer.route({ path: "/ws" }, (connection) => Stream.runDrain(connection.messages))
        ])
        const peer = yield* RawPeer.connect(port)
        peer.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" + RawPeer.upgradeRequest(path, { Upgrade: to }))
        expect((yield* peer.rest).toString()).toBe("")
        expect(attached.connections()).toBe(0)
        const patient = yield* RawPeer.connect(port)
        patient.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        expect((yield* patient.head).status).toBe(200)
        yield* Effect.sleep("50 millis")
        patient.send(RawPeer.upgradeRequest("/ws"))
        expect((yield* patient.head).start).toBe("lateHTTP/1.1 101 Switching Protocols")
      })
  )
})
