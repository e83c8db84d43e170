/** RFC 6455 section 4.2.1 on real sockets: what Node.js parses before us does not soften it. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { clause } from "./clause.ts"
import { asking, type Lines, replacing, valuesOf, without } from "./handshake.ts"
import { dial, handshake } from "./loopback.ts"

const wrong: ReadonlyArray<readonly [name: string, lines: Lines]> = [
  ["HTTP/1.0", ["GET /chat HTTP/1.0", ...asking.slice(1)]],
  ["POST", ["POST /chat HTTP/1.1", ...asking.slice(1)]],
  ["an asterisk as the target", ["GET * HTTP/1.1", ...asking.slice(1)]],
  ["a fragment in the target", ["GET /chat#top HTTP/1.1", ...asking.slice(1)]],
  ["no Host", without(asking, "Host")],
  ["two of Host", [...asking, "Host: server.example.com"]],
  ["another Upgrade", replacing(asking, "Upgrade: h2c")],
  ["no Upgrade", without(asking, "Upgrade")],
  ["no Connection", without(asking, "Connection")],
  ["another Connection", replacing(asking, "Connection: keep-alive")],
  ["no key", without(asking, "Sec-WebSocket-Key")],
  ["a short key", replacing(asking, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")],
  ["no version", without(asking, "Sec-WebSocket-Version")],
  ["two versions in one field", replacing(asking, "Sec-WebSocket-Version: 13, 13")],
  ["subprotocols that are no list of tokens", [...asking, "Sec-WebSocket-Protocol: a b"]],
  ["extensions that follow no grammar", [...asking, "Sec-WebSocket-Extensions: a;;b"]],
  ["a body", [...asking, "Content-Length: 5"]]
]

clause.live("4.2.1-2", "each of these is answered with an error, and none with 101", () =>
  Effect.gen(function* () {
    const { port, connections } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    for (const [name, lines] of wrong) {
      const { head } = yield* handshake(port, lines)
      expect(head[0], name).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect(valuesOf(head, "Sec-WebSocket-Accept"), name).toEqual([])
    }
    expect(connections()).toBe(0)
  })
)

clause.live("11.3.1-1", "two keys are answered with an error", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    const { head } = yield* handshake(port, [...asking, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
    expect(head[0]).toMatch(/^HTTP\/1\.1 400 /)
  })
)

clause.live("11.3.5-1", "two versions are answered with an error", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    const { head } = yield* handshake(port, [...asking, "Sec-WebSocket-Version: 13"])
    expect(head[0]).toMatch(/^HTTP\/1\.1 400 /)
  })
)

clause.live("4.2.1-2", "a handshake that comes byte by byte is accepted", () =>
  Effect.gen(function* () {
    const { port } = yield* NodeWebSocketServer.serve({}, () => Effect.never)
    const peer = yield* dial(port)
    for (const character of `${asking.join("\r\n")}\r\n\r\n`) {
      yield* Effect.callback<void>((resume) => {
        peer.socket.write(character, "latin1", () => resume(Effect.void))
      })
    }
    expect((yield* peer.head)[0]).toBe("HTTP/1.1 101 Switching Protocols")
  })
)
