/**
 * A process that answers a call of Effect's own RPC over our wire by either way, and prints which files of `ws` were
 * loaded for it. With `stock` it imports Effect's server as well.
 */
import { registerHooks } from "node:module"

const ofWs: Array<string> = []

registerHooks({
  load: (url, context, next) => {
    if (url.includes("/node_modules/ws/")) ofWs.push(url)
    return next(url, context)
  }
})

if (process.argv[2] === "stock") await import("@effect/platform-node/NodeHttpServer")

const Context = await import("effect/Context")
const Effect = await import("effect/Effect")
const HttpRouter = await import("effect/http/HttpRouter")
const HttpServer = await import("effect/http/HttpServer")
const Layer = await import("effect/Layer")
const Rpc = await import("effect/rpc/Rpc")
const RpcClient = await import("effect/rpc/RpcClient")
const RpcGroup = await import("effect/rpc/RpcGroup")
const RpcSerialization = await import("effect/rpc/RpcSerialization")
const RpcServer = await import("effect/rpc/RpcServer")
const Schema = await import("effect/Schema")
const SocketServer = await import("effect/socket/SocketServer")
const EffectHttpServer = await import("@millrace/node/EffectHttpServer")
const EffectSocket = await import("@millrace/node/EffectSocket")
const EffectSocketServer = await import("@millrace/node/EffectSocketServer")

const Group = RpcGroup.make(Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String }))
const handlers = Group.toLayer({ Greet: ({ name }) => Effect.succeed(`hello ${name}`) })
const local = { host: "127.0.0.1", port: 0, drain: { window: 10 } }

const overSocketServer = RpcServer.layer(Group).pipe(
  Layer.provide([handlers, RpcServer.layerProtocolSocketServer]),
  Layer.provideMerge(EffectSocketServer.layer(local))
)

const overHttpRouter = HttpRouter.serve(
  RpcServer.layer(Group).pipe(Layer.provide([handlers, RpcServer.layerProtocolWebsocket({ path: "/" })])),
  { disableLogger: true, disableListenLog: true }
).pipe(Layer.provideMerge(EffectHttpServer.layer(local)))

const ask = (port: number) =>
  Effect.gen(function* () {
    const client = yield* RpcClient.make(Group)
    return yield* client.Greet({ name: `${port > 0}` })
  }).pipe(
    Effect.scoped,
    Effect.provide(RpcClient.layerProtocolSocket().pipe(Layer.provide(EffectSocket.layer(`ws://127.0.0.1:${port}`))))
  )

const program = Effect.gen(function* () {
  const { address: first } = Context.get(yield* Layer.build(overSocketServer), SocketServer.SocketServer)
  const { address: second } = Context.get(yield* Layer.build(overHttpRouter), HttpServer.HttpServer)
  const answers: Array<string> = []
  for (const address of [first, second]) answers.push(yield* ask("port" in address ? address.port : 0))
  return answers
}).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerJson))

const answers = await Effect.runPromise(program)
process.stdout.write(JSON.stringify({ answers, ofWs: ofWs.length }))
