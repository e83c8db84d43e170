/** The hub as a server: who may what, what is known by its key, and what it says of itself. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Broker, Status } from "@millrace/core/cluster/Broker"
import { BrokerError, Rejected, StaleKey, TooLarge, Unavailable } from "@millrace/core/cluster/BrokerError"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import * as Target from "@millrace/core/cluster/Target"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { ask as askOver } from "../support/eventStreamServer.ts"
import { eventually } from "../support/eventually.ts"
import * as HubClient from "../support/hubClient.ts"
import * as RawPeer from "../support/RawPeer.ts"

/** An answer of the hub, whose body is JSON unless it is not. */
const http = ({ port }: HubServer.Running, path: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
    const text = await response.text()
    const isJson = response.headers.get("content-type") === "application/json"
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined }
  })

const publish = (running: HubServer.Running, body: object, headers: Readonly<Record<string, string>> = {}) =>
  http(running, "/publish", {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers }
  })

const said = (data: unknown, topic = "t") => ({ topic, data })

const epoch = { history: { epoch: "e" } } as const

describe("a publication with a key", () => {
  it.live("by the body is acknowledged again, with where the first is", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve(epoch)
      const ada = yield* HubClient.connect(running.port)
      yield* HubClient.subscribe(ada, "t")
      const key = { producer: "p", epoch: 0, sequence: 0 }
      const answers = []
      for (const n of [1, 2]) answers.push((yield* publish(running, { ...said(n), key })).body)
      assert.deepStrictEqual(answers, [
        { receivers: 1, position: "e:1" },
        { receivers: 0, position: "e:1", repeated: true }
      ])
      // A client that falls back from its WebSocket is the same producer.
      ada.say({ type: "publish", ...said(3), key, id: 1 })
      assert.include(yield* ada.hear, { data: 1 })
      assert.include(yield* ada.hear, { type: "published", repeated: true })
    })
  )

  it.live("by Idempotency-Key is acknowledged again, quoted or not", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve(epoch)
      const answers = []
      for (const value of ['"order 1"', '"order 1"', "order2", '"order2"']) {
        answers.push((yield* publish(running, said(1), { "Idempotency-Key": value })).body)
      }
      assert.deepStrictEqual(answers, [
        { receivers: 0, position: "e:1" },
        { receivers: 0, position: "e:1", repeated: true },
        { receivers: 0, position: "e:2" },
        { receivers: 0, position: "e:2", repeated: true }
      ])
    })
  )

  it.live("that cannot be one is refused, and so are two", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const key = { producer: "p", epoch: 0, sequence: 0 }
      for (const [body, value] of [
        [said(1), '""'],
        [said(1), '"a'],
        [said(1), "x".repeat(121)],
        [{ ...said(1), key: "p" }, undefined],
        [{ ...said(1), key }, "a"]
      ] as const) {
        const answer = yield* publish(running, body, value === undefined ? {} : { "Idempotency-Key": value })
        assert.deepStrictEqual([answer.status, answer.body.error.code], [400, "bad-message"])
      }
    })
  )
})

describe("a token to publish", () => {
  it.live("is wanted where there is one, before anything is read", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ publishToken: "s3cret" })
      for (const authorization of [
        "",
        "s3cret",
        "Basic s3cret",
        "Bearer",
        "Bearer s3cre",
        "Bearer s3crett",
        "Bearer é"
      ]) {
        const headers = new Headers({ "Content-Type": "application/json" })
        if (authorization !== "") headers.set("Authorization", authorization)
        const answer = yield* http(running, "/publish", { method: "POST", body: "{", headers })
        assert.deepStrictEqual([answer.status, answer.body.error.code], [401, "unauthorized"])
        assert.strictEqual(answer.headers.get("www-authenticate"), 'Bearer realm="publish"')
      }
      for (const authorization of ["Bearer s3cret", "bearer s3cret"]) {
        assert.strictEqual((yield* publish(running, said(1), { Authorization: authorization })).status, 200)
      }
    })
  )

  it.live("that is missing ends the connection, however long the body is said to be", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ publishToken: "s3cret" })
      const peer = yield* RawPeer.connect(running.port)
      peer.send("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
      const head = yield* peer.head
      assert.deepStrictEqual([head.status, head.header("Connection")], [401, "close"])
      yield* peer.rest
    })
  )
})

const identify: HubServer.Options["identify"] = ({ header, purpose, query }) => {
  const user = header("cookie")?.replace("user=", "")
  if (user !== undefined) return Effect.succeed({ user, name: `${user} by ${purpose}` })
  return query.has("guest") ? Effect.succeed({}) : NodeWebSocketServer.refuse(401, { body: "log in first" })
}

