/** How a connection over HTTP/2 ends: RFC 8441 section 5, where a stream takes the place of TCP. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import { encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import { logged } from "../support/logged.ts"

const closeWith = (code: number) => encode(frame(8, Uint8Array.of(code >> 8, code & 255)), 0x01020304)

/** A server, what its connections ended as, and a client that writes frames and has a connection. */
const serve = (
  handler: (connection: WebSocket.WebSocket<unknown>) => Effect.Effect<unknown, unknown> = (connection) =>
    Stream.runDrain(connection.messages)
) =>
  Effect.gen(function* () {
    const ended: Array<Closed> = []
    const reasons: Array<string> = []
    const server = yield* NodeWebSocketServer.serve(
      { http2: true, limits: { closeTimeout: "300 millis" } },
      (connection) =>
        handler(connection).pipe(
          Effect.tapError((error) =>
            Effect.sync(() => reasons.push((error as { readonly reason: { readonly _tag: string } }).reason._tag))
          ),
          Effect.ensuring(
            Effect.forkDetach(
              Effect.map(connection.closed, (closed) => void ended.push(closed)),
              {
                startImmediately: true
              }
            )
          )
        )
    )
    const client = yield* Http2Client.connectRaw(server.port)
    client.send(raw.headers(1, Http2Client.rawFields))
    yield* client.next(raw.type.headers)
    return { ...server, client, ended, reasons }
  })

/** All that comes on the stream from now on, up to its reset, or to the end of both its halves. */
const rest = (client: raw.RawHttp2, ourHalfEnded = false): Effect.Effect<string> =>
  Effect.gen(function* () {
    let said = ""
    for (;;) {
      const { flags, kind, payload, stream } = yield* client.frame
      if (stream !== 1) continue
      if (kind === raw.type.data) said += payload.toString("hex")
      if (kind === raw.type.data && flags === 1) said += " END_STREAM"
      if (kind === raw.type.rstStream) return `${said} RST_STREAM ${payload.readUInt32BE(0)}`.trim()
      if (kind === raw.type.data && flags === 1 && ourHalfEnded) return said
    }
  })

describe("a closing handshake over HTTP/2", () => {
  it.live("ends with END_STREAM behind the answer, and with no reset when the client has ended its half", () =>
    Effect.gen(function* () {
      const { client, connections, ended } = yield* serve()
      client.send(raw.data(1, closeWith(1000), true))
      expect(yield* rest(client, true)).toBe("880203e8 END_STREAM")
      yield* eventually(() => connections() === 0)
      expect([ended[0]?.by, ended[0]?.received?.code]).toEqual(["remote", 1000])
      // Nothing more comes on it: the next that does is for another.
      client.send(raw.headers(3, Http2Client.rawFields))
      let next = yield* client.frame
      while (next.stream === 0) next = yield* client.frame
      expect([next.stream, next.kind]).toEqual([3, raw.type.headers])
    })
  )

  it.live("is over at once though the client leaves its half open, as Chromium does: a reset with NO_ERROR", () =>
    Effect.gen(function* () {
      const { client, connections, ended } = yield* serve()
      const from = performance.now()
      client.send(raw.data(1, closeWith(1000)))
      expect(yield* rest(client)).toBe("880203e8 END_STREAM RST_STREAM 0")
      yield* eventually(() => connections() === 0)
      expect(performance.now() - from).toBeLessThan(200)
      expect(ended[0]?.received?.code).toBe(1000)
    })
  )

  it.live("that the server begins ends the same way", () =>
    Effect.gen(function* () {
      const { client, connections, ended } = yield* serve(() => Effect.void)
      expect((yield* client.next(raw.type.data)).payload.toString("hex")).toBe("880203e8")
      client.send(raw.data(1, closeWith(1000)))
      expect(yield* rest(client)).toBe("END_STREAM RST_STREAM 0")
      yield* eventually(() => connections() === 0)
      expect([ended[0]?.by, ended[0]?.received?.code]).toEqual(["local", 1000])
    })
  )

  it.live("that the client resets with CANCEL when it is done, as Firefox does, is in good order", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { client, connections, ended, reasons } = yield* serve()
        client.send(raw.data(1, closeWith(1001)), raw.rstStream(1, raw.code.cancel))
        yield* eventually(() => connections() === 0)
        client.send(raw.headers(3, Http2Client.rawFields))
        yield* client.next(raw.type.headers)
        client.send(raw.data(3, closeWith(1000)))
        yield* client.next(raw.type.data)
        client.send(raw.rstStream(3, raw.code.cancel))
        yield* eventually(() => ended.length === 2)
        expect(ended.map(({ by, received }) => [by, received?.code])).toEqual([
          ["remote", 1001],
          ["remote", 1000]
        ])
        expect(reasons).toEqual([])
        expect(entries).toEqual([])
      })
    )
  )

  it.live("that the client does not answer is cut after closeTimeout, with CANCEL", () =>
    Effect.gen(function* () {
      const { client, connections } = yield* serve(() => Effect.void)
      const from = performance.now()
      expect(yield* rest(client)).toMatch(/^880203e8( END_STREAM)? RST_STREAM 8$/)
      expect(performance.now() - from).toBeGreaterThan(250)
      yield* eventually(() => connections() === 0)
    })
  )
})

