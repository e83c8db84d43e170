/** Event streams as responses, over each thing that can carry one. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Printable } from "@millrace/core/codec/EventStream"
import { InvalidEvent } from "@millrace/core/codec/EventStreamError"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import { type Answer, ask, carriers, serve } from "../support/eventStreamServer.ts"
import { eventually, settled } from "../support/eventually.ts"

const failing = () => Stream.concat(Stream.succeed({ data: "one" }), Stream.fail("no" as const))
const injecting = () => Stream.fromIterable([{ data: "one" }, { data: "x", event: "a\ndata: injected\n\n" }])
const muchAtFirst = () =>
  Stream.concat(Stream.take(Stream.forever(Stream.succeed({ data: "x".repeat(65_536) })), 400), Stream.never)

/** Waits until nothing more is pulled, as nobody reads. */
const full = (pulled: () => number) => {
  let before = 0
  const isStill = Effect.suspend(() => {
    before = pulled()
    return Effect.as(settled, undefined)
  }).pipe(Effect.map(() => before > 0 && pulled() === before))
  return Effect.repeat(isStill, { until: (is) => is })
}

const yes = () => Stream.succeed({ data: "yes" })

/** What a page of another origin is told. */
const about = (answer: Answer) =>
  ["allow-origin", "allow-credentials", "allow-methods", "allow-headers", "expose-headers"].map((name) =>
    answer.header(`access-control-${name}`)
  )

