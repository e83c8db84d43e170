/** What an event source does about its surroundings: the network returns, the machine wakes, the page is put away. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as EventSource from "@millrace/core/connection/EventSource"
import type { Fetch } from "@millrace/core/connection/Fetch"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { start, turn } from "../../support/connection.ts"
import { dataOf, reading, tagsOf, url } from "../../support/eventSource.ts"
import { TestFetch } from "../../support/TestFetch.ts"
import { utf8 } from "../../support/wire.ts"

/** A minute each time, so that nobody takes it for something else. */
const reconnect = Schedule.spaced("1 minute")

/** Surroundings that are what the test says. */
const surroundings = Effect.map(Queue.unbounded<Happening>(), (queue) => ({
  stream: Stream.fromQueue(queue),
  say: (...happenings: ReadonlyArray<Happening>) => Effect.andThen(Queue.offerAll(queue, happenings), turn)
}))

const surrounded = (options: Partial<EventSource.Options> = {}) =>
  Effect.gen(function* () {
    const { say, stream } = yield* surroundings
    return { ...(yield* reading({ reconnect, surroundings: stream, ...options })), say }
  })

describe("Retry", () => {
  it.effect.each(["Retry", "Check", "Return"] as const)("as %s makes the attempt that is waited for at once", (word) =>
    Effect.gen(function* () {
      const { network, say, states } = yield* surrounded()
      network.asked[0]!.fail()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.asked.length, 1)
      yield* say(word)
      assert.strictEqual(network.asked.length, 2)
      assert.strictEqual(tagsOf(states), "Connecting Waiting Connecting")
      // The wait that was cut short is over, and does not end the next one.
      yield* TestClock.adjust("30 seconds")
      network.asked[1]!.fail()
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(network.asked.length, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.asked.length, 3)
    })
  )

  it.effect("is for a wait, and for nothing else: not for an attempt, not for a connection", () =>
    Effect.gen(function* () {
      const { events, network, say, states } = yield* surrounded()
      yield* say("Retry", "Check", "Return")
      network.asked[0]!.open("data: 1\n\n")
      yield* say("Retry", "Check", "Return")
      network.asked[0]!.send("data: 2\n\n")
      yield* turn
      assert.deepStrictEqual(dataOf(events), ["1", "2"])
      assert.strictEqual(network.asked.length, 1)
      assert.strictEqual(tagsOf(states), "Connecting Open")
    })
  )

  it.effect.each([
    [
      "by a refusal",
      (network: TestFetch) => network.asked[0]!.respond({ status: 503, headers: [["Retry-After", "5"]] }).end()
    ],
    ["by the end of its response", (network: TestFetch) => network.asked[0]!.open("retry: 5000\n").end()]
  ] as const)("leaves a server the time that it has asked for %s, and no more", ([, lose]) =>
    Effect.gen(function* () {
      const { network, say, states } = yield* surrounded()
      lose(network)
      yield* TestClock.adjust("2 seconds")
      yield* say("Retry")
      const last = states.at(-1)
      assert.deepStrictEqual(last?._tag === "Waiting" && [last.delay, last.lost.asked], [3_000, 5_000])
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual(network.asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(network.asked.length, 2)
    })
  )

  it.effect("does not wait for what a server has said that is not there: the network has failed", () =>
    Effect.gen(function* () {
      const { network, say } = yield* surrounded()
      network.asked[0]!.open("retry: 5000\n").fail()
      yield* turn
      yield* say("Retry")
      assert.strictEqual(network.asked.length, 2)
    })
  )

  it.effect("is heard while nobody pulls", () =>
    Effect.gen(function* () {
      const { say, stream } = yield* surroundings
      const network = new TestFetch()
      const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect, surroundings: stream })
      const first = yield* start(source.pull)
      yield* turn
      network.asked[0]!.fail()
      yield* turn
      yield* Fiber.interrupt(first)
      yield* say("Retry")
      assert.strictEqual((yield* source.state)._tag, "Connecting")
      yield* start(source.pull)
      yield* turn
      assert.strictEqual(network.asked.length, 2)
    })
  )
})

