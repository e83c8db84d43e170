/** Tabs of a real browser that share one connection to a real hub. */
import * as Effect from "effect/Effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { launch } from "../support/chromium.ts"
import * as Tabs from "../support/tabs.ts"

let browser: Browser
beforeAll(async () => {
  // Playwright and the headless shell leave pages out of the back/forward cache unless they are told.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"], args: ["--enable-bfcache"] })
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

const rolesOf = (tabs: ReadonlyArray<Tabs.Tab>) => Promise.all(tabs.map((tab) => tab.call("role")))

const leaderOf = async (tabs: ReadonlyArray<Tabs.Tab>) => tabs[(await rolesOf(tabs)).indexOf("Leader")]

/** From 0 to one less than `below`, by a seed: mulberry32. */
const randomOf = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

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
      const roles = yield* Effect.promise(() => rolesOf(tabs))
      const followers = Array.from({ length: 9 }, () => "Follower")
      assert.sameMembers(roles, worker === undefined ? ["Leader", ...followers] : tabs.map(() => "Worker"))
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("stop"))))
      if (worker === undefined) yield* until(async () => (await connections()) === 0)
    })
  )

  it.live("come and go while all publish, and what they hear is whole", () =>
    Effect.gen(function* () {
      const seed = Math.trunc(Math.random() * 2 ** 31)
      yield* Effect.addFinalizer((exit) =>
        Effect.sync(() => {
          if (exit._tag === "Failure") console.error(`seed ${seed}`)
        })
      )
      const random = randomOf(seed)
      const { connections, open } = yield* Tabs.make(browser)
      const publishing: Array<Promise<unknown>> = []
      const gone = new Set<Tabs.Tab>()
      let said = 0
      const publish = (tab: Tabs.Tab) =>
        tab.call("publish", "lobby", said++).catch((error: unknown) => {
          if (!gone.has(tab)) throw error
        })
      const enter = async (): Promise<Tabs.Tab> => {
        const tab = await open(worker)
        await tab.call("listen", "lobby")
        return tab
      }
      const tabs = yield* Effect.promise(() => Promise.all(Array.from({ length: 5 }, enter)))
      for (let step = 0; step < 60; step++) {
        const which = random(tabs.length)
        const choice = random(10)
        yield* Effect.promise(async () => {
          if (choice < 6) {
            for (const tab of tabs) if (random(2) === 0) publishing.push(publish(tab))
          } else if (choice < 8 && tabs.length > 2) {
            const [tab] = tabs.splice(which, 1)
            // What it has said may have been heard or not.
            gone.add(tab!)
            await (random(3) === 0 ? tab!.crash() : tab!.close())
          } else if (tabs.length < 10) tabs.push(await enter())
        })
      }
      const last = yield* Effect.promise(async () => {
        await Promise.all(publishing)
        return tabs[0]!.call("publish", "lobby", "the last")
      })
      yield* assertAllWhole(tabs, last)
      for (const tab of tabs) {
        const data = yield* Effect.promise(() => tab.get("data"))
        assert.strictEqual(new Set(data).size, data.length, "twice")
        assert.deepStrictEqual(yield* Effect.promise(() => tab.get("failures")), [])
      }
      yield* until(async () => (await connections()) === 1)
    })
  )
})

describe("tabs that share a leader", () => {
  it.live.each(["close", "crash"] as const)("go on without loss when it goes: %s", (way) =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      let tabs = yield* Effect.promise(async () => {
        const first = await open()
        const rest = await Promise.all(Array.from({ length: 3 }, () => open()))
        return [first, ...rest]
      })
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      for (let round = 0; round < 3; round++) {
        const leader = (yield* Effect.promise(() => leaderOf(tabs)))!
        tabs = tabs.filter((tab) => tab !== leader)
        const publishing = tabs.flatMap((tab) => [1, 2, 3].map((n) => tab.call("publish", "lobby", n)))
        const last = yield* Effect.promise(async () => {
          await leader[way]()
          await Promise.all(publishing)
          return tabs[0]!.call("publish", "lobby", "last")
        })
        yield* assertAllWhole(tabs, last)
        yield* until(async () => (await leaderOf(tabs)) !== undefined)
        yield* until(async () => (await connections()) === 1)
      }
      assert.strictEqual(tabs.length, 1)
    })
  )

  it.live("see its connection as theirs: all of them are told when it is lost, and what they say meanwhile waits", () =>
    Effect.gen(function* () {
      const { open, stop } = yield* Tabs.make(browser)
      const tabs = yield* Effect.promise(async () => [await open(), await open(), await open()])
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      for (const tab of tabs) assert.strictEqual((yield* Effect.promise(() => tab.get("states"))).at(-1), "Open")
      yield* stop
      for (const tab of tabs) yield* until(async () => (await tab.get("states")).at(-1) === "Connecting")
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(tabs)), ["Leader", "Follower", "Follower"])
    })
  )

  it.live("take another for one that is put away, and have it back as one of them", () =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      const [first, other] = yield* Effect.promise(async () => [await open(), await open()] as const)
      yield* Effect.promise(() => Promise.all([first, other].map((tab) => tab.call("listen", "lobby"))))
      assert.strictEqual(yield* Effect.promise(() => first.call("role")), "Leader")
      const happen = (type: string) =>
        first.page.evaluate(`dispatchEvent(new PageTransitionEvent("${type}", { persisted: true }))`)
      yield* Effect.promise(() => happen("pagehide"))
      yield* until(async () => (await other.call("role")) === "Leader")
      yield* Effect.promise(() => other.call("publish", "lobby", "while it was away"))
      yield* until(async () => (await connections()) === 1)
      // Its own life, and that it leads: the one that was put away has no lock, and waits for none.
      const locks = "navigator.locks.query().then(({ held, pending }) => [held.length, pending.length])"
      assert.deepStrictEqual(yield* Effect.promise(() => first.page.evaluate(locks)), [2, 0])
      assert.strictEqual((yield* Effect.promise(() => first.get("states"))).at(-1), "Away")
      yield* Effect.promise(() => happen("pageshow"))
      const last = yield* Effect.promise(() => first.call("publish", "lobby", "last"))
      yield* assertAllWhole([first, other], last)
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf([first, other])), ["Follower", "Leader"])
    })
  )
})

