/** What this end asks: a peer that the test plays, packet by packet. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Asking } from "@millrace/core/messaging/Asking"
import type { RequestCoder, StreamCoder } from "@millrace/core/messaging/Contract"
import type * as Packet from "@millrace/core/messaging/Packet"
import * as SessionEnd from "@millrace/core/messaging/SessionEnd"
import { Disconnected, SessionError, Unencodable } from "@millrace/core/messaging/SessionError"
import { counted, start } from "../../support/connection.ts"
import { Chat, reasonOf } from "../../support/session.ts"

const rename = Chat.says.client.get("rename") as RequestCoder
const count = Chat.says.client.get("count") as StreamCoder

/** A far end that may have no room, or be gone. */
class Far {
  readonly heard: Array<Packet.Packet> = []
  failure: SessionError | undefined
  private waiting: Array<() => void> | undefined
  readonly asking: Asking

  constructor(bound = 100) {
    this.asking = new Asking((packet) => this.say(packet), bound)
  }

  private say(packet: Packet.Packet): Effect.Effect<void, SessionError> {
    const say = Effect.suspend(() => {
      if (this.failure !== undefined) return Effect.fail(this.failure)
      this.heard.push(packet)
      return Effect.void
    })
    return Effect.suspend(() => {
      const { waiting } = this
      if (waiting === undefined) return say
      return Effect.callback<void, SessionError>((resume) => {
        const go = () => resume(say)
        waiting.push(go)
        return Effect.sync(() => void waiting.splice(waiting.indexOf(go), 1))
      })
    })
  }

  /** Nothing can be said until `drain`. */
  stall(): void {
    this.waiting ??= []
  }

  drain(): void {
    const { waiting = [] } = this
    this.waiting = undefined
    for (const go of waiting.slice()) go()
  }

  get tags(): ReadonlyArray<string> {
    return this.heard.map((packet) => ("id" in packet ? `${packet._tag} ${packet.id}` : packet._tag))
  }

  request(payload = "ada", timeout: number = Infinity) {
    return this.asking.request(rename, payload, { timeout, key: undefined, trace: undefined })
  }

  stream(credit = 4) {
    return this.asking.stream(count, 9, { credit, trace: undefined })
  }

  pull(credit?: number) {
    return Stream.toPull(this.stream(credit))
  }
}

const items = (id: number, ...elements: ReadonlyArray<unknown>) => ({ _tag: "Items", id, elements }) as const

