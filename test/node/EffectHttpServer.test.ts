/**
 * WebSocket routes of an Effect application over loopback. The application is Effect's own router, middleware and
 * server; its clients are ours, `fetch`, and sockets that send the bytes of RFC 6455.
 */
import * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Frame from "@millrace/core/codec/Frame"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { selfSigned } from "../support/certificate.ts"
import { plain, start } from "../support/connection.ts"
import { echo, fetched, local, serve, timed } from "../support/effectServer.ts"
import { eventually, settled } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import { countingFibers } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { utf8 } from "../support/wire.ts"

const { text } = Frame.Opcode

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

describe("upgrade", () => {
  it.live("is a route beside others", () =>
    Effect.gen(function* () {
      const app = yield* serve(
        Layer.mergeAll(
          HttpRouter.add("GET", "/health", HttpServerResponse.text("well")),
          HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade(echo))
        )
      )
      const connection = yield* NodeWebSocket.open(`${app.url}/echo`)
      yield* connection.sendAll(["one", utf8("two")])
      assert.strictEqual((yield* fetched(app.port, "/health")).body, "well")
      const messages = yield* Stream.runCollect(Stream.take(connection.messages, 2))
      assert.deepStrictEqual(plain(messages), ["one", Buffer.from("two")])
      yield* connection.close()
      yield* eventually(() => app.seen.length === 2)
      assert.deepStrictEqual(app.seen, [
        { target: "/health", status: 200 },
        { target: "/echo", status: 101 }
      ])
    })
  )

  it.live(
    "may be made anew for each request, as by a route that looks at its parameters, and leaves nothing behind",
    () =>
      countingFibers((alive) =>
        Effect.gen(function* () {
          const app = yield* serve(
            HttpRouter.add(
              "GET",
              "/rooms/:room",
              Effect.flatMap(HttpRouter.params, ({ room }) =>
                EffectHttpServer.upgrade((connection) => connection.send(`this is ${room}`))
              )
            )
          )
          const visit = (room: number) =>
            Effect.gen(function* () {
              const connection = yield* NodeWebSocket.open(`${app.url}/rooms/${room}`)
              assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), [`this is ${room}`])
            }).pipe(Effect.scoped)
          yield* visit(0)
          yield* eventually(() => app.seen.length === 1)
          const before = alive.fibers
          for (let room = 1; room <= 30; room++) yield* visit(room)
          yield* eventually(() => app.seen.length === 31)
          yield* eventually(() => alive.fibers <= before)
        })
      )
  )

  it.live("serves many connections at once, each with its own messages", () =>
    Effect.gen(function* () {
      const app = yield* serve(HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade(echo)))
      const talk = (name: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const connection = yield* NodeWebSocket.open(`${app.url}/echo`)
            const sent = Array.from({ length: 20 }, (_, i) => `${name}: ${i}`)
            yield* Effect.forEach(sent, connection.send)
            const messages = yield* Stream.runCollect(Stream.take(connection.messages, sent.length))
            assert.deepStrictEqual(plain(messages), sent)
          })
        )
      yield* Effect.forEach(Array.from({ length: 50 }).keys(), talk, { concurrency: "unbounded" })
      yield* eventually(() => app.seen.length === 50)
      assert.isTrue(app.seen.every(({ status }) => status === 101))
    })
  )

  it.live("gives the handler and the handshake the services of the route, and its request", () =>
    Effect.gen(function* () {
      const route = EffectHttpServer.upgrade(
        {
          subprotocols: ["chat"],
          handshake: (request) =>
            Effect.gen(function* () {
              const { headers } = yield* HttpServerRequest.HttpServerRequest
              const token = `${yield* Greeting} ${headers["x-user"]} ${request.query.get("from")}`
              return EffectHttpServer.accept(token, { headers: [["Set-Cookie", "seen=1"]] })
            })
        },
        (connection) =>
          Effect.gen(function* () {
            const { room } = yield* HttpRouter.params
            const { url } = yield* HttpServerRequest.HttpServerRequest
            yield* connection.send([connection.handshake, room, url, connection.subprotocol, yield* Greeting].join())
          })
      )
      const routes = HttpRouter.add("GET", "/rooms/:room", route).pipe(
        HttpRouter.provideRequest(Layer.succeed(Greeting, "hello"))
      )
      const app = yield* serve(routes)
      const connection = yield* NodeWebSocket.open(`${app.url}/rooms/7?from=here`, {
        headers: { "X-User": "ada" },
        subprotocols: ["other", "chat"]
      })
      assert.deepStrictEqual(connection.handshake.headers.at(-1), ["Set-Cookie", "seen=1"])
      const messages = yield* Stream.runCollect(connection.messages)
      assert.deepStrictEqual(plain(messages), ["hello ada here,7,/rooms/7?from=here,chat,hello"])
    })
  )

  it.live("keeps what comes in one segment with the request, also while middleware takes its time", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const waiting = HttpRouter.middleware((handled) => Effect.andThen(Deferred.await(gate), handled), {
        global: true
      })
      const app = yield* serve(Layer.mergeAll(HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade(echo)), waiting))
      const peer = yield* RawPeer.connect(app.port)
      const early = encode(frame(text, utf8("early")), 0x01020304)
      peer.send(concat([utf8(RawPeer.upgradeRequest("/echo")), early, early.subarray(0, 4)]))
      peer.send(early.subarray(4))
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      const head = yield* peer.head
      assert.strictEqual(head.status, 101)
      assert.strictEqual(head.header("Sec-WebSocket-Accept"), RawPeer.sampleAccept)
      assert.strictEqual(Buffer.from((yield* peer.frame).payload).toString(), "early")
      assert.strictEqual(Buffer.from((yield* peer.frame).payload).toString(), "early")
    })
  )

  it.live("holds a handler that sends to a client which does not read", () =>
    Effect.gen(function* () {
      const payload = new Uint8Array(65_536)
      let sent = 0
      const flood = EffectHttpServer.upgrade({ limits: { outboxBytes: 65_536 } }, (connection) =>
        Effect.gen(function* () {
          for (; sent < 1_000; sent++) yield* connection.send(payload)
        })
      )
      const app = yield* serve(HttpRouter.add("GET", "/flood", flood))
      const peer = yield* RawPeer.open(app.port, "/flood")
      peer.socket.pause()
      let before = -1
      while (before < sent) {
        before = sent
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.isBelow(sent, 500)
      peer.socket.removeAllListeners("data").resume()
      yield* eventually(() => sent === 1_000, 20_000)
    })
  )

  it.live("speaks wss:", () =>
    Effect.gen(function* () {
      const certificate = selfSigned()
      const app = yield* serve(HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade(echo)), {
        tls: certificate,
        drain: { window: 50 }
      })
      const connection = yield* NodeWebSocket.open(`wss://127.0.0.1:${app.port}/echo`, {
        tls: { ca: certificate.cert }
      })
      yield* connection.send("quiet")
      const [message] = yield* connection.pull
      assert.deepStrictEqual(plain([message]), ["quiet"])
      yield* start(connection.pull)
      assert.isBelow(yield* timed(app.stop), 1_000)
      assert.strictEqual((yield* connection.closed).received?.code, 1001)
    })
  )

  it.live("opens one connection for a request, however often middleware runs the route", () =>
    Effect.gen(function* () {
      let opened = 0
      const route = EffectHttpServer.upgrade(() => Effect.sync(() => opened++))
      const twice = HttpRouter.middleware((handled) => Effect.andThen(handled, handled))
      const app = yield* serve(HttpRouter.add("GET", "/", route).pipe(Layer.provide(twice.layer)))
      const connection = yield* NodeWebSocket.open(app.url)
      assert.strictEqual((yield* connection.closed).received?.code, 1000)
      yield* eventually(() => app.seen.length === 1)
      assert.strictEqual(opened, 1)
      assert.deepStrictEqual(app.seen, [{ target: "/", status: 426 }])
    })
  )

  it("compiles on no other server", () => {
    const routes = HttpRouter.add("GET", "/echo", EffectHttpServer.upgrade(echo))
    const served: Layer.Layer<never, unknown, EffectHttpServer.Upgrades> = HttpRouter.serve(routes).pipe(
      Layer.provide(NodeHttpServer.layer(http.createServer, local))
    )
    // @ts-expect-error: Effect's own server does not have what the route needs.
    const complete: Layer.Layer<never, unknown> = served
    assert.isTrue(Layer.isLayer(complete))
  })
})

describe("what is not a WebSocket", () => {
  it.live("is upgraded by Effect's server, as before", () =>
    Effect.gen(function* () {
      const raw = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const socket = yield* request.upgrade
        const reader = yield* socket.reader
        const writer = yield* socket.writer
        const [chunk] = yield* reader.pull
        yield* writer.write(chunk!)
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(HttpRouter.add("GET", "/", raw))
      const peer = yield* RawPeer.connect(app.port)
      peer.send(RawPeer.upgradeRequest("/", { Upgrade: "echo" }) + "hello")
      assert.strictEqual((yield* peer.head).status, 101)
      assert.strictEqual(`${yield* peer.rest}`, "hello")
    })
  )
})
