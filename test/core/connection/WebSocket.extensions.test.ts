/** What a connection does with an extension, whatever that is. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as Prepared from "@millrace/core/connection/Prepared"
import type { Receiver } from "@millrace/core/connection/Transport"
import * as Message from "@millrace/core/protocol/Message"
import { agreed, atOnce, type Pace, Shift } from "../../support/extensions.ts"
import * as frames from "../../support/frames.ts"
import { open, over, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

/** Its far end can end its own direction alone. */
class EndedTransport extends TestTransport {
  private told: Receiver | undefined

  override open(receiver: Receiver): void {
    this.told = receiver
    super.open(receiver)
  }

  peerEnds(): void {
    this.told?.peerEnded?.()
  }
}

const toClient = (opcode: 1 | 8, bytes: ReadonlyArray<number>, rsv: number) =>
  toward("client", { fin: true, rsv, opcode, payload: Uint8Array.from(bytes) })

const shifted = (text: string) => utf8(text).map((byte) => byte + 1)

const coded = (opcode: 0 | 1 | 2, text: string, fin = true) =>
  toward("server", { fin, rsv: opcode === 0 ? 0 : 2, opcode, payload: shifted(text) })

const server = (coder: Shift, limits = {}) => open("server", limits, undefined, agreed(coder))

/** Bits, opcode and payload of every frame, as it is on the wire. */
const shown = (sent: ReadonlyArray<frames.Seen>) =>
  sent.map(({ fin, opcode, payload, rsv }) => `${rsv}:${opcode}${fin ? "." : "+"}${new TextDecoder().decode(payload)}`)

/** Lets coders take their time: the test says when one is done. */
const slowly = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const wait: Pace["encode"] = (result) => Effect.andThen(Deferred.await(gate), result)
  return { open: Deferred.succeed(gate, undefined), wait }
})

describe("what is sent", () => {
  it.effect("is what the extension makes of it, with its bit on the first frame", () =>
    Effect.gen(function* () {
      const coder = new Shift()
      const { far, connection } = yield* server(coder)
      yield* connection.send("HAL")
      yield* connection.sendAll([Message.uncompressed("plain"), utf8("IBM")])
      yield* connection.sendStream("text", Stream.fromArray(["H", "AL"]), { fragmentBytes: 2 })
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["2:1.IBM", "0:1.plain", "2:2.JCN", "2:1+IB", "0:0+M", "0:0."])
      assert.deepStrictEqual(coder.log, ["HAL", "IBM"])
      assert.deepStrictEqual(connection.extensions, [{ name: "shift", params: [] }])
    })
  )

  it.effect("keeps its order when the extension takes its time, and lets Pongs pass", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      let first = true
      const coder = new Shift({
        ...atOnce,
        encode: (result) => {
          if (!first) return result
          return Effect.andThen(
            Effect.sync(() => (first = false)),
            gate.wait(result)
          )
        }
      })
      const { far, connection } = yield* server(coder)
      const slow = yield* start(connection.sendAll(["a", "b"]))
      const behind = yield* start(connection.send("c"))
      assert.strictEqual(connection.tryWriteUnsafe(Prepared.make("d")), "Written")
      far.push(toward("server", frames.frame(9, utf8("p"))))
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["0:10.p"])
      yield* gate.open
      yield* Fiber.join(slow)
      yield* Fiber.join(behind)
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["0:10.p", "2:1.b", "2:1.c", "2:1.d", "2:1.e"])
      assert.deepStrictEqual(coder.log, ["a", "b", "c", "shared d"])
    })
  )

  it.effect("is not sent when whoever sends it is interrupted while the extension is at it, and the next is", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      const coder = new Shift({ ...atOnce, encode: gate.wait })
      const { far, connection } = yield* server(coder)
      const given = yield* start(connection.send("a"))
      const behind = yield* start(connection.send("b"))
      yield* Fiber.interrupt(given)
      yield* gate.open
      yield* Fiber.join(behind)
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["2:1.c"])
      assert.deepStrictEqual(coder.log, ["b"])
    })
  )

  it.effect("fails when the connection ends while the extension is at it, which may never come to an end", () =>
    Effect.gen(function* () {
      const { connection, far } = yield* server(new Shift({ ...atOnce, encode: () => Effect.never }))
      const sending = yield* start(reasonOf(connection.send("a")))
      far.hangUp()
      assert.strictEqual(yield* Fiber.join(sending), "NotOpen")
    })
  )

  it.effect("fails when the connection closes while the extension is at it", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      const { connection, far } = yield* server(new Shift({ ...atOnce, encode: gate.wait }))
      const sending = yield* start(reasonOf(connection.send("a")))
      yield* start(connection.close())
      yield* gate.open
      assert.strictEqual(yield* Fiber.join(sending), "NotOpen")
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [8]
      )
    })
  )

  it.effect("is coded once for all that it goes to, and for each where the extension cannot share", () =>
    Effect.gen(function* () {
      const message = Prepared.make("HAL")
      const [one, two] = [yield* server(new Shift()), yield* server(new Shift())]
      const alone = yield* server(new Shift(atOnce, false))
      for (const { connection } of [one, two, alone]) assert.strictEqual(connection.tryWriteUnsafe(message), "Written")
      yield* turn
      for (const { far } of [one, two, alone]) assert.deepStrictEqual(shown(far.frames), ["2:1.IBM"])
      assert.strictEqual(one.far.writes[0]?.[0], two.far.writes[0]?.[0])
      assert.notStrictEqual(one.far.writes[0]?.[0], alone.far.writes[0]?.[0])
    })
  )

  it.effect("waits for a message that takes its time as far as the outbox has room for it", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      const { connection } = yield* server(new Shift({ ...atOnce, encode: gate.wait }), { outboxBytes: 10 })
      const message = Prepared.make("123456")
      yield* start(connection.send("a"))
      assert.deepStrictEqual(
        [1, 2, 3].map(() => connection.tryWriteUnsafe(message)),
        ["Written", "Written", "Full"]
      )
      yield* gate.open
    })
  )
})

