/** How a connection ends, seen from the other end of a socket. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Closed } from "@millrace/core/protocol/WebSocketProtocol"
import { Disconnected, Rejected, SessionError, Unencodable } from "@millrace/core/messaging/SessionError"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually, settled } from "../support/eventually.ts"
import { counting } from "../support/frames.ts"
import { backTo, countingFibers, resources } from "../support/leaks.ts"
import { logged } from "../support/logged.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** A Close with 1000, as a client answers. */
const closeNormally = (peer: RawPeer.RawPeer) => peer.sendFrame(8, Uint8Array.of(0x03, 0xe8))

describe("a handler that ends", () => {
  it.live.each([
    ["returns", 1000, Effect.void],
    ["fails", 1011, Effect.fail("no")],
    ["dies", 1011, Effect.die(new Error("secret"))],
    ["is interrupted", 1001, Effect.interrupt]
  ] as const)("%s: %i to the client, then the end of the socket", ([name, code, effect]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({}, () => effect)
        const peer = yield* RawPeer.open(server.port)
        const { opcode, payload } = yield* peer.frame
        expect([opcode, ...payload]).toEqual([8, code >> 8, code & 255])
        closeNormally(peer)
        expect((yield* peer.rest).length).toBe(0)
        yield* eventually(() => server.connections() === 0)
        const errors = entries.filter(({ level }) => level === "Error")
        expect(errors.length).toBe(name === "fails" || name === "dies" ? 1 : 0)
      })
    )
  )

  it.live.each([
    ["lost its session", new Disconnected({ cause: undefined }), "Debug"],
    ["let nobody in", new Rejected({ detail: "no" }), "Debug"],
    ["said what its contract does not know", new Unencodable({ name: "say", cause: "no" }), "Error"]
  ] as const)("because it %s is logged as what it is", ([_what, reason, level]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({}, () => Effect.fail(new SessionError({ reason })))
        const peer = yield* RawPeer.open(server.port)
        expect(yield* peer.closeCode).toBe(1011)
        closeNormally(peer)
        yield* eventually(() => server.connections() === 0)
        expect(entries.map((entry) => entry.level)).toEqual([level])
      })
    )
  )

  it.live("sends what it said before the Close", () =>
    Effect.gen(function* () {
      const payload = counting(300_000)
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.andThen(connection.send("last words"), connection.send(payload))
      )
      const peer = yield* RawPeer.open(server.port)
      expect((yield* peer.frame).payload.length).toBe(10)
      expect(Buffer.from((yield* peer.frame).payload).equals(payload)).toBe(true)
      expect(yield* peer.closeCode).toBe(1000)
    })
  )

  it.live("cuts a peer that does not answer its Close", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "50 millis" } }, () => Effect.void)
      const peer = yield* RawPeer.open(server.port)
      expect(yield* peer.closeCode).toBe(1000)
      expect((yield* peer.rest).length).toBe(0)
      yield* eventually(() => server.connections() === 0)
    })
  )

  it.live("with an inbox nobody has read still closes, and drops it", () =>
    Effect.gen(function* () {
      let finish: (() => void) | undefined
      const server = yield* NodeWebSocketServer.serve({ limits: { inboxBytes: 1_000 } }, () =>
        Effect.callback<void>((resume) => {
          finish = () => resume(Effect.void)
        })
      )
      const peer = yield* RawPeer.open(server.port)
      for (let i = 0; i < 100; i++) peer.sendFrame(2, counting(5_000))
      closeNormally(peer)
      yield* eventually(() => finish !== undefined)
      yield* settled
      finish!()
      expect(yield* peer.closeCode).toBe(1000)
      peer.socket.end()
      yield* peer.rest
      yield* eventually(() => server.connections() === 0)
    })
  )
})

