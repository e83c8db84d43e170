/** Clients of Socket.IO, unmodified, on the hub that the command runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { io as connectClient, Socket as Client } from "socket.io-client"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as Origin from "@millrace/core/codec/Origin"
import * as Socket from "@millrace/core/interop/socketio/Socket"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeDeflate from "@millrace/node/NodeDeflate"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { I } from "../support/cable.ts"
import { sharing } from "../support/engineNodes.ts"
import { eventually } from "../support/eventually.ts"
import * as RoundRobin from "../support/roundRobin.ts"

const transportsOf = { polling: ["polling"], websocket: ["websocket"] }

type Way = keyof typeof transportsOf

const clients = ["socket.io-client", "socket.io-client-3"].flatMap((name) =>
  Object.keys(transportsOf).map((way) => [name, way as Way] as const)
)

const at = ({ port }: HubServer.Running) => `http://127.0.0.1:${port}`

/** What a client of the hub is answered. */
interface Answer {
  readonly topic?: string
  readonly position?: string | undefined
  readonly receivers?: number
  readonly gap?: boolean
  readonly error?: { readonly code: string; readonly message: string }
}

/** What a client hears, bytes as numbers. */
const plain = (value: unknown): unknown => (value instanceof Uint8Array ? [...value] : value)

/** A client that comes back soon; with what it hears, and what it is answered. */
const connect = (url: string, options: object = {}, module = "socket.io-client") =>
  Effect.gen(function* () {
    const { io } = (yield* Effect.promise(() => import(module))) as { readonly io: typeof connectClient }
    const client: Client = yield* Effect.acquireRelease(
      Effect.sync(() => io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 40, ...options })),
      (client) => Effect.sync(() => client.disconnect())
    )
    const heard: Array<ReadonlyArray<unknown>> = []
    const gone: Array<string> = []
    const refused: Array<string> = []
    client.onAny((...event: ReadonlyArray<unknown>) => void heard.push(event.map(plain)))
    client.on("disconnect", (why: string) => void gone.push(why))
    client.on("connect_error", ({ message }: Error) => void refused.push(message))
    const ask = (...event: readonly [name: string, ...args: ReadonlyArray<unknown>]): Effect.Effect<Answer> =>
      Effect.callback((resume) => void client.emit(...event, (answer: Answer) => resume(Effect.succeed(answer))))
    const next = (count: number) =>
      Effect.map(
        eventually(() => heard.length >= count),
        () => heard.splice(0)
      )
    return { client, heard, gone, refused, ask, next }
  })

const forbidden = (message: string) => ({ error: { code: "forbidden", message } })

const websocket = { transports: ["websocket"] }

/** The messages of a WebSocket that are values of JSON, and a way to say some. */
const open = (url: string, subprotocols: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const connection = yield* NodeWebSocket.open(url, { subprotocols })
    const heard: Array<Record<string, unknown>> = []
    const reading = Stream.runForEach(connection.messages, (message) =>
      Effect.sync(() => {
        if (message._tag === "Text") heard.push(JSON.parse(message.text) as Record<string, unknown>)
      })
    )
    yield* Effect.forkScoped(Effect.ignore(reading))
    return { heard, say: (value: object) => connection.send(JSON.stringify(value)) }
  })

const json = (url: string) =>
  Effect.promise(() => fetch(url).then((response) => response.json() as Promise<Readonly<Record<string, unknown>>>))

