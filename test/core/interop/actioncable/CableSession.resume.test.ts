/** Clients of AnyCable's protocol that come back: to what they had, where it is still theirs, and told once of all. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Target from "@millrace/core/cluster/Target"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as CableSession from "@millrace/core/interop/actioncable/CableSession"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { connector, I } from "../../../support/cable.ts"
import { turn } from "../../../support/connection.ts"

interface Heard {
  readonly type?: string
  readonly sid?: string | undefined
  readonly restored?: boolean
  readonly identifier?: string
  readonly message?: unknown
  readonly offset?: number
  readonly epoch?: string
}

const chat = I("ChatChannel")
const other = I("OtherChannel")

/** `ChatChannel` is what the test says, and in `chat` by default; the other one is in `other`. */
const serve = (
  ChatChannel: Channel.Channel = () => Effect.succeed({ topics: ["chat"] }),
  options: Partial<CableServer.Options> = {}
) =>
  Effect.gen(function* () {
    const broker = yield* MemoryBroker.make()
    const hub = yield* Hub.on(broker)
    const log: Array<string> = []
    const OtherChannel: Channel.Channel = () =>
      Effect.gen(function* () {
        log.push("asked")
        yield* Effect.addFinalizer(() => Effect.sync(() => void log.push("let go")))
        return { topics: ["other"], perform: (action: string) => Effect.sync(() => void log.push(action)) }
      })
    const cable = yield* CableServer.make({
      resume: true,
      pingInterval: "1 hour",
      ...options,
      channels: { ChatChannel, OtherChannel }
    })
    const connecting = connector(hub, cable)
    const connect = (name: string, sid?: string, subprotocol = Packet.extendedSubprotocol) =>
      Effect.gen(function* () {
        const client = yield* connecting(name, { sid, subprotocol })
        const heard = () => client.heard() as ReadonlyArray<Heard>
        return { ...client, heard }
      })
    /** One that is in both channels, and what the session is called. */
    const subscribed = (name: string) =>
      Effect.gen(function* () {
        const client = yield* connect(name)
        yield* client.subscribe(chat)
        yield* client.subscribe(other)
        const [welcome, ...rest] = client.heard()
        assert.deepStrictEqual(
          rest.map(({ type }) => type),
          ["confirm_subscription", "confirm_subscription"]
        )
        const leave = Effect.andThen(client.client.close(1000), turn)
        return { ...client, leave, sid: welcome!.sid! }
      })
    return { broker, hub, cable, log, connect, subscribed }
  })

const restored = (sid: string | undefined, ...identifiers: ReadonlyArray<string>) => ({
  type: "welcome",
  sid,
  restored: true,
  restored_ids: identifiers
})

const isNew = (welcome: Heard | undefined) => {
  assert.deepStrictEqual(welcome, { type: "welcome", sid: welcome?.sid })
  assert.strictEqual(welcome?.sid?.length, 22)
}

const said = (heard: ReadonlyArray<Heard>) => heard.map(({ message, type }) => message ?? type)