describe("who asks", () => {
  const cookie = { Cookie: "user=ada" }

  it.live("is found out by the program, for each way to ask, or refused", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ identify })
      const refused = yield* RawPeer.connect(running.port)
      refused.send(RawPeer.upgradeRequest("/ws?name=mallory"))
      assert.strictEqual((yield* refused.head).status, 401)
      for (const path of ["/events?topic=t", "/topics", "/topics/t/history", "/topics/t/presence"]) {
        const answer = yield* http(running, path)
        assert.deepStrictEqual([path, answer.status, answer.text], [path, 401, "log in first"])
      }
      assert.strictEqual((yield* publish(running, said(1))).status, 401)

      const peer = yield* RawPeer.connect(running.port)
      peer.send(RawPeer.upgradeRequest("/ws?name=mallory", cookie))
      assert.strictEqual((yield* peer.head).status, 101)
      const ada = HubClient.over(peer)
      assert.include(yield* ada.hear, { client: "ada by socket" })
      yield* HubClient.subscribe(ada, "t")
      yield* askOver("node:http", running.port, { path: "/events?topic=t", headers: { cookie: "user=ada" } })
      yield* eventually(() => running.hub.members("t") === 2)
      assert.strictEqual((yield* publish(running, said(1), cookie)).status, 200)
      assert.include(yield* ada.hear, { from: "ada by publish" })
      ada.say({ type: "subscribe", topic: "t", presence: true })
      assert.include(yield* ada.hear, { type: "subscribed" })
      assert.include(yield* ada.hear, { type: "present" })
      const { body } = yield* http(running, "/topics/t/presence", { headers: cookie })
      assert.deepStrictEqual([body.members, body.count], [2, { users: 1, connections: 1 }])
      assert.strictEqual(body.users[0].user, "ada")
      // Whom it belongs to is what a target goes by.
      assert.strictEqual(yield* running.hub.kick(Target.user("ada"), "t", "enough"), 2)
      assert.include(yield* ada.hear, { type: "unsubscribed", reason: "kicked" })
    })
  )

  it.live("and is nobody goes by the name that it brings", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ identify })
      const peer = yield* RawPeer.open(running.port, "/ws?guest&name=bob")
      assert.include(yield* HubClient.over(peer).hear, { client: "bob" })
    })
  )
})

const only = (ok: string) => (client: { readonly user: string | undefined }, topic: string) =>
  topic === ok && client.user === "ada" ? Effect.void : Effect.fail(new Rejection({ message: `not ${topic}` }))

it.live("who asks is found out from all of the request, also where nobody would be let in as nobody", () =>
  Effect.gen(function* () {
    const running = yield* HubServer.serve({
      identify: ({ header }) => Effect.succeed({ user: header("Cookie") })
    })
    yield* askOver("node:http", running.port, { path: "/events?topic=t", headers: { cookie: "ada" } })
    yield* eventually(() => running.hub.members("t") === 1)
    assert.deepStrictEqual(
      [...running.hub.membersOf("t")].map(({ user }) => user),
      ["ada"]
    )
  })
)

it.live("who may is asked with what the client came with", () =>
  Effect.gen(function* () {
    const running = yield* HubServer.serve({
      authorize: {
        join: ({ request: { purpose, query } }) =>
          query.get("ticket") === "1"
            ? Effect.void
            : Effect.fail(new Rejection({ message: `no ticket for ${purpose}` }))
      }
    })
    for (const [query, answer] of [
      ["?ticket=1", { type: "subscribed" }],
      ["", { type: "error", message: "no ticket for socket" }]
    ] as const) {
      const client = HubClient.over(yield* RawPeer.open(running.port, `/ws${query}`))
      yield* client.hear
      client.say({ type: "subscribe", topic: "t" })
      assert.include(yield* client.hear, answer)
    }
    assert.strictEqual((yield* http(running, "/topics/t/history?ticket=1")).status, 200)
    assert.strictEqual((yield* http(running, "/topics/t/history")).body.error.message, "no ticket for read")
  })
)