describe("a client that ends", () => {
  it.live("with a Close is answered, and the handler's messages end", () =>
    Effect.gen(function* () {
      const ended: Array<Closed> = []
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Effect.gen(function* () {
          yield* Stream.runDrain(connection.messages)
          ended.push(yield* connection.closed)
        })
      )
      const peer = yield* RawPeer.open(server.port)
      peer.sendFrame(8, Uint8Array.of(0x03, 0xe9))
      expect(yield* peer.closeCode).toBe(1001)
      expect((yield* peer.rest).length).toBe(0)
      yield* eventually(() => server.connections() === 0)
      expect(ended[0]?.received?.code).toBe(1001)
    })
  )

  it.live.each([
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end(), "ConnectionLost"],
    ["RST", (peer: RawPeer.RawPeer) => peer.reset(), "TransportError"],
    ["an unmasked frame", (peer: RawPeer.RawPeer) => peer.send(Uint8Array.of(0x81, 0)), "ProtocolViolation"]
  ] as const)("with %s fails the messages of the handler, which is no error of the server", ([_how, leave, reason]) =>
    logged((entries) =>
      Effect.gen(function* () {
        const reasons: Array<string> = []
        const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "1 second" } }, (connection) =>
          Effect.tapError(Stream.runDrain(connection.messages), (error) =>
            Effect.sync(() => reasons.push(error.reason._tag))
          )
        )
        const peer = yield* RawPeer.open(server.port)
        leave(peer)
        if (reason === "ProtocolViolation") expect(yield* peer.closeCode).toBe(1002)
        peer.socket.end()
        yield* eventually(() => server.connections() === 0)
        expect(reasons).toEqual([reason])
        expect(entries.map(({ level }) => level)).toEqual(["Debug"])
      })
    )
  )

  it.live("with a Close ends a handler that takes message after message, which is no error of the server", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const server = yield* NodeWebSocketServer.serve({}, ({ receive, send }) =>
          Effect.forever(Effect.flatMap(receive, send))
        )
        const peer = yield* RawPeer.open(server.port)
        peer.sendFrame(1, "hello")
        expect((yield* peer.frame).opcode).toBe(1)
        closeNormally(peer)
        expect(yield* peer.closeCode).toBe(1000)
        yield* eventually(() => server.connections() === 0)
        expect(entries.map(({ level }) => level)).toEqual(["Debug"])
      })
    )
  )

  it.live("leaves a handler alone that asks for nothing, for closeTimeout; then it is interrupted", () =>
    Effect.gen(function* () {
      let over = 0
      const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "200 millis" } }, () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            over = performance.now()
          })
        )
      )
      const peer = yield* RawPeer.open(server.port)
      peer.reset()
      const before = performance.now()
      yield* settled
      expect(server.connections()).toBe(1)
      yield* eventually(() => server.connections() === 0)
      expect(over - before).toBeGreaterThanOrEqual(190)
      expect(over - before).toBeLessThan(1_000)
    })
  )

  it.live("gives a handler the grace that its endpoint has, whatever closeTimeout is", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const options = { limits: { closeTimeout: "1 millis" }, grace: "1 minute" } as const
      const server = yield* NodeWebSocketServer.serve(options, (connection) =>
        Effect.gen(function* () {
          yield* connection.closed
          yield* settled
          told.push("finished")
        }).pipe(Effect.onInterrupt(() => Effect.sync(() => told.push("interrupted"))))
      )
      const peer = yield* RawPeer.open(server.port)
      peer.reset()
      yield* eventually(() => server.connections() === 0)
      expect(told).toEqual(["finished"])
    })
  )

  it.live("lets a handler finish that does so in time", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const told: Array<string> = []
        const server = yield* NodeWebSocketServer.serve({ limits: { closeTimeout: "4 seconds" } }, (connection) =>
          Effect.onInterrupt(
            Effect.gen(function* () {
              yield* connection.closed
              yield* settled
              told.push("finished")
            }),
            () => Effect.sync(() => told.push("interrupted"))
          )
        )
        yield* settled
        const before = { fibers: alive.fibers, resources: resources() }
        const peer = yield* RawPeer.open(server.port)
        peer.reset()
        yield* eventually(() => server.connections() === 0)
        expect(told).toEqual(["finished"])
        yield* eventually(() => alive.fibers === before.fibers)
        // The wheel has nothing to wait for any more.
        yield* backTo(before.resources, 2_000)
      })
    )
  )
})

describe("a message that came before the end", () => {
  it.live("is answered, and then the Close is, also where the peer has ended behind it and the answer takes time", () =>
    Effect.gen(function* () {
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Stream.runForEach(connection.messages, (message) => Effect.andThen(settled, connection.send(message)))
      )
      const peer = yield* RawPeer.open(server.port)
      peer.sendFrame(1, "question")
      closeNormally(peer)
      peer.socket.end()
      expect(yield* peer.frame).toMatchObject({ opcode: 1, payload: Buffer.from("question") })
      expect(yield* peer.frame).toMatchObject({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) })
      expect((yield* peer.rest).length).toBe(0)
    })
  )

  it.live.each([
    ["Close", closeNormally],
    ["FIN", (peer: RawPeer.RawPeer) => peer.socket.end()]
  ] as const)("is delivered before it: %s", ([_how, leave]) =>
    Effect.gen(function* () {
      const received: Array<string> = []
      const scope = yield* Scope.make()
      const server = yield* NodeWebSocketServer.serve({}, (connection) =>
        Stream.runForEach(connection.messages, (message) =>
          Effect.sync(() => received.push(message._tag === "Text" ? message.text : "binary"))
        )
      ).pipe(Scope.provide(scope))
      const peer = yield* RawPeer.open(server.port)
      for (let i = 0; i < 100; i++) peer.sendFrame(1, `${i}`)
      leave(peer)
      yield* peer.rest
      yield* eventually(() => server.connections() === 0)
      expect(received).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`))
      yield* Scope.close(scope, Exit.void)
    })
  )
})
