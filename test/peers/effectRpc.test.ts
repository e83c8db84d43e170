/** Effect's own `RpcClient` and `RpcServer` over our sockets. */
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcServer from "effect/rpc/RpcServer"
import type { RpcSerialization } from "effect/rpc/RpcSerialization"
import * as SocketServer from "effect/socket/SocketServer"
import * as EffectSocket from "@millrace/node/EffectSocket"
import * as EffectSocketServer from "@millrace/node/EffectSocketServer"
import * as Rpc from "../support/rpc.ts"

/** Serves the group over a `SocketServer` as long as the scope is open. */
const overSocketServer = (seen: Rpc.Events, serialization: Layer.Layer<RpcSerialization>, port = 0) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      RpcServer.layer(Rpc.Group).pipe(
        Layer.provide([Rpc.handlers(seen), RpcServer.layerProtocolSocketServer]),
        Layer.provideMerge(EffectSocketServer.layer({ port, path: "/rpc" })),
        Layer.provide(serialization)
      )
    )
    const { address } = Context.get(context, SocketServer.SocketServer)
    return "port" in address ? address.port : 0
  })

describe.each(Rpc.serializations)("RPC as %s", (_, serialization) => {
  it.live("goes over a Socket and a SocketServer", () =>
    Effect.gen(function* () {
      const seen = Rpc.events()
      const port = yield* overSocketServer(seen, serialization)
      const client = yield* Rpc.client(EffectSocket.layer(`ws://127.0.0.1:${port}/rpc`), serialization)
      yield* Rpc.roundTrips(client, seen)
    })
  )
})
