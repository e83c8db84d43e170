/** Who is in a topic, on two nodes over one broker: by WebSocket and by request. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Broker } from "@millrace/core/cluster/Broker"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import { maxUsers } from "@millrace/core/cluster/HubPresence"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Target from "@millrace/core/cluster/Target"
import * as HubServer from "@millrace/node/HubServer"
import { eventually } from "../support/eventually.ts"
import * as HubClient from "../support/hubClient.ts"
import { backTo, resources } from "../support/leaks.ts"

/** One broker, as each of its nodes has it. */
const shared = Effect.map(MemoryBroker.make(), (memory) => (node: string): Broker["Service"] => ({
  ...memory,
  name: "test",
  isLocal: false,
  node,
  statuses: Stream.never
}))

/** Two nodes that know each other. */
const cluster = (options: HubServer.Options = {}) =>
  Effect.gen(function* () {
    const on = yield* shared
    const serve = (name: string) =>
      HubServer.serve({ presence: { grace: "300 millis", batch: "1 millis" }, ...options, name, broker: on(name) })
    const nodes = [yield* serve("one"), yield* serve("two")] as const
    yield* eventually(() => nodes.every(({ cluster }) => cluster.nodes.list().length === 2))
    return { on, one: nodes[0], two: nodes[1] }
  })

const http = ({ port }: HubServer.Running, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    const text = await response.text()
    return { status: response.status, text, body: JSON.parse(text) }
  })

const subscribe = (topic: string, presence: unknown = true) => ({ type: "subscribe", topic, presence })

/** Subscribes to `t`, and hears who is there. */
const enter = (client: HubClient.HubClient, presence: unknown = true) =>
  Effect.gen(function* () {
    client.say(subscribe("t", presence))
    assert.include(yield* client.hear, { type: "subscribed" })
    return yield* client.hear
  })

/** What was said of whom. */
const short = ({ connections, type, user }: HubClient.Heard) => [type, user, connections]

/** Hears nothing but the answer to a `ping`. */
const quiet = (client: HubClient.HubClient) =>
  Effect.gen(function* () {
    client.say({ type: "ping" })
    assert.deepStrictEqual(yield* client.hear, { type: "pong" })
  })

const usersOf = ({ users }: HubClient.Heard) => (users as ReadonlyArray<HubClient.Heard>).map(({ user }) => user)

const deep = (levels: number) =>
  `{"type":"subscribe","topic":"t","id":7,"presence":{"info":${"[".repeat(levels)}${"]".repeat(levels)}}}`

const join = ({ name }: { readonly name: string }, topic: string) =>
  name === "eve" && topic === "t" ? Effect.fail(new Rejection({ message: "not you" })) : Effect.void

const identify: HubServer.Options["identify"] = ({ query }) => Effect.succeed({ name: query.get("name") ?? "eve" })

const info = (i: number) => JSON.stringify(`${i} ${"x".repeat(16_000)}`)

