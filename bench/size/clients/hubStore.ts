/** A client of the hub that survives a reload. */
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as IndexedDbHubStore from "@millrace/browser/IndexedDbHubStore"
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const print = (element: unknown) => Effect.sync(() => console.log(element))

const program = Effect.gen(function* () {
  const store = yield* IndexedDbHubStore.make({ name: "hub" })
  const open = BrowserWebSocket.open("/ws", { subprotocols: HubClient.subprotocols })
  const hub = yield* HubClient.make(open, { store })
  yield* hub.publish("lobby", { text: "hello" })
  yield* Stream.runForEach(hub.subscribe("lobby"), print)
})

Effect.runFork(Effect.scoped(program))
