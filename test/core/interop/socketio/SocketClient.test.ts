/** A client of Socket.IO against servers that say what the test writes. */
import { assert, describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { Refused as RefusedRequest } from "@millrace/core/connection/Refused"
import { OpenError } from "@millrace/core/connection/OpenError"
import type { Happening } from "@millrace/core/connection/Surroundings"
import type * as WebSocket from "@millrace/core/connection/WebSocket"
import * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import type { SocketClientError } from "@millrace/core/interop/socketio/SocketClientError"
import { start } from "../../../support/connection.ts"
import { eventually } from "../../../support/eventually.ts"
import { type Link, Network } from "../../../support/returning.ts"
import { turn } from "../../../support/session.ts"

const open = (more: object = {}) =>
  `0${JSON.stringify({ sid: "e", upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000, ...more })}`

/** One message of the client's: text as it is, and bytes in hexadecimal. */
const heard = (server: WebSocket.WebSocket) =>
  Effect.map(server.receive, (message) =>
    message._tag === "Text" ? message.text : Buffer.from(message.bytes).toString("hex")
  )

/** Lets the client in. */
const welcome = (server: WebSocket.WebSocket, more: object = {}) =>
  Effect.gen(function* () {
    yield* server.send(open())
    const connect = yield* heard(server)
    yield* server.send(`40${JSON.stringify({ sid: "s", ...more })}`)
    return connect
  })

/** A client that comes back after a second, whose server does what the test says; what it was told, and by whom. */
const world = (
  options: SocketClient.Options = {},
  serve: (link: Link) => Effect.Effect<unknown, unknown, Scope.Scope> = ({ server }) => welcome(server)
) =>
  Effect.gen(function* () {
    const network = new Network()
    network.serve = serve
    const socket = yield* SocketClient.make(network.connect, { reconnect: Schedule.spaced("1 second"), ...options })
    return { network, socket }
  })

/** One that is in. What the client says is put into `told`, behind its Connect. */
const connected = (options?: SocketClient.Options) =>
  Effect.gen(function* () {
    const told = yield* Queue.unbounded<string>()
    const { network, socket } = yield* world(options, ({ server }) =>
      Effect.andThen(
        welcome(server),
        Effect.forever(
          Effect.flatMap(heard(server), (message) => Queue.offer(told, message)),
          { disableYield: true }
        )
      )
    )
    yield* socket.entered
    return {
      network,
      socket,
      told: Queue.take(told),
      say: (text: string) => Effect.orDie(network.last.server.send(text))
    }
  })

/** A way to connect over which nothing goes while the gates are closed; and what goes, behind the Connect. */
const gated = Effect.gen(function* () {
  const told = yield* Queue.unbounded<string>()
  const network = new Network()
  network.serve = ({ server }) =>
    Effect.andThen(
      welcome(server),
      Effect.forever(Effect.flatMap(heard(server), (message) => Queue.offer(told, message)))
    )
  const gates = { isOpen: true, waiting: [] as Array<Deferred.Deferred<void>> }
  const open = Effect.map(network.connect, ({ pull, receive, sendAll }): SocketClient.Wire => ({
    pull,
    receive,
    sendAll: (messages) => {
      if (gates.isOpen) return sendAll(messages)
      const gate = Deferred.makeUnsafe<void>()
      gates.waiting.push(gate)
      return Effect.andThen(Deferred.await(gate), sendAll(messages))
    }
  }))
  return { gates, network, open, told: Queue.take(told) }
})

const reasonOf = <A, R>(effect: Effect.Effect<A, SocketClientError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const names = (events: Iterable<SocketClient.Event>) => Array.from(events, ({ name }) => name)

/** Why a client has stopped: the tag of its cause, and of the error where that says more. */
const causeOf = (socket: SocketClient.SocketClient) =>
  Effect.map(reasonOf(Stream.runDrain(socket.events)), (reason) => {
    if (reason._tag !== "Stopped") return reason._tag
    const { cause } = reason
    return cause?._tag === "Ended" ? cause.error._tag : cause?._tag
  })

const state = (socket: SocketClient.SocketClient) => Effect.map(socket.state, ({ _tag }) => _tag)

describe("address", () => {
  const query = "EIO=4&transport=websocket"
  it.each([
    ["https://example.com", `https://example.com/socket.io/?${query}`],
    ["http://example.com:3000/", `http://example.com:3000/socket.io/?${query}`],
    ["ws://example.com/chat/", `ws://example.com/chat/?${query}`],
    ["wss://user:pass@example.com/?token=a%20b#part", `wss://user:pass@example.com/socket.io/?token=a%20b&${query}`],
    ["http://[::1]:80?", `http://[::1]/socket.io/?${query}`],
    ["nowhere", "nowhere"]
  ])("of %s", (url, address) => {
    expect(SocketClient.address(url)).toBe(address)
  })

  it("takes a URL", () => {
    expect(SocketClient.address(new URL("http://a/b"))).toBe(`http://a/b?${query}`)
  })
})

describe("a hostile server", () => {
  it.effect.each([
    ["is no server of Socket.IO", ["hello"], "Violation"],
    ["says nothing but bytes", [Uint8Array.of(1)], "Violation"],
    ["ends it at once", ["1"], "Again"],
    ["lets in before it is asked, without its handshake", ['40{"sid":"s"}'], "Violation"],
    ["lets in as servers of version 2 do", [open(), "40"], "Violation"],
    ["says what is no packet", [open(), "49"], "Violation"],
    [
      "says text where bytes are missing",
      [open(), '40{"sid":"s"}', '451-["a",{"_placeholder":true,"num":0}]', '42["b"]'],
      "Violation"
    ],
    ["says bytes that belong nowhere", [open(), '40{"sid":"s"}', Uint8Array.of(1)], "Violation"],
    ["uses a reserved name", [open(), '40{"sid":"s"}', '42["disconnect"]'], "Violation"],
    ["hides a name of objects in an event", [open(), '40{"sid":"s"}', '42["a",{"__proto__":1}]'], "Violation"],
    ["lets in twice", [open(), '40{"sid":"s"}', '40{"sid":"s"}'], "Violation"],
    ["refuses", [open(), '44{"message":"no"}'], "Refused"],
    ["puts out", [open(), '40{"sid":"s"}', "41"], "PutOut"],
    ["answers what nobody has asked, and goes", [open(), '40{"sid":"s"}', "43999[1]", "1"], "Again"]
  ] as const)("that %s", ([, messages, expected]) =>
    Effect.gen(function* () {
      const { network, socket } = yield* world({}, ({ server }) => server.sendAll([...messages]))
      if (expected === "Again") {
        yield* eventually(() => network.attempts === 1 && network.open === 0)
        yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
        yield* TestClock.adjust("1 second")
        yield* eventually(() => network.attempts === 2)
        return
      }
      assert.strictEqual(yield* causeOf(socket), expected)
      assert.strictEqual(network.attempts, 1)
      yield* eventually(() => network.open === 0)
    })
  )

  it.effect("that says anything at all is taken, or is the end of that connection, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const scrap = fc.oneof(
        fc.constantFrom<string | Uint8Array>(open(), '40{"sid":"s"}', "2", '42["a",1]', "1", "41", "43[1]", '420["q"]'),
        fc.string({ maxLength: 8 }).map((text) => `4${text}`),
        fc.string({ unit: "grapheme", maxLength: 8 }),
        fc.uint8Array({ maxLength: 4 })
      )
      const histories = fc.sample(fc.tuple(fc.boolean(), fc.array(scrap, { maxLength: 8 })), 60)
      for (const [isProper, messages] of histories) {
        const scope = yield* Scope.make()
        const script = isProper ? [open(), '40{"sid":"s"}', ...messages] : messages
        const { network, socket } = yield* Scope.provide(
          world({ again: () => "Stop" }, ({ server }) => Effect.andThen(server.sendAll(script), server.close())),
          scope
        )
        // It ends, one way or the other.
        yield* Effect.exit(Stream.runDrain(socket.events))
        yield* Effect.exit(socket.ask("q", []))
        yield* Scope.close(scope, Exit.void)
        yield* eventually(() => network.open === 0)
      }
    })
  )

  it.effect("that is silent before it lets the client in costs openTimeout, and is tried again", () =>
    Effect.gen(function* () {
      for (const first of [[], [open()]]) {
        const { network, socket } = yield* world({ openTimeout: "5 seconds" }, ({ server }) =>
          Effect.andThen(server.sendAll(first), Effect.never)
        )
        yield* eventually(() => network.open === 1)
        yield* turn
        yield* TestClock.adjust("4999 millis")
        assert.strictEqual(network.open, 1)
        yield* TestClock.adjust("1 millis")
        yield* eventually(() => network.open === 0 && Effect.runSync(state(socket)) === "Waiting")
      }
    })
  )

  it.effect("that pings no more is given up when it is sure, and not before", () =>
    Effect.gen(function* () {
      const { network, say, socket, told } = yield* connected()
      yield* TestClock.adjust("44 seconds")
      yield* say("2")
      assert.strictEqual(yield* told, "3")
      yield* socket.emit("a")
      assert.strictEqual(yield* told, '42["a"]')
      // Nothing else is a ping.
      yield* TestClock.adjust("44 seconds")
      yield* say('420["q"]')
      const [event] = yield* Stream.runCollect(Stream.take(socket.events, 1))
      assert.strictEqual(event?.isAsked, true)
      assert.strictEqual(yield* state(socket), "Open")
      yield* TestClock.adjust("1 second")
      yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
      const waiting = yield* socket.state
      assert.isTrue(waiting._tag === "Waiting" && waiting.lost.cause._tag === "Ended")
      assert.include(String(waiting._tag === "Waiting" && waiting.lost.cause.error), "has not pinged for 45000 ms")
      assert.isFalse(yield* event!.reply(1))
      yield* TestClock.adjust("1 second")
      yield* eventually(() => network.links.length === 2)
    })
  )

  it.effect("that sends more than anybody takes is not read, and its silence is not held against it", () =>
    Effect.gen(function* () {
      const { network, say, socket } = yield* connected({ maxUnread: 2 })
      const pull = yield* Stream.toPull(socket.events)
      for (let i = 0; i < 10; i++) yield* say(`42["a",${i}]`)
      const numbers: Array<unknown> = []
      const take = Effect.map(pull, (events) => void numbers.push(...events.map(({ args }) => args[0])))
      yield* take
      yield* turn
      // Somebody listens, and has enough.
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* state(socket), "Open")
      while (numbers.length < 10) yield* take
      assert.deepStrictEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      // From here on it is.
      yield* TestClock.adjust("44 seconds")
      assert.strictEqual(yield* state(socket), "Open")
      assert.strictEqual(network.attempts, 1)
    })
  )

  it.effect("whose request is refused is left alone, or asked again when it says that it is busy", () =>
    Effect.gen(function* () {
      for (const [status, expected] of [
        [403, "Stopped"],
        [503, "Waiting"]
      ] as const) {
        const network = new Network()
        const reason = new RefusedRequest({
          status,
          headers: [],
          url: "ws://x",
          body: new Uint8Array(),
          truncated: false
        })
        network.answer = () => Effect.fail(new OpenError({ reason }))
        const socket = yield* SocketClient.make(network.connect)
        yield* eventually(() => Effect.runSync(state(socket)) === expected)
      }
    })
  )
})

