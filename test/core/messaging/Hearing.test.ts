/** Messages on their way to who listens for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { Backlog } from "@millrace/core/messaging/Backlog"
import { Hearing } from "@millrace/core/messaging/Hearing"
import * as SessionEnd from "@millrace/core/messaging/SessionEnd"
import { Disconnected } from "@millrace/core/messaging/SessionError"
import { counted, start } from "../../support/connection.ts"
import { reasonOf } from "../../support/session.ts"

const hearingOf = (count = 10, bytes = 1_000) => {
  const backlog = new Backlog()
  const hearing = new Hearing(backlog, { count, bytes })
  let order = 0
  const put = (name: string, value: unknown, handled = false) => hearing.put(name, value, handled, ++order)
  const note = (name: string) => {
    const heard: Array<unknown> = []
    const listening = Stream.runForEach(hearing.stream(name), (value) => Effect.sync(() => void heard.push(value)))
    return Effect.map(start(Effect.exit(listening)), (fiber) => ({ heard, fiber }))
  }
  return { backlog, hearing, put, note }
}

describe("a message", () => {
  it.effect("is heard by each who listens for its name, in order", () =>
    Effect.gen(function* () {
      const { note, put } = hearingOf()
      const [one, two, other] = [yield* note("said"), yield* note("said"), yield* note("left")]
      assert.isTrue(put("said", 1))
      assert.isTrue(put("said", 2))
      assert.deepStrictEqual([one.heard, two.heard, other.heard], [[1, 2], [1, 2], []])
    })
  )

  it.effect("that came before anybody has listened is heard by the first who does, and by no other", () =>
    Effect.gen(function* () {
      const { note, put } = hearingOf()
      put("said", 1)
      put("left", 2)
      put("said", 3)
      const [one, two] = [yield* note("said"), yield* note("said")]
      assert.deepStrictEqual([one.heard, two.heard], [[1, 3], []])
    })
  )

  it.effect("is dropped, and that is told, when nobody listens any more, or too much is early", () =>
    Effect.gen(function* () {
      const { note, put } = hearingOf(2)
      const listener = yield* note("said")
      yield* Fiber.interrupt(listener.fiber)
      assert.isFalse(put("said", 1))
      assert.isTrue(put("left", 1))
      assert.isTrue(put("gone", 2))
      assert.isFalse(put("left", 3))
      assert.isFalse(put("left", 4, true))
      const late = yield* note("left")
      assert.deepStrictEqual(late.heard, [1])
      // Which makes room.
      assert.isTrue(put("elsewhere", 5))
    })
  )

  it.effect("is heard once by who leaves for it and comes back in the same call", () =>
    Effect.gen(function* () {
      const { hearing, put } = hearingOf()
      const heard: Array<unknown> = []
      const one = Stream.runForEach(Stream.take(hearing.stream("said"), 1), (value) =>
        Effect.sync(() => void heard.push(value))
      )
      yield* start(Effect.forever(one, { disableYield: true }))
      put("said", 1)
      put("said", 2)
      assert.deepStrictEqual(heard, [1, 2])
    })
  )

  it.effect("that one listener makes another leave at is not kept for it", () =>
    Effect.gen(function* () {
      const { backlog, hearing, put } = hearingOf(1)
      let leaving: Fiber.Fiber<unknown, unknown> | undefined
      const first = Stream.runForEach(hearing.stream("said"), () => Effect.suspend(() => Fiber.interrupt(leaving!)))
      yield* start(Effect.exit(first))
      leaving = yield* start(Effect.exit(Stream.runDrain(hearing.stream("said"))))
      put("said", 1)
      assert.isFalse(backlog.isFull)
    })
  )
})

describe("a listener", () => {
  it.effect("that is slow holds the reader up at its bound, until it takes or leaves", () =>
    counted((running) =>
      Effect.gen(function* () {
        const { backlog, hearing, note, put } = hearingOf(2)
        const before = { ...running }
        let go: (() => void) | undefined
        const slow = Stream.runForEach(hearing.stream("said"), () =>
          Effect.callback<void>((resume) => {
            go = () => resume(Effect.void)
          })
        )
        const listening = yield* start(Effect.exit(slow))
        const quick = yield* note("said")
        for (const i of [1, 2, 3]) put("said", i)
        assert.isTrue(backlog.isFull)
        assert.deepStrictEqual(quick.heard, [1, 2, 3])
        go?.()
        assert.isFalse(backlog.isFull)
        for (const i of [4, 5]) put("said", i)
        assert.isTrue(backlog.isFull)
        yield* Fiber.interrupt(listening)
        assert.isFalse(backlog.isFull)
        yield* Fiber.interrupt(quick.fiber)
        assert.deepStrictEqual(running, before)
      })
    )
  )

  it.effect("hears what has come before the end, and then the end, an ordinary one or not", () =>
    Effect.gen(function* () {
      const ends = [SessionEnd.ordinary, SessionEnd.failed(new Disconnected({ cause: undefined }))]
      const told: Array<unknown> = []
      for (const end of ends) {
        const { hearing, put } = hearingOf()
        const waiting = yield* start(reasonOf(Stream.runCollect(hearing.stream("left"))))
        put("said", 1)
        hearing.ended(end)
        const heard: Array<unknown> = []
        const late = Stream.runForEach(hearing.stream("said"), (value) => Effect.sync(() => void heard.push(value)))
        told.push(yield* Fiber.join(waiting), yield* reasonOf(late), heard)
      }
      assert.deepStrictEqual(told, ["succeeded", "succeeded", [1], "Disconnected", "Disconnected", [1]])
    })
  )
})
