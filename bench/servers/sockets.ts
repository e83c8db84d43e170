/**
 * Our server of Socket.IO with its defaults: it answers an order with that order, and has what a client says to all go to
 * a room that everyone is in.
 */
import * as Hub from "@millrace/core/cluster/Hub"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import * as Effect from "effect/Effect"

const main = Effect.gen(function* () {
  const io: SocketServer.SocketServer<unknown> = yield* SocketServer.make<unknown>({
    namespaces: {
      "/": (socket) =>
        Effect.as(Effect.orDie(socket.join("all")), {
          echo: ([order]) => Effect.succeed([order]),
          all: ([text]) => io.of("/").to("all").emit("all", text)
        })
    }
  })
  // A load generator answers no pings; none are due within a run.
  const { port } = yield* NodeSocketIoServer.serve({ port: 0, pingInterval: "1 hour" }, io)
  console.log(JSON.stringify({ port }))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(Effect.provide(main, Hub.Hub.layer())))
