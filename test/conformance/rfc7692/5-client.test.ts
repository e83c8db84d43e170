/** RFC 7692 section 5 on real sockets: a client that can compress, and servers that are bytes. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as Message from "@millrace/core/protocol/Message"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { plain, reasonOf } from "../../support/connection.ts"
import { toHex } from "../../support/frames.ts"
import { hex } from "../../support/wire.ts"
import { read } from "../rfc6455/endpoint.ts"
import { valuesOf } from "../rfc6455/handshake.ts"
import { acceptanceOf, listen } from "../rfc6455/loopback.ts"
import { clause } from "./clause.ts"
import { field } from "./negotiation.ts"

/** A client offers compression, and a server answers with fields of those values. */
const opening = (options: NodeDeflate.CompressionOptions, ...answered: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* listen()
    const extensions = [NodeDeflate.compression(options)]
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, { extensions }))
    const peer = yield* server.accept
    const head = yield* peer.head
    yield* peer.send([...acceptanceOf(head), ...answered.map((value) => `${field}: ${value}`)])
    const opened = Effect.gen(function* () {
      const connection = yield* Fiber.join(opening)
      // The far end goes before the scope closes the connection, which would wait for the answer to its Close.
      yield* Effect.addFinalizer(() => Effect.sync(() => peer.socket.destroy()))
      return connection
    })
    return { head, opened, peer }
  })

clause.live("5-1", "a client offers it in its handshake", () =>
  Effect.gen(function* () {
    const { head, opened } = yield* opening({ offers: [{ serverMaxWindowBits: 10 }, {}] }, "permessage-deflate")
    yield* opened
    expect(valuesOf(head, field)).toEqual([
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits, permessage-deflate; client_max_window_bits"
    ])
  })
)

clause.live("5-20", "a client that is answered with something else has no connection, and closes the socket", () =>
  Effect.gen(function* () {
    for (const answer of ["permessage-foo", "permessage-deflate, x-foo", "permessage-deflate; foo=1"]) {
      const { opened, peer } = yield* opening({}, answer)
      const error = yield* Effect.flip(opened)
      expect(error).toMatchObject({ reason: { _tag: "HandshakeViolation", field } })
      yield* peer.closed
    }
  })
)

const hello = "f2 48 cd c9 c9 07 00"

clause.live("5-21", "a client compresses what it sends and reads what is compressed, as was agreed on", () =>
  Effect.gen(function* () {
    const { opened, peer } = yield* opening({}, "permessage-deflate; client_no_context_takeover")
    const connection = yield* opened
    expect(connection.extensions).toEqual([
      { name: "permessage-deflate", params: [["client_no_context_takeover", undefined]] }
    ])
    yield* connection.sendAll([Message.compressed("Hello"), Message.compressed("Hello")])
    const written = read(hex(yield* peer.frames(26)))
    expect(written.map(({ payload, rsv }) => [rsv, toHex(payload)])).toEqual([
      [4, hello],
      [4, hello]
    ])
    yield* peer.send(`c1 07 ${hello} c1 05 f2 00 11 00 00 81 02 48 69`)
    const messages = yield* Stream.runCollect(Stream.take(connection.messages, 3))
    expect(plain(messages)).toEqual(["Hello", "Hello", "Hi"])
  })
)

clause.live("5-21", "and does neither when the server has said nothing of it", () =>
  Effect.gen(function* () {
    const { opened, peer } = yield* opening({})
    const connection = yield* opened
    yield* connection.send(Message.compressed("Hello"))
    const written = read(hex(yield* peer.frames(11)))
    expect(written.map(({ payload, rsv }) => [rsv, toHex(payload)])).toEqual([[0, "48 65 6c 6c 6f"]])
    yield* peer.send(`c1 07 ${hello}`)
    expect(yield* reasonOf(Stream.runDrain(connection.messages))).toBe("ProtocolViolation")
  })
)