describe("presence over two nodes", () => {
  it.live("tells who comes, changes and goes at the other, after a grace", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster()
      const ada = yield* HubClient.connect(one.port, "ada")
      assert.deepStrictEqual(usersOf(yield* enter(ada)), ["ada"])
      yield* eventually(() => two.presence.count("t").users === 1)
      const at = performance.now()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const bob = yield* HubClient.connect(two.port, "bob")
          assert.deepInclude(yield* enter(bob, { info: 1 }), {
            type: "present",
            topic: "t",
            count: { users: 2, connections: 2 }
          })
          assert.deepInclude(yield* ada.hear, { type: "joined", topic: "t", user: "bob", info: 1, connections: 1 })
          yield* enter(bob, { info: 2 }).pipe(Effect.andThen(bob.hear))
          assert.deepInclude(yield* ada.hear, { type: "updated", user: "bob", info: 2 })
        })
      )
      assert.deepInclude(yield* ada.hear, { type: "left", user: "bob", info: 2, connections: 1 })
      assert.isAtLeast(performance.now() - at, 300)
    })
  )

  it.live("takes who comes back at the other node in time for one that was there all along", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster({ presence: { grace: "20 seconds", batch: "1 millis" } })
      const ada = yield* HubClient.connect(one.port, "ada")
      yield* enter(ada)
      const bob = yield* HubClient.connect(one.port, "bob")
      yield* enter(bob)
      assert.deepStrictEqual(short(yield* ada.hear), ["joined", "bob", 1])
      bob.peer.reset()
      yield* eventually(() => one.presence.count("t").connections === 1)
      assert.deepStrictEqual(usersOf(yield* enter(ada)), ["ada", "bob"])
      const again = yield* HubClient.connect(two.port, "bob")
      yield* enter(again)
      yield* eventually(() => one.presence.count("t").connections === 2)
      const [type] = short(yield* ada.hear)
      assert.strictEqual(type, "updated")
      yield* quiet(ada)
    })
  )

  it.live("makes one user of connections to both", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster({
        identify: ({ query }) => Effect.succeed({ name: query.get("name")!, user: "u" })
      })
      const phone = yield* HubClient.connect(one.port, "phone")
      yield* enter(phone, { info: "phone" })
      const desk = yield* HubClient.connect(two.port, "desk")
      yield* enter(desk, { info: "desk" })
      assert.deepInclude(yield* phone.hear, { type: "updated", user: "u", info: "desk", connections: 2 })
      const { body } = yield* http(one, "/topics/t/presence")
      assert.deepInclude(body, { count: { users: 1, connections: 2 }, members: 2, wires: { native: 2 }, silent: [] })
    })
  )

  it.live("follows who is moved and kicked by another node", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster()
      const ada = yield* HubClient.connect(one.port, "ada")
      const bob = yield* HubClient.connect(two.port, "bob")
      bob.say(subscribe("hall"))
      yield* bob.hear
      yield* bob.hear
      yield* enter(ada, { info: [1] })
      yield* eventually(() => one.presence.count("hall").users === 1)
      assert.strictEqual((yield* two.cluster.move(Target.topic("t"), "t", "hall")).count, 1)
      assert.include(yield* ada.hear, { type: "moved", to: "hall" })
      assert.deepStrictEqual(usersOf(yield* ada.hear), ["bob", "ada"])
      assert.deepInclude(yield* bob.hear, { type: "joined", topic: "hall", user: "ada", info: [1] })
      yield* two.cluster.kick(Target.except(Target.topic("hall"), Target.topic("none")), "hall", "late")
      assert.include(yield* ada.hear, { type: "unsubscribed", reason: "kicked" })
      yield* eventually(() => two.presence.size().members === 0)
      yield* quiet(ada)
    })
  )

  it.live("is what it was written to be at the other node, and by request", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster()
      const ada = yield* HubClient.connect(one.port, "ada")
      const bob = yield* HubClient.connect(two.port, "bob")
      yield* enter(bob)
      yield* eventually(() => one.presence.count("t").users === 1)
      for (const info of [
        "1.50",
        '{"__proto__":{"constructor":1},  "n":12345678901234567890}',
        String.raw`"\u0041\ud800"`,
        "1e400"
      ]) {
        ada.say(`{"type":"subscribe","topic":"t","presence":{"info":${info}}}`)
        assert.include(yield* bob.hearText, `"user":"ada","info":${info},"connections":1,`)
        const { text } = yield* http(two, "/topics/t/presence")
        assert.include(text, `{"user":"ada","info":${info},"connections":1,`)
      }
    })
  )

  it.live("is refused for an info that is too long or too deep, and not for one that is just not", () =>
    Effect.gen(function* () {
      const { one } = yield* cluster()
      const ada = yield* HubClient.connect(one.port, "ada")
      ada.say(deep(62))
      assert.include(yield* ada.hear, { type: "error", code: "too-deep", id: 7 })
      assert.strictEqual(one.hub.members("t"), 0)
      ada.say(deep(61))
      assert.include(yield* ada.hear, { type: "subscribed", id: 7 })
      assert.include(yield* ada.hear, { type: "present" })
      ada.say({ ...subscribe("u", { info: "é".repeat(512) }), id: 8 })
      assert.include(yield* ada.hear, { type: "subscribed", id: 8 })
      assert.include(yield* ada.hear, { type: "error", code: "no-presence", id: 8 })
      assert.deepStrictEqual([one.hub.members("u"), one.presence.count("u").users], [1, 0])
      yield* enter(ada, { info: "é".repeat(511) })
    })
  )

  it.live("names 1,000 of 1,001 who are at the other node, and counts them all", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster()
      for (let i = 0; i <= maxUsers; i++) one.presence.joinUnsafe("t", { member: `m${i}`, user: `u${i}` })
      yield* eventually(() => two.presence.count("t").users === maxUsers + 1)
      const bob = yield* HubClient.connect(two.port, "bob")
      bob.say({ type: "presence", topic: "t", id: 1 })
      const present = yield* bob.hear
      assert.deepInclude(present, { type: "present", id: 1, count: { users: maxUsers + 1, connections: maxUsers + 1 } })
      assert.strictEqual(usersOf(present).length, maxUsers)
      for (const [query, length] of [
        ["", 100],
        ["?limit=2", 2],
        ["?limit=999999", 500]
      ] as const) {
        const { body } = yield* http(two, `/topics/t/presence${query}`)
        assert.deepStrictEqual([body.users.length, body.count.users, body.members], [length, maxUsers + 1, 0])
      }
    })
  )

  it.live("leaves nothing of many who came and went", () =>
    Effect.gen(function* () {
      const before = resources()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { one, two } = yield* cluster()
          const open = resources()
          const come = Effect.fnUntraced(function* (_: unknown, i: number) {
            const client = yield* HubClient.connect(i % 2 === 0 ? one.port : two.port, `c${i % 7}`)
            yield* enter(client, { info: i })
            client.say(subscribe(`t${i}`))
            if (i % 3 === 0) client.peer.reset()
          })
          for (let round = 0; round < 4; round++) {
            yield* Effect.forEach(Array.from({ length: 50 }), (_, i) => Effect.scoped(come(_, i)), { concurrency: 10 })
          }
          for (const { hub, presence } of [one, two]) {
            yield* eventually(() => hub.topics() === 0 && presence.size().members === 0 && presence.size().topics === 0)
          }
          assert.isAtMost(resources()["TCPSocketWrap"] ?? 0, (open["TCPSocketWrap"] ?? 0) + 1)
        })
      )
      yield* backTo(before)
    })
  )
})

