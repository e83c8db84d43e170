/** How fast a peer may send, by the clock of the test. */
import { assert, describe, it } from "@effect/vitest"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as RateLimit from "@millrace/core/connection/RateLimit"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Message from "@millrace/core/protocol/Message"
import * as frames from "../../support/frames.ts"
import { counted, open, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { utf8 } from "../../support/wire.ts"

/** How the messages end, when there are none left. */
const endOf = (pull: WebSocket["pull"]) => reasonOf(Stream.runDrain(Stream.fromPull(Effect.succeed(pull))))

const text = (value: string) => toward("server", frames.frame(1, utf8(value)))
const read = (...values: ReadonlyArray<string>) => frames.concat(values.map(text))
const numbered = (from: number, until: number) => Array.from({ length: until - from }, (_, i) => `${from + i}`)

/** Written in the order in which it was. */
const written = (sent: ReadonlyArray<frames.Seen>) =>
  sent.map(({ opcode, payload }) =>
    opcode === 8
      ? `close ${payload[0]! * 256 + payload[1]!} ${new TextDecoder().decode(payload.subarray(2))}`
      : new TextDecoder().decode(payload)
  )

/** Collects messages, with the second in which each came. */
const timed = <E, R>(messages: Stream.Stream<Message.Message, E, R>) =>
  Effect.gen(function* () {
    const got: Array<string> = []
    let seconds = 0
    const fiber = yield* start(
      Stream.runForEach(messages, (message) => Effect.sync(() => got.push(`${seconds}: ${plain([message])[0]}`)))
    )
    const pass = (upTo: number) =>
      Effect.gen(function* () {
        while (seconds < upTo) {
          seconds++
          yield* TestClock.adjust("1 second")
        }
      })
    return { got, fiber, pass }
  })

describe("shape", () => {
  it.effect("passes on as many as the burst at once, and the rest as the rate has it", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const { got, pass } = yield* timed(
        connection.messages.pipe(RateLimit.shape({ messagesPerSecond: 2, burstMessages: 3 }))
      )
      far.push(read(...numbered(0, 8)))
      assert.deepStrictEqual(got, ["0: 0", "0: 1", "0: 2"])
      yield* pass(10)
      assert.deepStrictEqual(got.slice(3), ["1: 3", "1: 4", "2: 5", "2: 6", "3: 7"])
      far.push(read("and", "later"))
      assert.deepStrictEqual(got.slice(8), ["10: and", "10: later"])
    })
  )

  it.effect("counts bytes, and lets a message through that is longer than the burst", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const { got, pass } = yield* timed(connection.messages.pipe(RateLimit.shape({ bytesPerSecond: 10 })))
      far.push(read("x".repeat(30), "y"))
      yield* pass(2)
      assert.deepStrictEqual(got, [`0: ${"x".repeat(30)}`])
      yield* pass(3)
      assert.deepStrictEqual(got.slice(1), ["3: y"])
    })
  )

  it.effect("makes the peer wait: the inbox fills, and the transport is paused", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server", { inboxBytes: 1_000 })
      const { got, pass } = yield* timed(connection.messages.pipe(RateLimit.shape({ messagesPerSecond: 10 })))
      const all = numbered(0, 200)
      for (const value of all) far.push(text(value))
      assert.strictEqual(got.length, 10)
      assert.isTrue(far.paused)
      yield* pass(9)
      assert.strictEqual(got.length, 100)
      assert.isTrue(far.paused)
      yield* pass(20)
      assert.isFalse(far.paused)
      assert.deepStrictEqual(
        got.map((line) => line.split(": ")[1]),
        all
      )
    })
  )

  it.effect("keeps the end behind what was received before it, an ordinary one and any other", () =>
    Effect.gen(function* () {
      for (const [end, expected] of [
        [(far: { hangUp: () => void }) => far.hangUp(), "ConnectionLost"],
        [(far: { push: (bytes: Uint8Array) => void }) => far.push(toward("server", frames.frame(8, utf8("")))), "done"]
      ] as const) {
        const { connection, far } = yield* open("server")
        const { fiber, got, pass } = yield* timed(connection.messages.pipe(RateLimit.shape({ messagesPerSecond: 1 })))
        far.push(read("a", "b", "c"))
        end(far)
        assert.deepStrictEqual(got, ["0: a"])
        yield* pass(4)
        assert.deepStrictEqual(got, ["0: a", "1: b", "2: c"])
        const reason = yield* reasonOf(Effect.as(Fiber.join(fiber), undefined))
        assert.strictEqual(reason, expected === "done" ? "succeeded" : expected)
      }
    })
  )

  it.effect("starts anew with each run of the stream", () =>
    Effect.gen(function* () {
      const messages = Stream.make(Message.text("a"), Message.text("b")).pipe(
        RateLimit.shape({ messagesPerSecond: 0, burstMessages: 2 })
      )
      for (let run = 0; run < 2; run++) assert.deepStrictEqual(plain(yield* Stream.runCollect(messages)), ["a", "b"])
    })
  )

  it.effect("lets nothing more pass at a rate of 0, and can be interrupted", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const { fiber, got, pass } = yield* timed(
        connection.messages.pipe(RateLimit.shape({ messagesPerSecond: 0, burstMessages: 1 }))
      )
      far.push(read("a", "b"))
      yield* pass(100)
      assert.deepStrictEqual(got, ["0: a"])
      assert.isTrue(Exit.hasInterrupts(yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))))
    })
  )

  it.effect("costs no fiber and no timer under the rate, and passes on the very arrays", () =>
    counted((running) =>
      Effect.gen(function* () {
        const arrays = Array.from({ length: 100 }, (_, i) => [Message.text(`${i}`), Message.text("x")] as const)
        let next = 0
        const pull = RateLimit.shapePull(
          Effect.suspend(() => (next < arrays.length ? Effect.succeed(arrays[next++]!) : Cause.done())),
          { messagesPerSecond: 200, bytesPerSecond: 1_000 }
        )
        const before = { ...running }
        for (const expected of arrays) {
          assert.strictEqual(yield* pull, expected as Arr.NonEmptyReadonlyArray<Message.Message>)
          assert.deepStrictEqual(running, before)
        }
        assert.isTrue(Cause.isDone(yield* Effect.flip(pull)))
      })
    )
  )

  it.effect("loses nothing when who pulls is interrupted while it has to wait", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.make<Message.Message>()
      const pull = RateLimit.shapePull(Queue.takeAll(queue), { messagesPerSecond: 1 })
      yield* Queue.offerAll(queue, ["a", "b", "c"].map(Message.text))
      assert.deepStrictEqual(plain(yield* pull), ["a"])
      const waiting = yield* start(pull)
      yield* TestClock.adjust("999 millis")
      yield* Fiber.interrupt(waiting)
      yield* Queue.offer(queue, Message.text("d"))
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(plain(yield* pull), ["b"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(plain(yield* pull), ["c"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(plain(yield* pull), ["d"])
      yield* Queue.offer(queue, Message.text("e"))
      yield* Effect.andThen(Effect.yieldNow, Effect.flatMap(start(pull), Fiber.interrupt))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(plain(yield* pull), ["e"])
    })
  )
})

