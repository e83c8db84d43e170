/** RFC 6455 section 5.5.1 on a real socket: the server is the one that closes the TCP connection. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { clause } from "./clause.ts"
import { handshake } from "./loopback.ts"

clause.live("5.5.1-7", "a client that closes, and then waits, sees the answer and the end of the TCP connection", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, (connection) => connection.closed)
    const { peer } = yield* handshake(port)
    yield* peer.send("88 82 00 00 00 00 03 e8")
    expect(yield* peer.frames(4)).toBe("88 02 03 e8")
    yield* peer.closed
  })
)

clause.live("5.5.1-7", "so does one that answers a Close of the server", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, (connection) => connection.close(4000, "bye"))
    const { peer } = yield* handshake(port)
    expect(yield* peer.frames(7)).toBe("88 05 0f a0 62 79 65")
    yield* peer.send("88 82 00 00 00 00 0f a0")
    yield* peer.closed
  })
)
