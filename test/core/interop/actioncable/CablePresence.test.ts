/** Who is present, in the words of AnyCable. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Nodes from "@millrace/core/cluster/Nodes"
import * as Presence from "@millrace/core/cluster/Presence"
import * as CableClient from "@millrace/core/interop/actioncable/CableClient"
import { CablePresence } from "@millrace/core/interop/actioncable/CablePresence"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import type * as Prepared from "@millrace/core/connection/Prepared"
import { connector } from "../../../support/cable.ts"
import { cableNetwork, listening, plain, reasonOf } from "../../../support/cableNetwork.ts"
import { turns } from "../../../support/hubNetwork.ts"

const ChatChannel: Channel.Channel = ({ params }) => {
  const room = String(params["room"])
  return Effect.succeed({
    topics: [room],
    ...(params["nobody"] === true ? {} : { presence: { topic: room, id: params["as"] as string | undefined } })
  })
}

const world = Effect.gen(function* () {
  const broker = yield* MemoryBroker.make()
  const hub = yield* Hub.on(broker)
  const nodes = yield* Nodes.make(broker, { name: "n" })
  const presence = yield* Presence.make(broker, nodes)
  const cable = yield* CableServer.make({ channels: { ChatChannel }, presence })
  const client = (extended = true) => CableClient.make(cableNetwork(hub, cable, extended).dial)
  return { client, presence, connect: connector(hub, cable) }
})

const isPresence = (said: unknown) => (said as { readonly type?: string }).type === "presence"

/** Until those who have gone are taken for gone. */
const grace = Effect.andThen(TestClock.adjust("6 seconds"), turns)

describe("Somebody who is present", () => {
  it.effect("is seen by all who have subscribed, until leaving or being gone", () =>
    Effect.gen(function* () {
      const { client, connect, presence } = yield* world
      const ada = yield* (yield* client()).subscribe("ChatChannel", { room: "lobby" })
      const scope = yield* Scope.make()
      const bob = yield* Scope.provide((yield* client()).subscribe("ChatChannel", { room: "lobby" }), scope)
      // Rails' protocol has no word for it.
      const old = yield* connect("old")
      yield* old.subscribe(ada.identifier)
      old.heard()
      const { heard } = yield* listening(ada)
      yield* ada.join("ada", { name: "Ada" })
      yield* bob.join("bob")
      yield* turns
      assert.deepStrictEqual(plain(heard), ["joined: ada", "joined: bob"])
      assert.deepStrictEqual(yield* ada.present, [
        { id: "ada", info: { name: "Ada" } },
        { id: "bob", info: null }
      ])
      assert.strictEqual(yield* bob.count, 2)
      yield* ada.leave
      yield* Scope.close(scope, Exit.void)
      yield* grace
      assert.deepStrictEqual(plain(heard).slice(2).toSorted(), ["left: ada", "left: bob"])
      const news = old.heard()
      assert.deepStrictEqual([presence.count("lobby").connections, news.filter(isPresence)], [0, []])
    })
  )

  it.effect("is who the channel says, where it does", () =>
    Effect.gen(function* () {
      const { client } = yield* world
      const eve = yield* (yield* client()).subscribe("ChatChannel", { room: "lobby", as: "eve" })
      yield* eve.join("admin")
      assert.deepStrictEqual(yield* eve.present, [{ id: "eve", info: null }])
    })
  )

  it.effect("is nowhere where the channel has no presence, and is told so", () =>
    Effect.gen(function* () {
      const { client, presence } = yield* world
      const ada = yield* (yield* client()).subscribe("ChatChannel", { room: "lobby", nobody: true })
      yield* ada.join("ada")
      assert.strictEqual(yield* reasonOf(ada.present), "Unsupported")
      assert.strictEqual(presence.count("lobby").connections, 0)
    })
  )

  it.effect("may be called like a property of every object, and is nobody else", () =>
    Effect.gen(function* () {
      const { client } = yield* world
      const ada = yield* (yield* client()).subscribe("ChatChannel", { room: "toString" })
      const names = ["toString", "hasOwnProperty", "valueOf"]
      for (const name of names) yield* ada.join(name, name)
      // One subscription is one member, by its last name.
      yield* grace
      assert.deepStrictEqual(yield* ada.present, [{ id: "valueOf", info: "valueOf" }])
    })
  )
})

describe("CablePresence", () => {
  it.effect("prints a change once for all with one identifier, and watches nothing that nobody wants to know", () =>
    Effect.gen(function* () {
      const { presence } = yield* world
      const cable = new CablePresence(presence)
      const told: Array<Prepared.Prepared> = []
      const listener = (identifier: string) => ({
        identifier,
        tellUnsafe: (said: Prepared.Prepared) => void told.push(said)
      })
      const stops = ["a", "a", "b"].map((identifier) => cable.watch("lobby", listener(identifier)))
      assert.isTrue(cable.join("lobby", "m", { id: "ada", info: 1 }))
      assert.strictEqual(told.length, 3)
      assert.strictEqual(told[0], told[1])
      assert.notStrictEqual(told[0], told[2])
      // Another connection of the same user is nothing new; another info is.
      assert.isTrue(cable.join("lobby", "n", { id: "ada", info: 1 }))
      assert.strictEqual(told.length, 3)
      assert.isTrue(cable.join("lobby", "n", { id: "ada", info: 2 }))
      assert.strictEqual(told.length, 6)
      assert.isFalse(cable.join("lobby", "o", { id: "ada", info: "x".repeat(2_000) }))
      for (const stop of stops) stop()
      assert.strictEqual(cable.size, 0)
    })
  )
})
