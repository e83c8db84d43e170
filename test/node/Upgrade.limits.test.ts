/** How much a client may ask with, over either carrier: RFC 6585 section 5. */
import * as http from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import * as RawPeer from "../support/RawPeer.ts"

type Fields = ReadonlyArray<readonly [name: string, value: string]>

/** What is counted of a request. */
const bytesOf = (fields: Fields) => fields.reduce((sum, [name, value]) => sum + name.length + value.length, 0)

const http1Fields: Fields = [
  ["Host", "localhost"],
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
  ["Sec-WebSocket-Version", "13"]
]

/** The same fields, and as many more, or one that is as long, as it takes. */
const withCount = (fields: Fields, count: number): Fields => [
  ...fields,
  ...Array.from({ length: count - fields.length }, () => ["x", "y"] as const)
]

const withBytes = (fields: Fields, target: string, bytes: number): Fields => [
  ...fields,
  ["x", "y".repeat(bytes - bytesOf(fields) - target.length - 1)]
]

const askHttp1 = (port: number, fields: Fields) =>
  Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(port)
      peer.send(`GET / HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`)
      return (yield* peer.head).status
    })
  )

const askHttp2 = (port: number, fields: Fields) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* Http2Client.connect(`http://localhost:${port}`, { maxSendHeaderBlockLength: 1 << 20 })
      // With repeated fields, which an object cannot have.
      const stream = session.request(fields.flat() as never, { endStream: false })
      return yield* Effect.callback<number | string>((resume) => {
        stream.on("response", (headers) => resume(Effect.succeed(Number(headers[":status"]))))
        stream.on("error", () => {}).on("close", () => resume(Effect.succeed(`reset with ${stream.rstCode}`)))
      })
    })
  )

const carriers = [
  ["HTTP/1.1", 101, http1Fields, "/", askHttp1],
  ["HTTP/2", 200, Http2Client.rawFields, "", askHttp2]
] as const

/** A server of our own, and one of somebody else's, which reads more than that. */
const servers = [
  [
    "serve",
    (options: object) =>
      Effect.map(
        NodeWebSocketServer.serve({ ...options, http2: true }, () => Effect.never),
        ({ port }) => port
      )
  ],
  [
    "attach",
    (options: object) =>
      Effect.gen(function* () {
        const server = http.createServer({ maxHeaderSize: 1 << 20 })
        const { port } = yield* NodeWebSocketServer.listen(server, {})
        yield* NodeWebSocketServer.attach(server, [
          NodeWebSocketServer.route({ ...options, path: "*" }, () => Effect.never)
        ])
        return port
      })
  ]
] as const

describe("how much a client may ask with", () => {
  for (const [server, start] of servers) {
    for (const [carrier, accepted, fields, target, ask] of carriers) {
      // Our own server of HTTP/2 is not one that somebody else has made, and the other one speaks HTTP/1.1 only.
      if (server === "attach" && carrier === "HTTP/2") continue

      it.live(`${server}, ${carrier}: maxHandshakeBytes pass, one more is refused with 431`, () =>
        Effect.gen(function* () {
          const port = yield* start({ maxHandshakeBytes: 1_000 })
          expect(yield* ask(port, withBytes(fields, target, 1_000))).toBe(accepted)
          expect(yield* ask(port, withBytes(fields, target, 1_001))).toBe(431)
          const standard = yield* start({})
          expect(yield* ask(standard, withBytes(fields, target, 16_384))).toBe(accepted)
          expect(yield* ask(standard, withBytes(fields, target, 16_385))).toBe(431)
        })
      )

      it.live(`${server}, ${carrier}: maxHandshakeFields pass, one more is refused with 431`, () =>
        Effect.gen(function* () {
          const port = yield* start({ maxHandshakeFields: 10 })
          expect(yield* ask(port, withCount(fields, 10))).toBe(accepted)
          expect(yield* ask(port, withCount(fields, 11))).toBe(431)
          const standard = yield* start({})
          expect(yield* ask(standard, withCount(fields, 128))).toBe(accepted)
          expect(yield* ask(standard, withCount(fields, 129))).toBe(431)
        })
      )
    }
  }

  it.live("over HTTP/2, what is far more is reset before it is all there", () =>
    Effect.gen(function* () {
      const port = yield* servers[0][1]({})
      const calm = `reset with ${raw.code.enhanceYourCalm}`
      expect(yield* askHttp2(port, withCount(Http2Client.rawFields, 257))).toBe(calm)
      expect(yield* askHttp2(port, withBytes(Http2Client.rawFields, "", 50_000))).toBe(calm)
    })
  )

  it.live("may have no bound", () =>
    Effect.gen(function* () {
      const port = yield* servers[0][1]({ maxHandshakeBytes: Infinity, maxHandshakeFields: Infinity })
      for (const [, accepted, fields, target, ask] of carriers) {
        expect(yield* ask(port, withCount(withBytes(fields, target, 50_000), 300))).toBe(accepted)
      }
    })
  )
})
