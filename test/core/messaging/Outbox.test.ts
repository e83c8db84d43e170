/** What waits for a connection: the order, the bounds, and what is done beyond them. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import type * as Client from "@millrace/core/messaging/Client"
import type { Conversation } from "@millrace/core/messaging/Conversation"
import { Outbox } from "@millrace/core/messaging/Outbox"
import * as SessionEnd from "@millrace/core/messaging/SessionEnd"
import { Disconnected, Rejected, SessionError, Unencodable } from "@millrace/core/messaging/SessionError"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { reasonOf } from "../../support/session.ts"

const session = {} as Conversation

const lost = Effect.fail(new SessionError({ reason: new Disconnected({ cause: undefined }) }))

/** An effect whose fiber yields once, after so many steps. */
const yielding = <A, E>(ops: number, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    let left = ops
    const scheduler = new Scheduler.MixedScheduler()
    scheduler.shouldYield = () => --left === 0
    return Effect.provideService(effect, Scheduler.Scheduler, scheduler)
  })

/** An outbox, and a session that comes and goes. */
const flushing = (options?: Client.Outbox, maxWaiting?: number) => {
  let open: Conversation | undefined
  const outbox = new Outbox(() => open, options, maxWaiting)
  const close = Effect.sync(() => {
    open = undefined
  })
  const flush = Effect.suspend(() => {
    open = session
    return Effect.ensuring(outbox.flush(session), close)
  })
  return { outbox, flush, close }
}

/** An outbox, and what was said of it. */
const outboxOf = (options?: Client.Outbox, maxWaiting?: number) => {
  const { flush, outbox } = flushing(options, maxWaiting)
  const said: Array<string> = []
  const saying = (name: string) => () => Effect.sync(() => void said.push(name))
  return {
    outbox,
    said,
    put: (name: string) => outbox.put(saying(name)),
    /** A question says who it is when it is its turn. */
    ask: (name: string) => Effect.map(outbox.turn, () => void said.push(name)),
    flush
  }
}

