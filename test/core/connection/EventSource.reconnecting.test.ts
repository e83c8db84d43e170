/** How an event source comes back: when, how often, and with which last event ID; by the clock of the test. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as EventSource from "@millrace/core/connection/EventSource"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import { start, turn } from "../../support/connection.ts"
import { dataOf, failureOf, reading, tagsOf, url } from "../../support/eventSource.ts"
import { TestFetch } from "../../support/TestFetch.ts"

/** One second each time, so that what is added to it can be seen. */
const reconnect = Schedule.spaced("1 second")

const waitOf = (states: ReadonlyArray<EventSource.State>): EventSource.Waiting => {
  const last = states.findLast(({ _tag }) => _tag === "Waiting")
  if (last?._tag !== "Waiting") throw new Error("it has not waited")
  return last
}

describe("a connection that is lost", () => {
  it.effect.each([
    ["by the end of the response", (network: TestFetch) => network.asked[0]!.open().end(), "Ended"],
    ["by the network, while it was open", (network: TestFetch) => network.asked[0]!.open().fail(), "NetworkError"],
    ["by the network, before it was open", (network: TestFetch) => network.asked[0]!.fail(), "NetworkError"],
    ["by a status that passes", (network: TestFetch) => network.asked[0]!.respond({ status: 503 }).end(), "Refused"]
  ] as const)("%s is opened anew when the schedule says so", ([, lose, reason]) =>
    Effect.gen(function* () {
      const { network, states } = yield* reading({ reconnect })
      lose(network)
      yield* turn
      const { delay, lost } = waitOf(states)
      assert.deepStrictEqual([lost.reason._tag, lost.failures, lost.asked, delay], [reason, 1, 0, 1_000])
      assert.strictEqual(network.open, 0)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(network.asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(network.asked.length, 2)
    })
  )

  it.effect("asks for what comes behind the last event that it has brought", () =>
    Effect.gen(function* () {
      const { events, network } = yield* reading({ reconnect, lastEventId: "0" })
      network.asked[0]!.open("id: 1\ndata: one\n\nid: 2\ndata: half of an ev").end()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.asked[1]!.header("Last-Event-ID"), "1")
      // An event without an ID does not forget the one before it, though this response has named none.
      network.asked[1]!.open("data: two\n\n").fail()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.asked[2]!.header("Last-Event-ID"), "1")
      network.asked[2]!.open("id\ndata: three\n\n").end()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(network.asked[3]!.header("Last-Event-ID"), undefined)
      assert.deepStrictEqual(events, [
        { event: "message", data: "one", id: "1" },
        { event: "message", data: "two", id: "1" },
        { event: "message", data: "three", id: "" }
      ])
    })
  )

  it.effect(
    "asks the same again: method, headers, body, and the URL that it was given, not the one after redirects",
    () =>
      Effect.gen(function* () {
        const { network } = yield* reading({ reconnect, method: "PUT", body: "hello", headers: { "X-Key": "k" } })
        network.asked[0]!.respond({ status: 307, headers: [["Location", "/elsewhere"]] })
        yield* turn
        assert.strictEqual(network.asked[1]!.request.url, "https://example.com/elsewhere")
        network.asked[1]!.open().end()
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(network.asked[2]!.request, network.asked[0]!.request)
      })
  )

  it.effect("is the end of a request that is not safe, unless it may be repeated: in order, or with why", () =>
    Effect.gen(function* () {
      const orderly = yield* reading({ body: "hello" })
      orderly.network.asked[0]!.open("data: 1\n\n").end()
      yield* Fiber.join(orderly.reader)
      assert.deepStrictEqual([dataOf(orderly.events), orderly.network.asked.length], [["1"], 1])
      const cut = yield* reading({ body: "hello" })
      cut.network.asked[0]!.open("data: 1\n\n").fail(new Error("cut"))
      assert.match((yield* failureOf(cut.reader)).message, /cut/)
      const repeated = yield* reading({ body: "hello", reconnect })
      repeated.network.asked[0]!.open().end()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(repeated.network.asked.length, 2)
    })
  )

  it.effect("ends when the server has made an ID of it that no header can hold", () =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading({ reconnect })
      network.asked[0]!.open("id: \u0007\ndata: 1\n\n").end()
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* failureOf(reader))._tag, "UnsendableLastEventId")
      assert.strictEqual(network.asked.length, 1)
    })
  )
})