describe("another end over HTTP/2", () => {
  it.live.each([
    ["END_STREAM without a Close", () => raw.data(1, "", true), "ConnectionLost", "END_STREAM"],
    ["CANCEL", () => raw.rstStream(1, raw.code.cancel), "ConnectionLost", undefined],
    ["NO_ERROR", () => raw.rstStream(1, raw.code.noError), "ConnectionLost", undefined],
    [
      "the end of the TCP connection",
      (client: raw.RawHttp2): undefined => void client.peer.socket.end(),
      "ConnectionLost",
      undefined
    ],
    ["its reset", (client: raw.RawHttp2): undefined => void client.peer.reset(), "TransportError", undefined],
    ["another code", () => raw.rstStream(1, raw.code.internalError), "TransportError", undefined],
    [
      "an unmasked frame",
      () => raw.data(1, Uint8Array.of(0x81, 0)),
      "ProtocolViolation",
      /^88..03ea[\da-f]* END_STREAM RST_STREAM 0$/
    ]
  ] as const)("%s fails the messages of the handler, and is no error of the server", ([_how, act, reason, says]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const { client, connections, ended, reasons } = yield* serve()
        const sent = act(client)
        if (sent !== undefined) client.send(sent)
        if (says !== undefined) expect(yield* rest(client, typeof says === "string")).toMatch(says)
        yield* eventually(() => connections() === 0)
        expect(reasons).toEqual([reason])
        expect(ended[0]?.received).toBeUndefined()
        expect(entries.filter(({ level }) => level !== "Debug")).toEqual([])
      })
    )
  )

  it.live("comes behind what was said before it, though the client takes its time to read that", () =>
    Effect.gen(function* () {
      const { client, connections } = yield* serve((connection) =>
        Effect.andThen(connection.send(new Uint8Array(200_000)), Stream.runDrain(connection.messages))
      )
      // As much as it may without a WINDOW_UPDATE.
      for (let received = 0; received < 65_535;) received += (yield* client.next(raw.type.data)).payload.length
      client.send(raw.data(1, Uint8Array.of(0x81, 0)))
      yield* settled
      client.send(raw.windowUpdate(0, 1_000_000), raw.windowUpdate(1, 1_000_000))
      const said = yield* rest(client)
      expect(said).toMatch(/88..03ea[\da-f]* END_STREAM RST_STREAM 0$/)
      expect(said.length).toBeGreaterThan(2 * (200_000 - 65_535))
      yield* eventually(() => connections() === 0)
    })
  )

  it.live("leaves the other streams of the session as they were", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ http2: true }, (connection) =>
        Stream.runForEach(connection.messages, connection.send)
      )
      const session = yield* Http2Client.connect(server.url)
      const [first, second] = [yield* Http2Client.open(session), yield* Http2Client.open(session)]
      first.stream.on("error", () => {}).close(raw.code.internalError)
      yield* eventually(() => server.connections() === 1)
      yield* settled
      second.peer.sendFrame(1, "still here")
      expect(Buffer.from((yield* second.peer.frame).payload).toString()).toBe("still here")
    })
  )
})
