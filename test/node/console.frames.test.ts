/** The view of frames of the hub's page, in a real browser and against the real hub. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import { afterAll, beforeAll } from "vitest"
import { launch } from "../support/chromium.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** The page of a hub, whose console is to stay empty. */
const open = (
  options: HubServer.Options = {},
  look: BrowserContextOptions = {},
  query = "?name=ada"
): Effect.Effect<{ readonly page: Page; readonly hub: HubServer.Running }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const hub = yield* Effect.orDie(HubServer.serve(options))
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext(look)),
      (context) => Effect.promise(() => context.close())
    )
    const complaints: Array<string> = []
    yield* Effect.addFinalizer(() => Effect.sync(() => assert.deepStrictEqual(complaints, [])))
    const page = yield* Effect.promise(async () => {
      const page = await context.newPage()
      page.on("console", (message) => complaints.push(message.text()))
      page.on("pageerror", (error) => complaints.push(String(error)))
      await page.goto(`http://127.0.0.1:${hub.port}/${query}`)
      await page.locator('#state[data-state="connected"]').waitFor()
      return page
    })
    return { page, hub }
  })

/** The rows in sight, without their times. */
const rows = (page: Page) =>
  page
    .locator("#frames-list tr:visible")
    .evaluateAll((found) =>
      found.map((row) =>
        [...row.querySelectorAll("td:not(.t)")].map((cell) => cell.textContent.replace(/^[↑↓]/, "")).join(" | ")
      )
    )

/** The first row in sight that has it in it, when there is one. */
const rowWith = async (page: Page, ...some: ReadonlyArray<string>) => {
  let found = page.locator("#frames-list tr:visible")
  for (const one of some) found = found.filter({ hasText: one })
  await found.first().waitFor()
  return (await rows(page)).find((row) => some.every((one) => row.includes(one)))!
}

const showFrames = async (page: Page) => {
  await page.getByRole("tab", { name: "Frames" }).click()
  // The connection that was there is left for one that can be seen from its first frame.
  await page.locator("#frames-list").getByText('"subscribed"').first().waitFor()
}

const say = async (page: Page, text: string) => {
  await page.getByRole("tab", { name: "Messages" }).click()
  await page.getByLabel("Message", { exact: true }).fill(text)
  await page.keyboard.press("Enter")
  await page.locator("#messages").getByText(text.slice(0, 30)).first().waitFor()
  await page.getByRole("tab", { name: "Frames" }).click()
}

const test = (name: string, body: () => Effect.Effect<void, never, Scope.Scope>) => it.live(name, body, 60_000)

/** What a hub sends and a page says when nobody does anything, which no test waits for. */
const isQuiet = (row: string) => /latency|"(position|presence|present|subscribed)"/.test(row)

const json = { method: "POST", headers: { "Content-Type": "application/json" } }

const compressed = { extensions: [NodeDeflate.compression({ threshold: 64 })] }

