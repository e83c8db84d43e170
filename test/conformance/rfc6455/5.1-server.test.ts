/** RFC 6455 section 5.1 on a real socket: a client that does not mask is not listened to. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { clause } from "./clause.ts"
import { handshake } from "./loopback.ts"

clause.live("5.1-2", "the client is told so, and the TCP connection is closed", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, (connection) => connection.closed)
    const { peer } = yield* handshake(port)
    yield* peer.send("81 05 48 65 6c 6c 6f")
    yield* peer.closed
    expect(peer.behind).toMatch(/^88 .. 03 ea/)
  })
)
