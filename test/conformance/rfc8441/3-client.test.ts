/** RFC 8441 section 3 on real sockets: what a client says in its SETTINGS, and what it waits for in those of a server. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as http2 from "../../support/http2.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { clause } from "./clause.ts"
import { enableConnectProtocol, Http2Peer, valuesIn } from "./http2.ts"

/** A client opens a WebSocket towards a server that says nothing before the test does. */
const opening = (options: NodeWebSocket.Options = {}) =>
  Effect.gen(function* () {
    const server = yield* RawPeer.listen
    const all = { http2: true, limits: { closeTimeout: "50 millis" }, ...options } as const
    const opening = yield* Effect.forkScoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`, all))
    const peer = new Http2Peer(yield* http2.accept(server))
    return { opened: Fiber.join(opening), peer }
  })

clause.live("3-1", "a client says nothing of it, and fails at a server that says 2", () =>
  Effect.gen(function* () {
    const { opened, peer } = yield* opening()
    peer.send(http2.settings([enableConnectProtocol, 2]))
    const error = yield* Effect.flip(opened)
    expect(error.reason._tag).toMatch(/^(Http2Unavailable|MalformedHead)$/)
    expect(valuesIn(yield* peer.rest)).toEqual([])
  })
)

clause.live("3-2", "a client fails the connection of a server that takes its word back", () =>
  Effect.gen(function* () {
    const { opened, peer } = yield* opening()
    peer.send(http2.settings([enableConnectProtocol, 1]))
    const { stream } = yield* peer.until(() => peer.frames.find(({ kind }) => kind === http2.type.headers))
    peer.send(http2.headers(stream, [[":status", "200"]]))
    const connection = yield* opened
    peer.send(http2.settings([enableConnectProtocol, 0]))
    expect(yield* connection.closed).toMatchObject({ received: undefined })
    expect(valuesIn(yield* peer.rest)).toEqual([])
  })
)

clause.live("3-4", "a client opens no stream before the server has said 1", () =>
  Effect.gen(function* () {
    const mute = yield* opening({ handshakeTimeout: "100 millis" })
    const error = yield* Effect.flip(mute.opened)
    expect(error.reason._tag).toBe("HandshakeTimeout")
    expect((yield* mute.peer.rest).map(({ kind }) => kind)).not.toContain(http2.type.headers)
    const { opened, peer } = yield* opening()
    yield* Effect.forkScoped(Effect.ignore(opened))
    peer.send(http2.settings([enableConnectProtocol, 1]))
    yield* peer.until(() => peer.frames.find(({ kind }) => kind === http2.type.headers))
  })
)

clause.live("3-4", "a client asks nothing of a server that says 0, or nothing", () =>
  Effect.gen(function* () {
    for (const settings of [http2.settings(), http2.settings([enableConnectProtocol, 0])]) {
      const { opened, peer } = yield* opening()
      peer.send(settings)
      const error = yield* Effect.flip(opened)
      expect(error.reason._tag).toBe("Http2Unavailable")
      expect((yield* peer.rest).map(({ kind }) => kind)).not.toContain(http2.type.headers)
    }
  })
)
