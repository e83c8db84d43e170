/** The last word: what comes before the peer's Close may still be answered, for a while, before the Close is. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as frames from "../../support/frames.ts"
import { open, over, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { hex, utf8 } from "../../support/wire.ts"

const question = toward("server", frames.frame(1, utf8("?")))
const bye = toward("server", frames.frame(8, hex("03 e8")))
/** Noticed by the protocol, and by the codec. */
const wrong = toward("server", frames.frame(0, hex("")))
const malformed = hex("83 80 00 00 00 00")

const answer = "write 81 01 21"
const echo = "write 88 02 03 e8"

/** A server whose application has taken a question and works on it, when the peer's Close has come. */
const busy = Effect.gen(function* () {
  const opened = yield* open("server", { closeTimeout: "8 seconds" })
  const pulling = yield* start(opened.connection.pull)
  opened.far.push(frames.concat([question, bye]))
  assert.deepStrictEqual(plain(yield* Fiber.join(pulling)), ["?"])
  yield* turn
  assert.deepStrictEqual(opened.far.log, [])
  return opened
})

describe("the peer's Close", () => {
  it.effect("is answered behind the answers to what came before it in the same chunk", () =>
    Effect.gen(function* () {
      for (const [work, ending] of [
        [Effect.void, bye],
        [turn, bye],
        // A fault waits for nobody, but does not overtake what is answered at once.
        [Effect.void, wrong],
        [Effect.void, malformed]
      ] as const) {
        const { far, connection } = yield* open("server")
        const serving = yield* start(
          Effect.exit(Stream.runForEach(connection.messages, () => Effect.andThen(work, connection.send("!"))))
        )
        far.push(frames.concat([question, question, ending]))
        yield* Fiber.join(serving)
        yield* turn
        assert.deepStrictEqual(
          far.frames.map(({ opcode }) => opcode),
          [1, 1, 8]
        )
        assert.strictEqual(far.log.at(-1), "end")
      }
    })
  )

  it.effect("waits for an application that works, until it comes back for more", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* busy
      yield* connection.send("!")
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
      assert.deepStrictEqual(far.log, ["write 81 01 21 88 02 03 e8", "end"])
    })
  )

  it.effect("waits for a second, and hardly more", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* busy
      yield* TestClock.adjust("900 millis")
      yield* connection.send("!")
      yield* turn
      assert.deepStrictEqual(far.log, [answer])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(far.log, [answer, echo, "end"])
      assert.strictEqual(yield* reasonOf(connection.send("late")), "NotOpen")
      // From here on the transport has as long to end as ever.
      yield* TestClock.adjust("6 seconds")
      assert.notInclude(far.log, "destroy")
      yield* TestClock.adjust("4 seconds")
      assert.include(far.log, "destroy")
    })
  )

  it.effect("does not wait where nobody has taken a message, nor where somebody waits for one", () =>
    Effect.gen(function* () {
      const nobody = yield* open("server")
      nobody.far.push(frames.concat([question, bye]))
      assert.deepStrictEqual(nobody.far.log, [echo, "end"])
      assert.deepStrictEqual(plain(yield* nobody.connection.pull), ["?"])

      const waiting = yield* open("server")
      yield* start(Effect.exit(waiting.connection.pull))
      waiting.far.push(bye)
      assert.deepStrictEqual(waiting.far.log, [echo, "end"])
    })
  )

  it.effect("waits for no longer when the application closes, or goes", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* busy
      yield* start(connection.close(4000))
      yield* turn
      assert.deepStrictEqual(far.log, [echo, "end"])

      const gone = new TestTransport()
      const scope = yield* Scope.make()
      const other = yield* over(gone, "server").pipe(Scope.provide(scope))
      yield* start(Effect.exit(other.pull))
      gone.push(frames.concat([question, bye]))
      const closing = yield* start(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(gone.log, [echo, "end"])
      gone.hangUp()
      yield* Fiber.join(closing)
    })
  )

  it.effect("counts though the transport ends before it was answered", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* busy
      far.hangUp()
      assert.deepStrictEqual((yield* connection.closed).received, { code: 1000, reason: "" })
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
    })
  )

  it.effect("is the last that counts, also while it waits", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* busy
      far.push(question)
      far.push(wrong)
      far.push(toward("server", frames.frame(9, hex("01"))))
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
      assert.deepStrictEqual(far.log, [echo, "end"])
    })
  )

  it.effect("is the last that counts, also in a chunk that goes on with what is no frame", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const pulling = yield* start(connection.pull)
      far.push(frames.concat([question, bye, malformed]))
      yield* Fiber.join(pulling)
      assert.deepStrictEqual(far.log, [])
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
      assert.deepStrictEqual(far.log, [echo, "end"])
    })
  )

  it.effect("is read though the inbox is full, and resumes what was paused", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { inboxBytes: 100 })
      const pulling = yield* start(connection.pull)
      far.push(question)
      yield* Fiber.join(pulling)
      far.push(frames.concat([toward("server", frames.frame(2, frames.counting(200))), bye]))
      assert.notInclude(far.log, "end")
      assert.isFalse(far.paused)
      assert.strictEqual((yield* connection.pull).length, 1)
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
    })
  )
})