describe("the wait", () => {
  it.effect("is what the server says with retry, and what the schedule adds", () =>
    Effect.gen(function* () {
      const { network, states } = yield* reading({ reconnect })
      network.asked[0]!.open("retry: 2500\n").end()
      yield* TestClock.adjust("3499 millis")
      assert.strictEqual(network.asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(network.asked.length, 2)
      assert.deepStrictEqual([waitOf(states).lost.asked, waitOf(states).delay], [2_500, 3_500])
      // It lasts longer than the connection.
      network.asked[1]!.fail()
      yield* TestClock.adjust("3500 millis")
      assert.strictEqual(network.asked.length, 3)
    })
  )

  it.effect("is what it says with Retry-After when that is longer: in seconds, or until a date", () =>
    Effect.gen(function* () {
      const { network, states } = yield* reading({ reconnect })
      network.asked[0]!.open("retry: 5000\n").end()
      yield* TestClock.adjust("6 seconds")
      network.asked[1]!.respond({ status: 429, headers: [["Retry-After", "10"]] }).end()
      yield* turn
      assert.deepStrictEqual([waitOf(states).lost.asked, waitOf(states).delay], [10_000, 11_000])
      yield* TestClock.adjust("11 seconds")
      network.asked[2]!.respond({ status: 503, headers: [["retry-after", "Thu, 01 Jan 1970 00:00:47 GMT"]] }).end()
      yield* turn
      assert.strictEqual(waitOf(states).lost.asked, 30_000)
      yield* TestClock.adjust("31 seconds")
      network.asked[3]!.respond({ status: 503, headers: [["Retry-After", "1"]] }).end()
      yield* turn
      assert.strictEqual(waitOf(states).lost.asked, 5_000)
    })
  )

  it.effect("has bounds, whatever the server says, which the caller can set", () =>
    Effect.gen(function* () {
      const absurd = "retry: 99999999999999999999999999\n"
      const { network, states } = yield* reading({ reconnect })
      network.asked[0]!.open(absurd).end()
      yield* turn
      assert.strictEqual(waitOf(states).lost.asked, 300_000)
      yield* TestClock.adjust("301 seconds")
      network.asked[1]!.respond({ status: 503, headers: [["Retry-After", "999999999"]] }).end()
      yield* turn
      assert.strictEqual(waitOf(states).lost.asked, 3_600_000)
      const own = yield* reading({ reconnect, rules: { minReconnectionTime: 10, maxReconnectionTime: 20 } })
      own.network.asked[0]!.open(absurd).end()
      yield* turn
      assert.strictEqual(waitOf(own.states).lost.asked, 20)
      yield* TestClock.adjust("1020 millis")
      own.network.asked[1]!.open("retry: 0\n").end()
      yield* turn
      assert.strictEqual(waitOf(own.states).lost.asked, 10)
    })
  )

  it.effect("is not begun anew by an interruption, nor lost", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => asked.fail()
      const source = yield* EventSource.make(url, { fetch: network.fetch, reconnect })
      const first = yield* start(source.pull)
      yield* turn
      yield* TestClock.adjust("600 millis")
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("100 millis")
      yield* start(source.pull)
      yield* TestClock.adjust("299 millis")
      assert.strictEqual(network.asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(network.asked.length, 2)
    })
  )

  it.effect("is random, from nothing to 0.5 s, which doubles up to 20 s, when nobody has said otherwise", () =>
    Effect.gen(function* () {
      const { network, states } = yield* reading()
      network.asked[0]!.fail()
      network.answer = (asked) => asked.fail()
      yield* TestClock.adjust("10 minutes")
      const delays = states.flatMap((state) => (state._tag === "Waiting" ? [state.delay] : []))
      assert.isAbove(delays.length, 30)
      delays.forEach((delay, i) => assert.isAtMost(delay, Math.min(20_000, 500 * 2 ** i)))
      assert.isAbove(new Set(delays).size, 30)
    })
  )
})

const twice = Schedule.upTo(Schedule.spaced("1 second"), { times: 2 })

/** The row after a failure, and a connection that was open for so long and brought no event. */
const rowAfter = (millis: number) =>
  Effect.gen(function* () {
    const { network, states } = yield* reading({ reconnect: twice })
    network.asked[0]!.fail()
    yield* TestClock.adjust("1 second")
    network.asked[1]!.open(": heartbeat\n\n")
    yield* TestClock.adjust(millis)
    network.asked[1]!.end()
    yield* turn
    return waitOf(states).lost.failures
  })

