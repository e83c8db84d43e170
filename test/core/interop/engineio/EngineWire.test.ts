/** A session that polls, over requests that the test answers. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { NetworkError } from "@millrace/core/connection/EventSourceError"
import type { Fetch, Request, Response } from "@millrace/core/connection/Fetch"
import * as EngineWire from "@millrace/core/interop/engineio/EngineWire"
import * as Packet from "@millrace/core/interop/engineio/Packet"
import type * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../../support/connection.ts"
import { utf8 } from "../../../support/wire.ts"

const opening = `0${Packet.encodeHandshake({ sid: "a&b", upgrades: ["websocket"], pingInterval: 1, pingTimeout: 1, maxPayload: 20 })}`

interface Asked {
  readonly request: Request
  readonly answer: (body: string | number, status?: number) => void
  readonly fail: Effect.Effect<unknown>
  isGivenUp: boolean
}

/** Requests wait here until the test answers them. */
const network = () => {
  const asked: Array<Asked> = []
  const all: Array<Asked> = []
  let isCut = false
  const fetch: Fetch = (request) =>
    Effect.gen(function* () {
      const answered = yield* Deferred.make<Response, NetworkError>()
      const one: Asked = {
        request,
        answer: (body, status = 200) => {
          const bytes = typeof body === "number" ? new Uint8Array(body) : utf8(body)
          const response: Response = { status, headers: [], url: request.url, body: Stream.make(bytes) }
          Deferred.doneUnsafe(answered, Exit.succeed(response))
        },
        fail: Deferred.fail(answered, new NetworkError({ cause: new Error("cut") })),
        isGivenUp: false
      }
      asked.push(one)
      all.push(one)
      if (isCut) yield* one.fail
      yield* Effect.addFinalizer(() => Effect.sync(() => void (one.isGivenUp = true)))
      return yield* Deferred.await(answered)
    })
  /** The next one that waits, when it has come. */
  const next = Effect.gen(function* () {
    for (let turns = 0; turns < 20 && asked.length === 0; turns++) yield* turn
    return asked.shift()!
  })
  /** Nobody answers any more, and everybody knows. */
  const cut = Effect.suspend(() => {
    isCut = true
    return Effect.forEach(all, ({ fail }) => fail, { discard: true })
  })
  return { fetch, asked, next, cut }
}

const plain = (message: Message.Message) => (message._tag === "Text" ? message.text : [...message.bytes])

const bodyOf = ({ request }: Asked) => (request.body === undefined ? undefined : new TextDecoder().decode(request.body))

const url = "https://example.com/?a=1"

/** A session, with its network and the first poll that waits. */
const opened = (options: Partial<EngineWire.Options> = {}, isCut = true) =>
  Effect.gen(function* () {
    const net = network()
    const fiber = yield* start(EngineWire.open(url, { fetch: net.fetch, ...options }))
    ;(yield* net.next).answer(opening)
    const wire = yield* Fiber.join(fiber)
    if (isCut) yield* Effect.addFinalizer(() => net.cut)
    assert.strictEqual(plain(yield* wire.receive), opening)
    return { ...net, wire, poll: yield* net.next }
  })

