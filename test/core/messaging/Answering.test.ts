/** What this end answers, over connections in memory, to a peer that the test plays. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Answering } from "@millrace/core/messaging/Answering"
import { Backlog } from "@millrace/core/messaging/Backlog"
import type { StreamCoder } from "@millrace/core/messaging/Contract"
import * as Repeats from "@millrace/core/messaging/Repeats"
import { Disconnected, SessionError } from "@millrace/core/messaging/SessionError"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { Chat, reasonOf, serverOf, silent, Taken, turn } from "../../support/session.ts"

/** Effects that end when the test says so, in the order in which they began. */
class Works {
  readonly begun: Array<unknown> = []
  readonly interrupted: Array<unknown> = []
  private readonly open = new Map<unknown, Deferred.Deferred<never, Taken>>()

  work = (name: unknown): Effect.Effect<never, Taken> =>
    Effect.suspend(() => {
      this.begun.push(name)
      const deferred = Deferred.makeUnsafe<never, Taken>()
      this.open.set(name, deferred)
      return Effect.onInterrupt(Deferred.await(deferred), () =>
        Effect.sync(() => {
          this.interrupted.push(name)
        })
      )
    })

  end(name: unknown, exit: Exit.Exit<unknown, Taken> = Exit.succeed(name)): void {
    Deferred.doneUnsafe(this.open.get(name)!, exit as Exit.Exit<never, Taken>)
  }
}

const asks = (...names: ReadonlyArray<string>) => names.map((name, i) => ["ask", i + 1, "rename", name])

/** A handler that comes to anything that a handler may come to. */
const rename = (name: string): Effect.Effect<string, Taken> => {
  switch (name) {
    case "fail":
      return Effect.fail(new Taken({ name }))
    case "die":
      return Effect.die(new Error("secret"))
    case "throw":
      throw new Error("secret")
    case "interrupt":
      return Effect.interrupt
    case "unencodable":
      return Effect.succeed(7 as never)
    case "unencodable error":
      return Effect.fail("no" as never)
    default:
      return Effect.succeed(name.toUpperCase())
  }
}

describe("a request", () => {
  it.effect("is answered by what its handler comes to", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        yield* start(session.handle({ ...silent, rename }))
        yield* peer.say(...asks("ada", "fail", "die", "throw", "interrupt", "unencodable", "unencodable error", "bob"))
        yield* turn
        assert.deepStrictEqual(peer.heard, [
          ["ok", 1, "ADA"],
          ["err", 2, { _tag: "Taken", name: "fail" }],
          ["fail", 3, "defect", ""],
          ["fail", 4, "defect", ""],
          ["fail", 5, "unavailable", "it was interrupted"],
          ["fail", 6, "defect", ""],
          ["fail", 7, "defect", ""],
          ["ok", 8, "BOB"]
        ])
        const errors = entries.filter(({ level }) => level === "Error")
        assert.lengthOf(errors, 4)
      })
    )
  )

  it.effect("whose answer no codec can say is answered by a defect, and logged", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        const circle: { self?: unknown } = {}
        circle.self = circle
        // What no schema minds, a codec does: it is too deep.
        let deep: unknown = 1
        for (let i = 0; i < 70; i++) deep = [deep]
        const answers = [Effect.succeed(deep), Effect.fail(deep), Effect.succeed(circle), Effect.succeed("fine")]
        yield* start(session.handle({ ...silent, any: (i) => answers[i as number]! }))
        yield* peer.say(["ask", 1, "any", 0], ["ask", 2, "any", 1], ["ask", 3, "any", 2], ["ask", 4, "any", 3])
        yield* turn
        assert.deepStrictEqual(peer.heard, [
          ["fail", 1, "defect", ""],
          ["fail", 2, "defect", ""],
          ["fail", 3, "defect", ""],
          ["ok", 4, "fine"]
        ])
        assert.lengthOf(
          entries.filter(({ level }) => level === "Error"),
          3
        )
      })
    )
  )

  it.effect("waits for the one before it, and so do messages; the order is the peer's", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      yield* start(session.handle({ ...silent, rename: works.work, say: (text) => Effect.ignore(works.work(text)) }))
      yield* peer.say(["ask", 1, "rename", "a"], ["emit", "say", "b"], ["ask", 2, "rename", "c"])
      yield* turn
      assert.deepStrictEqual(works.begun, ["a"])
      works.end("a")
      assert.deepStrictEqual(works.begun, ["a", "b"])
      works.end("b")
      assert.deepStrictEqual(works.begun, ["a", "b", "c"])
      works.end("c")
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["ok", 1, "a"],
        ["ok", 2, "c"]
      ])
    })
  )

  it.effect("goes on beside so many others as was said, and no more", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      yield* start(session.handle({ ...silent, rename: works.work }, { concurrency: 2 }))
      yield* peer.say(...asks("a", "b", "c", "d"))
      yield* turn
      assert.deepStrictEqual(works.begun, ["a", "b"])
      works.end("b")
      assert.deepStrictEqual(works.begun, ["a", "b", "c"])
    })
  )

  it.effect("that is cancelled is interrupted, and not answered; one that waits does not begin", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      yield* start(session.handle({ ...silent, rename: works.work }))
      yield* peer.say(...asks("a", "b", "c"), ["cancel", 2], ["cancel", 1], ["cancel", 1])
      yield* turn
      assert.deepStrictEqual(works.begun, ["a", "c"])
      assert.deepStrictEqual(works.interrupted, ["a"])
      works.end("c")
      yield* turn
      assert.deepStrictEqual(peer.heard, [["ok", 3, "c"]])
    })
  )

  it.effect("may have a number that is lower than one before it", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      yield* start(session.handle({ ...silent, ping: () => Effect.void }))
      yield* peer.say(["ask", 2, "ping"], ["ask", 1, "ping"])
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["ok", 2, null],
        ["ok", 1, null]
      ])
    })
  )
})

