/** `EventSourceProtocol` over any history: what a server and a network can do, in any order, also where it cannot be. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as EventStream from "@millrace/core/codec/EventStream"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Protocol from "@millrace/core/protocol/EventSourceProtocol"
import { interpret, stream } from "../../support/eventStream.ts"
import { prototypeNames } from "../../support/handshake.ts"
import { utf8 } from "../../support/wire.ts"

type Step = (config: Protocol.Config, state: Protocol.State) => Protocol.Transition

const field = fc.constantFrom<HttpHeaders.Headers[number]>(
  ["Content-Type", "text/event-stream"],
  ["Content-Type", "text/event-stream; charset=utf-8"],
  ["Content-Type", "text/html"],
  ["Location", "/elsewhere"],
  ["Retry-After", "5"],
  ["Retry-After", "9".repeat(400)],
  ["Retry-After", "Sun, 06 Nov 2044 08:49:37 GMT"],
  ...prototypeNames.map((name) => [name, name] as const)
)

const status = fc.oneof(
  fc.constantFrom(200, 200, 200, 204, 301, 302, 307, 404, 429, 500, 503),
  fc.integer({ min: 200, max: 599 })
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(status, fc.array(field, { maxLength: 3 }), fc.nat()).map(
      ([status, headers, now]): Step =>
        (config, state) =>
          Protocol.respond(config, state, { status, headers }, now)
    )
  },
  {
    weight: 6,
    arbitrary: stream.map(
      (bytes): Step =>
        (config, state) =>
          Protocol.receive(config, state, EventStream.parse(bytes, { lastEventId: state.lastEventId }))
    )
  },
  { weight: 4, arbitrary: fc.constant<Step>((_, state) => Protocol.ended(state)) },
  { weight: 6, arbitrary: fc.constant<Step>((_, state) => Protocol.elapsed(state)) },
  { weight: 1, arbitrary: fc.constant<Step>((_, state) => Protocol.close(state)) }
)

/** Mostly as it goes: a response, its body, its end, and a wait. */
const history = fc.oneof(
  fc.array(step, { maxLength: 20 }),
  fc
    .array(fc.tuple(fc.constantFrom(200, 200, 302, 503), stream, fc.boolean(), fc.nat({ max: 9 })), { maxLength: 6 })
    .map((rounds) =>
      rounds.flatMap(([status, bytes, lost, patience]): ReadonlyArray<Step> => [
        (config, state) =>
          Protocol.respond(
            config,
            state,
            {
              status,
              headers: [
                ["Content-Type", "text/event-stream"],
                ["Location", "/"]
              ]
            },
            0
          ),
        (config, state) =>
          Protocol.receive(config, state, EventStream.parse(bytes, { lastEventId: state.lastEventId })),
        (_, state) => (lost ? Protocol.ended(state) : [state, []]),
        (_, state) => (patience === 0 ? Protocol.close(state) : Protocol.elapsed(state))
      ])
    )
)

const config: fc.Arbitrary<Protocol.Config> = fc.record({
  reconnectionTime: fc.constantFrom(500, 3000),
  minReconnectionTime: fc.constantFrom(0, 100),
  maxReconnectionTime: fc.constantFrom(3000, 300_000),
  maxRetryAfter: fc.constantFrom(0, 3_600_000),
  maxRedirects: fc.constantFrom(0, 1, 20),
  retryStatuses: fc.constantFrom(Protocol.standardStatuses, Protocol.transientStatuses)
})

const printable = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

