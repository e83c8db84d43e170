/**
 * The time since 1970 that does not go back where somebody sets the clock back, or what was said would seem younger than
 * it is; nor does it stand still while a machine sleeps and its ticks do.
 */
import type * as Clock from "effect/Clock"

/** By so many milliseconds the clock and its ticks may differ, as where a clock is put right little by little. */
const tolerance = 1_000

export class SteadyClock {
  private readonly clock: Clock.Clock
  /** When they were compared last, and what the time was. */
  private at: { readonly time: number; readonly wall: number; readonly ticks: number }

  constructor(clock: Clock.Clock) {
    this.clock = clock
    const wall = clock.currentTimeMillisUnsafe()
    this.at = { time: wall, wall, ticks: this.ticks }
  }

  /** In milliseconds. Less than what it was before by the tolerance at most. */
  get now(): number {
    const { at, ticks } = this
    const wall = this.clock.currentTimeMillisUnsafe()
    const [byWall, byTicks] = [wall - at.wall, ticks - at.ticks]
    if (Math.abs(byWall - byTicks) <= tolerance) return at.time + byWall
    this.at = { time: at.time + Math.max(byWall, byTicks), wall, ticks }
    return this.at.time
  }

  private get ticks(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }
}