/** Time that passes while timers stand still, as on a machine that sleeps. */
const sleeping = () => {
  let slept = 0
  return {
    sleep: (millis: number) => void (slept += millis),
    provide: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.flatMap(Clock.Clock, (clock) => {
        const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + slept
        const currentTimeMillis = Effect.sync(currentTimeMillisUnsafe)
        const slow: Clock.Clock = Object.assign(Object.create(clock), { currentTimeMillisUnsafe, currentTimeMillis })
        return Effect.provideService(effect, Clock.Clock, slow)
      })
  }
}

describe("Check", () => {
  it.effect("gives a connection that was silent through a sleep a second to show that it lives", () => {
    const { provide, sleep } = sleeping()
    return provide(
      Effect.gen(function* () {
        const { network, say, states } = yield* surrounded({ heartbeat: "15 seconds" })
        network.asked[0]!.open()
        yield* turn
        sleep(3_600_000)
        yield* say("Check")
        // What has come meanwhile.
        network.asked[0]!.send(":\n")
        yield* TestClock.adjust("20 seconds")
        assert.strictEqual(tagsOf(states), "Connecting Open")
        sleep(3_600_000)
        yield* say("Check")
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(network.open, 1)
        yield* TestClock.adjust("1 millis")
        yield* turn
        const last = states.at(-1)
        assert.strictEqual(last?._tag === "Waiting" && last.lost.reason._tag, "Silent")
        assert.strictEqual(network.open, 0)
      })
    )
  })

  it.effect("leaves one that may still be silent what is left of that, also when the clock was put back", () => {
    const { provide, sleep } = sleeping()
    return provide(
      Effect.gen(function* () {
        const { network, say } = yield* surrounded({ heartbeat: "15 seconds" })
        network.asked[0]!.open()
        yield* turn
        sleep(20_000)
        yield* say("Check")
        yield* TestClock.adjust("9999 millis")
        assert.strictEqual(network.open, 1)
        yield* TestClock.adjust("1 millis")
        yield* turn
        assert.strictEqual(network.open, 0)
        yield* say("Retry")
        network.asked[1]!.open()
        yield* turn
        sleep(-3_600_000)
        yield* say("Check")
        yield* TestClock.adjust("30 seconds")
        yield* turn
        assert.strictEqual(network.open, 0)
      })
    )
  })

  it.effect("holds nobody silent while it is we who do not pull", () => {
    const { provide, sleep } = sleeping()
    return provide(
      Effect.gen(function* () {
        const { say, stream } = yield* surroundings
        const network = new TestFetch()
        network.answer = (asked) => asked.open("data: 1\n\n")
        const options = { fetch: network.fetch, reconnect, heartbeat: "1 second", surroundings: stream } as const
        const source = yield* EventSource.make(url, options)
        yield* source.pull
        sleep(3_600_000)
        yield* say("Check")
        yield* TestClock.adjust("1 hour")
        network.asked[0]!.send("data: 2\n\n")
        assert.deepStrictEqual(dataOf(yield* source.pull), ["2"])
        assert.strictEqual(network.asked.length, 1)
      })
    )
  })

  it.effect("can ask nothing of a connection whose server may be silent for ever", () => {
    const { provide, sleep } = sleeping()
    return provide(
      Effect.gen(function* () {
        const { network, say } = yield* surrounded()
        network.asked[0]!.open()
        yield* turn
        sleep(86_400_000)
        yield* say("Check")
        yield* TestClock.adjust("1 day")
        assert.strictEqual(network.open, 1)
      })
    )
  })

  it.effect("ends no wait late when the clock was put back in the middle of it", () => {
    const { provide, sleep } = sleeping()
    return provide(
      Effect.gen(function* () {
        const { say, stream } = yield* surroundings
        const network = new TestFetch()
        network.answer = (asked) => asked.fail()
        const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect, surroundings: stream })
        const first = yield* start(source.pull)
        yield* turn
        sleep(-86_400_000)
        yield* Fiber.interrupt(first)
        yield* start(source.pull)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(network.asked.length, 2)
        yield* say("Retry")
        assert.strictEqual(network.asked.length, 3)
        network.answer = (asked) => void asked.respond({ status: 503, headers: [["Retry-After", "5"]] }).end()
        yield* say("Retry")
        network.answer = (asked) => void asked.open()
        yield* TestClock.adjust("65 seconds")
        assert.strictEqual(network.asked.length, 5)
        sleep(-86_400_000)
        yield* say("Leave", "Return")
        assert.strictEqual(network.asked.length, 6)
      })
    )
  })
})

