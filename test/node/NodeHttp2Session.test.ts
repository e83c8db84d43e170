/** Many WebSockets over one connection of HTTP/2: how they share it, and how it ends. */
import * as http from "node:http"
import * as https from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OpenError } from "@millrace/core/connection/OpenError"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as NodeHttp2Session from "@millrace/node/NodeHttp2Session"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../support/certificate.ts"
import { plain, start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as http2 from "../support/http2.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as RawPeer from "../support/RawPeer.ts"

const certificate = selfSigned("localhost")

const brief: NodeHttp2Session.Options = { closeTimeout: "50 millis" }

const secure: NodeHttp2Session.Options = { ...brief, tls: { ca: certificate.cert } }

const limits = { closeTimeout: "50 millis" } as const

const reasonOf = <A, R>(effect: Effect.Effect<A, OpenError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const failureOf = (url: string, options = brief) => reasonOf(Effect.scoped(NodeHttp2Session.connect(url, options)))

/** Says something, and hears it. */
const talks = (connection: WebSocket.WebSocket<unknown>, text = "hello") =>
  Effect.gen(function* () {
    yield* connection.send(text)
    expect(plain([yield* connection.receive])).toEqual([text])
  })

/** How the messages end: the tag of the reason, or `Done`. */
const endOf = (connection: WebSocket.WebSocket<unknown>) =>
  Stream.runDrain(connection.messages).pipe(
    Effect.match({ onSuccess: () => "Done", onFailure: (error) => error.reason._tag })
  )

/** A session with a server that speaks in bytes. */
const against = (options: NodeHttp2Session.Options = brief) =>
  Effect.gen(function* () {
    const server = yield* RawPeer.listen
    const url = `ws://127.0.0.1:${server.port}/`
    const connecting = yield* start(NodeHttp2Session.connect(url, options))
    const far = yield* http2.accept(server, http2.willing)
    const session = yield* Fiber.join(connecting)
    const open = (more?: NodeWebSocket.Options) => NodeWebSocket.open(url, { http2: session, limits, ...more })
    /** One that the server accepts, and its stream. */
    const opened = Effect.gen(function* () {
      const opening = yield* start(open())
      const { stream } = yield* far.next(http2.type.headers)
      far.send(http2.headers(stream, [[":status", "200"]]))
      return { connection: yield* Fiber.join(opening), stream }
    })
    return { far, open, opened, server, session }
  })

describe("a session", () => {
  it.live.each([
    ["http:", false],
    ["https:", true]
  ] as const)("with %s carries many WebSockets at once, on one connection", ([scheme, encrypted]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve(http2.echo, encrypted ? { certificate } : {})
      const session = yield* NodeHttp2Session.connect(
        `${scheme}//localhost:${server.port}/`,
        encrypted ? secure : brief
      )
      const origin = `${encrypted ? "wss" : "ws"}://localhost:${server.port}`
      expect(session.origin).toBe(origin)
      const paths = Array.from({ length: 20 }, (_, i) => `/${i}`)
      const connections = yield* Effect.forEach(
        paths,
        (path) => NodeWebSocket.open(`${origin}${path}`, { http2: session, headers: { "x-path": path } }),
        { concurrency: "unbounded" }
      )
      for (const [i, connection] of connections.entries()) {
        expect([connection.handshake.httpVersion, connection.handshake.url]).toEqual(["2", `${origin}/${i}`])
      }
      yield* Effect.forEach(connections, (connection, i) => talks(connection, `${i}`), { concurrency: "unbounded" })
      expect(server.asked.map((request) => request.header(":path")).sort()).toEqual(paths.toSorted())
      expect(server.connections()).toBe(1)
    })
  )

  it.live("with a unix socket carries those of any URL of its origin", () =>
    Effect.gen(function* () {
      const socketPath = join(tmpdir(), `millrace-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
      yield* http2.serve(http2.echo, { socketPath })
      const byUrl = yield* NodeHttp2Session.connect(`ws+unix:${socketPath}`, brief)
      yield* talks(yield* NodeWebSocket.open(`ws+unix:${socketPath}:/a`, { http2: byUrl }))
      yield* talks(yield* NodeWebSocket.open("ws://localhost/a", { http2: byUrl }))
      const elsewhere = yield* reasonOf(NodeWebSocket.open("ws+unix:/other.sock:/a", { http2: byUrl }))
      expect(elsewhere.message).toContain("another socket")
      const byOption = yield* NodeHttp2Session.connect("http://example.com:81", { ...brief, socketPath })
      yield* talks(yield* NodeWebSocket.open("ws://example.com:81/a", { http2: byOption }))
    })
  )

  it.live("announces the windows that it was given", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      yield* start(
        NodeHttp2Session.connect(`http://127.0.0.1:${server.port}`, {
          ...brief,
          streamWindowBytes: 100_000,
          sessionWindowBytes: 70_000
        })
      )
      const far = yield* http2.accept(server)
      expect((yield* far.frame).payload.subarray(6, 12).toString("hex")).toBe("0004000186a0")
      expect((yield* far.frame).payload.readUInt32BE(0)).toBe(70_000 - 65_535)
    })
  )

  it.live("is of use again when a WebSocket of it was refused, broke a rule, or was malformed", () =>
    Effect.gen(function* () {
      const { far, open, opened } = yield* against()
      for (const [answer, tag, code] of [
        [[[":status", "403"]], "Refused", http2.code.cancel],
        [
          [
            [":status", "200"],
            ["sec-websocket-protocol", "x"]
          ],
          "HandshakeViolation",
          http2.code.cancel
        ],
        [
          [
            [":status", "200"],
            ["connection", "x"]
          ],
          "MalformedHead",
          http2.code.protocolError
        ]
      ] as const) {
        const opening = yield* start(reasonOf(open({ handshakeTimeout: "50 millis" })))
        const { stream } = yield* far.next(http2.type.headers)
        far.send(http2.headers(stream, answer))
        expect((yield* Fiber.join(opening))._tag).toBe(tag)
        const reset = yield* far.next(http2.type.rstStream)
        expect([reset.stream, reset.payload.readUInt32BE(0)]).toEqual([stream, code])
      }
      yield* opened
    })
  )
})