describe("enforce", () => {
  it.effect("passes on what came before, answers and all, and then closes with 1008 and says the rate", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const handling = yield* start(
        Effect.flip(
          Stream.runForEach(RateLimit.enforce(connection, { messagesPerSecond: 10, burstMessages: 3 }), connection.send)
        )
      )
      far.push(read("1", "2", "3", "4", "5"))
      const error = yield* Fiber.join(handling)
      assert(error.reason instanceof RateLimit.RateExceeded)
      assert.deepStrictEqual({ ...error.reason }, {
        _tag: "ProtocolViolation",
        closeCode: 1008,
        clause: "RFC 6455 7.4.1",
        detail: "more than 10 messages a second",
        limit: "messages",
        perSecond: 10
      } as never)
      assert.strictEqual(error.message, "more than 10 messages a second (RFC 6455 7.4.1)")
      yield* turn
      assert.deepStrictEqual(written(far.frames), ["1", "2", "3", "close 1008 more than 10 messages a second"])
      assert.strictEqual(far.log.at(-1), "end")
      far.push(read("nothing", "counts"))
      assert.strictEqual(yield* endOf(connection.pull), "ProtocolViolation")
    })
  )

  it.effect("is what the peer sees, also when the handler fails with it: no 1011", () =>
    Effect.gen(function* () {
      for (const outcome of ["fails", "succeeds"] as const) {
        const scope = yield* Scope.make()
        const { connection, far } = yield* open("server").pipe(Scope.provide(scope))
        const handling = yield* start(
          Effect.exit(Stream.runDrain(RateLimit.enforce(connection, { bytesPerSecond: 10 })))
        )
        far.push(read("12345678", "9", "10"))
        const exit = yield* Fiber.join(handling)
        assert.isTrue(Exit.isFailure(exit))
        yield* Scope.close(scope, outcome === "fails" ? exit : Exit.void)
        assert.deepStrictEqual(written(far.frames), ["close 1008 more than 10 bytes a second"])
      }
    })
  )

  it.effect("is caught as any violation", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("client")
      far.push(toward("client", frames.frame(2, utf8("too much"))))
      const caught = yield* Stream.runDrain(RateLimit.enforce(connection, { messagesPerSecond: 0 })).pipe(
        Effect.as("nothing"),
        Effect.catchReason("WebSocketError", "ProtocolViolation", ({ closeCode }) => Effect.succeed(`${closeCode}`))
      )
      assert.strictEqual(caught, "1008")
      far.push(toward("client", frames.frame(8, utf8("\u0003\u00f0"))))
      far.hangUp()
      const { by, violation } = yield* connection.closed
      assert.deepStrictEqual([by, violation instanceof RateLimit.RateExceeded], ["local", true])
    })
  )

  it.effect("goes on at the rate for ever", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server", { pingInterval: "30 days" })
      const { got, pass } = yield* timed(RateLimit.enforce(connection, { messagesPerSecond: 3 }))
      for (let second = 0; second < 100; second++) {
        yield* pass(second)
        far.push(read("a", "b", "c"))
      }
      assert.strictEqual(got.length, 300)
      far.push(read("d"))
      yield* turn
      assert.deepStrictEqual(written(far.frames), ["close 1008 more than 3 messages a second"])
    })
  )

  it.effect("does not hold against the peer that the handler was busy", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server", { pingInterval: "30 days" })
      const pull = RateLimit.enforcePull(connection, { messagesPerSecond: 2 })
      far.push(read("a", "b"))
      assert.deepStrictEqual(plain(yield* pull), ["a", "b"])
      // Meanwhile two a second go on coming.
      const came = numbered(0, 20)
      for (const value of came) {
        yield* TestClock.adjust("500 millis")
        far.push(text(value))
      }
      assert.deepStrictEqual(plain(yield* pull), came)
      far.push(read("one too much"))
      for (let i = 0; i < 2; i++) assert.strictEqual((yield* Effect.flip(pull))._tag, "WebSocketError")
    })
  )

  it.effect("does not let a peer save up for longer than the handler then waits", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server", { pingInterval: "30 days" })
      const pull = RateLimit.enforcePull(connection, { messagesPerSecond: 2 })
      far.push(read("a", "b"))
      assert.deepStrictEqual(plain(yield* pull), ["a", "b"])
      yield* TestClock.adjust("10 seconds")
      const waiting = yield* start(Effect.exit(pull))
      yield* TestClock.adjust("10 seconds")
      far.push(read("c", "d", "e"))
      assert.deepStrictEqual(plain(yield* yield* Fiber.join(waiting)), ["c", "d"])
      assert.strictEqual(yield* endOf(pull), "ProtocolViolation")
    })
  )

  it.effect("refuses what is too much also from a peer that has closed, which then stays the one who closed", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      far.push(frames.concat([read("a", "b"), toward("server", frames.frame(8, Uint8Array.of(0x03, 0xe8)))]))
      const got: Array<string | Uint8Array> = []
      const reason = yield* reasonOf(
        Stream.runForEach(RateLimit.enforce(connection, { messagesPerSecond: 1 }), (message) =>
          Effect.sync(() => got.push(...plain([message])))
        )
      )
      yield* turn
      assert.deepStrictEqual([got, reason, written(far.frames)], [["a"], "ProtocolViolation", ["close 1000 "]])
    })
  )

  it.effect("costs no fiber and no timer", () =>
    counted((running) =>
      Effect.gen(function* () {
        const { connection, far } = yield* open("server", { pingInterval: "30 days" })
        const pull = RateLimit.enforcePull(connection, { messagesPerSecond: 100, bytesPerSecond: 1_000 })
        const before = { ...running }
        for (let i = 0; i < 100; i++) {
          far.push(text(`${i}`))
          assert.deepStrictEqual(plain(yield* pull), [`${i}`])
        }
        assert.deepStrictEqual(running, before)
      })
    )
  )
})

it.effect("what is no rate throws where it is said, and not where it is used", () =>
  Effect.gen(function* () {
    const { connection } = yield* open("server")
    for (const limit of [
      () => RateLimit.shape({ messagesPerSecond: -1 }),
      () => RateLimit.shapePull(connection.pull, { messagesPerSecond: -1 }),
      () => RateLimit.enforce(connection, { messagesPerSecond: -1 }),
      () => RateLimit.enforcePull(connection, { messagesPerSecond: -1 })
    ]) {
      assert.throws(limit, RangeError)
    }
  })
)
