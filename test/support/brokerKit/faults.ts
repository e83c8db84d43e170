/** What every broker promises when links break, nodes are cut off, and the server stops or forgets. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type Check,
  type Ear,
  type Kit,
  type Node,
  type Published,
  cast,
  check,
  deliveries,
  gaps,
  hearing,
  outcomeOf,
  start,
  text,
  texts
} from "./Kit.ts"
import { expect } from "vitest"

/** That what was published, and is kept, was told without a gap. */
const wholly = (kit: Kit, ears: ReadonlyArray<Ear>, topic: string, published: ReadonlyArray<Published>): void => {
  for (const ear of ears) {
    kit.account(ear, topic, published)
    expect(gaps(ear, topic), "all of it is kept").toEqual([])
  }
}

/** Publishes one after the other until the scope ends. Each by its own key, until it is known to be there. */
const stream = (kit: Kit, node: Node, topic: string, published: Array<Published>, pace = 2) =>
  Effect.gen(function* () {
    const producer = kit.unique
    const state = { isOver: false }
    const running = yield* start(
      Effect.gen(function* () {
        for (let sequence = 0; !state.isOver; sequence++) {
          const what = `${producer} ${sequence}`
          const { position } = yield* kit.insist(node, topic, text(what, { producer, epoch: 0, sequence }))
          published.push({ topic, text: what, position })
          yield* Effect.sleep(pace)
        }
      })
    )
    return Effect.suspend(() => {
      state.isOver = true
      return Fiber.join(running)
    })
  })

const cutSubscriber = check(
  "fills what a node missed while its link was cut",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(other!, topic)
      const published: Array<Published> = []
      const stop = yield* stream(kit, one!, topic, published)
      for (let i = 0; i < 3; i++) {
        yield* kit.until(() => published.length > 10 * (i + 1), "something is published")
        yield* kit.faults.cut!(other!)
        yield* Effect.sleep(30)
        yield* kit.isUp(other!)
      }
      yield* stop
      published.push(yield* kit.mark(one!, [ear], topic))
      wholly(kit, [ear], topic, published)
    }),
  "cut"
)

const cutPublisher = check(
  "publishes once what was on its way when the link was cut",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = [yield* kit.ear(other!, topic), yield* kit.ear(one!, topic)]
      const published: Array<Published> = []
      const repeated: Array<boolean> = []
      for (let round = 0; round < 3; round++) {
        yield* kit.isUp(one!)
        const publishing = yield* start(
          Effect.forEach(
            Array.from({ length: 100 }, (_, i) => `${round}:${i}`),
            (what) =>
              Effect.map(one!.publish(topic, text(what)), (receipt) => {
                published.push({ topic, text: what, position: receipt.position })
                repeated.push(receipt.repeated)
              }),
            { concurrency: "unbounded", discard: true }
          )
        )
        if (round > 0) yield* Effect.yieldNow
        yield* kit.faults.cut!(one!)
        yield* Fiber.join(publishing)
      }
      yield* kit.isUp(one!)
      published.push(yield* kit.mark(one!, ears, topic))
      expect(published).toHaveLength(301)
      expect(repeated).not.toContain(true)
      wholly(kit, ears, topic, published)
      const producer = kit.unique
      const key = { producer, epoch: 0, sequence: 0 }
      const first = yield* kit.insist(one!, topic, text("keyed", key))
      yield* kit.faults.cut!(one!)
      yield* kit.isUp(one!)
      expect(yield* kit.insist(one!, topic, text("keyed", key))).toEqual({ position: first.position, repeated: true })
    }),
  "cut"
)

const cutHearing = check(
  "restores casts, and tells who subscribed meanwhile where it begins",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const [channel, topic] = [kit.unique, kit.unique]
      const heard = yield* hearing(other!, channel)
      yield* kit.faults.cut!(other!)
      const ear = yield* kit.ear(other!, topic)
      yield* kit.isUp(other!)
      const began = ear.began.get(topic)
      if (began === undefined) yield* kit.until(() => gaps(ear, topic).length > 0, "a gap is told")
      yield* kit.insist(one!, topic, text("x"))
      yield* kit.heard(ear, 1)
      expect(gaps(ear, topic).map(({ from }) => from)).toEqual(began === undefined ? [undefined] : [])
      yield* Effect.gen(function* () {
        for (let i = 0; heard.length === 0 && i < 1_000; i++) {
          yield* cast(one!, channel, "y")
          yield* Effect.sleep(10)
        }
      })
      expect(heard).toContain("y")
    }),
  "cut"
)

