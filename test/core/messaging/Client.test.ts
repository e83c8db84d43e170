/** A client that comes back: its states, what it does at each attempt, and when it stops. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import { InvalidUrl, OpenError } from "@millrace/core/connection/OpenError"
import { Refused } from "@millrace/core/connection/Refused"
import * as Client from "@millrace/core/messaging/Client"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import type { SessionError } from "@millrace/core/messaging/SessionError"
import * as SessionMetrics from "@millrace/core/messaging/SessionMetrics"
import { start } from "../../support/connection.ts"
import { logged } from "../../support/logged.ts"
import { chatting, type Handlers, Network, watching } from "../../support/returning.ts"
import { Chat, reasonOf, turn } from "../../support/session.ts"

const refusal = (status: number, retryAfter?: string) =>
  new OpenError({
    reason: new Refused({
      status,
      headers: retryAfter === undefined ? [] : [["Retry-After", retryAfter]],
      url: "ws://x",
      body: new Uint8Array(),
      truncated: false
    })
  })

type Options = Client.Options<typeof Chat, never>

/** A client of a server in memory, which comes back after a second. */
const world = (options: Options = {}, handlers: Handlers = {}) =>
  Effect.sync(() => {
    const network = new Network()
    const { serve, sessions } = chatting(handlers)
    network.serve = serve
    const make = Client.make(Chat, network.connect, { reconnect: Schedule.spaced("1 second"), ...options })
    return { network, sessions, make }
  })

const connected = (options?: Options, handlers?: Handlers) =>
  Effect.gen(function* () {
    const { make, network, sessions } = yield* world(options, handlers)
    const client = yield* make
    yield* turn
    return { client, network, sessions }
  })

const tags = (states: ReadonlyArray<Client.State>) => states.map(({ _tag }) => _tag)

const second = Effect.andThen(TestClock.adjust("1 second"), turn)

describe("its states", () => {
  it.effect("come in order, with why there is no connection and when the next attempt is", () =>
    Effect.gen(function* () {
      const { make, network, sessions } = yield* world()
      network.answer = (attempt) => (attempt === 2 || attempt === 3 ? Effect.fail(refusal(503)) : Effect.void)
      const client = yield* make
      const seen = yield* watching(client)
      yield* turn
      network.last.cut()
      yield* turn
      for (let n = 0; n < 3; n++) yield* second
      const [one, two] = sessions.map(({ id }) => id)
      assert.deepStrictEqual(
        seen.map((state) =>
          state._tag === "Waiting"
            ? [state._tag, state.delay, state.lost.failures, state.lost.cause._tag]
            : Object.values(state)
        ),
        [
          ["Connecting", 0],
          ["Open", one],
          ["Waiting", 1_000, 1, "Ended"],
          ["Connecting", 1],
          ["Waiting", 1_000, 2, "NotOpened"],
          ["Connecting", 2],
          ["Waiting", 1_000, 3, "NotOpened"],
          ["Connecting", 3],
          ["Open", two]
        ]
      )
      assert.deepStrictEqual(yield* client.state, { _tag: "Open", session: two! })
    })
  )

  it.effect("end behind Stopped when its scope closes, and the connection is closed with 1000", () =>
    Effect.gen(function* () {
      const { make, network } = yield* world()
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(make, scope)
      const states = yield* start(Stream.runCollect(client.states))
      yield* turn
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(tags(yield* Fiber.join(states)), ["Connecting", "Open", "Stopped"])
      assert.strictEqual((yield* network.last.server.closed).received?.code, 1000)
      yield* client.ended
      assert.strictEqual(yield* reasonOf(client.emit("say", "x")), "Disconnected")
      assert.strictEqual(yield* reasonOf(client.request("ping")), "Disconnected")
      assert.strictEqual(yield* reasonOf(Stream.runDrain(client.stream("count", 1))), "Disconnected")
      assert.deepStrictEqual(yield* Stream.runCollect(client.events("said")), [])
    })
  )

  it.effect("go on after an ordinary close, as of a server that starts again", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connected()
      yield* network.last.server.close(1001)
      yield* turn
      assert.strictEqual((yield* client.state)._tag, "Waiting")
      yield* second
      assert.strictEqual((yield* client.state)._tag, "Open")
      assert.strictEqual(network.open, 1)
    })
  )
})

