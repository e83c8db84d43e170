/** Which way is tried when, and what is remembered, over ways that do as the test says. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Fallback from "@millrace/core/messaging/Fallback"
import type { Wire } from "@millrace/core/messaging/Wire"
import { start } from "../../support/connection.ts"

/** What a way does: fails with its name, opens and answers, opens and ends with a code, or never opens. */
type Doing = "answers" | "fails" | "hangs" | number

/** Ways with names, and the names of those that were tried. */
const ways = (...names: ReadonlyArray<string>) => {
  const doing = new Map<string, Doing>(names.map((name) => [name, "answers"]))
  const tried: Array<string> = []
  let open = 0
  const way = (name: string): Effect.Effect<Wire, string, never> =>
    Effect.suspend(() => {
      tried.push(name)
      const what = doing.get(name)
      if (what === "fails") return Effect.fail(name)
      if (what === "hangs") return Effect.never
      return Effect.gen(function* () {
        yield* Effect.acquireRelease(
          Effect.sync(() => open++),
          () => Effect.sync(() => open--)
        )
        const { client, server } = yield* WebSocket.makePair()
        const serve = Effect.andThen(
          server.receive,
          what === "answers" ? server.send("welcome") : server.close(what as number)
        )
        yield* Effect.forkScoped(Effect.ignore(serve))
        return client
      })
    }) as never
  const first = names.map(way) as unknown as readonly [Effect.Effect<Wire, string>]
  return { ways: first, doing, tried, open: () => open }
}

/** Opens, says hello and waits for what comes; then it is over. Gives the names of those that were tried. */
const meet = (open: Effect.Effect<Wire, string, never>, tried: Array<string>) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(
      Effect.scoped(
        Effect.gen(function* () {
          const wire = yield* open as Effect.Effect<Wire, string>
          yield* wire.send("hello")
          return yield* wire.receive
        })
      )
    )
    const names = tried.splice(0).join(" ")
    return Exit.isSuccess(exit) ? names : `${names} failed`
  })

const made = (options: Fallback.Options | undefined, ...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const all = ways(...names)
    const open = (yield* Fallback.make(all.ways, options)) as Effect.Effect<Wire, string, never>
    return { ...all, connection: open, meet: meet(open, all.tried) }
  })

describe("a way", () => {
  it.effect("is the first that opens, and then the one that worked", () =>
    Effect.gen(function* () {
      const { doing, meet } = yield* made(undefined, "a", "b", "c")
      assert.strictEqual(yield* meet, "a")
      doing.set("a", "fails").set("b", "fails")
      assert.strictEqual(yield* meet, "a b c")
      doing.set("a", "answers")
      assert.strictEqual(yield* meet, "c")
      doing.set("c", "fails")
      // What was remembered fails: from the first again.
      assert.strictEqual(yield* meet, "c a")
      assert.strictEqual(yield* meet, "a")
    })
  )

  it.effect("is passed over the next time when it ended before anything came over it", () =>
    Effect.gen(function* () {
      const { doing, meet, open } = yield* made(undefined, "a", "b")
      doing.set("a", 1001)
      assert.strictEqual(yield* meet, "a failed")
      assert.strictEqual(yield* meet, "b")
      assert.strictEqual(yield* meet, "b")
      doing.set("b", 1011)
      assert.strictEqual(yield* meet, "b failed")
      doing.set("a", "answers")
      assert.strictEqual(yield* meet, "a")
      assert.strictEqual(open(), 0)
    })
  )

  it.effect("stays when a server answers with a code of its own", () =>
    Effect.gen(function* () {
      const { doing, meet } = yield* made(undefined, "a", "b")
      doing.set("a", 4501)
      assert.deepStrictEqual([yield* meet, yield* meet], ["a failed", "a failed"])
    })
  )

  it.effect("stays when nobody has said anything over it", () =>
    Effect.gen(function* () {
      const { connection, tried } = yield* made(undefined, "a", "b")
      yield* Effect.scoped(connection)
      yield* Effect.scoped(connection)
      assert.deepStrictEqual(tried, ["a", "a"])
    })
  )

  it.effect("is tried from the first again after so long", () =>
    Effect.gen(function* () {
      const { doing, meet } = yield* made({ remember: "10 minutes" }, "a", "b")
      doing.set("a", "fails")
      assert.strictEqual(yield* meet, "a b")
      yield* TestClock.adjust("599 seconds")
      assert.strictEqual(yield* meet, "b")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* meet, "a b")
    })
  )

  it.effect("is kept where it is told, and read from there with care", () =>
    Effect.gen(function* () {
      let kept: Fallback.Remembered | undefined
      const memory: Fallback.Memory = {
        read: Effect.sync(() => kept),
        write: (remembered) => Effect.sync(() => void (kept = remembered))
      }
      yield* TestClock.setTime(1_000)
      const first = yield* made({ memory }, "a", "b")
      first.doing.set("a", "fails")
      assert.strictEqual(yield* first.meet, "a b")
      assert.deepStrictEqual(kept, { way: 1, at: 1_000 })
      const second = yield* made({ memory }, "a", "b")
      assert.strictEqual(yield* second.meet, "b")
      for (const wrong of [{ way: 7, at: 1_000 }, { way: 1, at: 2_000 }, { way: -1, at: 1_000 }, { way: "1" }]) {
        kept = wrong as Fallback.Remembered
        assert.strictEqual(yield* second.meet, "a")
      }
      second.doing.set("a", "fails").set("b", "fails")
      kept = { way: 1, at: 1_000 }
      assert.strictEqual(yield* second.meet, "b a failed")
      assert.isUndefined(kept)
    })
  )
})

describe("when no way opens", () => {
  it.effect("the error is that of the last in the list, whatever the order in which they were tried", () =>
    Effect.gen(function* () {
      const { connection, doing, meet } = yield* made(undefined, "a", "b")
      doing.set("a", "fails")
      yield* meet
      doing.set("b", "fails")
      assert.strictEqual(yield* Effect.flip(Effect.scoped(connection)), "b")
      assert.strictEqual(yield* Effect.flip(Effect.scoped(connection)), "b")
    })
  )

  it.effect("nothing is tried any more by whoever is interrupted", () =>
    Effect.gen(function* () {
      const { connection, doing, tried } = yield* made(undefined, "a", "b")
      doing.set("a", "hangs")
      yield* Fiber.interrupt(yield* start(Effect.scoped(connection)))
      assert.deepStrictEqual(tried, ["a"])
    })
  )
})
