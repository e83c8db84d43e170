/** Sending: at once when there is room, in order when there is not, in one write for a turn, and never half. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Prepared from "@millrace/core/connection/Prepared"
import * as Message from "@millrace/core/protocol/Message"
import * as frames from "../../support/frames.ts"
import { open, reasonOf, start, turn } from "../../support/connection.ts"
import type { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

const texts = (far: TestTransport) =>
  far.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => new TextDecoder().decode(payload))

const filler = "x".repeat(200)

/** A connection whose outbox is full of one message. */
const full = (role: "client" | "server" = "server") =>
  Effect.gen(function* () {
    const opened = yield* open(role, { outboxBytes: 100 })
    opened.far.stall()
    yield* opened.connection.send(filler)
    yield* turn
    assert.strictEqual(opened.far.writes.length, 1)
    return opened
  })

describe("send", () => {
  it.effect("sends strings as text, bytes as binary, and messages as what they are", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* connection.send("hé")
      yield* connection.send(Uint8Array.of(1, 2))
      yield* connection.send(Message.text("t"))
      yield* connection.send(Message.binary(utf8("b")))
      yield* connection.send("")
      yield* turn
      assert.deepStrictEqual(far.log, ["write 81 03 68 c3 a9 82 02 01 02 81 01 74 82 01 62 81 ..."])
      assert.strictEqual(frames.toHex(far.sent.subarray(-2)), "81 00")
    })
  )

  it.effect("of many, in one turn and by any fibers, is one write, in order", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* Effect.all(
        Array.from({ length: 50 }, (_, i) => connection.send(`${i}`)),
        { concurrency: "unbounded" }
      )
      yield* connection.sendAll(["a", "b"])
      yield* turn
      assert.strictEqual(far.writes.length, 1)
      assert.deepStrictEqual(texts(far), [...Array.from({ length: 50 }, (_, i) => `${i}`), "a", "b"])
    })
  )

  it.effect("masks each frame of a client with the next key", () =>
    Effect.gen(function* () {
      let key = 0x10203040
      const { far, connection } = yield* open("client", {}, () => key++)
      yield* connection.sendAll(["a", "b", "x".repeat(5000)])
      yield* connection.close().pipe(Effect.timeoutOption(1), Effect.forkChild({ startImmediately: true }))
      yield* turn
      assert.deepStrictEqual(
        far.frames.map((frame) => frame.key),
        [0x10203040, 0x10203041, 0x10203042, 0x10203043]
      )
      assert.deepStrictEqual(texts(far), ["a", "b", "x".repeat(5000)])
    })
  )

  it.effect("never masks on a server, even when there is a key", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", {}, () => 0x01020304)
      yield* connection.send("a")
      yield* turn
      assert.deepStrictEqual(far.log, ["write 81 01 61"])
    })
  )

  it.effect("gives long bytes to the transport as they are", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const long = frames.counting(100_000)
      yield* connection.send(long)
      yield* turn
      assert.isTrue(far.writes[0]!.some((chunk) => chunk === long))
    })
  )
})

describe("sendAll", () => {
  it.effect("is one write of any number, from any iterable", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* connection.sendAll(new Set(["a", "b", "c"]))
      yield* connection.sendAll([])
      yield* turn
      assert.deepStrictEqual(far.log, ["write 81 01 61 81 01 62 81 01 63"])
    })
  )

  it.effect("sends all or nothing when it has to wait", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const interrupted = yield* start(connection.sendAll(["a", "b"]))
      const waiting = yield* start(connection.sendAll(["c", filler, "d"]))
      yield* Fiber.interrupt(interrupted)
      far.drain()
      yield* Fiber.join(waiting)
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "c", filler, "d"])
      assert.strictEqual(far.writes.length, 2)
    })
  )
})