describe("of the WebSockets of a session", () => {
  it.live("one that is not read holds nobody else up, and loses nothing", () =>
    Effect.gen(function* () {
      const messages = 100
      const message = encode(frame(2, Buffer.alloc(65_536)))
      const server = yield* http2.serve((request) => {
        if (request.header(":path") === "/echo") return http2.echo(request)
        request.stream.respond({ ":status": 200 })
        for (let i = 0; i < messages; i++) request.stream.write(message)
      })
      const url = `ws://localhost:${server.port}`
      const session = yield* NodeHttp2Session.connect(url, brief)
      const unread = yield* NodeWebSocket.open(`${url}/flood`, { http2: session, limits })
      const others = yield* Effect.all([1, 2, 3].map(() => NodeWebSocket.open(`${url}/echo`, { http2: session })))
      // More in both directions than the window of the session.
      for (let i = 0; i < 40; i++) {
        for (const other of others) yield* talks(other, "x".repeat(100_000))
      }
      const waiting = server.asked[0]!.stream.writableLength
      expect(waiting).toBeGreaterThan((messages - 10) * message.length)
      expect((yield* Stream.runCollect(Stream.take(unread.messages, messages))).length).toBe(messages)
    })
  )

  it.live("one whose server does not read waits, the others go on, and all it has sent arrives in the end", () =>
    Effect.gen(function* () {
      let received = 0
      const server = yield* http2.serve((request) => {
        if (request.header(":path") === "/echo") return http2.echo(request)
        request.stream.respond({ ":status": 200 })
      })
      const url = `ws://localhost:${server.port}`
      const session = yield* NodeHttp2Session.connect(url, brief)
      const slow = yield* NodeWebSocket.open(`${url}/mute`, { http2: session, limits })
      const other = yield* NodeWebSocket.open(`${url}/echo`, { http2: session })
      const message = Buffer.alloc(65_536)
      let sent = 0
      const sending = yield* start(
        Effect.repeat(
          Effect.tap(slow.send(message), () => Effect.sync(() => sent++)),
          { times: 99 }
        )
      )
      for (let i = 0; i < 40; i++) yield* talks(other, "x".repeat(100_000))
      // The outbox of 1 MiB, and what the windows and the buffers of both ends hold.
      expect(sent).toBeLessThan(30)
      server.asked[0]!.stream.on("data", (chunk: Buffer) => (received += chunk.length))
      yield* Fiber.join(sending)
      yield* eventually(() => received === 100 * (message.length + 14))
    })
  )

  it.live("twenty may have a whole outbox waiting, and another can still be opened", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve((request) => {
        if (request.header(":path") === "/echo") return http2.echo(request)
        request.stream.respond({ ":status": 200 })
      })
      const url = `ws://localhost:${server.port}`
      const session = yield* NodeHttp2Session.connect(url, brief)
      for (let i = 0; i < 20; i++) {
        const connection = yield* NodeWebSocket.open(`${url}/mute`, { http2: session, limits })
        yield* connection.send(Buffer.alloc(1_048_576))
      }
      yield* settled
      yield* talks(yield* NodeWebSocket.open(`${url}/echo`, { http2: session }))
    })
  )

  it.live("one more than the server allows waits for its turn, as long as handshakeTimeout, and can be given up", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const url = `ws://127.0.0.1:${server.port}/`
      const connecting = yield* start(NodeHttp2Session.connect(url, brief))
      const far = yield* http2.accept(
        server,
        Buffer.concat([
          http2.settings([http2.enableConnectProtocol, 1], [http2.maxConcurrentStreams, 1]),
          http2.settingsAck
        ])
      )
      const session = yield* Fiber.join(connecting)
      const open = NodeWebSocket.open(url, { http2: session, limits })
      const first = yield* start(open)
      const { stream } = yield* far.next(http2.type.headers)
      far.send(http2.headers(stream, [[":status", "200"]]))
      const connection = yield* Fiber.join(first)
      const late = yield* reasonOf(NodeWebSocket.open(url, { http2: session, handshakeTimeout: "50 millis" }))
      expect(late._tag).toBe("HandshakeTimeout")
      const second = yield* start(open)
      const third = yield* start(open)
      yield* settled
      yield* Fiber.interrupt(second)
      // The first ends, and nothing was ever said of those that have given up.
      far.send(http2.data(stream, encode(frame(8, Uint8Array.of(3, 232))), true))
      expect(yield* endOf(connection)).toBe("Done")
      const kinds: Array<number> = []
      const request = yield* Effect.repeat(
        Effect.tap(far.frame, ({ kind }) => Effect.sync(() => kinds.push(kind))),
        { until: ({ kind }) => kind === http2.type.headers }
      )
      expect(request.stream).toBeGreaterThan(stream)
      expect(kinds).not.toContain(http2.type.rstStream)
      far.send(http2.headers(request.stream, [[":status", "200"]]))
      expect((yield* Fiber.join(third)).handshake.status).toBe(200)
    })
  )
})

