/** Who is in a topic, as clients of the hub are told it: sessions in memory, on nodes of one bus. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { BrokerError, Unavailable } from "@millrace/core/cluster/BrokerError"
import * as Hub from "@millrace/core/cluster/Hub"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { HubPresence, maxUsers } from "@millrace/core/cluster/HubPresence"
import type * as HubSession from "@millrace/core/cluster/HubSession"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import type * as Presence from "@millrace/core/cluster/Presence"
import * as Target from "@millrace/core/cluster/Target"
import type * as Limits from "@millrace/core/connection/Limits"
import { turn } from "../../support/connection.ts"
import { type Heard, session } from "../../support/hubSession.ts"
import { cluster } from "../../support/presences.ts"

/** Nodes with hubs of their own, where clients are shown. */
const shown = (count = 1, options?: Presence.Options) =>
  Effect.gen(function* () {
    const { all, bus } = yield* cluster(count, options)
    const nodes = yield* Effect.forEach(all, ({ presence }) =>
      Effect.gen(function* () {
        const hub = yield* Hub.make({ history: { epoch: "e" } })
        const running = { fibers: 0, watching: 0 }
        const watchUnsafe: typeof presence.watchUnsafe = (topic, told) => {
          const stop = presence.watchUnsafe(topic, told)
          running.watching++
          return () => {
            running.watching--
            stop()
          }
        }
        const run = (effect: Effect.Effect<void>) => {
          running.fibers++
          Effect.runFork(
            Effect.ensuring(
              effect,
              Effect.sync(() => running.fibers--)
            )
          )
        }
        return { hub, presence, running, shown: new HubPresence({ ...presence, watchUnsafe }, run) }
      })
    )
    return { bus, nodes, node: nodes[0]! }
  })

type Node = Effect.Success<ReturnType<typeof shown>>["node"]

const client = (
  { hub, shown }: Pick<Node, "hub"> & Partial<Pick<Node, "shown">>,
  name: string,
  { limits, ...options }: Omit<HubSession.Options, "client"> & { readonly limits?: Partial<Limits.Limits> } = {}
) =>
  Effect.gen(function* () {
    const one = yield* session(hub, name, limits, { presence: shown, user: name, ...options })
    // Behind the welcome; and what was written in a turn goes out at its end.
    one.heard()
    return { ...one, hear: Effect.map(turn, one.heard) }
  })

/** That others are told, some time after it happens. */
const soon = Effect.andThen(TestClock.adjust(100), turn)

const subscribe = (topic: string, info?: unknown) => ({
  type: "subscribe",
  topic,
  presence: info === undefined ? true : { info }
})

/** What was said of whom, for short: of `present` who is there. */
const short = (messages: ReadonlyArray<Heard>) =>
  messages.map(({ code, connections, type, user, users }) => {
    if (type === "present") return `present ${(users as ReadonlyArray<Heard>).map(({ user }) => user).join(" ")}`.trim()
    if (user !== undefined) return `${type} ${user} ${connections}`
    return code === undefined ? type : `${type} ${code}`
  })

/** So many users who are in the topic by other ways. */
const crowd = (presence: Presence.Presence["Service"], topic: string, count: number) => {
  for (let i = 0; i < count; i++) presence.joinUnsafe(topic, { member: `m${i}`, user: `u${i}` })
}

