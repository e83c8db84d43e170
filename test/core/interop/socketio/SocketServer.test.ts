/** Clients of Socket.IO on a hub, over sessions of Engine.IO in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as Target from "@millrace/core/cluster/Target"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as Message from "@millrace/core/protocol/Message"
import { start, turn } from "../../../support/connection.ts"
import { ofHub, serve, textsOf } from "../../../support/socketServer.ts"

describe("a client", () => {
  it.effect("is let in under a name of its own, is answered, and may leave and come again", () =>
    Effect.gen(function* () {
      const { connect, log, sockets } = yield* serve()
      const one = yield* connect()
      yield* one.say("0")
      const [hello] = one.took()
      assert.match(String(hello), /^0\{"sid":"[\w-]{22}"\}$/)
      yield* one.say('20["echo",1,{"a":[null]}]', '2["note",1]', '27["nothing"]', '28["unknown"]', '29["toString"]')
      assert.deepStrictEqual(one.took(), ['30[1,{"a":[null]}]', "37[]"])
      assert.deepStrictEqual(log.splice(0), [[1, false]])
      assert.deepStrictEqual([sockets[0]!.isConnected, one.isOver()], [true, false])
      yield* one.say("1")
      assert.deepStrictEqual([yield* sockets[0]!.closed, log, one.isOver()], ["client", ["released"], false])
      yield* one.say("0")
      const [again] = one.took()
      assert.notStrictEqual(again, hello)
    })
  )

  it.effect("says and hears bytes, in events and in answers", () =>
    Effect.gen(function* () {
      const { join } = yield* serve()
      const one = yield* join()
      yield* one.say('51-3["echo",{"b":{"_placeholder":true,"num":0}}]', new Uint8Array([1, 2, 255]))
      assert.deepStrictEqual(textsOf(one.took()), ['61-3[{"b":{"_placeholder":true,"num":0}}]', [1, 2, 255]])
      yield* one.socket.emit("up", new Uint8Array([7]), "x")
      yield* turn
      assert.deepStrictEqual(textsOf(one.took()), ['51-["up",{"_placeholder":true,"num":0},"x"]', [7]])
    })
  )

  it.effect("is in several namespaces over one connection, each with sockets of its own", () =>
    Effect.gen(function* () {
      const { connect, sockets } = yield* serve()
      const one = yield* connect()
      yield* one.say("0", '0/admin?token=1,{"token":"t"}')
      const [main, admin] = one.took()
      assert.match(String(admin), /^0\/admin\?token=1,\{"sid":/)
      assert.notStrictEqual(String(main).slice(1), String(admin).slice(15))
      assert.deepStrictEqual(
        sockets.map(({ auth, namespace, query }) => ({ auth, namespace, query })),
        [
          { auth: {}, namespace: "/", query: undefined },
          { auth: { token: "t" }, namespace: "/admin", query: "token=1" }
        ]
      )
      yield* one.say('2/admin?token=1,5["echo","a"]')
      yield* sockets[1]!.emit("b")
      yield* turn
      assert.deepStrictEqual(one.took(), ['3/admin?token=1,5["a"]', '2/admin?token=1,["b"]'])
      yield* sockets[1]!.disconnect
      yield* one.say('21["echo","still here"]')
      assert.deepStrictEqual(one.took(), ["1/admin?token=1,", '31["still here"]'])
      assert.deepStrictEqual([yield* sockets[1]!.closed, sockets[0]!.isConnected], ["server", true])
    })
  )

  it.effect("is refused with what the program says, and where there is no such namespace, and may try again", () =>
    Effect.gen(function* () {
      const { connect, sockets } = yield* serve()
      const one = yield* connect()
      yield* one.say('0{"token":"nobody"}', '0/admin,{"token":"broken"}', "0/other,", "0/__proto__,", "0/constructor,")
      assert.deepStrictEqual(one.took(), [
        '4{"message":"who are you?","data":{"code":7}}',
        '4/admin,{"message":"Internal server error"}',
        '4/other,{"message":"Invalid namespace"}',
        '4/__proto__,{"message":"Invalid namespace"}',
        '4/constructor,{"message":"Invalid namespace"}'
      ])
      assert.deepStrictEqual([sockets.length, one.isOver()], [0, false])
      yield* one.say("0")
      assert.strictEqual(sockets.length, 1)
    })
  )

  it.effect("finds the namespaces that a function makes of their names", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const { connect } = yield* serve({
        namespaces: (name) =>
          /^\/room-\d+$/.test(name) ? (socket) => Effect.sync(() => void names.push(socket.namespace)) : undefined
      })
      const one = yield* connect()
      yield* one.say("0/room-7,", "0/room-x,", "0")
      assert.deepStrictEqual(names, ["/room-7"])
      assert.deepStrictEqual(one.took().slice(1), [
        '4/room-x,{"message":"Invalid namespace"}',
        '4{"message":"Invalid namespace"}'
      ])
    })
  )

  it.effect("hears that it is in before what was said to it meanwhile", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* serve()
      const one = yield* connect()
      yield* one.say('0{"token":"greeted","room":"lobby"}')
      yield* hub.publish("lobby", '["said",1]')
      yield* turn
      assert.deepStrictEqual(
        one.took().map((text) => String(text).replace(/"sid":"[^"]*"/, "")),
        ["0{}", '2["hello"]', '2["said",1]']
      )
    })
  )

  it.effect("is cut when it is let in nowhere for 45 seconds, and not when it was", () =>
    Effect.gen(function* () {
      const { connect, join } = yield* serve()
      const idle = yield* connect()
      const refused = yield* connect()
      yield* refused.say('0{"token":"nobody"}')
      const known = yield* join()
      // Pings are answered by clients; these answer none, and are given up after 45 s as well.
      yield* known.say("1")
      const before = [idle.isOver(), refused.isOver(), known.isOver()]
      yield* TestClock.adjust("44 seconds")
      const then = [idle.isOver(), refused.isOver(), known.isOver()]
      assert.deepStrictEqual(
        [before, then],
        [
          [false, false, false],
          [false, false, false]
        ]
      )
      yield* idle.client.send("3")
      yield* refused.client.send("3")
      yield* known.client.send("3")
      yield* turn
      yield* TestClock.adjust("3 seconds")
      yield* turn
      assert.deepStrictEqual([idle.isOver(), refused.isOver(), known.isOver()], [true, true, false])
    })
  )
})

describe("what a client may not say", () => {
  it.effect.each([
    ["no packet", ["x"]],
    ["nothing", [""]],
    ["an event without data", ["2"]],
    ["an event without a name", ["2[]"]],
    ["an id with a space", ['2 1["a"]']],
    ["an id that is too large", ['2100000000000000000000["a"]']],
    ["no attachments", ['50-["a"]']],
    ["a number of attachments with an exponent", ['51e1-["a"]']],
    ["attachments that are counted with a space", ['5 1-["a"]']],
    ["attachments that are counted in hexadecimal", ['50x1-["a"]']],
    ["more attachments than ten", ['511-["a"]']],
    ["a placeholder between two", ['51-["a",{"_placeholder":true,"num":0.5}]']],
    ["two placeholders for one", ['51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]']],
    ["an attachment that nobody asks for", ['51-["a"]']],
    ["an attachment of nothing", [new Uint8Array([1])]],
    ["text in place of an attachment", ['51-["a",{"_placeholder":true,"num":0}]', '2["a"]']],
    ["an ack without an id", ["3[]"]],
    ["an ack without arguments", ["31"]],
    ["a reserved name", ['2["disconnect"]']],
    ["another reserved name", ['2["__proto__"]']],
    ["a reserved key", ['2["a",{"__proto__":1}]']],
    ["a number that is none", ['2["a",1e400]']],
    ["a refusal", ['4{"message":"no"}']],
    ["a namespace again", ["0"]],
    ["an event in a namespace that it is not in", ['2/admin,["a"]']],
    ["goodbye to a namespace that it is not in", ["1/admin,"]],
    ["a namespace that is too long", [`0/${"x".repeat(600)},`]]
  ] as const)("ends its connection and nobody else's: %s", ([, packets]) =>
    Effect.gen(function* () {
      const { join, log } = yield* serve()
      const other = yield* join()
      const one = yield* join()
      yield* one.say('2["note",1]', ...packets)
      yield* turn
      assert.deepStrictEqual(
        [log, one.isOver(), yield* one.socket.closed],
        [[[1, false], "released"], true, "violation"]
      )
      yield* other.say('20["echo"]')
      assert.deepStrictEqual(other.took(), ["30[]"])
    })
  )

  it.effect("may be any name that is not reserved, and is no other thing for that", () =>
    Effect.gen(function* () {
      const { join, log } = yield* serve()
      const one = yield* join()
      yield* one.say('2["error",1]', '2["hasOwnProperty"]', "2[7]", '2["valueOf"]', '2["note","still"]')
      assert.deepStrictEqual([log, one.isOver()], [[["still", false]], false])
    })
  )

  it.effect("counts: no more namespaces at a time than were agreed", () =>
    Effect.gen(function* () {
      const { connect } = yield* serve({ namespaces: () => () => Effect.void, maxNamespaces: 3 })
      const one = yield* connect()
      yield* one.say("0/a,", "0/b,", "0/c,")
      assert.strictEqual(one.isOver(), false)
      yield* one.say("1/a,", "0/d,")
      assert.strictEqual(one.isOver(), false)
      yield* one.say("0/e,")
      assert.strictEqual(one.isOver(), true)
    })
  )
})

describe("a client that is asked", () => {
  it.effect("answers once, to what it was asked", () =>
    Effect.gen(function* () {
      const { join } = yield* serve()
      const one = yield* join()
      const asking = yield* start(one.socket.ask("question", ["a"]))
      yield* turn
      assert.deepStrictEqual(one.took(), ['20["question","a"]'])
      yield* one.say("39[0]", '3/admin,0["b"]'.slice(0, 0) + '30["a"]', '30["again"]', '31["of nobody"]')
      assert.deepStrictEqual([yield* Fiber.join(asking), one.isOver()], [["a"], false])
    })
  )

  it.effect("may be late, gone, or have too much to answer", () =>
    Effect.gen(function* () {
      const { join } = yield* serve({ maxAsked: 2 })
      const one = yield* join()
      const because = (timeout: number) =>
        start(
          Effect.match(one.socket.ask("q", [], { timeout }), {
            onSuccess: () => "answered",
            onFailure: (error) => (error._tag === "Unanswered" ? error.because : error._tag)
          })
        )
      const late = yield* because(1_000)
      const gone = yield* because(20_000)
      assert.strictEqual(yield* Fiber.join(yield* because(1)), "TooMany")
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* Fiber.join(late), "Late")
      yield* one.say('30["too late"]')
      yield* one.say("1")
      assert.strictEqual(yield* Fiber.join(gone), "Gone")
      assert.strictEqual(yield* Fiber.join(yield* because(1)), "Gone")
      const bad = yield* Effect.result(one.socket.emit("connect"))
      assert.deepStrictEqual(Result.isFailure(bad) && bad.failure._tag, "SocketClosed")
    })
  )

  it.effect("may be asked from within a listener, although its next words wait for that", () =>
    Effect.gen(function* () {
      const { join, log } = yield* serve()
      const one = yield* join()
      yield* one.say('25["ask"]', '2["note","after"]')
      assert.deepStrictEqual([one.took(), log], [['20["question",1]'], []])
      yield* one.say('30["yes"]')
      assert.deepStrictEqual([one.took(), log], [['35["heard","yes"]'], [["after", false]]])
    })
  )
})

describe("listeners", () => {
  it.effect("are run one after the other, and a client that says more than may wait is not read", () =>
    Effect.gen(function* () {
      const { join, log } = yield* serve({ maxWaiting: 2 })
      const one = yield* join()
      yield* one.say('20["later",1000]', '2["note",1]', '2["note",2]', '2["note",3]', '2["note",4]', '2["note",5]')
      assert.deepStrictEqual(log, [])
      // The third that waits is taken, and no more.
      yield* one.say("1")
      assert.strictEqual(one.socket.isConnected, true)
      yield* TestClock.adjust(1_000)
      yield* turn
      assert.deepStrictEqual(log, [1, 2, 3, 4, 5].map((n) => [n, false] as unknown).concat(["released"]))
      assert.deepStrictEqual(one.took(), ['30["done"]'])
    })
  )

  it.effect("that fail or throw are logged, answer nothing, and end nothing", () =>
    Effect.gen(function* () {
      const { join } = yield* serve()
      const one = yield* join()
      yield* one.say('20["fail"]', '20["break"]', '21["echo"]')
      assert.deepStrictEqual([one.took(), one.isOver()], [["31[]"], false])
    })
  )

  it.effect("are interrupted with their socket", () =>
    Effect.gen(function* () {
      const { join, log } = yield* serve()
      const one = yield* join()
      yield* one.say('20["wait"]', '2["note",1]')
      one.cut()
      yield* turn
      assert.deepStrictEqual([log, yield* one.socket.closed], [["released"], "transport"])
    })
  )
})

describe("a client that nobody decides on", () => {
  it.effect("leaves nothing behind when it goes", () =>
    Effect.gen(function* () {
      const { connect, hub, io, log } = yield* serve()
      const one = yield* connect()
      yield* one.say('0{"token":"waits"}')
      assert.strictEqual(io.of("/").sockets.size, 1)
      one.cut()
      yield* turn
      assert.deepStrictEqual([log, io.of("/").sockets.size, hub.topics()], [["released"], 0, 0])
    })
  )
})

describe("a listener", () => {
  it.effect("may end its own socket, and all is released", () =>
    Effect.gen(function* () {
      const { join, log } = yield* serve()
      const one = yield* join()
      yield* one.say('2["leave"]')
      yield* TestClock.adjust(1_000)
      yield* turn
      assert.deepStrictEqual([log, yield* one.socket.closed, one.took()], [["released"], "server", ["1"]])
    })
  )
})

describe("rooms", () => {
  it.effect("are topics: what is published there is an event, and what is said there is published", () =>
    Effect.gen(function* () {
      const { hub, io, join } = yield* serve()
      const one = yield* join({ room: "lobby" })
      const admin = yield* join({ room: "lobby" }, "/admin")
      yield* hub.publish("lobby", ofHub("lobby", ["chat", { n: 1.5 }]))
      yield* hub.publish("lobby", ofHub("lobby", { any: "thing" }))
      yield* hub.publish("lobby", "no JSON")
      yield* hub.publish("lobby", '["disconnect"]')
      yield* hub.publish("lobby", "[1]")
      yield* hub.publish("lobby", new Uint8Array([9]))
      yield* hub.publish("lobby", JsonCodec.json.encode(["up", new Uint8Array([1]), "x"]))
      yield* hub.publish("/admin#lobby", '["of admins"]')
      yield* turn
      assert.deepStrictEqual(textsOf(one.took()), [
        '2["chat",{"n":1.5}]',
        '2["message",{"any":"thing"}]',
        '2["message","no JSON"]',
        '2["message",["disconnect"]]',
        '2["message",[1]]',
        '51-["message",{"_placeholder":true,"num":0}]',
        [9],
        '51-["up",{"_placeholder":true,"num":0},"x"]',
        [1]
      ])
      assert.deepStrictEqual(admin.took(), ['2/admin,["of admins"]'])
      yield* io.of("/").to("lobby").emit("said", 1)
      yield* io
        .of("/admin")
        .to("lobby")
        .emit("said", new Uint8Array([2]))
      const { entries } = yield* hub.since(["lobby", "/admin#lobby"], undefined)
      const [text, bytes] = entries.slice(-2).map(({ value }) => value.message)
      assert.deepStrictEqual((JSON.parse((text as Message.Text).text) as { data: unknown }).data, ["said", 1])
      assert.deepStrictEqual(JsonCodec.json.decode(bytes!), Result.succeed(["said", new Uint8Array([2])]))
    })
  )

  it.effect("are heard by others, and not by who says it, nor by who has left", () =>
    Effect.gen(function* () {
      const { hub, io, join } = yield* serve()
      const [ada, bob, eve] = [yield* join({ room: "r" }), yield* join({ room: "r" }), yield* join({ room: "r" })]
      assert.deepStrictEqual(ada.socket.rooms, ["r"])
      yield* eve.socket.leave("r")
      yield* ada.say('2["say","r","hi"]')
      assert.deepStrictEqual(
        [ada, bob, eve].map(({ took }) => took()),
        [[], ['2["said","hi"]'], []]
      )
      yield* ada.socket.others.emit("all")
      yield* io.of("/").emit("everybody")
      yield* turn
      assert.deepStrictEqual(
        [ada, bob, eve].map(({ took }) => took()),
        [['2["everybody"]'], ['2["all"]', '2["everybody"]'], ['2["all"]', '2["everybody"]']]
      )
      yield* io.of("/").to("r").except(Target.member(ada.sid)).emit("but ada")
      yield* io.of("/").to(Target.member(eve.sid), "r").emit("all three, once")
      yield* turn
      assert.deepStrictEqual(
        [ada, bob, eve].map(({ took }) => took()),
        [['2["all three, once"]'], ['2["but ada"]', '2["all three, once"]'], ['2["all three, once"]']]
      )
      yield* hub.kick(Target.member(ada.sid), "r", "no")
      assert.deepStrictEqual([ada.socket.rooms, hub.members("r")], [[], 1])
      yield* bob.say("1")
      assert.strictEqual(hub.topics(), 1)
    })
  )

  it.effect("can be asked, and who does not answer is named", () =>
    Effect.gen(function* () {
      const { io, join } = yield* serve()
      const [ada, bob] = [yield* join({ room: "r" }), yield* join({ room: "r" })]
      yield* join()
      const asking = yield* start(io.of("/").to("r").ask("q", [], { timeout: 1_000 }))
      yield* turn
      yield* ada.say("30[1]")
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(yield* Fiber.join(asking), {
        answers: [{ id: ada.sid, args: [1] }],
        silent: [bob.sid],
        unheard: []
      })
    })
  )
})
