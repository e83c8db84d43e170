/** Profiles the process that it runs in, between two questions: its start and its warming up are left out. */
import { writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"
import { writeHeapSnapshot } from "node:v8"

let session: Session | undefined

/** CPU samples from now on, every 200 microseconds. */
export const startProfile = async (): Promise<void> => {
  session = new Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 200 })
  await session.post("Profiler.start")
}

/** Writes them as a `.cpuprofile`. */
export const stopProfile = async (file: string): Promise<void> => {
  if (session === undefined) return
  const { profile } = await session.post("Profiler.stop")
  session.disconnect()
  session = undefined
  writeFileSync(file, JSON.stringify(profile))
}

/** Writes everything on the heap as a `.heapsnapshot`. */
export const heapSnapshot = (file: string): void => {
  writeHeapSnapshot(file)
}
