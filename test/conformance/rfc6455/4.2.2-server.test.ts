/** RFC 6455 section 4.2.2 on real sockets: from the first byte of a client to the first frame. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../../support/certificate.ts"
import { clause } from "./clause.ts"
import { accepting, asking, replacing, statusOf, valuesOf } from "./handshake.ts"
import { dial, handshake } from "./loopback.ts"

const echo = (connection: WebSocket) => Stream.runForEach(connection.messages, connection.send)

clause.live(
  "4.2.2-1",
  "a client that sends the handshake of the RFC gets the answer of the RFC, and is connected",
  () =>
    Effect.gen(function* () {
      const { port } = yield* NodeWebSocketServer.serve({ path: "/chat" }, echo)
      const { peer, head } = yield* handshake(port)
      expect(head).toEqual(accepting)
      yield* peer.send("81 85 37 fa 21 3d 7f 9f 4d 51 58")
      expect(yield* peer.frames(7)).toBe("81 05 48 65 6c 6c 6f")
    })
)

clause.live("4.2.2-1", "frames that come in one piece with the handshake are not lost", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, echo)
    const peer = yield* dial(port)
    const frame = String.fromCharCode(0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69)
    yield* Effect.sync(() => peer.socket.write(`${asking.join("\r\n")}\r\n\r\n${frame}`, "latin1"))
    expect(yield* peer.frames(4)).toBe("81 02 68 69")
  })
)

clause.live("4.2.2-2", "on a port of HTTPS the handshake and the frames are inside TLS", () =>
  Effect.gen(function* () {
    const tls = selfSigned("localhost")
    const { port } = yield* NodeWebSocketServer.serve({ tls }, echo)
    const { peer, head } = yield* handshake(port, asking, { ca: tls.cert, servername: "localhost" })
    expect(head).toEqual(accepting)
    yield* peer.send("81 82 00 00 00 00 68 69")
    expect(yield* peer.frames(4)).toBe("81 02 68 69")
  })
)

clause.live("4.2.2-2", "a client that does not speak TLS there is not answered and is cut", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({ tls: selfSigned("localhost") }, echo)
    const peer = yield* dial(port)
    yield* peer.send(asking)
    yield* peer.closed
    expect(peer.received).not.toContain("101")
    expect(peer.received).not.toContain("Sec-WebSocket-Accept")
  })
)

clause.live("4.2.2-3", "a page of another origin is answered with 403 and the socket is closed", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, echo)
    const { peer, head } = yield* handshake(port, [...asking, "Origin: https://evil.example.com"])
    expect(statusOf(head)).toBe(403)
    expect(valuesOf(head, "Sec-WebSocket-Accept")).toEqual([])
    yield* peer.closed
  })
)

clause.live("4.2.2-3", "an application refuses with the status it likes", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({ handshake: () => NodeWebSocketServer.refuse(401) }, echo)
    const { peer, head } = yield* handshake(port)
    expect(statusOf(head)).toBe(401)
    expect(valuesOf(head, "Sec-WebSocket-Accept")).toEqual([])
    yield* peer.closed
  })
)

clause.live("4.2.2-4", "another version is answered with 426 and 13", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, echo)
    const { head } = yield* handshake(port, replacing(asking, "Sec-WebSocket-Version: 25"))
    expect(statusOf(head)).toBe(426)
    expect(valuesOf(head, "Sec-WebSocket-Version")).toEqual(["13"])
  })
)

clause.live("4.2.2-5", "a resource that is not there is answered with 404 and the socket is closed", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({ path: "/chat" }, echo)
    const { peer, head } = yield* handshake(port, ["GET /other HTTP/1.1", ...asking.slice(1)])
    expect(statusOf(head)).toBe(404)
    expect(valuesOf(head, "Sec-WebSocket-Accept")).toEqual([])
    yield* peer.closed
  })
)

clause.live("4.2.2-5", "the query is no part of what is looked for", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({ path: "/chat" }, echo)
    const { head } = yield* handshake(port, ["GET /chat?room=1 HTTP/1.1", ...asking.slice(1)])
    expect(statusOf(head)).toBe(101)
  })
)
