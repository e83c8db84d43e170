/** The page of the hub, and how connections end: each end is said, counted, and followed by what it asks for. */
import type { ServerResponse } from "node:http"
import type { Browser, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { launch } from "../support/chromium.ts"
import * as HubPage from "../support/hubPage.ts"

const connected = (page: Page) => page.locator("#state[data-state=connected]").waitFor()

/** The newest connection that has ended. */
const newest = (page: Page) => page.locator("#history-list tr:not(.present)").first()

/** Begins an event stream. */
const streaming = (response: ServerResponse) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(":\n\nid: e:1\n\n")
}

describe("the page, when a connection ends", () => {
  let browser: Browser
  let hub: Awaited<ReturnType<typeof HubPage.serve>>
  let complaints: Array<string>

  beforeAll(async () => {
    browser = await launch()
  }, 60_000)
  afterAll(() => browser.close())
  beforeEach(async () => {
    complaints = []
    hub = await HubPage.serve()
  })
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    hub.end()
    // What the browser itself says of a hub that is not there, or refuses, is not the page's to keep back.
    expect(complaints.filter((text) => !/^(WebSocket connection to|Failed to load resource)/.test(text))).toEqual([])
  })

  const visit = (query = "?topic=lobby&name=ada"): Promise<Page> =>
    HubPage.visit(browser, `${hub.url}/${query}`, complaints)

  const codes = [
    [1000, "", "connected", "The hub closed the connection (1000)."],
    [1001, "", "connected", "The hub is shutting down (1001)."],
    [1002, "", "stopped", "The hub closed the connection: a frame broke the WebSocket protocol (1002)."],
    [1003, "", "stopped", "The hub closed the connection: it does not take messages of this kind (1003)."],
    [1007, "", "stopped", "The hub closed the connection: a message was not valid text (1007)."],
    [1008, "", "connected", "The hub closed the connection: its policy was broken (1008)."],
    [1009, "", "stopped", "The hub closed the connection: the message was too large (1009)."],
    [1010, "", "stopped", "The hub closed the connection: an extension is missing (1010)."],
    [1011, "", "connected", "The hub closed the connection: it met an error of its own (1011)."],
    [1012, "", "connected", "The hub is restarting (1012)."],
    [1013, "too slow", "connected", "The hub closed the connection: this page read too slowly (1013, “too slow”)."],
    [1014, "", "connected", "What stands before the hub could not reach it (1014)."],
    [3000, "", "connected", "The hub closed the connection (3000)."],
    [3500, "", "stopped", "The hub closed the connection (3500)."],
    [4401, "come again", "connected", "The hub closed the connection (4401, “come again”)."],
    [4501, "not you", "stopped", "The hub closed the connection (4501, “not you”)."]
  ] as const

  it("with any code, says so, keeps it, and does what the code asks for", { timeout: 60_000 }, async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    for (const [code, reason, then, why] of codes) {
      for (const socket of hub.sockets) socket.close(code, reason)
      await newest(page).filter({ hasText: why }).waitFor()
      expect(await newest(page).locator(".why").innerText()).toBe(why)
      expect(await newest(page).locator(".code").innerText()).toBe(String(code))
      expect(await newest(page).locator(".span").innerText()).toMatch(/^\d+\.\d s$/)
      if (then === "stopped") {
        await page.locator("#state[data-state=stopped]").waitFor()
        expect(await page.locator("#reason").innerText()).toBe(why)
      }
      // Each of these connections was short, so that the next would be waited for longer and longer.
      await page.evaluate(() => {
        const isThere = document.querySelector("#state[data-state=connected], #state[data-state=connecting]") !== null
        if (!isThere) document.querySelector<HTMLButtonElement>("#retry")?.click()
      })
      await connected(page)
    }
    expect(await page.locator("#history-list tr").count()).toBe(codes.length + 1)
  })

  it("without a Close, says that there was none", async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    for (const socket of hub.sockets) socket.terminate()
    await newest(page).waitFor()
    expect(await newest(page).innerText()).toContain("The connection was lost without a word (1006).")
    await connected(page)
  })

  it("as the hub goes away, counts the attempts, counts down to the next, and makes it when it is told to", async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    const { port } = new URL(hub.url)
    hub.end()
    await newest(page).filter({ hasText: "times" }).waitFor({ timeout: 20_000 })
    expect(await newest(page).innerText()).toMatch(/not opened, \d+ times\s+1006\s+The hub cannot be reached\./)
    await page.locator("#countdown", { hasText: /^Trying again in \d+ s\.$/ }).waitFor()
    hub = await HubPage.serve(Number(port))
    await page.getByRole("button", { name: "Try now" }).click()
    await connected(page)
  })

  it("as it is refused, tells that from a hub that is not there", async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    hub.refuses = 403
    for (const socket of hub.sockets) socket.close(1012)
    await newest(page).filter({ hasText: "The hub is there, and refused the WebSocket." }).waitFor()
    hub.refuses = undefined
    await connected(page)
  })

  const undecodable = [
    ["half of a message", '{"type":"message"'],
    ["no JSON", "hello"],
    ["no object", "[]"],
    ["nothing", "null"],
    ["no type", "{}"],
    ["a topic that is none", '{"type":"message","topic":1,"data":1,"from":"a","time":1}'],
    ["no data", '{"type":"message","topic":"lobby","from":"a","time":1}'],
    ["topics that are no list", '{"type":"gap","topics":{}}'],
    ["users that are no list", '{"type":"present","topic":"lobby","users":{},"count":{}}'],
    ["bytes", Buffer.from([1, 2, 3])]
  ] as const

  it("by what does not decode, stops and says so", { timeout: 60_000 }, async () => {
    const page = await visit()
    for (const [what, said] of undecodable) {
      for (const socket of hub.sockets) socket.send(said)
      await page.locator("#state[data-state=stopped]").waitFor()
      expect(await page.locator("#reason").innerText(), what).toBe("The hub sent what this page cannot read.")
      await page.getByRole("button", { name: "Connect again" }).click()
      await connected(page)
    }
  })

  it("in silence, asks, gives up, and says so", async () => {
    const page = await visit()
    await page.locator("#topics li:not(.asking)").waitFor()
    await page.clock.install()
    hub.isMute = true
    hub.message("lobby", "the last word")
    await page.getByText("the last word").waitFor()
    await page.clock.runFor(41_000)
    await page.locator(".note", { hasText: "The hub has fallen silent." }).waitFor()
  })

  it("by the page itself: put aside and brought back, it is closed and opened again", async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })))
    await newest(page).filter({ hasText: "The page was put aside." }).waitFor()
    await expect.poll(() => hub.sockets.size).toBe(0)
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })))
    await connected(page)
    expect(await page.locator("#history-list tr").count()).toBe(2)
  })

  it("by people: another name is a reason of its own", async () => {
    const page = await visit()
    await page.locator("#tab-connection").click()
    await page.locator("#name").fill("grace")
    await page.locator("#name").press("Enter")
    await page.locator("#state-text", { hasText: "Connected as grace" }).waitFor()
    expect(await newest(page).innerText()).toContain("You chose another name.")
  })

  it("asks a connection for a sign of life when the network says that it is gone", async () => {
    const page = await visit()
    await page.clock.install()
    hub.isMute = true
    await page.evaluate(() => dispatchEvent(new Event("offline")))
    await page.clock.runFor(5_100)
    await page.locator(".note", { hasText: "The hub did not answer after the page was away." }).waitFor()
  })

  it("keeps fifty", async () => {
    const page = await visit()
    await page.evaluate(async () => {
      const input = document.querySelector<HTMLInputElement>("#name")!
      for (let i = 0; i < 55; i++) {
        input.value = `n${i}`
        input.dispatchEvent(new Event("change"))
        while (document.querySelector("#state-text")?.textContent !== `Connected as n${i}`) {
          await new Promise(requestAnimationFrame)
        }
      }
    })
    await page.locator("#tab-connection").click()
    expect(await page.locator("#history-list tr").count()).toBe(50)
  })

  describe("by SSE", () => {
    it.each([
      [
        403,
        '{"error":{"code":"forbidden-origin","message":"not you"}}',
        "stopped",
        "The hub refused (403, “not you”)."
      ],
      [404, "", "stopped", "The hub refused (404)."],
      [503, '{"error":{"message":"later"}}', "again", "The hub refused (503, “later”)."],
      [200, "{}", "stopped", "What answered is not an event stream."]
    ] as const)("refused with %i, says what was said", async (status, body, then, why) => {
      const page = await visit()
      hub.events = (response) => void response.writeHead(status, { "content-type": "application/json" }).end(body)
      await page.locator("#by-sse").check({ force: true })
      await page.locator("#reason", { hasText: why }).waitFor()
      hub.events = streaming
      if (then === "stopped") await page.getByRole("button", { name: "Connect again" }).click()
      await page.locator("#state-text", { hasText: "Receiving by SSE" }).waitFor()
    })

    it("ended, cut, or by what does not decode", async () => {
      const responses: Array<ServerResponse> = []
      hub.events = (response) => {
        streaming(response)
        responses.push(response)
      }
      const page = await visit("?topic=lobby&via=sse")
      await page.locator("#tab-connection").click()
      responses.at(-1)!.end()
      await newest(page).filter({ hasText: "The hub ended the stream." }).waitFor()
      await expect.poll(() => responses.length).toBe(2)
      await connected(page)
      responses.at(-1)!.destroy()
      await newest(page).filter({ hasText: "The connection was lost without a word." }).waitFor()
      await expect.poll(() => responses.length).toBe(3)
      await connected(page)
      responses.at(-1)!.write("id: e:2\ndata: nonsense\n\n")
      await newest(page).filter({ hasText: "The hub sent what this page cannot read." }).waitFor()
      await page.locator("#state[data-state=stopped]").waitFor()
    })

    it("reads lines of any ending, wherever they are cut", async () => {
      let response: ServerResponse | undefined
      hub.events = (opened) => {
        streaming(opened)
        response = opened
      }
      const page = await visit("?topic=lobby&via=sse")
      const one = '{"type":"message","topic":"lobby","data":"é one","from":"a","time":0}'
      const two = '{"type":"message",\rdata: "topic":"lobby","data":"two","from":"a","time":0}'
      const bytes = Buffer.from(
        `: note\r\nid: e:2\r\ndata: ${one}\r\n\r\nid:e:3\rdata:${two}\r\rdata: {"type":"later"}\n\n`
      )
      for (const byte of bytes) {
        response!.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      await page.locator(".message").nth(1).waitFor()
      expect(await page.locator(".message .text").allInnerTexts()).toEqual(["é one", "two"])
      expect(await page.locator(".message .position").allInnerTexts()).toEqual(["e:2", "e:3"])
    })
  })
})
