/** Random histories, in which every message is accounted for at both ends. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { type Check, type Ear, type Kit, type Node, type Published, check, gaps, random, text, texts } from "./Kit.ts"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import { expect } from "vitest"

/**
 * Nodes that publish, subscribe and leave as a seed has it, while things happen to them; at the end each message is
 * accounted for at both ends.
 */
const history = (
  kit: Kit,
  seed: number,
  happenings: ReadonlyArray<(nodes: ReadonlyArray<Node>) => Effect.Effect<void>>
) =>
  Effect.gen(function* () {
    const next = random(seed)
    const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
    const forgets = happenings.includes(restartOf(kit)!)
    const nodes = yield* kit.nodes(3)
    const topics = [kit.unique, kit.unique, kit.unique]
    const published: Array<Published> = []
    const ears = yield* Effect.all(nodes.map((node) => kit.ear(node, ...topics)))
    const passing: Array<Ear> = []
    const publishers = nodes.map((node, n) =>
      Effect.gen(function* () {
        const producer = kit.unique
        for (let i = 0; i < 60; i++) {
          const topic = pick(topics)
          const what = `${seed}:${n}:${i}`
          const isKeyed = next() < 0.5
          const key = isKeyed ? { producer, epoch: 0, sequence: i } : undefined
          // Who has forgotten may take it twice: then nobody repeats.
          const attempt =
            isKeyed && !forgets ? kit.insist(node, topic, text(what, key)) : node.publish(topic, text(what, key))
          const exit = yield* Effect.exit(attempt)
          if (Exit.isSuccess(exit)) {
            published.push({ topic, text: what, position: exit.value.position })
            if (isKeyed && !forgets && next() < 0.3) {
              const again = yield* Effect.exit(kit.insist(pick(nodes), topic, text(what, key)))
              if (Exit.isSuccess(again)) expect(again.value).toEqual({ position: exit.value.position, repeated: true })
            }
          } else {
            const error = Cause.findError(exit.cause)
            if (Result.isFailure(error)) return yield* Effect.failCause(exit.cause)
            const { reason } = error.success as BrokerError
            expect(reason._tag).toBe("Unavailable")
            if (reason._tag === "Unavailable" && reason.outcome === "Unknown") {
              published.push({ topic, text: what, position: undefined })
            }
          }
          if (next() < 0.3) yield* Effect.sleep(Math.floor(next() * 10))
        }
      })
    )
    const comings = Effect.gen(function* () {
      for (let i = 0; i < 15; i++) {
        const topic = pick(topics)
        const ear = yield* kit.ear(pick(nodes), topic)
        passing.push(ear)
        yield* Effect.sleep(Math.floor(next() * 20))
        if (next() < 0.5) ear.unsubscribe(topic)
      }
    })
    const happening = Effect.gen(function* () {
      for (let i = 0; i < 5 && happenings.length > 0; i++) {
        yield* Effect.sleep(10 + Math.floor(next() * 60))
        yield* pick(happenings)(nodes)
      }
    })
    yield* Effect.all([...publishers, comings, happening], { concurrency: "unbounded", discard: true })
    for (const node of nodes) yield* kit.isUp(node)
    for (const topic of topics) published.push(yield* kit.mark(nodes[0]!, ears, topic))
    for (const topic of topics) {
      for (const ear of ears) kit.account(ear, topic, published)
      if (happenings.length > 0) continue
      const order = texts(ears[0]!, topic)
      for (const ear of ears) expect(texts(ear, topic)).toEqual(order)
    }
    // Who left in between was told all up to then; the order and what is told twice can be seen.
    for (const ear of passing) {
      for (const topic of ear.began.keys()) {
        const heard = new Set(texts(ear, topic))
        // What was published to it behind its leaving was not to come.
        const unsure = published.map((each) => ({
          topic: each.topic,
          text: each.text,
          position: heard.has(each.text) ? each.position : undefined
        }))
        kit.account(ear, topic, unsure)
      }
    }
    if (!forgets) for (const ear of ears) expect(gaps(ear), "all of it is kept").toEqual([])
  })

const restarts = new WeakMap<Kit, (nodes: ReadonlyArray<Node>) => Effect.Effect<void>>()

const restartOf = (kit: Kit) => {
  const { restart } = kit.faults
  if (restart === undefined) return undefined
  const known = restarts.get(kit) ?? (() => restart)
  restarts.set(kit, known)
  return known
}

/** Cuts, pauses and partitions, of any node, for some time. */
const disturbances = (kit: Kit): ReadonlyArray<(nodes: ReadonlyArray<Node>) => Effect.Effect<void>> => {
  const { cut, partition, pause } = kit.faults
  let turn = 0
  const some = (nodes: ReadonlyArray<Node>) => nodes[turn++ % nodes.length]!
  const during = (fault: Effect.Effect<void, never, Scope.Scope>) =>
    Effect.scoped(Effect.andThen(fault, Effect.sleep((turn * 37) % 300)))
  return [
    ...(cut === undefined ? [] : [(nodes: ReadonlyArray<Node>) => cut(some(nodes))]),
    ...(pause === undefined ? [] : [() => during(pause)]),
    ...(partition === undefined ? [] : [(nodes: ReadonlyArray<Node>) => during(partition(some(nodes)))])
  ]
}

export const histories: ReadonlyArray<Check> = [
  check("accounts for every message of a random history", (kit) =>
    Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, [])), { discard: true })
  ),
  check(
    "accounts for every message while links are cut, nodes are cut off, and the server is held up",
    (kit) =>
      Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, disturbances(kit))), { discard: true }),
    "cut"
  ),
  check(
    "accounts for every message, or tells a gap, while the server forgets as well",
    (kit) =>
      Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, [restartOf(kit)!, ...disturbances(kit)])), {
        discard: true
      }),
    "restart"
  )
]
