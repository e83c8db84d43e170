/** Endpoints on servers of HTTP/2 that somebody else has made, and what else lives on them. */
import * as http2 from "node:http2"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../support/certificate.ts"
import { eventually, settled } from "../support/eventually.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import * as RawPeer from "../support/RawPeer.ts"
import * as tls from "node:tls"

const { route } = NodeWebSocketServer

const certificate = selfSigned("localhost")

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

const say = (text: string) => (connection: WebSocket.WebSocket<unknown>) =>
  Effect.andThen(connection.send(text), Effect.never)

/** For peers that will not answer a Close. */
const brief = { limits: { closeTimeout: "50 millis" } } as const

const textOf = (frame: { readonly payload: Uint8Array }) => Buffer.from(frame.payload).toString()

/** A plain request. */
const get = (session: http2.ClientHttp2Session, target: string, method = "GET") =>
  Effect.gen(function* () {
    const fields = { ":method": method, ":protocol": undefined }
    const answer = yield* Http2Client.ask(session, target, fields, { endStream: true })
    return [answer.status, answer.header("x-route"), (yield* answer.peer.rest).toString()]
  })

/** An application written for requests and responses. It takes a turn, as to ask a database. */
const onRequest = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
  response.setHeader("X-Route", "plain")
  setImmediate(() => response.end(`${request.method} ${request.url}`))
}

/** An application written for streams, which leaves CONNECT alone. */
const onStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
  if (headers[":method"] === "CONNECT") return
  setImmediate(() => {
    stream.respond({ ":status": 200, "x-route": "plain" })
    stream.end(`${headers[":method"]} ${headers[":path"]}`)
  })
}

const listening = (server: http2.Http2Server | http2.Http2SecureServer) =>
  Effect.map(NodeWebSocketServer.listen(server, {}), ({ port, url }) => ({ port, server, url }))

const applications = [
  ["requests", () => http2.createServer(onRequest)],
  ["streams", () => http2.createServer().on("stream", onStream)]
] as const

describe.each(applications)("attach to a server of HTTP/2 that is written for %s", (_kind, create) => {
  it.live("serves WebSockets, and leaves the other routes as they are, also afterwards", () =>
    Effect.gen(function* () {
      const { server, url } = yield* listening(create())
      const before = server.eventNames().map((name) => [name, server.listenerCount(name)])
      const scope = yield* Scope.make()
      const attached = yield* NodeWebSocketServer.attach(server, [route({ path: "/ws", ...brief }, echo)]).pipe(
        Scope.provide(scope)
      )
      const session = yield* Http2Client.connect(url)
      expect(session.remoteSettings.enableConnectProtocol).toBe(true)
      const { peer } = yield* Http2Client.open(session, "/ws?x")
      expect(yield* get(session, "/ws?x")).toEqual([200, "plain", "GET /ws?x"])
      peer.sendFrame(1, "still here")
      expect(textOf(yield* peer.frame)).toBe("still here")
      expect(attached.connections()).toBe(1)
      yield* Scope.close(scope, Exit.void)
      expect(yield* peer.closeCode).toBe(1001)
      expect(attached.connections()).toBe(0)
      expect(yield* get(session, "/ws?x")).toEqual([200, "plain", "GET /ws?x"])
      expect(server.eventNames().map((name) => [name, server.listenerCount(name)])).toEqual(before)
    })
  )

  it.live("takes several endpoints, several times, each with its own life", () =>
    Effect.gen(function* () {
      const { server, url } = yield* listening(create())
      const first = yield* NodeWebSocketServer.attach(server, [
        route({ path: "/a" }, say("a")),
        route({ path: "/b" }, say("b"))
      ])
      const scope = yield* Scope.make()
      const second = yield* NodeWebSocketServer.attach(server, [route({ path: "/c", ...brief }, say("c"))]).pipe(
        Scope.provide(scope)
      )
      const session = yield* Http2Client.connect(url)
      const peers = yield* Effect.forEach(["/a", "/b", "/c"], (path) =>
        Effect.map(Http2Client.open(session, path), ({ peer }) => peer)
      )
      for (const [i, text] of ["a", "b", "c"].entries()) expect(textOf(yield* peers[i]!.frame)).toBe(text)
      expect([first.connections(), second.connections()]).toEqual([2, 1])
      yield* Scope.close(scope, Exit.void)
      expect(yield* peers[2]!.closeCode).toBe(1001)
      expect([first.connections(), second.connections()]).toEqual([2, 0])
      expect((yield* Http2Client.ask(session, "/a?query")).status).toBe(200)
    })
  )

  it.live("sends away with 503 whoever comes to an endpoint that ends", () =>
    Effect.gen(function* () {
      const { server, url } = yield* listening(create())
      const scope = yield* Scope.make()
      const limits = { closeTimeout: "300 millis" } as const
      yield* NodeWebSocketServer.attach(server, [route({ path: "/ws", limits }, () => Effect.never)]).pipe(
        Scope.provide(scope)
      )
      const session = yield* Http2Client.connect(url)
      const mute = yield* Http2Client.open(session, "/ws")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      expect(yield* mute.peer.closeCode).toBe(1001)
      const late = yield* Http2Client.ask(session, "/ws")
      expect([late.status, late.header("retry-after")]).toEqual([503, "1"])
      expect(closing.pollUnsafe()).toBeUndefined()
    })
  )
})

