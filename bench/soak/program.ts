/** A node of a soak: the hub as a server, on a broker. A program, started by `Nodes.ts`, that ends with who started it. */
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as HubServer from "@millrace/node/HubServer"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import * as Effect from "effect/Effect"
import type { Where } from "./Surroundings.ts"

const broker = (where: Where) => {
  switch (where.broker) {
    case "memory":
      return MemoryBroker.make()
    case "workers":
      return WorkersBroker.make({ directory: where.at })
    case "redis":
      return RedisBroker.make({ url: where.at })
    case "nats":
      return NatsBroker.make({ url: where.at })
  }
}

const main = Effect.gen(function* () {
  const where = JSON.parse(process.argv[2] ?? "") as Where
  const { port } = yield* HubServer.serve({ port: 0, broker: yield* broker(where) })
  process.send?.({ port })
  return yield* Effect.never
})

process.on("disconnect", () => process.exit())
await Effect.runPromise(Effect.scoped(main))
