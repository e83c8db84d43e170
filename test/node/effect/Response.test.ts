/** Plain requests to our server for Effect applications: the answers are those of Effect's own server. */
import * as http from "node:http"
import { Readable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as EffectHttpServer from "@millrace/node/EffectHttpServer"
import { local } from "../../support/effectServer.ts"
import { eventually, settled } from "../../support/eventually.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { utf8 } from "../../support/wire.ts"

const request = HttpServerRequest.HttpServerRequest

const cookies = (response: HttpServerResponse.HttpServerResponse) =>
  response.pipe(
    HttpServerResponse.setCookieUnsafe("a", "1", { path: "/" }),
    HttpServerResponse.setCookieUnsafe("b", "2", { httpOnly: true })
  )

const form = new FormData()
form.set("name", "ada")

type Answering<R> = Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, R>

/** What is answered at each path. */
const answers: Readonly<Record<string, (request: HttpServerRequest.HttpServerRequest) => Answering<unknown>>> = {
  "/text": () => Effect.succeed(HttpServerResponse.text("é", { headers: { "x-one": "1" } })),
  "/long": () => Effect.succeed(HttpServerResponse.uint8Array(new Uint8Array(3_000_000))),
  "/json": () => HttpServerResponse.json({ well: true }, { status: 201 }),
  "/empty": () => Effect.succeed(HttpServerResponse.empty()),
  "/gone": () => Effect.succeed(HttpServerResponse.empty({ status: 204, headers: { "content-length": "5" } })),
  "/small": (req) =>
    Effect.map(req.text, (text) => HttpServerResponse.text(text)).pipe(
      Effect.provideService(HttpServerRequest.MaxBodySize, ByteSize.bytes(10))
    ),
  "/unchanged": () => Effect.succeed(HttpServerResponse.text("not sent", { status: 304 })),
  "/redirect": () => Effect.succeed(HttpServerResponse.redirect("/text")),
  "/cookies": () => Effect.succeed(cookies(HttpServerResponse.text("c", { headers: { "set-cookie": "c=3" } }))),
  "/stream": () => Effect.succeed(HttpServerResponse.stream(Stream.make(utf8("one "), utf8("two")))),
  "/raw": () => Effect.succeed(HttpServerResponse.raw(Readable.from([Buffer.from("raw "), Buffer.from("bytes")]))),
  "/file": () => HttpServerResponse.file(new URL(import.meta.url).pathname),
  "/form": () => Effect.succeed(HttpServerResponse.formData(form)),
  "/failing": () => Effect.fail("no"),
  "/dying": () => Effect.die(new Error("a mistake")),
  "/forbidden": () => Effect.fail(HttpServerResponse.text("no", { status: 403 })),
  "/early": () => Effect.succeed(HttpServerResponse.empty({ status: 103 })),
  "/header": () => Effect.succeed(HttpServerResponse.text("x", { headers: { "x-bad": "a\r\nb: c" } })),
  "/echo": (req) => Effect.map(req.text, (text) => HttpServerResponse.text(`${req.method} ${text}`)),
  "/parsed": (req) => Effect.flatMap(req.json, (json) => HttpServerResponse.json(json)),
  "/fields": (req) => Effect.map(req.urlParamsBody, ({ params }) => HttpServerResponse.text(JSON.stringify(params))),
  "/ignored": () => Effect.succeed(HttpServerResponse.text("not read")),
  "/about": (req) =>
    HttpServerResponse.json({
      url: req.url,
      original: req.originalUrl.replace(/:\d+/, ""),
      method: req.method,
      cookies: req.cookies,
      host: req.headers["host"]?.replace(/:\d+/, ""),
      upper: req.headers["x-upper"],
      address: req.remoteAddress,
      modified: req.modify({ url: "/else" }).modify({ protocol: "https" }).url
    }),
  "/parts": (req) =>
    Effect.map(req.multipart, (parts) => HttpServerResponse.text(JSON.stringify(Object.keys(parts)))).pipe(
      Effect.scoped
    )
}

const routes = HttpRouter.addAll(
  Object.entries(answers).map(([path, answer]) =>
    HttpRouter.route("*", path as `/${string}`, Effect.flatMap(request, answer) as Answering<never>)
  )
)

const servers = {
  ours: EffectHttpServer.layer({ ...local, gracefulShutdownTimeout: 100 }),
  effects: NodeHttpServer.layer(http.createServer, local)
}

const portOf = (server: Layer.Layer<HttpServer.HttpServer, unknown>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      HttpRouter.serve(routes as Layer.Layer<never, never, HttpRouter.HttpRouter>, {
        disableLogger: true,
        disableListenLog: true
      }).pipe(Layer.provideMerge(server))
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    return "port" in address ? address.port : 0
  })

interface Answer {
  readonly status: number
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: string
}

const ask = (port: number, path: string, init?: RequestInit): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { redirect: "manual", ...init })
    const headers = [...response.headers].filter(([name]) => !["date", "etag", "last-modified"].includes(name))
    const body = (await response.text()).replaceAll(/formdata-undici-\d+/g, "boundary")
    return {
      status: response.status,
      headers: headers.map(([name, value]) => [name, value.replaceAll(/formdata-undici-\d+/g, "boundary")] as const),
      body
    }
  })

const upload = new FormData()
upload.set("file", new File(["content"], "a.txt"))

