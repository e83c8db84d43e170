/** Clients of Action Cable on a hub, over connections in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as Position from "@millrace/core/cluster/Position"
import * as Target from "@millrace/core/cluster/Target"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { confirmed, connector, I, rejected } from "../../../support/cable.ts"
import { turn } from "../../../support/connection.ts"

const ofHub = (topic: string, data: unknown, time = 0) =>
  HubMessage.encodeMessage({ topic, dataJson: toJson(data), from: "ada", time })

/** A room is `room/NAME`; `secret` may not be read; what is said in it is published. */
const channels = (hub: Hub.Hub["Service"], log: Array<string>): Channel.Channels => ({
  ChatChannel: ({ client, params }) =>
    Effect.gen(function* () {
      const room = params["room"]
      if (typeof room !== "string" || room === "secret") return yield* Channel.reject
      yield* Effect.addFinalizer(() => Effect.sync(() => void log.push(`${client.name} left ${room}`)))
      const topic = `room/${room}`
      return {
        topics: [topic],
        whispers: topic,
        perform: (action, data) =>
          action === "fail"
            ? Effect.fail("on purpose")
            : Effect.andThen(
                Effect.sync(() => void log.push(`${client.name}: ${action}`)),
                Effect.orDie(hub.publish(topic, toJson({ action, ...data })))
              )
      }
    }),
  TickChannel: () => Effect.succeed({ transmissions: Stream.make(1, 2, 3) }),
  BrokenChannel: () => Effect.die(new Error("on purpose"))
})

const clientsOf = (options: Partial<CableServer.Options> = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const log: Array<string> = []
    const cable = yield* CableServer.make({ channels: channels(hub, log), ...options })
    return { hub, cable, connect: connector(hub, cable), log }
  })

const lobby = I("ChatChannel", { room: "lobby" })

