/** The page of the hub with nothing but a keyboard, and for eyes of all kinds. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import * as HubServer from "@millrace/node/HubServer"
import { launch } from "../support/chromium.ts"
import * as HubPage from "../support/hubPage.ts"

/** Goes on by the key until what has the focus matches. */
const goTo = async (page: Page, selector: string, key = "Tab") => {
  for (let i = 0; i < 80; i++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return
    await page.keyboard.press(key)
  }
  throw new Error(`${key} does not lead to ${selector}`)
}

/** What can be seen and has the focus, as something to compare, and whether one sees that it has it. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const active = document.activeElement
    if (active === null || active === document.body) return undefined
    // A radio button is shown by what stands behind it.
    const seen = active instanceof HTMLInputElement && active.type === "radio" ? active.nextElementSibling! : active
    const { outlineStyle, outlineWidth } = getComputedStyle(seen)
    return {
      is: active.outerHTML.slice(0, 80),
      isSeen: outlineStyle !== "none" && outlineWidth !== "0px"
    }
  })

/** All that is to be reached: of a group of radio buttons, and of tabs, one. */
const reachable = (page: Page) =>
  page.evaluate(() => {
    const all = [...document.querySelectorAll("*")]
    const wanted = "a[href], button, input, select, textarea, [tabindex='0']"
    return all.flatMap((element) => {
      const isOff = element.matches(":disabled, [tabindex='-1'], [type=radio]:not(:checked)")
      return element.matches(wanted) && !isOff && element.checkVisibility({ visibilityProperty: true })
        ? [element.outerHTML.slice(0, 80)]
        : []
    })
  })

