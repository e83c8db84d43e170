/** One client of the hub, over connections in memory: what it hears, in which order, and what is left when it goes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubSession from "@millrace/core/cluster/HubSession"
import type * as Limits from "@millrace/core/connection/Limits"
import { open, reasonOf, start, toward, turn } from "../../support/connection.ts"
import * as frames from "../../support/frames.ts"
import { prototypeNames } from "../../support/handshake.ts"
import { utf8 } from "../../support/wire.ts"

type Heard = { readonly type: string; readonly [name: string]: unknown }

/** A session whose client is the test. */
const session = (hub: Hub.Hub["Service"], client: string, limits?: Partial<Limits.Limits>) =>
  Effect.gen(function* () {
    const { far, connection } = yield* open("server", limits)
    const fiber = yield* start(reasonOf(Effect.provideService(HubSession.serve(connection, { client }), Hub.Hub, hub)))
    yield* turn
    let read = 0
    return {
      far,
      fiber,
      connection,
      /** Says several messages in one chunk. */
      say: (...messages: ReadonlyArray<object | string>) => {
        const texts = messages.map((message) => (typeof message === "string" ? message : JSON.stringify(message)))
        far.push(frames.concat(texts.map((text) => toward("server", frames.frame(1, utf8(text))))))
        return turn
      },
      /** What it has heard since it was asked last. */
      heard: (): ReadonlyArray<Heard> => {
        const all = far.frames.filter(({ opcode }) => opcode === 1)
        const news = all.slice(read).map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)) as Heard)
        read = all.length
        return news
      }
    }
  })

/** A publication to the topic `t`. */
const publish = (data: number) => ({ type: "publish", topic: "t", data })

const close = (code: number) => toward("server", frames.frame(8, Uint8Array.of(code >> 8, code & 255)))

describe("a session", () => {
  it.effect("begins with a welcome, before anything that was said", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "ping", id: 1 })
      assert.deepStrictEqual(ada.heard(), [
        { type: "welcome", client: "ada", protocol: 1 },
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

  it.effect("publishes with the client's name and the hub's time, and data as it was written", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const ada = yield* session(hub, 'a"da')
      const bob = yield* session(hub, "bob")
      yield* bob.say({ type: "subscribe", topic: "t" })
      yield* TestClock.adjust(1_234)
      yield* ada.say('{"type":"publish","topic":"t","data":[1e400,  12345678901234567890],"from":"bob","time":0}')
      const text = new TextDecoder().decode(bob.far.frames.at(-1)!.payload)
      assert.strictEqual(
        text,
        '{"type":"message","topic":"t","data":[1e400,  12345678901234567890],"from":"a\\"da","time":1234}'
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

  it.effect("whose network takes nothing joins when `subscribed` has gone out, and misses nothing from then on", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "DropNewest" } })
      const ada = yield* session(hub, "ada", { outboxBytes: 10 })
      ada.far.stall()
      yield* ada.say({ type: "ping" }) // fills the outbox
      yield* ada.say({ type: "subscribe", topic: "t" })
      assert.strictEqual(hub.members("t"), 0)
      yield* hub.publish("t", '{"type":"message","data":"too early"}')
      ada.far.drain()
      yield* turn
      assert.strictEqual(hub.members("t"), 1)
      yield* hub.publish("t", '{"type":"message","data":"in time"}')
      yield* turn
      assert.deepStrictEqual(
        ada.heard().map(({ type, data }) => data ?? type),
        ["welcome", "pong", "subscribed", "in time"]
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
