/** What each policy does for a member that is behind, what it tells, and what it counts. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as fc from "fast-check"
import * as Hub from "@millrace/core/cluster/Hub"
import type { Publication } from "@millrace/core/cluster/Publication"
import type { SlowConsumer } from "@millrace/core/cluster/SlowConsumer"
import * as SlowConsumers from "@millrace/core/cluster/SlowConsumer"
import { start, turn, world } from "../../support/connection.ts"
import { Listener, mute } from "../../support/members.ts"

const publishAll = (hub: Hub.Hub["Service"], texts: string, topic = "room") =>
  Effect.forEach([...texts], (text) => hub.publish(topic, text), { discard: true })

const none = { dropped: 0, coalesced: 0, disconnected: 0, suspended: 0 }

/** A gap in `room`, of a hub whose first publications are in it. */
const gap = (epoch: string, from: number, to: number) => ({
  _tag: "Gap" as const,
  topics: ["room"],
  from: { epoch, offset: from },
  to: { epoch, offset: to }
})

/** A hub with that policy, and a member with room for so many in `room`. */
const behind = (slowConsumer: SlowConsumer | ((topic: string) => SlowConsumer), room: number) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make({ slowConsumer, history: { epoch: "e" } })
    const slow = new Listener(room)
    hub.joinUnsafe("room", slow)
    return { hub, slow }
  })

describe("DropOldest", () => {
  it.effect("keeps the last so many, and tells what was before them when there is room", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "DropOldest", maxPending: 2 }, 1)
      yield* publishAll(hub, "abcde")
      assert.deepStrictEqual(slow.texts, ["a"])
      slow.read(10)
      yield* turn
      assert.deepStrictEqual(slow.tags, ["a", "Gap", "d", "e"])
      assert.deepStrictEqual(slow.heard[1], gap("e", 1, 3))
      assert.deepStrictEqual(hub.counters(), { ...none, dropped: 2 })
    })
  )

  it.effect("keeps it also for who says that there is room at once", () =>
    Effect.gen(function* () {
      const { hub } = yield* behind({ _tag: "DropOldest" }, 0)
      const one = new Listener(0)
      const brisk: Hub.Member = {
        tryWriteUnsafe: (message, publication) => {
          const written = one.tryWriteUnsafe(message, publication)
          one.read(1)
          return written
        },
        room: Effect.void,
        close: () => Effect.void
      }
      hub.joinUnsafe("room", brisk)
      yield* hub.publish("room", "a")
      yield* turn
      assert.deepStrictEqual(one.texts, ["a"])
    })
  )

  it.effect("goes on as the member reads one by one, in order", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "DropOldest" }, 0)
      yield* publishAll(hub, "abc")
      for (const text of "defg") {
        slow.read(1)
        yield* hub.publish("room", text)
        yield* turn
      }
      slow.read(100)
      yield* turn
      assert.deepStrictEqual(slow.texts, [..."abcdefg"])
    })
  )
})

describe("DropNewest", () => {
  it.effect("tells of what was dropped before anything that is newer", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "DropNewest" }, 1)
      yield* publishAll(hub, "abc")
      slow.read(2)
      yield* hub.publish("room", "d")
      assert.deepStrictEqual(slow.tags, ["a", "Gap", "d"])
      assert.deepStrictEqual(slow.heard[1], gap("e", 1, 3))
      assert.deepStrictEqual(hub.counters(), { ...none, dropped: 2 })
    })
  )
})

const lengthOf = ({ message }: Publication) => String(message.length)

