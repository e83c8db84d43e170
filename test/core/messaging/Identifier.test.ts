/** Names that nobody can guess. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Identifier from "@millrace/core/messaging/Identifier"

describe("an identifier", () => {
  it.effect("is 22 characters that may be in a URL, and never the same", () =>
    Effect.gen(function* () {
      const names = new Set<string>()
      for (let i = 0; i < 1_000; i++) names.add(yield* Identifier.next)
      assert.strictEqual(names.size, 1_000)
      for (const name of names) assert.match(name, /^[A-Za-z0-9_-]{22}$/)
      // Each character is one of 64: after 22,000 all of them were there.
      assert.strictEqual(new Set([...names].join("")).size, 64)
    })
  )

  it.effect("is what somebody else makes, where that is provided", () =>
    Effect.gen(function* () {
      const name = yield* Effect.provideService(Identifier.next, Identifier.Source, () => "ada")
      assert.strictEqual(name, "ada")
    })
  )
})
