/** Messages as streams, in both directions. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as frames from "../../support/frames.ts"
import { agreed, Shift } from "../../support/extensions.ts"
import { open, over, plain, reasonOf, start, toward, turn } from "../../support/connection.ts"
import { TestTransport } from "../../support/TestTransport.ts"
import { utf8 } from "../../support/wire.ts"

const part = (opcode: 0 | 1 | 2, text: string, fin = false) =>
  toward("client", { fin, rsv: 0, opcode, payload: utf8(text) })

const ping = toward("client", frames.frame(9, utf8("p")))

/** Counts what of it is decoded as a stream and was not let go. */
class Held extends Shift {
  held = 0

  override decodeStream<E, R>(pieces: Stream.Stream<Uint8Array, E, R>, rsv: number, maxBytes: number) {
    this.held++
    return Stream.ensuring(
      super.decodeStream(pieces, rsv, maxBytes),
      Effect.sync(() => void this.held--)
    )
  }
}

/** Opcode, end and text of every frame that was sent. */
const shown = (sent: ReadonlyArray<frames.Seen>) =>
  sent.map(({ fin, opcode, payload }) => `${opcode}${fin ? "." : "+"}${new TextDecoder().decode(payload)}`)

describe("receiveStream", () => {
  it.effect("gives a message before it has ended, piece by piece as it comes", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const streaming = yield* start(connection.receiveStream)
      far.push(part(1, "one "))
      const message = yield* Fiber.join(streaming)
      assert.strictEqual(message.kind, "text")
      const seen: Array<string> = []
      const reading = yield* start(Stream.runForEach(message.text, (piece) => Effect.sync(() => seen.push(piece))))
      assert.deepStrictEqual(seen, ["one "])
      far.push(ping)
      far.push(part(0, "two "))
      assert.deepStrictEqual(seen, ["one ", "two "])
      far.push(part(0, "", true))
      yield* Fiber.join(reading)
      // The next is there for whoever wants it whole.
      far.push(part(2, "next", true))
      assert.deepStrictEqual(plain(yield* connection.pull), [utf8("next")])
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["10.p"])
    })
  )

  it.effect("gives the frame of a long message as it arrives, and text in whole characters", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const wire = part(1, "aé€😀", true)
      for (let at = 0; at < wire.length; at++) far.push(wire.subarray(at, at + 1))
      const message = yield* connection.receiveStream
      assert.strictEqual(yield* Stream.mkString(message.text), "aé€😀")
    })
  )

  it.effect("gives a message that is whole already, and an empty one, like any other", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(frames.concat([part(1, "whole", true), part(2, "", true), part(1, "part")]))
      assert.strictEqual(yield* Stream.mkString((yield* connection.receiveStream).text), "whole")
      assert.strictEqual(yield* Stream.runCount((yield* connection.receiveStream).bytes), 0)
      const third = yield* connection.receiveStream
      far.push(part(0, "ial", true))
      assert.strictEqual(yield* Stream.mkString(third.text), "partial")
    })
  )

  it.effect("reads no more than an inbox holds of what is not taken, and goes on when it is", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 1_000 })
      far.push(part(1, "begin"))
      const message = yield* connection.receiveStream
      for (let i = 0; i < 100; i++) far.push(part(0, "x".repeat(100)))
      assert.deepStrictEqual(far.log, ["pause"])
      far.push(part(0, "", true))
      assert.strictEqual((yield* Stream.mkString(message.text)).length, 10_005)
      assert.strictEqual(far.log.at(-1), "resume")
    })
  )

  it.effect("takes a message that is longer than all memory", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", {
        maxMessageBytes: Number.POSITIVE_INFINITY,
        maxMemoryBytes: 200_000
      })
      const reading = yield* start(
        Effect.flatMap(connection.receiveStream, (message) =>
          Stream.runFold(
            message.bytes,
            () => 0,
            (sum, piece) => sum + piece.length
          )
        )
      )
      far.push(frames.header({ fin: true, rsv: 0, opcode: 2 }, 10_000_000))
      for (let i = 0; i < 100; i++) far.push(new Uint8Array(100_000))
      assert.strictEqual(yield* Fiber.join(reading), 10_000_000)
    })
  )

  it.effect("skips what the program leaves unread, when it comes for the next", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 100 })
      far.push(frames.concat([part(1, "a"), part(0, "b"), part(0, "c", true), part(1, "d", true), part(1, "e", true)]))
      const first = yield* Stream.runHead((yield* connection.receiveStream).text)
      assert.strictEqual(first._tag === "Some" ? first.value.slice(0, 1) : "", "a")
      yield* connection.receiveStream
      assert.deepStrictEqual(plain(yield* connection.pull), ["e"])
      far.push(part(1, "f"))
      yield* connection.receiveStream
      const next = yield* start(connection.receive)
      for (let i = 0; i < 10; i++) far.push(part(0, "x".repeat(100), i === 9))
      far.push(part(1, "g", true))
      assert.deepStrictEqual(plain([yield* Fiber.join(next)]), ["g"])
    })
  )

  it.effect("can be interrupted while it waits, and misses nothing", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const waiting = yield* start(connection.receiveStream)
      yield* Fiber.interrupt(waiting)
      far.push(part(1, "a"))
      const message = yield* connection.receiveStream
      const reading = yield* start(Stream.runCollect(message.text))
      yield* Fiber.interrupt(reading)
      far.push(part(0, "b", true))
      // What a reader took before it was interrupted is gone with it.
      assert.strictEqual(yield* Stream.mkString(message.text), "b")
    })
  )

  it.effect("is for one fiber at a time: a second one dies", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(part(1, ""))
      const message = yield* connection.receiveStream
      yield* start(Stream.runDrain(message.bytes))
      const second = yield* Effect.exit(Stream.runDrain(message.bytes))
      assert.isTrue(Exit.hasDies(second))
    })
  )

  it.effect("fails in the middle when the connection ends there, also by a Close that is in order", () =>
    Effect.gen(function* () {
      for (const [end, reason] of [
        ["88 02 03 e8", "ConnectionLost"],
        ["81 01 61", "ProtocolViolation"]
      ] as const) {
        const { far, connection } = yield* open("client")
        far.push(part(1, "half"))
        const message = yield* connection.receiveStream
        far.push(end)
        const seen: Array<string> = []
        const outcome = yield* Stream.runForEach(message.text, (piece) => Effect.sync(() => seen.push(piece))).pipe(
          Effect.match({ onSuccess: () => "ended", onFailure: (error) => error.reason._tag })
        )
        assert.deepStrictEqual([seen.join(""), outcome], ["half", reason])
      }
    })
  )

  it.effect("lets the peer's Close be answered when the last message has been read", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const streaming = yield* start(
        Effect.flatMap(connection.receiveStream, (message) =>
          Effect.andThen(Stream.runDrain(message.bytes), connection.send("answer"))
        )
      )
      far.push(frames.concat([part(1, "question", true), toward("client", frames.frame(8, new Uint8Array(0)))]))
      yield* Fiber.join(streaming)
      const ended = yield* Effect.flip(connection.receiveStream)
      assert.strictEqual(ended._tag, "Done")
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["1.answer", "8."])
    })
  )

  it.effect("goes on to fail, however often it is read, once it has failed", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      far.push(part(1, "half"))
      const message = yield* connection.receiveStream
      far.hangUp()
      assert.strictEqual(yield* reasonOf(Stream.runDrain(message.bytes)), "ConnectionLost")
      assert.strictEqual(yield* reasonOf(Stream.runDrain(message.bytes)), "ConnectionLost")
    })
  )

  it.effect("fails when the scope of its connection is over before it was read", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const far = new TestTransport()
      const connection = yield* Scope.provide(over(far, "client"), scope)
      far.push(part(1, "half"))
      const message = yield* connection.receiveStream
      const closing = yield* start(Scope.close(scope, Exit.void))
      far.hangUp()
      yield* Fiber.join(closing)
      assert.strictEqual(yield* reasonOf(Stream.runDrain(message.bytes)), "ConnectionLost")
    })
  )

  it.effect("lets go of its decoder with the scope of its connection, also when the transport has ended before", () =>
    Effect.gen(function* () {
      for (const hangsUp of [false, true]) {
        const coder = new Held()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { far, connection } = yield* open("client", {}, undefined, agreed(coder))
            far.push(toward("client", { fin: false, rsv: 2, opcode: 1, payload: utf8("ibmg") }))
            const message = yield* connection.receiveStream
            assert.strictEqual((yield* Stream.runHead(message.bytes))._tag, "Some")
            assert.strictEqual(coder.held, 1)
            if (hangsUp) far.hangUp()
            else far.push(toward("client", frames.frame(8, new Uint8Array(0))))
          })
        )
        assert.strictEqual(coder.held, 0)
      }
    })
  )
})

