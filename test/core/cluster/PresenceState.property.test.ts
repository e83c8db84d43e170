/**
 * Whatever nodes do, and in whatever order, how often and whether at all it is heard: who knows as much says the same,
 * and that is what a model says which has one list of all members.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type Delta, type Full, type Member, PresenceState, type User } from "@millrace/core/cluster/PresenceState"

const nodes = ["a", "b", "c"] as const
const topics = ["t", "u", "__proto__"]
const options = { maxMembers: 1_000, maxChanges: 5 }

interface Step {
  readonly node: number
  readonly topic: number
  readonly member: number
  /** `undefined`: it leaves. */
  readonly user: number | undefined
  readonly info: number
  /** Starts the node again before it. */
  readonly restart: boolean
  /** Whether it is told behind this step, and how. */
  readonly tells: "Delta" | "Full" | undefined
}

const step: fc.Arbitrary<Step> = fc.record({
  node: fc.nat({ max: 2 }),
  topic: fc.nat({ max: 2 }),
  member: fc.nat({ max: 3 }),
  user: fc.option(fc.nat({ max: 2 }), { nil: undefined, freq: 3 }),
  info: fc.nat({ max: 2 }),
  restart: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
  tells: fc.constantFrom("Delta" as const, "Delta" as const, "Full" as const, undefined)
})

/** The model: by node, what it has at each version of each life; and all that was ever said. */
const play = (steps: ReadonlyArray<Step>) => {
  const writers = nodes.map((node) => ({ state: new PresenceState(node, 1, options), life: 1, sent: 0 }))
  const lists = nodes.map(() => new Map<string, Member & { readonly topic: string }>())
  const said: Array<Delta | Full> = []
  const past = new Map<string, ReadonlyArray<Member & { readonly topic: string }>>()
  for (const [time, { info, member: m, node: n, restart, tells, topic: t, user }] of steps.entries()) {
    const writer = writers[n]!
    const [node, topic, member] = [nodes[n]!, topics[t]!, `m${m}`]
    const list = lists[n]!
    if (restart) {
      writer.state = new PresenceState(node, ++writer.life, options)
      writer.sent = 0
      list.clear()
    }
    const key = `${t} ${m}`
    const before = list.get(key)
    if (user === undefined) {
      expect(writer.state.leave(topic, member)).toBe(list.delete(key))
    } else {
      const name = `user ${user}`
      writer.state.join(topic, member, name, `${info}`, time)
      const since = before?.user === name ? before.since : time
      list.set(key, { topic, node, member, user: name, info: `${info}`, since, updated: time })
    }
    past.set(`${node} ${writer.life} ${writer.state.mark.version}`, [...list.values()])
    const delta = tells === "Delta" ? writer.state.since(writer.sent) : undefined
    if (delta !== undefined) {
      said.push(delta)
      writer.sent = writer.state.mark.version
    }
    if (tells === "Full") said.push(writer.state.full())
  }
  return { writers, said, past, final: lists.flatMap((list) => Array.from(list.values())) }
}

const usersOf = (members: Iterable<Member & { readonly topic: string }>, topic: string): ReadonlyArray<User> => {
  const byUser = new Map<string, Array<Member>>()
  for (const member of members) {
    if (member.topic !== topic) continue
    byUser.set(member.user, [...(byUser.get(member.user) ?? []), member])
  }
  return [...byUser]
    .map(([user, its]) => ({
      user,
      info: its.toSorted((x, y) => y.updated - x.updated)[0]!.info,
      connections: its.length,
      since: Math.min(...its.map(({ since }) => since))
    }))
    .toSorted((x, y) => x.since - y.since || (x.user < y.user ? -1 : 1))
}

const all = (state: PresenceState) => ({
  topics: topics.map((topic) => state.users(topic)),
  connections: topics.map((topic) => state.connections(topic)),
  size: state.size,
  known: nodes.map((node) => state.known(node))
})

