/**
 * Any history over any network: what nodes are told is what the broker in memory tells, or lies in a gap that they are
 * told. Each message is counted at both ends.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import type { Delivery } from "@millrace/core/cluster/Broker"
import * as EngineBroker from "@millrace/core/cluster/EngineBroker"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Message from "@millrace/core/protocol/Message"
import { deliveries, type Ear, gaps, Kit, type Published, text } from "../../support/brokerKit/Kit.ts"
import { start, turn, world } from "../../support/connection.ts"
import * as FaultyEngine from "../../support/faultyEngine.ts"

const topics = ["s", "t", "u"]
const names = ["a", "b", "c"]

const network = fc.record({
  drop: fc.constantFrom(0, 0.1, 0.5),
  lose: fc.constantFrom(0, 0.02),
  duplicate: fc.constantFrom(0, 0.5),
  delay: fc.constantFrom(0, 10, 200),
  reorder: fc.boolean()
})

/** What happens, and how long nothing else does. */
const step = fc.record({
  wait: fc.constantFrom(0, 0, 0, 5, 100, 3_000),
  what: fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        _tag: fc.constant("Publish" as const),
        node: fc.nat(2),
        topic: fc.constantFrom(...topics),
        count: fc.integer({ min: 1, max: 5 })
      })
    },
    {
      weight: 3,
      arbitrary: fc.record({
        _tag: fc.constantFrom("Cut" as const, "Partition" as const, "Heal" as const),
        node: fc.nat(2)
      })
    },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constantFrom("Pause" as const, "Resume" as const) }) },
    { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Restart" as const) }) },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Write" as const), topic: fc.constantFrom(...topics) }) }
  )
})

const history = fc.record({
  seed: fc.integer(),
  network,
  maxEntries: fc.constantFrom(5, 1_000),
  steps: fc.array(step, { maxLength: 40 }),
  ops: fc.constantFrom(2_048, 3, 7, 13, 40)
})

type History = typeof history extends fc.Arbitrary<infer A> ? A : never

const suffer = ({ maxEntries, network, seed, steps }: History) =>
  Effect.gen(function* () {
    const server = yield* FaultyEngine.make({ seed, network, maxEntries })
    const nodes = yield* Effect.all(names.map((name) => EngineBroker.make(server.engine(name))))
    const kit = new Kit({ connect: Effect.never }, { make: Effect.never }, yield* Clock.Clock)
    const ears: ReadonlyArray<Ear> = yield* Effect.all(nodes.map((node) => kit.ear(node)))
    for (const ear of ears) yield* start(Effect.forEach(topics, ear.subscribe, { concurrency: "unbounded" }))
    const published: Array<Published> = []
    let open = 0
    let count = 0
    const publish = (node: number, topic: string) => {
      const what = `${count++}`
      open++
      return Effect.map(Effect.exit(nodes[node]!.publish(topic, text(what))), (exit) => {
        open--
        const isUnknown = Exit.isFailure(exit) && JSON.stringify(exit).includes('"Unknown"')
        if (Exit.isSuccess(exit)) published.push({ topic, text: what, position: exit.value.position })
        else if (isUnknown) published.push({ topic, text: what, position: undefined })
      })
    }
    for (const { wait, what } of steps) {
      if (what._tag === "Publish") {
        for (let i = 0; i < what.count; i++) yield* start(publish(what.node, what.topic))
      } else if (what._tag === "Cut") server.cut(names[what.node])
      else if (what._tag === "Partition") server.partition(names[what.node]!)
      else if (what._tag === "Heal") server.heal(names[what.node]!)
      else if (what._tag === "Pause") server.pause()
      else if (what._tag === "Resume") server.resume()
      else if (what._tag === "Write") server.append(what.topic, Uint8Array.of(255, 1, 2))
      else {
        server.kill()
        server.start()
      }
      yield* wait === 0 ? Effect.yieldNow : TestClock.adjust(wait)
    }
    // From now on nothing goes wrong any more.
    Object.assign(server.network, FaultyEngine.perfect)
    server.resume()
    for (const name of names) server.heal(name)
    for (let i = 0; i < 60; i++) yield* TestClock.adjust("1 second")
    yield* turn
    expect(open, "who publishes has an answer").toBe(0)
    for (const node of nodes) expect(node.status()._tag).toBe("Up")
    for (const topic of topics) yield* publish(0, topic)
    yield* TestClock.adjust("1 second")
    return { server, ears, kit, published }
  })

const plain = ({ parcel, topic }: Delivery) => [topic, (parcel.message as Message.Text).text]

const run = <A>(past: History, look: (found: Effect.Success<ReturnType<typeof suffer>>) => Effect.Effect<A>) =>
  world(Effect.provideService(Effect.flatMap(suffer(past), look), Scheduler.MaxOpsBeforeYield, past.ops))

it("delivers each publication once, in order, or tells the gap in which it lies", async () => {
  await fc.assert(
    fc.asyncProperty(history, (past) =>
      run(past, ({ ears, kit, published }) =>
        Effect.sync(() => {
          for (const ear of ears) {
            // Who could not wait was told where it begins.
            for (const topic of topics) kit.account(ear, topic, published)
          }
        })
      )
    ),
    { numRuns: 60 }
  )
}, 60_000)

it("delivers what the broker in memory delivers, where nothing was forgotten", async () => {
  const kept = history.filter(({ steps }) => steps.every(({ what }) => what._tag !== "Restart"))
  await fc.assert(
    fc.asyncProperty(kept, (past) =>
      run({ ...past, maxEntries: 1_000 }, ({ ears, server }) =>
        Effect.gen(function* () {
          // What the log has, published again by one who waits for each.
          const memory = yield* MemoryBroker.make()
          const model: Array<Delivery> = []
          const attachment = yield* memory.attach({ deliver: (each) => void model.push(each), lost: () => {} })
          for (const topic of topics) yield* attachment.subscribe(topic)
          for (const { bytes, topic } of server.all(topics)) {
            const parcel = FaultyEngine.parcelOf(bytes)
            if (parcel !== undefined) yield* memory.publish(topic, parcel)
          }
          for (const ear of ears) {
            for (const topic of topics) {
              const wanted = model.filter((each) => each.topic === topic).map(plain)
              const told = deliveries(ear, topic).map(plain)
              const [first] = gaps(ear, topic)
              const isWhole = first === undefined && ear.began.get(topic)?.offset === 0
              if (isWhole) expect(told).toEqual(wanted)
              else expect(told).toEqual(wanted.slice(wanted.length - told.length))
              // Only who subscribed while nobody was there is told of a gap.
              expect(gaps(ear, topic).every(({ from }) => from === undefined)).toBe(true)
            }
          }
        }).pipe(Effect.scoped, Effect.orDie)
      )
    ),
    { numRuns: 40 }
  )
}, 60_000)
