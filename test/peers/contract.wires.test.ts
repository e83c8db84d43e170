/** One contract, with one value of handlers, for clients of Socket.IO and Action Cable that are as they are, and for our own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { io as connectSocket } from "socket.io-client"
import * as Origin from "@millrace/core/codec/Origin"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Topic from "@millrace/core/cluster/Topic"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as ContractChannel from "@millrace/core/interop/actioncable/ContractChannel"
import * as ContractTopic from "@millrace/core/interop/ContractTopic"
import * as ContractNamespace from "@millrace/core/interop/socketio/ContractNamespace"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as Contract from "@millrace/core/messaging/Contract"
import * as Session from "@millrace/core/messaging/Session"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually } from "../support/eventually.ts"
import { logged } from "../support/logged.ts"
import { Taken } from "../support/session.ts"

/** As much of `@rails/actioncable` as is used here: it has no types of its own. */
interface Rails {
  readonly adapters: { WebSocket: unknown }
  readonly createConsumer: (url: string) => {
    readonly subscriptions: {
      readonly create: (
        channel: object,
        handlers: Readonly<Record<string, (data: unknown) => void>>
      ) => { readonly perform: (action: string, data?: object) => void }
    }
    readonly disconnect: () => void
  }
}

/** It is made for pages. */
Object.assign(globalThis, {
  addEventListener: () => {},
  removeEventListener: () => {},
  document: { visibilityState: "visible", createElement: () => ({}), head: { querySelector: () => null } }
})

const Chat = Contract.make("chat", {
  credentials: Schema.UndefinedOr(Schema.String),
  events: { said: Schema.Struct({ text: Schema.String, at: Schema.Date }), hello: Schema.String },
  commands: { say: Schema.Struct({ text: Schema.String }) },
  requests: {
    upper: { payload: Schema.String, success: Schema.String, error: Taken },
    nothing: {},
    hold: {}
  }
})

const lobby = ContractTopic.make(Chat, "lobby")

/** What answers, on any wire. */
const makeHandlers = (hub: Hub.Hub["Service"], seen: Array<string>) => ({
  say: ({ text }: { readonly text: string }) =>
    Effect.orDie(Topic.publish(hub, lobby, ["said", { text, at: new Date(0) }])),
  upper: (text: string) => {
    if (text === "taken") return Effect.fail(new Taken({ name: text }))
    return text === "defect" ? Effect.die("a secret") : Effect.succeed(text.toUpperCase())
  },
  nothing: () => Effect.void,
  hold: () =>
    Effect.onInterrupt(
      Effect.suspend(() => {
        seen.push("held")
        return Effect.never
      }),
      () => Effect.sync(() => void seen.push("let go"))
    )
})

const authenticate = (name: string | undefined) =>
  name === "mallory" ? Session.refuse("not you") : Effect.succeed(name ?? "nobody")

const serve = Effect.gen(function* () {
  const hub = yield* Hub.make()
  const seen: Array<string> = []
  const handlers = makeHandlers(hub, seen)
  const provided = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Hub.Hub, hub)

  const io = yield* provided(
    SocketServer.make({
      namespaces: {
        "/": ContractNamespace.of(Chat, handlers, { authenticate, rooms: ["lobby"] }),
        "/greeted": ContractNamespace.make(Chat, { authenticate }, (peer) =>
          Effect.as(Effect.orDie(peer.emit("hello", peer.known)), handlers)
        )
      }
    })
  )
  const socketio = yield* NodeSocketIoServer.serve({ host: "127.0.0.1", port: 0, origin: Origin.any }, io)

  const cable = yield* CableServer.make({
    channels: {
      Chat: ContractChannel.of(Chat, handlers, { authenticate, topics: ["lobby"] }),
      Greeted: ContractChannel.make(Chat, { authenticate }, (peer) =>
        Effect.as(Effect.orDie(peer.emit("hello", peer.known)), handlers)
      )
    }
  })
  const cables = yield* NodeWebSocketServer.serve(
    { host: "127.0.0.1", port: 0, subprotocols: CableServer.subprotocols },
    (connection) => provided(cable.serve(connection, { request: undefined }))
  )

  const native = yield* NodeWebSocketServer.serve({ host: "127.0.0.1", port: 0 }, (connection) =>
    Effect.gen(function* () {
      const session = yield* Session.accept(Chat, connection, { authenticate })
      yield* Effect.forkScoped(ContractTopic.forward(hub, lobby, session), { startImmediately: true })
      yield* session.handle(handlers)
    })
  )
  return {
    hub,
    seen,
    native: native.url,
    "Socket.IO": socketio.url.replace("ws:", "http:"),
    "Action Cable": `${cables.url}/cable`
  }
})