describe("a client", () => {
  it.effect(
    "is welcomed, subscribes, and gets what is published to the channel's topics, whoever publishes and however",
    () =>
      Effect.gen(function* () {
        const { connect, hub } = yield* clientsOf()
        const ada = yield* connect("ada")
        yield* ada.subscribe(lobby)
        assert.deepStrictEqual(ada.heard(), [{ type: "welcome" }, confirmed(lobby)])
        yield* hub.publish("room/lobby", ofHub("room/lobby", { n: 1.5, deep: [null] }))
        yield* hub.publish("room/lobby", '{ "of": "a program" }')
        yield* hub.publish("room/lobby", "no JSON")
        yield* hub.publish("room/lobby", new Uint8Array([1]))
        yield* hub.publish("room/other", "1")
        yield* turn
        assert.deepStrictEqual(ada.heard(), [
          { identifier: lobby, message: { n: 1.5, deep: [null] } },
          { identifier: lobby, message: { of: "a program" } },
          { identifier: lobby, message: "no JSON" }
        ])
      })
  )

  it.effect("is rejected by a channel, where there is none of that name, and where it fails; and may go on", () =>
    Effect.gen(function* () {
      const { connect } = yield* clientsOf()
      const ada = yield* connect("ada")
      ada.heard()
      for (const identifier of [
        I("ChatChannel", { room: "secret" }),
        I("ChatChannel", { room: 7 }),
        I("NoChannel"),
        I("__proto__"),
        I("constructor"),
        I("toString"),
        I("BrokenChannel"),
        "no JSON"
      ]) {
        yield* ada.subscribe(identifier)
        assert.deepStrictEqual(ada.heard(), [rejected(identifier)])
      }
      for (const nonsense of [
        "[]",
        "no",
        '{"command":"dance","identifier":"{}"}',
        '{"command":"unsubscribe","identifier":"{}"}'
      ]) {
        yield* ada.say(nonsense)
      }
      yield* ada.client.send(new Uint8Array(3))
      yield* ada.subscribe(lobby)
      yield* ada.subscribe(lobby)
      assert.deepStrictEqual(ada.heard(), [confirmed(lobby), confirmed(lobby)])
    })
  )

  it.effect("performs actions in order, what fails harming nobody, and hears nothing once it has unsubscribed", () =>
    Effect.gen(function* () {
      const { connect, log } = yield* clientsOf()
      const ada = yield* connect("ada")
      const bob = yield* connect("bob")
      yield* ada.subscribe(lobby)
      yield* bob.subscribe(lobby)
      yield* ada.perform(lobby, { text: "hé" })
      yield* ada.perform(lobby, { action: "fail" })
      yield* ada.perform(lobby, { action: "speak", text: "2" })
      const said = [
        { identifier: lobby, message: { action: "receive", text: "hé" } },
        { identifier: lobby, message: { action: "speak", text: "2" } }
      ]
      assert.deepStrictEqual(ada.heard().slice(2), said)
      assert.deepStrictEqual(bob.heard().slice(2), said)
      yield* bob.say({ command: "unsubscribe", identifier: lobby })
      yield* bob.perform(lobby, { action: "speak" })
      yield* ada.perform(lobby, { action: "speak" })
      assert.deepStrictEqual(bob.heard(), [])
      assert.deepStrictEqual(log, ["ada: receive", "ada: speak", "bob left lobby", "ada: speak"])
      yield* ada.client.close(1000)
      yield* turn
      assert.deepStrictEqual(log.at(-1), "ada left lobby")
    })
  )

  it.effect("gets what a channel transmits by itself, behind the confirmation", () =>
    Effect.gen(function* () {
      const { connect } = yield* clientsOf()
      const ada = yield* connect("ada")
      const identifier = I("TickChannel")
      yield* ada.subscribe(identifier)
      assert.deepStrictEqual(ada.heard().slice(1), [
        confirmed(identifier),
        ...[1, 2, 3].map((message) => ({ identifier, message }))
      ])
    })
  )

  it.effect("is told that it was taken out of its topic, and gets no more of it", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* clientsOf()
      const ada = yield* connect("ada")
      yield* ada.subscribe(lobby)
      ada.heard()
      assert.strictEqual(yield* hub.kick(Target.topic("room/lobby"), "room/lobby", "enough"), 1)
      yield* turn
      yield* hub.publish("room/lobby", "1")
      yield* turn
      assert.deepStrictEqual(ada.heard(), [rejected(lobby)])
    })
  )
})

describe("the server", () => {
  it.effect("pings every three seconds, in seconds since 1970", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_790_000_000_000)
      const { connect } = yield* clientsOf()
      const ada = yield* connect("ada")
      ada.heard()
      yield* TestClock.adjust("3 seconds")
      yield* turn
      const pings = ada.heard() as ReadonlyArray<{ readonly type: string; readonly message: number }>
      assert.deepStrictEqual(pings, [{ type: "ping", message: 1_790_000_003 }])
    })
  )

  it.effect("disconnects a user, whose clients are told whether to come back, and nobody else", () =>
    Effect.gen(function* () {
      const { cable, connect } = yield* clientsOf()
      const ada = yield* connect("ada")
      const bob = yield* connect("bob")
      ada.heard()
      bob.heard()
      assert.strictEqual(yield* cable.disconnect("ada", false), 1)
      yield* turn
      assert.deepStrictEqual(ada.heard(), [{ type: "disconnect", reason: "remote", reconnect: false }])
      assert.strictEqual((yield* ada.client.closed).received?.code, 1000)
      assert.deepStrictEqual(bob.heard(), [])
      assert.strictEqual(yield* cable.restart, 1)
      yield* turn
      assert.deepStrictEqual(bob.heard(), [{ type: "disconnect", reason: "server_restart", reconnect: true }])
    })
  )

  it.effect("says a publication once for all who have the same identifier, and keeps nothing of who has gone", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* clientsOf()
      const clients = yield* Effect.forEach(["ada", "bob", "cy"], (name) => connect(name))
      for (const client of clients) yield* client.subscribe(lobby)
      yield* hub.publish("room/lobby", "1")
      yield* turn
      for (const client of clients) assert.deepStrictEqual(client.heard().at(-1), { identifier: lobby, message: 1 })
      for (const client of clients) yield* client.client.close(1000)
      yield* turn
      assert.strictEqual(hub.topics(), 0)
    })
  )
})

