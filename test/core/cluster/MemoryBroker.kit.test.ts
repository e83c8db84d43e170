/** The broker of one process is what all others are compared with. */
import * as Effect from "effect/Effect"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import { brokerKit } from "../../support/brokerKit.ts"

brokerKit("the broker of one process", {
  clock: "test",
  lacks: ["cut", "restart", "pause", "partition", "maxBytes"],
  make: Effect.map(MemoryBroker.make({ maxEntries: 100 }), (broker) => ({
    connect: Effect.succeed(broker),
    maxEntries: 100
  }))
})
