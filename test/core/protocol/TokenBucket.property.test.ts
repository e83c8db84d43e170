/** A token bucket in any history: compared with what it is for, and not with another bucket. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as TokenBucket from "@millrace/core/protocol/TokenBucket"

/** Rates in thousandths a second, so that a limit is a whole number of millionths a millisecond. */
const options = fc.record({
  perSecond: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40_000 })),
  burst: fc.integer({ min: 1, max: 12 })
})

type Chosen = { readonly perSecond: number; readonly burst: number }

const rateOf = ({ burst, perSecond }: Chosen) =>
  TokenBucket.make({ bytesPerSecond: perSecond / 1_000, burstBytes: burst })

/** A pause, often none, and then something of so many bytes. */
const asked = fc.array(
  fc.record({
    pause: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 3_000 })),
    bytes: fc.integer({ min: 0, max: 12 })
  }),
  { minLength: 1, maxLength: 40, size: "max" }
)

interface Taken {
  readonly at: number
  readonly bytes: number
}

/** How much more than the burst and the rate was taken in the worst window that ends in the last of them; millionths. */
const excess = ({ burst, perSecond }: Chosen, taken: ReadonlyArray<Taken>): number => {
  const end = taken.at(-1)!
  let sum = 0
  let worst = -Infinity
  for (const { at, bytes } of taken.toReversed()) {
    sum += bytes
    worst = Math.max(worst, (sum - burst) * 1e6 - (end.at - at) * perSecond)
  }
  return worst
}

/** Asks for all of it, each at its time. */
const run = (
  chosen: Chosen,
  asks: ReadonlyArray<{ readonly pause: number; readonly bytes: number }>,
  check: (taken: ReadonlyArray<Taken>, ask: Taken, verdict: TokenBucket.Verdict, state: TokenBucket.State) => void
) => {
  const rate = rateOf(chosen)
  let state = TokenBucket.full(rate, 0)
  let at = 0
  const taken: Array<Taken> = []
  for (const { bytes, pause } of asks) {
    at += pause
    const [next, verdict] = TokenBucket.take(rate, state, at, { messages: 1, bytes })
    state = next
    check(taken, { at, bytes }, verdict, state)
    if (verdict._tag === "Taken") taken.push({ at, bytes })
  }
}

describe("in any history", () => {
  it("takes what leaves no window with more than the burst and the rate in it, and nothing else", () =>
    fc.assert(
      fc.property(options, asked, (chosen, asks) =>
        run(
          chosen,
          asks.map(({ bytes, pause }) => ({ pause, bytes: Math.min(bytes, chosen.burst) })),
          (taken, ask, verdict) => expect(verdict._tag).toBe(excess(chosen, [...taken, ask]) <= 0 ? "Taken" : "TooSoon")
        )
      ),
      { numRuns: 1000 }
    ))

  it("takes no more than that and one message, when there are messages that are longer than the burst", () =>
    fc.assert(
      fc.property(options, asked, (chosen, asks) =>
        run(chosen, asks, (taken, ask, verdict) => {
          if (verdict._tag === "TooSoon") return
          expect(excess(chosen, [...taken, ask])).toBeLessThanOrEqual(Math.max(0, ask.bytes - chosen.burst) * 1e6)
        })
      )
    ))

  it("says how long to wait: then it is taken, and a millisecond before it is not", () =>
    fc.assert(
      fc.property(options, asked, (chosen, asks) =>
        run(chosen, asks, (_, { at, bytes }, verdict, state) => {
          if (verdict._tag === "Taken") return

          const after = (wait: number) =>
            TokenBucket.take(rateOf(chosen), state, at + wait, { messages: 1, bytes })[1]._tag
          expect([verdict.wait > 0, after(verdict.wait - 1), after(verdict.wait)]).toEqual([true, "TooSoon", "Taken"])
        })
      )
    ))

  it("comes to the same however often it is asked in between for nothing", () =>
    fc.assert(
      fc.property(options, fc.array(fc.nat({ max: 5_000 })), (chosen, moments) => {
        const rate = rateOf(chosen)
        const start = TokenBucket.full(rate, 0)
        const [empty] = TokenBucket.take(rate, start, 0, { messages: 1, bytes: chosen.burst })
        const none = { messages: 0, bytes: 0 }
        let often = empty
        for (const at of moments.toSorted((a, b) => a - b)) [often] = TokenBucket.take(rate, often, at, none)
        expect(TokenBucket.take(rate, often, 5_000, none)).toEqual(TokenBucket.take(rate, empty, 5_000, none))
      })
    ))
})

