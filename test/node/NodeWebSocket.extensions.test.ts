/** What a client offers and agrees to, in the handshake of either carrier: RFC 6455 section 9.1. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Handshake from "@millrace/core/codec/Handshake"
import { HandshakeViolation } from "@millrace/core/codec/HandshakeError"
import type * as Extension from "@millrace/core/connection/Extension"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { plain } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { Shift } from "../support/extensions.ts"
import { encode } from "../support/frames.ts"
import * as http2 from "../support/http2.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** Every byte plus one, under RSV2; a server must not answer that it is `loud`. */
const shift: Extension.Extension = {
  name: "shift",
  rsv: 2,
  offers: [
    { name: "shift", params: [["by", "2"]] },
    { name: "shift", params: [["by", "1"]] }
  ],
  accept: () => undefined,
  verify: (answered) =>
    answered.some(({ params }) => params.some(([name]) => name === "loud"))
      ? Result.fail(
          new HandshakeViolation({
            field: "Sec-WebSocket-Extensions",
            clause: "of the test",
            detail: "a parameter that there is not"
          })
        )
      : Result.succeed(() => new Shift())
}

const other: Extension.Extension = { ...shift, name: "other", rsv: 4, offers: [{ name: "other", params: [] }] }

type Carrier = "HTTP/1.1" | "HTTP/2"

const carriers: ReadonlyArray<Carrier> = ["HTTP/1.1", "HTTP/2"]

/** A server that lists `listed` in its answer, and sends back what it gets as it is. */
const listing = (carrier: Carrier, listed: string | undefined) =>
  Effect.gen(function* () {
    const offered: Array<string | undefined> = []
    if (carrier === "HTTP/2") {
      const { port, sessions } = yield* http2.serve((request) => {
        offered.push(request.header("sec-websocket-extensions"))
        http2.echo(request, listed === undefined ? {} : { "sec-websocket-extensions": listed })
      })
      return { url: `ws://localhost:${port}/`, offered, size: () => sessions.size }
    }
    const server = yield* RawPeer.listen
    const answer = Effect.fnUntraced(function* (peer: RawPeer.RawPeer) {
      const request = yield* peer.head
      offered.push(request.header("Sec-WebSocket-Extensions"))
      const fields = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        `Sec-WebSocket-Accept: ${Handshake.acceptKey(request.header("Sec-WebSocket-Key") ?? "")}`,
        ...(listed === undefined ? [] : [`Sec-WebSocket-Extensions: ${listed}`])
      ]
      peer.send(`${fields.join("\r\n")}\r\n\r\n`)
      // Until the client has gone.
      yield* Effect.exit(Effect.forever(Effect.map(peer.frame, ({ key: _key, ...frame }) => peer.send(encode(frame)))))
      peer.socket.end()
    })
    const serve = Effect.flatMap(server.accept, (peer) => Effect.forkScoped(answer(peer)))
    yield* Effect.forkScoped(Effect.forever(serve))
    return { url: `ws://localhost:${server.port}/`, offered, size: server.size }
  })

const optionsOf = (carrier: Carrier, extensions: ReadonlyArray<Extension.Extension>): NodeWebSocket.Options => ({
  http2: carrier === "HTTP/2",
  extensions,
  limits: { closeTimeout: "50 millis" }
})

describe.each(carriers)("over %s", (carrier) => {
  it.live("what is offered is what was asked for, the best first, and nothing unless it was", () =>
    Effect.gen(function* () {
      const { offered, url } = yield* listing(carrier, undefined)
      for (const extensions of [[], [shift], [other, shift]]) {
        const connection = yield* NodeWebSocket.open(url, optionsOf(carrier, extensions))
        expect(connection.extensions).toEqual([])
        yield* connection.send("abc")
        expect(plain(yield* connection.pull)).toEqual(["abc"])
      }
      expect(offered).toEqual([undefined, "shift; by=2, shift; by=1", "other, shift; by=2, shift; by=1"])
    })
  )

  it.live("what the server agrees to is spoken, both ways", () =>
    Effect.gen(function* () {
      const { url } = yield* listing(carrier, "shift; by=1")
      const connection = yield* NodeWebSocket.open(url, optionsOf(carrier, [other, shift]))
      expect(connection.extensions).toEqual([{ name: "shift", params: [["by", "1"]] }])
      // The server has not understood it, and yet what comes back is what was sent.
      yield* connection.send("abc")
      expect(plain(yield* connection.pull)).toEqual(["abc"])
    })
  )

  it.live.each([
    ["an answer that the extension does not take", "shift; loud", "of the test"],
    ["an extension that was not offered", "other", "RFC 6455 4.1"],
    ["a list that is none", "shift;;", "RFC 6455 9.1"]
  ] as const)("%s violates the handshake, and no socket is left", ([_what, listed, clause]) =>
    Effect.gen(function* () {
      const { size, url } = yield* listing(carrier, listed)
      const { reason } = yield* Effect.flip(NodeWebSocket.open(url, optionsOf(carrier, [shift])))
      expect(reason._tag === "HandshakeViolation" && [reason.field, reason.clause]).toEqual([
        "Sec-WebSocket-Extensions",
        clause
      ])
      yield* eventually(() => size() === 0)
    })
  )

  it.live.each([
    ["twice the same", [shift, shift]],
    ["two that give a bit a meaning", [shift, { ...shift, name: "other" }]],
    ["one that is not made of tokens", [{ ...shift, offers: [{ name: "a b", params: [] }] }]]
  ] as const)("%s is the caller's fault, and nothing is sent", ([_which, extensions]) =>
    Effect.gen(function* () {
      const server = yield* RawPeer.listen
      const { reason } = yield* Effect.flip(
        NodeWebSocket.open(`ws://localhost:${server.port}/`, {
          ...optionsOf(carrier, extensions),
          handshakeTimeout: "100 millis"
        })
      )
      expect(reason._tag).toMatch(/^InvalidOptions$|^InvalidHead$/)
      yield* settled
      expect(server.size()).toBe(0)
    })
  )

  it.live("messages are compressed that our server has agreed to compress", () =>
    Effect.gen(function* () {
      const extension = NodeDeflate.compression()
      const server = yield* NodeWebSocketServer.serve({ http2: true, extensions: [extension] }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      const connection = yield* NodeWebSocket.open(server.url, {
        http2: carrier === "HTTP/2",
        extensions: [extension]
      })
      expect(connection.extensions.map(({ name }) => name)).toEqual(["permessage-deflate"])
      const text = "to and fro ".repeat(1_000)
      yield* connection.send(text)
      expect(plain([yield* connection.receive])).toEqual([text])
    })
  )
})
