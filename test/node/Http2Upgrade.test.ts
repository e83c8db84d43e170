/** What a server answers to an extended CONNECT that asks for a WebSocket, rightly or wrongly: RFC 8441 section 5. */
import * as http2 from "node:http2"
import type { TLSSocket } from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Claims from "@millrace/node/Claims"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { selfSigned } from "../support/certificate.ts"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import { logged } from "../support/logged.ts"

const certificate = selfSigned("localhost")

const textOf = (seen: { readonly payload: Uint8Array }) => Buffer.from(seen.payload).toString()

/** Sends what the handshake found out. */
const tell = (connection: WebSocket.WebSocket<unknown>) =>
  Effect.andThen(connection.send(JSON.stringify([connection.handshake, connection.subprotocol])), Effect.never)

type Options = Omit<NodeWebSocketServer.ServeOptions<unknown, never>, "http2">

/** A server, and a session with it. */
const serve = (options: Options = {}, handler: Endpoint.Handler<unknown, unknown, never> = tell) =>
  Effect.gen(function* () {
    const server = yield* NodeWebSocketServer.serve({ handshake: accept, ...options, http2: true }, handler)
    const tls = { ca: certificate.cert, servername: "localhost" }
    const session = yield* Http2Client.connect(server.url, tls)
    return { ...server, session }
  })

const accept = () => Effect.succeed(Endpoint.accept<unknown>(undefined))

const ask = Http2Client.ask

