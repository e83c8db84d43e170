/** The ways to a server: TLS, with a certificate of the client's own too, unix sockets, and a proxy. */
import * as http from "node:http"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import type { UpgradeRequest } from "@millrace/node/Upgrade"
import { selfSigned } from "../support/certificate.ts"
import { plain } from "../support/connection.ts"
import { counting } from "../support/frames.ts"
import { eventually } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** Says something, and hears it. */
const talks = (connection: WebSocket.WebSocket<unknown>) =>
  Effect.gen(function* () {
    const big = counting(300_000)
    yield* connection.sendAll(["hello", big])
    const [text, bytes] = plain(yield* Stream.runCollect(Stream.take(connection.messages, 2)))
    expect(text).toBe("hello")
    expect(Buffer.from(bytes as Uint8Array).equals(big)).toBe(true)
  })

const failureOf = (url: string, options?: NodeWebSocket.Options) =>
  NodeWebSocket.open(url, options).pipe(
    Effect.scoped,
    Effect.flip,
    Effect.map(({ reason }) => reason)
  )

const codeOf = (reason: unknown): unknown => (reason as { readonly cause?: { readonly code?: unknown } }).cause?.code

const certificate = selfSigned("localhost")

const secure = NodeWebSocketServer.serve({ tls: certificate }, echo)

describe("TLS", () => {
  it.live("works with a certificate that is trusted", () =>
    Effect.gen(function* () {
      const server = yield* secure
      expect(server.url).toMatch(/^wss:/)
      for (const url of [server.url, server.url.replace("wss:", "https:"), `wss://localhost:${server.port}`]) {
        yield* talks(yield* NodeWebSocket.open(url, { tls: { ca: certificate.cert } }))
      }
    })
  )

  it.live("refuses a certificate that nobody vouches for, and one for another name", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const unknown = yield* failureOf(server.url)
      expect([unknown._tag, codeOf(unknown)]).toEqual(["TransportError", "DEPTH_ZERO_SELF_SIGNED_CERT"])
      const other = selfSigned("elsewhere")
      const misnamed = yield* NodeWebSocketServer.serve({ tls: other }, echo)
      const reason = yield* failureOf(`wss://localhost:${misnamed.port}`, { tls: { ca: other.cert } })
      expect([reason._tag, codeOf(reason)]).toEqual(["TransportError", "ERR_TLS_CERT_ALTNAME_INVALID"])
      expect(server.connections() + misnamed.connections()).toBe(0)
      yield* talks(
        yield* NodeWebSocket.open(`wss://localhost:${misnamed.port}`, {
          tls: { ca: other.cert, servername: "elsewhere" }
        })
      )
    })
  )

  it.live("of both ends: the handshake sees who the client is, and one without a certificate does not get in", () =>
    Effect.gen(function* () {
      const client = selfSigned("client")
      const server = yield* NodeWebSocketServer.serve(
        {
          tls: { ...certificate, ca: client.cert, requestCert: true },
          handshake: ({ encrypted, socket }) => {
            const { subject } = (socket as tls.TLSSocket).getPeerCertificate()
            return Effect.succeed(Endpoint.accept({ encrypted, name: subject.CN }))
          }
        },
        (connection) => Effect.andThen(connection.send(JSON.stringify(connection.handshake)), Effect.never)
      )
      const ca = certificate.cert
      const connection = yield* NodeWebSocket.open(server.url, { tls: { ca, cert: client.cert, key: client.key } })
      expect(plain(yield* connection.pull)).toEqual(['{"encrypted":true,"name":"Millrace tests"}'])
      expect((yield* failureOf(server.url, { tls: { ca } }))._tag).toBe("TransportError")
      expect(server.connections()).toBe(1)
    })
  )

  it.live("with a key that is none is the caller's fault", () =>
    Effect.gen(function* () {
      const reason = yield* failureOf("wss://127.0.0.1:1/", { tls: { cert: "not a certificate" } })
      expect(reason._tag).toBe("InvalidOptions")
    })
  )

  it.live("that does not get anywhere is bounded at both ends", () =>
    Effect.gen(function* () {
      const mute = yield* RawPeer.listen
      const reason = yield* failureOf(`wss://127.0.0.1:${mute.port}/`, { handshakeTimeout: "50 millis" })
      expect(reason._tag).toBe("HandshakeTimeout")
      const server = yield* NodeWebSocketServer.serve({ tls: certificate, handshakeTimeout: "50 millis" }, echo)
      const silent = yield* RawPeer.connect(server.port)
      yield* silent.rest
    })
  )

  it.live("over which somebody speaks without it fails, and harms nobody", () =>
    Effect.gen(function* () {
      const server = yield* secure
      const reason = yield* failureOf(`ws://127.0.0.1:${server.port}/`)
      expect(reason._tag).toMatch(/TransportError|MalformedHead/)
      const insecure = yield* NodeWebSocketServer.serve({}, echo)
      expect((yield* failureOf(`wss://127.0.0.1:${insecure.port}/`))._tag).toBe("TransportError")
      const peer = yield* RawPeer.over(
        tls.connect({ port: server.port, host: "127.0.0.1", ca: certificate.cert }),
        "secureConnect"
      )
      peer.send(RawPeer.upgradeRequest())
      expect((yield* peer.head).status).toBe(101)
    })
  )
})