describe("handlers", () => {
  it.effect("that begin late get all that came before, in its order", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const told: Array<unknown> = []
      const note = (what: unknown) => Effect.sync(() => void told.push(what))
      yield* peer.say(
        ["emit", "say", "a"],
        ["ask", 1, "ping"],
        ["emit", "tell", 2],
        ["emit", "say", "b"],
        ["open", 2, "count", 3, 1],
        ["emit", "tell", 4]
      )
      yield* turn
      yield* start(
        session.handle({
          ...silent,
          say: note,
          tell: note,
          ping: () => note("ping"),
          count: (n) => Stream.fromEffect(Effect.as(note("count"), n))
        })
      )
      assert.deepStrictEqual(told, ["a", "ping", 2, "b", "count", 4])
    })
  )

  it.effect("that are interrupted tell the peer what they have not done, and leave the rest to the next", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      const handling = yield* start(session.handle({ ...silent, rename: works.work, count: () => Stream.never }))
      yield* peer.say(["open", 9, "count", 1, 1], ...asks("a", "b"))
      yield* turn
      yield* Fiber.interrupt(handling)
      yield* turn
      assert.deepStrictEqual(works.interrupted, ["a"])
      assert.sameDeepMembers(peer.heard, [
        ["fail", 1, "unavailable", "it was interrupted"],
        ["fail", 9, "unavailable", "it was interrupted"]
      ])
      yield* peer.say(["emit", "say", "c"])
      yield* turn
      peer.heard.length = 0
      const told: Array<string> = []
      yield* start(
        session.handle({
          ...silent,
          rename: (name) => Effect.sync(() => (told.push(name), name)),
          say: (text) => Effect.sync(() => void told.push(text))
        })
      )
      yield* turn
      assert.deepStrictEqual(told, ["b", "c"])
      assert.deepStrictEqual(peer.heard, [["ok", 2, "b"]])
    })
  )

  it.effect("are there once at a time", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      yield* start(session.handle({ ...silent, ping: () => Effect.void }))
      const exit = yield* Effect.exit(session.handle(silent))
      assert.match(exit._tag === "Failure" ? Cause.pretty(exit.cause) : "", /handlers already/)
      yield* peer.say(["ask", 1, "ping"])
      yield* turn
      assert.deepStrictEqual(peer.heard, [["ok", 1, null]])
    })
  )

  it.effect("may stop all of them from within, before they wait for anything", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const scope = yield* Scope.make()
      let went = false
      const handling: Fiber.Fiber<unknown, unknown> = yield* Effect.forkIn(
        session.handle({
          ...silent,
          ping: () =>
            Effect.gen(function* () {
              yield* Effect.forkDetach(Fiber.interrupt(handling), { startImmediately: true })
              yield* Effect.yieldNow
              went = true
            })
        }),
        scope,
        { startImmediately: true }
      )
      yield* peer.say(["ask", 1, "ping"])
      yield* turn
      assert.isFalse(went)
      assert.deepStrictEqual(peer.heard, [["fail", 1, "unavailable", "it was interrupted"]])
    })
  )

  class Greeting extends Context.Service<Greeting, string>()("Greeting") {}

  it.effect("have the services that `handle` was given, and what they log says of which session", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        const rename = (name: string) => Effect.map(Greeting, (greeting) => `${greeting} ${name}`)
        yield* start(Effect.provideService(session.handle({ ...silent, rename }), Greeting, "hello"))
        yield* peer.say(...asks("ada"))
        yield* turn
        assert.deepStrictEqual(peer.heard, [["ok", 1, "hello ada"]])
        assert.deepStrictEqual(entries, [])
      })
    )
  )

  it.effect("do what came before the end to its end, and then are over", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      const handling = yield* start(
        session.handle({ ...silent, rename: works.work, say: (text) => Effect.ignore(works.work(text)) })
      )
      yield* peer.say(["emit", "say", "a"], ["ask", 1, "rename", "b"], ["emit", "say", "c"])
      yield* start(peer.wire.close())
      yield* turn
      assert.strictEqual(yield* reasonOf(session.ended), "succeeded")
      assert.isUndefined(handling.pollUnsafe())
      works.end("a")
      // A question, of whom nobody waits for the answer, is not begun.
      assert.deepStrictEqual(works.begun, ["a", "c"])
      works.end("c")
      assert.deepStrictEqual(yield* Fiber.await(handling), Exit.void)
      assert.deepStrictEqual(works.interrupted, [])
    })
  )
})