/** A client of either wire, by its own means. */
interface Client {
  readonly heard: Array<unknown>
  readonly say: (name: string, payload: unknown) => void
  /** By what asks on this wire; never answered where the server says nothing. */
  readonly ask: (name: string, payload?: unknown) => Effect.Effect<unknown>
  readonly leave: () => void
}

const connectors = {
  "Socket.IO": (url: string, credentials?: string, place = "") =>
    Effect.gen(function* () {
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() =>
          connectSocket(`${url}${place}`, {
            auth: { credentials },
            transports: ["websocket"],
            forceNew: true,
            reconnection: false
          })
        ),
        (socket) => Effect.sync(() => void socket.disconnect())
      )
      const heard: Array<unknown> = []
      socket.onAny((...event: ReadonlyArray<unknown>) => void heard.push(event))
      socket.on("connect", () => void heard.push("in"))
      socket.on("connect_error", ({ message }) => void heard.push("out", message))
      socket.on("disconnect", (why) => void heard.push("gone", why))
      return {
        heard,
        say: (name, payload) => void socket.emit(name, payload),
        ask: (name, payload) =>
          Effect.promise(() => (payload === undefined ? socket.emitWithAck(name) : socket.emitWithAck(name, payload))),
        leave: () => void socket.disconnect()
      } satisfies Client as Client
    }),
  "Action Cable": (url: string, credentials?: string, place = "") =>
    Effect.gen(function* () {
      const { adapters, createConsumer } = yield* Effect.promise(
        async () => (await import("@rails/actioncable" as string)) as Rails
      )
      adapters.WebSocket = WebSocket
      const consumer = yield* Effect.acquireRelease(
        Effect.sync(() => createConsumer(url)),
        (consumer) => Effect.sync(() => consumer.disconnect())
      )
      const heard: Array<unknown> = []
      const asked = new Map<unknown, (answer: object) => void>()
      const channel = place === "" ? "Chat" : "Greeted"
      const subscription = consumer.subscriptions.create(
        { channel, credentials },
        {
          connected: () => void heard.push("in"),
          rejected: () => void heard.push("out"),
          received: (data) => {
            if (Array.isArray(data)) return void heard.push(data)
            const { id, ...answer } = data as { readonly id: unknown }
            asked.get(id)?.(answer)
          }
        }
      )
      let ids = 0
      return {
        heard,
        say: (name, payload) => subscription.perform(name, { payload }),
        ask: (name, payload) =>
          Effect.callback<unknown>((resume) => {
            const id = ++ids
            asked.set(id, (answer) => resume(Effect.succeed(answer)))
            subscription.perform(name, { id, payload })
          }),
        leave: () => consumer.disconnect()
      } satisfies Client as Client
    })
}

const wires = ["Socket.IO", "Action Cable"] as const

const join = (
  servers: Effect.Success<typeof serve>,
  wire: (typeof wires)[number],
  credentials?: string,
  place?: string
) => Effect.tap(connectors[wire](servers[wire], credentials, place), ({ heard }) => eventually(() => heard.length > 0))

const said = (text: string) => ["said", { text, at: "1970-01-01T00:00:00.000Z" }]

