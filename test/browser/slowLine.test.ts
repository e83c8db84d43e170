/** Lines that are slow and alive: by the browser's own emulation where it has one, and by a proxy where it has none. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as bare from "../support/bareServer.ts"
import { launch } from "../support/chromium.ts"
import * as Page from "../support/page.ts"
import { slow } from "../support/slowProxy.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** So far away in milliseconds, and so many bytes a second. */
const emulate = ({ page }: Page.Running, latency: number, throughput: number) =>
  Effect.promise(async () => {
    const session = await page.context().newCDPSession(page)
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", {
      offline: false,
      latency,
      downloadThroughput: throughput,
      uploadThroughput: throughput
    })
  })

const echo = NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
  Stream.runForEach(connection.messages, ({ bytes }) => connection.send(`${bytes.length}`))
)

describe("an event source over 50 kB a second", () => {
  it.live("hears everything, once and in order, over one connection, and is not taken for silent", () =>
    Effect.gen(function* () {
      const data = "x".repeat(1_000)
      const text = Array.from({ length: 100 }, (_, i) => `id: ${i}\ndata: ${i} ${data}\n\n`).join("")
      const server = yield* bare.listen((request, response) => {
        if (request.url === "/")
          return void response.writeHead(200, { "Content-Type": "text/html" }).end("<title>a</title>")
        bare.stream(response, text)
      })
      const running = yield* Page.open(browser, `${server.url}/`)
      yield* emulate(running, 100, 50_000)
      const { heard, took } = yield* running.run(({ BrowserEventSource, Effect, Stream }) => {
        const began = performance.now()
        const events = BrowserEventSource.stream("/events", { heartbeat: "1 second" })
        return Effect.runPromise(
          Effect.map(Stream.runCollect(Stream.take(events, 100)), (events) => ({
            heard: events.map(({ data, id }) => `${id}=${data.split(" ")[0]}`),
            took: performance.now() - began
          }))
        )
      })
      assert.deepStrictEqual(
        heard,
        Array.from({ length: 100 }, (_, i) => `${i}=${i}`)
      )
      assert.strictEqual(server.asked.filter(({ url }) => url === "/events").length, 1)
      // Or the line was not slow.
      assert.isAbove(took, 1_500)
    })
  )
})

describe("a server that is far away", () => {
  it.live("is waited for as long as the handshake may take, and no longer", () =>
    Effect.gen(function* () {
      const { url } = yield* echo
      const running = yield* Page.open(browser)
      yield* emulate(running, 600, -1)
      const open = (handshakeTimeout: string) =>
        running.run(
          ({ BrowserWebSocket, outcome }, url, handshakeTimeout) =>
            outcome(BrowserWebSocket.open(url, { handshakeTimeout: handshakeTimeout as "1 second" })),
          url,
          handshakeTimeout
        )
      const late = yield* open("200 millis")
      assert.deepInclude("reason" in late ? late.reason : late, { _tag: "HandshakeTimeout", timeout: 200 })
      assert.property(yield* open("30 seconds"), "value")
    })
  )
})

/** More than the loopback's own buffers hold. */
const count = 24
const size = 524_288

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s over a slow line", (platform) => {
  it.live("lets who sends wait for room, and loses nothing", () =>
    Effect.gen(function* () {
      const { url } = yield* echo
      const port = yield* slow(Number(new URL(url).port), 6_000_000)
      const running = yield* Page.open(browser)
      const { answers, longest } = yield* running.run(
        (modules, platform, url, count, size) => {
          const { Effect } = modules
          return Effect.runPromise(
            Effect.scoped(
              Effect.gen(function* () {
                const connection = yield* modules[platform].open(url, { limits: { outboxBytes: 65_536 } })
                let longest = 0
                for (let i = 0; i < count; i++) {
                  const began = performance.now()
                  yield* connection.send(new Uint8Array(size))
                  longest = Math.max(longest, performance.now() - began)
                }
                const answers: Array<string> = []
                while (answers.length < count) {
                  for (const message of yield* connection.pull) if (message._tag === "Text") answers.push(message.text)
                }
                return { answers, longest }
              })
            )
          )
        },
        platform,
        `ws://127.0.0.1:${port}`,
        count,
        size
      )
      assert.deepStrictEqual(
        answers,
        Array.from({ length: count }, () => `${size}`)
      )
      assert.isAbove(longest, 40)
    })
  )
})
