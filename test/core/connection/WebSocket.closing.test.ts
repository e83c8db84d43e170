/** Closing: the handshake as a finalizer, its codes, and how long it may take. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Role } from "@millrace/core/protocol/WebSocketProtocol"
import * as frames from "../../support/frames.ts"
import { open, over, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { hex, utf8 } from "../../support/wire.ts"

const roles = ["client", "server"] as const

const closeFrame = (role: Role, body: string) => toward(role, frames.frame(8, hex(body)))

const text = (value: string) => toward("client", frames.frame(1, utf8(value)))

/** The codes of the Close frames that were written. */
const codes = (far: TestTransport) =>
  far.frames
    .filter(({ opcode }) => opcode === 8)
    .map(({ payload }) => (payload.length === 0 ? 1005 : payload[0]! * 256 + payload[1]!))

/** A connection in a scope of its own, to be closed by the test. */
const scoped = (role: Role) =>
  Effect.gen(function* () {
    const far = new TestTransport()
    const scope = yield* Scope.make()
    const connection = yield* over(far, role).pipe(Scope.provide(scope))
    return { far, scope, connection }
  })

describe("the finalizer", () => {
  for (const role of roles) {
    it.effect.each([
      ["success", Exit.succeed(1), 1000],
      ["an interruption", Exit.interrupt(1), 1001],
      ["a failure", Exit.fail("no"), 1011],
      ["a defect", Exit.die("no"), 1011]
    ] as const)(`on a ${role}, after %s, says so and waits for the peer`, ([, exit, code]) =>
      Effect.gen(function* () {
        const { far, scope, connection } = yield* scoped(role)
        const closing = yield* start(Scope.close(scope, exit))
        yield* turn
        assert.deepStrictEqual(codes(far), [code])
        assert.isUndefined(closing.pollUnsafe())
        far.push(closeFrame(role, "03 e8"))
        yield* turn
        assert.strictEqual(far.log[1], role === "server" ? "end" : undefined)
        far.hangUp()
        yield* Fiber.join(closing)
        assert.deepStrictEqual(yield* connection.closed, {
          _tag: "Closed",
          by: "local",
          sent: { code, reason: "" },
          received: { code: 1000, reason: "" },
          violation: undefined
        })
      })
    )
  }

  it.effect("is that of the scope that the handler runs in", () =>
    Effect.gen(function* () {
      const far = new TestTransport()
      const handler = Effect.scoped(Effect.andThen(over(far, "server"), Effect.never))
      const fiber = yield* start(handler)
      const interrupting = yield* start(Fiber.interrupt(fiber))
      yield* turn
      assert.deepStrictEqual(codes(far), [1001])
      far.hangUp()
      yield* Fiber.join(interrupting)
    })
  )

  it.effect("costs closeTimeout with a silent peer, and no more", () =>
    Effect.gen(function* () {
      for (const role of roles) {
        const { far, scope, connection } = yield* scoped(role)
        const closing = yield* start(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(closing.pollUnsafe())
        assert.strictEqual(far.log.length, 1)
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(closing)
        assert.strictEqual(far.log.at(-1), "destroy")
        assert.strictEqual((yield* connection.closed).received, undefined)
      }
    })
  )

  it.effect("does not wait for a peer that has closed the transport already", () =>
    Effect.gen(function* () {
      const { far, scope } = yield* scoped("server")
      far.hangUp()
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(far.log, [])
    })
  )

  it.effect("performs the handshake though an inbox is full that nobody reads", () =>
    Effect.gen(function* () {
      const { far, scope, connection } = yield* scoped("client")
      for (let i = 0; i < 10; i++) far.push(toward("client", frames.frame(2, frames.counting(50_000))))
      assert.deepStrictEqual(far.log, ["pause"])
      far.push(closeFrame("client", "03 e8"))
      const closing = yield* start(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(far.log, ["pause", "resume"])
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* connection.closed).received, { code: 1000, reason: "" })
    })
  )

  it.effect("drops what is unread", () =>
    Effect.gen(function* () {
      const { far, scope, connection } = yield* scoped("client")
      far.push("81 01 61")
      const closing = yield* start(Scope.close(scope, Exit.void))
      far.push(frames.concat([hex("81 01 62"), closeFrame("client", "03 e8")]))
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Stream.runCollect(connection.messages), [])
    })
  )

  it.effect("says nothing more after a Close of its own", () =>
    Effect.gen(function* () {
      const { far, scope, connection } = yield* scoped("server")
      const first = yield* start(connection.close(4000))
      const closing = yield* start(Scope.close(scope, Exit.fail("no")))
      yield* turn
      assert.deepStrictEqual(codes(far), [4000])
      far.push(closeFrame("server", "0f a0"))
      far.hangUp()
      yield* Fiber.join(first)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(codes(far), [4000])
    })
  )
})

