/** A WebSocket on a connection of HTTP/2 of its own: what is asked, what is answered, and the other way there. */
import * as http from "node:http"
import * as https from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../support/certificate.ts"
import { plain, start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as http2 from "../support/http2.ts"
import {
  certificate,
  brief,
  secure,
  failureOf,
  talks,
  against,
  accepted,
  noting,
  endOf
} from "../support/http2Openings.ts"
import { backTo, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

describe("a request over HTTP/2", () => {
  it.live("says what RFC 8441 section 5 asks a client to say, what it was told to say, and nothing of HTTP/1.1", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(http2.echo)
      const headers = [
        ["Cookie", "a=1"],
        ["X-Twice", "one"],
        ["X-Twice", "two"],
        ["__proto__", "x"]
      ] as const
      yield* NodeWebSocket.open(`http://127.0.0.1:${server.port}/chat?room=%C3%BC`, {
        http2: true,
        headers,
        origin: "https://example.com",
        subprotocols: ["chat", "superchat"]
      })
      expect(server.asked.map((request) => request.headers)).toEqual([
        [
          [":method", "CONNECT"],
          [":protocol", "websocket"],
          [":scheme", "http"],
          [":path", "/chat?room=%C3%BC"],
          [":authority", `127.0.0.1:${server.port}`],
          ["sec-websocket-version", "13"],
          ["sec-websocket-protocol", "chat, superchat"],
          ["origin", "https://example.com"],
          ["cookie", "a=1"],
          ["x-twice", "one"],
          ["x-twice", "two"],
          ["__proto__", "x"]
        ]
      ])
    })
  )

  it.live("waits for the server's settings, and does not end its side of the stream", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      yield* start(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, brief))
      const far = yield* http2.accept(server)
      // No push, a window of 256 KiB for a stream, 16 KiB of fields; and 1 MiB for the connection.
      expect((yield* far.frame).payload.toString("hex")).toBe("000200000000000400040000000600004000")
      const window = yield* far.frame
      expect([window.kind, window.stream, window.payload.readUInt32BE(0)]).toEqual([8, 0, 1_048_576 - 65_535])
      yield* settled
      far.send(http2.settings([http2.enableConnectProtocol, 1]))
      // First the acknowledgement: no request has been on its way.
      expect((yield* far.frame).kind).toBe(http2.type.settings)
      const request = yield* far.frame
      expect([request.kind, request.flags]).toEqual([http2.type.headers, http2.endHeaders])
    })
  )
})

