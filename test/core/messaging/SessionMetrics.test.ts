/** What sessions tell of themselves in numbers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as SessionMetrics from "@millrace/core/messaging/SessionMetrics"
import { start } from "../../support/connection.ts"
import { Chat, meet, reasonOf, silent, turn } from "../../support/session.ts"

/** Two ends that are counted, on their own. */
const counting = <A, E>(effect: (scope: Scope.Closeable) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    return yield* effect(scope)
  }).pipe(Effect.provide(SessionMetrics.layer), Effect.provideService(Metric.MetricRegistry, new Map()))

const counts = Effect.gen(function* () {
  const [open, received, sent] = [
    yield* Metric.value(SessionMetrics.open),
    yield* Metric.value(SessionMetrics.received),
    yield* Metric.value(SessionMetrics.sent)
  ]
  return { open: open.value, received: received.count, sent: sent.count }
})

const endedBy = (cause: string) =>
  Effect.map(Metric.value(Metric.withAttributes(SessionMetrics.ended, { cause })), ({ count }) => count)

describe("the metrics of sessions", () => {
  it.effect("count those that are open, messages and bytes, and how they ended", () =>
    counting((scope) =>
      Effect.gen(function* () {
        const { client, server } = yield* Scope.provide(meet(Chat), scope)
        assert.deepStrictEqual(yield* counts, { open: 2, received: 0, sent: 0 })
        yield* client.emit("say", "hello")
        yield* server.emit("said", "é")
        yield* turn
        assert.deepStrictEqual(yield* counts, { open: 2, received: 2, sent: 2 })
        const [hello, said] = ['["emit","say","hello"]', '["emit","said","é"]']
        assert.strictEqual((yield* Metric.value(SessionMetrics.sentBytes)).count, hello.length + said.length)
        assert.strictEqual((yield* Metric.value(SessionMetrics.receivedBytes)).count, hello.length + said.length + 1)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* counts).open, 0)
        assert.strictEqual(yield* endedBy("Closed"), 2)
      })
    )
  )

  it.effect("tell ends that were no ordinary ones apart, in the services of the session", () =>
    Effect.gen(function* () {
      const registry: typeof Metric.MetricRegistry.Service = new Map()
      const outer = yield* Scope.make()
      const { client } = yield* Scope.provide(meet(Chat), outer).pipe(
        Effect.provide(SessionMetrics.layer),
        Effect.provideService(Metric.MetricRegistry, registry)
      )
      yield* client.close(4_000)
      // By somebody who has another registry.
      yield* Scope.close(outer, Exit.void)
      const count = yield* Effect.provideService(endedBy("ConnectionLost"), Metric.MetricRegistry, registry)
      assert.strictEqual(count, 2)
    })
  )

  it.effect("tell how long each question took, however it ended", () =>
    counting((scope) =>
      Effect.gen(function* () {
        const { client, server } = yield* Scope.provide(meet(Chat), scope)
        yield* start(server.handle({ ...silent, rename: (name) => Effect.as(Effect.sleep("60 millis"), name) }))
        const asked = yield* start(client.request("rename", "ada"))
        const timed = yield* start(reasonOf(client.request("ping", undefined, { timeout: "2 seconds" })))
        yield* turn
        yield* TestClock.adjust("60 millis")
        yield* Fiber.join(asked)
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(timed)
        const { count, max, min } = yield* Metric.value(SessionMetrics.latency)
        assert.deepStrictEqual([count, min, max], [2, 0.06, 2])
        yield* Scope.close(scope, Exit.void)
      })
    )
  )
})
