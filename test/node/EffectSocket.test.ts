/** Our connections as Effect's `Socket`: how they read, write, end, and come back. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import type { Limits } from "@millrace/core/connection/Limits"
import { OpenError } from "@millrace/core/connection/OpenError"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as EffectSocket from "@millrace/node/EffectSocket"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { open, plain, start, turn } from "../support/connection.ts"
import { echo } from "../support/effectServer.ts"
import { eventually, settled } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { utf8 } from "../support/wire.ts"

/** A client as a `Socket`, and the connection at its other end, in memory. */
const pair = (limits?: Partial<Limits>) =>
  Effect.map(WebSocket.makePair(limits), ({ client, server }) => ({
    connection: client,
    socket: EffectSocket.fromConnection(client),
    far: server
  }))

const at = (url: string, options?: NodeWebSocket.Options) => EffectSocket.make(NodeWebSocket.open(url, options))

const reasonOf = (exit: Exit.Exit<unknown, Socket.SocketError>): Socket.SocketErrorReason => {
  assert.isTrue(Exit.isFailure(exit))
  const [reason] = (exit as Exit.Failure<unknown, Socket.SocketError>).cause.reasons
  assert.strictEqual(reason?._tag, "Fail")
  return (reason as unknown as { readonly error: Socket.SocketError }).error.reason
}

/** The code and the reason of a close. */
const closeOf = (exit: Exit.Exit<unknown, Socket.SocketError>) => {
  const reason = reasonOf(exit)
  return reason._tag === "SocketCloseError" ? [reason.code, reason.closeReason] : [reason._tag]
}

describe("what comes and goes", () => {
  it.effect("is one element for each message, text as strings and bytes as bytes, as many as there are", () =>
    Effect.gen(function* () {
      const { far, socket } = yield* pair()
      const { pull } = yield* socket.reader
      const writer = yield* socket.writer
      yield* far.sendAll(["é", utf8("b"), ""])
      assert.deepStrictEqual(yield* pull, ["é", utf8("b"), ""])
      yield* writer.write("one")
      yield* writer.writeAll([utf8("two"), "three"])
      const messages = [yield* far.receive, yield* far.receive, yield* far.receive]
      assert.deepStrictEqual(plain(messages), ["one", Buffer.from("two"), "three"])
      yield* start(Stream.runDrain(far.messages))
    })
  )

  it.effect("is held where nobody reads it: writing waits, and is written once when it may go on", () =>
    Effect.gen(function* () {
      const { far, socket } = yield* pair({ outboxBytes: 10_000, inboxBytes: 10_000 })
      const writer = yield* socket.writer
      let written = 0
      const writing = yield* start(
        Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.andThen(
            writer.write(new Uint8Array(1_000)),
            Effect.sync(() => written++)
          )
        )
      )
      yield* turn
      assert.isBelow(written, 50)
      let came = 0
      yield* start(Stream.runForEach(far.messages, () => Effect.sync(() => came++)))
      yield* Fiber.join(writing)
      for (let i = 0; i < 10; i++) yield* turn
      assert.deepStrictEqual([written, came], [100, 100])
    })
  )
})

describe("every end is a close", () => {
  it.effect("with the code and the reason of the peer's Close, behind what came before it", () =>
    Effect.gen(function* () {
      for (const [code, reason] of [
        [1000, ""],
        [1001, "bye"],
        [1005, ""],
        [4321, "mine"]
      ] as const) {
        const { far, socket } = yield* pair()
        const { pull } = yield* socket.reader
        yield* far.send("last")
        yield* start(far.close(code, reason))
        assert.deepStrictEqual(yield* pull, ["last"])
        assert.deepStrictEqual(closeOf(yield* Effect.exit(pull)), [code, reason || undefined])
        assert.deepStrictEqual(closeOf(yield* Effect.exit(pull)), [code, reason || undefined])
      }
    })
  )

  it.effect("with the code of a broken rule, whose detail is its reason", () =>
    Effect.gen(function* () {
      const { far, socket } = yield* pair({ maxMessageBytes: 10 })
      const { pull } = yield* socket.reader
      yield* far.send("eleven bytes")
      const [code, reason] = closeOf(yield* Effect.exit(pull))
      assert.strictEqual(code, 1009)
      assert.isString(reason)
    })
  )

  it.live("with 1006 when the network ends it", () =>
    Effect.gen(function* () {
      const ends: Array<unknown> = []
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.gen(function* () {
          const { pull } = yield* EffectSocket.fromConnection(connection).reader
          ends.push(closeOf(yield* Effect.exit(pull))[0])
        }).pipe(Effect.scoped)
      )
      const peer = yield* RawPeer.open(server.port)
      peer.reset()
      yield* eventually(() => ends.length === 1)
      assert.deepStrictEqual(ends, [1006])
    })
  )

  it.effect("which a writer begins without waiting for a peer that is mute", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("client")
      const writer = yield* EffectSocket.fromConnection(connection).writer
      yield* writer.write(new Socket.CloseEvent(4000))
      far.hangUp()
      assert.strictEqual((yield* connection.closed).sent?.code, 4000)
    })
  )

  it.effect("which a writer makes by a CloseEvent, behind what was written before it", () =>
    Effect.gen(function* () {
      const { far, socket } = yield* pair()
      const { pull } = yield* socket.reader
      const writer = yield* socket.writer
      yield* writer.write("before")
      const wrong = reasonOf(yield* Effect.exit(writer.write(new Socket.CloseEvent(1006))))
      assert.strictEqual(wrong._tag, "SocketWriteError")
      yield* writer.write(new Socket.CloseEvent(4000, "enough"))
      const late = reasonOf(yield* Effect.exit(writer.writeAll(["late"])))
      assert.strictEqual(late._tag, "SocketWriteError")
      assert.deepStrictEqual(plain([yield* far.receive]), ["before"])
      yield* Effect.exit(far.receive)
      const { received } = yield* far.closed
      assert.deepStrictEqual(received, { code: 4000, reason: "enough" })
      assert.deepStrictEqual(closeOf(yield* Effect.exit(pull)), [4000, "enough"])
    })
  )

  it.effect("which the scope of the reader makes, and which a pull that waits fails with", () =>
    Effect.gen(function* () {
      for (const [exit, code] of [
        [Exit.void, 1000],
        [Exit.interrupt(), 1001],
        [Exit.fail("no"), 1011]
      ] as const) {
        const { far, socket } = yield* pair()
        const scope = yield* Scope.make()
        const { pull } = yield* Scope.provide(socket.reader, scope)
        const pulling = yield* start(Effect.exit(pull))
        const closing = yield* start(Scope.close(scope, exit))
        yield* Effect.exit(far.receive)
        yield* Fiber.join(closing)
        assert.strictEqual((yield* far.closed).received?.code, code)
        assert.strictEqual(closeOf(yield* Fiber.join(pulling))[0], code)
      }
    })
  )
})

