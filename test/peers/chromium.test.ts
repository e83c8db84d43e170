/** The WebSocket of a real browser: at the page of the real hub, and at a bare page against a server of ours. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type { Extension } from "@millrace/core/connection/Extension"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import { blank } from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const newPage: Effect.Effect<Page, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const context = await browser.newContext()
      const page = await context.newPage()
      page.setDefaultTimeout(20_000)
      return { context, page }
    }),
    ({ context }) => Effect.promise(() => context.close())
  ),
  ({ page }) => page
)

const say = async (page: Page, text: string) => {
  await page.locator("#body").fill(text)
  await page.keyboard.press("Enter")
}

const seen = (page: Page) => page.locator(".message .text").allInnerTexts()

describe("the hub", () => {
  it.live("lets two people talk who open its page", () =>
    Effect.gen(function* () {
      const hub = yield* HubServer.serve()
      const visit = (name: string) =>
        Effect.tap(newPage, (page) =>
          Effect.promise(async () => {
            await page.goto(`http://127.0.0.1:${hub.port}/?name=${name}&topic=lobby`)
            await page.getByText(`Connected as ${name}`).waitFor()
            await page.locator("#topics li:not(.asking)").waitFor()
          })
        )
      const ada = yield* visit("ada")
      const grace = yield* visit("grace")
      yield* Effect.promise(async () => {
        await say(ada, "Is there water? 🌊")
        await grace.getByText("Is there water? 🌊").waitFor()
        await say(grace, "Nearly.")
        await ada.getByText("Nearly.").waitFor()
        await grace.getByText("Nearly.").waitFor()
        await ada.getByText("Is there water? 🌊").waitFor()
        assert.deepStrictEqual(await seen(ada), ["Is there water? 🌊", "Nearly."])
        assert.deepStrictEqual(await seen(grace), ["Is there water? 🌊", "Nearly."])
        assert.deepStrictEqual(await grace.locator(".message .from").allInnerTexts(), ["ada", "grace"])
      })
      assert.strictEqual(hub.hub.members("lobby"), 2)
      const response = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${hub.port}/publish`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: '{"topic":"lobby","data":"The gate opens."}'
        })
      )
      assert.include(yield* Effect.promise(() => response.json()), { receivers: 2 })
      yield* Effect.promise(() => ada.getByText("The gate opens.").waitFor())
      yield* Effect.promise(() => grace.getByText("The gate opens.").waitFor())
    })
  )
})

/** An echo server for any page, with how its connections ended; "close CODE REASON" is answered with that. */
const echo = (origin: Origin.Policy = Origin.any, extensions: ReadonlyArray<Extension> = []) =>
  Effect.gen(function* () {
    const ended: Array<Closed> = []
    const { url } = yield* NodeWebSocketServer.serve(
      { origin, extensions, subprotocols: ["two"], limits: { maxMessageBytes: 2 << 20 } },
      (connection) =>
        Effect.gen(function* () {
          yield* Stream.runForEach(connection.messages, (message) => {
            const [, code, reason] = message._tag === "Text" ? (/^close (\d+) (.*)$/.exec(message.text) ?? []) : []
            return code === undefined ? connection.send(message) : connection.close(Number(code), reason)
          }).pipe(Effect.ignore)
          ended.push(yield* connection.closed)
        })
    )
    return { url, ended }
  })

