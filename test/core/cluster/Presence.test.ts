/** Who is in a topic, on one node and over several. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { maxCastBytes } from "@millrace/core/cluster/Broker"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Presence from "@millrace/core/cluster/Presence"
import * as PresenceMessage from "@millrace/core/cluster/PresenceMessage"
import { countingFibers } from "../../support/leaks.ts"
import { cluster } from "../../support/presences.ts"

const join = (presence: Presence.Presence["Service"], topic: string, member: string, user: string, info?: string) =>
  Result.getOrThrow(presence.joinUnsafe(topic, info === undefined ? { member, user } : { member, user, info }))

/** The changes of a topic from now on, in short. */
const watch = (presence: Presence.Presence["Service"], topic: string) => {
  const told: Array<string> = []
  const stop = presence.watchUnsafe(topic, (changes) => {
    for (const { _tag, user } of changes) told.push(`${_tag} ${user.user} ${user.info} ${user.connections}`)
  })
  return { told, stop }
}

const memberOf = (node: string, i: number) => ({
  node,
  member: `m${i}`,
  user: `u${i}`,
  info: "1",
  since: 1,
  updated: 1
})

describe("presence on one node", () => {
  it.effect("has who has joined, counts, and tells in the turn in which it happens", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      yield* TestClock.setTime(1_000)
      const { told } = watch(presence, "t")
      assert.isTrue(join(presence, "t", "m1", "ada", '{"a":1}'))
      assert.isTrue(join(presence, "t", "m2", "ada", '{"a":2}'))
      assert.isFalse(join(presence, "t", "m2", "ada", '{"a":2}'))
      assert.isTrue(join(presence, "t", "m3", "bob"))
      assert.isTrue(join(presence, "u", "m3", "bob"))
      assert.deepStrictEqual(presence.users("t"), [
        { user: "ada", info: '{"a":2}', connections: 2, since: 1_000 },
        { user: "bob", info: "null", connections: 1, since: 1_000 }
      ])
      assert.deepStrictEqual(presence.count("t"), { users: 2, connections: 3 })
      assert.deepStrictEqual(presence.count("nobody's"), { users: 0, connections: 0 })
      assert.deepStrictEqual(presence.size(), { topics: 2, members: 4 })
      assert.isTrue(presence.leaveUnsafe("t", "m2"))
      assert.isFalse(presence.leaveUnsafe("t", "m2"))
      assert.isTrue(yield* presence.update("t", "m1", "7"))
      assert.isFalse(yield* presence.update("t", "m2", "7"))
      assert.deepStrictEqual(told, [
        'Joined ada {"a":1} 1',
        'Updated ada {"a":2} 2',
        "Joined bob null 1",
        'Updated ada {"a":1} 1',
        "Updated ada 7 1"
      ])
    })
  )

  it.effect("has somebody for as long as a scope is open, and through the grace after it", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      const { told } = watch(presence, "t")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* presence.join("t", { member: "m", user: "ada" })
          yield* Effect.scoped(presence.join("t", { member: "m", user: "ada" }))
          assert.deepStrictEqual(presence.count("t"), { users: 1, connections: 1 })
        })
      )
      assert.deepStrictEqual(presence.count("t"), { users: 1, connections: 0 })
      assert.deepStrictEqual(
        presence.users("t").map(({ user }) => user),
        ["ada"]
      )
      yield* TestClock.adjust(4_999)
      assert.deepStrictEqual(told, ["Joined ada null 1"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(told, ["Joined ada null 1", "Left ada null 1"])
      assert.deepStrictEqual(presence.size(), { topics: 0, members: 0 })
    })
  )

  it.effect("neither lets go nor joins who is back within the grace", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      join(presence, "t", "m1", "ada", "1")
      const { told } = watch(presence, "t")
      for (let i = 2; i < 5; i++) {
        presence.leaveUnsafe("t", `m${i - 1}`)
        yield* TestClock.adjust("4 seconds")
        join(presence, "t", `m${i}`, "ada", `${i}`)
      }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told, ["Updated ada 2 1", "Updated ada 3 1", "Updated ada 4 1"])
    })
  )

  it.effect("lets each go when its own time has come, with one timer, or at once where there is no grace", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      const { told } = watch(presence, "t")
      for (const user of ["a", "b", "c"]) join(presence, "t", user, user)
      for (const user of ["b", "a", "c"]) {
        presence.leaveUnsafe("t", user)
        yield* TestClock.adjust("1 second")
      }
      join(presence, "t", "a", "a")
      yield* TestClock.adjust(1_999)
      assert.deepStrictEqual(told.slice(3), ["Updated a null 1"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(told.slice(4), ["Left b null 1"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(told.slice(5), ["Left c null 1"])

      const hasty = (yield* cluster(1, { grace: 0 })).all[0]!.presence
      const others = watch(hasty, "t")
      join(hasty, "t", "m", "ada")
      hasty.leaveUnsafe("t", "m")
      assert.deepStrictEqual(others.told, ["Joined ada null 1", "Left ada null 1"])
    })
  )

  it.effect("refuses a name, an info or a member too many, with why", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1, { maxTopicMembers: 3, maxMembers: 5, maxInfoBytes: 10 })
      const { presence } = all[0]!
      const why = (topic: string, member: string, user: string, info = "null") => {
        const result = presence.joinUnsafe(topic, { member, user, info })
        return Result.isFailure(result) ? result.failure.message : result.success
      }
      const long = "é".repeat(129)
      assert.strictEqual(why("", "m", "u"), "the topic has not 1 to 256 bytes")
      assert.strictEqual(why(long, "m", "u"), "the topic has not 1 to 256 bytes")
      assert.strictEqual(why("t", long, "u"), "the member has not 1 to 128 bytes")
      assert.strictEqual(why("t", "m", long), "the user has not 1 to 256 bytes")
      assert.strictEqual(why("t", "m", ""), "the user has not 1 to 256 bytes")
      assert.strictEqual(why("t", "m", "u", '"ééééé"'), "the info has not 1 to 10 bytes")
      assert.strictEqual(why("t", "m", "u", "[1,\n2]"), "the info is not one line of JSON text")
      assert.strictEqual(why("t", "m", "u", "{a:1}"), "the info is not one line of JSON text")
      for (let i = 0; i < 3; i++) assert.isTrue(why("t", `m${i}`, "u", '"éééé"'))
      assert.strictEqual(why("t", "m3", "u"), 'there are 3 members already in the topic "t"')
      // Who is in it may change.
      assert.isFalse(why("t", "m2", "another"))
      const reason = yield* presence.join("t", { member: "m3", user: "u" }).pipe(
        Effect.scoped,
        Effect.as("let in"),
        Effect.catchReason("PresenceError", "TooManyMembers", ({ limit, topic }) => Effect.succeed([topic, limit]))
      )
      assert.deepStrictEqual(reason, ["t", 3])
      assert.isTrue(why("u", "m", "u"))
      assert.isTrue(why("v", "m", "u"))
      assert.strictEqual(why("w", "m", "u"), "there are 5 members already in all topics")
      presence.leaveUnsafe("v", "m")
      assert.isTrue(why("w", "m", "u"))
      assert.strictEqual((yield* Effect.flip(presence.update("t", "m1", "x"))).reason._tag, "InvalidInfo")
    })
  )

  it.effect("bounds those that are away, too: the first of them have left then", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1, { maxMembers: 3 })
      const { presence } = all[0]!
      const { told } = watch(presence, "t")
      for (let i = 0; i < 5; i++) {
        join(presence, "t", "m", `u${i}`)
        presence.leaveUnsafe("t", "m")
      }
      assert.deepStrictEqual(
        told.filter((line) => line.startsWith("Left")),
        ["Left u0 null 1", "Left u1 null 1"]
      )
      assert.strictEqual(presence.count("t").users, 3)
    })
  )

  it.effect("tells a stream what there is, and then what changes, until its end", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      join(presence, "t", "m1", "ada")
      const told: Array<string> = []
      const telling = yield* presence.changes("t").pipe(
        Stream.runForEach(({ _tag, user }) => Effect.sync(() => told.push(`${_tag} ${user.user} ${user.connections}`))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust(0)
      join(presence, "t", "m2", "bob")
      yield* TestClock.adjust(0)
      join(presence, "t", "m3", "bob")
      yield* TestClock.adjust(0)
      presence.leaveUnsafe("t", "m1")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(told, ["Joined ada 1", "Joined bob 1", "Updated bob 2", "Left ada 1"])
      yield* all[0]!.stop
      yield* Fiber.join(telling)
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.map(presence.changes("t"), ({ _tag }) => _tag)), [
        "Joined"
      ])
    })
  )

  it.effect("has one change of each user wait for who is slow, and that is what it comes to", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1, { grace: 0 })
      const { presence } = all[0]!
      for (const user of ["stays", "changes", "goes", "comes back"]) join(presence, "t", user, user)
      const told: Array<string> = []
      const held = yield* Deferred.make<void>()
      yield* presence.changes("t").pipe(
        Stream.runForEachArray((changes) => {
          for (const { _tag, user } of changes) told.push(`${_tag} ${user.user} ${user.info}`)
          return told.length === 4 ? Deferred.await(held) : Effect.void
        }),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* TestClock.adjust(0)
      told.push("-")
      for (let i = 0; i < 100; i++) {
        join(presence, "t", "comes and goes", "comes and goes")
        join(presence, "t", "changes", "changes", `${i}`)
        presence.leaveUnsafe("t", "comes and goes")
        presence.leaveUnsafe("t", "comes back")
        join(presence, "t", "comes back", "comes back", `${i}`)
        join(presence, "t", "new", "new", `${i}`)
      }
      presence.leaveUnsafe("t", "goes")
      yield* Deferred.succeed(held, undefined)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told.slice(5), [
        "Updated changes 99",
        "Updated comes back 99",
        "Joined new 99",
        "Left goes null"
      ])
    })
  )

  it.effect("tells nobody who does not watch any more, and each as often as it watches", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const { presence } = all[0]!
      let times = 0
      const told = () => void times++
      const [stop, other] = [presence.watchUnsafe("t", told), presence.watchUnsafe("t", told)]
      join(presence, "t", "m1", "ada")
      assert.strictEqual(times, 2)
      stop()
      stop()
      join(presence, "t", "m2", "bob")
      assert.strictEqual(times, 3)
      other()
      join(presence, "t", "m3", "cy")
      assert.strictEqual(times, 3)
    })
  )

  it.effect("tells everybody in the same order when one joins, leaves and watches as it is told", () =>
    Effect.gen(function* () {
      const { presence } = (yield* cluster(1, { grace: 0 })).all[0]!
      join(presence, "t", "slow", "slow")
      const late: Array<string> = []
      presence.watchUnsafe("t", ([change]) => {
        if (change?.user.user !== "ada" || change._tag !== "Joined") return
        presence.leaveUnsafe("t", "slow")
        const names = presence.users("t").map(({ user }) => user)
        late.push(...names)
        presence.watchUnsafe(
          "t",
          (changes) => void late.push(...changes.map(({ _tag, user }) => `${_tag} ${user.user}`))
        )
        join(presence, "t", "m2", "bob")
      })
      const { told } = watch(presence, "t")
      join(presence, "t", "m1", "ada")
      assert.deepStrictEqual(told, ["Joined ada null 1", "Left slow null 1", "Joined bob null 1"])
      assert.deepStrictEqual(late, ["ada", "Joined bob"])
    })
  )
})

