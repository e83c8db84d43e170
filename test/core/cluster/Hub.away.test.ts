/** While the broker is away: who is here gets what is said here, and nothing twice when it gets its place after all. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Target from "@millrace/core/cluster/Target"
import { start, turn } from "../../support/connection.ts"
import { Listener, remote, remoteBroker } from "../../support/members.ts"

const key = { producer: "me", epoch: 0, sequence: 0 }

describe("publish", () => {
  it.effect("fails, says to how many it was delivered here, and counts nobody who has left", () =>
    Effect.gen(function* () {
      const { broker, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      const [one, two] = [new Listener(), new Listener(Number.POSITIVE_INFINITY, { id: "two" })]
      for (const each of [one, two]) hub.joinUnsafe("a", each)
      goAway()
      const error = yield* Effect.flip(hub.publish("a", "x", { except: ["two"] }))
      assert.deepStrictEqual([error.reason._tag, error.receivers], ["Unavailable", 1])
      assert.deepStrictEqual([one.texts, two.texts], [["x"], []])
      assert.strictEqual((yield* Effect.flip(hub.publish(Target.topic("a"), "y"))).receivers, 2)
    })
  )

  it.effect("again with its key gives it to those who came in between, and tells the others its place", () =>
    Effect.gen(function* () {
      const { broker, comeBack, goAway } = yield* remoteBroker({ epoch: "e" })
      const hub = yield* Hub.on(broker)
      const [one, late, gone] = [new Listener(), new Listener(), new Listener()]
      hub.joinUnsafe("a", one)
      hub.joinUnsafe("a", gone)
      goAway()
      yield* Effect.flip(hub.publish("a", "x", { key }))
      // Nobody hears it twice, however often it is tried.
      assert.strictEqual((yield* Effect.flip(hub.publish("a", "x", { key }))).receivers, 0)
      hub.joinUnsafe("a", late)
      hub.leaveUnsafe("a", gone)
      hub.joinUnsafe("a", gone)
      comeBack()
      assert.isFalse((yield* hub.publish("a", "x", { key })).repeated)
      assert.isTrue((yield* hub.publish("a", "x", { key })).repeated)
      assert.deepStrictEqual(one.heard, [
        { _tag: "Message", topic: "a", text: "x", at: undefined },
        { _tag: "Advanced", topic: "a", position: { epoch: "e", offset: 1 } }
      ])
      // One that has left and come again is new.
      assert.deepStrictEqual([late.texts, gone.texts], [["x"], ["x", "x"]])
    })
  )

  it.effect("is told its place behind what waits, to who is behind", () =>
    Effect.gen(function* () {
      const { broker, comeBack, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker, { slowConsumer: { _tag: "DropOldest" } })
      const slow = new Listener(0)
      hub.joinUnsafe("a", slow)
      goAway()
      yield* Effect.flip(hub.publish("a", "x", { key }))
      comeBack()
      yield* hub.publish("a", "x", { key })
      yield* hub.publish("a", "y")
      slow.read(10)
      yield* turn
      assert.deepStrictEqual(slow.tags, ["x", "Advanced", "y"])
    })
  )

  it.effect("waits for the broker where that is the policy, and is delivered once", () =>
    Effect.gen(function* () {
      const { broker, comeBack, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker, { whenDown: { _tag: "Wait", atMost: "1 minute" } })
      const one = new Listener()
      hub.joinUnsafe("a", one)
      goAway()
      const fiber = yield* start(hub.publish("a", "x"))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual([fiber.pollUnsafe(), one.texts], [undefined, ["x"]])
      comeBack()
      yield* TestClock.adjust("1 second")
      const { position, receivers } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([position!.offset, receivers, one.tags], [1, 1, ["x", "Advanced"]])
    })
  )

  it.effect("waits no longer than that, and leaves a broker alone that says it is there and takes nothing", () =>
    Effect.gen(function* () {
      const { broker, goAway, pretend } = yield* remoteBroker()
      let tries = 0
      const counted = {
        ...broker,
        publish: (...of: Parameters<typeof broker.publish>) => Effect.suspend(() => (tries++, broker.publish(...of)))
      }
      const hub = yield* Hub.on(counted, { whenDown: { _tag: "Wait", atMost: "1 second" } })
      goAway()
      pretend()
      const fiber = yield* start(Effect.flip(hub.publish("a", "x")))
      for (let i = 0; i < 20; i++) yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Unavailable")
      assert.isTrue(tries > 5 && tries <= 12, String(tries))
    })
  )

  it.effect("succeeds when only the acknowledgement was lost: it was seen in the log", () =>
    Effect.gen(function* () {
      const { broker, loseAcknowledgements } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      const one = new Listener()
      hub.joinUnsafe("a", one)
      loseAcknowledgements()
      const { position, receivers } = yield* hub.publish("a", "x")
      assert.deepStrictEqual([position!.offset, receivers, one.texts], [1, 1, ["x"]])
    })
  )

  it.effect("is not taken for what somebody else publishes elsewhere with the same key", () =>
    Effect.gen(function* () {
      const inner = yield* MemoryBroker.make()
      const others = yield* Hub.on(remote(inner).broker)
      // On its way here, until this node publishes.
      const here = remote({
        ...inner,
        publish: (...all) => Effect.andThen(Effect.sync(here.release), inner.publish(...all))
      })
      const hub = yield* Hub.on(here.broker)
      const [elsewhere, same] = [new Listener(), new Listener()]
      hub.joinUnsafe("elsewhere", elsewhere)
      hub.joinUnsafe("room", same)
      yield* turn
      for (const topic of ["elsewhere", "room"]) {
        here.hold()
        yield* others.publish(topic, `to ${topic}`, { key: { ...key, producer: topic } })
        const { repeated } = yield* hub.publish("room", "for this room", { key: { ...key, producer: topic } })
        assert.isTrue(repeated)
      }
      assert.deepStrictEqual([elsewhere.texts, same.texts], [["to elsewhere"], ["to room"]])
    })
  )

  it.effect("with the key of something that was said elsewhere while the broker was away is told", () =>
    Effect.gen(function* () {
      const { broker, comeBack, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      const one = new Listener()
      hub.joinUnsafe("b", one)
      yield* turn
      goAway()
      yield* Effect.flip(hub.publish("a", "x", { key }))
      comeBack()
      yield* hub.publish("b", "y", { key })
      assert.deepStrictEqual(one.texts, ["y"])
    })
  )

  it.effect("of two hubs on one broker has keys of its own in each", () =>
    Effect.gen(function* () {
      const { broker } = yield* remoteBroker()
      const [first, second] = [yield* Hub.on(broker), yield* Hub.on(broker)]
      assert.isFalse((yield* first.publish("a", "x")).repeated)
      assert.isFalse((yield* second.publish("a", "y")).repeated)
    })
  )
})

describe("a member", () => {
  it.effect("that joins while it is away is told no position, and hears what is said here", () =>
    Effect.gen(function* () {
      const { broker, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      const one = new Listener()
      const told: Array<unknown> = []
      goAway()
      yield* hub.enter(["a"], one, { admitted: (at) => Effect.sync(() => told.push(at)) })
      yield* Effect.flip(hub.publish("a", "x"))
      assert.deepStrictEqual([told, one.texts], [[undefined], ["x"]])
    })
  )

  it.effect("that comes back with a position while it is away is refused, and in nothing", () =>
    Effect.gen(function* () {
      const { broker, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      goAway()
      const error = yield* Effect.flip(hub.enter(["a"], new Listener(), { since: { epoch: "e", offset: 0 } }))
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.strictEqual(hub.topics(), 0)
    })
  )
})
