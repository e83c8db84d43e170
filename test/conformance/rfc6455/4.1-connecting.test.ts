/** RFC 6455 section 4.1 on real sockets: dialling, TLS, asking, and what a client does with the answer. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { selfSigned } from "../../support/certificate.ts"
import { clause } from "./clause.ts"
import { accepting, replacing, valuesOf, without } from "./handshake.ts"
import { acceptanceOf, connect, listen } from "./loopback.ts"

clause.live("4.1-1", "a client dials, asks, reads the answer, and is connected", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const { peer, connection } = yield* connect(server)
    yield* peer.send("81 05 48 65 6c 6c 6f")
    expect(yield* connection.pull).toMatchObject([{ text: "Hello" }])
    yield* connection.send("hi")
    expect(yield* peer.frames(8)).toMatch(/^81 82 /)
  })
)

clause.live("4.1-1", "frames that come in one piece with the answer are not lost", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`))
    const peer = yield* server.accept
    const answer = acceptanceOf(yield* peer.head).join("\r\n")
    yield* Effect.sync(() => peer.socket.write(`${answer}\r\n\r\n\u0081\u0002hi`, "latin1"))
    const connection = yield* Fiber.join(opening)
    expect(yield* connection.pull).toMatchObject([{ text: "hi" }])
    yield* Effect.sync(() => peer.socket.destroy())
  })
)

const invalid = ["", "chat", "ftp://127.0.0.1/", "ws:", "ws://", "ws://a b/", "ws://127.0.0.1:65536/", "ws://[::1/"]

clause.live("4.1-2", "a URI that is no WebSocket URI is told from one that is", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    for (const url of invalid) {
      const error = yield* Effect.flip(NodeWebSocket.open(url))
      expect(error.reason._tag, url).toBe("InvalidUrl")
    }
    const { head } = yield* connect(server, `WS://127.0.0.1:${server.port}`)
    expect(head[0]).toBe("GET / HTTP/1.1")
  })
)

clause.live("4.1-3", "and nothing is dialled for one that is not", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    for (const scheme of ["ftp", "file", "wsss", "javascript"]) {
      const error = yield* Effect.flip(NodeWebSocket.open(`${scheme}://127.0.0.1:${server.port}/`))
      expect(error.reason._tag, scheme).toBe("InvalidUrl")
    }
    expect(server.peers).toEqual([])
  })
)

clause.live("4.1-9", "a client that cannot connect fails", () =>
  Effect.gen(function* () {
    // A port that was free a moment ago.
    const { port } = yield* Effect.scoped(listen())
    const error = yield* Effect.flip(NodeWebSocket.open(`ws://127.0.0.1:${port}/`))
    expect(error.reason._tag).toBe("TransportError")
  })
)

clause.live("4.1-9", "a client whose connection ends before there is an answer fails", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`))
    const peer = yield* server.accept
    yield* peer.head
    peer.socket.destroy()
    const error = yield* Effect.flip(Fiber.join(opening))
    expect(error.reason._tag).toBe("TransportError")
  })
)

clause.live(
  "4.1-10",
  "the first byte to a wss server is that of a TLS handshake, and nothing of the request is in clear",
  () =>
    Effect.gen(function* () {
      const server = yield* listen()
      yield* Effect.forkScoped(NodeWebSocket.open(`wss://127.0.0.1:${server.port}/chat`))
      const peer = yield* server.accept
      yield* peer.match(/^[^]{6}/)
      // Content type 22, handshake; version 3.1, as ever; two bytes of length; message type 1, ClientHello.
      expect([0, 1, 2, 5].map((at) => peer.received.charCodeAt(at))).toEqual([22, 3, 1, 1])
      expect(peer.received).not.toContain("GET")
    })
)

clause.live("4.1-11", "a certificate that cannot be verified fails the connection before anything is asked", () =>
  Effect.gen(function* () {
    const server = yield* listen(selfSigned("localhost"))
    const error = yield* Effect.flip(NodeWebSocket.open(`wss://localhost:${server.port}/`))
    expect(error.reason._tag).toBe("TransportError")
    expect(server.peers.map(({ received }) => received).join("")).toBe("")
  })
)

clause.live("4.1-11", "so does one that is for another name", () =>
  Effect.gen(function* () {
    const certificate = selfSigned("other.example")
    const server = yield* listen(certificate)
    const error = yield* Effect.flip(
      NodeWebSocket.open(`wss://localhost:${server.port}/`, { tls: { ca: certificate.cert } })
    )
    expect(error.reason._tag).toBe("TransportError")
    expect(server.peers.map(({ received }) => received).join("")).toBe("")
  })
)

clause.live("4.1-12", "the handshake and the frames go through the tunnel", () =>
  Effect.gen(function* () {
    const certificate = selfSigned("localhost")
    const server = yield* listen(certificate)
    const url = `wss://localhost:${server.port}/chat`
    const { peer, head, connection } = yield* connect(server, url, { tls: { ca: certificate.cert } })
    expect(head[0]).toBe("GET /chat HTTP/1.1")
    yield* connection.send("hi")
    expect(yield* peer.frames(8)).toMatch(/^81 82 /)
    yield* peer.send("81 05 48 65 6c 6c 6f")
    expect(yield* connection.pull).toMatchObject([{ text: "Hello" }])
  })
)

clause.live("4.1-13", "the TLS handshake names the server", () =>
  Effect.gen(function* () {
    const certificate = selfSigned("localhost")
    const names: Array<string> = []
    const server = yield* listen({
      ...certificate,
      SNICallback: (name, done) => {
        names.push(name)
        done(null)
      }
    })
    const url = `wss://localhost:${server.port}/`
    yield* connect(server, url, { tls: { ca: certificate.cert } })
    expect(names).toEqual(["localhost"])
  })
)

clause.live("4.1-14", "the request is what section 4.1 asks for, on the wire", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const options = { subprotocols: ["chat", "superchat"], headers: { Cookie: "a=b" } }
    const { head } = yield* connect(server, `ws://127.0.0.1:${server.port}/chat?room=1`, options)
    const [key] = valuesOf(head, "Sec-WebSocket-Key")
    expect([...head].sort()).toEqual(
      [
        "GET /chat?room=1 HTTP/1.1",
        `Host: 127.0.0.1:${server.port}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        `Sec-WebSocket-Key: ${key}`,
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Cookie: a=b"
      ].sort()
    )
  })
)

clause.live("4.1-23", "the key is 16 bytes and another one for every connection", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const keys = new Set<string>()
    for (let i = 0; i < 50; i++) {
      const { head } = yield* connect(server)
      const [key = ""] = valuesOf(head, "Sec-WebSocket-Key")
      expect(Buffer.from(key, "base64")).toHaveLength(16)
      keys.add(key)
    }
    expect(keys.size).toBe(50)
  })
)

clause.live("4.1-28", "nothing follows the request until the answer is whole", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    // Whoever opens has something to say as soon as it can.
    const talking = NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`).pipe(
      Effect.tap((connection) => connection.send("hi"))
    )
    const opening = yield* Effect.forkScoped(talking)
    const peer = yield* server.accept
    const head = yield* peer.head
    const [status, ...fields] = acceptanceOf(head)
    yield* Effect.sync(() => peer.socket.write(`${status}\r\n`))
    // Another connection, there and back, gives the first one time to say something.
    yield* connect(server)
    expect(peer.behind).toBe("")
    yield* peer.send(fields)
    yield* Fiber.join(opening)
    expect(yield* peer.frames(8)).toMatch(/^81 82 /)
    yield* Effect.sync(() => peer.socket.destroy())
  })
)

const wrong = [
  ["no Upgrade", (lines: ReadonlyArray<string>) => without(lines, "Upgrade")],
  ["another Upgrade", (lines: ReadonlyArray<string>) => replacing(lines, "Upgrade: h2c")],
  ["no Connection", (lines: ReadonlyArray<string>) => without(lines, "Connection")],
  ["another Connection", (lines: ReadonlyArray<string>) => replacing(lines, "Connection: close")],
  ["no Sec-WebSocket-Accept", (lines: ReadonlyArray<string>) => without(lines, "Sec-WebSocket-Accept")],
  ["another Sec-WebSocket-Accept", () => accepting],
  ["a subprotocol", (lines: ReadonlyArray<string>) => [...lines, "Sec-WebSocket-Protocol: superchat"]],
  ["an extension", (lines: ReadonlyArray<string>) => [...lines, "Sec-WebSocket-Extensions: permessage-deflate"]]
] as const

clause.live("4.1-35", "an answer that does not fit, in whatever, fails and the TCP connection is closed", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    for (const [name, spoil] of wrong) {
      const url = `ws://127.0.0.1:${server.port}/`
      const opening = yield* Effect.forkScoped(NodeWebSocket.open(url, { subprotocols: ["chat"] }))
      const peer = yield* server.accept
      yield* peer.send(spoil(acceptanceOf(yield* peer.head)))
      const error = yield* Effect.flip(Fiber.join(opening))
      expect(error.reason._tag, name).toMatch(/^(HandshakeViolation|MalformedHead)$/)
      yield* peer.closed
      expect(peer.behind, name).toBe("")
    }
  })
)