const turns = Effect.repeat(turn, { times: 80 })

describe("any of them", () => {
  it.effect.each([3, 4, 5, 6, 7, 8, 9])("is heard by a fiber that yields every %i operations", (operations) =>
    Effect.gen(function* () {
      const { say, stream } = yield* surroundings
      const network = new TestFetch()
      network.answer = (asked) => {
        const last = Number(asked.header("Last-Event-ID") ?? 0)
        if (network.asked.length % 3 === 0) asked.fail()
        else asked.open(`id: ${last + 1}\ndata: ${last + 1}\n\n`)
      }
      const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect, surroundings: stream })
      const data: Array<string> = []
      const reader = Stream.runForEach(source.events, (event) => Effect.sync(() => data.push(event.data)))
      yield* start(Effect.provideService(reader, Scheduler.MaxOpsBeforeYield, operations))
      const words: ReadonlyArray<Happening> = ["Leave", "Retry", "Return", "Check", "Leave", "Return"]
      for (let i = 0; i < 60; i++) {
        yield* say(words[i % 6]!, words[(i * 5) % 6]!)
        yield* say("Leave")
        yield* turns
        assert.strictEqual(network.open, 0)
        yield* say("Return")
        yield* turns
        yield* say("Retry")
        yield* turns
        assert.strictEqual(network.open, 1)
      }
      assert.isAbove(data.length, 40)
      assert.deepStrictEqual(
        data,
        data.map((_, i) => `${i + 1}`)
      )
    })
  )
})

