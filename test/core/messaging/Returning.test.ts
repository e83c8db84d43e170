/** What becomes of what is said, asked and heard when a connection is lost and another one comes. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Happening } from "@millrace/core/connection/Surroundings"
import * as Client from "@millrace/core/messaging/Client"
import type { SessionError } from "@millrace/core/messaging/SessionError"
import { start } from "../../support/connection.ts"
import { chatting, type Handlers, Network, watching } from "../../support/returning.ts"
import { telling } from "../../support/telling.ts"
import { Chat, reasonOf, turn, welcome } from "../../support/session.ts"
import { type Options, connect, cut, keeping, second } from "../../support/chatClient.ts"

/** Handlers of a client that is asked nothing in particular. */
const quiet = { confirm: () => Effect.succeed(true), ticks: () => Stream.empty }

describe("what is said", () => {
  it.effect("while there is no connection goes over the next, in order with what is asked", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const rename = (name: string) => Effect.sync(() => (seen.push(`${name}?`), name))
      const { client, network } = yield* connect({}, { say: keeping(seen), rename })
      yield* client.emit("say", "0")
      yield* turn
      yield* cut(network)
      yield* client.emit("say", "a")
      yield* start(client.request("rename", "b"))
      yield* client.emit("say", "c")
      yield* start(client.request("rename", "d"))
      yield* second
      yield* client.emit("say", "e")
      yield* turn
      assert.deepStrictEqual(seen, ["0", "a", "b?", "c", "d?", "e"])
    })
  )

  it.effect("is bounded by the outbox that was declared, and what was given up is counted", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, network } = yield* connect(
        { outbox: { capacity: 2, overflow: "DropOldest" } },
        { say: keeping(seen) }
      )
      yield* cut(network)
      for (const text of ["a", "b", "c"]) yield* client.emit("say", text)
      assert.strictEqual(client.dropped(), 1)
      yield* second
      assert.deepStrictEqual(seen, ["b", "c"])
    })
  )

  it.effect.each([
    ["is lost", [welcome], "cut"],
    ["is closed", [welcome], "close"],
    ["breaks the rules", [welcome, welcome], "wait"]
  ] as const)("is kept when the next connection %s before it was sent", ([, packets, then]) =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, network } = yield* connect({}, { say: keeping(seen) })
      const { serve } = network
      yield* cut(network)
      yield* client.emit("say", "a")
      yield* client.emit("say", "b")
      network.serve = ({ client: near, server }) =>
        Effect.gen(function* () {
          // With nothing that was sent before, as far as the client's end is concerned.
          if (then !== "wait") yield* start(then === "close" ? near.close() : near.closed)
          yield* Effect.ignore(server.sendAll(packets.map((packet) => JSON.stringify(packet))))
          if (then === "cut") network.last.cut()
          yield* server.closed
        })
      yield* second
      network.serve = serve
      for (let n = 0; n < 3; n++) yield* second
      assert.deepStrictEqual([seen, client.dropped()], [["a", "b"], 0])
    })
  )

  it.effect("waits with who says it when a peer that is slow has not taken what was said before", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const network = new Network()
      network.answer = (attempt) => (attempt === 1 ? Effect.never : Effect.void)
      const client = yield* Client.make(Chat, network.connect, {
        outbox: { capacity: 12 },
        openTimeout: "1 second",
        reconnect: Schedule.spaced("1 second")
      })
      const gate = yield* Deferred.make<void>()
      const say = (text: string) => Effect.andThen(Deferred.await(gate), keeping(seen)(text))
      const { serve } = chatting(
        { say, rename: (text) => Effect.as(say(text), text) },
        {
          limits: { maxPending: 1 }
        }
      )
      network.serve = serve
      const long = "x".repeat(900_000)
      for (let n = 0; n < 12; n++) yield* client.emit("say", `${n} ${long}`)
      assert.strictEqual(yield* reasonOf(client.emit("say", "12")), "OutboxFull")
      yield* TestClock.adjust("2 seconds")
      yield* turn
      // The first of them have gone as far as they can; now there is room for some, and none for others.
      const later = Array.from({ length: 12 }, (_, n) => n + 12)
      const rest = yield* start(Effect.forEach(later, (n) => client.emit("say", `${n} ${long}`), { discard: true }))
      yield* turn
      assert.isUndefined(rest.pollUnsafe())
      const asked = yield* start(client.request("rename", "24"))
      yield* Deferred.succeed(gate, undefined)
      for (let n = 0; n < 60; n++) yield* turn
      yield* Fiber.join(rest)
      yield* Fiber.join(asked)
      yield* turn
      const numbers = seen.map((text) => Number.parseInt(text, 10))
      assert.deepStrictEqual(
        numbers.filter((n) => n !== 24),
        Array.from({ length: 24 }, (_, n) => n)
      )
      assert.isAbove(numbers.indexOf(24), 12)
      assert.strictEqual(client.dropped(), 0)
    })
  )

  it.effect("while the connection closes goes over the next", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, network } = yield* connect({}, { say: keeping(seen) })
      yield* start(network.last.client.close())
      yield* client.emit("say", "a")
      yield* client.emit("say", "b")
      yield* turn
      yield* second
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )
})

