/** A contract without Schema over one connection. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Session from "@millrace/core/messaging/Session"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Chat } from "../chat.ts"

const print = (text: string) => Effect.sync(() => console.log(text))

const program = Effect.gen(function* () {
  const connection = yield* BrowserWebSocket.open("/chat", { subprotocols: Session.subprotocols() })
  const chat = yield* Session.connect(Chat, connection)
  yield* chat.emit("say", "hello")
  yield* print(yield* chat.request("rename", "ada"))
  yield* Stream.runForEach(chat.stream("history", 0), print)
  yield* Stream.runForEach(chat.events("said"), print)
})

Effect.runFork(Effect.scoped(program))
