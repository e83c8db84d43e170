/** HTTP/2 sessions: what they may take, what has brought other servers down, and how they end. */
import type * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import type * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Sessions from "@millrace/node/Sessions"
import { selfSigned } from "../support/certificate.ts"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

type Options = Omit<NodeWebSocketServer.ServeOptions<undefined, never>, "handshake">

const serve = (options: Options = {}) => NodeWebSocketServer.serve({ http2: true, ...options }, echo)

/** A server, and what ends it. */
const serveUntil = (options: Options = {}, handler: Endpoint.Handler<undefined, unknown, never> = echo) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const server = yield* NodeWebSocketServer.serve({ http2: true, ...options }, handler).pipe(Scope.provide(scope))
    return { ...server, end: Scope.close(scope, Exit.void) }
  })

const open = (id: number) => raw.headers(id, Http2Client.rawFields)

/** The last frame before the end of the connection. */
const last = (client: raw.RawHttp2): Effect.Effect<raw.Frame> =>
  Effect.map(client.peer.rest, (bytes) => {
    let at = 0
    let found: raw.Frame | undefined
    while (at + 9 <= bytes.length) {
      const length = bytes.readUIntBE(at, 3)
      const payload = bytes.subarray(at + 9, at + 9 + length)
      found = { kind: bytes[at + 3]!, flags: bytes[at + 4]!, stream: bytes.readUInt32BE(at + 5), payload }
      at += 9 + length
    }
    return found!
  })

const closeFrame = encode(frame(8, Uint8Array.of(0x03, 0xe8)), 0x01020304)

describe("what a session may take", () => {
  it.live("is said in its settings, with defaults and as an option", () =>
    Effect.gen(function* () {
      const standard = yield* Http2Client.connect((yield* serve()).url)
      expect(standard.remoteSettings).toMatchObject({
        enableConnectProtocol: true,
        maxConcurrentStreams: Sessions.defaults.maxStreams,
        initialWindowSize: Sessions.defaults.streamWindowBytes
      })
      yield* eventually(() => standard.state.remoteWindowSize === Sessions.defaults.sessionWindowBytes)
      const http2 = { maxStreams: 3, streamWindowBytes: 100_000, sessionWindowBytes: 200_000 }
      const other = yield* Http2Client.connect((yield* serve({ http2 })).url)
      expect(other.remoteSettings).toMatchObject({ maxConcurrentStreams: 3, initialWindowSize: 100_000 })
      yield* eventually(() => other.state.remoteWindowSize === 200_000)
    })
  )

  it.effect.each([
    { maxStreams: 0 },
    { maxStreams: 1.5 },
    { streamWindowBytes: 2 ** 31 },
    { sessionWindowBytes: 65_534 }
  ])("cannot be %j, and no server is made that would fail at its first client", (http2) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(serve({ http2 }))
      expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBeInstanceOf(RangeError)
    })
  )

  it.live("are maxStreams, until one of them ends", () =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: { maxStreams: 3 } })
      const client = yield* Http2Client.connectRaw(server.port)
      client.send(open(1), open(3), open(5))
      yield* eventually(() => server.connections() === 3)
      client.send(raw.data(3, closeFrame, true))
      yield* eventually(() => server.connections() === 2)
      client.send(open(7))
      yield* eventually(() => server.connections() === 3)
      // It knows of the limit by now: RFC 9113 section 5.1.2.
      client.send(open(9))
      const { payload } = yield* client.next(raw.type.goAway)
      expect([raw.code.protocolError, raw.code.internalError]).toContain(payload.readUInt32BE(4))
    })
  )

  it.live("are maxStreams, and who has not heard of them yet may ask again", () =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: { maxStreams: 3 } })
      const client = new raw.RawHttp2(yield* RawPeer.connect(server.port))
      client.send(Buffer.from(raw.preface), raw.settings(), open(1), open(3), open(5), open(7))
      const reset = yield* client.next(raw.type.rstStream)
      expect([reset.stream, reset.payload.readUInt32BE(0)]).toEqual([7, raw.code.refusedStream])
      yield* eventually(() => server.connections() === 3)
    })
  )
})

