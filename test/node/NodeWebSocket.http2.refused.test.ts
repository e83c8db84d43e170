/** Opening a WebSocket over HTTP/2 that is refused, or fails, and whose fault that is said to be. */
import * as http from "node:http"
import * as https from "node:https"
import * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"

import * as http2 from "../support/http2.ts"
import { certificate, brief, secure, failureOf, talks, against, accepted, noting } from "../support/http2Openings.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as RawPeer from "../support/RawPeer.ts"

describe("a refusal over HTTP/2", () => {
  it.live("has its status, its fields and its body", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(({ stream }) => {
        stream.respond({ ":status": 421, "retry-after": "7" })
        stream.end("not me, bitte schön")
      })
      const reason = yield* failureOf(`ws://localhost:${server.port}/`)
      if (reason._tag !== "Refused") throw reason
      expect([reason.status, reason.text, reason.truncated]).toEqual([421, "not me, bitte schön", false])
      expect(HttpHeaders.combined(reason.headers, "Retry-After")).toBe("7")
      expect(reason.headers.filter(([name]) => name.startsWith(":"))).toEqual([])
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live("may have no body", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(({ stream }) => stream.respond({ ":status": 403 }, { endStream: true }))
      const reason = yield* failureOf(`ws://localhost:${server.port}/`)
      expect(reason._tag === "Refused" && [reason.status, reason.text, reason.truncated]).toEqual([403, "", false])
    })
  )

  it.live("is kept up to 64 KiB, and the rest of it is not waited for", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve(({ stream }) => {
        stream.respond({ ":status": 403 })
        stream.write(Buffer.alloc(10_000_000, "x"))
      })
      const reason = yield* failureOf(`ws://localhost:${server.port}/`)
      expect(reason._tag === "Refused" && [reason.body.length, reason.truncated]).toEqual([65_536, true])
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live("without an end is told with what there is of it when the time is over, or the stream", () =>
    Effect.gen(function* () {
      for (const end of [
        () => [],
        (stream: number) => [http2.rstStream(stream, http2.code.cancel)],
        (stream: number) => [http2.rstStream(stream, http2.code.internalError)],
        () => [http2.goAway(0, http2.code.enhanceYourCalm)]
      ]) {
        const { far, reason, stream } = yield* against({ ...brief, handshakeTimeout: "200 millis" })
        far.send(http2.headers(stream, [[":status", "401"]]), http2.data(stream, "because"), ...end(stream))
        const refused = yield* reason
        if (refused._tag !== "Refused") throw refused
        expect([refused.status, refused.truncated]).toEqual([401, true])
        expect("because".startsWith(refused.text)).toBe(true)
      }
    })
  )

  it.live("is no answer of the class of 2xx: RFC 9110 section 9.3.6", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve((request) => http2.echo(request, { ":status": 201 }))
      const connection = yield* NodeWebSocket.open(`ws://localhost:${server.port}/`, brief)
      expect(connection.handshake.status).toBe(201)
      yield* talks(connection)
    })
  )
})