describe("what waits", () => {
  it.effect("is said in the order in which it was given, questions and messages alike", () =>
    Effect.gen(function* () {
      const { ask, flush, outbox, put, said } = outboxOf()
      yield* put("a")
      yield* start(ask("b?"))
      yield* put("c")
      yield* start(ask("d?"))
      yield* start(ask("e?"))
      assert.isFalse(outbox.isEmpty)
      yield* flush
      assert.deepStrictEqual(said, ["a", "b?", "c", "d?", "e?"])
      assert.isTrue(outbox.isEmpty)
      yield* flush
      assert.lengthOf(said, 5)
    })
  )

  it.effect("has the place in which it was given, when it comes back from a session that was lost", () =>
    Effect.gen(function* () {
      const other = {} as Conversation
      let open: Conversation | undefined = session
      const outbox = new Outbox(() => open)
      const said: Array<string> = []
      const gate = yield* Deferred.make<void, SessionError>()
      const saying = (name: string, over: Effect.Effect<void, SessionError>) => (conversation: Conversation) =>
        conversation === session ? over : Effect.sync(() => void said.push(name))
      yield* start(outbox.put(saying("a", Deferred.await(gate))))
      yield* start(outbox.put(saying("b", Deferred.await(gate))))
      open = undefined
      yield* outbox.put(saying("c", lost))
      // The next session is there before what was on its way over the last has come back.
      open = other
      const flush = yield* start(outbox.flush(other))
      yield* start(outbox.put(saying("d", lost)))
      assert.deepStrictEqual(said, [])
      yield* Deferred.failSync(gate, () => new SessionError({ reason: new Disconnected({ cause: undefined }) }))
      yield* Fiber.join(flush)
      assert.deepStrictEqual(said, ["a", "b", "c", "d"])
      assert.isTrue(outbox.isEmpty)
    })
  )

  it.effect("is said once and not lost, wherever a session ends in between", () =>
    Effect.gen(function* () {
      for (let fits = 0; fits < 6; fits++) {
        const { flush, outbox } = flushing()
        const said: Array<number> = []
        let room = fits
        for (let n = 0; n < 5; n++) {
          yield* outbox.put(() => (room-- > 0 ? Effect.sync(() => void said.push(n)) : lost))
        }
        yield* flush
        assert.deepStrictEqual(said, [0, 1, 2, 3, 4].slice(0, fits))
        assert.strictEqual(outbox.isEmpty, fits >= 5)
        room = 10
        yield* flush
        assert.deepStrictEqual(said, [0, 1, 2, 3, 4])
        assert.strictEqual(outbox.dropped, 0)
      }
    })
  )

  it.effect("is not said again when somebody interrupts, as it was said already", () =>
    Effect.gen(function* () {
      const { flush, outbox } = flushing()
      const sent = yield* Deferred.make<void>()
      let count = 0
      yield* outbox.put(() =>
        Effect.andThen(
          Deferred.await(sent),
          Effect.sync(() => void count++)
        )
      )
      const going = yield* start(flush)
      const interrupting = yield* start(Fiber.interrupt(going))
      yield* Deferred.succeed(sent, undefined)
      yield* Fiber.join(interrupting)
      yield* flush
      assert.strictEqual(count, 1)
    })
  )

  it.effect("stays when nothing may be said any more, also the questions", () =>
    Effect.gen(function* () {
      const { close, flush, outbox } = flushing()
      const said: Array<string> = []
      yield* outbox.put(() => close)
      yield* start(Effect.map(outbox.turn, () => said.push("b?")))
      yield* outbox.put(() => Effect.sync(() => void said.push("c")))
      yield* flush
      assert.deepStrictEqual(said, [])
      yield* flush
      assert.deepStrictEqual(said, ["b?", "c"])
    })
  )

  it.effect("makes who comes meanwhile wait behind it", () =>
    Effect.gen(function* () {
      const { flush, outbox, put, said } = outboxOf()
      const gate = yield* Deferred.make<void>()
      yield* outbox.put(() => Deferred.await(gate))
      const going = yield* start(flush)
      assert.isFalse(outbox.isEmpty)
      yield* put("b")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(going)
      assert.deepStrictEqual(said, ["b"])
    })
  )

  it.effect("is dropped and counted when it cannot be said at all, and does not hold the others up", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { flush, outbox, put, said } = outboxOf()
        yield* outbox.put(() => Effect.fail(new SessionError({ reason: new Unencodable({ name: "x", cause: "" }) })))
        yield* outbox.put(() => Effect.die("mistaken"))
        yield* put("c")
        yield* flush
        assert.deepStrictEqual(said, ["c"])
        assert.strictEqual(outbox.dropped, 2)
        assert.deepStrictEqual(
          entries.map(({ message }) => message),
          ["A message cannot be said"]
        )
      })
    )
  )

  it.effect("is forgotten when who asked does not wait any more", () =>
    Effect.gen(function* () {
      const { ask, flush, outbox, said } = outboxOf({}, 1)
      yield* Fiber.interrupt(yield* start(ask("a?")))
      assert.isTrue(outbox.isEmpty)
      yield* start(ask("b?"))
      yield* flush
      assert.deepStrictEqual(said, ["b?"])
    })
  )
})

