/** The page of the hub in a real browser, against a hub that does what the test says. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { launch } from "../support/chromium.ts"
import * as HubPage from "../support/hubPage.ts"

const joined = (page: Page) => page.locator("#topics li:not(.asking)").allInnerTexts()

const here = (page: Page) => page.locator("#members-list li").allInnerTexts()

const user = (name: string, connections = 1) => ({ user: name, connections, info: null, since: 0 })

const presentText = (topic: string, users: ReadonlyArray<object>, count = users.length) =>
  JSON.stringify({ type: "present", topic, users, count: { users: count, connections: count } })

const presenceText = (type: "joined" | "updated" | "left", topic: string, name: string, connections = 1) =>
  JSON.stringify({ type, topic, ...user(name, connections) })

/** As `GET /topics` tells of them. */
const topics = (...names: ReadonlyArray<string>) => names.map((topic, i) => ({ topic, members: i + 1 }))

describe("the page", () => {
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
    expect(complaints).toEqual([])
  })

  const visit = (query: string, options: BrowserContextOptions = {}): Promise<Page> =>
    HubPage.visit(browser, `${hub.url}/${query}`, complaints, options)

  it("takes name and topics from its address, and lets people talk", async () => {
    const ada = await visit("?name=ada&topic=lobby&topic=caf%C3%A9%20%26%20bar")
    await ada.locator("#topics li:not(.asking)").nth(1).waitFor()
    expect(await joined(ada)).toEqual(["lobby\n×", "café & bar\n×"])
    expect(await ada.locator("#state-text").innerText()).toBe("Connected as ada")

    await ada.getByRole("textbox", { name: "Message" }).fill("hello")
    await ada.keyboard.press("Enter")
    await ada.locator(".message.own").waitFor()
    hub.message("café & bar", "tea?")
    await ada.locator(".message:not(.own)").waitFor()
    expect(await ada.locator(".message .from").allInnerTexts()).toEqual(["ada", "grace"])
    expect(await ada.locator(".message .topic").allInnerTexts()).toEqual(["lobby", "café & bar"])
    expect(await ada.locator(".message .text").allInnerTexts()).toEqual(["hello", "tea?"])
    expect(await ada.locator(".message time").last().innerText()).toBe("00:00:00")
    expect(await ada.locator("#receipt").innerText()).toBe("Sent to 1 connection")
    expect(await ada.locator("#body").inputValue()).toBe("")
  })

  it("invents a name when it has none, keeps it, and joins the lobby", async () => {
    const page = await visit("")
    const name = await page.locator("#name").inputValue()
    expect(name).toMatch(/^[a-z]+-[a-z]+$/)
    await page.locator("#topics li:not(.asking)").waitFor()
    expect(await joined(page)).toEqual(["lobby\n×"])
    await page.reload()
    await page.locator("#state[data-state=connected]").waitFor()
    expect(await page.locator("#name").inputValue()).toBe(name)
  })

  it("joins and leaves topics, and keeps its address in step", async () => {
    const page = await visit("?topic=lobby")
    for (const topic of ["__proto__", "constructor"]) {
      await page.getByRole("textbox", { name: "Topic to join" }).fill(topic)
      await page.keyboard.press("Enter")
    }
    await page.locator("#topics li:not(.asking)").nth(2).waitFor()
    await page.getByRole("button", { name: "Leave lobby" }).click()
    expect(await joined(page)).toEqual(["__proto__\n×", "constructor\n×"])
    expect(new URL(page.url()).search).toBe("?topic=__proto__&topic=constructor")
    await page.getByRole("combobox", { name: "To" }).selectOption("__proto__")
    await page.locator("#body").fill("ordinary")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.locator(".message").waitFor()
    expect(hub.types()).toEqual(["subscribe", "subscribe", "subscribe", "unsubscribe", "publish"])
  })

  it("sends JSON as it was typed, and keeps what is not JSON", async () => {
    const page = await visit("?topic=lobby")
    await page.getByText("JSON", { exact: true }).click()
    await page.locator("#body").fill('{"a":')
    await page.keyboard.press("Enter")
    await page.locator("#receipt.wrong").waitFor()
    expect(await page.locator("#body").inputValue()).toBe('{"a":')

    await page.locator("#body").fill('{"n":12345678901234567890}')
    await page.keyboard.press("Enter")
    await page.locator("pre.json").waitFor()
    expect(hub.heard.at(-1)?.text).toContain('"data":{"n":12345678901234567890},')
  })

  it("shows numbers as they were written", async () => {
    const page = await visit("?topic=lobby")
    hub.say('{"type":"message","topic":"lobby","data":[12345678901234567890,1.50,1e400,7],"from":"a","time":0}')
    await page.locator(".json").waitFor()
    expect(await page.locator(".json").innerText()).toBe("[\n  12345678901234567890,\n  1.50,\n  1e400,\n  7\n]")
  })

  it("shows what peers send as text", async () => {
    const page = await visit("?topic=lobby")
    const markup = "<img src=x onerror=alert(1)><b>&amp;"
    hub.message("lobby", markup, markup)
    hub.message("lobby", { [markup]: markup }, "grace")
    await page.locator(".message").nth(1).waitFor()
    expect(await page.locator(".message .text").innerText()).toBe(markup)
    expect(await page.locator(".message .from").first().innerText()).toBe(markup)
    expect(await page.locator(".json").innerText()).toBe(JSON.stringify({ [markup]: markup }, undefined, 2))
    expect(await page.locator("#messages img, #messages b").count()).toBe(0)
  })

  it("keeps the newest 500 messages, and of a long one its beginning", async () => {
    const page = await visit("?topic=lobby")
    for (let i = 0; i < 700; i++) {
      hub.message("lobby", `message ${i}`)
      if (i === 300) await page.getByText("message 300").waitFor() // not all in one frame
    }
    hub.message("lobby", "x".repeat(5_000))
    await page.getByText("and 3,000 characters more").waitFor()
    expect(await page.locator("#messages > li").count()).toBe(500)
    expect(await page.locator("#messages > li .text").first().innerText()).toBe("message 201")
    expect(await page.locator("#messages > li").last().isVisible()).toBe(true)
  })

  it("does not move under a reader who has scrolled up", async () => {
    const page = await visit("?topic=lobby")
    for (let i = 0; i < 50; i++) hub.message("lobby", `message ${i}`)
    await page.getByText("message 49").waitFor()
    await page.locator("#scroller").evaluate((scroller) => (scroller.scrollTop = 0))
    await page.waitForFunction(() => document.querySelector("#scroller")?.scrollTop === 0)
    hub.message("lobby", "one more")
    await page.getByRole("button", { name: "New messages" }).click()
    await page.locator("#latest").waitFor({ state: "hidden" })
    expect(await page.getByText("one more").isVisible()).toBe(true)
  })

  it("says why a connection closed, comes back by itself, and subscribes again", async () => {
    const page = await visit("?topic=lobby&topic=weir")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    for (const socket of hub.sockets) socket.close(1013, "too slow")
    await page.getByText("(1013, “too slow”)").first().waitFor()
    await page.getByText("Connected again").waitFor()
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    expect(await page.locator("#lost-text").isHidden()).toBe(true)
    expect(hub.types()).toEqual(["subscribe", "subscribe", "subscribe", "subscribe"])
  })

  it("goes on in each topic from the last position that the hub has said", async () => {
    hub.reply = ({ id, topic, type }) =>
      type === "subscribe" && topic !== "unknown" && topic !== "f"
        ? { type: "subscribed", topic, id, position: `${String(topic)}:1` }
        : undefined
    const page = await visit("?topic=a&topic=b&topic=c&topic=d&topic=e")
    await page.locator("#topics li:not(.asking)").nth(4).waitFor()
    hub.say('{"type":"message","topic":"b","data":1,"from":"grace","time":0,"position":"b:2"}')
    hub.say('{"type":"message","topic":"b","data":1,"from":"grace","time":0}')
    hub.say('{"type":"message","topic":"c","data":1,"from":"grace","time":0}')
    hub.say('{"type":"position","topic":"c","position":"c:2"}')
    hub.say('{"type":"gap","topics":["d","a"],"from":"d:1","to":"d:2"}')
    hub.say('{"type":"gap","topics":["a"],"from":"d:2"}')
    hub.say('{"type":"moved","from":"e","to":"f","position":"f:2"}')
    await page.getByText("A gap: the hub does not have all that was said in d, a, between d:1 and d:2.").waitFor()
    await page.getByText("A gap: the hub does not have all that was said in a, behind d:2.").waitFor()
    await page.getByText("You were moved from e to f.").waitFor()
    await page.getByRole("button", { name: "Leave f" }).waitFor()
    const before = hub.heard.length
    for (const socket of hub.sockets) socket.close(1001)
    await page.getByText("Connected again. What was said in between follows.").waitFor()
    await page.waitForFunction(() => document.querySelectorAll("#topics li:not(.asking)").length === 5)
    const asked = hub.heard.slice(before).map(({ text }) => JSON.parse(text) as Record<string, unknown>)
    expect(asked.map(({ position, presence, topic }) => [topic, position, presence])).toEqual([
      ["a", "d:2", true],
      ["b", "b:2", true],
      ["c", "c:2", true],
      ["d", "d:2", true],
      ["f", "f:2", true]
    ])
    // What was left and joined again is joined anew, and what has no position cannot be gone on with.
    await page.getByRole("button", { name: "Leave b" }).click()
    for (const topic of ["b", "unknown"]) {
      await page.locator("#join").fill(topic)
      await page.keyboard.press("Enter")
      await page.waitForFunction(() => document.querySelector("#topics .asking") === null)
      expect(JSON.parse(hub.heard.at(-1)!.text)).toMatchObject({ type: "subscribe", topic })
      expect(hub.heard.at(-1)!.text).not.toContain("position")
    }
    for (const socket of hub.sockets) socket.close(1001)
    await page.getByText("What was said in between follows, but not of unknown.").waitFor()
  })

  it("is taken out of a topic, and tells why", async () => {
    const page = await visit("?topic=lobby&topic=weir")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    hub.say('{"type":"unsubscribed","topic":"lobby","reason":"kicked","message":"be kind"}')
    await page.getByText("You were taken out of lobby: be kind").waitFor()
    expect(await joined(page)).toEqual(["weir\n×"])
    expect(new URL(page.url()).search).toBe("?topic=weir")
    expect(hub.types()).toEqual(["subscribe", "subscribe"])
  })

  it("asks again for a topic that could not be had for the time being", async () => {
    let attempts = 0
    hub.reply = ({ id, type }) =>
      type === "subscribe" && attempts++ === 0
        ? { type: "error", code: "unavailable", message: "come back", id }
        : undefined
    const page = await visit("?topic=lobby")
    await page.getByText("lobby cannot be had now: come back").waitFor()
    expect(await page.locator("#topics li.asking").count()).toBe(1)
    await page.locator("#topics li:not(.asking)").waitFor()
    expect(hub.types()).toEqual(["subscribe", "subscribe"])
  })

  describe("who is there", () => {
    it("is told as it changes, of the chosen topic by name", async () => {
      const page = await visit("?topic=lobby&topic=weir&name=ada")
      await page.locator("#topics li:not(.asking)").nth(1).waitFor()
      expect(await page.locator("#members").isHidden()).toBe(true)
      hub.say(presentText("lobby", [user("bob"), user("ada")]))
      await page.getByText("2 here", { exact: true }).waitFor()
      expect(await here(page)).toEqual(["ada", "bob"])
      hub.say(presenceText("joined", "lobby", "<b>cy"))
      hub.say(presenceText("updated", "lobby", "bob", 2))
      hub.say(presenceText("joined", "weir", "nobody said who was there before"))
      hub.say(presentText("weir", [user("dee"), user("ada"), user("eve")]))
      await page.getByText("3 here", { exact: true }).waitFor()
      // Which of these is drawn in which frame is up to the page.
      await expect.poll(() => here(page)).toEqual(["ada", "bob\n×2", "<b>cy"])
      hub.say(presenceText("left", "lobby", "bob"))
      await page.getByText("2 here", { exact: true }).waitFor()
      expect(await here(page)).toEqual(["ada", "<b>cy"])
      expect(await page.locator("#topics .count").allInnerTexts()).toEqual(["2", "3"])
      await page.locator("#to").selectOption("weir")
      await page.getByText("3 here", { exact: true }).waitFor()
      expect(await here(page)).toEqual(["ada", "dee", "eve"])
    })

    it("is told by the wire that each connection uses", async () => {
      hub.answers["/topics/lobby/presence"] = {
        ...JSON.parse(presentText("lobby", [user("an answer that is older than what the hub told by itself")])),
        members: 1_006,
        wires: { cable: 1_002, native: 1, other: 1, socketio: 1, sse: 1 }
      }
      const page = await visit("?topic=lobby&topic=weir&name=ada", { viewport: { width: 320, height: 640 } })
      const wires = page.locator("#members-wires")
      await wires.waitFor()
      expect(await wires.innerText()).toBe("1,002 Action Cable, 1 native, 1 other, 1 Socket.IO, 1 event stream")
      expect(await here(page)).toEqual([])
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)
      hub.say(presentText("lobby", [user("bob"), user("ada")]))
      await page.getByText("2 here", { exact: true }).waitFor()
      expect([await here(page), await wires.isVisible()]).toEqual([["ada", "bob"], true])
      hub.say(presentText("weir", [user("bob"), user("cy"), user("ada")]))
      await page.locator("#to").selectOption("weir")
      await page.getByText("3 here", { exact: true }).waitFor()
      expect(await wires.isHidden()).toBe(true)
    })

    it("has 100 names in the document, and says how many more there are", async () => {
      const page = await visit("?topic=lobby&name=ada")
      await page.locator("#topics li:not(.asking)").waitFor()
      const names = Array.from({ length: 1_000 }, (_, i) => `guest ${i}`)
      hub.say(
        presentText(
          "lobby",
          names.map((name) => user(name)),
          5_000
        )
      )
      await page.getByText("and 4,900 more", { exact: true }).waitFor()
      for (let i = 0; i < 50; i++) hub.say(presenceText("joined", "lobby", `late ${i}`))
      await page.getByText("and 4,950 more", { exact: true }).waitFor()
      expect(await page.locator("#members-list li").count()).toBe(100)
      for (const name of names) hub.say(presenceText("left", "lobby", name))
      await page.getByText("4,050 here", { exact: true }).waitFor()
      // Those that came when 1,000 were known are counted, and not known by name.
      expect(await page.locator("#members-list li").count()).toBe(0)
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true)
    })

    it("is not shown where the hub does not tell, before the subscription or behind it", async () => {
      hub.reply = ({ id, presence, type }) =>
        type === "subscribe" && presence === true
          ? { type: "error", code: "no-presence", message: "nobody is told", id }
          : undefined
      const page = await visit("?topic=lobby")
      await page.locator("#topics li:not(.asking)").waitFor()
      hub.say('{"type":"error","code":"no-presence","message":"nobody is told"}')
      hub.message("lobby", "still here")
      await page.getByText("still here").waitFor()
      expect(await page.locator("#members").isHidden()).toBe(true)
      expect(await page.locator(".note").count()).toBe(0)
      expect(hub.heard.map(({ text }) => JSON.parse(text).presence)).toEqual([true, undefined])
    })
  })

  describe("what else there is", () => {
    it("is shown and can be joined, with the nodes that have not answered", async () => {
      hub.answers["/topics"] = { topics: topics("attic", "lobby", "<i>weir"), silent: ["mill", "pond"] }
      const page = await visit("?topic=lobby")
      await page.getByText("Not answered: mill, pond.", { exact: true }).waitFor()
      expect(await page.locator("#others-list li").allInnerTexts()).toEqual(["attic\n1", "<i>weir\n3"])
      expect(await page.locator("#topics .count").innerText()).toBe("2")
      await page.getByRole("button", { name: "attic" }).focus()
      await page.keyboard.press("Enter")
      await page.locator("#topics li:not(.asking)").nth(1).waitFor()
      expect(await joined(page)).toEqual(["lobby\n2\n×", "attic\n1\n×"])
      expect(await page.locator("#others-list li").allInnerTexts()).toEqual(["<i>weir\n3"])
    })

    it("is at most 30 topics in the document", async () => {
      const names = Array.from({ length: 100 }, (_, i) => `topic ${i}`)
      hub.answers["/topics"] = { topics: topics(...names), silent: [], next: "topic 99" }
      const page = await visit("?topic=lobby", { viewport: { width: 320, height: 640 }, isMobile: true })
      await page.getByText("There are more.", { exact: true }).waitFor()
      expect(await page.locator("#others-list li").count()).toBe(30)
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)
    })

    it("is asked every five seconds, unless the page is hidden or the node is alone", async () => {
      const page = await (await browser.newContext()).newPage()
      await page.clock.install()
      await page.goto(hub.url)
      await page.locator("#state[data-state=connected]").waitFor()
      const rounds = () => [hub.asked.filter((path) => path === "/health").length, hub.asked.length]
      /** Waits for so many questions, and that there are no more. */
      const settle = async (count: number) => {
        await expect.poll(() => hub.asked.length).toBe(count)
        await page.evaluate(() => fetch("health").then((response) => response.text()))
        hub.asked.pop()
        await page.evaluate(() => new Promise(requestAnimationFrame))
      }
      await settle(2)
      expect(rounds()).toEqual([1, 2])
      await page.clock.runFor(5_000)
      await settle(4)
      await page.evaluate(() => {
        Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true })
        document.dispatchEvent(new Event("visibilitychange"))
      })
      await page.clock.runFor(60_000)
      await settle(4)
      hub.answers["/health"] = {
        status: "degraded",
        node: "n1",
        broker: { name: "redis", status: "down", attempts: 3 }
      }
      await page.evaluate(() => {
        Object.defineProperty(document, "visibilityState", { value: "visible", configurable: true })
        document.dispatchEvent(new Event("visibilitychange"))
      })
      await page.getByText(/This node is alone: redis cannot be reached, tried 3 times/).waitFor()
      await settle(5)
      expect(rounds()).toEqual([3, 5])
    })
  })

  it("shows how much is said in each topic", async () => {
    const page = await visit("?topic=lobby&topic=weir")
    await page.locator("#topics li:not(.asking)").nth(1).waitFor()
    for (let i = 0; i < 50; i++) hub.message("lobby", i)
    await page.getByText(/^[\d.]+\/s$/).waitFor()
    expect(await page.locator("#topics .rate").allInnerTexts()).toEqual([expect.stringMatching(/^(10|\d\.\d)\/s$/), ""])
    expect(await page.locator("#topics polyline").first().getAttribute("points")).toMatch(/^0,9\.5 1,9\.5 .* 29,/)
    expect(await page.locator("#topics .line").last().isVisible()).toBe(false)
  })

  it("does not forget what was said in a second that is not over when it is drawn", async () => {
    const page = await visit("?topic=lobby")
    // As text: what is imported in a function here would be imported by Vitest.
    const drawn = await page.evaluate(`import("/rates.js").then((Rates) => {
      let now = 1_000_000
      performance.now = () => now
      const number = document.createElement("span")
      const line = document.createElement("i")
      Rates.add("other")
      Rates.draw("other", number, line)
      const before = number.textContent
      now += 1_000
      Rates.draw("other", number, line)
      return [before, number.textContent]
    })`)
    expect(drawn).toEqual(["", "0.2/s"])
  })

  it("gives up an attempt that nobody answers", async () => {
    const page = await visit("?topic=lobby")
    await page.clock.install()
    await page.routeWebSocket("**/ws*", () => {}) // takes the connection, and says nothing
    for (const socket of hub.sockets) socket.close(1001)
    await page.locator("#state[data-state=connecting]").waitFor()
    await page.clock.runFor(10_100)
    await page.locator("#reason", { hasText: "The hub does not answer." }).waitFor()
  })

  it("stays away when a close code says so, until it is told to come back", async () => {
    const page = await visit("?topic=lobby")
    for (const socket of hub.sockets) socket.close(1009)
    await page.locator("#state[data-state=stopped]").waitFor()
    expect(await page.locator("#reason").innerText()).toBe(
      "The hub closed the connection: the message was too large (1009)."
    )
    await page.locator("#body").fill("kept")
    await page.keyboard.press("Enter")
    expect(await page.locator("#receipt").innerText()).toBe("Not connected. Your text is kept.")
    await page.getByRole("button", { name: "Connect again" }).click()
    await page.locator("#state[data-state=connected]").waitFor()
    expect(await page.locator("#body").inputValue()).toBe("kept")
  })

  it("connects anew under another name, and refuses names and topics that the hub would refuse", async () => {
    const page = await visit("?topic=lobby&name=ada")
    await page.locator("#topics li:not(.asking)").waitFor()
    const faultOf = (id: string) => page.locator(id).evaluate((input: HTMLInputElement) => input.validationMessage)
    for (const name of ["@http", "🌊".repeat(65)]) {
      await page.locator("#name").fill(name)
      await page.keyboard.press("Enter")
      expect([name, await faultOf("#name")]).toEqual([name, expect.stringMatching(/./)])
    }
    for (const topic of ["$hub", "é".repeat(129)]) {
      await page.locator("#join").fill(topic)
      await page.keyboard.press("Enter")
      expect([topic, await faultOf("#join")]).toEqual([topic, expect.stringMatching(/./)])
    }
    expect(hub.types()).toEqual(["subscribe"])

    await page.locator("#name").fill("Zoë 🌊")
    await page.keyboard.press("Enter")
    await page.getByText("Connected as Zoë 🌊").waitFor()
    await page.waitForFunction(() => document.querySelectorAll("#topics li:not(.asking)").length === 1)
    expect(new URL(page.url()).searchParams.get("name")).toBe("Zoë 🌊")
    expect(hub.heard.at(-1)).toMatchObject({ name: "Zoë 🌊" })
  })

  it("gives up a topic that the hub refuses, and says so", async () => {
    const page = await visit("?topic=lobby")
    await page.locator("#topics li:not(.asking)").waitFor()
    for (const socket of hub.sockets) {
      socket.removeAllListeners("message")
      socket.on("message", (bytes) => {
        socket.send(HubMessage.encode(HubMessage.refuse("too-many-topics", JSON.parse(String(bytes)).id)))
      })
    }
    await page.locator("#join").fill("one too many")
    await page.keyboard.press("Enter")
    await page.locator(".note.wrong").waitFor()
    expect(await page.locator("#topics li").allInnerTexts()).toEqual(["lobby\n×"])
  })

  it("ignores what later versions of the hub may say", async () => {
    const page = await visit("?topic=lobby")
    hub.say('{"type":"presence","topic":"lobby","members":3}')
    hub.say('{"type":"message","topic":"lobby","data":"known","from":"grace","time":0,"epoch":"a","offset":7}')
    await page.getByText("known").waitFor()
  })

  it.each([390, 320])("fits a phone %i px wide", async (width) => {
    const page = await visit(`?topic=lobby&topic=${"long".repeat(20)}&topic=weir&name=${"n".repeat(64)}`, {
      viewport: { width, height: 700 },
      isMobile: true,
      hasTouch: true
    })
    hub.message("lobby", "w".repeat(300), "n".repeat(64))
    await page.locator(".message").waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width)
    for (const id of ["#name", "#join", "#body", "#send"]) {
      const box = await page.locator(id).boundingBox()
      expect(box === null ? Number.NaN : box.x + box.width).toBeLessThanOrEqual(width)
    }
  })
})