describe('a tab that its browser keeps for "back"', () => {
  it.live.each([
    ["leads", 0],
    ["follows", 1]
  ] as const)("and that %s is one of those that follow when it comes back, with all that it has missed", ([, which]) =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      const tabs = yield* Effect.promise(async () => [await open(), await open()] as const)
      const [first, other] = [tabs[which], tabs[1 - which]!]
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(tabs)), ["Leader", "Follower"])
      const home = first.page.url()
      yield* Effect.promise(() => first.page.goto(`${home}page.js`))
      yield* until(async () => (await other.call("role")) === "Leader")
      yield* Effect.promise(() => other.call("publish", "lobby", "while it was away"))
      yield* until(async () => (await connections()) === 1)
      yield* Effect.promise(() => first.page.goBack({ waitUntil: "commit" }))
      const isKept = "performance.getEntriesByType('navigation')[0].type === 'navigate' && 'modules' in globalThis"
      yield* until(() => first.page.evaluate(isKept))
      const last = yield* Effect.promise(() => first.call("publish", "lobby", "last"))
      yield* assertAllWhole([first, other], last)
      assert.deepStrictEqual(yield* Effect.promise(() => first.get("data")), ["while it was away", "last"])
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf([first, other])), ["Follower", "Leader"])
    })
  )
})

describe("tabs that share a worker", () => {
  it.live("go on without loss when it dies, and share the next one", () =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      const tabs = yield* Effect.promise(() => Promise.all([1, 2, 3].map(() => open("worker.js"))))
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      for (let round = 0; round < 3; round++) {
        const publishing = tabs.flatMap((tab) => [1, 2, 3].map((n) => tab.call("publish", "lobby", `${round} ${n}`)))
        const last = yield* Effect.promise(async () => {
          await tabs[0]!.page.evaluate(`new BroadcastChannel("end of the worker").postMessage("now")`)
          await Promise.all(publishing)
          return tabs[1]!.call("publish", "lobby", `${round} last`)
        })
        yield* assertAllWhole(tabs, last)
        yield* until(async () => (await connections()) === 1)
      }
      for (const tab of tabs) assert.strictEqual((yield* Effect.promise(() => tab.get("data"))).length, 3 * 10)
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(tabs)), ["Worker", "Worker", "Worker"])
    })
  )
})

describe("a tab", () => {
  it.live("elects a leader where its worker says nothing for 8 s", () =>
    Effect.gen(function* () {
      const { connections, context, open } = yield* Tabs.make(browser)
      // Time goes as the test says.
      yield* Effect.promise(() => context.clock.install())
      const tabs = yield* Effect.promise(async () => [await open("mute.js"), await open("mute.js")] as const)
      const [one] = tabs
      assert.strictEqual(yield* Effect.promise(() => one.call("role")), "Worker")
      for (const { page } of tabs) yield* Effect.promise(() => page.clock.fastForward(8_001))
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      assert.sameMembers(yield* Effect.promise(() => rolesOf(tabs)), ["Leader", "Follower"])
      assert.strictEqual(yield* Effect.promise(connections), 1)
    })
  )

  it.live.each([
    ["is missing", "missing.js"],
    ["is broken", "broken.js"]
  ] as const)("elects a leader where its worker %s", ([, script]) =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser)
      const tabs = yield* Effect.promise(async () => [await open(script), await open()])
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      assert.sameMembers(yield* Effect.promise(() => rolesOf(tabs)), ["Leader", "Follower"])
      assert.strictEqual(yield* Effect.promise(connections), 1)
    })
  )

  it.live("has a connection of its own where there are no locks", () =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser, () =>
        Object.defineProperty(Navigator.prototype, "locks", { value: undefined })
      )
      const tabs = yield* Effect.promise(() => Promise.all([open(), open()]))
      yield* Effect.promise(() => Promise.all(tabs.map((tab) => tab.call("listen", "lobby"))))
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(tabs)), ["Alone", "Alone"])
      assert.strictEqual(yield* Effect.promise(connections), 2)
      const last = yield* Effect.promise(() => tabs[0]!.call("publish", "lobby", 1))
      yield* assertAllWhole(tabs, last)
    })
  )

  it.live("has a connection of its own where locks are forbidden, unless there is a worker to share", () =>
    Effect.gen(function* () {
      const { connections, open } = yield* Tabs.make(browser, () => {
        LockManager.prototype.request = () => Promise.reject(new DOMException("no", "SecurityError"))
      })
      const alone = yield* Effect.promise(() => Promise.all([open(), open()]))
      yield* Effect.promise(() => Promise.all(alone.map((tab) => tab.call("listen", "lobby"))))
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(alone)), ["Alone", "Alone"])
      const sharing = yield* Effect.promise(() => Promise.all([open("worker.js"), open("worker.js")]))
      yield* Effect.promise(() => Promise.all(sharing.map((tab) => tab.call("listen", "lobby"))))
      assert.deepStrictEqual(yield* Effect.promise(() => rolesOf(sharing)), ["Worker", "Worker"])
      assert.strictEqual(yield* Effect.promise(connections), 3)
    })
  )
})