describe("with a session and nobody before it", () => {
  it.effect("it does not wait, be it a message or a question", () =>
    Effect.gen(function* () {
      const outbox = new Outbox(() => session)
      const said: Array<string> = []
      yield* outbox.put(() => Effect.sync(() => void said.push("a")))
      assert.strictEqual(yield* outbox.turn, session)
      assert.deepStrictEqual(said, ["a"])
    })
  )

  it.effect("a message that cannot be said there is kept for the next", () =>
    Effect.gen(function* () {
      let open: Conversation | undefined = session
      const outbox = new Outbox(() => open)
      let count = 0
      const say = () =>
        Effect.suspend(() => {
          if (open !== undefined && ++count === 2) return Effect.void
          open = undefined
          return lost
        })
      yield* outbox.put(say)
      assert.isFalse(outbox.isEmpty)
      open = session
      yield* outbox.flush(session)
      assert.deepStrictEqual([count, outbox.isEmpty], [2, true])
    })
  )

  // A fiber may yield between looking and waiting, and nobody would wake it any more.
  it.effect("nobody waits for what has come where their fiber has yielded", () =>
    Effect.gen(function* () {
      let open: Conversation | undefined
      const said: Array<number> = []
      for (let ops = 1; ops < 12; ops++) {
        open = undefined
        const outbox = new Outbox(() => open, { capacity: 1, overflow: "Suspend" })
        yield* outbox.put(() => Effect.void)
        const putting = outbox.put(() => Effect.sync(() => void said.push(ops)))
        const waiting = [yield* start(yielding(ops, putting)), yield* start(yielding(ops, outbox.turn))]
        open = session
        yield* outbox.flush(session)
        for (const fiber of waiting) yield* Fiber.join(fiber as Fiber.Fiber<unknown, unknown>)
        assert.strictEqual(said.at(-1), ops)
      }
    })
  )
})

