/** One port for both: HTTP/1.1 and HTTP/2, by ALPN and by the first bytes. */
import * as http2 from "node:http2"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { selfSigned } from "../support/certificate.ts"
import { eventually } from "../support/eventually.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import * as RawPeer from "../support/RawPeer.ts"

const certificate = selfSigned("localhost")

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** An echo server that tells what carried each request. */
const serve = (
  options: Pick<NodeWebSocketServer.ServeOptions<string, never>, "http2" | "path" | "tls" | "socketPath">
) =>
  Effect.gen(function* () {
    const seen: Array<Pick<UpgradeRequest, "encrypted" | "httpVersion" | "remoteAddress">> = []
    const handshake = ({ encrypted, httpVersion, remoteAddress }: UpgradeRequest) =>
      Effect.sync(() => {
        seen.push({ encrypted, httpVersion, remoteAddress })
        return Endpoint.accept(httpVersion)
      })
    const server = yield* NodeWebSocketServer.serve({ ...options, handshake }, echo)
    return { ...server, seen }
  })

const echoes = (peer: RawPeer.RawPeer, text: string) =>
  Effect.gen(function* () {
    peer.sendFrame(1, text)
    expect(Buffer.from((yield* peer.frame).payload).toString()).toBe(text)
  })

/** Performs the closing handshake, and sees the end of the stream. */
const closes = (peer: RawPeer.RawPeer) =>
  Effect.gen(function* () {
    peer.sendFrame(8, Uint8Array.of(0x03, 0xe8))
    expect(yield* peer.closeCode).toBe(1000)
    peer.socket.end()
    expect((yield* peer.rest).length).toBe(0)
  })

describe("serve with http2", () => {
  it.live("and TLS speaks what ALPN says: HTTP/2, HTTP/1.1, or HTTP/1.1 to who says nothing", () =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: true, tls: certificate })
      expect(server.url).toBe(`wss://127.0.0.1:${server.port}`)
      const session = yield* Http2Client.connect(`https://localhost:${server.port}`, { ca: certificate.cert })
      const { peer } = yield* Http2Client.open(session)
      yield* echoes(peer, "over HTTP/2")
      yield* closes(peer)
      for (const ALPNProtocols of [["http/1.1"], undefined]) {
        const socket = tls.connect({ port: server.port, ca: certificate.cert, ...(ALPNProtocols && { ALPNProtocols }) })
        const older = yield* RawPeer.over(socket, "secureConnect")
        older.send(RawPeer.upgradeRequest())
        expect((yield* older.head).status).toBe(101)
        yield* echoes(older, "over HTTP/1.1")
        yield* closes(older)
      }
      expect(server.seen).toEqual(
        ["2", "1.1", "1.1"].map((httpVersion) => ({ httpVersion, encrypted: true, remoteAddress: "127.0.0.1" }))
      )
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live("in clear text tells the two by the first bytes, on one port", () =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: true })
      const session = yield* Http2Client.connect(server.url)
      const { header, peer } = yield* Http2Client.open(session)
      expect(header("date")).toBeDefined()
      yield* echoes(peer, "over HTTP/2")
      const older = yield* RawPeer.open(server.port)
      yield* echoes(older, "over HTTP/1.1")
      expect(server.connections()).toBe(2)
      yield* closes(peer)
      yield* closes(older)
      expect(server.seen.map(({ encrypted, httpVersion }) => [httpVersion, encrypted])).toEqual([
        ["2", false],
        ["1.1", false]
      ])
    })
  )

  it.live("on a unix socket", () =>
    Effect.gen(function* () {
      const socketPath = join(tmpdir(), `millrace-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
      const server = yield* serve({ http2: true, socketPath })
      const session = yield* Http2Client.connect("http://localhost", {
        createConnection: () => net.connect(socketPath)
      })
      const { peer } = yield* Http2Client.open(session)
      yield* echoes(peer, "over a file")
      const older = yield* RawPeer.over(net.connect(socketPath))
      older.send(RawPeer.upgradeRequest())
      expect((yield* older.head).status).toBe(101)
      expect(server.seen.map(({ remoteAddress }) => remoteAddress)).toEqual([undefined, undefined])
    })
  )

  it.live.each([
    ["with TLS", true],
    ["in clear text", false]
  ] as const)("%s tells who asks for no WebSocket where it is, in the words of either protocol", ([_how, secure]) =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: true, path: "/ws", ...(secure ? { tls: certificate } : {}) })
      const options = { ca: certificate.cert, servername: "localhost" }
      const session = yield* Http2Client.connect(server.url, options)
      const get = (target: string, method = "GET") =>
        Effect.gen(function* () {
          const fields = { ":method": method, ":protocol": undefined }
          const answer = yield* Http2Client.ask(session, target, fields, { endStream: true })
          return [answer.status, answer.header("allow"), (yield* answer.peer.rest).toString()]
        })
      expect(yield* get("/ws")).toEqual([405, "CONNECT", "this is a WebSocket endpoint\n"])
      expect(yield* get("/ws", "HEAD")).toEqual([405, "CONNECT", ""])
      expect(yield* get("/elsewhere")).toEqual([404, undefined, "not found\n"])
      expect((yield* Http2Client.ask(session, "/elsewhere")).status).toBe(404)
      expect((yield* Http2Client.ask(session, "/ws?query")).status).toBe(200)
      const older = yield* secure
        ? RawPeer.over(tls.connect({ port: server.port, ca: certificate.cert }), "secureConnect")
        : RawPeer.connect(server.port)
      older.send("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n")
      expect((yield* older.head).status).toBe(426)
    })
  )

  it.live("answers a request whose body does not end, and lets go of it", () =>
    Effect.gen(function* () {
      const server = yield* serve({ http2: true })
      const session = yield* Http2Client.connect(server.url)
      const fields = { ":method": "POST", ":protocol": undefined }
      const { peer, status, stream } = yield* Http2Client.ask(session, "/", fields)
      expect(status).toBe(405)
      yield* peer.rest
      yield* eventually(() => stream.closed)
      expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR)
    })
  )

  it.live("is not there unless it is asked for", () =>
    Effect.gen(function* () {
      const server = yield* serve({ tls: certificate })
      const socket = tls.connect({ port: server.port, ca: certificate.cert, ALPNProtocols: ["h2", "http/1.1"] })
      yield* RawPeer.over(socket, "secureConnect")
      expect(socket.alpnProtocol).toBe("http/1.1")
      const plain = yield* serve({})
      const peer = yield* RawPeer.connect(plain.port)
      peer.send(raw.preface)
      expect((yield* peer.head).status).toBe(400)
    })
  )
})