describe("Coalesce", () => {
  it.effect("keeps the last of each key, behind what came before it", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Coalesce", key: lengthOf, maxPending: 2 }, 0)
      yield* Effect.forEach(["a", "bb", "c", "ddd"], (text) => hub.publish("room", text))
      slow.read(10)
      yield* turn
      // "c" instead of "a"; "bb" had waited for longest when there were three.
      assert.deepStrictEqual(slow.tags, ["Gap", "c", "ddd"])
      assert.deepStrictEqual(hub.counters(), { ...none, coalesced: 1, dropped: 1 })
    })
  )

  it.effect("takes a key that throws for a message that is lost, and tells that", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind(
        {
          _tag: "Coalesce",
          key: () => {
            throw new Error("a bug")
          }
        },
        0
      )
      const other = new Listener()
      hub.joinUnsafe("room", other)
      yield* hub.publish("room", "a")
      slow.read(1)
      yield* turn
      assert.deepStrictEqual([slow.tags, other.tags], [["Gap"], ["a"]])
    })
  )
})

describe("Suspend", () => {
  it.effect("has publishers wait while somebody is behind, and nothing of theirs is dropped", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Suspend", maxPending: 1 }, 1)
      const fiber = yield* start(publishAll(hub, "abcd"))
      yield* turn
      assert.strictEqual(fiber.pollUnsafe(), undefined)
      for (const texts of [["a", "b"], [..."abc"], [..."abcd"]]) {
        slow.read(1)
        yield* turn
        assert.deepStrictEqual(slow.texts, texts)
      }
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(hub.counters(), { ...none, suspended: 2 })
    })
  )

  it.effect("lets many publishers wait at a time: none makes the member be disconnected", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Suspend", maxPending: 1 }, 0)
      const fiber = yield* start(
        Effect.forEach(
          Array.from({ length: 50 }, (_, i) => String(i)),
          (text) => hub.publish("room", text),
          {
            concurrency: "unbounded"
          }
        )
      )
      for (let i = 0; i < 60; i++) {
        slow.read(1)
        yield* turn
      }
      yield* Fiber.join(fiber)
      assert.strictEqual(new Set(slow.texts).size, 50)
      assert.deepStrictEqual(slow.closed, [])
    })
  )

  it.effect("has published nothing of who was interrupted while waiting", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Suspend" }, 0)
      yield* hub.publish("room", "a")
      const fiber = yield* start(hub.publish("room", "b"))
      yield* Fiber.interrupt(fiber)
      slow.read(10)
      yield* turn
      yield* hub.publish("room", "c")
      assert.deepStrictEqual(slow.texts, ["a", "c"])
    })
  )

  it.effect("lets publishers go when the member leaves, is closed, or cannot say when it has room", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Suspend" }, 0)
      for (const go of [() => hub.leaveUnsafe("room", slow), () => slow.end()]) {
        hub.joinUnsafe("room", slow)
        yield* hub.publish("room", "a")
        const fiber = yield* start(hub.publish("room", "b"))
        go()
        yield* turn
        assert.notStrictEqual(fiber.pollUnsafe(), undefined)
      }
      const speechless = new Listener(0)
      hub.joinUnsafe("room", mute(speechless))
      yield* hub.publish("room", "c")
      yield* turn
      assert.deepStrictEqual(speechless.closed, [[1013, "too slow"]])
    })
  )

  it.effect("disconnects who is further behind than what others publish may wait", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "Suspend", maxPending: 2 }, 0)
      // Another hub on the same broker is another node's.
      const other = yield* Hub.on(hub.broker)
      yield* publishAll(other, "abc")
      yield* turn
      assert.deepStrictEqual(slow.closed, [[1013, "too slow"]])
      assert.deepStrictEqual([hub.members("room"), hub.counters().disconnected], [0, 1])
    })
  )
})