describe("EventSourceProtocol", () => {
  it("goes only along the arrows, is final when it is closed, and waits within the bounds", () => {
    const arrows: Record<Protocol.State["_tag"], ReadonlyArray<Protocol.State["_tag"]>> = {
      Connecting: ["Connecting", "Open", "Waiting", "Closed"],
      Open: ["Open", "Waiting", "Closed"],
      Waiting: ["Waiting", "Connecting", "Closed"],
      Closed: ["Closed"]
    }
    const reached = new Set<string>()
    fc.assert(
      fc.property(config, history, (settings, steps) => {
        let [state] = Result.getOrThrow(Protocol.start(settings))
        for (const next of steps) {
          const [after, actions] = next(settings, state)
          expect(arrows[state._tag]).toContain(after._tag)
          reached.add(`${state._tag} ${after._tag}`)
          if (state._tag === "Closed") {
            expect(after).toBe(state)
            expect(actions).toEqual([])
          }
          expect(actions.some(({ _tag }) => _tag === "Wait")).toBe(after._tag === "Waiting" && state._tag !== "Waiting")
          const asks = actions.some(({ _tag }) => _tag === "Connect")
          expect(asks).toBe(after._tag === "Connecting" && state._tag === "Waiting")
          for (const action of actions) {
            if (action._tag === "Wait") {
              const least = Math.min(settings.reconnectionTime, settings.minReconnectionTime)
              expect(action.delay).toBeGreaterThanOrEqual(least)
              expect(action.delay).toBeLessThanOrEqual(Math.max(settings.maxReconnectionTime, settings.maxRetryAfter))
              expect(action.failures).toBe(after._tag === "Waiting" ? after.failures : Number.NaN)
            }
            if (action._tag === "Deliver") expect(action.events.length).toBeGreaterThan(0)
          }
          state = after
        }
      }),
      { numRuns: 3000 }
    )
    expect(reached.size).toBe(Object.values(arrows).flat().length)
  })

  it("says in each request what was last dispatched, in a field that can be sent, or ends", () => {
    let [sent, ended] = [0, 0]
    fc.assert(
      fc.property(history, (steps) => {
        let [state] = Result.getOrThrow(Protocol.start(Protocol.defaults))
        for (const next of steps) {
          const [after, actions] = next(Protocol.defaults, state)
          for (const action of actions) {
            if (action._tag !== "Connect") continue
            for (const [, value] of action.headers) expect(value).toMatch(printable)
            const told = Protocol.readLastEventId(action.headers)
            if (state.lastEventId === "") expect(told).toBeUndefined()
            else {
              sent++
              expect(told).toBe(HttpHeaders.trim(state.lastEventId))
            }
          }
          if (after._tag === "Closed" && after.reason._tag === "UnsendableLastEventId") ended++
          state = after
        }
      }),
      { numRuns: 3000 }
    )
    expect(sent).toBeGreaterThan(100)
    expect(ended).toBeGreaterThan(10)
  })

  it("delivers what the standard dispatches, over any number of connections, with the last event ID carried over", () => {
    const limits = EventStream.defaultLimits
    fc.assert(
      fc.property(fc.array(stream, { maxLength: 5 }), (bodies) => {
        let [state] = Result.getOrThrow(Protocol.start(Protocol.defaults))
        const delivered: Array<EventStream.Event> = []
        const expected: Array<EventStream.Event> = []
        let id = ""
        for (const body of bodies) {
          const response = { status: 200, headers: [["Content-Type", "text/event-stream"]] as const }
          ;[state] = Protocol.respond(Protocol.defaults, state, response, 0)
          if (state._tag !== "Open") return
          const parsed = EventStream.parse(body, { lastEventId: state.lastEventId })
          const [after, actions] = Protocol.receive(Protocol.defaults, state, parsed)
          for (const action of actions) if (action._tag === "Deliver") delivered.push(...action.events)
          const outcome = interpret(body, limits, id)
          expected.push(...outcome.events)
          id = outcome.lastEventId
          expect(after.lastEventId).toBe(id)
          expect(delivered).toEqual(expected)
          ;[state] = Protocol.elapsed(Protocol.ended(after)[0])
        }
      }),
      { numRuns: 1000 }
    )
  })

  it("prints each last event ID so that it is read as the same, or refuses it", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("a", " ", "\t", "\n", "\u0000", "é", "😀", "\u0085", "\ufeff") })
    )
    fc.assert(
      fc.property(text, (lastEventId) => {
        const printed = Protocol.printLastEventId(lastEventId)
        // eslint-disable-next-line no-control-regex
        const isSendable = !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(lastEventId)
        expect(Result.isSuccess(printed)).toBe(isSendable)
        if (Result.isFailure(printed)) return
        expect(printed.success).toMatch(printable)
        const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(utf8(lastEventId))
        expect(Protocol.readLastEventId([["Last-Event-ID", printed.success]])).toBe(HttpHeaders.trim(whole))
      }),
      { numRuns: 2000 }
    )
  })
})
