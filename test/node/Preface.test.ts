/** The first bytes of a connection, however they come. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import { backTo, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

const serve = (options: Pick<NodeWebSocketServer.ServeOptions<undefined, never>, "handshakeTimeout"> = {}) =>
  NodeWebSocketServer.serve({ http2: true, ...options }, (connection) =>
    Stream.runForEach(connection.messages, connection.send)
  )

/** Sends bytes each of which arrives by itself. */
const drip = (peer: RawPeer.RawPeer, bytes: Uint8Array) =>
  Effect.forEach(
    bytes,
    (byte) =>
      Effect.andThen(
        Effect.sync(() => peer.send(Uint8Array.of(byte))),
        settled
      ),
    {
      discard: true
    }
  )

describe("the first bytes", () => {
  it.live("of HTTP/2 are known as such byte by byte, and in one piece with what follows", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const slow = yield* RawPeer.connect(server.port)
      yield* drip(slow, Buffer.concat([Buffer.from(raw.preface), raw.settings()]))
      const one = new raw.RawHttp2(slow)
      yield* one.next(raw.type.settings)
      const quick = new raw.RawHttp2(yield* RawPeer.connect(server.port))
      // The request does not wait for the server's settings. Node.js lets it.
      quick.send(Buffer.from(raw.preface), raw.settings(), raw.headers(1, Http2Client.rawFields))
      for (const client of [one, quick]) {
        client.send(raw.settingsAck)
        if (client === one) client.send(raw.headers(1, Http2Client.rawFields))
        yield* client.next(raw.type.headers)
        client.send(raw.data(1, encode(frame(1, Buffer.from("hello")), 0x01020304)))
        expect((yield* client.next(raw.type.data)).payload.toString("latin1")).toBe("\x81\x05hello")
      }
    })
  )

  it.live.each(["GET / HTTP/1.1", "PUT / HTTP/1.1", "PRI / HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nGET", "\x16\x03\x01"])(
    "of anything else go to the server of HTTP/1.1: %j",
    (start) =>
      Effect.gen(function* () {
        const server = yield* serve()
        const peer = yield* RawPeer.connect(server.port)
        yield* drip(peer, Buffer.from(start, "latin1"))
        peer.send("\r\nHost: localhost\r\n\r\n")
        const { start: line, status } = yield* peer.head
        expect(line.startsWith("HTTP/1.1 ")).toBe(true)
        expect(status).toBe(/^(GET|PUT)/.test(start) ? 426 : 400)
      })
  )

  it.live("and a whole handshake with frames behind it pass through", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const peer = yield* RawPeer.connect(server.port)
      const early = encode(frame(1, Buffer.from("early")), 0x01020304)
      peer.send(Buffer.concat([Buffer.from(RawPeer.upgradeRequest()), early]))
      expect((yield* peer.head).status).toBe(101)
      expect(Buffer.from((yield* peer.frame).payload).toString()).toBe("early")
    })
  )

  it.live("may take handshakeTimeout, and then the socket is cut", () =>
    Effect.gen(function* () {
      const server = yield* serve({ handshakeTimeout: "200 millis" })
      const before = resources()
      const from = performance.now()
      const peers = yield* Effect.forEach(["", "P", raw.preface.slice(0, 20), raw.preface], (start) =>
        Effect.tap(RawPeer.connect(server.port), (peer) => Effect.sync(() => peer.send(start)))
      )
      yield* Effect.forEach(peers, (peer) => peer.rest)
      expect(performance.now() - from).toBeGreaterThan(190)
      expect(performance.now() - from).toBeLessThan(2_000)
      for (const peer of peers) peer.socket.destroy()
      yield* backTo(before, 2_000)
    })
  )

  it.live("of a client that goes before it has said what it is leave nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      yield* settled
      const before = resources()
      for (const leave of [(peer: RawPeer.RawPeer) => peer.reset(), (peer: RawPeer.RawPeer) => peer.socket.end()]) {
        for (let length = 0; length <= raw.preface.length; length++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const peer = yield* RawPeer.connect(server.port)
              peer.send(raw.preface.slice(0, length))
              yield* settled
              leave(peer)
              yield* peer.rest
            })
          )
        }
      }
      yield* backTo(before, 4_000)
      yield* RawPeer.open(server.port)
    })
  )
})