describe("Leave", () => {
  it.effect("ends the connection, and nothing is asked until Return, which goes on behind the last event", () =>
    Effect.gen(function* () {
      const { events, network, say, states } = yield* surrounded()
      network.asked[0]!.open("id: 1\ndata: 1\n\n")
      yield* turn
      yield* say("Leave")
      assert.strictEqual(network.open, 0)
      yield* say("Retry", "Check", "Leave")
      yield* TestClock.adjust("1 day")
      assert.strictEqual(network.asked.length, 1)
      assert.deepStrictEqual(states.at(-1), { _tag: "Away", lastEventId: "1" })
      yield* say("Return")
      assert.strictEqual(network.asked[1]!.header("Last-Event-ID"), "1")
      network.asked[1]!.open("id: 2\ndata: 2\n\n")
      yield* turn
      assert.deepStrictEqual(dataOf(events), ["1", "2"])
      assert.strictEqual(tagsOf(states), "Connecting Open Away Connecting Open")
      // And again.
      yield* say("Leave", "Return")
      assert.strictEqual(network.asked[2]!.header("Last-Event-ID"), "2")
    })
  )

  it.effect("gives up an attempt, and is no failure", () =>
    Effect.gen(function* () {
      const { network, say, states } = yield* surrounded()
      yield* say("Leave")
      assert.deepStrictEqual([network.asked.length, network.open], [1, 0])
      yield* say("Return")
      network.asked[1]!.fail()
      yield* turn
      assert.strictEqual(tagsOf(states), "Connecting Away Connecting Waiting")
      const last = states.at(-1)
      assert.strictEqual(last?._tag === "Waiting" && last.lost.failures, 1)
    })
  )

  it.effect("holds a wait, which Return ends, but for what the server has asked", () =>
    Effect.gen(function* () {
      const { network, say, states } = yield* surrounded()
      network.asked[0]!.fail()
      yield* turn
      yield* say("Leave")
      yield* TestClock.adjust("1 day")
      assert.strictEqual(network.asked.length, 1)
      yield* say("Return")
      network.asked[1]!.respond({ status: 503, headers: [["Retry-After", "5"]] }).end()
      yield* turn
      yield* say("Leave")
      yield* TestClock.adjust("1 second")
      yield* say("Return")
      assert.strictEqual(network.asked.length, 2)
      const last = states.at(-1)
      assert.strictEqual(last?._tag === "Waiting" && last.delay, 4_000)
      yield* TestClock.adjust("1 second")
      yield* say("Leave", "Return")
      const then = states.at(-1)
      assert.strictEqual(then?._tag === "Waiting" && then.delay, 3_000)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(network.asked.length, 3)
    })
  )

  it.effect("drops what nobody has pulled, and says behind what", () =>
    Effect.gen(function* () {
      const { say, stream } = yield* surroundings
      const network = new TestFetch()
      network.answer = (asked) => {
        const last = Number(asked.header("Last-Event-ID") ?? 0)
        asked.open(`id: ${last + 1}\ndata: ${last + 1}\n\n`).send(`id: ${last + 2}\ndata: ${last + 2}\n\nid: x\nda`)
      }
      const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect, surroundings: stream })
      assert.deepStrictEqual(dataOf(yield* source.pull), ["1"])
      yield* say("Leave")
      assert.strictEqual(network.open, 0)
      yield* say("Return")
      assert.deepStrictEqual(dataOf(yield* source.pull), ["2"])
      assert.deepStrictEqual(dataOf(yield* source.pull), ["3"])
    })
  )

  it.effect("takes nothing of a connection that was left, though it comes at that moment, as it would come twice", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => void asked.open()
      const late: Fetch = (request) =>
        Effect.gen(function* () {
          const response = yield* network.fetch(request)
          const closed = yield* Deferred.make<readonly [Uint8Array]>()
          yield* Effect.addFinalizer(() => Deferred.succeed(closed, [utf8("id: 1\ndata: 1\n\n")]))
          return { ...response, body: Stream.fromPull(Effect.succeed(Deferred.await(closed))) }
        })
      const { events, say } = yield* surrounded({ fetch: late })
      yield* say("Leave")
      assert.deepStrictEqual(events, [])
      yield* say("Return")
      assert.strictEqual(network.asked[1]!.header("Last-Event-ID"), undefined)
    })
  )

  it.effect("is as good while a connection is made, and while one is let go of", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      let pause: Effect.Effect<void> = Effect.sleep("1 second")
      const slow: Fetch = (request) =>
        Effect.gen(function* () {
          yield* Effect.addFinalizer(() => pause)
          const response = yield* network.fetch(request)
          const scope = yield* Effect.scope
          const opening = Effect.andThen(pause, Scope.provide(Stream.toPull(response.body), scope))
          return { ...response, body: Stream.fromPull(opening) }
        })
      const { say, states } = yield* surrounded({ fetch: slow })
      network.asked[0]!.open()
      yield* turn
      yield* say("Leave")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([tagsOf(states), network.open], ["Connecting Away", 0])
      yield* say("Return")
      network.asked[1]!.open()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(tagsOf(states), "Connecting Away Connecting Open")
      network.asked[1]!.fail()
      yield* turn
      yield* say("Leave")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(tagsOf(states), "Connecting Away Connecting Open Away")
      pause = Effect.void
      yield* say("Return")
      assert.strictEqual(network.asked.length, 3)
    })
  )

  it.effect("ends with the scope as everything does, in the middle of it", () =>
    Effect.gen(function* () {
      const { say, stream } = yield* surroundings
      const network = new TestFetch()
      const ended = yield* Effect.scoped(
        Effect.gen(function* () {
          const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect, surroundings: stream })
          const pulling = yield* start(Effect.exit(source.pull))
          yield* turn
          yield* say("Leave")
          return pulling
        })
      )
      const exit = yield* Fiber.join(ended)
      assert.isTrue(exit._tag === "Failure" && Cause.isDone(Cause.squash(exit.cause)))
      // Nobody listens any more.
      yield* say("Return")
      assert.deepStrictEqual([network.asked.length, network.open], [1, 0])
    })
  )

  it.effect("means nothing to a request that is made once", () =>
    Effect.gen(function* () {
      const { events, network, say } = yield* surrounded({ body: "buy", reconnect: undefined })
      network.asked[0]!.open("data: 1\n\n")
      yield* say("Leave", "Return", "Retry")
      network.asked[0]!.send("data: 2\n\n")
      yield* turn
      assert.deepStrictEqual([dataOf(events), network.asked.length], [["1", "2"], 1])
      const again = yield* surrounded({ body: "ask" })
      yield* again.say("Leave", "Return")
      assert.strictEqual(again.network.asked.length, 2)
    })
  )
})
