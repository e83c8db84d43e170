/** RFC 7692 section 5 on real sockets: a server that can compress, and clients that are bytes. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { asking, statusOf, valuesOf } from "../rfc6455/handshake.ts"
import { handshake } from "../rfc6455/loopback.ts"
import { clause } from "./clause.ts"
import { field } from "./negotiation.ts"

/** Sends back what comes, compressed where it can be. */
const echo = (connection: WebSocket) =>
  Stream.runForEach(connection.messages, (message) => connection.send(Message.compressed(message)))

const offering = (offer: string) => [...asking, `${field}: ${offer}`]

const serve = NodeWebSocketServer.serve({ extensions: [NodeDeflate.compression()] }, echo)

/** "Hello" as section 7.2.3.1 prints it, masked with a key of zeros. */
const hello = "c1 87 00 00 00 00 f2 48 cd c9 c9 07 00"

clause.live("5-11", "a server names it in its handshake, and a server that has none does not", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const { head } = yield* handshake(port, offering("x-foo, permessage-deflate; client_max_window_bits"))
    expect([statusOf(head), valuesOf(head, field)]).toEqual([101, ["permessage-deflate"]])
    const without = yield* NodeWebSocketServer.serve({}, echo)
    const other = yield* handshake(without.port, offering("permessage-deflate"))
    expect([statusOf(other.head), valuesOf(other.head, field)]).toEqual([101, []])
  })
)

clause.live("5-19", "a server that declines all offers has no such field in its response, and goes on without", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    for (const offer of [
      "permessage-deflate; server_max_window_bits=8",
      "permessage-deflate; foo",
      "permessage-bzip2"
    ]) {
      const { head, peer } = yield* handshake(port, offering(offer))
      expect([statusOf(head), valuesOf(head, field)]).toEqual([101, []])
      yield* peer.send("81 85 00 00 00 00 48 65 6c 6c 6f")
      expect(yield* peer.frames(7)).toBe("81 05 48 65 6c 6c 6f")
      // Nor does it take what it did not agree to.
      yield* peer.send(hello)
      yield* peer.closed
      expect(peer.behind).toMatch(/^81 05 48 65 6c 6c 6f 88 .. 03 ea/)
    }
  })
)

clause.live("5-21", "a server reads what is compressed and compresses what it sends, as was agreed on", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const { peer } = yield* handshake(port, offering("permessage-deflate"))
    yield* peer.send(hello)
    expect(yield* peer.frames(9)).toBe("c1 07 f2 48 cd c9 c9 07 00")
    // Again, by what was kept of the first, both ways; and one that is not compressed.
    yield* peer.send("c1 85 00 00 00 00 f2 00 11 00 00")
    expect(yield* peer.frames(16)).toBe("c1 07 f2 48 cd c9 c9 07 00 c1 05 f2 00 11 00 00")
    yield* peer.send("82 81 00 00 00 00 2a")
    yield* peer.match(/\xc2[^]*$/)
  })
)

clause.live("5-21", "a server that agreed not to take over its window does not", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const { head, peer } = yield* handshake(port, offering("permessage-deflate; server_no_context_takeover"))
    expect(valuesOf(head, field)).toEqual(["permessage-deflate; server_no_context_takeover"])
    yield* peer.send(`${hello} c1 85 00 00 00 00 f2 00 11 00 00`)
    expect(yield* peer.frames(18)).toBe("c1 07 f2 48 cd c9 c9 07 00 c1 07 f2 48 cd c9 c9 07 00")
  })
)
