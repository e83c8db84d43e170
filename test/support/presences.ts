/** Presence on several nodes of one bus, each with a scope of its own. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Presence from "@millrace/core/cluster/Presence"
import * as Bus from "./nodes.ts"

/** Nodes that know each other. Of `count` only the first `started` are there; `add` starts another one. */
export const cluster = (count: number, options?: Presence.Options, started = count) =>
  Effect.gen(function* () {
    const bus = yield* Bus.make(count)
    const add = (index: number) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const broker = bus.brokers[index]!
        const nodes = yield* Nodes.make(broker, { name: `n${index}` }).pipe(Scope.provide(scope))
        const presence = yield* Presence.make(broker, nodes, options).pipe(Scope.provide(scope))
        return { nodes, presence, stop: Scope.close(scope, Exit.void) }
      })
    const all = yield* Effect.forEach(Array.from({ length: started }).keys(), add)
    yield* TestClock.adjust("300 millis")
    return { bus, all, add }
  })
