/** The extensions of an endpoint, in the handshake of either carrier: RFC 6455 section 9.1. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type * as Extension from "@millrace/core/connection/Extension"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { Shift } from "../support/extensions.ts"
import * as Http2Client from "../support/Http2Client.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** Every byte plus one, under RSV2. Declines a client that wants it `loud`. */
const shift: Extension.Extension = {
  name: "shift",
  rsv: 2,
  offers: [],
  accept: (offered) =>
    offered.some(({ params }) => params.some(([name]) => name === "loud"))
      ? undefined
      : { response: { name: "shift", params: [["by", "1"]] }, makeCoder: () => new Shift() },
  verify: () => Result.succeed(() => new Shift())
}

const serve = (extensions?: ReadonlyArray<Extension.Extension>) =>
  NodeWebSocketServer.serve({ http2: true, extensions }, (connection) =>
    Stream.runForEach(connection.messages, connection.send)
  )

/** What the response lists, and the end of the connection. */
const offer = (carrier: "HTTP/1.1" | "HTTP/2", port: number, offered: string) =>
  Effect.gen(function* () {
    if (carrier === "HTTP/2") {
      const session = yield* Http2Client.connect(`http://localhost:${port}`)
      const { header, peer, status } = yield* Http2Client.ask(session, "/", { "sec-websocket-extensions": offered })
      return { status, listed: header("sec-websocket-extensions"), peer }
    }
    const peer = yield* RawPeer.connect(port)
    peer.send(RawPeer.upgradeRequest("/", { "Sec-WebSocket-Extensions": offered }))
    const { header, status } = yield* peer.head
    return { status, listed: header("Sec-WebSocket-Extensions"), peer }
  })

describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s", (carrier) => {
  it.live("an extension that both want is listed in the response, and spoken", () =>
    Effect.gen(function* () {
      const { port } = yield* serve([shift])
      const { listed, peer } = yield* offer(carrier, port, "other, shift; quiet")
      expect(listed).toBe("shift; by=1")
      peer.sendFrame(1, "abc")
      const { payload, rsv } = yield* peer.frame
      expect([Buffer.from(payload).toString(), rsv]).toEqual(["bcd", 2])
    })
  )

  it.live.each([
    ["the server does not speak", undefined, "shift"],
    ["the server declines", [shift], "shift; loud"],
    ["the client does not offer", [shift], "other"]
  ] as const)("one that %s is not there", ([_which, extensions, offered]) =>
    Effect.gen(function* () {
      const { port } = yield* serve(extensions)
      const { listed, peer } = yield* offer(carrier, port, offered)
      expect(listed).toBeUndefined()
      peer.sendFrame(1, "abc")
      const { payload, rsv } = yield* peer.frame
      expect([Buffer.from(payload).toString(), rsv]).toEqual(["abc", 0])
    })
  )

  it.live("one whose response cannot be sent is a mistake of ours: 500, and the log says why", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const broken = { ...shift, accept: () => ({ response: { name: "shift", params: [["a b", undefined]] } }) }
        const { port } = yield* serve([broken as unknown as Extension.Extension])
        const { status } = yield* offer(carrier, port, "shift")
        expect(status).toBe(500)
        expect(entries.map(({ level }) => level)).toEqual(["Error"])
        // And nobody else is harmed.
        expect((yield* offer(carrier, port, "other")).listed).toBeUndefined()
      })
    )
  )
})

describe("extensions that cannot be used together", () => {
  it.each([
    ["twice the same", [shift, shift]],
    ["two that give a bit a meaning", [shift, { ...shift, name: "other" }]]
  ])("%s are refused when the endpoint is made", (_which, extensions) => {
    expect(() => NodeWebSocketServer.route({ path: "/", extensions }, () => Effect.void)).toThrow(TypeError)
  })
})
