/** Clients that join topics, each topic one of them, in which nothing happens. A run is that they join. */
import * as Connection from "./Connection.ts"
import * as hub from "./hubClient.ts"
import type { Load } from "./Load.ts"

export interface Options {
  readonly connections: number
  /** Of each connection. */
  readonly topics: number
  /** What the names of all of them begin with: others have others. */
  readonly prefix: string
}

export const open = async (port: number, { connections, prefix, topics }: Options): Promise<Load> => {
  let lost: string | undefined
  const handlers: Connection.Handlers = {
    message: () => (lost = "a message came where there was to be none"),
    lost: (why) => (lost = why)
  }
  const all = await Connection.many(connections, () => hub.open(port, handlers))
  return {
    run: async () => {
      let next = 0
      await Promise.all(
        all.map(async (connection) => {
          for (let topic = 0; topic < topics; topic++) await hub.subscribe(connection, `${prefix}:${next++}`)
        })
      )
      if (lost !== undefined) throw new Error(lost)
      return { count: connections * topics, bytes: 0 }
    },
    end: () => {
      for (const { end } of all) end()
    }
  }
}
