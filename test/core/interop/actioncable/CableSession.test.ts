/** What a server of Action Cable does in the order of things: while a channel decides, acts, and lets go. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { confirmed, connector, I, rejected } from "../../../support/cable.ts"
import { turn } from "../../../support/connection.ts"

const chat = I("ChatChannel")
const other = I("OtherChannel")

/** `ChatChannel` is what the test says; the other one is in a topic, and acts at once. */
const serve = (
  ChatChannel: Channel.Channel,
  options: Partial<CableServer.Options> = {},
  slowConsumer?: Hub.Options["slowConsumer"]
) =>
  Effect.gen(function* () {
    const broker = yield* MemoryBroker.make()
    const hub = yield* Hub.on(broker, { slowConsumer })
    const log: Array<string> = []
    const OtherChannel: Channel.Channel = () =>
      Effect.succeed({ topics: ["other"], perform: (action) => Effect.sync(() => void log.push(action)) })
    const cable = yield* CableServer.make({ channels: { ChatChannel, OtherChannel }, ...options })
    return { broker, hub, cable, log, connect: connector(hub, cable) }
  })

describe("a channel that takes its time to decide", () => {
  it.effect("may reject when it has", () =>
    Effect.gen(function* () {
      const { connect } = yield* serve(() => Effect.andThen(Effect.sleep("1 second"), Channel.reject))
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      assert.deepStrictEqual(ada.heard(), [{ type: "welcome" }])
      yield* TestClock.adjust("1 second")
      yield* turn
      assert.deepStrictEqual(ada.heard(), [rejected(chat)])
    })
  )

  it.effect("is interrupted by who unsubscribes, and has let go before it is asked again", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const latch = yield* Deferred.make<void>()
      const { connect } = yield* serve(() =>
        Effect.gen(function* () {
          log.push("asked")
          yield* Effect.addFinalizer(() =>
            Effect.andThen(
              Deferred.await(latch),
              Effect.sync(() => void log.push("let go"))
            )
          )
          yield* Effect.onInterrupt(Effect.sleep("2 seconds"), () => Effect.sync(() => void log.push("interrupted")))
          return {}
        })
      )
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      yield* ada.say({ command: "unsubscribe", identifier: chat })
      yield* ada.subscribe(chat)
      assert.deepStrictEqual(log, ["asked", "interrupted"])
      yield* Deferred.succeed(latch, undefined)
      yield* turn
      assert.deepStrictEqual(log, ["asked", "interrupted", "let go", "asked"])
      assert.deepStrictEqual(ada.heard(), [{ type: "welcome" }])
      yield* TestClock.adjust("2 seconds")
      yield* turn
      assert.deepInclude(ada.heard(), confirmed(chat))
    })
  )

  it.effect("is interrupted where the client goes, and leaves nothing", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const { connect, hub } = yield* serve(() =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void log.push("interrupted")))
      )
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      yield* ada.subscribe(other)
      yield* ada.client.close(1000)
      yield* turn
      assert.deepStrictEqual([log, hub.topics()], [["interrupted"], 0])
    })
  )

  it.effect("keeps nobody else waiting", () =>
    Effect.gen(function* () {
      const { connect, log } = yield* serve(() => Effect.never)
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      yield* ada.subscribe(other)
      yield* ada.perform(other, { action: "go" })
      assert.deepStrictEqual([ada.heard(), log], [[{ type: "welcome" }, confirmed(other)], ["go"]])
    })
  )
})

describe("what a client says", () => {
  it.effect("before it is in is heard when it is, and in order, whatever it takes and what it says meanwhile", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const { connect } = yield* serve(() =>
        Effect.as(Effect.sleep("1 second"), {
          perform: (action: string) =>
            Effect.andThen(
              action.startsWith("slow") ? Effect.sleep("1 second") : Effect.void,
              Effect.sync(() => void log.push(action))
            )
        })
      )
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      for (const action of ["slow 1", "2"]) yield* ada.perform(chat, { action })
      yield* TestClock.adjust("1 second")
      yield* turn
      for (const action of ["3", "slow 4", "5"]) yield* ada.perform(chat, { action })
      assert.deepStrictEqual([ada.heard(), log], [[{ type: "welcome" }, confirmed(chat)], []])
      yield* TestClock.adjust("1 second")
      yield* turn
      yield* TestClock.adjust("1 second")
      yield* turn
      assert.deepStrictEqual(log, ["slow 1", "2", "3", "slow 4", "5"])
    })
  )

  it.effect("behind an action that takes long counts: it is not taken for silent", () =>
    Effect.gen(function* () {
      const { connect, log } = yield* serve(() => Effect.succeed({ perform: () => Effect.sleep("30 seconds") }), {
        pongs: true
      })
      const ada = yield* connect("ada", { subprotocol: Packet.extendedSubprotocol })
      yield* ada.subscribe(chat)
      yield* ada.subscribe(other)
      yield* ada.perform(chat, { action: "long" })
      yield* ada.perform(other, { action: "behind it" })
      for (let second = 0; second < 27; second += 3) {
        yield* TestClock.adjust("3 seconds")
        yield* ada.say({ command: "pong" })
      }
      assert.deepStrictEqual(log, [])
      yield* TestClock.adjust("3 seconds")
      yield* ada.say({ command: "pong" })
      yield* turn
      assert.deepStrictEqual(log, ["behind it"])
      assert.isTrue(ada.heard().every((said) => (said as { readonly type: string }).type !== "disconnect"))
    })
  )

  it.effect("is no pong where its protocol has none, which harms nobody", () =>
    Effect.gen(function* () {
      const { connect } = yield* serve(() => Effect.succeed({}), { pongs: true })
      const ada = yield* connect("ada")
      yield* TestClock.adjust("30 seconds")
      yield* turn
      assert.isTrue(ada.heard().every((said) => (said as { readonly type: string }).type !== "disconnect"))
    })
  )
})