describe("accept", () => {
  it.live("answers with 200 and with nothing that was not asked for", () =>
    Effect.gen(function* () {
      const { session } = yield* serve()
      const { headers, status } = yield* ask(session, "/", { "sec-websocket-extensions": "permessage-deflate" })
      expect(status).toBe(200)
      expect(Object.keys(headers)).toEqual([":status", "date"])
    })
  )

  it.live("adds fields, several of one name too", () =>
    Effect.gen(function* () {
      const headers = [
        ["Set-Cookie", "a=1; Path=/"],
        ["Set-Cookie", "b=2"],
        ["X-Served-By", "one"]
      ] as const
      const { session } = yield* serve({ handshake: () => Effect.succeed(Endpoint.accept(undefined, { headers })) })
      const answer = yield* ask(session)
      expect(answer.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2"])
      expect(answer.header("x-served-by")).toBe("one")
    })
  )

  it.live("chooses of the subprotocols, and says which", () =>
    Effect.gen(function* () {
      const { session } = yield* serve({ subprotocols: ["chat", "superchat"] })
      const both = yield* ask(session, "/", { "sec-websocket-protocol": "superchat, chat" })
      expect(both.header("sec-websocket-protocol")).toBe("chat")
      expect(textOf(yield* both.peer.frame)).toBe('[null,"chat"]')
      const neither = yield* ask(session, "/", { "sec-websocket-protocol": "graphql" })
      expect([neither.status, neither.header("sec-websocket-protocol")]).toEqual([200, undefined])
    })
  )

  it.live("keeps the frames that came in one segment with the request, also while the handshake takes time", () =>
    Effect.gen(function* () {
      let answer: (() => void) | undefined
      const handshake = () =>
        Effect.callback<Endpoint.Accepted<unknown>>((resume) => {
          answer = () => resume(Effect.succeed(Endpoint.accept(undefined)))
        })
      const { port } = yield* serve({ handshake }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      const client = yield* Http2Client.connectRaw(port)
      const early = encode(frame(1, Buffer.from("early")), 0x01020304)
      // In pieces, which the server has to keep until somebody reads them.
      const pieces = Array.from(early, (byte) => raw.data(1, Uint8Array.of(byte)))
      client.send(raw.headers(1, Http2Client.rawFields), ...pieces)
      yield* eventually(() => answer !== undefined)
      yield* settled
      answer!()
      expect((yield* client.next(raw.type.data)).payload.toString("latin1")).toBe("\x81\x05early")
    })
  )

  it.live("of a client that has reset its stream meanwhile is nothing, and nobody's fault", () =>
    countingFibers((alive) =>
      logged((entries) =>
        Effect.gen(function* () {
          let finish: (() => void) | undefined
          const handshake = () =>
            Effect.uninterruptible(
              Effect.callback<Endpoint.Accepted<unknown>>((resume) => {
                finish = () => resume(Effect.succeed(Endpoint.accept(undefined)))
              })
            )
          const server = yield* serve({ handshake })
          yield* settled
          const before = alive.fibers
          for (const code of [raw.code.cancel, raw.code.internalError]) {
            finish = undefined
            const client = yield* Http2Client.connectRaw(server.port)
            client.send(raw.headers(1, Http2Client.rawFields))
            yield* eventually(() => finish !== undefined)
            client.send(raw.rstStream(1, code))
            yield* settled
            finish!()
            yield* eventually(() => server.connections() === 0)
          }
          yield* eventually(() => alive.fibers === before)
          expect(entries.filter(({ level }) => level === "Error")).toEqual([])
        })
      )
    )
  )
})

const closeAtOnce = (stream: http2.ServerHttp2Stream) => stream.close(raw.code.refusedStream)

describe("a stream that is reset", () => {
  it.live("in one segment with the request is a connection that is over, and no error of the server", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
          Stream.runDrain(connection.messages)
        )
        const client = yield* Http2Client.connectRaw(server.port)
        client.send(raw.headers(1, Http2Client.rawFields), raw.rstStream(1, raw.code.cancel))
        client.send(raw.headers(3, Http2Client.rawFields))
        yield* eventually(() => server.connections() === 1)
        yield* settled
        expect(server.connections()).toBe(1)
        expect(entries.filter(({ level }) => level !== "Debug")).toEqual([])
      })
    )
  )

  it.live.each(["/", "/other"])("by the application before we have seen it gets no answer of ours: %s", (path) =>
    Effect.gen(function* () {
      const server = http2.createServer().on("stream", Claims.leavesConnect(closeAtOnce))
      const { port } = yield* NodeWebSocketServer.listen(server, {})
      const handled: Array<unknown> = []
      yield* NodeWebSocketServer.attach(server, [
        NodeWebSocketServer.route({ path: "/" }, (connection) => Effect.sync(() => handled.push(connection)))
      ])
      const client = yield* Http2Client.connectRaw(port)
      const fields = Http2Client.rawFields.map(([name, value]) => [name, name === ":path" ? path : value] as const)
      client.send(raw.headers(1, fields))
      const reset = yield* client.next(raw.type.rstStream)
      expect(reset.payload.readUInt32BE(0)).toBe(raw.code.refusedStream)
      expect(handled).toEqual([])
    })
  )

  it.live("as it is accepted is a connection that is over", () =>
    logged((entries) =>
      Effect.gen(function* () {
        let finish: (() => void) | undefined
        const handshake = () =>
          Effect.callback<Endpoint.Accepted<unknown>>((resume) => {
            finish = () => resume(Effect.succeed(Endpoint.accept(undefined)))
          })
        const server = http2.createServer()
        // Before anybody is told that the stream has closed.
        server.on("stream", (stream) => stream.on("aborted", () => finish?.()))
        const { port } = yield* NodeWebSocketServer.listen(server, {})
        const ended: Array<string> = []
        const attached = yield* NodeWebSocketServer.attach(server, [
          NodeWebSocketServer.route({ path: "/", handshake }, (connection) =>
            Effect.tapError(Stream.runDrain(connection.messages), ({ reason }) =>
              Effect.sync(() => ended.push(reason._tag))
            )
          )
        ])
        const client = yield* Http2Client.connectRaw(port)
        client.send(raw.headers(1, Http2Client.rawFields))
        yield* eventually(() => finish !== undefined)
        client.send(raw.rstStream(1, raw.code.cancel))
        yield* eventually(() => attached.connections() === 0)
        expect(ended).toEqual(["ConnectionLost"])
        expect(entries.filter(({ level }) => level === "Error")).toEqual([])
      })
    )
  )
})