describe("a redirect over HTTP/2", () => {
  it.live("is a refusal, or followed when that is wanted, and as often", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve((request) => {
        if (request.header(":path") === "/b?c=d") http2.echo(request)
        else request.stream.respond({ ":status": 302, location: "../b?c=d#part" }, { endStream: true })
      })
      const url = `ws://localhost:${server.port}/x/a`
      const reason = yield* failureOf(url)
      expect(reason._tag === "Refused" && reason.status).toBe(302)
      const connection = yield* NodeWebSocket.open(url, { ...brief, maxRedirects: 1 })
      expect(connection.handshake.url).toBe(`ws://localhost:${server.port}/b?c=d`)
      yield* talks(connection)
      const loop = yield* http2.serve(({ stream }) =>
        stream.respond({ ":status": 307, location: "/" }, { endStream: true })
      )
      const looped = yield* failureOf(`ws://localhost:${loop.port}/`, { ...brief, maxRedirects: 3 })
      expect(looped._tag === "Refused" && looped.detail).toBe("too many redirects")
      expect(loop.asked.length).toBe(4)
      yield* eventually(() => loop.sessions.size === 0)
    })
  )

  it.live("may lead to a server of HTTP/1.1, which is told no secret", () =>
    Effect.gen(function* () {
      const target = https.createServer(certificate)
      const asked: Array<http.IncomingHttpHeaders> = []
      target.on("upgrade", (request, socket) => {
        asked.push(request.headers)
        socket.end("HTTP/1.1 404 Not Found\r\n\r\n")
      })
      const { port } = yield* NodeWebSocketServer.listen(target, {})
      const server = yield* http2.serve(
        ({ stream }) => stream.respond({ ":status": 307, location: `https://localhost:${port}/` }, { endStream: true }),
        { certificate }
      )
      const reason = yield* failureOf(`wss://localhost:${server.port}/`, {
        ...secure,
        headers: { Authorization: "Bearer x", "User-Agent": "kept" },
        maxRedirects: 1
      })
      expect(reason._tag === "Refused" && reason.status).toBe(404)
      expect(asked.map(({ authorization }) => authorization)).toEqual([undefined])
      expect(asked[0]?.["user-agent"]).toBe("kept")
      expect(server.asked[0]?.header("authorization")).toBe("Bearer x")
    })
  )
})

describe("the server's fault over HTTP/2", () => {
  it.live.each([
    ["a subprotocol nobody asked for", { "sec-websocket-protocol": "x" }, "Sec-WebSocket-Protocol", "RFC 6455 4.1"],
    [
      "an extension nobody asked for",
      { "sec-websocket-extensions": "permessage-deflate" },
      "Sec-WebSocket-Extensions",
      "RFC 6455 4.1"
    ]
  ] as const)("%s violates the handshake, and the stream is reset", ([_what, fields, field, clause]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve((request) => http2.echo(request, fields))
      const reason = yield* failureOf(`ws://localhost:${server.port}/`)
      expect(reason._tag === "HandshakeViolation" && [reason.field, reason.clause]).toEqual([field, clause])
      yield* eventually(() => server.sessions.size === 0)
    })
  )

  it.live.each([
    ["Connection: RFC 9113 section 8.2.2", [...accepted, ["connection", "upgrade"]]],
    ["Upgrade", [...accepted, ["upgrade", "websocket"]]],
    ["Transfer-Encoding", [...accepted, ["transfer-encoding", "chunked"]]],
    ["a name in upper case: section 8.2.1", [...accepted, ["X-A", "b"]]],
    ["no status: section 8.3.2", [["x-a", "b"]]],
    ["two", [...accepted, ...accepted]],
    ["one that is none", [[":status", "abc"]]],
    ["101: section 8.6", [[":status", "101"]]]
  ] as const)("an answer with %s is malformed", ([_what, fields]) =>
    Effect.gen(function* () {
      const { far, reason, stream } = yield* against()
      far.send(http2.headers(stream, fields))
      const violated = yield* reason
      expect(violated._tag === "MalformedHead" && violated.clause).toBe("RFC 9113 5.4")
      yield* far.peer.rest
    })
  )

  it.live.each([
    ["alone", []],
    ["and GOAWAY with each", [http2.goAway(1, http2.code.noError)]],
    ["and GOAWAY for an error with each", [http2.goAway(1, http2.code.enhanceYourCalm)]]
  ] as const)("a thousand malformed answers do not abort the process: %s", ([_what, more]) =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const answer = http2.headers(1, [...accepted, ["x-a", "b"], ["connection", "upgrade"]])
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.gen(function* () {
            const far = yield* http2.accept(server, http2.willing)
            yield* far.next(http2.type.headers)
            far.send(answer, ...more)
            far.peer.socket.end()
          })
        )
      )
      for (let i = 0; i < 1_000; i++) {
        expect((yield* failureOf(`ws://127.0.0.1:${server.port}/`))._tag).toMatch(/MalformedHead|TransportError/)
      }
    })
  )

  it.live("Sec-WebSocket-Accept is not processed: RFC 8441 section 5", () =>
    Effect.gen(function* () {
      const server = yield* http2.serve((request) => http2.echo(request, { "sec-websocket-accept": "nonsense" }))
      yield* talks(yield* NodeWebSocket.open(`ws://localhost:${server.port}/`, brief))
    })
  )

  it.live("what breaks the rules of HTTP/2 is malformed: a setting that is neither 0 nor 1, or one taken back", () =>
    Effect.gen(function* () {
      const { far, reason } = yield* against()
      far.send(http2.settings([http2.enableConnectProtocol, 0]))
      expect(yield* reason).toMatchObject({ _tag: "MalformedHead", detail: "the server broke a rule of HTTP/2" })
      const tlsServer = tls.createServer({ ...certificate, ALPNProtocols: ["h2"] }, (socket) => {
        socket.on("error", () => {})
        socket.end(http2.settings([http2.enableConnectProtocol, 2]))
      })
      const { port } = yield* NodeWebSocketServer.listen(tlsServer as https.Server, {})
      expect(yield* failureOf(`wss://localhost:${port}/`, secure)).toMatchObject({
        _tag: "MalformedHead",
        detail: "what the server sent is not HTTP/2"
      })
    })
  )

  it.live("interim answers are skipped", () =>
    Effect.gen(function* () {
      const { far, opened, stream } = yield* against()
      far.send(
        http2.headers(stream, [
          [":status", "103"],
          ["link", "x"]
        ]),
        http2.headers(stream, accepted)
      )
      expect((yield* opened).handshake.status).toBe(200)
    })
  )
})

