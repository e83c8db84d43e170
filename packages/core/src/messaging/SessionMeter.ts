/**
 * Who counts what a session does: nobody, unless somebody is provided. `SessionMetrics.layer` counts in Effect's
 * metrics.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Told of what happens in one session, as it happens. */
export interface SessionMeter {
  readonly opened: () => void
  /** A message came, of so many bytes. */
  readonly heard: (length: number) => void
  /** A message was sent, of so many bytes or, before it is encoded, UTF-16 units. */
  readonly said: (length: number) => void
  /** Runs a question, and sees how long that takes. */
  readonly timed: <A, E>(ask: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** It is over: `Closed`, or the tag of the reason. */
  readonly ended: (cause: string) => Effect.Effect<void>
}

const nobody: SessionMeter = {
  opened: () => undefined,
  heard: () => undefined,
  said: () => undefined,
  timed: (ask) => ask,
  ended: () => Effect.void
}

/** Makes the meter of a session, given the services that it runs with. */
export const Source: Context.Reference<(context: Context.Context<never>) => SessionMeter> = Context.Reference<
  (context: Context.Context<never>) => SessionMeter
>("@millrace/core/messaging/SessionMeter", { defaultValue: () => () => nobody })