describe("presence on the hub's wire", () => {
  it.effect("tells who is there behind `subscribed`, and then what changes, on whichever node", () =>
    Effect.gen(function* () {
      const { nodes } = yield* shown(2)
      const ada = yield* client(nodes[0]!, "ada")
      const bob = yield* client(nodes[1]!, "bob")
      yield* ada.say(subscribe("t", "a"))
      assert.deepStrictEqual(short(yield* ada.hear), ["subscribed", "present ada"])
      yield* soon
      yield* bob.say(subscribe("t"))
      assert.deepStrictEqual(short(yield* bob.hear), ["subscribed", "present ada bob"])
      yield* soon
      const [joined] = yield* ada.hear
      assert.deepInclude(joined, { type: "joined", topic: "t", user: "bob", info: null, connections: 1 })
      assert.isTrue(Number.isSafeInteger(joined?.["since"]))
      yield* bob.say(subscribe("t", [1]))
      assert.deepStrictEqual(short(yield* bob.hear), ["subscribed", "updated bob 1", "present ada bob"])
      yield* soon
      assert.deepInclude((yield* ada.hear)[0], { type: "updated", user: "bob", info: [1] })
      yield* bob.say({ type: "unsubscribe", topic: "t" })
      yield* soon
      assert.deepStrictEqual(short(yield* ada.hear), [])
      yield* TestClock.adjust("5 seconds")
      yield* turn
      assert.deepStrictEqual(short(yield* ada.hear), ["left bob 1"])
      assert.deepStrictEqual(short(yield* bob.hear), ["unsubscribed"])
    })
  )

  it.effect("tells who leaves nothing more, not even of its own user", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const phone = yield* client(node, "phone", { user: "ada" })
      const desk = yield* client(node, "desk", { user: "ada" })
      yield* phone.say(subscribe("t"))
      yield* desk.say(subscribe("t"))
      assert.deepStrictEqual(short(yield* phone.hear), ["subscribed", "present ada", "updated ada 2"])
      yield* phone.say({ type: "unsubscribe", topic: "t" })
      assert.deepStrictEqual(short(yield* phone.hear), ["unsubscribed"])
      assert.deepStrictEqual(short(yield* desk.hear).at(-1), "updated ada 1")
      yield* desk.say({ type: "unsubscribe", topic: "t" })
      assert.strictEqual(node.shown.size, 0)
    })
  )

  it.effect("tells those alone who have asked, and shows those alone", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      const bob = yield* client(node, "bob")
      yield* ada.say({ type: "subscribe", topic: "t" })
      yield* bob.say(subscribe("t"))
      assert.deepStrictEqual(short(yield* ada.hear), ["subscribed"])
      assert.deepStrictEqual(short(yield* bob.hear), ["subscribed", "present bob"])
      // Who is subscribed already may ask later, and stays when it subscribes again without.
      yield* ada.say(subscribe("t"), { type: "subscribe", topic: "t" })
      assert.deepStrictEqual(short(yield* ada.hear), ["subscribed", "present ada bob", "subscribed"])
      assert.deepStrictEqual(node.presence.count("t"), { users: 2, connections: 2 })
    })
  )

  it.effect("answers `presence` to who is not subscribed, and shows it to nobody", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      const bob = yield* client(node, "bob")
      yield* bob.say(subscribe("t", { a: 1 }))
      yield* ada.say({ type: "presence", topic: "t", id: "p" }, { type: "presence", topic: "nobody" })
      const [first, second] = yield* ada.hear
      assert.deepInclude(first, { type: "present", topic: "t", id: "p", count: { users: 1, connections: 1 } })
      assert.deepStrictEqual(second, {
        type: "present",
        topic: "nobody",
        users: [],
        count: { users: 0, connections: 0 }
      })
      yield* soon
      assert.deepStrictEqual(short(yield* bob.hear), ["subscribed", "present bob"])
      assert.deepStrictEqual(node.presence.size(), { topics: 1, members: 1 })
    })
  )

  it.effect("is not told to who may not join", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const authorize = { join: () => Effect.fail(new Rejection({ message: "not you" })) }
      const ada = yield* client(node, "ada", { authorize })
      yield* ada.say({ type: "presence", topic: "t", id: 1 }, subscribe("t"))
      assert.deepStrictEqual(short(yield* ada.hear), ["error forbidden", "error forbidden"])
      assert.deepStrictEqual(node.presence.size(), { topics: 0, members: 0 })
    })
  )

  it.effect("is refused where nobody is told, and the client is subscribed all the same", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client({ hub: node.hub }, "ada")
      yield* ada.say({ ...subscribe("t"), id: 1 }, { type: "presence", topic: "t", id: 2 })
      assert.deepStrictEqual(short(yield* ada.hear), ["subscribed", "error no-presence", "error no-presence"])
      assert.strictEqual(node.hub.members("t"), 1)
    })
  )

  it.effect("says why it does not show who is one too many, or says too much; who is there stays as it was", () =>
    Effect.gen(function* () {
      const { node } = yield* shown(1, { maxTopicMembers: 1 })
      const ada = yield* client(node, "ada")
      const bob = yield* client(node, "bob")
      yield* ada.say(subscribe("t", "x".repeat(1_022)))
      assert.deepStrictEqual(short(yield* ada.hear), ["subscribed", "present ada"])
      yield* ada.say({ ...subscribe("t", "x".repeat(1_023)), id: 1 })
      const [, refused] = yield* ada.hear
      assert.deepInclude(refused, { code: "no-presence", id: 1, message: "the info has not 1 to 1024 bytes" })
      assert.strictEqual(node.presence.users("t")[0]?.info.length, 1_024)
      yield* bob.say({ ...subscribe("t"), id: 2 })
      const [subscribed, tooMany] = yield* bob.hear
      assert.deepInclude(subscribed, { type: "subscribed", id: 2 })
      assert.deepInclude(tooMany, {
        code: "no-presence",
        id: 2,
        message: 'there are 1 members already in the topic "t"'
      })
      assert.strictEqual(node.hub.members("t"), 2)
      // It is told nothing, and leaves nobody's place when it goes.
      yield* ada.say(subscribe("t", "y"))
      assert.deepStrictEqual(yield* bob.hear, [])
      yield* bob.say({ type: "unsubscribe", topic: "t" })
      assert.strictEqual(node.presence.count("t").connections, 1)
    })
  )

  it.effect("has info as it was written, at any depth that every client can read", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      for (const info of [
        "1.50",
        '{"__proto__":{"a":1},  "n":12345678901234567890}',
        String.raw`"\u0041\ud800"`,
        "1e400",
        "null",
        `${"[".repeat(61)}${"]".repeat(61)}`
      ]) {
        yield* ada.say(`{"type":"subscribe","topic":"t","presence":{"info":${info}}}`)
        const text = ada.heardTexts().at(-1)!
        assert.include(text, `"users":[{"user":"ada","info":${info},"connections":1,`)
        // As the strictest reader that the protocol has in mind.
        assert.isTrue(depthOf(text) <= HubMessage.maxDepth)
      }
    })
  )

  it.effect("names at most 1,000 users, the first of them, and counts all", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      crowd(node.presence, "t", maxUsers + 1)
      const ada = yield* client(node, "ada", { limits: { outboxBytes: 1e9 } })
      yield* ada.say({ type: "presence", topic: "t" })
      const [present] = yield* ada.hear
      const users = present!["users"] as ReadonlyArray<Heard>
      assert.strictEqual(users.length, maxUsers)
      assert.deepStrictEqual(present!["count"], { users: maxUsers + 1, connections: maxUsers + 1 })
    })
  )

  it.effect("goes with the connection, whichever way that ends, and leaves nothing", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      for (let i = 0; i < 100; i++) {
        const one = yield* client(node, `c${i % 10}`)
        yield* one.say(subscribe("a"), subscribe("b"), subscribe("c"), { type: "unsubscribe", topic: "b" })
        if (i % 2 === 0) {
          one.far.hangUp()
          yield* Fiber.await(one.fiber)
        } else yield* Fiber.interrupt(one.fiber)
      }
      assert.deepStrictEqual([node.hub.topics(), node.shown.size], [0, 0])
      assert.deepStrictEqual(node.presence.size().members, 0)
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(node.presence.size(), { topics: 0, members: 0 })
      assert.deepStrictEqual(node.running, { fibers: 0, watching: 0 })
    })
  )

  it.effect("does not make an id for who is not there", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      yield* ada.say({ type: "subscribe", topic: "t" })
      const [member] = node.hub.membersOf("t")
      const kept = member as unknown as Readonly<Record<string, unknown>>
      assert.deepStrictEqual([kept["made"], kept["shown"]], [undefined, undefined])
    })
  )
})

