/** A server of Action Cable as a model sees it: whatever is said, in whatever order, before and after the welcome. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Cable from "@millrace/core/interop/actioncable/CableProtocol"
import { I } from "../../../support/cable.ts"

const config: Cable.Config = { extended: true, maxSubscriptions: 2, maxEarlyCommands: 3 }

const names = ["a", "b", "c"].map((room) => I("Chat", { room })).concat("not JSON", I("constructor"))

type Event =
  | { readonly does: "accept" | "end" | "ping" }
  | { readonly does: "say"; readonly text: string }
  | { readonly does: "confirm" | "reject" | "transmit"; readonly identifier: string; readonly attempt: number }

const command = fc
  .record({
    command: fc.constantFrom("subscribe", "unsubscribe", "message", "whisper", "join", "leave", "pong", "dance"),
    identifier: fc.constantFrom(...names),
    data: fc.constantFrom("{}", '{"action":"speak"}', "not JSON"),
    presence: fc.option(fc.constant({ id: "ada" }), { nil: undefined })
  })
  .map((said) => JSON.stringify(said))

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ does: fc.constant("say" as const), text: fc.oneof(command, command, fc.string()) })
  },
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constantFrom("confirm" as const, "confirm" as const, "reject" as const, "transmit" as const),
      identifier: fc.constantFrom(...names),
      // None is the one that there is.
      attempt: fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 5)
    })
  },
  { weight: 3, arbitrary: fc.record({ does: fc.constantFrom("accept" as const, "ping" as const) }) }
)

/** Something, the end, and what comes behind it. */
const history = fc
  .tuple(fc.array(event, { minLength: 20, maxLength: 80 }), fc.array(event, { maxLength: 5 }))
  .map(([before, after]): ReadonlyArray<Event> => before.concat({ does: "end" }, after))

const step = (state: Cable.State, event: Event): Cable.Transition => {
  switch (event.does) {
    case "accept":
      return Cable.accept(state, {}, config)
    case "ping":
      return Cable.pingDue(state, 1, config)
    case "end":
      return Cable.ended(state)
    case "say":
      return Cable.receive(state, event.text, config)
    case "confirm":
      return Cable.confirm(state, event.identifier, event.attempt)
    case "reject":
      return Cable.reject(state, event.identifier, event.attempt)
    case "transmit":
      return Cable.transmit(state, event.attempt, {
        _tag: "Message",
        identifier: event.identifier,
        message: 1,
        position: undefined
      })
  }
}

const attemptOf = (state: Cable.State, { identifier }: { readonly identifier: string }): number =>
  (state._tag === "Open" ? state.subscriptions.get(identifier)?.attempt : undefined) ?? 0

/** How many commands a state keeps, counted. */
const kept = (state: Cable.State): number =>
  state._tag === "Opening"
    ? state.early.length
    : state._tag === "Open"
      ? [...state.subscriptions.values()].reduce((sum, { early = [] }) => sum + early.length, 0)
      : 0

describe("A connection of Action Cable, whatever is said to it,", () => {
  it("welcomes first and once, keeps to its bounds, and tells each channel of a subscription that is its own", () => {
    const seen = { told: 0, confirmed: 0, rejected: 0, unsubscribed: 0 }
    fc.assert(
      fc.property(history, (events) => {
        let state: Cable.State = Cable.open
        let welcomes = 0
        let isOver = false
        /** What channels know of: by attempt, whether they have confirmed it. */
        const channels = new Map<number, { readonly identifier: string; isIn: boolean }>()
        for (const any of events) {
          const event = "attempt" in any && any.attempt === 0 ? { ...any, attempt: attemptOf(state, any) } : any
          const [next, actions] = step(state, event)
          if (isOver) expect(actions).toEqual([])
          for (const action of actions) {
            switch (action._tag) {
              case "Subscribe": {
                // One at a time for each identifier, and each attempt is a new one.
                expect([...channels.values()].map(({ identifier }) => identifier)).not.toContain(action.identifier)
                expect(channels.has(action.attempt)).toBe(false)
                channels.set(action.attempt, { identifier: action.identifier, isIn: false })
                break
              }
              case "Unsubscribe":
                expect(channels.get(action.attempt)?.identifier).toBe(action.identifier)
                channels.delete(action.attempt)
                seen.unsubscribed++
                break
              case "Tell":
                expect(channels.get(action.attempt)).toMatchObject({ identifier: action.said.identifier, isIn: true })
                seen.told++
                break
              case "Send": {
                const { transmission } = action
                if (transmission._tag === "Welcome") expect(++welcomes).toBe(1)
                expect(welcomes).toBe(1)
                if (transmission._tag === "ConfirmSubscription") {
                  const its = [...channels.values()].find(({ identifier }) => identifier === transmission.identifier)
                  expect(its).toBeDefined()
                  its!.isIn = true
                  seen.confirmed++
                }
                if (transmission._tag === "RejectSubscription") {
                  // Of a channel that says no; or of something that is nothing, or too much, which no channel sees.
                  if (event.does === "reject") channels.delete(event.attempt)
                  seen.rejected++
                }
                if (transmission._tag === "Message") {
                  expect([...channels.values()].map(({ identifier }) => identifier)).toContain(transmission.identifier)
                }
              }
            }
          }
          state = next
          expect(channels.size).toBeLessThanOrEqual(2)
          // A subscription that wants to be present at once has that kept beside it: one for each at most.
          expect(kept(state)).toBeLessThanOrEqual(3 + 2)
          if (state._tag === "Open") {
            expect(state.early).toBe(kept(state))
            expect(state.subscriptions.size).toBe(channels.size)
          }
          isOver ||= event.does === "end"
        }
        const [, last] = Cable.ended(state)
        for (const action of last) if (action._tag === "Unsubscribe") channels.delete(action.attempt)
        expect(channels.size).toBe(0)
      }),
      { numRuns: 1000 }
    )
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(9)
  })
})