describe("what is said", () => {
  it.effect("is a text message for each event, with its bytes right behind it", () =>
    Effect.gen(function* () {
      const { socket, told } = yield* connected()
      yield* socket.emit("a", 1, { b: Uint8Array.of(7, 8) }, Uint8Array.of(9))
      yield* socket.emit("c")
      const messages = [yield* told, yield* told, yield* told, yield* told]
      assert.deepStrictEqual(messages, [
        '452-["a",1,{"b":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]',
        "0708",
        "09",
        '42["c"]'
      ])
    })
  )

  it.effect("goes in order, however little may wait, while there is a connection", () =>
    Effect.gen(function* () {
      const { socket, told } = yield* connected({ capacity: 1 })
      const numbers = Array.from({ length: 200 }, (_, i) => i)
      yield* start(Effect.forEach(numbers, (i) => socket.emit("a", i), { discard: true }))
      for (const i of numbers) assert.strictEqual(yield* told, `42["a",${i}]`)
      assert.strictEqual(socket.dropped(), 0)
    })
  )

  it.effect("waits while the connection takes nothing, many behind one another, in the order of the calls", () =>
    Effect.gen(function* () {
      const { gates, open, told } = yield* gated
      const socket = yield* SocketClient.make(open, { capacity: 2 })
      yield* socket.entered
      gates.isOpen = false
      yield* socket.emit("a", 0)
      yield* eventually(() => gates.waiting.length === 1)
      assert.isFalse(yield* socket.emitVolatile("volatile"))
      // Two have room, and the others wait: each in a fiber of its own.
      const emitting = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (i) => start(socket.emit("a", i)))
      yield* turn
      assert.deepStrictEqual(
        emitting.map((fiber) => fiber.pollUnsafe() !== undefined),
        [true, true, false, false, false, false]
      )
      yield* Fiber.interrupt(emitting[3]!)
      Deferred.doneUnsafe(gates.waiting[0]!, Exit.void)
      yield* eventually(() => gates.waiting.length === 2)
      // What had room is on its way, and those who wait are still before who comes now.
      const last = yield* start(socket.emit("a", 7))
      gates.isOpen = true
      Deferred.doneUnsafe(gates.waiting[1]!, Exit.void)
      yield* Fiber.joinAll([emitting[2]!, emitting[4]!, emitting[5]!, last])
      for (const i of [0, 1, 2, 3, 5, 6, 7]) assert.strictEqual(yield* told, `42["a",${i}]`)
      yield* eventually(() => Effect.runSync(socket.emitVolatile("volatile")))
      assert.strictEqual(yield* told, '42["volatile"]')
    })
  )

  it.effect(
    "waits for a connection up to capacity; beyond it what is declared happens, and no question is dropped",
    () =>
      Effect.gen(function* () {
        for (const [overflow, expected] of [
          ["Fail", ['420["q"]', '42["a",1]', '42["a",2]']],
          ["DropNewest", ['420["q"]', '42["a",1]', '42["a",2]']],
          ["DropOldest", ['420["q"]', '42["a",2]', '42["a",3]']]
        ] as const) {
          const told: Array<string> = []
          let isThere = false
          const { network, socket } = yield* world({ capacity: 3, overflow, again: () => "Again" }, ({ server }) =>
            isThere
              ? Effect.andThen(
                  welcome(server),
                  Effect.forever(Effect.map(heard(server), (message) => told.push(message)))
                )
              : server.close()
          )
          const asking = yield* start(Effect.exit(socket.ask("q", [], { timeout: Infinity })))
          yield* socket.emit("a", 1)
          yield* socket.emit("a", 2)
          const last = yield* Effect.exit(socket.emit("a", 3))
          assert.strictEqual(Exit.isSuccess(last), overflow !== "Fail")
          assert.strictEqual(socket.dropped(), overflow === "Fail" ? 0 : 1)
          const question = yield* reasonOf(socket.ask("q", []))
          assert.deepInclude(question, { _tag: "OutboxFull", capacity: 3 })
          isThere = true
          yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
          yield* TestClock.adjust("1 second")
          yield* eventually(() => told.length === 3)
          assert.deepStrictEqual(told, [...expected])
          yield* network.last.server.send('430["tea"]')
          assert.deepStrictEqual(yield* Fiber.join(asking), Exit.succeed(["tea"]))
        }
      })
  )

  it.effect("waits for the next connection where this one is lost, but for answers, which are nobody's there", () =>
    Effect.gen(function* () {
      const { gates, network, open, told } = yield* gated
      const socket = yield* SocketClient.make(open, { reconnect: Schedule.spaced("1 second") })
      yield* socket.entered
      gates.isOpen = false
      const asking = yield* start(socket.ask("b", [], { timeout: Infinity }))
      yield* eventually(() => gates.waiting.length === 1)
      yield* network.last.server.send('420["q"]')
      const [question] = yield* Stream.runCollect(Stream.take(socket.events, 1))
      assert.isTrue(yield* question!.reply("late"))
      yield* socket.emit("a", 1)
      network.last.cut()
      yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
      gates.isOpen = true
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* told, yield* told], ['420["b"]', '42["a",1]'])
      yield* network.last.server.send('430["tea"]')
      assert.deepStrictEqual(yield* Fiber.join(asking), ["tea"])
    })
  )

  it.effect("is refused where the server would not get it as it is, or take it", () =>
    Effect.gen(function* () {
      const { socket } = yield* connected()
      const ways = [
        socket.emit("connect"),
        socket.emit("a", 1n),
        socket.emitVolatile("a", Symbol("a")),
        socket.ask("a", [Number.NaN]),
        socket.emit("a", "é".repeat(500_000))
      ]
      for (const way of ways) assert.strictEqual((yield* reasonOf(way as (typeof ways)[0]))._tag, "UnsendablePacket")
      yield* socket.emit("a", "é".repeat(499_000))
    })
  )

  it.effect("is not, where it is a question that was taken back before there was a connection", () =>
    Effect.gen(function* () {
      const told = yield* Queue.unbounded<string>()
      let attempts = 0
      const { socket } = yield* world({ capacity: 2 }, ({ server }) =>
        ++attempts === 1
          ? server.close()
          : Effect.andThen(
              welcome(server),
              Effect.forever(Effect.flatMap(heard(server), (message) => Queue.offer(told, message)))
            )
      )
      const asking = yield* start(socket.ask("q", []))
      const late = yield* start(reasonOf(socket.ask("late", [], { timeout: "500 millis" })))
      yield* Fiber.interrupt(asking)
      // Where it was there is room.
      yield* socket.emit("a")
      yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual((yield* Fiber.join(late))._tag, "Late")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Queue.take(told), '42["a"]')
    })
  )

  it.effect(
    "begins with what the client is to know, asked for anew at each attempt; a ping meanwhile is answered",
    () =>
      Effect.gen(function* () {
        const told: Array<string> = []
        let count = 0
        const { socket } = yield* world(
          { namespace: "/admin", auth: Effect.sync(() => ({ count: ++count })) },
          ({ server }) =>
            Effect.gen(function* () {
              yield* server.send(open())
              told.push(yield* heard(server))
              yield* server.send("2")
              told.push(yield* heard(server))
              if (count === 2) yield* server.send('40/admin,{"sid":"s"}')
              else yield* server.close()
            })
        )
        yield* eventually(() => Effect.runSync(state(socket)) === "Waiting")
        yield* TestClock.adjust("1 second")
        yield* socket.entered
        assert.deepStrictEqual(told, ['40/admin,{"count":1}', "3", '40/admin,{"count":2}', "3"])
      })
  )

  it.effect("of the client and is no JSON is the end, as it would be the next time", () =>
    Effect.gen(function* () {
      const { network, socket } = yield* world({ auth: { at: 1n } }, ({ server }) => server.send(open()))
      assert.strictEqual(yield* causeOf(socket), "NotOpened")
      assert.strictEqual(network.attempts, 1)
    })
  )

  it("dies of a TypeError for a namespace that there cannot be", () => {
    for (const namespace of ["admin", "/a,b", "/a?b", `/${"a".repeat(512)}`]) {
      const make = Effect.scoped(SocketClient.make(Effect.never, { namespace }))
      expect(() => Effect.runSync(make)).toThrow(TypeError)
    }
  })
})

