/** `HttpServerRequest.upgrade` on our server: a `Socket` over a WebSocket of ours. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Frame from "@millrace/core/codec/Frame"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { plain, start } from "../support/connection.ts"
import { serve, serveIn, timed } from "../support/effectServer.ts"
import { eventually, settled } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import { countingFibers } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"
import { utf8 } from "../support/wire.ts"

const upgraded = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.upgrade)

/** Says what it hears, until the client has gone. */
const echo = Effect.gen(function* () {
  const socket = yield* upgraded
  const { pull } = yield* socket.reader
  const writer = yield* socket.writer
  while (true) yield* writer.writeAll(yield* pull)
}).pipe(
  Effect.scoped,
  Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty()))
)

type Handler = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  unknown,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

const at = (handler: Handler) => HttpRouter.add("GET", "/", handler)

describe("HttpServerRequest.upgrade", () => {
  it.live("is a Socket over a WebSocket, and a 101 to middleware; leaves nothing behind", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const app = yield* serve(at(echo))
        const visit = Effect.gen(function* () {
          const connection = yield* NodeWebSocket.open(app.url)
          yield* connection.sendAll(["é", utf8("b")])
          assert.deepStrictEqual(plain([yield* connection.receive, yield* connection.receive]), ["é", Buffer.from("b")])
        }).pipe(Effect.scoped)
        yield* visit
        yield* eventually(() => app.seen.length === 1)
        const before = alive.fibers
        for (let i = 0; i < 30; i++) yield* visit
        yield* eventually(() => app.seen.length === 31)
        assert.isTrue(app.seen.every(({ status }) => status === 101))
        yield* eventually(() => alive.fibers <= before)
      })
    )
  )

  it.live("opens when the reader is acquired, has what came with the request, and keeps what was written before", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const handler = Effect.gen(function* () {
        const socket = yield* upgraded
        const writer = yield* socket.writer
        yield* start(writer.write("first"))
        yield* Deferred.await(gate)
        const { pull } = yield* socket.reader
        const [chunk] = yield* pull
        yield* writer.write(chunk)
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(at(handler))
      const peer = yield* RawPeer.connect(app.port)
      const early = encode(frame(Frame.Opcode.text, utf8("early")), 0x01020304)
      peer.send(concat([utf8(RawPeer.upgradeRequest()), early]))
      yield* settled
      assert.strictEqual(peer.socket.bytesRead, 0)
      yield* Deferred.succeed(gate, undefined)
      const head = yield* peer.head
      assert.deepStrictEqual([head.status, head.header("Sec-WebSocket-Accept")], [101, RawPeer.sampleAccept])
      assert.strictEqual(`${Buffer.from((yield* peer.frame).payload)}`, "first")
      assert.strictEqual(`${Buffer.from((yield* peer.frame).payload)}`, "early")
      assert.strictEqual(yield* peer.closeCode, 1000)
    })
  )

  it.live("suspends who writes to a client that does not read", () =>
    Effect.gen(function* () {
      const payload = new Uint8Array(65_536)
      let written = 0
      const flood = Effect.gen(function* () {
        const socket = yield* upgraded
        yield* socket.reader
        const writer = yield* socket.writer
        for (; written < 4_000; written++) yield* writer.write(payload)
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(at(flood))
      const peer = yield* RawPeer.open(app.port)
      peer.socket.pause()
      const before = process.memoryUsage().rss
      let seen = -1
      while (seen < written) {
        seen = written
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.isAbove(written, 0)
      assert.isBelow(written, 1_000)
      assert.isBelow(process.memoryUsage().rss - before, 100_000_000)
      peer.socket.removeAllListeners("data").resume()
      yield* eventually(() => written === 4_000, 20_000)
    })
  )

  it.live("has the application's fields in the 101, and its subprotocol", () =>
    Effect.gen(function* () {
      const handler = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const headers = { "Set-Cookie": "seen=1", "Sec-WebSocket-Protocol": "chat" }
        const socket = yield* request.upgradeWith({ headers })
        yield* socket.reader
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(at(handler))
      const connection = yield* NodeWebSocket.open(app.url, { subprotocols: ["other", "chat"] })
      assert.strictEqual(connection.subprotocol, "chat")
      assert.deepStrictEqual(
        connection.handshake.headers.find(([name]) => name.toLowerCase() === "set-cookie")?.[1],
        "seen=1"
      )
    })
  )

  it.live("chooses the subprotocol that the server was told to speak, and keeps its limits", () =>
    Effect.gen(function* () {
      const app = yield* serve(at(echo), { websocket: { subprotocols: ["b", "a"], limits: { maxMessageBytes: 5 } } })
      const connection = yield* NodeWebSocket.open(app.url, { subprotocols: ["a", "b"] })
      assert.strictEqual(connection.subprotocol, "b")
      yield* connection.send("longer")
      yield* Effect.exit(connection.pull)
      assert.strictEqual((yield* connection.closed).received?.code, 1009)
    })
  )

  it.live("does not open with a field that cannot be sent, which is the application's mistake", () =>
    Effect.gen(function* () {
      const handler = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const socket = yield* request.upgradeWith({ headers: { "X-Bad": "a\r\nb: c" } })
        yield* socket.reader
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(at(handler))
      const peer = yield* RawPeer.connect(app.port)
      peer.send(RawPeer.upgradeRequest())
      assert.strictEqual((yield* peer.head).status, 500)
    })
  )

  it.live("can be had once", () =>
    Effect.gen(function* () {
      const again: Array<unknown> = []
      const handler = Effect.gen(function* () {
        const socket = yield* upgraded
        yield* socket.reader
        again.push(yield* Effect.flip(Effect.scoped(socket.reader)), yield* Effect.flip(upgraded))
        return HttpServerResponse.empty()
      }).pipe(Effect.scoped)
      const app = yield* serve(at(handler))
      const connection = yield* NodeWebSocket.open(app.url)
      yield* Effect.exit(connection.pull)
      assert.deepStrictEqual(
        again.map((error) => (error as { readonly _tag: string })._tag),
        ["SocketError", "HttpServerError"]
      )
    })
  )
})

const ask = (
  app: { readonly port: number },
  fields?: Parameters<typeof RawPeer.upgradeRequest>[1]
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(app.port)
    peer.send(RawPeer.upgradeRequest("/", fields))
    return (yield* peer.head).status
  })

