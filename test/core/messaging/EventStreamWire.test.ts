/** The client's end of a connection over an event stream and POST, whose far end is the test. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Messages from "@millrace/core/codec/EventStreamMessages"
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import * as EventStreamWire from "@millrace/core/messaging/EventStreamWire"
import { plain, start, turn } from "../../support/connection.ts"
import { eventually } from "../../support/eventually.ts"
import { countingFibers } from "../../support/leaks.ts"
import { type Asked, TestFetch } from "../../support/TestFetch.ts"

const url = "https://example.com/chat"
const secret = "0123456789abcdefghijkl"

const opening = Messages.printOpening({ session: secret, protocol: "millrace.json", heartbeat: 15_000 })

/** The network is down from here on: nobody waits at the end for an answer to a Close. */
const downAtTheEnd = (network: TestFetch) =>
  Effect.addFinalizer(() =>
    Effect.sync(() => {
      network.answer = (asked) => void asked.fail()
      for (const asked of network.asked) asked.fail()
    })
  )

/** One that is open, in a scope of its own, with the stream on which the test speaks. */
const opened = (options: Partial<EventStreamWire.Options> = {}, at = url) =>
  Effect.gen(function* () {
    const network = new TestFetch()
    const scope = yield* Scope.fork(yield* Effect.scope)
    const opening_ = yield* start(Scope.provide(EventStreamWire.open(at, { fetch: network.fetch, ...options }), scope))
    const stream = yield* network.take
    stream.open(": \n\n").send(opening)
    const wire = yield* Fiber.join(opening_)
    yield* downAtTheEnd(network)
    return { network, stream, wire, scope }
  })

const bodyOf = ({ request }: Asked): string => new TextDecoder().decode(request.body)

const failed = (opening: Fiber.Fiber<unknown, OpenError>) =>
  Effect.map(Effect.flip(Fiber.join(opening)) as Effect.Effect<OpenError>, ({ reason }) => reason)

const ended = (pull: Effect.Effect<unknown, WebSocketError | Cause.Done>) =>
  Effect.map(Effect.flip(pull), (error) => (Cause.isDone(error) ? "Done" : error.reason))

const taken = { status: 204, headers: [] }

describe("opening", () => {
  it.effect("asks by POST for an event stream and shows what it speaks, and waits for the first event", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const opening_ = yield* start(
        EventStreamWire.open("wss://example.com/chat?room=1", {
          fetch: network.fetch,
          headers: { Authorization: "Bearer 1" },
          subprotocols: ["millrace.msgpack", "millrace.json"]
        })
      )
      const stream = yield* network.take
      assert.deepStrictEqual(stream.request, {
        method: "POST",
        url: "https://example.com/chat?room=1",
        headers: [
          ["Accept", "text/event-stream"],
          ["Millrace-Protocol", "millrace.msgpack, millrace.json"],
          ["Authorization", "Bearer 1"]
        ],
        body: undefined,
        credentials: true
      })
      stream.open(": \n\n")
      yield* turn
      assert.isUndefined(opening_.pollUnsafe())
      stream.send(opening.slice(0, 10), opening.slice(10))
      const wire = yield* Fiber.join(opening_)
      yield* downAtTheEnd(network)
      assert.deepStrictEqual(
        [wire.subprotocol, wire.handshake.url],
        ["millrace.json", "https://example.com/chat?room=1"]
      )
    })
  )

  it.effect.each([
    [401, "Basic"],
    [403, ""],
    [404, ""],
    [503, "30"]
  ] as const)("fails with the server's refusal: %d", ([status, value]) =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const opening_ = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
      const headers = [["Retry-After", value]] as const
      const asked = yield* network.take
      asked.respond({ status, headers }).send("no, ", "thanks").end()
      const reason = yield* failed(opening_)
      assert.deepInclude(reason, { _tag: "Refused", status, headers, truncated: false })
      assert.strictEqual(reason._tag === "Refused" && reason.text, "no, thanks")
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("takes a page for no connection, and another event stream neither", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const page = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
      const asked = yield* network.take
      asked
        .respond({ headers: [["Content-Type", "text/html"]] })
        .send("<p>")
        .end()
      assert.deepInclude(yield* failed(page), { _tag: "Refused", status: 200, detail: "its type is text/html" })
      const other = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
      const second = yield* network.take
      second.open("data: hello\n\n")
      assert.deepInclude(yield* failed(other), { _tag: "Refused", detail: "it is another event stream" })
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("fails when the network does, when the response ends too soon, and when nothing comes in time", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const outcomes = [
        [(asked: Asked) => asked.fail(), "TransportError"],
        [(asked: Asked) => asked.open(": \n\n").end(), "TransportError"],
        [(asked: Asked) => asked.open(": \n\n"), "HandshakeTimeout"]
      ] as const
      for (const [answer, tag] of outcomes) {
        const opening_ = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
        answer(yield* network.take)
        yield* turn
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* failed(opening_))._tag, tag)
      }
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect.each([
    ["chat", "InvalidUrl"],
    ["https://ada:secret@example.com/", "InvalidUrl"],
    ["ftp://example.com/", "InvalidUrl"]
  ] as const)("asks nobody for %s", ([at, tag]) =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const { reason } = yield* Effect.flip(EventStreamWire.open(at, { fetch: network.fetch }))
      assert.deepStrictEqual([reason._tag, network.asked.length], [tag, 0])
      assert.notInclude(reason.message.replace(at, ""), "secret")
    })
  )

  it.effect("leaves nothing behind when it is interrupted, before the head and before the first event", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      for (const answer of [() => {}, (asked: Asked) => void asked.open()]) {
        const opening_ = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
        answer(yield* network.take)
        yield* turn
        yield* Fiber.interrupt(opening_)
        assert.strictEqual(network.open, 0)
      }
    })
  )
})

