/** Our server as Effect's `SocketServer`: who is served when, and how a run ends. */
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import * as EffectSocketServer from "@millrace/node/EffectSocketServer"
import type * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { plain, start } from "../support/connection.ts"
import { timed } from "../support/effectServer.ts"
import { eventually, settled } from "../support/eventually.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

const quick = { drain: { window: 10 }, limits: { closeTimeout: 200 } }

const serve = (options: NodeWebSocketServer.ServeOptions<undefined, never> = {}) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(EffectSocketServer.layer({ ...quick, ...options }))
    const server = Context.get(context, SocketServer.SocketServer)
    const port = "port" in server.address ? server.address.port : 0
    return { server, port, url: `ws://127.0.0.1:${port}` }
  })

class Name extends Context.Service<Name, string>()("test/Name") {}

const echo = (socket: Socket.Socket) =>
  Effect.gen(function* () {
    const name = yield* Name
    const { pull } = yield* socket.reader
    const writer = yield* socket.writer
    while (true) for (const chunk of yield* pull) yield* writer.write(`${name}: ${chunk}`)
  }).pipe(Effect.scoped)

const named = (name: string) => Effect.provideService(Name, name)

const ask = (connection: Effect.Success<ReturnType<typeof NodeWebSocket.open>>, text: string) =>
  Effect.gen(function* () {
    yield* connection.send(text)
    return plain([yield* connection.receive])[0]
  })

describe("run", () => {
  it.live("serves each client in a handler of its own, with the services of whoever runs it", () =>
    Effect.gen(function* () {
      const { server, url } = yield* serve()
      yield* start(named("ada")(server.run(echo)))
      const [one, two] = [yield* NodeWebSocket.open(url), yield* NodeWebSocket.open(url)]
      assert.deepStrictEqual([yield* ask(one, "1"), yield* ask(two, "2")], ["ada: 1", "ada: 2"])
    })
  )

  it.live("serves those who came before, and the last run serves who comes", () =>
    Effect.gen(function* () {
      const { server, url } = yield* serve()
      const early = yield* NodeWebSocket.open(url)
      yield* early.send("early")
      yield* settled
      yield* start(named("first")(server.run(echo)))
      assert.deepStrictEqual(plain([yield* early.receive]), ["first: early"])
      const second = yield* start(named("second")(server.run(echo)))
      const late = yield* NodeWebSocket.open(url)
      assert.strictEqual(yield* ask(late, "late"), "second: late")
      yield* start(Effect.exit(late.pull))
      yield* Fiber.interrupt(second)
      assert.strictEqual((yield* late.closed).received?.code, 1001)
      const last = yield* NodeWebSocket.open(url)
      assert.strictEqual(yield* ask(last, "last"), "first: last")
      assert.strictEqual(yield* ask(early, "still"), "first: still")
    })
  )

  it.live("ends when its handlers have, with 1001 for their clients, and leaves the server to the next run", () =>
    Effect.gen(function* () {
      const { server, url } = yield* serve()
      let ended = 0
      const slow = (socket: Socket.Socket) =>
        Effect.andThen(socket.reader, Effect.never).pipe(
          Effect.scoped,
          Effect.onInterrupt(() =>
            Effect.andThen(
              Effect.sleep(50),
              Effect.sync(() => ended++)
            )
          )
        )
      const running = yield* start(server.run(slow))
      const connection = yield* NodeWebSocket.open(url)
      yield* start(connection.pull)
      yield* settled
      yield* Fiber.interrupt(running)
      assert.strictEqual(ended, 1)
      assert.strictEqual((yield* connection.closed).received?.code, 1001)
      const next = yield* NodeWebSocket.open(url)
      yield* start(named("next")(server.run(echo)))
      assert.strictEqual(yield* ask(next, "x"), "next: x")
    })
  )

  it.live("logs nothing about a handler that ends with the close that it was told of", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { server, url } = yield* serve()
        let ended = 0
        yield* start(
          server.run((socket) =>
            Effect.ensuring(
              named("ada")(echo(socket)),
              Effect.sync(() => ended++)
            )
          )
        )
        for (const code of [1000, 4000]) {
          const connection = yield* NodeWebSocket.open(url)
          assert.strictEqual(yield* ask(connection, "x"), "ada: x")
          yield* connection.close(code)
        }
        yield* eventually(() => ended === 2)
        yield* settled
        assert.deepStrictEqual(
          entries.filter(({ level }) => level !== "Debug"),
          []
        )
      })
    )
  )

  it.live("closes with 1000 when a handler ends, and with 1011 when it fails, which is logged", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { port, server } = yield* serve()
        let clients = 0
        yield* start(server.run(() => (clients++ === 0 ? Effect.void : Effect.fail("no luck"))))
        const peers = [yield* RawPeer.open(port), yield* RawPeer.open(port)]
        assert.strictEqual(yield* peers[0]!.closeCode, 1000)
        assert.strictEqual(yield* peers[1]!.closeCode, 1011)
        yield* eventually(() => entries.some(({ level }) => level === "Error"))
      })
    )
  )
})

describe("layer", () => {
  it.live("ends with 1001 and at once, whatever handlers and clients do", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port, server, url } = yield* Scope.provide(serve(), scope)
      yield* start(server.run(() => Effect.never))
      const mute = yield* RawPeer.open(port)
      const connection = yield* NodeWebSocket.open(url)
      yield* start(connection.pull)
      assert.isBelow(yield* timed(Scope.close(scope, Exit.void)), 1_500)
      assert.strictEqual(yield* mute.closeCode, 1001)
      assert.strictEqual((yield* connection.closed).received?.code, 1001)
    })
  )

  it.live("has the address, and the options of an endpoint", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serve({ path: "/here" })
      assert.strictEqual(NetAddress.formatSocketAddress(server.address), `127.0.0.1:${port}`)
      const statusOf = (target: string, fields = {}) =>
        Effect.gen(function* () {
          const peer = yield* RawPeer.connect(port)
          peer.send(RawPeer.upgradeRequest(target, fields))
          return (yield* peer.head).status
        })
      const foreign = { Origin: "https://elsewhere.example" }
      assert.deepStrictEqual(
        [yield* statusOf("/here"), yield* statusOf("/there"), yield* statusOf("/here", foreign)],
        [101, 404, 403]
      )
    })
  )

  it.live("fails when the address is taken", () =>
    Effect.gen(function* () {
      const other = net.createServer()
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => {
          other.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => other.close())
      )
      const error = yield* Effect.flip(serve({ port: (other.address() as net.AddressInfo).port }))
      assert.strictEqual(error.reason._tag, "SocketServerOpenError")
    })
  )
})