describe("who may not connect", () => {
  const foreign = { Origin: "https://elsewhere.example" }

  it.live("is a page of another origin, unless the server was told otherwise", () =>
    Effect.gen(function* () {
      const dying = at(Effect.orDie(echo))
      const strict = yield* serve(dying)
      const open = yield* serve(dying, { websocket: { origin: Origin.any } })
      assert.deepStrictEqual([yield* ask(strict, foreign), yield* ask(open, foreign)], [403, 101])
      assert.strictEqual(yield* ask(strict, { Origin: "http://localhost" }), 101)
    })
  )

  it.live("is a client whose handshake is wrong, or whom the application answers otherwise", () =>
    Effect.gen(function* () {
      const app = yield* serve(at(echo))
      assert.strictEqual(yield* ask(app, { "Sec-WebSocket-Version": "8" }), 426)
      assert.strictEqual(yield* ask(app, { "Sec-WebSocket-Key": "short" }), 400)
      const refusing = yield* serve(at(Effect.succeed(HttpServerResponse.text("who are you?", { status: 401 }))))
      assert.strictEqual(yield* ask(refusing), 401)
      const undecided = yield* serve(at(Effect.as(upgraded, HttpServerResponse.empty({ status: 409 }))))
      assert.strictEqual(yield* ask(undecided), 409)
    })
  )

  it.live("is a request that asks for no upgrade", () =>
    Effect.gen(function* () {
      const app = yield* serve(at(echo))
      assert.strictEqual(yield* ask(app, { Upgrade: undefined, Connection: undefined }), 400)
    })
  )
})

