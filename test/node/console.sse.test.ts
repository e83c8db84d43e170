/**
 * The page of the hub in a real browser, when it receives by an event stream: from a real hub, through a proxy that can
 * be cut, while others publish.
 */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import * as HubServer from "@millrace/node/HubServer"
import { launch } from "../support/chromium.ts"

/** What lies between the page and the hub. */
const between = async (hub: number) => {
  const sockets = new Set<Socket>()
  let way: "cut" | "open" | "refuses" = "open"
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    if (way === "cut") return void socket.destroy()
    if (way === "refuses") {
      const refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
      return void socket.once("data", () => socket.end(refusal))
    }
    const far = connect(hub, "127.0.0.1")
    sockets.add(far)
    far.on("error", () => {}).on("close", () => sockets.delete(far))
    socket.pipe(far).pipe(socket)
    socket.on("close", () => far.destroy())
    far.on("close", () => socket.destroy())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const become = (next: typeof way) => {
    way = next
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => become("cut"),
    refuse: () => become("refuses"),
    restore: () => become("open"),
    end: () => {
      become("cut")
      server.close()
    }
  }
}

/** How many publications the hub keeps. */
const kept = 50

const texts = (page: Page) => page.locator(".message .text").allInnerTexts()

/** Waits until the page shows so many messages, and gives them. */
const shown = async (page: Page, count: number) => {
  await page
    .locator(".message")
    .nth(count - 1)
    .waitFor()
  return texts(page)
}

/** The page shows what it knows in its own time. */
const patient = { timeout: 10_000 }

