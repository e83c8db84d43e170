/**
 * Clients that vanish at every byte of the opening handshake, and connections made and killed at random points: the
 * process lives, and as many fibers, timers and sockets are there afterwards as before.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fc from "fast-check"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Endpoint from "@millrace/node/Endpoint"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import { concat, encode, frame } from "../support/frames.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

const echo = (connection: WebSocket.WebSocket<unknown>) => Stream.runForEach(connection.messages, connection.send)

/** Takes a turn, so that a client may go before it is answered. */
const handshake = () => Effect.as(settled, Endpoint.accept(undefined))

const request = Buffer.from(RawPeer.upgradeRequest("/", { Origin: "http://localhost" }))

const message = encode(frame(1, Buffer.alloc(2_000, "x")), 0x01020304)

describe("a client that vanishes at any byte of its request", () => {
  it.live.each([
    ["RST", (peer: RawPeer.RawPeer) => peer.reset()],
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end()]
  ] as const)("by %s leaves nothing", ([_how, leave]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({ handshake }, echo)
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const wire = concat([request, message.subarray(0, 40)])
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
        yield* backTo(before.resources, 2_000)
        yield* RawPeer.open(server.port)
      })
    )
  )
})

describe("a server that vanishes at any byte of its answer", () => {
  it.live.each([
    ["RST", (peer: RawPeer.RawPeer) => peer.reset()],
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end()]
  ] as const)("by %s leaves nothing with the client", ([_how, leave]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* RawPeer.listen
        const answer = Buffer.from(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
        )
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        for (let length = 0; length <= answer.length; length++) {
          yield* Effect.all(
            [
              Effect.exit(Effect.scoped(NodeWebSocket.open(`ws://127.0.0.1:${server.port}/`))),
              Effect.gen(function* () {
                const peer = yield* server.accept
                yield* peer.head
                peer.send(answer.subarray(0, length))
                yield* eventually(() => peer.socket.writableLength === 0)
                leave(peer)
              })
            ],
            { concurrency: 2, discard: true }
          )
        }
        yield* eventually(() => server.size() === 0)
        yield* eventually(() => alive.fibers === before.fibers)
        yield* backTo(before.resources, 2_000)
      })
    )
  )
})

/** What may become of a connection. */
type Fate = "RST in the request" | "RST in a frame" | "FIN in a frame" | "Close" | "Close, then RST" | "RST" | "FIN"

const fates: ReadonlyArray<Fate> = [
  "RST in the request",
  "RST in a frame",
  "FIN in a frame",
  "Close",
  "Close, then RST",
  "RST",
  "FIN"
]

const live = (port: number, fate: Fate, at: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(port)
      if (fate === "RST in the request") {
        peer.send(request.subarray(0, at % request.length))
        return peer.reset()
      }
      peer.send(request)
      if (at % 3 > 0) yield* peer.head
      if (at % 3 > 1) {
        peer.send(message)
        yield* peer.frame
      }
      if (fate.endsWith("in a frame")) peer.send(message.subarray(0, at % message.length))
      if (fate.startsWith("Close")) peer.sendFrame(8, Uint8Array.of(0x03, 0xe8))
      if (fate.includes("RST")) return peer.reset()
      if (fate.includes("FIN")) peer.socket.end()
      yield* peer.rest
    })
  )

describe("1,000 connections that are made and killed at random points", () => {
  it.live("leave fibers, timers and sockets as they were", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const start = { fibers: alive.fibers, resources: resources() }
        const scope = yield* Scope.make()
        const server = yield* NodeWebSocketServer.serve(
          { handshake, limits: { closeTimeout: "200 millis" }, drain: { window: "50 millis" } },
          echo
        ).pipe(Scope.provide(scope))
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const lives = fc.sample(fc.tuple(fc.constantFrom(...fates), fc.nat()), 800)
        yield* Effect.forEach(lives, ([fate, at]) => live(server.port, fate, at), { concurrency: 25, discard: true })
        yield* eventually(() => server.connections() === 0)
        yield* eventually(() => alive.fibers === before.fibers)
        // The wheel may turn once more: it sleeps when it finds nothing to wait for.
        yield* backTo(before.resources, 2_000)

        // The rest is ended by the server, in whatever state it is.
        const rest = fc.sample(fc.nat(3), 200)
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.forEach(
              rest,
              (state) =>
                Effect.gen(function* () {
                  const peer = yield* RawPeer.connect(server.port)
                  if (state > 0) peer.send(request)
                  if (state > 1) yield* peer.head
                  if (state > 2) peer.send(message.subarray(0, 1_000))
                }),
              { concurrency: 25, discard: true }
            )
            yield* Scope.close(scope, Exit.void)
          })
        )
        expect(server.connections()).toBe(0)
        yield* eventually(() => alive.fibers === start.fibers)
        yield* backTo(start.resources, 2_000)
      })
    )
  )

  it.live("and as many of clients", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({}, (connection) =>
          Effect.raceFirst(echo(connection), Effect.andThen(settled, Effect.void))
        )
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const lives = fc.sample(fc.nat(4), 500)
        yield* Effect.forEach(
          lives,
          (state) => {
            const opened = Effect.scoped(
              Effect.flatMap(NodeWebSocket.open(server.url), (connection): Effect.Effect<void, unknown> =>
                state === 0
                  ? Effect.fail("no")
                  : state === 1
                    ? Effect.asVoid(connection.close(4_000))
                    : Effect.andThen(Effect.ignore(connection.send("x")), Effect.ignore(connection.pull))
              )
            )
            // Some are interrupted, at whatever point they are then.
            return Effect.exit(state === 4 ? Effect.raceFirst(opened, settled) : opened)
          },
          { concurrency: 25, discard: true }
        )
        yield* eventually(() => server.connections() === 0)
        yield* eventually(() => alive.fibers === before.fibers)
        yield* backTo(before.resources, 2_000)
      })
    )
  )
})
