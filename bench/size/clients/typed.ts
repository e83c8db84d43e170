/** Typed messages of a WebSocket, without a contract and without Schema. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as TypedMessages from "@millrace/core/messaging/TypedMessages"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"

interface Said {
  readonly from: string
  readonly text: string
}

const decode = (json: unknown): Result.Result<Said, string> =>
  typeof json === "object" && json !== null && "from" in json && "text" in json
    ? Result.succeed(json as Said)
    : Result.fail("something else was expected")

const program = Effect.gen(function* () {
  const chat = TypedMessages.over<Said, { readonly say: string }>(yield* BrowserWebSocket.open("/chat"), { decode })
  yield* chat.send({ say: "hello" })
  yield* Stream.runForEach(chat.messages, ({ from, text }) => Effect.sync(() => console.log(`${from}: ${text}`)))
})

Effect.runFork(Effect.scoped(program))
