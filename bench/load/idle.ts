/** Event streams in which nothing happens. */
import * as Connection from "./Connection.ts"
import * as EventStream from "./EventStream.ts"
import type { Load } from "./Load.ts"

export interface Options {
  readonly connections: number
}

/** Opens the event streams: each has its head and its first chunk. */
export const open = async (port: number, { connections }: Options): Promise<Load> => {
  let lost: string | undefined
  const handlers: Connection.Handlers = {
    message: () => (lost = "an event came where there was to be none"),
    lost: (why) => (lost = why)
  }
  const all = await Connection.many(connections, () => EventStream.open(port, "/events?topic=all", handlers))
  if (lost !== undefined) throw new Error(lost)
  return {
    run: () => Promise.reject(new Error("there is nothing to run")),
    end: () => {
      for (const { end } of all) end()
    }
  }
}