describe("the wait", () => {
  it.effect("is any part of a bound that doubles from 0.5 s up to 20 s, unless a schedule is given", () =>
    Effect.gen(function* () {
      const bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]
      for (const random of [0, 0.5, 0.999]) {
        const network = new Network()
        network.answer = () => Effect.fail(refusal(503))
        const delays: Array<number> = []
        yield* Effect.scoped(
          Effect.gen(function* () {
            const client = yield* Client.make(Chat, network.connect)
            yield* start(
              Stream.runForEach(client.states, (state) =>
                Effect.sync(() => void (state._tag === "Waiting" && delays.push(state.delay)))
              )
            )
            for (let n = 0; n < 12; n++) yield* second
            for (let n = 0; n < 9; n++) yield* TestClock.adjust("20 seconds")
          })
        ).pipe(
          Effect.provideService(Random.Random, {
            nextIntUnsafe: () => 0,
            nextDoubleUnsafe: () => random
          })
        )
        assert.isAtLeast(delays.length, bounds.length)
        for (const [i, bound] of bounds.entries()) assert.approximately(delays[i]!, random * bound, 0.001)
      }
    })
  )

  it.effect("is at least what the server asks for, of which an hour counts", () =>
    Effect.gen(function* () {
      const { make, network } = yield* world()
      const asked = ["7", "99999999999", "never"]
      network.answer = (attempt) => Effect.fail(refusal(503, asked[attempt - 1] ?? ""))
      const client = yield* make
      const seen = yield* watching(client)
      for (let n = 0; n < 5; n++) yield* TestClock.adjust("1 hour")
      const delays = seen.flatMap((state) => (state._tag === "Waiting" ? [state.delay] : []))
      assert.deepStrictEqual(delays.slice(0, 3), [8_000, 3_601_000, 1_000])
    })
  )

  it.effect("is over at once when somebody says so, also one who has only just seen it", () =>
    Effect.gen(function* () {
      const { make, network } = yield* world({ reconnect: Schedule.spaced("1 hour") })
      network.answer = (attempt) => (attempt < 4 ? Effect.fail(refusal(503)) : Effect.void)
      const client = yield* make
      yield* start(Stream.runForEach(client.states, (state) => (state._tag === "Waiting" ? client.retry : Effect.void)))
      yield* turn
      assert.deepStrictEqual([network.attempts, (yield* client.state)._tag], [4, "Open"])
      yield* client.retry
      yield* turn
      assert.strictEqual(network.attempts, 4)
    })
  )

  it.effect("begins anew after a session of 10 s, and not after one that took long to fail", () =>
    Effect.gen(function* () {
      const { make, network } = yield* world({ openTimeout: "15 seconds" })
      network.answer = (attempt) => (attempt === 2 || attempt === 3 ? Effect.never : Effect.void)
      const client = yield* make
      const seen = yield* watching(client)
      yield* turn
      network.last.cut()
      yield* turn
      for (let n = 0; n < 5; n++) yield* TestClock.adjust("16 seconds")
      yield* turn
      assert.strictEqual((yield* client.state)._tag, "Open")
      network.last.cut()
      yield* turn
      const failures = seen.flatMap((state) => (state._tag === "Waiting" ? [state.lost.failures] : []))
      assert.deepStrictEqual(failures, [1, 2, 3, 1])
    })
  )

  it.effect("goes on in its row after a session that was shorter", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connected()
      const seen = yield* watching(client)
      for (let n = 0; n < 3; n++) {
        yield* TestClock.adjust("9 seconds")
        network.last.cut()
        yield* turn
        yield* second
      }
      const failures = seen.flatMap((state) => (state._tag === "Waiting" ? [state.lost.failures] : []))
      assert.deepStrictEqual(failures, [1, 2, 3])
    })
  )
})

