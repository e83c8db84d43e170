/** Messages of a page as streams, which are whole underneath; and who may read. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { launch } from "../support/chromium.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const echo = NodeWebSocketServer.serve({ origin: Origin.any }, (connection) =>
  Stream.runForEach(connection.messages, connection.send)
)

describe.each(["BrowserWebSocket", "BrowserWebSocketStream"] as const)("%s", (platform) => {
  it.live("sends a stream as one message, and reads one as a stream, once", () =>
    Effect.gen(function* () {
      const { url } = yield* echo
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, Stream } = modules
          return modules.outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              yield* connection.sendStream("text", Stream.make("a\ud83c", "\udf0a", "é"))
              yield* connection.sendStream("binary", Stream.make(Uint8Array.of(1, 2), Uint8Array.of(3)))
              yield* connection.sendStream("text", Stream.empty)
              const text = yield* connection.receiveStream
              const [wasRead, pieces] = [text.isRead, yield* Stream.runCollect(text.text)]
              const again = yield* Stream.runCollect(text.bytes)
              const binary = yield* connection.receiveStream
              const bytes = yield* Stream.runCollect(binary.bytes)
              const empty = yield* connection.receiveStream
              const nothing = yield* Stream.runCollect(empty.text)
              yield* connection.sendAll(["skipped", "not skipped"])
              const skipped = yield* connection.receiveStream
              yield* skipped.skip
              const next = yield* connection.receive
              return {
                text: [text.kind, wasRead, pieces, text.isRead, again],
                binary: [binary.kind, bytes.map((piece) => Array.from(piece))],
                empty: [empty.kind, nothing],
                skipped: skipped.isRead,
                next: next.length
              }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, {
        value: {
          text: ["text", false, ["a🌊é"], true, []],
          binary: ["binary", [[1, 2, 3]]],
          empty: ["text", []],
          skipped: true,
          next: 11
        }
      })
    })
  )

  it.live("has sent nothing of a stream that fails or is interrupted, and stays open", () =>
    Effect.gen(function* () {
      const { url } = yield* echo
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, Fiber, Stream } = modules
          return modules.outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              const failing = Stream.concat(Stream.make("half"), Stream.fail("wrong"))
              const failed = yield* Effect.flip(connection.sendStream("text", failing))
              const endless = connection.sendStream("text", Stream.concat(Stream.make("half"), Stream.never))
              const interrupted = yield* Effect.forkChild(endless, { startImmediately: true })
              yield* Fiber.interrupt(interrupted)
              const fragments = connection.sendStream("text", Stream.make("x"), { fragmentBytes: 0 })
              const defect = modules.outcomeOf(yield* Effect.exit(fragments))
              const cut = yield* Effect.forkChild(Effect.flip(endless), { startImmediately: true })
              yield* connection.send("whole")
              const message = yield* connection.receive
              yield* connection.close()
              const left = yield* Fiber.join(cut)
              const late = yield* Effect.flip(endless)
              return { failed, defect, message: message.length, left: left.message, late: late.message }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, {
        value: {
          failed: "wrong",
          defect: { end: "defect", message: "RangeError: fragments of 0 bytes have no end" },
          message: 5,
          left: "the WebSocket connection is closing",
          late: "the WebSocket connection is closed"
        }
      })
    })
  )

  it.live("is for one reader at a time, and gives nothing to one that was interrupted", () =>
    Effect.gen(function* () {
      const { url } = yield* echo
      const { run } = yield* Page.open(browser)
      const outcome = yield* run(
        (modules, platform, url) => {
          const { Effect, Fiber } = modules
          return modules.outcome(
            Effect.gen(function* () {
              const connection = yield* modules[platform].open(url)
              const first = yield* Effect.forkChild(connection.receive, { startImmediately: true })
              const second = modules.outcomeOf(yield* Effect.exit(connection.pull))
              yield* Fiber.interrupt(first)
              yield* connection.sendAll(["one", "to", "seven"])
              const lengths = [(yield* connection.receive).length]
              while (lengths.length < 3) lengths.push(...(yield* connection.pull).map(({ length }) => length))
              return { second, lengths }
            })
          )
        },
        platform,
        url
      )
      assert.deepStrictEqual(outcome, {
        value: {
          second: { end: "defect", message: "Error: the messages of a WebSocket are for one fiber at a time" },
          lengths: [3, 2, 5]
        }
      })
    })
  )
})
