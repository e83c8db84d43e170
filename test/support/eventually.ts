/** Waits for what has no event of its own. */
import * as Effect from "effect/Effect"

const turn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/** Looks once in each turn of the event loop, until it holds; dies after `timeout` milliseconds. */
export const eventually = (holds: () => boolean, timeout = 15_000): Effect.Effect<void> =>
  Effect.suspend(() => {
    const deadline = performance.now() + timeout
    const look: Effect.Effect<void> = Effect.suspend(() => {
      if (holds()) return Effect.void
      if (performance.now() > deadline) return Effect.die(new Error(`never: ${holds}`))
      return Effect.andThen(turn, look)
    })
    return look
  })

/** As long as it takes for everything that is under way on loopback to arrive: a few turns of the event loop. */
export const settled: Effect.Effect<void> = Effect.repeat(turn, { times: 20 })
