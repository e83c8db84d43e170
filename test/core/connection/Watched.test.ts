import { describe, expect, it } from "@effect/vitest"
import { behind, Watched } from "@millrace/core/connection/Watched"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"

const counting = () => new Watched<number>(0, (value) => value < 0)

const watching = (watched: Watched<number>) =>
  Effect.forkChild(Stream.runCollect(watched.changes), { startImmediately: true })

describe("Watched", () => {
  it.effect("gives the value as it is, and each one after it, up to the last", () =>
    Effect.gen(function* () {
      const watched = counting()
      watched.set(1)
      const fiber = yield* watching(watched)
      watched.set(2)
      yield* Effect.yieldNow
      watched.set(3)
      watched.set(-1)
      expect(yield* Fiber.join(fiber)).toEqual([1, 2, 3, -1])
      expect(watched.value).toBe(-1)
    })
  )

  it.effect("ends at once for who comes behind the last", () =>
    Effect.gen(function* () {
      const watched = counting()
      watched.set(-1)
      expect(yield* Stream.runCollect(watched.changes)).toEqual([-1])
    })
  )

  it.effect("is seen to its end also by a fiber that yields between looking and waiting", () =>
    Effect.gen(function* () {
      for (let operations = 3; operations < 9; operations++) {
        for (let turns = 0; turns < 40; turns++) {
          const watched = counting()
          const fiber = yield* watching(watched).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations))
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
          watched.set(-1)
          expect((yield* Fiber.join(fiber)).at(-1)).toBe(-1)
        }
      }
    })
  )

  it.effect("drops the oldest for who does not look, and no other", () =>
    Effect.gen(function* () {
      const watched = counting()
      const pull = yield* Stream.toPull(watched.changes)
      expect(yield* pull).toEqual([0])
      const other = yield* watching(watched)
      for (let value = 1; value <= behind + 3; value++) {
        watched.set(value)
        yield* Effect.yieldNow
      }
      expect(yield* pull).toEqual(Array.from({ length: behind }, (_, index) => index + 4))
      watched.set(-1)
      expect(yield* Fiber.join(other)).toHaveLength(behind + 5)
    })
  )

  it.effect("forgets who has stopped watching", () =>
    Effect.gen(function* () {
      const watched = counting()
      yield* Fiber.interrupt(yield* watching(watched))
      expect(yield* Stream.runCollect(Stream.take(watched.changes, 1))).toEqual([0])
      expect((watched as unknown as { readonly watchers: ReadonlySet<unknown> }).watchers.size).toBe(0)
    })
  )
})