describe("presence over nodes", () => {
  it.effect("is the same on all of them after a moment, with what was collected in one cast", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      const { told } = watch(all[2]!.presence, "t")
      const { said } = bus.counts
      for (let i = 0; i < 100; i++) join(all[0]!.presence, "t", `m${i}`, `u${i}`)
      join(all[1]!.presence, "t", "m1", "u1", '"elsewhere"')
      yield* TestClock.adjust(49)
      assert.deepStrictEqual(told, [])
      yield* TestClock.adjust(1)
      assert.strictEqual(bus.counts.said - said, 2)
      assert.strictEqual(told.length, 101)
      for (const { presence } of all) {
        assert.deepStrictEqual(presence.count("t"), { users: 100, connections: 101 })
        assert.deepStrictEqual(presence.users("t"), all[0]!.presence.users("t"))
        assert.deepInclude(
          presence.users("t").find(({ user }) => user === "u1"),
          { info: '"elsewhere"', connections: 2 }
        )
      }
    })
  )

  it.effect("says nothing to other nodes when nothing changes", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      join(all[0]!.presence, "t", "m", "ada")
      yield* TestClock.adjust("2 seconds")
      const counts = { ...bus.counts }
      for (let i = 0; i < 60; i++) {
        assert.isFalse(join(all[0]!.presence, "t", "m", "ada"))
        yield* TestClock.adjust("1 second")
      }
      // Heartbeats.
      assert.isAtMost(bus.counts.said - counts.said, 3 * 34)
      assert.deepStrictEqual(
        all.map(({ presence }) => presence.counters().asked),
        [0, 0, 0]
      )
    })
  )

  it.effect("neither lets go nor joins who comes back on another node, also when the first one has died", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      join(all[0]!.presence, "t", "m", "ada", "1")
      yield* TestClock.adjust("1 second")
      const { told } = watch(all[2]!.presence, "t")
      all[0]!.presence.leaveUnsafe("t", "m")
      yield* TestClock.adjust("3 seconds")
      join(all[1]!.presence, "t", "m", "ada", "2")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told, ["Updated ada 2 1"])
      bus.kill(1)
      yield* TestClock.adjust("8 seconds")
      join(all[0]!.presence, "t", "m", "ada", "3")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(told.slice(1), ["Updated ada 3 1"])
    })
  )

  it.effect("lets those of a node go after the grace when it stops, and when it is silent", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(3)
      join(all[0]!.presence, "t", "m", "ada")
      join(all[1]!.presence, "t", "m", "bob")
      yield* TestClock.adjust("1 second")
      const { told } = watch(all[2]!.presence, "t")
      yield* all[0]!.stop
      assert.deepStrictEqual(all[2]!.presence.count("t"), { users: 2, connections: 1 })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(told, ["Left ada null 1"])
      bus.kill(1)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(all[2]!.presence.count("t"), { users: 1, connections: 1 })
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(told, ["Left ada null 1", "Left bob null 1"])
    })
  )

  it.effect("is told to a node that comes later, in parts that a cast takes", () =>
    Effect.gen(function* () {
      const { add, all, bus } = yield* cluster(3, { maxMembers: 2_000 }, 2)
      const info = JSON.stringify("\\".repeat(400))
      for (let i = 0; i < 2_000; i++) join(all[0]!.presence, `t${i % 7}`, `m${i}`, `u${i % 50}`, info)
      yield* TestClock.adjust("1 second")
      bus.faults.repeats = 1
      const { presence } = yield* add(2)
      yield* TestClock.adjust("3 seconds")
      for (let t = 0; t < 7; t++) {
        assert.deepStrictEqual(presence.users(`t${t}`), all[0]!.presence.users(`t${t}`))
        assert.deepStrictEqual(presence.users(`t${t}`), all[1]!.presence.users(`t${t}`))
      }
      assert.strictEqual(presence.size().members, 2_000)
      assert.isAbove(bus.counts.largest, maxCastBytes / 2)
      assert.isAtMost(bus.counts.largest, maxCastBytes)
      assert.deepStrictEqual(presence.counters(), { unread: 0, asked: 1, refused: 0 })
    })
  )

  it.effect("is asked for what was missed, and for no more than that", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      for (let i = 0; i < 1_000; i++) join(all[0]!.presence, "t", `m${i}`, `u${i}`)
      yield* TestClock.adjust("3 seconds")
      bus.faults.loss = 1
      join(all[0]!.presence, "t", "missed", "missed")
      yield* TestClock.adjust(100)
      bus.faults.loss = 0
      const { bytes } = bus.counts
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(all[1]!.presence.count("t").users, 1_001)
      assert.strictEqual(all[1]!.presence.counters().asked, 1)
      assert.isBelow(bus.counts.bytes - bytes, 2_000)
      // A hole is noticed by what comes behind it, long before a heartbeat.
      bus.faults.loss = 1
      all[0]!.presence.leaveUnsafe("t", "missed")
      yield* TestClock.adjust(100)
      bus.faults.loss = 0
      join(all[0]!.presence, "t", "next", "next")
      yield* TestClock.adjust(150)
      assert.deepStrictEqual(all[1]!.presence.count("t"), { users: 1_002, connections: 1_001 })
    })
  )

  it.effect("asks one that has no answer once a second, however often it is found to be behind", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      const change = { topic: "t", member: "m", now: undefined }
      for (let i = 0; i < 50; i++) {
        // Of a life that its node knows nothing of.
        for (const bytes of PresenceMessage.encodeDelta({
          _tag: "Delta",
          node: "node-1",
          life: 99,
          from: 10 + i,
          changes: [change]
        })) {
          bus.forge(Presence.channel, bytes)
        }
        yield* TestClock.adjust(60)
      }
      const { asked } = all[0]!.presence.counters()
      assert.isAtLeast(asked, 3)
      assert.isAtMost(asked, 4)
    })
  )

  it.effect("is everything for who has missed more than is kept", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      join(all[0]!.presence, "t", "m", "u", "0")
      yield* TestClock.adjust("3 seconds")
      bus.partition([0], [1])
      for (let i = 0; i < 3 * Presence.maxChanges; i++) join(all[0]!.presence, "t", "m", "u", `${i}`)
      yield* TestClock.adjust(100)
      bus.heal()
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(all[1]!.presence.users("t"), all[0]!.presence.users("t"))
    })
  )

  it.effect("takes what others have over its own bound of a topic, so that all say the same", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2, { maxTopicMembers: 3 })
      bus.partition([0], [1])
      for (const [n, { presence }] of all.entries())
        for (let i = 0; i < 3; i++) join(presence, "t", `m${i}`, `${n}${i}`)
      bus.heal()
      yield* TestClock.adjust("3 seconds")
      for (const { presence } of all) {
        assert.strictEqual(presence.count("t").users, 6)
        assert.isTrue(Result.isFailure(presence.joinUnsafe("t", { member: "more", user: "u" })))
      }
    })
  )

  it.effect("has nobody of a node with more members than one may have, and counts it", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2, { maxMembers: 3 })
      const members = [0, 1, 2, 3].map((i) => ["t", memberOf("node-1", i)] as const)
      for (const bytes of PresenceMessage.encodeFull({ node: "node-1", life: 99, version: 9, members })) {
        bus.forge(Presence.channelOf("node-0"), bytes)
      }
      assert.deepStrictEqual(all[0]!.presence.size(), { topics: 0, members: 0 })
      assert.strictEqual(all[0]!.presence.counters().refused, 1)
      const endless = { _tag: "Part", node: "node-1", life: 100, version: 9, isLast: false } as const
      for (let part = 0; part < 4; part++) {
        const [bytes] = PresenceMessage.encodeFull({ ...endless, members: members.slice(0, 2) })
        const text = new TextDecoder().decode(bytes!.subarray(1)).replace("9,0,true", `9,${part},false`)
        bus.forge(Presence.channelOf("node-0"), Uint8Array.of(1, ...new TextEncoder().encode(text)))
      }
      assert.strictEqual(all[0]!.presence.counters().refused, 3)
    })
  )

  it.effect("ignores what nobody has said who is there, and counts what cannot be read", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      for (const node of ["nobody", "node-0"]) {
        for (const bytes of PresenceMessage.encodeDelta({
          _tag: "Delta",
          node,
          life: 9,
          from: 0,
          changes: [{ topic: "t", member: "m1", now: memberOf(node, 1) }]
        })) {
          bus.forge(Presence.channel, bytes)
        }
      }
      bus.forge(Presence.channel, Uint8Array.of(2, 1))
      assert.strictEqual(all[0]!.presence.count("t").users, 0)
      assert.strictEqual(all[0]!.presence.counters().unread, 1)
      assert.strictEqual(all[1]!.presence.count("t").users, 1)
    })
  )

  it.effect("may be made again over the same broker, without those of the life before", () =>
    Effect.gen(function* () {
      const { add, all } = yield* cluster(2)
      join(all[0]!.presence, "t", "m", "ada")
      yield* TestClock.adjust("1 second")
      yield* all[0]!.stop
      const again = yield* add(0)
      join(again.presence, "t", "n", "bob")
      yield* TestClock.adjust("1 minute")
      for (const { presence } of [again, all[1]!]) {
        assert.deepStrictEqual(
          presence.users("t").map(({ user }) => user),
          ["bob"]
        )
      }
    })
  )

  it.effect("may begin and end while its node is there: it knows at once, and is gone at once", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2, undefined, 1)
      join(all[0]!.presence, "t", "m", "ada")
      const nodes = yield* Nodes.make(bus.brokers[1]!, { name: "n1" })
      yield* TestClock.adjust("3 seconds")
      const scope = yield* Scope.make()
      const presence = yield* Presence.make(bus.brokers[1]!, nodes).pipe(Scope.provide(scope))
      yield* TestClock.adjust(50)
      assert.strictEqual(presence.count("t").connections, 1)
      join(presence, "t", "m", "bob")
      yield* TestClock.adjust(50)
      assert.strictEqual(all[0]!.presence.count("t").connections, 2)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(all[0]!.presence.count("t").connections, 1)
      assert.strictEqual(all[0]!.nodes.list().length, 2)
    })
  )

  it.effect("believes nothing any more of a life that has said goodbye, also what was held up on its way", () =>
    Effect.gen(function* () {
      const { all, bus } = yield* cluster(2)
      join(all[1]!.presence, "t", "m", "ada")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(all[0]!.presence.count("t").connections, 1)
      const life = Number(all[1]!.nodes.self().carried.get("presence")!.split(" ")[0])
      bus.forge(Presence.channel, PresenceMessage.encode({ _tag: "Bye", node: "node-1", life: life - 1 }))
      assert.strictEqual(all[0]!.presence.count("t").connections, 1)
      bus.forge(Presence.channel, PresenceMessage.encode({ _tag: "Bye", node: "node-1", life }))
      assert.strictEqual(all[0]!.presence.count("t").connections, 0)
      const held = { _tag: "Delta", node: "node-1", life, from: 0 } as const
      const now = memberOf("node-1", 1)
      for (const bytes of PresenceMessage.encodeDelta({ ...held, changes: [{ topic: "t", member: "m1", now }] })) {
        bus.forge(Presence.channel, bytes)
      }
      assert.strictEqual(all[0]!.presence.count("t").connections, 0)
      // Its heartbeats go on saying how far it is.
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(all[0]!.presence.size(), { topics: 0, members: 0 })
      assert.strictEqual(all[0]!.presence.counters().asked, 0)
    })
  )

  it.effect("dies of an info that may be longer than any may be", () =>
    Effect.gen(function* () {
      assert.isTrue(Exit.hasDies(yield* Effect.exit(cluster(1, { maxInfoBytes: 16_385 }))))
    })
  )

  it.effect("leaves no fiber, no timer, nothing that hears and nothing to say when its scope is closed", () =>
    countingFibers((alive) =>
      Effect.gen(function* () {
        const before = alive.fibers
        const { all, bus } = yield* cluster(3)
        const scope = yield* Scope.make()
        for (const [i, { presence }] of all.entries()) {
          yield* presence.join("t", { member: "m", user: `u${i}` }).pipe(Scope.provide(scope))
          join(presence, "u", "m", "ada")
          presence.leaveUnsafe("u", "m")
          yield* Effect.forkIn(Stream.runDrain(presence.changes("t")), scope)
        }
        yield* TestClock.adjust("1 second")
        assert.isAbove(alive.fibers, before)
        for (const { stop } of all) yield* stop
        yield* Scope.close(scope, Exit.void)
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
