/**
 * A node of a soak: a hub on a broker, with its WebSocket and its event streams. A program, started by `Nodes.ts`, that
 * ends with who started it.
 */
import * as http from "node:http"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubSession from "@millrace/core/cluster/HubSession"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubEvents from "@millrace/node/HubEvents"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as NatsBroker from "@millrace/node/brokers/NatsBroker"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import * as WorkersBroker from "@millrace/node/brokers/WorkersBroker"
import * as Effect from "effect/Effect"
import type { Where } from "./Surroundings.ts"

const broker = (where: Where) => {
  switch (where.broker) {
    case "memory":
      return MemoryBroker.make()
    case "workers":
      return WorkersBroker.make({ directory: where.at })
    case "redis":
      return RedisBroker.make({ url: where.at })
    case "nats":
      return NatsBroker.make({ url: where.at })
  }
}

const main = Effect.gen(function* () {
  const where = JSON.parse(process.argv[2] ?? "") as Where
  const hub = yield* Hub.on(yield* broker(where))
  const streams = yield* NodeEventStream.make()
  const events: HubEvents.Options = {
    hub,
    streams,
    origin: Origin.sameOrigin,
    refuse: (response, status) => void response.writeHead(status).end()
  }
  const dialect = HubEvents.dialects.get("/events")!
  const server = http.createServer(
    (request, response) => void Effect.runFork(HubEvents.respond(events, dialect, request, response))
  )
  yield* NodeWebSocketServer.attach(server, [
    NodeWebSocketServer.route({ path: "/ws" }, (connection) =>
      Effect.provideService(HubSession.serve(connection, { client: "soak" }), Hub.Hub, hub)
    )
  ])
  const { port } = yield* NodeWebSocketServer.listen(server, { port: 0 })
  process.send?.({ port })
  return yield* Effect.never
})

process.on("disconnect", () => process.exit())
await Effect.runPromise(Effect.scoped(main))
