/** Clients of Socket.IO that come back, and those that poll. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { start, turn } from "../../../support/connection.ts"
import { back, body, lastOf, namesOf, serve } from "../../../support/socketServer.ts"

describe("a client that was cut off", () => {
  const recovering = { recovery: { maxAway: "1 minute", maxSockets: 2 } } as const

  it.effect(
    "gets what it has missed of rooms and of what was said to it alone, in order and once, under its name",
    () =>
      Effect.gen(function* () {
        const { connect, hub, join, log, sockets } = yield* serve(recovering)
        const one = yield* join({ room: "r" })
        yield* hub.publish("r", '["a"]')
        yield* one.socket.emit("b")
        yield* turn
        const heard = one.took()
        assert.deepStrictEqual(namesOf(heard), ["a", "b"])
        // It was not told of these in time.
        yield* one.socket.emit("c")
        yield* hub.publish("r", '["d"]')
        one.cut()
        yield* turn
        assert.strictEqual(one.socket.isConnected, false)
        yield* one.socket.emit("e")
        yield* hub.publish("r", '["f"]')
        yield* hub.publish("other", '["not its"]')
        const two = yield* connect()
        yield* two.say(back(one, lastOf(heard)))
        const missed = two.took()
        assert.deepStrictEqual(JSON.parse(String(missed[0]).slice(1)), { sid: one.sid, pid: one.pid })
        assert.deepStrictEqual(namesOf(missed), ["in", "c", "d", "e", "f"])
        assert.deepStrictEqual([one.socket.rooms, sockets.length, log], [["r"], 1, []])
        yield* hub.publish("r", '["g"]')
        yield* turn
        assert.deepStrictEqual(namesOf(two.took()), ["g"])
      })
  )

  it.effect("gets nothing of before it was in a room", () =>
    Effect.gen(function* () {
      const { connect, hub, join } = yield* serve(recovering)
      const one = yield* join()
      yield* hub.publish("r", '["before"]')
      yield* one.socket.join("r")
      yield* hub.publish("r", '["after"]')
      one.cut()
      const two = yield* connect()
      yield* two.say(back(one))
      assert.deepStrictEqual(namesOf(two.took()), ["in", "after"])
    })
  )

  it.effect("may come back before it is missed, and takes the place of the connection that it had", () =>
    Effect.gen(function* () {
      const { connect, hub, join, sockets } = yield* serve(recovering)
      const one = yield* join({ room: "r" })
      const two = yield* connect()
      yield* two.say(back(one))
      assert.deepStrictEqual([one.isOver(), sockets.length, one.socket.isConnected], [true, 1, true])
      yield* hub.publish("r", '["a"]')
      yield* turn
      assert.deepStrictEqual([namesOf(two.took()), one.took()], [["in", "a"], []])
    })
  )

  it.effect("is asked again what it has not answered, and its own questions are answered", () =>
    Effect.gen(function* () {
      const { connect, join } = yield* serve(recovering)
      const one = yield* join()
      const asking = yield* start(one.socket.ask("question", []))
      yield* one.say('27["later",1000]')
      one.cut()
      yield* turn
      yield* TestClock.adjust(1_000)
      const two = yield* connect()
      yield* two.say(back(one))
      assert.deepStrictEqual(two.took().slice(1), ['37["done"]', '20["question"]'])
      yield* two.say('30["yes"]')
      assert.deepStrictEqual(yield* Fiber.join(asking), ["yes"])
    })
  )

  it.effect.each([
    ["under a name that nobody has", { pid: "x" }],
    ["with a position that nobody was told", { offset: "x" }],
    ["with a position of another log", { offset: "x:1" }],
    ["with no name that can be one", { pid: 1 }]
  ] as const)("is a new socket when it comes %s", ([, wrong]) =>
    Effect.gen(function* () {
      const { connect, join, sockets } = yield* serve(recovering)
      const one = yield* join()
      one.cut()
      const two = yield* connect()
      yield* two.say(`0${JSON.stringify({ pid: one.pid, ...wrong })}`)
      assert.deepStrictEqual([sockets.length, sockets[1]!.id === one.sid], [2, false])
    })
  )

  it.effect("is waited for no longer than a minute, no more than two at a time, and not when it has left", () =>
    Effect.gen(function* () {
      const { join, io, hub } = yield* serve(recovering)
      const clients = [yield* join(), yield* join(), yield* join(), yield* join()]
      yield* clients[3]!.say("1")
      assert.strictEqual(io.of("/").sockets.size, 3)
      for (const { cut } of clients) cut()
      yield* turn
      assert.deepStrictEqual(
        [...io.of("/").sockets.keys()],
        clients.slice(1, 3).map(({ sid }) => sid)
      )
      yield* TestClock.adjust("1 minute")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([io.of("/").sockets.size, hub.topics()], [0, 0])
    })
  )

  it.effect("has one more argument in each event, which is never another text than its place", () =>
    Effect.gen(function* () {
      const { hub, io, join } = yield* serve(recovering)
      const one = yield* join({ room: "r" })
      yield* hub.publish("r", '["a","text"]')
      yield* one.socket.emit("b", "text")
      yield* one.socket.emitVolatile("c", "text")
      yield* io.of("/").to("r", "s").emit("d", "text")
      yield* turn
      const last = one.took().map((data) => (JSON.parse(String(data).slice(1)) as ReadonlyArray<unknown>).at(-1))
      assert.deepStrictEqual(
        last.map((value) => (typeof value === "string" ? value.replace(/^.*:/, "") : value)),
        ["1", "1~1", null, null]
      )
    })
  )
})

describe("a client that polls", () => {
  it.effect("and posts is served the same; one that only polls is cut off when it is let in nowhere", () =>
    Effect.gen(function* () {
      const { engine, io } = yield* serve()
      const polls = engine.openUnsafe(io.open({ request: undefined }))
      const posts = engine.openUnsafe(io.open({ request: undefined }))
      assert.strictEqual(polls.opened.length + posts.opened.length, 2)
      // It never polls: what it is told waits for it, as much as may.
      yield* posts.post(body('40\u001e420["echo",1]'))
      const polling = yield* start(polls.poll)
      yield* turn
      const heard = yield* posts.poll
      assert.deepStrictEqual(
        heard.map(({ _tag }) => _tag),
        ["Message", "Message"]
      )
      yield* TestClock.adjust("25 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(polling)).map(({ _tag }) => _tag),
        ["Ping"]
      )
      // What is said of the end waits for a poll as well.
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(polls.isOver, true)
    })
  )
})