describe("a bare page", () => {
  it.live.each([
    ["as it is", "", []],
    ["compressed", "permessage-deflate", [NodeDeflate.compression({ threshold: 0 })]]
  ] as const)("gets back what it sends, of every length and kind, %s", ([, agreed, extensions]) =>
    Effect.gen(function* () {
      const { url } = yield* echo(Origin.any, extensions)
      const page = yield* newPage
      const wrong = yield* Effect.promise(() =>
        page.evaluate(
          async ([url, agreed]) => {
            const socket = new WebSocket(url, ["one", "two"])
            socket.binaryType = "arraybuffer"
            await new Promise((resolve, reject) => {
              socket.addEventListener("open", resolve)
              socket.addEventListener("close", reject)
            })
            const wrong: Array<string> = []
            if (socket.protocol !== "two") wrong.push(`the subprotocol is ${socket.protocol}`)
            if (socket.extensions !== agreed) wrong.push(`the extensions are ${socket.extensions}`)
            const arrived: Array<string | ArrayBuffer> = []
            let arrive = () => {}
            socket.addEventListener("message", ({ data }) => {
              arrived.push(data)
              arrive()
            })
            const next = async () => {
              while (arrived.length === 0) await new Promise<void>((resolve) => (arrive = resolve))
              return arrived.shift()!
            }
            const same = (sent: string | Uint8Array, got: string | ArrayBuffer) => {
              if (typeof sent === "string" || typeof got === "string") return sent === got
              const bytes = new Uint8Array(got)
              return bytes.length === sent.length && sent.every((byte, i) => byte === bytes[i])
            }
            const messages: Array<string | Uint8Array<ArrayBuffer>> = ["é€🌊\u0000\ufeff"]
            for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20]) {
              messages.push(
                "x".repeat(length),
                Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
              )
            }
            // One by one, and then all at once.
            for (const message of messages) {
              socket.send(message)
              if (!same(message, await next())) wrong.push(`${typeof message} of ${message.length}`)
            }
            for (const message of messages) socket.send(message)
            for (const message of messages) {
              if (!same(message, await next())) wrong.push(`${typeof message} of ${message.length}, among others`)
            }
            socket.send(new Blob(["a", "b"]))
            if (!same(Uint8Array.of(0x61, 0x62), await next())) wrong.push("a Blob")
            socket.close()
            return wrong
          },
          [url, agreed] as const
        )
      )
      assert.deepStrictEqual(wrong, [])
    })
  )

  it.live("and our server tell each other how they close", () =>
    Effect.gen(function* () {
      const { ended, url } = yield* echo()
      const page = yield* newPage
      let connections = 0
      /** Opens, does one thing, and says how it ended; our end has ended, too, by then. */
      const closing = (what: { readonly say?: string; readonly close?: readonly [number?, string?] }) =>
        Effect.promise(() => {
          connections++
          return page.evaluate(
            ([url, { close, say }]) =>
              new Promise((resolve) => {
                const socket = new WebSocket(url)
                socket.addEventListener("open", () => {
                  if (say !== undefined) socket.send(say)
                  if (close !== undefined)
                    socket.close(...(close.filter((one) => one !== undefined) as [number, string]))
                })
                socket.addEventListener("close", ({ code, reason, wasClean }) => resolve([code, reason, wasClean]))
              }),
            [url, what] as const
          )
        }).pipe(Effect.tap(() => eventually(() => ended.length === connections)))
      assert.deepStrictEqual(yield* closing({ close: [] }), [1005, "", true])
      assert.deepStrictEqual(yield* closing({ close: [1000, "done é"] }), [1000, "done é", true])
      assert.deepStrictEqual(yield* closing({ close: [4999, "x".repeat(123)] }), [4999, "x".repeat(123), true])
      assert.deepStrictEqual(yield* closing({ say: "close 1011 our fault 🌊" }), [1011, "our fault 🌊", true])
      assert.deepStrictEqual(yield* closing({ say: "close 1005 " }), [1005, "", true])
      assert.deepStrictEqual(yield* closing({ say: "x".repeat((2 << 20) + 1) }), [1009, "message too big", true])
      assert.deepStrictEqual(
        ended.map(({ by, received, sent }) => [by, sent?.code, received?.code]),
        [
          ["remote", 1005, 1005],
          ["remote", 1000, 1000],
          ["remote", 4999, 4999],
          ["local", 1011, 1011],
          ["local", 1005, 1005],
          ["local", 1009, undefined]
        ]
      )
    })
  )

  it.live("that is closed itself ends its connection with 1001", () =>
    Effect.gen(function* () {
      const { ended, url } = yield* echo()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const page = yield* newPage
          yield* Effect.promise(() =>
            page.evaluate((url) => new Promise((resolve) => new WebSocket(url).addEventListener("open", resolve)), url)
          )
          yield* Effect.promise(() => page.goto("data:text/html,elsewhere"))
        })
      )
      yield* eventually(() => ended.length === 1)
      assert.deepStrictEqual(ended[0]?.received, { code: 1001, reason: "" })
    })
  )

  it.live("of a foreign origin is kept out, unless it is allowed", () =>
    Effect.gen(function* () {
      const foreign = yield* blank
      const page = yield* newPage
      yield* Effect.promise(() => page.goto(foreign))
      const open = (url: string) =>
        Effect.promise(() =>
          page.evaluate(
            (url) =>
              new Promise((resolve) => {
                const socket = new WebSocket(url)
                socket.addEventListener("open", () => resolve("open"))
                socket.addEventListener("close", ({ code }) => resolve(code))
              }),
            url
          )
        )
      const [strict, named] = [
        yield* echo(Origin.sameOrigin),
        yield* Effect.flatMap(Effect.fromResult(Origin.allow([foreign.slice(0, -1)])), echo)
      ]
      assert.strictEqual(yield* open(strict.url), 1006)
      assert.strictEqual(yield* open(named.url), "open")
    })
  )
})