/** The same of streams, all with something before the end. */
const failing = (n: number): Stream.Stream<number, Taken> => {
  if (n === 0) return Stream.concat(Stream.make(1), Stream.fail(new Taken({ name: "x" })))
  if (n === 1) return Stream.concat(Stream.make(1), Stream.die("no"))
  if (n === 2) return Stream.make(1, 2, "three" as never, 4)
  throw new Error("no stream")
}

describe("a stream", () => {
  const numbers = { ...silent, count: (n: number) => Stream.range(1, n) }

  it.effect("is sent as there is credit, and then its end", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      yield* start(session.handle(numbers))
      yield* peer.say(["open", 1, "count", 5, 2])
      yield* turn
      assert.deepStrictEqual(peer.heard, [["items", 1, [1, 2]]])
      yield* peer.say(["more", 1, 1])
      yield* turn
      yield* peer.say(["more", 1, 100])
      yield* turn
      assert.deepStrictEqual(peer.heard.slice(1), [
        ["items", 1, [3]],
        ["items", 1, [4, 5]],
        ["end", 1]
      ])
    })
  )

  it.effect("is not pulled while there is no credit", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      let pulled = 0
      const count = () => Stream.fromPull(Effect.succeed(Effect.sync(() => [++pulled] as [number])))
      yield* start(session.handle({ ...silent, count }))
      yield* peer.say(["open", 1, "count", 5, 3])
      yield* turn
      assert.strictEqual(pulled, 3)
      yield* peer.say(["more", 1, 2])
      yield* turn
      assert.strictEqual(pulled, 5)
    })
  )

  it.effect("that is cancelled ends, wherever it waits, and says nothing more", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const ended: Array<number> = []
      const count = (n: number) =>
        Stream.ensuring(
          n === 0 ? Stream.never : Stream.range(1, 9),
          Effect.sync(() => void ended.push(n))
        )
      yield* start(session.handle({ ...silent, count }))
      yield* peer.say(["open", 1, "count", 0, 1], ["open", 2, "count", 2, 3])
      yield* turn
      yield* peer.say(["cancel", 1], ["cancel", 2], ["more", 2, 9])
      yield* turn
      assert.deepStrictEqual(ended, [0, 2])
      assert.deepStrictEqual(peer.heard, [["items", 2, [1, 2, 3]]])
    })
  )

  it.effect("fails with the contract's error, or as a defect, behind what came before", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        yield* start(session.handle({ ...silent, count: failing }))
        for (const n of [0, 1, 2, 3]) {
          yield* peer.say(["open", n + 1, "count", n, 100])
          yield* turn
        }
        assert.deepStrictEqual(peer.heard, [
          ["items", 1, [1]],
          ["err", 1, { _tag: "Taken", name: "x" }],
          ["items", 2, [1]],
          ["fail", 2, "defect", ""],
          ["items", 3, [1, 2]],
          ["fail", 3, "defect", ""],
          ["fail", 4, "defect", ""]
        ])
        assert.lengthOf(
          entries.filter(({ level }) => level === "Error"),
          3
        )
      })
    )
  )

  it.effect("goes on beside requests, which do not wait for it", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      yield* start(session.handle({ ...silent, count: () => Stream.never, ping: () => Effect.void }))
      yield* peer.say(["open", 1, "count", 1, 1], ["open", 2, "count", 1, 1], ["ask", 3, "ping"])
      yield* turn
      assert.deepStrictEqual(peer.heard, [["ok", 3, null]])
    })
  )

  it.effect("is refused when so many go on as may, and does not keep the others from being heard", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf({ limits: { maxPending: 3 } })
      yield* start(session.handle({ ...silent, count: () => Stream.never, ping: () => Effect.void }))
      for (let id = 1; id <= 10; id++) yield* peer.say(["open", id, "count", 1, 1])
      yield* turn
      assert.deepStrictEqual(
        peer.heard,
        [4, 5, 6, 7, 8, 9, 10].map((id) => ["fail", id, "unavailable", "too many streams are open"])
      )
      peer.heard.length = 0
      yield* peer.say(["cancel", 1], ["open", 11, "count", 1, 1], ["ask", 12, "ping"])
      yield* turn
      assert.deepStrictEqual(peer.heard, [["ok", 12, null]])
    })
  )

  it.effect("that goes on when the connection is lost ends, and is nothing to log", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { peer, session } = yield* serverOf()
        let ended = 0
        const endless = Stream.ensuring(
          Stream.forever(Stream.make(1)),
          Effect.sync(() => ended++)
        )
        const handling = yield* start(session.handle({ ...silent, count: () => endless }))
        yield* peer.say(["open", 1, "count", 1, 100], ["open", 2, "count", 1, 3])
        yield* turn
        yield* start(peer.wire.close())
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.await(handling)
        assert.strictEqual(ended, 2)
        assert.deepStrictEqual(
          entries.filter(({ level }) => level === "Error"),
          []
        )
      })
    )
  )

  it.effect("that cannot say what it has any more ends, and is nothing to log", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const room = Deferred.makeUnsafe<void, SessionError>()
        const answering = new Answering({
          say: () => Deferred.await(room),
          backlog: new Backlog(),
          bound: { count: 10, bytes: 1_000 },
          repeats: new Repeats.Repeats(),
          principal: ""
        })
        let ended = 0
        const ones = Stream.ensuring(
          Stream.forever(Stream.make(1)),
          Effect.sync(() => ended++)
        )
        const context = yield* Effect.context<never>()
        const handlers = { byName: new Map([["count", () => ones]]), concurrency: 1, context }
        answering.serve(handlers, () => [], Chat.says.client)
        const open = { _tag: "Open", id: 1, name: "count", payload: 1, credit: 100, meta: undefined } as const
        answering.stream(1, open, Chat.says.client.get("count") as StreamCoder, 1)
        yield* turn
        Deferred.doneUnsafe(room, Exit.fail(new SessionError({ reason: new Disconnected({ cause: undefined }) })))
        yield* turn
        assert.strictEqual(ended, 1)
        assert.deepStrictEqual(entries, [])
        assert.isTrue(answering.isFree(1))
      })
    )
  )

  it.effect("is sent in two messages where it would be too long for one", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const any = "x".repeat(200)
      const count = () => Stream.fromArray(Array.from({ length: 4_000 }, () => 1.234567890123456e100 + any.length))
      yield* start(session.handle({ ...silent, count }))
      yield* peer.say(["open", 1, "count", 1, 100_000])
      yield* turn
      const batches = peer.heard.slice(0, -1) as ReadonlyArray<readonly [string, number, ReadonlyArray<number>]>
      assert.strictEqual(
        batches.reduce((sum, [, , elements]) => sum + elements.length, 0),
        4_000
      )
      assert.deepStrictEqual(peer.heard.at(-1), ["end", 1])
    })
  )
})