describe("what has brought other servers down", () => {
  /** Frames of no use, how many of them a session outlives, and after how many at most it ends. */
  const floods: ReadonlyArray<readonly [string, (i: number) => Buffer, number, number]> = [
    [
      "streams that are reset at once",
      (i) => Buffer.concat([open(2 * i + 1), raw.rstStream(2 * i + 1, 8)]),
      1_000,
      1_500
    ],
    [
      "a header section that does not end",
      (i) =>
        i === 0
          ? raw.frame(raw.type.headers, 0, 1, Buffer.from([0, 1, 97, 1, 98]))
          : raw.frame(raw.type.continuation, 0, 1, Buffer.from([0, 1, 97, 1, 98])),
      0,
      100
    ],
    ["PINGs, whose answers are not read", () => raw.frame(6, 0, 0, Buffer.alloc(8)), 0, 400_000],
    ["DATA without data", (i) => (i === 0 ? open(1) : raw.data(1, "")), 0, 5_000],
    ["a window that overflows", () => raw.windowUpdate(0, 0x7fff_ffff), 0, 10]
  ]

  it.live.each(floods)("%s: ends their session and nothing else", ([name, make, least, most]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* serve({ handshakeTimeout: "1 second" })
        const bystander = yield* Http2Client.connect(server.url)
        const { peer } = yield* Http2Client.open(bystander)
        yield* settled
        const before = alive.fibers
        const client = yield* Http2Client.connectRaw(server.port)
        const { socket } = client.peer
        // One that does not read hears nothing of its end but that.
        const told = yield* start(Effect.exit(name.endsWith("not read") ? Effect.never : client.next(raw.type.goAway)))
        if (name.endsWith("not read")) socket.pause()
        let sent = 0
        while (sent < most && told.pollUnsafe() === undefined && socket.writable) {
          const batch = Math.min(500, most - sent)
          const from = sent
          client.send(...Array.from({ length: batch }, (_, i) => make(from + i)))
          sent += batch
          yield* settled
        }
        socket.resume()
        // Node.js before 22.23 only says that it is over, and leaves the rest to us.
        yield* eventually(() => socket.destroyed || socket.readableEnded)
        yield* Fiber.interrupt(told)
        expect(sent).toBeGreaterThan(least)
        expect(sent).toBeLessThanOrEqual(most)
        yield* eventually(() => server.connections() === 1)
        yield* eventually(() => alive.fibers === before)
        peer.sendFrame(1, "still here")
        expect(Buffer.from((yield* peer.frame).payload).toString()).toBe("still here")
      })
    )
  )
})

