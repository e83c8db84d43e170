/**
 * The page of the hub in a real browser, on a cluster: nodes that share a broker, each behind a way that can be cut. The
 * page hangs on one, and goes on at another when that is gone. Nothing is lost on the way, and nothing comes twice.
 */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as HubServer from "@millrace/node/HubServer"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest"
import { launch } from "../support/chromium.ts"
import { describeWith } from "../support/describeWith.ts"
import { eventually } from "../support/eventually.ts"
import type { RealServer } from "../support/realServer.ts"
import { redisServer } from "../support/redisServer.ts"

/** The way to a node, whose address is known before the node is there. */
const wayTo = async () => {
  const sockets = new Set<Socket>()
  let port: number | undefined
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    if (port === undefined) return void socket.destroy()
    const far = connect(port, "127.0.0.1")
    far.on("error", () => {}).on("close", () => socket.destroy())
    socket.pipe(far).pipe(socket)
    socket.on("close", () => far.destroy())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    lead: (to: number | undefined) => {
      port = to
      if (to === undefined) for (const socket of sockets) socket.destroy()
    },
    end: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
  }
}

interface Node {
  readonly url: string
  readonly running: HubServer.Running
  readonly broker: Broker["Service"]
  /** Whether pages can reach it. */
  readonly open: (isOpen: boolean) => void
  /** Takes it away; who is connected is told, or is not. */
  readonly end: (how: "goodbye" | "silence") => Promise<void>
}

const texts = (page: Page) => page.locator(".message .text").allInnerTexts()

const shown = async (page: Page, count: number) => {
  await page
    .locator(".message")
    .nth(count - 1)
    .waitFor()
  return texts(page)
}