describe("events", () => {
  it.effect("that come before anybody listens are kept for the first who does, each name for its own", () =>
    Effect.gen(function* () {
      const { say, socket } = yield* connected()
      for (const name of ["a", "b", "a", "c"]) yield* say(`42["${name}"]`)
      yield* say('420["last"]')
      yield* Stream.runDrain(Stream.take(socket.on("last"), 1))
      assert.deepStrictEqual(names(yield* Stream.runCollect(Stream.take(socket.on("a"), 2))), ["a", "a"])
      assert.deepStrictEqual(names(yield* Stream.runCollect(Stream.take(socket.events, 2))), ["b", "c"])
    })
  )

  it.effect("that nobody ever listens for hold up nothing; those for which there is no room are counted", () =>
    Effect.gen(function* () {
      const { say, socket, told } = yield* connected({ maxUnread: 3 })
      for (let i = 0; i < 5; i++) yield* say('42["a"]')
      yield* say("2")
      assert.strictEqual(yield* told, "3")
      assert.strictEqual(socket.dropped(), 2)
    })
  )

  it.effect("go to everybody who listens", () =>
    Effect.gen(function* () {
      const { say, socket } = yield* connected()
      const first = yield* start(Stream.runHead(socket.events))
      const second = yield* start(Stream.runHead(socket.on("a")))
      yield* say('42["a",1]')
      const heard = Result.all([yield* Fiber.join(first), yield* Fiber.join(second)].map(Result.fromOption(() => 0)))
      assert.deepStrictEqual(
        Result.getOrThrow(heard).map(({ args }) => args),
        [[1], [1]]
      )
    })
  )
})

