/** A broker on an engine promises what all do, over a network that is good, and over some that are not. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { describe, expect, it } from "vitest"
import { brokerKit, checks, run } from "../../support/brokerKit.ts"
import { spec } from "../../support/faultyBroker.ts"
import { type Bug, bugs, planted } from "../../support/plantedBugs.ts"

brokerKit("a broker on an engine, over a network without delay", spec({}))

brokerKit("a broker on an engine, over a network that is slow", spec({ network: { delay: 20 } }))

brokerKit(
  "a broker on an engine that tells of things late, twice, in any order",
  spec({ network: { delay: 20, duplicate: 0.3, reorder: true } })
)

/** What must find each of them, by a part of its name. */
const found: Record<Bug, ReadonlyArray<string>> = {
  order: ["in one order", "waits for none", "random history"],
  dedupe: ["a repeat by its key", "random history"],
  gap: ["has forgotten, and goes on", "forgets as well"],
  twice: ["in one order", "waits for none", "random history"],
  lost: ["in one order", "waits for none", "random history"],
  tail: ["behind a position", "keeps what came last"],
  early: ["when it says so"],
  receipt: ["in one order", "random history"],
  status: ["does not answer", "cut off, up on the others"],
  cast: ["all nodes hear"]
}

describe("the kit", () => {
  for (const bug of Object.keys(bugs) as ReadonlyArray<Bug>) {
    it(`finds a broker whose ${bug} is wrong`, async () => {
      const wrong = planted(bug, spec({}, { patience: 2_000 }))
      for (const part of found[bug]) {
        const [check, ...others] = checks.filter(({ name }) => name.includes(part))
        expect([check?.name, others.length], part).toEqual([expect.any(String), 0])
        const exit = await Effect.runPromise(Effect.exit(run(check!, wrong)))
        expect(Exit.isFailure(exit), `"${check!.name}" fails`).toBe(true)
      }
    })
  }
})
