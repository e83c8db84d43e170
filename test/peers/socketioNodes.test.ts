/** Socket.IO's own client, unmodified, at three nodes behind a balancer that knows nothing of sessions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import { describeWith } from "../support/describeWith.ts"
import * as EngineNodes from "../support/engineNodes.ts"
import { eventually } from "../support/eventually.ts"
import * as Bus from "../support/nodes.ts"
import { redisServer } from "../support/redisServer.ts"
import * as SocketNodes from "../support/socketNodes.ts"

/** In the room that it asks for; says and answers things. */
const connectOf =
  (node: number): SocketNodes.Connect =>
  (socket) =>
    Effect.gen(function* () {
      if (typeof socket.auth["room"] === "string") yield* Effect.orDie(socket.join(socket.auth["room"]))
      return {
        say: ([room, ...args]) => socket.to(String(room)).emit("said", ...args),
        echo: (args) => Effect.succeed([...args, node])
      }
    })

const connected = (...all: ReadonlyArray<SocketNodes.Listening>) =>
  eventually(() => all.every(({ client }) => client.connected))

/** What was said to many. */
const published = (texts: ReadonlyArray<string>) => texts.filter((text) => !text.startsWith("alone"))

const sorted = (texts: Iterable<string | undefined>) => [...texts].toSorted()

interface Seen {
  readonly node: number
  readonly isRecovered: boolean
  readonly rooms: ReadonlyArray<string>
  readonly emit: (name: string, ...args: ReadonlyArray<unknown>) => Effect.Effect<void, unknown>
}

/** Tells what it sees of those who come, and keeps some of them busy. */
const watching =
  (seen: Array<Seen>) =>
  (node: number): SocketNodes.Connect =>
  (socket) =>
    Effect.gen(function* () {
      const { emit, isRecovered, rooms } = socket
      seen.push({ node, isRecovered, rooms, emit: (name, ...args) => emit.call(socket, name, ...args) })
      yield* Effect.orDie(socket.join("r"))
      return {
        join: ([room]) => Effect.as(Effect.orDie(socket.join(String(room))), []),
        wait: () => Effect.never,
        say: (args) => socket.to("s").emit("said", ...args)
      }
    })

type Brokers = Effect.Effect<ReadonlyArray<Broker["Service"]>, never, Scope.Scope>