describe("the end of a session's scope", () => {
  it.live("closes its WebSockets with 1001, ends the connection behind them, and leaves nothing", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* http2.serve(http2.echo, { certificate })
        const url = `wss://localhost:${server.port}/`
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const scope = yield* Scope.make()
        const { tls } = secure
        const session = yield* Scope.provide(NodeHttp2Session.connect(url, { tls }), scope)
        const longer = yield* Scope.make()
        const connections = yield* Effect.all([1, 2, 3].map(() => NodeWebSocket.open(url, { http2: session }))).pipe(
          Scope.provide(longer)
        )
        const ends = yield* Effect.forEach(connections, (connection) => start(endOf(connection)))
        const closing = yield* start(Scope.close(scope, Exit.void))
        expect((yield* reasonOf(NodeWebSocket.open(url, { http2: session })))._tag).toBe("TransportError")
        yield* Fiber.join(closing)
        expect(server.asked.length).toBe(3)
        expect(yield* Effect.forEach(ends, (end) => Fiber.join(end))).toEqual(["Done", "Done", "Done"])
        for (const connection of connections) {
          const { by, received, sent } = yield* connection.closed
          expect([by, sent?.code, received?.code]).toEqual(["local", 1001, 1001])
        }
        expect(server.asked.map(({ stream }) => stream.rstCode)).toEqual([0, 0, 0])
        yield* session.closed
        expect((yield* reasonOf(NodeWebSocket.open(url, { http2: session })))._tag).toBe("TransportError")
        yield* eventually(() => server.sessions.size === 0)
        yield* Scope.close(longer, Exit.void)
        expect(alive.fibers).toBe(before.fibers)
        yield* backTo(before.resources, 2_000)
      })
    )
  )

  it.live("is the same when the WebSockets are in it, which then close with 1000 by themselves", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(http2.echo)
      const url = `ws://localhost:${server.port}/`
      const connection = yield* Effect.scoped(
        Effect.flatMap(NodeHttp2Session.connect(url, brief), (session) => NodeWebSocket.open(url, { http2: session }))
      )
      expect((yield* connection.closed).sent?.code).toBe(1000)
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live("gives up on a WebSocket that is being opened, and on a peer that answers nothing", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { far, open, opened, server, session } = yield* Scope.provide(against(), scope)
      const { connection } = yield* opened
      const opening = yield* start(reasonOf(open()))
      const { stream } = yield* far.next(http2.type.headers)
      const closing = yield* start(Scope.close(scope, Exit.void))
      const reset = yield* far.next(http2.type.rstStream)
      expect([reset.stream, reset.payload.readUInt32BE(0)]).toEqual([stream, http2.code.cancel])
      expect(yield* Fiber.join(opening)).toMatchObject({
        _tag: "TransportError",
        cause: { message: expect.stringMatching(/has ended/) }
      })
      // It answers neither Close nor GOAWAY, and keeps the connection.
      yield* Fiber.join(closing)
      expect(yield* endOf(connection)).toBe("ConnectionLost")
      yield* session.closed
      yield* far.peer.rest
      far.peer.socket.end()
      yield* eventually(() => server.size() === 0)
    }).pipe(Effect.timeout("5 seconds"))
  )

  it.live("cuts a connection whose peer does not end its side, closeTimeout later", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { far, server } = yield* Scope.provide(against(), scope)
      const started = performance.now()
      yield* Scope.close(scope, Exit.void)
      expect(performance.now() - started).toBeGreaterThan(40)
      yield* far.peer.rest
      far.peer.socket.end()
      yield* eventually(() => server.size() === 0)
    })
  )
})