describe("a full outbox", () => {
  it.effect("suspends who sends, and lets them go on in order when it is drained", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const senders = yield* Effect.forEach(["a", "b", "c"], (text) => start(connection.send(text)))
      yield* TestClock.adjust("20 seconds")
      assert.isTrue(senders.every((fiber) => fiber.pollUnsafe() === undefined))
      assert.deepStrictEqual(texts(far), [filler])
      far.drain()
      yield* Effect.forEach(senders, Fiber.join)
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "a", "b", "c"])
    })
  )

  it.effect("lets one in at its bound and not the next: each message may be the one that fills it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 10 })
      far.stall()
      yield* connection.send("1234567") // nine bytes with its header: there is room
      yield* connection.send("8")
      const waiting = yield* start(connection.send("9"))
      yield* turn
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual(texts(far), ["1234567", "8"])
      far.drain()
      yield* Fiber.join(waiting)
    })
  )

  it.effect("lets in as many as there is room for, the others wait on", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const senders = yield* Effect.forEach(["a", filler, "b", filler, "c"], (text) => start(connection.send(text)))
      far.drain()
      far.stall()
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "a", filler])
      assert.deepStrictEqual(
        senders.map((fiber) => fiber.pollUnsafe() !== undefined),
        [true, true, false, false, false]
      )
      far.drain()
      far.stall()
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "a", filler, "b", filler])
      far.drain()
      yield* turn
      assert.deepStrictEqual(texts(far).at(-1), "c")
    })
  )

  it.effect("lets nobody in before those who wait, not even when it is drained in their turn", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const first = yield* start(connection.send(filler))
      const second = yield* start(Effect.andThen(connection.send("second"), connection.send("fourth")))
      far.drain()
      const third = yield* start(connection.send("third"))
      yield* turn
      yield* Effect.forEach([first, second, third], Fiber.join)
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, filler, "second", "third", "fourth"])
    })
  )

  it.effect("sends nothing of a sender that was interrupted", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const [first, second, third] = yield* Effect.forEach(["a", "b", "c"], (text) => start(connection.send(text)))
      yield* Fiber.interrupt(second!)
      far.drain()
      yield* Fiber.join(first!)
      yield* Fiber.join(third!)
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "a", "c"])
    })
  )

  it.effect("is open again when all who waited were interrupted", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      yield* Fiber.interrupt(yield* start(connection.send("a")))
      far.drain()
      yield* connection.send("b")
      assert.strictEqual(connection.tryWriteUnsafe(Prepared.make("c")), "Written")
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, "b", "c"])
    })
  )

  it.effect("can be waited for with a time limit", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const sending = yield* start(Effect.timeoutOption(connection.send("a"), "1 second"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(sending))._tag, "None")
      far.drain()
      yield* turn
      assert.deepStrictEqual(texts(far), [filler])
    })
  )

  it.effect("of a single turn needs no drained when the transport takes it all at once", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 100 })
      const all = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(60))
      yield* Effect.forEach(all, connection.send)
      yield* turn
      assert.deepStrictEqual(texts(far), all)
    })
  )

  it.effect("fails who waits with NotOpen when the connection closes, whoever closes it", () =>
    Effect.gen(function* () {
      const ways: ReadonlyArray<(opened: Effect.Success<ReturnType<typeof full>>) => Effect.Effect<unknown, unknown>> =
        [
          ({ connection }) => start(Effect.ignore(connection.close())) as never,
          ({ far }) => Effect.sync(() => far.push("88 80 00 00 00 00")),
          ({ far }) => Effect.sync(() => far.push("83 80 00 00 00 00")),
          ({ far }) => Effect.sync(() => far.hangUp())
        ]
      for (const close of ways) {
        const opened = yield* full()
        const senders = yield* Effect.forEach(["a", "b"], (text) => start(reasonOf(opened.connection.send(text))))
        yield* close(opened)
        assert.deepStrictEqual(yield* Effect.forEach(senders, Fiber.join), ["NotOpen", "NotOpen"])
        opened.far.drain()
        yield* turn
        assert.deepStrictEqual(texts(opened.far), [filler])
      }
    })
  )
})

describe("when it is not open", () => {
  it.effect("send fails with NotOpen, which tells closing from closed, and writes nothing", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* start(connection.close())
      yield* turn
      const states: Array<string> = []
      for (const end of [() => {}, () => far.hangUp()]) {
        end()
        const error = yield* Effect.flip(connection.send("late"))
        assert(error.reason._tag === "NotOpen")
        states.push(error.reason.state)
        assert.strictEqual(yield* reasonOf(connection.sendAll(["late"])), "NotOpen")
        assert.strictEqual(connection.tryWriteUnsafe(Prepared.make("late")), "NotOpen")
      }
      yield* turn
      assert.deepStrictEqual(states, ["Closing", "Closed"])
      assert.deepStrictEqual(texts(far), [])
    })
  )
})

describe("tryWriteUnsafe", () => {
  for (const role of ["client", "server"] as const) {
    it.effect(`writes now or not at all, on a ${role}`, () =>
      Effect.gen(function* () {
        const { far, connection } = yield* open(role, { outboxBytes: 100 })
        const long = Prepared.make("x".repeat(100))
        assert.strictEqual(connection.tryWriteUnsafe(Prepared.make(Uint8Array.of(7))), "Written")
        assert.strictEqual(connection.tryWriteUnsafe(long), "Written")
        assert.strictEqual(connection.tryWriteUnsafe(long), "Full")
        far.stall()
        yield* turn
        assert.strictEqual(connection.tryWriteUnsafe(long), "Full")
        far.drain()
        assert.strictEqual(connection.tryWriteUnsafe(long), "Written")
        yield* turn
        assert.deepStrictEqual(
          far.frames.map(({ opcode, payload }) => [opcode, payload.length]),
          [
            [2, 1],
            [1, 100],
            [1, 100]
          ]
        )
      })
    )
  }

  it.effect("does not overtake those who wait", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* full()
      const senders = yield* Effect.forEach([filler, "a"], (text) => start(connection.send(text)))
      far.drain()
      assert.strictEqual(connection.tryWriteUnsafe(Prepared.make("b")), "Full")
      yield* Effect.forEach(senders, Fiber.join)
      assert.strictEqual(connection.tryWriteUnsafe(Prepared.make("b")), "Written")
      yield* turn
      assert.deepStrictEqual(texts(far), [filler, filler, "a", "b"])
    })
  )

  it.effect("gives the same bytes to every server, encoded once", () =>
    Effect.gen(function* () {
      const prepared = Prepared.make("to all")
      const all = yield* Effect.all(Array.from({ length: 3 }, () => open("server")))
      for (const { connection } of all) connection.tryWriteUnsafe(prepared)
      yield* turn
      for (const { far } of all) assert.isTrue(far.writes[0]![0] === prepared.serverFrame)
      assert.strictEqual(frames.toHex(prepared.serverFrame), "81 06 74 6f 20 61 6c 6c")
    })
  )
})
