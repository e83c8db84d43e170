/** RFC 8441 sections 4 and 5 on real sockets: a client, and servers of `node:http2` or of bytes. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { read } from "../rfc6455/endpoint.ts"
import { selfSigned } from "../../support/certificate.ts"
import { plain, reasonOf } from "../../support/connection.ts"
import { toHex } from "../../support/frames.ts"
import * as http2 from "../../support/http2.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { hex } from "../../support/wire.ts"
import { clause } from "./clause.ts"
import { enableConnectProtocol, Http2Peer } from "./http2.ts"

/** Answers, and ends when the client does. */
const welcome = ({ stream }: http2.Request) => {
  stream.respond({ ":status": 200 })
  stream.on("data", () => {}).on("end", () => stream.end())
}

const brief = { http2: true, limits: { closeTimeout: "50 millis" } } as const satisfies NodeWebSocket.Options

/** What a server of `node:http2` is asked with. */
const askedBy = (path: string, options: NodeWebSocket.Options = {}, certificate?: ReturnType<typeof selfSigned>) =>
  Effect.gen(function* () {
    const server = yield* http2.serve(welcome, certificate === undefined ? {} : { certificate })
    const url = certificate === undefined ? `ws://127.0.0.1:${server.port}` : `wss://localhost:${server.port}`
    yield* Effect.scoped(NodeWebSocket.open(`${url}${path}`, { ...brief, ...options }))
    return { request: server.asked[0]!, port: server.port }
  })

clause.live("4-1", "a client sends both, and the others, before all other fields", () =>
  Effect.gen(function* () {
    const { request } = yield* askedBy("/chat?room=1", { headers: { Cookie: "a=1" } })
    const names = request.headers.map(([name]) => name)
    expect(names.slice(0, 5).toSorted()).toEqual([":authority", ":method", ":path", ":protocol", ":scheme"])
    expect(names.slice(5).filter((name) => name.startsWith(":"))).toEqual([])
  })
)

clause.live("5-1", "a client sends CONNECT for the protocol websocket", () =>
  Effect.gen(function* () {
    const { request } = yield* askedBy("/")
    expect([request.header(":method"), request.header(":protocol")]).toEqual(["CONNECT", "websocket"])
  })
)

clause.live("5-2", "the scheme is http for ws, and https for wss", () =>
  Effect.gen(function* () {
    expect((yield* askedBy("/")).request.header(":scheme")).toBe("http")
    const certificate = selfSigned("localhost")
    const secure = yield* askedBy("/", { tls: { ca: certificate.cert } }, certificate)
    expect(secure.request.header(":scheme")).toBe("https")
  })
)

clause.live("5-3", "path and query are those of the URL that was opened", () =>
  Effect.gen(function* () {
    expect((yield* askedBy("")).request.header(":path")).toBe("/")
    expect((yield* askedBy("/chat?room=%C3%BC&x=%23")).request.header(":path")).toBe("/chat?room=%C3%BC&x=%23")
  })
)

clause.live("5-4", "a client sends none of them", () =>
  Effect.gen(function* () {
    const { request } = yield* askedBy("/", { headers: { "X-Other": "1" } })
    for (const name of ["connection", "upgrade", "keep-alive", "transfer-encoding"]) {
      expect(request.header(name)).toBeUndefined()
    }
    expect(request.header("x-other")).toBe("1")
  })
)

clause.live("5-5", "host and port are in the authority, and nowhere else", () =>
  Effect.gen(function* () {
    const { port, request } = yield* askedBy("/")
    expect([request.header(":authority"), request.header("host")]).toEqual([`127.0.0.1:${port}`, undefined])
  })
)

clause.live("5-6", "a client sends no key, and takes an answer with a wrong hash as one without", () =>
  Effect.gen(function* () {
    const server = yield* http2.serve((request) => {
      request.stream.respond({ ":status": 200, "sec-websocket-accept": "wrong" })
    })
    const connection = yield* NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, brief)
    expect(connection.handshake.status).toBe(200)
    expect(server.asked[0]?.header("sec-websocket-key")).toBeUndefined()
  })
)