describe("a session that is lost", () => {
  it.live.each([
    ["the end of the TCP connection", (peer: RawPeer.RawPeer): void => void peer.socket.end(), "ConnectionLost", true],
    ["its reset", (peer: RawPeer.RawPeer): void => peer.reset(), "TransportError", false],
    [
      "GOAWAY for an error",
      (peer: RawPeer.RawPeer): void => peer.send(http2.goAway(100, http2.code.enhanceYourCalm)),
      "TransportError",
      false
    ],
    [
      "the setting taken back: RFC 8441 section 3",
      (peer: RawPeer.RawPeer): void => peer.send(http2.settings([http2.enableConnectProtocol, 0])),
      "TransportError",
      false
    ]
  ] as const)("by %s takes all its WebSockets along, each of which knows why", ([_how, leave, tag, orderly]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { far, open, opened, session } = yield* against()
            const connections = yield* Effect.all(Array.from({ length: 50 }, () => opened))
            const last = connections.at(-1)!.stream
            far.send(...connections.map(({ stream }) => http2.data(stream, encode(frame(1, Buffer.from("before"))))))
            yield* Effect.forEach(connections, ({ connection }) =>
              Effect.map(connection.pull, (messages) => expect(plain(messages)).toEqual(["before"]))
            )
            const ends = yield* Effect.forEach(connections, ({ connection }) => start(endOf(connection)))
            const opening = yield* start(reasonOf(open()))
            yield* far.next(http2.type.headers)
            expect(last).toBeLessThan(100 + 1)
            leave(far.peer)
            for (const end of ends) expect(yield* Fiber.join(end)).toBe(tag)
            expect((yield* Fiber.join(opening))._tag).toMatch(/TransportError|MalformedHead/)
            const closed = yield* Effect.exit(session.closed)
            expect(Exit.isSuccess(closed)).toBe(orderly)
            if (Exit.isFailure(closed)) expect(Cause.squash(closed.cause)).toMatchObject({ _tag: "TransportError" })
            expect((yield* reasonOf(open()))._tag).toBe("TransportError")
            far.peer.socket.end()
          })
        )
        expect(alive.fibers).toBe(before.fibers)
        yield* backTo(before.resources)
      })
    )
  )

  it.live("by GOAWAY without an error keeps the WebSockets that the server still serves, and ends behind them", () =>
    Effect.gen(function* () {
      const { far, open, opened, session } = yield* against()
      const { connection, stream } = yield* opened
      const opening = yield* start(reasonOf(open()))
      yield* far.next(http2.type.headers)
      far.send(http2.goAway(stream, http2.code.noError))
      // This one had not been looked at.
      expect(yield* Fiber.join(opening)).toMatchObject({
        _tag: "TransportError",
        cause: { message: expect.stringMatching(/REFUSED_STREAM/) }
      })
      expect((yield* reasonOf(open()))._tag).toBe("TransportError")
      far.send(http2.data(stream, encode(frame(1, Buffer.from("still here")))))
      expect(plain(yield* connection.pull)).toEqual(["still here"])
      far.send(http2.data(stream, encode(frame(8, Uint8Array.of(3, 233))), true))
      expect(yield* endOf(connection)).toBe("Done")
      far.peer.socket.end()
      yield* session.closed
    })
  )
})