describe("of several topics", () => {
  it.effect("a policy is that of the topic", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind(
        (topic) => (topic === "room" ? { _tag: "DropNewest" } : { _tag: "DropOldest" }),
        0
      )
      hub.joinUnsafe("other", slow)
      yield* publishAll(hub, "ab")
      yield* publishAll(hub, "cd", "other")
      slow.read(10)
      yield* turn
      assert.deepStrictEqual(slow.tags, ["Gap", "c", "d"])
    })
  )

  it.effect("nothing goes ahead of what waits in another: a client's position is one for all", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind({ _tag: "DropOldest" }, 0)
      hub.joinUnsafe("other", slow)
      yield* hub.publish("room", "a")
      slow.read(10)
      yield* hub.publish("other", "b")
      yield* hub.publish("room", "c")
      yield* turn
      assert.deepStrictEqual(slow.texts, ["a", "b", "c"])
    })
  )

  it.effect("a policy that cannot be is the default, and is told in the log", () =>
    Effect.gen(function* () {
      const { hub, slow } = yield* behind(() => ({ _tag: "DropOldest", maxPending: 0 }), 0)
      yield* hub.publish("room", "a")
      yield* turn
      assert.deepStrictEqual(slow.closed, [[1013, "too slow"]])
    })
  )

  it("any policies, any rooms, any publications: in order, once, or inside a told gap", () => {
    const policies = fc.constantFrom<SlowConsumer>(
      { _tag: "DropOldest", maxPending: 2 },
      { _tag: "DropNewest" },
      { _tag: "DropOldest" },
      { _tag: "Coalesce", key: ({ at }) => String(at!.offset), maxPending: 3 }
    )
    const steps = fc.array(fc.oneof(fc.constantFrom("a", "b"), fc.integer({ min: 1, max: 4 })), { maxLength: 40 })
    return fc.assert(
      fc.asyncProperty(policies, policies, steps, (a, b, history) =>
        world(
          Effect.gen(function* () {
            const hub = yield* Hub.make({ slowConsumer: (topic) => (topic === "a" ? a : b) })
            const slow = new Listener(1)
            for (const topic of ["a", "b"]) hub.joinUnsafe(topic, slow)
            const published: Record<string, Array<number>> = { a: [], b: [] }
            for (const step of history) {
              if (typeof step === "number") slow.read(step)
              else published[step]!.push((yield* hub.publish(step, "x")).position!.offset)
              if (step === 2) yield* turn
            }
            slow.read(1_000)
            yield* turn
            for (const topic of ["a", "b"]) {
              const had = slow.heard.flatMap((one) =>
                one._tag === "Message" && one.topic === topic ? one.at!.offset : []
              )
              assert.deepStrictEqual(
                had,
                [...new Set(had)].sort((x, y) => x - y)
              )
              const gaps = slow.heard.flatMap((one) => (one._tag === "Gap" && one.topics[0] === topic ? [one] : []))
              for (const offset of published[topic]!) {
                const isTold = gaps.some(({ from, to }) => from!.offset < offset && offset <= to!.offset)
                assert.isTrue(had.includes(offset) || isTold, `${topic} ${offset}`)
              }
            }
          })
        )
      )
    )
  })
})

describe("a policy", () => {
  it("of which nobody would get anything is refused", () => {
    for (const maxPending of [0, -1, Number.NaN]) {
      assert.throws(() => SlowConsumers.check({ _tag: "DropOldest", maxPending }), RangeError)
    }
  })
})

it.effect("what is published by a delivery comes behind it, also to who is behind", () =>
  Effect.gen(function* () {
    const { hub, slow } = yield* behind({ _tag: "Disconnect", code: 1013 }, 0)
    const patient = yield* Hub.on(hub.broker, { slowConsumer: { _tag: "DropOldest" } })
    patient.joinUnsafe("room", slow)
    hub.leaveUnsafe("room", slow)
    slow.onWrite = (publication) => {
      if (publication.at!.offset < 3) Effect.runSync(patient.publish("room", "again"))
    }
    yield* publishAll(patient, "ab")
    slow.read(100)
    yield* turn
    const offsets = slow.heard.map((one) => (one._tag === "Message" ? one.at!.offset : 0))
    assert.deepStrictEqual(offsets, [1, 2, 3, 4])
  })
)
