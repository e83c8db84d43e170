/**
 * What every broker must pass, whoever has made it:
 *
 *     brokerKit("a broker of mine", {
 *       make: Effect.gen(function* () {
 *         const server = yield* startServer                      // Scoped: one for each check, or one that is shared.
 *         return {
 *           connect: MyBroker.make({ url: server.url }),         // A further node each time.
 *           maxBytes: 1_048_576,                                 // Of a parcel. Without it nothing is too large.
 *           maxEntries: 100,                                     // Of a topic that are kept.
 *           faults: { restart: server.restart, ... }             // As many as it can.
 *         }
 *       })
 *     })
 *
 * Each check is an effect in `checks`, too, and can be run by `run`: where a broker is wrong, it is to be seen to fail.
 * What a broker has not, `lacks` says; a check that needs something which is neither given nor lacked fails. With
 * `clock: "test"` the clock is that of `TestClock`, driven from here, for brokers without a network; else the real one.
 *
 * It stands on `effect`, `vitest` and `@millrace/core` alone.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { describe, it } from "vitest"
import { faults } from "./brokerKit/faults.ts"
import { histories } from "./brokerKit/histories.ts"
import { type Check, Kit, type Made, type Need, type Spec } from "./brokerKit/Kit.ts"
import { promises } from "./brokerKit/promises.ts"

export type { Check, Faults, Made, Need, Spec } from "./brokerKit/Kit.ts"

/** Everything that a broker is checked for. */
export const checks: ReadonlyArray<Check> = [...promises, ...faults, ...histories]

/** Lets the clock of the test run. */
const driven: Effect.Effect<void> = Effect.forever(
  Effect.andThen(TestClock.adjust("5 millis") as Effect.Effect<void>, Effect.yieldNow)
)

const has = ({ faults, maxBytes, maxEntries }: Made, need: Need): boolean => {
  if (need === "fence") return true
  if (need === "maxBytes") return maxBytes !== undefined
  if (need === "maxEntries") return maxEntries !== undefined
  return faults?.[need] !== undefined
}

/** Runs a check. Fails, or dies, where the broker is wrong. */
export const run = ({ name, needs, run: its }: Check, spec: Spec): Effect.Effect<void, unknown> => {
  const running = Effect.scoped(
    Effect.gen(function* () {
      if (spec.clock === "test") yield* Effect.forkScoped(driven)
      const made = yield* spec.make
      const missing = needs.filter((need) => !has(made, need))
      if (missing.length > 0)
        return yield* Effect.die(new Error(`"${name}" needs ${missing.join(", ")}, or that it is lacked`))
      yield* its(new Kit(made, spec, yield* Clock.Clock))
    })
  )
  return spec.clock === "test" ? Effect.provide(running, TestClock.layer()) : running
}

/** Registers a test for each check. `timeout` is of each, in milliseconds; without one it is that of vitest. */
export const brokerKit = (name: string, spec: Spec, timeout?: number): void => {
  describe(name, () => {
    for (const each of checks) {
      if (each.needs.some((need) => spec.lacks?.includes(need))) continue
      it(each.name, () => Effect.runPromise(run(each, spec)), timeout)
    }
  })
}
