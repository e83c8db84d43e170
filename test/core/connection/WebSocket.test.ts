/** Receiving: what is pulled, in which arrays, until which end. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as frames from "../../support/frames.ts"
import { open, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { utf8 } from "../../support/wire.ts"

const roles = ["client", "server"] as const

/** The beginning of a message, in so many frames of nothing. */
const empties = (count: number) =>
  frames.concat(Array.from({ length: count }, (_, i) => Uint8Array.of(i === 0 ? 2 : 0, 0)))

describe("pull", () => {
  it.effect("hands over all messages of a chunk as one array", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const pulling = yield* start(connection.pull)
      far.push("81 01 61 82 02 01 02 89 00 81 00 01 01 62")
      assert.deepStrictEqual(plain(yield* Fiber.join(pulling)), ["a", Uint8Array.of(1, 2), ""])
      const next = yield* start(connection.pull)
      far.push("80 02 63 64")
      assert.deepStrictEqual(plain(yield* Fiber.join(next)), ["bcd"])
    })
  )

  it.effect("wakes its fiber in the turn in which the bytes come", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      for (const text of ["61", "62"]) {
        const pulling = yield* start(connection.pull)
        assert.isUndefined(pulling.pollUnsafe())
        far.push(`81 01 ${text}`)
        assert.isDefined(pulling.pollUnsafe())
      }
    })
  )

  it.effect("has lost nothing when it begins late, also after the end", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 01 61")
      far.push("82 01 62 81 01 63")
      far.push("88 02 03 e8")
      far.hangUp()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(plain(yield* connection.pull), ["a", utf8("b"), "c"])
      assert.isTrue(Cause.isDone(yield* Effect.flip(connection.pull)))
      assert.isTrue(Cause.isDone(yield* Effect.flip(connection.pull)))
    })
  )

  it.effect("is for one fiber at a time: a second is a defect, and the first goes on", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const first = yield* start(connection.pull)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(connection.pull)))
      far.push("81 01 61")
      assert.deepStrictEqual(plain(yield* Fiber.join(first)), ["a"])
    })
  )

  it.effect("loses nothing when it is interrupted", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      for (const text of ["one", "two", "three"]) {
        const pulling = yield* start(connection.pull)
        yield* Fiber.interrupt(pulling)
        far.push(toward("client", frames.frame(1, utf8(text))))
        assert.deepStrictEqual(plain(yield* connection.pull), [text])
      }
      const timedOut = yield* start(Effect.timeoutOption(connection.pull, "1 second"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(timedOut)
      far.push("81 01 64")
      assert.deepStrictEqual(plain(yield* connection.pull), ["d"])
    })
  )

  it.effect("gives bytes that were unmasked where they lay, whole from any pieces", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const payload = frames.counting(1 << 20)
      const wire = toward("server", frames.frame(2, payload))
      for (let at = 0; at < wire.length; at++) far.push(wire.subarray(at, at + 1))
      const [message] = yield* connection.pull
      assert.strictEqual(Buffer.compare(message.bytes, payload), 0)
      // And the next is another.
      far.push(frames.concat(["a", "b"].map((text) => toward("server", frames.frame(1, utf8(text))))))
      assert.deepStrictEqual(plain(yield* connection.pull), ["a", "b"])
    })
  )

  it.effect("gives text with its byte order mark", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 04 ef bb bf 61")
      assert.deepStrictEqual(plain(yield* connection.pull), ["\ufeffa"])
    })
  )
})