describe("what comes", () => {
  it.effect("is text and bytes, in order, with what came behind the first event", () =>
    Effect.gen(function* () {
      const network = new TestFetch()
      const opening_ = yield* start(EventStreamWire.open(url, { fetch: network.fetch }))
      const stream = yield* network.take
      const all = ["a", Uint8Array.of(1, 2), "b\r\nc", ""] as const
      stream.open(opening + all.slice(0, 2).map(Messages.printMessage).join("") + "event: gossip\ndata: x\n\n")
      const wire = yield* Fiber.join(opening_)
      yield* downAtTheEnd(network)
      stream.send(all.slice(2).map(Messages.printMessage).join(""))
      const got: Array<string | Uint8Array> = []
      while (got.length < all.length) got.push(...plain(yield* wire.pull))
      assert.deepStrictEqual(got, [...all])
    })
  )

  it.effect("is not read on when nobody takes it", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened({ limits: { inboxBytes: 1_000 } })
      const before = stream.taken
      stream.send(...Array.from({ length: 50 }, () => Messages.printMessage("x".repeat(100))))
      yield* turn
      assert.isBelow(stream.taken - before, 10)
      let got = 0
      while (got < 50) got += (yield* wire.pull).length
      assert.strictEqual(stream.taken - before, 50)
    })
  )

  it.effect("is the end when it is too long", () =>
    Effect.gen(function* () {
      const { stream, wire, network } = yield* opened({ limits: { maxMessageBytes: 100 } })
      stream.send(Messages.printMessage("x".repeat(100)), Messages.printMessage("x".repeat(101)))
      assert.strictEqual((yield* wire.receive).length, 100)
      const reason = yield* ended(wire.receive)
      assert.deepInclude(reason, { _tag: "ProtocolViolation", closeCode: 1009 })
      const asked = yield* network.take
      assert.deepStrictEqual(
        [asked.request.method, asked.header("Millrace-Close")],
        ["DELETE", "1009 message%20too%20big"]
      )
    })
  )

  it.effect("is the end when it goes on and on", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened({ limits: { maxMessageBytes: 100 } })
      stream.send(
        "data: ",
        ..."x"
          .repeat(20)
          .split("")
          .map(() => "x".repeat(20))
      )
      assert.deepInclude(yield* ended(wire.receive), { _tag: "TransportError" })
      assert.isTrue(stream.closed)
    })
  )

  it.effect("is the end when it is not what its name says", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened()
      stream.send("event: binary\ndata: *\n\n")
      assert.deepInclude(yield* ended(wire.receive), { _tag: "TransportError" })
      assert.isTrue(stream.closed)
    })
  )
})