const nameOfClient = ({ socket }: UpgradeRequest) =>
  Effect.succeed(Endpoint.accept<unknown>((socket as TLSSocket).getPeerCertificate().subject.CN))

describe("read", () => {
  it.live.each([
    ["TLS", true],
    ["clear text", false]
  ] as const)("gives the handshake all it may want to look at, over %s", ([_how, secure]) =>
    Effect.gen(function* () {
      let seen: UpgradeRequest | undefined
      const handshake = (request: UpgradeRequest) =>
        Effect.sync(() => {
          seen = request
          return Endpoint.accept<unknown>((request.socket as TLSSocket).localPort)
        })
      const server = yield* serve(secure ? { handshake, tls: certificate } : { handshake })
      const { peer, status } = yield* ask(server.session, "/chat/%C3%BC?room=1&room=a?b&__proto__=x", {
        ":authority": "example.com:8443",
        "x-twice": ["one", "two"],
        // As browsers do, to have each compressed by itself: RFC 9113 section 8.2.3.
        cookie: ["a=1", "b=2"],
        // Some clients send one, and it means nothing here: RFC 8441 section 5.
        "sec-websocket-key": "not one"
      })
      expect(status).toBe(200)
      expect(textOf(yield* peer.frame)).toBe(`[${server.port},null]`)
      const request = seen!
      expect([request.client.host, request.client.target]).toEqual([
        "example.com:8443",
        "/chat/%C3%BC?room=1&room=a?b&__proto__=x"
      ])
      expect(request.path).toBe("/chat/%C3%BC")
      expect([...request.query]).toEqual([
        ["room", "1"],
        ["room", "a?b"],
        ["__proto__", "x"]
      ])
      expect(request.header("X-TWICE")).toBe("one, two")
      expect(request.header("Cookie")).toBe("a=1; b=2")
      expect(request.header(":path")).toBeUndefined()
      expect(request.headers.filter(([name]) => name.startsWith(":"))).toEqual([])
      expect([request.httpVersion, request.scheme]).toEqual(["2", secure ? "https" : "http"])
      expect([request.encrypted, request.remoteAddress]).toEqual([secure, "127.0.0.1"])
      expect(request.incoming).toBeUndefined()
    })
  )

  it.live("has no address any more when the session is gone, and does not fail for that", () =>
    Effect.gen(function* () {
      let seen: UpgradeRequest | undefined
      const handshake = (request: UpgradeRequest) =>
        Effect.suspend(() => {
          seen = request
          return Effect.never
        })
      const { connections, session } = yield* serve({ handshake })
      session.request(Http2Client.connectFields()).on("error", () => {})
      yield* eventually(() => seen !== undefined)
      session.destroy()
      yield* eventually(() => connections() === 0)
      expect(seen!.remoteAddress).toBeUndefined()
    })
  )

  it.live("knows a client's certificate", () =>
    Effect.gen(function* () {
      const client = selfSigned("client")
      const tls = { ...certificate, ca: client.cert, requestCert: true }
      const server = yield* NodeWebSocketServer.serve({ handshake: nameOfClient, http2: true, tls }, tell)
      const session = yield* Http2Client.connect(`https://localhost:${server.port}`, {
        ...client,
        ca: certificate.cert
      })
      const { peer } = yield* ask(session)
      expect(textOf(yield* peer.frame)).toBe('["Millrace tests",null]')
    })
  )
})

const demandToken = () =>
  Endpoint.refuse(401, {
    headers: [
      ["WWW-Authenticate", "Bearer"],
      ["Content-Type", "application/json"],
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"]
    ],
    body: '{"no":"ü"}'
  })

