/** What outlives a page: loaded again, closed, crashed, in two tabs, with storage that is full, refused or taken away. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type * as HubStore from "@millrace/core/cluster/HubStore"
import { launch } from "../support/chromium.ts"
import * as Tabs from "../support/userTabs.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

declare global {
  /** In the page. */
  var store: HubStore.HubStore
  var keepIt: (sequence: number, length?: number) => Promise<unknown>
}

/** Opens a store in the page that lives as long as it does. Gives what is there, or why not. */
const begin = (tab: Tabs.Tab, wait: number | "forever" = 1_000) =>
  tab.run((modules, wait) => {
    const { Effect, IndexedDbHubStore, Scope, outcomeOf, toJson } = modules
    const begun = Effect.gen(function* () {
      const store = yield* IndexedDbHubStore.make({ name: "test", wait: wait === "forever" ? Infinity : wait })
      const { positions, unanswered } = yield* store.load
      globalThis.store = store
      globalThis.keepIt = (sequence, length = 10) =>
        Effect.runPromise(
          Effect.map(
            Effect.exit(
              store.keep({
                topic: "lobby",
                dataJson: toJson("x".repeat(length)),
                key: { producer: "ada", epoch: 0, sequence },
                echo: true,
                at: 0,
                saidAt: undefined
              })
            ),
            outcomeOf
          )
        )
      return { positions: [...positions], unanswered: unanswered.map(({ key }) => key.sequence) }
    })
    return Effect.runPromise(
      Effect.map(Effect.exit(Scope.provide(begun, Scope.makeUnsafe())), (exit) => ({ ...outcomeOf(exit) }))
    )
  }, wait)

const keep = (tab: Tabs.Tab, sequence: number, length?: number) =>
  tab.run((_, sequence, length) => keepIt(sequence, length ?? undefined), sequence, length ?? null) as Effect.Effect<{
    readonly error?: string
    readonly reason?: string
    readonly message?: string
  }>

const answered = (tab: Tabs.Tab, sequence: number) =>
  tab.run(({ outcome }, sequence) => outcome(store.answered({ producer: "ada", epoch: 0, sequence })), sequence)

const is = (unanswered: ReadonlyArray<number>, positions: ReadonlyArray<readonly [string, string]> = []) => ({
  value: { positions, unanswered }
})

describe("a page that is loaded again", () => {
  it.live("has what it has kept, and where it was at that very moment", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const tab = yield* open()
      assert.deepStrictEqual(yield* begin(tab), is([]))
      for (const life of [1, 2, 3]) {
        yield* keep(tab, life)
        // Nothing comes between: what is to be written has to be when the page goes.
        const reloaded = tab.page.waitForEvent("load")
        yield* tab.run(async ({ Effect }, life) => {
          for (let i = 0; i < 100; i++) Effect.runSync(store.reached("lobby", `k:${life * 100 + i}`))
          location.reload()
        }, life)
        yield* Effect.promise(() => reloaded)
        yield* tab.reload
        assert.deepStrictEqual(
          yield* begin(tab),
          is(
            Array.from({ length: life }, (_, i) => i + 1),
            [["lobby", `k:${life * 100 + 99}`]]
          )
        )
      }
    })
  )
})

describe("a tab that has crashed", () => {
  it.live("leaves what it has kept to the next, and does not hold it up", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const first = yield* open()
      yield* begin(first)
      yield* first.run(({ Effect }) => Effect.runPromise(store.reached("lobby", "k:1")))
      yield* keep(first, 1)
      yield* keep(first, 2)
      yield* answered(first, 1)
      yield* first.crash
      // The position went with the first that was kept.
      assert.deepStrictEqual(yield* begin(yield* open()), is([2], [["lobby", "k:1"]]))
    })
  )
})

describe("a second tab", () => {
  it.live("is told that it is one, and takes over when the first is closed", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const first = yield* open()
      const second = yield* open()
      yield* begin(first)
      assert.deepInclude(yield* begin(second, 0), {
        error: "StoreUnavailable",
        message: "another client uses this storage"
      })
      const waiting = yield* Effect.forkChild(begin(second, "forever"), { startImmediately: true })
      yield* keep(first, 1)
      yield* first.close
      assert.deepStrictEqual(yield* Fiber.join(waiting), is([1]))
      yield* keep(second, 2)
    })
  )

  it.live("takes over from one that has stood still where there are no locks: that one can write no more", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const [first, second] = [yield* open(), yield* open()]
      for (const { page } of [first, second]) {
        yield* Effect.promise(() =>
          page.evaluate(() => Object.defineProperty(navigator, "locks", { value: undefined, configurable: true }))
        )
      }
      yield* begin(first)
      yield* keep(first, 1)
      assert.deepInclude(yield* begin(second, 0), { message: "another client uses this storage" })
      const still = yield* Effect.forkChild(
        first.run(async () => {
          const began = performance.now()
          while (performance.now() - began < 4_500);
        }),
        { startImmediately: true }
      )
      assert.deepStrictEqual(yield* begin(second, "forever"), is([1]))
      yield* keep(second, 2)
      yield* Fiber.join(still)
      assert.deepInclude(yield* keep(first, 3), {
        error: "StoreUnavailable",
        message: "another client uses this storage"
      })
      yield* second.reload
      assert.deepStrictEqual(yield* begin(second), is([1, 2]))
    })
  )
})

describe("storage", () => {
  it.live("that is full refuses what has no room, and lets go of what is there", () =>
    Effect.gen(function* () {
      const { open, origin } = yield* Tabs.user(browser)
      const tab = yield* open()
      yield* Effect.promise(() =>
        tab.devtools.send("Storage.overrideQuotaForOrigin", { origin: new URL(origin).origin, quotaSize: 200_000 })
      )
      yield* begin(tab)
      yield* keep(tab, 1)
      const [full, removed] = yield* Effect.all([keep(tab, 2, 1_000_000), answered(tab, 1)], { concurrency: 2 })
      assert.deepInclude(full, { error: "StoreUnavailable" })
      assert.match(full.message!, /^the storage cannot be used: QuotaExceededError/)
      assert.deepStrictEqual(removed, {} as never)
      assert.deepStrictEqual(yield* keep(tab, 3), {})
      yield* tab.reload
      assert.deepStrictEqual(yield* begin(tab), is([3]))
    })
  )

  it.live("that its user clears fails from then on, and is there again for the next life, empty", () =>
    Effect.gen(function* () {
      const { open, origin } = yield* Tabs.user(browser)
      const tab = yield* open()
      yield* begin(tab)
      yield* keep(tab, 1)
      yield* Effect.promise(() =>
        tab.devtools.send("Storage.clearDataForOrigin", { origin: new URL(origin).origin, storageTypes: "indexeddb" })
      )
      const gone = yield* keep(tab, 2)
      assert.deepInclude(gone, { error: "StoreUnavailable" })
      assert.match(gone.message!, /it was taken away, as when a user clears what sites keep/)
      yield* tab.reload
      assert.deepStrictEqual(yield* begin(tab), is([]))
    })
  )

  it.live("that a page may not have is unavailable", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const refused = yield* begin(yield* open("data:text/html,<title>of no origin</title>"))
      assert.deepInclude(refused, { error: "StoreUnavailable" })
      assert.match(JSON.stringify(refused), /the storage cannot be used: SecurityError/)
    })
  )
})
