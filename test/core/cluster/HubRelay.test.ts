/** Clients that share one client of a real hub: to each of them the relay is a hub. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import type { HubClientError } from "@millrace/core/cluster/HubClientError"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { HubPresence } from "@millrace/core/cluster/HubPresence"
import * as HubRelay from "@millrace/core/cluster/HubRelay"
import * as Target from "@millrace/core/cluster/Target"
import { start, turn } from "../../support/connection.ts"
import { hubNetwork, listening, turns, words } from "../../support/hubNetwork.ts"
import { cluster } from "../../support/presences.ts"
import { relayed, relayNetwork } from "../../support/relays.ts"

/** A hub, the client that has the connection, and its network. */
const shared = (options?: Parameters<typeof hubNetwork>[1]) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make({ history: { epoch: "e", maxBytes: 2 ** 24 } })
    const network = hubNetwork(hub, options)
    const upstream = yield* HubClient.make(network.connect)
    const members = (topic: string) => [...hub.membersOf(topic)].length
    return { hub, network, upstream, members, tab: HubClient.make(relayNetwork(() => upstream).connect) }
  })

const inSome = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    return { value: yield* Scope.provide(effect, scope), close: Scope.close(scope, Exit.void) }
  })

/** That others are told of who is there, some time after it happens. */
const soon = Effect.andThen(Effect.andThen(turns, TestClock.adjust(100)), turns)

const at = (offset: number) => ({ position: { epoch: "e", offset } })

const no = () => Effect.fail(new Rejection({ message: "not you" }))