describe("a client that comes back", () => {
  it.effect("has what it had, its channels being asked again, under another name", () =>
    Effect.gen(function* () {
      const { connect, hub, log, subscribed } = yield* serve()
      const before = yield* subscribed("ada")
      yield* before.leave
      assert.deepStrictEqual([hub.topics(), log], [0, ["asked", "let go"]])
      const ada = yield* connect("ada", before.sid)
      const [welcome] = ada.heard()
      assert.deepStrictEqual(welcome as unknown, restored(welcome?.sid, chat, other))
      assert.notStrictEqual(welcome?.sid, before.sid)
      assert.deepStrictEqual([hub.topics(), log], [2, ["asked", "let go", "asked"]])
      yield* ada.perform(other, { action: "go" })
      assert.strictEqual(log.at(-1), "go")
      yield* ada.say({ command: "unsubscribe", identifier: chat })
      yield* ada.client.close(1000)
      yield* turn
      // And again, with what it has now.
      const again = yield* connect("ada", welcome!.sid)
      const [third] = again.heard()
      assert.deepStrictEqual(third as unknown, restored(third?.sid, other))
    })
  )

  it.effect("hears each message once and in order, whenever it was published", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      let isSlow = false
      const { connect, hub, subscribed } = yield* serve(() =>
        Effect.as(isSlow ? Deferred.await(latch) : Effect.void, { topics: ["chat"] })
      )
      const before = yield* subscribed("ada")
      yield* hub.publish("chat", "1")
      yield* turn
      const [{ epoch, offset } = {}] = before.heard()
      yield* before.leave
      yield* hub.publish("chat", "2")
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      yield* hub.publish("chat", "3")
      yield* Deferred.succeed(latch, undefined)
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), ["welcome"])
      yield* hub.publish("chat", "4")
      yield* turn
      assert.deepStrictEqual(ada.heard(), [])
      const history = { since: 0, streams: { chat: { epoch, offset } } }
      yield* ada.say({ command: "history", identifier: chat, history })
      assert.deepStrictEqual(said(ada.heard()), [2, 3, 4, "confirm_history"])
      yield* hub.publish("chat", "5")
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), [5])
      // Each identifier asks by itself.
      yield* hub.publish("other", "6")
      yield* turn
      assert.deepStrictEqual(ada.heard(), [])
      yield* ada.say({ command: "history", identifier: other, history: { since: 0, streams: {} } })
      assert.deepStrictEqual(said(ada.heard()), [6, "confirm_history"])
    })
  )

  it.effect("and does not ask for what it has missed hears what was published since it was let in", () =>
    Effect.gen(function* () {
      const { connect, hub, subscribed } = yield* serve()
      const before = yield* subscribed("ada")
      yield* before.leave
      yield* hub.publish("chat", "1")
      const ada = yield* connect("ada", before.sid)
      yield* hub.publish("chat", "2")
      yield* hub.publish("other", "3")
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), ["welcome"])
      yield* TestClock.adjust(CableSession.askTime)
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), [2, 3])
      yield* hub.publish("chat", "4")
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), [4])
    })
  )

  it.effect(
    "and is told that its place is not known hears what comes from then on, and what came since it was let in",
    () =>
      Effect.gen(function* () {
        const { connect, hub, subscribed } = yield* serve()
        const before = yield* subscribed("ada")
        yield* before.leave
        const ada = yield* connect("ada", before.sid)
        yield* hub.publish("chat", "1")
        yield* ada.say({
          command: "history",
          identifier: chat,
          history: { streams: { chat: { epoch: "another", offset: 1 } } }
        })
        assert.deepStrictEqual(said(ada.heard()), ["welcome", "reject_history", 1])
        yield* hub.publish("chat", "2")
        yield* turn
        assert.deepStrictEqual(said(ada.heard()), [2])
      })
  )

  it.effect("is not let in by a channel that rejects it now, and subscribes anew where none is left", () =>
    Effect.gen(function* () {
      let isOpen = true
      const { connect, hub, subscribed } = yield* serve(() =>
        isOpen ? Effect.succeed({ topics: ["chat"] }) : Channel.reject
      )
      const before = yield* subscribed("ada")
      yield* before.leave
      isOpen = false
      const ada = yield* connect("ada", before.sid)
      const [welcome] = ada.heard()
      assert.deepStrictEqual(welcome as unknown, restored(welcome?.sid, other))
      assert.strictEqual(hub.members("chat"), 0)
      yield* ada.say({ command: "unsubscribe", identifier: other })
      isOpen = true
      yield* ada.subscribe(chat)
      yield* ada.client.close(1000)
      yield* turn
      isOpen = false
      const [last] = (yield* connect("ada", welcome!.sid)).heard()
      isNew(last)
    })
  )

  it.effect("waits for a channel that hangs for a bounded time, which is let go of then", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      let isSlow = false
      const { connect, subscribed } = yield* serve(() =>
        isSlow
          ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => void log.push("interrupted")))
          : Effect.succeed({ topics: ["chat"] })
      )
      const before = yield* subscribed("ada")
      yield* before.leave
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      assert.deepStrictEqual(ada.heard(), [])
      yield* TestClock.adjust(CableSession.restoreTime)
      yield* turn
      const [welcome] = ada.heard()
      assert.deepStrictEqual([welcome, log] as unknown, [restored(welcome?.sid, other), ["interrupted"]])
      isSlow = false
      yield* ada.subscribe(chat)
      assert.deepStrictEqual(said(ada.heard()), ["confirm_subscription"])
    })
  )

  it.effect("and goes before it was welcomed leaves nothing, and has used the name", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      let isSlow = false
      const { connect, hub, subscribed } = yield* serve(() =>
        isSlow
          ? Effect.onInterrupt(Effect.never, () => Effect.sync(() => void log.push("interrupted")))
          : Effect.succeed({ topics: ["chat"] })
      )
      const before = yield* subscribed("ada")
      yield* before.leave
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      assert.strictEqual(hub.topics(), 1)
      yield* ada.client.close(1000)
      yield* turn
      assert.deepStrictEqual([hub.topics(), log], [0, ["interrupted"]])
      isNew((yield* connect("ada", before.sid)).heard()[0])
    })
  )

  it.effect("is heard when it is in, with what it has said before", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      let isSlow = false
      const { connect, log, subscribed } = yield* serve(() =>
        Effect.as(isSlow ? Deferred.await(latch) : Effect.void, { topics: ["chat"] })
      )
      const before = yield* subscribed("ada")
      yield* before.leave
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      yield* ada.perform(other, { action: "early" })
      assert.notInclude(log, "early")
      yield* Deferred.succeed(latch, undefined)
      yield* turn
      assert.strictEqual(log.at(-1), "early")
    })
  )

  it.effect("gets the transmissions of a channel behind its welcome", () =>
    Effect.gen(function* () {
      const { connect } = yield* serve(() => Effect.succeed({ transmissions: Stream.make(1, 2) }))
      const ada = yield* connect("ada")
      yield* ada.subscribe(chat)
      const [welcome, ...rest] = ada.heard()
      assert.deepStrictEqual(said(rest), ["confirm_subscription", 1, 2])
      yield* ada.client.close(1000)
      yield* turn
      assert.deepStrictEqual(said((yield* connect("ada", welcome!.sid)).heard()), ["welcome", 1, 2])
    })
  )

  it.effect("while its connection from before still is takes over, and that one ends", () =>
    Effect.gen(function* () {
      const { connect, hub, subscribed } = yield* serve()
      const before = yield* subscribed("ada")
      const ada = yield* connect("ada", before.sid)
      yield* turn
      const [welcome] = ada.heard()
      assert.deepStrictEqual(welcome as unknown, restored(welcome?.sid, chat, other))
      assert.deepStrictEqual(before.heard() as unknown, [{ type: "disconnect", reason: "resumed", reconnect: true }])
      assert.deepStrictEqual([hub.members("chat"), hub.members("other")], [1, 1])
      isNew((yield* connect("ada", before.sid)).heard()[0])
    })
  )
})