const questions: ReadonlyArray<readonly [string, RequestInit?]> = [
  ...Object.keys(answers)
    .filter((path) => !["/echo", "/parsed", "/fields", "/parts"].includes(path))
    .map((path) => [path] as const),
  ["/text", { method: "HEAD" }],
  ["/stream", { method: "HEAD" }],
  ["/raw", { method: "HEAD" }],
  ["/nowhere"],
  ["/echo", { method: "POST", body: "said" }],
  ["/echo", { method: "PUT", body: "" }],
  ["/parsed", { method: "POST", body: '{"a":[1]}' }],
  ["/small", { method: "POST", body: "eleven bytes" }],
  ["/small", { method: "POST", body: "fewer" }],
  ["/parsed", { method: "POST", body: "{" }],
  ["/fields", { method: "POST", body: new URLSearchParams({ a: "1", b: "ü" }) }],
  ["/parts", { method: "POST", body: upload }],
  ["/ignored", { method: "POST", body: "x".repeat(100_000) }],
  ["/about?a=1", { headers: { cookie: "x=1; y=2", "X-Upper": "Yes" } }]
]

describe("an answer", () => {
  it.live("is that of Effect's own server, whatever it is made of and whatever was asked", () =>
    Effect.gen(function* () {
      const ours = yield* portOf(servers.ours)
      const effects = yield* portOf(servers.effects)
      for (const [path, init] of questions) {
        const [mine, its] = [yield* ask(ours, path, init), yield* ask(effects, path, init)]
        assert.deepStrictEqual({ path, ...mine }, { path, ...its })
        if (path === "/file" || path === "/parts") assert.strictEqual(mine.status, 200)
      }
    })
  )

  it.live("whose head cannot be sent says what became of it, and nothing of the head", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(yield* portOf(servers.ours))
      peer.send("GET /header HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.strictEqual((yield* peer.head).start, "HTTP/1.1 500 Internal Server Error")
    })
  )

  it.live("to an absolute target has its host", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(yield* portOf(servers.ours))
      peer.send("GET http://example.com/about?b=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
      assert.strictEqual((yield* peer.head).status, 200)
      const { host, url } = JSON.parse(`${yield* peer.rest}`) as Record<string, string>
      assert.deepStrictEqual([host, url], ["example.com", "/about?b=2"])
    })
  )

  it.live("leaves the connection to the next request, though nobody has read what came with this one", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(yield* portOf(servers.ours))
      const body = "x".repeat(100_000)
      peer.send(`POST /ignored HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      assert.strictEqual((yield* peer.head).status, 200)
      assert.strictEqual(`${yield* peer.bytes(8)}`, "not read")
      peer.send("GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.strictEqual((yield* peer.head).status, 200)
    })
  )

  it.live("ends the connection of a client that sends on and on behind it", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(yield* portOf(servers.ours))
      peer.send("POST /ignored HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
      peer.send(new Uint8Array(1_000_000))
      assert.strictEqual((yield* peer.head).status, 200)
      assert.strictEqual(`${yield* peer.rest}`, "not read")
    })
  )
})

const serving = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      HttpServer.serve(Effect.succeed(HttpServerResponse.stream(stream))).pipe(Layer.provideMerge(servers.ours))
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    const peer = yield* RawPeer.connect("port" in address ? address.port : 0)
    peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return peer
  })

describe("a stream", () => {
  it.live("has its head sent before its first chunk is there, and is interrupted when the client goes", () =>
    Effect.gen(function* () {
      let ended = false
      const peer = yield* serving(
        Stream.ensuring(
          Stream.never,
          Effect.sync(() => (ended = true))
        )
      )
      assert.strictEqual((yield* peer.head).status, 200)
      assert.isFalse(ended)
      peer.socket.destroy()
      yield* eventually(() => ended)
    })
  )

  it.live("that fails cuts the connection", () =>
    Effect.gen(function* () {
      const peer = yield* serving(Stream.concat(Stream.make(utf8("half")), Stream.fail("no luck")))
      assert.strictEqual((yield* peer.head).status, 200)
      assert.notMatch(`${yield* peer.rest}`, /\r\n0\r\n/)
    })
  )

  it.live("goes on when a client has taken all of a chunk at once, however long it is", () =>
    Effect.gen(function* () {
      const chunk = new Uint8Array(65_536)
      // Each chunk comes when the client has read the one before.
      const source = Stream.mapEffect(Stream.range(1, 30), () => Effect.as(settled, chunk), { concurrency: 1 })
      const peer = yield* serving(source)
      let read = 0
      peer.socket.on("data", (bytes: Uint8Array) => (read += bytes.length))
      yield* eventually(() => read >= 30 * chunk.length)
    })
  )

  it.live("waits for a client that does not read", () =>
    Effect.gen(function* () {
      let pulled = 0
      const chunk = new Uint8Array(65_536)
      const source = Stream.map(Stream.rechunk(Stream.range(1, 4_000), 1), () => {
        pulled++
        return chunk
      })
      const peer = yield* serving(source)
      peer.socket.pause()
      let seen = -1
      while (seen < pulled) {
        seen = pulled
        for (let i = 0; i < 10; i++) yield* settled
      }
      assert.isAbove(pulled, 0)
      assert.isBelow(pulled, 1_000)
    })
  )
})
