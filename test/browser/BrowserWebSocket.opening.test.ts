/** Connections of a page that are being opened: where to, with what, and what goes wrong. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as BearerSubprotocol from "@millrace/core/codec/BearerSubprotocol"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as bareServer from "../support/bareServer.ts"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** Opens one, and gives the outcome of that alone. */
const opening = (
  { run }: Page.Running,
  platform: "BrowserWebSocket" | "BrowserWebSocketStream",
  url: string,
  options: Page.Modules.BrowserWebSocket.Options = {}
) =>
  run(
    (modules, platform, url, options) =>
      modules.outcome(
        modules.Effect.map(modules[platform].open(url, options), ({ handshake, subprotocol }) => ({
          ...handshake,
          subprotocol
        }))
      ),
    platform,
    url,
    options
  )

const reasonOf = (outcome: Page.Modules.Outcome) => ("reason" in outcome ? outcome.reason : outcome)

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s", (platform) => {
  it.live("goes where a link would go, and takes http: for ws:", () =>
    Effect.gen(function* () {
      const { port } = yield* NodeWebSocketServer.serve({ path: "/dir/chat" }, (connection) => connection.closed)
      const page = yield* Page.open(browser, `http://127.0.0.1:${port}/dir/page`)
      for (const [url, path] of [
        ["chat", "/dir/chat"],
        ["/dir/chat", "/dir/chat"],
        ["../dir/chat?room=é", "/dir/chat?room=%C3%A9"],
        [`//127.0.0.1:${port}/dir/chat`, "/dir/chat"],
        [`http://127.0.0.1:${port}/dir/chat`, "/dir/chat"],
        [`ws://127.0.0.1:${port}/dir/chat`, "/dir/chat"]
      ] as const) {
        assert.deepStrictEqual(yield* opening(page, platform, url), { value: { url: `ws://127.0.0.1:${port}${path}` } })
      }
    })
  )

  it.live("takes no URL that is none of a WebSocket, and asks nobody", () =>
    Effect.gen(function* () {
      const page = yield* Page.open(browser)
      for (const [url, detail] of [
        ["http://[", "it is no URL"],
        ["ftp://example.com/", "its scheme is neither ws: nor wss:"],
        ["/chat#top", "it has a fragment; a # is written %23"],
        ["/chat#", "it has a fragment; a # is written %23"],
        ["ws://ada:secret@127.0.0.1/", "it has a user; use a token"]
      ] as const) {
        assert.deepStrictEqual(reasonOf(yield* opening(page, platform, url)), { _tag: "InvalidUrl", url, detail })
      }
    })
  )

  it.live("takes no subprotocols that the platform does not take, and no token without one", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve({ origin: Origin.any }, (connection) => connection.closed)
      const page = yield* Page.open(browser)
      for (const options of [{ subprotocols: ["a", "a"] }, { subprotocols: ["a b"] }, { token: "123" }]) {
        const outcome = yield* opening(page, platform, url, options)
        assert.strictEqual(reasonOf(outcome) && Reflect.get(reasonOf(outcome)!, "_tag"), "InvalidOptions")
      }
    })
  )

  it.live("is told of no reason why it is not opened", () =>
    Effect.gen(function* () {
      const { url } = yield* NodeWebSocketServer.serve(
        {
          origin: Origin.any,
          path: "/chat",
          handshake: () => NodeWebSocketServer.refuse(403, { body: "not you" })
        },
        (connection) => connection.closed
      )
      const closed = yield* Effect.scoped(
        Effect.map(
          bareServer.listen(() => {}),
          ({ port }) => `ws://127.0.0.1:${port}/`
        )
      )
      const web = yield* bareServer.listen((_, response) => void response.end("a page"))
      const page = yield* Page.open(browser)
      for (const nowhere of [`${url}/chat`, `${url}/else`, closed, `ws://127.0.0.1:${web.port}/`]) {
        assert.deepStrictEqual(yield* opening(page, platform, nowhere), {
          error: "OpenError",
          message: `${nowhere} did not open, and a page is not told why`,
          reason: { _tag: "Undisclosed", url: nowhere }
        })
      }
    })
  )

  it.live("waits for a silent server as long as it is told, and leaves it then", () =>
    Effect.gen(function* () {
      const silent = yield* bareServer.listen(() => {})
      const page = yield* Page.open(browser)
      const outcome = yield* opening(page, platform, silent.url, { handshakeTimeout: 300 })
      assert.deepStrictEqual(reasonOf(outcome), { _tag: "HandshakeTimeout", timeout: 300 })
      assert.strictEqual(silent.asked.length, 1)
      yield* eventually(() => silent.sockets.size === 0)
    })
  )

  it.live("leaves a server that it was interrupted at", () =>
    Effect.gen(function* () {
      const silent = yield* bareServer.listen(() => {})
      const { page, run } = yield* Page.open(browser)
      yield* run(
        (modules, platform, url) => {
          const { Effect, Fiber } = modules
          const fiber = Effect.runFork(Effect.scoped(modules[platform].open(url)))
          Reflect.set(globalThis, "interrupt", () =>
            modules.outcome(Effect.andThen(Fiber.interrupt(fiber), Fiber.join(fiber)))
          )
          return Promise.resolve()
        },
        platform,
        silent.url
      )
      yield* eventually(() => silent.asked.length === 1)
      assert.deepStrictEqual(yield* Effect.promise(() => page.evaluate("interrupt()")), { end: "interrupted" })
      yield* eventually(() => silent.sockets.size === 0)
    })
  )

  it.live("shows a token to the server, which agrees to another subprotocol", () =>
    Effect.gen(function* () {
      const users: Array<string> = []
      const { url } = yield* NodeWebSocketServer.serve(
        {
          origin: Origin.any,
          subprotocols: ["chat"],
          handshake: ({ client }) =>
            BearerSubprotocol.find(client.subprotocols) === "(ada's) e=mc²"
              ? Effect.succeed(NodeWebSocketServer.accept("ada"))
              : NodeWebSocketServer.refuse(401)
        },
        (connection) => {
          users.push(connection.handshake)
          return Stream.runForEach(connection.messages, connection.send)
        }
      )
      const page = yield* Page.open(browser)
      const options = { subprotocols: ["chat"], token: "(ada's) e=mc²" }
      assert.deepStrictEqual(yield* opening(page, platform, url, options), {
        value: { url: `${url}/`, subprotocol: "chat" }
      })
      assert.deepStrictEqual(users, ["ada"])
      const refused = yield* opening(page, platform, url, { ...options, token: "grace" })
      assert.deepStrictEqual(reasonOf(refused), { _tag: "Undisclosed", url: `${url}/` })
      const other = yield* opening(page, platform, url, { ...options, subprotocols: ["talk"] })
      assert.deepStrictEqual(reasonOf(other), { _tag: "Undisclosed", url: `${url}/` })
    })
  )
})
