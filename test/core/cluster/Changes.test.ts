/** What changes, for somebody who may be slow. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Changes from "@millrace/core/cluster/Changes"

/** Numbers by the name in front of them; their sum is a sum, and 0 is nothing. */
const source = (first: ReadonlyArray<readonly [string, number]> = []) => {
  const told = new Set<(changes: ReadonlyArray<readonly [string, number]>) => void>()
  const ends = new Set<() => void>()
  return {
    told,
    tell: (...changes: ReadonlyArray<readonly [string, number]>) => {
      for (const tell of told) tell(changes)
    },
    end: () => {
      for (const end of ends) end()
    },
    stream: Changes.stream<string, readonly [string, number]>({
      keyOf: ([name]) => name,
      sum: ([name, one], [, other]) => (one + other === 0 ? undefined : [name, one + other]),
      open: (tell, end) => {
        told.add(tell)
        ends.add(end)
        return first
      },
      close: (tell) => told.delete(tell)
    })
  }
}

describe("a stream of changes", () => {
  it.effect("gives what there is, then each change by itself to who keeps up, and ends behind the last", () =>
    Effect.gen(function* () {
      const { end, stream, tell } = source([["a", 1]])
      const got: Array<ReadonlyArray<unknown>> = []
      const running = yield* Effect.forkChild(
        Stream.runForEachArray(stream, (changes) => Effect.sync(() => got.push(changes))),
        { startImmediately: true }
      )
      yield* TestClock.adjust(0)
      tell(["a", 1])
      yield* TestClock.adjust(0)
      tell(["b", 2], ["a", 3])
      end()
      yield* Fiber.join(running)
      assert.deepStrictEqual(got, [
        [["a", 1]],
        [["a", 1]],
        [
          ["b", 2],
          ["a", 3]
        ]
      ])
    })
  )

  it.effect("has the sum of each key wait, where the last of them was, and nothing for what comes to nothing", () =>
    Effect.gen(function* () {
      const { end, stream, tell } = source([["a", 1]])
      const got: Array<ReadonlyArray<unknown>> = []
      const running = yield* Effect.forkChild(
        Stream.runForEachArray(stream, (changes) =>
          Effect.sync(() => {
            got.push(changes)
            if (got.length > 1) return
            tell(["a", 1], ["b", 2], ["c", 3])
            tell(["a", 2], ["b", -2])
            tell(["d", 1])
            end()
          })
        ),
        { startImmediately: true }
      )
      yield* Fiber.join(running)
      assert.deepStrictEqual(got, [
        [["a", 1]],
        [
          ["c", 3],
          ["a", 3],
          ["d", 1]
        ]
      ])
    })
  )

  it.effect("is told nothing any more when nobody reads it, and tells each who does", () =>
    Effect.gen(function* () {
      const { stream, tell, told } = source()
      const reading = yield* Effect.forEach([1, 2], () =>
        Effect.forkChild(Stream.runCollect(Stream.take(stream, 1)), { startImmediately: true })
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(told.size, 2)
      yield* Fiber.interrupt(reading[0]!)
      assert.strictEqual(told.size, 1)
      tell(["a", 1])
      assert.deepStrictEqual(yield* Fiber.join(reading[1]!), [["a", 1]])
      assert.strictEqual(told.size, 0)
    })
  )
})