describe("the network's fault over HTTP/2", () => {
  it.live.each([
    ["REFUSED_STREAM", (stream: number) => http2.rstStream(stream, http2.code.refusedStream), /REFUSED_STREAM/],
    ["CANCEL", (stream: number) => http2.rstStream(stream, http2.code.cancel), /has ended/],
    ["NO_ERROR", (stream: number) => http2.rstStream(stream, http2.code.noError), /has ended/],
    ["GOAWAY before the stream", () => http2.goAway(0, http2.code.noError), /REFUSED_STREAM/],
    ["GOAWAY for an error", (stream: number) => http2.goAway(stream, http2.code.enhanceYourCalm), /code 11/]
  ] as const)("%s in place of an answer", ([_how, frame, message]) =>
    Effect.gen(function* () {
      const { far, reason, stream } = yield* against()
      far.send(frame(stream))
      const failed = yield* reason
      expect(failed._tag).toBe("TransportError")
      expect(failed.message).toMatch(message)
    })
  )

  it.live.each([
    ["FIN", (peer: RawPeer.RawPeer): void => void peer.socket.end()],
    ["RST", (peer: RawPeer.RawPeer): void => peer.reset()]
  ] as const)("%s in place of settings or of an answer", ([_how, leave]) =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const opening = yield* start(failureOf(`ws://127.0.0.1:${server.port}/`, brief))
      const early = yield* http2.accept(server)
      leave(early.peer)
      expect((yield* Fiber.join(opening))._tag).toBe("TransportError")
      const { far, reason } = yield* against()
      leave(far.peer)
      expect((yield* reason)._tag).toBe("TransportError")
    })
  )

  it.live("nobody listens there, and a certificate that nobody vouches for", () =>
    Effect.gen(function* () {
      const port = nobodysPort
      const reason = yield* failureOf(`ws://localhost:${port}/`)
      expect(reason._tag).toBe("TransportError")
      expect(reason.message).toContain("ECONNREFUSED")
      const server = yield* http2.serve(http2.echo, { certificate })
      const unknown = yield* failureOf(`wss://localhost:${server.port}/`)
      expect(unknown.message).toContain("self-signed")
      const misnamed = yield* failureOf(`wss://localhost:${server.port}/`, {
        ...brief,
        tls: { ca: certificate.cert, servername: "elsewhere" }
      })
      expect(misnamed.message).toContain("does not match")
      expect(server.asked).toEqual([])
    })
  )

  it.live("a server that is mute, at any stage, is waited for as long as handshakeTimeout, and left with nothing", () =>
    Effect.gen(function* () {
      const options = { http2: true, handshakeTimeout: "50 millis" } as const
      const server = yield* RawPeer.listen
      const sockets = yield* noting
      for (const [url, first] of [
        ["ws:", undefined],
        ["ws:", http2.willing],
        ["wss:", undefined]
      ] as const) {
        const opening = yield* start(failureOf(`${url}//127.0.0.1:${server.port}/`, options))
        const peer = yield* server.accept
        if (first !== undefined) peer.send(first)
        const reason = yield* Fiber.join(opening)
        expect([reason._tag, reason.message]).toEqual(["HandshakeTimeout", "the connection was not open after 50 ms"])
        yield* peer.rest
        // Though the server has not ended.
        yield* eventually(() => sockets.every(({ destroyed }) => destroyed), 2_000)
        peer.socket.end()
      }
      yield* eventually(() => server.size() === 0)
    })
  )
})

