import { describe, expect, it } from "vitest"
import type * as Clock from "effect/Clock"
import { SteadyClock } from "@millrace/core/cluster/SteadyClock"

/** One whose clock and ticks are in the test's hands, in milliseconds. */
const hands = () => {
  const at = { wall: 1_000_000, ticks: 5 }
  const clock = {
    currentTimeMillisUnsafe: () => at.wall,
    monotonicTimeNanosUnsafe: () => BigInt(at.ticks) * 1_000_000n
  } as Clock.Clock
  return { at, steady: new SteadyClock(clock) }
}

describe("A steady clock", () => {
  it("goes with the clock, and is put right with it little by little", () => {
    const { at, steady } = hands()
    for (let i = 0; i < 1_000; i++) {
      at.wall += 10
      at.ticks += i % 2 === 0 ? 9 : 10
      void steady.now
    }
    expect(steady.now).toBe(1_010_000)
  })

  it("does not go back with it", () => {
    const { at, steady } = hands()
    at.wall -= 3_600_000
    at.ticks += 7_000
    expect(steady.now).toBe(1_007_000)
    at.wall += 2_000
    at.ticks += 2_000
    expect(steady.now).toBe(1_009_000)
  })

  it("does not stand still where the ticks do", () => {
    const { at, steady } = hands()
    at.wall += 60_000
    expect(steady.now).toBe(1_060_000)
    at.wall -= 30_000
    at.ticks += 1_000
    expect(steady.now).toBe(1_061_000)
  })
})
