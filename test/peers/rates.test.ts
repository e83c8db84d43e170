/** How fast a peer may send, with real peers, real sockets and real time. */
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import * as RateLimit from "@millrace/core/connection/RateLimit"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WebSocket(url)
      await once(socket, "open")
      return socket
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )

describe("a rate that is enforced", () => {
  it.live(
    "answers a client that floods as far as it may, and then closes with 1008, which the client gets to read",
    () =>
      Effect.gen(function* () {
        const entries = yield* logged((entries) =>
          Effect.gen(function* () {
            const server = yield* NodeWebSocketServer.serve({}, (connection) =>
              Stream.runForEach(
                RateLimit.enforce(connection, { messagesPerSecond: 1, burstMessages: 50 }),
                connection.send
              )
            )
            const socket = yield* connect(server.url)
            const heard: Array<string> = []
            socket.on("message", (data: Buffer) => heard.push(data.toString()))
            for (let i = 0; i < 100_000; i++) socket.send(`${i}`)
            const [code, reason] = yield* Effect.promise(() => once(socket, "close") as Promise<[number, Buffer]>)
            assert.deepStrictEqual([code, reason.toString()], [1008, "more than 1 messages a second"])
            assert.deepStrictEqual(
              heard,
              Array.from({ length: 50 }, (_, i) => `${i}`)
            )
            yield* eventually(() => server.connections() === 0)
            return entries
          })
        )
        // Whoever wants to can have this for nothing, so it is not worth a line to who runs the server.
        assert.deepStrictEqual(
          entries.map(({ level }) => level),
          ["Debug"]
        )
      })
  )
})

describe("a rate to which messages are shaped", () => {
  it.live("passes on all of them in order, in the time that it takes", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Stream.runForEach(
          connection.messages.pipe(RateLimit.shape({ messagesPerSecond: 100, burstMessages: 10 })),
          connection.send
        )
      )
      const socket = yield* connect(server.url)
      const heard: Array<string> = []
      socket.on("message", (data: Buffer) => heard.push(data.toString()))
      const began = performance.now()
      for (let i = 0; i < 40; i++) socket.send(`${i}`)
      yield* eventually(() => heard.length === 40)
      // Clocks of whole milliseconds on both sides.
      assert.isAtLeast(performance.now() - began, 300 - 2)
      assert.deepStrictEqual(
        heard,
        Array.from({ length: 40 }, (_, i) => `${i}`)
      )
    })
  )

  it.live("makes a peer wait that sends more, and keeps no more of it than the inbox", () =>
    Effect.gen(function* () {
      let passed = 0
      const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "50 millis" } }, (connection) =>
        Stream.runForEach(connection.messages.pipe(RateLimit.shape({ bytesPerSecond: 1, burstBytes: 200_000 })), () =>
          Effect.sync(() => passed++)
        )
      )
      const peer = yield* RawPeer.open(server.port)
      const message = encode(frame(2, new Uint8Array(65_536)), 0x01020304)
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 3_000; i++) peer.send(message)
      for (let last = -1; last !== peer.socket.writableLength;) {
        last = peer.socket.writableLength
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.strictEqual(passed, 3)
      assert.isAbove(peer.socket.writableLength, 0)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 4 << 20)
    })
  )
})