describe("a CONNECT that no endpoint wants", () => {
  it.live.each([
    ["a WebSocket elsewhere", 404, { ":path": "/other" }],
    ["another protocol", 501, { ":protocol": "connect-udp" }],
    [
      "no protocol, as from a client of a proxy",
      405,
      { ":protocol": undefined, ":path": undefined, ":scheme": undefined }
    ]
  ] as const)("%s: %i, and its stream ends", ([_what, status, fields]) =>
    Effect.gen(function* () {
      const { server, url } = yield* listening(http2.createServer(onRequest))
      yield* NodeWebSocketServer.attach(server, [route({ path: "/ws" }, echo)])
      const session = yield* Http2Client.connect(url)
      const answer = yield* Http2Client.ask(session, "/ws", { ":authority": "localhost:80", ...fields })
      expect(answer.status).toBe(status)
      if (status === 405) expect(answer.header("allow")).toBeDefined()
      yield* answer.peer.rest
      yield* eventually(() => answer.stream.closed)
      expect(yield* get(session, "/")).toEqual([200, "plain", "GET /"])
    })
  )

  it.live.each(["connect", "stream"])("is left to whoever else listens for one: %s", (event) =>
    Effect.gen(function* () {
      const { server, url } = yield* listening(http2.createServer(onRequest))
      yield* NodeWebSocketServer.attach(server, [route({ path: "/ws" }, say("ours"))])
      server.on(
        event,
        (asked: http2.Http2ServerRequest | http2.ServerHttp2Stream, fields?: http2.IncomingHttpHeaders) => {
          const [stream, headers] = "stream" in asked ? [asked.stream, asked.headers] : [asked, fields!]
          if (headers[":path"] !== "/theirs" && headers[":protocol"] !== "connect-udp") return
          // Not at once: they may have to ask first.
          setImmediate(() => {
            stream.respond({ ":status": 200 })
            stream.end("theirs")
          })
        }
      )
      const session = yield* Http2Client.connect(url)
      for (const [path, protocol] of [
        ["/theirs", "websocket"],
        ["/ws", "connect-udp"]
      ] as const) {
        const theirs = yield* Http2Client.open(session, path, { ":protocol": protocol })
        expect((yield* theirs.peer.rest).toString()).toBe("theirs")
      }
      const ours = yield* Http2Client.open(session, "/ws")
      expect(textOf(yield* ours.peer.frame)).toBe("ours")
    })
  )

  it.live("is left to an application that answers every stream, as is one that an endpoint would want", () =>
    Effect.gen(function* () {
      const server = http2.createServer()
      const { url } = yield* listening(server)
      const attached = yield* NodeWebSocketServer.attach(server, [route({ path: "/ws" }, echo)])
      // Behind our listener, and yet it is first: what it does must not end the process.
      server.on("stream", (stream) => {
        stream.respond({ ":status": 418 })
        stream.end()
      })
      const session = yield* Http2Client.connect(url)
      expect((yield* Http2Client.ask(session, "/ws")).status).toBe(418)
      expect(attached.connections()).toBe(0)
    })
  )

  it.live.each(applications)("and is reset by its client with an error harms nobody: %s", ([_kind, create]) =>
    Effect.gen(function* () {
      const { port, server } = yield* listening(create())
      yield* NodeWebSocketServer.attach(server, [route({ path: "/ws" }, echo)])
      const client = yield* Http2Client.connectRaw(port)
      for (let id = 1; id < 20; id += 2) {
        const path = id % 4 === 1 ? "/ws" : "/other"
        const fields = Http2Client.rawFields.map(([name, value]) => [name, name === ":path" ? path : value] as const)
        client.send(raw.headers(id, fields), raw.rstStream(id, raw.code.internalError))
      }
      yield* settled
      const fields = Http2Client.rawFields.map(([name, value]) => [name, name === ":path" ? "/ws" : value] as const)
      client.send(raw.headers(21, fields))
      yield* client.next(raw.type.headers)
    })
  )
})

