/** What rounds on a noisy machine come down to. */
import type { Contender } from "./contenders.ts"
import type { Samples } from "./measure.ts"

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export const spread = (values: ReadonlyArray<number>): Spread => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const at = (index: number) => sorted[index] ?? Number.NaN
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    least: at(0),
    most: at(sorted.length - 1)
  }
}

/** The ratio of each round, whose two samples were taken one after the other; never a ratio of medians. */
export const ratio = (samples: Samples, ours: Contender, other: Contender): Spread | undefined => {
  const [mine, theirs] = [samples.get(ours), samples.get(other)]
  if (mine === undefined || theirs === undefined || ours === other) return undefined
  return spread(mine.map((value, round) => value / (theirs[round] ?? Number.NaN)))
}
