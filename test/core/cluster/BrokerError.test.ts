/** What can go wrong with a broker, and whose fault it is. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { BrokerError, Rejected, StaleKey, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"

const key = { producer: 'a"b', epoch: 1, sequence: 2 }

it("says in words what went wrong", () => {
  const messages = [
    new Unavailable({ outcome: "Unknown", cause: new Error("gone") }),
    new Unavailable({ outcome: "NotPublished", cause: "gone" }),
    new Rejected({ cause: new Error("NOAUTH") }),
    new Rejected({ cause: "no" }),
    new TooLarge({ length: 11, limit: 10 }),
    new StaleKey({ key })
  ].map((reason) => new BrokerError({ reason }).message)
  expect(messages).toEqual([
    "the broker is not available: gone",
    "the broker is not available: gone",
    "the broker refused: NOAUTH",
    "the broker refused: no",
    "a publication of 11 bytes is over the broker's limit of 10",
    'the key "a\\"b" 1:2 is too old to be known'
  ])
})

it.effect("is caught by its reason", () =>
  Effect.gen(function* () {
    const failing = Effect.fail(new BrokerError({ reason: new TooLarge({ length: 11, limit: 10 }) }))
    const caught = Effect.catchReason(failing, "BrokerError", "TooLarge", ({ limit }) => Effect.succeed(limit))
    expect(yield* caught).toBe(10)
  })
)
