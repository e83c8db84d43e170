/**
 * One timer for what has to be done at one time or another: whoever needs to be woken says when, and all of it is looked
 * at when the first of it is due. Between that, one fiber sleeps, without a timer when there is nothing to do.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Made by `make`. */
export interface Alarm {
  /** In milliseconds since some time or other; a clock that is set wrong or right does not move it. */
  readonly now: () => number
  /** Rings then, unless it rings before; at once when that is past. */
  readonly at: (time: number) => void
}

/**
 * Rings as long as the scope is open, one ring after the other. Who wants to be woken again says so while it rings. A
 * defect is logged, and does not stop it.
 */
export const make = (
  clock: Clock.Clock,
  ring: (alarm: Alarm) => Effect.Effect<void>
): Effect.Effect<Alarm, never, Scope.Scope> =>
  Effect.suspend(() => {
    let due = Number.POSITIVE_INFINITY
    let wake: (() => void) | undefined
    const alarm: Alarm = {
      now: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
      at: (time) => {
        if (time >= due) return
        due = time
        wake?.()
      }
    }
    const wait = (known: number) =>
      Effect.callback<void>((resume) => {
        // The fiber may have yielded since it was looked, and nobody was there to be woken.
        if (due !== known) return resume(Effect.void)
        wake = () => {
          wake = undefined
          resume(Effect.void)
        }
        return Effect.sync(() => {
          wake = undefined
        })
      })
    const turn = Effect.suspend(() => {
      if (due === Number.POSITIVE_INFINITY) return wait(due)
      const left = Math.ceil(due - alarm.now())
      if (left > 0) return Effect.raceFirst(Effect.sleep(left), wait(due))
      due = Number.POSITIVE_INFINITY
      return Effect.ignoreCause(
        Effect.suspend(() => ring(alarm)),
        { log: "Error", message: "what was due failed" }
      )
    })
    return Effect.as(Effect.forkScoped(Effect.forever(turn, { disableYield: true }), { startImmediately: true }), alarm)
  })
