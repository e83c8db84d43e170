/** Any history of a network: nothing is lost, nothing is repeated, and nothing is left behind. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import type { Event } from "@millrace/core/codec/EventStream"
import * as EventSource from "@millrace/core/connection/EventSource"
import { counted, start, turn, world } from "../../support/connection.ts"
import { url } from "../../support/eventSource.ts"
import { type Asked, TestFetch } from "../../support/TestFetch.ts"
import { cut, utf8 } from "../../support/wire.ts"

const count = 12

/** The events behind the last one that the client has seen, as the server prints them. */
const since = (asked: Asked) => {
  const last = Number(asked.header("Last-Event-ID") ?? "0")
  const events = Array.from({ length: count - last }, (_, i) => last + i + 1)
  return utf8(events.map((n) => `id: ${n}\nevent: n${n % 3}\ndata: ${n}\ndata: é🌊\n\n`).join(""))
}

/** What becomes of one connection. */
const fate = fc.oneof(
  fc.constant({ _tag: "Refused" as const }),
  fc.constant({ _tag: "Unreachable" as const }),
  fc.constant({ _tag: "Mute" as const }),
  fc.record({
    _tag: fc.constant("Cut" as const),
    /** How much of the stream comes. */
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    pieces: fc.array(fc.nat(), { maxLength: 5 }),
    end: fc.constantFrom("end", "fail", "silence")
  })
)

type Fate = typeof fate extends fc.Arbitrary<infer A> ? A : never

const suffer = (asked: Asked, fate: Fate | undefined) => {
  if (fate === undefined) {
    const bytes = since(asked)
    if (bytes.length === 0) asked.respond({ status: 204 })
    else asked.respond().send(bytes).end()
  } else if (fate._tag === "Refused") asked.respond({ status: 503 }).end()
  else if (fate._tag === "Unreachable") asked.fail()
  else if (fate._tag === "Cut") {
    const bytes = since(asked)
    asked.respond().send(...cut(bytes.subarray(0, Math.floor(bytes.length * fate.share)), fate.pieces))
    if (fate.end === "end") asked.end()
    if (fate.end === "fail") asked.fail()
  }
}

const source = (fates: ReadonlyArray<Fate>) => {
  const network = new TestFetch()
  let next = 0
  network.answer = (asked) => suffer(asked, fates[next++])
  const events = EventSource.stream(url, {
    fetch: network.fetch,
    reconnect: Schedule.spaced("1 second"),
    heartbeat: "10 seconds",
    openTimeout: "10 seconds"
  })
  return { network, events }
}

it("gives every event, in order and once, however often and wherever it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fate, { maxLength: 8 }), (fates) =>
      world(
        Effect.gen(function* () {
          const { events, network } = source(fates)
          const seen: Array<Event> = []
          const reading = yield* start(Stream.runForEach(events, (event) => Effect.sync(() => seen.push(event))))
          for (let i = 0; i < 30; i++) yield* TestClock.adjust("10 seconds")
          yield* Fiber.join(reading)
          const wanted = Array.from({ length: count }, (_, i) => i + 1)
          expect(seen).toEqual(wanted.map((n) => ({ event: `n${n % 3}`, data: `${n}\né🌊`, id: `${n}` })))
          expect(network.open).toBe(0)
        })
      )
    ),
    { numRuns: 100 }
  )
})

it("leaves no fiber, no sleep and no exchange behind, whenever it is interrupted", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fate, { maxLength: 8 }), fc.nat(60_000), (fates, when) =>
      world(
        counted((running) =>
          Effect.gen(function* () {
            const before = { ...running }
            const { events, network } = source(fates)
            const reading = yield* start(Stream.runDrain(events))
            yield* TestClock.adjust(when)
            yield* Fiber.interrupt(reading)
            yield* turn
            expect([running, network.open]).toEqual([before, 0])
          })
        )
      )
    ),
    { numRuns: 100 }
  )
})
