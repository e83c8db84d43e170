/** A server ends in bounded time, whatever its clients are at, and no client can end it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

describe("a server that shuts down", () => {
  it.live("refuses with 503 whom it has not accepted yet, and does not wait for the handshake", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      let asked = false
      const server = yield* NodeWebSocketServer.serve(
        {
          handshake: () =>
            Effect.suspend(() => {
              asked = true
              return Effect.never
            })
        },
        () => Effect.never
      ).pipe(Scope.provide(scope))
      const peer = yield* RawPeer.connect(server.port)
      peer.send(RawPeer.upgradeRequest())
      yield* eventually(() => asked)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      const head = yield* peer.head
      expect(head.status).toBe(503)
      expect(head.header("Retry-After")).toBe("1")
      peer.socket.end()
      yield* Effect.timeout(Fiber.join(closing), "3 seconds")
    })
  )
})

describe("an upgrade behind a request whose answer is on its way", () => {
  it.live("ends the connection and nothing else", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, () => Effect.never)
      const peer = yield* RawPeer.connect(server.port)
      const plain = { Upgrade: undefined, Connection: undefined }
      peer.send(RawPeer.upgradeRequest("/", plain) + RawPeer.upgradeRequest("/", { Upgrade: "h2c" }))
      expect((yield* peer.head).status).toBe(426)
      peer.socket.end()
      yield* peer.rest
      const next = yield* RawPeer.connect(server.port)
      next.send(RawPeer.upgradeRequest())
      expect((yield* next.head).status).toBe(101)
    })
  )
})
