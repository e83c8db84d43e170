/** Clients that poll and never post, post and never poll, and do both twice at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as EngineServer from "@millrace/core/interop/engineio/EngineServer"
import type * as Protocol from "@millrace/core/interop/engineio/EngineProtocol"
import type * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../../support/connection.ts"
import { utf8 } from "../../../support/wire.ts"

/** A session whose owner keeps what it is told, and takes `gate` to deal with each of it. */
const serve = (options: EngineServer.Options = {}) =>
  Effect.gen(function* () {
    const engine = yield* EngineServer.make(options)
    const heard: Array<string> = []
    const ends: Array<Protocol.Reason> = []
    const gates: Array<Deferred.Deferred<void>> = []
    let isSlow = false
    const session = engine.openUnsafe(() => ({
      deliver: (data) =>
        Effect.suspend(() => {
          const gate = Deferred.makeUnsafe<void>()
          if (!isSlow) return Effect.sync(() => void heard.push(String(data)))
          gates.push(gate)
          return Effect.andThen(
            Deferred.await(gate),
            Effect.sync(() => void heard.push(String(data)))
          )
        }),
      ended: (reason) => void ends.push(reason)
    }))
    const post = (body: string) => Effect.exit(session.post(Effect.succeed(utf8(body))))
    return { engine, session, heard, ends, gates, post, slow: () => (isSlow = true) }
  })

