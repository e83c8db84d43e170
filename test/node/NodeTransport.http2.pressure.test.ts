/** Peers that do not read, and applications that do not, on one of the streams of a session: the others go on. */
import type * as http2 from "node:http2"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Sessions from "@millrace/node/Sessions"
import { eventually, settled } from "../support/eventually.ts"
import { counting, encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import type { RawPeer } from "../support/RawPeer.ts"

const mebibyte = 1_048_576

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** Waits until a number has stood still for a while, and gives it back. */
const still = (value: () => number): Effect.Effect<number> =>
  Effect.gen(function* () {
    for (let last = -1; last !== value();) {
      last = value()
      for (let i = 0; i < 10; i++) yield* settled
    }
    return value()
  })

const echoes = (peer: RawPeer, text: string) =>
  Effect.gen(function* () {
    peer.sendFrame(1, text)
    expect(Buffer.from((yield* peer.frame).payload).toString()).toBe(text)
  })

/** An echo server with a path whose handler is another. Peers are given time: they read slowly, or not at all. */
const serve = (handler: (connection: WebSocket.WebSocket<unknown>) => Effect.Effect<unknown, unknown>) =>
  NodeWebSocketServer.serve(
    { http2: true, handshake: ({ path }) => Effect.succeed(NodeWebSocketServer.accept(path)) },
    (connection) => (connection.handshake === "/echo" ? echo(connection) : handler(connection))
  )

describe("a peer that does not read one of its streams", () => {
  it.live("makes send wait there, with at most the outbox and one message in memory, and nowhere else", () =>
    Effect.gen(function* () {
      const message = Buffer.alloc(65_536, "x")
      let sent = 0
      const server = yield* serve((connection) =>
        Effect.forever(Effect.tap(connection.send(message), () => Effect.sync(() => sent++)))
      )
      const session = yield* Http2Client.connect(server.url, { settings: { initialWindowSize: 100_000 } })
      const { stream } = yield* Http2Client.open(session, "/flood")
      stream.pause()
      yield* eventually(() => sent > 0)
      const stopped = yield* still(() => sent)
      // A window, what Node.js reads ahead of it, and the outbox.
      expect(stopped * message.length).toBeGreaterThanOrEqual(mebibyte)
      expect(stopped * message.length).toBeLessThan(mebibyte + 500_000)
      const { peer } = yield* Http2Client.open(session, "/echo")
      for (let i = 0; i < 20; i++) yield* echoes(peer, `message ${i}`)
      expect(sent).toBe(stopped)
      stream.resume()
      yield* eventually(() => sent > stopped + 20)
    })
  )

  it.live("and reads in the end gets everything, in order", () =>
    Effect.gen(function* () {
      const count = 1_000
      let sent = 0
      const server = yield* serve((connection) =>
        Effect.forEach(
          Array.from({ length: count }, (_, i) => i),
          (i) =>
            Effect.tap(connection.send(Buffer.alloc(i % 10 === 0 ? 20_000 : 500, i & 255)), () =>
              Effect.sync(() => sent++)
            ),
          { discard: true }
        )
      )
      const session = yield* Http2Client.connect(server.url, { settings: { initialWindowSize: 5_000 } })
      const { peer, stream } = yield* Http2Client.open(session, "/")
      stream.pause()
      expect(yield* still(() => sent)).toBeLessThan(count)
      stream.resume()
      for (let i = 0; i < count; i++) {
        const { payload } = yield* peer.frame
        expect([payload.length, payload[0]]).toEqual([i % 10 === 0 ? 20_000 : 500, i & 255])
      }
      expect(yield* peer.closeCode).toBe(1000)
    })
  )
})

/** Writes on as long as the server lets it, and tells how many have gone. */
const flood = (stream: http2.ClientHttp2Stream, message: Uint8Array): (() => number) => {
  let gone = -1
  const next = (): void => {
    gone++
    stream.write(message, (error) => error ?? next())
  }
  next()
  return () => gone
}

describe("an application that does not read one of its streams", () => {
  it.live("makes the peer wait there, with little more than the inbox and a window in memory, and nowhere else", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => Effect.never)
      const session = yield* Http2Client.connect(server.url)
      const message = encode(frame(2, counting(10_000)), 0x01020304)
      // More of them together than the session's window, which each could hold a part of.
      const streams = yield* Effect.forEach(Array.from({ length: 50 }), () => Http2Client.open(session, "/"))
      const floods = streams.map(({ stream }) => flood(stream, message))
      const total = () => floods.reduce((sum, gone) => sum + gone(), 0)
      yield* eventually(() => total() > 0)
      const each = ((yield* still(total)) / streams.length) * message.length
      expect(each).toBeGreaterThanOrEqual(60_000)
      // The inbox, what Node.js reads at a time, and a window.
      expect(each).toBeLessThan(250_000)
      expect(each * streams.length).toBeGreaterThan(2 * Sessions.defaults.sessionWindowBytes)
      const { peer } = yield* Http2Client.open(session, "/echo")
      for (let i = 0; i < 20; i++) yield* echoes(peer, "x".repeat(10_000 + i))
    })
  )

  // So many fit into a window, and so many do not.
  it.live.each([20, 200])("and reads in the end gets all %i messages, in order, and then the end", (count) =>
    Effect.gen(function* () {
      let read: (() => void) | undefined
      const received: Array<number> = []
      const server = yield* serve((connection) =>
        Effect.andThen(
          Effect.callback<void>((resume) => {
            read = () => resume(Effect.void)
          }),
          Stream.runForEach(connection.messages, ({ bytes }) => Effect.sync(() => received.push(bytes[0]!)))
        )
      )
      const session = yield* Http2Client.connect(server.url)
      const { peer, stream } = yield* Http2Client.open(session, "/")
      for (let i = 0; i < count; i++) stream.write(encode(frame(2, Buffer.alloc(3_000, i & 255)), 0x01020304))
      // The end comes with the last bytes, and is not to be noticed before them.
      stream.end(encode(frame(8, Uint8Array.of(0x03, 0xe8)), 0x01020304))
      yield* still(() => stream.writableLength)
      expect(received.length).toBe(0)
      read!()
      expect(yield* peer.closeCode).toBe(1000)
      expect(received).toEqual(Array.from({ length: count }, (_, i) => i & 255))
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live("takes bytes that come one by one into one buffer, not each into its own", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => Effect.never)
      const client = yield* Http2Client.connectRaw(server.port)
      const ids = Array.from({ length: 10 }, (_, i) => 2 * i + 1)
      client.send(...ids.map((id) => raw.headers(id, Http2Client.rawFields)))
      yield* eventually(() => server.connections() === ids.length)
      // Enough for the inbox to be full, and for the stream to be paused.
      const inbox = encode(frame(2, new Uint8Array(60_000)), 0)
      const full = encode(frame(2, new Uint8Array(8_000)), 0)
      for (const id of ids) {
        for (const bytes of [inbox, full]) {
          for (let at = 0; at < bytes.length; at += 16_000) client.send(raw.data(id, bytes.subarray(at, at + 16_000)))
          yield* settled
        }
      }
      yield* eventually(() => client.peer.socket.writableLength === 0)
      yield* settled
      const before = heap()
      const pieces = Buffer.concat(ids.map((id) => raw.data(id, Uint8Array.of(0))))
      for (let i = 0; i < 100; i++) {
        client.send(...Array.from({ length: 200 }, () => pieces))
        yield* settled
      }
      yield* eventually(() => client.peer.socket.writableLength === 0)
      yield* settled
      // 200,000 pieces: a buffer for each would take 60 MB.
      expect(server.connections()).toBe(ids.length)
      expect(heap() - before).toBeLessThan(8 * mebibyte)
    })
  )
})

/** Bytes of objects and buffers, of those that are in use. */
const heap = (): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** The collector, which Node.js hands out only when it is told to. */
const collect = (): void => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  for (let i = 0; i < 4; i++) gc()
}