describe("messages", () => {
  it.effect("is the same as a stream, which ends on an ordinary close", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const collecting = yield* start(Stream.runCollect(connection.messages))
      far.push("81 01 61 81 01 62")
      far.push("81 01 63 88 00")
      assert.deepStrictEqual(plain(yield* Fiber.join(collecting)), ["a", "b", "c"])
    })
  )

  it.effect("can be given away without the connection", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const { messages, send } = connection
      yield* start(Stream.runForEach(messages, send))
      far.push(
        frames.concat([toward("server", frames.frame(1, utf8("hi"))), toward("server", frames.frame(2, utf8("!")))])
      )
      yield* turn
      assert.deepStrictEqual(far.log, ["write 81 02 68 69 82 01 21"])
    })
  )

  it.effect("can be had one at a time, and the rest as they come", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 01 61 81 01 62 81 01 63")
      assert.deepStrictEqual(plain([yield* connection.receive]), ["a"])
      assert.deepStrictEqual(plain([yield* connection.receive]), ["b"])
      far.push("81 01 64 88 00")
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["c", "d"])
      assert.isTrue(Pull.isDoneCause(yield* Effect.flip(Effect.sandbox(connection.receive))))
    })
  )

  it.effect("of which one is waited for alone come alone", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const first = yield* start(connection.receive)
      far.push("81 01 61 81 01 62")
      assert.deepStrictEqual(plain([yield* Fiber.join(first)]), ["a"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["b"])
    })
  )

  it.effect("can be ended between two arrays and started again", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 01 61")
      assert.deepStrictEqual(plain(yield* Stream.runCollect(Stream.take(connection.messages, 1))), ["a"])
      far.push("81 01 62")
      assert.deepStrictEqual(plain(yield* Stream.runCollect(Stream.take(connection.messages, 1))), ["b"])
    })
  )
})

describe("the end of the messages", () => {
  it.effect.each(["", "03 e8", "03 e9", "03 e8 62 79 65"])("is ordinary after a Close of %j", (body) =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(`81 01 61 88 ${body === "" ? "00" : `0${body.split(" ").length} ${body}`} 81 01 62`)
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["a"])
    })
  )

  it.effect.each([
    ["1002", "03 ea", 1002],
    ["1011", "03 f3", 1011],
    ["4000 bye", "0f a0 62 79 65", 4000]
  ] as const)("is ConnectionLost after a Close of %s", ([, body, code]) =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(`81 01 61 88 0${body.split(" ").length} ${body}`)
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      const error = yield* Effect.flip(Stream.runDrain(connection.messages))
      assert(error.reason._tag === "ConnectionLost")
      assert.deepStrictEqual([error.reason.code, error.reason.by], [code, "remote"])
    })
  )

  it.effect("is ConnectionLost with 1006 when the peer vanishes, and cuts an unfinished message", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 01 61 01 01 62")
      far.hangUp()
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      const error = yield* Effect.flip(Stream.runDrain(connection.messages))
      assert(error.reason._tag === "ConnectionLost")
      assert.deepStrictEqual([error.reason.code, error.reason.by, error.reason.received], [1006, "network", undefined])
    })
  )

  it.effect("is the TransportError when the network fails, but not after an ordinary close", () =>
    Effect.gen(function* () {
      const failure = new TransportError({ cause: new Error("ECONNRESET") })
      const failed = yield* open("client")
      const waiting = yield* start(reasonOf(failed.connection.pull as Effect.Effect<unknown, never>))
      failed.far.hangUp(failure)
      assert.strictEqual(yield* Fiber.join(waiting), "TransportError")

      const closed = yield* open("client")
      closed.far.push("88 02 03 e8")
      closed.far.hangUp(failure)
      assert.deepStrictEqual(yield* Stream.runCollect(closed.connection.messages), [])
    })
  )

  for (const role of roles) {
    it.effect.each([
      ["seen by the codec", frames.frame(3 as never, utf8("")), "RFC 6455 5.2", 1002],
      ["seen by the protocol", frames.frame(0, utf8("")), "RFC 6455 5.4", 1002],
      ["of text", frames.frame(1, Uint8Array.of(0xff)), "RFC 6455 8.1", 1007],
      ["of size", frames.frame(2, frames.counting(1001)), "RFC 6455 7.4.1", 1009]
    ] as const)(`is the violation, after what came before it, on a ${role}: %s`, ([, wrong, clause, closeCode]) =>
      Effect.gen(function* () {
        const { far, connection } = yield* open(role, { maxMessageBytes: 1000 })
        const fine = frames.frame(1, utf8("fine"))
        far.push(frames.concat([fine, fine, wrong, fine].map((frame) => toward(role, frame))))
        assert.deepStrictEqual(plain(yield* connection.pull), ["fine", "fine"])
        const error = yield* Effect.flip(Stream.runDrain(connection.messages))
        assert(error.reason._tag === "ProtocolViolation")
        assert.deepStrictEqual([error.reason.clause, error.reason.closeCode], [clause, closeCode])
        yield* turn
        const [{ opcode, payload } = assert.fail("nothing was sent")] = far.frames
        assert.deepStrictEqual([opcode, payload[0]! * 256 + payload[1]!], [8, closeCode])
        assert.deepStrictEqual(far.frames.length, 1)
        assert.deepStrictEqual(far.log.slice(1), role === "server" ? ["end"] : [])
      })
    )
  }

  it.effect("reaches a fiber that waits in pull, at once", () =>
    Effect.gen(function* () {
      for (const wire of ["88 02 03 e8", "88 02 0f a0", "83 00"]) {
        const { far, connection } = yield* open("client")
        const pulling = yield* start(connection.pull)
        far.push(wire)
        assert.isDefined(pulling.pollUnsafe())
      }
    })
  )
})