describe.each(carriers)("over %s, a response", (carrier) => {
  it.live("has its head and its first bytes at once, and the fields that keep it from being kept", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(carrier, () => Stream.never, { retry: "3 seconds" })
      const answer = yield* ask(carrier, port)
      yield* answer.says("retry: 3000\n\n")
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.header("content-type"), "text/event-stream")
      assert.strictEqual(answer.header("cache-control"), "no-cache, no-store, no-transform")
      assert.strictEqual(answer.header("x-accel-buffering"), "no")
      assert.strictEqual(answer.header("x-content-type-options"), "nosniff")
    })
  )

  it.live("says events as they come, and ends with them", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<Printable, Effect.Error<typeof Queue.end>>()
      const { exits, port, streams } = yield* serve(carrier, () => Stream.fromQueue(queue as never))
      const answer = yield* ask(carrier, port)
      yield* Queue.offer(queue, { data: "one" })
      yield* answer.says(": \n\ndata: one\n\n")
      yield* Queue.offerAll(queue, [{ event: "said", data: "zwei\ndrei ü", id: "2" }, { data: "" }])
      yield* Queue.end(queue as never)
      yield* answer.says(": \n\ndata: one\n\nevent: said\nid: 2\ndata: zwei\ndata: drei ü\n\ndata: \n\n")
      yield* eventually(() => answer.ended() && streams.size() === 0)
      assert.deepStrictEqual(exits, [Exit.void])
    })
  )

  it.live("hands over the last event ID, of UTF-8 or of what else it is, and what else was asked", () =>
    Effect.gen(function* () {
      const asked: Array<NodeEventStream.EventStreamRequest> = []
      const events = (request: NodeEventStream.EventStreamRequest) => {
        asked.push(request)
        return Stream.empty
      }
      const { port } = yield* serve(carrier, events, { lastEventIdParameter: "lastEventId" })
      const utf8 = Buffer.from("größe/7").toString("latin1")
      yield* ask(carrier, port, { path: "/a/b?c=d&lastEventId=8", headers: { "last-event-id": utf8, "x-who": "me" } })
      yield* ask(carrier, port, { path: "/?lastEventId=gr%C3%B6%C3%9Fe" })
      yield* ask(carrier, port, { headers: { "last-event-id": "größe" } })
      yield* ask(carrier, port)
      assert.deepStrictEqual(
        asked.map(({ lastEventId, path }) => [lastEventId, path]),
        [
          ["größe/7", "/a/b"],
          ["größe", "/"],
          ["größe", "/"],
          ["", "/"]
        ]
      )
      assert.deepStrictEqual([asked[0]!.query.get("c"), asked[0]!.headers["x-who"]], ["d", "me"])
    })
  )

  it.live("ends the scope of its events when the client goes, and that is no failure", () =>
    Effect.gen(function* () {
      let left = 0
      const events = () =>
        Stream.ensuring(
          Stream.never,
          Effect.sync(() => left++)
        )
      const { exits, port, streams } = yield* serve(carrier, events)
      const answer = yield* ask(carrier, port)
      yield* answer.says(": \n\n")
      assert.deepStrictEqual([left, streams.size()], [0, 1])
      answer.leave()
      yield* eventually(() => exits.length === 1)
      assert.deepStrictEqual([left, streams.size(), exits], [1, 0, [Exit.void]])
    })
  )

  it.live("fails as its events do, and ends behind what came before", () =>
    Effect.gen(function* () {
      const { exits, port } = yield* serve(carrier, failing)
      const answer = yield* ask(carrier, port)
      yield* answer.says(": \n\ndata: one\n\n")
      yield* eventually(() => answer.ended())
      assert.strictEqual(yield* Effect.flip(exits[0]!), "no")
    })
  )

  it.live("fails at an event that cannot be printed, behind those before it, and the client sees none of it", () =>
    Effect.gen(function* () {
      const { exits, port } = yield* serve(carrier, injecting)
      const answer = yield* ask(carrier, port)
      yield* answer.says(": \n\ndata: one\n\n")
      yield* eventually(() => answer.ended())
      const failure = yield* Effect.flip(exits[0]!)
      assert.instanceOf(failure, InvalidEvent)
    })
  )

  it.live("pulls nothing while the client does not read, and loses nothing", () =>
    Effect.gen(function* () {
      let pulled = 0
      const events = () =>
        Stream.fromEffectRepeat(Effect.sync(() => ({ data: `${++pulled} ${"x".repeat(65_536)}` }))).pipe(
          Stream.take(1_000)
        )
      const { port } = yield* serve(carrier, events)
      const answer = yield* ask(carrier, port)
      let before = -1
      yield* eventually(() => before === (before = pulled) && pulled > 0)
      yield* settled
      const held = pulled
      yield* settled
      assert.strictEqual(pulled, held)
      assert.isBelow(held, 200)
      yield* eventually(() => answer.ended(), 20_000)
      const numbers = [...answer.text().matchAll(/^data: (\d+) x{65536}$/gm)].map(([, number]) => Number(number))
      assert.deepStrictEqual(
        numbers,
        Array.from({ length: 1_000 }, (_, i) => i + 1)
      )
    })
  )

  it.live("is kept alive by a comment after a silence", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(carrier, () => Stream.never, { heartbeat: "20 millis" })
      const answer = yield* ask(carrier, port)
      yield* eventually(() => answer.text().startsWith(": \n\n:\n\n:\n\n"))
    })
  )

  it.effect("says nothing for its own sake while it has something to say", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<Printable>()
      const { port } = yield* serve(carrier, () => Stream.fromQueue(queue), { heartbeat: "10 seconds" })
      const answer = yield* ask(carrier, port)
      yield* answer.says(": \n\n")
      yield* TestClock.adjust("6 seconds")
      yield* Queue.offer(queue, { data: "one" })
      yield* answer.says(": \n\ndata: one\n\n")
      yield* TestClock.adjust("9 seconds")
      yield* settled
      yield* answer.says(": \n\ndata: one\n\n")
      yield* TestClock.adjust("3 seconds")
      yield* answer.says(": \n\ndata: one\n\n:\n\n")
    })
  )

  it.effect("is cut when its client reads nothing for 60 s, and the scope of its events is closed", () =>
    Effect.gen(function* () {
      let pulled = 0
      let left = 0
      const events = () =>
        Stream.ensuring(
          Stream.fromEffectRepeat(Effect.sync(() => ({ data: `${++pulled}${"x".repeat(65_536)}` }))),
          Effect.sync(() => left++)
        )
      const { exits, port, streams } = yield* serve(carrier, events)
      yield* ask(carrier, port)
      yield* full(() => pulled)
      yield* TestClock.adjust("59 seconds")
      yield* settled
      assert.deepStrictEqual([streams.size(), left], [1, 0])
      yield* TestClock.adjust("17 seconds")
      yield* eventually(() => exits.length === 1)
      assert.deepStrictEqual([streams.size(), left, exits], [0, 1, [Exit.void]])
    })
  )

  it.effect("is not cut while its client reads now and then", () =>
    Effect.gen(function* () {
      let pulled = 0
      const events = () => Stream.fromEffectRepeat(Effect.sync(() => ({ data: `${++pulled}${"x".repeat(65_536)}` })))
      const { port, streams } = yield* serve(carrier, events, { stallTimeout: "8 seconds", heartbeat: "1 second" })
      const answer = yield* ask(carrier, port)
      for (let i = 0; i < 10; i++) {
        yield* full(() => pulled)
        const before = pulled
        yield* TestClock.adjust("6 seconds")
        yield* eventually(() => (answer.text(), pulled > before))
      }
      assert.strictEqual(streams.size(), 1)
    })
  )

  it.effect("is kept alive, and not cut, once its client has read what was too much", () =>
    Effect.gen(function* () {
      const { port, streams } = yield* serve(carrier, muchAtFirst, {
        stallTimeout: "8 seconds",
        heartbeat: "20 seconds"
      })
      const answer = yield* ask(carrier, port)
      yield* settled
      yield* TestClock.adjust("5 seconds")
      yield* eventually(() => answer.text().length > 400 * 65_536)
      yield* TestClock.adjust("15 seconds")
      yield* settled
      assert.strictEqual(streams.size(), 1)
      yield* TestClock.adjust("8 seconds")
      yield* eventually(() => answer.text().endsWith("\n\n:\n\n"))
    })
  )

  it.live("is cut when its client never reads, by a real clock too", () =>
    Effect.gen(function* () {
      const { exits, port, streams } = yield* serve(
        carrier,
        () => Stream.forever(Stream.succeed({ data: "x".repeat(65_536) })),
        { stallTimeout: "50 millis" }
      )
      yield* ask(carrier, port)
      yield* eventually(() => exits.length === 1)
      assert.deepStrictEqual([streams.size(), exits], [0, [Exit.void]])
    })
  )

  it.effect("is cut when its end is not read in 5 s", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const big = { data: "x".repeat(65_536) }
      const { exits, port, streams } = yield* Scope.provide(
        serve(carrier, () => Stream.forever(Stream.succeed(big))),
        scope
      )
      yield* ask(carrier, port)
      yield* settled
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      yield* settled
      assert.strictEqual(streams.size(), 1)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual([streams.size(), exits], [0, [Exit.void]])
    })
  )

  it.live("ends with the server, and that is no failure", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { exits, port } = yield* Scope.provide(
        serve(carrier, () => Stream.never),
        scope
      )
      const answer = yield* ask(carrier, port)
      yield* answer.says(": \n\n")
      yield* Scope.close(scope, Exit.void)
      yield* eventually(() => answer.ended())
      assert.deepStrictEqual(exits, [Exit.void])
    })
  )

  it.live("is refused while the server ends", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const big = { data: "x".repeat(65_536) }
      const { port } = yield* Scope.provide(
        serve(carrier, () => Stream.forever(Stream.succeed(big))),
        scope
      )
      const slow = yield* ask(carrier, port)
      yield* settled
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      const late = yield* ask(carrier, port)
      assert.deepStrictEqual([late.status, late.header("retry-after")], [503, "1"])
      yield* eventually(() => slow.ended())
      yield* Fiber.join(closing)
      assert.isTrue(slow.text().endsWith("x\n\n"))
    })
  )

  it.live("has another answer for another method, for HEAD, and for who wants no event stream", () =>
    Effect.gen(function* () {
      let called = 0
      const { port } = yield* serve(carrier, () => Stream.sync(() => ({ data: `${++called}` })))
      const post = yield* ask(carrier, port, { method: "POST" })
      assert.deepStrictEqual([post.status, post.header("allow")], [405, "HEAD, GET"])
      const head = yield* ask(carrier, port, { method: "HEAD" })
      yield* eventually(() => head.ended())
      assert.deepStrictEqual([head.status, head.header("content-type"), head.text()], [200, "text/event-stream", ""])
      for (const accept of ["application/json", "text/event-stream;q=0, */*", "text/*;q=0", "image/*, text/html;q=1"]) {
        assert.strictEqual((yield* ask(carrier, port, { headers: { accept } })).status, 406, accept)
      }
      assert.strictEqual(called, 0)
      for (const accept of [
        "text/event-stream",
        "text/html, */*;q=0.1",
        "Text/*",
        "*/*",
        "",
        "*/*;q=0, text/event-stream"
      ]) {
        assert.strictEqual((yield* ask(carrier, port, { headers: { accept } })).status, 200, accept)
      }
    })
  )

  it.live("lets pages of the origins in that may ask, also before they ask, and nobody else's", () =>
    Effect.gen(function* () {
      const page = "https://page.example"
      let called = 0
      const events = () => Stream.sync(() => ({ data: `${++called}` }))
      const origin = Result.getOrThrow(Origin.allow([page]))
      const { port } = yield* serve(carrier, events, { origin, methods: ["GET", "POST"] })
      const wanted = { "access-control-request-headers": "authorization,last-event-id" }
      const before = yield* ask(carrier, port, { method: "OPTIONS", headers: { origin: page, ...wanted } })
      assert.deepStrictEqual(
        [before.status, before.header("vary"), ...about(before)],
        [204, "Origin", page, "true", "GET, POST", "authorization,last-event-id", "Retry-After"]
      )
      const got = yield* ask(carrier, port, { method: "POST", headers: { origin: page } })
      yield* got.says(": \n\ndata: 1\n\n")
      assert.deepStrictEqual(about(got), [page, "true", undefined, undefined, "Retry-After"])
      // A refusal can be read, too.
      const put = yield* ask(carrier, port, { method: "PUT", headers: { origin: page } })
      assert.deepStrictEqual([put.status, put.header("access-control-allow-origin")], [405, page])
      const picky = yield* ask(carrier, port, { headers: { origin: page, accept: "text/html" } })
      assert.deepStrictEqual([picky.status, picky.header("access-control-allow-origin")], [406, page])
      // A program is no page.
      yield* (yield* ask(carrier, port)).says(": \n\ndata: 2\n\n")
      for (const method of ["GET", "POST", "OPTIONS"]) {
        const other = yield* ask(carrier, port, { method, headers: { origin: `${page}.evil`, ...wanted } })
        assert.deepStrictEqual([other.status, other.header("vary"), ...about(other).filter(Boolean)], [403, "Origin"])
      }
      assert.strictEqual(called, 2)
    })
  )

  it.live("lets the pages of its own origin in, of whatever version of HTTP, and says nothing of it by itself", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(carrier, yes, { origin: Origin.sameOrigin })
      const own = { origin: `http://127.0.0.1:${port}` }
      assert.strictEqual((yield* ask(carrier, port, { headers: own })).status, 200)
      assert.strictEqual((yield* ask(carrier, port, { headers: { origin: "http://127.0.0.1:1" } })).status, 403)
      const silent = yield* serve(carrier, yes)
      const answer = yield* ask(carrier, silent.port, { headers: { origin: "https://page.example" } })
      assert.deepStrictEqual([answer.status, answer.header("access-control-allow-origin")], [200, undefined])
      assert.strictEqual((yield* ask(carrier, silent.port, { method: "OPTIONS" })).status, 405)
    })
  )

  it.live("may be asked for with another method", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(carrier, () => Stream.succeed({ data: "yes" }), { methods: ["POST"] })
      assert.strictEqual((yield* ask(carrier, port)).status, 405)
      assert.strictEqual((yield* ask(carrier, port, { method: "HEAD" })).status, 405)
      const answer = yield* ask(carrier, port, { method: "POST" })
      yield* answer.says(": \n\ndata: yes\n\n")
    })
  )
})