describe("an attempt", () => {
  const Guarded = Contract.make("guarded", {
    credentials: Schema.String,
    requests: { who: { success: Schema.String } }
  })

  /** Lets in whose token is the one of this time. */
  const guarding = (tokens: Array<string>, isRight: (token: string) => boolean) => {
    const network = new Network()
    network.serve = ({ server }) =>
      Effect.gen(function* () {
        const session = yield* Session.accept(Guarded, server, {
          authenticate: (token) => {
            tokens.push(token)
            return isRight(token) ? Effect.succeed(token) : Session.refuse("expired")
          }
        })
        yield* session.handle({ who: () => Effect.succeed(session.known) })
      })
    return network
  }

  it.effect("has credentials of its own", () =>
    Effect.gen(function* () {
      const tokens: Array<string> = []
      const network = guarding(tokens, () => true)
      let made = 0
      const credentials = Effect.sync(() => `token ${++made}`)
      const client = yield* Client.make(Guarded, network.connect, {
        credentials,
        reconnect: Schedule.spaced("1 second")
      })
      assert.strictEqual(yield* client.request("who"), "token 1")
      network.last.cut()
      yield* turn
      yield* second
      assert.strictEqual(yield* client.request("who"), "token 2")
      assert.deepStrictEqual(tokens, ["token 1", "token 2"])
    })
  )

  it.effect("that is rejected is the last, and everything says so", () =>
    Effect.gen(function* () {
      const network = guarding([], () => false)
      const client = yield* Client.make(Guarded, network.connect, { credentials: Effect.succeed("old") })
      const error = (yield* Effect.flip(client.request("who"))) as SessionError
      assert.deepInclude(error.reason, { _tag: "Rejected", detail: "expired" })
      assert.strictEqual(yield* reasonOf(client.ended), "Rejected")
      const state = yield* client.state
      assert.strictEqual(state._tag === "Stopped" && state.cause?._tag, "Ended")
      assert.deepStrictEqual([network.attempts, network.open], [1, 0])
    })
  )

  it.effect("is not made before there are credentials, and is repeated when they fail", () =>
    Effect.gen(function* () {
      const network = guarding([], () => true)
      let made = 0
      const client = yield* Client.make(Guarded, network.connect, {
        credentials: Effect.suspend(() =>
          ++made === 1 ? Effect.fail("the token server is down") : Effect.succeed("t")
        ),
        reconnect: Schedule.spaced("1 second")
      })
      const state = yield* client.state
      assert.deepInclude(state._tag === "Waiting" && state.lost.cause, {
        _tag: "NotOpened",
        error: "the token server is down"
      })
      assert.strictEqual(network.attempts, 0)
      yield* second
      assert.strictEqual(yield* client.request("who"), "t")
    })
  )

  it.effect.each(["credentials", "open", "welcome"] as const)("has 30 s in all, whatever hangs: %s", (what) =>
    Effect.gen(function* () {
      const network = guarding([], () => true)
      if (what === "open") network.answer = () => Effect.never
      if (what === "welcome") network.serve = () => Effect.never
      const client = yield* Client.make(Guarded, network.connect, {
        credentials: what === "credentials" ? Effect.never : Effect.succeed("t"),
        limits: { helloTimeout: "1 hour" }
      })
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* client.state)._tag, "Connecting")
      yield* TestClock.adjust("1 second")
      yield* turn
      const state = yield* client.state
      assert.strictEqual(state._tag, "Waiting")
      const error = state._tag === "Waiting" ? state.lost.cause.error : undefined
      assert.deepInclude((error as OpenError).reason, { _tag: "HandshakeTimeout", timeout: 30_000 })
    })
  )

  it.effect("of another contract is the last", () =>
    Effect.gen(function* () {
      const Newer = Contract.make("chat", { version: "2" })
      const network = new Network()
      network.serve = ({ server }) => Session.accept(Newer, server)
      const client = yield* Client.make(Chat, network.connect)
      assert.strictEqual(yield* reasonOf(client.ended), "Mismatch")
      assert.strictEqual(yield* reasonOf(client.emit("say", "x")), "Mismatch")
    })
  )

  it.effect("is given up with the scope, and leaves nothing", () =>
    Effect.gen(function* () {
      for (const what of ["open", "welcome", "wait"] as const) {
        const { make, network } = yield* world()
        if (what === "open") network.answer = () => Effect.never
        if (what === "welcome") network.serve = ({ server }) => Effect.andThen(server.closed, Effect.void)
        if (what === "wait") network.answer = () => Effect.fail(refusal(503))
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(make, scope)
        const asked = yield* start(reasonOf(client.request("ping")))
        yield* turn
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Fiber.join(asked), "Disconnected")
        assert.deepStrictEqual([network.open, (yield* client.state)._tag], [0, "Stopped"])
      }
    })
  )
})

const mistake = () => {
  throw new Error("mistaken")
}