describe("limits", () => {
  it.effect("refuses a message over the limit at its header, before a byte of it has come", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { maxMessageBytes: 1000 })
      const pulling = yield* start(reasonOf(Stream.runDrain(connection.messages)))
      far.push("82 7e 03 e9")
      assert.strictEqual(yield* Fiber.join(pulling), "ProtocolViolation")
    })
  )

  it.effect("takes a message of just the limit, in one frame and in two", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { maxMessageBytes: 1000 })
      far.push(toward("client", frames.frame(2, frames.counting(1000))))
      far.push(toward("client", frames.frame(2, frames.counting(999), false)))
      far.push(toward("client", frames.frame(0, frames.counting(1))))
      assert.deepStrictEqual(
        (yield* connection.pull).map(({ bytes }) => bytes.length),
        [1000, 1000]
      )
    })
  )

  it.effect("refuses 20,000 empty fragments with 1008, and takes 16,384", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(empties(16_383))
      far.push("80 00")
      assert.deepStrictEqual(plain(yield* connection.pull), [new Uint8Array(0)])
      far.push(empties(20_000))
      const error = yield* Effect.flip(Stream.runDrain(connection.messages))
      assert(error.reason._tag === "ProtocolViolation")
      assert.strictEqual(error.reason.closeCode, 1008)
    })
  )
})

describe("a pair", () => {
  it.effect("is a client and a server who talk, and close in good order with the scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { client, server } = yield* WebSocket.makePair({ maxMessageBytes: 100 }).pipe(Scope.provide(scope))
      yield* client.send("hello")
      assert.deepStrictEqual(plain(yield* server.pull), ["hello"])
      yield* server.send(Uint8Array.of(1, 2))
      assert.deepStrictEqual(plain(yield* client.pull), [Uint8Array.of(1, 2)])
      yield* Scope.close(scope, Exit.void)
      const [atClient, atServer] = [yield* client.closed, yield* server.closed]
      assert.deepStrictEqual([atClient.received?.code, atServer.received?.code], [1000, 1000])
    })
  )

  it.effect("has the limits it is given", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair({ maxMessageBytes: 100 })
      yield* client.send("x".repeat(101))
      assert.strictEqual(yield* reasonOf(Stream.runDrain(server.messages)), "ProtocolViolation")
      assert.strictEqual((yield* client.closed).received?.code, 1009)
    })
  )
})
