/** The process of the load generators: opens load against a port, runs it, ends it, as it is asked. */
import { answer } from "../answers.ts"
import * as broadcast from "./broadcast.ts"
import * as echo from "./echo.ts"
import type { Load } from "./Load.ts"

export type Scenario =
  | { readonly kind: "echo"; readonly options: echo.Options }
  | { readonly kind: "broadcast"; readonly options: broadcast.Options }

export interface Open {
  readonly port: number
  readonly scenario: Scenario
}

export interface Run {
  readonly port: number
  readonly seconds: number
}

const loads = new Map<number, Load>()

const loadOf = (port: number): Load => {
  const load = loads.get(port)
  if (load === undefined) throw new Error(`nothing is open to port ${port}`)
  return load
}

answer({
  open: async ({ port, scenario }: Open) => {
    const load =
      scenario.kind === "echo" ? await echo.open(port, scenario.options) : await broadcast.open(port, scenario.options)
    loads.set(port, load)
  },
  run: ({ port, seconds }: Run) => loadOf(port).run(seconds),
  end: (port: number) => {
    loadOf(port).end()
    loads.delete(port)
  }
})
// The channel keeps this process: between two questions there may be no connection that does.
process.channel?.ref()
