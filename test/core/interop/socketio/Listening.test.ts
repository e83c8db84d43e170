/** What a client says and what is done about it, where more waits than there is room for. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type Delivered, Listening } from "@millrace/core/interop/socketio/Listening"
import { start } from "../../../support/connection.ts"
import { turns } from "../../../support/hubNetwork.ts"

const event = (name: string): Delivered => ({
  _tag: "Deliver",
  namespace: "/",
  attempt: 1,
  id: undefined,
  name,
  args: []
})

/** One that deals with an event when the test lets it, and has room for one that waits. */
const listening = Effect.gen(function* () {
  const gate = Deferred.makeUnsafe<void>()
  const dealt: Array<string> = []
  const bounds = { maxWaiting: 1, maxWaitingSize: 1_000, fork: Effect.runForkWith(yield* Effect.context<never>()) }
  const listening = new Listening(bounds, { answer: () => Effect.void })
  listening.handler = (_, { name }) =>
    Effect.andThen(
      Deferred.await(gate),
      Effect.sync(() => void dealt.push(name))
    )
  const deliver = (name: string) => start(Effect.suspend(() => listening.deliver(event(name), 1)))
  return { listening, gate, dealt, deliver }
})

describe("What waits for a listener", () => {
  it.effect("lets all who wait for room go on: two connections do whose client has come back", () =>
    Effect.gen(function* () {
      const { deliver, dealt, gate } = yield* listening
      yield* deliver("a")
      yield* deliver("b")
      const waiting = [yield* deliver("c"), yield* deliver("d")]
      yield* turns
      assert.deepStrictEqual(
        waiting.map((fiber) => fiber.pollUnsafe()),
        [undefined, undefined]
      )
      yield* Deferred.succeed(gate, undefined)
      yield* turns
      assert.deepStrictEqual(dealt, ["a", "b", "c", "d"])
      assert.deepStrictEqual(
        waiting.map((fiber) => fiber.pollUnsafe()?._tag),
        ["Success", "Success"]
      )
    })
  )

  it.effect("lets those go on who still wait when one has given up, and at the end", () =>
    Effect.gen(function* () {
      const { deliver, listening: all } = yield* listening
      yield* deliver("a")
      yield* deliver("b")
      const [first, second] = [yield* deliver("c"), yield* deliver("d")]
      yield* turns
      yield* Fiber.interrupt(second!)
      assert.isUndefined(first!.pollUnsafe())
      all.stopUnsafe()
      yield* turns
      assert.strictEqual(first!.pollUnsafe()?._tag, "Success")
    })
  )
})
