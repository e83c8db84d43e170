/** What is asked of all nodes, and done on all of them: with what is missing said. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Cluster from "@millrace/core/cluster/Cluster"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Questions from "@millrace/core/cluster/Questions"
import * as Target from "@millrace/core/cluster/Target"
import * as Bus from "../../support/nodes.ts"

/** Nodes whose hubs have a log each: of what is published nothing is looked at here. */
const cluster = (count: number) =>
  Effect.gen(function* () {
    const bus = yield* Bus.make(count)
    const all = yield* Effect.forEach(bus.brokers, (broker, index) =>
      Effect.gen(function* () {
        const hub = yield* Hub.on(broker)
        const nodes = yield* Nodes.make(broker, { name: `n${index}` })
        const questions = yield* Questions.make(broker, nodes)
        return { hub, ...(yield* Cluster.make(hub, nodes, questions)) }
      })
    )
    yield* TestClock.adjust("300 millis")
    return { bus, all }
  })

const member = (id: string, user?: string, wire?: string) => {
  const notices: Array<Hub.Notice> = []
  const self: Hub.Member = {
    id,
    user,
    wire,
    tryWriteUnsafe: () => "Written",
    tellUnsafe: (notice) => {
      notices.push(notice)
      return "Written"
    },
    close: () => Effect.void
  }
  return { self, notices }
}

const names = (nodes: ReadonlyArray<Nodes.Node>) => nodes.map(({ name }) => name)

describe("members", () => {
  it.effect("are counted on all nodes, and who has not answered is said", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      for (const [i, { hub }] of all.entries()) {
        for (let n = 0; n <= i; n++) hub.joinUnsafe("room", member(`${i}.${n}`).self)
      }
      assert.deepStrictEqual(yield* all[0]!.members("room"), { count: 6, silent: [] })
      assert.deepStrictEqual(yield* all[2]!.members("__proto__"), { count: 0, silent: [] })
      bus.kill(1)
      const asking = yield* Effect.forkChild(all[0]!.members("room", { timeout: "500 millis" }), {
        startImmediately: true
      })
      yield* TestClock.adjust("500 millis")
      const { count, silent } = yield* Fiber.join(asking)
      assert.deepStrictEqual([count, names(silent)], [4, ["n1"]])
    })
  )

  it.effect("are counted by their wires, those that are not admitted left out", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      const [one, two] = all
      for (const [i, wire] of ["native", undefined, "__proto__", "native"].entries()) {
        const { hub } = i === 3 ? two! : one!
        hub.joinUnsafe("room", member(`${i}`, undefined, wire).self)
      }
      const found = yield* two!.wires("room")
      assert.deepStrictEqual([found.count, found.silent], [4, []])
      assert.deepStrictEqual(
        found.wires,
        new Map([
          ["native", 2],
          ["other", 1],
          ["__proto__", 1]
        ])
      )
      assert.deepStrictEqual(yield* one!.wires("nowhere"), { count: 0, wires: new Map(), silent: [] })
      // Somebody on the way in is no member yet.
      const entering = one!.hub.enter(["room"], member("late", undefined, "sse").self, {
        admitted: () =>
          Effect.sync(() =>
            assert.deepStrictEqual([one!.hub.members("room"), one!.hub.wires("room").get("sse")], [3, undefined])
          )
      })
      yield* entering
      assert.deepStrictEqual([one!.hub.members("room"), one!.hub.wires("room").get("sse")], [4, 1])
      bus.kill(1)
      const asking = yield* Effect.forkChild(one!.wires("room", { timeout: "500 millis" }), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      const { count, silent } = yield* Fiber.join(asking)
      assert.deepStrictEqual([count, names(silent)], [4, ["n1"]])
    })
  )

  it.effect("that a node cannot count are missing, as those of one that does not answer", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const broker = (index: number) => bus.brokers[index]!
      const here = yield* Nodes.make(broker(0), { name: "here" })
      const there = yield* Nodes.make(broker(1), { name: "there" })
      const hub = yield* Hub.on(broker(0))
      const { members } = yield* Cluster.make(hub, here, yield* Questions.make(broker(0), here))
      const questions = yield* Questions.make(broker(1), there)
      yield* TestClock.adjust("300 millis")
      hub.joinUnsafe("room", member("a").self)
      yield* questions.answer("members", () => Effect.succeed("many"))
      const { count, silent } = yield* members("room")
      assert.deepStrictEqual([count, names(silent)], [1, ["there"]])
    })
  )
})

