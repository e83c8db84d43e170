/**
 * One timer for the deadlines of many: heartbeats, closing handshakes, handlers that outlive their connection.
 *
 * Ten thousand idle connections cost one sleeping fiber, and none of them a timer of its own. Deadlines are kept to
 * the next tick: never early, and late by less than two.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Something that has at most one deadline at a time. */
export interface Timed {
  /** The deadline has come. Whoever wants another says so here. */
  readonly expired: () => void
  /** Kept by the wheel. */
  slot: Set<Timed> | undefined
}

/** Deadlines in slots, a tick apart. It stands still unless somebody runs `run`: see `make`. */
export class TimerWheel {
  private readonly resolution: number
  private readonly slots = new Map<number, Set<Timed>>()
  private tick = 0
  private size = 0
  /** Within a tick, and when the wheel stood still, a deadline starts on the tick; otherwise between two. */
  private between = false
  private start: (() => void) | undefined

  /** @param resolution milliseconds between two ticks */
  constructor(resolution: number) {
    this.resolution = resolution
  }

  /** Sets the deadline of `timed`, in milliseconds from now, in place of the one it had. */
  schedule(timed: Timed, delay: number): void {
    this.cancel(timed)
    const at = this.tick + Math.max(1, Math.ceil(delay / this.resolution)) + (this.between ? 1 : 0)
    let slot = this.slots.get(at)
    if (slot === undefined) this.slots.set(at, (slot = new Set()))
    slot.add(timed)
    timed.slot = slot
    this.size++
    this.start?.()
  }

  cancel(timed: Timed): void {
    if (timed.slot?.delete(timed) === true) this.size--
    timed.slot = undefined
  }

  /** Moves on by a tick. What one deadline throws is logged, and keeps the others from nothing. */
  private advance(): Effect.Effect<void> {
    this.tick++
    const due = this.slots.get(this.tick)
    if (due === undefined) return Effect.void
    this.slots.delete(this.tick)
    this.between = false
    const defects: Array<unknown> = []
    for (const timed of due) {
      this.cancel(timed)
      try {
        timed.expired()
      } catch (defect) {
        defects.push(defect)
      }
    }
    if (defects.length === 0) return Effect.void
    return Effect.forEach(defects, (defect) => Effect.logError("a deadline failed", defect), { discard: true })
  }

  /** Ticks while there is a deadline, and sleeps without a timer while there is none. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    this.between = this.size > 0
    if (this.size > 0) {
      return Effect.andThen(
        Effect.sleep(Duration.millis(this.resolution)),
        Effect.suspend(() => this.advance())
      )
    }
    return Effect.callback<void>((resume) => {
      this.start = () => {
        this.start = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.start = undefined
      })
    })
  }).pipe(Effect.forever({ disableYield: true }))
}

/** A wheel that turns as long as the scope is open. `shortest` is the shortest deadline that will be asked of it. */
export const make = (shortest: Duration.Input): Effect.Effect<TimerWheel, never, Scope.Scope> =>
  Effect.suspend(() => {
    const resolution = Math.min(1_000, Math.max(1, Math.floor(Duration.toMillis(shortest) / 8)))
    const wheel = new TimerWheel(resolution)
    return Effect.as(Effect.forkScoped(wheel.run, { startImmediately: true }), wheel)
  })
