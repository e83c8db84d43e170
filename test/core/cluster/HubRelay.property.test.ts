/** Any history of clients that come and go, of relays that die and of connections that are lost: what is heard is whole. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubClient from "@millrace/core/cluster/HubClient"
import type * as Position from "@millrace/core/cluster/Position"
import { start, turn, world } from "../../support/connection.ts"
import { hubNetwork, listening, turns } from "../../support/hubNetwork.ts"
import { relayNetwork } from "../../support/relays.ts"

type Step =
  | { readonly _tag: "Die" | "Lose" | "Time" }
  /** A few turns: not all that is under way arrives. */
  | { readonly _tag: "Moment"; readonly turns: number }
  | { readonly _tag: "Enter"; readonly back: number | undefined }
  | { readonly _tag: "Cut" | "Go"; readonly which: number }
  | { readonly _tag: "Publish"; readonly which: number; readonly echo: boolean }

const which = fc.nat({ max: 5 })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ _tag: fc.constant("Publish"), which, echo: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ _tag: fc.constant("Enter"), back: fc.option(fc.nat({ max: 6 }), { nil: undefined }) })
  },
  { weight: 5, arbitrary: fc.record({ _tag: fc.constant("Moment"), turns: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constantFrom("Cut", "Go"), which }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constantFrom("Die", "Lose", "Time") }) }
) as fc.Arbitrary<Step>

interface Tab {
  readonly client: HubClient.HubClient
  readonly network: ReturnType<typeof relayNetwork>
  readonly scope: Scope.Closeable
  readonly heard: Array<HubClient.Element>
  /** What it has said without an echo. */
  readonly muted: Set<number>
}

/** Attempts at once, so that no history takes long. */
const quick = { reconnect: Schedule.spaced("50 millis") }

const run = (steps: ReadonlyArray<Step>, maxEntries: number) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make({ history: { epoch: "e", maxEntries } })
    const publishing: Array<Fiber.Fiber<unknown, unknown>> = []
    let tabs: Array<Tab> = []
    let said = 0
    const begin = Effect.gen(function* () {
      const network = hubNetwork(hub)
      const scope = yield* Scope.make()
      return { network, scope, upstream: yield* Scope.provide(HubClient.make(network.connect, quick), scope) }
    })
    let leader = yield* begin
    const log: Array<number> = []
    const enter = (position?: Position.Position) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const network = relayNetwork(() => leader.upstream)
        const client = yield* Scope.provide(HubClient.make(network.connect, quick), scope)
        const { heard } = yield* listening(client.subscribe("t", { position }))
        tabs.push({ client, network, scope, heard, muted: new Set() })
      })
    yield* enter()
    for (const step of steps) {
      const tab = "which" in step ? tabs[step.which % Math.max(1, tabs.length)] : undefined
      switch (step._tag) {
        case "Enter": {
          const back = step.back ?? 0
          yield* enter(step.back === undefined ? undefined : { epoch: "e", offset: Math.max(0, log.length - back) })
          break
        }
        case "Publish": {
          if (tab === undefined) break
          const n = said++
          if (!step.echo) tab.muted.add(n)
          const asked = Effect.tap(tab.client.publish("t", n, { echo: step.echo }), ({ position }) =>
            Effect.sync(() => {
              log[position!.offset - 1] = n
            })
          )
          publishing.push(yield* start(Effect.exit(asked)))
          break
        }
        case "Cut":
          if (tab !== undefined && tab.network.links.length > 0) tab.network.last.cut()
          break
        case "Go":
          if (tab === undefined) break
          tabs = tabs.filter((other) => other !== tab)
          yield* start(Scope.close(tab.scope, Exit.void))
          break
        case "Die": {
          const before = leader
          leader = yield* begin
          yield* start(Scope.close(before.scope, Exit.void))
          break
        }
        case "Lose":
          if (leader.network.links.length > 0) leader.network.last.cut()
          break
        case "Moment":
          for (let i = 0; i < step.turns; i++) yield* turn
          break
        case "Time":
          yield* TestClock.adjust(100)
          yield* turns
      }
    }
    for (let i = 0; i < 8; i++) {
      yield* turns
      yield* TestClock.adjust(100)
    }
    yield* turns
    // What is there in the end, as somebody sees it who was there from the beginning.
    const end = yield* HubClient.make(hubNetwork(hub).connect, quick)
    const last = (yield* end.publish("t", -1)).position!
    yield* turns
    for (const { heard, muted } of tabs) {
      let at: number | undefined
      for (const element of heard) {
        if (element._tag === "Moved") throw new Error("nobody is moved")
        if (element._tag === "Gap") {
          // Only what the hub has dropped.
          assert.isTrue(element.to !== undefined && last.offset - element.to.offset >= 0 && maxEntries < 100)
          at = Math.max(at ?? 0, element.to!.offset)
          continue
        }
        const offset: number = element.position!.offset
        if (element._tag === "Subscribed") at = offset
        else {
          assert.strictEqual(offset, at! + 1, "one after the other")
          at = offset
          if (element._tag === "Message" && typeof element.data === "number" && log[offset - 1] !== undefined) {
            assert.strictEqual(element.data, log[offset - 1])
          }
          // What a tab has said is kept from itself alone.
          if (element._tag === "Advanced") assert.isTrue(muted.has(log[offset - 1]!))
        }
      }
      assert.strictEqual(at, last.offset, "all of it")
      const data = heard.flatMap((element) => (element._tag === "Message" ? [element.data] : []))
      assert.strictEqual(new Set(data).size, data.length, "once")
    }
    for (const { scope } of tabs) yield* Scope.close(scope, Exit.void)
    yield* Scope.close(leader.scope, Exit.void)
    // Each was published once.
    assert.strictEqual(new Set(log.filter((n) => n !== undefined)).size, log.filter((n) => n !== undefined).length)
    return { said, offset: last.offset - 1 }
  })

it("gives every client each message once, in order, whatever becomes of relays and connections", () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) =>
      world(
        Effect.map(run(steps, 10_000), ({ offset, said }) => {
          assert.isAtMost(offset, said)
        })
      )
    ),
    { numRuns: 150 }
  ))

it("tells every client of a gap where the hub has dropped something", () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) => world(Effect.asVoid(run(steps, 3)))),
    { numRuns: 50 }
  ))