describe("a session without a stream", () => {
  it.live.each([
    ["that has had none", (_client: raw.RawHttp2) => Effect.void],
    [
      "whose last one has ended",
      (client: raw.RawHttp2) =>
        Effect.gen(function* () {
          client.send(open(1))
          yield* client.next(raw.type.headers)
          client.send(raw.data(1, closeFrame, true))
          yield* client.next(raw.type.data)
        })
    ],
    [
      "that sends a byte now and then",
      (client: raw.RawHttp2) =>
        start(
          Effect.forEach(
            raw.headers(1, [...Http2Client.rawFields, ["x", "y".repeat(100)]]),
            (byte) =>
              Effect.andThen(
                Effect.sync(() => client.peer.send(Uint8Array.of(byte))),
                Effect.sleep("10 millis")
              ),
            { discard: true }
          )
        )
    ]
  ] as const)("%s is ended with GOAWAY after handshakeTimeout, and cut a second later", ([_which, act]) =>
    Effect.gen(function* () {
      const server = yield* serve({ handshakeTimeout: "300 millis" })
      const client = yield* Http2Client.connectRaw(server.port)
      yield* act(client)
      const from = performance.now()
      const { kind, payload } = yield* last(client)
      expect([kind, payload.readUInt32BE(4)]).toEqual([raw.type.goAway, raw.code.noError])
      expect(performance.now() - from).toBeGreaterThan(250)
      expect(performance.now() - from).toBeLessThan(1_600)
    })
  )

  it.live("is cut a second later when it does not read", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve(
        { http2: true, handshakeTimeout: "300 millis", limits: { closeTimeout: "100 millis" } },
        // More than the kernels of both ends take.
        (connection) => Effect.andThen(connection.send(new Uint8Array(32 << 20)), Effect.void)
      )
      const before = resources()
      const client = yield* Http2Client.connectRaw(server.port, raw.settings([initialWindowSize, 0x7fff_ffff]))
      client.send(raw.windowUpdate(0, 0x7000_0000), open(1))
      client.peer.socket.pause()
      yield* eventually(() => server.connections() === 1)
      yield* eventually(() => server.connections() === 0)
      const from = performance.now()
      yield* backTo({ ...before, TCPSocketWrap: (before["TCPSocketWrap"] ?? 0) + 1 }, 4_000)
      expect(performance.now() - from).toBeLessThan(3_000)
    })
  )

  it.live("is not one with a stream on which nothing happens", () =>
    Effect.gen(function* () {
      const server = yield* serve({ handshakeTimeout: "200 millis" })
      const session = yield* Http2Client.connect(server.url)
      const first = yield* Http2Client.open(session)
      const second = yield* Http2Client.open(session)
      first.peer.sendFrame(8, Uint8Array.of(0x03, 0xe8))
      yield* first.peer.rest
      first.stream.end()
      yield* eventually(() => server.connections() === 1)
      yield* Effect.sleep("600 millis")
      second.peer.sendFrame(1, "still here")
      expect(Buffer.from((yield* second.peer.frame).payload).toString()).toBe("still here")
    })
  )
})

/** SETTINGS_INITIAL_WINDOW_SIZE: RFC 9113 section 6.5.2. */
const initialWindowSize = 4

