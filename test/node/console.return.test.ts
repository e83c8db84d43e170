/** The hub's page as a real browser puts it aside and shows it again: in its cache, not loaded anew. */
import type { Browser, Page } from "playwright-core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HubServer from "@millrace/node/HubServer"
import { afterAll, beforeAll } from "vitest"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import { blank } from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  // Playwright and the headless shell leave pages out of the back/forward cache unless they are told.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"], args: ["--enable-bfcache"] })
}, 60_000)
afterAll(() => browser.close())

const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** What the page shows of messages. */
const texts = (page: Page) => page.locator("#messages .text").allTextContents()

const say = (url: string, data: string) =>
  promise(async () => {
    const body = JSON.stringify({ topic: "lobby", data })
    const response = await fetch(`${url}/publish`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body
    })
    assert.strictEqual(response.status, 200)
  })

describe.each([
  ["by WebSocket", "", false],
  ["by WebSocket, with its frames in sight", "", true],
  ["by an event stream", "&via=sse", false]
] as const)("a page %s", (_, via, withFrames) => {
  it.live("is kept when it is left, and connected when it is come back to, with what was said meanwhile", () =>
    Effect.gen(function* () {
      const hub = yield* HubServer.serve({})
      const url = `http://127.0.0.1:${hub.port}`
      const elsewhere = yield* blank
      const context = yield* Effect.acquireRelease(
        promise(() => browser.newContext()),
        (context) => promise(() => context.close())
      )
      const complaints: Array<string> = []
      const page = yield* promise(async () => {
        const page = await context.newPage()
        page.on("console", (message) => complaints.push(message.text()))
        page.on("pageerror", (error) => complaints.push(String(error)))
        await page.goto(`${url}/?topic=lobby&name=ada${via}`)
        await page.locator('#state[data-state="connected"]').waitFor()
        await page.evaluate(() =>
          addEventListener("pageshow", ({ persisted }) => Object.assign(globalThis, { persisted }))
        )
        if (withFrames) {
          await page.getByRole("tab", { name: "Frames" }).click()
          await page.locator("#frames-list tr", { hasText: "A WebSocket" }).waitFor()
        }
        return page
      })
      yield* eventually(() => hub.hub.topics() === 1)
      yield* say(url, "before")
      yield* promise(() => page.locator("#messages", { hasText: "before" }).waitFor({ state: "attached" }))
      yield* promise(() => page.goto(elsewhere))
      // It holds nothing open.
      yield* eventually(() => hub.hub.topics() === 0)
      yield* say(url, "meanwhile")
      yield* promise(() => page.evaluate(() => void setTimeout(() => history.back())))
      yield* promise(() => page.waitForURL(`${url}/**`, { waitUntil: "commit" }))
      yield* promise(() => page.waitForFunction("globalThis.persisted === true"))
      yield* promise(() => page.locator('#state[data-state="connected"]').waitFor())
      yield* eventually(() => hub.hub.topics() === 1)
      yield* say(url, "after")
      yield* promise(() => page.locator("#messages", { hasText: "after" }).waitFor({ state: "attached" }))
      assert.deepStrictEqual(yield* promise(() => texts(page)), ["before", "meanwhile", "after"])
      if (withFrames) {
        yield* promise(() => page.locator("#frames-list tr", { hasText: "after" }).first().waitFor())
      }
      assert.deepStrictEqual(complaints, [])
    })
  )
})
