/** The connection of core in a page: messages of every kind, there and back. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { assert, describe, inject, it } from "@effect/vitest"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as BrowserWebSocketStream from "@millrace/browser/BrowserWebSocketStream"
import * as Message from "@millrace/core/protocol/Message"

const echo = `ws://127.0.0.1:${inject("servers").wilful}/echo`

const isSame = (one: string | Uint8Array, message: Message.Message) =>
  typeof one === "string"
    ? message._tag === "Text" && message.text === one
    : message._tag === "Binary" &&
      message.bytes.length === one.length &&
      message.bytes.every((byte, i) => byte === one[i])

const samples = ["é€🌊\u0000\ufeff", 0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20].flatMap((one) =>
  typeof one === "string"
    ? [one]
    : ["x".repeat(one), Uint8Array.from({ length: one }, (_, i) => (i * 7 + (i >> 8)) & 255)]
)

describe.each([
  ["BrowserWebSocket", BrowserWebSocket.open],
  ["BrowserWebSocketStream", BrowserWebSocketStream.open]
] as const)("%s", (_, open) => {
  it.live("gets back what it sends, of every length and kind, in order", () =>
    Effect.gen(function* () {
      const connection = yield* open(echo, { limits: { maxMessageBytes: 2 << 20 } })
      const wrong: Array<string> = []
      for (const one of samples) {
        yield* connection.send(one)
        if (!isSame(one, yield* connection.receive)) wrong.push(`${typeof one} of ${one.length}`)
      }
      const all = yield* Effect.forkChild(Stream.runCollect(Stream.take(connection.messages, samples.length)), {
        startImmediately: true
      })
      yield* connection.sendAll(samples.map((one, i) => (i % 2 === 0 ? one : Message.from(one))))
      for (const [i, message] of (yield* Fiber.join(all)).entries()) {
        if (!isSame(samples[i]!, message)) wrong.push(`${typeof samples[i]} ${i}, among others`)
      }
      assert.deepStrictEqual(wrong, [])
    })
  )

  it.live("receives ten thousand messages, each once and in order", () =>
    Effect.gen(function* () {
      const connection = yield* open(echo)
      const numbers = Array.from({ length: 10_000 }, (_, i) => `${i}`)
      yield* Effect.forkChild(Effect.forEach(numbers, connection.send, { discard: true }))
      const received: Array<string> = []
      yield* Stream.runForEachArray(Stream.take(connection.messages, 10_000), (messages) =>
        Effect.sync(() => {
          for (const message of messages) received.push(message._tag === "Text" ? message.text : "bytes")
        })
      )
      assert.isTrue(received.every((text, i) => text === numbers[i]))
    })
  )
})
