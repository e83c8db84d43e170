/** A client of Action Cable that comes back: on our own server, and on one that says whatever it is told to. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as Reconnect from "@millrace/core/connection/Reconnect"
import type { Happening } from "@millrace/core/connection/Surroundings"
import * as CableClient from "@millrace/core/interop/actioncable/CableClient"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { confirmed, I, rejected } from "../../../support/cable.ts"
import { cableNetwork, listening, plain, reasonOf, scripted } from "../../../support/cableNetwork.ts"
import { counted, start } from "../../../support/connection.ts"
import { turns } from "../../../support/hubNetwork.ts"
import { telling } from "../../../support/telling.ts"

const chat = I("ChatChannel", { room: "lobby" })

/** A hub, a server of Action Cable on it, and a client. */
const world = ({ extended = true, ...options }: CableClient.Options & { readonly extended?: boolean } = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const left: Array<unknown> = []
    const ChatChannel: Channel.Channel = ({ params }) =>
      Effect.gen(function* () {
        const { room } = params
        if (typeof room !== "string" || room === "secret") return yield* Channel.reject
        yield* Effect.addFinalizer(() => Effect.sync(() => void left.push(room)))
        return {
          topics: [room],
          whispers: room,
          perform: (action, data) => Effect.orDie(hub.publish(room, toJson({ action, ...data })))
        }
      })
    const cable = yield* CableServer.make({ channels: { ChatChannel } })
    const network = cableNetwork(hub, cable, extended)
    const client = yield* CableClient.make(network.dial, options)
    yield* turns
    const say = (room: string, data: unknown) => Effect.andThen(hub.publish(room, toJson(data)), turns)
    return { hub, cable, network, client, left, say }
  })

/** Lets it come back. */
const later = Effect.andThen(TestClock.adjust("1 second"), turns)

const tagOf = (client: CableClient.CableClient) => Effect.map(client.state, ({ _tag }) => _tag)