describe("the view of frames", () => {
  test("shows what goes over the wire, from the first frame on, when it is opened and not before", () =>
    Effect.gen(function* () {
      const { page } = yield* open()
      const asked: Array<string> = []
      page.on("request", (request) => asked.push(new URL(request.url()).pathname))
      yield* Effect.promise(async () => {
        await page.getByLabel("Message", { exact: true }).fill("before")
        await page.keyboard.press("Enter")
        await page.locator("#messages").getByText("before").waitFor()
        assert.notInclude(asked, "/frames")
        await showFrames(page)
        await say(page, "hello")
        assert.match(await rowWith(page, '"message"', '"hello"'), /^received \| text \| 1\d\d B \| {2}\| {"type"/)
        const [opened, welcome, ...rest] = (await rows(page)).filter((row) => !isQuiet(row) || row.includes("welcome"))
        assert.match(opened!, /^A WebSocket, millrace.v1.json/)
        assert.match(welcome!, /^received \| text \| 1\d\d B \| {2}\| {"type":"welcome","client":"ada"/)
        assert.deepStrictEqual(rest, [
          'sent | text | 56 B |  | {"type":"publish","topic":"lobby","data":"hello","id":4}'
        ])
      })
    }))

  test("says how long what was compressed is without, and shows it so, folded where it is long", () =>
    Effect.gen(function* () {
      const { page } = yield* open(compressed)
      yield* Effect.promise(async () => {
        await showFrames(page)
        const long = "over and over ".repeat(200).trim()
        await say(page, long)
        const row = await rowWith(page, '"publish"', "over and")
        assert.match(row, /^sent \| textrsv1 \| \d{2,3} B \| → 2,8\d\d B \| /)
        const summary = page.locator("#frames-list summary", { hasText: '"publish"' })
        await summary.focus()
        await page.keyboard.press("Enter")
        const whole = page.locator("#frames-list details[open]")
        assert.include(await whole.locator("pre").textContent(), "over and over over and over")
        assert.match((await whole.locator(".cut").textContent()) ?? "", /^and \d+ B more$/)
      })
    }))

  test("shows other frames than text, and can be narrowed to them, paused and cleared by keyboard", () =>
    Effect.gen(function* () {
      const { hub, page } = yield* open({ limits: { pingInterval: "300 millis" } })
      yield* Effect.promise(async () => {
        await showFrames(page)
        const kind = page.getByLabel("Show")
        await kind.focus()
        await kind.selectOption("control")
        await page.locator("#frames-list tr.client:visible").filter({ hasText: "pong" }).first().waitFor()
        assert.match((await rows(page)).at(-1)!, /^(received \| ping|sent \| pong) \| \d+ B/)
        await kind.selectOption("")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        const pause = page.locator("#frames-pause")
        assert.strictEqual(await pause.getAttribute("aria-pressed"), "true")
        const before = (await rows(page)).length
        const say = { ...json, body: JSON.stringify({ topic: "lobby", data: "tea is ready" }) }
        for (let i = 0; i < 3; i++) await fetch(`http://127.0.0.1:${hub.port}/publish`, say)
        await pause.getByText(/Go on \([2-9]\)/).waitFor()
        assert.strictEqual((await rows(page)).length, before)
        await page.keyboard.press("Enter")
        await page.waitForFunction((count) => document.querySelectorAll("#frames-list tr").length > count, before)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert.isBelow((await rows(page)).length, before)
        await kind.selectOption("close")
      })
      for (const member of hub.hub.membersOf("lobby")) yield* Effect.orDie(member.close(4000, "off you go"))
      yield* Effect.promise(async () => {
        await page.locator("#frames-list tr.server").getByText("4000 off you go").waitFor()
      })
    }))

  test("shows the events of an event stream as they came", () =>
    Effect.gen(function* () {
      const { page } = yield* open()
      yield* Effect.promise(async () => {
        await page.locator("#by-sse").check({ force: true })
        await page.locator('#state[data-state="connected"]').getByText("SSE").waitFor()
        await say(page, "by post")
        const row = await rowWith(page, "by post")
        assert.match(row, /^received \| event \| \d\d B \| \S+:1 \| {"type":"message","topic":"lobby","data":"by post"/)
      })
    }))

  test("says so where the hub shows none, and leaves the connection alone", () =>
    Effect.gen(function* () {
      const { page } = yield* open({ frames: false })
      let sockets = 0
      page.on("websocket", () => (sockets += 1))
      yield* Effect.promise(async () => {
        await page.getByRole("tab", { name: "Frames" }).click()
        await page.getByText("This hub does not show frames").waitFor()
        await page.getByRole("tab", { name: "Messages" }).click()
        await page.getByRole("tab", { name: "Frames" }).click()
        await say(page, "still here")
        assert.strictEqual(sockets, 1)
      })
    }))

  test("is as wide as a phone, and shows each frame as a few lines", () =>
    Effect.gen(function* () {
      const { page } = yield* open(compressed, { viewport: { width: 390, height: 780 }, colorScheme: "dark" })
      yield* Effect.promise(async () => {
        await showFrames(page)
        await say(page, "x".repeat(300))
        const widths = await page.evaluate(() => [
          document.documentElement.scrollWidth,
          document.querySelector("#frames-scroller")?.scrollWidth ?? 0
        ])
        assert.isAtMost(Math.max(...widths), 390)
      })
    }))
})