describe("close", () => {
  it.effect("says 1000 unless told otherwise, waits for the peer's Close and for the end", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const closing = yield* start(connection.close())
      yield* turn
      assert.deepStrictEqual(far.log, ["write 88 82 00 00 00 00 03 e8"])
      far.push(closeFrame("client", "03 e8"))
      yield* turn
      assert.isUndefined(closing.pollUnsafe())
      far.hangUp()
      yield* Fiber.join(closing)
    })
  )

  it.effect("says 1005 with an empty Close", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* start(connection.close(1005, "not sent"))
      yield* turn
      assert.deepStrictEqual(far.log, ["write 88 00"])
    })
  )

  it.effect("says as much of its reason as fits", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* start(connection.close(4000, "€".repeat(50)))
      yield* turn
      const [{ payload }] = far.frames as [frames.Seen]
      assert.strictEqual(new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2)), "€".repeat(41))
    })
  )

  it.effect.each([1006, 1015, 999, 5000, 1004])("fails with InvalidCloseCode for %i, and stays open", (code) =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      assert.strictEqual(yield* reasonOf(connection.close(code)), "InvalidCloseCode")
      yield* connection.send("still here")
      yield* turn
      assert.strictEqual(far.log.length, 1)
      assert.strictEqual(far.frames[0]!.opcode, 1)
    })
  )

  it.effect("twice is one Close, and both wait", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const closings = yield* Effect.forEach([4000, 4001, 1006], (code) => start(connection.close(code)))
      yield* turn
      assert.deepStrictEqual(codes(far), [4000])
      far.hangUp()
      yield* Effect.forEach(closings, Fiber.join)
    })
  )

  it.effect("cuts a silent peer after closeTimeout, also when nobody waits any more", () =>
    Effect.gen(function* () {
      for (const wait of [true, false]) {
        const { far, connection } = yield* open("client", { closeTimeout: "2 seconds" })
        const closing = yield* start(connection.close())
        if (!wait) yield* Fiber.interrupt(closing)
        yield* TestClock.adjust("1999 millis")
        assert.notInclude(far.log, "destroy")
        yield* TestClock.adjust("501 millis")
        assert.strictEqual(far.log.filter((line) => line === "destroy").length > 0, true)
        assert.deepStrictEqual(yield* connection.closed, {
          _tag: "Closed",
          by: "local",
          sent: { code: 1000, reason: "" },
          received: undefined,
          violation: undefined
        })
      }
    })
  )

  it.effect("leaves what was sent before it, and what came before it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push("81 01 61")
      yield* connection.send("b")
      yield* start(connection.close())
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [1, 8]
      )
      far.push(frames.concat([closeFrame("client", "03 e8"), hex("81 01 63")]))
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["a"])
    })
  )

  it.effect("does not wait for an inbox that is full", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 100 })
      far.push(toward("client", frames.frame(1, utf8("x".repeat(100)))))
      for (let i = 0; i < 100; i++) far.push(toward("client", frames.frame(1, utf8("y".repeat(100)))))
      far.push(closeFrame("client", "03 e8"))
      const closing = yield* start(connection.close())
      far.hangUp()
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* connection.closed).received, { code: 1000, reason: "" })
      // What was over the bound was dropped, not kept: the bound holds while it closes.
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["x".repeat(100)])
    })
  )

  it.effect("drops what there is no room for from a message on, and nothing in the middle", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 100 })
      yield* start(connection.close())
      const push = (value: string) => far.push(text(value))
      push("first")
      push("x".repeat(100))
      push("dropped")
      assert.deepStrictEqual(plain(yield* connection.pull), ["first", "x".repeat(100)])
      push("would leave a gap")
      far.push(closeFrame("client", "03 e8"))
      assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), [])
    })
  )
})

it.effect("a reader who made room while we closed gets all that comes later, too", () =>
  Effect.gen(function* () {
    const { far, connection } = yield* open("client", { inboxBytes: 100, closeTimeout: "8 seconds" })
    const first = yield* start(connection.pull)
    far.push(text("first"))
    yield* Fiber.join(first)
    yield* start(connection.close())
    far.push(text("x".repeat(100)))
    far.push(text("waits outside"))
    assert.strictEqual((yield* connection.pull).length, 1)
    assert.deepStrictEqual(plain(yield* connection.pull), ["waits outside"])
    yield* TestClock.adjust("5 seconds")
    far.push(frames.concat([text("late"), closeFrame("client", "03 e8")]))
    assert.deepStrictEqual(plain(yield* Stream.runCollect(connection.messages)), ["late"])
  })
)

describe("the peer's Close", () => {
  it.effect("is echoed; a server ends the transport at once, a client waits for it to", () =>
    Effect.gen(function* () {
      for (const role of roles) {
        const { far, connection } = yield* open(role)
        far.push(closeFrame(role, "0f a0 62 79 65"))
        const echo = role === "server" ? "88 05 0f a0 62 79 65" : "88 85 00 00 00 00 0f a0 62 79 65"
        if (role === "server") assert.deepStrictEqual(far.log, [`write ${echo}`, "end"])
        yield* turn
        assert.deepStrictEqual(far.log, role === "server" ? [`write ${echo}`, "end"] : [`write ${echo}`])
        far.hangUp()
        assert.deepStrictEqual(yield* connection.closed, {
          _tag: "Closed",
          by: "remote",
          sent: { code: 4000, reason: "bye" },
          received: { code: 4000, reason: "bye" },
          violation: undefined
        })
      }
    })
  )

  it.effect("leaves behind what was sent in the same turn", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* connection.send("a")
      far.push(closeFrame("server", "03 e8"))
      assert.deepStrictEqual(far.log, ["write 81 01 61 88 02 03 e8", "end"])
    })
  )

  it.effect("gives a peer that does not end the transport closeTimeout", () =>
    Effect.gen(function* () {
      for (const role of roles) {
        const { far } = yield* open(role, { closeTimeout: "2 seconds" })
        far.push(closeFrame(role, "03 e8"))
        yield* TestClock.adjust("1999 millis")
        assert.notInclude(far.log, "destroy")
        yield* TestClock.adjust("501 millis")
        assert.strictEqual(far.log.at(-1), "destroy")
      }
    })
  )

  it.effect("is told to those who wait for closed, once the transport has ended", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const told = yield* Deferred.make<string>()
      yield* start(Effect.flatMap(connection.closed, ({ by }) => Deferred.succeed(told, by)))
      far.push(closeFrame("client", "03 e8"))
      yield* turn
      assert.isFalse(yield* Deferred.isDone(told))
      far.hangUp()
      assert.strictEqual(yield* Deferred.await(told), "remote")
    })
  )
})
