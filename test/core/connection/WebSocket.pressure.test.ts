/** Pressure: nothing is read that nobody pulls, and nothing that waits grows without an end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as frames from "../../support/frames.ts"
import { open, plain, start, toward, turn } from "../../support/connection.ts"
import { utf8 } from "../../support/wire.ts"

const text = (value: string) => toward("client", frames.frame(1, utf8(value)))
const ping = (value: string) => toward("client", frames.frame(9, utf8(value)))

const pongs = (sent: ReadonlyArray<frames.Seen>) =>
  sent.filter(({ opcode }) => opcode === 10).map(({ payload }) => new TextDecoder().decode(payload))

const pong = frames.encode({ fin: true, rsv: 0, opcode: 10, payload: new Uint8Array(125) })

/** One read, of which 4 KiB stay in memory for a letter. */
const letterAmongPongs = () => frames.concat([text("a"), ...Array.from({ length: 30 }, () => pong)])

describe("the inbox", () => {
  it.effect("pauses the transport when it is over its bound, and resumes it when it is pulled", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 1000 })
      // A message counts the buffer it lies in, here its frame, and 64 more: ten frames of 36 are just the bound.
      for (let i = 0; i < 10; i++) far.push(text(`${i}`.padEnd(34)))
      assert.deepStrictEqual(far.log, [])
      far.push(text("one more"))
      assert.deepStrictEqual(far.log, ["pause"])
      far.push(text("waits in the network"))
      const first = plain(yield* connection.pull)
      assert.strictEqual(first.length, 11)
      assert.deepStrictEqual(far.log, ["pause", "resume"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["waits in the network"])
    })
  )

  it.effect("counts what a message keeps in memory, however little of it is the message", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 10_000 })
      for (let i = 0; i < 2; i++) far.push(letterAmongPongs())
      assert.deepStrictEqual(far.log, [])
      far.push(letterAmongPongs())
      assert.deepStrictEqual(far.log, ["pause"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["a", "a", "a"])
    })
  )

  it.effect("counts a buffer once for all the messages in it", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client", { inboxBytes: 10_000 })
      far.push(frames.concat(Array.from({ length: 50 }, () => text("x".repeat(120)))))
      assert.deepStrictEqual(far.log, [])
    })
  )

  it.effect("counts empty messages too", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client", { inboxBytes: 1000 })
      for (let i = 0; i < 15; i++) far.push("81 00")
      assert.deepStrictEqual(far.log, [])
      far.push("81 00")
      assert.deepStrictEqual(far.log, ["pause"])
    })
  )

  it.effect("takes one read beyond its bound, whatever is in it", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 10 })
      far.push(frames.concat(["a", "b", "c"].map(text)))
      far.push(text("d"))
      assert.deepStrictEqual(far.log, ["pause"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["a", "b", "c"])
      assert.deepStrictEqual(plain(yield* connection.pull), ["d"])
    })
  )

  it.effect("loses nothing and keeps the order, however often it is full", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 200 })
      const all = Array.from({ length: 300 }, (_, i) => `message ${i}`)
      for (const message of all.slice(0, 150)) far.push(text(message))
      const got: Array<string | Uint8Array> = []
      const slowly = Stream.runForEachArray(connection.messages, (messages) =>
        Effect.andThen(
          turn,
          Effect.sync(() => got.push(...plain(messages)))
        )
      )
      yield* start(slowly)
      for (const message of all.slice(150)) far.push(text(message))
      while (got.length < all.length) yield* turn
      assert.deepStrictEqual(got, all)
      const pauses = far.log.filter((line) => line === "pause").length
      assert.isAbove(pauses, 10)
      assert.strictEqual(far.log.filter((line) => line === "resume").length, pauses)
    })
  )

  it.effect("never pauses for a reader that keeps up", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 0 })
      yield* start(Stream.runDrain(connection.messages))
      for (let i = 0; i < 100; i++) far.push(text("x".repeat(5000)))
      assert.deepStrictEqual(far.log, [])
    })
  )

  it.effect("lets Pings be answered while the application works, until it is full", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { inboxBytes: 1000 })
      far.push(text("work"))
      far.push(ping("during"))
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["during"])
      far.push(text("x".repeat(1000)))
      far.push(ping("after"))
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["during"])
      yield* connection.pull
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["during", "after"])
    })
  )
})