describe("what is heard", () => {
  it.effect("is all that came, over as many connections as it took, for everybody who listens", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect()
      const seen: Array<string> = []
      for (let n = 0; n < 3; n++) {
        yield* sessions[n]!.emit("said", `${n}`)
        yield* sessions[n]!.emit("said", `${n}!`)
        // Nobody has listened yet in the first round.
        if (n === 1) yield* start(Stream.runForEach(client.events("said"), keeping(seen)))
        yield* network.last.server.close()
        yield* turn
        yield* second
      }
      assert.deepStrictEqual(seen, ["0", "0!", "1", "1!", "2", "2!"])
    })
  )

  it.effect("is handled though its connection has ended, in order, and before what the next one brings", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect()
      const seen: Array<string> = []
      const gate = yield* Deferred.make<void>()
      yield* start(
        client.handle({
          said: (text) => Effect.andThen(Deferred.await(gate), keeping(seen)(text)),
          confirm: () => Effect.succeed(true),
          ticks: () => Stream.empty
        })
      )
      for (let n = 0; n < 3; n++) {
        yield* sessions[n]!.emit("said", `${n}`)
        yield* sessions[n]!.emit("said", `${n}!`)
        yield* turn
        if (n === 2) break
        yield* cut(network)
        yield* second
      }
      assert.deepStrictEqual([network.attempts, seen], [3, []])
      yield* Deferred.succeed(gate, undefined)
      yield* turn
      assert.deepStrictEqual(seen, ["0", "0!", "1", "1!", "2", "2!"])
    })
  )

  it.effect("holds up no stream of the next one where many are handled at a time", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect()
      yield* start(
        client.handle(
          { said: () => Effect.never, confirm: () => Effect.succeed(true), ticks: () => Stream.make(1, 2) },
          { concurrency: 9 }
        )
      )
      yield* sessions[0]!.emit("said", "stuck")
      yield* turn
      yield* cut(network)
      yield* second
      assert.deepStrictEqual(yield* Stream.runCollect(sessions[1]!.stream("ticks")), [1, 2])
    })
  )

  it.effect("may be handled by asking, also when there is no connection at that time", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect({}, { pay: (n) => Effect.succeed(n * 2) })
      const seen: Array<number> = []
      const gate = yield* Deferred.make<void>()
      yield* start(
        client.handle({
          left: (n) =>
            Effect.andThen(Deferred.await(gate), Effect.flatMap(Effect.orDie(client.request("pay", n)), keeping(seen))),
          confirm: () => Effect.succeed(true),
          ticks: () => Stream.empty
        })
      )
      yield* sessions[0]!.emit("left", 4)
      yield* turn
      yield* cut(network)
      yield* Deferred.succeed(gate, undefined)
      yield* second
      assert.deepStrictEqual(seen, [8])
    })
  )

  it.effect("right behind the welcome reaches the handlers, too", () =>
    Effect.gen(function* () {
      const network = new Network()
      network.serve = ({ server }) =>
        Effect.andThen(
          server.sendAll(
            [welcome, ["emit", "said", "at once"], ["ask", 1, "confirm", "x"]].map((p) => JSON.stringify(p))
          ),
          server.closed
        )
      const client = yield* Client.make(Chat, network.connect)
      // Somebody has listened before, so that nothing is kept for who comes later.
      yield* Fiber.interrupt(yield* start(Stream.runDrain(client.events("said"))))
      const seen: Array<string> = []
      const said = keeping(seen)
      yield* start(client.handle({ said, confirm: () => Effect.succeed(true), ticks: () => Stream.empty }))
      yield* turn
      assert.deepStrictEqual(seen, ["at once"])
    })
  )
})