describe("A client of Action Cable", () => {
  it.effect.each([true, false])("subscribes, hears and performs; AnyCable's protocol: %s", (extended) =>
    Effect.gen(function* () {
      const { client, left, say } = yield* world({ extended })
      const scope = yield* Scope.make()
      const lobby = yield* Scope.provide(client.subscribe("ChatChannel", { room: "lobby" }), scope)
      assert.strictEqual(lobby.identifier, chat)
      const { fiber, heard } = yield* listening(lobby)
      yield* say("lobby", [1])
      yield* lobby.perform("speak", { text: "hé" })
      yield* lobby.perform("receive")
      yield* turns
      assert.deepStrictEqual(plain(heard), [[1], { action: "speak", text: "hé" }, { action: "receive" }])
      yield* Scope.close(scope, Exit.void)
      yield* turns
      assert.deepStrictEqual([left, Exit.isSuccess(yield* Fiber.join(fiber))], [["lobby"], true])
      assert.strictEqual(yield* reasonOf(lobby.perform("speak")), "NotSubscribed")
    })
  )

  it.effect("is told what it may not subscribe to, and that JSON has no word for something", () =>
    Effect.gen(function* () {
      const { client } = yield* world()
      assert.strictEqual(yield* reasonOf(client.subscribe("ChatChannel", { room: "secret" })), "Rejected")
      assert.strictEqual(yield* reasonOf(client.subscribe("NoSuchChannel")), "Rejected")
      assert.strictEqual(yield* reasonOf(client.subscribeTo("not JSON")), "Rejected")
      assert.strictEqual(yield* reasonOf(client.subscribe("ChatChannel", { room: 1n })), "UnsendableValue")
      const lobby = yield* client.subscribe("ChatChannel", { room: "lobby" })
      assert.strictEqual(yield* reasonOf(lobby.perform("speak", { bytes: new Uint8Array(1) })), "UnsendableValue")
    })
  )

  it.effect("shares one subscription among those who want the same", () =>
    Effect.gen(function* () {
      const { client, left, say } = yield* world()
      const scope = yield* Scope.make()
      const first = yield* listening(yield* Scope.provide(client.subscribe("ChatChannel", { room: "lobby" }), scope))
      const second = yield* listening(yield* client.subscribe("ChatChannel", { room: "lobby" }))
      yield* say("lobby", 1)
      yield* Scope.close(scope, Exit.void)
      yield* say("lobby", 2)
      assert.deepStrictEqual([plain(first.heard), plain(second.heard), left], [[1], [1, 2], []])
    })
  )

  it.effect("gets what was said while it was away, once and in order, whichever of it comes live", () =>
    Effect.gen(function* () {
      const { client, network, say } = yield* world({ reconnect: Reconnect.fullJitter({ cap: "900 millis" }) })
      const lobby = yield* listening(yield* client.subscribe("ChatChannel", { room: "lobby" }))
      const quiet = yield* listening(yield* client.subscribe("ChatChannel", { room: "quiet" }))
      yield* say("lobby", 1)
      for (let n = 2; n < 12; n += 2) {
        network.last.cut()
        yield* say("lobby", n)
        yield* TestClock.adjust("1 second")
        yield* say("lobby", n + 1)
      }
      // Nothing was heard of it before: it is asked for by the time.
      network.last.cut()
      yield* say("quiet", "a")
      yield* later
      assert.deepStrictEqual(plain(lobby.heard), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
      assert.deepStrictEqual(plain(quiet.heard), ["a"])
      assert.isAtLeast(network.attempts, 6)
    })
  )

  it.effect("is told what Rails' protocol cannot tell: that something may be missing", () =>
    Effect.gen(function* () {
      const { client, network, say } = yield* world({ extended: false })
      const { heard } = yield* listening(yield* client.subscribe("ChatChannel", { room: "lobby" }))
      yield* say("lobby", 1)
      network.last.cut()
      yield* say("lobby", 2)
      yield* later
      yield* say("lobby", 3)
      assert.deepStrictEqual(plain(heard), [1, "gap: Disconnected", 3])
    })
  )

  it.effect("does not come back where the server does not want it, and does where it does", () =>
    Effect.gen(function* () {
      const { cable, client, network } = yield* world()
      const lobby = yield* client.subscribe("ChatChannel", { room: "lobby" })
      const { fiber } = yield* listening(lobby)
      yield* start(cable.disconnect("u"))
      yield* turns
      yield* later
      assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Open", 2])
      yield* start(cable.disconnect("u", false))
      yield* turns
      const state = yield* client.state
      assert.strictEqual(state._tag, "Stopped")
      assert.deepInclude(state._tag === "Stopped" && state.cause?._tag === "Ended" ? state.cause.error : {}, {
        _tag: "Dismissed",
        reason: "remote",
        reconnect: false
      })
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      assert.strictEqual(yield* reasonOf(lobby.perform("speak")), "Stopped")
      assert.strictEqual(yield* reasonOf(client.subscribe("ChatChannel")), "Stopped")
    })
  )

  it.effect("is not missed when its scope is over, however often it was cut", () =>
    counted((running) =>
      Effect.gen(function* () {
        const before = { ...running }
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { client, network } = yield* world()
            const lobby = yield* client.subscribe("ChatChannel", { room: "lobby" })
            yield* listening(lobby)
            for (let n = 0; n < 5; n++) {
              network.last.cut()
              yield* start(lobby.perform("speak"))
              yield* later
            }
          })
        )
        yield* turns
        assert.deepStrictEqual(running, before)
      })
    )
  )

  it.effect("whispers, and nobody does to a server that cannot", () =>
    Effect.gen(function* () {
      const { cable, client, hub } = yield* world()
      const other = yield* CableClient.make(cableNetwork(hub, cable, true).dial)
      const { heard } = yield* listening(yield* other.subscribe("ChatChannel", { room: "lobby" }))
      const lobby = yield* client.subscribe("ChatChannel", { room: "lobby" })
      yield* lobby.whisper({ typing: true })
      yield* turns
      assert.deepStrictEqual(plain(heard), [{ typing: true }])
      const plainer = yield* CableClient.make(cableNetwork(hub, cable, false).dial)
      const poor = yield* plainer.subscribe("ChatChannel", { room: "lobby" })
      assert.strictEqual(yield* reasonOf(poor.whisper(1)), "Unsupported")
      assert.strictEqual(yield* reasonOf(poor.join("ada")), "Unsupported")
      assert.strictEqual(yield* reasonOf(poor.present), "Unsupported")
    })
  )
})

