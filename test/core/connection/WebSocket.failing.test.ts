/** Failing a connection for what the peer did, by whoever is above the protocol: RFC 6455 section 7.1.7. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as frames from "../../support/frames.ts"
import { open, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { utf8 } from "../../support/wire.ts"

const violation = new ProtocolViolation({ closeCode: 1008, clause: "house rules", detail: "not here" })

/** How the messages end, when there are none left. */
const endOf = (pull: WebSocket["pull"]) => reasonOf(Stream.runDrain(Stream.fromPull(Effect.succeed(pull))))

const text = (value: string) => toward("server", frames.frame(1, utf8(value)))

describe("fail", () => {
  it.effect("sends a Close with the code and the detail, ends as a server, and fails who waits for messages", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const waiting = yield* start(Effect.flip(connection.receive))
      yield* connection.fail(violation)
      const error = yield* Fiber.join(waiting)
      assert(error._tag === "WebSocketError")
      assert.strictEqual(error.reason, violation)
      assert.deepStrictEqual(far.log, ["write 88 0a 03 f0 6e 6f 74 20 68 65 72 65", "end"])
      assert.strictEqual(yield* reasonOf(connection.send("late")), "NotOpen")
      far.hangUp()
      assert.deepStrictEqual(yield* connection.closed, {
        _tag: "Closed",
        by: "local",
        sent: { code: 1008, reason: "not here" },
        received: undefined,
        violation
      })
    })
  )

  it.effect("lets what was received before be pulled, and takes nothing more", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      far.push(text("before"))
      yield* connection.fail(violation)
      far.push(text("after"))
      assert.deepStrictEqual(plain(yield* connection.pull), ["before"])
      assert.strictEqual(yield* endOf(connection.pull), "ProtocolViolation")
    })
  )

  it.effect("comes behind what was sent before it in the same turn", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      yield* connection.send("the last word")
      yield* connection.fail(violation)
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [1, 8]
      )
    })
  )

  it.effect("says nothing twice, and changes nothing of a connection that is past it", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      far.push(toward("server", frames.frame(8, Uint8Array.of(0x03, 0xe8))))
      yield* connection.fail(violation)
      assert.deepStrictEqual(far.log, ["write 88 02 03 e8", "end"])
      far.hangUp()
      yield* connection.fail(violation)
      assert.strictEqual((yield* connection.closed).violation, undefined)
    })
  )

  it.effect("answers first a Close that waits for its answer", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      far.push(text("a question"))
      yield* connection.pull
      far.push(toward("server", frames.frame(8, Uint8Array.of(0x03, 0xe8))))
      assert.deepStrictEqual(far.log, [])
      yield* connection.fail(violation)
      assert.deepStrictEqual(far.log, ["write 88 02 03 e8", "end"])
    })
  )

  it.effect("stops listening to a peer that we have said Close to", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* open("server")
      const closing = yield* start(connection.close(1000))
      yield* connection.fail(violation)
      yield* turn
      assert.deepStrictEqual(far.log, ["write 88 02 03 e8", "end"])
      assert.strictEqual(yield* endOf(connection.pull), "ProtocolViolation")
      far.hangUp()
      yield* Fiber.join(closing)
    })
  )
})
