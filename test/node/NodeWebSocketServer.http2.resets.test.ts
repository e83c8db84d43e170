/**
 * Streams, sessions and sockets that vanish at every frame of a handshake and at random points afterwards: the process
 * lives, and as many fibers, timers, streams, sessions and sockets are there afterwards as before.
 */
import type * as http2 from "node:http2"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "fast-check"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import * as Http2Client from "../support/Http2Client.ts"
import * as raw from "../support/http2.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** Takes a turn, so that a client may go before it is answered. */
const handshake = () => Effect.as(settled, Endpoint.accept(undefined))

const message = encode(frame(1, Buffer.alloc(2_000, "x")), 0x01020304)

const closing = encode(frame(8, Uint8Array.of(0x03, 0xe8)), 0x01020304)

describe("a client that vanishes at any byte of its session", () => {
  it.live.each([
    ["RST", (peer: RawPeer.RawPeer) => peer.reset()],
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end()]
  ] as const)("by %s leaves nothing", ([_how, leave]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({ http2: true, handshake }, echo)
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const wire = concat([
          Buffer.from(raw.preface),
          raw.settings(),
          raw.settingsAck,
          raw.headers(1, Http2Client.rawFields),
          raw.headers(3, Http2Client.rawFields),
          raw.data(1, message.subarray(0, 20)),
          raw.data(3, closing, true)
        ])
        yield* Effect.forEach(
          Array.from({ length: wire.length + 1 }, (_, length) => length),
          (length) =>
            Effect.scoped(
              Effect.gen(function* () {
                const peer = yield* RawPeer.connect(server.port)
                for (let at = 0; at < length; at += 64) peer.send(wire.subarray(at, Math.min(at + 64, length)))
                yield* eventually(() => peer.socket.writableLength === 0)
                leave(peer)
                yield* peer.rest
              })
            ),
          { concurrency: 8, discard: true }
        )
        yield* eventually(() => server.connections() === 0)
        yield* eventually(() => alive.fibers === before.fibers)
        yield* backTo(before.resources, 4_000)
        yield* Http2Client.open(yield* Http2Client.connect(server.url))
      })
    )
  )
})

/** What may become of a stream. */
type Fate =
  | "CANCEL at once"
  | "CANCEL"
  | "another code"
  | "END_STREAM"
  | "Close"
  | "Close, then CANCEL"
  | "left to its session"

const fates: ReadonlyArray<Fate> = [
  "CANCEL at once",
  "CANCEL",
  "another code",
  "END_STREAM",
  "Close",
  "Close, then CANCEL",
  "left to its session"
]

const ended = (stream: http2.Http2Stream): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (stream.destroyed) return resume(Effect.void)
    stream.once("close", () => resume(Effect.void))
  })

const live = (session: http2.ClientHttp2Session, fate: Fate, at: number) =>
  Effect.gen(function* () {
    if (session.closed || session.destroyed) return
    const stream = session.request(Http2Client.connectFields(), { endStream: false })
    stream.on("error", () => {}).resume()
    if (fate === "CANCEL at once") return stream.close(raw.code.cancel)
    if (at % 3 > 0) yield* settled
    if (at % 3 > 1) stream.write(message)
    stream.write(message.subarray(0, fate.startsWith("Close") ? 0 : at % message.length))
    if (at % 5 > 2) yield* settled
    if (fate === "left to its session") return
    if (fate === "CANCEL") stream.close(raw.code.cancel)
    if (fate === "another code") stream.close(raw.code.internalError)
    if (fate === "END_STREAM") stream.end()
    if (fate.startsWith("Close")) stream.write(closing)
    if (fate === "Close, then CANCEL") {
      // As Firefox does.
      yield* settled
      stream.close(raw.code.cancel)
    }
    if (fate === "Close") stream.end()
    yield* ended(stream)
  })

/** What may become of a session when its streams have met their fates. */
const ends: ReadonlyArray<(session: http2.ClientHttp2Session) => void> = [
  (session) => session.close(),
  (session) => session.destroy(),
  (session) => session.destroy(undefined, raw.code.internalError),
  (session) => session.goaway(raw.code.noError)
]

const session = (url: string, streams: ReadonlyArray<readonly [Fate, number]>, end: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* Http2Client.connect(url)
      session.on("error", () => {})
      yield* Effect.forEach(streams, ([fate, at]) => live(session, fate, at), {
        concurrency: "unbounded",
        discard: true
      })
      ends[end]!(session)
    })
  )

const sessions = fc.tuple(
  fc.array(fc.tuple(fc.constantFrom(...fates), fc.nat()), { minLength: 1, maxLength: 20 }),
  fc.nat(ends.length - 1)
)

describe("some 1,000 streams that are made and killed at random points", () => {
  it.live("leave fibers, timers, streams, sessions and sockets as they were", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const start = { fibers: alive.fibers, resources: resources() }
        const scope = yield* Scope.make()
        const server = yield* NodeWebSocketServer.serve(
          {
            http2: true,
            handshake,
            handshakeTimeout: "2 seconds",
            limits: { closeTimeout: "200 millis" },
            drain: { window: "50 millis" }
          },
          echo
        ).pipe(Scope.provide(scope))
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const lives = fc.sample(sessions, 80)
        yield* Effect.forEach(lives, ([streams, end]) => session(server.url, streams, end), {
          concurrency: 8,
          discard: true
        })
        yield* eventually(() => server.connections() === 0)
        yield* eventually(() => alive.fibers === before.fibers)
        // Sessions that were left have a time of their own to end.
        yield* backTo(before.resources, 6_000)

        // The rest is ended by the server, in whatever state it is.
        yield* Effect.scoped(
          Effect.gen(function* () {
            const rest = yield* Effect.forEach([1, 2, 3, 4], () => Http2Client.connect(server.url))
            for (const [i, state] of fc.sample(fc.nat(3), 200).entries()) {
              const stream = rest[i % rest.length]!.request(Http2Client.connectFields(), { endStream: false })
              stream.on("error", () => {}).resume()
              if (state > 0) stream.write(message.subarray(0, 500 * state))
              if (state > 2) stream.end()
              if (i % 10 === 0) yield* settled
            }
            yield* Scope.close(scope, Exit.void)
          })
        )
        expect(server.connections()).toBe(0)
        yield* eventually(() => alive.fibers === start.fibers)
        yield* backTo(start.resources, 2_000)
      })
    )
  )
})
