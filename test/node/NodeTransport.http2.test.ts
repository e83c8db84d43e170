/** A stream of HTTP/2 as a transport: RFC 8441 section 5 says what of it takes the place of what of TCP. */
import * as http2 from "node:http2"
import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NodeTransport from "@millrace/node/NodeTransport"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import * as raw from "../support/http2.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { Told } from "../support/Told.ts"

const defaults: NodeTransport.Settings = { closeTimeout: 1_000, outboxBytes: 1_048_576 }

/** A client's stream that was accepted, and the server's end of it in bytes. */
const pair = Effect.gen(function* () {
  const server = yield* RawPeer.listen
  const socket = net.connect({ port: server.port, host: "127.0.0.1", noDelay: true })
  const session = http2.connect(`http://127.0.0.1:${server.port}`, {
    createConnection: () => socket,
    settings: { initialWindowSize: 1_000 }
  })
  session.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => session.destroy()))
  const far = yield* raw.accept(server, raw.willing)
  const stream = session.request([":method", "GET", ":path", "/"], { endStream: false })
  const { stream: id } = yield* far.next(raw.type.headers)
  far.send(raw.headers(id, [[":status", "200"]]))
  return { far, id, session, stream }
})

const opened = (stream: http2.ClientHttp2Stream, settings = defaults) => {
  const transport = NodeTransport.make(stream, new Uint8Array(0), settings)
  const told = new Told()
  transport.open(told)
  return { told, transport }
}

const reason = ({ payload }: raw.Frame) => payload.readUInt32BE(0)

describe("NodeTransport over a stream of HTTP/2", () => {
  it.live("ends in good order with END_STREAM, each direction by itself", () =>
    Effect.gen(function* () {
      const { far, id, stream } = yield* pair
      const { told, transport } = opened(stream)
      transport.write(Buffer.from("one "))
      transport.writeAll([Buffer.from("two "), Buffer.from("three")])
      transport.end()
      let text = ""
      for (let ends = false; !ends;) {
        const { flags, payload } = yield* far.next(raw.type.data)
        text += payload.toString()
        ends = flags === 1
      }
      expect(text).toBe("one two three")
      far.send(raw.data(id, "still here"))
      yield* eventually(() => told.text === "still here")
      expect(told.ends).toEqual([])
      far.send(raw.data(id, ", and gone", true))
      yield* eventually(() => told.ends.length > 0)
      expect([told.text, told.ends]).toEqual(["still here, and gone", [undefined]])
      expect(stream.destroyed).toBe(true)
    })
  )

  it.live("tells a receiver that the peer has ended, and takes what it still has to say", () =>
    Effect.gen(function* () {
      const { far, id, stream } = yield* pair
      const transport = NodeTransport.make(stream, new Uint8Array(0), defaults)
      const told = new (class extends Told {
        peerEnded(): void {
          transport.write(Buffer.from("last words"))
          transport.end()
        }
      })()
      transport.open(told)
      far.send(raw.data(id, "bye", true))
      const { flags, payload } = yield* far.next(raw.type.data)
      expect([payload.toString(), flags]).toEqual(["last words", 1])
      yield* eventually(() => told.ends.length > 0)
      expect(told.ends).toEqual([undefined])
    })
  )

  it.live.each([
    ["open", false],
    ["ended on our side", true]
  ] as const)("destroyed while it is %s it is reset with CANCEL, and its session goes on", ([_when, ends]) =>
    Effect.gen(function* () {
      const { far, id, session, stream } = yield* pair
      const { told, transport } = opened(stream)
      if (ends) {
        transport.end()
        yield* far.next(raw.type.data)
      }
      transport.destroy()
      transport.destroy()
      const reset = yield* far.next(raw.type.rstStream)
      expect([reset.stream, reason(reset)]).toEqual([id, raw.code.cancel])
      yield* eventually(() => told.ends.length > 0)
      transport.write(Buffer.from("too late"))
      transport.end()
      yield* settled
      expect(told.ends).toEqual([undefined])
      session.request([":method", "GET", ":path", "/"], { endStream: true })
      expect((yield* far.next(raw.type.headers)).stream).toBe(id + 2)
    })
  )

  it.live("reset by the peer with CANCEL has ended as by a peer that vanishes, behind what came before", () =>
    Effect.gen(function* () {
      const { far, id, stream } = yield* pair
      const { told } = opened(stream)
      far.send(raw.data(id, "before"), raw.rstStream(id, raw.code.cancel))
      yield* eventually(() => told.ends.length > 0)
      expect([told.text, told.ends]).toEqual(["before", [undefined]])
    })
  )

  it.live("reset by the peer with another code is a failure that names it", () =>
    Effect.gen(function* () {
      const { far, id, stream } = yield* pair
      const { told } = opened(stream)
      far.send(raw.rstStream(id, raw.code.internalError))
      yield* eventually(() => told.ends.length > 0)
      expect(told.ends[0]?.message).toMatch(/INTERNAL_ERROR/)
    })
  )

  it.live(
    "paused, it takes a window and what Node.js reads ahead, and lets the peer send no more until it is resumed",
    () =>
      Effect.gen(function* () {
        const { far, id, stream } = yield* pair
        const { told, transport } = opened(stream)
        yield* settled
        transport.pause()
        let window = 1_000
        let sent = 0
        const grow = Effect.map(far.frame, ({ kind, payload, stream }) => {
          if (kind === raw.type.windowUpdate && stream === id) window += payload.readUInt32BE(0)
        })
        const growing = yield* start(Effect.forever(grow))
        const sendAll = Effect.gen(function* () {
          for (; window > 0; yield* settled) {
            far.send(raw.data(id, "x".repeat(window)))
            sent += window
            window = 0
          }
        })
        yield* sendAll
        expect(sent).toBeLessThanOrEqual(stream.readableHighWaterMark + 2 * 1_000)
        expect(told.text).toBe("")
        const before = sent
        transport.resume()
        yield* eventually(() => told.text.length === before)
        yield* eventually(() => window > 0)
        yield* Fiber.interrupt(growing)
      })
  )

  it.live("waits for the peer's window, counts what waits, and says when it has gone", () =>
    Effect.gen(function* () {
      const { far, id, stream } = yield* pair
      const { told, transport } = opened(stream, { ...defaults, outboxBytes: 100 })
      // As much as a stream may carry without a WINDOW_UPDATE, and 200 bytes more: RFC 9113 section 6.9.2.
      transport.write(Buffer.alloc(65_000, "x"))
      yield* eventually(() => told.drains === 1)
      transport.write(Buffer.alloc(735, "x"))
      let received = 0
      while (received < 65_535) received += (yield* far.next(raw.type.data)).payload.length
      yield* settled
      // Not enough for Node.js to speak of it by itself.
      expect(stream.writableNeedDrain).toBe(false)
      expect(transport.writableLength).toBeGreaterThanOrEqual(200)
      expect(told.drains).toBe(1)
      far.send(raw.windowUpdate(0, 1_000), raw.windowUpdate(id, 1_000))
      // Nothing is sent but what was written: no empty frame to find out.
      expect((yield* far.next(raw.type.data)).payload.length).toBe(200)
      yield* eventually(() => told.drains === 2)
      expect(transport.writableLength).toBe(0)
      transport.end()
      const last = yield* far.next(raw.type.data)
      expect([last.payload.length, last.flags]).toEqual([0, 1])
    })
  )
})