describe("several messages", () => {
  it("pass as they would one by one", () =>
    fc.assert(
      fc.property(
        options,
        fc.integer({ min: 1, max: 10 }),
        fc.array(
          fc.record({ pause: fc.nat({ max: 5_000 }), lengths: fc.array(fc.nat({ max: 14 }), { maxLength: 8 }) })
        ),
        ({ burst, perSecond }, messagesPerSecond, reads) => {
          const rate = TokenBucket.make({ bytesPerSecond: perSecond, burstBytes: burst, messagesPerSecond })
          let together = TokenBucket.full(rate, 0)
          let single = together
          let now = 0
          for (const { lengths, pause } of reads) {
            now += pause
            const messages = lengths.map((length) => ({ length }))
            const admitted = TokenBucket.admit(rate, together, now, messages)
            together = admitted.state
            let until = 0
            for (const { length } of messages) {
              const [next, verdict] = TokenBucket.take(rate, single, now, { messages: 1, bytes: length })
              single = next
              if (verdict._tag === "TooSoon") {
                expect(admitted.tooSoon).toEqual(verdict)
                break
              }
              until++
            }
            expect(admitted.until).toBe(until)
            const none = { messages: 0, bytes: 0 }
            expect(TokenBucket.take(rate, together, now, none)).toEqual(TokenBucket.take(rate, single, now, none))
          }
        }
      )
    ))
})

describe("who keeps to the rate", () => {
  it("is never said not to, whenever and for however long the one who reads was busy", () =>
    fc.assert(
      fc.property(options, asked, fc.array(fc.nat({ max: 20_000 }), { maxLength: 60 }), (chosen, asks, work) => {
        const rate = rateOf(chosen)
        const sent: Array<Taken> = []
        run(chosen, asks, (_, ask, verdict) => {
          if (verdict._tag === "Taken") sent.push(ask)
        })
        let state = TokenBucket.full(rate, 0)
        let now = 0
        for (let turn = 0; sent.length > 0; turn++) {
          state = TokenBucket.excuse(rate, state, now)
          // All that has come, or else the next as soon as it does.
          now = Math.max(now, sent[0]!.at)
          const there = sent.findIndex(({ at }) => at > now)
          const messages = sent.splice(0, there < 0 ? sent.length : there)
          const admitted = TokenBucket.admit(
            rate,
            state,
            now,
            messages.map(({ bytes }) => ({ length: bytes }))
          )
          expect(admitted.tooSoon).toBeUndefined()
          state = admitted.state
          now += work[turn] ?? 0
        }
      }),
      { numRuns: 1000 }
    ))
})

it("is total: whatever the clock says, there is a verdict and a state that is a number", () =>
  fc.assert(
    fc.property(
      fc.record({
        bytesPerSecond: fc.double({ min: 0, noNaN: true }),
        burstBytes: fc.double({ min: 0, noNaN: true }),
        messagesPerSecond: fc.double({ min: 0, noNaN: true })
      }),
      fc.array(fc.tuple(fc.double(), fc.nat(), fc.boolean())),
      (options, asks) => {
        const rate = TokenBucket.make(options)
        let state = TokenBucket.full(rate, 0)
        for (const [now, bytes, busy] of asks) {
          if (busy) state = TokenBucket.excuse(rate, state, now)
          const [next, verdict] = TokenBucket.take(rate, state, now, { messages: 1, bytes })
          state = next
          expect([state.messages, state.bytes]).not.toContain(NaN)
          if (verdict._tag === "TooSoon") expect(verdict.wait).toBeGreaterThan(0)
        }
      }
    ),
    { numRuns: 1000 }
  ))
