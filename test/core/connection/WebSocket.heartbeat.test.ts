/** The heartbeat, by the clock of the test: a Ping every `pingInterval`, and an end when not a byte answers it. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as frames from "../../support/frames.ts"
import { counted, open, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

/** Ticks of half a second, so that every deadline below falls on one. */
const limits = { pingInterval: "25 seconds", pingTimeout: "20 seconds", closeTimeout: "4 seconds" } as const

const pings = (far: TestTransport) => far.frames.filter(({ opcode }) => opcode === 9).length

/** Pings that the peer answers at once, for so long. */
const answering = (far: TestTransport, seconds: number) =>
  Effect.gen(function* () {
    let answered = pings(far)
    for (let second = 0; second < seconds; second++) {
      yield* TestClock.adjust("1 second")
      for (; answered < pings(far); answered++) far.push(toward("client", frames.frame(10, utf8(""))))
    }
  })

describe("the heartbeat", () => {
  it.effect("sends an empty Ping after pingInterval", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client", limits)
      yield* TestClock.adjust("24999 millis")
      assert.deepStrictEqual(far.log, [])
      yield* TestClock.adjust("1 millis")
      yield* turn
      assert.deepStrictEqual(far.log, ["write 89 80 00 00 00 00"])
    })
  )

  it.effect("sends one every pingInterval to a peer that answers, for as long as it does", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client", limits)
      yield* answering(far, 10 * 25)
      assert.strictEqual(pings(far), 10)
      assert.notInclude(far.log, "destroy")
    })
  )

  it.effect("ends a connection pingTimeout after a Ping that nothing answered", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", limits)
      const draining = yield* start(Effect.flip(Stream.runDrain(connection.messages)))
      yield* TestClock.adjust("44999 millis")
      assert.notInclude(far.log, "destroy")
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(far.log.at(-1), "destroy")
      const { reason } = yield* Fiber.join(draining)
      assert(reason._tag === "Unresponsive")
      assert.strictEqual(reason.silence, 20_000)
      assert.strictEqual((yield* connection.closed).by, "network")
    })
  )

  it.effect("ends one that answered for long and then fell silent", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", limits)
      yield* answering(far, 60)
      yield* TestClock.adjust("34 seconds")
      assert.notInclude(far.log, "destroy")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* reasonOf(Stream.runDrain(connection.messages)), "Unresponsive")
    })
  )

  it.effect("delivers what had come before the silence", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", limits)
      far.push("81 01 61")
      yield* TestClock.adjust("45 seconds")
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      assert.strictEqual(yield* reasonOf(Stream.runDrain(connection.messages)), "Unresponsive")
    })
  )

  it.effect.each([
    ["a Pong", "8a 00"],
    ["a Pong that answers nothing", "8a 01 07"],
    ["a message", "81 01 61"],
    ["the first byte of a header", "82"],
    ["a part of a message", "02 7e 01 00 01"]
  ] as const)("takes any byte for life: %s", ([, wire]) =>
    Effect.gen(function* () {
      const { far } = yield* open("client", limits)
      yield* TestClock.adjust("44 seconds")
      far.push(wire)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(pings(far), 1)
      yield* TestClock.adjust("1 second")
      yield* turn
      assert.strictEqual(pings(far), 2)
      assert.notInclude(far.log, "destroy")
      // What came before a Ping does not answer it.
      yield* TestClock.adjust("20 seconds")
      assert.include(far.log, "destroy")
    })
  )

  it.effect("does not take for life what came before the Ping", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client", limits)
      yield* TestClock.adjust("24 seconds")
      far.push("81 01 61")
      yield* TestClock.adjust("21 seconds")
      assert.include(far.log, "destroy")
    })
  )

  it.effect("ends nobody for a silence that is ours, while the inbox is full", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { ...limits, inboxBytes: 100 })
      far.push(toward("client", frames.frame(1, utf8("x".repeat(100)))))
      assert.deepStrictEqual(far.log, ["pause"])
      far.push("8a 00")
      yield* TestClock.adjust("10 minutes")
      assert.notInclude(far.log, "destroy")
      yield* connection.pull
      yield* answering(far, 60)
      assert.notInclude(far.log, "destroy")
    })
  )

  it.effect("gives a peer time to be heard when the inbox is emptied at the last moment", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { ...limits, inboxBytes: 100 })
      far.push(toward("client", frames.frame(1, utf8("x".repeat(100)))))
      yield* TestClock.adjust("44900 millis")
      yield* connection.pull
      assert.deepStrictEqual(far.log.at(-1), "resume")
      yield* TestClock.adjust("100 millis")
      assert.notInclude(far.log, "destroy")
    })
  )

  it.effect("sends none with Duration.infinity, and holds no timer", () =>
    counted((running) =>
      Effect.gen(function* () {
        const { far } = yield* open("client", { pingInterval: Duration.infinity })
        yield* turn
        assert.strictEqual(running.sleeps, 0)
        yield* TestClock.adjust("10 days")
        assert.deepStrictEqual(far.log, [])
      })
    )
  )

  it.effect("is over when the connection closes", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", limits)
      yield* start(connection.close())
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(pings(far), 0)
    })
  )

  it.effect("is masked with a key of its own on a client, and not on a server", () =>
    Effect.gen(function* () {
      const client = yield* open("client", limits, () => 0x01020304)
      const server = yield* open("server", limits)
      yield* TestClock.adjust("25 seconds")
      yield* turn
      assert.deepStrictEqual(client.far.log, ["write 89 80 01 02 03 04"])
      assert.deepStrictEqual(server.far.log, ["write 89 00"])
    })
  )

  it.effect("with a timeout longer than its interval still ends a silent peer, and no other", () =>
    Effect.gen(function* () {
      const short = { pingInterval: "8 seconds", pingTimeout: "16 seconds", closeTimeout: "8 seconds" } as const
      const silent = yield* open("client", short)
      const lively = yield* open("client", short)
      yield* answering(lively.far, 23)
      assert.notInclude(silent.far.log, "destroy")
      yield* answering(lively.far, 100)
      assert.include(silent.far.log, "destroy")
      assert.notInclude(lively.far.log, "destroy")
      assert.isAtLeast(pings(lively.far), 5)
    })
  )
})

it.effect("a thousand idle connections share one timer, and leave none behind", () =>
  counted((running) =>
    Effect.gen(function* () {
      const settings = WebSocket.settings("server")
      const scope = yield* Scope.make()
      const before = { ...running }
      const wheel = yield* WebSocket.makeWheel(settings).pipe(Scope.provide(scope))
      const fars: Array<TestTransport> = []
      for (let i = 0; i < 1000; i++) {
        const far = new TestTransport()
        fars.push(far)
        const options = { transport: far, settings, wheel, subprotocol: undefined, handshake: undefined }
        yield* WebSocket.make(options).pipe(Scope.provide(scope))
      }
      assert.deepStrictEqual(running, { fibers: before.fibers + 1, sleeps: before.sleeps + 1 })
      for (const far of fars) far.hangUp()
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(running, { fibers: before.fibers + 1, sleeps: before.sleeps })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(running, before)
    })
  )
)
