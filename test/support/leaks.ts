/** What a test leaves behind: fibers of Effect, and timers and sockets of Node.js. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { eventually } from "./eventually.ts"

/** How many there are now. */
export interface Alive {
  fibers: number
}

/** Runs an effect in whose world every fiber is counted. */
export const countingFibers = <A, E, R>(effect: (alive: Alive) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const alive: Alive = { fibers: 0 }
    return Effect.provideService(effect(alive), Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => void alive.fibers++,
      recordFiberEnd: () => void alive.fibers--
    })
  })

/** The timers and sockets that keep the process alive, by kind. */
export const resources = (): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) {
    if (/Wrap$|^Timeout$/.test(kind)) counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}

/**
 * Waits until there are no timers and as many of everything else as there were, and says what there is when that does
 * not come true. What timers there were does not count: at the start of a test Vitest has one of its own for a moment.
 */
export const backTo = (before: Readonly<Record<string, number>>, timeout = 10_000): Effect.Effect<void> => {
  // For a while: a timer that is set again and again is away for a moment.
  let turns = 0
  const sameAs = () => {
    const now = resources()
    turns = Object.entries(now).every(([kind, count]) => kind !== "Timeout" && count <= (before[kind] ?? 0))
      ? turns + 1
      : 0
    return turns > 50
  }
  return Effect.onError(eventually(sameAs, timeout), () =>
    Effect.sync(() => {
      throw new Error(`left behind: ${JSON.stringify({ before, now: resources() })}`)
    })
  )
}
