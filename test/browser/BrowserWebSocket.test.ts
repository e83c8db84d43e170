/** The connection of core in a page of a real browser, against our server: messages, and what they are made of. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type * as Message from "@millrace/core/protocol/Message"
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
  it.live("gets back what it sends, of every length and kind, in order", () =>
    Effect.gen(function* () {
      const { url } = yield* echo()
      const { run } = yield* Page.open(browser)
      const wrong = yield* run(
        (modules, platform, url) => {
          const { Effect, Stream, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url, { limits: { maxMessageBytes: 2 << 20 } })
              const sent: Array<string | Uint8Array> = ["é€🌊\u0000\ufeff"]
              for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20]) {
                sent.push(
                  "x".repeat(length),
                  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
                )
              }
              const isSame = (
                one: string | Uint8Array,
                message: InstanceType<typeof Message.Text> | InstanceType<typeof Message.Binary>
              ) =>
                typeof one === "string"
                  ? message._tag === "Text" && message.text === one
                  : message._tag === "Binary" &&
                    message.bytes.length === one.length &&
                    message.bytes.every((byte, i) => byte === one[i])
              const wrong: Array<string> = []
              for (const one of sent) {
                yield* connection.send(one)
                if (!isSame(one, yield* connection.receive)) wrong.push(`${typeof one} of ${one.length}`)
              }
              const all = yield* Effect.forkChild(Stream.runCollect(Stream.take(connection.messages, sent.length)), {
                startImmediately: true
              })
              yield* connection.sendAll(sent.map((one, i) => (i % 2 === 0 ? one : modules.Message.from(one))))
              for (const [i, message] of (yield* modules.Fiber.join(all)).entries()) {
                if (!isSame(sent[i]!, message)) wrong.push(`${typeof sent[i]} ${i}, among others`)
              }
              return wrong
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(wrong, { value: [] })
    })
  )

  it.live("receives ten thousand messages, each once and in order", () =>
    Effect.gen(function* () {
      const { url } = yield* echo()
      const { run } = yield* Page.open(browser)
      const sums = yield* run(
        (modules, platform, url) => {
          const { Effect, Stream, outcome } = modules
          return outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              yield* Effect.forkChild(
                Effect.forEach(
                  Array.from({ length: 10_000 }, (_, i) => `${i}`),
                  connection.send,
                  { discard: true }
                )
              )
              let next = 0
              let wrong = 0
              yield* Stream.runForEachArray(Stream.take(connection.messages, 10_000), (messages) =>
                Effect.sync(() => {
                  for (const message of messages) {
                    if (message._tag !== "Text" || message.text !== `${next++}`) wrong++
                  }
                })
              )
              return [next, wrong]
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(sums, { value: [10_000, 0] })
    })
  )

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