describe("a session is a new one", () => {
  it.effect("for another user, whose it is not, for a name that nobody has, and for one that was used", () =>
    Effect.gen(function* () {
      const { connect, subscribed } = yield* serve()
      const before = yield* subscribed("ada")
      yield* before.leave
      isNew((yield* connect("bob", before.sid)).heard()[0])
      isNew((yield* connect("ada", "nobody's")).heard()[0])
      assert.deepInclude((yield* connect("ada", before.sid)).heard()[0], { restored: true })
      isNew((yield* connect("ada", before.sid)).heard()[0])
    })
  )

  it.effect("when it was away for too long", () =>
    Effect.gen(function* () {
      const { connect, subscribed } = yield* serve()
      const [early, late] = [yield* subscribed("ada"), yield* subscribed("bob")]
      yield* early.leave
      yield* late.leave
      yield* TestClock.adjust("119 seconds")
      assert.deepInclude((yield* connect("ada", early.sid)).heard()[0], { restored: true })
      yield* TestClock.adjust("1 second")
      isNew((yield* connect("bob", late.sid)).heard()[0])
    })
  )

  it.effect("where there are more than are kept", () =>
    Effect.gen(function* () {
      const { connect, subscribed } = yield* serve(undefined, { resume: { maxSessions: 1, maxAway: "1 minute" } })
      const [ada, bob] = [yield* subscribed("ada"), yield* subscribed("bob")]
      yield* ada.leave
      yield* bob.leave
      isNew((yield* connect("ada", ada.sid)).heard()[0])
      assert.deepInclude((yield* connect("bob", bob.sid)).heard()[0], { restored: true })
    })
  )

  it.effect("for Rails' protocol, and where nobody wants them to be resumed: there is no word of a name", () =>
    Effect.gen(function* () {
      const { connect, subscribed } = yield* serve()
      const before = yield* subscribed("ada")
      yield* before.leave
      assert.deepStrictEqual((yield* connect("ada", before.sid, Packet.subprotocol)).heard(), [{ type: "welcome" }])
      assert.deepInclude((yield* connect("ada", before.sid)).heard()[0], { restored: true })
      const without = yield* serve(undefined, { resume: undefined })
      assert.deepStrictEqual((yield* without.connect("ada", "any")).heard(), [{ type: "welcome" }])
    })
  )
})

