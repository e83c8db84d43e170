/** The waits that Reconnect makes, as a distribution: one clock, many clients. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Reconnect from "@millrace/core/connection/Reconnect"

/** The first waits of a client, in milliseconds. */
const waits = (schedule: Schedule.Schedule<number>, count: number) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const delays: Array<number> = []
    for (let i = 0; i < count; i++) {
      const [output, delay] = yield* step(0, undefined)
      assert.strictEqual(output, i)
      delays.push(Duration.toMillis(delay))
    }
    return delays
  })

describe("fullJitter", () => {
  it.effect("waits for anything from nothing to a bound that doubles, up to the cap, and never ends", () =>
    Effect.gen(function* () {
      const schedule = Reconnect.fullJitter({ base: "1 second", cap: "1 minute" })
      const bounds = [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1_000)
      const clients = yield* Effect.all(Array.from({ length: 500 }, () => waits(schedule, bounds.length)))
      bounds.forEach((bound, i) => {
        const nth = clients.map((delays) => delays[i]! / bound).sort((a, b) => a - b)
        assert.isBelow(nth.at(-1)!, 1)
        // All as likely: quarters of the clients come in quarters of the time, or nearly.
        for (const quarter of [0.25, 0.5, 0.75]) assert.approximately(nth[500 * quarter]!, quarter, 0.1)
      })
      assert.isAtMost(Math.max(...(yield* waits(schedule, 5_000))), 60_000)
    }).pipe(Random.withSeed("clients"))
  )

  it.effect("has 0.5 s and 20 s for its bounds when nobody has said otherwise", () =>
    Effect.gen(function* () {
      const clients = yield* Effect.all(Array.from({ length: 200 }, () => waits(Reconnect.fullJitter(), 10)))
      const most = (i: number) => Math.max(...clients.map((delays) => delays[i]!))
      assert.isTrue(most(0) <= 500 && most(0) > 450)
      assert.isTrue(most(9) <= 20_000 && most(9) > 18_000)
    }).pipe(Random.withSeed("clients"))
  )
})

describe("never", () => {
  it.effect("ends before it has waited", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(waits(Reconnect.never, 1))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause))
    })
  )
})