const restarted = check(
  "tells that the server has forgotten, and goes on with what comes then",
  (kit) =>
    Effect.gen(function* () {
      const nodes = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = yield* Effect.all(nodes.map((node) => kit.ear(node, topic)))
      const published: Array<Published> = []
      const say = (node: Node, what: string) =>
        Effect.map(kit.insist(node, topic, text(what)), ({ position }) => {
          published.push({ topic, text: what, position })
        })
      for (let i = 0; i < 5; i++) yield* say(nodes[0]!, `before ${i}`)
      for (const ear of ears) yield* kit.heard(ear, 5)
      const { epoch } = yield* nodes[0]!.position
      yield* kit.faults.restart!
      for (const ear of ears) yield* kit.until(() => gaps(ear).length > 0, "a gap is told")
      for (const node of nodes) yield* kit.isUp(node)
      for (let i = 0; i < 5; i++) yield* say(nodes[i % 2]!, `after ${i}`)
      published.push(yield* kit.mark(nodes[1]!, ears, topic))
      for (const ear of ears) {
        kit.account(ear, topic, published)
        expect(gaps(ear)).toHaveLength(1)
        expect(gaps(ear)[0]!.from!.epoch).toBe(epoch)
        expect(gaps(ear)[0]!.to.epoch).not.toBe(epoch)
        expect(texts(ear).filter((what) => what.startsWith("after"))).toHaveLength(5)
      }
      const missed = yield* nodes[0]!.since([topic], published[0]!.position)
      expect(missed.gap).toEqual([topic])
    }),
  "restart"
)

/** A node that cannot be reached fails what is asked of it, says so, and is as before when it can. */
const unreachable = (
  kit: Kit,
  one: Node,
  cutOff: (node: Node) => Effect.Effect<void, never, Scope.Scope>
): Effect.Effect<ReadonlyArray<Published>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const topic = kit.unique
    const ear = yield* kit.ear(one, topic)
    const published: Array<Published> = []
    const seen: Array<string> = []
    yield* start(Stream.runForEach(one.statuses, ({ _tag }) => Effect.sync(() => seen.push(_tag))))
    yield* kit.insist(one, topic, text("before"))
    yield* kit.heard(ear, 1)
    published.push({ topic, text: "before", position: deliveries(ear)[0]!.position })
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* cutOff(one)
        const asked = yield* start(outcomeOf(one.publish(topic, text("on its way"))))
        published.push({ topic, text: "on its way", position: undefined })
        yield* kit.until(() => one.status()._tag === "Down", "it is down")
        expect(yield* Fiber.join(asked)).toBe("Unavailable")
        const at = yield* Effect.flip(one.publish(topic, text("never")))
        expect(at.reason).toMatchObject({ _tag: "Unavailable", outcome: "NotPublished" })
        expect(yield* outcomeOf(one.since([topic], undefined))).toBe("Unavailable")
        expect(yield* outcomeOf(one.position)).toBe("Unavailable")
        expect(yield* outcomeOf(cast(one, topic, "never"))).toBe("Unavailable")
      })
    )
    yield* kit.isUp(one)
    published.push({ topic, text: "then", position: (yield* kit.insist(one, topic, text("then"))).position })
    published.push(yield* kit.mark(one, [ear], topic))
    wholly(kit, [ear], topic, published)
    expect(seen).toEqual(expect.arrayContaining(["Up", "Down"]))
    expect(seen.at(-1)).toBe("Up")
    return published
  })

const paused = check(
  "is down while the server does not answer, and loses nothing of it",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(other!, topic)
      const published: Array<Published> = []
      const stop = yield* stream(kit, other!, topic, published)
      yield* unreachable(kit, one!, () => kit.faults.pause!)
      yield* kit.isUp(other!)
      yield* stop
      published.push(yield* kit.mark(one!, [ear], topic))
      wholly(kit, [ear], topic, published)
    }),
  "pause"
)

const partitioned = check(
  "is down on a node that is cut off, up on the others, and fills what it missed",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = [yield* kit.ear(one!, topic), yield* kit.ear(other!, topic)]
      const published: Array<Published> = []
      const stop = yield* stream(kit, other!, topic, published, 50)
      yield* unreachable(kit, one!, kit.faults.partition!)
      expect(other!.status()._tag).toBe("Up")
      yield* stop
      published.push(yield* kit.mark(one!, ears, topic))
      wholly(kit, ears, topic, published)
    }),
  "partition"
)

export const faults: ReadonlyArray<Check> = [cutSubscriber, cutPublisher, cutHearing, restarted, paused, partitioned]
