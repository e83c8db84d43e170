/** A group of Effect's own RPC with one procedure of each kind, and what is asked of whatever carries it. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Socket from "effect/socket/Socket"
import { eventually } from "./eventually.ts"

export class NotFound extends Schema.TaggedError<NotFound>("NotFound")("NotFound", { id: Schema.String }) {}

export class Group extends RpcGroup.make(
  Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String }),
  Rpc.make("Find", { payload: { id: Schema.String }, success: Schema.String, error: NotFound }),
  Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
  Rpc.make("Large", { payload: { bytes: Schema.Int }, success: Schema.String }),
  Rpc.make("Wait", { success: Schema.Void })
) {}

/** What happened at the server. */
export interface Events {
  large: number
  waiting: number
  interrupted: number
}

export const events = (): Events => ({ large: 0, waiting: 0, interrupted: 0 })

export const handlers = (seen: Events) =>
  Group.toLayer({
    Greet: ({ name }) => Effect.succeed(`hello ${name}`),
    Find: ({ id }) => Effect.fail(new NotFound({ id })),
    Count: ({ to }) => Stream.range(1, to),
    Large: ({ bytes }) =>
      Effect.sync(() => {
        seen.large++
        return "x".repeat(bytes)
      }),
    Wait: () =>
      Effect.andThen(
        Effect.sync(() => void seen.waiting++),
        Effect.never
      ).pipe(Effect.onInterrupt(() => Effect.sync(() => void seen.interrupted++)))
  })

export type Serialization = Layer.Layer<RpcSerialization.RpcSerialization>

export const serializations = [
  ["JSON", RpcSerialization.layerJson],
  ["schema binary", RpcSerialization.layerSchemaBinary()]
] as const

/** A client over a socket; it comes back after 20 ms when its connection has gone. */
export const client = (socket: Layer.Layer<Socket.Socket>, serialization: Serialization) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      RpcClient.layerProtocolSocket({ retryTransientErrors: true, retryPolicy: Schedule.spaced(20) }).pipe(
        Layer.provide([socket, serialization])
      )
    )
    return yield* Effect.provideContext(RpcClient.make(Group), context)
  })

/** Calls each procedure, and interrupts one. */
export const roundTrips = (client: Effect.Success<ReturnType<typeof import("./rpc.ts").client>>, seen: Events) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* client.Greet({ name: "ada" }), "hello ada")
    const error = yield* Effect.flip(client.Find({ id: "7" }))
    assert.isTrue(error instanceof NotFound && error.id === "7")
    const counted = yield* Stream.runCollect(client.Count({ to: 1_000 }))
    assert.deepStrictEqual(
      counted,
      Array.from({ length: 1_000 }, (_, i) => i + 1)
    )
    const { interrupted, waiting } = seen
    const fiber = yield* Effect.forkChild(client.Wait())
    yield* eventually(() => seen.waiting === waiting + 1)
    yield* Fiber.interrupt(fiber)
    yield* eventually(() => seen.interrupted === interrupted + 1)
  })
