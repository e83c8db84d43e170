/** What the kit of brokers does to a real server and the ways to it: each node comes by a proxy of its own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Schedule from "effect/Schedule"
import type { Broker } from "@millrace/core/cluster/Broker"
import { type PartingProxy, parting } from "./partingProxy.ts"
import type { RealServer } from "./realServer.ts"

/** What is kept of a topic, for the kit to find out. */
export const maxEntries = 1_000

/** A broker that notices soon that its server is gone, and comes back at once. */
export const impatient = {
  retention: { maxEntries },
  callTimeout: 500,
  connectTimeout: 1_000,
  heartbeat: 200,
  publishTimeout: 1_000,
  reconnect: Schedule.spaced(20)
}

/** Nodes on that server, made with the port of their proxy; the longest publication that they take. */
export const parted = <E, R>(
  server: RealServer,
  maxBytes: number,
  make: (port: number) => Effect.Effect<Broker["Service"], E, R>
) => {
  const proxies = new WeakMap<Broker["Service"], PartingProxy>()
  return {
    connect: Effect.gen(function* () {
      const proxy = yield* parting(server.port)
      const broker = yield* make(proxy.port)
      proxies.set(broker, proxy)
      return broker
    }) as Effect.Effect<Broker["Service"], E, R | Scope.Scope>,
    maxBytes,
    maxEntries,
    faults: {
      cut: (node: Broker["Service"]) => proxies.get(node)!.cut,
      restart: server.restartEmpty,
      pause: Effect.asVoid(Effect.acquireRelease(server.pause, () => server.resume)),
      partition: (node: Broker["Service"]) => proxies.get(node)!.part
    }
  }
}
