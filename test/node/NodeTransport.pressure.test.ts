/** Peers that do not read, and applications that do not: nothing grows, and nothing is lost. */
import type { Socket } from "node:net"
import { Duplex } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as NodeTransport from "@millrace/node/NodeTransport"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { start } from "../support/connection.ts"
import { selfSigned } from "../support/certificate.ts"
import { eventually, settled } from "../support/eventually.ts"
import { counting } from "../support/frames.ts"
import * as RawPeer from "../support/RawPeer.ts"

const mebibyte = 1_048_576

/** Waits until a number has stood still for a while, and gives it back. */
const still = (value: () => number): Effect.Effect<number> =>
  Effect.gen(function* () {
    for (let last = -1; last !== value();) {
      last = value()
      for (let i = 0; i < 10; i++) yield* settled
    }
    return value()
  })

describe("a peer that never reads", () => {
  it.live("makes send wait, with at most the outbox and one message in memory", () =>
    Effect.gen(function* () {
      const length = 65_536
      const count = 4_000
      let sent = 0
      let socket: Socket | undefined
      const server = yield* NodeWebSocketServer.serve(
        {
          limits: { closeTimeout: "50 millis" },
          handshake: (request) =>
            Effect.sync(() => {
              socket = request.socket
              return { value: undefined }
            })
        },
        (connection) =>
          Effect.forEach(
            Array.from({ length: count }),
            // Each in memory of its own, so that to keep them all would be seen.
            () => Effect.tap(connection.send(Buffer.alloc(length, "x")), () => Effect.sync(() => sent++)),
            { discard: true }
          )
      )
      const before = process.memoryUsage().rss
      const peer = yield* RawPeer.open(server.port)
      peer.socket.pause()
      yield* eventually(() => sent > 0)
      const stopped = yield* still(() => sent)
      // The kernels of both ends take some megabytes.
      expect(stopped).toBeLessThan(count / 4)
      expect(socket!.writableLength).toBeGreaterThanOrEqual(mebibyte)
      expect(socket!.writableLength).toBeLessThanOrEqual(mebibyte + length + 16)
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * mebibyte)
      expect(server.connections()).toBe(1)
    })
  )

  it.live.each([
    ["TCP and an outbox as usual", undefined, 1_048_576],
    ["TCP and a small outbox", undefined, 10_000],
    ["TLS and a small outbox", selfSigned("localhost"), 10_000]
  ] as const)("and reads in the end gets everything, in order: %s", ([_how, certificate, outboxBytes]) =>
    Effect.gen(function* () {
      const count = 1_000
      let sent = 0
      const server = yield* NodeWebSocketServer.serve(
        { limits: { outboxBytes }, ...(certificate === undefined ? {} : { tls: certificate }) },
        (connection) =>
          Effect.forEach(
            Array.from({ length: count }, (_, i) => i),
            (i) =>
              Effect.tap(connection.send(Buffer.alloc(i % 10 === 0 ? 20_000 : 500, i & 255)), () =>
                Effect.sync(() => sent++)
              ),
            { discard: true }
          )
      )
      const client = yield* NodeWebSocket.open(server.url, {
        ...(certificate === undefined ? {} : { tls: { ca: certificate.cert } }),
        limits: { inboxBytes: 1_000 }
      })
      yield* still(() => sent)
      const received = yield* Stream.runCollect(client.messages)
      expect(received.length).toBe(count)
      expect(received.every(({ bytes }, i) => bytes[0] === (i & 255))).toBe(true)
      expect(sent).toBe(count)
    })
  )
})

describe("an application that never reads", () => {
  it.live("makes the peer wait, with little more than the inbox in memory", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "50 millis" } }, () => Effect.never)
      const client = yield* NodeWebSocket.open(server.url, { limits: { closeTimeout: "50 millis" } })
      let sent = 0
      const before = process.memoryUsage().rss
      const sending = yield* start(
        Effect.forever(Effect.tap(client.send(counting(65_536)), () => Effect.sync(() => sent++)))
      )
      yield* eventually(() => sent > 0)
      expect(yield* still(() => sent)).toBeLessThan(1_000)
      expect(process.memoryUsage().rss - before).toBeLessThan(96 * mebibyte)
      yield* Fiber.interrupt(sending)
    })
  )

  it.live("and reads in the end gets everything, in order", () =>
    Effect.gen(function* () {
      let read: (() => void) | undefined
      const received: Array<number> = []
      const server = yield* NodeWebSocketServer.serve({ limits: { inboxBytes: 1_000 } }, (connection) =>
        Effect.andThen(
          Effect.callback<void>((resume) => {
            read = () => resume(Effect.void)
          }),
          Stream.runForEach(connection.messages, ({ bytes }) => Effect.sync(() => received.push(bytes[0]!)))
        )
      )
      const client = yield* NodeWebSocket.open(server.url)
      let sent = 0
      const sending = yield* start(
        Effect.forEach(
          Array.from({ length: 500 }, (_, i) => i),
          (i) => Effect.tap(client.send(Buffer.alloc(30_000, i & 255)), () => Effect.sync(() => sent++)),
          { discard: true }
        )
      )
      yield* still(() => sent)
      read!()
      yield* Fiber.join(sending)
      yield* client.close()
      yield* eventually(() => received.length === 500)
      expect(received.every((byte, i) => byte === (i & 255))).toBe(true)
    })
  )
})

describe("an interrupted send", () => {
  it.live("that waited for room has sent nothing, and the connection goes on", () =>
    Effect.gen(function* () {
      let full = false
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.gen(function* () {
          const message = Buffer.alloc(65_536, "x")
          let last = "sent"
          let count = 0
          while (last === "sent") {
            last = yield* Effect.timeoutOrElse(Effect.as(connection.send(message), "sent"), {
              duration: "100 millis",
              orElse: () => Effect.succeed("waited")
            })
            if (last === "sent") count++
          }
          full = true
          yield* connection.send(`${count}`)
        })
      )
      const peer = yield* RawPeer.open(server.port)
      peer.socket.pause()
      yield* eventually(() => full)
      peer.socket.resume()
      let count = 0
      for (;;) {
        const { opcode, payload } = yield* peer.frame
        if (opcode === 1) {
          expect(Buffer.from(payload).toString()).toBe(`${count}`)
          break
        }
        expect(payload.length).toBe(65_536)
        count++
      }
    })
  )
})

describe("an outbox smaller than the answer to the handshake", () => {
  it.live("is not full for ever because that answer was still on its way", () =>
    Effect.gen(function* () {
      let sent: (() => void) | undefined
      let drained = 0
      const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => (sent = done) })
      socket.write("HTTP/1.1 101 Switching Protocols")
      const transport = NodeTransport.make(socket, new Uint8Array(0), { closeTimeout: 1_000, outboxBytes: 1 })
      transport.open({ data: () => {}, ended: () => {}, drained: () => void drained++ })
      sent?.()
      yield* settled
      sent?.()
      yield* eventually(() => drained > 0, 1_000)
      socket.destroy()
    })
  )
})
