/** A node of ours over Redis: what a WebSocket sends is published to a topic of the hub that everyone has joined. */
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Hub from "@millrace/core/cluster/Hub"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as RedisEngine from "@millrace/node/brokers/RedisEngine"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const main = Effect.gen(function* () {
  const [, , , url = ""] = process.argv
  const hub = yield* Hub.on(yield* EngineBroker.make(RedisEngine.make({ url })))
  const serve = Effect.fn(function* (connection: WebSocket) {
    yield* Effect.orDie(hub.join("all", connection))
    yield* Stream.runForEach(connection.messages, (message) => Effect.orDie(hub.publish("all", message)))
  })
  const { port } = yield* NodeWebSocketServer.serve({ port: 0 }, serve)
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
