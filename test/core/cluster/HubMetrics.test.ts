/** What a hub does, in numbers. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Status } from "@millrace/core/cluster/Broker"
import { BrokerError, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMetrics from "@millrace/core/cluster/HubMetrics"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"

const down = (attempts: number): Status => ({
  _tag: "Down",
  since: 0,
  error: new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "gone" }) }),
  attempts
})

const value = <I, S>(metric: Metric.Metric<I, S>, attributes: Readonly<Record<string, string>> = { node: "one" }) =>
  Metric.value(Metric.withAttributes(metric, attributes))

const member = (written: "Written" | "Full") => ({
  tryWriteUnsafe: () => written,
  close: () => Effect.void
})

it.effect("tells how the broker is, how often it was lost, and what went through the hub", () =>
  Effect.gen(function* () {
    const memory = yield* MemoryBroker.make()
    const statuses = yield* PubSub.unbounded<Status>()
    const broker = { ...memory, name: "test", node: "one", statuses: Stream.fromPubSub(statuses) }
    const hub = yield* Hub.on(broker, { slowConsumer: { _tag: "DropNewest" } })
    yield* HubMetrics.watch(hub)
    yield* TestClock.adjust("1 second")
    const ofBroker = { node: "one", broker: "test" }
    const told = (status: Status) => Effect.andThen(PubSub.publish(statuses, status), TestClock.adjust(1))

    yield* told({ _tag: "Up", since: 0 })
    assert.deepInclude(yield* value(HubMetrics.up, ofBroker), { value: 1 })
    for (const attempts of [1, 2, 3]) yield* told(down(attempts))
    assert.deepInclude(yield* value(HubMetrics.up, ofBroker), { value: 0 })
    yield* told({ _tag: "Up", since: 0 })
    yield* told(down(1))
    assert.deepInclude(yield* value(HubMetrics.lost, ofBroker), { count: 2 })

    for (const written of ["Written", "Written", "Full"] as const) hub.joinUnsafe("t", member(written))
    for (const text of ["a", "b"]) yield* hub.publish("t", text)
    yield* TestClock.adjust("1 second")
    const values = []
    for (const metric of [HubMetrics.topics, HubMetrics.publications, HubMetrics.deliveries, HubMetrics.dropped]) {
      values.push((yield* value(metric)).value)
    }
    assert.deepStrictEqual(values, [1, 2, 4, 2])
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)

it.effect("leaves off with its scope", () =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    yield* Effect.scoped(HubMetrics.watch(hub))
    hub.joinUnsafe("t", { tryWriteUnsafe: () => "Written", close: () => Effect.void })
    yield* TestClock.adjust("1 minute")
    const metric = Metric.withAttributes(HubMetrics.topics, { node: hub.broker.node })
    assert.deepInclude(yield* Metric.value(metric), { value: 0 })
  })
)
