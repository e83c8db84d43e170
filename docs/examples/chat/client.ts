/** Says what is given as arguments, and prints what is said: `node client.ts ada hello`. */
import * as Client from "@millrace/core/messaging/Client"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Chat } from "./contract.ts"

const [, , name = "somebody", text = "hello", port = "8080"] = process.argv

const main = Effect.gen(function* () {
  const open = NodeWebSocket.open(`ws://localhost:${port}/chat`, { subprotocols: Session.subprotocols() })
  const chat = yield* Client.make(Chat, open)
  yield* Effect.forkScoped(Stream.runForEach(chat.states, ({ _tag }) => Console.error(_tag.toLowerCase())))
  yield* chat
    .request("rename", name)
    .pipe(Effect.catchTag("NameTaken", () => Console.error(`somebody is called ${name} already`)))
  yield* Stream.runForEach(chat.stream("history"), ({ from, text }) => Console.log(`(${from}: ${text})`))
  yield* chat.emit("say", text)
  yield* Stream.runForEach(chat.events("said"), ({ from, text }) => Console.log(`${from}: ${text}`))
})

Effect.runFork(Effect.scoped(main))
