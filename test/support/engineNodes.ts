/** Nodes that serve Engine.IO at one path, behind a balancer that knows nothing of sessions. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Questions from "@millrace/core/cluster/Questions"
import { type Options, serve, type Server } from "./engineioServer.ts"
import { eventually } from "./eventually.ts"
import * as RoundRobin from "./roundRobin.ts"

/** Brokers of as many nodes that share one log, in memory. */
export const sharing = (count: number): Effect.Effect<ReadonlyArray<Broker["Service"]>> =>
  Effect.map(MemoryBroker.make(), (memory) =>
    Array.from({ length: count }, (_, i) => ({ ...memory, isLocal: false, node: `node-${i}` }))
  )

export interface EngineNode extends Server {
  readonly nodes: Nodes.Nodes["Service"]
  readonly cluster: NonNullable<Options["cluster"]>
}

export interface EngineNodes {
  readonly servers: ReadonlyArray<EngineNode>
  readonly balancer: RoundRobin.Balancer
}

/** A node of a cluster that is quick to know the others. */
export const clusterOf = (broker: Broker["Service"], name: string) =>
  Effect.gen(function* () {
    const nodes = yield* Nodes.make(broker, { name, interval: "50 millis" })
    return { nodes, questions: yield* Questions.make(broker, nodes) }
  })

export const make = (
  brokers: ReadonlyArray<Broker["Service"]>,
  options: Options
): Effect.Effect<EngineNodes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const servers = yield* Effect.forEach(brokers, (broker, index) =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf(broker, `n${index}`)
        const server = yield* Effect.acquireRelease(
          Effect.promise(() => serve({ ...options, cluster })),
          ({ close }) => Effect.promise(close)
        )
        return { ...server, cluster, nodes: cluster.nodes }
      })
    ).pipe(Effect.orDie)
    yield* eventually(() => servers.every(({ nodes }) => nodes.list().length === brokers.length))
    return { servers, balancer: yield* RoundRobin.make(servers.map(({ url }) => url)) }
  })