/** Texts whose contrast is less than 4.5, or 3 where they are large. */
const pale = (page: Page) =>
  page.evaluate(() => {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
      willReadFrequently: true
    })!
    const paint = (colours: ReadonlyArray<string>) => {
      context.clearRect(0, 0, 1, 1)
      for (const colour of colours) {
        context.fillStyle = colour
        context.fillRect(0, 0, 1, 1)
      }
      return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
    }
    const light = (colours: ReadonlyArray<string>) => {
      const [r = 0, g = 0, b = 0] = paint(colours).map((of255) => {
        const value = of255 / 255
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const found: Array<string> = []
    for (const element of document.querySelectorAll<HTMLElement>("body *")) {
      const isText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim() !== "")
      const isHidden = element.closest(".hidden, .skip, :disabled, svg") !== null
      if (!isText || isHidden || !element.checkVisibility({ visibilityProperty: true })) continue
      const grounds: Array<string> = []
      for (let at: Element | null = element; at !== null; at = at.parentElement) {
        grounds.unshift(getComputedStyle(at).backgroundColor)
      }
      const { color, fontSize, fontWeight } = getComputedStyle(element)
      const [one = 0, other = 0] = [light(grounds), light([...grounds, color])].toSorted((a, b) => b - a)
      const contrast = (one + 0.05) / (other + 0.05)
      const isLarge =
        Number.parseFloat(fontSize) >= 24 || (Number.parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700)
      if (contrast < (isLarge ? 3 : 4.5)) found.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 90)}`)
    }
    return found
  })

const views = ["messages", "connection", "frames"]

describe("the page", () => {
  let browser: Browser
  let scope: Scope.Closeable
  let hub: HubServer.Running
  let complaints: Array<string>

  beforeAll(async () => {
    browser = await launch()
    scope = Scope.makeUnsafe()
    hub = await Effect.runPromise(Scope.provide(HubServer.serve({}), scope))
  }, 60_000)
  afterAll(async () => {
    await browser.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })
  beforeEach(() => {
    complaints = []
  })
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    expect(complaints).toEqual([])
  })

  const visit = (query: string, options: BrowserContextOptions = {}) =>
    HubPage.visit(browser, `http://127.0.0.1:${hub.port}/${query}`, complaints, options)

  const publish = (topic: string, data: unknown) =>
    fetch(`http://127.0.0.1:${hub.port}/publish`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ topic, data })
    })

  it("is used from one end to the other by keyboard alone", async () => {
    const page = await visit("?topic=lobby&name=ada")
    const { keyboard } = page
    await page.locator("#topics li:not(.asking)").waitFor()
    await keyboard.type("hello")
    await keyboard.press("Enter")
    await page.locator(".message", { hasText: "hello" }).waitFor()

    await goTo(page, "#join", "Shift+Tab")
    await keyboard.type("weir")
    await keyboard.press("Enter")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    await goTo(page, "#as-text", "Shift+Tab")
    await keyboard.press("ArrowRight")
    await goTo(page, "#body")
    await keyboard.type('{ "level": 1.42 }')
    await keyboard.press("Enter")
    await page.locator(".message", { hasText: "level" }).waitFor()
    await goTo(page, "#to", "Shift+Tab")
    await keyboard.type("lobby")
    expect(await page.locator("#to").inputValue()).toBe("lobby")

    await goTo(page, "#by-websocket", "Shift+Tab")
    await keyboard.press("ArrowRight")
    await page.locator("#state-text", { hasText: "Receiving by SSE" }).waitFor()
    await keyboard.press("ArrowLeft")
    await page.locator("#state-text", { hasText: "Connected as ada" }).waitFor()

    await goTo(page, "#pause")
    await keyboard.press("Space")
    await publish("lobby", "while it was paused")
    await page.getByRole("button", { name: "Resume (1 new)" }).waitFor()
    expect(await page.getByText("while it was paused").count()).toBe(0)
    await keyboard.press("Space")
    await page.locator(".message", { hasText: "while it was paused" }).waitFor()

    await goTo(page, "#tab-messages", "Shift+Tab")
    await keyboard.press("ArrowRight")
    await page.locator("#history-list tr").nth(2).waitFor()
    expect(await page.locator("#history-list .why").allInnerTexts()).toEqual([
      "Connected now",
      "You chose WebSocket.",
      "You chose Server-Sent Events."
    ])
    await goTo(page, "#view-connection")
    await goTo(page, "#tab-connection", "Shift+Tab")
    await keyboard.press("ArrowRight")
    expect(await page.locator("#view-frames").isVisible()).toBe(true)
    await keyboard.press("Home")
    expect(await page.locator("#view-messages").isVisible()).toBe(true)

    await goTo(page, "#name", "Shift+Tab")
    await keyboard.press("Control+A")
    await keyboard.type("grace")
    await keyboard.press("Enter")
    await page.locator("#state-text", { hasText: "Connected as grace" }).waitFor()
    await goTo(page, "[aria-label='Leave weir']", "Shift+Tab")
    await keyboard.press("Enter")
    await expect.poll(() => page.locator("#topics li").count()).toBe(1)
  })

  it("lets people skip what stands beside the messages, whichever view is open", async () => {
    const page = await visit("?topic=lobby")
    for (const view of views) {
      await page.locator(`#tab-${view}`).click()
      await page.locator(".skip").focus()
      await page.keyboard.press("Enter")
      await page.keyboard.press("Tab")
      expect(await page.evaluate(() => document.activeElement?.id)).toBe(`tab-${view}`)
    }
  })

  it("has nothing that Tab does not reach, no way in without a way out, and shows where one is", async () => {
    const page = await visit("?topic=lobby&topic=weir&name=ada")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    // What else is on the hub changes by itself, and is not to while it is compared.
    await page.route("**/topics?*", (route) => route.fulfill({ json: { node: "n", topics: [], silent: [] } }))
    await page.locator("#others").waitFor({ state: "hidden" })
    await publish("lobby", "hello")
    await page.locator(".message").waitFor()
    for (const view of views) {
      await page.locator(`#tab-${view}`).click()
      await page.evaluate(() => (document.activeElement as HTMLElement).blur())
      await page.locator("h1").click()
      const wanted = await reachable(page)
      const reached = new Set<string>()
      for (let i = 0; i < wanted.length + 3; i++) {
        await page.keyboard.press("Tab")
        const at = await focused(page)
        if (at === undefined) continue
        expect(at.isSeen, `${view}: ${at.is}`).toBe(true)
        reached.add(at.is)
      }
      expect(
        wanted.filter((is) => !reached.has(is)),
        view
      ).toEqual([])
    }
  })

  it("has a name for everything that can be pressed or filled in", async () => {
    const page = await visit("?topic=lobby")
    for (const view of views) {
      await page.locator(`#tab-${view}`).click()
      const unnamed = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>("button, input, select, textarea, [role=region]")]
          .filter((element) => element.checkVisibility({ visibilityProperty: true }))
          .filter((element) => {
            const labels = "labels" in element ? [...(element as HTMLInputElement).labels!] : []
            const said = [element.ariaLabel, element.innerText, ...labels.map(({ textContent }) => textContent)]
            return said.every((text) => !text?.trim()) && element.ariaLabelledByElements?.length !== 1
          })
          .map(({ outerHTML }) => outerHTML.slice(0, 80))
      )
      expect(unnamed, view).toEqual([])
    }
  })

  it("tells of its state, and not of every message", async () => {
    const page = await visit("?topic=lobby")
    const live = await page
      .locator("[aria-live], [role=status], [role=log], output")
      .evaluateAll((all) => all.map(({ id }) => id))
    expect(live).toEqual(expect.arrayContaining(["state-text", "lost", "receipt"]))
    expect(live).not.toContain("scroller")
    expect(await page.locator("[role=status] .message, [aria-live] .message").count()).toBe(0)
  })

  it.each(["light", "dark"] as const)("has enough contrast when it is %s", async (colorScheme) => {
    const page = await visit("?topic=lobby&topic=weir&name=ada", { colorScheme })
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    await publish("lobby", { name: "text", number: 1, word: null })
    await publish("weir", "text")
    await page.locator(".message").nth(1).waitFor()
    await page.locator("#by-sse").check({ force: true })
    await page.locator("#state-text", { hasText: "Receiving by SSE" }).waitFor()
    for (const view of views) {
      await page.locator(`#tab-${view}`).click()
      await page.mouse.move(0, 0)
      expect(await pale(page), view).toEqual([])
    }
  })

  it.each([
    [640, 400], // 1280 by 800 at 200 %
    [390, 844],
    [320, 568]
  ] as const)("has no need to be scrolled sideways at %i by %i", async (width, height) => {
    const page = await visit("?topic=lobby&topic=weir&name=ada", { viewport: { width, height }, isMobile: width < 600 })
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    await publish("lobby", "w".repeat(300))
    await page.locator(".message").last().waitFor()
    for (const view of views) {
      await page.locator(`#tab-${view}`).click()
      expect(await page.evaluate(() => document.documentElement.scrollWidth), view).toBe(width)
    }
    await page.locator("#tab-messages").click()
    const scroller = await page.locator("#scroller").boundingBox()
    expect(scroller?.height).toBeGreaterThan(100)
    await page.locator("#body").scrollIntoViewIfNeeded()
    await page.locator("#body").fill("there")
    await page.locator("#send").click()
    await page.locator(".message", { hasText: "there" }).waitFor()
  })

  it("says with borders what it says with colours where colours are the reader's own", async () => {
    const page = await visit("?topic=lobby", { forcedColors: "active" })
    for (const selector of ["#topics li.chosen", "[role=tab][aria-selected=true]", "#by-websocket + span"]) {
      const style = await page.locator(selector).evaluate((element) => getComputedStyle(element).outlineStyle)
      expect(style, selector).toBe("solid")
    }
  })

  it("does not freeze under 10,000 messages a second, and says how many it has left out", async () => {
    const scripted = await HubPage.serve()
    try {
      const page = await HubPage.visit(browser, `${scripted.url}/?topic=lobby`, complaints)
      await page.locator("#topics li:not(.asking)").waitFor()
      await page.evaluate(() => {
        const longest = { frame: 0 }
        let before = performance.now()
        const frame = (now: number) => {
          longest.frame = Math.max(longest.frame, now - before)
          before = now
          requestAnimationFrame(frame)
        }
        requestAnimationFrame(frame)
        Object.assign(window, { longest })
      })
      for (let i = 0; i < 200; i++) {
        for (let j = 0; j < 100; j++) scripted.message("lobby", `message ${i * 100 + j}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      await page.getByText("message 19999", { exact: true }).waitFor()
      const told = await page.locator("#earlier").innerText()
      const gone = Number(/([\d,]+) messages went/.exec(told)?.[1]?.replaceAll(",", ""))
      const notes = await page.locator("#messages .note").count()
      const shown = await page.locator("#messages .message").count()
      expect(shown + notes).toBeLessThanOrEqual(500)
      // What is said of messages that were skipped may itself have gone.
      expect(gone + shown).toBeGreaterThanOrEqual(20_000)
      const frame = await page.evaluate(() => (window as unknown as { longest: { frame: number } }).longest.frame)
      expect(frame).toBeLessThan(2_000) // a machine may have other work
      await page.context().close()
    } finally {
      scripted.end()
    }
  })
})