describe("the end", () => {
  const quick = { drain: { window: 50 }, websocket: { limits: { closeTimeout: 200 } } }

  /** Opens, and never looks at the connection. */
  const deaf = Effect.gen(function* () {
    const socket = yield* upgraded
    yield* socket.reader
    return yield* Effect.never
  }).pipe(Effect.scoped)

  it.live("comes with 1001 and at once when the server ends, whatever the handler does and the client does not", () =>
    Effect.gen(function* () {
      for (const handler of [echo, deaf]) {
        const app = yield* serve(at(handler), quick)
        const mute = yield* RawPeer.open(app.port)
        const connection = yield* NodeWebSocket.open(app.url)
        yield* start(connection.pull)
        assert.isBelow(yield* timed(app.stop), 1_500)
        assert.strictEqual(yield* mute.closeCode, 1001)
        assert.strictEqual((yield* connection.closed).received?.code, 1001)
        const status = handler === echo ? 101 : 503
        assert.deepStrictEqual(
          app.seen.map((seen) => seen.status),
          [status, status]
        )
      }
    })
  )

  it.live("is 503 for who still comes", () =>
    Effect.gen(function* () {
      let came = false
      const gate = yield* Deferred.make<void>()
      const slow = Effect.suspend(() => {
        came = true
        return Effect.as(Deferred.await(gate), HttpServerResponse.text("late"))
      })
      const app = yield* serve(Layer.mergeAll(at(echo), HttpRouter.add("GET", "/slow", slow)), quick)
      const peer = yield* RawPeer.connect(app.port)
      peer.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* eventually(() => came)
      const stopping = yield* start(app.stop)
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* peer.head).status, 200)
      peer.send(RawPeer.upgradeRequest())
      assert.match(`${yield* peer.rest}`, /^lateHTTP\/1\.1 503 /)
      peer.socket.end()
      assert.isBelow(yield* timed(Fiber.join(stopping)), 1_500)
    })
  )

  it.live("is as quick where the application has no router", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const { port } = yield* serveIn(scope, HttpServer.serve(deaf), quick)
      const mute = yield* RawPeer.open(port)
      assert.isBelow(yield* timed(Scope.close(scope, Exit.void)), 1_500)
      assert.strictEqual(yield* mute.closeCode, 1001)
    })
  )

  it.live("of a client interrupts a handler that does not notice", () =>
    Effect.gen(function* () {
      const app = yield* serve(at(deaf), quick)
      const peer = yield* RawPeer.open(app.port)
      peer.reset()
      yield* eventually(() => app.seen.length === 1)
    })
  )

  it.live("of a plain request is the interruption of its handler, also where the application has no router", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      let interrupted = 0
      const stuck = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const { port } = yield* serveIn(scope, HttpServer.serve(stuck), { gracefulShutdownTimeout: 50 })
      const peers = [yield* RawPeer.connect(port), yield* RawPeer.connect(port)]
      for (const peer of peers) peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      yield* settled
      peers[0]!.socket.destroy()
      yield* eventually(() => interrupted === 1)
      assert.isBelow(yield* timed(Scope.close(scope, Exit.void)), 1_500)
      assert.strictEqual(interrupted, 2)
      assert.strictEqual((yield* peers[1]!.head).status, 503)
    })
  )

  it.live("of the handler has the code of its outcome", () =>
    Effect.gen(function* () {
      const failing = Effect.gen(function* () {
        const socket = yield* upgraded
        yield* socket.reader
        return yield* Effect.fail("no luck")
      }).pipe(Effect.scoped)
      const app = yield* serve(Layer.mergeAll(at(failing)))
      const peer = yield* RawPeer.open(app.port)
      assert.strictEqual(yield* peer.closeCode, 1011)
    })
  )
})
