/**
 * The WebSocket of a real browser over HTTP/2: on the session that has brought the page, as Chromium has it when the
 * server has said that it takes WebSockets.
 */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as http2 from "node:http2"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { selfSigned } from "../support/certificate.ts"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const newPage: Effect.Effect<Page, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const context = await browser.newContext({ ignoreHTTPSErrors: true })
      const page = await context.newPage()
      page.setDefaultTimeout(20_000)
      return { context, page }
    }),
    ({ context }) => Effect.promise(() => context.close())
  ),
  ({ page }) => page
)

const certificate = selfSigned("localhost")

type Seen = Pick<UpgradeRequest, "httpVersion" | "scheme"> & { readonly extensions: string | undefined }

/** A server of an application's own that serves a page, and an echo at /ws; "close CODE REASON" is answered with that. */
const serve = Effect.gen(function* () {
  const seen: Array<Seen> = []
  const ended: Array<Closed> = []
  let pages = 0
  const server = http2.createSecureServer({ ...certificate, allowHTTP1: true }, (request, response) => {
    if (request.url === "/") pages++
    response.setHeader("Content-Type", "text/html")
    response.end(`<!doctype html><title>over HTTP/${request.httpVersion}</title>`)
  })
  const { port } = yield* NodeWebSocketServer.listen(server, {})
  const scope = yield* Scope.make()
  const attached = yield* NodeWebSocketServer.attach(server, [
    NodeWebSocketServer.route(
      {
        path: "/ws",
        limits: { maxMessageBytes: 2 << 20 },
        subprotocols: ["two"],
        handshake: ({ header, httpVersion, scheme }) =>
          Effect.sync(() => {
            seen.push({ httpVersion, scheme, extensions: header("Sec-WebSocket-Extensions") })
            return NodeWebSocketServer.accept(undefined)
          })
      },
      (connection) =>
        Effect.gen(function* () {
          yield* Stream.runForEach(connection.messages, (message) => {
            const [, code, reason] = message._tag === "Text" ? (/^close (\d+) (.*)$/.exec(message.text) ?? []) : []
            return code === undefined ? connection.send(message) : connection.close(Number(code), reason)
          }).pipe(Effect.ignore)
          ended.push(yield* connection.closed)
        })
    )
  ]).pipe(Scope.provide(scope))
  const page = yield* newPage
  const url = `https://localhost:${port}/`
  yield* Effect.promise(() => page.goto(url))
  assert.strictEqual(yield* Effect.promise(() => page.title()), "over HTTP/2.0")
  return { ended, end: Scope.close(scope, Exit.void), page, port, seen, attached, pages: () => pages }
})