describe("who was put out", () => {
  it.effect("does not come back to what it had, connected or away, on this node or another", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      const node = (name: string) => ({ broker: { ...broker, node: name } as typeof broker })
      const one = yield* serve(undefined, node("one"))
      const two = yield* serve(undefined, node("two"))
      for (const reconnect of [true, false]) {
        const here = yield* one.subscribed("ada")
        const away = yield* one.subscribed("ada")
        const there = yield* two.subscribed("ada")
        const bob = yield* two.subscribed("bob")
        yield* away.leave
        yield* there.leave
        yield* bob.leave
        yield* one.cable.disconnect("ada", reconnect)
        yield* turn
        assert.deepStrictEqual(here.heard() as unknown, [{ type: "disconnect", reason: "remote", reconnect }])
        isNew((yield* one.connect("ada", here.sid)).heard()[0])
        isNew((yield* one.connect("ada", away.sid)).heard()[0])
        isNew((yield* two.connect("ada", there.sid)).heard()[0])
        assert.deepInclude((yield* two.connect("bob", bob.sid)).heard()[0], { restored: true })
      }
    })
  )

  it.effect("while it was coming back is not welcomed, and leaves nothing", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      let isSlow = false
      const { cable, connect, hub, subscribed } = yield* serve(() =>
        Effect.as(isSlow ? Deferred.await(latch) : Effect.void, { topics: ["chat"] })
      )
      const before = yield* subscribed("ada")
      yield* before.leave
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      yield* cable.disconnect("ada", false)
      yield* Deferred.succeed(latch, undefined)
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), ["disconnect"])
      assert.strictEqual(hub.topics(), 0)
      isSlow = false
      isNew((yield* connect("ada", before.sid)).heard()[0])
    })
  )

  it.effect("of a topic is not in its channel, when it comes back and while it does", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      let isSlow = false
      const { connect, hub, subscribed } = yield* serve(() =>
        Effect.as(isSlow ? Deferred.await(latch) : Effect.void, { topics: ["chat"] })
      )
      const everybody = Target.topic("chat")
      const before = yield* subscribed("ada")
      yield* hub.kick(everybody, "chat", "out")
      yield* turn
      assert.deepStrictEqual(said(before.heard()), ["reject_subscription"])
      yield* before.subscribe(chat)
      before.heard()
      yield* before.leave
      isSlow = true
      const ada = yield* connect("ada", before.sid)
      yield* hub.kick(Target.topic("other"), "other", "out")
      yield* turn
      yield* Deferred.succeed(latch, undefined)
      yield* turn
      const [welcome] = ada.heard()
      assert.deepStrictEqual(welcome as unknown, restored(welcome?.sid, chat))
      yield* hub.kick(everybody, "chat", "out")
      yield* turn
      assert.deepStrictEqual(said(ada.heard()), ["reject_subscription"])
      yield* ada.client.close(1000)
      yield* turn
      isNew((yield* connect("ada", welcome!.sid)).heard()[0])
    })
  )
})