describe("Pongs", () => {
  it.effect("answer every Ping, in order, while the outbox has room", () =>
    Effect.gen(function* () {
      const { far } = yield* open("client")
      far.push(frames.concat(["1", "2", "3"].map(ping)))
      far.push(ping("4"))
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["1", "2", "3", "4"])
      assert.strictEqual(far.writes.length, 1)
    })
  )

  it.effect("are one at most while the outbox is full, the newest", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      for (let i = 0; i < 1000; i++) far.push(ping(`${i}`))
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), [])
      far.drain()
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["999"])
      far.drain()
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["999"])
    })
  )

  it.effect("of 100,000 Pings in a burst fill the outbox of a peer that does not read, and one more waits", () =>
    Effect.gen(function* () {
      const { far } = yield* open("server", { outboxBytes: 10_000 })
      far.stall()
      const pings = Array.from({ length: 100_000 }, (_, i) => toward("server", frames.frame(9, utf8(`${i}`))))
      far.push(frames.concat(pings))
      yield* turn
      assert.isAtLeast(far.writableLength, 10_000)
      assert.isBelow(far.writableLength, 10_000 + 7)
      const answered = pongs(far.frames)
      assert.deepStrictEqual(
        answered,
        answered.map((_, i) => `${i}`)
      )
      far.drain()
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), [...answered, "99999"])
    })
  )

  it.effect("wait on while it is full, also when something else is written", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      far.push(ping("1"))
      yield* TestClock.adjust("26 seconds")
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [1, 9]
      )
    })
  )

  it.effect("are sent at the end of a turn that was full, when the transport took it all", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { outboxBytes: 100 })
      yield* connection.send("x".repeat(200))
      far.push(ping("1"))
      far.push(ping("2"))
      yield* turn
      assert.deepStrictEqual(pongs(far.frames), ["2"])
    })
  )

  it.effect("come before the messages that wait for room", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("client", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      yield* start(connection.send("late"))
      far.push(ping("1"))
      far.drain()
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [1, 10, 1]
      )
    })
  )

  it.effect("of which one waited are not sent after the end", () =>
    Effect.gen(function* () {
      const { far, connection } = yield* open("server", { outboxBytes: 100 })
      far.stall()
      yield* connection.send("x".repeat(200))
      yield* turn
      far.push(toward("server", frames.frame(9, utf8("1"))))
      far.push(toward("server", frames.frame(8, utf8(""))))
      far.drain()
      yield* turn
      assert.deepStrictEqual(
        far.frames.map(({ opcode }) => opcode),
        [1, 8]
      )
      assert.strictEqual(far.log.at(-1), "end")
    })
  )
})

describe("whoever waits for room", () => {
  const some = ["a", "b", "c"]
  it.effect.each(["a message", "a message as a stream", "the end"])(
    "goes on when it is there, also where the fiber yielded between looking and waiting: %s",
    (what) =>
      Effect.gen(function* () {
        for (let operations = 3; operations < 9; operations++) {
          for (let turns = 0; turns < 30; turns++) {
            const { far, connection } = yield* open("client", { outboxBytes: 100 })
            far.stall()
            yield* connection.send("x".repeat(200))
            const sending =
              what === "a message as a stream"
                ? connection.sendStream("text", Stream.fromIterable(some))
                : connection.send("y")
            const fiber = yield* start(
              Effect.exit(sending).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations))
            )
            for (let i = 0; i < turns; i++) yield* Effect.yieldNow
            if (what === "the end") far.hangUp()
            else far.drain()
            yield* Fiber.join(fiber)
            far.hangUp()
          }
        }
      }).pipe(Effect.scoped)
  )
})
