/** What clients of the hub say in tests. */
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import type { Heard } from "./hubSession.ts"

/** A publication to the topic `t`. */
export const publish = (data: number) => ({ type: "publish", topic: "t", data })

/** One that is answered by the name of its topic. */
export const to = (topic: string) => ({ type: "publish", topic, data: 1, id: topic })

/** A hub whose positions begin with `e:`. */
export const known = (history?: MemoryBroker.Options) => Hub.make({ history: { epoch: "e", ...history } })

export const pick =
  (...names: ReadonlyArray<string>) =>
  (heard: Heard) =>
    names.map((name) => heard[name])