describe("a request", () => {
  it.effect("is not cancelled when it was answered, in whatever way", () =>
    Effect.gen(function* () {
      const far = new Far()
      const fibers = yield* Effect.forEach([0, 1, 2], () => start(reasonOf(far.request("ada", 1_000))))
      far.asking.receive({ _tag: "Ok", id: 1, value: "ada" })
      far.asking.receive({ _tag: "Err", id: 2, error: { _tag: "Taken", name: "ada" } })
      far.asking.receive({ _tag: "Fail", id: 3, code: "defect", detail: "" })
      const [one, two, three] = yield* Effect.forEach(fibers, Fiber.join)
      assert.strictEqual(one, "succeeded")
      assert.deepInclude(two, { _tag: "Taken", name: "ada" })
      assert.strictEqual(three, "Failed defect")
      assert.deepStrictEqual(far.tags, ["Ask 1", "Ask 2", "Ask 3"])
      assert.strictEqual(far.asking.size, 0)
    })
  )

  it.effect("that is interrupted is cancelled, once", () =>
    Effect.gen(function* () {
      const far = new Far()
      yield* Effect.flatMap(start(far.request()), Fiber.interrupt)
      assert.deepStrictEqual(far.tags, ["Ask 1", "Cancel 1"])
      assert.strictEqual(far.asking.size, 0)
    })
  )

  it.effect("that times out is cancelled, once, and says after how long", () =>
    Effect.gen(function* () {
      const far = new Far()
      const asked = yield* start(Effect.flip(far.request("ada", 1_500)))
      yield* TestClock.adjust(1_500)
      const error = yield* Fiber.join(asked)
      assert.instanceOf(error, SessionError)
      assert.strictEqual(error.message, 'no answer to "rename" for 1500 ms')
      assert.deepStrictEqual(far.tags, ["Ask 1", "Cancel 1"])
    })
  )

  it.effect("that is interrupted as soon as it is said is cancelled, though nobody knows yet that it was", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const asking = new Asking(
        ({ _tag }) =>
          Effect.andThen(
            Effect.sync(() => void said.push(_tag)),
            Effect.yieldNow
          ),
        1
      )
      yield* Effect.flatMap(
        start(Effect.exit(asking.request(rename, "ada", { timeout: Infinity, key: undefined, trace: undefined }))),
        Fiber.interrupt
      )
      yield* Effect.flatMap(
        start(Stream.runDrain(asking.stream(count, 1, { credit: 1, trace: undefined }))),
        Fiber.interrupt
      )
      assert.deepStrictEqual(said, ["Ask", "Cancel", "Open", "Cancel"])
    })
  )

  it.effect(
    "that could not be said yet is given up at once, and is never said; its cancel is, which nobody minds",
    () =>
      Effect.gen(function* () {
        const far = new Far()
        far.stall()
        const timed = yield* start(reasonOf(far.request("ada", 1_000)))
        const interrupted = yield* start(far.request())
        yield* Fiber.interrupt(interrupted)
        yield* TestClock.adjust(1_000)
        assert.strictEqual(yield* Fiber.join(timed), "RequestTimeout")
        far.drain()
        assert.deepStrictEqual(far.tags, ["Cancel 2", "Cancel 1"])
        assert.strictEqual(far.asking.size, 0)
      })
  )

  it.effect("whose cancelling cannot be said yet is given up at once, and cancelled later", () =>
    Effect.gen(function* () {
      const far = new Far()
      const asked = yield* start(far.request())
      far.stall()
      yield* Fiber.interrupt(asked)
      assert.deepStrictEqual(far.tags, ["Ask 1"])
      far.drain()
      assert.deepStrictEqual(far.tags, ["Ask 1", "Cancel 1"])
    })
  )

  it.effect("that cannot be said fails, is not cancelled and is not kept", () =>
    Effect.gen(function* () {
      const far = new Far()
      far.failure = new SessionError({ reason: new Unencodable({ name: "rename", cause: "no" }) })
      assert.strictEqual(yield* reasonOf(far.request()), "Unencodable")
      assert.strictEqual(yield* reasonOf(far.request(7 as never)), "Unencodable")
      assert.deepStrictEqual(far.tags, [])
      assert.strictEqual(far.asking.size, 0)
    })
  )

  it.effect("waits for its turn when as many as may be are unanswered", () =>
    Effect.gen(function* () {
      const far = new Far(2)
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], () => start(reasonOf(far.request())))
      assert.deepStrictEqual(far.tags, ["Ask 1", "Ask 2"])
      // The third leaves before it is its turn.
      yield* Fiber.interrupt(fibers[2]!)
      far.asking.receive({ _tag: "Ok", id: 2, value: "ada" })
      assert.deepStrictEqual(far.tags, ["Ask 1", "Ask 2", "Ask 3"])
      yield* Fiber.interrupt(fibers[0]!)
      assert.deepStrictEqual(far.tags, ["Ask 1", "Ask 2", "Ask 3", "Cancel 1", "Ask 4"])
      far.asking.ended(SessionEnd.ordinary)
      assert.strictEqual(yield* Fiber.join(fibers[3]!), "Disconnected")
      assert.strictEqual(yield* Fiber.join(fibers[4]!), "Disconnected")
    })
  )

  it.effect("that waits for its turn times out, and fails when the session ends", () =>
    Effect.gen(function* () {
      const far = new Far(1)
      yield* start(far.request())
      const timed = yield* start(reasonOf(far.request("ada", 1_000)))
      const waiting = yield* start(reasonOf(far.request()))
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* Fiber.join(timed), "RequestTimeout")
      far.asking.ended(SessionEnd.failed(new Disconnected({ cause: undefined })))
      assert.strictEqual(yield* Fiber.join(waiting), "Disconnected")
      assert.strictEqual(yield* reasonOf(far.request()), "Disconnected")
      assert.deepStrictEqual(far.tags, ["Ask 1"])
    })
  )

  it.effect("may be asked by whoever was answered, in the call that brought the answer", () =>
    Effect.gen(function* () {
      const far = new Far(1)
      const both = yield* start(Effect.andThen(far.request(), far.request()))
      far.asking.receive({ _tag: "Ok", id: 1, value: "ada" })
      assert.deepStrictEqual(far.tags, ["Ask 1", "Ask 2"])
      far.asking.receive({ _tag: "Ok", id: 2, value: "bob" })
      assert.strictEqual(yield* Fiber.join(both), "bob")
    })
  )
})

