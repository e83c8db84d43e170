/** A client of the hub that shares a connection with other tabs. */
import * as BrowserTabs from "@millrace/browser/BrowserTabs"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const program = Effect.gen(function* () {
  const hub = yield* BrowserTabs.hub({ name: "chat", url: "/ws" })
  yield* hub.publish("lobby", "hello")
  yield* Stream.runForEach(hub.subscribe("lobby"), (element) => Effect.sync(() => console.log(element)))
})

Effect.runFork(Effect.scoped(program))