describe("the page, by SSE", () => {
  let browser: Browser
  let scope: Scope.Closeable
  let hub: HubServer.Running
  let way: Awaited<ReturnType<typeof between>>
  let complaints: Array<string>

  beforeAll(async () => {
    browser = await launch()
  }, 60_000)
  afterAll(() => browser.close())
  beforeEach(async () => {
    complaints = []
    scope = Scope.makeUnsafe()
    const options: HubServer.Options = { history: { maxEntries: kept }, events: { retry: "100 millis" } }
    hub = await Effect.runPromise(Scope.provide(HubServer.serve(options), scope))
    way = await between(hub.port)
  })
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    way.end()
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(complaints).toEqual([])
  })

  const visit = async (query: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const page = await (await browser.newContext({ locale: "en-GB", ...options })).newPage()
    page.setDefaultTimeout(10_000)
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    await page.goto(`${way.url}/${query}`)
    await page.locator("#state[data-state=connected]").waitFor()
    return page
  }

  /** What the browser itself says of a server that is gone, and of nothing else. */
  const forgive = () => {
    complaints = complaints.filter((text) => !text.startsWith("Failed to load resource: "))
  }

  const publish = async (topic: string, ...data: ReadonlyArray<unknown>) => {
    for (const one of data) {
      const headers = { "content-type": "application/json" }
      const body = JSON.stringify({ topic, data: one })
      const { status } = await fetch(`http://127.0.0.1:${hub.port}/publish`, { method: "POST", headers, body })
      expect(status).toBe(200)
    }
  }

  it("is chosen with the keyboard, receives what others publish, publishes by POST, and is left again", async () => {
    const page = await visit("?topic=lobby&name=ada")
    expect(await page.locator("#position").isHidden()).toBe(true)
    await page.getByRole("textbox", { name: "Your name" }).focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("ArrowRight")
    await page.getByText("Receiving by SSE").waitFor()
    await expect.poll(() => page.getByRole("radio", { name: "SSE" }).isChecked(), patient).toBe(true)
    expect(await page.getByRole("group", { name: "Receive by" }).isVisible()).toBe(true)
    await expect.poll(() => new URL(page.url()).searchParams.get("via"), patient).toBe("sse")
    await expect.poll(() => page.locator("#last-event").innerText(), patient).toMatch(/^[\w-]{8}:0$/)

    await publish("lobby", "one")
    expect(await shown(page, 1)).toEqual(["one"])
    await page.getByRole("textbox", { name: "Topic to join" }).fill("weir & mill")
    await page.keyboard.press("Enter")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    await publish("weir & mill", "two")
    expect(await shown(page, 2)).toEqual(["one", "two"])
    await expect.poll(() => page.locator("#last-event").innerText(), patient).toMatch(/^[\w-]{8}:2$/)

    await page.getByRole("textbox", { name: "Message" }).fill("three")
    await page.keyboard.press("Enter")
    expect(await shown(page, 3)).toEqual(["one", "two", "three"])
    await page.getByText("Sent to 1 connection").waitFor()
    expect(await page.locator(".message .from").last().innerText()).toBe("@http")

    await page.getByRole("button", { name: "Leave lobby" }).click()
    await page.locator("#topics li:not(.asking)").waitFor()
    await publish("lobby", "not here")
    await page.getByRole("radio", { name: "SSE" }).focus()
    await page.keyboard.press("ArrowLeft")
    await page.getByText("Connected as ada").waitFor()
    await page.locator("#topics li:not(.asking)").waitFor()
    await publish("weir & mill", "four")
    expect(await shown(page, 4)).toEqual(["one", "two", "three", "four"])
    expect([new URL(page.url()).searchParams.get("via"), await page.locator("#position").isHidden()]).toEqual([
      null,
      true
    ])

    await page.getByRole("radio", { name: "WebSocket" }).focus()
    await page.keyboard.press("ArrowRight")
    await page.getByText("Receiving by SSE").waitFor()
    await publish("weir & mill", "five")
    expect(await shown(page, 5)).toEqual(["one", "two", "three", "four", "five"])
  })

  it("goes on where it was when the connection was lost, without loss and without repeats", async () => {
    const page = await visit("?via=sse&topic=lobby&topic=weir")
    await publish("lobby", "one")
    await shown(page, 1)
    for (const away of [way.cut, way.refuse]) {
      away()
      await page.locator("#state:not([data-state=connected])").waitFor()
      const before = (await texts(page)).length
      await publish("weir", `${before + 1}`)
      await publish("elsewhere", "no")
      await publish("lobby", `${before + 2}`)
      way.restore()
      await page.locator("#state[data-state=connected]").waitFor()
      await publish("lobby", `${before + 3}`)
      await shown(page, before + 3)
    }
    expect(await texts(page)).toEqual(["one", "2", "3", "4", "5", "6", "7"])
    const notes = await page.locator(".note").allInnerTexts()
    expect(notes.filter((text) => text.endsWith("What was said in between follows."))).toHaveLength(2)
    expect(notes.filter((text) => text === "The connection was lost without a word.")).toHaveLength(2)
    expect(complaints.length).toBeGreaterThan(0)
    forgive()
  })

  it("loses nothing and repeats nothing while topics are joined and left", async () => {
    const page = await visit("?via=sse&topic=lobby")
    const said = Array.from({ length: 40 }, (_, i) => `${i}`)
    await publish("lobby", "first")
    await shown(page, 1)
    const publishing = publish("lobby", ...said)
    for (const topic of ["a", "b", "c"]) {
      await page.locator("#join").fill(topic)
      await page.keyboard.press("Enter")
    }
    await page.getByRole("button", { name: "Leave b" }).click()
    await publishing
    await publish("c", "last")
    expect(await shown(page, said.length + 2)).toEqual(["first", ...said, "last"])
  })

  it("tells of a gap, and shows what there is behind it", async () => {
    const page = await visit("?via=sse&topic=lobby&topic=weir")
    await publish("lobby", "one")
    await shown(page, 1)
    way.cut()
    await page.locator("#state[data-state=waiting]").waitFor()
    const missed = Array.from({ length: kept + 1 }, (_, i) => `${i}`)
    await publish("lobby", ...missed)
    way.restore()
    expect(await shown(page, kept + 1)).toEqual(["one", ...missed.slice(1)])
    const [gap] = await page.locator(".note.wrong", { hasText: "A gap" }).allInnerTexts()
    expect(gap).toMatch(
      /^A gap: the hub does not have all that was said in lobby, between [\w-]{8}:1 and [\w-]{8}:2\.$/
    )
    forgive()
  })

  it("is chosen and left before there is a connection, without a word of complaint", async () => {
    const page = await visit("?topic=lobby&name=ada")
    await page.getByRole("radio", { name: "WebSocket" }).focus()
    for (let i = 0; i < 4; i++) await page.keyboard.press(i % 2 === 0 ? "ArrowRight" : "ArrowLeft")
    await page.keyboard.press("ArrowRight")
    await page.getByText("Receiving by SSE").waitFor()
    await publish("lobby", "one")
    expect(await shown(page, 1)).toEqual(["one"])
  })

  it("asks for nothing while there is no topic", async () => {
    const page = await visit("?via=sse&topic=lobby")
    await page.getByRole("button", { name: "Leave lobby" }).click()
    await page.getByText("Nothing to receive").waitFor()
    expect(await page.locator("#lost-text").isHidden()).toBe(true)
    await page.locator("#join").fill("weir")
    await page.keyboard.press("Enter")
    await page.getByText("Receiving by SSE").waitFor()
    await publish("weir", "one")
    expect(await shown(page, 1)).toEqual(["one"])
  })

  it("does not get again by WebSocket what it has got by SSE", async () => {
    const page = await visit("?topic=lobby&name=ada")
    await page.locator("#topics li:not(.asking)").waitFor()
    await publish("lobby", "one")
    await shown(page, 1)
    await page.getByRole("radio", { name: "WebSocket" }).focus()
    await page.keyboard.press("ArrowRight")
    await page.getByText("Receiving by SSE").waitFor()
    await publish("lobby", "two")
    await shown(page, 2)
    await page.keyboard.press("ArrowLeft")
    await page.getByText("Connected as ada").waitFor()
    await page.locator("#topics li:not(.asking)").waitFor()
    await publish("lobby", "three")
    expect(await shown(page, 3)).toEqual(["one", "two", "three"])
  })

  it("does not get again by WebSocket what it has read in a history before the event stream has told it", async () => {
    const page = await visit("?topic=lobby&name=ada")
    await page.locator("#topics li:not(.asking)").waitFor()
    await publish("lobby", "one")
    await shown(page, 1)
    // Of the event stream comes its beginning, and the history when it may.
    await page.evaluate(() => {
      const { fetch } = globalThis
      const may = new Promise((resolve) => addEventListener("may", resolve))
      globalThis.fetch = async (input, init) => {
        const { pathname } = new URL(input instanceof Request ? input.url : input)
        if (pathname.endsWith("/history")) await may
        const response = await fetch(input, init)
        if (pathname !== "/events" || response.body === null) return response
        const body = response.body.getReader()
        let came = ""
        const beginning = new ReadableStream({
          pull: async (controller) => {
            if (/^id:.*\n\n/m.test(came)) return new Promise<void>(() => {})
            const { value } = await body.read()
            came += new TextDecoder().decode(value)
            controller.enqueue(value)
          }
        })
        return new Response(beginning, response)
      }
    })
    await page.locator("#by-sse").check({ force: true })
    await page.getByText("Receiving by SSE", { exact: true }).waitFor()
    await publish("lobby", "two")
    await page.evaluate(() => dispatchEvent(new Event("may")))
    await shown(page, 2)
    await page.locator("#by-websocket").check({ force: true })
    await page.getByText("Connected as ada").waitFor()
    await publish("lobby", "three")
    expect(await shown(page, 3)).toEqual(["one", "two", "three"])
  })

  it("changes from one wire to the other under load, with nothing lost, nothing twice, and in order", async () => {
    const page = await visit("?topic=lobby&topic=weir&topic=mill&name=ada")
    await page.waitForFunction(() => document.querySelectorAll("#topics li:not(.asking)").length === 3)
    const topics = ["lobby", "weir", "mill"]
    const done = new AbortController()
    const said = new Map(topics.map((topic) => [topic, [] as Array<string>]))
    const publishing = (async () => {
      for (let i = 0; !done.signal.aborted; i++) {
        const topic = topics[i % 7 === 0 ? 1 : i % 5 === 0 ? 2 : 0]!
        await publish(topic, `${topic} ${i}`)
        said.get(topic)?.push(`${topic} ${i}`)
        // What is kept is bounded, and a test of a gap is another one.
        if (i % 3 === 0) await page.evaluate(() => new Promise(requestAnimationFrame))
      }
    })()
    for (let i = 0; i < 3; i++) {
      await page.locator("#by-sse").check({ force: true })
      await page.getByText("Receiving by SSE", { exact: true }).waitFor()
      await page.locator("#by-websocket").check({ force: true })
      await page.getByText("Connected as ada", { exact: true }).waitFor()
      await page.waitForFunction(() => document.querySelectorAll("#topics li:not(.asking)").length === 3)
    }
    done.abort()
    await publishing
    await publish("lobby", "last")
    await page.locator(".message .text", { hasText: /^last$/ }).waitFor()
    const got = await texts(page)
    for (const topic of topics) {
      expect(
        got.filter((text) => text.startsWith(`${topic} `)),
        topic
      ).toEqual(said.get(topic))
    }
    expect(await page.getByText("A gap").count()).toBe(0)
  })

  it("goes on by the other wire where it was when the first was lost", async () => {
    const page = await visit("?topic=lobby&topic=weir&name=ada")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    await publish("weir", "one")
    await publish("lobby", "two")
    await shown(page, 2)
    way.cut()
    await page.locator("#state:not([data-state=connected])").waitFor()
    await publish("lobby", "three")
    await publish("weir", "four")
    await page.locator("#by-sse").check({ force: true })
    await publish("lobby", "five")
    way.restore()
    await page.getByText("Receiving by SSE", { exact: true }).waitFor()
    await publish("weir", "six")
    await page.locator(".message").nth(5).waitFor()
    // Between topics nothing is promised.
    expect((await texts(page)).toSorted()).toEqual(["one", "two", "three", "four", "five", "six"].toSorted())
    const positions = await page.locator(".message .position").allInnerTexts()
    expect(positions.map((text) => text.replace(/.*:/, "")).toSorted()).toEqual(["1", "2", "3", "4", "5", "6"])
    forgive()
  })

  it("says of a topic what it could not have of it when the wire was changed", async () => {
    const page = await visit("?topic=lobby&name=ada")
    await page.locator("#topics li:not(.asking)").waitFor()
    await page.route("**/history?*", (route) => route.abort())
    await page.locator("#by-sse").check({ force: true })
    await page.getByText("What was said in lobby before this connection could not be had.").waitFor()
    await publish("lobby", "one")
    expect(await shown(page, 1)).toEqual(["one"])
    forgive()
  })

  it("remembers which wire was chosen", async () => {
    const page = await visit("?topic=lobby")
    await page.locator("#by-sse").check({ force: true })
    await page.getByText("Receiving by SSE", { exact: true }).waitFor()
    await page.goto(`${way.url}/?topic=weir`)
    await page.getByText("Receiving by SSE", { exact: true }).waitFor()
    await page.locator("#by-websocket").check({ force: true })
    await page.getByText("Connected as", { exact: false }).first().waitFor()
    await page.goto(`${way.url}/?topic=weir`)
    await page.locator("#state-text", { hasText: "Connected as" }).waitFor()
  })

  it("asks who is in the chosen topic, as no event stream tells it", async () => {
    const bob = new WebSocket(`${way.url.replace("http", "ws")}/ws?name=bob`)
    bob.addEventListener("open", () => {
      for (const topic of ["lobby", "a/b?"]) bob.send(JSON.stringify({ type: "subscribe", topic, presence: true }))
    })
    await new Promise((resolve) => {
      bob.addEventListener("message", ({ data }) => String(data).includes('"present","topic":"a/b?"') && resolve(data))
    })
    const page = await visit("?via=sse&topic=lobby&topic=weir&topic=a/b?")
    const here = page.locator("#members-list li")
    await page.locator("#to").selectOption("a/b?")
    await page.getByText("1 here", { exact: true }).waitFor()
    await page.getByText("and 1 unnamed", { exact: true }).waitFor()
    expect(await here.allInnerTexts()).toEqual(["bob"])
    await page.locator("#to").selectOption("weir")
    await page.getByText("Nobody by name", { exact: true }).waitFor()
    expect(await here.count()).toBe(0)
    bob.close()
  })

  it("keeps a text that could not be sent, and says what the hub has refused", async () => {
    const page = await visit("?via=sse&topic=lobby")
    await page.route("**/publish", (route) => route.abort())
    await page.locator("#body").fill("kept")
    await page.keyboard.press("Enter")
    await page.getByText("The hub cannot be reached. Your text is kept.").waitFor()
    expect(await page.locator("#body").inputValue()).toBe("kept")
    await page.unroute("**/publish")
    await page.getByText("JSON", { exact: true }).click()
    await page.locator("#body").fill(`${"[".repeat(65)}${"]".repeat(65)}`)
    await page.keyboard.press("Enter")
    await page.locator(".note.wrong", { hasText: "The hub refused to publish: " }).waitFor()
    expect(await page.locator(".message").count()).toBe(0)
    forgive()
  })

  it.each([390, 320])("fits a phone %i px wide", async (width) => {
    const page = await visit("?via=sse&topic=lobby", {
      viewport: { width, height: 700 },
      isMobile: true,
      hasTouch: true
    })
    await publish("lobby", "one")
    await shown(page, 1)
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width)
    for (const id of ["#receiving fieldset", "#last-event"]) {
      const box = await page.locator(id).boundingBox()
      expect(box === null ? Number.NaN : box.x + box.width).toBeLessThanOrEqual(width)
      expect(box?.height).toBeGreaterThan(0)
    }
  })
})
