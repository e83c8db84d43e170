/** What the package `ws` can do beyond messages, at either end of a connection of ours. */
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { WebSocket } from "ws"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { reasonOf } from "../support/connection.ts"
import { eventually } from "../support/eventually.ts"
import { digest, wsClient, wsServer } from "../support/ends.ts"
import { counting } from "../support/frames.ts"

describe.each([
  ["ws as the client of our server", wsClient],
  ["our client and ws as the server", wsServer]
] as const)("%s", (_name, open) => {
  it.live("a message in fragments is one message, also when they cut characters and Pings come in between", () =>
    Effect.gen(function* () {
      const { ours, socket } = yield* open()
      const text = "é€🌊".repeat(100)
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length; at += 7) {
        socket.send(bytes.subarray(at, at + 7), { binary: false, fin: at + 7 >= bytes.length })
        if (at % 3 === 0) socket.ping()
      }
      assert.strictEqual(yield* ours.next, text)
      const binary = counting(200_000)
      socket.send(binary.subarray(0, 70_000), { fin: false })
      socket.send(new Uint8Array(0), { fin: false })
      socket.send(binary.subarray(70_000), { fin: false })
      socket.send(new Uint8Array(0), { fin: true })
      assert.strictEqual(digest(yield* ours.next), digest(binary))
    })
  )

  it.live("our end answers its Pings, with their payloads and in order", () =>
    Effect.gen(function* () {
      const { socket } = yield* open()
      const payloads = ["", "a", "é", "x".repeat(125)]
      const pongs: Array<string> = []
      const all = Effect.callback<void>((resume) => {
        socket.on("pong", (payload: Buffer) => {
          pongs.push(payload.toString())
          if (pongs.length === payloads.length) resume(Effect.void)
        })
      })
      const waiting = yield* Effect.forkChild(all, { startImmediately: true })
      for (const payload of payloads) socket.ping(payload)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(pongs, payloads)
    })
  )

  it.live("it answers ours: the second comes only if the first was answered in time", () =>
    Effect.gen(function* () {
      const { ours, socket, theirs } = yield* open({ limits: { pingInterval: "100 millis", pingTimeout: "2 seconds" } })
      for (let i = 0; i < 2; i++) yield* Effect.promise(() => once(socket, "ping"))
      yield* ours.send("still here")
      assert.strictEqual(yield* theirs.next, "still here")
    })
  )

  it.live("its terminate is no ordinary end for us", () =>
    Effect.gen(function* () {
      const { connection, socket } = yield* open()
      socket.terminate()
      const reason = yield* reasonOf(Stream.runDrain(connection.messages))
      assert.include(["ConnectionLost", "TransportError"], reason)
      const closed = yield* connection.closed
      assert.deepStrictEqual([closed.by, closed.received], ["network", undefined])
    })
  )

  it.live("it is told what it did wrong", () =>
    Effect.gen(function* () {
      const { theirs } = yield* open({ limits: { maxMessageBytes: 100 } })
      yield* theirs.send("x".repeat(101))
      assert.deepStrictEqual({ ...(yield* theirs.closed) }, { code: 1009, reason: "message too big" })
    })
  )

  it.live("a close without a status is one for both", () =>
    Effect.gen(function* () {
      const { ours, socket, theirs } = yield* open()
      socket.close()
      assert.deepStrictEqual({ ...(yield* ours.closed) }, { code: 1005, reason: "" })
      assert.strictEqual((yield* theirs.closed).code, 1005)
      const other = yield* open()
      other.ours.close(1005, "")
      assert.deepStrictEqual({ ...(yield* other.theirs.closed) }, { code: 1005, reason: "" })
      assert.strictEqual((yield* other.ours.closed).code, 1005)
    })
  )
})

it.live("100 clients at once each get their own echoes, and none is left", () =>
  Effect.gen(function* () {
    const server = yield* NodeWebSocketServer.serve({}, (connection) =>
      Stream.runForEach(connection.messages, connection.send)
    )
    const talk = (n: number) =>
      new Promise<ReadonlyArray<string>>((resolve, reject) => {
        const heard: Array<string> = []
        const socket = new WebSocket(server.url)
        socket.on("open", () => {
          for (let i = 0; i < 10; i++) socket.send(`${n}:${i}`)
          socket.close(1000)
        })
        socket.on("message", (data) => heard.push(String(data)))
        socket.on("error", reject)
        socket.on("close", () => resolve(heard))
      })
    const heard = yield* Effect.promise(() => Promise.all(Array.from({ length: 100 }, (_, n) => talk(n))))
    for (const [n, messages] of heard.entries()) {
      assert.deepStrictEqual(
        messages,
        Array.from({ length: 10 }, (_, i) => `${n}:${i}`)
      )
    }
    yield* eventually(() => server.connections() === 0)
  })
)
