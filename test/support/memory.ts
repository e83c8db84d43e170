/** How much memory another process has taken at most, as Linux tells. */
import { readFileSync, writeFileSync } from "node:fs"

/** Elsewhere there is nothing that tells, and what would be measured is not run. */
export const isMeasured = process.platform === "linux"

/** From here on it is counted. */
export const resetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5")

/** The most bytes that were resident since `resetPeak`. */
export const peak = (pid: number): number => {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return Number(kibibytes) * 1_024
}
