/**
 * Our servers of event streams. `broadcast` publishes what a WebSocket sends to a topic of a hub, of which all event
 * streams are members; `hub` is the server that `millrace serve` runs; `respond` answers with a stream of a program, in
 * which nothing happens.
 */
import * as http from "node:http"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const broadcast = Effect.gen(function* () {
  const hub = yield* Hub.make()
  const streams = yield* NodeEventStream.make()
  const server = http.createServer((request, response) => {
    const opened = streams.openUnsafe(request, response)
    if (opened === undefined) return
    hub.joinUnsafe("all", opened)
    opened.whenClosed(() => hub.leaveUnsafe("all", opened))
  })
  const publishing = NodeWebSocketServer.route({ path: "/" }, (connection) =>
    Stream.runForEach(connection.messages, (message) => hub.publish("all", message))
  )
  yield* NodeWebSocketServer.attach(server, [publishing])
  return yield* NodeWebSocketServer.listen(server, {})
})

const respond = Effect.gen(function* () {
  const streams = yield* NodeEventStream.make()
  const server = http.createServer(
    (request, response) => void Effect.runFork(streams.respond(request, response, () => Stream.never))
  )
  return yield* NodeWebSocketServer.listen(server, {})
})

const main = Effect.gen(function* () {
  const [, , mode] = process.argv
  const { port } = yield* mode === "broadcast" ? broadcast : mode === "respond" ? respond : HubServer.serve()
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
