/** Requests that a WebSocket route of an Effect application refuses: answers like those of any route. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Origin from "@millrace/core/codec/Origin"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import { echo, fetched, serve } from "../support/effectServer.ts"
import * as RawPeer from "../support/RawPeer.ts"

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