describe("topics", () => {
  it.effect("are those of all nodes with their members, page by page", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(2)
      for (const topic of ["b", "a", "d"]) all[0]!.hub.joinUnsafe(topic, member("1").self)
      for (const topic of ["c", "b"]) all[1]!.hub.joinUnsafe(topic, member("2").self)
      const page = (page: Cluster.Page) => Effect.map(all[0]!.topics(page), ({ topics }) => topics)
      assert.deepStrictEqual(
        (yield* page({})).map(({ members, topic }) => `${topic}${members}`),
        ["a1", "b2", "c1", "d1"]
      )
      assert.deepStrictEqual(
        (yield* page({ after: "a", limit: 2 })).map(({ topic }) => topic),
        ["b", "c"]
      )
      assert.deepStrictEqual(yield* page({ after: "d" }), [])
    })
  )
})

it("a page of topics is the first behind another by their code units, of any number in any order", () => {
  const page = fc.record({ after: fc.option(fc.string({ maxLength: 2 }), { nil: undefined }), limit: fc.nat(6) })
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 3 })), page, (names, { after, limit }) => {
      const found = Cluster.pageOf({ names: () => names, members: ({ length }) => length }, { after, limit })
      const wanted = names
        .filter((name) => after === undefined || name > after)
        .sort()
        .slice(0, Math.max(1, limit))
      assert.deepStrictEqual(
        found,
        wanted.map((topic) => ({ topic, members: topic.length }))
      )
    })
  )
})

describe("topics of a node that declines to answer", () => {
  it.effect("are missing, and it is said of which", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const broker = (index: number) => bus.brokers[index]!
      const here = yield* Nodes.make(broker(0), { name: "here" })
      const there = yield* Nodes.make(broker(1), { name: "there" })
      const hub = yield* Hub.on(broker(0))
      const { topics } = yield* Cluster.make(hub, here, yield* Questions.make(broker(0), here))
      const questions = yield* Questions.make(broker(1), there)
      yield* TestClock.adjust("300 millis")
      hub.joinUnsafe("room", member("a").self)
      yield* questions.answer("topics", () => Effect.fail("no"))
      const found = yield* topics({})
      assert.deepStrictEqual([found.topics, names(found.silent)], [[{ topic: "room", members: 1 }], ["there"]])
    })
  )
})

describe("kick and move", () => {
  it.effect("reach the members of every node, tell them, and say how many there were", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(2)
      const [ada, again, bob] = [member("1", "ada"), member("2", "ada"), member("3", "bob")]
      all[0]!.hub.joinUnsafe("room", ada.self)
      all[1]!.hub.joinUnsafe("room", again.self)
      all[1]!.hub.joinUnsafe("room", bob.self)
      const moved = yield* all[0]!.move(Target.user("ada"), "room", "hall")
      assert.deepStrictEqual(moved, { count: 2, silent: [] })
      assert.deepStrictEqual(
        [...ada.notices, ...again.notices].map(({ _tag }) => _tag),
        ["Moved", "Moved"]
      )
      assert.deepStrictEqual((yield* all[0]!.members("hall")).count, 2)
      const kicked = yield* all[0]!.kick(Target.except(Target.topic("room"), Target.user("ada")), "room", "late")
      assert.strictEqual(kicked.count, 1)
      assert.deepStrictEqual(bob.notices, [{ _tag: "Kicked", topic: "room", reason: "late" }])
      assert.deepStrictEqual((yield* all[1]!.members("room")).count, 0)
    })
  )

  it.effect("do nothing for what is no target", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      all[0]!.hub.joinUnsafe("room", member("1").self)
      for (const name of ["kick", "move"]) {
        const { answers } = yield* all[0]!.questions.ask(name, { target: "{}", topic: "room", from: "room", to: "a" })
        assert.strictEqual(answers[0]?.answer._tag, "Failure")
      }
      assert.strictEqual(all[0]!.hub.members("room"), 1)
    })
  )
})