describe("what is received", () => {
  it.effect("is what the extension makes of it, in fragments and between messages that are not coded", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift())
      far.push(
        frames.concat([
          coded(1, "HA", false),
          toward("server", frames.frame(9, utf8("p"))),
          coded(0, "L"),
          toward("server", frames.frame(1, utf8("plain"))),
          coded(2, "")
        ])
      )
      assert.deepStrictEqual(plain(yield* connection.pull), ["HAL", "plain", utf8("")])
    })
  )

  it.effect("comes in order when the extension takes its time, and is not lost to an interruption", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      const { far, connection } = yield* server(new Shift({ ...atOnce, decode: gate.wait }))
      far.push(frames.concat([toward("server", frames.frame(1, utf8("a"))), coded(1, "b"), coded(1, "c")]))
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      const pulling = yield* start(connection.pull)
      const interrupting = yield* start(Fiber.interrupt(pulling))
      yield* gate.open
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(plain(yield* connection.pull), ["b"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["c"])
    })
  )

  it.effect("is decoded once, whoever else comes for it meanwhile", () =>
    Effect.gen(function* () {
      const gate = yield* slowly
      let decoded = 0
      const decode: Pace["decode"] = (result) =>
        Effect.andThen(
          Effect.sync(() => decoded++),
          gate.wait(result)
        )
      const { far, connection } = yield* server(new Shift({ ...atOnce, decode }))
      far.push(frames.concat([coded(1, "a"), coded(1, "b")]))
      const one = yield* start(connection.pull)
      const other = yield* start(connection.pull)
      yield* gate.open
      const both = [...plain(yield* Fiber.join(one)), ...plain(yield* Fiber.join(other))]
      assert.deepStrictEqual([both.toSorted(), decoded], [["a", "b"], 2])
    })
  )

  it.effect("fails the connection for what the extension cannot take, behind what came before it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift())
      const bad = toward("server", { fin: true, rsv: 2, opcode: 2, payload: new Uint8Array(1) })
      far.push(frames.concat([coded(1, "a"), bad, coded(1, "never")]))
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      assert.strictEqual(yield* reasonOf(Pull.catchDone(connection.pull, () => Effect.void)), "ProtocolViolation")
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode, payload }) => [opcode, payload[0]! * 256 + payload[1]!]),
        [[8, 1007]]
      )
    })
  )

  it.effect("tells whoever pulls of it, also when the closing handshake is over", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift())
      const bad = toward("server", { fin: true, rsv: 2, opcode: 2, payload: new Uint8Array(1) })
      far.push(frames.concat([coded(1, "a"), bad, toward("server", frames.frame(8, new Uint8Array(0)))]))
      far.hangUp()
      assert.deepStrictEqual(plain(yield* connection.pull), ["a"])
      assert.strictEqual(yield* reasonOf(Pull.catchDone(connection.pull, () => Effect.void)), "ProtocolViolation")
    })
  )

  it.effect("ends our direction when it is a violation, though the peer has closed and ended behind it", () =>
    Effect.gen(function* () {
      const far = new EndedTransport()
      const connection = yield* over(far, "client", {}, undefined, agreed(new Shift()))
      far.push(toClient(1, [97], 0))
      yield* connection.pull
      far.push(frames.concat([toClient(1, [0], 2), toClient(8, [3, 232], 0)]))
      far.peerEnds()
      // The Close is not answered yet: the message before it may be.
      assert.deepStrictEqual(far.log, [])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.pull)))
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [8]
      )
      assert.strictEqual(far.log.at(-1), "end")
      far.hangUp()
    })
  )

  it.effect("is checked to be text when it is decoded, and has a limit then", () =>
    Effect.gen(function* () {
      for (const [payload, closeCode] of [
        [Uint8Array.of(0xff + 1, 0x81), 1007],
        [Uint8Array.of(0xc4), 1007],
        [new Uint8Array(11).fill(0x62), 1009]
      ] as const) {
        const { far, connection } = yield* server(new Shift(), { maxMessageBytes: 10 })
        far.push(toward("server", { fin: true, rsv: 2, opcode: 1, payload }))
        const error = yield* Effect.flip(connection.pull)
        assert.strictEqual(error._tag === "WebSocketError" && error.reason._tag, "ProtocolViolation")
        yield* turn
        const [close] = far.frames
        assert.strictEqual((close?.payload[0] ?? 0) * 256 + (close?.payload[1] ?? 0), closeCode)
      }
    })
  )

  it.effect("refuses a bit on a continuation, on a control frame, and one that nobody asked for", () =>
    Effect.gen(function* () {
      for (const wire of [
        frames.concat([coded(1, "a", false), toward("server", { fin: true, rsv: 2, opcode: 0, payload: utf8("a") })]),
        toward("server", { fin: true, rsv: 2, opcode: 9, payload: utf8("a") }),
        toward("server", { fin: true, rsv: 4, opcode: 1, payload: utf8("a") }),
        toward("server", { fin: true, rsv: 6, opcode: 1, payload: utf8("a") })
      ]) {
        const { far } = yield* server(new Shift())
        far.push(wire)
        yield* turn
        const [close] = far.frames
        assert.strictEqual((close?.payload[0] ?? 0) * 256 + (close?.payload[1] ?? 0), 1002)
      }
    })
  )

  it.effect("is decoded no further ahead than an inbox holds", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift(), { inboxBytes: 25 })
      far.push(frames.concat(Array.from({ length: 6 }, () => coded(1, "0123456789"))))
      assert.deepStrictEqual((yield* connection.pull).length, 3)
      assert.deepStrictEqual((yield* connection.pull).length, 3)
    })
  )

  it.effect("is decoded as it comes when it is read as a stream, and checked to be text", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift())
      far.push(coded(1, "HA", false))
      const message = yield* connection.receiveStream
      const seen: Array<string> = []
      const reading = yield* start(Stream.runForEach(message.text, (piece) => Effect.sync(() => seen.push(piece))))
      yield* turn
      assert.deepStrictEqual(seen, ["HA"])
      far.push(coded(0, "L"))
      yield* Fiber.join(reading)
      assert.deepStrictEqual(seen, ["HA", "L"])
      // Half a character at the end.
      far.push(toward("server", { fin: true, rsv: 2, opcode: 1, payload: Uint8Array.of(0x62, 0xc4) }))
      const bad = yield* connection.receiveStream
      const error = yield* Effect.flip(Stream.runDrain(bad.bytes))
      assert.strictEqual(error.reason._tag, "ProtocolViolation")
      yield* turn
      assert.strictEqual(far.frames.at(-1)?.opcode, 8)
    })
  )

  it.effect("is decoded to its end when the program leaves a stream in the middle, for what comes behind it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* server(new Shift())
      far.push(frames.concat([coded(1, "a", false), coded(0, "b", false), coded(0, "c"), coded(1, "next")]))
      const message = yield* connection.receiveStream
      yield* Stream.runHead(message.bytes)
      assert.deepStrictEqual(plain(yield* connection.pull), ["next"])
    })
  )
})