describe.each(clients)("%s over %s", (module, way) => {
  it.live("is in the hub's topics, and publishes to them, beside clients of all other wires", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const { hub, url } = running
      const ada = yield* connect(at(running), { transports: transportsOf[way], query: { name: "ada" } }, module)
      const answer = yield* ada.ask("subscribe", "lobby")
      assert.deepStrictEqual(Object.keys(answer), ["topic", "position"])
      assert.strictEqual(answer.topic, "lobby")
      assert.isDefined(HubMessage.decodePosition(answer.position!))

      const native = yield* open(`${url}/ws`, [])
      yield* native.say({ type: "subscribe", topic: "lobby" })
      const rails = yield* open(`${url}/cable`, ["actioncable-v1-json"])
      const identifier = I("TopicChannel", { topic: "lobby" })
      yield* rails.say({ command: "subscribe", identifier })
      const events: Array<unknown> = []
      const reading = NodeEventSource.stream(`${at(running)}/events?topic=lobby`).pipe(
        Stream.runForEach(({ data }) => Effect.sync(() => void events.push(JSON.parse(data))))
      )
      yield* Effect.forkScoped(Effect.ignore(reading))
      yield* eventually(() => hub.members("lobby") === 4)

      // One after the other, so that all hear them in this order.
      const natives = () => native.heard.filter(({ type }) => type === "message")
      const cables = () => rails.heard.filter(({ message, type }) => type === undefined && message !== undefined)
      const isEverywhere = (count: number) =>
        eventually(() => [ada.heard, natives(), cables(), events].every(({ length }) => length === count))
      const told = yield* ada.ask("publish", "lobby", "chat", "hé", { n: 1 })
      assert.deepStrictEqual([told.topic, told.receivers], ["lobby", 4])
      assert.isDefined(HubMessage.decodePosition(told.position!))
      yield* isEverywhere(1)
      yield* native.say({ type: "publish", topic: "lobby", data: ["chat", 2] })
      yield* isEverywhere(2)
      const data = JSON.stringify({ action: "publish", data: { no: "event" } })
      yield* rails.say({ command: "message", identifier, data })
      yield* isEverywhere(3)
      yield* Effect.promise(() =>
        fetch(`${at(running)}/publish`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: '{"topic":"lobby","data":["chat",4]}'
        })
      )
      yield* isEverywhere(4)

      const chats = [
        ["chat", "hé", { n: 1 }],
        ["chat", 2],
        ["chat", 4]
      ] as const
      assert.deepStrictEqual(ada.heard, [chats[0], chats[1], ["message", { no: "event" }], chats[2]])
      const all = [chats[0], chats[1], { no: "event" }, chats[2]]
      for (const heard of [natives(), events]) {
        assert.deepStrictEqual(
          heard.map((said) => (said as { readonly data: unknown }).data),
          all
        )
      }
      assert.deepStrictEqual(
        cables().map(({ message }) => message),
        all
      )
      assert.deepInclude(natives()[0], { topic: "lobby", from: "ada" })
      const presence = yield* json(`${at(running)}/topics/lobby/presence`)
      assert.strictEqual(presence["members"], 4)
      assert.deepStrictEqual(presence["wires"], { cable: 1, native: 1, socketio: 1, sse: 1 })
      assert.strictEqual((yield* json(`${at(running)}/health`))["connections"], 4)

      assert.deepStrictEqual(yield* ada.ask("unsubscribe", "lobby"), { topic: "lobby" })
      assert.strictEqual(hub.members("lobby"), 3)
      ada.client.disconnect()
      yield* eventually(() => running.socketio!.of("/").sockets.size === 0)
    })
  )
})

