/** What a page sees of servers that refuse, close, fall silent and break the rules: each a typed outcome. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { assert, describe, inject, it } from "@effect/vitest"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as BrowserWebSocketStream from "@millrace/browser/BrowserWebSocketStream"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as Line from "../support/line.ts"

const { wilful } = inject("servers")
const at = (path: string, port = wilful) => `ws://127.0.0.1:${port}${path}`

/** Reads until the end: what has come, what the program is told, and what `closed` says. */
const seen = (open: ReturnType<typeof BrowserWebSocket.open>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* open
      const texts: Array<string> = []
      const read = Stream.runForEach(connection.messages, (message) =>
        Effect.sync(() => texts.push(message._tag === "Text" ? message.text : "bytes"))
      )
      const told = yield* Effect.matchEager(read, {
        onSuccess: () => "ended",
        onFailure: ({ reason }: WebSocketError) => reason._tag
      })
      const { by, received, sent } = yield* connection.closed
      return { texts, told, by: by as string, received, sent }
    })
  )

const status = (code: number, reason = "") => ({ code, reason })

/** All that a page is told where no Close came, whatever was the matter. */
const lost = { texts: [], told: "ConnectionLost", by: "network", received: undefined, sent: undefined }

describe.each([
  ["BrowserWebSocket", BrowserWebSocket.open],
  ["BrowserWebSocketStream", BrowserWebSocketStream.open]
] as const)("%s", (_, open) => {
  it.live("is told of a refusal that there is none to tell, whatever the status; and follows no redirection", () =>
    Effect.gen(function* () {
      for (const code of [301, 302, 307, 400, 401, 403, 404, 426, 429, 500, 503]) {
        const url = at(`/refuse/${code}`)
        const { reason } = yield* Effect.flip(Effect.scoped(open(url)))
        assert.deepStrictEqual(
          [reason._tag, reason.message],
          ["Undisclosed", `${url} did not open, and a page is not told why`]
        )
      }
    })
  )

  it.live("is told each code that a server may close with, and 1006 for those that it may not", () =>
    Effect.gen(function* () {
      const ordinary = [1000, 1001, 1005]
      const others = [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4500, 4999]
      const unsaid = [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65_535]
      for (const code of [...ordinary, ...others]) {
        const what = status(code, code === 1005 ? "" : "why é")
        const told = ordinary.includes(code) ? "ended" : "ConnectionLost"
        const expected = { texts: [], told, by: "remote", received: what, sent: what }
        assert.deepStrictEqual(yield* seen(open(at(`/close/${code}?reason=why é`))), expected)
      }
      for (const code of unsaid) {
        assert.deepStrictEqual(yield* seen(open(at(`/close/${code}`))), lost, `${code}`)
      }
    })
  )

  it.live("is told the code also when it is sending at that moment", () =>
    Effect.gen(function* () {
      const codes = yield* Effect.forEach(Array.from({ length: 30 }), () =>
        Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* open(at("/close/1008"))
            yield* Effect.ignore(connection.sendAll(["on", "its", "way"]))
            return (yield* connection.closed).received?.code
          })
        )
      )
      assert.deepStrictEqual([...new Set(codes)], [1008])
    })
  )

  it.live("is lost with 1006 when the server breaks the protocol", () =>
    Effect.gen(function* () {
      for (const [what, hex] of [
        ["text that is not UTF-8", "8102c328"],
        ["a reserved bit", "c100"],
        ["all reserved bits", "f100"],
        ["a reserved opcode of data", "8300"],
        ["a reserved opcode of control", "8b00"],
        ["a continuation of nothing", "8000"],
        ["text within text", "01017881017a"],
        ["a Ping in pieces", "0900"],
        ["a Ping of 126 bytes", "897e007e"],
        ["a length of 2^63 bytes", "827f8000000000000000"],
        ["a Close of one byte", "880178"],
        ["a Close whose reason is not UTF-8", "880403e8c328"],
        ["a frame that is masked", "81810000000061"]
      ] as const) {
        assert.deepStrictEqual(yield* seen(open(at(`/wire/${hex}`))), lost, what)
      }
    })
  )

  it.live("is lost with 1006 when the socket ends or is reset", () =>
    Effect.gen(function* () {
      for (const path of ["/cut", "/reset"]) {
        assert.deepStrictEqual(yield* seen(open(at(path))), lost, path)
      }
    })
  )

  it.live("waits for one that does not answer the handshake as long as it is told", () =>
    Effect.gen(function* () {
      const { reason } = yield* Effect.flip(Effect.scoped(open(at("/unanswered"), { handshakeTimeout: 200 })))
      assert.strictEqual(reason.message, "the connection was not open after 200 ms")
    })
  )

  it.live("is told nothing of one that has opened and is silent, and closes in good order", () =>
    Effect.gen(function* () {
      const connection = yield* open(at("/silent"))
      const nothing = yield* Effect.timeoutOption(connection.receive, 200)
      assert.strictEqual(nothing._tag, "None")
      yield* connection.close()
      assert.deepStrictEqual((yield* connection.closed).received, status(1000))
    })
  )

  it.live("is told nothing of a line that lets nothing pass; closing it has an end in time", () =>
    Effect.gen(function* () {
      const line = yield* Line.to(wilful)
      const connection = yield* open(at("/echo", line.port), { limits: { closeTimeout: 200 } })
      yield* connection.send("hello")
      assert.strictEqual((yield* connection.receive).length, 5)
      yield* line.part
      yield* connection.send("is anybody there?")
      const nothing = yield* Effect.timeoutOption(connection.receive, 200)
      assert.strictEqual(nothing._tag, "None")
      yield* connection.close(4000)
      const { by, received, sent } = yield* connection.closed
      assert.deepStrictEqual({ by, received, sent }, { by: "local", received: undefined, sent: status(4000) })
    })
  )

  it.live("refuses a message over its limit, of an endless flood of them", () =>
    Effect.gen(function* () {
      const limits = { maxMessageBytes: 1000, closeTimeout: 200 }
      const connection = yield* open(at("/endless/1001"), { limits })
      const told = yield* Effect.flip(connection.receive)
      assert.strictEqual("reason" in told && told.reason.message, "message too big (RFC 6455 7.4.1)")
      assert.deepStrictEqual((yield* connection.closed).sent, status(4009, "message too big"))
    })
  )
})