const behaves = (brokers: Brokers) => {
  it.live.each([[["polling"]], [["polling", "websocket"]]] as const)(
    "comes back to other nodes over %j where it was, and misses nothing",
    ([transports]) =>
      Effect.gen(function* () {
        const seen: Array<Seen> = []
        const { balancer, servers } = yield* SocketNodes.make(yield* brokers, watching(seen), { recovery: true })
        let turn = 0
        balancer.choose = (_, url) => (url.includes("sid=") ? turn++ % 3 : seen.length % 3)
        const one = yield* SocketNodes.connect(balancer.url, transports, { reconnection: false })
        yield* connected(one)
        yield* Effect.promise(() => one.client.emitWithAck("join", "s"))
        const { id } = one.client
        const told: Array<string> = []
        const tell = (text: string) => {
          told.push(text)
          return servers[told.length % 3]!.io.of("/").to("s").emit("said", text)
        }
        yield* tell("before")
        yield* eventually(() => one.heard.length === 1)
        // To node 1, to 2, and to 0 again.
        for (const node of [1, 2, 0, 1]) {
          SocketNodes.cut(one)
          yield* eventually(() => one.client.disconnected)
          yield* tell(`away from ${node}`)
          told.push(`alone ${node}`)
          yield* seen.at(-1)!.emit("said", `alone ${node}`)
          yield* tell(`still away from ${node}`)
          one.client.connect()
          yield* connected(one)
          yield* tell(`at ${node}`)
          yield* eventually(() => one.heard.length >= told.length)
          // What comes from two nodes has no order between them.
          const heard = one.heard.map(([, text]) => String(text))
          assert.deepStrictEqual([published(heard), sorted(heard)], [published(told), sorted(told)])
          const { isRecovered, node: at, rooms } = seen.at(-1)!
          assert.deepStrictEqual([at, isRecovered, sorted(rooms), one.client.id], [node, true, ["r", "s"], id])
        }
        assert.deepStrictEqual(one.recovered, [false, true, true, true, true])
        assert.deepStrictEqual(
          servers.map(({ io }) => io.of("/").sockets.size),
          [0, 1, 0]
        )
      }).pipe(Effect.scoped)
  )

  it.live.each([[["polling"]], [["polling", "websocket"]]] as const)(
    "talks, is answered and hears its rooms over %j, wherever its requests come",
    ([transports]) =>
      Effect.gen(function* () {
        const { balancer, servers } = yield* SocketNodes.make(yield* brokers, connectOf)
        const all = yield* Effect.forEach([0, 1, 2], () =>
          SocketNodes.connect(balancer.url, transports, { auth: { room: "r" } })
        )
        yield* connected(...all)
        const [one, ...others] = all
        const answer = yield* Effect.promise(
          (): Promise<unknown> =>
            new Promise((resolve) =>
              one!.client.emit("echo", "é😀", Buffer.from([1, 255]), (...args: Array<unknown>) => resolve(args))
            )
        )
        assert.deepStrictEqual((answer as ReadonlyArray<unknown>).slice(0, 2), ["é😀", Buffer.from([1, 255])])
        for (let n = 0; n < 20; n++) one!.client.emit("say", "r", n, Buffer.from([n]))
        yield* eventually(() => others.every(({ heard }) => heard.length >= 20))
        const said = Array.from({ length: 20 }, (_, n) => ["said", n, [n]])
        assert.deepStrictEqual(
          all.map(({ heard }) => heard),
          [[], said, said]
        )
        yield* servers[0]!.io.of("/").to("r").emit("from a server")
        yield* eventually(() => all.every(({ heard }) => heard.at(-1)?.[0] === "from a server"))
        assert.deepStrictEqual(
          all.map(({ recovered }) => recovered),
          [[false], [false], [false]]
        )
      }).pipe(Effect.scoped)
  )

  it.live("can be asked in a room, found, moved and put out, wherever its node is", () =>
    Effect.gen(function* () {
      const { servers } = yield* SocketNodes.make(yield* brokers, connectOf)
      const all = yield* Effect.forEach(servers, ({ url }) =>
        SocketNodes.connect(url, ["websocket"], { auth: { room: "r" } })
      )
      const elsewhere = yield* SocketNodes.connect(`${servers[1]!.url}/admin`, ["websocket"], { auth: { room: "r" } })
      yield* connected(...all, elsewhere)
      for (const [n, { client }] of [...all, elsewhere].entries()) {
        client.on("q", (value: unknown, bytes: unknown, reply: (...args: ReadonlyArray<unknown>) => void) =>
          reply(value, bytes, n)
        )
      }
      const main = servers[0]!.io.of("/")
      const ids = all.map(({ client }) => client.id)
      const bytes = Uint8Array.from([7])
      const asked = yield* main.to("r").ask("q", ["é", bytes])
      assert.deepStrictEqual(
        asked.answers.toSorted((one, other) => ids.indexOf(one.id) - ids.indexOf(other.id)),
        [0, 1, 2].map((n) => ({ id: ids[n]!, args: ["é", bytes, n] }))
      )
      assert.deepStrictEqual([asked.silent, asked.unheard], [[], []])
      const late = yield* main.to("r").ask("what nobody answers", [], { timeout: 50 })
      assert.deepStrictEqual([late.answers, sorted(late.silent), late.unheard], [[], sorted(ids), []])

      const { sockets, unheard } = yield* main.to("r").fetch
      assert.deepStrictEqual([sorted(sockets.map(({ id }) => id)), unheard], [sorted(ids), []])
      assert.deepStrictEqual(
        sockets.map(({ isConnected, rooms, user }) => [isConnected, rooms, user]),
        ids.map(() => [true, ["r"], undefined])
      )
      assert.deepStrictEqual(yield* main.join("s"), { count: 3, unheard: [] })
      assert.deepStrictEqual(yield* main.to("s").leave("r"), { count: 3, unheard: [] })
      assert.deepStrictEqual(
        (yield* main.fetch).sockets.map(({ rooms }) => rooms),
        ids.map(() => ["s"])
      )
      yield* main.to("s").emit("in s")
      yield* eventually(() => all.every(({ heard }) => heard.at(-1)?.[0] === "in s"))
      assert.deepStrictEqual(yield* main.to("s").disconnect, { count: 3, unheard: [] })
      yield* eventually(() => all.every(({ client }) => client.disconnected))
      assert.deepStrictEqual([elsewhere.client.connected, (yield* main.fetch).sockets], [true, []])
    }).pipe(Effect.scoped)
  )
}

