/** An event source that is connected: what it asks, what it gives, and that it takes no more than is wanted. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as EventSource from "@millrace/core/connection/EventSource"
import { start, turn } from "../../support/connection.ts"
import { dataOf, failureOf, reading, tagsOf, url } from "../../support/eventSource.ts"
import { TestFetch } from "../../support/TestFetch.ts"
import { utf8 } from "../../support/wire.ts"

describe("the request", () => {
  it.effect("is a GET for an event stream, and says nothing of a last event ID when there is none", () =>
    Effect.gen(function* () {
      const { network } = yield* reading()
      const { request } = yield* network.take
      assert.deepStrictEqual(request, {
        method: "GET",
        url,
        headers: [["Accept", "text/event-stream"]],
        body: undefined,
        credentials: true
      })
    })
  )

  it.effect("has the method, the headers and the body that it was given, and POST where there is only a body", () =>
    Effect.gen(function* () {
      const headers = { Authorization: "Bearer 123", accept: "text/event-stream;v=2" }
      const { network } = yield* reading({ headers, body: '{"q":"é"}' })
      const first = (yield* network.take).request
      assert.strictEqual(first.method, "POST")
      assert.deepStrictEqual(first.body, utf8('{"q":"é"}') as Uint8Array<ArrayBuffer>)
      assert.deepStrictEqual(first.headers, [
        ["Authorization", "Bearer 123"],
        ["accept", "text/event-stream;v=2"]
      ])
      const second = yield* reading({ method: "QUERY", body: Uint8Array.of(1), headers: [["a", "1"]] })
      const { request } = yield* second.network.take
      assert.deepStrictEqual([request.method, [...request.body!]], ["QUERY", [1]])
      assert.deepStrictEqual(request.headers.at(-1), ["a", "1"])
    })
  )

  it.effect("says where to begin when it was told, as UTF-8 of which each byte is a character", () =>
    Effect.gen(function* () {
      const { network } = yield* reading({ lastEventId: "é🌊 1" })
      assert.strictEqual((yield* network.take).header("Last-Event-ID"), "Ã©ð\u009f\u008c\u008a 1")
    })
  )

  it.effect("has no fragment", () =>
    Effect.gen(function* () {
      const { network } = yield* reading({}, "http://[::1]:8080/a?b=c#d")
      assert.strictEqual((yield* network.take).request.url, "http://[::1]:8080/a?b=c")
    })
  )

  it.effect.each([
    ["a URL that is none", "/events", {}, "URL"],
    ["a URL of something else", "ws://example.com/", {}, "URL"],
    ["a URL with a user", "https://ada:secret@example.com/", {}, "URL"],
    ["a method that is no token", url, { method: "GET /" }, "method"],
    ["a header with a line end", url, { headers: { "X-Name": "a\r\nX-Other: b" } }, "header"],
    ["a header with no name", url, { headers: [["", "b"]] as const }, "header"],
    ["a Last-Event-ID among the headers", url, { headers: { "last-event-id": "1" } }, "header"],
    ["a GET with a body", url, { method: "GET", body: "a" }, "body"]
  ] as const)("is not sent with %s: the caller's fault", ([, at, options, part]) =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading(options, at)
      const reason = yield* failureOf(reader)
      assert.deepStrictEqual(
        [reason._tag, reason._tag === "InvalidRequest" && reason.part, network.asked.length],
        ["InvalidRequest", part, 0]
      )
      assert.notInclude(reason.message, "secret")
    })
  )

  it.effect("is not sent with a last event ID that no header can hold", () =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading({ lastEventId: "a\u0001" })
      assert.strictEqual((yield* failureOf(reader))._tag, "UnsendableLastEventId")
      assert.strictEqual(network.asked.length, 0)
    })
  )

  it.effect("is not made before somebody pulls", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const source = yield* EventSource.make(url, { fetch: network.fetch })
      yield* turn
      assert.strictEqual(network.asked.length, 0)
      yield* start(source.pull)
      assert.strictEqual(network.asked.length, 1)
    })
  )
})

describe("the events", () => {
  it.effect("come as the stream has them, however it is cut", () =>
    Effect.gen(function* () {
      const { events, network } = yield* reading()
      const asked = (yield* network.take).open("event: a\ndata: 1\nid: x\n\ndata: 2")
      yield* turn
      asked.send("\n", "\n: comment\n\nda", "ta: 3\nid\n\n")
      yield* turn
      assert.deepStrictEqual(events, [
        { event: "a", data: "1", id: "x" },
        { event: "message", data: "2", id: "x" },
        { event: "message", data: "3", id: "" }
      ])
    })
  )

  it.effect("of one read come together", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => asked.open("data: 1\n\ndata: 2\n\n").send("data: 3\n\n")
      const source = yield* EventSource.make(url, { fetch: network.fetch })
      assert.deepStrictEqual(dataOf(yield* source.pull), ["1", "2"])
      assert.deepStrictEqual(dataOf(yield* source.pull), ["3"])
    })
  )

  it.effect("of several chunks that a platform gives at once come together", () =>
    Effect.gen(function* () {
      const chunks = ["data: 1\n\nda", "ta: 2\n\n", "data: 3\n", "\n"].map(utf8)
      const headers = [["Content-Type", "text/event-stream"]] as const
      const source = yield* EventSource.make(url, {
        fetch: () => Effect.succeed({ status: 200, headers, url, body: Stream.fromArray(chunks) })
      })
      assert.deepStrictEqual(dataOf(yield* source.pull), ["1", "2", "3"])
    })
  )

  it.effect("are read no faster than they are pulled: a chunk for each pull, and none ahead", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => {
        asked.respond()
        for (let i = 0; i < 100; i++) asked.send(`data: ${i}\n\n`)
      }
      const source = yield* EventSource.make(url, { fetch: network.fetch })
      for (let pulls = 1; pulls <= 10; pulls++) {
        yield* source.pull
        yield* turn
        assert.strictEqual(network.asked[0]!.taken, pulls)
      }
    })
  )

  it.effect("go on where they were for whoever was interrupted and pulls again", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const source = yield* EventSource.make(url, { fetch: network.fetch })
      const early = yield* start(source.pull)
      yield* Fiber.interrupt(early)
      assert.strictEqual(network.open, 0)
      const connecting = yield* start(source.pull)
      network.asked[1]!.open("data: 1\n\n")
      assert.deepStrictEqual(dataOf(yield* Fiber.join(connecting)), ["1"])
      const waiting = yield* start(source.pull)
      yield* Fiber.interrupt(waiting)
      network.asked[1]!.send("data: 2\n\n")
      assert.deepStrictEqual(dataOf(yield* source.pull), ["2"])
      assert.deepStrictEqual([network.asked.length, network.open], [2, 1])
    })
  )

  it.effect("are for one fiber at a time", () =>
    Effect.gen(function* () {
      const { source } = yield* reading()
      const exit = yield* Effect.exit(source.pull)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})

describe("the end", () => {
  it.effect("is in order when the server has no more to say: 204", () =>
    Effect.gen(function* () {
      const { network, reader, states } = yield* reading()
      ;(yield* network.take).respond({ status: 204, headers: [] })
      yield* Fiber.join(reader)
      assert.strictEqual(tagsOf(states), "Connecting Closed")
      assert.deepStrictEqual(states.at(-1), { _tag: "Closed", reason: { _tag: "NoContent" } })
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("stays what it was for whoever pulls once more", () =>
    Effect.gen(function* () {
      const { network, reader, source } = yield* reading()
      ;(yield* network.take).respond({ status: 404, headers: [] }).end()
      const reason = yield* failureOf(reader)
      const again = yield* Effect.flip(source.pull)
      assert.isTrue(!Cause.isDone(again) && again.reason === reason)
      assert.strictEqual(network.asked.length, 1)
    })
  )

  it.effect("of the scope ends the connection, whoever waits for events, and the states", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { network, states, reader } = yield* Scope.provide(reading(), scope)
      ;(yield* network.take).open()
      yield* turn
      assert.strictEqual(network.open, 1)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(reader)
      assert.strictEqual(network.open, 0)
      assert.strictEqual(tagsOf(states), "Connecting Open Closed")
      assert.deepStrictEqual(states.at(-1), { _tag: "Closed", reason: { _tag: "Done" } })
    })
  )

  it.effect.each([
    ["asked", () => Effect.void],
    ["waits", (network: TestFetch) => Effect.asVoid(Effect.sync(() => network.asked[0]!.fail()))]
  ] as const)("of the scope ends whoever pulls while it %s", ([, before]) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { network, reader } = yield* Scope.provide(reading(), scope)
      yield* before(network)
      yield* turn
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(reader)
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("of a stream that is taken from ends its connection", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => asked.open("data: 1\n\ndata: 2\n\n")
      const events = EventSource.stream(url, { fetch: network.fetch })
      assert.deepStrictEqual(dataOf(yield* Stream.runCollect(Stream.take(events, 1))), ["1"])
      assert.strictEqual(network.open, 0)
      assert.deepStrictEqual(dataOf(yield* Stream.runCollect(Stream.take(events, 1))), ["1"])
      assert.deepStrictEqual([network.asked.length, network.open], [2, 0])
    })
  )
})

describe("the state", () => {
  it.effect("is told from the beginning to the end, with what is true in it", () =>
    Effect.gen(function* () {
      const { network, source, states } = yield* reading({ lastEventId: "0" })
      assert.deepStrictEqual(yield* source.state, { _tag: "Connecting", lastEventId: "0" })
      const headers = [["Content-Type", "Text/Event-Stream; charset=utf-8"]] as const
      const asked = (yield* network.take).respond({ headers })
      yield* turn
      assert.deepStrictEqual(yield* source.state, { _tag: "Open", url, headers })
      asked.send("id: 7\ndata\n\n")
      yield* turn
      asked.end()
      yield* turn
      const waiting = yield* source.state
      assert.isTrue(waiting._tag === "Waiting" && waiting.lastEventId === "7")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* source.state, { _tag: "Connecting", lastEventId: "7" })
      ;(yield* network.take).respond({ status: 204 })
      yield* turn
      assert.strictEqual(tagsOf(states), "Connecting Open Waiting Connecting Closed")
    })
  )

  it.effect("is told to whoever comes late, as it is", () =>
    Effect.gen(function* () {
      const { network, source } = yield* reading()
      ;(yield* network.take).open()
      yield* turn
      const [first] = yield* Stream.runCollect(Stream.take(source.states, 1))
      assert.strictEqual(first?._tag, "Open")
      network.asked[0]!.send("data\n\n").end()
      yield* TestClock.adjust("1 second")
      network.asked[1]!.respond({ status: 204 })
      yield* turn
      assert.strictEqual(tagsOf(yield* Stream.runCollect(source.states)), "Closed")
    })
  )

  it.effect("is kept for somebody slow, up to 16 of them, of which the oldest are dropped", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      network.answer = (asked) => asked.fail()
      const source = yield* EventSource.make(url, { fetch: network.fetch })
      const slow = yield* Stream.toPull(source.states)
      assert.strictEqual(tagsOf(yield* slow), "Connecting")
      yield* start(source.pull)
      yield* TestClock.adjust("1 hour")
      assert.isAbove(network.asked.length, 100)
      network.answer = (asked) => asked.respond({ status: 204 })
      yield* TestClock.adjust("1 minute")
      const seen: Array<EventSource.State> = []
      yield* Effect.ignore(Effect.forever(Effect.map(slow, (states) => seen.push(...states))))
      assert.strictEqual(tagsOf(seen), `${"Waiting Connecting ".repeat(8).slice("Waiting ".length)}Closed`)
    })
  )
})