describe("it stops", () => {
  const causes: ReadonlyArray<readonly [error: OpenError, reason: OpenError["reason"]["_tag"]]> = [
    [refusal(401), "Refused"],
    [refusal(404), "Refused"],
    [new OpenError({ reason: new InvalidUrl({ url: "x", detail: "" }) }), "InvalidUrl"]
  ]

  it.effect.each(causes)("when it cannot be opened as it is, and says why: %s", ([error, reason]) =>
    Effect.gen(function* () {
      const { make, network } = yield* world()
      network.answer = () => Effect.fail(error)
      const client = yield* make
      const failure = yield* Effect.flip(client.ended)
      assert.strictEqual(failure.reason._tag === "Disconnected" && failure.reason.cause?.reason._tag, reason)
      assert.strictEqual(yield* reasonOf(client.request("ping")), "Disconnected")
      assert.strictEqual(network.attempts, 1)
    })
  )

  it.effect("when the program's own rule says so, whatever the cause", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, network } = yield* connected({
        again: (cause) => {
          seen.push(cause._tag)
          return seen.length < 2 ? "Again" : "Stop"
        }
      })
      for (let n = 0; n < 2; n++) {
        network.last.cut()
        yield* turn
        yield* second
      }
      assert.deepStrictEqual([seen, network.attempts], [["Ended", "Ended"], 2])
      const error = yield* Effect.flip(client.ended)
      assert.strictEqual(error.reason._tag === "Disconnected" && error.reason.cause?.reason._tag, "ConnectionLost")
    })
  )

  it.effect("with the reason of an opening of one's own", () =>
    Effect.gen(function* () {
      const client = yield* Client.make(Chat, Effect.fail("no network today"), { again: () => "Stop" })
      const error = yield* Effect.flip(client.emit("say", "x"))
      assert.deepInclude(error.reason, { _tag: "NotOpened", cause: "no network today" })
      assert.match(error.message, /no network today/)
    })
  )

  it.effect("in good order after an ordinary close, when it is not to come back", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connected({ again: () => "Stop" })
      const events = yield* start(Stream.runCollect(client.events("said")))
      yield* network.last.server.close()
      yield* client.ended
      assert.deepStrictEqual(yield* Fiber.join(events), [])
    })
  )

  it.effect("when the schedule ends", () =>
    Effect.gen(function* () {
      const { make, network } = yield* world({ reconnect: Schedule.recurs(2) })
      network.answer = () => Effect.fail(refusal(503))
      const client = yield* make
      yield* turn
      assert.strictEqual(yield* reasonOf(client.ended), "Disconnected")
      assert.strictEqual(network.attempts, 3)
    })
  )

  it.effect.each(["open", "credentials", "again", "reconnect"] as const)(
    "and everything dies of it, when there is a mistake in %s",
    (where) =>
      logged((entries) =>
        Effect.gen(function* () {
          const network = new Network()
          network.answer = () => Effect.fail(refusal(503))
          const client = yield* Client.make(Chat, where === "open" ? Effect.sync(mistake) : network.connect, {
            ...(where === "credentials" && { credentials: Effect.sync(mistake) as never }),
            ...(where === "again" && { again: mistake }),
            ...(where === "reconnect" && {
              reconnect: Schedule.modifyDelay(Schedule.forever, () => Effect.sync(mistake))
            })
          })
          const asked = [client.request("ping"), client.emit("say", "x"), client.ended, client.handle({} as never)]
          for (const effect of asked) {
            const exit = yield* Effect.exit(effect as Effect.Effect<unknown, unknown>)
            assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /mistaken/)
          }
          const state = yield* client.state
          assert.strictEqual(state._tag === "Stopped" && state.cause?._tag, "Died")
          assert.deepStrictEqual(
            entries.filter(({ level }) => level === "Error").map(({ message }) => message),
            ["A client has failed"]
          )
        })
      )
  )
})

describe("what is seen of it", () => {
  it.effect("are its sessions and messages, in metrics", () =>
    Effect.gen(function* () {
      const value = Effect.map(Metric.value(SessionMetrics.received), ({ count }) => Number(count))
      const { client, network } = yield* connected({}, { ping: () => Effect.void })
      const before = yield* value
      yield* client.request("ping")
      network.last.cut()
      yield* turn
      yield* second
      yield* client.request("ping")
      assert.isAtLeast((yield* value) - before, 2)
      // Both ends are here.
      assert.strictEqual((yield* Metric.value(SessionMetrics.open)).value, 2)
    }).pipe(Effect.provide(SessionMetrics.layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("are the spans of its requests, below the caller's and above the server's", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* Effect.gen(function* () {
        const { client } = yield* connected({}, { ping: () => Effect.void })
        yield* Effect.withSpan(client.request("ping"), "outer")
      }).pipe(Effect.provideService(Tracer.Tracer, tracer))
      const [outer, asked, answered] = ["outer", "client", "server"].map((kind) =>
        spans.find(
          (span) => span.name === (kind === "outer" ? kind : "ping") && (kind === "outer" || span.kind === kind)
        )
      )
      assert.deepStrictEqual([asked?.name, asked?.traceId], ["ping", outer?.traceId])
      assert.deepStrictEqual([answered?.name, answered?.traceId], ["ping", outer?.traceId])
    })
  )
})