describe("what goes", () => {
  it.effect("goes in one POST when it was said in one turn, and what is said meanwhile in the next", () =>
    Effect.gen(function* () {
      const { network, wire } = yield* opened({ headers: { Authorization: "Bearer 1" } })
      yield* wire.send("a")
      yield* wire.send("b")
      const first = yield* network.take
      assert.strictEqual(bodyOf(first), "a\nb\n")
      assert.deepStrictEqual(first.request.headers, [
        ["Authorization", "Bearer 1"],
        ["Millrace-Session", secret],
        ["Content-Type", "application/x-ndjson"],
        ["Millrace-Sequence", "1"]
      ])
      yield* wire.send("c")
      yield* wire.send("d")
      yield* turn
      assert.strictEqual(network.asked.length, 2)
      first.respond(taken).end()
      const second = yield* network.take
      assert.deepStrictEqual([bodyOf(second), second.header("Millrace-Sequence")], ["c\nd\n", "2"])
    })
  )

  it.effect("goes in bodies of 64 KiB, and a longer message alone", () =>
    Effect.gen(function* () {
      const { network, wire } = yield* opened()
      const long = new Uint8Array(200_000)
      const all = [new Uint8Array(40_000), new Uint8Array(20_000), new Uint8Array(20_000), long, "x"]
      for (const message of all) yield* wire.send(message)
      const sizes: Array<number> = []
      for (let left = all.length; left > 0;) {
        const asked = yield* network.take
        const { request } = asked
        const type = asked.header("Content-Type")!
        const count = (Messages.decode(type, request.body!) as { readonly success: ReadonlyArray<unknown> }).success
          .length
        sizes.push(count)
        left -= count
        asked.respond(taken).end()
      }
      assert.deepStrictEqual(sizes, [2, 1, 1, 1])
    })
  )

  it.effect("suspends who sends more than the outbox has room for", () =>
    Effect.gen(function* () {
      const { network, wire } = yield* opened({ limits: { outboxBytes: 10 } })
      yield* wire.send("x".repeat(20))
      const waiting = yield* start(wire.send("y"))
      const first = yield* network.take
      yield* turn
      assert.isUndefined(waiting.pollUnsafe())
      first.respond(taken).end()
      yield* Fiber.join(waiting)
      assert.strictEqual(bodyOf(yield* network.take), "y\n")
    })
  )

  it.effect("goes again, as it was, when the server has no room, as late as it asks", () =>
    Effect.gen(function* () {
      const { network, wire } = yield* opened()
      yield* wire.send("a")
      const first = yield* network.take
      first.respond({ status: 503, headers: [["Retry-After", "2"]] }).end()
      yield* turn
      yield* wire.send("b")
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(network.asked.length, 2)
      yield* TestClock.adjust("1 millis")
      const second = yield* network.take
      assert.deepStrictEqual(second.request, first.request)
      second.respond(taken).end()
      assert.strictEqual(bodyOf(yield* network.take), "b\n")
    })
  )

  it.effect.each([
    ["the server knows it no more", { status: 404, headers: [] }, "ConnectionLost", 1006],
    ["it is too long", { status: 413, headers: [] }, "ConnectionLost", 1009],
    ["it was there before", { status: 409, headers: [] }, "TransportError", undefined],
    ["the network fails", undefined, "TransportError", undefined]
  ] as const)("is the end when %s", ([, head, tag, code]) =>
    Effect.gen(function* () {
      const { network, stream, wire } = yield* opened()
      yield* wire.send("a")
      const asked = yield* network.take
      if (head === undefined) asked.fail()
      else asked.respond(head).end()
      const reason = yield* ended(wire.receive)
      assert.deepInclude(reason, { _tag: tag, ...(code !== undefined && { code }) })
      assert.isTrue(stream.closed)
      assert.strictEqual((yield* Effect.flip(wire.send("b"))).reason._tag, "NotOpen")
    })
  )
})