describe("a page that came over HTTP/2", () => {
  it.live("gets back what it sends over HTTP/2, of every length and kind", () =>
    Effect.gen(function* () {
      const { ended, page, seen } = yield* serve
      const wrong = yield* Effect.promise(() =>
        page.evaluate(async () => {
          const socket = new WebSocket(`wss://${location.host}/ws`, ["one", "two"])
          socket.binaryType = "arraybuffer"
          await new Promise((resolve, reject) => {
            socket.addEventListener("open", resolve)
            socket.addEventListener("close", reject)
          })
          const wrong: Array<string> = []
          if (socket.protocol !== "two") wrong.push(`the subprotocol is ${socket.protocol}`)
          if (socket.extensions !== "") wrong.push(`the extensions are ${socket.extensions}`)
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
          for (const length of [0, 1, 125, 126, 127, 16_384, 65_535, 65_536, 1 << 20]) {
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
          const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve))
          socket.close(1000, "done")
          const { code, reason, wasClean } = await closed
          if (code !== 1000 || reason !== "done" || !wasClean) wrong.push(`closed ${code} ${reason} ${wasClean}`)
          return wrong
        })
      )
      assert.deepStrictEqual(wrong, [])
      assert.deepStrictEqual(
        seen.map(({ httpVersion, scheme }) => [httpVersion, scheme]),
        [["2", "https"]]
      )
      yield* eventually(() => ended.length === 1)
      assert.deepStrictEqual(
        [ended[0]?.by, ended[0]?.received, ended[0]?.sent?.code],
        ["remote", { code: 1000, reason: "done" }, 1000]
      )
    })
  )

  it.live("has many of them on one session, each with an end of its own, and pages beside them", () =>
    Effect.gen(function* () {
      const { attached, ended, page, seen } = yield* serve
      const codes = yield* Effect.promise(() =>
        page.evaluate(async () => {
          const sockets = Array.from({ length: 12 }, () => new WebSocket(`wss://${location.host}/ws`))
          await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.addEventListener("open", resolve))))
          const title = await (await fetch("/page")).text()
          const codes = await Promise.all(
            sockets.map(
              (socket, i) =>
                new Promise((resolve) => {
                  socket.addEventListener("message", ({ data }) => {
                    if (i % 3 === 0) socket.close(4000 + i, data)
                    else socket.send(`close ${4000 + i} ${data}`)
                  })
                  socket.addEventListener("close", ({ code, reason, wasClean }) => resolve([code, reason, wasClean]))
                  socket.send(`I am ${i}`)
                })
            )
          )
          return { codes, title }
        })
      )
      assert.match(codes.title, /over HTTP\/2/)
      assert.deepStrictEqual(
        codes.codes,
        Array.from({ length: 12 }, (_, i) => [4000 + i, `I am ${i}`, true])
      )
      assert.strictEqual(seen.length, 12)
      assert(seen.every(({ httpVersion }) => httpVersion === "2"))
      yield* eventually(() => ended.length === 12 && attached.connections() === 0)
    })
  )

  it.live("offers compression and is served without it, unless it was asked for", () =>
    Effect.gen(function* () {
      const { page, seen } = yield* serve
      yield* Effect.promise(() =>
        page.evaluate(
          () =>
            new Promise((resolve) =>
              new WebSocket(`wss://${location.host}/ws`).addEventListener("open", () => resolve(undefined))
            )
        )
      )
      assert.match(seen[0]?.extensions ?? "", /^permessage-deflate/)
    })
  )

  it.live("is told with 1001 when its server ends, and resets its stream without a Close when it is closed", () =>
    Effect.gen(function* () {
      const { end, ended, page } = yield* serve
      const open = () =>
        page.evaluate(
          () =>
            new Promise((resolve) => {
              const socket = new WebSocket(`wss://${location.host}/ws`)
              socket.addEventListener("open", () => resolve(undefined))
              socket.addEventListener("close", ({ code, wasClean }) => {
                document.title = `${code} ${wasClean}`
              })
            })
        )
      yield* Effect.promise(open)
      yield* Effect.promise(() => page.goto("about:blank"))
      yield* eventually(() => ended.length === 1)
      // Over HTTP/1.1 it says 1001.
      assert.deepStrictEqual([ended[0]?.by, ended[0]?.received], ["network", undefined])
      yield* Effect.promise(() => page.goBack())
      yield* Effect.promise(open)
      yield* end
      yield* Effect.promise(() => page.waitForFunction(() => document.title === "1001 true"))
    })
  )
})

describe("serve with http2", () => {
  it.live("which has no pages is asked over HTTP/2 on a session that something else has opened", () =>
    Effect.gen(function* () {
      const versions: Array<string> = []
      const server = yield* NodeWebSocketServer.serve(
        {
          http2: true,
          tls: certificate,
          handshake: ({ httpVersion }) => {
            versions.push(httpVersion)
            return Effect.succeed(NodeWebSocketServer.accept(undefined))
          }
        },
        (connection) => Stream.runForEach(connection.messages, connection.send)
      )
      const page = yield* newPage
      const echoed = () =>
        page.evaluate(
          () =>
            new Promise((resolve) => {
              const socket = new WebSocket(`wss://${location.host}/ws`)
              socket.addEventListener("open", () => socket.send("hello"))
              socket.addEventListener("message", ({ data }) => resolve(data))
            })
        )
      // An answer of 405 is a page of that origin, too.
      yield* Effect.promise(() => page.goto(`https://localhost:${server.port}/`))
      assert.strictEqual(yield* Effect.promise(echoed), "hello")
      assert.deepStrictEqual(versions, ["2"])
    })
  )
})