describe("the surroundings", () => {
  it.effect("put a client away, and bring it back; what it has to say waits", () =>
    Effect.gen(function* () {
      const happenings = yield* Queue.unbounded<Happening>()
      const { network, socket, told } = yield* connected({ surroundings: Stream.fromQueue(happenings) })
      yield* Queue.offer(happenings, "Leave")
      yield* eventually(() => network.open === 0 && Effect.runSync(state(socket)) === "Away")
      const entering = yield* start(socket.entered)
      yield* socket.emit("kept")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([network.attempts, entering.pollUnsafe()], [1, undefined])
      yield* Queue.offer(happenings, "Return")
      assert.strictEqual(yield* told, '42["kept"]')
      assert.deepStrictEqual(yield* Fiber.join(entering), { id: "s", recovered: false })
      assert.strictEqual(network.attempts, 2)
    })
  )

  it.effect("have a client look whether a ping is overdue, which it cannot ask for", () =>
    Effect.gen(function* () {
      const happenings = yield* Queue.unbounded<Happening>()
      const { network, say, socket, told } = yield* connected({ surroundings: Stream.fromQueue(happenings) })
      yield* Queue.offer(happenings, "Check")
      yield* say("2")
      assert.strictEqual(yield* told, "3")
      assert.deepStrictEqual([yield* state(socket), network.attempts], ["Open", 1])
    })
  )
})