const reader = () => new PresenceState("reader", 1, options)

const history = fc.array(step, { maxLength: 40 })
/** What is heard of what was said: any of it, in any order, any of it more than once. */
const order = fc.array(fc.nat(), { maxLength: 60 })
const pick = <A>(said: ReadonlyArray<A>, order: ReadonlyArray<number>): ReadonlyArray<A> =>
  said.length === 0 ? [] : order.map((n) => said[n % said.length]!)

describe("what is known", () => {
  it("does not depend on the order in which it was told, nor on how often", () => {
    fc.assert(
      fc.property(history, order, fc.array(fc.nat(), { maxLength: 60 }), (steps, heard, shuffle) => {
        const told = pick(play(steps).said, heard)
        const [one, other] = [reader(), reader()]
        for (const message of told) one.merge(message)
        // All of it in another order, and some of it again before and behind.
        const again = pick(told, shuffle)
        const keyed = told.map((message, i) => [shuffle[i % (shuffle.length + 1)] ?? i, message] as const)
        for (const message of again) other.merge(message)
        for (const [, message] of keyed.toSorted(([x], [y]) => x - y)) other.merge(message)
        for (const message of again) other.merge(message)
        expect(all(other)).toEqual(all(one))
      }),
      { numRuns: 500 }
    )
  })

  it("of a node is always what was true there at some version, whatever was lost", () => {
    fc.assert(
      fc.property(history, order, (steps, heard) => {
        const { past, said } = play(steps)
        const state = reader()
        for (const message of pick(said, heard)) {
          state.merge(message)
          const members = nodes.flatMap((node) => {
            const mark = state.known(node)
            if (mark === undefined || mark.version === 0) return []
            return past.get(`${node} ${mark.life} ${mark.version}`)!
          })
          for (const topic of topics) {
            expect(state.users(topic)).toEqual(usersOf(members, topic))
            expect(state.connections(topic)).toBe(members.filter((member) => member.topic === topic).length)
          }
        }
      }),
      { numRuns: 300 }
    )
  })

  it("is what is true, and the same for all, once each has told what it has, whatever was lost before", () => {
    fc.assert(
      fc.property(history, order, order, (steps, heard, others) => {
        const { final, said, writers } = play(steps)
        const states = [reader(), reader(), ...writers.map(({ state }) => state)]
        for (const [i, state] of states.entries()) {
          for (const message of pick(said, i % 2 === 0 ? heard : others)) state.merge(message)
          // As nodes do: what is missing if that is kept, and else everything.
          for (const { life, state: writer } of i % 2 === 0 ? writers : writers.toReversed()) {
            const known = state.known(writer.full().node)
            const missing = known?.life === life ? writer.since(known.version) : undefined
            state.merge(missing ?? writer.full())
            expect(state.isBehind(writer.full().node, writer.mark)).toBe(false)
          }
        }
        for (const state of states) {
          for (const topic of topics) expect(state.users(topic)).toEqual(usersOf(final, topic))
          expect(state.size).toBe(final.length)
        }
      }),
      { numRuns: 500 }
    )
  })

  it("says each change of a user, and only of those that it may have changed", () => {
    fc.assert(
      fc.property(history, order, (steps, heard) => {
        const state = reader()
        const shown = new Map<string, User>()
        for (const [i, message] of pick(play(steps).said, heard).entries()) {
          if (i % 7 === 6) state.drop(message.node)
          else state.merge(message)
          for (const [topic, users] of state.takeTouched()) {
            for (const name of users) {
              const user = state.user(topic, name)
              if (user === undefined) shown.delete(`${topic} ${name}`)
              else shown.set(`${topic} ${name}`, user)
            }
          }
          const now = topics.flatMap((topic) =>
            state.users(topic).map((user) => [`${topic} ${user.user}`, user] as const)
          )
          expect(new Map(shown)).toEqual(new Map(now))
        }
      }),
      { numRuns: 300 }
    )
  })
})
