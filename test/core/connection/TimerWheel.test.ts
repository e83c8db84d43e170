/** One wheel for many deadlines: never early, late by less than two ticks, and asleep without a timer when it has none. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as TimerWheel from "@millrace/core/connection/TimerWheel"
import { counted, world } from "../../support/connection.ts"

/** Ticks of 100 ms. */
const shortest = "800 millis"

class Alarm implements TimerWheel.Timed {
  slot: Set<TimerWheel.Timed> | undefined
  count = 0
  private readonly onExpired: ((alarm: Alarm) => void) | undefined

  constructor(onExpired?: (alarm: Alarm) => void) {
    this.onExpired = onExpired
  }

  expired(): void {
    this.count++
    this.onExpired?.(this)
  }
}

/** When it goes off, on the clock of the test. */
const recording = Effect.map(Clock.Clock, (clock) => {
  const at: Array<number> = []
  return { at, make: () => new Alarm(() => at.push(clock.currentTimeMillisUnsafe())) }
})

/** Sets deadlines as time goes by, and fails when one is kept early or two ticks late. */
const keep = (steps: ReadonlyArray<{ readonly wait: number; readonly delay: number }>) =>
  Effect.gen(function* () {
    const wheel = yield* TimerWheel.make(shortest)
    const clock = yield* Clock.Clock
    const kept: Array<{ readonly set: number; readonly delay: number; at: number }> = []
    for (const { wait, delay } of steps) {
      yield* TestClock.adjust(Duration.millis(wait))
      const entry = { delay, set: clock.currentTimeMillisUnsafe(), at: -1 }
      kept.push(entry)
      wheel.schedule(new Alarm(() => (entry.at = clock.currentTimeMillisUnsafe())), delay)
    }
    yield* TestClock.adjust("10 seconds")
    for (const { delay, set, at } of kept) {
      assert.isAtLeast(at, set + delay)
      // No deadline is nearer than the next tick.
      assert.isBelow(at, set + Math.max(delay, 1) + 200)
    }
  })

describe("a deadline", () => {
  it.effect("is kept on the tick when the wheel stood still", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const { at, make } = yield* recording
      wheel.schedule(make(), 800)
      yield* TestClock.adjust("799 millis")
      assert.deepStrictEqual(at, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(at, [800])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(at, [800])
    })
  )

  it("is never early and late by less than two ticks, whenever it is set", () => {
    const step = fc.record({ wait: fc.nat({ max: 450 }), delay: fc.integer({ min: -5, max: 3000 }) })
    return fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => await world(keep(steps))))
  })

  it.effect("that fails is logged, and keeps no other from being kept", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message }) => void logged.push(message))
      const wheel = yield* TimerWheel.make(shortest).pipe(Effect.provide(Logger.layer([logger])))
      const { at, make } = yield* recording
      wheel.schedule(
        new Alarm(() => {
          throw new Error("broken")
        }),
        800
      )
      wheel.schedule(make(), 800)
      wheel.schedule(make(), 1600)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(at, [900, 1700])
      assert.deepStrictEqual(logged, [["a deadline failed", new Error("broken")]])
    })
  )

  it.effect("takes the place of the one before it", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const { at, make } = yield* recording
      const alarm = make()
      wheel.schedule(alarm, 300)
      wheel.schedule(alarm, 1000)
      wheel.schedule(alarm, 500)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(at.length, 1)
      assert.isAtLeast(at[0]!, 500)
      assert.isBelow(at[0]!, 700)
    })
  )

  it.effect("does not come when it is cancelled, not even by another of the same tick", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const second = new Alarm()
      const first = new Alarm(() => wheel.cancel(second))
      const third = new Alarm()
      wheel.schedule(first, 300)
      wheel.schedule(second, 300)
      wheel.schedule(third, 300)
      wheel.cancel(third)
      wheel.cancel(third)
      wheel.cancel(new Alarm())
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([first.count, second.count, third.count], [1, 0, 0])
    })
  )

  it.effect("can be set again from within the last one, and is kept on the tick", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const clock = yield* Clock.Clock
      const at: Array<number> = []
      const alarm = new Alarm((self) => {
        at.push(clock.currentTimeMillisUnsafe())
        if (at.length < 4) wheel.schedule(self, 250)
      })
      wheel.schedule(alarm, 250)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(at, [300, 600, 900, 1200])
    })
  )

  it.effect("comes one tick late at most, when it is set in the middle of one", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const { at, make } = yield* recording
      wheel.schedule(new Alarm(), 10_000)
      yield* TestClock.adjust("150 millis")
      wheel.schedule(make(), 100)
      wheel.schedule(make(), 101)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(at, [300, 400])
    })
  )
})

describe("the tick", () => {
  it.effect.each([
    ["8 seconds", 1000],
    ["1 hour", 1000],
    [Duration.infinity, 1000],
    ["800 millis", 100],
    ["807 millis", 100],
    ["8 millis", 1],
    ["1 millis", 1],
    [0, 1]
  ] as ReadonlyArray<readonly [Duration.Input, number]>)(
    "for %s is %i ms: an eighth, at least 1 ms, at most 1 s",
    ([input, tick]) =>
      Effect.gen(function* () {
        const wheel = yield* TimerWheel.make(input)
        const { at, make } = yield* recording
        wheel.schedule(make(), 1)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(at, [tick])
      })
  )
})

describe("at rest", () => {
  it.effect("has one fiber, and no timer while there is no deadline", () =>
    counted((running) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const before = { ...running }
        const wheel = yield* TimerWheel.make(shortest).pipe(Scope.provide(scope))
        const rest = { fibers: before.fibers + 1, sleeps: before.sleeps }
        assert.deepStrictEqual(running, rest)

        const alarms = Array.from({ length: 1000 }, () => new Alarm())
        for (const alarm of alarms) wheel.schedule(alarm, 500)
        assert.deepStrictEqual(running, { ...rest, sleeps: rest.sleeps + 1 })
        yield* TestClock.adjust("1 second")
        assert.isTrue(alarms.every(({ count }) => count === 1))
        assert.deepStrictEqual(running, rest)

        for (const alarm of alarms) wheel.schedule(alarm, 500)
        for (const alarm of alarms) wheel.cancel(alarm)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(running, rest)

        wheel.schedule(alarms[0]!, 500)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(alarms[0]!.count, 2)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(running, before)
      })
    )
  )

  it.effect("is gone with its scope, also in the middle of a tick", () =>
    counted((running) =>
      Effect.gen(function* () {
        const before = { ...running }
        const scope = yield* Scope.make()
        const wheel = yield* TimerWheel.make(shortest).pipe(Scope.provide(scope))
        const alarm = new Alarm()
        wheel.schedule(alarm, 300)
        yield* TestClock.adjust("150 millis")
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(running, before)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(alarm.count, 0)
      })
    )
  )

  it.effect("keeps nothing of the deadlines that were cancelled or have come", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.make(shortest)
      const alarms = Array.from({ length: 100 }, () => new Alarm())
      for (let turn = 0; turn < 50; turn++) {
        alarms.forEach((alarm, i) => wheel.schedule(alarm, 100 + ((turn * 31 + i * 17) % 900)))
        yield* TestClock.adjust("90 millis")
      }
      for (const alarm of alarms) wheel.cancel(alarm)
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(alarms.every(({ slot }) => slot === undefined))
      const slots = Object.values(wheel).find((value) => value instanceof Map) as Map<number, Set<unknown>>
      // Ten ticks ahead is as far as any of them was.
      assert.isAtMost(slots.size, 11)
      assert.isTrue([...slots.values()].every(({ size }) => size === 0))
    })
  )
})
