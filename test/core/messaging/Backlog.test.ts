/** What waits for the program, and who is held up by it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Backlog, Shelf } from "@millrace/core/messaging/Backlog"
import { start } from "../../support/connection.ts"

describe("a backlog", () => {
  it.effect("holds the reader up until every place has room", () =>
    Effect.gen(function* () {
      const backlog = new Backlog()
      backlog.filled()
      backlog.filled()
      assert.isTrue(backlog.isFull)
      const reader = yield* start(backlog.room)
      backlog.emptied()
      assert.isUndefined(reader.pollUnsafe())
      backlog.emptied()
      assert.isDefined(reader.pollUnsafe())
      assert.isFalse(backlog.isFull)
      yield* backlog.room
    })
  )

  it.effect("knows nothing of a reader that was interrupted", () =>
    Effect.gen(function* () {
      const backlog = new Backlog()
      backlog.filled()
      yield* Effect.flatMap(start(backlog.room), Fiber.interrupt)
      const next = yield* start(backlog.room)
      backlog.emptied()
      assert.isDefined(next.pollUnsafe())
    })
  )
})

describe("a shelf", () => {
  it.effect("is full at its bound, and has room when all is taken", () =>
    Effect.gen(function* () {
      const backlog = new Backlog()
      const shelf = new Shelf<number>(backlog, { count: 2, bytes: 100 })
      shelf.put(1, 1)
      assert.isFalse(backlog.isFull)
      shelf.put(2, 1)
      shelf.put(3, 1)
      assert.isTrue(backlog.isFull)
      assert.deepStrictEqual(shelf.takeAll(), [1, 2, 3])
      assert.isFalse(backlog.isFull)
      assert.deepStrictEqual(shelf.takeAll(), [])
      assert.isFalse(backlog.isFull)
      assert.strictEqual(shelf.length, 0)
      yield* Effect.void
    })
  )

  it.effect("is full when it holds as many bytes as it may, however few things they are", () =>
    Effect.sync(() => {
      const backlog = new Backlog()
      const shelf = new Shelf<number>(backlog, { count: 100, bytes: 10 })
      shelf.put(1, 9)
      assert.isFalse(backlog.isFull)
      shelf.put(2, 1)
      assert.isTrue(backlog.isFull)
      shelf.takeAll()
      shelf.put(3, 9)
      assert.isFalse(backlog.isFull)
    })
  )

  it.effect("wakes who waits for something, once", () =>
    Effect.gen(function* () {
      const shelf = new Shelf<number>(new Backlog(), { count: 2, bytes: 100 })
      const taker = yield* start(shelf.something)
      shelf.put(1, 1)
      assert.isDefined(taker.pollUnsafe())
      yield* Effect.flatMap(start(shelf.something), Fiber.interrupt)
      const next = yield* start(shelf.something)
      shelf.wake()
      assert.isDefined(next.pollUnsafe())
    })
  )
})
