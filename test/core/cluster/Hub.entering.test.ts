/** How a member gets in with what it missed: everything once and in order, or a told gap; and nothing is left behind. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as CatchUp from "@millrace/core/cluster/CatchUp"
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import type { Publication } from "@millrace/core/cluster/Publication"
import type { Position } from "@millrace/core/cluster/Position"
import { start, turn, world } from "../../support/connection.ts"
import { Listener, mute, remoteBroker } from "../../support/members.ts"

type Service = Hub.Hub["Service"]

const offsets = (one: Listener, topic?: string): ReadonlyArray<number> =>
  one.heard.flatMap((heard) =>
    heard._tag === "Message" && (topic === undefined || heard.topic === topic) ? [heard.at!.offset] : []
  )

/** Every offset once and in order, or inside a gap that was told. */
const checkTold = (one: Listener, topic: string, published: ReadonlyArray<number>, since: number): void => {
  const had = offsets(one, topic)
  assert.deepStrictEqual(
    had,
    [...new Set(had)].sort((x, y) => x - y),
    "in order and once"
  )
  const gaps = one.heard.flatMap((heard) => (heard._tag === "Gap" && heard.topics.includes(topic) ? [heard] : []))
  for (const offset of published) {
    if (offset <= since) continue
    const isTold = gaps.some(
      ({ from, to }) =>
        (from === undefined || from.epoch !== to?.epoch || from.offset < offset) &&
        (to === undefined || offset <= to.offset)
    )
    assert.isTrue(had.includes(offset) || isTold, `${topic} ${offset} of ${had.join(" ")}`)
  }
  assert.isTrue(had.every((offset) => offset > since && published.includes(offset)))
}

const isNotTwo = ({ message }: Publication) => message.length !== 2