describe("refuse", () => {
  it.live.each([
    ["another version", 400, { "sec-websocket-version": "8" }],
    ["no version", 400, { "sec-websocket-version": undefined }],
    ["another protocol", 501, { ":protocol": "connect-udp" }],
    ["a path with a fragment", 400, { ":path": "/a#b" }],
    ["an authority that is none", 400, { ":authority": "a:b" }],
    ["another scheme", 400, { ":scheme": "ftp" }],
    ["extensions that are no list", 400, { "sec-websocket-extensions": "a;;b" }],
    ["a subprotocol twice", 400, { "sec-websocket-protocol": "a, a" }],
    ["a page of another origin", 403, { origin: "https://evil.example" }]
  ] as const)("%s gets %i, an end, and harms no other stream", ([what, status, fields]) =>
    Effect.gen(function* () {
      const { connections, session } = yield* serve()
      const other = yield* ask(session)
      const answer = yield* ask(session, "/", fields)
      expect(answer.status).toBe(status)
      expect(answer.header("content-type")).toBe("text/plain; charset=utf-8")
      if (what.endsWith("version")) expect(answer.header("sec-websocket-version")).toBe("13")
      expect((yield* answer.peer.rest).toString()).toMatch(/^[\w -:;]+\n$/)
      yield* eventually(() => answer.stream.closed)
      expect(answer.stream.rstCode).toBe(0)
      expect(connections()).toBe(1)
      expect(textOf(yield* other.peer.frame)).toBe("[null,null]")
    })
  )

  it.live.each([
    ["a path that is none", { ":path": "*" }],
    ["no path", { ":path": undefined }],
    ["a field that means a connection", { upgrade: "websocket" }]
  ] as const)("is left to Node.js for %s: a reset with PROTOCOL_ERROR", ([_what, changed]) =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const client = yield* Http2Client.connectRaw(port)
      const changes: ReadonlyArray<readonly [string, string | undefined]> = Object.entries(changed)
      const others = Http2Client.rawFields.filter(([name]) => !changes.some(([known]) => known === name))
      const fields = changes.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
      const isPseudo = fields.some(([name]) => name.startsWith(":"))
      client.send(raw.headers(1, isPseudo ? [...fields, ...others] : [...others, ...fields]))
      const reset = yield* client.next(raw.type.rstStream)
      expect(reset.payload.readUInt32BE(0)).toBe(raw.code.protocolError)
    })
  )

  it.live("sends the status, the fields and the body of the handshake's own", () =>
    Effect.gen(function* () {
      const { session } = yield* serve({ handshake: demandToken })
      const { header, headers, peer, status } = yield* ask(session)
      expect([status, header("www-authenticate"), header("content-length")]).toEqual([401, "Bearer", "11"])
      expect(headers["set-cookie"]).toEqual(["a=1", "b=2"])
      expect((yield* peer.rest).toString()).toBe('{"no":"ü"}')
    })
  )

  it.live("an answer that has no body has none", () =>
    Effect.gen(function* () {
      const errors: Array<unknown> = []
      const server = http2.createServer()
      server.on("stream", (stream) => stream.on("error", (error) => errors.push(error)))
      const { url } = yield* NodeWebSocketServer.listen(server, {})
      yield* NodeWebSocketServer.attach(server, [
        NodeWebSocketServer.route({ path: "/", handshake: () => Endpoint.refuse(304) }, tell)
      ])
      const { peer, status, stream } = yield* ask(yield* Http2Client.connect(url))
      expect([status, (yield* peer.rest).length]).toEqual([304, 0])
      yield* eventually(() => stream.closed)
      expect([stream.rstCode, errors]).toEqual([0, []])
    })
  )

  it.live.each([
    ["dies", () => Effect.die(new Error("secret")), true],
    [
      "accepts with a field that cannot be sent",
      () => Effect.succeed(Endpoint.accept<unknown>(1, { headers: [["a", "b\r\nc: d"]] })),
      true
    ],
    [
      "accepts with a field twice that Node.js will have once",
      () => Effect.succeed(Endpoint.accept<unknown>(1, { headers: [["Age", "1"], ["Age", "2"]] })), // oxfmt-ignore
      true
    ],
    [
      "refuses with a field twice that Node.js will have once",
      () => Endpoint.refuse(403, { headers: [["Age", "1"], ["Age", "2"]] }), // oxfmt-ignore
      false
    ],
    ["refuses with a status that is none", () => Endpoint.refuse(101), false]
  ] as const)("a handshake that %s: 500 to the client, who learns nothing", ([_name, handshake, isLogged]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const { connections, session } = yield* serve({ handshake: handshake as typeof accept })
        const { peer, status } = yield* ask(session)
        expect(status).toBe(500)
        expect((yield* peer.rest).toString()).toBe("internal server error\n")
        expect(entries.some(({ level }) => level === "Error")).toBe(isLogged)
        yield* eventually(() => connections() === 0)
      })
    )
  )

  it.live("when the handshake takes too long: 503, and it is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = false
      const handshake = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => (interrupted = true)))
      const { session } = yield* serve({ handshake, handshakeTimeout: "100 millis" })
      expect((yield* ask(session)).status).toBe(503)
      expect(interrupted).toBe(true)
    })
  )

  it.live("cuts a client that does not take its answer, and leaves no timer behind of one that does", () =>
    Effect.gen(function* () {
      const server = yield* serve({ handshake: () => Endpoint.refuse(403, { body: "x".repeat(100) }) })
      yield* settled
      const before = resources()
      yield* Effect.scoped(Effect.flatMap(ask(server.session), ({ peer }) => peer.rest))
      const client = yield* Http2Client.connectRaw(server.port, raw.settings([initialWindowSize, 10]))
      client.send(raw.headers(1, Http2Client.rawFields))
      yield* client.next(raw.type.data)
      const from = performance.now()
      const reset = yield* client.next(raw.type.rstStream)
      expect(reset.payload.readUInt32BE(0)).toBe(raw.code.cancel)
      expect(performance.now() - from).toBeGreaterThan(4_000)
      expect(performance.now() - from).toBeLessThan(7_000)
      client.peer.socket.destroy()
      server.session.destroy()
      yield* backTo(before, 2_000)
    })
  )
})

