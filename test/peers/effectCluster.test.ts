/** A cluster of Effect's, and its tools for developers, over our sockets. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Entity from "effect/cluster/Entity"
import * as HttpRunner from "effect/cluster/HttpRunner"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as DevTools from "effect/devtools/DevTools"
import * as DevToolsServer from "effect/devtools/DevToolsServer"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SocketServer from "effect/socket/SocketServer"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import * as EffectSocket from "@millrace/node/EffectSocket"
import * as EffectSocketServer from "@millrace/node/EffectSocketServer"
import { start } from "../support/connection.ts"
import { logged } from "../support/logged.ts"
import { local } from "../support/effectServer.ts"

const Counter = Entity.make("Counter", [Rpc.make("Add", { payload: { by: Schema.Int }, success: Schema.Int })])

const config = (address: Option.Option<RunnerAddress.RunnerAddress>) =>
  ShardingConfig.layer({
    runnerAddress: address,
    entityMessagePollInterval: 100,
    refreshAssignmentsInterval: 100
  })

describe("a cluster", () => {
  it.live("sends a message to an entity on another runner", () =>
    logged(() =>
      Effect.gen(function* () {
        const server = yield* Layer.build(EffectHttpServer.layer({ ...local, drain: { window: 10 } }))
        const { address } = Context.get(server, HttpServer.HttpServer)
        const port = "port" in address ? address.port : 0
        const storage = yield* Layer.build(RunnerStorage.layerMemory)
        const shared = Layer.mergeAll(
          Layer.succeedContext(storage),
          MessageStorage.layerNoop,
          RunnerHealth.layerNoop,
          RpcSerialization.layerNdjson,
          EffectSocket.layerWebSocketConstructor()
        )
        const counter = Counter.toLayer(
          Effect.sync(() => {
            let count = 0
            return { Add: ({ payload }) => Effect.sync(() => (count += payload.by)) }
          })
        )
        yield* Layer.build(
          counter.pipe(
            Layer.provide(HttpRunner.layerWebsocket),
            Layer.provide([
              shared,
              config(Option.some(RunnerAddress.make("127.0.0.1", port))),
              Layer.succeedContext(server)
            ])
          )
        )
        const client = yield* Layer.build(
          HttpRunner.layerWebsocketClientOnly.pipe(Layer.provide([shared, config(Option.none())]))
        )
        yield* Effect.gen(function* () {
          const makeCounter = yield* Counter.client
          const one = makeCounter("one")
          const first = one.Add({ by: 2 }).pipe(Effect.retry(Schedule.spaced(50)))
          assert.deepStrictEqual([yield* first, yield* one.Add({ by: 3 })], [2, 5])
        }).pipe(Effect.provideContext(client))
      })
    )
  )
})

describe("the tools for developers", () => {
  it.live("are told of spans", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(EffectSocketServer.layer({ drain: { window: 10 } }))
      const { address } = Context.get(context, SocketServer.SocketServer)
      const names = yield* Queue.unbounded<string>()
      yield* start(
        DevToolsServer.run(({ queue }) =>
          Effect.forever(
            Effect.flatMap(Queue.take(queue), (request) =>
              request._tag === "Span" ? Queue.offer(names, request.name) : Effect.void
            )
          )
        ).pipe(Effect.provideContext(context))
      )
      const socket = EffectSocket.layer(`ws://127.0.0.1:${"port" in address ? address.port : 0}`)
      yield* Effect.void.pipe(
        Effect.withSpan("a span of ours"),
        Effect.provide(DevTools.layerSocket.pipe(Layer.provide(socket)))
      )
      assert.strictEqual(yield* Queue.take(names), "a span of ours")
    })
  )
})
