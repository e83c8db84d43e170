/**
 * The trace context that goes with what is said: W3C Trace Context section 3.2, `traceparent`. Spans are made where
 * somebody traces, and nothing is spent where nobody does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** Effect's own tracer keeps its spans to itself. */
const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

/** The `traceparent` of a span. */
const print = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`

/** Version ff is none: section 3.2.2.1. */
const format = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

/** The span that a peer has named; `undefined` for what names none. */
const parse = (trace: string | undefined): Tracer.ExternalSpan | undefined => {
  const [, traceId, spanId, flags] = (trace === undefined ? undefined : format.exec(trace)) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}

/** The name of the span that a session is, at each of its ends. */
export const sessionName = "millrace.session"

/** Runs a session, in a span that lasts as long as it does. */
export const session = <A, E>(
  attributes: { readonly contract: string; readonly session: string },
  kind: "client" | "server",
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.contextWith((context: Context.Context<never>) =>
    isTraced(context) ? Effect.withSpan(effect, sessionName, { kind, attributes }) : effect
  )

/** Does something that the peer asked for, in a span below the peer's. */
export const received = <A, E>(
  name: string,
  trace: string | undefined,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.contextWith((context: Context.Context<never>) =>
    isTraced(context) ? Effect.withSpan(effect, name, { kind: "server", parent: parse(trace) }) : effect
  )

/** Asks something, in a span of its own, whose `traceparent` goes with it. */
export const asked = <A, E>(
  name: string,
  ask: (trace: string | undefined) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.contextWith((context: Context.Context<never>) => {
    if (isTraced(context)) return Effect.useSpan(name, { kind: "client" }, (span) => ask(print(span)))
    return ask(current(context))
  })

/** The `traceparent` of who runs this, if there is one. */
export const current = (context: Context.Context<never>): string | undefined => {
  const parent = Context.getOption(context, Tracer.ParentSpan)
  return Option.isSome(parent) ? print(parent.value) : undefined
}
