/** RFC 8441 section 5 on real sockets: a server, and a client that is bytes. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Origin from "@millrace/core/codec/Origin"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../../support/certificate.ts"
import * as http2 from "../../support/http2.ts"
import * as Http2Client from "../../support/Http2Client.ts"
import { clause } from "./clause.ts"
import { asking, open } from "./http2.ts"

const echo = (connection: WebSocket) => Stream.runForEach(connection.messages, connection.send)

const serve = NodeWebSocketServer.serve({ http2: true }, echo)

clause.live("5-6", "a server answers without a key, and without what is made of one", () =>
  Effect.gen(function* () {
    const { url } = yield* serve
    const session = yield* Http2Client.connect(url)
    for (const key of [undefined, "dGhlIHNhbXBsZSBub25jZQ==", "no key"]) {
      const { headers, status } = yield* Http2Client.ask(session, "/", { "sec-websocket-key": key })
      expect([status, headers["sec-websocket-accept"]]).toEqual([200, undefined])
    }
  })
)

clause.live("5-7", "a server gives the request of section 5.1 its answer, over TLS", () =>
  Effect.gen(function* () {
    const tls = selfSigned("localhost")
    const options = { http2: true, tls, path: "/chat", subprotocols: ["chat"], origin: Origin.any }
    const { port } = yield* NodeWebSocketServer.serve(options, echo)
    const session = yield* Http2Client.connect(`https://localhost:${port}`, { ca: tls.cert })
    const { headers } = yield* Http2Client.ask(session, "/chat", {
      ":scheme": "https",
      "sec-websocket-protocol": "chat, superchat",
      "sec-websocket-extensions": "permessage-deflate",
      origin: "http://www.example.com"
    })
    expect(headers).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" })
    expect(headers["sec-websocket-extensions"]).toBeUndefined()
  })
)

clause.live("5-7", "a server agrees on extensions as it does over HTTP/1.1, and compresses", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({ http2: true, extensions: [NodeDeflate.compression()] }, echo)
    const peer = yield* open(port, [...asking, "sec-websocket-extensions: permessage-deflate"])
    peer.sendData(1, "c1 87 00 00 00 00 f2 48 cd c9 c9 07 00")
    expect(yield* peer.data(1, 7)).toBe("81 05 48 65 6c 6c 6f")
  })
)

clause.live(
  "5-9",
  "frames are in the DATA of the stream, however they are cut: messages, Pings, the closing handshake",
  () =>
    Effect.gen(function* () {
      const { port } = yield* serve
      const peer = yield* open(port)
      for (const byte of "81 85 37 fa 21 3d 7f 9f 4d 51 58 89 81 00 00 00 00 61".split(" ")) peer.sendData(1, byte)
      expect(yield* peer.data(1, 10)).toBe("81 05 48 65 6c 6c 6f 8a 01 61")
      peer.sendData(1, "88 82 00 00 00 00 03 e8")
      expect(yield* peer.data(1, 14)).toBe("81 05 48 65 6c 6c 6f 8a 01 61 88 02 03 e8")
    })
)

clause.live("5-9", "a client that does not mask its frames is failed, as over TCP", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const peer = yield* open(port)
    peer.sendData(1, "81 05 48 65 6c 6c 6f")
    expect(yield* peer.data(1, 4)).toMatch(/^88 .. 03 ea/)
  })
)

clause.live("5-9", "a server may speak first, and each stream of a session is a connection of its own", () =>
  Effect.gen(function* () {
    let connections = 0
    const { port } = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
      Effect.andThen(connection.send(`${++connections}`), connection.closed)
    )
    const peer = yield* open(port)
    expect(yield* peer.data(1, 3)).toBe("81 01 31")
    peer.sendHeaders(3, asking)
    expect(yield* peer.data(3, 3)).toBe("81 01 32")
    peer.sendData(1, "88 82 00 00 00 00 03 e8", true)
    yield* peer.endOf(1)
    peer.sendData(3, "89 80 00 00 00 00")
    expect(yield* peer.data(3, 5)).toBe("81 01 32 8a 00")
  })
)

clause.live("5-10", "a server ends the stream with END_STREAM when both ends have closed", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const peer = yield* open(port)
    peer.sendData(1, "88 82 00 00 00 00 03 e8")
    expect(yield* peer.endOf(1)).toBe(http2.type.data)
    expect(yield* peer.data(1, 4)).toBe("88 02 03 e8")
  })
)

clause.live("5-10", "END_STREAM without a Close is a connection that was lost, and gets its own in return", () =>
  Effect.gen(function* () {
    let closed: unknown
    const { port } = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
      Effect.map(connection.closed, (how) => void (closed = how))
    )
    const peer = yield* open(port)
    peer.sendData(1, "", true)
    expect(yield* peer.endOf(1)).toBe(http2.type.data)
    // The next stream is served when the handler of this one is done.
    peer.sendHeaders(3, asking)
    yield* peer.first(http2.type.headers, 3)
    expect(closed).toMatchObject({ received: undefined, violation: undefined })
  })
)

clause.live("5-11", "a server resets the stream with CANCEL where it would cut a TCP connection", () =>
  Effect.gen(function* () {
    const limits = { closeTimeout: "50 millis" } as const
    const { port } = yield* NodeWebSocketServer.serve({ http2: true, limits }, () => Effect.void)
    const peer = yield* open(port)
    // The handler is done: a Close, which nobody answers.
    expect(yield* peer.data(1, 4)).toBe("88 02 03 e8")
    expect(yield* peer.resetOf(1)).toBe(http2.code.cancel)
  })
)

clause.live("5-11", "RST_STREAM with CANCEL is a reset of this connection and of no other", () =>
  Effect.gen(function* () {
    const ended: Array<unknown> = []
    const { port } = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
      Effect.map(Effect.exit(Stream.runForEach(connection.messages, connection.send)), (exit) => void ended.push(exit))
    )
    const peer = yield* open(port)
    peer.sendHeaders(3, asking)
    yield* peer.first(http2.type.headers, 3)
    peer.send(http2.rstStream(1, http2.code.cancel))
    peer.sendData(3, "81 82 00 00 00 00 48 69")
    expect(yield* peer.data(3, 4)).toBe("81 02 48 69")
    expect(ended).toMatchObject([{ _tag: "Failure" }])
  })
)
