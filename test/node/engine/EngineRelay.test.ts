/** Engine.IO's own client, unmodified, at nodes of which each gets some of its requests. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { Socket } from "engine.io-client"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as RedisBroker from "@millrace/node/brokers/RedisBroker"
import { describeWith } from "../../support/describeWith.ts"
import * as EngineNodes from "../../support/engineNodes.ts"
import type { Options } from "../../support/engineioServer.ts"
import { eventually } from "../../support/eventually.ts"
import * as Bus from "../../support/nodes.ts"
import { redisServer } from "../../support/redisServer.ts"

const textOf = (data: unknown) => (typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer).join(" "))

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

const connect = (url: string, transports: ReadonlyArray<"polling" | "websocket">) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = new Socket(url, { transports: [...transports] })
      const client = { socket, heard: new Array<string>(), closed: new Array<string>(), upgrades: new Array<string>() }
      socket.on("message", (data: unknown) => void client.heard.push(textOf(data)))
      socket.on("upgrade", ({ name }: { name: string }) => void client.upgrades.push(name))
      socket.on("close", (reason: string) => void client.closed.push(reason))
      return client
    }),
    ({ socket }) => Effect.sync(() => void socket.close())
  )

const echo: Options = { onMessage: (session, data) => session.send(data) }

type Brokers = Effect.Effect<ReadonlyArray<Broker["Service"]>, never, Scope.Scope>

const behaves = (brokers: Brokers) => {
  it.live.each([[["polling"]], [["polling", "websocket"]], [["websocket"]]] as const)(
    "talks with text and bytes, the longest too, over %j",
    ([transports]) =>
      Effect.gen(function* () {
        const { balancer, servers } = yield* EngineNodes.make(yield* brokers, echo)
        const client = yield* connect(balancer.url, transports)
        yield* eventually(() => client.socket.readyState === "open")
        const long = `é€😀\u0001"`.repeat(80_000)
        const words = ["a", "é€😀", "", Buffer.from([1, 2, 255]), Buffer.alloc(0), long, "z"]
        for (const data of words) client.socket.send(data)
        yield* eventually(() => client.heard.length === words.length)
        assert.deepStrictEqual(client.heard, ["a", "é€😀", "", "1 2 255", "", long, "z"])
        if (transports.length === 2) yield* eventually(() => client.upgrades.length === 1)
        client.socket.send("after")
        yield* eventually(() => client.heard.length === words.length + 1)
        assert.deepStrictEqual(client.closed, [])
        assert.deepStrictEqual(
          servers.map(({ sessions }) => sessions.length).toSorted((one, other) => one - other),
          [0, 0, 1]
        )
        if (transports[0] === "polling") assert.strictEqual(new Set(balancer.came.map((one) => one.at(-1))).size, 3)
      }).pipe(Effect.scoped)
  )

  it.live("is upgraded at another node while both talk: nothing is missed, doubled or in another order", () =>
    Effect.gen(function* () {
      const toServer: Array<string> = []
      const { balancer, servers } = yield* EngineNodes.make(yield* brokers, {
        onMessage: (_, data) => toServer.push(textOf(data))
      })
      balancer.choose = (kind) => (kind === "UPGRADE" ? 1 : 0)
      const client = yield* connect(balancer.url, ["polling", "websocket"])
      yield* eventually(() => client.socket.readyState === "open")
      const session = servers[0]!.sessions[0]!
      const said: Array<string> = []
      while (!session.isUpgraded || said.length < 100) {
        const word = `${said.push(`${said.length}`) - 1}`
        session.send(word)
        client.socket.send(word)
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      yield* eventually(() => toServer.length >= said.length && client.heard.length >= said.length)
      assert.deepStrictEqual([client.heard, toServer, client.upgrades], [said, said, ["websocket"]])
      assert.include(balancer.came, "UPGRADE 1")
    }).pipe(Effect.scoped)
  )

  it.live.each([[["polling"]], [["polling", "websocket"]]] as const)("ends, and is ended, over %j", ([transports]) =>
    Effect.gen(function* () {
      const { balancer, servers } = yield* EngineNodes.make(yield* brokers, echo)
      balancer.choose = (kind, url) => (kind === "UPGRADE" ? 1 : url.includes("sid=") ? 2 : 0)
      const leaver = yield* connect(balancer.url, transports)
      yield* eventually(() => leaver.socket.readyState === "open")
      const left = yield* connect(balancer.url, transports)
      yield* eventually(() => left.socket.readyState === "open")
      const { sessions } = servers[0]!
      if (transports.length === 2) yield* eventually(() => leaver.upgrades.length + left.upgrades.length === 2)
      leaver.socket.close()
      yield* eventually(() => sessions[0]!.reasons.length === 1)
      assert.match(sessions[0]!.reasons[0]!, /client|network/)
      sessions[1]!.shutdown()
      yield* eventually(() => left.closed.length === 1)
      yield* eventually(() => sessions[1]!.reasons.length === 1)
      assert.deepStrictEqual([left.closed, sessions[1]!.reasons], [["transport close"], ["server"]])
    }).pipe(Effect.scoped)
  )
}

describe("engine.io-client at three nodes that share a broker in memory", () => behaves(EngineNodes.sharing(3)))

describeWith("redis-server")("engine.io-client at three nodes on Redis", () =>
  behaves(
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      return yield* Effect.forEach([0, 1, 2], () => RedisBroker.make({ url }))
    })
  )
)

const get = (url: string, sid: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/engine.io/?EIO=4&transport=polling&sid=${sid}`)
    return [response.status, await response.text()] as const
  })

const post = (url: string, sid: string, body: string) =>
  Effect.promise(async () => {
    const init = { method: "POST", body }
    const response = await fetch(`${url}/engine.io/?EIO=4&transport=polling&sid=${sid}`, init)
    return [response.status, await response.text()] as const
  })

const open = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/engine.io/?EIO=4&transport=polling`)
    return JSON.parse((await response.text()).slice(1)).sid as string
  })

const unknown = [400, '{"code":1,"message":"Session ID unknown"}'] as const
const bad = [400, '{"code":3,"message":"Bad request"}'] as const

describe("a session of another node", () => {
  it.live("is unknown when the client has made it up, and when its node is gone", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const { servers } = yield* EngineNodes.make(bus.brokers, echo)
      const url = servers[1]!.url
      for (const sid of ["x", "x.node-0", "x.node-7", "x.", `${"x".repeat(22)}.node-0`, "__proto__"]) {
        assert.deepStrictEqual(yield* get(url, sid), unknown)
        assert.deepStrictEqual(yield* post(url, sid, "4a"), unknown)
      }
      const sid = yield* open(servers[0]!.url)
      assert.deepStrictEqual(yield* post(url, sid, "4a"), [200, "ok"])
      assert.deepStrictEqual(yield* get(url, sid), [200, "4a"])
      const waiting = yield* Effect.forkScoped(get(url, sid))
      yield* eventually(() => servers[0]!.sessions[0]!.isPolled)
      bus.kill(0)
      assert.deepStrictEqual(yield* Fiber.join(waiting), unknown)
      assert.deepStrictEqual(yield* get(url, sid), unknown)
    }).pipe(Effect.scoped)
  )

  it.live("has one poll at a time, at whichever node they are, and ends of two", () =>
    Effect.gen(function* () {
      const { servers } = yield* EngineNodes.make(yield* EngineNodes.sharing(3), echo)
      const sid = yield* open(servers[0]!.url)
      const first = yield* Effect.forkScoped(get(servers[1]!.url, sid))
      yield* eventually(() => servers[0]!.sessions[0]!.isPolled)
      assert.deepStrictEqual(yield* get(servers[2]!.url, sid), bad)
      assert.deepStrictEqual(yield* Fiber.join(first), [200, "1"])
      assert.deepStrictEqual(servers[0]!.sessions[0]!.reasons, ["violation"])
    }).pipe(Effect.scoped)
  )

  it.live("keeps what it has to say for the next poll when one is given up at another node", () =>
    Effect.gen(function* () {
      const { servers } = yield* EngineNodes.make(yield* EngineNodes.sharing(2), echo)
      const sid = yield* open(servers[0]!.url)
      const [session] = servers[0]!.sessions
      const controller = new AbortController()
      const url = `${servers[1]!.url}/engine.io/?EIO=4&transport=polling&sid=${sid}`
      const given = fetch(url, { signal: controller.signal }).catch(() => "given up")
      yield* eventually(() => session!.isPolled)
      controller.abort()
      assert.strictEqual(yield* Effect.promise(() => given), "given up")
      yield* eventually(() => !session!.isPolled)
      session!.send("kept")
      assert.deepStrictEqual(yield* get(servers[1]!.url, sid), [200, "4kept"])
    }).pipe(Effect.scoped)
  )

  it.live("ends when what it has said for a poll cannot come to the poll any more", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const { servers } = yield* EngineNodes.make(bus.brokers, echo)
      const sid = yield* open(servers[0]!.url)
      const [session] = servers[0]!.sessions
      const waiting = yield* Effect.forkScoped(get(servers[1]!.url, sid))
      yield* eventually(() => session!.isPolled)
      bus.partition([0], [1])
      session!.send("lost")
      assert.deepStrictEqual(yield* Fiber.join(waiting), unknown)
      yield* eventually(() => servers[0]!.nodes.list().length === 1)
      assert.deepStrictEqual(yield* get(servers[0]!.url, sid), [200, "1"])
      assert.deepStrictEqual(session!.reasons, ["server"])
    }).pipe(Effect.scoped)
  )

  it.live("ends when what it has said comes to a poll that was given up, and it has not heard of that yet", () =>
    Effect.gen(function* () {
      const [one, other] = yield* EngineNodes.sharing(2)
      const gate = yield* Deferred.make<void>()
      const [held, answers] = [new Array<string>(), new Array<string>()]
      let isHeld = false
      const cast: Broker["Service"]["cast"] = (channel, bytes) => {
        if (!isHeld || !latin1(bytes).includes("engine.io /")) return other!.cast(channel, bytes)
        held.push(channel)
        return Effect.andThen(Deferred.await(gate), other!.cast(channel, bytes))
      }
      const watched: Broker["Service"]["cast"] = (channel, bytes) =>
        Effect.tap(one!.cast(channel, bytes), () =>
          Effect.sync(() => void (latin1(bytes).includes("4said") && answers.push(channel)))
        )
      const { servers } = yield* EngineNodes.make(
        [
          { ...one!, cast: watched },
          { ...other!, cast }
        ],
        echo
      )
      const sid = yield* open(servers[0]!.url)
      const [session] = servers[0]!.sessions
      const controller = new AbortController()
      const url = `${servers[1]!.url}/engine.io/?EIO=4&transport=polling&sid=${sid}`
      const given = fetch(url, { signal: controller.signal }).catch(() => "given up")
      yield* eventually(() => session!.isPolled)
      isHeld = true
      controller.abort()
      assert.strictEqual(yield* Effect.promise(() => given), "given up")
      yield* eventually(() => held.length > 0)
      session!.send("said")
      yield* eventually(() => answers.length > 0)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* get(servers[0]!.url, sid), [200, "1"])
      assert.deepStrictEqual(session!.reasons, ["server"])
    }).pipe(Effect.scoped)
  )

  it.live("says everything once and in order over a bus that loses and repeats what it carries", () =>
    Effect.gen(function* () {
      const bus = yield* Bus.make(2)
      const { servers } = yield* EngineNodes.make(bus.brokers, echo)
      const sid = yield* open(servers[0]!.url)
      Object.assign(bus.faults, { repeats: 0.3, delay: [0, 3] })
      const heard: Array<string> = []
      for (let n = 0; n < 30; n++) {
        assert.deepStrictEqual(yield* post(servers[1]!.url, sid, `4${n}`), [200, "ok"])
        const [status, text] = yield* get(servers[1]!.url, sid)
        assert.strictEqual(status, 200)
        heard.push(...text.split("\u001e"))
      }
      assert.deepStrictEqual(
        heard,
        Array.from({ length: 30 }, (_, n) => `4${n}`)
      )
    }).pipe(Effect.scoped)
  )
})