describe("handlers", () => {
  it.effect("stay over all connections", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect()
      const handling = yield* start(client.handle({ ...quiet, confirm: (text) => Effect.succeed(text === "yes") }))
      assert.isTrue(yield* sessions[0]!.request("confirm", "yes"))
      yield* cut(network)
      yield* second
      assert.isTrue(yield* sessions[1]!.request("confirm", "yes"))
      assert.isFalse(yield* sessions[1]!.request("confirm", "no"))
      assert.isUndefined(handling.pollUnsafe())
    })
  )

  it.effect("can be replaced when they were interrupted, and not before", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect()
      const one = yield* start(client.handle({ ...quiet, confirm: () => Effect.never }))
      const asked = yield* start(reasonOf(sessions[0]!.request("confirm", "x")))
      yield* turn
      const exit = yield* Effect.exit(client.handle(quiet))
      assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /has handlers already/)
      yield* Fiber.interrupt(one)
      yield* turn
      assert.strictEqual(yield* Fiber.join(asked), "Failed unavailable")
      // What is asked in between waits.
      const between = yield* start(sessions[0]!.request("confirm", "x"))
      yield* turn
      yield* start(client.handle(quiet))
      assert.isTrue(yield* Fiber.join(between))
      yield* cut(network)
      yield* second
      assert.isTrue(yield* sessions[1]!.request("confirm", "x"))
    })
  )

  it.effect("end with the client, when what had come was dealt with", () =>
    Effect.gen(function* () {
      const { client, network, sessions } = yield* connect({ again: () => "Stop" })
      const seen: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const handling = yield* start(
        client.handle({ ...quiet, said: (text) => Effect.andThen(Deferred.await(gate), keeping(seen)(text)) })
      )
      yield* sessions[0]!.emit("said", "a")
      yield* sessions[0]!.emit("said", "b")
      yield* turn
      yield* network.last.server.close()
      yield* client.ended
      assert.isUndefined(handling.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(handling)
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )

  it.effect("are interrupted when the scope of the client closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { client, sessions } = yield* Scope.provide(connect(), scope)
      let interrupted = 0
      const stuck = Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
      const handling = yield* start(client.handle({ ...quiet, said: () => stuck }))
      yield* sessions[0]!.emit("said", "a")
      yield* turn
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(handling)
      assert.strictEqual(interrupted, 1)
    })
  )

  it.effect("log with the session that they answer in", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const logger = Logger.make<unknown, void>(({ fiber }) => {
        seen.push(fiber.getRef(References.CurrentLogAnnotations)["session"])
      })
      yield* Effect.gen(function* () {
        const { client, network, sessions } = yield* connect()
        yield* start(client.handle({ ...quiet, confirm: () => Effect.as(Effect.log("asked"), true) }))
        yield* sessions[0]!.request("confirm", "x")
        yield* cut(network)
        yield* second
        yield* sessions[1]!.request("confirm", "x")
        assert.deepStrictEqual(
          seen,
          sessions.map(({ id }) => id)
        )
      }).pipe(Effect.provideService(Logger.CurrentLoggers, new Set([logger])))
    })
  )
})

/** A client whose surroundings are the test's, told in the same turn. */
const around = (options: Omit<Options, "credentials"> = {}, handlers: Handlers = {}) =>
  Effect.gen(function* () {
    const happenings = telling<Happening>()
    const connected = yield* connect({ surroundings: happenings.stream, ...options }, handlers)
    return { ...connected, tell: happenings.tell }
  })

