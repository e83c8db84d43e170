/** One session after the other, of a kind that the test has made up. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Comeback, type Ending, type Options, type State } from "@millrace/core/connection/Comeback"
import { OpenError } from "@millrace/core/connection/OpenError"
import { Refused } from "@millrace/core/connection/Refused"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { telling } from "../../support/telling.ts"

interface Gone {
  readonly error: unknown
}

/** A session whose end, and whose signs of life, are the test's. */
interface Session {
  readonly id: string
  readonly end: Deferred.Deferred<Gone>
  heard: number
  checks: number
}

const world = (options: Options<Gone> = {}) =>
  Effect.sync(() => {
    const sessions: Array<Session> = []
    const endings: Array<Ending> = []
    const log: Array<string> = []
    const { stream: surroundings, tell } = telling<Happening>()
    const it = {
      sessions,
      endings,
      /** Everything that was seen, in order. */
      log,
      tell,
      /** What becomes of an attempt, where it fails or hangs. */
      answer: Effect.void as Effect.Effect<unknown, unknown>,
      /** What a peer does that is asked for a sign of life. */
      sign: (session: Session): Effect.Effect<unknown, unknown> => Effect.sync(() => session.heard++),
      /** What closing takes. */
      closing: Effect.void as Effect.Effect<void>,
      again: "Again" as "Again" | "Stop",
      attempts: 0
    }
    const open = Effect.gen(function* () {
      it.attempts++
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          it.closing,
          Effect.sync(() => log.push("closed"))
        )
      )
      yield* it.answer
      const session: Session = { id: `${sessions.length}`, end: yield* Deferred.make<Gone>(), heard: 0, checks: 0 }
      sessions.push(session)
      return session
    })
    const comeback = new Comeback<Session, Gone>(
      {
        open,
        failed: (error) => ({ error }),
        nameOf: ({ id }) => id,
        live: ({ end }) => Deferred.await(end),
        heard: ({ heard }) => heard,
        check: (session) => Effect.suspend(() => (session.checks++, it.sign(session))),
        silent: (_, silence) => ({ error: `silent for ${silence}` }),
        again: () => it.again,
        leave: (close, ending) => {
          endings.push(ending)
          return close
        },
        stopped: (cause) => {
          log.push(`stopped: ${cause === undefined ? "done" : "error" in cause ? cause.error : cause._tag}`)
          return () => log.push("told")
        }
      },
      { reconnect: Schedule.spaced("1 minute"), surroundings, ...options }
    )
    return Object.assign(it, { comeback })
  })

/** The same, begun, with its states in the log. */
const begun = (options: Options<Gone> = {}) =>
  Effect.gen(function* () {
    const it = yield* world(options)
    yield* start(Stream.runForEach(it.comeback.states, (state) => Effect.sync(() => it.log.push(shown(state)))))
    yield* it.comeback.start
    it.log.length = 0
    return it
  })

const shown = (state: State<Gone>) => {
  switch (state._tag) {
    case "Open":
      return `Open ${state.session}`
    case "Waiting":
      return `Waiting ${state.delay}, ${state.lost.cause.error}`
    case "Connecting":
      return `Connecting ${state.failures}`
    default:
      return state._tag
  }
}

const busy = new OpenError({
  reason: new Refused({
    status: 503,
    headers: [["Retry-After", "60"]],
    url: "ws://x",
    body: new Uint8Array(),
    truncated: false
  })
})

const lose = (it: { readonly sessions: ReadonlyArray<Session> }) =>
  Deferred.succeed(it.sessions.at(-1)!.end, { error: "lost" })

