/** The connection of core in a page of a real browser, against our server: what they agree on. Messages are in test/page. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type * as Endpoint from "@millrace/node/Endpoint"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { launch } from "../support/chromium.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const echo = (options: Pick<Endpoint.Options<undefined>, "extensions" | "subprotocols"> = {}) =>
  NodeWebSocketServer.serve({ origin: Origin.any, limits: { maxMessageBytes: 2 << 20 }, ...options }, (connection) =>
    Stream.runForEach(connection.messages, connection.send)
  )

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s", (platform) => {
  it.live("agrees on a subprotocol and an extension, and says where it was opened", () =>
    Effect.gen(function* () {
      const { port, url } = yield* echo({
        subprotocols: ["two"],
        extensions: [
          NodeDeflate.compression({ threshold: 0, server: { serverNoContextTakeover: true, clientMaxWindowBits: 10 } })
        ]
      })
      const { run } = yield* Page.open(browser)
      const agreed = yield* run(
        (modules, platform, url) => {
          const { Effect, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const one = yield* modules[platform].open(url, { subprotocols: ["one", "two"] })
              yield* one.send("compressed")
              const message = yield* one.receive
              const { extensions, handshake, subprotocol } = one
              return { extensions, handshake, subprotocol, text: message._tag === "Text" && message.text }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(agreed, {
        value: {
          extensions: [
            {
              name: "permessage-deflate",
              params: [
                ["server_no_context_takeover", null],
                ["client_max_window_bits", "10"]
              ]
            }
          ],
          handshake: { url: `ws://127.0.0.1:${port}/` },
          subprotocol: "two",
          text: "compressed"
        }
      })
    })
  )

  it.live("is there in a worker, too", () =>
    Effect.gen(function* () {
      const { url } = yield* echo()
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (_, platform, url) =>
          new Promise<unknown>((resolve) => {
            const talk = `modules.outcome(modules.Effect.gen(function* () {
              const connection = yield* modules.${platform}.open("${url}")
              yield* connection.send("from a worker")
              return (yield* connection.receive).text
            })).then(postMessage)`
            const modules = document.querySelector("script")!.textContent
            const worker = new Worker(URL.createObjectURL(new Blob([modules, talk])))
            worker.addEventListener("message", ({ data }) => {
              worker.terminate()
              resolve(data)
            })
          }),
        platform,
        url
      )
      assert.deepStrictEqual(outcome, { value: "from a worker" })
    })
  )
})