/** How deep arrays and objects are nested. */
const depthOf = (text: string): number => {
  let [depth, most] = [0, 0]
  for (const character of text.replaceAll(/"(?:[^"\\]|\\.)*"/g, "")) {
    if (/[[{]/.test(character)) most = Math.max(most, ++depth)
    else if (/[\]}]/.test(character)) depth--
  }
  return most
}

describe("who reads too slowly", () => {
  it.effect("is told everything anew when it has room, once, instead of what changed", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada", { limits: { outboxBytes: 300 } })
      yield* ada.say(subscribe("t"))
      yield* ada.hear
      ada.far.stall()
      crowd(node.presence, "t", 50)
      yield* turn
      const before = (yield* ada.hear).length
      assert.isBelow(before, 10)
      assert.strictEqual(node.running.fibers, 1)
      // Still no room: nothing is lost of what comes now.
      node.presence.leaveUnsafe("t", "m0")
      yield* TestClock.adjust("6 seconds")
      ada.far.drain()
      yield* turn
      yield* turn
      const [present, ...more] = yield* ada.hear
      assert.deepStrictEqual(more, [])
      assert.deepInclude(present, { type: "present", topic: "t", count: { users: 50, connections: 50 } })
      assert.isFalse(short([present!])[0]!.includes("u0 "))
      assert.strictEqual(node.running.fibers, 0)
      // And then what changes again.
      node.presence.leaveUnsafe("t", "m1")
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(short(yield* ada.hear), ["left u1 1"])
    })
  )

  it.effect("and leaves, or goes, is told nothing more, and waited for by nobody", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const slow = Effect.fnUntraced(function* (name: string) {
        const one = yield* client(node, name, { limits: { outboxBytes: 300 } })
        yield* one.say(subscribe("t"))
        one.far.stall()
        return one
      })
      const ada = yield* slow("ada")
      const bob = yield* slow("bob")
      crowd(node.presence, "t", 20)
      yield* turn
      assert.strictEqual(node.running.fibers, 2)
      bob.far.hangUp()
      yield* Fiber.await(bob.fiber)
      yield* turn
      assert.strictEqual(node.running.fibers, 1)
      yield* ada.hear
      yield* ada.say({ type: "unsubscribe", topic: "t" })
      ada.far.drain()
      yield* turn
      yield* turn
      assert.deepStrictEqual(short(yield* ada.hear), ["unsubscribed"])
      assert.strictEqual(node.running.fibers, 0)
    })
  )

  it.effect("and comes again before there was room has one truth", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada", { limits: { outboxBytes: 300 } })
      yield* ada.say(subscribe("t"))
      ada.far.stall()
      crowd(node.presence, "t", 20)
      yield* ada.say({ type: "unsubscribe", topic: "t" }, subscribe("t"))
      for (let i = 0; i < 5; i++) {
        ada.far.drain()
        yield* turn
      }
      assert.strictEqual(node.running.fibers, 0)
      const heard = yield* ada.hear
      assert.deepStrictEqual(
        heard.slice(-3).map(({ type }) => type),
        ["unsubscribed", "subscribed", "present"]
      )
      const last = heard.at(-1)
      assert.deepInclude(last, { count: { users: 21, connections: 21 } })
      node.presence.leaveUnsafe("t", "m1")
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(short(yield* ada.hear).at(-1), "left u1 1")
    })
  )
})