/** SETTINGS_INITIAL_WINDOW_SIZE: RFC 9113 section 6.5.2. */
const initialWindowSize = 4

describe("a handshake that takes time", () => {
  it.live.each([
    ["resets its stream", (stream: http2.ClientHttp2Stream) => stream.close(raw.code.cancel)],
    ["ends its stream", (stream: http2.ClientHttp2Stream) => stream.end()],
    ["ends its session", (stream: http2.ClientHttp2Stream) => stream.session!.destroy()]
  ] as const)("is interrupted when the client %s, and nothing is left", ([_how, leave]) =>
    countingFibers((alive) =>
      logged((entries) =>
        Effect.gen(function* () {
          const asked: Array<string> = []
          const handshake = () =>
            Effect.suspend(() => {
              asked.push("asked")
              return Effect.onInterrupt(Effect.never, () => Effect.sync(() => asked.push("interrupted")))
            })
          const server = yield* serve({ handshake })
          yield* settled
          const before = alive.fibers
          const stream = server.session.request(Http2Client.connectFields(), { endStream: false })
          stream.on("error", () => {})
          yield* eventually(() => asked.length === 1)
          expect(server.connections()).toBe(1)
          leave(stream)
          yield* eventually(() => server.connections() === 0)
          expect(asked).toEqual(["asked", "interrupted"])
          yield* eventually(() => alive.fibers === before)
          expect(entries.filter(({ level }) => level === "Error")).toEqual([])
        })
      )
    )
  )
})

describe("the origin of a page, by default", () => {
  it.live.each([
    // What the client says it reached us by counts, as HTTP/1.1 has no word for it.
    [200, "http://chat.example.com", "http"],
    [403, "https://chat.example.com", "http"],
    [200, "https://chat.example.com", "https"],
    [403, "http://chat.example.com", "https"],
    [200, "https://chat.example.com:443", "https"],
    [403, "https://chat.example.com:8443", "https"],
    [403, "https://example.com", "https"],
    [403, "null", "https"],
    [200, undefined, "https"]
  ] as const)("%i for %s with :scheme %s", ([status, origin, scheme]) =>
    Effect.gen(function* () {
      const { session } = yield* serve()
      const fields = { ":authority": "chat.example.com", ":scheme": scheme, origin }
      expect((yield* ask(session, "/", fields)).status).toBe(status)
    })
  )
})
