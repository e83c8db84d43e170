/** The origins of pages that may connect, over the wire: RFC 6455 section 10.2. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import * as RawPeer from "../support/RawPeer.ts"

const listed = Result.getOrThrow(
  Origin.allow(["https://example.com", "https://*.example.org", "http://localhost:5173"])
)

const statusFor = (policy: Origin.Policy | undefined, origin: string | undefined, host = "chat.example.com") =>
  Effect.gen(function* () {
    const handled: Array<unknown> = []
    const server = yield* NodeWebSocketServer.serve({ origin: policy }, (connection) => {
      handled.push(connection)
      return Effect.never
    })
    const peer = yield* RawPeer.connect(server.port)
    peer.send(RawPeer.upgradeRequest("/", { Host: host, Origin: origin }))
    const { status } = yield* peer.head
    expect(handled.length).toBe(status === 101 ? 1 : 0)
    return status
  })

describe("pages that may connect", () => {
  it.live.each([
    // By default those of the host that the request is addressed to.
    [101, undefined, "http://chat.example.com"],
    [101, undefined, "https://chat.example.com"],
    [101, undefined, "HTTPS://CHAT.example.com"],
    [403, undefined, "https://chat.example.com:8443"],
    [403, undefined, "https://example.com"],
    [403, undefined, "https://chat.example.com.evil"],
    [403, undefined, "https://chat.example.com."],
    [403, undefined, "https://evilchat.example.com"],
    [403, undefined, "https://chat.example.com@evil"],
    [403, undefined, "https://chat.example.com/path"],
    [403, undefined, "null"],
    [403, undefined, ""],
    [403, undefined, "file://"],
    // Programs that are no browsers.
    [101, undefined, undefined],
    [101, listed, undefined],
    // A list.
    [101, listed, "https://example.com"],
    [101, listed, "https://example.com:443"],
    [101, listed, "http://localhost:5173"],
    [101, listed, "https://a.b.example.org"],
    [403, listed, "https://example.org"],
    [403, listed, "http://example.com"],
    [403, listed, "http://localhost"],
    [403, listed, "https://example.com.evil"],
    [403, listed, "https://notexample.org"],
    [403, listed, "https://example.org.evil"],
    [403, listed, "https://chat.example.com"],
    [403, listed, "null"],
    [403, listed, "https://еxample.com"],
    // Everybody, for whoever asks for it.
    [101, Origin.any, "https://anywhere"],
    [101, Origin.any, "null"]
  ] as const)("%i under %j for %s", ([status, policy, origin]) =>
    Effect.gen(function* () {
      expect(yield* statusFor(policy, origin)).toBe(status)
    })
  )

  it.live("with a port in Host, those of that port", () =>
    Effect.gen(function* () {
      expect(yield* statusFor(undefined, "http://localhost:8080", "localhost:8080")).toBe(101)
      expect(yield* statusFor(undefined, "http://localhost:8081", "localhost:8080")).toBe(403)
      expect(yield* statusFor(undefined, "http://localhost", "localhost:8080")).toBe(403)
    })
  )

  it.live("two origins are refused", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, () => Effect.never)
      const peer = yield* RawPeer.connect(server.port)
      const origins = "Origin: http://localhost\r\nOrigin: http://evil\r\n\r\n"
      peer.send(RawPeer.upgradeRequest().replace(/\r\n$/, origins))
      expect((yield* peer.head).status).toBe(400)
    })
  )
})
