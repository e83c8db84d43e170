/** How a WebSocket of an Effect application ends: its handler, its route, and the whole server. */
import * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Frame from "@millrace/core/codec/Frame"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { start } from "../support/connection.ts"
import { echo, serve, serveIn, timed } from "../support/effectServer.ts"
import { eventually } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

const { close } = Frame.Opcode

describe("the end of a handler", () => {
  it.live("closes with 1011 when it fails, and logs why", () =>
    Effect.gen(function* () {
      const failing = EffectHttpServer.upgrade(() => Effect.fail("no luck"))
      const dying = EffectHttpServer.upgrade(() => {
        throw new Error("a mistake")
      })
      const app = yield* serve(
        Layer.mergeAll(HttpRouter.add("GET", "/failing", failing), HttpRouter.add("GET", "/dying", dying))
      )
      for (const path of ["/failing", "/dying"]) {
        const peer = yield* RawPeer.open(app.port, path)
        assert.strictEqual(yield* peer.closeCode, 1011)
        peer.sendFrame(close, Buffer.from([3, 243]))
        yield* peer.rest
        peer.socket.end()
      }
      yield* eventually(() => app.seen.length === 2)
      const message = "the handler of a WebSocket ended with a failure"
      assert.deepStrictEqual(app.logs, [
        { level: "Error", message, cause: "no luck" },
        { level: "Error", message, cause: "Error: a mistake" }
      ])
      assert.isTrue(app.seen.every(({ status }) => status === 101))
    })
  )

  it.live("comes in its own time when the client vanishes, and is a 101 to middleware", () =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const route = EffectHttpServer.upgrade((connection) =>
        connection.messages.pipe(
          Stream.runDrain,
          Effect.catchTag("WebSocketError", () => Effect.sync(() => steps.push("lost"))),
          Effect.andThen(Effect.sleep(50)),
          Effect.andThen(Effect.sync(() => steps.push("done")))
        )
      )
      const app = yield* serve(HttpRouter.add("GET", "/", route))
      const peer = yield* RawPeer.open(app.port)
      peer.reset()
      yield* eventually(() => app.seen.length === 1)
      assert.deepStrictEqual(steps, ["lost", "done"])
      assert.deepStrictEqual(app.seen, [{ target: "/", status: 101 }])
    })
  )

  it.live("is an interruption, and 1001, when the route is interrupted", () =>
    Effect.gen(function* () {
      const impatient = HttpRouter.middleware((handled) =>
        Effect.timeoutOrElse(handled, {
          duration: 50,
          orElse: () => Effect.succeed(HttpServerResponse.empty({ status: 504 }))
        })
      )
      const app = yield* serve(
        HttpRouter.add(
          "GET",
          "/",
          EffectHttpServer.upgrade(() => Effect.never)
        ).pipe(Layer.provide(impatient.layer))
      )
      const connection = yield* NodeWebSocket.open(app.url)
      assert.strictEqual((yield* connection.closed).received?.code, 1001)
      yield* eventually(() => app.seen.length === 1)
      assert.deepStrictEqual(app.seen, [{ target: "/", status: 504 }])
    })
  )
})

