/** Effect's own `RpcClient` and `RpcServer` over our sockets, by either way that a server can have them. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import * as EffectSocket from "@millrace/node/EffectSocket"
import * as EffectSocketServer from "@millrace/node/EffectSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"
import * as Rpc from "../support/rpc.ts"

const portOf = ({ address }: { readonly address: HttpServer.HttpServer["Service"]["address"] }) =>
  "port" in address ? address.port : 0

/** Serves the group at `/rpc` as long as the scope is open. */
type Serve = (
  seen: Rpc.Events,
  serialization: Rpc.Serialization,
  port?: number
) => Effect.Effect<number, unknown, Scope.Scope>

const overSocketServer: Serve = (seen, serialization, port = 0) =>
  Layer.build(
    RpcServer.layer(Rpc.Group).pipe(
      Layer.provide([Rpc.handlers(seen), RpcServer.layerProtocolSocketServer]),
      Layer.provideMerge(EffectSocketServer.layer({ port, path: "/rpc", drain: { window: 10 } })),
      Layer.provide(serialization)
    )
  ).pipe(Effect.map((context) => portOf(Context.get(context, SocketServer.SocketServer))))

const overHttpRouter: Serve = (seen, serialization, port = 0) =>
  Layer.build(
    HttpRouter.serve(
      RpcServer.layer(Rpc.Group).pipe(
        Layer.provide([Rpc.handlers(seen), RpcServer.layerProtocolWebsocket({ path: "/rpc" })]),
        Layer.provide(serialization)
      ),
      { disableLogger: true, disableListenLog: true }
    ).pipe(Layer.provideMerge(EffectHttpServer.layer({ host: "127.0.0.1", port, drain: { window: 10 } })))
  ).pipe(Effect.map((context) => portOf(Context.get(context, HttpServer.HttpServer))))

const ways = [
  ["a SocketServer", overSocketServer],
  ["a route of an HttpRouter", overHttpRouter]
] as const

const toRpc = (port: number) => EffectSocket.layer(`ws://127.0.0.1:${port}/rpc`)

const [[, json]] = Rpc.serializations

describe.each(ways)("RPC over a Socket and %s", (_, serve) => {
  it.live.each(Rpc.serializations)(
    "answers calls, streams, typed errors and interruptions as %s",
    ([, serialization]) =>
      Effect.gen(function* () {
        const seen = Rpc.events()
        const port = yield* serve(seen, serialization)
        const client = yield* Rpc.client(toRpc(port), serialization)
        yield* Rpc.roundTrips(client, seen)
      })
  )

  it.live("comes back when the server does", () =>
    Effect.gen(function* () {
      const seen = Rpc.events()
      const first = yield* Scope.make()
      const port = yield* Scope.provide(serve(seen, json), first)
      const client = yield* Rpc.client(toRpc(port), json)
      const waiting = yield* Effect.forkChild(Effect.exit(client.Wait()))
      yield* eventually(() => seen.waiting === 1)
      const before = performance.now()
      yield* Scope.close(first, Exit.void)
      assert.isBelow(performance.now() - before, 2_000)
      yield* eventually(() => waiting.pollUnsafe() !== undefined)
      yield* serve(seen, json, port)
      const greeting = client.Greet({ name: "again" })
      assert.strictEqual(yield* Effect.retry(greeting, Schedule.spaced(20)), "hello again")
      yield* Rpc.roundTrips(client, seen)
    })
  )

  it.live("lets a client vanish that was owed answers, and goes on for the others", () =>
    Effect.gen(function* () {
      const seen = Rpc.events()
      const port = yield* serve(seen, json)
      const peer = yield* RawPeer.open(port, "/rpc")
      peer.socket.pause()
      const ask = (id: number, tag: string, payload: unknown) =>
        peer.sendFrame(1, JSON.stringify({ _tag: "Request", id: `${id}`, tag, payload, headers: [] }))
      for (let id = 0; id < 200; id++) ask(id, "Large", { bytes: 65_536 })
      ask(200, "Wait", null)
      yield* eventually(() => seen.large === 200 && seen.waiting === 1)
      for (let i = 0; i < 10; i++) yield* settled
      peer.reset()
      yield* eventually(() => seen.interrupted === 1)
      const client = yield* Rpc.client(toRpc(port), json)
      yield* Rpc.roundTrips(client, seen)
    })
  )
})

describe("RPC over our wire", () => {
  const script = fileURLToPath(new URL("../support/rpcAlone.ts", import.meta.url))
  const run = promisify(execFile)
  const alone = (...flags: ReadonlyArray<string>) =>
    Effect.promise(async () => {
      const { stdout } = await run(process.execPath, ["--conditions=@millrace/source", script, ...flags])
      return JSON.parse(stdout) as { readonly answers: ReadonlyArray<string>; readonly ofWs: number }
    })

  it.live("loads no file of ws, which Effect's own server does", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* alone(), { answers: ["hello true", "hello true"], ofWs: 0 })
      assert.isAbove((yield* alone("stock")).ofWs, 0)
    })
  )
})
