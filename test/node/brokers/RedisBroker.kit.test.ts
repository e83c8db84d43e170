/** Redis against what every broker promises. */
import * as Effect from "effect/Effect"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import { brokerKit } from "../../support/brokerKit.ts"
import { describeWith } from "../../support/describeWith.ts"
import { impatient, parted } from "../../support/partedBroker.ts"
import { redisServer } from "../../support/redisServer.ts"

const maxBytes = 1_048_576

describeWith("redis-server")("RedisBroker", () => {
  brokerKit(
    "as every broker",
    {
      make: Effect.map(redisServer(), (server) =>
        parted(server, maxBytes, (port) =>
          RedisBroker.make({ ...impatient, url: `redis://127.0.0.1:${port}`, maxBytes })
        )
      )
    },
    60_000
  )
})
