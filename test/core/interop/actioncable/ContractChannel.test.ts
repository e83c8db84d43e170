import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as ContractChannel from "@millrace/core/interop/actioncable/ContractChannel"
import * as Contract from "@millrace/core/messaging/Contract"
import { confirmed, connector, I } from "../../../support/cable.ts"
import { start } from "../../../support/connection.ts"
import { eventually } from "../../../support/eventually.ts"

const Chat = Contract.make("chat", {
  events: { said: Schema.Unknown },
  commands: { say: Schema.String },
  requests: { upper: { payload: Schema.String, success: Schema.String }, wait: {} }
})

const chat = I("Chat")
const message = (message: unknown) => ({ identifier: chat, message })

/** A client in the channel, with handlers that a test may look at. */
const client = (options: ContractChannel.Options<(typeof Chat)["definition"], unknown, undefined, never> = {}) =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const open = yield* Deferred.make<void>()
    const said: Array<string> = []
    const peers: Array<ContractChannel.Peer<(typeof Chat)["definition"]>> = []
    const Channel = ContractChannel.make(Chat, options, (peer) => {
      peers.push(peer)
      return Effect.as(Effect.orDie(peer.emit("said", "welcome")), {
        say: (text: string) => Effect.sync(() => void said.push(text)),
        upper: (text: string) => Effect.succeed(text.toUpperCase()),
        wait: () => Deferred.await(open)
      })
    })
    const cable = yield* CableServer.make({ channels: { Chat: Channel } })
    const one = yield* connector(hub, cable)("ada")
    /** What it hears next. */
    const next = Effect.suspend(() => {
      let heard: ReadonlyArray<unknown> = []
      return Effect.map(
        eventually(() => (heard = one.heard()).length > 0),
        () => heard
      )
    })
    assert.deepStrictEqual(yield* next, [{ type: "welcome" }])
    yield* one.subscribe(chat)
    const heard = [...(yield* next)]
    if (heard.length === 1) heard.push(...(yield* next))
    assert.deepStrictEqual(heard, [confirmed(chat), message(["said", "welcome"])])
    return { ...one, next, open, peer: peers[0]!, said }
  })

it.effect("An answer has the id of what was asked, a number or a text", () =>
  Effect.gen(function* () {
    const { next, perform } = yield* client()
    for (const id of [0, -1, "a", "x".repeat(64)]) {
      yield* perform(chat, { action: "upper", id, payload: "a" })
      assert.deepStrictEqual(yield* next, [message({ id, ok: "A" })])
    }
  })
)

it.effect("What has an id that is none is not dealt with, and not answered", () =>
  Effect.gen(function* () {
    const { next, perform, said } = yield* client()
    for (const id of [null, 1.5, 2 ** 53, {}, ["a"], true, "x".repeat(65)]) {
      yield* perform(chat, { action: "say", id, payload: "never" })
    }
    yield* perform(chat, { action: "upper", id: 1, payload: "a" })
    assert.deepStrictEqual(yield* next, [message({ id: 1, ok: "A" })])
    assert.deepStrictEqual(said, [])
  })
)

it.effect("What is asked waits for what was asked before, and the client is not read when as much waits as may", () =>
  Effect.gen(function* () {
    const { next, open, perform, said } = yield* client({ maxWaiting: 2 })
    yield* perform(chat, { action: "wait", id: "first" })
    for (const text of ["1", "2", "3", "4", "5"]) yield* perform(chat, { action: "say", payload: text })
    yield* perform(chat, { action: "upper", id: "last", payload: "a" })
    assert.deepStrictEqual(said, [])
    yield* Deferred.succeed(open, undefined)
    const heard = [...(yield* next)]
    if (heard.length === 1) heard.push(...(yield* next))
    assert.deepStrictEqual(heard, [message({ id: "first", ok: null }), message({ id: "last", ok: "A" })])
    assert.deepStrictEqual(said, ["1", "2", "3", "4", "5"])
  })
)

it.effect("An event that Action Cable cannot say fails, and nothing is sent", () =>
  Effect.gen(function* () {
    const { next, peer } = yield* client()
    const error = yield* Effect.flip(peer.emit("said", { at: 1n }))
    assert.strictEqual(error.reason._tag, "Unencodable")
    yield* peer.emit("said", "after")
    assert.deepStrictEqual(yield* next, [message(["said", "after"])])
  })
)

it.effect("Nothing is said to who has unsubscribed", () =>
  Effect.gen(function* () {
    const { peer, say } = yield* client()
    yield* say({ command: "unsubscribe", identifier: chat })
    const emitted = Effect.map(Effect.exit(peer.emit("said", "nobody")), (exit) => exit._tag)
    assert.strictEqual(yield* Effect.repeat(emitted, { until: (tag) => tag === "Failure" }), "Failure")
    const error = yield* Effect.flip(peer.emit("said", "nobody"))
    assert.strictEqual(error.reason._tag, "Disconnected")
  })
)

it.effect("What is said before the client is in comes behind the word that it is, however much it is", () =>
  Effect.gen(function* () {
    const hub = yield* Hub.make()
    const texts = Array.from({ length: 200 }, (_, i) => `${i}`)
    const Channel = ContractChannel.make(Chat, { maxUnsent: 1 }, (peer) =>
      Effect.as(
        Effect.forEach(texts, (text) => Effect.orDie(peer.emit("said", text)), { discard: true }),
        { upper: Effect.succeed, wait: () => Effect.void }
      )
    )
    const cable = yield* CableServer.make({ channels: { Chat: Channel } })
    const { heard, subscribe } = yield* connector(hub, cable)("ada")
    heard()
    yield* subscribe(chat)
    const all: Array<unknown> = []
    yield* eventually(() => all.push(...heard()) === 201)
    assert.deepStrictEqual(all, [confirmed(chat), ...texts.map((text) => message(["said", text]))])
  })
)

it.effect("Nobody waits for a client that cannot be written to", () =>
  Effect.gen(function* () {
    const handlers = { upper: Effect.succeed<string>, wait: () => Effect.void }
    const Channel = ContractChannel.of(Chat, handlers, { maxUnsent: 1, maxWaiting: 1 })
    const client = { id: "1", name: "ada", user: undefined, request: undefined }
    const { perform, transmissions } = yield* Channel({ params: {}, client, identifier: chat })
    const ids = Array.from({ length: 10 }, (_, id) => id)
    const performing = yield* start(Effect.forEach(ids, (id) => perform!("upper", { id, payload: "a" })))
    const cut = yield* Effect.flip(Stream.runForEach(transmissions!, (answer) => Effect.fail(answer)))
    assert.deepStrictEqual(cut, { id: 0, ok: "a" })
    yield* Fiber.join(performing)
  })
)
