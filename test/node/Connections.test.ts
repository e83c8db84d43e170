/** How the connections of a server are ended with it. */
import * as http from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { countingFibers } from "../support/leaks.ts"
import * as RawPeer from "../support/RawPeer.ts"

type Options = Omit<NodeWebSocketServer.ServeOptions<undefined, never>, "handshake">

/** A server whose handlers live until they are told to go, and the scope that tells them. */
const idle = (options: Options, handler: Effect.Effect<unknown> = Effect.never) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const server = yield* NodeWebSocketServer.serve(options, () => handler).pipe(Scope.provide(scope))
    return { ...server, drain: Scope.close(scope, Exit.void) }
  })

/** Answers the Close that comes, as a client does. */
const answer = (peer: RawPeer.RawPeer) =>
  Effect.map(peer.closeCode, (code) => {
    peer.sendFrame(8, Uint8Array.of(code >> 8, code & 255))
    return code
  })

describe("drain", () => {
  it.live("closes every connection with 1001, and is over when they are", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const before = alive.fibers
        const server = yield* idle({})
        const peers = yield* Effect.forEach(Array.from({ length: 20 }), () => RawPeer.open(server.port))
        expect(server.connections()).toBe(20)
        const draining = yield* start(server.drain)
        const codes = yield* Effect.forEach(peers, answer, { concurrency: "unbounded" })
        expect(new Set(codes)).toEqual(new Set([1001]))
        yield* Fiber.join(draining)
        expect(server.connections()).toBe(0)
        yield* Effect.forEach(peers, (peer) => peer.rest)
        yield* eventually(() => alive.fibers === before)
      })
    )
  )

  it.live("goes in batches over the window", () =>
    Effect.gen(function* () {
      const server = yield* idle({ drain: { window: "2 seconds" } })
      const times: Array<number> = []
      const peers = yield* Effect.forEach(Array.from({ length: 250 }), () => RawPeer.open(server.port), {
        concurrency: 10
      })
      const draining = yield* start(server.drain)
      const from = performance.now()
      yield* Effect.forEach(
        peers,
        (peer) => Effect.tap(answer(peer), () => Effect.sync(() => times.push(performance.now() - from))),
        { concurrency: "unbounded" }
      )
      yield* Fiber.join(draining)
      // 250 are three batches of at most 100, a tenth of the window apart.
      times.sort((a, b) => a - b)
      expect(times[100]! - times[0]!).toBeGreaterThan(40)
      expect(times[200]! - times[100]!).toBeGreaterThan(30)
      expect(times[249]!).toBeLessThan(2_000)
    })
  )

  it.live("does not wait longer than closeTimeout and the window for peers that are mute", () =>
    Effect.gen(function* () {
      const server = yield* idle({ limits: { closeTimeout: "200 millis" }, drain: { window: "100 millis" } })
      const mute = yield* Effect.forEach(Array.from({ length: 5 }), () => RawPeer.open(server.port))
      for (const { socket } of mute) socket.pause()
      const from = performance.now()
      yield* server.drain
      expect(performance.now() - from).toBeGreaterThanOrEqual(190)
      expect(performance.now() - from).toBeLessThan(1_000)
    })
  )

  it.live("cuts the connection of a handler that does not let go", () =>
    Effect.gen(function* () {
      let release: (() => void) | undefined
      const stubborn = Effect.uninterruptible(
        Effect.callback<void>((resume) => {
          release = () => resume(Effect.void)
        })
      )
      // Not by the end of the server, which is not ours.
      const server = http.createServer()
      const { port } = yield* NodeWebSocketServer.listen(server, {})
      const scope = yield* Scope.make()
      const limits = { closeTimeout: "50 millis" } as const
      yield* NodeWebSocketServer.attach(server, [
        NodeWebSocketServer.route({ path: "*", limits }, () => stubborn)
      ]).pipe(Scope.provide(scope))
      const peer = yield* RawPeer.open(port)
      yield* eventually(() => release !== undefined)
      const from = performance.now()
      yield* Scope.close(scope, Exit.void)
      expect(performance.now() - from).toBeLessThan(2_500)
      expect((yield* peer.rest).length).toBe(0)
      release!()
    })
  )

  it.live("waits for what handlers do at their end", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const tidy = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(
          settled,
          Effect.sync(() => told.push("saved"))
        )
      )
      const server = yield* idle({}, tidy)
      const peer = yield* RawPeer.open(server.port)
      const draining = yield* start(server.drain)
      yield* answer(peer)
      yield* Fiber.join(draining)
      expect(told).toEqual(["saved"])
    })
  )

  it.live("sends away with 503 whoever comes meanwhile over a connection that is there", () =>
    Effect.gen(function* () {
      const server = yield* idle({ limits: { closeTimeout: "300 millis" } })
      const mute = yield* RawPeer.open(server.port)
      const late = yield* RawPeer.connect(server.port)
      // A request before, so that the server knows of the connection.
      late.send("GET / HTTP/1.1\r\nHost: localhost\r\n")
      yield* settled
      const draining = yield* start(server.drain)
      expect(yield* mute.closeCode).toBe(1001)
      late.send("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
      late.send("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
      const head = yield* late.head
      expect([head.status, head.header("Retry-After")]).toEqual([503, "1"])
      yield* Fiber.join(draining)
    })
  )
})
