/** Events as the body of a response: what leaves when, what is said while there is nothing to say, and what fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as EventStream from "@millrace/core/codec/EventStream"
import { InvalidEvent } from "@millrace/core/codec/EventStreamError"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"

const text = (chunk: Uint8Array) => new TextDecoder().decode(chunk)

/** What a body says, chunk by chunk, as it comes. */
const listen = <E>(body: Stream.Stream<Uint8Array, E>) =>
  Effect.gen(function* () {
    const heard: Array<string> = []
    const fiber = yield* Effect.forkChild(
      Stream.runForEach(body, (chunk) => Effect.sync(() => heard.push(text(chunk)))),
      { startImmediately: true }
    )
    return { heard, fiber }
  })

const printables = [{ data: "one" }, { data: "two\nlines", event: "said", id: "2" }]

describe("a body", () => {
  it.effect("begins at once, before there is an event", () =>
    Effect.gen(function* () {
      const { heard } = yield* listen(EventStreamBody.encode()(Stream.never))
      assert.deepStrictEqual(heard, [": \n\n"])
    })
  )

  it.effect("begins with the reconnection time, in whole milliseconds", () =>
    Effect.gen(function* () {
      const { heard } = yield* listen(EventStreamBody.encode({ retry: Duration.millis(1_999.5) })(Stream.never))
      assert.deepStrictEqual(heard, ["retry: 2000\n\n"])
      const endless = EventStreamBody.encode({ retry: Duration.infinity })(Stream.never)
      const failure = yield* Effect.flip(Stream.runDrain(endless))
      assert.deepStrictEqual([failure._tag, failure.field], ["InvalidEvent", "retry"])
    })
  )

  it.effect("has in one chunk what comes together, and ends with its events", () =>
    Effect.gen(function* () {
      for (const heartbeat of [Duration.infinity, Duration.seconds(1)]) {
        const events = Stream.concat(Stream.fromIterable(printables), Stream.succeed({ data: "three" }))
        const { fiber, heard } = yield* listen(EventStreamBody.encode({ heartbeat })(events))
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(heard.slice(1), [
          "data: one\n\nevent: said\nid: 2\ndata: two\ndata: lines\n\n",
          "data: three\n\n"
        ])
      }
    })
  )

  it.effect("fails as its events do, behind those that came before", () =>
    Effect.gen(function* () {
      for (const heartbeat of [Duration.infinity, Duration.seconds(1)]) {
        const events = Stream.concat(Stream.succeed({ data: "one" }), Stream.fail("no" as const))
        const { fiber, heard } = yield* listen(EventStreamBody.encode({ heartbeat })(events))
        assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("no" as const))
        assert.deepStrictEqual(heard.slice(1), ["data: one\n\n"])
      }
    })
  )

  it.effect("fails at an event that cannot be printed, behind those that came with it before", () =>
    Effect.gen(function* () {
      const events = Stream.fromIterable([{ data: "one" }, { data: "two", id: "1\n2" }, { data: "three" }])
      const { fiber, heard } = yield* listen(EventStreamBody.encode()(events))
      const failure = yield* Effect.flip(Fiber.join(fiber))
      assert.instanceOf(failure, InvalidEvent)
      assert.strictEqual(failure.field, "id")
      assert.deepStrictEqual(heard.slice(1), ["data: one\n\n"])
    })
  )

  it.effect("is not ahead of whoever reads it", () =>
    Effect.gen(function* () {
      const pulled: Array<number> = []
      const events = Stream.fromEffectRepeat(Effect.sync(() => ({ data: `${pulled.push(0)}` })))
      yield* Stream.runDrain(Stream.take(EventStreamBody.encode()(events), 4))
      assert.strictEqual(pulled.length, 3)
    })
  )

  it.effect("ends the scope of its events when it is left", () =>
    Effect.gen(function* () {
      const left = yield* Deferred.make<void>()
      const events = Stream.ensuring(Stream.never, Deferred.succeed(left, undefined))
      const { fiber } = yield* listen(EventStreamBody.encode()(events))
      yield* Fiber.interrupt(fiber)
      assert.isTrue(yield* Deferred.isDone(left))
    })
  )
})

describe("a heartbeat", () => {
  it.effect("is sent after each 15 s without a byte, and is a comment", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<EventStream.Printable>()
      const { heard } = yield* listen(EventStreamBody.encode()(Stream.fromQueue(queue)))
      yield* TestClock.adjust("14999 millis")
      assert.strictEqual(heard.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(heard.slice(1), [":\n\n"])
      yield* TestClock.adjust("10 seconds")
      yield* Queue.offer(queue, { data: "one" })
      yield* TestClock.adjust("14 seconds")
      assert.deepStrictEqual(heard.slice(2), ["data: one\n\n"])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(heard.slice(3), [":\n\n"])
      const parsed = EventStream.parse(new TextEncoder().encode(heard.join("")))
      assert.deepStrictEqual(
        parsed.events.map(({ data }) => data),
        ["one"]
      )
    })
  )

  it.effect("interrupts nothing that the events are at", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const slow = Effect.onInterrupt(Effect.as(Effect.sleep("1 minute"), { data: "slow" }), () =>
        Effect.sync(() => interrupted++)
      )
      const { fiber, heard } = yield* listen(EventStreamBody.encode()(Stream.fromEffect(slow)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(interrupted, 0)
      assert.strictEqual(heard.at(-1), "data: slow\n\n")
    })
  )

  it.effect("is as often as was said, or never", () =>
    Effect.gen(function* () {
      const often = yield* listen(EventStreamBody.encode({ heartbeat: "1 second" })(Stream.never))
      const never = yield* listen(EventStreamBody.encode({ heartbeat: Duration.infinity })(Stream.never))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([often.heard.length, never.heard.length], [3_601, 1])
    })
  )
})