describe("who is taken out by others", () => {
  it.effect("is there no more at once, also when it cannot be told", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada", { limits: { outboxBytes: 40 } })
      yield* ada.say(subscribe("t"))
      yield* ada.hear
      ada.far.stall()
      yield* ada.say({ type: "ping" }, { type: "ping" })
      yield* node.hub.kick(Target.user("ada"), "t", "rude")
      assert.deepStrictEqual([node.presence.count("t").connections, node.shown.size], [0, 0])
      // In again before it knows: what it hears late does not take it out.
      yield* ada.say(subscribe("t"))
      for (let i = 0; i < 6; i++) {
        ada.far.drain()
        yield* turn
      }
      assert.strictEqual(node.presence.count("t").connections, 1)
      assert.sameMembers([...short(yield* ada.hear)], ["pong", "pong", "unsubscribed", "subscribed", "present ada"])
    })
  )

  it.effect("and put into another topic is there with its info, and is told who is behind `moved`", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      const bob = yield* client(node, "bob")
      yield* bob.say(subscribe("b"))
      yield* ada.say(subscribe("a", [1]))
      yield* ada.hear
      yield* node.hub.move(Target.user("ada"), "a", "b")
      assert.deepStrictEqual(short(yield* ada.hear), ["moved", "present ada bob"])
      assert.deepInclude((yield* bob.hear).at(-1), { type: "joined", topic: "b", user: "ada", info: [1] })
      assert.strictEqual(node.presence.count("a").connections, 0)
      yield* bob.say(subscribe("b", "x"))
      assert.deepStrictEqual(short(yield* ada.hear), ["updated bob 1"])
      ada.far.hangUp()
      yield* Fiber.await(ada.fiber)
      assert.strictEqual(node.presence.count("b").connections, 1)
    })
  )

  it.effect("hears of nothing in the other topic before it knows that it is there", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada", { limits: { outboxBytes: 40 } })
      yield* ada.say(subscribe("a"))
      yield* ada.hear
      ada.far.stall()
      yield* ada.say({ type: "ping" }, { type: "ping" })
      yield* node.hub.move(Target.user("ada"), "a", "b")
      assert.strictEqual(node.presence.count("b").connections, 1)
      crowd(node.presence, "b", 1)
      for (let i = 0; i < 6; i++) {
        ada.far.drain()
        yield* turn
      }
      assert.deepStrictEqual(short(yield* ada.hear), ["pong", "pong", "moved", "present ada u0"])
      crowd(node.presence, "b", 2)
      assert.deepStrictEqual(short(yield* ada.hear), ["joined u1 1"])
    })
  )

  it.effect("and put where it is already, or was never shown, stays as it is", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const ada = yield* client(node, "ada")
      const bob = yield* client(node, "bob")
      yield* ada.say(subscribe("a", "from"), subscribe("b", "to"))
      yield* bob.say({ type: "subscribe", topic: "a" })
      yield* ada.hear
      yield* bob.hear
      yield* node.hub.move(Target.union(Target.user("ada"), Target.user("bob")), "a", "b")
      assert.deepStrictEqual(
        node.presence.users("b").map(({ info, user }) => [user, info]),
        [["ada", '"to"']]
      )
      assert.deepStrictEqual([short(yield* ada.hear), short(yield* bob.hear)], [["moved"], ["moved"]])
      assert.strictEqual(node.presence.count("a").connections, 0)
    })
  )

  it.effect("and put where there is no room for it is told so, and is not there", () =>
    Effect.gen(function* () {
      const { node } = yield* shown(1, { maxTopicMembers: 1 })
      crowd(node.presence, "b", 1)
      const ada = yield* client(node, "ada")
      yield* ada.say(subscribe("a"))
      yield* ada.hear
      yield* node.hub.move(Target.user("ada"), "a", "b")
      const heard = yield* ada.hear
      assert.deepStrictEqual(short(heard), ["moved", "error no-presence"])
      assert.strictEqual(heard[1]?.["message"], 'there are 1 members already in the topic "b"')
      assert.deepStrictEqual([node.presence.count("b").connections, node.shown.size], [1, 0])
    })
  )

  it.effect("and could not subscribe where it had been put meanwhile is not there", () =>
    Effect.gen(function* () {
      const { node } = yield* shown()
      const memory = yield* MemoryBroker.make({ epoch: "e" })
      const failing = yield* Deferred.make<never, BrokerError>()
      const hub = yield* Hub.on({ ...memory, since: () => Deferred.await(failing) })
      const ada = yield* client({ ...node, hub }, "ada")
      yield* ada.say(subscribe("a"), { ...subscribe("b"), position: "e:0" })
      yield* hub.move(Target.user("ada"), "a", "b")
      assert.strictEqual(node.presence.count("b").connections, 1)
      const reason = new Unavailable({ outcome: "NotPublished", cause: "down" })
      yield* Deferred.fail(failing, new BrokerError({ reason }))
      yield* turn
      assert.deepStrictEqual([node.presence.count("b").connections, node.shown.size], [0, 0])
    })
  )
})
