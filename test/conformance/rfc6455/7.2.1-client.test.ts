/** RFC 6455 section 7.2.1 on real sockets: a client that fails leaves no TCP connection behind. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { clause } from "./clause.ts"
import { connect, listen } from "./loopback.ts"

clause.live("7.2.1-1", "a refusal in the handshake closes the TCP connection, though the server would keep it", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`))
    const peer = yield* server.accept
    yield* peer.head
    yield* peer.send(["HTTP/1.1 403 Forbidden", "Content-Length: 0", "Connection: keep-alive"])
    const error = yield* Effect.flip(Fiber.join(opening))
    expect(error.reason).toMatchObject({ _tag: "Refused", status: 403 })
    yield* peer.closed
  })
)

clause.live("7.2.1-1", "what is no HTTP in the handshake closes the TCP connection", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`))
    const peer = yield* server.accept
    yield* peer.head
    yield* peer.send("81 05 48 65 6c 6c 6f 0d 0a 0d 0a")
    const error = yield* Effect.flip(Fiber.join(opening))
    expect(error.reason._tag).toBe("MalformedHead")
    yield* peer.closed
  })
)

clause.live("7.2.1-1", "a broken rule of framing closes the TCP connection, though the server would keep it", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const url = `ws://127.0.0.1:${server.port}/`
    const { peer, connection } = yield* connect(server, url, { limits: { closeTimeout: "50 millis" } })
    yield* peer.send("83 00")
    const error = yield* Effect.flip(connection.pull)
    expect(error).toMatchObject({ reason: { _tag: "ProtocolViolation", closeCode: 1002 } })
    yield* peer.frames(8)
    yield* peer.closed
  })
)

clause.live("7.2.1-2", "a TCP connection that is reset fails the connection", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const { peer, connection } = yield* connect(server)
    peer.socket.destroy()
    const error = yield* Effect.flip(connection.pull)
    expect(error._tag).toBe("WebSocketError")
    expect(yield* connection.closed).toMatchObject({ received: undefined })
  })
)
