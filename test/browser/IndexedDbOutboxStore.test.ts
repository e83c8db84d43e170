/** Commands of a page that is loaded again and crashes, with and without a connection: none twice, all in order. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as Tabs from "../support/userTabs.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

declare global {
  /** In the page: says so many, counted from the first. */
  var sayMore: (first: number, count: number) => void
  var isIdle: () => boolean
  var dropped: () => number
}

/** A life of the page. Which commands were accepted is in `localStorage`. */
const live = (tab: Tabs.Tab, port: number, version = "1") =>
  tab.run(
    (modules, port, version) => {
      const { BrowserWebSocket, Client, Contract, Effect, IndexedDbOutboxStore, Schedule, Schema, Scope } = modules
      const Numbers = Contract.make("numbers", { version, commands: { say: Schema.Number } })
      const life = Effect.gen(function* () {
        const store = yield* IndexedDbOutboxStore.make({ name: "test" })
        const open = BrowserWebSocket.open(`ws://127.0.0.1:${port}/`)
        const client = yield* Client.make(Numbers, open, {
          reconnect: Schedule.spaced("20 millis"),
          outbox: { store }
        })
        let saying = 0
        globalThis.isIdle = () => saying === 0
        globalThis.dropped = client.dropped
        globalThis.sayMore = (first, count) => {
          for (let number = first; number < first + count; number++) {
            saying++
            Effect.runFork(
              Effect.map(client.emit("say", number), () => {
                saying--
                localStorage.setItem("accepted", `${localStorage.getItem("accepted") ?? ""}${number},`)
              })
            )
          }
        }
      })
      return Effect.runPromise(Scope.provide(life, Scope.makeUnsafe()))
    },
    port,
    version
  )

/** A server, and what it has heard. */
const hearing = Effect.gen(function* () {
  const Numbers = Contract.make("numbers", { version: "1", commands: { say: Schema.Number } })
  const heard: Array<number> = []
  const { port } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
    Effect.flatMap(Session.accept(Numbers, connection), (session) =>
      session.handle({ say: (number) => Effect.sync(() => void heard.push(number)) })
    )
  )
  return { heard, port }
})

const isAscending = (numbers: ReadonlyArray<number>) =>
  numbers.every((number, i) => i === 0 || number > numbers[i - 1]!)

describe("commands of a page", () => {
  it.live(
    "that had no connection are said by the first life that has, each once, whatever the moments of reloads",
    () =>
      Effect.gen(function* () {
        const { heard, port } = yield* hearing
        const { open } = yield* Tabs.user(browser)
        let tab = yield* open()
        for (let life = 1; life <= 5; life++) {
          yield* live(tab, nobodysPort)
          yield* tab.run(async (_, life) => sayMore(life * 1_000, 25), life)
          yield* Effect.sleep(Math.random() * 20)
          if (life !== 3) yield* tab.reload
          else {
            yield* tab.crash
            tab = yield* open()
          }
        }
        yield* live(tab, port)
        yield* tab.run(async () => sayMore(9_000, 1))
        yield* eventually(() => heard.at(-1) === 9_000)
        const accepted = yield* Effect.promise(() => tab.page.evaluate(() => localStorage.getItem("accepted")!))
        const numbers = accepted.split(",").slice(0, -1).map(Number)
        assert.isTrue(isAscending(heard), `${heard}`)
        assert.deepStrictEqual(
          numbers.filter((number) => !heard.includes(number)),
          []
        )
        assert.isAtLeast(numbers.length, 2)
        assert.strictEqual(yield* tab.run(async () => dropped()), 0)
        // All are gone: the next life has nothing to say.
        yield* tab.reload
        yield* live(tab, port)
        yield* tab.run(async () => sayMore(10_000, 1))
        yield* eventually(() => heard.at(-1) === 10_000)
        assert.strictEqual(heard.at(-2), 9_000)
      })
  )

  it.live("that are said while there is a connection are never said twice, whatever the moments of reloads", () =>
    Effect.gen(function* () {
      const { heard, port } = yield* hearing
      const { open } = yield* Tabs.user(browser)
      const tab = yield* open()
      for (let life = 1; life <= 5; life++) {
        yield* live(tab, port)
        yield* tab.run(async (_, life) => sayMore(life * 1_000, 25), life)
        yield* Effect.sleep(Math.random() * 40)
        yield* tab.reload
      }
      yield* live(tab, port)
      yield* tab.run(async () => sayMore(9_000, 1))
      yield* eventually(() => heard.at(-1) === 9_000)
      assert.isTrue(isAscending(heard), `${heard}`)
    })
  )

  it.live("are not said by another version of the program, but counted", () =>
    Effect.gen(function* () {
      const { open } = yield* Tabs.user(browser)
      const tab = yield* open()
      yield* live(tab, nobodysPort)
      yield* tab.run(async () => sayMore(1, 3))
      yield* Effect.promise(() => tab.page.waitForFunction(() => isIdle()))
      yield* tab.reload
      yield* live(tab, nobodysPort, "2")
      assert.strictEqual(yield* tab.run(async () => dropped()), 3)
    })
  )
})