describe("the scope of a client", () => {
  it.effect("ends it behind what waits to be said, but for questions, to which nobody would hear the answer", () =>
    Effect.gen(function* () {
      const { gates, open, told } = yield* gated
      const scope = yield* Scope.make()
      const socket = yield* Scope.provide(SocketClient.make(open), scope)
      yield* socket.entered
      gates.isOpen = false
      yield* socket.emit("a", 0)
      yield* eventually(() => gates.waiting.length === 1)
      const asking = yield* start(reasonOf(socket.ask("q", [], { timeout: Infinity })))
      yield* socket.emit("a", 1)
      gates.isOpen = true
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(asking))._tag, "Stopped")
      assert.deepStrictEqual([yield* told, yield* told], ['42["a",0]', '42["a",1]'])
    })
  )

  it.effect("ends it, its streams in order, and leaves nothing, wherever it was", () =>
    Effect.gen(function* () {
      for (const messages of [[], [open()], [open(), '40{"sid":"s"}'], [open(), '40{"sid":"s"}', '42["a"]']]) {
        const scope = yield* Scope.make()
        const { network, socket } = yield* Scope.provide(
          world({}, ({ server }) =>
            Effect.andThen(server.sendAll(messages), Effect.exit(Stream.runDrain(server.messages)))
          ),
          scope
        )
        yield* eventually(() => network.open === 1)
        if (messages.length > 1) yield* socket.entered
        const asking = yield* start(reasonOf(socket.ask("q", [], { timeout: Infinity })))
        const entrances = yield* start(Stream.runCollect(socket.entrances))
        yield* Scope.close(scope, Exit.void)
        assert.deepInclude(yield* Fiber.join(asking), { _tag: "Stopped", cause: undefined })
        assert.strictEqual((yield* Fiber.join(entrances)).length, messages.length > 1 ? 1 : 0)
        yield* Stream.runDrain(socket.events)
        assert.strictEqual(network.open, 0)
      }
    })
  )
})
