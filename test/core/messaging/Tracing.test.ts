/** Spans of both ends of a session. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Tracing from "@millrace/core/messaging/Tracing"
import { start } from "../../support/connection.ts"
import { Chat, meet, serverOf, silent, turn } from "../../support/session.ts"

/** A tracer of the test's own, and the spans that it has made, but for those that sessions are. */
const tracing = <A, E, R>(
  effect: (spans: ReadonlyArray<Tracer.Span>, sessions: ReadonlyArray<Tracer.Span>) => Effect.Effect<A, E, R>
) =>
  Effect.suspend(() => {
    const spans: Array<Tracer.Span> = []
    const sessions: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span(options) {
        const span = new Tracer.NativeSpan(options)
        if (span.name === Tracing.sessionName) sessions.push(span)
        else spans.push(span)
        return span
      }
    })
    return Effect.provideService(effect(spans, sessions), Tracer.Tracer, tracer)
  })

const handlers = { ...silent, rename: Effect.succeed, count: (n: number) => Stream.range(1, n) }

const parentOf = ({ parent }: Tracer.Span) => Option.getOrUndefined(parent)?.spanId

describe("the spans of a session", () => {
  it.effect("are one at each end that lasts as long as it does", () =>
    tracing((_, sessions) =>
      Effect.gen(function* () {
        const { client } = yield* meet(Chat)
        assert.deepStrictEqual(sessions.map(({ kind }) => kind).toSorted(), ["client", "server"])
        for (const { attributes, status } of sessions) {
          assert.deepStrictEqual(Object.fromEntries(attributes), { contract: "chat", session: client.id })
          assert.strictEqual(status._tag, "Started")
        }
        yield* client.close()
        yield* turn
        assert.deepStrictEqual(
          sessions.map(({ status }) => status._tag),
          ["Ended", "Ended"]
        )
      })
    )
  )

  it.effect("are one trace: who asks, and below it who answers", () =>
    tracing((spans) =>
      Effect.gen(function* () {
        const { client, server } = yield* meet(Chat)
        yield* start(server.handle(handlers))
        yield* Effect.withSpan(client.request("rename", "ada"), "outer")
        const [outer, asked, answered] = spans
        assert.deepStrictEqual(
          spans.map(({ kind, name }) => [name, kind]),
          [
            ["outer", "internal"],
            ["rename", "client"],
            ["rename", "server"]
          ]
        )
        assert.strictEqual(parentOf(asked!), outer!.spanId)
        assert.strictEqual(parentOf(answered!), asked!.spanId)
        assert.lengthOf(new Set(spans.map(({ traceId }) => traceId)), 1)
        assert.isTrue(spans.every(({ status }) => status._tag === "Ended"))
      })
    )
  )

  it.effect("are one trace also of a stream, below who reads it", () =>
    tracing((spans) =>
      Effect.gen(function* () {
        const { client, server } = yield* meet(Chat)
        yield* start(server.handle(handlers))
        yield* Effect.withSpan(Stream.runDrain(client.stream("count", 3)), "outer")
        yield* turn
        assert.deepStrictEqual(
          spans.map(({ name }) => name),
          ["outer", "count"]
        )
        assert.strictEqual(parentOf(spans[1]!), spans[0]!.spanId)
      })
    )
  )

  it.effect("are one trace also of a message, below who says it", () =>
    tracing((spans) =>
      Effect.gen(function* () {
        const { client, server } = yield* meet(Chat)
        yield* start(server.handle({ ...handlers, say: () => Effect.void }))
        yield* Effect.withSpan(client.emit("say", "x"), "outer")
        yield* turn
        assert.deepStrictEqual(
          spans.map(({ name }) => name),
          ["outer", "say"]
        )
        assert.strictEqual(parentOf(spans[1]!), spans[0]!.spanId)
      })
    )
  )

  it.effect("say of the one who asks where nobody traces", () =>
    Effect.gen(function* () {
      const { client, server } = yield* meet(Chat)
      const traces: Array<string | undefined> = []
      const rename = (name: string) =>
        Effect.contextWith((context: Parameters<typeof Tracing.current>[0]) => {
          traces.push(Tracing.current(context))
          return Effect.succeed(name)
        })
      yield* start(server.handle({ ...handlers, rename }))
      yield* Effect.withSpan(client.request("rename", "ada"), "outer")
      assert.deepStrictEqual(traces, [undefined])
    })
  )

  const known = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }

  it.effect.each([
    ["of the specification", `00-${known.traceId}-${known.spanId}-01`, known.spanId],
    ["of a version to come, with more behind it", `cc-${known.traceId}-${known.spanId}-01-what-else`, known.spanId],
    ["of the version that is none", `ff-${known.traceId}-${known.spanId}-01`, undefined],
    ["of no trace", `00-${"0".repeat(32)}-${known.spanId}-01`, undefined],
    ["of no span", `00-${known.traceId}-${"0".repeat(16)}-01`, undefined],
    ["in capitals", `00-${known.traceId.toUpperCase()}-${known.spanId}-01`, undefined],
    ["of anything", "anything", undefined],
    ["of nothing", undefined, undefined]
  ] as const)("have the peer's for a parent by a traceparent %s, or none", ([, trace, parent]) =>
    tracing((spans) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        yield* start(session.handle(handlers))
        yield* peer.say(["ask", 1, "rename", "ada", { trace }])
        yield* turn
        assert.deepStrictEqual(peer.heard, [["ok", 1, "ada"]])
        assert.strictEqual(parentOf(spans.at(-1)!), parent)
      })
    )
  )
})