describe("a client that", () => {
  it.effect(
    "posts while what it has posted is still dealt with loses the session: one could go ahead of the other",
    () =>
      Effect.gen(function* () {
        const { ends, gates, heard, post, session, slow } = yield* serve()
        slow()
        const first = yield* start(post("4a\u001e4b"))
        yield* turn
        assert.lengthOf(gates, 1)
        const second = yield* post("4c")
        assert.deepStrictEqual([second._tag, ends, session.isOver], ["Failure", ["violation"], true])
        // What was heard before is dealt with.
        for (let i = 0; i < 2; i++) {
          yield* Deferred.succeed(gates[i]!, undefined)
          yield* turn
        }
        yield* Fiber.join(first)
        assert.deepStrictEqual([heard, gates.length], [["a", "b"], 2])
      })
  )

  it.effect("posts when the post before it was answered may, however long that took", () =>
    Effect.gen(function* () {
      const { ends, gates, heard, post, slow } = yield* serve()
      slow()
      for (const n of [0, 1, 2]) {
        const posting = yield* start(post(`4${n}`))
        yield* turn
        yield* Deferred.succeed(gates[n]!, undefined)
        assert.strictEqual((yield* Fiber.join(posting))._tag, "Success")
      }
      assert.deepStrictEqual([heard, ends], [["0", "1", "2"], []])
    })
  )

  it.effect("gives up a post may try again: it is as if it had never been", () =>
    Effect.gen(function* () {
      const { ends, heard, post, session } = yield* serve()
      for (let i = 0; i < 3; i++) {
        assert.deepStrictEqual(yield* Effect.exit(session.post(Effect.fail("cut"))), Exit.fail("cut"))
        const posting = yield* start(session.post(Effect.never))
        yield* Fiber.interrupt(posting)
      }
      assert.strictEqual((yield* post("4a"))._tag, "Success")
      assert.deepStrictEqual([heard, ends], [["a"], []])
    })
  )

  it.effect("goes over to a WebSocket while what it has posted is still dealt with keeps to polls", () =>
    Effect.gen(function* () {
      const { gates, heard, post, session, slow } = yield* serve()
      slow()
      const posting = yield* start(post("4a"))
      const { client, server } = yield* WebSocket.makePair()
      const reading = yield* start(session.attach(server))
      yield* client.send("2probe")
      yield* client.send("5")
      yield* client.send("4b")
      yield* Fiber.join(reading)
      assert.deepStrictEqual([session.isUpgraded, session.isOver, heard], [false, false, []])
      yield* Deferred.succeed(gates[0]!, undefined)
      yield* Fiber.join(posting)
      assert.deepStrictEqual(heard, ["a"])
    })
  )

  it.effect("has more to hear than waits for a poll hears it all when it goes over to a WebSocket, and in order", () =>
    Effect.gen(function* () {
      const { session } = yield* serve({ protocol: { maxQueuedPackets: 2 } })
      const sending = yield* start(Effect.forEach(["a", "b", "c", "d"], (text) => session.send([text])))
      const { client, server } = yield* WebSocket.makePair()
      yield* start(session.attach(server))
      yield* client.send("2probe")
      yield* client.send("5")
      yield* Fiber.join(sending)
      const heard: Array<string> = []
      while (heard.length < 5) heard.push(((yield* client.receive) as Message.Text).text)
      assert.deepStrictEqual(heard, ["3probe", "4a", "4b", "4c", "4d"])
    })
  )

  it.effect("has more to hear than waits for a poll is not said it when the server has ended the session", () =>
    Effect.gen(function* () {
      const { session } = yield* serve({ protocol: { maxQueuedPackets: 2 } })
      const sending = yield* start(Effect.exit(Effect.forEach(["a", "b", "c"], (text) => session.send([text]))))
      session.shutdownUnsafe()
      assert.strictEqual((yield* Fiber.join(sending))._tag, "Failure")
      const packets = yield* session.poll
      assert.deepStrictEqual(
        packets.map(({ _tag }) => _tag),
        ["Message", "Message", "Close"]
      )
    })
  )

  it.effect("polls twice at once loses the session, and so does one that posts twice at once", () =>
    Effect.gen(function* () {
      const polls = yield* serve()
      const first = yield* start(Effect.exit(polls.session.poll))
      const second = yield* Effect.exit(polls.session.poll)
      assert.deepStrictEqual([yield* Fiber.join(first), second._tag], [Exit.succeed([{ _tag: "Close" }]), "Failure"])
      const posts = yield* serve()
      const body = Deferred.makeUnsafe<Uint8Array>()
      const posting = yield* start(Effect.exit(posts.session.post(Deferred.await(body))))
      assert.strictEqual((yield* posts.post("4b"))._tag, "Failure")
      yield* Deferred.succeed(body, utf8("4a"))
      assert.strictEqual((yield* Fiber.join(posting))._tag, "Failure")
      assert.deepStrictEqual([polls.ends, posts.ends, posts.heard], [["violation"], ["violation"], []])
      assert.deepStrictEqual([polls.engine.size, posts.engine.size], [0, 0])
    })
  )

  it.effect("polls and never posts is given up when it has not answered a ping", () =>
    Effect.gen(function* () {
      const { ends, engine, session } = yield* serve()
      const polled: Array<string> = []
      yield* start(
        Effect.ignore(
          Effect.forever(Effect.map(session.poll, (packets) => polled.push(...packets.map(({ _tag }) => _tag))))
        )
      )
      yield* TestClock.adjust("44 seconds")
      assert.deepStrictEqual([polled, ends], [["Ping"], []])
      // The wheel turns once in 400 ms.
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([polled, ends, engine.size], [["Ping", "Close"], ["pingTimeout"], 0])
    })
  )

  it.effect("waits for what it has posted is not given up meanwhile as long as it polls", () =>
    Effect.gen(function* () {
      const { ends, gates, post, session, slow } = yield* serve()
      slow()
      const posting = yield* start(post("4a"))
      const polling = yield* start(Effect.ignore(Effect.forever(session.poll)))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(ends, [])
      yield* Deferred.succeed(gates[0]!, undefined)
      assert.strictEqual((yield* Fiber.join(posting))._tag, "Success")
      // From here on it could have said its pong.
      yield* TestClock.adjust("46 seconds")
      assert.deepStrictEqual(ends, ["pingTimeout"])
      yield* Fiber.interrupt(polling)

      const gone = yield* serve()
      gone.slow()
      yield* start(gone.post("4a"))
      yield* TestClock.adjust("46 seconds")
      assert.deepStrictEqual(gone.ends, ["pingTimeout"])
    })
  )

  it.effect("is not read is not given up meanwhile as long as its WebSocket is there", () =>
    Effect.gen(function* () {
      const { ends, gates, session, slow } = yield* serve()
      const { client, server } = yield* WebSocket.makePair()
      yield* start(session.attach(server))
      yield* client.send("2probe")
      yield* client.send("5")
      slow()
      yield* client.send("4a")
      yield* client.send("3")
      const heard = yield* start(Effect.ignore(Effect.forever(client.receive)))
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([gates.length, ends], [1, []])
      yield* Fiber.interrupt(heard)
      yield* start(Effect.ignore(client.close()))
      yield* TestClock.adjust("46 seconds")
      assert.strictEqual(ends.length, 1)
    })
  )

  it.effect("posts and never polls has so much waiting for it and no more, and is given up like any other", () =>
    Effect.gen(function* () {
      const { ends, engine, post, session } = yield* serve({ protocol: { maxQueuedPackets: 5 } })
      for (let i = 0; i < 5; i++) yield* session.send(["x"])
      const sending = yield* start(Effect.exit(session.send(["x"])))
      assert.deepStrictEqual(session.tryWriteUnsafe(["y"], []), "Full")
      // A pong of its own is none to a ping that it has not heard; but it may say one at any time.
      yield* TestClock.adjust("20 seconds")
      yield* post("3")
      yield* TestClock.adjust("44 seconds")
      assert.deepStrictEqual(ends, [])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([ends, engine.size, (yield* Fiber.join(sending))._tag], [["pingTimeout"], 0, "Failure"])
    })
  )

  it.effect("says nothing at all leaves nothing behind, however many come and go", () =>
    Effect.gen(function* () {
      const { engine } = yield* serve()
      for (let i = 0; i < 1_000; i++) {
        const session = engine.openUnsafe(() => ({ deliver: () => Effect.void, ended: () => {} }))
        if (i % 2 === 0) yield* session.post(Effect.succeed(utf8("1")))
      }
      assert.strictEqual(engine.size, 501)
      yield* TestClock.adjust("46 seconds")
      assert.strictEqual(engine.size, 0)
    })
  )
})