describe.concurrent.each(wires)("A contract over %s", (wire) => {
  it.live("answers what is asked, with a value, an error of the contract, or why not", () =>
    logged((entries) =>
      Effect.gen(function* () {
        const { ask, heard } = yield* join(yield* serve, wire)
        assert.deepStrictEqual(yield* ask("upper", "hé"), { ok: "HÉ" })
        assert.deepStrictEqual(yield* ask("nothing"), { ok: null })
        assert.deepStrictEqual(yield* ask("say", { text: "asked" }), { ok: null })
        assert.deepStrictEqual(yield* ask("upper", "taken"), { error: { _tag: "Taken", name: "taken" } })
        assert.deepStrictEqual(yield* ask("upper", "defect"), { fail: { code: "defect", detail: "" } })
        assert.strictEqual(entries.filter(({ level }) => level === "Error").length, 1)
        for (const [name, payload] of [
          ["upper", 7],
          ["upper", undefined],
          ["nothing", "something"],
          ["say", { text: ["hi"] }],
          ["say", { toString: "hi" }]
        ] as const) {
          const answer = yield* ask(name, payload)
          assert.nestedPropertyVal(answer, "fail.code", "invalid")
        }
        for (const name of ["other", "toString", "hasOwnProperty", "said", "history", ""]) {
          assert.nestedPropertyVal(yield* ask(name, "x"), "fail.code", "unknown", name)
        }
        assert.deepStrictEqual(heard, ["in", said("asked")])
      })
    )
  )

  it.live("takes what is wrong, and asks for no answer, for nothing", () =>
    Effect.gen(function* () {
      const { ask, heard, say } = yield* join(yield* serve, wire)
      say("say", { text: 1 })
      say("other", 1)
      say("upper", "defect")
      say("say", { text: "right" })
      assert.deepStrictEqual(yield* ask("upper", "still"), { ok: "STILL" })
      yield* eventually(() => heard.length > 1)
      assert.deepStrictEqual(heard, ["in", said("right")])
    })
  )

  it.live("deals with all that a client says at once, in its order", () =>
    Effect.gen(function* () {
      const { ask, heard, say } = yield* join(yield* serve, wire)
      const texts = Array.from({ length: 300 }, (_, i) => `${i}`)
      for (const text of texts) say("say", { text })
      const answers = yield* Effect.forEach(texts, (text) => ask("upper", text), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers,
        texts.map((text) => ({ ok: text }))
      )
      yield* eventually(() => heard.length === 301)
      assert.deepStrictEqual(heard, ["in", ...texts.map(said)])
    })
  )

  it.live("interrupts what a client has asked when it goes", () =>
    Effect.gen(function* () {
      const servers = yield* serve
      const { ask, leave } = yield* join(servers, wire)
      yield* Effect.forkScoped(ask("hold"))
      yield* eventually(() => servers.seen.length === 1)
      leave()
      yield* eventually(() => servers.seen.length === 2)
      assert.deepStrictEqual(servers.seen, ["held", "let go"])
    })
  )

  it.live("lets in who may be there, and tells handlers who it is", () =>
    Effect.gen(function* () {
      const servers = yield* serve
      const refused = yield* join(servers, wire, "mallory")
      assert.deepStrictEqual(refused.heard, wire === "Socket.IO" ? ["out", "not you"] : ["out"])
      const { heard } = yield* join(servers, wire, "ada", "/greeted")
      yield* eventually(() => heard.length === 2)
      assert.deepStrictEqual(heard, ["in", ["hello", "ada"]])
      const wrong = yield* join(servers, wire, { not: "text" } as never)
      assert.strictEqual(wrong.heard[0], "out")
    })
  )
})

describe.concurrent("What no client of a wire says", () => {
  const poisoned = { text: "hi", more: JSON.parse('{"__proto__":{"isAdmin":true}}') as unknown }

  it.live("cuts a client of Socket.IO off, and nobody else", () =>
    Effect.gen(function* () {
      const servers = yield* serve
      const other = yield* join(servers, "Socket.IO")
      for (const tell of [
        ({ say }: Client) => say("say", poisoned),
        ({ say }: Client) => say("__proto__", 1),
        ({ say }: Client) => say("say", { text: "x".repeat(2_000_000) })
      ]) {
        const client = yield* join(servers, "Socket.IO")
        tell(client)
        yield* eventually(() => client.heard.includes("gone"))
      }
      assert.deepStrictEqual(yield* other.ask("upper", "there"), { ok: "THERE" })
      assert.deepStrictEqual(other.heard, ["in"])
      assert.notProperty({}, "isAdmin")
    })
  )

  it.live("has no effect over Action Cable, whose client goes on", () =>
    Effect.gen(function* () {
      const { ask, heard, say } = yield* join(yield* serve, "Action Cable")
      say("say", poisoned)
      say("__proto__", 1)
      say("say", { text: "x".repeat(70_000) })
      assert.nestedPropertyVal(yield* ask("constructor", 1), "fail.code", "unknown")
      assert.deepStrictEqual(yield* ask("upper", "there"), { ok: "THERE" })
      assert.deepStrictEqual(heard, ["in"])
      assert.notProperty({}, "isAdmin")
    })
  )
})