describe("who may", () => {
  const options: HubServer.Options = {
    identify: ({ query }) => Effect.succeed({ user: query.get("user") ?? undefined }),
    authorize: { join: only("in"), publish: only("out") }
  }

  it.live("join and publish is asked for each way to do so", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve(options)
      for (const path of [
        "/events?topic=in",
        "/events?topic=in&topic=out&user=ada",
        "/topics/out/history?user=ada",
        "/topics/in/presence?user=bob"
      ]) {
        const { body, status } = yield* http(running, path)
        assert.deepStrictEqual([path, status, body.error.code], [path, 403, "forbidden"])
      }
      assert.strictEqual(running.hub.topics(), 0)
      const stream = yield* askOver("node:http", running.port, { path: "/events?topic=in&user=ada" })
      assert.strictEqual(stream.status, 200)
      const ada = HubClient.over(yield* RawPeer.open(running.port, "/ws?user=ada"))
      yield* ada.hear
      ada.say({ type: "subscribe", topic: "out" })
      assert.include(yield* ada.hear, { code: "forbidden", message: "not out" })
      yield* HubClient.subscribe(ada, "in")
      const post = (topic: string) =>
        http(running, "/publish?user=ada", {
          method: "POST",
          body: JSON.stringify(said(1, topic)),
          headers: { "Content-Type": "application/json" }
        })
      assert.deepStrictEqual([(yield* post("in")).status, (yield* post("out")).status], [403, 200])
    })
  )

  it.live("not join a topic does not see it", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve(options)
      const member = { tryWriteUnsafe: () => "Written" as const, close: () => Effect.void }
      for (const topic of ["in", "out"]) running.hub.joinUnsafe(topic, member)
      const { body } = yield* http(running, "/topics?user=ada")
      assert.deepStrictEqual(body.topics, [{ topic: "in", members: 1 }])
    })
  )
})

describe("GET /topics", () => {
  it.live("has them by name, with their members, a page at a time", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      const ada = yield* HubClient.connect(running.port)
      const bob = yield* HubClient.connect(running.port)
      for (const topic of ["b", "ü", "a"]) yield* HubClient.subscribe(ada, topic)
      yield* HubClient.subscribe(bob, "b")
      const first = yield* http(running, "/topics?limit=2")
      assert.deepStrictEqual(first.body, {
        node: running.hub.broker.node,
        topics: [
          { topic: "a", members: 1 },
          { topic: "b", members: 2 }
        ],
        next: "b",
        silent: []
      })
      const rest = yield* http(running, "/topics?limit=2&after=b")
      assert.deepStrictEqual(rest.body, {
        node: running.hub.broker.node,
        topics: [{ topic: "ü", members: 1 }],
        silent: []
      })
      for (const limit of ["0", "-1", "x", "", "1e3"]) {
        assert.strictEqual((yield* http(running, `/topics?limit=${limit}`)).status, 400)
      }
      assert.strictEqual((yield* http(running, "/topics?limit=999999")).status, 200)
    })
  )

  it.live("is for pages of the origins that may connect, and for reading", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve()
      for (const path of ["/topics", "/topics/t/history", "/topics/t/presence"]) {
        const foreign = yield* http(running, path, { headers: { Origin: "https://elsewhere.example" } })
        assert.deepStrictEqual([foreign.status, foreign.body.error.code], [403, "forbidden-origin"])
        const own = `http://127.0.0.1:${running.port}`
        const allowed = yield* http(running, path, { headers: { Origin: own } })
        assert.deepStrictEqual([allowed.status, allowed.headers.get("access-control-allow-origin")], [200, own])
        assert.strictEqual((yield* http(running, path, { method: "POST" })).status, 405)
      }
    })
  )
})

describe("GET /topics/:topic/history", () => {
  it.live("has what is kept, as it was published, and goes on behind what was read", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve(epoch)
      const ada = yield* HubClient.connect(running.port, "ada")
      for (const data of ["12345678901234567890", "[1e400]", "3"]) {
        ada.say(`{"type":"publish","topic":"a/ü","data":${data},"id":1}`)
        yield* ada.hear
      }
      yield* running.hub.publish("a/ü", "as it is")
      yield* running.hub.publish("a/ü", Uint8Array.of(1, 2))
      yield* running.hub.publish("other", "no")
      const path = `/topics/${encodeURIComponent("a/ü")}/history`
      const first = yield* http(running, `${path}?limit=2`)
      assert.match(
        first.text,
        /^\{"topic":"a\/ü","entries":\[\{"type":"message","topic":"a\/ü","data":12345678901234567890,"from":"ada","time":\d+,"position":"e:1"\},\{"type":"message","topic":"a\/ü","data":\[1e400\],/
      )
      assert.include(first.body, { gap: false, position: "e:2", more: true })
      const second = yield* http(running, `${path}?after=e:2`)
      assert.deepStrictEqual(second.body.entries.slice(1), [
        { text: "as it is", position: "e:4" },
        { base64: "AQI=", position: "e:5" }
      ])
      assert.include(second.body, { gap: false, position: "e:6", more: false })
      const third = yield* http(running, `${path}?after=e:6`)
      assert.deepStrictEqual(third.body, { topic: "a/ü", entries: [], gap: false, position: "e:6", more: false })
    })
  )

  it.live("tells of a gap, and refuses what is no position and no topic", () =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ history: { epoch: "e", maxEntries: 1 } })
      for (const n of [1, 2, 3]) yield* publish(running, said(n))
      const missed = yield* http(running, "/topics/t/history?after=e:1")
      assert.include(missed.body, { gap: true, position: "e:3" })
      assert.strictEqual(missed.body.entries.length, 1)
      for (const [path, code] of [
        ["/topics/t/history?after=3", "bad-message"],
        [`/topics/t/history?after=${"e".repeat(200)}:3`, "bad-message"],
        ["/topics/%24hub/history", "bad-topic"],
        ["/topics/%ff/history", "bad-topic"],
        ["/topics/%/presence", "bad-topic"],
        ["/topics//presence", "bad-topic"],
        [`/topics/${"x".repeat(257)}/history`, "bad-topic"]
      ] as const) {
        const { body, status } = yield* http(running, path)
        assert.deepStrictEqual([path, status, body.error.code], [path, 400, code])
      }
      for (const path of ["/topics/", "/topics/t", "/topics/t/", "/topics/t/history/", "/topics/a/b/history"]) {
        assert.deepStrictEqual([path, (yield* http(running, path)).status], [path, 404])
      }
    })
  )
})

