/** Servers that answer an event source with something other than an event stream, or with one that is too much. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Refused } from "@millrace/core/connection/Refused"
import { turn } from "../../support/connection.ts"
import { dataOf, failureOf, reading, tagsOf } from "../../support/eventSource.ts"
import type { Head } from "../../support/TestFetch.ts"
import { utf8 } from "../../support/wire.ts"

const html = [["Content-Type", "text/html"]] as const

/** What a source makes of a response that is the only one. */
const refusedBy = (head: Head, body = "") =>
  Effect.gen(function* () {
    const { network, reader } = yield* reading()
    const asked = (yield* network.take).respond(head)
    if (body !== "") asked.send(body)
    asked.end()
    const reason = yield* failureOf(reader)
    assert.strictEqual(network.open, 0)
    assert.strictEqual(network.asked.length, 1)
    if (!(reason instanceof Refused)) throw new Error(`not refused: ${reason._tag}`)
    return reason
  })

describe("a response", () => {
  it.effect.each([
    ["of another status", { status: 401, headers: html }, "the server answered with status 401"],
    ["that was created", { status: 201 }, "the server answered with status 201"],
    ["of another type", { headers: html }, "the server answered with status 200: its type is text/html"],
    ["without a type", { headers: [] }, "the server answered with status 200: it has no type"],
    ["of a type that only begins so", { headers: [["content-type", "text/event-streams"]] as const }, /event-streams$/],
    ["that is compressed", { coding: "gzip" }, "the server answered with status 200: it is compressed"],
    [
      "of which not more is shown",
      { status: 0, detail: "a redirect" },
      "the server answered with status 0: a redirect"
    ],
    ["that redirects nowhere", { status: 302, headers: [] }, "the server answered with status 302"],
    [
      "that redirects to no TLS",
      { status: 302, headers: [["Location", "http://a/"]] as const },
      /302: .* without TLS$/
    ],
    ["that redirects to no URL", { status: 302, headers: [["Location", "http://"]] as const }, /302: .* to no URL$/]
  ] as const)("%s is the end, and the error carries it", ([, head, message]) =>
    Effect.gen(function* () {
      const reason = yield* refusedBy(head as Head, "no, é")
      if (typeof message === "string") assert.strictEqual(reason.message, message)
      else assert.match(reason.message, message)
      const { status = 200, headers } = head as Head
      assert.strictEqual(reason.status, status)
      if (headers !== undefined) assert.deepStrictEqual(reason.headers, headers)
      assert.deepStrictEqual(
        [reason.text, reason.truncated, reason.url],
        ["no, é", false, "https://example.com/events"]
      )
    })
  )

  it.effect("is one of the event stream whatever parameters its type has, and with the coding that is none", () =>
    Effect.gen(function* () {
      const { events, network } = yield* reading()
      const headers = [["content-TYPE", " TEXT/event-stream ;charset=latin1"]] as const
      network.asked[0]!.respond({ headers, coding: "Identity" }).send("data: é\n\n")
      yield* turn
      assert.deepStrictEqual(dataOf(events), ["é"])
    })
  )

  it.effect("has at most 64 KiB of its body kept, and no more is read", () =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading()
      const asked = network.asked[0]!.respond({ status: 404, headers: html })
      asked.send(new Uint8Array(65_535).fill(97), utf8("bcd"), utf8("never"))
      const reason = yield* failureOf(reader)
      assert.isTrue(reason._tag === "Refused" && reason.truncated && reason.body.length === 65_536)
      assert.strictEqual(reason._tag === "Refused" ? reason.text.slice(-2) : "", "ab")
      assert.strictEqual(asked.taken, 2)
    })
  )

  it.effect("whose body does not come to an end is refused when the time is up, with what there is of it", () =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading({ openTimeout: "5 seconds" })
      network.asked[0]!.respond({ status: 403, headers: html }).send("wait")
      yield* TestClock.adjust("5 seconds")
      const reason = yield* failureOf(reader)
      assert.isTrue(reason._tag === "Refused" && reason.truncated && reason.text === "wait" && reason.status === 403)
      assert.strictEqual(network.open, 0)
    })
  )

  it.effect("whose body breaks off is refused all the same", () =>
    Effect.gen(function* () {
      const { network, reader } = yield* reading()
      network.asked[0]!.respond({ status: 403, headers: html }).send("half").fail()
      const reason = yield* failureOf(reader)
      assert.isTrue(reason._tag === "Refused" && reason.truncated && reason.text === "half")
    })
  )
})

