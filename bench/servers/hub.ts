/** A node of ours as clients of docs/protocol.md find it: on a broker in memory, or over the Redis at a URL. */
import type { Broker } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubSession from "@millrace/core/cluster/HubSession"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as RedisEngine from "@millrace/node/brokers/RedisEngine"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const [, , mode, url = ""] = process.argv

const broker: Effect.Effect<Broker["Service"], never, Scope.Scope> =
  mode === "redis" ? EngineBroker.make(RedisEngine.make({ url })) : MemoryBroker.make()

const main = Effect.gen(function* () {
  const hub = yield* Hub.on(yield* broker)
  const serve = (connection: WebSocket) =>
    Effect.provideService(HubSession.serve(connection, { client: "bench" }), Hub.Hub, hub)
  const { port } = yield* NodeWebSocketServer.serve({ port: 0, path: "/ws" }, serve)
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