describe("beyond its capacity", () => {
  it.effect("a message is refused, unless something else was declared", () =>
    Effect.gen(function* () {
      const { flush, outbox, put, said } = outboxOf({ capacity: 2 })
      yield* put("a")
      yield* put("b")
      const error = yield* Effect.flip(put("c"))
      assert.deepInclude(error.reason, { _tag: "OutboxFull", capacity: 2 })
      yield* flush
      assert.deepStrictEqual([said, outbox.dropped], [["a", "b"], 0])
    })
  )

  it.effect("256 messages are held by default", () =>
    Effect.gen(function* () {
      const { put } = outboxOf()
      for (let n = 0; n < 256; n++) yield* put(`${n}`)
      assert.strictEqual(yield* reasonOf(put("256")), "OutboxFull")
    })
  )

  it.effect("DropOldest makes room, and counts", () =>
    Effect.gen(function* () {
      const { ask, flush, outbox, put, said } = outboxOf({ capacity: 2, overflow: "DropOldest" })
      yield* start(ask("a?"))
      for (const name of ["b", "c", "d", "e"]) yield* put(name)
      yield* flush
      assert.deepStrictEqual([said, outbox.dropped], [["a?", "d", "e"], 2])
    })
  )

  it.effect("DropNewest keeps what there is, and counts", () =>
    Effect.gen(function* () {
      const { flush, outbox, put, said } = outboxOf({ capacity: 2, overflow: "DropNewest" })
      for (const name of ["a", "b", "c", "d"]) yield* put(name)
      yield* flush
      assert.deepStrictEqual([said, outbox.dropped], [["a", "b"], 2])
    })
  )

  it.effect("Suspend lets who says it wait for room, in order; who is interrupted has said nothing", () =>
    Effect.gen(function* () {
      const { flush, outbox, put, said } = outboxOf({ capacity: 1, overflow: "Suspend" })
      yield* put("a")
      const b = yield* start(put("b"))
      const c = yield* start(put("c"))
      const d = yield* start(put("d"))
      yield* Fiber.interrupt(c)
      assert.isUndefined(b.pollUnsafe())
      yield* flush
      yield* Fiber.join(b)
      yield* Fiber.join(d)
      assert.deepStrictEqual([said, outbox.dropped], [["a", "b", "d"], 0])
    })
  )

  it.effect.each(["Fail", "DropOldest", "DropNewest", "Suspend"] as const)(
    "nothing is kept where nothing fits, and %s does what it says",
    (overflow) =>
      Effect.gen(function* () {
        const { flush, outbox, put, said } = outboxOf({ capacity: 0, overflow })
        const putting = yield* start(reasonOf(put("a")))
        yield* flush
        assert.deepStrictEqual(said, overflow === "Suspend" ? ["a"] : [])
        assert.strictEqual(outbox.dropped, overflow.startsWith("Drop") ? 1 : 0)
        assert.strictEqual(yield* Fiber.join(putting), overflow === "Fail" ? "OutboxFull" : "succeeded")
      })
  )

  it.effect("who waits goes on as soon as there is room, and not when all is said", () =>
    Effect.gen(function* () {
      const { flush, outbox, put } = outboxOf({ capacity: 1, overflow: "Suspend" })
      const gate = yield* Deferred.make<void>()
      yield* put("a")
      const b = yield* start(outbox.put(() => Deferred.await(gate)))
      const going = yield* start(flush)
      yield* Fiber.join(b)
      assert.isUndefined(going.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(going)
    })
  )

  it.effect("who waited where nothing is kept, and does not any more, has nothing said later", () =>
    Effect.gen(function* () {
      const { flush, outbox, said } = outboxOf({ capacity: 0, overflow: "Suspend" })
      const gate = yield* Deferred.make<void, SessionError>()
      let isLost = true
      const say = () => (isLost ? Deferred.await(gate) : Effect.sync(() => void said.push("a")))
      const putting = yield* start(outbox.put(say))
      const going = yield* start(flush)
      yield* Fiber.interrupt(putting)
      yield* Deferred.failSync(gate, () => new SessionError({ reason: new Disconnected({ cause: undefined }) }))
      yield* Fiber.join(going)
      isLost = false
      yield* flush
      assert.deepStrictEqual([said, outbox.isEmpty], [[], true])
    })
  )

  it.effect("a message waits, whatever was declared, while there is a connection", () =>
    Effect.gen(function* () {
      const { flush, outbox, put, said } = outboxOf({ capacity: 1, overflow: "DropOldest" })
      const gate = yield* Deferred.make<void>()
      yield* outbox.put(() => Deferred.await(gate))
      const going = yield* start(flush)
      yield* put("b")
      const c = yield* start(put("c"))
      assert.isUndefined(c.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(going)
      yield* Fiber.join(c)
      assert.deepStrictEqual([said, outbox.dropped], [["b", "c"], 0])
    })
  )

  it.effect("so many questions may wait, and one more fails", () =>
    Effect.gen(function* () {
      const { ask, flush, said } = outboxOf({}, 2)
      yield* start(ask("a?"))
      yield* start(ask("b?"))
      const error = yield* Effect.flip(ask("c?"))
      assert.deepInclude(error.reason, { _tag: "OutboxFull", capacity: 2 })
      yield* flush
      yield* start(ask("d?"))
      yield* flush
      assert.deepStrictEqual(said, ["a?", "b?", "d?"])
    })
  )
})

describe("at the end", () => {
  it.effect("everybody who waits is told why, and who comes later, too", () =>
    Effect.gen(function* () {
      const { ask, flush, outbox, put, said } = outboxOf({ capacity: 1, overflow: "Suspend" })
      yield* put("a")
      const waiting = [yield* start(reasonOf(put("b"))), yield* start(reasonOf(ask("c?")))]
      outbox.ended(SessionEnd.failed(new Rejected({ detail: "" })))
      for (const fiber of waiting) assert.strictEqual(yield* Fiber.join(fiber), "Rejected")
      assert.strictEqual(yield* reasonOf(put("d")), "Rejected")
      assert.strictEqual(yield* reasonOf(ask("e?")), "Rejected")
      yield* flush
      assert.deepStrictEqual([said, outbox.isEmpty], [[], true])
    })
  )

  it.effect("a message that is being said and fails is not kept", () =>
    Effect.gen(function* () {
      const { flush, outbox } = flushing()
      const gate = yield* Deferred.make<void, SessionError>()
      yield* outbox.put(() => Deferred.await(gate))
      const going = yield* start(flush)
      outbox.ended(SessionEnd.ordinary)
      yield* Deferred.failSync(gate, () => new SessionError({ reason: new Disconnected({ cause: undefined }) }))
      yield* Fiber.join(going)
      assert.isTrue(outbox.isEmpty)
    })
  )
})