describe("what has happened around it", () => {
  it.effect("is Retry: the next attempt is made at once, and the waits begin anew", () =>
    Effect.gen(function* () {
      const it = yield* begun({ reconnect: Schedule.exponential("1 minute") })
      it.answer = Effect.fail("no network")
      yield* lose(it)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(it.log.splice(0), [
        "closed",
        "Waiting 60000, lost",
        "Connecting 1",
        "closed",
        "Waiting 120000, no network"
      ])
      it.tell("Retry")
      assert.deepStrictEqual(it.log.splice(0), ["Connecting 2", "closed", "Waiting 60000, no network"])
      it.answer = Effect.void
      it.tell("Retry")
      assert.deepStrictEqual(it.log, ["Connecting 3", "Open 1"])
      // With a connection there is nothing to try.
      it.tell("Retry")
      assert.deepStrictEqual([it.attempts, it.sessions[1]!.checks], [4, 0])
    })
  )

  it.effect("is no reason to trouble a server that has asked for time; only somebody who asks is", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.answer = Effect.fail(busy)
      yield* lose(it)
      it.tell("Retry")
      it.log.length = 0
      for (const happening of ["Retry", "Check", "Return"] as const) it.tell(happening)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([it.log, it.attempts], [[], 2])
      yield* it.comeback.retry
      assert.strictEqual(it.attempts, 3)
      it.tell("Leave")
      it.tell("Return")
      assert.strictEqual(it.attempts, 4)
    })
  )

  it.effect("is Check, where a peer that is there shows it, and nothing is seen of that", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      for (let n = 0; n < 3; n++) it.tell("Check")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([it.sessions[0]!.checks, it.log], [3, []])
    })
  )

  it.effect("is Check: a peer is given 5 s to show that it lives, and is given up then", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.sign = () => Effect.never
      // What belongs to it may be closed for long: nobody waits.
      it.closing = Effect.sleep("1 hour")
      it.tell("Check")
      it.tell("Check")
      yield* TestClock.adjust(4_999)
      assert.deepStrictEqual([it.sessions[0]!.checks, it.log], [1, []])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(it.log, ["Waiting 60000, silent for 5000"])
      assert.deepStrictEqual(it.endings, ["Ended"])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(it.log.at(-1), "Open 1")
      it.closing = Effect.void
      yield* TestClock.adjust("1 hour")
    })
  )

  it.effect("is Check, and whatever comes is a sign of life, also when it is no answer", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.sign = () => Effect.never
      it.tell("Check")
      yield* TestClock.adjust("4 seconds")
      it.sessions[0]!.heard++
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(it.log, [])
      // So is an answer that nothing was counted for.
      it.sign = () => Effect.void
      it.tell("Check")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(it.log, [])
      it.sign = () => Effect.never
      // Who reads nothing cannot know, and is in no position to complain.
      it.tell("Check")
      it.sessions[0]!.heard = Number.NaN
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(it.log, [])
    })
  )

  it.effect("is Check, and a question that cannot even be asked is no sign of life", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.sign = () => Effect.fail("not sent")
      it.tell("Check")
      assert.deepStrictEqual(it.log, ["closed", "Waiting 60000, silent for 0"])
    })
  )

  it.effect("is Check in an attempt, which has to come to something in 5 s", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.answer = Effect.never
      yield* lose(it)
      it.tell("Check")
      it.log.length = 0
      it.tell("Check")
      yield* TestClock.adjust(4_999)
      assert.deepStrictEqual(it.log, [])
      yield* TestClock.adjust(1)
      assert.match(it.log[1]!, /^Waiting 60000, OpenError: .*not open after 5000 ms/)
      // Without one it has 30 s.
      it.tell("Check")
      it.log.length = 0
      yield* TestClock.adjust(29_999)
      assert.deepStrictEqual(it.log, [])
      yield* TestClock.adjust(1)
      assert.match(it.log[1]!, /^Waiting 60000, OpenError: .*not open after 30000 ms/)
    })
  )

  it.effect("is Leave: the session is closed in that very turn, and none is opened until Return", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.tell("Leave")
      assert.deepStrictEqual(it.log.splice(0), ["Away", "closed"])
      for (const happening of ["Retry", "Check", "Leave"] as const) it.tell(happening)
      yield* it.comeback.retry
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual([it.log, it.attempts, it.endings], [[], 1, ["Left"]])
      it.tell("Return")
      assert.deepStrictEqual(it.log, ["Connecting 0", "Open 1"])
    })
  )

  it.effect("is Leave, and nobody waits for what was left when it is Return", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.closing = Effect.sleep("1 hour")
      it.tell("Leave")
      it.tell("Return")
      assert.deepStrictEqual(it.log, ["Away", "Connecting 0", "Open 1"])
      it.closing = Effect.void
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(it.log.at(-1), "closed")
    })
  )

  it.effect("is Leave in an attempt, which is given up, and in a wait, which is over", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.answer = Effect.never
      yield* lose(it)
      it.tell("Retry")
      it.log.length = 0
      it.tell("Leave")
      assert.deepStrictEqual(it.log.splice(0), ["Away", "closed"])
      it.answer = Effect.fail("no network")
      it.tell("Return")
      assert.deepStrictEqual(it.log.splice(0), ["Connecting 0", "closed", "Waiting 60000, no network"])
      it.tell("Leave")
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(it.log, ["Away"])
      assert.deepStrictEqual(it.endings, ["Ended", "Left", "Failed"])
    })
  )

  it.effect("is Return without a Leave: the same as Check", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      it.tell("Return")
      assert.strictEqual(it.sessions[0]!.checks, 1)
      yield* lose(it)
      it.tell("Return")
      assert.strictEqual(it.log.at(-1), "Open 1")
    })
  )

  it.effect("may be said by whoever sees a state, and by nobody at all", () =>
    Effect.gen(function* () {
      const it = yield* begun()
      const leaving = Stream.runForEach(it.comeback.states, ({ _tag }) =>
        Effect.sync(() => {
          if (_tag === "Connecting") it.comeback.heed("Leave")
        })
      )
      yield* start(leaving)
      yield* lose(it)
      it.tell("Retry")
      assert.deepStrictEqual(it.log, ["closed", "Waiting 60000, lost", "Connecting 1", "Away"])
      const opened = yield* begun()
      yield* lose(opened)
      opened.answer = Effect.andThen(
        Effect.sync(() => opened.comeback.heed("Leave")),
        Effect.never
      )
      opened.tell("Retry")
      assert.strictEqual(opened.log.at(-1), "closed")
      const other = yield* begun({ surroundings: undefined })
      yield* lose(other)
      yield* other.comeback.retry
      assert.deepStrictEqual(other.log, ["closed", "Waiting 60000, lost", "Connecting 1", "Open 1"])
    })
  )

  it.effect("is a mistake of the program: everybody is told, and it has stopped", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const it = yield* begun({ surroundings: Stream.die(new Error("mistaken")) })
        assert.deepStrictEqual(it.log, [])
        const state = yield* it.comeback.state
        assert.strictEqual(state._tag === "Stopped" && state.cause !== undefined && "_tag" in state.cause, true)
        assert.deepStrictEqual(
          entries.map(({ message }) => message),
          ["A client has failed"]
        )
      })
    )
  )
})

