/** The process of the load generators: opens load against a port, runs it, ends it, as it is asked. */
import { answer } from "../answers.ts"
import * as broadcast from "./broadcast.ts"
import * as calls from "./calls.ts"
import * as echo from "./echo.ts"
import * as elements from "./elements.ts"
import * as idle from "./idle.ts"
import type { Load } from "./Load.ts"
import * as rate from "./rate.ts"
import * as recovery from "./recovery.ts"
import * as topics from "./topics.ts"

export type Scenario =
  | { readonly kind: "echo"; readonly options: echo.Options }
  | { readonly kind: "broadcast"; readonly options: broadcast.Options }
  | { readonly kind: "calls"; readonly options: calls.Options }
  | { readonly kind: "elements"; readonly options: elements.Options }
  | { readonly kind: "rate"; readonly options: rate.Options }
  | { readonly kind: "topics"; readonly options: topics.Options }
  | { readonly kind: "recovery"; readonly options: recovery.Options }
  /** Idle event streams of a hub, or of a program. */
  | { readonly kind: "hub" | "respond"; readonly options: idle.Options }

export interface Open {
  readonly port: number
  /** What the server is to agree to: `Connection.open`. */
  readonly extensions: string
  readonly scenario: Scenario
}

export interface Run {
  readonly port: number
  readonly seconds: number
}

const opened = (port: number, extensions: string, scenario: Scenario): Promise<Load> => {
  switch (scenario.kind) {
    case "echo":
      return echo.open(port, extensions, scenario.options)
    case "broadcast":
      return broadcast.open(port, extensions, scenario.options)
    case "calls":
      return calls.open(port, scenario.options)
    case "elements":
      return elements.open(port, scenario.options)
    case "rate":
      return rate.open(port, scenario.options)
    case "topics":
      return topics.open(port, scenario.options)
    case "recovery":
      return recovery.open(scenario.options)
    default:
      return idle.open(port, scenario.options)
  }
}

/** By port; the last one that was opened is the one that runs. */
const loads = new Map<number, ReadonlyArray<Load>>()

answer({
  open: async ({ extensions, port, scenario }: Open) => {
    const load = await opened(port, extensions, scenario)
    loads.set(port, [load, ...(loads.get(port) ?? [])])
  },
  run: ({ port, seconds }: Run) => {
    const load = loads.get(port)?.[0]
    if (load === undefined) throw new Error(`nothing is open to port ${port}`)
    return load.run(seconds)
  },
  end: (port: number) => {
    for (const load of loads.get(port) ?? []) load.end()
    loads.delete(port)
  }
})
// The channel keeps this process: between two questions there may be no connection that does.
process.channel?.ref()
