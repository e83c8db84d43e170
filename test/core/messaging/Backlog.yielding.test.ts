/** A fiber yields now and then, also between looking and waiting: what comes in between is to wake it all the same. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import { start } from "../../support/connection.ts"
import { Chat, meet, silent } from "../../support/session.ts"

const names = Array.from({ length: 20 }, (_, n) => String(n))

describe("sessions whose fibers yield at any operation", () => {
  // With fewer, Effect itself does not come to an end.
  for (let ops = 3; ops <= 40; ops++) {
    it.live(`lose nothing and stop nowhere, every ${ops}`, () =>
      Effect.gen(function* () {
        const limits = { maxPending: 2, maxUnread: 2, credit: 2 }
        const { client, server } = yield* meet(Chat, { client: { limits }, server: { limits } })
        yield* start(
          server.handle({
            ...silent,
            say: (text) => Effect.andThen(Effect.yieldNow, server.emit("said", text)),
            rename: (name) => Effect.as(Effect.yieldNow, name),
            count: (most) => Stream.range(1, most)
          })
        )
        const said = yield* start(Stream.runCollect(Stream.take(client.events("said"), 20)))
        const counted = yield* start(Stream.runCollect(client.stream("count", 50)))
        const asked = yield* start(
          Effect.forEach(names, (name) => client.request("rename", name), {
            concurrency: 10
          })
        )
        for (let n = 0; n < 20; n++) yield* client.emit("say", String(n))
        assert.deepStrictEqual(yield* Fiber.join(said), names)
        assert.deepStrictEqual(yield* Fiber.join(asked), names)
        assert.lengthOf(yield* Fiber.join(counted), 50)
      }).pipe(Effect.scoped, Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
    )
  }
})