describe("a heartbeat", () => {
  it.effect("asks a peer that was silent for so long, and hears it as long as it answers", () =>
    Effect.gen(function* () {
      const it = yield* begun({ heartbeat: "25 seconds", surroundings: undefined })
      const [session] = it.sessions
      yield* TestClock.adjust("24 seconds")
      assert.strictEqual(session!.checks, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(session!.checks, 1)
      yield* TestClock.adjust("1 hour")
      assert.isAtLeast(session!.checks, 100)
      assert.deepStrictEqual(it.log, [])
    })
  )

  it.effect("asks nobody who says something by himself", () =>
    Effect.gen(function* () {
      const it = yield* begun({ heartbeat: "25 seconds", surroundings: undefined })
      for (let n = 0; n < 100; n++) {
        it.sessions[0]!.heard++
        yield* TestClock.adjust("20 seconds")
      }
      assert.deepStrictEqual([it.sessions[0]!.checks, it.log], [0, []])
    })
  )

  it.effect("has 20 s for its answer, and the peer is given up then", () =>
    Effect.gen(function* () {
      const it = yield* begun({ heartbeat: "25 seconds", surroundings: undefined })
      it.sign = () => Effect.never
      yield* TestClock.adjust(44_999)
      assert.deepStrictEqual(it.log, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(it.log, ["closed", "Waiting 60000, silent for 20000"])
    })
  )
})

/** A clock that jumps: timers are late by as much. */
const jumping = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  let lost = 0
  const shifted = new Proxy(clock, {
    get: (target, name) => {
      if (name === "currentTimeMillis") return Effect.sync(() => target.currentTimeMillisUnsafe() + lost)
      if (name === "currentTimeMillisUnsafe") return () => target.currentTimeMillisUnsafe() + lost
      return Reflect.get(target, name, target)
    }
  })
  return { clock: shifted, jump: (ms: number) => void (lost += ms) }
})

