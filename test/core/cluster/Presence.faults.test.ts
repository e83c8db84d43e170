/**
 * Who is there, while the network loses, repeats, holds up and is cut, and nodes die: when it is whole again all say the
 * same, which is what is true; and whoever has followed the changes has it, too.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import type * as Presence from "@millrace/core/cluster/Presence"
import type { User } from "@millrace/core/cluster/PresenceState"
import { cluster } from "../../support/presences.ts"

const topics = ["t", "u", "constructor"]

/** Follows the changes of all topics from the start, and finds it wrong when one is told that cannot be. */
const follow = (presence: Presence.Presence["Service"]) => {
  const shown = new Map(topics.map((topic) => [topic, new Map<string, User>()]))
  for (const [topic, users] of shown) {
    presence.watchUnsafe(topic, (changes) => {
      for (const { _tag, user } of changes) {
        assert.strictEqual(users.has(user.user), _tag !== "Joined", `${_tag} ${user.user}`)
        if (_tag === "Left") users.delete(user.user)
        else users.set(user.user, user)
      }
    })
  }
  return shown
}

const byUser = (users: Iterable<User>) => [...users].toSorted((one, other) => (one.user < other.user ? -1 : 1))

/** Who is there by what was done: by node and topic, each member's user. */
type Model = Map<number, Map<string, Map<string, { readonly user: string; readonly info: string }>>>

const act = (model: Model, node: number, presence: Presence.Presence["Service"], random: () => number) => {
  const pick = (n: number) => Math.floor(random() * n)
  const topic = topics[pick(topics.length)]!
  const member = `m${pick(6)}`
  const its = model.get(node)!.get(topic)!
  if (pick(3) === 0) {
    assert.strictEqual(presence.leaveUnsafe(topic, member), its.delete(member))
  } else {
    const joining = { user: `u${pick(12)}`, info: `${pick(1_000)}` }
    assert.strictEqual(Result.getOrThrow(presence.joinUnsafe(topic, { member, ...joining })), !its.has(member))
    its.set(member, joining)
  }
}

const emptyModel = (count: number): Model =>
  new Map(Array.from({ length: count }, (_, node) => [node, new Map(topics.map((topic) => [topic, new Map()]))]))

/** How many connections each user has. */
const connectionsOf = (model: Model, topic: string) => {
  const counts = new Map<string, number>()
  for (const its of model.values()) {
    for (const { user } of its.get(topic)!.values()) counts.set(user, (counts.get(user) ?? 0) + 1)
  }
  return counts
}

const check = (
  model: Model,
  all: ReadonlyArray<{ readonly presence: Presence.Presence["Service"] }>,
  followed: ReadonlyArray<ReturnType<typeof follow>>
) => {
  for (const node of model.keys()) {
    const { presence } = all[node]!
    for (const topic of topics) {
      const users = presence.users(topic)
      const counts = connectionsOf(model, topic)
      assert.deepStrictEqual(new Map(users.map(({ connections, user }) => [user, connections])), counts)
      assert.deepStrictEqual(users, all[[...model.keys()][0]!]!.presence.users(topic))
      assert.deepStrictEqual(byUser(followed[node]!.get(topic)!.values()), byUser(users))
      assert.deepStrictEqual(presence.count(topic), {
        users: counts.size,
        connections: [...counts.values()].reduce((sum, n) => sum + n, 0)
      })
    }
  }
}

