/** Which nodes there are, over a bus that can be cut. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Cast from "@millrace/core/cluster/Cast"
import * as NodeMessage from "@millrace/core/cluster/NodeMessage"
import * as Nodes from "@millrace/core/cluster/Nodes"
import { countingFibers } from "../../support/leaks.ts"
import * as Bus from "../../support/nodes.ts"

/** A node that lives in a scope of its own. */
const start = (bus: Bus.Bus, index: number, options?: Partial<Nodes.Options>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const nodes = yield* Nodes.make(bus.brokers[index]!, { name: `n${index}`, ...options }).pipe(Scope.provide(scope))
    return { nodes, stop: Scope.close(scope, Exit.void) }
  })

const cluster = (count: number, options?: Partial<Nodes.Options>) =>
  Effect.gen(function* () {
    const bus = yield* Bus.make(count)
    const all = yield* Effect.forEach(bus.brokers, (_, index) => start(bus, index, options))
    yield* TestClock.adjust("300 millis")
    return { bus, all }
  })

const names = ({ nodes }: { readonly nodes: Nodes.Nodes["Service"] }) => nodes.list().map(({ name }) => name)

describe("Nodes", () => {
  it.effect("know each other as soon as one has said that it is there, and say the same of each", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const one = yield* start(bus, 0, { url: "ws://one", describe: () => ({ connections: 3, topics: 2 }) })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(names(one), ["n0"])
      const other = yield* start(bus, 1)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(names(one), ["n0", "n1"])
      assert.deepStrictEqual(names(other), ["n0", "n1"])
      assert.deepStrictEqual(other.nodes.get("node-0"), {
        id: "node-0",
        name: "n0",
        url: "ws://one",
        started: 0,
        connections: 3,
        topics: 2,
        carried: new Map()
      })
      assert.deepStrictEqual(one.nodes.self(), other.nodes.get("node-0"))
      assert.isUndefined(other.nodes.get("node-2"))
    })
  )

  it.effect("say every two seconds what they have by then", () =>
    Effect.gen(function* () {
      let connections = 0
      const { all, bus } = yield* cluster(2, { describe: () => ({ connections: connections++, topics: 1 }) })
      const { said } = bus.counts
      yield* TestClock.adjust("1 minute")
      // Two nodes, every 1.8 to 2 s.
      assert.isAtLeast(bus.counts.said - said, 2 * 29)
      assert.isAtMost(bus.counts.said - said, 2 * 34)
      assert.isAbove(all[0]!.nodes.get("node-1")!.connections, 30)
    })
  )

  it.effect("know at once that one is gone which has said so", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(3)
      yield* all[1]!.stop
      assert.deepStrictEqual(names(all[0]!), ["n0", "n2"])
      assert.deepStrictEqual(names(all[2]!), ["n0", "n2"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(names(all[0]!), ["n0", "n2"])
    })
  )

  it.effect("take one for gone that was silent for more than three heartbeats, and not before", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      bus.kill(1)
      // Four heartbeats of its own, of 1.8 to 2 s each, less the 300 ms that have gone by.
      yield* TestClock.adjust(6_890)
      assert.deepStrictEqual(names(all[0]!), ["n0", "n1", "n2"])
      yield* TestClock.adjust(810)
      assert.deepStrictEqual(names(all[0]!), ["n0", "n2"])
      assert.deepStrictEqual(names(all[2]!), ["n0", "n2"])
    })
  )

  it.effect(
    "stay, with a third of all heartbeats lost, for most of the time, and come back when they were taken for gone",
    () =>
      Effect.gen(function* () {
        const { all, bus } = yield* cluster(5)
        bus.faults.loss = 0.33
        bus.faults.repeats = 0.2
        bus.faults.delay = [0, 500]
        let present = 0
        for (let i = 0; i < 100; i++) {
          yield* TestClock.adjust("2 seconds")
          for (const one of all) present += names(one).length
        }
        assert.isAbove(present, 0.9 * 100 * 25)
        bus.faults.loss = 0
        yield* TestClock.adjust("3 seconds")
        for (const one of all) assert.deepStrictEqual(names(one), ["n0", "n1", "n2", "n3", "n4"])
      }).pipe(Random.withSeed("nodes"))
  )

  it.effect("know their own half while they are cut in two, and all of them when that is over", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(20)
      bus.partition(
        [...Array(10).keys()],
        [...Array(10).keys()].map((n) => n + 10)
      )
      yield* TestClock.adjust("9 seconds")
      for (const one of all) assert.strictEqual(names(one).length, 10)
      assert.deepStrictEqual(
        names(all[3]!),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `n${n}`)
      )
      bus.heal()
      yield* TestClock.adjust("3 seconds")
      for (const one of all) assert.strictEqual(names(one).length, 20)
    })
  )

  it.effect("accuse nobody while the broker cannot be reached, and find out who is gone when it is back", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      bus.down(0)
      yield* all[2]!.stop
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(names(all[0]!), ["n0", "n1", "n2"])
      assert.deepStrictEqual(names(all[1]!), ["n1"])
      assert.isAtLeast(all[0]!.nodes.counters().unsent, 29)
      bus.down(0, false)
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(names(all[0]!), ["n0", "n1"])
      assert.deepStrictEqual(names(all[1]!), ["n0", "n1"])
    })
  )

  it.effect(
    "are told of one by one as they come and go, what there is first, by a stream that ends with the scope",
    () =>
      Effect.gen(function* () {
        const bus = yield* Bus.make(3)
        const one = yield* start(bus, 0)
        const told: Array<string> = []
        const telling = yield* one.nodes.changes.pipe(
          Stream.runForEach((change) =>
            Effect.sync(() =>
              told.push(change._tag === "Left" ? `-${change.node.name} ${change.because}` : change.node.name)
            )
          ),
          Effect.forkChild({ startImmediately: true })
        )
        const other = yield* start(bus, 1)
        yield* TestClock.adjust("1 second")
        yield* start(bus, 2)
        yield* TestClock.adjust("1 second")
        yield* other.stop
        bus.kill(2)
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(told, ["n0", "n1", "n2", "-n1 Goodbye", "-n2 Silence"])
        yield* one.stop
        yield* Fiber.join(telling)
        assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(one.nodes.changes, 5)), [
          { _tag: "Joined", node: one.nodes.self() }
        ])
      })
  )

  it.effect(
    "tell a listener in the turn, each heartbeat too, with what is carried, for as long as its scope is open",
    () =>
      Effect.gen(function* () {
        const { all, bus } = yield* cluster(2)
        const told: Array<string> = []
        const scope = yield* Scope.make()
        yield* all[0]!.nodes
          .listen({
            joined: ({ name }) => told.push(`+${name}`),
            left: ({ name }, because) => told.push(`-${name} ${because}`),
            heard: ({ carried, name }) => told.push(`${name} ${carried.get("v")}`)
          })
          .pipe(Scope.provide(scope))
        let version = 0
        const carrying = yield* Scope.make()
        yield* all[1]!.nodes.carry("v", () => String(++version)).pipe(Scope.provide(carrying))
        yield* TestClock.adjust("4 seconds")
        assert.deepStrictEqual(told, ["n1 1", "n1 2"])
        yield* Scope.close(carrying, Exit.void)
        yield* TestClock.adjust("2 seconds")
        yield* all[1]!.stop
        assert.deepStrictEqual(told.slice(2), ["n1 undefined", "-n1 Goodbye"])
        yield* Scope.close(scope, Exit.void)
        yield* start(bus, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(all[0]!.nodes.list().length, 2)
        assert.strictEqual(told.length, 4)
      })
  )

  it.effect("are in the order in which they were started", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(3)
      const all = []
      for (const index of [2, 0, 1]) {
        yield* TestClock.adjust("1 second")
        all.push(yield* start(bus, index))
      }
      yield* TestClock.adjust("1 second")
      for (const one of all) assert.deepStrictEqual(names(one), ["n2", "n0", "n1"])
    })
  )

  it.effect("leave out what is too long to be carried, and die of a name that is taken", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(2)
      yield* all[0]!.nodes.carry("long", () => "x".repeat(129))
      yield* all[0]!.nodes.carry("short", () => "")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([...all[1]!.nodes.get("node-0")!.carried], [["short", ""]])
      assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.nodes.carry("short", () => ""))))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.nodes.carry("x".repeat(129), () => ""))))
      for (let i = 0; i < 14; i++) yield* all[0]!.nodes.carry(`${i}`, () => "")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(all[0]!.nodes.carry("17th", () => ""))))
    })
  )

  it.effect("ignore and count what is of another version or no node's, and what is over a bound", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(1)
      const beat = NodeMessage.encode({
        _tag: "Beat",
        life: 1,
        beat: 1,
        node: { ...all[0]!.nodes.self(), id: "x", name: "__proto__" }
      })
      const nonsense = [
        new Uint8Array(0),
        Uint8Array.of(1),
        Uint8Array.of(2, ...beat.subarray(1)),
        beat.subarray(0, beat.length - 1),
        Uint8Array.of(1, 0xff),
        Uint8Array.of(...beat, ...new Uint8Array(NodeMessage.maxBytes + 1 - beat.length).fill(0x20)),
        ...[
          {},
          null,
          [],
          ["beat"],
          ["beat", "", 1, 1, "n", null, 1, 1, 1, []],
          ["beat", "x".repeat(129), 1, 1, "n", null, 1, 1, 1, []],
          ["beat", "x", -1, 1, "n", null, 1, 1, 1, []],
          ["beat", "x", 1, 1.5, "n", null, 1, 1, 1, []],
          ["beat", "x", 1, 1, "é".repeat(65), null, 1, 1, 1, []],
          ["beat", "x", 1, 1, "n", "u".repeat(2_049), 1, 1, 1, []],
          ["beat", "x", 1, 1, "n", null, 1, "1", 1, []],
          ["beat", "x", 1, 1, "n", null, 1, 1, 1, [["a"]]],
          ["beat", "x", 1, 1, "n", null, 1, 1, 1, ["ab"]],
          ["beat", "x", 1, 1, "n", null, 1, 1, 1, Array.from({ length: 17 }, (_, i) => [`${i}`, "b"])],
          ["bye", 1, 1]
        ].map((value) => Cast.encode(value as Cast.Json))
      ]
      for (const bytes of nonsense) bus.forge(Nodes.channel, bytes)
      assert.deepStrictEqual(all[0]!.nodes.counters(), { unread: nonsense.length, refused: 0, unsent: 0 })
      assert.deepStrictEqual(names(all[0]!), ["n0"])
      bus.forge(Nodes.channel, beat)
      assert.deepStrictEqual(names(all[0]!), ["n0", "__proto__"])
    })
  )

  it.effect("know no more than they may, and count those that were one too many", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(4, { maxNodes: 3 })
      for (const one of all) assert.strictEqual(names(one).length, 3)
      assert.isAtLeast(all[0]!.nodes.counters().refused, 1)
    })
  )

  it.effect("are not woken by what was held up on its way: a heartbeat behind a goodbye, or an older one", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(1)
      const beat = (beat: number, life = 1) =>
        bus.forge(
          Nodes.channel,
          NodeMessage.encode({ _tag: "Beat", life, beat, node: { ...all[0]!.nodes.self(), id: "x", topics: beat } })
        )
      const bye = (life = 1) => bus.forge(Nodes.channel, NodeMessage.encode({ _tag: "Goodbye", id: "x", life }))
      beat(2)
      beat(1)
      assert.strictEqual(all[0]!.nodes.get("x")?.topics, 2)
      bye()
      beat(3)
      assert.isUndefined(all[0]!.nodes.get("x"))
      beat(1, 2)
      assert.strictEqual(all[0]!.nodes.get("x")?.topics, 1)
      bye(1)
      beat(9, 1)
      assert.strictEqual(all[0]!.nodes.get("x")?.topics, 1)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(all[0]!.nodes.get("x"))
      beat(1, 2)
      assert.isUndefined(all[0]!.nodes.get("x"))
      beat(2, 2)
      assert.isDefined(all[0]!.nodes.get("x"))
      // A goodbye that comes first.
      bus.forge(Nodes.channel, NodeMessage.encode({ _tag: "Goodbye", id: "y", life: 1 }))
      bus.forge(
        Nodes.channel,
        NodeMessage.encode({ _tag: "Beat", life: 1, beat: 1, node: { ...all[0]!.nodes.self(), id: "y" } })
      )
      assert.isUndefined(all[0]!.nodes.get("y"))
    })
  )

  it.effect("may be made again over the same broker, and are another life then", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      yield* all[1]!.stop
      const again = yield* start(bus, 1, { name: "again" })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(names(all[0]!), ["n0", "again"])
      yield* again.stop
      assert.deepStrictEqual(names(all[0]!), ["n0"])
      // In the same millisecond, too.
      yield* start(bus, 1, { name: "and again" })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(names(all[0]!), ["n0", "and again"])
    })
  )

  it.effect("die of a name, a url or an interval that may not be", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(1)
      for (const options of [{ name: "" }, { name: "é".repeat(65) }, { url: "u".repeat(2_049) }, { interval: 9 }]) {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(start(bus, 0, options))))
      }
    })
  )

  it.effect(
    "say goodbye in time to a broker that never answers, and leave no fiber, no timer and nothing that hears",
    () =>
      countingFibers((alive) =>
        Effect.gen(function* () {
          const before = alive.fibers
          const { all, bus } = yield* cluster(3)
          yield* TestClock.adjust("5 seconds")
          assert.strictEqual(alive.fibers > before, true)
          yield* all[0]!.stop
          yield* all[1]!.stop
          const scope = yield* Scope.make()
          const mute = { ...bus.brokers[0]!, cast: () => Effect.never }
          yield* Nodes.make(mute, { name: "mute" }).pipe(Scope.provide(scope))
          yield* TestClock.adjust("5 seconds")
          const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(closing)
          yield* all[2]!.stop
          yield* TestClock.adjust(0)
          assert.strictEqual(alive.fibers, before)
          assert.strictEqual(bus.hearing(), 0)
          const { said } = bus.counts
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(bus.counts.said, said)
        })
      )
  )
})
