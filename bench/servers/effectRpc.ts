/** Effect's own RPC on its own server, which is `ws`: the same order, checked by the same schema. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as SocketServer from "effect/socket/SocketServer"
import { Order } from "./contract.ts"
import "effect/schema/SchemaJITCompiler/enable"

const group = RpcGroup.make(Rpc.make("echo", { payload: Order, success: Order }))

const told = Layer.effectDiscard(
  Effect.map(SocketServer.SocketServer, ({ address }) => {
    console.log(JSON.stringify({ port: (address as { readonly port: number }).port }))
  })
)

const server = RpcServer.layer(group, { concurrency: "unbounded" }).pipe(
  Layer.provide(group.toLayer({ echo: (order) => Effect.succeed(order) })),
  Layer.merge(told),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.provide(RpcSerialization.layerJson),
  Layer.provide(NodeSocketServer.layerWebSocket({ host: "127.0.0.1", port: 0 }))
)

Effect.runFork(Layer.launch(server))