describe("a client of Socket.IO", () => {
  it.live("says bytes, which others of its kind get as they were", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const one = yield* connect(at(running))
      const two = yield* connect(at(running), websocket)
      for (const each of [one, two]) yield* each.ask("subscribe", "lobby")
      const { receivers } = yield* one.ask("publish", "lobby", "file", Buffer.from([1, 2, 255]), "name")
      assert.strictEqual(receivers, 2)
      const file = [["file", [1, 2, 255], "name"]]
      assert.deepStrictEqual([yield* one.next(1), yield* two.next(1)], [file, file])
    })
  )

  it.live("comes back to where it was, or is told that it has missed something", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ history: { maxEntries: 2 } })
      const ada = yield* connect(at(running), websocket)
      const { position: since } = yield* ada.ask("subscribe", "lobby")
      yield* ada.ask("unsubscribe", "lobby")
      for (const n of [1, 2]) yield* ada.ask("publish", "lobby", "n", n)
      assert.deepStrictEqual(yield* ada.ask("subscribe", "lobby", { since }), {
        topic: "lobby",
        position: since,
        gap: false
      })
      assert.deepStrictEqual(yield* ada.next(2), [
        ["n", 1],
        ["n", 2]
      ])
      yield* ada.ask("unsubscribe", "lobby")
      yield* ada.ask("publish", "lobby", "n", 3)
      assert.isTrue((yield* ada.ask("subscribe", "lobby", { since })).gap)
    })
  )

  it.live("is told what was wrong, and goes on", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const ada = yield* connect(at(running), websocket)
      const code = (...event: readonly [name: string, ...args: ReadonlyArray<unknown>]) =>
        Effect.map(ada.ask(...event), ({ error }) => error?.code)
      for (const topic of [7, "", "$nodes", "\n", null, ["lobby"]]) {
        for (const event of ["subscribe", "unsubscribe", "publish"]) {
          assert.strictEqual(yield* code(event, topic, "chat"), "bad-topic")
        }
      }
      for (const options of [7, "now", [], { since: "yesterday" }, { since: 7 }]) {
        assert.strictEqual(yield* code("subscribe", "lobby", options), "bad-message")
      }
      for (const event of [[], [7], [{}], ["connect"], ["disconnect", 1], ["__proto__"]]) {
        assert.strictEqual(yield* code("publish", "lobby", ...event), "bad-message")
      }
      for (const event of ["dance", "error", "toString", "hasOwnProperty"]) {
        assert.strictEqual(yield* code(event), "unknown-type")
      }
      const most = Array.from({ length: HubMessage.maxTopics }, (_, i) => `topic ${i}`)
      for (const topic of most) assert.isUndefined(yield* code("subscribe", topic))
      assert.strictEqual(yield* code("subscribe", "lobby"), "too-many-topics")
      // Once more is no more.
      assert.isUndefined(yield* code("subscribe", "topic 7"))
      yield* ada.ask("unsubscribe", "topic 7")
      assert.isUndefined(yield* code("subscribe", "lobby"))
      assert.deepStrictEqual([ada.gone, ada.heard], [[], []])
    })
  )

  it.live("may do what the hub says, as it was identified", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({
        identify: ({ query }) => {
          const token = query.get("token")
          return token === null ? NodeWebSocketServer.refuse(401) : Effect.succeed({ name: token, user: token })
        },
        authorize: {
          join: ({ request, user }, topic) =>
            topic === "secret" || request.path !== "/socket.io/" || request.query.get("token") !== user
              ? Effect.fail(new Rejection({ message: "no" }))
              : Effect.void,
          publish: ({ name, user }) =>
            user === "ada" && name === "ada" ? Effect.void : Effect.fail(new Rejection({ message: "not you" }))
        }
      })
      for (const transports of [["polling"], ["websocket"]]) {
        const ada = yield* connect(at(running), { transports, query: { token: "ada" } })
        const bob = yield* connect(at(running), { transports, query: { token: "bob" } })
        for (const client of [ada, bob]) {
          assert.strictEqual((yield* client.ask("subscribe", "lobby")).topic, "lobby")
          assert.deepStrictEqual(yield* client.ask("subscribe", "secret"), forbidden("no"))
        }
        assert.deepStrictEqual(yield* bob.ask("publish", "lobby", "said", "bob's"), forbidden("not you"))
        yield* ada.ask("publish", "lobby", "said", "ada's")
        assert.deepStrictEqual([yield* ada.next(1), yield* bob.next(1)], [[["said", "ada's"]], [["said", "ada's"]]])
        const nobody = yield* connect(at(running), { transports })
        yield* eventually(() => nobody.refused.length > 0)
        const anonymous = yield* connect(at(running), { transports, query: { token: "@http" } })
        yield* eventually(() => anonymous.refused.length > 0)
        assert.isFalse(nobody.client.connected || anonymous.client.connected)
      }
    })
  )

  it.live("may do what the hub says, as it was known by its auth, and hears why it is not", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({
        authorize: {
          publish: ({ name, request, user }) =>
            user === "u:ada" && name === "ada" && request.query.get("q") === "1"
              ? Effect.void
              : Effect.fail(new Rejection({ message: `not ${user}, ${name}` }))
        },
        socketio: {
          authenticate: ({ token }, { query }) =>
            typeof token !== "string"
              ? Socket.refuse("who are you?", { code: 7 })
              : token === "long" || query.get("q") !== "1"
                ? Effect.succeed({ name: "x".repeat(1_000) })
                : Effect.succeed({ user: `u:${token}`, name: token === "cy" ? undefined : token })
        }
      })
      for (const transports of [["polling"], ["websocket"]]) {
        const as = (auth: object) => connect(at(running), { transports, query: { name: "called", q: "1" }, auth })
        const [ada, cy, nobody, long] = [
          yield* as({ token: "ada" }),
          yield* as({ token: "cy" }),
          yield* as({}),
          yield* as({ token: "long" })
        ]
        assert.strictEqual((yield* ada.ask("publish", "lobby", "said")).topic, "lobby")
        assert.deepStrictEqual(yield* cy.ask("publish", "lobby", "said"), forbidden("not u:cy, called"))
        yield* eventually(() => nobody.refused.length > 0 && long.refused.length > 0)
        assert.deepStrictEqual(
          [nobody.refused[0], long.refused[0]!.startsWith("a name has 1 to")],
          ["who are you?", true]
        )
      }
    })
  )

  it.live("has its messages compressed where it offers that, and the hub does", () =>
    Effect.gen(function* () {
      const extensions = [NodeDeflate.compression({ threshold: 64 })]
      const running = yield* HubServer.serve({ extensions })
      const long = "all the same ".repeat(1_000)
      // From polling to a WebSocket, and with none beneath.
      for (const transports of [["websocket"], ["polling", "websocket"]]) {
        const ada = yield* connect(at(running), { transports, perMessageDeflate: true })
        const bob = yield* connect(at(running), { transports, perMessageDeflate: false })
        yield* eventually(() => [ada, bob].every(({ client }) => client.io.engine?.transport.name === "websocket"))
        const agreedBy = ({ client }: typeof ada) =>
          (client.io.engine.transport as unknown as { readonly ws: { readonly extensions: string } }).ws.extensions
        for (const one of [ada, bob]) yield* one.ask("subscribe", "lobby")
        assert.deepStrictEqual([agreedBy(ada), agreedBy(bob)], ["permessage-deflate", ""])
        const bytes = new Uint8Array(1_000).fill(7)
        yield* ada.ask("publish", "lobby", "long", long, bytes)
        yield* bob.ask("publish", "lobby", "long", long, bytes)
        const event = ["long", long, [...bytes]]
        for (const one of [ada, bob]) assert.deepStrictEqual(yield* one.next(2), [event, event])
      }
    })
  )

  it.live("of another site is let in where its page may connect, and nowhere else", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const asked = (origin: string, hub = running) =>
        Effect.promise(() =>
          fetch(`${at(hub)}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: origin } }).then(
            ({ status }) => status
          )
        )
      assert.deepStrictEqual([yield* asked("https://evil.example"), yield* asked(at(running))], [403, 200])
      const open = yield* HubServer.serve({ origin: Origin.any })
      assert.strictEqual(yield* asked("https://evil.example", open), 200)
      const options = { ...websocket, extraHeaders: { Origin: "https://evil.example" } }
      const evil = yield* connect(at(running), options)
      yield* eventually(() => evil.refused.length > 0)
      assert.isFalse(evil.client.connected)
    })
  )

  it.live("is asked to come again where there are as many sessions as may be, however it comes", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ socketio: { maxSessions: 1 } })
      const ada = yield* connect(at(running), websocket)
      yield* eventually(() => ada.client.connected)
      const poll = yield* Effect.promise(() => fetch(`${at(running)}/socket.io/?EIO=4&transport=polling`))
      assert.deepStrictEqual([poll.status, poll.headers.get("retry-after")], [503, "5"])
      const bob = yield* connect(at(running), websocket)
      yield* eventually(() => bob.refused.length > 0)
      assert.isFalse(bob.client.connected)
      ada.client.disconnect()
      yield* eventually(() => bob.client.connected)
    })
  )

  it.live("says and hears what is as long as the hub takes it, and is cut off for more", () =>
    Effect.gen(function* () {
      const wide = yield* HubServer.serve({ limits: { maxMessageBytes: 3_000_000 } })
      const narrow = yield* HubServer.serve({ limits: { maxMessageBytes: 1_000 } })
      for (const transports of [["polling"], ["websocket"]]) {
        const ada = yield* connect(at(wide), { transports })
        const said = "x".repeat(2_900_000)
        yield* ada.ask("subscribe", "lobby")
        yield* ada.ask("publish", "lobby", "long", said)
        const [[name, heard] = []] = yield* ada.next(1)
        assert.deepStrictEqual([name, (heard as string).length], ["long", said.length])
        const bob = yield* connect(at(narrow), { transports, reconnection: false })
        yield* bob.ask("subscribe", "lobby")
        bob.client.emit("publish", "lobby", "long", "x".repeat(1_000))
        yield* eventually(() => bob.gone.length > 0)
        assert.deepStrictEqual(bob.heard, [])
      }
    })
  )

  it.live("finds its rooms and all that it has missed where the hub recovers connections", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ socketio: { recovery: true } })
      const ada = yield* connect(at(running), websocket)
      const { position } = yield* ada.ask("subscribe", "lobby")
      const { id } = ada.client
      const { engine } = ada.client.io
      const lost = new Promise<void>((resolve) => void ada.client.once("disconnect", () => resolve()))
      ;(engine as unknown as { transport: { onError: (why: string) => void } }).transport.onError("cut by the test")
      yield* Effect.promise(() => lost)
      yield* running.hub.publish("lobby", '["n",1]')
      yield* eventually(() => ada.client.connected)
      assert.deepStrictEqual([ada.client.id, ada.client.recovered], [id, true])
      const [[name, n, behind] = []] = yield* ada.next(1)
      assert.deepStrictEqual([name, n], ["n", 1])
      assert.notStrictEqual(behind, position)
      assert.isDefined(HubMessage.decodePosition(String(behind)))
    })
  )

  it.live.each(["polling", "websocket"])("over %s comes back after the hub has ended", (way) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const running = yield* Scope.provide(HubServer.serve(), scope)
      const ada = yield* connect(at(running), { transports: [way] })
      yield* ada.ask("subscribe", "lobby")
      yield* Scope.close(scope, Exit.void)
      yield* eventually(() => ada.gone.length > 0)
      assert.include(["transport close", "transport error"], ada.gone[0])
      const again = yield* HubServer.serve({ port: running.port })
      yield* eventually(() => ada.client.connected)
      assert.strictEqual((yield* ada.ask("subscribe", "lobby")).topic, "lobby")
      assert.strictEqual(again.hub.members("lobby"), 1)
    })
  )

  it.live("finds what a program has put there, or nothing where it wants none", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({
        socketio: {
          namespaces: {
            "/mine": (socket) => Effect.succeed({ name: () => Effect.succeed([socket.request.name, socket.namespace]) })
          }
        }
      })
      const ada = yield* connect(`${at(running)}/mine`, { query: { name: "ada" } })
      const answer = yield* Effect.callback<unknown>((resume) => {
        ada.client.emit("name", (...answer: ReadonlyArray<unknown>) => resume(Effect.succeed(answer)))
      })
      assert.deepStrictEqual(answer, ["ada", "/mine"])
      const lost = yield* connect(`${at(running)}/yours`)
      yield* eventually(() => lost.refused.length > 0)
      assert.strictEqual(lost.refused[0], "Invalid namespace")
      yield* running.socketio!.of("/mine").emit("all", 1)
      assert.deepStrictEqual(yield* ada.next(1), [["all", 1]])

      const without = yield* HubServer.serve({ socketio: false })
      assert.isUndefined(without.socketio)
      const { status } = yield* Effect.promise(() => fetch(`${at(without)}/socket.io/?EIO=4&transport=polling`))
      assert.strictEqual(status, 404)
      const nobody = yield* connect(at(without), websocket)
      yield* eventually(() => nobody.refused.length > 0)
    })
  )

  it.live.each(["polling", "upgrade"])("over %s is of one hub, to whichever node each of its requests comes", (way) =>
    Effect.gen(function* () {
      const brokers = yield* sharing(2)
      const nodes = yield* Effect.forEach(brokers, (broker) => HubServer.serve({ broker, origin: Origin.any }))
      yield* eventually(() => nodes.every(({ cluster }) => cluster.nodes.list().length === 2))
      const balancer = yield* RoundRobin.make(nodes.map(at))
      // Each kind of request to each of them in turn.
      const turns = new Map<string, number>()
      balancer.choose = (kind) => {
        const turn = turns.get(kind) ?? 0
        turns.set(kind, turn + 1)
        return turn % nodes.length
      }
      const options = way === "polling" ? { transports: ["polling"] } : {}
      const ada = yield* connect(balancer.url, options)
      const bob = yield* connect(balancer.url, options)
      for (const client of [ada, bob]) assert.isUndefined((yield* client.ask("subscribe", "lobby")).error)
      for (let n = 0; n < 10; n++) yield* (n % 2 === 0 ? ada : bob).ask("publish", "lobby", "n", n)
      const all = Array.from({ length: 10 }, (_, n) => ["n", n])
      assert.deepStrictEqual([yield* ada.next(10), yield* bob.next(10)], [all, all])
      assert.deepStrictEqual([ada.gone, bob.gone], [[], []])
      for (const index of [0, 1]) assert.include(balancer.came, `GET ${index}`)
      for (const client of [ada, bob]) client.client.on("who?", (reply: (name: string) => void) => reply("me"))
      for (const { socketio } of nodes) {
        const { answers, silent } = yield* socketio!.of("/").to("lobby").ask("who?", [])
        assert.deepStrictEqual([answers.length, silent], [2, []])
      }
      if (way === "upgrade") yield* eventually(() => balancer.came.includes("UPGRADE 1"))
    })
  )
})