describe("the caller's fault over HTTP/2", () => {
  it.live.each([
    ["a field of the handshake", { headers: { "Sec-WebSocket-Version": "8" } }, "InvalidHead"],
    ["a pseudo-header field", { headers: { ":path": "/b" } }, "InvalidHead"],
    ["a field that means a connection", { headers: { "Keep-Alive": "5" } }, "InvalidHead"],
    ["a field that would be two", { headers: { a: "b\r\nc: d" } }, "InvalidHead"],
    [
      "a field that can be there once, twice",
      {
        headers: [
          ["etag", "a"],
          ["etag", "b"]
        ]
      },
      "InvalidOptions"
    ]
  ] as const)("%s is not sent", ([_what, options, tag]) =>
    Effect.gen(function* () {
      const server = yield* http2.serve(http2.echo)
      expect((yield* failureOf(`ws://127.0.0.1:${server.port}/`, { ...brief, ...options }))._tag).toBe(tag)
      yield* eventually(() => server.sessions.size === 0)
      expect(server.asked).toEqual([])
      // What can be seen without a server, is.
      if (tag === "InvalidHead") expect(server.connections()).toBe(0)
    })
  )

  it.live("an agent, which makes connections of HTTP/1.1, and a key that is none", () =>
    Effect.gen(function* () {
      const agent = new http.Agent()
      expect((yield* failureOf("ws://127.0.0.1:9/", { http2: true, agent }))._tag).toBe("InvalidOptions")
      const reason = yield* failureOf("wss://127.0.0.1:9/", { http2: true, tls: { cert: "not a certificate" } })
      expect(reason._tag).toBe("InvalidOptions")
    })
  )
})

describe("an interruption", () => {
  it.live("at any stage of a handshake over HTTP/2 leaves nothing behind", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* RawPeer.listen
        const mute = yield* http2.serve(({ stream }) => void stream.on("end", () => stream.end()), { certificate })
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        for (const answer of [
          undefined,
          [],
          [http2.headers(1, [[":status", "103"]])],
          [http2.headers(1, [[":status", "403"]]), http2.data(1, "no")]
        ]) {
          const opening = yield* start(Effect.scoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, brief)))
          const far = yield* http2.accept(server, answer === undefined ? undefined : http2.willing)
          if (answer !== undefined) {
            yield* far.next(http2.type.headers)
            far.send(...answer)
          }
          yield* settled
          yield* Fiber.interrupt(opening)
          yield* far.peer.rest
          far.peer.socket.end()
        }
        // At whatever point of DNS, TCP, TLS, the settings and the answer that many turns of the event loop are.
        for (let turns = 0; turns < 60; turns++) {
          const opening = yield* start(Effect.scoped(NodeWebSocket.open(`wss://localhost:${mute.port}/`, secure)))
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
          yield* Fiber.interrupt(opening)
        }
        yield* eventually(() => server.size() === 0 && mute.sessions.size === 0)
        expect(alive.fibers).toBe(before.fibers)
        yield* backTo(before.resources)
      })
    )
  )
})
