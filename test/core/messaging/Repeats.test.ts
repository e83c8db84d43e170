/** The window of keys: what was asked before is not done again. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Repeats from "@millrace/core/messaging/Repeats"
import { counted, start } from "../../support/connection.ts"

const ok = (value: unknown): Repeats.Reply => ({ _tag: "Ok", value })

const question = (key: string, payload: unknown = 1, principal = "ada"): Repeats.Question => ({
  principal,
  key,
  digest: Repeats.digestOf("pay", payload)
})

/** A window, and how often it has let something be done. */
const windowOf = (limits?: Partial<Repeats.Limits>) => {
  const repeats = new Repeats.Repeats(limits)
  let done = 0
  const ask = (key: string, payload?: unknown, principal?: string) =>
    repeats.once(
      question(key, payload, principal),
      Effect.sync(() => ok(++done))
    )
  return { repeats, ask, done: () => done }
}

describe("a question with a key", () => {
  it.effect("is answered once, and then as before", () =>
    Effect.gen(function* () {
      const { ask, done } = windowOf()
      assert.deepStrictEqual([yield* ask("k"), yield* ask("k")], [ok(1), ok(1)])
      assert.deepStrictEqual(yield* ask("other"), ok(2))
      assert.strictEqual(done(), 2)
    })
  )

  it.effect("is answered as before also where that was an error or a defect", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf()
      const err: Repeats.Reply = { _tag: "Err", error: "no" }
      const fail: Repeats.Reply = { _tag: "Fail", code: "defect", detail: "" }
      yield* repeats.once(question("err"), Effect.succeed(err))
      yield* repeats.once(question("fail"), Effect.succeed(fail))
      assert.deepStrictEqual([yield* ask("err"), yield* ask("fail")], [err, fail])
    })
  )

  it.effect("that nobody could answer can be asked again", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf()
      const fail: Repeats.Reply = { _tag: "Fail", code: "unavailable", detail: "" }
      assert.deepStrictEqual(yield* repeats.once(question("k"), Effect.succeed(fail)), fail)
      assert.deepStrictEqual(yield* ask("k"), ok(1))
    })
  )

  it.effect("is a conflict with another question, before and after it is answered", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf()
      const reply = Deferred.makeUnsafe<Repeats.Reply>()
      const first = yield* start(repeats.once(question("k"), Deferred.await(reply)))
      const before = yield* ask("k", 2)
      Deferred.doneUnsafe(reply, Exit.succeed(ok("first")))
      const after = yield* ask("k", 2)
      for (const answer of [before, after]) assert.deepInclude(answer, { _tag: "Fail", code: "conflict" })
      assert.deepStrictEqual(yield* Fiber.join(first), ok("first"))
    })
  )

  it.effect("is waited for while it is being answered, and goes on when nobody waits any more", () =>
    counted((running) =>
      Effect.gen(function* () {
        const fibers = running.fibers
        const { ask, done, repeats } = windowOf()
        const reply = Deferred.makeUnsafe<Repeats.Reply>()
        const first = yield* start(repeats.once(question("k"), Deferred.await(reply)))
        const second = yield* start(ask("k"))
        yield* Fiber.interrupt(first)
        assert.strictEqual(repeats.size, 1)
        Deferred.doneUnsafe(reply, Exit.succeed(ok("found")))
        assert.deepStrictEqual(yield* Fiber.join(second), ok("found"))
        assert.deepStrictEqual(yield* ask("k"), ok("found"))
        assert.strictEqual(done(), 0)
        assert.strictEqual(running.fibers, fibers)
      })
    )
  )

  it.effect("is not that of somebody else with the same key", () =>
    Effect.gen(function* () {
      const { ask } = windowOf()
      assert.deepStrictEqual(yield* ask("k", 1, "ada"), ok(1))
      assert.deepStrictEqual(yield* ask("k", 1, "bob"), ok(2))
      // Nor where the two together look the same.
      assert.deepStrictEqual(yield* ask("bc", 1, "a"), ok(3))
      assert.deepStrictEqual(yield* ask("c", 1, "ab"), ok(4))
    })
  )
})