describe("a session is for its own origin", () => {
  const server = http2.serve(http2.echo)

  it.live("and for no other, nor after a redirect", () =>
    Effect.gen(function* () {
      const other = yield* server
      const { asked, port } = yield* http2.serve(({ stream }) =>
        stream.respond({ ":status": 307, location: `http://localhost:${other.port}/` }, { endStream: true })
      )
      const session = yield* NodeHttp2Session.connect(`ws://localhost:${port}`, brief)
      for (const url of [
        `ws://localhost:${other.port}/`,
        `wss://localhost:${port}/`,
        `ws://127.0.0.1:${port}/`,
        "ws+unix:/a.sock:/"
      ]) {
        const reason = yield* reasonOf(NodeWebSocket.open(url, { http2: session }))
        expect(reason._tag).toBe("InvalidOptions")
      }
      expect(asked).toEqual([])
      const reason = yield* reasonOf(NodeWebSocket.open(`ws://localhost:${port}/`, { http2: session, maxRedirects: 5 }))
      expect(reason._tag === "Refused" && reason.detail).toBe("it redirects to another origin than that of the session")
      expect([asked.length, other.asked.length]).toEqual([1, 0])
    })
  )

  it.live("and follows redirects within it", () =>
    Effect.gen(function* () {
      const { connections, port } = yield* http2.serve((request) => {
        if (request.header(":path") === "/b") http2.echo(request)
        else request.stream.respond({ ":status": 307, location: "/b" }, { endStream: true })
      })
      const session = yield* NodeHttp2Session.connect(`ws://localhost:${port}`, brief)
      const options = { http2: session, maxRedirects: 1 }
      const connection = yield* NodeWebSocket.open(`ws://localhost:${port}/a`, options)
      expect(connection.handshake.url).toBe(`ws://localhost:${port}/b`)
      yield* talks(connection)
      expect(connections()).toBe(1)
    })
  )

  it.live("with tls and socketPath of its own, and without an agent", () =>
    Effect.gen(function* () {
      const { port } = yield* server
      const session = yield* NodeHttp2Session.connect(`ws://localhost:${port}`, brief)
      for (const options of [{ tls: {} }, { socketPath: "/a.sock" }, { agent: new http.Agent() }]) {
        const reason = yield* reasonOf(NodeWebSocket.open(`ws://localhost:${port}/`, { http2: session, ...options }))
        expect(reason._tag).toBe("InvalidOptions")
      }
    })
  )
})

