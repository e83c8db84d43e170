/** RFC 6455 section 10.6: both ends speak TLS. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { selfSigned } from "../../support/certificate.ts"
import { clause } from "./clause.ts"

clause.live("10.6-1", "a client and a server of ours talk through TLS and close", () =>
  Effect.gen(function* () {
    const tls = selfSigned("localhost")
    const server = yield* NodeWebSocketServer.serve({ tls }, (connection) =>
      Stream.runForEach(connection.messages, connection.send)
    )
    expect(server.url).toBe(`wss://127.0.0.1:${server.port}`)
    const connection = yield* NodeWebSocket.open(`wss://localhost:${server.port}/`, { tls: { ca: tls.cert } })
    yield* connection.send("Hello")
    expect(yield* connection.pull).toMatchObject([{ _tag: "Text", text: "Hello" }])
    yield* connection.close()
    expect(yield* connection.closed).toMatchObject({ sent: { code: 1000 }, received: { code: 1000 } })
  })
)
