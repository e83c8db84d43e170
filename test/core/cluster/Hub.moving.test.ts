/** Members that the server takes out of topics, and puts into others; and what is told of topics that come and go. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Target from "@millrace/core/cluster/Target"
import { start, turn } from "../../support/connection.ts"
import { Listener } from "../../support/members.ts"

const named = (id: string, left = Number.POSITIVE_INFINITY) => new Listener(left, { id, user: id[0]! })

describe("kick", () => {
  it.effect("takes those of the target out of that topic alone, and tells them why", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const [a1, a2, b1] = [named("a1"), named("a2"), named("b1")]
      for (const one of [a1, a2, b1]) for (const topic of ["x", "y"]) hub.joinUnsafe(topic, one)
      assert.strictEqual(yield* hub.kick(Target.except(Target.user("a"), Target.member("a2")), "x", "no"), 1)
      assert.strictEqual(yield* hub.kick(Target.user("a"), "z", "no"), 0)
      yield* hub.publish("x", "1")
      yield* hub.publish("y", "2")
      assert.deepStrictEqual(
        [a1.tags, a2.tags, b1.tags],
        [
          ["Kicked", "2"],
          ["1", "2"],
          ["1", "2"]
        ]
      )
    })
  )

  it.effect("gives who is behind nothing more of the topic, and tells it when it has room", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "DropOldest" } })
      const slow = named("a", 0)
      for (const topic of ["x", "y"]) {
        hub.joinUnsafe(topic, slow)
        yield* hub.publish(topic, topic)
      }
      yield* hub.kick(Target.member("a"), "x", "no")
      slow.read(10)
      yield* turn
      assert.deepStrictEqual(slow.tags, ["y", "Kicked"])
    })
  )
})

describe("move", () => {
  it.effect("is one step: what is published goes to the one topic or the other, and the scope takes it out", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = named("a")
      const scope = yield* Scope.make()
      yield* Scope.provide(hub.join("x", one), scope)
      yield* hub.publish("x", "1")
      assert.strictEqual(yield* hub.move(Target.topic("x"), "x", "y"), 1)
      yield* hub.publish("x", "2")
      yield* hub.publish("y", "3")
      assert.deepStrictEqual(one.tags, ["1", "Moved", "3"])
      assert.strictEqual(yield* hub.move(Target.topic("y"), "y", "z"), 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("to where it is already is out of the one; to the same topic is nothing", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = named("a")
      for (const topic of ["x", "y"]) hub.joinUnsafe(topic, one)
      assert.strictEqual(yield* hub.move(Target.member("a"), "x", "x"), 0)
      assert.strictEqual(yield* hub.move(Target.member("a"), "x", "y"), 1)
      assert.strictEqual(yield* hub.move(Target.member("a"), "x", "y"), 0)
      yield* hub.publish("y", "1")
      assert.deepStrictEqual([one.tags, hub.members("x"), hub.members("y")], [["Moved", "1"], 0, 1])
    })
  )

  it.effect("tells a position behind which all is delivered, wherever it is held up", () =>
    Effect.gen(function* () {
      for (let ops = 3; ops <= 40; ops++) {
        const hub = yield* Hub.make()
        const one = named("a")
        hub.joinUnsafe("x", one)
        hub.joinUnsafe("y", named("b"))
        const move = Effect.provideService(hub.move(Target.member("a"), "x", "y"), Scheduler.MaxOpsBeforeYield, ops)
        const moving = yield* start(move)
        while (moving.pollUnsafe() === undefined) {
          yield* hub.publish("y", "1")
          yield* turn
        }
        const { position: last } = yield* hub.publish("y", "2")
        const position = one.heard.flatMap((each) => (each._tag === "Moved" ? [each.position!.offset] : []))[0]!
        const had = one.heard.flatMap((each) => (each._tag === "Message" ? [each.at!.offset] : []))
        assert.deepStrictEqual(
          had,
          Array.from({ length: last!.offset - position }, (_, i) => position + 1 + i)
        )
      }
    })
  )
})

describe("lifecycle", () => {
  it.effect("tells of topics that get a first member and lose the last", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const fiber = yield* start(Stream.runCollect(Stream.take(hub.lifecycle, 4)))
      const [one, two] = [named("a"), named("b")]
      hub.joinUnsafe("x", one)
      hub.joinUnsafe("x", two)
      hub.joinUnsafe("y", one)
      for (const each of [one, two]) hub.leaveUnsafe("x", each)
      hub.leaveUnsafe("y", one)
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).map(({ _tag, topic }) => `${_tag} ${topic}`),
        ["Opened x", "Opened y", "Closed x", "Closed y"]
      )
    })
  )

  it.effect("is over when the hub is", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const hub = yield* Scope.provide(Hub.make(), scope)
      const fiber = yield* start(Stream.runDrain(hub.lifecycle))
      yield* turn
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.await(fiber)
    })
  )
})

it.effect("what is published to a target goes once to each, past those it excepts, and not to who is full", () =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const [a1, a2, b1] = [named("a1"), named("a2"), named("b1", 0)]
    for (const one of [a1, a2, b1]) for (const topic of ["x", "y"]) hub.joinUnsafe(topic, one)
    const { position, receivers } = yield* hub.publish(Target.topics("x", "y"), "1", { except: ["a2"] })
    assert.deepStrictEqual([position, receivers, a1.tags, a2.tags], [undefined, 1, ["1"], []])
    assert.strictEqual(hub.counters().dropped, 1)
    let deep = Target.topic("x")
    for (let i = 0; i < Target.maxDepth; i++) deep = Target.union(deep)
    assert.isTrue(Exit.hasDies(yield* Effect.exit(hub.publish(deep, "2"))))
  })
)
