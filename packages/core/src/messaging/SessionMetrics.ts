/**
 * What sessions do, in numbers: Effect's metrics, under `millrace_`, for the sessions that are begun with `layer`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as SessionMeter from "./SessionMeter.ts"

/** Sessions that are open now. */
export const open = Metric.gauge("millrace_sessions_open", { description: "Sessions that are open" })
/** Sessions that have ended, by `cause`: the tag of the reason, or `Closed`. */
export const ended = Metric.counter("millrace_sessions_ended", {
  description: "Sessions that have ended",
  incremental: true
})
export const received = Metric.counter("millrace_messages_received", { description: "Messages", incremental: true })
export const receivedBytes = Metric.counter("millrace_bytes_received", { description: "Bytes", incremental: true })
export const sent = Metric.counter("millrace_messages_sent", { description: "Messages", incremental: true })
export const sentBytes = Metric.counter("millrace_bytes_sent", {
  description: "Bytes or UTF-16 units",
  incremental: true
})
/** From the question to its answer, for who asks. */
export const latency = Metric.histogram("millrace_request_seconds", {
  description: "Time from a request to its answer, in seconds",
  boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
})

/** A handful of numbers, at tens of nanoseconds each. */
class Counting implements SessionMeter.SessionMeter {
  private readonly context: Context.Context<never>

  constructor(context: Context.Context<never>) {
    this.context = context
  }

  heard(bytes: number): void {
    received.updateUnsafe(1, this.context)
    receivedBytes.updateUnsafe(bytes, this.context)
  }

  said(bytes: number): void {
    sent.updateUnsafe(1, this.context)
    sentBytes.updateUnsafe(bytes, this.context)
  }

  /** How long a question took, however it ended. */
  timed<A, E>(ask: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const clock = Context.get(this.context, Clock.Clock)
    const began = clock.currentTimeMillisUnsafe()
    return Effect.onExit(ask, () =>
      Effect.sync(() => latency.updateUnsafe((clock.currentTimeMillisUnsafe() - began) / 1_000, this.context))
    )
  }

  opened(): void {
    open.modifyUnsafe(1, this.context)
  }

  ended(cause: string): Effect.Effect<void> {
    return Effect.sync(() => {
      open.modifyUnsafe(-1, this.context)
      // In the services of the session, which who closes it need not have.
      Metric.withAttributes(ended, { cause }).updateUnsafe(1, this.context)
    })
  }
}

/** Has sessions counted: provide it to the program that accepts or makes them. */
export const layer: Layer.Layer<never> = Layer.succeed(SessionMeter.Source, (context) => new Counting(context))
