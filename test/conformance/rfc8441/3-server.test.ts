/** RFC 8441 section 3: what a server says in its SETTINGS. */
import { createServer, type Http2Server } from "node:http2"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as http2 from "../../support/http2.ts"
import { clause } from "./clause.ts"
import { asking, dial, enableConnectProtocol, open, valuesIn } from "./http2.ts"

const echo = (connection: WebSocket) => Stream.runForEach(connection.messages, connection.send)

const serve = NodeWebSocketServer.serve({ http2: true }, echo)

clause.live("3-1", "a server says 1 in its first SETTINGS", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const peer = yield* dial(port)
    yield* peer.first(http2.type.settings)
    expect(valuesIn(peer.frames)).toEqual([1])
  })
)

clause.live("3-2", "a server says nothing else as long as the connection lives, nor when it shuts down", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { port } = yield* Effect.provideService(serve, Scope.Scope, scope)
    const peer = yield* open(port)
    peer.sendData(1, "81 82 00 00 00 00 48 69")
    expect(yield* peer.data(1, 4)).toBe("81 02 48 69")
    const ending = yield* Effect.forkScoped(Scope.close(scope, Exit.void))
    // The Close, and the answer to it.
    expect(yield* peer.data(1, 8)).toMatch(/^81 02 48 69 88 .. 03 e9/)
    peer.sendData(1, "88 82 00 00 00 00 03 e9", true)
    const frames = yield* peer.rest
    expect(frames.map(({ kind }) => kind)).toContain(http2.type.goAway)
    expect(valuesIn(frames)).toEqual([1])
    yield* Fiber.join(ending)
  })
)

clause.live("3-2", "nor when its endpoints are taken from a server of somebody else", () =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.callback<Http2Server>((resume) => {
        const server = createServer((_, response) => response.end("hello"))
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    )
    const scope = yield* Scope.make()
    const route = NodeWebSocketServer.route({ path: "/" }, echo)
    yield* Effect.provideService(NodeWebSocketServer.attach(server, [route]), Scope.Scope, scope)
    const peer = yield* open((server.address() as AddressInfo).port)
    peer.sendData(1, "88 82 00 00 00 00 03 e8", true)
    yield* peer.endOf(1)
    yield* Scope.close(scope, Exit.void)
    // Whatever comes on this connection after that is without it.
    peer.sendHeaders(3, [":method: GET", ":scheme: http", ":path: /", ":authority: localhost"])
    yield* peer.first(http2.type.headers, 3)
    expect(valuesIn(peer.frames)).toEqual([1])
  })
)

clause.live("3-3", "a server does the same for a client that says 1, that says 0 and that says nothing", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    for (const settings of [[], [[enableConnectProtocol, 0]], [[enableConnectProtocol, 1]]] as const) {
      const peer = yield* dial(port, ...settings)
      peer.sendHeaders(1, asking)
      peer.sendData(1, "81 82 00 00 00 00 48 69")
      expect(yield* peer.data(1, 4)).toBe("81 02 48 69")
      expect(valuesIn(peer.frames)).toEqual([1])
    }
  })
)