describe("attach to a server with allowHTTP1", () => {
  it.live("serves a path over either protocol, and either protocol's plain requests go where they went", () =>
    Effect.gen(function* () {
      const server = http2.createSecureServer({ ...certificate, allowHTTP1: true }, onRequest)
      const { port, url } = yield* listening(server)
      expect(url).toBe(`wss://127.0.0.1:${port}`)
      const attached = yield* NodeWebSocketServer.attach(server, [route({ path: "/ws" }, echo)])
      const session = yield* Http2Client.connect(`https://localhost:${port}`, { ca: certificate.cert })
      const newer = yield* Http2Client.open(session, "/ws")
      const older = yield* RawPeer.over(tls.connect({ port, ca: certificate.cert }), "secureConnect")
      older.send(RawPeer.upgradeRequest("/ws"))
      expect((yield* older.head).status).toBe(101)
      expect(attached.connections()).toBe(2)
      for (const peer of [newer.peer, older]) {
        peer.sendFrame(1, "hello")
        expect(textOf(yield* peer.frame)).toBe("hello")
      }
      expect(yield* get(session, "/page")).toEqual([200, "plain", "GET /page"])
      const plain = yield* RawPeer.over(tls.connect({ port, ca: certificate.cert }), "secureConnect")
      plain.send("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
      const head = yield* plain.head
      expect([head.status, head.header("X-Route")]).toEqual([200, "plain"])
      const refused = yield* RawPeer.over(tls.connect({ port, ca: certificate.cert }), "secureConnect")
      refused.send(RawPeer.upgradeRequest("/other"))
      expect((yield* refused.head).status).toBe(404)
    })
  )
})

describe("a session that was there before there were endpoints", () => {
  it.live("has not been told of them, and a WebSocket on it is an error of the client alone", () =>
    Effect.gen(function* () {
      const { port, server } = yield* listening(http2.createServer(onRequest))
      const early = yield* Http2Client.connectRaw(port)
      yield* NodeWebSocketServer.attach(server, [route({ path: "*" }, echo)])
      early.send(raw.headers(1, Http2Client.rawFields))
      const reset = yield* early.next(raw.type.rstStream)
      expect(reset.payload.readUInt32BE(0)).toBe(raw.code.protocolError)
      const late = yield* Http2Client.connectRaw(port)
      late.send(raw.headers(1, Http2Client.rawFields))
      yield* late.next(raw.type.headers)
    })
  )
})
