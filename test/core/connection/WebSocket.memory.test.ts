/** What one connection may hold in all, whatever it is. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as frames from "../../support/frames.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { open, over, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { hex, utf8 } from "../../support/wire.ts"

const binary = (length: number, fin = true) =>
  toward("client", { fin, rsv: 0, opcode: 2, payload: new Uint8Array(length) })

/** That of the last frame, which is a Close. */
const closeCode = (sent: ReadonlyArray<frames.Seen>) => {
  const { opcode, payload } = sent.at(-1)!
  return opcode === 8 ? payload[0]! * 256 + payload[1]! : undefined
}

describe("the memory of a connection", () => {
  it.effect("refuses a frame over its limit at its header, in a message that would be short enough", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { maxFrameBytes: 100, maxMessageBytes: 1000 })
      far.push(binary(100))
      assert.strictEqual((yield* connection.pull)[0].length, 100)
      far.push(hex("02 65"))
      assert.strictEqual(yield* reasonOf(Pull.catchDone(connection.receive, () => Effect.void)), "ProtocolViolation")
      yield* turn
      assert.strictEqual(closeCode(far.frames), 1009)
    })
  )

  it.effect("lets what was received take what the outbox leaves of it, and no more", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", {
        inboxBytes: 10_000,
        outboxBytes: 4_000,
        maxMemoryBytes: 12_000
      })
      far.stall()
      yield* connection.send(new Uint8Array(10_000))
      far.push(binary(7_800))
      yield* turn
      assert.strictEqual(far.frames.length, 1)
      far.push(binary(200))
      yield* turn
      assert.strictEqual(closeCode(far.frames), 1009)
      assert.strictEqual((yield* connection.pull)[0].length, 7_800)
    })
  )

  it.effect("does not count against the peer what we send it in one message", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      far.stall()
      yield* connection.send(new Uint8Array(20 << 20))
      yield* turn
      far.push(toward("server", frames.frame(1, utf8("hi"))))
      assert.deepStrictEqual(plain(yield* connection.pull), ["hi"])
    })
  )

  it.effect("leaves the outbox no more than half of it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { outboxBytes: 10_000, maxMemoryBytes: 11_000 })
      far.stall()
      yield* connection.send(new Uint8Array(5_600))
      yield* turn
      const sender = yield* start(connection.send(new Uint8Array(10)))
      yield* turn
      assert.strictEqual(sender.pollUnsafe(), undefined)
      far.drain()
      yield* turn
      assert.notStrictEqual(sender.pollUnsafe(), undefined)
    })
  )

  it.effect("is no matter any more when the scope has closed: a peer that goes on is not to blame", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const far = new TestTransport()
      const connection = yield* Scope.provide(over(far, "client", { maxMemoryBytes: 100_000 }), scope)
      far.push(binary(1_000, false))
      yield* connection.receiveStream
      const closing = yield* start(Scope.close(scope, Exit.void))
      const rest = frames.encode({ fin: false, rsv: 0, opcode: 0, payload: new Uint8Array(1_000) })
      for (let i = 0; i < 200; i++) far.push(rest)
      far.push("88 02 03 e8")
      far.hangUp()
      yield* Fiber.join(closing)
      const { received, violation } = yield* connection.closed
      assert.deepStrictEqual([received?.code, violation], [1000, undefined])
    })
  )

  it.effect("counts a message in pieces, and reads no more of it than an inbox holds while nobody has asked", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 1_000 })
      for (let at = 0; at < 20; at++) far.push(binaryPart(at, 20))
      assert.deepStrictEqual(far.log, ["pause"])
      // Whoever pulls wants it whole.
      const [message] = yield* connection.pull
      assert.strictEqual(message.length, 2_000)
    })
  )

  it.effect("counts a message once that is read as a stream while others wait behind it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { maxMemoryBytes: 100_000, outboxBytes: 1_000 })
      far.push(frames.concat([binary(60_000), binary(1)]))
      yield* connection.receiveStream
      far.push(binary(2))
      yield* turn
      assert.deepStrictEqual(far.frames, [])
      assert.deepStrictEqual(plain(yield* connection.pull), [new Uint8Array(1), new Uint8Array(2)])
    })
  )

  it.effect("is enough for one message of the greatest length, unless it was said how much there is", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { maxMessageBytes: 16 << 20 })
      const pulling = yield* start(connection.pull)
      far.push(binary(16 << 20))
      yield* turn
      assert.notStrictEqual(pulling.pollUnsafe(), undefined)
    })
  )
})

/** A message of 100 bytes a fragment, the one at `at` of `count`. */
const binaryPart = (at: number, count: number) =>
  frames.encode({ fin: at === count - 1, rsv: 0, opcode: at === 0 ? 2 : 0, payload: new Uint8Array(100) })
