/** Opening a connection as a client: what is asked, what is answered, and whose fault it was. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as Handshake from "@millrace/core/codec/Handshake"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type { OpenError } from "@millrace/core/connection/OpenError"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { WebSocketServer } from "ws"
import { plain, start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as RawPeer from "../support/RawPeer.ts"

const failureOf = (url: string, options?: NodeWebSocket.Options) =>
  NodeWebSocket.open(url, options).pipe(
    Effect.scoped,
    Effect.flip,
    Effect.map((error): OpenError["reason"] => error.reason)
  )

/** The 101 that fits a request, with more fields and without some. */
const accepting = (request: RawPeer.Head, more = "", without = ""): string =>
  [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${Handshake.acceptKey(request.header("Sec-WebSocket-Key") ?? "")}`,
    ...(more === "" ? [] : [more])
  ]
    .filter((line) => without === "" || !line.startsWith(without))
    .join("\r\n")
    .concat("\r\n\r\n")

/** For servers that will not answer a Close. */
const brief: NodeWebSocket.Options = { limits: { closeTimeout: "50 millis" } }

/** Opens towards a server that answers with what `answer` says of the request. */
const against = (answer: (request: RawPeer.Head) => string | Uint8Array, options?: NodeWebSocket.Options) =>
  Effect.gen(function* () {
    const server = yield* RawPeer.listen
    const opening = yield* start(
      Effect.result(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, { ...brief, ...options }))
    )
    const peer = yield* server.accept
    const request = yield* peer.head
    peer.send(answer(request))
    return { peer, server, request, result: Fiber.join(opening) }
  })

const reasonAgainst = (answer: (request: RawPeer.Head) => string, options?: NodeWebSocket.Options) =>
  Effect.gen(function* () {
    const { peer, result, server } = yield* against(answer, options)
    const opened = yield* result
    if (opened._tag === "Success") throw new Error("it opened")
    // Whatever it was, no socket stays.
    yield* peer.rest
    peer.socket.end()
    yield* eventually(() => server.size() === 0)
    return opened.failure.reason
  })

const remember = (request: UpgradeRequest) =>
  Effect.succeed(Endpoint.accept(undefined, { headers: [["Set-Cookie", `seen=${request.header("X-Who")}`]] }))

describe("open", () => {
  it.live("says what RFC 6455 section 4.1 asks a client to say, and what it was told to say", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const url = `http://127.0.0.1:${server.port}/chat?room=%C3%BC`
      const headers = [
        ["Cookie", "a=1"],
        ["X-Twice", "one"],
        ["X-Twice", "two"],
        ["__proto__", "x"]
      ] as const
      yield* start(
        NodeWebSocket.open(url, { headers, origin: "https://example.com", subprotocols: ["chat", "superchat"] })
      )
      const peer = yield* server.accept
      const { headers: sent, start: line } = yield* peer.head
      expect(line).toBe("GET /chat?room=%C3%BC HTTP/1.1")
      expect(
        sent.map(([name, value]) => (name === "Sec-WebSocket-Key" ? [name, value.length] : [name, value]))
      ).toEqual([
        ["Host", `127.0.0.1:${server.port}`],
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
        ["Sec-WebSocket-Key", 24],
        ["Sec-WebSocket-Version", "13"],
        ["Sec-WebSocket-Protocol", "chat, superchat"],
        ["Origin", "https://example.com"],
        ...headers
      ])
    })
  )

  it.live("draws a new key for each connection", () =>
    Effect.gen(function* () {
      const keys = new Set<string | undefined>()
      for (let i = 0; i < 20; i++) {
        const { request } = yield* against(() => "")
        keys.add(request.header("Sec-WebSocket-Key"))
      }
      expect(keys.size).toBe(20)
    })
  )

  it.live("gives a connection that knows the answer, the subprotocol and where it is", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        { handshake: remember, subprotocols: ["superchat"] },
        (connection) => Stream.runForEach(connection.messages, connection.send)
      )
      const connection = yield* NodeWebSocket.open(`${server.url}/?x`, {
        subprotocols: ["chat", "superchat"],
        headers: { "X-Who": "ada" }
      })
      expect(connection.subprotocol).toBe("superchat")
      expect(connection.handshake.status).toBe(101)
      expect(connection.handshake.url).toBe(`${server.url}/?x`)
      expect(HttpHeaders.values(connection.handshake.headers, "set-cookie")).toEqual(["seen=ada"])
      yield* connection.sendAll(["text", Uint8Array.of(0, 1, 255)])
      expect(plain(yield* Stream.runCollect(Stream.take(connection.messages, 2)))).toEqual([
        "text",
        Uint8Array.of(0, 1, 255)
      ])
    })
  )

  it.live("talks to ws, and closes with 1000 when its scope does", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.callback<WebSocketServer>((resume) => {
          const server: WebSocketServer = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () =>
            resume(Effect.succeed(server))
          )
        }),
        (server) => Effect.sync(() => server.close())
      )
      const codes: Array<number> = []
      server.on("connection", (ws) => {
        ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }))
        ws.on("close", (code) => codes.push(code))
      })
      const { port } = server.address() as { readonly port: number }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* NodeWebSocket.open(`ws://127.0.0.1:${port}`)
          yield* connection.send("x".repeat(100_000))
          const [message] = yield* connection.pull
          expect(message.bytes.length).toBe(100_000)
        })
      )
      yield* eventually(() => codes.length === 1)
      expect(codes).toEqual([1000])
    })
  )

  it.live("keeps the frames that came in one segment with the 101", () =>
    Effect.gen(function* () {
      const early = encode(frame(1, Buffer.from("early")))
      const { result } = yield* against((request) =>
        concat([Buffer.from(accepting(request)), early, early.subarray(0, 3)])
      )
      const connection = yield* Effect.fromResult(yield* result)
      expect(plain(yield* connection.pull)).toEqual(["early"])
    })
  )

  it.live("masks each frame with a key of its own, none of which follows from others", () =>
    Effect.gen(function* () {
      const { peer, result } = yield* against(accepting)
      const connection = yield* Effect.fromResult(yield* result)
      const keys: Array<number | undefined> = []
      // More than are drawn at a time.
      const count = 3_000
      yield* connection.sendAll(Array.from({ length: count }, () => "x"))
      for (let i = 0; i < count; i++) keys.push((yield* peer.frame).key)
      expect(keys).not.toContain(undefined)
      expect(new Set(keys).size).toBeGreaterThan(count - 3)
      // Each of the 32 bits is set in about half of them: 10 standard deviations either way.
      for (let bit = 0; bit < 32; bit++) {
        const set = keys.filter((key) => ((key ?? 0) >>> bit) & 1).length
        expect(Math.abs(set - count / 2)).toBeLessThan(274)
      }
    })
  )

  it.live("interrupted behind the answer, before anybody has the connection, it leaves no socket behind", () =>
    Effect.gen(function* () {
      const server = http.createServer()
      const sockets = new Set<Duplex>()
      server.on("upgrade", (request: http.IncomingMessage, socket: Duplex) => {
        sockets.add(socket)
        socket.on("error", () => {}).on("close", () => sockets.delete(socket))
        socket.on("end", () => socket.end()).resume()
        const key = Handshake.acceptKey(request.headers["sec-websocket-key"] ?? "")
        const head = `HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`
        socket.write(head)
      })
      yield* NodeWebSocketServer.listen(server, { port: 0 })
      const { port } = server.address() as AddressInfo
      const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      for (let turns = 0; turns < 40; turns++) {
        const opening = NodeWebSocket.open(`ws://127.0.0.1:${port}`, brief).pipe(
          Effect.scoped,
          // Which leaves a turn between any two steps of it.
          Effect.provideService(Scheduler.MaxOpsBeforeYield, 3)
        )
        const fiber = yield* start(opening)
        yield* eventually(() => sockets.size > 0 || fiber.pollUnsafe() !== undefined)
        for (let i = 0; i < turns; i++) yield* turn
        yield* Fiber.interrupt(fiber)
        yield* eventually(() => sockets.size === 0)
      }
    })
  )

  it.live("interrupted, it leaves nothing behind, whatever it was waiting for", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* RawPeer.listen
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        for (const answer of [undefined, "HTTP/1.1 101 Sw", "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nno"]) {
          const opening = yield* start(Effect.scoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`)))
          const peer = yield* server.accept
          yield* peer.head
          if (answer !== undefined) peer.send(answer)
          yield* settled
          yield* Fiber.interrupt(opening)
          yield* peer.rest
          peer.socket.end()
        }
        yield* eventually(() => server.size() === 0)
        expect(alive.fibers).toBe(before.fibers)
        yield* backTo(before.resources)
      })
    )
  )
})

describe("the caller's fault", () => {
  it.live.each([
    ["nothing at all", "InvalidUrl"],
    ["ftp://localhost/", "InvalidUrl"],
    ["ws://", "InvalidUrl"],
    ["ws://localhost:99999/", "InvalidUrl"],
    ["ws://localhost/#part", "InvalidUrl"],
    ["ws://localhost/#", "InvalidUrl"],
    ["ws://user:secret@localhost/", "InvalidUrl"],
    ["ws+unix:", "InvalidUrl"],
    ["ws+unix:/a%ff.sock:/", "InvalidUrl"],
    ["ws+unix:/a.sock:@evil/", "InvalidUrl"],
    ["ws+unix:/a.sock:8080/chat", "InvalidUrl"],
    ["ws+unix://host/a.sock:/", "InvalidUrl"]
  ] as const)("%s is no URL to open", ([url, tag]) =>
    Effect.gen(function* () {
      expect((yield* failureOf(url))._tag).toBe(tag)
    })
  )

  it.live.each([
    ["a field of the handshake", { headers: { "Sec-WebSocket-Key": "x" } }, "InvalidHead"],
    ["Host", { headers: [["host", "evil"]] }, "InvalidHead"],
    ["a field that would be two", { headers: { a: "b\r\nc: d" } }, "InvalidHead"],
    ["a name that is none", { headers: { "a b": "c" } }, "InvalidHead"],
    ["a subprotocol that is no token", { subprotocols: ["a b"] }, "InvalidHead"],
    ["a subprotocol twice", { subprotocols: ["a", "a"] }, "InvalidHead"],
    ["an origin with a line of its own", { origin: "https://a\r\nb" }, "InvalidHead"]
  ] as const)("%s", ([_what, options, tag]) =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      expect((yield* failureOf(`ws://127.0.0.1:${server.port}/`, options))._tag).toBe(tag)
      yield* settled
      expect(server.size()).toBe(0)
    })
  )
})