describe("socket.io-client at three nodes that share a broker in memory", () => {
  behaves(EngineNodes.sharing(3))

  it.live("hears what is said to it alone after it has gone to another node with nothing to be said", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { balancer } = yield* SocketNodes.make(yield* EngineNodes.sharing(2), watching(seen), { recovery: true })
      balancer.choose = () => seen.length % 2
      const one = yield* SocketNodes.connect(balancer.url, ["websocket"], { reconnection: false })
      yield* connected(one)
      yield* seen[0]!.emit("alone", 1)
      yield* seen[0]!.emit("alone", 2)
      yield* eventually(() => one.heard.length === 2)
      for (const said of [[], [3], []]) {
        SocketNodes.cut(one)
        yield* eventually(() => one.client.disconnected)
        for (const n of said) yield* seen.at(-1)!.emit("alone", n)
        one.client.connect()
        yield* connected(one)
      }
      yield* seen.at(-1)!.emit("alone", 4)
      yield* eventually(() => one.heard.length >= 4)
      assert.deepStrictEqual(
        [one.heard.map(([, n]) => n), one.recovered],
        [
          [1, 2, 3, 4],
          [false, true, true, true]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("comes back as a new socket where something is at work for it, or its node is none that is there", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { balancer, servers } = yield* SocketNodes.make(yield* EngineNodes.sharing(2), watching(seen), {
        recovery: true
      })
      balancer.choose = (_, url) => (url.includes("sid=") ? 1 : seen.length % 2)
      const one = yield* SocketNodes.connect(balancer.url, ["polling"], { reconnection: false })
      yield* connected(one)
      yield* Effect.promise(() => one.client.emitWithAck("join", "s"))
      one.client.emit("wait")
      yield* servers[1]!.io.of("/").to("s").emit("said")
      yield* eventually(() => one.heard.length === 1)
      const { id } = one.client
      SocketNodes.cut(one)
      yield* eventually(() => one.client.disconnected)
      one.client.connect()
      yield* connected(one)
      assert.notStrictEqual(one.client.id, id)
      assert.deepStrictEqual(
        [one.recovered, seen.map(({ rooms }) => rooms)],
        [
          [false, false],
          [[], []]
        ]
      )
      yield* eventually(() => servers[0]!.io.of("/").sockets.size === 0)

      SocketNodes.cut(one)
      yield* eventually(() => one.client.disconnected)
      Object.assign(one.client, { _pid: "x.node-7" })
      one.client.connect()
      yield* connected(one)
      assert.deepStrictEqual(one.recovered, [false, false, false])
    }).pipe(Effect.scoped)
  )

  it.live("stays where it is when another user comes to another node with what its client was told", () =>
    Effect.gen(function* () {
      const seen: Array<Seen> = []
      const { servers } = yield* SocketNodes.make(yield* EngineNodes.sharing(2), watching(seen), {
        recovery: true,
        identify: (request) => Effect.succeed({ request, user: request.query.get("user") ?? undefined })
      })
      const ada = yield* SocketNodes.connect(servers[0]!.url, ["polling"], { query: { user: "ada" } })
      yield* connected(ada)
      const eve = yield* SocketNodes.connect(servers[1]!.url, ["polling"], {
        query: { user: "eve" },
        reconnection: false
      })
      yield* connected(eve)
      SocketNodes.cut(eve)
      yield* eventually(() => eve.client.disconnected)
      const { _pid } = ada.client as unknown as { readonly _pid: string }
      Object.assign(eve.client, { _pid, _lastOffset: undefined })
      eve.client.connect()
      yield* connected(eve)
      assert.deepStrictEqual([eve.recovered, ada.recovered], [[false, false], [false]])
      assert.strictEqual(servers[0]!.io.of("/").sockets.get(ada.client.id!)!.isConnected, true)
    }).pipe(Effect.scoped)
  )

  it.live("is told of in several answers where one is longer than a broker takes", () =>
    Effect.gen(function* () {
      const { servers } = yield* SocketNodes.make(yield* EngineNodes.sharing(2), connectOf)
      const all = yield* Effect.forEach([1, 2, 3, 4], () => SocketNodes.connect(servers[1]!.url, ["websocket"]))
      yield* connected(...all)
      const long = "é\u0001".repeat(20_000)
      for (const [n, { client }] of all.entries()) {
        client.on("q", (reply: (answer: string) => void) => reply(n === 3 ? long.repeat(10) : `${n}${long}`))
      }
      const { answers, silent, unheard } = yield* servers[0]!.io.of("/").ask("q", [])
      assert.deepStrictEqual(sorted(answers.map(({ args }) => String(args[0]))), [`0${long}`, `1${long}`, `2${long}`])
      assert.deepStrictEqual([silent, unheard], [[all[3]!.client.id], []])
    }).pipe(Effect.scoped)
  )
})

describe("what is asked of all nodes", () => {
  it.live("says which was not heard", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(3)
      const { servers } = yield* SocketNodes.make(bus.brokers, connectOf)
      const all = yield* Effect.forEach(servers, ({ url }) => SocketNodes.connect(url, ["websocket"]))
      yield* connected(...all)
      const namespace = servers[0]!.io.of("/")
      bus.kill(2)
      const { sockets, unheard } = yield* namespace.fetch
      assert.deepStrictEqual([sockets.length, unheard.map(({ id }) => id)], [2, ["node-2"]])
    }).pipe(Effect.scoped)
  )
})

describeWith("redis-server")("socket.io-client at three nodes on Redis", () =>
  behaves(
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      return yield* Effect.forEach([0, 1, 2], () => RedisBroker.make({ url }))
    })
  )
)
