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

const sorted = (texts: Iterable<string | undefined>) => [...texts].toSorted()

type Brokers = Effect.Effect<ReadonlyArray<Broker["Service"]>, never, Scope.Scope>

const behaves = (brokers: Brokers) => {
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