describe("shutting down", () => {
  const quick = { drain: { window: 50 } }
  const limits = { closeTimeout: 200 }

  it.live("closes every connection with 1001, which is still a 101 to middleware", () =>
    Effect.gen(function* () {
      const app = yield* serve(
        Layer.mergeAll(
          HttpRouter.add("GET", "/a", EffectHttpServer.upgrade({ limits }, echo)),
          HttpRouter.add(
            "GET",
            "/b",
            EffectHttpServer.upgrade({ limits }, () => Effect.never)
          )
        ),
        quick
      )
      const connections = yield* Effect.forEach(["/a", "/b", "/b"], (path) => NodeWebSocket.open(app.url + path))
      assert.isBelow(yield* timed(app.stop), 1_000)
      for (const connection of connections) assert.strictEqual((yield* connection.closed).received?.code, 1001)
      assert.deepStrictEqual(
        app.seen.map(({ status }) => status),
        [101, 101, 101]
      )
    })
  )

  it.live("waits for no mute client: neither an open one, nor one that was refused, nor one that asked nothing", () =>
    Effect.gen(function* () {
      const app = yield* serve(HttpRouter.add("GET", "/", EffectHttpServer.upgrade({ limits }, echo)), {
        ...quick,
        gracefulShutdownTimeout: 300
      })
      const open = yield* RawPeer.open(app.port)
      const refused = yield* RawPeer.connect(app.port, { allowHalfOpen: true })
      refused.send(RawPeer.upgradeRequest("/nowhere"))
      assert.strictEqual((yield* refused.head).status, 404)
      const asking = yield* RawPeer.connect(app.port)
      asking.send("GET / HT")
      yield* RawPeer.connect(app.port)
      assert.isBelow(yield* timed(app.stop), 2_500)
      assert.strictEqual(yield* open.closeCode, 1001)
    })
  )

  it.live("does not wait until its time is up for a connection on which nothing was asked", () =>
    Effect.gen(function* () {
      const app = yield* serve(HttpRouter.add("GET", "/", EffectHttpServer.upgrade({ limits }, echo)), quick)
      yield* RawPeer.connect(app.port)
      const answered = yield* RawPeer.connect(app.port)
      answered.send(RawPeer.upgradeRequest("/", { Upgrade: undefined }))
      assert.strictEqual((yield* answered.head).status, 426)
      assert.isBelow(yield* timed(app.stop), 1_000)
    })
  )

  it.live("refuses with 503 whom it has not accepted yet, and who still comes", () =>
    Effect.gen(function* () {
      let asked = 0
      const count = Effect.sync(() => void asked++)
      const gate = yield* Deferred.make<void>()
      const slow = Effect.andThen(count, Deferred.await(gate)).pipe(Effect.as(HttpServerResponse.text("late")))
      const undecided = EffectHttpServer.upgrade({ handshake: () => Effect.andThen(count, Effect.never) }, echo)
      const app = yield* serve(
        Layer.mergeAll(HttpRouter.add("GET", "/", undecided), HttpRouter.add("GET", "/slow", slow)),
        quick
      )
      const waiting = yield* RawPeer.connect(app.port)
      waiting.send(RawPeer.upgradeRequest())
      const busy = yield* RawPeer.connect(app.port)
      busy.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* eventually(() => asked === 2)
      const stopping = yield* start(app.stop)
      const head = yield* waiting.head
      assert.deepStrictEqual([head.status, head.header("Retry-After")], [503, "1"])
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* busy.head).status, 200)
      busy.send(RawPeer.upgradeRequest())
      assert.match(String(yield* busy.rest), /^lateHTTP\/1\.1 503 /)
      assert.strictEqual(asked, 2)
      for (const peer of [waiting, busy]) peer.socket.end()
      assert.isBelow(yield* timed(Fiber.join(stopping)), 1_000)
    })
  )

  it.live("interrupts a request that has not come to its route, and answers it with 503", () =>
    Effect.gen(function* () {
      let came = false
      const stuck = HttpRouter.middleware((handled) =>
        Effect.sync(() => (came = true)).pipe(Effect.andThen(Effect.never), Effect.andThen(handled))
      )
      const app = yield* serve(
        HttpRouter.add("GET", "/", EffectHttpServer.upgrade(echo)).pipe(Layer.provide(stuck.layer)),
        { ...quick, gracefulShutdownTimeout: 50 }
      )
      const peer = yield* RawPeer.connect(app.port)
      peer.send(RawPeer.upgradeRequest())
      yield* eventually(() => came)
      const stopping = yield* start(app.stop)
      assert.strictEqual((yield* peer.head).status, 503)
      peer.socket.end()
      assert.isBelow(yield* timed(Fiber.join(stopping)), 1_000)
    })
  )

  it.live("is as quick where the application has no router, and its handlers are uninterruptible", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const app = EffectHttpServer.upgrade({ limits }, () => Effect.never)
      const { port } = yield* serveIn(scope, HttpServer.serve(app), quick)
      const mute = yield* RawPeer.open(port)
      assert.isBelow(yield* timed(Scope.close(scope, Exit.void)), 1_000)
      assert.strictEqual(yield* mute.closeCode, 1001)
    })
  )

  it.live("leaves no socket and no listener behind", () =>
    Effect.gen(function* () {
      let server: http.Server | undefined
      const app = yield* serve(HttpRouter.add("GET", "/", EffectHttpServer.upgrade({ limits }, echo)), {
        ...quick,
        gracefulShutdownTimeout: 100,
        server: () => (server = http.createServer())
      })
      yield* RawPeer.open(app.port)
      const refused = yield* RawPeer.connect(app.port, { allowHalfOpen: true })
      refused.send(RawPeer.upgradeRequest("/nowhere"))
      yield* refused.head
      assert.isBelow(yield* timed(app.stop), 2_500)
      assert.isFalse(server!.listening)
      assert.deepStrictEqual([server!.listenerCount("upgrade"), server!.listenerCount("request")], [0, 0])
      assert.strictEqual(
        yield* Effect.promise(() => new Promise((resolve) => server!.getConnections((_, n) => resolve(n)))),
        0
      )
    })
  )
})
