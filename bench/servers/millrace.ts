/**
 * Our servers. `echo` takes the messages that came in one read together and sends them back together, or, with `stream`
 * behind it, as a stream, one after the other. `broadcast` publishes to a topic of the hub that everyone has joined.
 * With `deflate` behind that, they are ready for permessage-deflate, and with `wide` in between with a larger window.
 */
import * as Hub from "@millrace/core/cluster/Hub"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Handler = (connection: WebSocket) => Effect.Effect<void, WebSocketError, Scope.Scope>

const echo: Handler = ({ pull, sendAll }) =>
  pull.pipe(
    Effect.flatMap(sendAll),
    Effect.forever({ disableYield: true }),
    Pull.catchDone(() => Effect.void)
  )

const echoStream: Handler = ({ messages, send }) => Stream.runForEach(messages, send)

const broadcast = (hub: Hub.Hub["Service"]): Handler =>
  Effect.fn(function* (connection) {
    yield* Effect.orDie(hub.join("all", connection))
    yield* Stream.runForEach(connection.messages, (message) => Effect.orDie(hub.publish("all", message)))
  })

const main = Effect.gen(function* () {
  const [, , mode, style, extension] = process.argv
  const compression = NodeDeflate.compression(style === "wide" ? { compressorWindowBits: 15 } : {})
  const extensions = extension === "deflate" ? [compression] : []
  const handler = mode === "broadcast" ? broadcast(yield* Hub.make()) : style === "stream" ? echoStream : echo
  const { port } = yield* NodeWebSocketServer.serve({ port: 0, extensions }, handler)
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(main))
