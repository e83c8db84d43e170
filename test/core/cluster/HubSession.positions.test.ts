/** Positions and keys, as one client of the hub uses them: what it hears of what was before, and is told of what it said. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { turn } from "../../support/connection.ts"
import { type Heard, session } from "../../support/hubSession.ts"
import { known, pick, publish } from "../../support/hubSaid.ts"

describe("a position", () => {
  it.effect("is told when a topic is subscribed to, with each message, and to who published", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada")
      yield* ada.say(
        publish(1),
        { type: "subscribe", topic: "t" },
        { ...publish(2), id: 1 },
        { type: "subscribe", topic: "t" }
      )
      assert.deepStrictEqual(ada.heard().slice(1).map(pick("type", "position")), [
        ["subscribed", "e:1"],
        ["message", "e:2"],
        ["published", "e:2"],
        ["subscribed", undefined]
      ])
    })
  )

  it.effect("of who comes back is answered by what it missed, in order and once, then by what comes", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const bob = yield* session(hub, "bob")
      yield* bob.say(publish(1), publish(2), { ...publish(0), topic: "other" }, publish(3))
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "subscribe", topic: "t", position: "e:1", id: "back" }, publish(4))
      yield* bob.say(publish(5))
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(1)
          .map(pick("type", "id", "data", "position")),
        [
          ["subscribed", "back", undefined, "e:1"],
          ["message", undefined, 2, "e:2"],
          ["message", undefined, 3, "e:4"],
          ["message", undefined, 4, "e:5"],
          ["message", undefined, 5, "e:6"]
        ]
      )
    })
  )

  it.effect("whose messages are not all kept any more, or of another hub, is answered by a gap and what there is", () =>
    Effect.gen(function* () {
      const hub = yield* known({ maxEntries: 2 })
      const bob = yield* session(hub, "bob")
      yield* bob.say(...[1, 2, 3, 4].map(publish))
      const ada = yield* session(hub, "ada")
      yield* ada.say({ type: "subscribe", topic: "t", position: "e:1" })
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(1)
          .map(pick("type", "topics", "from", "to", "data")),
        [
          ["subscribed", undefined, undefined, undefined, undefined],
          ["gap", ["t"], "e:1", "e:2", undefined],
          ["message", undefined, "bob", undefined, 3],
          ["message", undefined, "bob", undefined, 4]
        ]
      )
      yield* ada.say({ type: "unsubscribe", topic: "t" }, { type: "subscribe", topic: "t", position: "f:9" })
      assert.deepStrictEqual(ada.heard().map(pick("type", "data")), [
        ["unsubscribed", undefined],
        ["subscribed", undefined],
        ["gap", undefined],
        ["message", 3],
        ["message", 4]
      ])
    })
  )

  it.effect("is followed as fast as the network takes it, and by nothing when the client has gone", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const bob = yield* session(hub, "bob")
      yield* bob.say(...Array.from({ length: 100 }, (_, i) => publish(i)))
      const slow = yield* session(hub, "slow", { outboxBytes: 500 })
      slow.far.stall()
      yield* slow.say({ type: "subscribe", topic: "t", position: "e:0" })
      const few = slow.heard().length
      assert.isBelow(few, 20)
      yield* bob.say(publish(100))
      for (let i = 0; i < 100; i++) {
        slow.far.drain()
        yield* turn
      }
      slow.far.drain()
      const data = slow.far.frames.flatMap(({ payload }) => {
        const heard = JSON.parse(new TextDecoder().decode(payload)) as Heard
        return heard.type === "message" ? [heard["data"]] : []
      })
      assert.deepStrictEqual(
        data,
        Array.from({ length: 101 }, (_, i) => i)
      )
      const gone = yield* session(hub, "gone", { outboxBytes: 500 })
      gone.far.stall()
      yield* gone.say({ type: "subscribe", topic: "t", position: "e:0" })
      yield* Fiber.interrupt(gone.fiber)
      assert.strictEqual(hub.members("t"), 1)
    })
  )
})

const keyed = (sequence: number, data: number) => ({
  ...publish(data),
  id: data,
  key: { producer: "p", epoch: 0, sequence }
})

describe("a key", () => {
  it.effect("that is repeated is answered with where the first is, and nobody gets it again", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada")
      const bob = yield* session(hub, "bob")
      yield* bob.say({ type: "subscribe", topic: "t" })
      yield* ada.say(keyed(0, 1), keyed(1, 2), keyed(0, 3))
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(1)
          .map(pick("type", "id", "position", "repeated", "receivers")),
        [
          ["published", 1, "e:1", undefined, 1],
          ["published", 2, "e:2", undefined, 1],
          ["published", 3, "e:1", true, 0]
        ]
      )
      assert.deepStrictEqual(bob.heard().slice(2).map(pick("data")), [[1], [2]])
    })
  )

  it.effect("of an earlier life is stale", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada")
      yield* ada.say({ ...keyed(0, 1), key: { producer: "p", epoch: 1, sequence: 0 } }, keyed(1, 2))
      assert.deepStrictEqual(
        ada
          .heard()
          .slice(1)
          .map(pick("type", "code", "id")),
        [
          ["published", undefined, 1],
          ["error", "stale-key", 2]
        ]
      )
    })
  )

  it.effect("cannot use up those of a node", () =>
    Effect.gen(function* () {
      const hub = yield* known()
      const ada = yield* session(hub, "ada")
      const { node } = hub.broker
      yield* ada.say({ ...publish(1), key: { producer: node, epoch: 9, sequence: 9 }, id: 1 })
      const own = yield* hub.publish("t", "own", { key: { producer: node, epoch: 0, sequence: 0 } })
      assert.isFalse(own.repeated)
    })
  )
})

it.effect("with no echo a publication goes to all but its publisher, who is told so", () =>
  Effect.gen(function* () {
    const hub = yield* known()
    const ada = yield* session(hub, "ada")
    const bob = yield* session(hub, "ada")
    yield* ada.say({ type: "subscribe", topic: "t" })
    yield* bob.say({ type: "subscribe", topic: "t" })
    yield* ada.say({ ...publish(1), echo: false, id: 1 }, { ...publish(2), echo: true })
    assert.deepStrictEqual(
      ada
        .heard()
        .slice(2)
        .map(pick("type", "data", "receivers")),
      [
        ["published", undefined, 1],
        ["message", 2, undefined]
      ]
    )
    assert.deepStrictEqual(bob.heard().slice(2).map(pick("data")), [[1], [2]])
  })
)
