/** NATS against what every broker promises. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import { brokerKit } from "../../support/brokerKit.ts"
import { describeWith } from "../../support/describeWith.ts"
import { natsServer } from "../../support/natsServer.ts"
import { type PartingProxy, parting } from "../../support/partingProxy.ts"

describeWith("nats-server")("NatsBroker", () => {
  brokerKit(
    "as every broker",
    {
      // NATS knows repeats, and nothing of the lives of who publishes.
      lacks: ["fence"],
      make: Effect.gen(function* () {
        const server = yield* natsServer()
        const proxies = new WeakMap<Broker["Service"], PartingProxy>()
        return {
          connect: Effect.gen(function* () {
            const proxy = yield* parting(server.port)
            const broker = yield* NatsBroker.make({
              url: `nats://127.0.0.1:${proxy.port}`,
              retention: { maxEntries: 1_000 },
              timeout: 2_000,
              callTimeout: 500,
              connectTimeout: 1_000,
              heartbeat: 200,
              publishTimeout: 1_000,
              reconnect: Schedule.spaced(20)
            })
            proxies.set(broker, proxy)
            return broker
          }),
          maxBytes: 1_048_576 - 512,
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
