/** Messages of a WebSocket, without a contract. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const program = Effect.flatMap(BrowserWebSocket.open("/chat"), (connection) =>
  Effect.andThen(
    connection.send("hello"),
    Stream.runForEach(connection.messages, (message) => Effect.sync(() => console.log(message)))
  )
)

Effect.runFork(Effect.scoped(program))
