/** What arrives while we close and there is no room for it: whoever pulls gets all of it, whoever does not is dropped. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import { open, over, plain, start, toward } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

const text = (value: string) => toward("client", frames.frame(1, utf8(value)))
const bye = toward("client", frames.frame(8, Uint8Array.of(0x03, 0xe8)))

/** Reads one message, closes, and lets in more than there is room for. */
const fill = (far: TestTransport, connection: WebSocket) =>
  Effect.gen(function* () {
    const pulling = yield* start(connection.pull)
    far.push(text("first"))
    yield* Fiber.join(pulling)
    const closing = yield* start(connection.close())
    far.push(frames.concat([text("a".repeat(60)), text("b".repeat(60)), text("c")]))
    return closing
  })

/** A connection that has been read from and is closing, with a full inbox that nobody takes. */
const full = Effect.gen(function* () {
  const { far, connection } = yield* open("client", { inboxBytes: 100, closeTimeout: "10 seconds" })
  return { far, connection, closing: yield* fill(far, connection) }
})

describe("an inbox that is full while we close", () => {
  it.effect("is waited for when somebody has pulled before, and nothing is lost", () =>
    Effect.gen(function* () {
      const { far, connection, closing } = yield* full
      assert.isTrue(far.paused)
      far.push(frames.concat([text("d"), bye]))
      const received = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual(plain(received), ["a".repeat(60), "b".repeat(60), "c", "d"])
      far.hangUp()
      yield* Fiber.join(closing)
    })
  )

  it.effect("is handed over chunk by chunk to whoever reads on, however much it is", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 100 })
      const reading = yield* start(Stream.runCollect(connection.messages))
      yield* start(connection.close())
      const sent = Array.from({ length: 500 }, (_, i) => `message ${i}`)
      for (let i = 0; i < 500; i += 50) far.push(frames.concat(sent.slice(i, i + 50).map(text)))
      far.push(bye)
      far.hangUp()
      assert.deepStrictEqual(plain(yield* Fiber.join(reading)), sent)
    })
  )

  it.effect("is waited for no longer than a second or two; then the rest is dropped and the peer's Close is read", () =>
    Effect.gen(function* () {
      const { far, connection, closing } = yield* full
      far.push(text("dropped"))
      far.push(bye)
      yield* TestClock.adjust("999 millis")
      assert.isTrue(far.paused)
      yield* TestClock.adjust("3 seconds")
      assert.isFalse(far.paused)
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* connection.closed).received, { code: 1000, reason: "" })
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), [
        "a".repeat(60),
        "b".repeat(60),
        "c"
      ])
    })
  )

  it.effect("is not waited for by the end of the scope, which drops what is unread", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const scope = yield* Scope.make()
      const connection = yield* Scope.provide(over(far, "client", { inboxBytes: 100 }), scope)
      yield* fill(far, connection)
      assert.isTrue(far.paused)
      const closing = yield* start(Scope.close(scope, Exit.void))
      assert.isFalse(far.paused)
      far.push(frames.concat(Array.from({ length: 10 }, () => text("x".repeat(60)))))
      assert.isFalse(far.paused)
      far.hangUp()
      yield* Fiber.join(closing)
    })
  )

  it.effect("is waited for as long as somebody takes one message after the other", () =>
    Effect.gen(function* () {
      const { far, connection, closing } = yield* full
      far.push(text("d"))
      for (const first of ["a", "b", "c", "d"]) {
        assert.strictEqual(plain([yield* connection.receive])[0]![0], first)
        yield* TestClock.adjust("1 second")
      }
      far.push(bye)
      far.hangUp()
      yield* Fiber.join(closing)
    })
  )

  it.effect("is waited for anew after somebody has made room", () =>
    Effect.gen(function* () {
      const { far, connection, closing } = yield* full
      assert.strictEqual((yield* connection.pull).length, 3)
      assert.isFalse(far.paused)
      yield* TestClock.adjust("3 seconds")
      far.push(text("late"))
      far.push(bye)
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["late"])
    })
  )
})
