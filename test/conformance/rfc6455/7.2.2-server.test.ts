/** RFC 6455 section 7.2.2: a server that does not go on with a handshake closes the TCP connection. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { clause } from "./clause.ts"
import { asking, replacing, statusOf } from "./handshake.ts"
import { dial, handshake } from "./loopback.ts"

clause.live("7.2.2-1", "a handshake that is refused is answered, and then closed", () =>
  Effect.gen(function* () {
    const { port, connections } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    for (const field of ["Sec-WebSocket-Key: short", "Sec-WebSocket-Version: 8", "Connection: close"]) {
      const { peer, head } = yield* handshake(port, replacing(asking, field))
      expect(statusOf(head)).toBeGreaterThanOrEqual(400)
      yield* peer.closed
    }
    expect(connections()).toBe(0)
  })
)

clause.live("7.2.2-1", "what is no request at all is closed", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    const peer = yield* dial(port)
    yield* peer.send("81 85 37 fa 21 3d 7f 9f 4d 51 58 0d 0a 0d 0a")
    yield* peer.closed
    expect(peer.received).not.toContain(" 101 ")
  })
)
