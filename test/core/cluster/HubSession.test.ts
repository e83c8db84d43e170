/** One client of the hub, over connections in memory: what it hears, in which order, and what is left when it goes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { BrokerError, Rejected, StaleKey, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Hub from "@millrace/core/cluster/Hub"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Target from "@millrace/core/cluster/Target"
import { toward, turn } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { prototypeNames } from "../../support/handshake.ts"
import { session } from "../../support/hubSession.ts"
import { utf8 } from "../../support/wire.ts"
import { known, pick, publish, to } from "../../support/hubSaid.ts"

const close = (code: number) => toward("server", frames.frame(8, Uint8Array.of(code >> 8, code & 255)))

describe("a session", () => {
  it.effect("begins with a welcome, before anything that was said", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "ping", id: 1 })
      assert.deepStrictEqual(ada.heard(), [
        { type: "welcome", client: "ada", protocol: 1, node: hub.broker.node },
        { type: "pong", id: 1 }
      ])
    })
  )

  it.effect("answers in the order of what was said, in one write for what came at once", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      const writes = ada.far.writes.length
      yield* ada.say(
        { type: "ping", id: "a" },
        "nonsense",
        { type: "subscribe", topic: "t", id: "b" },
        { type: "unsubscribe", topic: "t", id: "c" },
        { type: "shout", id: "d" }
      )
      assert.deepStrictEqual(
        ada.heard().map(({ type, id, code }) => code ?? id ?? type),
        ["welcome", "a", "bad-json", "b", "c", "unknown-type"]
      )
      assert.strictEqual(ada.far.writes.length, writes + 1)
    })
  )

  it.effect("has several publications on their way to a broker elsewhere, in their order, and answers in it", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryBroker.make()
      const begun: Array<string> = []
      const delays = [3, 2, 1, 1, 1]
      const elsewhere: typeof memory = {
        ...memory,
        isLocal: false,
        publish: (topic, parcel) =>
          Effect.suspend(() => {
            begun.push(topic)
            return Effect.delay(memory.publish(topic, parcel), `${delays[begun.length - 1]!} seconds`)
          })
      }
      const ada = yield* session(yield* Hub.on(elsewhere), "ada")
      yield* ada.say(to("a"), to("b"), to("c"), { type: "ping", id: "p" }, to("d"), "nonsense", to("e"))
      const answers = () => ada.heard().map(({ type, id, code }) => code ?? id ?? type)
      assert.deepStrictEqual([begun, answers()], [["a", "b", "c"], ["welcome"]])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([begun, answers()], [["a", "b", "c"], []])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        [begun, answers()],
        [
          ["a", "b", "c", "d"],
          ["a", "b", "c", "p"]
        ]
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(answers(), ["d", "bad-json", "e"])
    })
  )

  it.effect("has no more than 64 publications on their way at a time", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryBroker.make()
      let begun = 0
      const slowly: typeof memory.publish = (topic, parcel) =>
        Effect.suspend(() => {
          begun++
          return Effect.delay(memory.publish(topic, parcel), "1 second")
        })
      const ada = yield* session(yield* Hub.on({ ...memory, isLocal: false, publish: slowly }), "ada")
      yield* ada.say(...Array.from({ length: 100 }, (_, i) => publish(i)))
      assert.strictEqual(begun, 64)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(begun, 100)
    })
  )

  it.effect("publishes with the client's name and the hub's time, and data as it was written", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "epoch" } })
      const ada = yield* session(hub, 'a"da')
      const bob = yield* session(hub, "bob")
      yield* bob.say({ type: "subscribe", topic: "t" })
      yield* TestClock.adjust(1_234)
      yield* ada.say('{"type":"publish","topic":"t","data":[1e400,  12345678901234567890],"from":"bob","time":0}')
      const text = new TextDecoder().decode(bob.far.frames.at(-1)!.payload)
      assert.strictEqual(
        text,
        '{"type":"message","topic":"t","data":[1e400,  12345678901234567890],"from":"a\\"da","time":1234,"position":"epoch:1"}'
      )
      // Nothing is said to who did not ask.
      assert.deepStrictEqual(
        ada.heard().map(({ type }) => type),
        ["welcome"]
      )
    })
  )

  it.effect("tells a publisher how many connections the message was handed to", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
      const ada = yield* session(hub, "ada")
      const slow = yield* session(hub, "slow", { outboxBytes: 200 })
      yield* ada.say({ type: "subscribe", topic: "t" })
      yield* slow.say({ type: "subscribe", topic: "t" })
      slow.far.stall()
      for (let id = 0; id < 3; id++) yield* ada.say({ type: "publish", topic: "t", data: "x".repeat(150), id })
      const counts = ada.heard().flatMap(({ type, receivers }) => (type === "published" ? [receivers] : []))
      assert.deepStrictEqual(counts, [2, 1, 1])
      assert.strictEqual(hub.counters().dropped, 2)
    })
  )

  it.effect("hears no message of a topic before `subscribed`, nor after `unsubscribed`", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say(
        publish(1),
        { type: "subscribe", topic: "t" },
        publish(2),
        { type: "unsubscribe", topic: "t" },
        publish(3),
        { type: "subscribe", topic: "t" },
        publish(4)
      )
      assert.deepStrictEqual(
        ada.heard().map(({ type, data }) => data ?? type),
        ["welcome", "subscribed", 2, "unsubscribed", "subscribed", 4]
      )
    })
  )

  it.effect(
    "whose network takes nothing joins when `subscribed` has gone out, and misses nothing behind where it begins",
    () =>
      Effect.gen(function* () {
        const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
        const ada = yield* session(hub, "ada", { outboxBytes: 10 })
        ada.far.stall()
        yield* ada.say({ type: "ping" }) // fills the outbox
        yield* ada.say({ type: "subscribe", topic: "t" })
        assert.strictEqual(hub.members("t"), 0)
        yield* hub.publish("t", '{"type":"message","data":"meanwhile"}')
        ada.far.drain()
        for (let i = 0; i < 3; i++) yield* turn
        assert.strictEqual(hub.members("t"), 1)
        yield* hub.publish("t", '{"type":"message","data":"in time"}')
        yield* turn
        assert.deepStrictEqual(
          ada.heard().map(({ type, data }) => data ?? type),
          ["welcome", "pong", "subscribed", "meanwhile", "in time"]
        )
      })
  )

  it.effect("subscribes to a topic once, however often it says so", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say(
        { type: "subscribe", topic: "t", id: 1 },
        { type: "subscribe", topic: "t", id: 2 },
        { type: "publish", topic: "t", data: 0 },
        { type: "unsubscribe", topic: "t", id: 3 },
        { type: "unsubscribe", topic: "t", id: 4 },
        { type: "publish", topic: "t", data: 0 }
      )
      assert.deepStrictEqual(
        ada.heard().map(({ type, id }) => id ?? type),
        ["welcome", 1, 2, "message", 3, 4]
      )
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect(`is refused a topic beyond ${HubMessage.maxTopics}, until it leaves one`, () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say(...Array.from({ length: HubMessage.maxTopics }, (_, i) => ({ type: "subscribe", topic: `${i}` })))
      assert.strictEqual(ada.heard().length, HubMessage.maxTopics + 1)
      yield* ada.say(
        { type: "subscribe", topic: "more", id: 1 },
        { type: "subscribe", topic: "0", id: 2 },
        { type: "unsubscribe", topic: "not there", id: 3 },
        { type: "subscribe", topic: "more", id: 4 },
        { type: "unsubscribe", topic: "0", id: 5 },
        { type: "subscribe", topic: "more", id: 6 }
      )
      assert.deepStrictEqual(
        ada.heard().map(({ type, id, code }) => [code ?? type, id]),
        [
          ["too-many-topics", 1],
          ["subscribed", 2],
          ["unsubscribed", 3],
          ["too-many-topics", 4],
          ["unsubscribed", 5],
          ["subscribed", 6]
        ]
      )
      assert.strictEqual(hub.topics(), HubMessage.maxTopics)
    })
  )

  it.effect("may have topics that are named like properties of every object", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "__proto__")
      yield* ada.say(
        ...prototypeNames.flatMap((topic) => [
          { type: "publish", topic, data: "nobody", id: topic },
          { type: "subscribe", topic },
          { type: "publish", topic, data: topic }
        ])
      )
      const expected = prototypeNames.flatMap((topic) => [
        ["published", topic, 0],
        ["subscribed", topic, undefined],
        ["message", topic, undefined]
      ])
      assert.deepStrictEqual(
        ada.heard().map(({ type, topic, receivers }) => [type, topic, receivers]),
        [["welcome", undefined, undefined], ...expected]
      )
    })
  )

  it.effect("refuses a Binary message, and goes on", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      ada.far.push(toward("server", frames.frame(2, utf8('{"type":"ping"}'))))
      yield* ada.say({ type: "ping" })
      assert.deepStrictEqual(
        ada.heard().map(({ type, code }) => code ?? type),
        ["welcome", "binary", "pong"]
      )
    })
  )
})

describe("the end of a session", () => {
  it.effect.each([
    ["a Close with 1000", "succeeded", (far: { push: (bytes: Uint8Array) => void }) => far.push(close(1000))],
    ["a Close with 4000", "ConnectionLost", (far: { push: (bytes: Uint8Array) => void }) => far.push(close(4000))],
    ["the network", "ConnectionLost", (far: { hangUp: () => void }) => far.hangUp()],
    [
      "an unmasked frame",
      "ProtocolViolation",
      (far: { push: (bytes: Uint8Array) => void }) => far.push(Uint8Array.of(0x81, 0))
    ]
  ] as const)("by %s is %s, and leaves all topics", ([, outcome, end]) =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      const bob = yield* session(hub, "bob")
      yield* bob.say({ type: "subscribe", topic: "a" })
      yield* ada.say({ type: "subscribe", topic: "a" }, { type: "subscribe", topic: "b" })
      assert.deepStrictEqual([hub.members("a"), hub.members("b")], [2, 1])
      end(ada.far)
      assert.strictEqual(yield* Fiber.join(ada.fiber), outcome)
      assert.deepStrictEqual([hub.members("a"), hub.members("b"), hub.topics()], [1, 0, 1])
    })
  )

  it.effect("by interruption leaves all topics", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "subscribe", topic: "a" })
      yield* Fiber.interrupt(ada.fiber)
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("of a client that was too slow leaves all topics, and its other topics give it nothing more", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const slow = yield* session(hub, "slow", { outboxBytes: 300 })
      yield* slow.say({ type: "subscribe", topic: "a" }, { type: "subscribe", topic: "b" })
      slow.far.stall()
      assert.strictEqual((yield* hub.publish("a", "x".repeat(400))).receivers, 1)
      yield* turn
      assert.strictEqual((yield* hub.publish("a", "too much")).receivers, 0)
      assert.strictEqual((yield* hub.publish("b", "closing")).receivers, 0)
      yield* turn
      const last = slow.far.frames.at(-1)!
      assert.deepStrictEqual([last.opcode, ...last.payload.subarray(0, 2)], [8, 0x03, 0xf5])
      // The peer never answers: `closeTimeout` ends it.
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(yield* Fiber.join(slow.fiber), "ConnectionLost")
      assert.strictEqual(hub.topics(), 0)
      assert.strictEqual(hub.counters().disconnected, 1)
    })
  )
})

describe("who is taken out of a topic", () => {
  it.effect("is told, gets no more of it, and may come again", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada", undefined, { user: "u" })
      yield* ada.say({ type: "subscribe", topic: "t" })
      assert.strictEqual(yield* hub.kick(Target.user("u"), "t", "rude"), 1)
      yield* ada.say(publish(1), { type: "subscribe", topic: "t" }, publish(2))
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(2)
          .map(pick("type", "reason", "message", "data")),
        [
          ["unsubscribed", "kicked", "rude", undefined],
          ["subscribed", undefined, undefined, undefined],
          ["message", undefined, undefined, 2]
        ]
      )
    })
  )

  it.effect("and put into another is told of both, and leaves that one with the others", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada", undefined, { user: "u" })
      yield* ada.say({ type: "subscribe", topic: "t" })
      assert.strictEqual(yield* hub.move(Target.user("u"), "t", "attic"), 1)
      yield* ada.say(publish(1), { ...publish(2), topic: "attic" })
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(2)
          .map(pick("type", "from", "to", "position", "data")),
        [
          ["moved", "t", "attic", "e:0", undefined],
          ["message", "ada", undefined, "e:2", 2]
        ]
      )
      ada.far.hangUp()
      yield* Fiber.join(ada.fiber)
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("while the network takes nothing is out at once, and told of it later, once", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada", { outboxBytes: 40 }, { user: "u" })
      yield* ada.say({ type: "subscribe", topic: "t" })
      ada.far.stall()
      yield* ada.say({ type: "ping" })
      yield* hub.kick(Target.user("u"), "t", "rude")
      assert.strictEqual(hub.members("t"), 0)
      ada.far.drain()
      yield* turn
      yield* ada.say({ type: "subscribe", topic: "t" })
      yield* ada.say(publish(1))
      assert.deepStrictEqual(ada.heard().slice(2).map(pick("type")), [
        ["pong"],
        ["unsubscribed"],
        ["subscribed"],
        ["message"]
      ])
    })
  )
})

it.effect("who was taken out, and subscribes before there was room to say so, is in", () =>
  Effect.gen(function* () {
    const hub = yield* known()
    const ada = yield* session(hub, "ada", { outboxBytes: 40 }, { user: "u" })
    yield* ada.say({ type: "subscribe", topic: "t" })
    ada.far.stall()
    yield* ada.say({ type: "ping" })
    yield* hub.kick(Target.user("u"), "t", "rude")
    yield* ada.say({ type: "subscribe", topic: "t" })
    for (let i = 0; i < 5; i++) {
      ada.far.drain()
      yield* turn
    }
    assert.strictEqual(hub.members("t"), 1)
    yield* ada.say(publish(1))
    assert.deepStrictEqual(ada.heard().slice(-1).map(pick("type", "data")), [["message", 1]])
  })
)

it.effect("who is interrupted on the way in is in no topic", () =>
  Effect.gen(function* () {
    const hub = yield* known()
    const enter: Hub.Hub["Service"]["enter"] = ([topic = ""], member) =>
      Effect.andThen(
        Effect.sync(() => hub.joinUnsafe(topic, member)),
        Effect.interrupt
      )
    const ada = yield* session({ ...hub, enter }, "ada")
    yield* ada.say({ type: "subscribe", topic: "t" })
    assert.strictEqual(hub.topics(), 0)
  })
)

describe("who may", () => {
  it.effect("join and publish is asked for each topic, with who the client is", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const asked: Array<unknown> = []
      const only = (doing: string, ok: string) => (client: { readonly name: string }, topic: string) => {
        asked.push([doing, client.name, topic])
        return topic === ok ? Effect.void : Effect.fail(new Rejection({ message: `only ${ok}` }))
      }
      const authorize = { join: only("join", "t"), publish: only("publish", "other") }
      const ada = yield* session(hub, "ada", undefined, { authorize, user: "u", request: { cookie: "c" } })
      yield* ada.say(
        { type: "subscribe", topic: "other", id: 1 },
        { type: "subscribe", topic: "t", id: 2 },
        { ...publish(0), id: 3 },
        { ...publish(0), topic: "other", id: 4 },
        { type: "unsubscribe", topic: "t", id: 5 }
      )
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(1)
          .map(pick("type", "id", "code", "message")),
        [
          ["error", 1, "forbidden", "only t"],
          ["subscribed", 2, undefined, undefined],
          ["error", 3, "forbidden", "only other"],
          ["published", 4, undefined, undefined],
          ["unsubscribed", 5, undefined, undefined]
        ]
      )
      assert.deepStrictEqual(asked, [
        ["join", "ada", "other"],
        ["join", "ada", "t"],
        ["publish", "ada", "t"],
        ["publish", "ada", "other"]
      ])
    })
  )
})

describe("a broker that fails", () => {
  const reasons = [
    [new Unavailable({ outcome: "Unknown", cause: "ECONNREFUSED 10.0.0.1" }), "unavailable"],
    [new Rejected({ cause: "WRONGPASS" }), "refused"],
    [new TooLarge({ length: 10, limit: 5 }), "too-large"],
    [new StaleKey({ key: { producer: "client:p", epoch: 0, sequence: 0 } }), "stale-key"]
  ] as const

  it.effect.each(reasons)("with %s is answered with %s, and the session goes on", ([reason, code]) =>
    Effect.gen(function* () {
      const memory = yield* MemoryBroker.make()
      const failed = Effect.fail(new BrokerError({ reason }))
      const hub = yield* Hub.on({
        ...memory,
        attach: (subscriber) => Effect.map(memory.attach(subscriber), (to) => ({ ...to, subscribe: () => failed })),
        publish: () => failed
      })
      const ada = yield* session(hub, "ada")
      yield* ada.say({ ...publish(1), id: 1 }, publish(2), { type: "subscribe", topic: "t", id: 3 }, { type: "ping" })
      // It is not taken for one that is in.
      yield* ada.say({ type: "subscribe", topic: "t", id: 4 })
      const heard = ada.heard().slice(1)
      assert.deepStrictEqual(heard.map(pick("type", "code", "id")), [
        ["error", code, 1],
        ["error", code, undefined],
        ["error", code, 3],
        ["pong", undefined, undefined],
        ["error", code, 4]
      ])
      // Nothing of the operator's is for clients.
      assert.notMatch(JSON.stringify(heard), /10\.0\.0\.1|WRONGPASS|client:/)
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("says to whom a publication was written all the same", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryBroker.make()
      const reason = new Unavailable({ outcome: "NotPublished", cause: "down" })
      const publishing = Effect.fail(new BrokerError({ reason }))
      const hub = yield* Hub.on({ ...memory, isLocal: false, publish: () => publishing })
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "subscribe", topic: "t" }, { ...publish(1), id: 1 })
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(2)
          .map(pick("type", "code", "receivers", "data", "position")),
        [
          ["message", undefined, undefined, 1, undefined],
          ["error", "unavailable", 1, undefined, undefined]
        ]
      )
    })
  )
})

it.effect("a client that joins and leaves a hundred thousand times leaves nothing behind", () =>
  Effect.gen(function* () {
    const hub = yield* known()
    const ada = yield* session(hub, "ada", { outboxBytes: 1e9 })
    for (let i = 0; i < 1_000; i++) {
      const some = Array.from({ length: 100 }, (_, n) => `${i}-${n}`)
      yield* ada.say(...some.map((topic) => ({ type: "subscribe", topic })))
      assert.strictEqual(hub.topics(), 100)
      yield* ada.say(...some.map((topic) => ({ type: "unsubscribe", topic })))
    }
    assert.strictEqual(hub.topics(), 0)
  })
)