describe("presence under faults", () => {
  it.effect.each(Array.from({ length: 12 }, (_, seed) => seed))(
    "is true and the same on all nodes that are left when the network is whole again (%i)",
    (seed) =>
      Effect.gen(function* () {
        const { nextDoubleUnsafe: random } = yield* Random.Random
        const count = 6
        const { all, bus } = yield* cluster(count)
        const model = emptyModel(count)
        const followed = all.map(({ presence }) => follow(presence))
        for (let round = 0; round < 40; round++) {
          bus.faults.loss = [0, 0.1, 0.5, 1][Math.floor(random() * 4)]!
          bus.faults.repeats = random() < 0.5 ? 0 : 0.5
          bus.faults.delay = random() < 0.5 ? [0, 0] : [0, 300]
          if (random() < 0.2) {
            const half = Array.from({ length: count }, (_, node) => node).filter(() => random() < 0.5)
            bus.partition(
              half,
              Array.from({ length: count }, (_, node) => node).filter((node) => !half.includes(node))
            )
          }
          if (random() < 0.2) bus.heal()
          if (random() < 0.1) bus.down(Math.floor(random() * count), random() < 0.5)
          if (random() < 0.05 && model.size > 2) {
            const dead = [...model.keys()][Math.floor(random() * model.size)]!
            bus.kill(dead)
            model.delete(dead)
          }
          for (let i = 0; i < 20; i++) {
            const node = [...model.keys()][Math.floor(random() * model.size)]!
            act(model, node, all[node]!.presence, random)
            if (random() < 0.3) yield* TestClock.adjust(Math.floor(random() * 400))
          }
        }
        Object.assign(bus.faults, { loss: 0, repeats: 0, delay: [0, 0] })
        for (let node = 0; node < count; node++) bus.down(node, false)
        bus.heal()
        // Who is dead is found so, those who are not are heard and asked, and then the grace.
        yield* TestClock.adjust("16 seconds")
        check(model, all, followed)
      }).pipe(Random.withSeed(`presence ${seed}`))
  )

  it.effect("is that of one's own half while 20 nodes are cut in two, and of all a few seconds after that", () =>
    Effect.gen(function* () {
      const count = 20
      const { nextDoubleUnsafe: random } = yield* Random.Random
      const { all, bus } = yield* cluster(count)
      const model = emptyModel(count)
      const followed = all.map(({ presence }) => follow(presence))
      const everybody = [...model.keys()]
      const halves = [everybody.slice(0, 10), everybody.slice(10)]
      const some = () => {
        for (let i = 0; i < 200; i++) {
          const node = Math.floor(random() * count)
          act(model, node, all[node]!.presence, random)
        }
      }
      some()
      yield* TestClock.adjust("6 seconds")
      check(model, all, followed)
      bus.partition(...halves)
      some()
      yield* TestClock.adjust("14 seconds")
      for (const half of halves) {
        check(new Map(half.map((node) => [node, model.get(node)!])), all, followed)
      }
      some()
      const { said } = bus.counts
      bus.heal()
      yield* TestClock.adjust("4 seconds")
      // Those who are there are the same from now on; who has left is in its grace.
      for (const topic of topics) {
        const connections = [...connectionsOf(model, topic).values()].reduce((sum, n) => sum + n, 0)
        for (const { presence } of all) assert.strictEqual(presence.count(topic).connections, connections)
      }
      // Each asks each of the other half, and is answered, once: not all of them again and again.
      assert.isAtMost(bus.counts.said - said, 2 * 200 + 20 * 4 + 20)
      yield* TestClock.adjust("6 seconds")
      check(model, all, followed)
    }).pipe(Random.withSeed("halves"))
  )

  it.effect("tells nobody of a partition that is over within the patience and the grace", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(4)
      for (const [node, { presence }] of all.entries()) presence.joinUnsafe("t", { member: "m", user: `u${node}` })
      yield* TestClock.adjust("1 second")
      const told: Array<string> = []
      for (const { presence } of all) {
        presence.watchUnsafe("t", (changes) => void told.push(...changes.map(({ _tag }) => _tag)))
      }
      bus.partition([0, 1], [2, 3])
      yield* TestClock.adjust("7 seconds")
      bus.heal()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told, [])
      for (const { presence } of all) assert.strictEqual(presence.count("t").users, 4)
    })
  )

  it.effect("stays as it was known while the broker cannot be reached, goes on here, and catches up on return", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      const join = (node: number, user: string) => all[node]!.presence.joinUnsafe("t", { member: user, user })
      const names = (node: number) => all[node]!.presence.users("t").map(({ user }) => user)
      join(0, "a")
      join(1, "b")
      yield* TestClock.adjust("1 second")
      for (const node of [0, 1]) bus.down(node)
      join(0, "c")
      all[1]!.presence.leaveUnsafe("t", "b")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(names(0), ["a", "b", "c"])
      assert.deepStrictEqual(names(1), ["a"])
      for (const node of [0, 1]) bus.down(node, false)
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(names(0), ["a", "c"])
      assert.deepStrictEqual(names(1), ["a", "c"])
    })
  )
})
