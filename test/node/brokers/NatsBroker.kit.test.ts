/** NATS against what every broker promises. */
import * as Effect from "effect/Effect"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import { brokerKit } from "../../support/brokerKit.ts"
import { describeWith } from "../../support/describeWith.ts"
import { natsServer } from "../../support/natsServer.ts"
import { impatient, parted } from "../../support/partedBroker.ts"

describeWith("nats-server")("NatsBroker", () => {
  brokerKit(
    "as every broker",
    {
      // NATS knows repeats, and nothing of the lives of who publishes.
      lacks: ["fence"],
      make: Effect.map(natsServer(), (server) =>
        parted(server, 1_048_576 - 512, (port) =>
          NatsBroker.make({ ...impatient, url: `nats://127.0.0.1:${port}`, timeout: 2_000 })
        )
      )
    },
    60_000
  )
})
