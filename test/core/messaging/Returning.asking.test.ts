/** What becomes of what is asked when a connection is lost, and there is another one. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "@millrace/core/messaging/Client"
import * as Repeats from "@millrace/core/messaging/Repeats"
import type { SessionError } from "@millrace/core/messaging/SessionError"
import * as SessionMeter from "@millrace/core/messaging/SessionMeter"
import { start } from "../../support/connection.ts"
import { chatting, Network } from "../../support/returning.ts"
import { Chat, reasonOf, turn } from "../../support/session.ts"
import { connect, cut, keeping, second } from "../../support/chatClient.ts"

describe("a request", () => {
  it.effect("that is on its way when the connection is lost fails, as nobody knows whether it was heard", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect()
      const asked = yield* start(Effect.flip(client.request("rename", "ada")))
      yield* turn
      yield* cut(network)
      const error = (yield* Fiber.join(asked)) as SessionError
      assert.strictEqual(error.reason._tag === "Disconnected" && error.reason.cause?.reason._tag, "ConnectionLost")
    })
  )

  it.effect("that is idempotent is asked again with its key, and what was begun is done once", () =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<number>()
      let runs = 0
      const pay = () => Effect.suspend(() => (runs++, Deferred.await(done)))
      const { client, network } = yield* connect({}, { pay })
      const asked = yield* start(client.request("pay", 7))
      yield* turn
      for (let n = 0; n < 3; n++) {
        yield* cut(network)
        yield* second
      }
      assert.strictEqual(network.links.length, 4)
      yield* Deferred.succeed(done, 42)
      assert.strictEqual(yield* Fiber.join(asked), 42)
      assert.strictEqual(runs, 1)
    }).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )

  it.effect("that is idempotent is given the answer that was lost on its way", () =>
    Effect.gen(function* () {
      let runs = 0
      const { client, network } = yield* connect(
        {},
        {
          pay: () =>
            Effect.sync(() => {
              // The answer does not get there.
              if (runs === 0) network.last.cut()
              return ++runs
            })
        }
      )
      const asked = yield* start(client.request("pay", 7))
      yield* turn
      yield* second
      assert.strictEqual(yield* Fiber.join(asked), 1)
      assert.strictEqual(runs, 1)
    }).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )

  it.effect("that is idempotent is asked again of the next server when this one says that it is about to go", () =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<number>()
      const network = new Network()
      const { serve } = chatting({ pay: () => Deferred.await(done) })
      network.serve = serve
      const client = yield* Client.make(Chat, network.connect, { reconnect: Schedule.spaced("1 second") })
      const asked = yield* start(client.request("pay", 1))
      const other = yield* start(reasonOf(client.request("rename", "x")))
      yield* turn
      yield* Fiber.interrupt(network.serving.at(-1)!)
      yield* turn
      assert.deepStrictEqual([asked.pollUnsafe(), network.attempts], [undefined, 1])
      yield* network.last.server.close(1001)
      yield* turn
      assert.strictEqual(yield* Fiber.join(other), "Disconnected")
      yield* second
      yield* Deferred.succeed(done, 7)
      assert.strictEqual(yield* Fiber.join(asked), 7)
    }).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )

  it.effect("that nobody answers fails, a second after that was said over a connection that stays", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect()
      const asked = yield* start(reasonOf(client.request("pay", 1)))
      yield* turn
      yield* Fiber.interrupt(network.serving.at(-1)!)
      yield* turn
      yield* TestClock.adjust(999)
      assert.isUndefined(asked.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(asked), "Failed unavailable")
    }).pipe(Effect.provideService(Repeats.Current, new Repeats.Repeats()))
  )

  it.effect("has its timeout for all of that together", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect()
      const asked = yield* start(reasonOf(client.request("pay", 7, { timeout: "5 seconds" })))
      for (let n = 0; n < 4; n++) {
        yield* cut(network)
        yield* second
      }
      assert.isUndefined(asked.pollUnsafe())
      yield* second
      assert.strictEqual(yield* Fiber.join(asked), "RequestTimeout")
    })
  )

  it.effect("waits for a connection, within its timeout, and is then forgotten", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const rename = (name: string) => Effect.sync(() => (seen.push(name), name))
      const { client, network } = yield* connect({ reconnect: Schedule.spaced("10 seconds") }, { rename })
      yield* cut(network)
      const short = yield* start(reasonOf(client.request("rename", "short", { timeout: "9 seconds" })))
      const long = yield* start(client.request("rename", "long", { timeout: "11 seconds" }))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* Fiber.join(short), "RequestTimeout")
      yield* second
      assert.strictEqual(yield* Fiber.join(long), "long")
      assert.deepStrictEqual(seen, ["long"])
    })
  )

  it.effect("is one of at most maxWaiting", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect({ maxWaiting: 2 }, { ping: () => Effect.void })
      yield* cut(network)
      const first = [yield* start(client.request("ping")), yield* start(Stream.runDrain(client.stream("count", 1)))]
      assert.strictEqual(yield* reasonOf(client.request("ping")), "OutboxFull")
      yield* Fiber.interrupt(first[1]!)
      yield* start(client.request("ping"))
      yield* second
      yield* Fiber.join(first[0]!)
      yield* client.request("ping")
    })
  )

  it.effect("that is made again as soon as it has failed waits for the next connection", () =>
    Effect.gen(function* () {
      let attempts = 0
      const ping = () => Effect.suspend(() => (++attempts === 1 ? Effect.never : Effect.void))
      const { client, network } = yield* connect({}, { ping })
      let tries = 0
      const asking = Effect.suspend(() => (tries++, client.request("ping")))
      const asked = yield* start(Effect.retry(asking, { times: 100 }))
      yield* turn
      yield* cut(network)
      assert.strictEqual(tries, 2)
      yield* second
      yield* Fiber.join(asked)
      assert.deepStrictEqual([tries, attempts], [2, 2])
    })
  )

  it.effect("that is idempotent waits for the next connection, too, and asks once in each", () =>
    Effect.gen(function* () {
      let asked = 0
      const meter = { opened() {}, heard() {}, said() {}, ended: () => Effect.void }
      const timed: SessionMeter.SessionMeter["timed"] = (ask) => Effect.suspend(() => (asked++, ask))
      yield* Effect.gen(function* () {
        const { client, network } = yield* connect()
        yield* start(client.request("pay", 1))
        yield* turn
        yield* cut(network)
        assert.strictEqual(asked, 1)
        yield* second
        assert.strictEqual(asked, 2)
      }).pipe(Effect.provideService(SessionMeter.Source, () => ({ ...meter, timed })))
    })
  )

  it.effect("that could not be sent any more, as the connection was closing, is asked over the next", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect({}, { ping: () => Effect.void })
      // The Close is out, and nothing can be sent behind it.
      const closing = yield* start(network.last.client.close())
      const asked = yield* start(client.request("ping"))
      yield* client.emit("say", "x")
      yield* turn
      yield* Fiber.join(closing)
      yield* second
      yield* Fiber.join(asked)
      assert.strictEqual(network.links.length, 2)
    })
  )

  it.effect("of a name or with a payload that is none says so at once", () =>
    Effect.gen(function* () {
      const network = new Network()
      network.answer = () => Effect.never
      const client = yield* Client.make(Chat, network.connect)
      assert.strictEqual(yield* reasonOf(client.request("rename", 1 as never)), "Unencodable")
      assert.strictEqual(yield* reasonOf(client.emit("say", 1 as never)), "Unencodable")
      assert.strictEqual(yield* reasonOf(Stream.runDrain(client.stream("count", "x" as never))), "Unencodable")
      const wrong = [
        client.request("nothing" as never),
        client.emit("nothing" as never),
        Stream.runDrain(client.stream("nothing" as never))
      ]
      for (const effect of wrong) {
        const exit = yield* Effect.exit(effect as Effect.Effect<unknown, unknown>)
        assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /the contract has no/)
      }
    })
  )
})

/** Two elements, and then a long time nothing. */
const count = (n: number) => Stream.concat(Stream.make(n, n + 1), Stream.never)

describe("a stream", () => {
  it.effect("waits for a connection, and fails when that is lost", () =>
    Effect.gen(function* () {
      const { client, network } = yield* connect({}, { count } as never)
      yield* cut(network)
      const seen: Array<number> = []
      const reading = yield* start(reasonOf(Stream.runForEach(client.stream("count", 1), keeping(seen))))
      yield* second
      assert.deepStrictEqual(seen, [1, 2])
      yield* cut(network)
      assert.strictEqual(yield* Fiber.join(reading), "Disconnected")
    })
  )
})
