/** Whatever happens around a client, and to it, in whatever order. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { Comeback } from "@millrace/core/connection/Comeback"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { telling } from "../../support/telling.ts"

type Step =
  | { readonly _tag: "Tell"; readonly happening: Happening }
  | { readonly _tag: "Time"; readonly ms: number }
  | { readonly _tag: "Lose" | "Silence" | "Refuse" | "Hang" | "Allow" | "Retry" }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    _tag: fc.constant("Tell" as const),
    happening: fc.constantFrom<Happening>("Retry", "Check", "Leave", "Return")
  }),
  fc.record({ _tag: fc.constant("Time" as const), ms: fc.nat({ max: 40_000 }) }),
  fc.record({ _tag: fc.constantFrom("Lose", "Silence", "Refuse", "Hang", "Allow", "Retry") })
) as fc.Arbitrary<Step>

interface Session {
  readonly end: Deferred.Deferred<{ readonly error: unknown }>
  isSilent: boolean
  heard: number
}

const run = (steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { stream: surroundings, tell } = telling<Happening>()
    let isAway = false
    let answer: "Allow" | "Hang" | "Refuse" = "Allow"
    /** Attempts and sessions whose scope is open. */
    let open = 0
    /** Those that are being used. */
    let live = 0
    let session: Session | undefined
    const comeback = new Comeback<Session, { readonly error: unknown }>(
      {
        open: Effect.gen(function* () {
          assert.isFalse(isAway, "nobody connects while away")
          yield* Effect.acquireRelease(
            Effect.sync(() => open++),
            () =>
              Effect.andThen(
                Effect.sleep("3 seconds"),
                Effect.sync(() => open--)
              )
          )
          if (answer === "Hang") yield* Effect.never
          if (answer === "Refuse") return yield* Effect.fail("refused")
          return { end: yield* Deferred.make<{ readonly error: unknown }>(), isSilent: false, heard: 0 }
        }),
        failed: (error) => ({ error }),
        nameOf: () => "",
        live: (now) => {
          session = now
          assert.strictEqual(++live, 1, "one session at a time")
          return Effect.ensuring(
            Deferred.await(now.end),
            Effect.sync(() => void live--)
          )
        },
        heard: ({ heard }) => heard,
        check: (now) => (now.isSilent ? Effect.never : Effect.sync(() => now.heard++)),
        silent: () => ({ error: "silent" }),
        again: () => "Again",
        stopped: () => () => {}
      },
      { reconnect: Schedule.spaced("10 seconds"), openTimeout: "20 seconds", heartbeat: "25 seconds", surroundings }
    )
    yield* Scope.provide(comeback.start, scope)
    for (const next of steps) {
      switch (next._tag) {
        case "Tell":
          if (next.happening === "Leave") isAway = true
          if (next.happening === "Return") isAway = false
          tell(next.happening)
          break
        case "Time":
          yield* TestClock.adjust(next.ms)
          break
        case "Lose":
          if (session !== undefined) yield* Deferred.succeed(session.end, { error: "lost" })
          break
        case "Silence":
          if (session !== undefined) session.isSilent = true
          break
        case "Retry":
          yield* comeback.retry
          break
        default:
          answer = next._tag
      }
      const { _tag } = yield* comeback.state
      assert.strictEqual(_tag === "Away", isAway)
      assert.strictEqual(_tag === "Open", live === 1)
    }
    // Whatever has happened: it is there in the end, also behind a server that fell silent or an attempt that hangs.
    answer = "Allow"
    isAway = false
    tell("Return")
    yield* TestClock.adjust("2 minutes")
    assert.strictEqual((yield* comeback.state)._tag, "Open")
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* TestClock.adjust("3 seconds")
    assert.isDefined(closing.pollUnsafe())
    assert.deepStrictEqual([open, live, (yield* comeback.state)._tag], [0, 0, "Stopped"])
  })

describe("a client that comes back", () => {
  it("has one session at most, none while away, is there in the end, and leaves nothing behind", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), (steps) =>
        Effect.runPromise(run(steps).pipe(Effect.provide(TestClock.layer())))
      ),
      { numRuns: 1_000 }
    ))
})
