/** Tabs of a real browser that share one connection to a real hub. */
import * as Effect from "effect/Effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { launch } from "../support/chromium.ts"
import * as Tabs from "../support/tabs.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** The publications that were heard are all there are from where the tab began, each once and in order. */
const assertWhole = (heard: ReadonlyArray<string>, last: string) => {
  const [first, ...messages] = heard
  const [epoch, start] = /^Subscribed (.*):(\d+)$/.exec(first ?? "")!.slice(1)
  const [, end] = /:(\d+)$/.exec(last)!
  assert.deepStrictEqual(
    messages,
    Array.from({ length: Number(end) - Number(start) }, (_, i) => `${epoch}:${Number(start) + 1 + i}`)
  )
}

const until = (holds: () => Promise<boolean>) =>
  Effect.promise(async () => {
    const deadline = performance.now() + 15_000
    while (!(await holds())) if (performance.now() > deadline) throw new Error(`never: ${holds}`)
  })

/** All of them have heard it, and everything before. */
const assertAllWhole = (tabs: ReadonlyArray<Tabs.Tab>, last: string) =>
  Effect.gen(function* () {
    for (const tab of tabs) {
      yield* until(async () => (await tab.get("heard")).at(-1) === last)
      assertWhole(yield* Effect.promise(() => tab.get("heard")), last)
    }
  })

describe.each([
  ["a leader", undefined],
  ["a worker", "worker.js"]
] as const)("tabs that share %s", (_, worker) => {
  it.live("have one connection, ten of them, and each hears each", () =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      const tabs = yield* Effect.promise(() => Promise.all(Array.from({ length: 10 }, () => open(worker))))
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      assert.strictEqual(yield* Effect.promise(connections), 1)
      const positions = yield* Effect.promise(() =>
        Promise.all(tabs.map((tab, i) => tab.call("publish", "lobby", { from: i })))
      )
      assert.strictEqual(new Set(positions).size, 10)
      const last = positions.sort((one, other) => Number(one.split(":")[1]) - Number(other.split(":")[1])).at(-1)!
      yield* assertAllWhole(tabs, last)
      assert.strictEqual(yield* Effect.promise(connections), 1)
      const roles = yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("role"))))
      const expected = worker === undefined ? ["Leader", ...Array.from({ length: 9 }, () => "Follower")] : ["Worker"]
      assert.deepStrictEqual(worker === undefined ? roles.sort().reverse() : [...new Set(roles)], expected)
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("stop"))))
      if (worker === undefined) yield* until(async () => (await connections()) === 0)
    })
  )
})