describe("a WebSocket over HTTP/2", () => {
  it.live.each([
    ["ws:", false],
    ["wss:", true]
  ] as const)("of %s talks, and knows its answer, its subprotocol, where it is and over what", ([scheme, encrypted]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve(
        (request) => http2.echo(request, { "sec-websocket-protocol": "superchat", "set-cookie": ["a=1", "b=2"] }),
        encrypted ? { certificate } : {}
      )
      const url = `${scheme}//localhost:${server.port}/a?b`
      const connection = yield* NodeWebSocket.open(url, {
        ...(encrypted ? secure : brief),
        subprotocols: ["chat", "superchat"]
      })
      const { headers, httpVersion, status } = connection.handshake
      expect([connection.subprotocol, httpVersion, status, connection.handshake.url]).toEqual([
        "superchat",
        "2",
        200,
        url
      ])
      expect(HttpHeaders.values(headers, "set-cookie")).toEqual(["a=1", "b=2"])
      expect(headers.filter(([name]) => name.startsWith(":"))).toEqual([])
      expect(server.asked[0]!.header(":scheme")).toBe(encrypted ? "https" : "http")
      yield* talks(connection)
    })
  )

  it.live("asks for the certificate of the host that it was told, by its name and by its address", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const SNICallback = (name: string, callback: (error: Error | null) => void) => {
        names.push(name)
        callback(null)
      }
      const server = yield* http2.serve(http2.echo, { certificate, tls: { SNICallback } })
      yield* NodeWebSocket.open(`wss://localhost:${server.port}/`, secure)
      yield* NodeWebSocket.open(`wss://127.0.0.1:${server.port}/`, secure)
      expect(names).toEqual(["localhost"])
      // On a unix socket it is the URL that says whose it has to be.
      const socketPath = join(tmpdir(), `millrace-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
      const elsewhere = selfSigned("elsewhere")
      yield* http2.serve(http2.echo, { certificate: elsewhere, socketPath })
      const options = { ...brief, socketPath, tls: { ca: elsewhere.cert } }
      for (const host of ["elsewhere", "127.0.0.1"]) yield* NodeWebSocket.open(`wss://${host}/`, options)
      expect((yield* failureOf("wss://localhost/", options)).message).toContain("does not match")
    })
  )

  it.live("on a unix socket talks too, with and without TLS", () =>
    Effect.gen(function* () {
      for (const encrypted of [false, true]) {
        const socketPath = join(tmpdir(), `millrace-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
        const server = yield* http2.serve(http2.echo, encrypted ? { certificate, socketPath } : { socketPath })
        const scheme = encrypted ? "wss" : "ws"
        for (const [url, authority, options] of [
          [`${scheme}+unix:${socketPath}:/a`, "localhost", {}],
          [`${scheme}://localhost:81/a`, "localhost:81", { socketPath }]
        ] as const) {
          yield* talks(yield* NodeWebSocket.open(url, { ...secure, ...options }))
          expect(server.asked.at(-1)?.header(":authority")).toBe(authority)
        }
      }
    })
  )

  it.live("closes with 1000 and END_STREAM, and its socket has closed when its scope has", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(http2.echo, { certificate })
      const before = resources()
      const sockets = yield* noting
      yield* Effect.scoped(NodeWebSocket.open(`wss://localhost:${server.port}/`, { ...secure, limits: undefined }))
      expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true])
      yield* eventually(() => server.sessions.size === 0)
      expect(server.asked.map(({ stream }) => [stream.rstCode, stream.readableEnded])).toEqual([[0, true]])
      yield* backTo(before, 2_000)
    })
  )

  it.live("that its server ends takes its session along, though the scope goes on", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(({ stream }) => {
        stream.respond({ ":status": 200 })
        stream.end(encode(frame(8, Uint8Array.of(3, 232))))
      })
      const connection = yield* NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, brief)
      expect(yield* endOf(connection)).toBe("Done")
      yield* connection.closed
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live("keeps the frames that came in one segment with the answer", () =>
    Effect.gen(function* () {
      const { far, opened, stream } = yield* against()
      const early = encode(frame(1, Buffer.from("early")))
      far.send(http2.headers(stream, accepted), http2.data(stream, early), http2.data(stream, early.subarray(0, 3)))
      expect(plain(yield* (yield* opened).pull)).toEqual(["early"])
    })
  )

  it.live("does not mind a reset with CANCEL behind both Close frames, as browsers send it", () =>
    Effect.gen(function* () {
      const { far, opened, stream } = yield* against()
      far.send(http2.headers(stream, accepted))
      const connection = yield* opened
      const close = encode(frame(8, Uint8Array.of(3, 232)))
      far.send(http2.data(stream, close))
      const ending = yield* start(endOf(connection))
      yield* far.next(http2.type.data)
      far.send(http2.rstStream(stream, http2.code.cancel))
      expect(yield* Fiber.join(ending)).toBe("Done")
      expect((yield* connection.closed).received?.code).toBe(1000)
    })
  )

  it.live.each([
    ["END_STREAM with the answer", [], "ConnectionLost"],
    ["END_STREAM", (stream: number) => [http2.data(stream, "", true)], "ConnectionLost"],
    ["trailers", (stream: number) => [http2.headers(stream, [["a", "b"]], true)], "ConnectionLost"],
    ["CANCEL", (stream: number) => [http2.rstStream(stream, http2.code.cancel)], "ConnectionLost"],
    ["INTERNAL_ERROR", (stream: number) => [http2.rstStream(stream, http2.code.internalError)], "TransportError"],
    ["GOAWAY", (stream: number) => [http2.goAway(stream, http2.code.enhanceYourCalm)], "TransportError"],
    [
      "the setting taken back: RFC 8441 section 3",
      () => [http2.settings([http2.enableConnectProtocol, 0])],
      "TransportError"
    ]
  ] as const)("ended by %s is lost, behind what came before", ([_how, frames, tag]) =>
    Effect.gen(function* () {
      const { far, opened, server, stream } = yield* against()
      const ends = typeof frames !== "function"
      const message = http2.data(stream, encode(frame(1, Buffer.from("before"))))
      far.send(http2.headers(stream, accepted, ends), ...(ends ? [] : [message]))
      const connection = yield* opened
      if (!ends) {
        expect(plain(yield* connection.pull)).toEqual(["before"])
        far.send(...frames(stream))
      }
      expect(yield* endOf(connection)).toBe(tag)
      yield* far.peer.rest
      far.peer.socket.end()
      yield* eventually(() => server.size() === 0)
    })
  )

  it.live("is cut with CANCEL when its peer does not answer a Close", () =>
    Effect.gen(function* () {
      const { far, opened, stream } = yield* against()
      far.send(http2.headers(stream, accepted))
      yield* Effect.ignore((yield* opened).close())
      const reset = yield* far.next(http2.type.rstStream)
      expect([reset.stream, reset.payload.readUInt32BE(0)]).toEqual([stream, http2.code.cancel])
    })
  )
})