describe("the end", () => {
  it.effect("comes when nothing is heard for twice the heartbeat, and not before", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened()
      const reading = yield* start(ended(wire.receive))
      yield* TestClock.adjust("29 seconds")
      stream.send(":\n\n")
      yield* turn
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(reading.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(yield* Fiber.join(reading), { _tag: "Unresponsive", silence: 30_000 })
      assert.isTrue(stream.closed)
    })
  )

  it.effect("does not come for silence while it is we who do not read", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened({ limits: { inboxBytes: 10 } })
      stream.send(Messages.printMessage("x".repeat(100)), Messages.printMessage("y"))
      yield* turn
      yield* TestClock.adjust("10 minutes")
      yield* wire.receive
      assert.strictEqual((yield* wire.receive).length, 1)
    })
  )

  it.effect("is ordinary when the server says so, behind what it said", () =>
    Effect.gen(function* () {
      const { stream, wire } = yield* opened()
      stream.send(Messages.printMessage("last"), Messages.printClose({ code: 1001, reason: "" })).end()
      assert.strictEqual((yield* wire.receive).length, 4)
      assert.strictEqual(yield* ended(wire.receive), "Done")
    })
  )

  it.effect("lets go of a POST that is under way", () =>
    Effect.gen(function* () {
      const { network, stream, wire } = yield* opened()
      yield* wire.send("a")
      const post = yield* network.take
      stream.end()
      assert.strictEqual(yield* Effect.map(wire.closed, ({ by }) => by), "network")
      yield* turn
      assert.deepStrictEqual([post.closed, network.open], [true, 0])
    })
  )

  it.effect("is a loss with the server's code, and with 1006 without one", () =>
    Effect.gen(function* () {
      const one = yield* opened()
      one.stream.send(Messages.printClose({ code: 4501, reason: "no" })).end()
      const reason = yield* ended(one.wire.receive)
      assert.deepInclude(reason, { _tag: "ConnectionLost", code: 4501, by: "remote" })
      const other = yield* opened()
      other.stream.end()
      assert.deepInclude(yield* ended(other.wire.receive), { _tag: "ConnectionLost", code: 1006, by: "network" })
    })
  )

  it.effect("is said behind what was said, and waits for the server's", () =>
    Effect.gen(function* () {
      const { network, stream, wire } = yield* opened()
      yield* wire.send("a")
      const closing = yield* start(wire.close(4000, "bye now"))
      const post = yield* network.take
      yield* turn
      assert.deepStrictEqual([bodyOf(post), network.asked.length], ["a\n", 2])
      post.respond(taken).end()
      const asked = yield* network.take
      assert.deepStrictEqual(
        [asked.request.method, asked.header("Millrace-Close"), asked.header("Millrace-Session")],
        ["DELETE", "4000 bye%20now", secret]
      )
      asked.respond(taken).end()
      stream.send(Messages.printMessage("too late?"))
      yield* turn
      assert.isUndefined(closing.pollUnsafe())
      stream.send(Messages.printClose({ code: 4000, reason: "bye now" })).end()
      yield* Fiber.join(closing)
      assert.strictEqual((yield* wire.receive).length, 9)
      assert.deepInclude(yield* wire.closed, { by: "local", received: { code: 4000, reason: "bye now" } })
    })
  )

  it.effect.each([
    ["1000", "done", () => Exit.void],
    ["1001", "interrupted", () => Exit.interrupt(1)],
    ["1011", "failed", () => Exit.die("x")]
  ] as const)("comes with the scope, as %s when that is %s", ([code, , exit]) =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const { network, scope } = yield* opened()
        const closing = yield* start(Scope.close(scope, exit()))
        const asked = yield* network.take
        assert.strictEqual(asked.header("Millrace-Close"), code)
        asked.respond(taken).end()
        yield* turn
        assert.isUndefined(closing.pollUnsafe())
        // The server does not say it: it is cut.
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(closing)
        assert.strictEqual(network.open, 0)
        yield* eventually(() => alive.fibers <= 1)
      })
    )
  )
})