describe("a session that polls", () => {
  it.effect("asks where the server is, with the fields of the caller", () =>
    Effect.gen(function* () {
      const net = network()
      const headers = { Authorization: "Bearer t" }
      const fiber = yield* start(EngineWire.open("wss://example.com", { fetch: net.fetch, headers }))
      const first = yield* net.next
      assert.deepStrictEqual(
        [first.request.method, first.request.url],
        ["GET", "https://example.com/socket.io/?EIO=4&transport=polling"]
      )
      first.answer(`${opening}\u001e4early`)
      const wire = yield* Fiber.join(fiber)
      yield* Effect.addFinalizer(() => net.cut)
      const poll = yield* net.next
      assert.strictEqual(poll.request.url, "https://example.com/socket.io/?EIO=4&transport=polling&sid=a%26b")
      yield* wire.send("4hi")
      const post = yield* net.next
      assert.deepStrictEqual(
        [post.request.method, post.request.url, bodyOf(post), post.request.headers],
        [
          "POST",
          poll.request.url,
          "4hi",
          [
            ["Authorization", "Bearer t"],
            ["Content-Type", "text/plain;charset=UTF-8"]
          ]
        ]
      )
      assert.deepStrictEqual([plain(yield* wire.receive), plain(yield* wire.receive)], [opening, "4early"])
    })
  )

  it.effect("hears bytes, and says them, as much in one post as the server takes", () =>
    Effect.gen(function* () {
      const { next, poll, wire } = yield* opened()
      poll.answer("bAQID\u001e4x")
      assert.deepStrictEqual((yield* wire.pull).map(plain), [[1, 2, 3], "4x"])
      assert.strictEqual((yield* next).request.method, "GET")
      yield* wire.sendAll([Uint8Array.of(1), "4aaaaaaaaaa", Uint8Array.of(2), "4b"])
      const first = yield* next
      assert.strictEqual(bodyOf(first), "bAQ==\u001e4aaaaaaaaaa")
      first.answer("ok")
      assert.strictEqual(bodyOf(yield* next), "bAg==\u001e4b")
    })
  )

  it.effect("does not poll while what has come is not pulled, and suspends who says too much", () =>
    Effect.gen(function* () {
      const { asked, next, poll, wire } = yield* opened({ limits: { inboxBytes: 10, outboxBytes: 10 } })
      poll.answer(`4${"x".repeat(20)}`)
      yield* turn
      assert.strictEqual(asked.length, 0)
      yield* wire.pull
      const again = yield* next
      assert.strictEqual(again.request.method, "GET")
      yield* wire.send("4aaaaaaaaaaaaa")
      const more = yield* start(wire.send("4b"))
      const post = yield* next
      yield* turn
      assert.isUndefined(more.pollUnsafe())
      post.answer("ok")
      yield* Fiber.join(more)
      assert.strictEqual(bodyOf(yield* next), "4b")
    })
  )

  it.effect("ends with the server's word, and asks for nothing behind it", () =>
    Effect.gen(function* () {
      const { asked, poll, wire } = yield* opened()
      poll.answer("4last\u001e1")
      assert.strictEqual((yield* wire.pull).length, 2)
      assert.isTrue(Cause.isDone(yield* Effect.flip(wire.pull)))
      yield* turn
      assert.strictEqual(asked.length, 0)
    })
  )

  it.effect("has failed where a poll or a post does, is refused, is too long or no packets", () =>
    Effect.gen(function* () {
      const ways: ReadonlyArray<readonly [name: string, (asked: Asked) => Effect.Effect<unknown>]> = [
        ["fails", ({ fail }) => fail],
        ["is refused", ({ answer }) => Effect.sync(() => answer('{"code":1,"message":"Session ID unknown"}', 400))],
        ["is too long", ({ answer }) => Effect.sync(() => answer(1_001))]
      ]
      for (const isPost of [false, true]) {
        for (const [name, happens] of ways) {
          const { next, poll, wire } = yield* opened({ limits: { maxPollBytes: 1_000 } })
          if (isPost) yield* wire.send("4hi")
          yield* happens(isPost ? yield* next : poll)
          const error = yield* Effect.flip(wire.pull)
          assert.strictEqual(Cause.isDone(error) ? "done" : error.reason._tag, "TransportError", name)
          if (isPost) {
            yield* turn
            assert.isTrue(poll.isGivenUp)
          }
        }
      }
      const { poll, wire } = yield* opened()
      poll.answer("4good\u001ex")
      assert.strictEqual((yield* wire.pull).length, 1)
      assert.isFalse(Cause.isDone(yield* Effect.flip(wire.pull)))
    })
  )

  it.effect("says what is left and then its end, gives up its poll, and is cut after 5 s", () =>
    Effect.gen(function* () {
      for (const answers of [true, false]) {
        const scope = yield* Scope.make()
        const { next, poll, wire } = yield* Scope.provide(opened({}, false), scope)
        yield* wire.send("4hi")
        const closing = yield* start(Scope.close(scope, Exit.void))
        const post = yield* next
        assert.deepStrictEqual([bodyOf(post), poll.isGivenUp], ["4hi", false])
        if (answers) {
          post.answer("ok")
          const last = yield* next
          assert.strictEqual(bodyOf(last), "1")
          last.answer("ok")
        } else {
          yield* TestClock.adjust("4 seconds")
          assert.isUndefined(closing.pollUnsafe())
          yield* TestClock.adjust("1 second")
        }
        yield* Fiber.join(closing)
        assert.isTrue(poll.isGivenUp)
      }
    })
  )

  it.effect("is not opened in more than 10 s, by anything that is no session, nor where there is no address", () =>
    Effect.gen(function* () {
      const { fetch, next } = network()
      const late = yield* start(Effect.flip(EngineWire.open(url, { fetch })))
      const first = yield* next
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([(yield* Fiber.join(late)).reason._tag, first.isGivenUp], ["HandshakeTimeout", true])
      for (const body of ["<html>", "", "4x", "0{}", `${opening}\u001ex`]) {
        const other = yield* start(Effect.flip(EngineWire.open(url, { fetch })))
        ;(yield* next).answer(body)
        assert.strictEqual((yield* Fiber.join(other)).reason._tag, "Refused", body)
      }
      assert.strictEqual((yield* Effect.flip(EngineWire.open("no address", { fetch }))).reason._tag, "InvalidUrl")
      assert.strictEqual(
        (yield* Effect.flip(EngineWire.open(url, { fetch, headers: { "a b": "" } }))).reason._tag,
        "InvalidOptions"
      )
    })
  )
})