const newPath = () => join(tmpdir(), `millrace ${process.pid}:${Math.random().toString(36).slice(2)}.sock`)

const address = ({ client: { host, target } }: UpgradeRequest) => Effect.succeed(Endpoint.accept(`${host} ${target}`))

describe("a unix socket", () => {
  it.live("named by the URL, or by an option", () =>
    Effect.gen(function* () {
      const socketPath = newPath()
      const server = yield* NodeWebSocketServer.serve({ socketPath, handshake: address }, (connection) =>
        Effect.andThen(connection.send(connection.handshake), echo(connection))
      )
      const escaped = socketPath.replaceAll(":", "%3A").replaceAll(" ", "%20")
      for (const [url, seen, options] of [
        [server.url, "localhost /", {}],
        [`ws+unix:${escaped}:/chat:1?room=a:b`, "localhost /chat:1?room=a:b", {}],
        [`ws+unix:${escaped}?x=y`, "localhost /?x=y", {}],
        ["ws://example.com:81/chat", "example.com:81 /chat", { socketPath }]
      ] as const) {
        const connection = yield* NodeWebSocket.open(url, options)
        const [message] = plain(yield* connection.pull)
        expect(message).toBe(seen)
        yield* talks(connection)
      }
    })
  )

  it.live("with TLS", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ socketPath: newPath(), tls: certificate }, echo)
      expect(server.url).toMatch(/^wss\+unix:/)
      yield* talks(yield* NodeWebSocket.open(server.url, { tls: { ca: certificate.cert } }))
    })
  )

  it.live("that is not there is the network's fault", () =>
    Effect.gen(function* () {
      const reason = yield* failureOf("ws+unix:/nowhere/at/all.sock:/")
      expect([reason._tag, codeOf(reason)]).toEqual(["TransportError", "ENOENT"])
    })
  )
})

/** A proxy that connects to wherever it is asked. */
const proxy = Effect.gen(function* () {
  const asked: Array<string> = []
  const tunnels = new Set<net.Socket>()
  const server = http.createServer()
  server.on("connect", (request, near, head) => {
    asked.push(request.url ?? "")
    const { hostname, port } = new URL(`http://${request.url}`)
    const far = net.connect(Number(port), hostname, () => {
      near.write("HTTP/1.1 200 Connection established\r\n\r\n")
      far.write(head)
      far.pipe(near).pipe(far)
    })
    tunnels.add(far)
    far.on("close", () => {
      tunnels.delete(far)
      near.destroy()
    })
    for (const socket of [near, far]) socket.on("error", () => far.destroy())
  })
  const { port } = yield* NodeWebSocketServer.listen(server, {})
  return { port, asked, tunnels }
})