describe("connecting fails", () => {
  it.live.each([
    ["that refuses to speak h2", { ALPNProtocols: ["http/1.1"] }],
    ["that knows no ALPN", { ALPNProtocols: undefined }]
  ] as const)("with a server %s: nobody's fault", ([_which, options]) =>
    Effect.gen(function* () {
      const server = https.createServer({ ...certificate, ...(options as tls.TlsOptions) })
      const { port } = yield* NodeWebSocketServer.listen(server, {})
      const reason = yield* failureOf(`https://localhost:${port}`, secure)
      expect(reason._tag === "Http2Unavailable" && reason.clause).toBe("RFC 9113 3.2")
    })
  )

  it.live("with a server without WebSockets, or without HTTP/2 where there is no TLS", () =>
    Effect.gen(function* () {
      for (const setting of [false, undefined]) {
        const server = yield* http2.serve(http2.echo, { settings: { enableConnectProtocol: setting! } })
        const reason = yield* failureOf(`http://localhost:${server.port}`)
        expect(reason._tag === "Http2Unavailable" && reason.clause).toBe("RFC 8441 3")
        yield* eventually(() => server.sessions.size === 0)
      }
      const server = yield* RawPeer.listen
      const connecting = yield* start(failureOf(`http://127.0.0.1:${server.port}`))
      // Told why in good order, and not only cut.
      yield* (yield* http2.accept(server, http2.settings())).next(http2.type.goAway)
      expect((yield* Fiber.join(connecting))._tag).toBe("Http2Unavailable")
      const { url } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
      const reason = yield* failureOf(url)
      expect(reason._tag === "Http2Unavailable" && reason.clause).toBe("RFC 9113 3.3")
    })
  )

  it.live("when the network does, the time is over, or the URL or an option is none", () =>
    Effect.gen(function* () {
      expect((yield* failureOf(`http://localhost:${nobodysPort}`)).message).toContain("ECONNREFUSED")
      const server = yield* http2.serve(http2.echo, { certificate })
      expect((yield* failureOf(`https://localhost:${server.port}`)).message).toContain("self-signed")
      const mute = yield* RawPeer.listen
      for (const scheme of ["http", "https"]) {
        const late = yield* failureOf(`${scheme}://127.0.0.1:${mute.port}`, { ...brief, handshakeTimeout: "50 millis" })
        expect([late._tag, late.message]).toEqual(["HandshakeTimeout", "the connection was not open after 50 ms"])
        const peer = yield* mute.accept
        yield* peer.rest
        peer.socket.end()
      }
      yield* eventually(() => mute.size() === 0)
      expect((yield* failureOf("ftp://localhost"))._tag).toBe("InvalidUrl")
      expect((yield* failureOf("https://localhost", { tls: { cert: "none" } }))._tag).toBe("InvalidOptions")
    })
  )

  it.live.each([
    { streamWindowBytes: 0 },
    { streamWindowBytes: 1.5 },
    { streamWindowBytes: 2 ** 31 },
    { sessionWindowBytes: 65_534 },
    { sessionWindowBytes: 2 ** 31 },
    { sessionWindowBytes: NaN }
  ])("with a window that there cannot be: %j", (window) =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      expect((yield* failureOf(`http://127.0.0.1:${server.port}`, window))._tag).toBe("InvalidOptions")
      yield* settled
      expect(server.size()).toBe(0)
    })
  )
})

describe("WebSockets of a session that are made and killed at random points", () => {
  it.live("leave fibers, timers, sockets and streams as they were, and the session of use", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* http2.serve(http2.echo, { certificate })
        const url = `wss://localhost:${server.port}/`
        const session = yield* NodeHttp2Session.connect(url, secure)
        yield* Effect.scoped(Effect.flatMap(NodeWebSocket.open(url, { http2: session }), talks))
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const live = Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* NodeWebSocket.open(url, { http2: session, limits })
            for (let i = 0; i < 10; i++) yield* talks(connection, `${i}`)
          })
        )
        for (let round = 0; round < 30; round++) {
          const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () => start(live))
          for (const fiber of fibers) {
            for (let turn = Math.floor(Math.random() * 8); turn > 0; turn--) yield* Effect.yieldNow
            yield* Fiber.interrupt(fiber)
          }
        }
        expect(alive.fibers).toBe(before.fibers)
        yield* eventually(() => server.asked.every(({ stream }) => stream.destroyed))
        yield* backTo(before.resources)
        yield* Effect.scoped(Effect.flatMap(NodeWebSocket.open(url, { http2: session }), talks))
        expect(server.connections()).toBe(1)
      })
    )
  )
})