describe("a broker that is away", () => {
  /** A broker whose status, and what it fails with, the test sets. */
  const broken = Effect.gen(function* () {
    const memory = yield* MemoryBroker.make()
    const world = { status: memory.status(), error: undefined as BrokerError | undefined }
    const failing = <A>(effect: Effect.Effect<A, BrokerError>) =>
      Effect.suspend(() => (world.error === undefined ? effect : Effect.fail(world.error)))
    const broker: Broker["Service"] = {
      ...memory,
      name: "test",
      isLocal: false,
      publish: (...args) => failing(memory.publish(...args)),
      since: (...args) => failing(memory.since(...args)),
      status: () => world.status,
      statuses: Stream.never
    }
    return { broker, world }
  })

  const unavailable = new BrokerError({ reason: new Unavailable({ outcome: "NotPublished", cause: "10.0.0.1" }) })

  it.live("is said by /health, which is a 200 as this node still serves", () =>
    Effect.gen(function* () {
      const { broker, world } = yield* broken
      const running = yield* HubServer.serve({ broker })
      const down: Status = { _tag: "Down", since: 0, error: unavailable, attempts: 3 }
      world.status = down
      const { body, status } = yield* http(running, "/health")
      assert.deepStrictEqual(
        [status, body.status, body.node, body.broker],
        [200, "degraded", broker.node, { name: "test", status: "down", since: "1970-01-01T00:00:00.000Z", attempts: 3 }]
      )
      world.status = { _tag: "Connecting" }
      assert.deepInclude((yield* http(running, "/health")).body, {
        status: "degraded",
        broker: { name: "test", status: "connecting" }
      })
    })
  )

  it.live.each([
    [unavailable, 503, "unavailable"],
    [new BrokerError({ reason: new Rejected({ cause: "WRONGPASS 10.0.0.1" }) }), 502, "refused"],
    [new BrokerError({ reason: new TooLarge({ length: 9, limit: 8 }) }), 413, "too-large"],
    [
      new BrokerError({ reason: new StaleKey({ key: { producer: "client:p", epoch: 0, sequence: 0 } }) }),
      409,
      "stale-key"
    ]
  ] as const)("or fails with %s is a status and a code, and nothing of the operator's", ([error, status, code]) =>
    Effect.gen(function* () {
      const { broker, world } = yield* broken
      const running = yield* HubServer.serve({ broker })
      world.error = error
      const ada = yield* HubClient.connect(running.port)
      yield* HubClient.subscribe(ada, "t")
      const answer = yield* publish(running, said(1))
      assert.deepStrictEqual([answer.status, answer.body.error.code], [status, code])
      assert.notMatch(answer.text, /10\.0\.0\.1|client:/)
      assert.strictEqual(answer.body.error.receivers, code === "unavailable" ? 1 : undefined)
      const history = yield* http(running, "/topics/t/history?after=e:1")
      assert.deepStrictEqual([history.status, history.body.error.code], [status, code])
    })
  )
})

it.live("tells its clients where all nodes are that have said so", () =>
  Effect.gen(function* () {
    const running = yield* HubServer.serve({ advertise: "https://one.example.com/" })
    const peer = yield* RawPeer.open(running.port, "/ws")
    assert.deepInclude(yield* HubClient.over(peer).hear, { nodes: ["https://one.example.com/"] })
  })
)