describe("enter", () => {
  it("any history, any rooms, local or late: each once, in order, or inside a told gap", () => {
    const step = fc.oneof(
      fc.constantFrom("a" as const, "b" as const),
      fc.integer({ min: 1, max: 5 }),
      fc.constant("turn" as const),
      fc.constant("late" as const)
    )
    return fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("a", "b"), { maxLength: 20 }),
        fc.nat(20),
        fc.array(step, { maxLength: 30 }),
        fc.integer({ min: 3, max: 40 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 5 }),
        fc.boolean(),
        (before, back, after, ops, isLocal, room, isForeign) =>
          world(
            Effect.gen(function* () {
              const inner = yield* MemoryBroker.make({ maxEntries: 8 })
              const far = yield* remoteBroker({ maxEntries: 8 })
              const hub = yield* Hub.on(isLocal ? inner : far.broker, { slowConsumer: { _tag: "DropOldest" } })
              const published: Record<string, Array<number>> = { a: [], b: [] }
              let position: Position | undefined
              const publish = (topic: string) =>
                Effect.map(hub.publish(topic, "x"), ({ position: at }) => {
                  position = at
                  published[topic]!.push(at!.offset)
                })
              for (const topic of before) yield* publish(topic)
              const offset = Math.max(0, before.length - back)
              const epoch = isForeign ? "another" : (yield* Effect.orDie(hub.broker.position)).epoch
              const one = new Listener(room)
              // Somebody else is there, so that the topics are subscribed to.
              hub.joinUnsafe("a", new Listener())
              const fiber = yield* start(hub.enter(["a", "b"], one, { since: { epoch, offset } }))
              for (const next of after) {
                if (next === "turn") yield* turn
                else if (next === "late") far.hold()
                else if (typeof next === "number") one.read(next)
                else yield* publish(next)
                if (next !== "late" && typeof next !== "number") far.release()
              }
              far.release()
              one.read(1_000)
              yield* Fiber.join(fiber)
              yield* publish("a")
              yield* turn
              assert.strictEqual(position!.offset, published["a"]!.at(-1))
              for (const topic of ["a", "b"]) checkTold(one, topic, published[topic]!, isForeign ? 0 : offset)
            }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
          )
      ),
      { numRuns: 300 }
    )
  })

  it.live("with more than is kept meanwhile: the rest comes from the log, or is told", () =>
    Effect.gen(function* () {
      for (const [maxEntries, isTold] of [
        [10_000, false],
        [100, true]
      ] as const) {
        const hub = yield* Hub.make({ history: { maxEntries } })
        yield* hub.publish("a", "0")
        const { epoch } = yield* Effect.orDie(hub.broker.position)
        const slow = new Listener(0)
        const fiber = yield* start(hub.enter(["a", "b"], slow, { since: { epoch, offset: 0 } }))
        const published: Record<string, Array<number>> = { a: [1], b: [] }
        for (let i = 0; i < CatchUp.maxKept * 2; i++) {
          const topic = i % 3 === 0 ? "b" : "a"
          published[topic]!.push((yield* hub.publish(topic, "x")).position!.offset)
        }
        slow.read(100_000)
        yield* Fiber.join(fiber)
        for (const topic of ["a", "b"]) checkTold(slow, topic, published[topic]!, 0)
        assert.strictEqual(slow.tags.includes("Gap"), isTold)
      }
    })
  )

  it.effect("does not give again what the log had already when the broker delivers it late", () =>
    Effect.gen(function* () {
      const { broker, hold, release } = yield* remoteBroker()
      const hub = yield* Hub.on(broker)
      const one = new Listener()
      hub.joinUnsafe("a", new Listener())
      hold()
      const { position } = yield* hub.publish("a", "x")
      yield* hub.enter(["a"], one, { since: { epoch: position!.epoch, offset: 0 } })
      release()
      yield* hub.publish("a", "y")
      assert.deepStrictEqual(one.texts, ["x", "y"])
    })
  )

  it.effect("is behind what it was told when it was admitted, whatever is published meanwhile", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const told = yield* Deferred.make<void>()
      const one = new Listener()
      let at: Position | undefined
      const admitted = (position: Position | undefined) => {
        at = position
        return Deferred.await(told)
      }
      yield* hub.publish("a", "before")
      const fiber = yield* start(hub.enter(["a", "b"], one, { admitted }))
      yield* hub.publish("a", "meanwhile")
      yield* hub.publish("b", "too")
      yield* Deferred.succeed(told, undefined)
      yield* Fiber.join(fiber)
      yield* hub.publish("b", "after")
      assert.strictEqual(at!.offset, 1)
      assert.deepStrictEqual(one.texts, ["meanwhile", "too", "after"])
    })
  )

  it.effect("is told the last of the positions that its topics have, and gets nothing that is before it", () =>
    Effect.gen(function* () {
      const { broker } = yield* remoteBroker({ epoch: "e" })
      const offsets: Readonly<Record<string, number>> = { a: 3, b: 1 }
      const hub = yield* Hub.on({
        ...broker,
        attach: (subscriber) =>
          Effect.map(broker.attach(subscriber), (attachment) => ({
            ...attachment,
            subscribe: (topic: string) =>
              Effect.as(attachment.subscribe(topic), { epoch: "e", offset: offsets[topic] ?? 0 })
          }))
      })
      const one = new Listener()
      let at: Position | undefined
      yield* hub.enter(["a", "b"], one, { admitted: (position) => Effect.sync(() => void (at = position)) })
      for (const text of "1234") yield* hub.publish("b", text)
      assert.deepStrictEqual([at!.offset, one.texts], [3, ["4"]])
    })
  )

  it.effect("of another epoch is told of all topics once, and then what is missing of this one", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ history: { epoch: "e", maxEntries: 2 } })
      for (const topic of "abaaba") yield* hub.publish(topic, topic)
      const one = new Listener()
      yield* hub.enter(["a", "b"], one, { since: { epoch: "another", offset: 4 } })
      const told = one.heard.map((each) =>
        each._tag === "Gap" ? `${each.topics.join("")}-${each.to!.offset}` : each._tag === "Message" && each.at!.offset
      )
      assert.deepStrictEqual(told, ["ab-1", 2, "a-3", 4, 5, 6])
    })
  )

  it.effect("reads nothing for who is excepted, and what its filter does not let through", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = new Listener(Number.POSITIVE_INFINITY, { id: "one" })
      yield* hub.publish("a", "yes")
      yield* hub.publish("a", "not to one", { except: ["one"] })
      const { position } = yield* hub.publish("a", "no")
      yield* hub.enter(["a"], one, { since: { epoch: position!.epoch, offset: 0 }, filter: isNotTwo })
      yield* hub.publish("a", "not to one", { except: ["one"] })
      yield* hub.publish("a", "no")
      yield* hub.publish("a", "end")
      assert.deepStrictEqual(one.texts, ["yes", "end"])
    })
  )

  it.effect("closes who is full and cannot say when it has room, and tells it to come back", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const { position } = yield* hub.publish("a", "x")
      const full = new Listener(0)
      yield* hub.enter(["a"], mute(full), { since: { epoch: position!.epoch, offset: 0 } })
      assert.deepStrictEqual([full.closed.length, hub.members("a"), hub.counters().disconnected], [1, 0, 1])
    })
  )

  it.effect("where it is already changes nothing but the filter, and repeats nothing", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const one = new Listener()
      const { position } = yield* hub.publish("a", "x")
      const since = { epoch: position!.epoch, offset: 0 }
      yield* hub.enter(["a", "a"], one, { since })
      yield* hub.enter(["a", "b"], one, { since })
      yield* hub.publish("a", "y")
      assert.deepStrictEqual(one.texts, ["x", "y"])
      assert.deepStrictEqual([hub.members("a"), hub.members("b")], [1, 1])
    })
  )

  it.effect("of who leaves, is kicked or moved on the way gives nothing more of that topic", () =>
    Effect.gen(function* () {
      const one = { _tag: "Member", id: "one" } as const
      for (const [go, tags] of [
        [
          (hub: Service, slow: Listener): Effect.Effect<unknown, BrokerError> =>
            Effect.sync(() => hub.leaveUnsafe("a", slow)),
          ["a1", "b", "b1", "b2"]
        ],
        [
          (hub: Service): Effect.Effect<unknown, BrokerError> => hub.kick(one, "a", "out"),
          ["Kicked", "a1", "b", "b1", "b2"]
        ],
        [
          (hub: Service): Effect.Effect<unknown, BrokerError> => hub.move(one, "a", "c"),
          ["Moved", "a1", "b", "b1", "b2", "c"]
        ]
      ] as const) {
        const hub = yield* Hub.make()
        for (const topic of ["a", "b"]) for (const text of "12") yield* hub.publish(topic, topic + text)
        const { epoch } = yield* Effect.orDie(hub.broker.position)
        const slow = new Listener(1, { id: "one" })
        const fiber = yield* start(hub.enter(["a", "b"], slow, { since: { epoch, offset: 0 } }))
        yield* go(hub, slow)
        slow.read(100)
        yield* Fiber.join(fiber)
        for (const topic of ["a", "b", "c"]) yield* hub.publish(topic, topic)
        yield* turn
        assert.deepStrictEqual(slow.tags.toSorted(), [...tags])
      }
    })
  )
})