it.live("One topic has clients of all wires, and each hears what any says", () =>
  Effect.gen(function* () {
    const servers = yield* serve
    const session = yield* Session.connect(Chat, yield* NodeWebSocket.open(servers.native), { credentials: undefined })
    const native: Array<unknown> = []
    yield* Effect.forkScoped(
      Stream.runForEach(session.events("said"), ({ at, text }) =>
        Effect.sync(() => void native.push(["said", { text, at: at.toISOString() }]))
      ),
      { startImmediately: true }
    )
    const [socket, cable] = yield* Effect.all([join(servers, "Socket.IO"), join(servers, "Action Cable")])
    // Also what is no event of the contract, which a session does not hear.
    assert.strictEqual(yield* session.request("upper", "hi"), "HI")
    yield* session.emit("say", { text: "from a session" })
    yield* eventually(() => native.length === 1)
    socket.say("say", { text: "from Socket.IO" })
    yield* eventually(() => native.length === 2)
    cable.say("say", { text: "from Action Cable" })
    yield* eventually(() => native.length === 3)
    yield* servers.hub.publish("lobby", '["said",{"text":7}]')
    yield* Topic.publish(servers.hub, lobby, ["said", { text: "from the program", at: new Date(0) }])
    yield* eventually(() => native.length === 4)
    const all = ["from a session", "from Socket.IO", "from Action Cable", "from the program"].map(said)
    assert.deepStrictEqual(native, all)
    const wrong = ["said", { text: 7 }]
    const unchecked = ["in", ...all.slice(0, 3), wrong, all[3]]
    yield* eventually(() => socket.heard.length === 6 && cable.heard.length === 6)
    assert.deepStrictEqual(socket.heard, unchecked)
    assert.deepStrictEqual(cable.heard, unchecked)
  })
)

it.live("A server asks clients of Socket.IO, which answer in the same words", () =>
  Effect.gen(function* () {
    const Asking = Contract.make("asking", {
      requests: { ask: { payload: Schema.String, success: Schema.String } },
      serverRequests: { locale: { payload: Schema.String, success: Schema.Date, error: Taken } }
    })
    const hub = yield* Hub.make()
    const asking = ContractNamespace.make(Asking, {}, (peer) =>
      Effect.succeed({
        ask: (payload: string) =>
          peer.request("locale", payload).pipe(
            Effect.map((at) => `${at.getTime()}`),
            Effect.catchTag("Taken", ({ name }) => Effect.succeed(`taken: ${name}`)),
            Effect.catchTag("SessionError", ({ reason }) => Effect.succeed(reason._tag))
          )
      })
    )
    const io = yield* Effect.provideService(SocketServer.make({ namespaces: { "/": asking } }), Hub.Hub, hub)
    const server = yield* NodeSocketIoServer.serve({ host: "127.0.0.1", port: 0, origin: Origin.any }, io)
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() =>
        connectSocket(server.url.replace("ws:", "http:"), { transports: ["websocket"], forceNew: true })
      ),
      (socket) => Effect.sync(() => void socket.disconnect())
    )
    socket.on("locale", (payload: string, reply: (answer: unknown) => void) => reply(JSON.parse(payload)))
    const ask = (answer: unknown) => Effect.promise(() => socket.emitWithAck("ask", JSON.stringify(answer)))
    assert.deepStrictEqual(yield* ask({ ok: "1970-01-01T00:00:00.007Z" }), { ok: "7" })
    assert.deepStrictEqual(yield* ask({ error: { _tag: "Taken", name: "en" } }), { ok: "taken: en" })
    assert.deepStrictEqual(yield* ask({ fail: { code: "unavailable" } }), { ok: "Failed" })
    assert.deepStrictEqual(yield* ask("en"), { ok: "Undecodable" })
  })
)
