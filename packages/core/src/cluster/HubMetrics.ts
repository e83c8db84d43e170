/**
 * What a hub does, in numbers: Effect's metrics, under `millrace_hub_` and `millrace_broker_`. Those that have a `node` are
 * told apart by it.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Hub } from "./Hub.ts"

/** 1 while the broker can be reached, else 0; by `broker` and `node`. */
export const up = Metric.gauge("millrace_broker_up", { description: "Whether the broker can be reached" })
/** How often the broker was lost. */
export const lost = Metric.counter("millrace_broker_lost", {
  description: "Times that the broker was lost",
  incremental: true
})
export const topics = Metric.gauge("millrace_hub_topics", { description: "Topics with a member" })
export const publications = Metric.gauge("millrace_hub_publications", {
  description: "Publications that this node got, since the hub was made"
})
export const deliveries = Metric.gauge("millrace_hub_deliveries", {
  description: "Members that they were written to at once, since the hub was made"
})
/** What the slow-consumer policies have done, since the hub was made. */
export const dropped = Metric.gauge("millrace_hub_dropped", { description: "Messages that a slow member did not get" })
export const coalesced = Metric.gauge("millrace_hub_coalesced", {
  description: "Messages that a slow member got a newer one instead of"
})
export const disconnected = Metric.gauge("millrace_hub_disconnected", {
  description: "Members that were closed as they were too slow"
})
export const suspended = Metric.gauge("millrace_hub_suspended", {
  description: "Publications that had to wait for a slow member"
})

/** How often the numbers are looked at. */
export const defaultInterval: Duration.Input = "1 second"

/** Keeps the numbers of a hub as long as the scope is open. They cost nothing between two looks. */
export const watch = (
  hub: Hub["Service"],
  interval: Duration.Input = defaultInterval
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { broker } = hub
    const ofNode = <I, S>(metric: Metric.Metric<I, S>) => Metric.withAttributes(metric, { node: broker.node })
    const ofBroker = <I, S>(metric: Metric.Metric<I, S>) =>
      Metric.withAttributes(metric, { node: broker.node, broker: broker.name })
    const look = Effect.suspend(() => {
      const counters = hub.counters()
      const traffic = hub.traffic()
      return Effect.all([
        Metric.update(ofNode(topics), hub.topics()),
        Metric.update(ofNode(publications), traffic.publications),
        Metric.update(ofNode(deliveries), traffic.deliveries),
        Metric.update(ofNode(dropped), counters.dropped),
        Metric.update(ofNode(coalesced), counters.coalesced),
        Metric.update(ofNode(disconnected), counters.disconnected),
        Metric.update(ofNode(suspended), counters.suspended)
      ])
    })
    let wasUp = false
    const follow = Stream.runForEach(broker.statuses, ({ _tag }) => {
      const isUp = _tag === "Up"
      const isLost = wasUp && !isUp
      wasUp = isUp
      const told = Metric.update(ofBroker(up), isUp ? 1 : 0)
      return isLost ? Effect.andThen(told, Metric.update(ofBroker(lost), 1)) : told
    })
    yield* Effect.forkScoped(follow)
    yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced(interval)))
  })

/** The same, as a part of a program. */
export const layer = (interval?: Duration.Input): Layer.Layer<never, never, Hub> =>
  Layer.effectDiscard(Effect.flatMap(Effect.service(Hub), (hub) => watch(hub, interval)))