describe("the server's fault", () => {
  it.live.each([
    [
      "a wrong Accept",
      (request: RawPeer.Head) => accepting(request, "Sec-WebSocket-Accept: AAAA", "Sec-WebSocket-Accept: "),
      "Sec-WebSocket-Accept"
    ],
    ["no Accept", (request: RawPeer.Head) => accepting(request, "", "Sec-WebSocket-Accept"), "Sec-WebSocket-Accept"],
    ["no Upgrade", (request: RawPeer.Head) => accepting(request, "", "Upgrade"), "Upgrade"],
    ["another Upgrade", (request: RawPeer.Head) => accepting(request, "Upgrade: h2c", "Upgrade"), "Upgrade"],
    ["no Connection", (request: RawPeer.Head) => accepting(request, "", "Connection"), "Connection"],
    [
      "a subprotocol nobody asked for",
      (request: RawPeer.Head) => accepting(request, "Sec-WebSocket-Protocol: x"),
      "Sec-WebSocket-Protocol"
    ],
    [
      "an extension nobody asked for",
      (request: RawPeer.Head) => accepting(request, "Sec-WebSocket-Extensions: permessage-deflate"),
      "Sec-WebSocket-Extensions"
    ],
    ["nothing but a 101", () => "HTTP/1.1 101 Switching Protocols\r\n\r\n", "Upgrade"]
  ] as const)("%s violates the handshake", ([_what, answer, field]) =>
    Effect.gen(function* () {
      const reason = yield* reasonAgainst(answer)
      expect(reason._tag).toBe("HandshakeViolation")
      if (reason._tag === "HandshakeViolation") expect(reason.field).toBe(field)
    })
  )

  it.live.each([
    ["what is no HTTP", "SSH-2.0-OpenSSH_9.6\r\n"],
    ["a head without end", `HTTP/1.1 101 x\r\n${"a: b\r\n".repeat(10_000)}`],
    ["a space in a name", "HTTP/1.1 101 x\r\na b: c\r\n\r\n"]
  ] as const)("%s is malformed", ([_what, answer]) =>
    Effect.gen(function* () {
      expect((yield* reasonAgainst(() => answer))._tag).toBe("MalformedHead")
    })
  )

  it.live("a 101 with a body is a connection on which rubbish came", () =>
    Effect.gen(function* () {
      const { peer, result } = yield* against((request) => `${accepting(request, "Content-Length: 12")}hello, world`)
      const connection = yield* Effect.fromResult(yield* result)
      const error = yield* Effect.flip(Effect.forever(connection.pull))
      if (error._tag !== "WebSocketError") throw new Error("it ended")
      expect(error.reason._tag).toBe("ProtocolViolation")
      expect(yield* peer.closeCode).toBe(1002)
    })
  )
})

describe("the network's fault", () => {
  it.live("nobody listens there", () =>
    Effect.gen(function* () {
      const port = nobodysPort
      const reason = yield* failureOf(`ws://localhost:${port}/`)
      expect(reason._tag).toBe("TransportError")
      expect(reason.message).toContain("ECONNREFUSED")
    })
  )

  it.live.each([
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end()],
    ["RST", (peer: RawPeer.RawPeer) => peer.reset()]
  ] as const)("%s in place of an answer", ([_how, leave]) =>
    Effect.gen(function* () {
      const { peer, result } = yield* against(() => "HTTP/1.1 101")
      leave(peer)
      const opened = yield* result
      expect(opened._tag === "Failure" && opened.failure.reason._tag).toBe("TransportError")
    })
  )

  it.live("a server that is mute, or does not get to the end of its answer", () =>
    Effect.gen(function* () {
      for (const answer of [
        "",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso",
        "HTTP/1.1 100 Continue\r\n\r\n"
      ]) {
        const reason = yield* reasonAgainst(() => answer, { handshakeTimeout: "50 millis" })
        expect([reason._tag, reason.message]).toEqual(["HandshakeTimeout", "the connection was not open after 50 ms"])
      }
    })
  )
})