const pays = (id: number, amount: number, key: string) => ["ask", id, "pay", amount, { key }]

describe("a request with a key", () => {
  it.effect("that is cancelled goes on, keeps its place, and is answered when it is asked again", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      const works = new Works()
      yield* start(session.handle({ ...silent, pay: works.work, ping: () => Effect.void }))
      yield* peer.say(pays(1, 7, "cancelled"), ["ask", 2, "ping"])
      yield* turn
      yield* peer.say(["cancel", 1])
      yield* turn
      // Its place: what is behind it still waits.
      assert.deepStrictEqual(works.interrupted, [])
      assert.deepStrictEqual(peer.heard, [])
      works.end(7)
      yield* peer.say(pays(3, 7, "cancelled"))
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["ok", 2, null],
        ["ok", 3, 7]
      ])
      assert.deepStrictEqual(works.begun, [7])
    })
  )

  it.effect("is answered as before, and is a conflict with another payload", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      let paid = 0
      yield* start(session.handle({ ...silent, pay: (amount) => Effect.sync(() => (paid += amount)) }))
      yield* peer.say(pays(1, 7, "as before"), pays(2, 7, "as before"), pays(3, 8, "as before"))
      yield* turn
      assert.deepStrictEqual(peer.heard, [
        ["ok", 1, 7],
        ["ok", 2, 7],
        ["fail", 3, "conflict", "the key was used for another question"]
      ])
    })
  )

  it.effect("of a request that is not idempotent means nothing", () =>
    Effect.gen(function* () {
      const { peer, session } = yield* serverOf()
      let renamed = 0
      yield* start(session.handle({ ...silent, rename: () => Effect.sync(() => String(++renamed)) }))
      yield* peer.say(["ask", 1, "rename", "a", { key: "k" }], ["ask", 2, "rename", "a", { key: "k" }])
      yield* turn
      assert.strictEqual(renamed, 2)
    })
  )
})
