/** Topics as streams, and states that are read once and then followed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Subscription from "@millrace/core/cluster/Subscription"
import * as Target from "@millrace/core/cluster/Target"
import type { Text } from "@millrace/core/protocol/Message"
import { start, turn, world } from "../../support/connection.ts"
import { remoteBroker } from "../../support/members.ts"

const said = (element: Subscription.Element): string =>
  element._tag === "Message" ? (element.message as Text).text : element._tag

describe("stream", () => {
  it.effect("gives what is published from when it is run on, and is out of the topics when it ends", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e" } })
      const stream = Subscription.stream(hub, ["a", "b"])
      yield* hub.publish("a", "before")
      const fiber = yield* start(Stream.runCollect(Stream.take(stream, 3)))
      yield* turn
      for (const [topic, text] of [
        ["a", "1"],
        ["c", "no"],
        ["b", "2"],
        ["a", "3"]
      ] as const) {
        yield* hub.publish(topic, text)
      }
      const elements = yield* Fiber.join(fiber)
      assert.deepStrictEqual(elements.map(said), ["1", "2", "3"])
      const positions = elements.map((element) => (element._tag === "Message" ? element.position : undefined))
      assert.deepStrictEqual(positions[0], { epoch: "e", offset: 2 })
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("gives what was missed behind a position, or tells of a gap, however little room there is", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e", maxEntries: 3 } })
      for (const text of "123456") yield* hub.publish("a", text)
      const read = (offset: number) =>
        Stream.runCollect(
          Stream.take(Subscription.stream(hub, ["a"], { since: { epoch: "e", offset }, capacity: 1 }), 3)
        )
      assert.deepStrictEqual((yield* read(3)).map(said), [..."456"])
      assert.deepStrictEqual((yield* read(0)).map(said), ["Gap", "4", "5"])
    })
  )

  it.effect("makes publishers wait where that is the policy, and loses nothing", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ slowConsumer: { _tag: "Suspend", maxPending: 1 } })
      const slow = Subscription.stream(hub, ["a"], { capacity: 2 }).pipe(
        Stream.tap(() => Effect.yieldNow),
        Stream.take(100),
        Stream.runCollect
      )
      const fiber = yield* start(slow)
      yield* turn
      for (let i = 0; i < 100; i++) yield* hub.publish("a", String(i))
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).map(said),
        Array.from({ length: 100 }, (_, i) => String(i))
      )
    })
  )

  it.effect("fails when it was closed, behind what came before that", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const heard: Array<string> = []
      const fiber = yield* start(
        Subscription.stream(hub, ["a"], { capacity: 2 }).pipe(
          Stream.rechunk(1),
          Stream.runForEach((element) =>
            Effect.andThen(
              Effect.sync(() => heard.push(said(element))),
              turn
            )
          )
        )
      )
      yield* turn
      for (const text of "123456") yield* hub.publish("a", text)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual([error._tag, error._tag === "Closed" && error.code], ["Closed", 1013])
      assert.isAtLeast(heard.length, 2)
      assert.deepStrictEqual(heard, [..."123456"].slice(0, heard.length))
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("goes where it is moved, and ends when it is kicked out of all", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const fiber = yield* start(Stream.runCollect(Subscription.stream(hub, ["a"], { id: "me" })))
      yield* turn
      yield* Effect.orDie(hub.move(Target.member("me"), "a", "b"))
      yield* hub.publish("b", "1")
      yield* hub.publish("b", "not to me", { except: ["me"] })
      yield* hub.kick(Target.member("me"), "b", "out")
      assert.deepStrictEqual((yield* Fiber.join(fiber)).map(said), ["Moved", "1", "Kicked"])
    })
  )

  it.effect("that was moved and is interrupted is in none", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const fiber = yield* start(Stream.runDrain(Subscription.stream(hub, ["a"])))
      yield* turn
      yield* Effect.orDie(hub.move(Target.topic("a"), "a", "b"))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("fails when what was missed cannot be read", () =>
    Effect.gen(function* () {
      const { broker, goAway } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      goAway()
      const since = { epoch: "e", offset: 0 }
      const error = yield* Effect.flip(Stream.runDrain(Subscription.stream(hub, ["a"], { since })))
      assert.strictEqual(error._tag, "BrokerError")
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it("has room for something", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.map(Hub.make(), (hub) => assert.throws(() => Subscription.stream(hub, [], { capacity: 0 }), RangeError))
      )
    ))
})

describe("snapshotThenLive", () => {
  it("is the state and every change behind it, once, whatever changes meanwhile", () =>
    fc.assert(
      fc.asyncProperty(
        fc.nat(5),
        fc.nat(10),
        fc.nat(10),
        fc.nat(4),
        fc.integer({ min: 3, max: 40 }),
        fc.boolean(),
        (before, meanwhile, after, lag, ops, isTold) =>
          world(
            Effect.gen(function* () {
              const hub = yield* Hub.make({ slowConsumer: { _tag: "Suspend" } })
              // The state is how many changes there were, which is the offset of the last.
              const change = hub.publish("counter", "change")
              for (let i = 0; i < before; i++) yield* change
              const snapshot = Effect.gen(function* () {
                // Old when it is read, and changed again before it is here.
                const { epoch, offset: now } = yield* Effect.orDie(hub.broker.position)
                const offset = isTold ? Math.max(0, now - lag) : now
                for (let i = 0; i < meanwhile; i++) yield* change
                return { value: offset, position: isTold ? { epoch, offset } : undefined }
              })
              const fiber = yield* start(
                Subscription.snapshotThenLive(hub, "counter", () => snapshot, { capacity: 2 }).pipe(
                  Stream.takeUntil((element) => element._tag === "Message" && said(element) === "end"),
                  Stream.runCollect
                )
              )
              for (let i = 0; i < after; i++) yield* change
              // It is in when it has the state: what is published last is not in that.
              while (hub.members("counter") === 0) yield* turn
              const { position: end } = yield* hub.publish("counter", "end")
              const [first, ...rest] = yield* Fiber.join(fiber)
              const state = first?._tag === "Snapshot" ? first.value : -1
              const offsets = rest.map((element) => (element._tag === "Message" ? element.position!.offset : -1))
              const known = offsets.filter((offset) => offset <= state)
              if (isTold) assert.deepStrictEqual(known, [])
              assert.deepStrictEqual(
                offsets.slice(known.length),
                Array.from({ length: end!.offset - state }, (_, i) => state + 1 + i)
              )
            }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
          )
      ),
      { numRuns: 200 }
    ))

  it.effect("tells of a gap when the snapshot is older than what is kept", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e", maxEntries: 2 } })
      for (const text of "1234") yield* hub.publish("a", text)
      const position = { epoch: "e", offset: 1 }
      const elements = yield* Subscription.snapshotThenLive(hub, "a", () =>
        Effect.succeed({ value: 0, position })
      ).pipe(Stream.take(4), Stream.runCollect)
      assert.deepStrictEqual(
        elements.map((element) => (element._tag === "Snapshot" ? element.value : said(element))),
        [0, "Gap", "3", "4"]
      )
    })
  )

  it.effect("fails as the snapshot does, and is in no topic then", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const stream = Subscription.snapshotThenLive(hub, "a", () => Effect.fail("no" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(stream)), "no")
      assert.strictEqual(hub.topics(), 0)
    })
  )
})