describe("time that was lost while an answer was waited for", () => {
  it.effect("is not the peer's: it is asked once more", () =>
    Effect.gen(function* () {
      const { clock, jump } = yield* jumping
      yield* Effect.gen(function* () {
        const it = yield* begun()
        it.sign = () => Effect.never
        it.tell("Check")
        // The machine sleeps; what the peer has answered comes behind the timer.
        jump(3_600_000)
        it.sign = (session) => Effect.sync(() => session.heard++)
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual([it.sessions[0]!.checks, it.log], [2, []])
        // A second time it is.
        it.sign = () => Effect.never
        it.tell("Check")
        jump(3_600_000)
        yield* TestClock.adjust("5 seconds")
        jump(3_600_000)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(it.sessions[0]!.checks, 4)
        assert.match(it.log.at(-1)!, /^Waiting 60000, silent/)
      }).pipe(Effect.provideService(Clock.Clock, clock))
    })
  )
})

describe("the scope", () => {
  it.effect("ends a session in order, and waits for what was left of those before it", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const it = yield* Scope.provide(begun(), scope)
      it.closing = Effect.sleep("3 seconds")
      yield* lose(it)
      it.tell("Retry")
      it.closing = Effect.sleep("1 second")
      it.log.length = 0
      const closing = yield* start(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(it.log, ["stopped: done", "Stopped", "told", "closed"])
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(closing.pollUnsafe())
      assert.deepStrictEqual(it.endings, ["Ended", "Stopped"])
    })
  )

  it.effect("ends what hears of the surroundings, and nothing is heeded any more", () =>
    Effect.gen(function* () {
      let heeded = true
      const surroundings = Stream.ensuring(
        Stream.never,
        Effect.sync(() => {
          heeded = false
        })
      )
      const scope = yield* Scope.make()
      const it = yield* Scope.provide(begun({ surroundings }), scope)
      yield* Scope.close(scope, Exit.void)
      for (const happening of ["Leave", "Return"] as const) it.comeback.heed(happening)
      assert.deepStrictEqual([heeded, it.attempts], [false, 1])
      assert.strictEqual((yield* it.comeback.state)._tag, "Stopped")
    })
  )

  it.effect("says of a mistake in opening what it was", () =>
    logged(() =>
      Effect.gen(function* () {
        const it = yield* world()
        it.answer = Effect.die(new Error("mistaken"))
        yield* it.comeback.start
        assert.deepStrictEqual(it.log, ["closed", "stopped: Died", "told"])
        const state = yield* it.comeback.state
        const cause = state._tag === "Stopped" ? state.cause : undefined
        assert.match(Cause.pretty(Cause.die((cause as { readonly defect: unknown }).defect)), /mistaken/)
      })
    )
  )
})
