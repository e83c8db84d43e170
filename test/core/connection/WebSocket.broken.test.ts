/** A transport that throws where it must not: whoever waits is told, by a defect, and nobody else is harmed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { toHex } from "../../support/frames.ts"
import { open, reasonOf, start, turn } from "../../support/connection.ts"

describe("a transport that throws", () => {
  it.effect("reaches who pulls as a defect, ends the transport, and harms no other connection", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const other = yield* open("server")
      const pulling = yield* start(Effect.exit(connection.pull))
      far.broken = new Error("the socket is gone")
      yield* connection.send("a")
      yield* other.connection.send("b")
      yield* turn
      const exit = yield* Fiber.join(pulling)
      assert.isTrue(Exit.hasDies(exit))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(connection.pull)))
      assert.deepStrictEqual(far.log, ["destroy"])
      assert.strictEqual(toHex(other.far.sent), "81 01 62")
      assert.strictEqual((yield* connection.closed)._tag, "Closed")
    })
  )

  it.effect("does so also where it is ended in the same step", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      far.broken = new Error("the socket is gone")
      far.push("81 81 00 00 00 00 61 88 80 00 00 00 00")
      assert.strictEqual((yield* connection.pull).length, 1)
      assert.strictEqual((yield* connection.closed)._tag, "Closed")
      assert.deepStrictEqual(far.log, ["destroy"])
    })
  )

  it.effect("lets those who wait for room go, with NotOpen", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 10 })
      yield* connection.send("more than ten bytes")
      const waiting = yield* start(reasonOf(connection.send("b")))
      far.broken = new Error("the socket is gone")
      yield* turn
      assert.strictEqual(yield* Fiber.join(waiting), "NotOpen")
      yield* connection.close()
    })
  )
})