describe("A server that", () => {
  it.effect("says nothing for six seconds is taken for dead, and no sooner", () =>
    Effect.gen(function* () {
      const { network, say } = scripted(Packet.subprotocol)
      const client = yield* CableClient.make(network.dial)
      yield* turns
      for (let n = 0; n < 4; n++) {
        yield* TestClock.adjust("5900 millis")
        yield* say({ type: "ping", message: n })
      }
      assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Open", 1])
      yield* TestClock.adjust("12 seconds")
      yield* turns
      assert.isAbove(network.attempts, 1)
    })
  )

  it.effect("never answers a subscription is asked again, and then no more", () =>
    Effect.gen(function* () {
      const { network, say, told } = scripted(Packet.subprotocol)
      const client = yield* CableClient.make(network.dial)
      const failing = yield* start(Effect.scoped(reasonOf(client.subscribe("NoSuchChannel"))))
      for (let n = 0; n < 11; n++) {
        yield* say({ type: "ping" })
        yield* TestClock.adjust("1 second")
      }
      yield* turns
      assert.strictEqual(yield* Fiber.join(failing), "Unanswered")
      const said = told()
      const identifier = I("NoSuchChannel")
      assert.deepStrictEqual(said[0], { command: "subscribe", identifier })
      assert.deepStrictEqual(said.at(-1), { command: "unsubscribe", identifier })
      assert.isAbove(said.length, 5)
    })
  )

  it.effect("takes a subscription back ends its messages with Rejected, behind what came before", () =>
    Effect.gen(function* () {
      const { network, say } = scripted(Packet.subprotocol)
      const client = yield* CableClient.make(network.dial)
      const subscribing = yield* start(client.subscribe("ChatChannel", { room: "lobby" }))
      yield* turns
      yield* say(confirmed(chat), { identifier: chat, message: 1 }, rejected(chat), { identifier: chat, message: 2 })
      const lobby = yield* Fiber.join(subscribing)
      const { fiber, heard } = yield* listening(lobby)
      const exit = yield* Fiber.join(fiber)
      assert.deepStrictEqual([plain(heard), Exit.isFailure(exit)], [[1], true])
      assert.strictEqual(yield* reasonOf(Stream.runDrain(lobby.messages)), "Rejected")
    })
  )

  it.effect("agrees on no subprotocol of Action Cable is left alone", () =>
    Effect.gen(function* () {
      for (const subprotocol of [undefined, "graphql-ws"]) {
        const { network } = scripted(subprotocol)
        const client = yield* CableClient.make(network.dial)
        yield* turns
        assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Stopped", 1])
      }
    })
  )

  it.effect("says unauthorized instead of welcome does not see it again", () =>
    Effect.gen(function* () {
      const { network } = scripted(Packet.subprotocol, [
        { type: "disconnect", reason: "unauthorized", reconnect: false }
      ])
      const client = yield* CableClient.make(network.dial)
      yield* turns
      yield* later
      assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Stopped", 1])
    })
  )

  it.effect("gives a session a name is asked to go on with it, and what it restored is not asked for again", () =>
    Effect.gen(function* () {
      const { network, say, told } = scripted(Packet.extendedSubprotocol, [])
      const client = yield* CableClient.make(network.dial)
      yield* turns
      yield* say({ type: "welcome", sid: "s1" })
      const scope = yield* Scope.make()
      const subscribing = yield* start(client.subscribe("ChatChannel", { room: "lobby" }))
      const leaving = yield* start(Scope.provide(client.subscribe("OtherChannel"), scope))
      yield* turns
      const at = (offset: number) => ({ identifier: chat, message: offset, stream_id: "s", epoch: "e", offset })
      yield* say(confirmed(chat), confirmed(I("OtherChannel")), at(7))
      const lobby = yield* listening(yield* Fiber.join(subscribing))
      yield* Fiber.join(leaving)
      yield* say({ type: "ping", message: 1_000 })
      told()
      network.last.cut()
      yield* turns
      yield* Scope.close(scope, Exit.void)
      yield* later
      yield* say({ type: "welcome", sid: "s2", restored: true, restored_ids: [chat, I("OtherChannel")] })
      const [asked, ...rest] = told()
      assert.deepInclude(asked as object, { command: "history", identifier: chat })
      const { history } = asked as { readonly history: unknown }
      assert.deepStrictEqual(history, { since: 1_000, streams: { s: { offset: 7, epoch: "e" } } })
      assert.deepStrictEqual(rest, [{ command: "unsubscribe", identifier: I("OtherChannel") }])
      // What is live overtakes what was missed, some of which comes twice.
      yield* say(at(10), at(8), at(9), at(10), { type: "confirm_history", identifier: chat }, at(10), at(11))
      assert.deepStrictEqual(plain(lobby.heard), [7, 8, 9, 10, 11])
      assert.deepStrictEqual(network.sids, [undefined, "s1"])
      network.last.cut()
      yield* later
      yield* say({ type: "welcome", sid: "s3" })
      yield* say(confirmed(chat), at(13), { type: "reject_history", identifier: chat }, at(14))
      assert.deepStrictEqual(plain(lobby.heard.slice(5)), ["gap: Forgotten", 13, 14])
    })
  )

  it.effect("never says that this was all is not waited for, and the gap is told", () =>
    Effect.gen(function* () {
      const { network, say } = scripted(Packet.extendedSubprotocol)
      const client = yield* CableClient.make(network.dial)
      const subscribing = yield* start(client.subscribe("ChatChannel", { room: "lobby" }))
      yield* turns
      yield* say(confirmed(chat))
      const lobby = yield* listening(yield* Fiber.join(subscribing))
      network.last.cut()
      yield* later
      yield* say(confirmed(chat), { identifier: chat, message: 1 })
      assert.deepStrictEqual(plain(lobby.heard), [])
      for (let n = 0; n < 11; n++) {
        yield* say({ type: "ping" })
        yield* TestClock.adjust("1 second")
      }
      yield* turns
      assert.deepStrictEqual(plain(lobby.heard), ["gap: Forgotten", 1])
    })
  )

  it.effect("sends faster than anybody takes it fills no memory: the gap is told, in its place", () =>
    Effect.gen(function* () {
      const { network, say } = scripted(Packet.subprotocol)
      const client = yield* CableClient.make(network.dial, { capacity: 3 })
      const subscribing = yield* start(client.subscribe("ChatChannel", { room: "lobby" }))
      yield* turns
      yield* say(confirmed(chat), ...[1, 2, 3, 4, 5].map((message) => ({ identifier: chat, message })))
      const lobby = yield* listening(yield* Fiber.join(subscribing))
      yield* say({ identifier: chat, message: 6 })
      assert.deepStrictEqual(plain(lobby.heard), [1, 2, 3, "gap: Overflow", 6])
    })
  )

  it.effect("wants pongs gets them, where it is AnyCable's", () =>
    Effect.gen(function* () {
      for (const [subprotocol, pongs] of [
        [Packet.extendedSubprotocol, [{ command: "pong" }]],
        [Packet.subprotocol, []]
      ] satisfies ReadonlyArray<[string, Array<unknown>]>) {
        const { network, say, told } = scripted(subprotocol)
        yield* CableClient.make(network.dial)
        yield* turns
        yield* say({ type: "ping", message: 1 })
        assert.deepStrictEqual(told(), pongs)
      }
    })
  )

  it.effect("tells who comes and goes, and who is there, is told anew who this one is after a break", () =>
    Effect.gen(function* () {
      const { network, say, told } = scripted(Packet.extendedSubprotocol)
      const client = yield* CableClient.make(network.dial)
      const subscribing = yield* start(client.subscribe("ChatChannel", { room: "lobby" }))
      yield* turns
      yield* say(confirmed(chat))
      const lobby = yield* Fiber.join(subscribing)
      const { heard } = yield* listening(lobby)
      yield* lobby.join("ada", { name: "Ada" })
      yield* turns
      const joining = { command: "join", identifier: chat, presence: { id: "ada", info: { name: "Ada" } } }
      assert.deepStrictEqual(told().at(-1), joining)
      const presence = (message: object) => ({ type: "presence", identifier: chat, message })
      yield* say(presence({ type: "join", id: "bob", info: 1 }), presence({ type: "leave", id: "bob" }))
      assert.deepStrictEqual(plain(heard), ["joined: bob", "left: bob"])
      const asking = yield* start(lobby.present)
      const counting = yield* start(lobby.count)
      yield* turns
      assert.deepStrictEqual(told(), [
        { command: "presence", identifier: chat, data: { return_records: true } },
        { command: "presence", identifier: chat, data: { return_records: false } }
      ])
      yield* say(presence({ type: "info", total: 2 }))
      assert.strictEqual(yield* Fiber.join(counting), 2)
      network.last.cut()
      yield* later
      told()
      yield* say(confirmed(chat))
      assert.deepStrictEqual(told(), [
        joining,
        { command: "presence", identifier: chat, data: { return_records: true } }
      ])
      yield* say(presence({ type: "info", total: 1, records: [{ id: "ada", info: 2 }] }))
      assert.deepStrictEqual(yield* Fiber.join(asking), [{ id: "ada", info: 2 }])
      yield* lobby.leave
      const refused = yield* start(reasonOf(lobby.present))
      yield* turns
      assert.deepStrictEqual(told()[0], { command: "leave", identifier: chat })
      yield* say(presence({ type: "error" }))
      assert.strictEqual(yield* Fiber.join(refused), "Unsupported")
    })
  )

  it.effect("hears a message once who leaves on hearing it, and comes back in the same moment", () =>
    Effect.gen(function* () {
      const { client, say } = yield* world()
      const heard: Array<unknown> = []
      // Somebody else holds the subscription.
      yield* client.subscribe("ChatChannel", { room: "lobby" })
      const next = Effect.scoped(
        Effect.gen(function* () {
          const lobby = yield* client.subscribe("ChatChannel", { room: "lobby" })
          const first = yield* Stream.runHead(lobby.messages)
          if (first._tag === "Some" && first.value._tag === "Message") heard.push(first.value.data)
        })
      )
      yield* start(Effect.forever(next, { disableYield: true }))
      yield* turns
      yield* say("lobby", 1)
      yield* say("lobby", 2)
      assert.deepStrictEqual(heard, [1, 2])
    })
  )

  it.effect("is left while the page is away, and met again when it returns", () =>
    Effect.gen(function* () {
      const { stream, tell } = telling<Happening>()
      const { network } = scripted(Packet.subprotocol)
      const client = yield* CableClient.make(network.dial, { surroundings: stream })
      yield* turns
      tell("Leave")
      yield* turns
      assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Away", 1])
      tell("Return")
      yield* turns
      assert.deepStrictEqual([yield* tagOf(client), network.attempts], ["Open", 2])
    })
  )
})