describe("what a subscription holds", () => {
  it.effect("may fail to be released: the client goes on, and all else is released", () =>
    Effect.gen(function* () {
      const { connect, hub, log } = yield* serve(() =>
        Effect.as(
          Effect.addFinalizer(() => Effect.die(new Error("on purpose"))),
          { topics: ["chat"] }
        )
      )
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      yield* ada.say({ command: "unsubscribe", identifier: chat })
      yield* ada.subscribe(other)
      yield* ada.perform(other, { action: "go" })
      yield* ada.subscribe(chat)
      assert.deepStrictEqual([log, hub.topics()], [["go"], 2])
      yield* ada.client.close(1000)
      yield* turn
      assert.strictEqual(hub.topics(), 0)
    })
  )

  it.effect("may take for ever to release: other subscriptions are, and the client is told to go all the same", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      const { cable, connect, hub } = yield* serve(() =>
        Effect.as(
          Effect.addFinalizer(() => Deferred.await(latch)),
          {}
        )
      )
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      yield* ada.subscribe(other)
      yield* Effect.forkChild(cable.restart, { startImmediately: true })
      yield* turn
      assert.deepStrictEqual(ada.heard().at(-1), { type: "disconnect", reason: "server_restart", reconnect: true })
      assert.strictEqual(hub.topics(), 0)
      assert.strictEqual((yield* ada.client.closed).received?.code, 1000)
      yield* Deferred.succeed(latch, undefined)
    })
  )

  it.effect("is one stream more, which ends with it", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const transmissions = Stream.ensuring(
        Stream.never,
        Effect.sync(() => void log.push("ended"))
      )
      const { connect } = yield* serve(() => Effect.succeed({ transmissions }))
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      assert.deepStrictEqual(log, [])
      yield* ada.say({ command: "unsubscribe", identifier: chat })
      assert.deepStrictEqual(log, ["ended"])
    })
  )
})

describe("a client that has missed something", () => {
  it.effect("is told to come back, as its protocol has no other word", () =>
    Effect.gen(function* () {
      const { connect, hub } = yield* serve(() => Effect.succeed({}))
      const ada = yield* connect("ada")
      yield* ada.subscribe(other)
      ada.heard()
      const [member] = hub.membersOf("other")
      member!.tellUnsafe!({ _tag: "Gap", topics: ["other"], from: undefined, to: undefined })
      yield* turn
      assert.deepStrictEqual(ada.heard(), [{ type: "disconnect", reason: "gap", reconnect: true }])
    })
  )
})

describe("two servers on one broker", () => {
  it.effect("disconnect a user from both, and only when a program says so", () =>
    Effect.gen(function* () {
      const one = yield* serve(() => Effect.succeed({}))
      const { broker } = one
      const channels = { OtherChannel: () => Effect.succeed({ topics: ["other", CableServer.channel] }) }
      const clients = yield* Effect.forEach([1, 2], () =>
        Effect.gen(function* () {
          // A node of its own on the same broker.
          const node = { ...broker, node: `node ${Math.random()}` }
          const hub = yield* Hub.on(node)
          const cable = yield* CableServer.make({ channels, broker: node })
          const connect = connector(hub, cable)
          return { cable, hub, ada: yield* connect("ada"), bob: yield* connect("bob") }
        })
      )
      const [first, second] = clients as [(typeof clients)[0], (typeof clients)[0]]
      yield* second.bob.subscribe(other)
      const text = JSON.stringify({ node: "x", user: "ada", reconnect: false })
      yield* first.hub.publish(CableServer.channel, text)
      yield* turn
      for (const { ada, bob } of clients) [ada, bob].forEach((client) => client.heard())
      assert.strictEqual(yield* first.cable.disconnect("ada", false), 1)
      yield* turn
      const gone = [{ type: "disconnect", reason: "remote", reconnect: false }]
      assert.deepStrictEqual(
        clients.map(({ ada, bob }) => [ada.heard(), bob.heard()]),
        [
          [gone, []],
          [gone, []]
        ]
      )
    })
  )
})