describeWith("redis-server")("the page, on several nodes", () => {
  let browser: Browser
  let scope: Scope.Closeable
  let redis: RealServer
  let nodes: ReadonlyArray<Node>
  let complaints: Array<string>

  const node = async (): Promise<Node> => {
    const way = await wayTo()
    const own = await Effect.runPromise(Scope.fork(scope))
    await Effect.runPromise(Scope.addFinalizer(scope, Effect.sync(way.end)))
    const serving = Effect.gen(function* () {
      const broker = yield* RedisBroker.make({ url: redis.url })
      yield* eventually(() => broker.status()._tag === "Up")
      return { broker, running: yield* HubServer.serve({ broker, advertise: way.url, drain: { window: 0 } }) }
    })
    const { broker, running } = await Effect.runPromise(Scope.provide(serving, own))
    way.lead(running.port)
    return {
      url: way.url,
      running,
      broker,
      open: (isOpen) => way.lead(isOpen ? running.port : undefined),
      end: async (how) => {
        if (how === "silence") way.lead(undefined)
        await Effect.runPromise(Scope.close(own, Exit.void))
        way.lead(undefined)
      }
    }
  }

  beforeAll(async () => {
    browser = await launch()
  }, 60_000)
  afterAll(() => browser.close())
  beforeEach(async () => {
    complaints = []
    scope = Scope.makeUnsafe()
    redis = await Effect.runPromise(Scope.provide(redisServer(), scope))
    nodes = [await node(), await node()]
    await Effect.runPromise(eventually(() => nodes.every(({ running }) => running.cluster.nodes.list().length === 2)))
  })
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(complaints).toEqual([])
  })

  const visit = async (query: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const page = await (await browser.newContext({ locale: "en-GB", ...options })).newPage()
    page.setDefaultTimeout(20_000)
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    await page.goto(`${nodes[0]!.url}${query}`)
    await page.locator("#state[data-state=connected]").waitFor()
    await page.waitForFunction(() => document.querySelector("#topics li.asking") === null)
    return page
  }

  /** What the browser itself says of a server that is gone, and of nothing else. */
  const forgive = () => {
    complaints = complaints.filter((text) => !/^(Failed to load resource: |WebSocket connection to )/.test(text))
  }

  const publish = async (at: Node, topic: string, ...data: ReadonlyArray<unknown>) => {
    for (const one of data) {
      const headers = { "content-type": "application/json" }
      const body = JSON.stringify({ topic, data: one })
      const response = await fetch(`http://127.0.0.1:${at.running.port}/publish`, { method: "POST", headers, body })
      expect(response.status).toBe(200)
      await response.text()
    }
  }

  it.each(["goodbye", "silence"] as const)(
    "by WebSocket goes to another when its own is gone with %s, and shows what it has missed, once",
    async (how) => {
      const [one, two] = nodes as [Node, Node]
      const page = await visit("?topic=lobby&topic=weir&name=ada")
      expect(await page.locator("#node").getAttribute("title")).toBe(one.broker.node)
      await publish(two, "lobby", "one")
      await shown(page, 1)
      const address = page.url()
      two.open(false)
      await one.end(how)
      await page.locator("#state:not([data-state=connected])").waitFor()
      await publish(two, "lobby", "two", "three")
      two.open(true)
      await page.locator("#state[data-state=connected]").waitFor()
      await publish(two, "weir", "four")
      expect(await shown(page, 4)).toEqual(["one", "two", "three", "four"])
      const where = `Connected again, to the node at ${new URL(two.url).host}. What was said in between follows.`
      await page.getByText(where).waitFor()
      await page.locator(`#node[title="${two.broker.node}"]`).waitFor()
      await page.getByText(`at ${new URL(two.url).host}`, { exact: true }).waitFor()
      expect(page.url()).toBe(address)
      expect(await page.getByText("A gap").count()).toBe(0)

      // It is a page of the one that is gone, and may speak at the other.
      await page.locator("#body").fill("five")
      await page.keyboard.press("Enter")
      expect(await shown(page, 5)).toEqual(["one", "two", "three", "four", "five"])
      forgive()
    }
  )

  it("by SSE goes to another when its own is gone, and publishes there", async () => {
    const [one, two] = nodes as [Node, Node]
    const page = await visit("?via=sse&topic=lobby")
    await page.locator(`#node[title="${one.broker.node}"]`).waitFor()
    await publish(two, "lobby", "one")
    await shown(page, 1)
    two.open(false)
    await one.end("silence")
    await page.locator("#state:not([data-state=connected])").waitFor()
    await publish(two, "lobby", "two")
    two.open(true)
    await page.locator("#state[data-state=connected]").waitFor()
    await page.locator(`#node[title="${two.broker.node}"]`).waitFor()
    await page.locator("#body").fill("three")
    await page.keyboard.press("Enter")
    expect(await shown(page, 3)).toEqual(["one", "two", "three"])
    await page.getByText("What was said in between follows.").waitFor()
    forgive()
  })

  it("does not try again where its policy does not let it go: at a node that is newer than the page", async () => {
    const [one, two] = nodes as [Node, Node]
    const page = await visit("?topic=lobby&name=ada")
    const three = await node()
    await Effect.runPromise(eventually(() => one.running.cluster.nodes.list().length === 3))
    const told = page.waitForResponse(async (response) => (await response.text()).includes(three.url))
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")))
    await told
    two.open(false)
    const barred = () => complaints.filter((text) => text.includes("Content Security Policy")).length
    await one.end("goodbye")
    await expect.poll(barred, { timeout: 10_000 }).toBeGreaterThan(0)
    const before = barred()
    await page.locator("#reason", { hasText: "The hub cannot be reached." }).waitFor()
    two.open(true)
    await page.locator(`#node[title="${two.broker.node}"]`).waitFor()
    expect(barred()).toBe(before)
    complaints = complaints.filter((text) => !text.includes("Content Security Policy"))
    forgive()
  })

  it("says that its node is alone when the broker cannot be reached, and that it is not when it is back", async () => {
    const page = await visit("?topic=lobby&name=ada")
    expect(await page.locator("#degraded").isHidden()).toBe(true)
    await Effect.runPromise(redis.kill)
    await page.getByText(/^This node is alone: redis cannot be reached/).waitFor()
    await Effect.runPromise(redis.restart)
    await page.locator("#degraded").waitFor({ state: "hidden" })
    expect(await page.locator("#state-text").innerText()).toBe("Connected as ada")
  })
})
