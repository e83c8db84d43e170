/**
 * RFC 6455 section 4.1: one connection at a time in the CONNECTING state, for a program that wants it so. What makes it
 * possible is that `open` lasts exactly as long as that state: until the connection is established or has failed.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import { expect } from "vitest"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { clause } from "./clause.ts"
import { acceptanceOf, connect, listen, type Server } from "./loopback.ts"

/** Opens as many as it is asked to, one after another. */
const opener = Effect.map(Semaphore.make(1), (semaphore) => (server: Server, host = "127.0.0.1") => {
  const open = NodeWebSocket.open(`ws://${host}:${server.port}/`, { limits: { closeTimeout: "10 millis" } })
  return Effect.forkScoped(Semaphore.withPermits(semaphore, 1)(open), { startImmediately: true })
})

/** Time for whoever wants to dial: another connection of ours, there and back. */
const elsewhere = Effect.flatMap(listen(), (server) => connect(server))

clause.live("4.1-4", "behind a Semaphore, the second waits for the first to be established", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const open = yield* opener
    yield* open(server)
    const second = yield* open(server, "localhost")
    const first = yield* server.accept
    const head = yield* first.head
    yield* elsewhere
    expect(server.peers).toHaveLength(1)
    yield* first.send(acceptanceOf(head))
    const peer = yield* server.accept
    yield* peer.send(acceptanceOf(yield* peer.head))
    yield* Fiber.join(second)
  })
)

clause.live("4.1-4", "or to fail", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const open = yield* opener
    yield* open(server)
    const second = yield* open(server)
    const first = yield* server.accept
    yield* first.head
    yield* elsewhere
    expect(server.peers).toHaveLength(1)
    yield* first.send(["HTTP/1.1 503 Service Unavailable", "Content-Length: 0"])
    const peer = yield* server.accept
    yield* peer.send(acceptanceOf(yield* peer.head))
    yield* Fiber.join(second)
  })
)

clause.live("4.1-5", "behind a Semaphore, the server never has two that it has not answered", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const open = yield* opener
    const all = yield* Effect.forEach(Array.from({ length: 5 }), () => open(server))
    for (let answered = 0; answered < all.length; answered++) {
      const peer = yield* server.accept
      const head = yield* peer.head
      yield* elsewhere
      expect(server.peers).toHaveLength(answered + 1)
      yield* peer.send(acceptanceOf(head))
    }
    yield* Effect.forEach(all, Fiber.join)
  })
)

clause.live("4.1-6", "behind a Semaphore, attempts made at once go one after another, in their order", () =>
  Effect.gen(function* () {
    const server = yield* listen()
    const semaphore = yield* Semaphore.make(1)
    const lines: Array<string> = []
    for (const path of ["a", "b", "c"]) {
      const open = NodeWebSocket.open(`ws://127.0.0.1:${server.port}/${path}`, {
        limits: { closeTimeout: "10 millis" }
      })
      yield* Effect.forkScoped(Semaphore.withPermits(semaphore, 1)(open), { startImmediately: true })
    }
    for (let answered = 0; answered < 3; answered++) {
      const peer = yield* server.accept
      const head = yield* peer.head
      lines.push(head[0]!)
      expect(server.peers).toHaveLength(answered + 1)
      yield* peer.send(acceptanceOf(head))
    }
    expect(lines).toEqual(["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c HTTP/1.1"])
  })
)