const to = (location: string): Head => ({ status: 307, headers: [["Location", location]] })

describe("redirects", () => {
  it.effect("are followed, one exchange after the other, and the state tells where it has come to", () =>
    Effect.gen(function* () {
      const { events, network, source } = yield* reading({ headers: { "X-Key": "k" } })
      network.asked[0]!.respond(to("/b"))
      yield* turn
      assert.deepStrictEqual([network.asked[1]!.header("X-Key"), network.open], ["k", 1])
      network.asked[1]!.respond(to("https://example.org/c"))
      yield* turn
      assert.deepStrictEqual([network.asked[2]!.header("X-Key"), network.open], [undefined, 1])
      assert.isFalse(network.asked[2]!.request.credentials)
      network.asked[2]!.open("data: here\n\n")
      yield* turn
      const state = yield* source.state
      assert.isTrue(state._tag === "Open" && state.url === "https://example.org/c")
      assert.deepStrictEqual(dataOf(events), ["here"])
    })
  )

  it.effect("in a circle are followed 20 times, or as often as was said", () =>
    Effect.gen(function* () {
      for (const [rules, times] of [
        [{}, 20] as const,
        [{ maxRedirects: 3 }, 3] as const,
        [{ maxRedirects: 0 }, 0] as const
      ]) {
        const { network, reader } = yield* reading({ rules })
        network.answer = (asked) => asked.respond(to("/events")).end()
        network.asked[0]!.respond(to("/events")).end()
        const reason = yield* failureOf(reader)
        assert.strictEqual(network.asked.length, times + 1)
        assert.strictEqual(reason.message, "the server answered with status 307: too many redirects")
        assert.strictEqual(network.open, 0)
      }
    })
  )
})

describe("a stream that is too much", () => {
  it.effect.each([
    ["a line without an end", "line", "x".repeat(101)],
    ["an event without an end", "event", "data: 12345678\n".repeat(12)],
    ["a name without an end", "line", `event: ${"x".repeat(100)}`]
  ] as const)("by %s is the end, at its limit, after what came before it", ([, over, text]) =>
    Effect.gen(function* () {
      const { events, network, reader, states } = yield* reading({ limits: { maxLineBytes: 100, maxEventBytes: 100 } })
      network.asked[0]!.open(`data: before\n\n${text}`).send("\n\ndata: after\n\n")
      const reason = yield* failureOf(reader)
      assert.isTrue(reason._tag === "EventStreamViolation" && reason.over === over && reason.limit === 100)
      assert.deepStrictEqual(dataOf(events), ["before"])
      assert.strictEqual(network.open, 0)
      assert.strictEqual(tagsOf(states), "Connecting Open Closed")
    })
  )

  it.effect("is one of more than a mebibyte when nobody has said otherwise", () =>
    Effect.gen(function* () {
      const { events, network, reader } = yield* reading()
      const mebibyte = "x".repeat(1_048_576 - "data:".length)
      network.asked[0]!.open(`data:${mebibyte}\n\n`)
      yield* turn
      assert.strictEqual(events.length, 1)
      network.asked[0]!.send(`data:${mebibyte}x`)
      assert.strictEqual((yield* failureOf(reader))._tag, "EventStreamViolation")
    })
  )
})