describe("sendStream", () => {
  it.effect("sends what comes as fragments, and an end without payload", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* connection.sendStream("text", Stream.fromArray(["ab", "cd"]), { fragmentBytes: 3 })
      yield* connection.sendStream("binary", Stream.empty)
      yield* connection.sendStream("binary", Stream.succeed(utf8("xyz")), { fragmentBytes: 2 })
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["1+abc", "0+d", "0.", "2.", "2+xy", "0+z", "0."])
    })
  )

  it.effect("keeps a character together that comes in two strings", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      yield* connection.sendStream("text", Stream.concat(Stream.succeed("a\ud83d"), Stream.succeed("\ude00b\ud83d")))
      yield* turn
      const text = frames.concat(far.frames.map(({ payload }) => payload))
      assert.strictEqual(new TextDecoder("utf-8", { fatal: true }).decode(text), "a😀b\ufffd")
    })
  )

  it.effect("lets Pongs pass and other messages wait until its end, a broadcast too", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client")
      const gate = yield* Deferred.make<string>()
      const streaming = yield* start(
        connection.sendStream("text", Stream.concat(Stream.succeed("a"), Stream.fromEffect(Deferred.await(gate))))
      )
      const other = yield* start(connection.send("other"))
      far.push(ping)
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["1+a", "10.p"])
      yield* Deferred.succeed(gate, "b")
      yield* Fiber.join(streaming)
      yield* Fiber.join(other)
      yield* turn
      assert.deepStrictEqual(shown(far.frames), ["1+a", "10.p", "0+b", "0.", "1.other"])
    })
  )

  it.effect("suspends its stream while the outbox is full", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 1_000 })
      far.stall()
      let made = 0
      const endless = Stream.forever(
        Stream.sync(() => {
          made++
          return new Uint8Array(100)
        })
      )
      yield* start(connection.sendStream("binary", Stream.take(endless, 100)))
      yield* turn
      const before = made
      assert.isBelow(before, 15)
      far.drain()
      yield* turn
      assert.strictEqual(made, 100)
    })
  )

  it.effect("ends the connection with 1011 when its stream fails in the middle, and not when it has not begun", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const none = yield* Effect.flip(connection.sendStream("text", Stream.fail("at once")))
      assert.strictEqual(none, "at once")
      yield* connection.send("fine")
      const half = yield* Effect.flip(
        connection.sendStream("text", Stream.concat(Stream.succeed("half"), Stream.fail("later")))
      )
      assert.strictEqual(half, "later")
      yield* turn
      const [fine, piece, close] = far.frames
      assert.deepStrictEqual(shown([fine!, piece!]), ["1.fine", "1+half"])
      assert.deepStrictEqual([close?.opcode, (close?.payload[0] ?? 0) * 256 + (close?.payload[1] ?? 0)], [8, 1011])
    })
  )

  it.effect("that is interrupted while it waits for its turn has sent nothing", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      const waiting = yield* start(connection.sendStream("text", Stream.succeed("never")))
      yield* Fiber.interrupt(waiting)
      far.drain()
      yield* connection.send("next")
      yield* turn
      assert.deepStrictEqual(shown(far.frames).slice(1), ["1.next"])
    })
  )

  it.effect("fails when the connection is closing, or comes to be while it waits", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      const waiting = yield* start(
        Effect.flip(connection.sendStream("text", Stream.concat(Stream.succeed("a"), Stream.never)))
      )
      const behind = yield* start(Effect.flip(connection.sendStream("text", Stream.succeed("b"))))
      far.push(toward("server", frames.frame(8, new Uint8Array(0))))
      // The stream of the first has nothing to send, and need not have.
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "NotOpen")
      assert.strictEqual((yield* Fiber.join(behind)).reason._tag, "NotOpen")
    })
  )

  it.effect("fails when the connection has ended before its turn came, though its stream has nothing to send", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      const sending = yield* start(Effect.exit(reasonOf(connection.sendStream("text", Stream.never))))
      far.hangUp()
      yield* turn
      assert.deepStrictEqual(sending.pollUnsafe(), Exit.succeed(Exit.succeed("NotOpen")))
    })
  )

  it.effect("dies of fragments that would have no end, and has sent nothing", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server")
      for (const fragmentBytes of [0, -1, Number.NaN]) {
        const exit = yield* Effect.exit(connection.sendStream("text", Stream.succeed("a"), { fragmentBytes }))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof RangeError)
      }
      yield* turn
      assert.deepStrictEqual(far.frames, [])
      yield* connection.send("next")
    })
  )

  it.effect("reaches the other end whole, whatever it is cut into", () =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair({ inboxBytes: 1_000, outboxBytes: 1_000 })
      const bytes = Stream.fromArray(Array.from({ length: 50 }, (_, i) => frames.counting(i * 17)))
      yield* start(client.sendStream("binary", bytes, { fragmentBytes: 100 }))
      const received = yield* Stream.runCollect((yield* server.receiveStream).bytes)
      const expected = frames.concat(Array.from({ length: 50 }, (_, i) => frames.counting(i * 17)))
      assert.strictEqual(Buffer.compare(frames.concat(received), expected), 0)
    })
  )
})
