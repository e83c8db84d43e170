/** What a page is told of its life, in a real browser that loses the network, freezes, sleeps and navigates. */
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch } from "../support/chromium.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  // Playwright and the headless shell leave pages out of the back/forward cache unless they are told.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"], args: ["--enable-bfcache"] })
}, 60_000)
afterAll(() => browser.close())

const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** A page that keeps what it is told. */
const listening = (address?: string) =>
  Effect.gen(function* () {
    const { page, run } = yield* Page.open(browser, address)
    yield* run(async ({ Effect, PageLife, Stream }) => {
      const events: Array<unknown> = []
      const happenings: Array<string> = []
      Object.assign(globalThis, { events, happenings })
      Effect.runFork(Stream.runForEach(PageLife.events, (event) => Effect.sync(() => events.push(event))))
      Effect.runFork(Stream.runForEach(PageLife.surroundings, (word) => Effect.sync(() => happenings.push(word))))
    })
    const kept = (name: "events" | "happenings") =>
      promise(() => page.evaluate((name) => Reflect.get(globalThis, name) as ReadonlyArray<unknown>, name))
    const until = (name: "events" | "happenings", count: number) =>
      promise(async () => {
        await page.waitForFunction(
          ([name, count]) => (Reflect.get(globalThis, name) as ReadonlyArray<unknown>).length >= count,
          [name, count] as const
        )
      })
    return { page, run, kept, until }
  })

describe("a page is told", () => {
  it.live("that it has no network, and that it may have one again, which is to be checked", () =>
    Effect.gen(function* () {
      const { kept, page, run, until } = yield* listening()
      const state = run(({ Effect, PageLife }) => Effect.runPromise(PageLife.state))
      yield* promise(() => page.context().setOffline(true))
      yield* until("events", 1)
      assert.deepStrictEqual(yield* state, { isOnline: false, isVisible: true })
      yield* promise(() => page.context().setOffline(false))
      yield* until("events", 2)
      assert.deepStrictEqual(yield* state, { isOnline: true, isVisible: true })
      assert.deepStrictEqual(yield* kept("events"), [{ _tag: "Offline" }, { _tag: "Online" }])
      assert.deepStrictEqual(yield* kept("happenings"), ["Check"])
    })
  )

  it.live("that it goes into the back/forward cache, which is to leave, and comes back, which is to return", () =>
    Effect.gen(function* () {
      const { kept, page, until } = yield* listening()
      const home = page.url()
      yield* promise(() => page.goto(`${home}elsewhere`))
      yield* promise(() => page.evaluate(() => void setTimeout(() => history.back())))
      yield* promise(() => page.waitForURL(home, { waitUntil: "commit" }))
      yield* until("events", 6)
      assert.deepStrictEqual(yield* kept("events"), [
        { _tag: "Left", persisted: true },
        { _tag: "Hidden" },
        { _tag: "Frozen" },
        { _tag: "Resumed" },
        { _tag: "Visible" },
        { _tag: "Shown", persisted: true }
      ])
      assert.deepStrictEqual(yield* kept("happenings"), ["Leave", "Return", "Check"])
    })
  )

  it.live("that it is frozen while it is looked at by nobody, which is to leave, too", () =>
    Effect.gen(function* () {
      const { kept, page } = yield* listening()
      // A headless page is never frozen like this: what tells it is the platform's own event, from here.
      const tell = (type: string) =>
        promise(() => page.evaluate((type) => void document.dispatchEvent(new Event(type)), type))
      yield* tell("resume")
      yield* tell("freeze")
      yield* tell("freeze")
      // What happens meanwhile is no reason to come back.
      yield* promise(() => page.evaluate(() => void dispatchEvent(new Event("online"))))
      assert.deepStrictEqual(yield* kept("happenings"), ["Leave"])
      yield* tell("resume")
      yield* tell("resume")
      assert.deepStrictEqual(yield* kept("happenings"), ["Leave", "Return"])
      // Other browsers freeze nothing, and say no more than that it is left and shown.
      yield* promise(() =>
        page.evaluate(() => {
          for (const type of ["pagehide", "pageshow"]) dispatchEvent(new PageTransitionEvent(type, { persisted: true }))
        })
      )
      assert.deepStrictEqual(yield* kept("happenings"), ["Leave", "Return", "Leave", "Return"])
    })
  )

  it.live("that it is hidden, of which nothing follows, and seen again, which is a reason to look", () =>
    Effect.gen(function* () {
      const { kept, page, until } = yield* listening()
      // A headless page is always seen: what tells otherwise is the platform's own event, from here.
      const seen = (state: string) =>
        promise(() =>
          page.evaluate((state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true })
            document.dispatchEvent(new Event("visibilitychange"))
          }, state)
        )
      yield* seen("hidden")
      yield* seen("visible")
      yield* until("events", 2)
      assert.deepStrictEqual(yield* kept("events"), [{ _tag: "Hidden" }, { _tag: "Visible" }])
      assert.deepStrictEqual(yield* kept("happenings"), ["Check"])
    })
  )

  it.live("that the clock has jumped, and nothing of a clock that goes on, is set back, or is not looked at", () =>
    Effect.gen(function* () {
      const { page, run } = yield* Page.open(browser)
      yield* promise(() => page.clock.install({ time: 0 }))
      yield* run(async ({ Effect, PageLife, Stream }) => {
        const events: Array<unknown> = []
        Object.assign(globalThis, { events })
        Effect.runFork(Stream.runForEach(PageLife.events, (event) => Effect.sync(() => events.push(event))))
      })
      const events = promise(() =>
        page.evaluate(() => Reflect.get(globalThis, "events") as ReadonlyArray<{ lost?: number; _tag: string }>)
      )
      yield* promise(() => page.clock.pauseAt(1_000))
      yield* promise(() => page.clock.runFor(120_000))
      assert.deepStrictEqual(yield* events, [])
      // The lid is closed for an hour.
      yield* promise(() => page.clock.fastForward(3_600_000))
      const [slept, ...others] = yield* events
      assert.deepStrictEqual([slept?._tag, others], ["Slept", []])
      assert.closeTo(slept!.lost!, 3_595_000, 5_000)
      // What is hidden has timers that are held back, for a minute or so.
      yield* promise(() => page.evaluate(() => Object.defineProperty(document, "visibilityState", { value: "hidden" })))
      yield* promise(() => page.clock.runFor(10_000))
      yield* promise(() => page.clock.fastForward(60_000))
      yield* promise(() => page.clock.runFor(10_000))
      assert.lengthOf(yield* events, 1)
    })
  )

  it.live(
    "nothing any more when nobody listens, and never of its unloading, which would keep it out of the cache",
    () =>
      Effect.gen(function* () {
        const { run } = yield* Page.open(browser)
        const { added, left } = yield* run(async ({ Effect, Fiber, PageLife, Stream }) => {
          const added: Array<string> = []
          let left = 0
          const add = EventTarget.prototype.addEventListener
          EventTarget.prototype.addEventListener = function (type, listener, options) {
            if (this === globalThis || this === document) {
              added.push(type)
              left++
              const { signal } = options as AddEventListenerOptions
              add.call(signal!, "abort", () => void left--)
            }
            add.call(this, type, listener, options)
          }
          const { clearInterval, setInterval } = globalThis
          globalThis.setInterval = ((run: () => void, ms: number) => (left++, setInterval(run, ms))) as never
          globalThis.clearInterval = (timer) => (left--, clearInterval(timer))
          const listening = Effect.runFork(Stream.runDrain(PageLife.surroundings))
          await Effect.runPromise(Fiber.interrupt(listening))
          return { added, left }
        })
        assert.sameMembers(added, ["freeze", "offline", "online", "pagehide", "pageshow", "resume", "visibilitychange"])
        assert.strictEqual(left, 0)
      })
  )
})

