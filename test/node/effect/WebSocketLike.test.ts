/** What `EffectSocket.layerWebSocketConstructor` makes, under Effect's own `Socket.makeWebSocket`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import { OpenError } from "@millrace/core/connection/OpenError"
import * as EffectSocket from "@millrace/node/EffectSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { start } from "../../support/connection.ts"
import { echo } from "../../support/effectServer.ts"
import { eventually, settled } from "../../support/eventually.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { utf8 } from "../../support/wire.ts"

const constructor = EffectSocket.layerWebSocketConstructor({ headers: { "X-Ours": "1" } })

const make = (...options: Parameters<typeof Socket.makeWebSocket>) =>
  Effect.provide(Socket.makeWebSocket(...options), constructor)

const reasonOf = (effect: Effect.Effect<unknown, Socket.SocketError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a WebSocket for Effect's Socket", () => {
  it.live("carries text and bytes, and offers subprotocols and fields", () =>
    Effect.gen(function* () {
      let asked: ReadonlyArray<string | undefined> = []
      const server = yield* NodeWebSocketServer.serve(
        {
          subprotocols: ["chat"],
          handshake: ({ client, header }) => {
            asked = [header("x-ours"), header("x-asked"), ...client.subprotocols]
            return Effect.succeed(NodeWebSocketServer.accept(undefined))
          }
        },
        echo
      )
      const socket = yield* make(server.url, { protocols: ["chat", "other"], headers: { "X-Asked": "2" } })
      const { pull } = yield* socket.reader
      const writer = yield* socket.writer
      yield* writer.write("é")
      yield* writer.writeAll([utf8("b")])
      const chunks = [...(yield* pull)]
      while (chunks.length < 2) chunks.push(...(yield* pull))
      assert.deepStrictEqual(
        chunks.map((chunk) => (typeof chunk === "string" ? chunk : `${Buffer.from(chunk)}`)),
        ["é", "b"]
      )
      assert.deepStrictEqual(asked, ["1", "2", "chat", "other"])
    })
  )

  it.live("is closed with the code of the peer, or with the one that is written", () =>
    Effect.gen(function* () {
      const codes: Array<number | undefined> = []
      const server = yield* NodeWebSocketServer.serve({ path: "/mine" }, (connection) => connection.close(4001, "mine"))
      const mine = yield* make(`${server.url}/mine`)
      const { pull } = yield* mine.reader
      const reason = yield* reasonOf(pull)
      assert.isTrue(reason._tag === "SocketCloseError" && reason.code === 4001 && reason.closeReason === "mine")
      const other = yield* NodeWebSocketServer.serve({}, (connection: WebSocket) =>
        Effect.gen(function* () {
          yield* Effect.exit(connection.pull)
          codes.push((yield* connection.closed).received?.code)
        })
      )
      const yours = yield* make(other.url)
      const reader = yield* yours.reader
      const writer = yield* yours.writer
      yield* start(Effect.exit(reader.pull))
      yield* writer.write(new Socket.CloseEvent(4002))
      yield* eventually(() => codes.length === 1)
      assert.deepStrictEqual(codes, [4002])
    })
  )

  it.live("says why it could not be opened", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ path: "/here" }, echo)
      const socket = yield* make(server.url)
      const reason = yield* reasonOf(Effect.scoped(socket.reader))
      assert.strictEqual(reason._tag, "SocketOpenError")
      const { error } = (reason as Socket.SocketOpenError).cause as { readonly error: unknown }
      assert.isTrue(error instanceof OpenError && error.reason._tag === "Refused")
    })
  )

  it.live("is given up when nobody waits for it any more, and leaves no connection", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const socket = yield* make(`ws://127.0.0.1:${server.port}`)
      const opening = yield* start(Effect.exit(Effect.scoped(socket.reader)))
      const peer = yield* server.accept
      yield* peer.head
      yield* Fiber.interrupt(opening)
      assert.strictEqual(`${yield* peer.rest}`, "")
    })
  )

  it.live("reads no more than is pulled", () =>
    Effect.gen(function* () {
      let sent = 0
      const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: 100 } }, (connection) =>
        Effect.gen(function* () {
          for (; sent < 4_000; sent++) yield* connection.send(new Uint8Array(65_536))
        })
      )
      const socket = yield* Effect.provide(
        Socket.makeWebSocket(server.url),
        EffectSocket.layerWebSocketConstructor({ limits: { closeTimeout: 100 } })
      )
      const { pull } = yield* socket.reader
      let before = -1
      while (before < sent) {
        before = sent
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.isBelow(sent, 1_000)
      let came = 0
      while (came < 1_000) came += (yield* pull).length
    })
  )
})