describe("the window", () => {
  it.effect("forgets after so long, from the answer on", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf({ age: "1 minute" })
      const reply = Deferred.makeUnsafe<Repeats.Reply>()
      yield* start(repeats.once(question("slow"), Deferred.await(reply)))
      yield* TestClock.adjust("10 minutes")
      // What is being answered is not forgotten.
      const again = yield* start(ask("slow"))
      Deferred.doneUnsafe(reply, Exit.succeed(ok("slow")))
      assert.deepStrictEqual(yield* Fiber.join(again), ok("slow"))
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* ask("slow"), ok("slow"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* ask("slow"), ok(1))
      assert.strictEqual(repeats.size, 1)
    })
  )

  it.effect("holds so many, and forgets the oldest answers first", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf({ capacity: 3 })
      for (const key of ["a", "b", "c", "d"]) yield* ask(key)
      assert.strictEqual(repeats.size, 3)
      assert.deepStrictEqual(yield* ask("b"), ok(2))
      assert.deepStrictEqual(yield* ask("a"), ok(5))
    })
  )

  it.effect("never forgets what is being answered, and answers no more than it can hold", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf({ capacity: 2 })
      yield* start(repeats.once(question("a"), Effect.never))
      yield* start(repeats.once(question("b"), Effect.never))
      assert.deepInclude(yield* ask("c"), { _tag: "Fail", code: "unavailable" })
      assert.strictEqual(repeats.size, 2)
      assert.deepInclude(yield* ask("a", 2), { code: "conflict" })
    })
  )

  it.effect("holds so many bytes of answers, and no answer that has more", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf({ maxBytes: 10_000 })
      const long = (key: string, length: number) =>
        repeats.once(question(key), Effect.succeed(ok({ text: "x".repeat(length) })))
      for (let i = 0; i < 10; i++) yield* long(`k${i}`, 1_000)
      assert.isAtMost(repeats.size, 4)
      assert.isAtLeast(repeats.size, 3)
      yield* long("huge", 10_000)
      assert.deepStrictEqual(yield* ask("huge"), ok(1))
      assert.isAtLeast(repeats.size, 3)
    })
  )

  it.effect("keeps no more bytes than an answer has, also where they are a view of the question's message", () =>
    Effect.gen(function* () {
      const { ask, repeats } = windowOf()
      const message = new Uint8Array(1_000_000).fill(7)
      const whole = Uint8Array.of(1, 2)
      const reply = ok({ digest: message.subarray(10, 12), parts: [message.subarray(0, 1), null, whole], name: "a" })
      assert.strictEqual(yield* repeats.once(question("k"), Effect.succeed(reply)), reply)
      const again = yield* ask("k")
      assert.deepStrictEqual(again, reply)
      const { digest, parts } = (
        again as { readonly value: { digest: Uint8Array; parts: [Uint8Array, null, unknown] } }
      ).value
      assert.deepStrictEqual([digest.buffer.byteLength, parts[0].buffer.byteLength], [2, 1])
      assert.strictEqual(parts[2], whole)
    })
  )

  it.effect("takes an answer that goes in a circle for one that is too long", () =>
    Effect.gen(function* () {
      const { repeats } = windowOf()
      const circle: { self?: unknown } = {}
      circle.self = circle
      yield* repeats.once(question("k"), Effect.succeed(ok(circle)))
      assert.strictEqual(repeats.size, 0)
    })
  )
})

describe("a digest", () => {
  it("is the same for the same question, and 28 characters however long that is", () => {
    assert.strictEqual(Repeats.digestOf("pay", { a: [1] }), Repeats.digestOf("pay", { a: [1] }))
    assert.lengthOf(Repeats.digestOf("pay", "x".repeat(100_000)), 28)
  })

  it("tells names, payloads and bytes apart", () => {
    const digests = [
      Repeats.digestOf("pay", 1),
      Repeats.digestOf("pay", "1"),
      Repeats.digestOf("pay", [1]),
      Repeats.digestOf("paid", 1),
      Repeats.digestOf("pay", new Uint8Array([1])),
      Repeats.digestOf("pay", new Uint8Array([2])),
      Repeats.digestOf("pay", "AQ==")
    ]
    assert.lengthOf(new Set(digests), digests.length)
  })
})
