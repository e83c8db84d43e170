/** RFC 8441 section 4 on real sockets: what a server does with a CONNECT. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Http2Client from "../../support/Http2Client.ts"
import * as RawPeer from "../../support/RawPeer.ts"
import { clause } from "./clause.ts"
import { replacing } from "./fields.ts"
import { asking, open } from "./http2.ts"

const echo = (connection: WebSocket) => Stream.runForEach(connection.messages, connection.send)

const serve = NodeWebSocketServer.serve({ http2: true }, echo)

clause.live("4-2", "a server connects to nobody for a client: the WebSocket that it opens is its own", () =>
  Effect.gen(function* () {
    const { port } = yield* serve
    const elsewhere = yield* RawPeer.listen
    const peer = yield* open(port, replacing(asking, `:authority: 127.0.0.1:${elsewhere.port}`))
    peer.sendData(1, "81 82 00 00 00 00 48 69")
    expect(yield* peer.data(1, 4)).toBe("81 02 48 69")
    expect(elsewhere.size()).toBe(0)
  })
)

clause.live("4-2", "nor for one that asks for a tunnel with a CONNECT as it was before", () =>
  Effect.gen(function* () {
    const { url } = yield* serve
    const elsewhere = yield* RawPeer.listen
    const session = yield* Http2Client.connect(url)
    const fields = { ":authority": `127.0.0.1:${elsewhere.port}`, ":protocol": undefined, ":path": undefined }
    const { status } = yield* Http2Client.ask(session, undefined, fields)
    expect([status, elsewhere.size()]).toEqual([405, 0])
  })
)

clause.live(
  "4-3",
  "what comes through the stream is the service that the client has named, and no other is there",
  () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const session = yield* Http2Client.connect(url)
      for (const [protocol, status] of [
        ["websocket", 200],
        ["connect-udp", 501],
        ["webtransport", 501]
      ] as const) {
        expect((yield* Http2Client.ask(session, "/", { ":protocol": protocol })).status).toBe(status)
      }
    })
)