describe("a stream", () => {
  it.effect("hands out what came before its end, and is not cancelled then", () =>
    Effect.gen(function* () {
      const far = new Far()
      const read = yield* start(Stream.runCollect(far.stream()))
      far.asking.receive(items(1, 1, 2))
      far.asking.receive(items(1, 3))
      far.asking.receive({ _tag: "End", id: 1 })
      assert.deepStrictEqual(yield* Fiber.join(read), [1, 2, 3])
      assert.deepStrictEqual(far.tags, ["Open 1", "More 1"])
      assert.strictEqual(far.asking.size, 0)
    })
  )

  it.effect("asks for more when half of its credit was dealt with, and for as many", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const far = new Far()
        const pull = yield* far.pull(4)
        far.asking.receive(items(1, 1))
        yield* pull
        far.asking.receive(items(1, 2, 3))
        // One was dealt with: that is less than half.
        yield* pull
        assert.deepStrictEqual(far.tags, ["Open 1"])
        far.asking.receive(items(1, 4))
        yield* pull
        assert.deepStrictEqual(far.heard.at(-1), { _tag: "More", id: 1, credit: 3 })
        assert.strictEqual(far.asking.receive(items(1, 5, 6, 7)), "Taken")
        assert.strictEqual(far.asking.receive(items(1, 8)), "Overrun")
      })
    )
  )

  it.effect("that nobody pulls asks for nothing more", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const far = new Far()
        yield* far.pull(2)
        far.asking.receive(items(1, 1, 2))
        assert.deepStrictEqual(far.tags, ["Open 1"])
        assert.strictEqual(far.asking.receive(items(1, 3)), "Overrun")
      })
    )
  )

  it.effect("hands out nothing behind an element that does not decode, also what comes later", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const far = new Far()
        const pull = yield* far.pull(10)
        far.asking.receive(items(1, 1, "two", 3))
        assert.deepStrictEqual(yield* pull, [1])
        far.asking.receive(items(1, 4))
        assert.strictEqual(yield* reasonOf(pull), "Undecodable")
        far.asking.receive({ _tag: "End", id: 1 })
        assert.strictEqual(yield* reasonOf(pull), "Undecodable")
      })
    )
  )

  it.effect("ends with the error of the contract, or with why it was not answered", () =>
    Effect.gen(function* () {
      const far = new Far()
      const typed = yield* start(reasonOf(Stream.runDrain(far.stream())))
      const failed = yield* start(reasonOf(Stream.runDrain(far.stream())))
      const lost = yield* start(reasonOf(Stream.runDrain(far.stream())))
      far.asking.receive({ _tag: "Err", id: 1, error: { _tag: "Taken", name: "ada" } })
      far.asking.receive({ _tag: "Fail", id: 2, code: "unavailable", detail: "" })
      far.asking.ended(SessionEnd.ordinary)
      assert.deepInclude(yield* Fiber.join(typed), { _tag: "Taken" })
      assert.strictEqual(yield* Fiber.join(failed), "Failed unavailable")
      assert.strictEqual(yield* Fiber.join(lost), "Disconnected")
      assert.deepStrictEqual(far.tags, ["Open 1", "Open 2", "Open 3"])
    })
  )

  it.effect("hands out what came before the session ended, though no more can be asked for", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const far = new Far()
        const pull = yield* far.pull(4)
        far.asking.receive(items(1, 1, 2))
        yield* pull
        far.asking.receive(items(1, 3))
        far.failure = new SessionError({ reason: new Disconnected({ cause: undefined }) })
        assert.deepStrictEqual(yield* pull, [3])
        far.asking.receive({ _tag: "End", id: 1 })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      })
    )
  )

  it.effect("that is left is cancelled, once; one that could not be opened yet is not opened", () =>
    Effect.gen(function* () {
      const far = new Far()
      const taken = yield* start(Stream.runCollect(Stream.take(far.stream(), 1)))
      far.asking.receive(items(1, 1, 2))
      assert.deepStrictEqual(yield* Fiber.join(taken), [1])
      assert.deepStrictEqual(far.tags, ["Open 1", "Cancel 1"])
      far.stall()
      yield* Effect.flatMap(start(Stream.runDrain(far.stream())), Fiber.interrupt)
      far.drain()
      assert.deepStrictEqual(far.tags, ["Open 1", "Cancel 1", "Cancel 2"])
      assert.strictEqual(far.asking.size, 0)
    })
  )

  it.effect("that cannot be opened is not kept", () =>
    Effect.gen(function* () {
      const far = new Far()
      far.failure = new SessionError({ reason: new Unencodable({ name: "count", cause: "no" }) })
      // In a scope that lives on.
      const scope = yield* Scope.make()
      assert.strictEqual(
        yield* reasonOf(
          Scope.provide(
            Effect.flatMap(far.pull(), (pull) => pull),
            scope
          )
        ),
        "Unencodable"
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(far.asking.size, 0)
      assert.strictEqual(
        yield* reasonOf(Stream.runDrain(far.asking.stream(count, "x", { credit: 1, trace: undefined }))),
        "Unencodable"
      )
    })
  )

  it.effect.each([0, -1, 1.5, Number.NaN, 1_048_577])("dies for a credit of %s", (credit) =>
    Effect.gen(function* () {
      const far = new Far()
      const exit = yield* Effect.exit(Stream.runDrain(far.stream(credit)))
      assert.match(String(exit), /RangeError|credit/)
      assert.deepStrictEqual(far.tags, [])
    })
  )

  it.effect("is opened anew each time that it is run, with another number", () =>
    Effect.gen(function* () {
      const far = new Far()
      const stream = far.stream()
      yield* start(Stream.runDrain(stream))
      yield* start(Stream.runDrain(stream))
      assert.deepStrictEqual(far.tags, ["Open 1", "Open 2"])
    })
  )

  it.effect("leaves no fiber, whatever becomes of it", () =>
    counted((running) =>
      Effect.gen(function* () {
        const before = { ...running }
        const far = new Far()
        for (const end of ["End", "Fail", "left", "stalled"] as const) {
          const read = yield* start(reasonOf(Stream.runForEach(far.stream(), () => Effect.void)))
          const { id } = far.heard.at(-1) as Packet.Open
          if (end === "End") far.asking.receive({ _tag: "End", id })
          else if (end === "Fail") far.asking.receive({ _tag: "Fail", id, code: "defect", detail: "" })
          else if (end === "stalled") far.stall()
          yield* Fiber.interrupt(read)
          far.drain()
        }
        assert.deepStrictEqual(running, before)
        assert.strictEqual(far.asking.size, 0)
      })
    )
  )
})
