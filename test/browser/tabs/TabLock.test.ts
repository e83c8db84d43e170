/** Locks by which tabs know of each other that they live. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as TabLock from "@millrace/browser/tabs/TabLock"
import { eventually, settled } from "../../support/eventually.ts"

const close = (scope: Scope.Closeable) => Scope.close(scope, Exit.void)

const names = async () => {
  const { held = [], pending = [] } = await navigator.locks.query()
  return [held, pending].map((locks) => locks.map(({ name }) => name))
}

describe("TabLock", () => {
  afterEach(() => vi.unstubAllGlobals())

  it.live("is held as long as the scope, and the next in the row has it then", () =>
    Effect.gen(function* () {
      const scopes = [yield* Scope.make(), yield* Scope.make(), yield* Scope.make()]
      const order: Array<number> = []
      for (const [i, scope] of scopes.entries()) {
        const held = Effect.tap(TabLock.hold("row"), () => Effect.sync(() => order.push(i)))
        yield* Effect.forkChild(Scope.provide(held, scope), { startImmediately: true })
      }
      yield* eventually(() => order.length === 1)
      // Who waits may stop to wait.
      yield* close(scopes[1]!)
      yield* close(scopes[0]!)
      yield* eventually(() => order.length === 2)
      assert.deepStrictEqual(order, [0, 2])
      yield* close(scopes[2]!)
      yield* settled
      assert.deepStrictEqual(yield* Effect.promise(names), [[], []])
    })
  )

  it.live("is not taken in the end by who has waited long enough, though the scope lives on", () =>
    Effect.gen(function* () {
      const holder = yield* Scope.make()
      yield* Scope.provide(TabLock.hold("wanted"), holder)
      const late = yield* Effect.forkChild(TabLock.hold("wanted"), { startImmediately: true })
      yield* settled
      yield* Fiber.interrupt(late)
      yield* close(holder)
      yield* settled
      assert.deepStrictEqual(yield* Effect.promise(names), [[], []])
    })
  )

  it.live("tells all who wait for its holder's end, and is left alone by who does not wait any more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.provide(TabLock.hold("life"), scope)
      const waiting = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(TabLock.released("life"), { startImmediately: true })
      )
      yield* settled
      assert.deepStrictEqual(
        waiting.map((fiber) => fiber.pollUnsafe()),
        [undefined, undefined, undefined]
      )
      yield* Fiber.interrupt(waiting[0]!)
      yield* close(scope)
      yield* Fiber.joinAll(waiting.slice(1))
      yield* settled
      assert.deepStrictEqual(yield* Effect.promise(names), [[], []])
    })
  )

  it.live("fails where the platform has none, and where it does not give any to this page", () =>
    Effect.gen(function* () {
      vi.stubGlobal("navigator", {})
      assert.isFalse(TabLock.areThere())
      assert.include(yield* Effect.flip(Effect.scoped(TabLock.hold("a"))), { _tag: "LocksMissing" })
      const cause = new Error("SecurityError")
      vi.stubGlobal("navigator", { locks: { request: () => Promise.reject(cause) } })
      assert.include(yield* Effect.flip(Effect.scoped(TabLock.hold("a"))), { _tag: "LocksMissing", cause })
    })
  )
})