describe("what goes on around it", () => {
  it.effect("leaves in order: the server is told at once, and what came before is dealt with", () =>
    Effect.gen(function* () {
      const { client, network, sessions, tell } = yield* around()
      const gate = yield* Deferred.make<void>()
      const seen: Array<string> = []
      yield* start(
        client.handle({ ...quiet, said: (text) => Effect.andThen(Deferred.await(gate), keeping(seen)(text)) })
      )
      yield* sessions[0]!.emit("said", "before")
      yield* turn
      tell("Leave")
      assert.strictEqual((yield* client.state)._tag, "Away")
      const closed = yield* network.last.server.closed
      assert.strictEqual(closed.received?.code, 1000)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(network.attempts, 1)
      tell("Return")
      yield* turn
      yield* sessions[1]!.emit("said", "after")
      yield* turn
      yield* Deferred.succeed(gate, undefined)
      yield* turn
      assert.deepStrictEqual([network.attempts, seen], [2, ["before", "after"]])
    })
  )

  it.effect("keeps what is said and asked while it is away for the Return", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, tell } = yield* around({}, { say: keeping(seen), pay: (n) => Effect.succeed(n * 2) })
      tell("Leave")
      yield* turn
      yield* client.emit("say", "a")
      const asked = yield* start(client.request("pay", 21))
      assert.strictEqual(yield* reasonOf(client.ping), "Disconnected")
      tell("Return")
      yield* turn
      assert.strictEqual(yield* Fiber.join(asked), 42)
      assert.deepStrictEqual(seen, ["a"])
    })
  )

  it.effect("finds out that a server is silent: who waits is told, and the next connection is not held up", () =>
    Effect.gen(function* () {
      const { client, network, tell } = yield* around({}, { ping: () => Effect.void })
      tell("Check")
      yield* turn
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(network.attempts, 1)
      network.silence()
      const asked = yield* start(reasonOf(client.request("ping", undefined, { timeout: "1 hour" })))
      tell("Check")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(asked), "Disconnected")
      const state = yield* client.state
      const error = state._tag === "Waiting" ? (state.lost.cause.error as SessionError) : undefined
      const reason = error?.reason._tag === "Disconnected" ? error.reason.cause?.reason : undefined
      assert.deepInclude(reason, { _tag: "Unresponsive", silence: 5_000 })
      yield* second
      assert.strictEqual((yield* client.state)._tag, "Open")
      yield* client.request("ping")
      // The first is closed, as far as it goes.
      yield* TestClock.adjust("10 seconds")
    })
  )

  it.effect("hears no more of a server that was given up, though it speaks after all", () =>
    Effect.gen(function* () {
      const { client, network, tell } = yield* around()
      const { serve } = network
      // It takes what comes, and answers nothing.
      network.serve = ({ server }) => Effect.andThen(server.send(JSON.stringify(welcome)), server.closed)
      yield* cut(network)
      yield* second
      const seen: Array<string> = []
      const gate = yield* Deferred.make<void>()
      yield* start(
        client.handle({ ...quiet, said: (text) => Effect.andThen(Deferred.await(gate), keeping(seen)(text)) })
      )
      const late = network.last.server
      yield* late.send(JSON.stringify(["emit", "said", "in time"]))
      yield* turn
      tell("Check")
      network.serve = serve
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* client.state)._tag, "Waiting")
      yield* Effect.ignore(late.send(JSON.stringify(["emit", "said", "too late"])))
      yield* turn
      yield* Deferred.succeed(gate, undefined)
      yield* second
      assert.deepStrictEqual([(yield* client.state)._tag, seen], ["Open", ["in time"]])
      yield* TestClock.adjust("10 seconds")
    })
  )

  it.effect("keeps a server that it does not read itself, as it cannot know then", () =>
    Effect.gen(function* () {
      const { client, network, sessions, tell } = yield* around({ limits: { maxPending: 2 } })
      yield* start(client.handle({ ...quiet, confirm: () => Effect.never }))
      for (let n = 0; n < 4; n++) yield* start(sessions[0]!.request("confirm", "x", { timeout: Infinity }))
      yield* turn
      tell("Check")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([(yield* client.state)._tag, network.attempts], ["Open", 1])
    })
  )

  it.effect("is a server that answers heartbeats, or does not", () =>
    Effect.gen(function* () {
      const { client, network } = yield* around({ heartbeat: "25 seconds" })
      for (let n = 0; n < 20; n++) {
        yield* TestClock.adjust("1 minute")
        yield* turn
      }
      assert.strictEqual(network.attempts, 1)
      network.silence()
      const states = yield* watching(client)
      yield* TestClock.adjust("45 seconds")
      yield* TestClock.adjust("25 seconds")
      yield* turn
      assert.deepStrictEqual(
        states.map(({ _tag }) => _tag),
        ["Open", "Waiting", "Connecting", "Open"]
      )
    })
  )
})