describe("who asks", () => {
  it.live("need not be subscribed, and must be one who may", () =>
    Effect.gen(function* () {
      const { one, two } = yield* cluster({ authorize: { join }, identify })
      const ada = yield* HubClient.connect(one.port, "ada")
      yield* enter(ada)
      yield* eventually(() => two.presence.count("t").users === 1)
      const bob = yield* HubClient.connect(two.port, "bob")
      bob.say({ type: "presence", topic: "t", id: "who" })
      const answer = yield* bob.hear
      assert.deepStrictEqual([answer["id"], usersOf(answer)], ["who", ["ada"]])
      const eve = yield* HubClient.connect(two.port, "eve")
      for (const message of [
        { type: "presence", topic: "t", id: 1 },
        { ...subscribe("t"), id: 1 }
      ]) {
        eve.say(message)
        assert.deepStrictEqual(yield* eve.hear, { type: "error", code: "forbidden", message: "not you", id: 1 })
      }
      const refused = yield* http(two, "/topics/t/presence")
      assert.deepStrictEqual([refused.status, refused.body.error.code], [403, "forbidden"])
      assert.deepStrictEqual((yield* http(two, "/topics")).body.topics, [])
      assert.deepStrictEqual(usersOf((yield* http(two, "/topics/t/presence?name=bob")).body), ["ada"])
      yield* quiet(ada)
    })
  )

  it.live("by request is told which nodes have not answered", () =>
    Effect.gen(function* () {
      const { on, one, two } = yield* cluster()
      // It is there, and answers nobody.
      yield* Nodes.make(on("mute"), { name: "mute" })
      yield* eventually(() => one.cluster.nodes.list().length === 3)
      const ada = yield* HubClient.connect(one.port, "ada")
      yield* enter(ada)
      const bob = yield* HubClient.connect(two.port, "bob")
      yield* HubClient.subscribe(bob, "t")
      yield* eventually(() => two.presence.count("t").users === 1)
      const presence = yield* http(two, "/topics/t/presence")
      assert.strictEqual(presence.status, 200)
      const { count, members, silent, topic, users } = presence.body
      assert.deepStrictEqual(
        [topic, users.length, count, members, silent],
        ["t", 1, { users: 1, connections: 1 }, 2, ["mute"]]
      )
      const topics = yield* http(two, "/topics")
      assert.deepStrictEqual(topics.body, { node: "two", topics: [{ topic: "t", members: 2 }], silent: ["mute"] })
    })
  )
})

describe("a client that does not read", () => {
  it.live("is told everything anew when it does, and stays", () =>
    Effect.gen(function* () {
      const presence = { grace: "300 millis", batch: "1 millis", maxInfoBytes: 16_384 } as const
      const { one } = yield* cluster({ presence })
      const ada = yield* HubClient.connect(one.port, "ada")
      yield* enter(ada)
      ada.peer.socket.pause()
      one.presence.joinUnsafe("t", { member: "m", user: "u", info: info(0) })
      const last = 2_000
      for (let i = 1; i <= last; i++) {
        one.presence.joinUnsafe("t", { member: "m", user: "u", info: info(i) })
        if (i % 50 === 0) yield* Effect.yieldNow
      }
      ada.peer.socket.resume()
      let changes = 0
      let heard = yield* ada.hear
      for (; heard.type !== "present"; heard = yield* ada.hear) changes++
      assert.isBelow(changes, last)
      const users = heard["users"] as ReadonlyArray<{ readonly user: string; readonly info: unknown }>
      assert.strictEqual(JSON.stringify(users.find(({ user }) => user === "u")?.info), info(last))
      yield* quiet(ada)
      one.presence.leaveUnsafe("t", "m")
      assert.deepStrictEqual(short(yield* ada.hear), ["left", "u", 1])
    })
  )
})
