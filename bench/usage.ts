/**
 * Preloaded (`--import`) into every server that is measured, so that the programs themselves know nothing of being
 * measured: tells its CPU time and its memory when asked, and lets itself be profiled.
 */
import { setImmediate, setTimeout } from "node:timers/promises"
import { answer } from "./answers.ts"
import { cpu } from "./cpu.ts"
import * as profiler from "./profiler.ts"

/** Bytes. `heap` is what the process holds in V8's heap and in the buffers that hang on it. */
export interface Memory {
  readonly rss: number
  readonly heap: number
}

const memory = async (): Promise<Memory> => {
  if (globalThis.gc === undefined) throw new Error("memory is measured under --expose-gc only")
  await setTimeout(300) // what closed or opened last is over with it
  // More than once, with turns of the loop between: what a finalizer or a closed handle lets go is free only then.
  for (let turn = 0; turn < 4; turn++) {
    globalThis.gc({ type: "major", execution: "sync", flavor: "last-resort" })
    await setImmediate()
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

if (process.send !== undefined) answer({ cpu, memory, ...profiler })