describe("the schedule", () => {
  it.effect("that has ended makes the last loss the end", () =>
    Effect.gen(function* () {
      const { network, reader, states } = yield* reading({ reconnect: twice })
      for (let i = 0; i < 3; i++) {
        network.asked[i]!.fail(new Error(`number ${i + 1}`))
        yield* TestClock.adjust("1 second")
      }
      const reason = yield* failureOf(reader)
      assert.include(reason.message, "number 3")
      assert.strictEqual(network.asked.length, 3)
      assert.strictEqual(tagsOf(states), "Connecting Waiting Connecting Waiting Connecting Closed")
      const last = states.at(-1)
      assert.isTrue(last?._tag === "Closed" && last.reason === reason)
    })
  )

  it.effect("that has ended is an end in order when the server has ended its response", () =>
    Effect.gen(function* () {
      const { network, reader, states } = yield* reading({ reconnect: Reconnect.never })
      network.asked[0]!.open("data: 1\n\n").end()
      yield* Fiber.join(reader)
      const last = states.at(-1)
      assert.isTrue(last?._tag === "Closed" && last.reason._tag === "Ended")
      assert.deepStrictEqual([network.asked.length, network.open], [1, 0])
    })
  )

  it.effect("begins anew after a connection that has brought an event", () =>
    Effect.gen(function* () {
      const { network, reader, states } = yield* reading({ reconnect: twice })
      for (let i = 0; i < 10; i++) {
        if (i % 2 === 0) network.asked[i]!.fail()
        else network.asked[i]!.open("data: 1\n\n").end()
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(network.asked.length, 11)
      const rows = states.flatMap((state) => (state._tag === "Waiting" ? [state.lost.failures] : []))
      assert.deepStrictEqual(rows, [1, 1, 2, 1, 2, 1, 2, 1, 2, 1])
      yield* Fiber.interrupt(reader)
    })
  )

  it.effect(
    "begins anew after a connection that was open for 10 s, though nothing came, and not after a shorter one",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* rowAfter(9_999), 2)
        assert.strictEqual(yield* rowAfter(10_000), 1)
      })
  )

  it.effect("is asked with what was lost, so that it can decide by it", () =>
    Effect.gen(function* () {
      const patient = Schedule.modifyDelay(
        Schedule.passthrough(Reconnect.fullJitter({ base: 0 }) as Schedule.Schedule<number, EventSource.Lost>),
        ({ output: { failures, reason } }) =>
          Effect.succeed(Duration.seconds(reason._tag === "Refused" ? 60 : failures))
      )
      const { network, states } = yield* reading({ reconnect: patient })
      network.asked[0]!.fail()
      yield* turn
      assert.strictEqual(waitOf(states).delay, 1_000)
      yield* TestClock.adjust("1 second")
      network.asked[1]!.respond({ status: 502 }).end()
      yield* turn
      assert.strictEqual(waitOf(states).delay, 60_000)
    })
  )
})

describe("a server that is silent", () => {
  it.effect("for twice its heartbeat is lost, and any byte is a sign of life", () =>
    Effect.gen(function* () {
      const { network, states } = yield* reading({ reconnect, heartbeat: "15 seconds" })
      const asked = network.asked[0]!.open()
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("29999 millis")
        asked.send(":")
        yield* turn
      }
      assert.strictEqual(tagsOf(states), "Connecting Open")
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(network.open, 1)
      yield* TestClock.adjust("1 millis")
      yield* turn
      const { reason } = waitOf(states).lost
      assert.deepStrictEqual([reason._tag, reason.message], ["Silent", "not a byte came for 30000 ms"])
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("may be so for days when nobody has said how often it speaks", () =>
    Effect.gen(function* () {
      const { events, network } = yield* reading({ reconnect })
      network.asked[0]!.open()
      yield* TestClock.adjust("3 days")
      network.asked[0]!.send("data: hello\n\n")
      yield* turn
      assert.deepStrictEqual(dataOf(events), ["hello"])
    })
  )

  it.effect("is not held to be so while it is we who do not pull", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => asked.open("data: 1\n\n").send("data: 2\n\n")
      const options = { fetch: network.fetch, reconnect, heartbeat: "1 second" } as const
      const source = yield* EventSource.make(url, options)
      yield* source.pull
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(dataOf(yield* source.pull), ["2"])
      assert.strictEqual(network.asked.length, 1)
    })
  )

  it.effect("before it answers is lost after openTimeout, redirects and all", () =>
    Effect.gen(function* () {
      const { network, states } = yield* reading({ reconnect, openTimeout: "5 seconds" })
      yield* TestClock.adjust("3 seconds")
      network.asked[0]!.respond({ status: 302, headers: [["Location", "/b"]] })
      yield* turn
      assert.deepStrictEqual([network.asked.length, network.open], [2, 1])
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(network.open, 1)
      yield* TestClock.adjust("1 millis")
      yield* turn
      const { reason } = waitOf(states).lost
      assert.deepStrictEqual([reason._tag, network.open], ["OpenTimeout", 0])
    })
  )

  it.effect("before it answers is lost after 30 s when nobody has said otherwise", () =>
    Effect.gen(function* () {
      const { network } = yield* reading()
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(network.open, 1)
      yield* TestClock.adjust("1 millis")
      yield* turn
      assert.strictEqual(network.open, 0)
    })
  )
})

describe("coming back for ever", () => {
  it.effect("is resumed where it was, 10,000 times, and each event is given once", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => {
        const last = Number(asked.header("Last-Event-ID") ?? "0")
        const next = `id: ${last + 1}\ndata: ${last + 1}\n\nid: ${last + 2}\ndata: lost`
        if (last === 10_000) asked.respond({ status: 204 })
        else asked.open(next).end()
      }
      const events = EventSource.stream(url, { fetch: network.fetch, reconnect: Schedule.forever })
      const counted = yield* start(
        Stream.runFold(
          events,
          () => 0,
          (count, { data }) => (data === `${count + 1}` ? count + 1 : Number.NaN)
        )
      )
      assert.strictEqual(yield* Fiber.join(counted), 10_000)
      assert.strictEqual(network.open, 0)
    })
  )
})
