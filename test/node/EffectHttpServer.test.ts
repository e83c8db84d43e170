/**
 * WebSocket routes of an Effect application over loopback. The application is Effect's own router, middleware and
 * server; its clients are ours, `fetch`, and sockets that send the bytes of RFC 6455.
 */
import * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Frame from "@millrace/core/codec/Frame"
import * as Origin from "@millrace/core/codec/Origin"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { selfSigned } from "../support/certificate.ts"
import { plain, start } from "../support/connection.ts"
import { eventually } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import { countingFibers } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { utf8 } from "../support/wire.ts"

const { text, close } = Frame.Opcode

const echo = <A>(connection: WebSocket<A>) => Stream.runForEach(connection.messages, connection.send)

const local = { host: "127.0.0.1", port: 0 }

interface Seen {
  readonly target: string
  readonly status: number
}

interface Logged {
  readonly level: string
  readonly message: string
  readonly cause: string
}

/** Serves an application as long as the scope is open, and tells what its middleware saw. */
const serveIn = <E>(
  scope: Scope.Scope,
  application: Layer.Layer<never, E, HttpServer.HttpServer | EffectHttpServer.Upgrades>,
  options: EffectHttpServer.Options = {}
) =>
  Effect.gen(function* () {
    const logs: Array<Logged> = []
    const logger = Logger.make(({ cause, logLevel, message }) => {
      logs.push({ level: logLevel, message: String(message), cause: String(Cause.squash(cause)) })
    })
    const context = yield* application.pipe(
      Layer.provideMerge(EffectHttpServer.layer({ ...local, ...options })),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "Debug")),
      Layer.provideMerge(Logger.layer([logger])),
      Layer.buildWithScope(scope)
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    const port = "port" in address ? address.port : 0
    return { port, logs, url: `ws://127.0.0.1:${port}` }
  })

/** Serves routes as long as the test lasts, or until `stop`. */
const serve = <
  E,
  R extends
    | HttpRouter.HttpRouter
    | HttpRouter.Request<"Requires", EffectHttpServer.Upgrades>
    | HttpRouter.Request<"Error", unknown>
>(
  routes: Layer.Layer<never, E, R>,
  options?: EffectHttpServer.Options
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const seen: Array<Seen> = []
    const application = HttpRouter.serve(routes as Layer.Layer<never, E, HttpRouter.HttpRouter>, {
      disableLogger: true,
      disableListenLog: true,
      middleware: (handled) =>
        Effect.onExit(handled, (exit) =>
          Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => {
            seen.push({ target: url, status: HttpServerError.exitResponse(exit).status })
          })
        )
    })
    const served = yield* serveIn(scope, application, options)
    return { ...served, seen, stop: Scope.close(scope, Exit.void) }
  })

