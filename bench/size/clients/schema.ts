/** The same of Effect's schemas, by a client that comes back. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const Chat = Contract.make("chat", {
  events: { said: Schema.Struct({ from: Schema.String, text: Schema.String }) },
  commands: { say: Schema.Struct({ text: Schema.String }) },
  requests: { rename: { payload: Schema.String, success: Schema.String } },
  streams: { history: { payload: Schema.Number, element: Schema.String } }
})

const print = (text: string) => Effect.sync(() => console.log(text))

const program = Effect.gen(function* () {
  const chat = yield* Client.make(Chat, BrowserWebSocket.open("/chat", { subprotocols: Session.subprotocols() }))
  yield* chat.emit("say", { text: "hello" })
  yield* print(yield* chat.request("rename", "ada"))
  yield* Stream.runForEach(chat.stream("history", 0), print)
  yield* Stream.runForEach(chat.events("said"), ({ from, text }) => print(`${from}: ${text}`))
})

Effect.runFork(Effect.scoped(program))
