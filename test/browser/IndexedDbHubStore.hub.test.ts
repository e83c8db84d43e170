/** A client of the hub in a page that is loaded again, crashes, and loses its hub: nothing lost, nothing twice, in order. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubServer from "@millrace/node/HubServer"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as HubPeer from "../support/hubClient.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as Tabs from "../support/userTabs.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

declare global {
  /** In the page: publishes so many, counted from the first. */
  var publishMore: (first: number, count: number) => void
  var unanswered: () => number
}

/**
 * A life of the page. What it has heard, and what its store has taken, is in `localStorage`, which is written in the very
 * call.
 */
const live = (tab: Tabs.Tab, port: number) =>
  tab.run((modules, port) => {
    const { BrowserWebSocket, Effect, HubClient, IndexedDbHubStore, Schedule, Scope, Stream } = modules
    const remember = (name: string, value: unknown) =>
      localStorage.setItem(name, `${localStorage.getItem(name) ?? ""}${JSON.stringify(value)},`)
    const life = Effect.gen(function* () {
      const store = yield* IndexedDbHubStore.make({ name: "test" })
      const hub = yield* HubClient.make(
        BrowserWebSocket.open(`ws://127.0.0.1:${port}/ws`, { subprotocols: HubClient.subprotocols }),
        {
          reconnect: Schedule.spaced("20 millis"),
          store: {
            ...store,
            keep: (publication) =>
              Effect.tap(store.keep(publication), () =>
                Effect.sync(() => remember("kept", JSON.parse(publication.dataJson)))
              )
          }
        }
      )
      let unanswered = 0
      let left = true
      globalThis.unanswered = () => unanswered + (left ? 1 : 0)
      yield* Effect.forkScoped(
        Effect.andThen(
          Stream.runForEach(hub.leftovers, ({ data, result }) =>
            Effect.sync(() => result._tag === "Failure" && remember("failed", [data, result.failure.message]))
          ),
          Effect.sync(() => void (left = false))
        )
      )
      yield* Effect.forkScoped(
        Stream.runForEach(hub.subscribe("numbers"), (element) =>
          Effect.sync(() => {
            if (element._tag === "Message") remember("heard", element.data)
            else if (element._tag === "Gap") remember("heard", "a gap")
          })
        )
      )
      globalThis.publishMore = (first, count) => {
        for (let number = first; number < first + count; number++) {
          unanswered++
          Effect.runFork(
            Effect.matchCause(hub.publish("numbers", number), {
              onFailure: (cause) => remember("failed", [number, String(cause)]),
              onSuccess: () => void unanswered--
            })
          )
        }
      }
    })
    return Effect.runPromise(Scope.provide(life, Scope.makeUnsafe()))
  }, port)

const remembered = (tab: Tabs.Tab, name: string): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.promise(async () =>
    JSON.parse(`[${(await tab.page.evaluate((name) => localStorage.getItem(name), name))?.slice(0, -1) ?? ""}]`)
  )

/** All numbers that the hub has handed out, as another client hears them. */
const listening = (port: number) =>
  Effect.gen(function* () {
    const peer = yield* HubPeer.connect(port, "listener")
    yield* HubPeer.subscribe(peer, "numbers")
    const numbers: Array<unknown> = []
    yield* Effect.forkScoped(
      Effect.forever(Effect.map(peer.hear, (heard) => heard.type === "message" && numbers.push(heard["data"])))
    )
    return numbers
  })

const ascending = (numbers: ReadonlyArray<unknown>) =>
  numbers.every((number, i) => i === 0 || Number(number) > Number(numbers[i - 1]))

describe("a page with a store", () => {
  for (const end of ["reload", "crash"] as const) {
    it.live(`has each publication heard once and in order, by itself, too, whatever the moment of a ${end}`, () =>
      Effect.gen(function* () {
        const { port } = yield* HubServer.serve({ origin: Origin.any })
        const numbers = yield* listening(port)
        const { open } = yield* Tabs.user(browser)
        let tab = yield* open()
        for (let round = 1; round <= (end === "reload" ? 20 : 5); round++) {
          yield* live(tab, port)
          yield* tab.run(async (_, round) => publishMore(round * 1_000, 25), round)
          yield* Effect.sleep(Math.random() * 60)
          if (end === "reload") yield* tab.reload
          else {
            yield* tab.crash
            tab = yield* open()
          }
        }
        yield* live(tab, port)
        yield* Effect.promise(() => tab.page.waitForFunction(() => unanswered() === 0))
        const kept = yield* remembered(tab, "kept")
        assert.deepStrictEqual(yield* remembered(tab, "failed"), [])
        // One that was written may not have been told to the page before it went. The listener hears of it in its own time.
        yield* eventually(() => kept.every((number) => numbers.includes(number)))
        assert.isTrue(ascending(numbers), `${numbers}`)
        assert.isNotEmpty(kept)
        // Who crashes may hear again what it has heard in the last 200 ms.
        if (end === "crash") return
        yield* Effect.promise(() =>
          tab.page.waitForFunction((last) => localStorage.getItem("heard")?.endsWith(`${last},`), `${numbers.at(-1)}`)
        )
        const heard = yield* remembered(tab, "heard")
        assert.deepStrictEqual(heard, numbers.slice(numbers.indexOf(heard[0])))
      })
    )
  }

  it.live("gets what was said while it was not there, once, and nothing again when nothing was", () =>
    Effect.gen(function* () {
      const { hub, port } = yield* HubServer.serve({ origin: Origin.any })
      const publisher = yield* HubPeer.connect(port, "publisher")
      const publish = (number: number) => publisher.say({ type: "publish", topic: "numbers", data: number })
      const { open, origin } = yield* Tabs.user(browser)
      const tab = yield* open()
      const heard = (count: number) =>
        Effect.promise(() =>
          tab.page.waitForFunction((count) => localStorage.getItem("heard")?.split(",").length === count + 1, count)
        )
      yield* live(tab, port)
      yield* eventually(() => hub.topics() === 1)
      publish(1)
      publish(2)
      yield* heard(2)
      for (let life = 0; life < 3; life++) {
        yield* tab.reload
        yield* live(tab, port)
      }
      yield* Effect.promise(() => tab.page.goto("about:blank"))
      publish(3)
      publish(4)
      yield* Effect.promise(() => tab.page.goto(origin))
      yield* tab.reload
      yield* live(tab, port)
      publish(5)
      yield* heard(5)
      assert.deepStrictEqual(yield* remembered(tab, "heard"), [1, 2, 3, 4, 5])
    })
  )

  it.live("says what was published while its hub was away when that is back, from a later life", () =>
    Effect.gen(function* () {
      const { port } = yield* HubServer.serve({ origin: Origin.any })
      const numbers = yield* listening(port)
      const { open } = yield* Tabs.user(browser)
      const tab = yield* open()
      for (const life of [1, 2, 3]) {
        yield* live(tab, nobodysPort)
        yield* tab.run(async (_, life) => publishMore(life * 10, 3), life)
        yield* Effect.promise(() =>
          tab.page.waitForFunction((life) => localStorage.getItem("kept")?.split(",").length === 3 * life + 1, life)
        )
        yield* tab.reload
      }
      yield* live(tab, port)
      yield* Effect.promise(() => tab.page.waitForFunction(() => unanswered() === 0))
      yield* eventually(() => numbers.length === 9)
      assert.deepStrictEqual(numbers, [10, 11, 12, 20, 21, 22, 30, 31, 32])
      assert.deepStrictEqual(yield* remembered(tab, "failed"), [])
    })
  )
})