describe("a worker", () => {
  it.live("has the network and the clock, and no more", () =>
    Effect.gen(function* () {
      const { run } = yield* Page.open(browser)
      yield* run(async () => {
        const bundle = [...document.scripts].map(({ textContent }) => textContent).find((text) => text !== "")
        const program = `
          const { Effect, PageLife, Stream } = modules
          addEventListener("message", ({ data }) => void dispatchEvent(new Event(data)))
          Effect.runPromise(PageLife.state).then(postMessage)
          Effect.runFork(Stream.runForEach(PageLife.events, (event) => Effect.sync(() => postMessage(event._tag))))
        `
        const source = URL.createObjectURL(new Blob([`${bundle}\n;{${program}}`]))
        const said: Array<unknown> = []
        const worker = new Worker(source)
        Object.assign(globalThis, { said, worker })
        worker.addEventListener("message", ({ data }) => void said.push(data))
        worker.addEventListener("error", ({ message }) => void said.push(message))
        while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      })
      // The browser's emulation of the network does not reach workers: the platform's own events, from here.
      const said = yield* run(async () => {
        const { said, worker } = globalThis as unknown as { said: Array<unknown>; worker: Worker }
        for (const type of ["online", "offline"]) {
          // oxlint-disable-next-line unicorn/require-post-message-target-origin -- it is no window
          worker.postMessage(type)
        }
        while (said.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
        return said
      })
      assert.deepStrictEqual(said, [{ isOnline: true, isVisible: true }, "Online", "Offline"])
    })
  )
})