clause.live("5-7", "a client asks for version, subprotocols and origin as over HTTP/1.1, in lower case", () =>
  Effect.gen(function* () {
    const { request } = yield* askedBy("/", { subprotocols: ["chat", "superchat"], origin: "http://www.example.com" })
    expect(request.header("sec-websocket-version")).toBe("13")
    expect(request.header("sec-websocket-protocol")).toBe("chat, superchat")
    expect(request.header("origin")).toBe("http://www.example.com")
  })
)

clause.live("5-7", "a client fails at an answer that chooses what it did not ask for", () =>
  Effect.gen(function* () {
    for (const name of ["sec-websocket-protocol", "sec-websocket-extensions"]) {
      const server = yield* http2.serve(({ stream }) => stream.respond({ ":status": 200, [name]: "foo" }))
      const opening = NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, { ...brief, subprotocols: ["chat"] })
      const error = yield* Effect.flip(opening)
      expect(error.reason._tag).toBe("HandshakeViolation")
    }
  })
)

clause.live("5-8", "all names are in lower case, those of a program too", () =>
  Effect.gen(function* () {
    const { request } = yield* askedBy("/", { headers: { "X-Mixed-Case": "Yes" } })
    expect(request.headers).toContainEqual(["x-mixed-case", "Yes"])
    expect(request.headers.filter(([name]) => name !== name.toLowerCase())).toEqual([])
  })
)

/** A connection to a server of bytes, which has accepted it. */
const connected = Effect.gen(function* () {
  const server = yield* RawPeer.listen
  const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, brief))
  const peer = new Http2Peer(yield* http2.accept(server, http2.settings([enableConnectProtocol, 1])))
  const { stream } = yield* peer.until(() => peer.frames.find(({ kind }) => kind === http2.type.headers))
  peer.send(http2.headers(stream, [[":status", "200"]]))
  return { connection: yield* Fiber.join(opening), peer, stream }
})

clause.live("5-9", "frames are in the DATA of the stream, masked, and read there however they are cut", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    yield* connection.send("Hello")
    const [frame] = read(hex(yield* peer.data(stream, 11)))
    expect([frame!.key === undefined, toHex(frame!.payload)]).toEqual([false, "48 65 6c 6c 6f"])
    for (const byte of "89 00 81 02 48 69".split(" ")) peer.sendData(stream, byte)
    expect(plain(yield* connection.pull)).toEqual(["Hi"])
    expect(read(hex(yield* peer.data(stream, 17))).map(({ opcode }) => opcode)).toEqual([1, 10])
  })
)

clause.live("5-9", "a server that masks its frames is failed, as over TCP", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    peer.sendData(stream, "81 82 00 00 00 00 48 69")
    expect(yield* reasonOf(Stream.runDrain(connection.messages))).toBe("ProtocolViolation")
  })
)

clause.live("5-10", "a client ends its stream with END_STREAM when both ends have closed", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    const closing = yield* Effect.forkScoped(connection.close())
    yield* peer.data(stream, 8)
    peer.sendData(stream, "88 02 03 e8", true)
    yield* Fiber.join(closing)
    expect(yield* connection.closed).toMatchObject({ sent: { code: 1000 }, received: { code: 1000 } })
    expect(yield* peer.endOf(stream)).toBe(http2.type.data)
  })
)

clause.live("5-10", "END_STREAM without a Close is a connection that was lost", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    peer.sendData(stream, "81 02 48 69", true)
    expect(plain(yield* connection.pull)).toEqual(["Hi"])
    expect(yield* reasonOf(Stream.runDrain(connection.messages))).toBe("ConnectionLost")
    expect(yield* peer.endOf(stream)).toBe(http2.type.data)
  })
)

clause.live("5-11", "a client resets the stream with CANCEL where it would cut a TCP connection", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    // Nobody answers the Close.
    yield* connection.close()
    expect(yield* peer.resetOf(stream)).toBe(http2.code.cancel)
  })
)

clause.live("5-11", "RST_STREAM with CANCEL is a connection that was reset", () =>
  Effect.gen(function* () {
    const { connection, peer, stream } = yield* connected
    peer.send(http2.rstStream(stream, http2.code.cancel))
    expect(yield* reasonOf(Stream.runDrain(connection.messages))).toMatch(/^(ConnectionLost|TransportError)$/)
  })
)
