/** Connections that have agreed on compression: messages in every way in which they can be sent, in order. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Compression from "@millrace/core/connection/Compression"
import type * as Deflate from "@millrace/core/connection/Deflate"
import * as Extension from "@millrace/core/connection/Extension"
import * as Prepared from "@millrace/core/connection/Prepared"
import * as Transport from "@millrace/core/connection/Transport"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { bomb, deflate, noise, text, watched } from "../../support/compression.ts"
import { open, over, plain, start, toward, turn, world } from "../../support/connection.ts"
import { hex, utf8 } from "../../support/wire.ts"

/** What a server and a client agree on. */
const agree = (service: Deflate.Service, options: Compression.Options = {}) => {
  const extension = Compression.over(service, options)
  const server = Extension.accept([extension], extension.offers)
  return { server, client: Result.getOrThrow(Extension.verify([extension], server.response)) }
}

/** Much goes to threads. */
const threaded = NodeDeflate.make({ threadedDeflateBytes: 1_500, threadedInflateBytes: 30 })

/** A server and a client, joined in memory. */
const pair = (service: Deflate.Service, options?: Compression.Options) =>
  Effect.gen(function* () {
    const agreed = agree(service, options)
    const [near, far] = Transport.makePair()
    const client = yield* over(near, "client", {}, undefined, agreed.client)
    const server = yield* over(far, "server", {}, undefined, agreed.server)
    // Together, so that neither waits for the other.
    const closing = Effect.all([Effect.ignore(client.close()), Effect.ignore(server.close())], { concurrency: 2 })
    yield* Effect.addFinalizer(() => closing)
    return { client, server }
  })

type Way = "send" | "compressed" | "uncompressed" | "all" | "stream" | "prepared"

const sendBy = (connection: WebSocket, way: Way, value: string | Uint8Array) => {
  switch (way) {
    case "send":
      return connection.send(value)
    case "compressed":
      return connection.send(Message.compressed(value))
    case "uncompressed":
      return connection.send(Message.uncompressed(value))
    case "all":
      return connection.sendAll([value, Message.compressed(value)])
    case "stream":
      return typeof value === "string"
        ? connection.sendStream("text", Stream.make(value.slice(0, 10), value.slice(10)).pipe(Stream.rechunk(1)))
        : connection.sendStream("binary", Stream.make(value))
    case "prepared":
      return Effect.sync(() => assert.strictEqual(connection.tryWriteUnsafe(Prepared.make(value)), "Written"))
  }
}

const value = fc.oneof(
  fc.constantFrom(text(2_000), text(1_024), text(40_000), "", "short", "水".repeat(700)),
  fc.constantFrom(noise(2_000), noise(3_000), new Uint8Array(5_000), new Uint8Array(0)),
  fc.array(fc.constantFrom("the water ", "of the weir ", "rises "), { maxLength: 300 }).map((words) => words.join(""))
)

const way = fc.constantFrom<Way>("send", "compressed", "uncompressed", "all", "stream", "prepared")

const messages = fc.array(fc.tuple(way, value), { maxLength: 10 })

describe("two connections with compression", () => {
  it("give each other any messages, sent in any way, in order", async () => {
    const property = fc.asyncProperty(
      messages,
      messages,
      fc.constantFrom(deflate, threaded),
      fc.constantFrom<Compression.Options>({}, { threshold: 0 }, { server: { serverNoContextTakeover: true } }),
      (toClient, toServer, service, options) =>
        world(
          Effect.gen(function* () {
            const { client, server } = yield* pair(service, options)
            const sent = (of: typeof toClient) =>
              of.flatMap(([way, value]) => (way === "all" ? [value, value] : [value]))
            const talk = (from: WebSocket, to: WebSocket, said: typeof toClient) =>
              Effect.gen(function* () {
                const heard = yield* start(Stream.runCollect(Stream.take(to.messages, Math.max(sent(said).length, 1))))
                for (const [way, value] of said) yield* sendBy(from, way, value)
                if (sent(said).length === 0) yield* Fiber.interrupt(heard)
                else assert.deepStrictEqual(plain(yield* Fiber.join(heard)), sent(said))
              })
            yield* Effect.all([talk(server, client, toClient), talk(client, server, toServer)], { concurrency: 2 })
          })
        )
    )
    await fc.assert(property, { numRuns: 60 })
  })

  it.effect("go on after a message that was given up while it was compressed", () =>
    Effect.gen(function* () {
      const { client, server } = yield* pair(deflate)
      const long = noise(100_000).map((byte) => byte & 15)
      const given = yield* start(server.send(long))
      yield* Fiber.interrupt(given)
      for (const said of [text(2_000), text(3_000), text(2_000)]) {
        yield* server.send(said)
        assert.deepStrictEqual(plain([yield* client.receive]), [said])
      }
      yield* server.send(long)
      assert.deepStrictEqual(plain([yield* client.receive]), [long])
    })
  )
})

const received = (payload: Uint8Array) => toward("server", { fin: true, rsv: 4, opcode: 2, payload })

describe("a connection with compression", () => {
  it.effect("is failed with 1007 for what is no DEFLATE, after what came before", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", {}, undefined, agree(deflate).server)
      far.push(received(hex("f2 48 cd c9 c9 07 00")))
      far.push(received(hex("ff ff")))
      assert.deepStrictEqual(plain([yield* connection.receive]), [utf8("Hello")])
      assert.instanceOf(yield* Effect.flip(connection.pull), WebSocketError)
      yield* turn
      assert.deepStrictEqual(
        far.frames.at(-1)?.payload,
        CloseCode.encode({ code: 1007, reason: "compressed data is corrupt" })
      )
    })
  )

  it.effect("is failed with 1009 for more than maxMessageBytes, however few bytes it comes in", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", {}, undefined, agree(deflate).server)
      far.push(received(bomb(2)))
      assert.instanceOf(yield* Effect.flip(connection.pull), WebSocketError)
      yield* turn
      assert.deepStrictEqual(far.frames.at(-1)?.payload, CloseCode.encode({ code: 1009, reason: "message too big" }))
    })
  )

  it.effect("compresses a broadcast once for all, and what comes next refers to it", () =>
    Effect.gen(function* () {
      let times = 0
      const counted = watched(() => times++)
      const agreed = agree(counted).server
      const all = yield* Effect.all([1, 2, 3].map(() => open("server", {}, undefined, agreed)))
      const message = Prepared.make(text(3_000))
      for (const { connection } of all) assert.strictEqual(connection.tryWriteUnsafe(message), "Written")
      yield* turn
      assert.strictEqual(times, 1)
      const first = all[0]!.far.frames[0]!
      assert.strictEqual(first.rsv, 4)
      for (const { connection, far } of all) {
        assert.deepStrictEqual(far.frames, [first])
        yield* connection.send(text(3_000))
        yield* turn
        assert.isBelow(far.frames.at(-1)!.payload.length, first.payload.length)
      }
    })
  )
})
