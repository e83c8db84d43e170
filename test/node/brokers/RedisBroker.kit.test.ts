/** Redis against what every broker promises. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import { brokerKit } from "../../support/brokerKit.ts"
import { describeWith } from "../../support/describeWith.ts"
import { type PartingProxy, parting } from "../../support/partingProxy.ts"
import { redisServer } from "../../support/redisServer.ts"

describeWith("redis-server")("RedisBroker", () => {
  brokerKit(
    "as every broker",
    {
      make: Effect.gen(function* () {
        const server = yield* redisServer()
        const proxies = new WeakMap<Broker["Service"], PartingProxy>()
        return {
          connect: Effect.gen(function* () {
            const proxy = yield* parting(server.port)
            const broker = yield* RedisBroker.make({
              url: `redis://127.0.0.1:${proxy.port}`,
              retention: { maxEntries: 1_000 },
              maxBytes: 1_048_576,
              callTimeout: 500,
              connectTimeout: 1_000,
              heartbeat: 200,
              publishTimeout: 1_000,
              reconnect: Schedule.spaced(20)
            })
            proxies.set(broker, proxy)
            return broker
          }),
          maxBytes: 1_048_576,
          maxEntries: 1_000,
          faults: {
            cut: (node) => proxies.get(node)!.cut,
            restart: server.restartEmpty,
            pause: Effect.asVoid(Effect.acquireRelease(server.pause, () => server.resume)),
            partition: (node) => proxies.get(node)!.part
          }
        }
      })
    },
    60_000
  )
})