/** Refuses what is asked over HTTP/1.1, and says what that was. */
const upgrading = (server: http2.Server) => {
  const asked: Array<string> = []
  const wss = server.server as unknown as http.Server
  wss.on("upgrade", (request, socket) => {
    asked.push(`${request.httpVersion} ${request.url}`)
    socket.end("HTTP/1.1 418 I'm a teapot\r\n\r\n")
  })
  return asked
}

describe("a server without WebSockets over HTTP/2", () => {
  it.live.each([
    ["chose HTTP/1.1", { ALPNProtocols: ["http/1.1"] }],
    ["knows no ALPN", { ALPNProtocols: undefined }]
  ] as const)("that %s is asked over HTTP/1.1, on the same connection", ([_why, options]) =>
    Effect.gen(function* () {
      const server = https.createServer({ ...certificate, ...(options as tls.TlsOptions) })
      let connections = 0
      server.on("secureConnection", () => connections++)
      const { port } = yield* NodeWebSocketServer.listen(server, {})
      const route = NodeWebSocketServer.route({ path: "/a", subprotocols: ["chat"] }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      yield* NodeWebSocketServer.attach(server, [route])
      const connection = yield* NodeWebSocket.open(`wss://localhost:${port}/a`, { ...secure, subprotocols: ["chat"] })
      expect([connection.handshake.httpVersion, connection.handshake.status]).toEqual(["1.1", 101])
      expect(connection.subprotocol).toBe("chat")
      yield* talks(connection)
      expect(connections).toBe(1)
      const reason = yield* failureOf(`wss://localhost:${port}/b`, secure)
      expect([reason._tag, "status" in reason && reason.status]).toEqual(["Refused", 404])
    })
  )

  it.live.each([
    ["does not send the setting", { enableConnectProtocol: undefined }, http2.echo],
    ["has it at 0", { enableConnectProtocol: false }, http2.echo],
    ["resets with HTTP_1_1_REQUIRED", {}, ({ stream }: http2.Request) => stream.close(http2.code.http11Required)],
    [
      "goes away with HTTP_1_1_REQUIRED",
      {},
      ({ stream }: http2.Request) => stream.session!.goaway(http2.code.http11Required)
    ]
  ] as const)("that %s is asked over HTTP/1.1, on another connection", ([_why, settings, onRequest]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve(onRequest, { certificate, settings: settings as object })
      const asked = upgrading(server)
      const reason = yield* failureOf(`wss://localhost:${server.port}/a?b`, secure)
      expect(reason._tag === "Refused" && reason.status).toBe(418)
      expect(asked).toEqual(["1.1 /a?b"])
      expect(server.connections()).toBe(2)
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live.each([
    ["does not send the setting", { enableConnectProtocol: undefined }, http2.echo, "RFC 8441 3"],
    ["has it at 0", { enableConnectProtocol: false }, http2.echo, "RFC 8441 3"],
    ["wants HTTP/1.1", {}, ({ stream }: http2.Request) => stream.close(http2.code.http11Required), "RFC 9113 7"]
  ] as const)("that %s is nobody's fault without TLS, and is not asked again", ([_why, settings, onRequest, clause]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve(onRequest, { settings: settings as object })
      const reason = yield* failureOf(`ws://localhost:${server.port}/`)
      expect(reason._tag === "Http2Unavailable" && reason.clause).toBe(clause)
      yield* eventually(() => server.sessions.size === 0)
      expect(server.connections()).toBe(1)
    })
  )

  it.live("because it has no HTTP/2, is told without TLS by what it sends", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, () => Effect.never)
      const reason = yield* failureOf(server.url)
      expect([reason._tag, reason.message]).toEqual([
        "Http2Unavailable",
        "there is no WebSocket over HTTP/2 here: the server speaks no HTTP/2 without TLS (RFC 9113 3.3)"
      ])
    })
  )

  it.live("that sends the setting later is not waited for", () =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const opening = yield* start(failureOf(`ws://127.0.0.1:${server.port}/`))
      const far = yield* http2.accept(
        server,
        Buffer.concat([http2.settings(), http2.settings([http2.enableConnectProtocol, 1])])
      )
      const reason = yield* Fiber.join(opening)
      expect(reason._tag === "Http2Unavailable" && reason.clause).toBe("RFC 8441 3")
      // Told so in good order, and not only cut.
      yield* far.next(http2.type.goAway)
    })
  )
})