/** An agent that goes through it. */
class Tunnel extends http.Agent {
  private readonly proxyPort: number

  constructor(proxyPort: number) {
    super()
    this.proxyPort = proxyPort
  }

  override createConnection(
    options: net.TcpNetConnectOpts,
    callback?: (error: Error | null, socket: Duplex) => void
  ): undefined {
    const path = `${options.host}:${options.port}`
    http
      .request({ port: this.proxyPort, host: "127.0.0.1", method: "CONNECT", path, agent: false })
      .on("connect", (_response, socket: net.Socket) => callback?.(null, socket))
      .on("error", (error) => callback?.(error, undefined as never))
      .end()
  }
}

/** As a name of which no address answers. */
class Unreachable extends http.Agent {
  override createConnection(_options: object, callback?: (error: Error | null, socket: Duplex) => void): undefined {
    const errors = ["connect ECONNREFUSED ::1:9", "connect ECONNREFUSED 127.0.0.1:9"].map((text) => new Error(text))
    callback?.(new AggregateError(errors), undefined as never)
  }
}

describe("a proxy", () => {
  it.live("is an agent's affair", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, echo)
      const through = yield* proxy
      const agent = new Tunnel(through.port)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* talks(yield* NodeWebSocket.open(server.url, { agent }))
          expect(through.asked).toEqual([`127.0.0.1:${server.port}`])
          // What was upgraded is no longer the agent's.
          expect([Object.keys(agent.sockets), Object.keys(agent.freeSockets)]).toEqual([[], []])
        })
      )
      yield* eventually(() => through.tunnels.size === 0)
    })
  )

  it.live("that is not there is the network's fault, and an agent for the other scheme the caller's", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(RawPeer.listen)
      expect((yield* failureOf("ws://127.0.0.1:9/", { agent: new Tunnel(port) }))._tag).toBe("TransportError")
      expect((yield* failureOf("wss://127.0.0.1:9/", { agent: new Tunnel(port) }))._tag).toBe("InvalidOptions")
    })
  )

  it.live("says what failed, also when several addresses did", () =>
    Effect.gen(function* () {
      const reason = yield* failureOf("ws://localhost/", { agent: new Unreachable() })
      expect(reason.message).toBe("the transport under the WebSocket failed: connect ECONNREFUSED ::1:9")
    })
  )

  it.live("whose agent keeps sockets does not get ours back", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ path: "/ws" }, echo)
      const agent = new http.Agent({ keepAlive: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
      yield* Effect.scoped(Effect.flatMap(NodeWebSocket.open(`${server.url}/ws`, { agent }), talks))
      expect((yield* failureOf(`${server.url}/other`, { agent }))._tag).toBe("Refused")
      yield* eventually(() => Object.keys(agent.sockets).length + Object.keys(agent.freeSockets).length === 0)
    })
  )

  it.live("is not needed, and then nobody else's socket is taken, which might be stale", () =>
    Effect.gen(function* () {
      const server = http.createServer((_request, response) => response.end())
      let connections = 0
      server.on("connection", () => connections++)
      const { port, url } = yield* NodeWebSocketServer.listen(server, {})
      yield* NodeWebSocketServer.attach(server, [NodeWebSocketServer.route({ path: "/ws" }, echo)])
      yield* Effect.callback<void>((resume) => {
        http.get({ port, host: "127.0.0.1", agent: http.globalAgent }, (response) => {
          response.resume().on("close", () => resume(Effect.void))
        })
      })
      yield* talks(yield* NodeWebSocket.open(`${url}/ws`))
      expect(connections).toBe(2)
    })
  )
})