describe("the end of a server", () => {
  it.live.each([
    ["TLS", selfSigned("localhost")],
    ["clear text", false]
  ] as const)("closes every WebSocket with 1001 behind a GOAWAY, and is over when they are: %s", ([_how, tls]) =>
    Effect.gen(function* () {
      const server = yield* serveUntil(tls === false ? {} : { tls })
      const options = tls === false ? {} : { ca: tls.cert, servername: "localhost" }
      const session = yield* Http2Client.connect(server.url, options)
      const idle = yield* Http2Client.connect(server.url, options)
      const told: Array<string> = []
      session.on("goaway", () => told.push("goaway")).on("close", () => told.push("session"))
      idle.on("close", () => told.push("idle session"))
      const streams = yield* Effect.forEach([1, 2, 3], () => Http2Client.open(session))
      for (const { stream } of streams) stream.on("data", () => told.push("1001"))
      const from = performance.now()
      const ending = yield* start(server.end)
      for (const { peer, stream } of streams) {
        expect(yield* peer.closeCode).toBe(1001)
        peer.sendFrame(8, Uint8Array.of(0x03, 0xe9))
        yield* peer.rest
        stream.end()
      }
      yield* Fiber.join(ending)
      expect(performance.now() - from).toBeLessThan(500)
      yield* eventually(() => told.includes("session") && told.includes("idle session"))
      // A second GOAWAY may come when the last stream has ended.
      const first = told.filter(
        (what, at) => what !== "idle session" && (what !== "goaway" || told.indexOf(what) === at)
      )
      expect(first).toEqual(["goaway", "1001", "1001", "1001", "session"])
      expect(server.connections()).toBe(0)
    })
  )

  it.live("takes no stream that comes meanwhile, and says so in time for its client to ask elsewhere", () =>
    Effect.gen(function* () {
      const server = yield* serveUntil({ limits: { closeTimeout: "300 millis" } })
      const silent = yield* RawPeer.connect(server.port)
      const client = yield* Http2Client.connectRaw(server.port)
      client.send(open(1))
      yield* client.next(raw.type.headers)
      const ending = yield* start(server.end)
      const { payload } = yield* client.next(raw.type.goAway)
      // The last stream that was or may be served: RFC 9113 section 6.8.
      expect([payload.readUInt32BE(0), payload.readUInt32BE(4)]).toEqual([1, raw.code.noError])
      client.send(open(3))
      const { payload: close } = yield* client.next(raw.type.data)
      expect(close.toString("latin1")).toBe("\x88\x02\x03\xe9")
      expect(server.connections()).toBe(1)
      // Nor a session that comes on a socket which is there.
      const late = new raw.RawHttp2(silent)
      late.send(Buffer.from(raw.preface), raw.settings(), open(1))
      expect((yield* late.next(raw.type.goAway)).payload.readUInt32BE(0)).toBe(0)
      client.send(raw.data(1, closeFrame, true))
      yield* Fiber.join(ending)
      expect(server.connections()).toBe(0)
    })
  )

  it.live("is at once when there is no session any more", () =>
    Effect.gen(function* () {
      const server = yield* serveUntil()
      yield* Effect.scoped(Http2Client.connect(server.url))
      yield* settled
      const from = performance.now()
      yield* server.end
      expect(performance.now() - from).toBeLessThan(300)
    })
  )

  it.live(
    "comes a second after the last closeTimeout at most, though sessions stay, idle, mute, half said, or deaf",
    () =>
      Effect.gen(function* () {
        const before = resources()
        const server = yield* serveUntil({ limits: { closeTimeout: "100 millis" }, drain: { window: "50 millis" } })
        const peers = yield* Effect.forEach(["", "PRI * HT", raw.preface], (said) =>
          Effect.tap(RawPeer.connect(server.port, { allowHalfOpen: true }), (peer) =>
            Effect.sync(() => peer.send(said))
          )
        )
        const mute = yield* Http2Client.connectRaw(server.port)
        mute.send(open(1), open(3))
        const deaf = yield* Http2Client.connectRaw(server.port)
        deaf.send(open(1))
        deaf.peer.socket.pause()
        yield* eventually(() => server.connections() === 3)
        const from = performance.now()
        yield* server.end
        expect(performance.now() - from).toBeLessThan(2_500)
        for (const peer of [...peers, mute.peer, deaf.peer]) peer.socket.destroy()
        yield* backTo(before, 2_000)
      })
  )

  it.live("does not cut what its last streams still have to say", () =>
    Effect.gen(function* () {
      const payload = Buffer.alloc(3 << 20, "x")
      const server = yield* serveUntil({}, (connection) =>
        Effect.onInterrupt(Effect.never, () => Effect.ignore(connection.send(payload)))
      )
      const session = yield* Http2Client.connect(server.url)
      const { peer, stream } = yield* Http2Client.open(session)
      const ending = yield* start(server.end)
      expect((yield* peer.frame).payload.length).toBe(payload.length)
      expect(yield* peer.closeCode).toBe(1001)
      peer.sendFrame(8, Uint8Array.of(0x03, 0xe9))
      stream.end()
      yield* Fiber.join(ending)
      expect((yield* peer.rest).length).toBe(0)
      expect(stream.rstCode).toBe(0)
    })
  )
})

describe("a socket under a session", () => {
  it.live("that ends or is reset takes its WebSockets with it", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      for (const leave of [(socket: net.Socket) => socket.end(), (socket: net.Socket) => socket.resetAndDestroy()]) {
        const client = yield* Http2Client.connectRaw(server.port)
        client.send(open(1), open(3), open(5))
        yield* eventually(() => server.connections() === 3)
        leave(client.peer.socket)
        yield* eventually(() => server.connections() === 0)
      }
    })
  )
})
