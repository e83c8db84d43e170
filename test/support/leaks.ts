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

/** Waits until there are as many of everything as there were, and says which are not when that does not come true. */
export const backTo = (before: Readonly<Record<string, number>>, timeout = 10_000): Effect.Effect<void> => {
  const sameAs = () => {
    const now = resources()
    return [...Object.keys(before), ...Object.keys(now)].every((kind) => (now[kind] ?? 0) <= (before[kind] ?? 0))
  }
  return Effect.onError(eventually(sameAs, timeout), () =>
    Effect.sync(() => {
      throw new Error(`left behind: ${JSON.stringify({ before, now: resources() })}`)
    })
  )
}
