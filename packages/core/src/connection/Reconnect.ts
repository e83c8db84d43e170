/**
 * When to come back: schedules for clients. A server that starts again is not to be met by all its clients at once, so
 * the waits are random.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/** The bounds of random waits. */
export interface Bounds {
  /** The longest first wait; it doubles with each wait. Default 0.5 s. */
  readonly base?: Duration.Input | undefined
  /** The longest wait of all. Default 20 s. */
  readonly cap?: Duration.Input | undefined
}

export const defaults = { base: "500 millis", cap: "20 seconds" } as const satisfies Required<Bounds>

// Both by their steps: from what else `Schedule` has, a page would have half a kilobyte more to load.

/** What is done when somebody else has to decide: nothing, so that the end of a connection is the end. */
export const never: Schedule.Schedule<number> = Schedule.fromStep(Effect.succeed(() => Cause.done(0)))

/**
 * Waits of any length from nothing to a bound, all as likely, where the bound starts with `base` and doubles up to
 * `cap`: "full jitter". It never ends, and gives how often it has waited before.
 */
export const fullJitter = (bounds: Bounds = {}): Schedule.Schedule<number> => {
  const base = Duration.toMillis(bounds.base ?? defaults.base)
  const cap = Duration.toMillis(bounds.cap ?? defaults.cap)
  return Schedule.fromStep(
    Effect.sync(() => {
      let waits = 0
      return () =>
        Effect.map(Random.next, (random): [number, Duration.Duration] => {
          const wait = Duration.millis(random * Math.min(cap, base * 2 ** waits))
          return [waits++, wait]
        })
    })
  )
}