const later = () => Effect.yieldNow

describe("on the way in", () => {
  it("interrupted anywhere, it is in none of them, or in all with a scope that takes it out", () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 3, max: 40 }), fc.nat(12), fc.boolean(), (ops, turns, isScoped) =>
        world(
          Effect.gen(function* () {
            const { broker } = yield* remoteBroker()
            const hub = yield* Hub.on(broker)
            for (let i = 0; i < 5; i++) yield* hub.publish("a", "x")
            const { epoch } = yield* Effect.orDie(broker.position)
            const one = new Listener(2)
            const since = { epoch, offset: 0 }
            const scope = yield* Scope.make()
            const entering = isScoped
              ? Scope.provide(hub.join("a", one, { since, admitted: later }), scope)
              : hub.enter(["a", "b"], one, { since, admitted: later })
            const fiber = yield* start(entering)
            for (let i = 0; i < turns; i++) {
              yield* turn
              if (i > 2) one.read(1)
            }
            yield* Fiber.interrupt(fiber)
            const exit = yield* Fiber.await(fiber)
            if (isScoped) yield* Scope.close(scope, exit)
            else {
              // It may have been interrupted just when it was in: in all of them then.
              const left = ["a", "b"].map((topic) => hub.leaveUnsafe(topic, one))
              assert.strictEqual(left[0], left[1])
              if (exit._tag === "Success") assert.isTrue(left[0])
            }
            assert.deepStrictEqual([hub.topics(), hub.members("a"), hub.members("b")], [0, 0, 0])
            assert.strictEqual(one.waiters, 0)
          }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops))
        )
      ),
      { numRuns: 300 }
    ))

  it.effect("refused by `admitted` it is in none", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const error = yield* Effect.flip(
        hub.enter(["a", "b"], new Listener(), { admitted: () => Effect.fail("not you" as const) })
      )
      assert.strictEqual(error, "not you")
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("in the middle of a delivery, it is not given what its position says that it has", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const first = new Listener()
      const second = new Listener()
      hub.joinUnsafe("a", first)
      let left = 1
      first.onWrite = ({ at }) => {
        if (left-- <= 0) return
        Effect.runSync(hub.publish("a", "again"))
        Effect.runFork(hub.enter(["a"], second, { since: { epoch: at!.epoch, offset: 0 } }))
      }
      yield* hub.publish("a", "x")
      yield* turn
      yield* hub.publish("a", "y")
      assert.deepStrictEqual(second.texts, ["x", "again", "y"])
    })
  )
})