describe("make", () => {
  it.live("fails to read with why it could not be opened, and the status of a refusal", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ path: "/here" }, echo)
      const socket = yield* at(`${server.url}/there`)
      const reason = reasonOf(yield* Effect.exit(Effect.scoped(socket.reader)))
      assert.strictEqual(reason._tag, "SocketOpenError")
      const { cause, kind } = reason as Socket.SocketOpenError
      assert.isTrue(cause instanceof OpenError)
      const refused = (cause as OpenError).reason
      assert.deepStrictEqual([kind, refused._tag === "Refused" ? refused.status : 0], ["Unknown", 404])
    })
  )

  it.live("says so when that was a timeout", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const socket = yield* at(`ws://127.0.0.1:${server.port}`, { handshakeTimeout: 50 })
      const reason = reasonOf(yield* Effect.exit(Effect.scoped(socket.reader)))
      assert.isTrue(reason._tag === "SocketOpenError" && reason.kind === "Timeout")
    })
  )

  it.live("opens a connection for each reader, and keeps for the next one what is written between them", () =>
    Effect.gen(function* () {
      const received: Array<string> = []
      const gate = yield* Deferred.make<void>()
      let connections = 0
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.gen(function* () {
          const mine = ++connections
          const first = plain([yield* connection.receive])
          received.push(`${mine}: ${first}`)
          yield* connection.send("go")
        })
      )
      const socket = yield* at(server.url)
      const writer = yield* socket.writer
      const early = yield* start(writer.write("early"))
      let ends = 0
      yield* Effect.gen(function* () {
        const { pull } = yield* socket.reader
        while (true) yield* pull
      }).pipe(
        Effect.scoped,
        Effect.tapError(() => {
          ends++
          return ends === 1 ? Deferred.await(gate) : Effect.void
        }),
        Effect.retry(Schedule.recurs(1)),
        Effect.ignore,
        Effect.forkChild
      )
      yield* eventually(() => ends === 1)
      yield* Fiber.join(early)
      const between = yield* start(writer.writeAll(["between"]))
      yield* settled
      assert.isUndefined(between.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(between)
      yield* eventually(() => ends === 2)
      assert.deepStrictEqual(received, ["1: early", "2: between"])
    })
  )

  it.effect("keeps for the next connection what is written to one that is closing", () =>
    Effect.gen(function* () {
      const pairs = [yield* WebSocket.makePair(), yield* WebSocket.makePair()]
      let opened = 0
      const socket = yield* EffectSocket.make(Effect.sync(() => pairs[opened++]!.client))
      const writer = yield* socket.writer
      const first = yield* Scope.make()
      yield* Scope.provide(socket.reader, first)
      yield* start(pairs[0]!.server.close())
      yield* turn
      const writing = yield* start(writer.write("again"))
      assert.isUndefined(writing.pollUnsafe())
      yield* Scope.close(first, Exit.void)
      yield* socket.reader
      yield* Fiber.join(writing)
      assert.deepStrictEqual(plain([yield* pairs[1]!.server.receive]), ["again"])
    })
  )

  it.live("suspends who writes to a server that does not read, so that no more than the outbox piles up", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ limits: { inboxBytes: 65_536 } }, () => Effect.never)
      const socket = yield* at(server.url, { limits: { closeTimeout: 100 } })
      yield* socket.reader
      const writer = yield* socket.writer
      const payload = new Uint8Array(65_536)
      let written = 0
      const before = process.memoryUsage().rss
      yield* start(
        Effect.gen(function* () {
          for (; written < 4_000; written++) yield* writer.write(payload)
        })
      )
      let seen = -1
      while (seen < written) {
        seen = written
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.isAbove(written, 0)
      assert.isBelow(written, 1_000)
      assert.isBelow(process.memoryUsage().rss - before, 100_000_000)
    })
  )

  it.live("asks for its URL anew for each connection, as a layer", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, echo)
      let asked = 0
      const url = Effect.sync(() => `${server.url}/${++asked}`)
      const socket = Context.get(yield* Layer.build(EffectSocket.layer(url)), Socket.Socket)
      const writer = yield* socket.writer
      for (let i = 0; i < 2; i++) {
        yield* Effect.gen(function* () {
          const { pull } = yield* socket.reader
          yield* writer.write("hello")
          assert.deepStrictEqual(yield* pull, ["hello"])
        }).pipe(Effect.scoped)
      }
      assert.strictEqual(asked, 2)
    })
  )
})