describe("a relay of the hub", () => {
  it.effect("has all share one subscription of one connection, for as long as one of them wants it", () =>
    Effect.gen(function* () {
      const { members, network, tab } = yield* shared()
      const one = yield* tab
      const other = yield* inSome(tab)
      const first = yield* listening(one.subscribe("lobby"))
      const second = yield* listening(other.value.subscribe("lobby"))
      yield* turns
      assert.strictEqual(members("lobby"), 1)
      const receipt = yield* one.publish("lobby", { text: "hello" })
      yield* turns
      assert.deepInclude(receipt, { receivers: 1, repeated: false, position: { epoch: "e", offset: 1 } })
      for (const { heard } of [first, second]) assert.deepStrictEqual(words(heard), ["Subscribed", { text: "hello" }])
      assert.deepInclude(second.heard[1], { from: "ada", position: receipt.position })
      assert.strictEqual(yield* other.value.name, "ada")
      yield* Fiber.interrupt(first.fiber)
      yield* turns
      assert.strictEqual(members("lobby"), 1)
      yield* other.close
      yield* turns
      assert.strictEqual(members("lobby"), 0)
      assert.strictEqual(network.attempts, 1)
    })
  )

  it.effect("gives each who comes back what it has missed, wherever the others are", () =>
    Effect.gen(function* () {
      const { tab } = yield* shared()
      const one = yield* tab
      for (let i = 1; i <= 5; i++) yield* one.publish("lobby", i)
      const live = yield* listening(one.subscribe("lobby"))
      yield* turns
      const second = yield* listening((yield* tab).subscribe("lobby", at(3)))
      const third = yield* listening((yield* tab).subscribe("lobby", at(1)))
      yield* turns
      yield* one.publish("lobby", 6)
      yield* turns
      assert.deepStrictEqual(words(live.heard), ["Subscribed", 6])
      assert.deepStrictEqual(words(second.heard), ["Subscribed", 4, 5, 6])
      assert.deepStrictEqual(words(third.heard), ["Subscribed", 2, 3, 4, 5, 6])
    })
  )

  it.effect("tells of a gap, and of where a stream begins", () =>
    Effect.gen(function* () {
      const { tab, upstream } = yield* shared()
      yield* upstream.publish("lobby", 1)
      const { heard } = yield* listening((yield* tab).subscribe("lobby", { position: { epoch: "another", offset: 7 } }))
      yield* turns
      const topic = "lobby"
      assert.deepStrictEqual(heard.slice(0, 2) as ReadonlyArray<unknown>, [
        { _tag: "Subscribed", topic, position: { epoch: "another", offset: 7 } },
        { _tag: "Gap", topic, from: { epoch: "another", offset: 7 }, to: { epoch: "e", offset: 0 } }
      ])
      assert.deepStrictEqual(words(heard.slice(2)), [1])
    })
  )

  it.effect("loses nothing when the connection is lost, and nobody notices but by waiting", () =>
    Effect.gen(function* () {
      const { hub, network, tab } = yield* shared()
      const one = yield* tab
      const { heard } = yield* listening(one.subscribe("lobby"))
      yield* turns
      network.last.cut()
      const asked = yield* start(one.publish("lobby", 2))
      const other = yield* HubClient.make(hubNetwork(hub).connect)
      yield* other.publish("lobby", 1)
      yield* TestClock.adjust("1 second")
      yield* turns
      assert.deepInclude(yield* Fiber.join(asked), { repeated: false })
      yield* turns
      assert.deepStrictEqual(words(heard), ["Subscribed", 1, 2])
    })
  )

  it.effect("dies without loss: who said something says it to the next by the same key, and it is heard once", () =>
    Effect.gen(function* () {
      const { hub, network, upstream } = yield* shared()
      let current = upstream
      const tabs = relayNetwork(() => current)
      const one = yield* HubClient.make(tabs.connect)
      const { heard } = yield* listening(one.subscribe("lobby"))
      yield* turns
      // The hub has it, and its answer gets nowhere.
      const asked = yield* start(one.publish("lobby", "once"))
      yield* turns
      network.last.cut()
      current = yield* HubClient.make(hubNetwork(hub).connect)
      tabs.last.cut()
      yield* TestClock.adjust("1 second")
      yield* turns
      yield* Fiber.join(asked)
      yield* one.publish("lobby", "twice")
      yield* turns
      assert.deepStrictEqual(words(heard), ["Subscribed", "once", "twice"])
    })
  )

  it.effect("keeps from who says something without an echo only what it has said itself", () =>
    Effect.gen(function* () {
      const { tab } = yield* shared()
      const one = yield* tab
      const other = yield* tab
      const own = yield* listening(one.subscribe("lobby"))
      const others = yield* listening(other.subscribe("lobby"))
      yield* turns
      const saying = [1, 2, 3].map((n) => one.publish("lobby", n, { echo: n === 2 }))
      yield* Effect.all([...saying, other.publish("lobby", 4, { echo: false })], { concurrency: "unbounded" })
      yield* turns
      assert.deepStrictEqual(words(others.heard), ["Subscribed", 1, 2, 3, "Advanced"])
      assert.deepStrictEqual(words(own.heard), ["Subscribed", "Advanced", 2, "Advanced", 4])
    })
  )

  // From before the hub has heard of it until everybody has, whoever has died then.
  const moments = Array.from({ length: 14 }, (_, i) => i)

  it.effect.each(moments)(
    "that dies %i turns after something was said without an echo has the next keep it, too",
    (n) =>
      Effect.gen(function* () {
        const { hub, network, upstream } = yield* shared()
        let current = upstream
        const tabs = relayNetwork(() => current)
        const one = yield* HubClient.make(tabs.connect)
        const other = yield* HubClient.make(hubNetwork(hub).connect)
        const own = yield* listening(one.subscribe("lobby"))
        const others = yield* listening(other.subscribe("lobby"))
        yield* turns
        const saying = [1, 2, 3].map((n) => one.publish("lobby", n, { echo: n === 2 }))
        const asked = yield* start(Effect.all(saying, { concurrency: "unbounded" }))
        for (let i = 0; i < n; i++) yield* turn
        tabs.last.cut()
        network.last.cut()
        current = yield* HubClient.make(hubNetwork(hub).connect)
        yield* TestClock.adjust("1 second")
        yield* turns
        yield* Fiber.join(asked)
        yield* one.publish("lobby", 4, { echo: false })
        yield* other.publish("lobby", 5)
        yield* turns
        assert.deepStrictEqual(words(others.heard), ["Subscribed", 1, 2, 3, 4, 5])
        assert.deepStrictEqual(words(own.heard), ["Subscribed", "Advanced", 2, "Advanced", "Advanced", 5])
      })
  )

  it.effect("has one that does not read hold up nobody, and gives it the rest when it reads", () =>
    Effect.gen(function* () {
      const { hub, tab, upstream } = yield* shared()
      const frozen = yield* relayed(upstream)
      yield* frozen.say({ type: "subscribe", topic: "lobby", id: 1 })
      const { heard } = yield* listening((yield* tab).subscribe("lobby"))
      yield* turns
      const data = "x".repeat(10_000)
      for (let i = 1; i <= 1_000; i++) {
        yield* hub.publish(
          "lobby",
          HubMessage.encodeMessage({
            topic: "lobby",
            dataJson: HubMessage.toJson({ i, data }),
            from: "b",
            time: 0
          })
        )
        if (i % 50 === 0) yield* turns
      }
      yield* turns
      assert.strictEqual(heard.length, 1_001)
      yield* frozen.listen
      const numbers: Array<unknown> = []
      for (let i = 0; i < 50 && numbers.length < 1_000; i++) {
        yield* turns
        for (const { data, type } of frozen.heard()) if (type === "message") numbers.push((data as { i: number }).i)
      }
      assert.deepStrictEqual(
        numbers,
        Array.from({ length: 1_000 }, (_, i) => i + 1)
      )
    })
  )

  it.effect("passes refusals on: who may not join, may not publish, and was taken out", () =>
    Effect.gen(function* () {
      const { hub, tab } = yield* shared({
        authorize: { join: (_, topic) => (topic === "secret" ? no() : Effect.void), publish: no }
      })
      const one = yield* tab
      const joined = yield* Effect.flip(Stream.runDrain(one.subscribe("secret")))
      assert.deepInclude(joined.reason, { _tag: "Refused", code: "forbidden", detail: "not you" })
      const published = yield* Effect.flip(one.publish("lobby", 1))
      assert.deepInclude(published.reason, { _tag: "Refused", code: "forbidden", detail: "not you" })
      const { fiber } = yield* listening(one.subscribe("lobby"))
      yield* turns
      yield* hub.kick(Target.topic("lobby"), "lobby", "out")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit))
      const [why] = Exit.isFailure(exit) ? exit.cause.reasons : []
      const error = why?._tag === "Fail" ? (why.error as HubClientError) : undefined
      assert.deepInclude(error?.reason, { _tag: "Kicked", topic: "lobby", detail: "out" })
    })
  )

  it.effect("speaks the hub's protocol: answers carry their ids, and what is wrong has the hub's codes", () =>
    Effect.gen(function* () {
      const { upstream } = yield* shared()
      const { heard, listen, say } = yield* relayed(upstream)
      yield* listen
      yield* turns
      assert.deepStrictEqual(heard(), [{ type: "welcome", client: "ada", protocol: 1 }])
      yield* say(
        { type: "subscribe", topic: "t", id: "a" },
        { type: "publish", topic: "t", data: [1.5, null], id: "b" },
        { type: "publish", topic: "t", data: 2 }
      )
      yield* turns
      const said = heard()
      assert.deepStrictEqual(
        said.map(({ type, id, data }) => id ?? data ?? type),
        ["a", [1.5, null], "b", 2]
      )
      assert.deepInclude(said[0], { type: "subscribed", position: "e:0" })
      assert.deepInclude(said[1], { type: "message", topic: "t", from: "ada", position: "e:1" })
      assert.deepInclude(said[2], { type: "published", receivers: 1, position: "e:1" })
      yield* say(
        { type: "subscribe", topic: "t", id: "again" },
        { type: "ping", id: 1 },
        "nonsense",
        { type: "shout", id: 2 },
        Uint8Array.of(1),
        { type: "presence", topic: "t", id: 3 },
        { type: "subscribe", topic: "u", presence: true, id: 4 },
        { type: "unsubscribe", topic: "t", id: 5 },
        { type: "unsubscribe", topic: "never", id: 6 }
      )
      yield* turns
      const short = heard().map(({ code, id, type }) => [type, code, id].filter((part) => part !== undefined).join(" "))
      assert.sameMembers(short, [
        "subscribed again",
        "pong 1",
        "error bad-json",
        "error unknown-type 2",
        "error binary",
        "error no-presence 3",
        "subscribed 4",
        "error no-presence 4",
        "unsubscribed 5",
        "unsubscribed 6"
      ])
    })
  )

  it.effect("lets one client have no more topics than a hub does", () =>
    Effect.gen(function* () {
      const { upstream } = yield* shared()
      const { heard, listen, say } = yield* relayed(upstream)
      yield* listen
      yield* say(...Array.from({ length: 129 }, (_, i) => ({ type: "subscribe", topic: `t${i}`, id: i })))
      yield* turns
      const refused = heard().filter(({ type }) => type === "error")
      assert.deepStrictEqual(
        refused.map(({ code, id }) => [code, id]),
        [["too-many-topics", 128]]
      )
    })
  )

  it.effect("welcomes nobody before the hub has welcomed it", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const network = hubNetwork(hub)
      network.answer = () => Effect.never
      const upstream = yield* HubClient.make(network.connect)
      const { heard, listen } = yield* relayed(upstream)
      yield* listen
      yield* turns
      assert.deepStrictEqual(heard(), [])
      network.answer = () => Effect.void
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("1 second")
      yield* turns
      assert.deepStrictEqual(
        heard().map(({ type }) => type),
        ["welcome"]
      )
    })
  )

  it.effect("sends its clients to the next when whoever had it is done, and away for good when it has stopped", () =>
    Effect.gen(function* () {
      const { hub } = yield* shared()
      const done = yield* inSome(HubClient.make(hubNetwork(hub).connect))
      const one = yield* relayed(done.value)
      yield* one.listen
      yield* turns
      yield* done.close
      assert.deepInclude((yield* one.client.closed).received, { code: 1_001 })
      yield* Fiber.join(one.serving)

      const network = hubNetwork(hub)
      network.serve = ({ server }) => server.close(1_003, "we do not like you")
      const upstream = yield* HubClient.make(network.connect)
      const tab = yield* HubClient.make(relayNetwork(() => upstream).connect)
      const error = yield* Effect.flip(tab.publish("lobby", 1))
      assert.strictEqual(error.reason._tag, "Stopped")
      const state = yield* tab.state
      assert.strictEqual(state._tag, "Stopped")
      assert.include(JSON.stringify(state), `${HubRelay.stopped}`)
    })
  )

  it.effect("leaves nothing behind of one that has gone", () =>
    Effect.gen(function* () {
      const { members, upstream } = yield* shared()
      const { client, listen, say, serving } = yield* relayed(upstream)
      yield* listen
      yield* say({ type: "subscribe", topic: "t" }, { type: "subscribe", topic: "u" })
      yield* turns
      assert.deepStrictEqual([members("t"), members("u")], [1, 1])
      yield* client.close()
      yield* Fiber.join(serving)
      yield* turns
      assert.deepStrictEqual([members("t"), members("u")], [0, 0])
    })
  )

  it.effect("shows its clients to others, and others to its clients", () =>
    Effect.gen(function* () {
      const { all } = yield* cluster(1)
      const presence = new HubPresence(all[0]!.presence, (effect) => Effect.runFork(effect))
      const { hub, upstream } = yield* shared({ presence, user: "ada" })
      const { heard, listen, say } = yield* relayed(upstream)
      yield* listen
      yield* say({ type: "subscribe", topic: "t", id: 1 })
      yield* turns
      yield* say(
        // It changes its mind, and is asked for nothing again.
        { type: "subscribe", topic: "t", presence: { info: { mood: "fine" } }, id: 2 }
      )
      yield* soon
      yield* say({ type: "presence", topic: "t", id: 3 })
      yield* soon
      const said = heard().slice(1)
      assert.deepInclude(said[0], { type: "subscribed", id: 1, position: "e:0" })
      assert.deepStrictEqual(said[1], { type: "subscribed", topic: "t", id: 2 })
      const present = said.find(({ id }) => id === 3)!
      assert.deepInclude((present["users"] as ReadonlyArray<object>)[0], { user: "ada", info: { mood: "fine" } })
      const other = yield* HubClient.make(hubNetwork(hub, { client: "bob", presence, user: "bob" } as never).connect)
      const { heard: others } = yield* listening(other.subscribe("t", { presence: {} }))
      yield* soon
      assert.include(JSON.stringify(heard()), '"type":"joined","topic":"t","user":"bob"')
      assert.include(JSON.stringify(others), '"mood":"fine"')
      yield* other.publish("t", "still there")
      yield* turns
      assert.deepInclude(heard()[0], { type: "message", data: "still there" })
    })
  )

  it.effect("answers each question, also of one who does not wait for the answer", () =>
    Effect.gen(function* () {
      const { members, upstream } = yield* shared()
      const { heard, listen, say } = yield* relayed(upstream)
      yield* listen
      yield* turns
      heard()
      const topic = "t"
      yield* say(
        { type: "subscribe", topic, id: 1 },
        { type: "unsubscribe", topic, id: 2 },
        { type: "subscribe", topic, id: 3 },
        { type: "subscribe", topic, presence: true, id: 4 }
      )
      yield* turns
      assert.deepStrictEqual(heard(), [
        { type: "subscribed", topic, id: 1 },
        { type: "unsubscribed", topic, id: 2 },
        { type: "subscribed", topic, id: 3 },
        { type: "subscribed", topic, position: "e:0", id: 4 },
        { type: "error", code: "no-presence", message: "who is where is not known here", id: 4 }
      ])
      assert.strictEqual(members(topic), 1)
    })
  )

  it.effect("reads no more of one that has 256 publications unanswered, and all of it in the end", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const network = hubNetwork(hub)
      const upstream = yield* HubClient.make(network.connect)
      const { heard, listen, say } = yield* relayed(upstream)
      yield* listen
      yield* turns
      network.last.cut()
      network.answer = () => Effect.never
      const all = Array.from({ length: HubRelay.maxTogether + 10 }, (_, id) => ({
        type: "publish",
        topic: "t",
        data: id,
        id
      }))
      yield* say(...all, { type: "shout", id: "last" })
      yield* turns
      assert.deepStrictEqual(heard().slice(1), [])
      network.answer = () => Effect.void
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("10 seconds")
      yield* turns
      const ids = heard().map(({ id }) => id)
      assert.deepStrictEqual(
        ids.filter((id) => id !== "last"),
        all.map(({ id }) => id)
      )
      assert.include(ids, "last")
    })
  )
})