const fetched = (port: number, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

/** How long an effect takes, in milliseconds. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = performance.now()
    return Effect.map(effect, () => performance.now() - before)
  })

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
      yield* Effect.sleep(20)
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
        yield* Effect.sleep(100)
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

describe("a refusal", () => {
  const refusing = EffectHttpServer.upgrade(
    {
      handshake: () =>
        EffectHttpServer.refuse(401, {
          headers: [
            ["WWW-Authenticate", "Bearer"],
            ["WWW-Authenticate", "Basic"],
            ["Set-Cookie", "a=1; Path=/"],
            ["Set-Cookie", "b=2; HttpOnly"]
          ],
          body: "who are you?"
        })
    },
    echo
  )
  const stamped = HttpRouter.middleware(
    (handled) => Effect.map(handled, HttpServerResponse.setHeader("x-stamp", "router")),
    { global: true }
  )
  const routes = Layer.mergeAll(
    HttpRouter.add("GET", "/private", refusing),
    HttpRouter.add("*", "/echo", EffectHttpServer.upgrade({ origin: Origin.sameOrigin }, echo)),
    HttpRouter.add(
      "GET",
      "/broken",
      EffectHttpServer.upgrade({ handshake: () => Effect.die(new Error("a mistake")) }, echo)
    ),
    HttpRouter.add("GET", "/wrong", EffectHttpServer.upgrade({ handshake: () => EffectHttpServer.refuse(200) }, echo)),
    HttpRouter.add("GET", "/health", HttpServerResponse.text("well")),
    stamped
  )
  const ask = (request: string) =>
    Effect.gen(function* () {
      const app = yield* serve(routes)
      const peer = yield* RawPeer.connect(app.port)
      peer.send(request)
      const head = yield* peer.head
      const body = `${yield* peer.rest}`
      return { ...head, body, app }
    })

  it.live("is the answer of the route, with its fields and its body, and ends the connection", () =>
    Effect.gen(function* () {
      const { app, body, header, headers, status } = yield* ask(RawPeer.upgradeRequest("/private"))
      assert.strictEqual(status, 401)
      assert.strictEqual(body, "who are you?")
      assert.strictEqual(header("Connection"), "close")
      assert.strictEqual(header("Content-Length"), "12")
      assert.strictEqual(header("Content-Type"), "text/plain; charset=utf-8")
      assert.strictEqual(header("WWW-Authenticate"), "Bearer, Basic")
      assert.strictEqual(header("X-Stamp"), "router")
      const cookies = headers.filter(([name]) => name.toLowerCase() === "set-cookie").map(([, value]) => value)
      assert.deepStrictEqual(cookies, ["a=1; Path=/", "b=2; HttpOnly"])
      assert.deepStrictEqual(app.seen, [{ target: "/private", status: 401 }])
    })
  )

  it.live("is 403 for a page of another origin", () =>
    Effect.gen(function* () {
      const { status } = yield* ask(RawPeer.upgradeRequest("/echo", { Origin: "http://elsewhere.example" }))
      assert.strictEqual(status, 403)
    })
  )

  it.live("is 426 with the version for another version of the protocol", () =>
    Effect.gen(function* () {
      const { header, status } = yield* ask(RawPeer.upgradeRequest("/echo", { "Sec-WebSocket-Version": "8" }))
      assert.deepStrictEqual([status, header("Sec-WebSocket-Version")], [426, "13"])
    })
  )

  it.live.each([
    ["a key that is none", { "Sec-WebSocket-Key": "short" }, "GET"],
    ["a body", { "Content-Length": "4" }, "GET"]
  ] as const)("is 400 for %s", ([, fields, method]) =>
    Effect.gen(function* () {
      const { status } = yield* ask(RawPeer.upgradeRequest("/echo", fields, method))
      assert.strictEqual(status, 400)
    })
  )

  it.live("is 405 for another method than GET", () =>
    Effect.gen(function* () {
      const { status } = yield* ask(RawPeer.upgradeRequest("/echo", {}, "PUT"))
      assert.strictEqual(status, 405)
    })
  )

  it.live("is 426 for a request that is no upgrade", () =>
    Effect.gen(function* () {
      const app = yield* serve(routes)
      const { body, headers, status } = yield* fetched(app.port, "/echo")
      assert.deepStrictEqual([status, headers.get("upgrade")], [426, "websocket"])
      assert.strictEqual(body, "this is a WebSocket endpoint\n")
    })
  )

  it.live.each(["/broken", "/wrong"])("is 500 when the handshake is mistaken: %s", (path) =>
    Effect.gen(function* () {
      const { app, status } = yield* ask(RawPeer.upgradeRequest(path))
      assert.strictEqual(status, 500)
      assert.deepStrictEqual(app.seen, [{ target: path, status: 500 }])
    })
  )

  it.live("is 404 by the router where there is no route", () =>
    Effect.gen(function* () {
      const { status } = yield* ask(RawPeer.upgradeRequest("/nowhere"))
      assert.strictEqual(status, 404)
    })
  )

  it.live("leaves an ordinary route to answer a request to upgrade as it answers others", () =>
    Effect.gen(function* () {
      const { body, header, status } = yield* ask(RawPeer.upgradeRequest("/health"))
      assert.deepStrictEqual([status, body, header("Connection")], [200, "well", "close"])
    })
  )

  it.live("is no answer at all behind a request whose answer is on its way, and harms nobody else", () =>
    Effect.gen(function* () {
      const app = yield* serve(Layer.mergeAll(HttpRouter.add("GET", "/slow", Effect.never), routes))
      const peer = yield* RawPeer.connect(app.port)
      peer.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" + RawPeer.upgradeRequest("/echo"))
      assert.strictEqual((yield* peer.rest).length, 0)
      const { body } = yield* fetched(app.port, "/health")
      assert.strictEqual(body, "well")
    })
  )
})

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