describe("AnyCable's protocol", () => {
  const extended = { subprotocol: Packet.extendedSubprotocol }

  it.effect("says where each message is, and gives what was missed since; or that it is not known any more", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* clientsOf()
      const ada = yield* connect("ada", extended)
      yield* ada.subscribe(lobby)
      ada.heard()
      yield* hub.publish("room/lobby", "1")
      yield* turn
      const [first] = ada.heard() as ReadonlyArray<{ readonly epoch: string; readonly offset: number }>
      assert.deepInclude(first as object, { identifier: lobby, message: 1, stream_id: "room/lobby" })
      const { epoch, offset } = first!
      assert.isDefined(Position.parse(`${epoch}:${offset}`))
      yield* hub.publish("room/lobby", "2")
      const bob = yield* connect("bob", extended)
      const history = { streams: { "room/lobby": { epoch, offset } } }
      yield* bob.subscribe(lobby, { history })
      const missed = { identifier: lobby, message: 2, stream_id: "room/lobby", epoch, offset: offset + 1 }
      const done = { identifier: lobby, type: "confirm_history" }
      assert.deepStrictEqual(bob.heard().slice(1), [confirmed(lobby), missed, done])
      yield* bob.say({ command: "history", identifier: lobby, history })
      assert.deepStrictEqual(bob.heard(), [missed, done])
      yield* bob.say({
        command: "history",
        identifier: lobby,
        history: { streams: { "room/lobby": { epoch: "no", offset } } }
      })
      assert.deepStrictEqual(bob.heard(), [{ identifier: lobby, type: "reject_history" }])
    })
  )

  it.effect("gives what was said since a time", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* clientsOf()
      yield* hub.publish("room/lobby", ofHub("room/lobby", "old", 1_000))
      yield* hub.publish("room/lobby", ofHub("room/lobby", "new", 9_000))
      const ada = yield* connect("ada", extended)
      yield* ada.subscribe(lobby, { history: { since: 5 } })
      const [, , ...rest] = ada.heard() as ReadonlyArray<{ readonly message?: unknown; readonly type?: string }>
      assert.deepStrictEqual(
        rest.map(({ message, type }) => message ?? type),
        ["new", "confirm_history"]
      )
    })
  )

  it.effect("whispers to the others", () =>
    Effect.gen(function* () {
      const { connect } = yield* clientsOf()
      const ada = yield* connect("ada", extended)
      const bob = yield* connect("bob", extended)
      yield* ada.subscribe(lobby)
      yield* bob.subscribe(lobby)
      ada.heard()
      bob.heard()
      yield* ada.say({ command: "whisper", identifier: lobby, data: { typing: true } })
      assert.deepStrictEqual(ada.heard(), [])
      assert.deepInclude(bob.heard()[0] as object, { identifier: lobby, message: { typing: true } })
    })
  )

  it.effect("has to be answered where pongs are wanted: who does not is disconnected", () =>
    Effect.gen(function* () {
      const { connect } = yield* clientsOf({ pongs: true })
      const ada = yield* connect("ada", extended)
      ada.heard()
      yield* TestClock.adjust("3 seconds")
      yield* ada.say({ command: "pong" })
      yield* TestClock.adjust("3 seconds")
      yield* turn
      assert.isTrue((ada.heard() as ReadonlyArray<{ readonly type: string }>).every(({ type }) => type === "ping"))
      yield* TestClock.adjust("3 seconds")
      yield* turn
      assert.deepInclude(ada.heard().at(-1) as object, { type: "disconnect", reason: "no_pong", reconnect: true })
    })
  )
})
