/** `millrace serve` as a process, to clients that know docs/protocol.md and nothing else. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { server, shared } from "../../support/command.ts"
import { eventually } from "../../support/eventually.ts"
import { encode, frame } from "../../support/frames.ts"
import * as HubClient from "../../support/hubClient.ts"
import { prototypeNames } from "../../support/handshake.ts"
import * as RawPeer from "../../support/RawPeer.ts"

const hub = shared(server("serve"))

const http = (path: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${hub().port}${path}`, init)
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

const publish = (body: string | Uint8Array<ArrayBuffer>, type = "application/json") =>
  http("/publish", { method: "POST", body, headers: { "Content-Type": type } })

const anyPosition: unknown = expect.stringMatching(/^[\w-]{8}:\d+$/)

/** What a client that asks for its frames is told first. */
const welcomeOf = (port: number) =>
  Effect.flatMap(RawPeer.open(port, "/ws?frames=1"), (peer) => HubClient.over(peer).hear)

/** Status and code of a refusal. */
const refusal = ({ status, body }: { readonly status: number; readonly body: string }) => [
  status,
  (JSON.parse(body) as { readonly error: { readonly code: string } }).error.code
]

/** The status of a request of each of the two. */
const served = ({ port }: { readonly port: number }) =>
  Effect.promise(() =>
    Promise.all(
      ["/cable", "/socket.io/?EIO=4&transport=polling"].map(async (path) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`)
        await response.text()
        return response.status
      })
    )
  )

it.live("serves clients of Action Cable and of Socket.IO, each where nobody says otherwise", () =>
  Effect.gen(function* () {
    expect(yield* served(yield* server("serve", "--no-cable"))).toEqual([404, 200])
    expect(yield* served(yield* server("serve", "--no-socketio"))).toEqual([426, 404])
  })
)

it.live("says in one line where it is", () =>
  Effect.sync(() => {
    const { command, port } = hub()
    expect(command.stdout).toBe(
      `millrace: the hub is at http://localhost:${port}/ (WebSocket ws://localhost:${port}/ws); Ctrl-C ends it\n`
    )
  })
)

describe("by HTTP", () => {
  it.live.each([
    ["/", "index.html", "text/html; charset=utf-8"],
    ["/?topic=lobby", "index.html", "text/html; charset=utf-8"],
    ["/base.css", "base.css", "text/css; charset=utf-8"],
    ["/console.js", "console.js", "text/javascript; charset=utf-8"],
    ["/members.js", "members.js", "text/javascript; charset=utf-8"]
  ] as const)("GET %s is a file of the page, which may load nothing but the others", ([path, name, type]) =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* http(path)
      const file = readFileSync(fileURLToPath(import.meta.resolve(`@millrace/browser/console/${name}`)), "utf8")
      expect([status, headers.get("Content-Type"), body === file]).toEqual([200, type, true])
      const policy = headers.get("Content-Security-Policy")?.split("; ")
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("script-src 'self'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy?.join()).not.toMatch(/unsafe|\*/)
      expect(headers.get("X-Content-Type-Options")).toBe("nosniff")
    })
  )

  it.live("HEAD is GET without the body", () =>
    Effect.gen(function* () {
      for (const path of ["/", "/health", "/nothing"]) {
        const got = yield* http(path)
        const peer = yield* RawPeer.connect(hub().port)
        peer.send(`HEAD ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        const head = yield* peer.head
        expect([head.status, head.header("Content-Type")]).toEqual([got.status, got.headers.get("Content-Type")])
        if (path !== "/health") expect(head.header("Content-Length")).toBe(`${Buffer.byteLength(got.body)}`)
        expect((yield* peer.rest).length).toBe(0)
      }
    })
  )

  it.live("takes a target that is a whole URL for the path in it", () =>
    Effect.gen(function* () {
      for (const [target, status] of [
        ["http://localhost/health?x", 200],
        ["http://localhost", 200],
        ["http://localhost/nothing", 404],
        ["http://localhost/a/../health", 404],
        ["health", 400],
        ["*", 404]
      ] as const) {
        const peer = yield* RawPeer.connect(hub().port)
        const method = target === "*" ? "OPTIONS" : "GET"
        peer.send(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        expect([target, (yield* peer.head).status]).toEqual([target, status])
      }
      expect((yield* statusOf("http://localhost/ws")).status).toBe(101)
      expect((yield* statusOf("http://localhost/a/../ws")).status).toBe(404)
    })
  )

  it.live("a path that is not there is 404, another method 405 with what is allowed, a plain /ws 426", () =>
    Effect.gen(function* () {
      expect(refusal(yield* http("/nothing"))).toEqual([404, "not-found"])
      expect(refusal(yield* http("/ws/"))).toEqual([404, "not-found"])
      expect(refusal(yield* http("/index.html"))).toEqual([404, "not-found"])
      for (const [path, method, allow] of [
        ["/", "POST", "GET, HEAD"],
        ["/console.js", "DELETE", "GET, HEAD"],
        ["/health", "PUT", "GET, HEAD"],
        ["/publish", "GET", "POST"],
        ["/publish", "PUT", "POST"]
      ] as const) {
        const answer = yield* http(path, { method })
        expect([...refusal(answer), answer.headers.get("Allow")]).toEqual([405, "method-not-allowed", allow])
      }
      const plain = yield* http("/ws")
      expect([...refusal(plain), plain.headers.get("Upgrade")]).toEqual([426, "upgrade-required", "websocket"])
    })
  )

  it.live("/health counts connections and topics, and the seconds since the start", () =>
    Effect.gen(function* () {
      const health = Effect.map(http("/health"), ({ body }) => JSON.parse(body))
      expect(yield* health).toEqual({
        status: "ok",
        connections: 0,
        topics: 0,
        uptime: expect.any(Number),
        node: expect.stringMatching(/^[\w-]{22}$/),
        broker: { name: "memory", status: "up", since: expect.stringMatching(/^\d{4}-.*Z$/) },
        slow: { dropped: 0, coalesced: 0, disconnected: 0, suspended: 0 }
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const ada = yield* HubClient.connect(hub().port)
          yield* HubClient.connect(hub().port)
          yield* HubClient.subscribe(ada, "one")
          yield* HubClient.subscribe(ada, "two")
          expect(yield* health).toMatchObject({ connections: 2, topics: 2 })
        })
      )
      // Who vanishes leaves its topics.
      let now: unknown
      yield* Effect.repeat(
        Effect.tap(health, (value) => Effect.sync(() => (now = value))),
        { until: ({ connections, topics }) => connections === 0 && topics === 0, times: 1_000 }
      )
      expect(now).toMatchObject({ connections: 0, topics: 0 })
    })
  )
})

describe("POST /publish", () => {
  it.live("reaches who is subscribed, and says how many they are", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      const bob = yield* HubClient.connect(hub().port)
      yield* HubClient.subscribe(ada, "tea")
      yield* HubClient.subscribe(bob, "tea")
      const before = Date.now()
      const { body, headers, status } = yield* publish('{"topic":"tea","data":"is ready","more":1}')
      expect([status, JSON.parse(body), headers.get("Content-Type")]).toEqual([
        200,
        { receivers: 2, position: anyPosition },
        "application/json"
      ])
      for (const client of [ada, bob]) {
        const heard = yield* client.hear
        expect(heard).toEqual({
          type: "message",
          topic: "tea",
          data: "is ready",
          from: "@http",
          time: expect.any(Number),
          position: anyPosition
        })
        expect(heard["time"]).toBeGreaterThanOrEqual(before)
        expect(heard["time"]).toBeLessThanOrEqual(Date.now())
      }
      expect(
        JSON.parse((yield* publish('{"topic":"nobody","data":null}', "Application/JSON; charset=utf-8")).body)
      ).toEqual({ receivers: 0, position: anyPosition })
    })
  )

  it.live.each([
    ["", 400, "bad-json"],
    ["{", 400, "bad-json"],
    [Uint8Array.of(0x22, 0xff, 0x22), 400, "bad-json"],
    ["[]", 400, "bad-message"],
    ['{"topic":"t"}', 400, "bad-message"],
    ['{"topic":7,"data":1}', 400, "bad-message"],
    ['{"topic":"","data":1}', 400, "bad-topic"],
    ['{"topic":"$hub","data":1}', 400, "bad-topic"],
    [`{"topic":"${"é".repeat(129)}","data":1}`, 400, "bad-topic"],
    [`{"topic":"t","data":${"[".repeat(64)}${"]".repeat(64)}}`, 400, "too-deep"]
  ] as const)("refuses %j with %i and %s", ([body, status, code]) =>
    Effect.map(publish(body as string), (answer) => expect(refusal(answer)).toEqual([status, code]))
  )

  it.live("refuses with 415 what a foreign page could send without asking", () =>
    Effect.gen(function* () {
      for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]) {
        expect(refusal(yield* publish('{"topic":"t","data":1}', type))).toEqual([415, "unsupported-media-type"])
      }
    })
  )

  it.live("refuses with 415 what it would have to decode first", () =>
    Effect.gen(function* () {
      const body = '{"topic":"t","data":1}'
      const type = "application/json; charset=utf-16"
      expect(refusal(yield* publish(body, type))).toEqual([415, "unsupported-media-type"])
      const headers = { "Content-Type": "application/json", "Content-Encoding": "gzip" }
      expect(refusal(yield* http("/publish", { method: "POST", body, headers }))).toEqual([
        415,
        "unsupported-media-type"
      ])
    })
  )

  it.live("refuses a body of more than 1 MiB with 413, before it is there when its length is known", () =>
    Effect.gen(function* () {
      const fits = `{"topic":"t","data":"${"x".repeat(1_048_576 - 23)}"}`
      expect(fits.length).toBe(1_048_576)
      expect((yield* publish(fits)).status).toBe(200)
      const announced = yield* RawPeer.connect(hub().port)
      announced.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n"
      )
      expect((yield* announced.head).status).toBe(413)
      const chunked = yield* RawPeer.connect(hub().port)
      chunked.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      )
      for (let i = 0; i < 17; i++) chunked.send(`10000\r\n${" ".repeat(0x10000)}\r\n`)
      expect((yield* chunked.head).status).toBe(413)
    })
  )

  it.live("answers a body that is too long once, though its last bytes are there and it is not UTF-8", () =>
    Effect.gen(function* () {
      const peer = yield* RawPeer.connect(hub().port)
      peer.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
      )
      peer.send("100000\r\n")
      peer.send(new Uint8Array(0x100000).fill(0xff))
      peer.send("\r\n")
      yield* eventually(() => peer.socket.writableLength === 0)
      peer.send("1\r\nx\r\n0\r\n\r\n")
      expect((yield* peer.head).status).toBe(413)
      yield* peer.rest
      expect((yield* publish('{"topic":"t","data":1}')).status).toBe(200)
    })
  )

  it.live("survives a client that goes away in the middle of a body", () =>
    Effect.gen(function* () {
      for (const leave of ["end", "resetAndDestroy"] as const) {
        const peer = yield* RawPeer.connect(hub().port)
        peer.send(
          "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        yield* eventually(() => peer.socket.bytesWritten > 0)
        peer.socket[leave]()
        yield* peer.rest
      }
      expect((yield* publish('{"topic":"t","data":1}')).status).toBe(200)
    })
  )
})

/** What an attempt to open a WebSocket is answered with. */
const statusOf = (target: string, fields?: Readonly<Record<string, string | undefined>>, port = hub().port) =>
  Effect.gen(function* () {
    const peer = yield* RawPeer.connect(port)
    peer.send(RawPeer.upgradeRequest(target, fields))
    const head = yield* peer.head
    const body = head.status === 101 ? "" : (yield* peer.rest).toString()
    return { status: head.status, header: head.header, body }
  })

describe("the handshake", () => {
  it.live("selects millrace.v1.json when it is offered, and serves the same when it is not", () =>
    Effect.gen(function* () {
      for (const [offered, chosen] of [
        ["millrace.v1.json", "millrace.v1.json"],
        ["other, millrace.v1.json", "millrace.v1.json"],
        ["other", undefined],
        [undefined, undefined]
      ] as const) {
        const peer = yield* RawPeer.connect(hub().port)
        peer.send(RawPeer.upgradeRequest("/ws", { "Sec-WebSocket-Protocol": offered }))
        const head = yield* peer.head
        expect([head.status, head.header("Sec-WebSocket-Protocol")]).toEqual([101, chosen])
        expect(yield* HubClient.over(peer).hear).toMatchObject({ type: "welcome", protocol: 1 })
      }
    })
  )

  it.live("takes a name, and invents one for who brings none", () =>
    Effect.gen(function* () {
      for (const name of ["ada", "Zoë 🌊", "🌊".repeat(64), "__proto__", "a@b"]) {
        const peer = yield* RawPeer.open(hub().port, `/ws?name=${encodeURIComponent(name)}`)
        expect(yield* HubClient.over(peer).hear).toEqual({
          type: "welcome",
          client: name,
          protocol: 1,
          node: expect.stringMatching(/^[\w-]{22}$/)
        })
      }
      const names = new Set<unknown>()
      for (let i = 0; i < 5; i++)
        names.add((yield* HubClient.over(yield* RawPeer.open(hub().port, "/ws")).hear)["client"])
      expect(names.size).toBe(5)
      for (const name of names) expect(name).toMatch(/^[\w-]{12,}$/)
    })
  )

  it.live.each(["", "@http", "a%0Ab", "%C2%80", "x".repeat(65)])("refuses the name %j with 400", (name) =>
    Effect.map(statusOf(`/ws?name=${name}`), (answer) => {
      expect(refusal(answer)).toEqual([400, "bad-name"])
      expect(answer.header("Content-Type")).toBe("application/json")
    })
  )

  it.live("lets in pages of its own, and programs; a foreign page gets 403", () =>
    Effect.gen(function* () {
      const host = `127.0.0.1:${hub().port}`
      expect((yield* statusOf("/ws", { Host: host, Origin: `http://${host}` })).status).toBe(101)
      expect((yield* statusOf("/ws", { Host: host })).status).toBe(101)
      for (const origin of [
        "https://elsewhere.example",
        `http://${host}.evil`,
        `http://${host}0`,
        "http://127.0.0.1",
        `http://evil.example#${host}`,
        `http://${host}@evil.example`,
        "null",
        ""
      ]) {
        expect([origin, (yield* statusOf("/ws", { Host: host, Origin: origin })).status]).toEqual([origin, 403])
      }
    })
  )

  it.live("--allow-origin lets in the pages it names, and no others", () =>
    Effect.gen(function* () {
      const { port } = yield* server(
        "serve",
        "--allow-origin",
        "https://app.example.com",
        "--allow-origin",
        "https://*.example.org"
      )
      const statuses = []
      for (const Origin of [
        "https://app.example.com",
        "https://a.b.example.org",
        "https://example.org",
        "https://evilexample.org",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil"
      ]) {
        statuses.push((yield* statusOf("/ws", { Origin }, port)).status)
      }
      expect(statuses).toEqual([101, 101, 403, 403, 403, 403, 403])
      expect((yield* statusOf("/ws", {}, port)).status).toBe(101)
    })
  )
})

describe("the conversation", () => {
  it.live("is told with what it may look at its frames, if it asks and --no-frames does not say otherwise", () =>
    Effect.gen(function* () {
      const { frames } = yield* welcomeOf(hub().port)
      expect(frames).toMatch(/^[\w-]{22}$/)
      const looked = yield* Effect.promise(async () => {
        const left = new AbortController()
        const { status } = await fetch(`http://127.0.0.1:${hub().port}/frames?connection=${frames}`, left)
        left.abort()
        return status
      })
      expect(looked).toBe(200)
      const other = yield* server("serve", "--no-frames")
      expect(yield* welcomeOf(other.port)).not.toHaveProperty("frames")
    })
  )

  it.live("between two clients: subscribe, publish, unsubscribe, each answered in order, with its id", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port, "ada")
      const bob = yield* HubClient.connect(hub().port, "bob")
      ada.say({ type: "subscribe", topic: "lobby", id: "s1" })
      expect(yield* ada.hear).toEqual({ type: "subscribed", topic: "lobby", position: anyPosition, id: "s1" })
      bob.say({ type: "subscribe", topic: "lobby" })
      expect(yield* bob.hear).toEqual({ type: "subscribed", topic: "lobby", position: anyPosition })
      ada.say({ type: "publish", topic: "lobby", data: { text: "hello" }, id: 0 })
      const message = {
        type: "message",
        topic: "lobby",
        data: { text: "hello" },
        from: "ada",
        time: expect.any(Number),
        position: anyPosition
      }
      const heard = [yield* ada.hear, yield* ada.hear].sort((a, b) => a.type.localeCompare(b.type))
      expect(heard).toEqual([
        message,
        { type: "published", topic: "lobby", id: 0, receivers: 2, position: anyPosition }
      ])
      expect(yield* bob.hear).toEqual(message)
      // Without an id nothing is answered, and after `unsubscribed` nothing comes.
      bob.say({ type: "unsubscribe", topic: "lobby", id: -1 })
      expect(yield* bob.hear).toEqual({ type: "unsubscribed", topic: "lobby", id: -1 })
      bob.say({ type: "unsubscribe", topic: "lobby", id: null })
      expect(yield* bob.hear).toEqual({ type: "unsubscribed", topic: "lobby" })
      bob.say({ type: "publish", topic: "lobby", data: null })
      bob.say({ type: "ping", id: "é".repeat(64) })
      expect(yield* bob.hear).toEqual({ type: "pong", id: "é".repeat(64) })
      expect(yield* ada.hear).toMatchObject({ type: "message", data: null, from: "bob" })
      // It is safe to repeat.
      ada.say({ type: "subscribe", topic: "lobby" })
      expect(yield* ada.hear).toEqual({ type: "subscribed", topic: "lobby" })
      bob.say({ type: "publish", topic: "lobby", data: "once", id: 1 })
      expect(yield* bob.hear).toEqual({ type: "published", topic: "lobby", id: 1, receivers: 1, position: anyPosition })
      expect(yield* ada.hear).toMatchObject({ data: "once" })
    })
  )

  it.live("passes data on as it was written", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      yield* HubClient.subscribe(ada, "raw")
      for (const data of [
        "12345678901234567890",
        "[1.50,1e400,-0]",
        '{"a":1,"a":2,"\\u0062":"\\ud83c\\udf0a"}',
        '"\\u2028"'
      ]) {
        ada.say(`{"type":"publish","topic":"raw","data":${data}}`)
        expect(yield* ada.hearText).toContain(`"data":${data},"from"`)
      }
      ada.say('{"type":"publish","topic":"raw","data":{\n\t"a": 1\r\n}}')
      expect(yield* ada.hearText).toContain('"data":{  "a": 1  },')
    })
  )

  it.live("keeps topics apart, those that are named like properties of every object among them", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      const bob = yield* HubClient.connect(hub().port)
      for (const topic of prototypeNames) {
        bob.say({ type: "publish", topic, data: 1, id: topic })
        expect(yield* bob.hear).toMatchObject({ type: "published", receivers: 0 })
        yield* HubClient.subscribe(ada, topic)
        bob.say({ type: "publish", topic, data: topic, id: topic })
        expect(yield* bob.hear).toMatchObject({ type: "published", topic, receivers: 1 })
        expect(yield* ada.hear).toMatchObject({ type: "message", topic, data: topic })
      }
    })
  )

  it.live("refuses a message with a code and its id, and goes on", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      const refused: ReadonlyArray<readonly [text: string, code: string, id?: string | number]> = [
        ["hello", "bad-json"],
        ["", "bad-json"],
        ['"hello"', "bad-message"],
        ["[]", "bad-message"],
        ["null", "bad-message"],
        ['{"id":1}', "bad-message", 1],
        ['{"type":"subscribe","id":1}', "bad-message", 1],
        ['{"type":"publish","topic":"t","id":1}', "bad-message", 1],
        ['{"type":"ping","id":1.5}', "bad-message"],
        ['{"type":"ping","id":9007199254740992}', "bad-message"],
        [`{"type":"ping","id":"${"x".repeat(65)}"}`, "bad-message"],
        ['{"type":"shout","id":"a"}', "unknown-type", "a"],
        ['{"type":"constructor","id":"a"}', "unknown-type", "a"],
        ['{"type":"subscribe","topic":"","id":2}', "bad-topic", 2],
        ['{"type":"subscribe","topic":"$hub","id":2}', "bad-topic", 2],
        ['{"type":"subscribe","topic":"a\\u0000b","id":2}', "bad-topic", 2],
        ['{"type":"subscribe","topic":"\\ud800","id":2}', "bad-topic", 2],
        [`{"type":"subscribe","topic":"${"é".repeat(129)}","id":2}`, "bad-topic", 2],
        [`{"type":"publish","topic":"t","data":${"[".repeat(64)}${"]".repeat(64)}}`, "too-deep"],
        ["[".repeat(100_000), "too-deep"]
      ]
      for (const [text, code, id] of refused) {
        ada.say(text)
        const { type, message, ...rest } = yield* ada.hear
        expect([text.slice(0, 80), type, rest]).toEqual([
          text.slice(0, 80),
          "error",
          id === undefined ? { code } : { code, id }
        ])
        expect(message).toMatch(/./)
      }
      ada.peer.sendFrame(2, '{"type":"ping"}')
      expect(yield* ada.hear).toMatchObject({ type: "error", code: "binary" })
      ada.say({ type: "ping" })
      expect(yield* ada.hear).toEqual({ type: "pong" })
    })
  )

  it.live("lets a connection subscribe to 128 topics at a time", () =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      for (let i = 0; i < 128; i++) ada.say({ type: "subscribe", topic: `topic ${i}` })
      for (let i = 0; i < 128; i++) expect(yield* ada.hear).toMatchObject({ type: "subscribed", topic: `topic ${i}` })
      ada.say({ type: "subscribe", topic: "one more", id: 1 })
      expect(yield* ada.hear).toMatchObject({ type: "error", code: "too-many-topics", id: 1 })
      yield* HubClient.subscribe(ada, "topic 0")
      ada.say({ type: "unsubscribe", topic: "topic 0" })
      yield* ada.hear
      yield* HubClient.subscribe(ada, "one more")
    })
  )

  it.live.each([
    [1002, "an unmasked frame", encode(frame(1, Buffer.from("{}")))],
    [1007, "text that is not UTF-8", encode(frame(1, Uint8Array.of(0x22, 0xc0, 0x22)), 1)],
    [1009, "a message of more than 1 MiB", encode(frame(1, new Uint8Array(1_048_577)), 1).subarray(0, 14)]
  ] as const)("ends with %i after %s", ([code, , bytes]) =>
    Effect.gen(function* () {
      const ada = yield* HubClient.connect(hub().port)
      ada.say({ type: "ping" })
      ada.peer.send(bytes)
      expect(yield* ada.hear).toEqual({ type: "pong" })
      expect(yield* ada.peer.closeCode).toBe(code)
    })
  )
})

describe("a client that does not read", () => {
  it.live("is disconnected with 1013 and without a hole; nobody else notices", () =>
    Effect.gen(function* () {
      const slow = yield* HubClient.connect(hub().port, "slow")
      const fast = yield* HubClient.connect(hub().port, "fast")
      const ada = yield* HubClient.connect(hub().port, "ada")
      yield* HubClient.subscribe(slow, "flood")
      yield* HubClient.subscribe(fast, "flood")
      slow.peer.socket.pause()
      const data = "x".repeat(250_000)
      let sent = 0
      let receivers: unknown = 2
      // The network takes some megabytes before the hub has to keep anything.
      while (receivers === 2 && sent < 200) {
        ada.say({ type: "publish", topic: "flood", data: { n: sent, data }, id: sent })
        const published = yield* ada.hear
        expect(published).toMatchObject({ type: "published", id: sent })
        receivers = published["receivers"]
        const heard = yield* fast.hear
        expect((heard["data"] as { readonly n: number }).n).toBe(sent++)
      }
      expect(receivers).toBe(1)
      slow.peer.socket.resume()
      // All that it was handed, in order, and then why it ends.
      for (let n = 0; n < sent - 1; n++) expect(((yield* slow.hear)["data"] as { readonly n: number }).n).toBe(n)
      expect(yield* slow.peer.closeCode).toBe(1013)
      ada.say({ type: "publish", topic: "flood", data: { n: -1 } })
      expect(yield* fast.hear).toMatchObject({ data: { n: -1 } })
    })
  )
})

describe("a signal", () => {
  it.live("closes every connection with 1001, and the exit code is 0, also with a request under way", () =>
    Effect.gen(function* () {
      const { command, port } = yield* server("serve")
      const clients = []
      for (let i = 0; i < 3; i++) {
        const client = yield* HubClient.connect(port)
        yield* HubClient.subscribe(client, "lobby")
        clients.push(client)
      }
      const posting = yield* RawPeer.connect(port)
      posting.send(
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
      )
      command.signal("SIGTERM")
      for (const { peer } of clients) {
        expect(yield* peer.closeCode).toBe(1001)
        peer.sendFrame(8, Uint8Array.of(0x03, 0xe9))
        yield* peer.rest
      }
      yield* posting.rest
      expect(yield* command.end).toMatchObject({ code: 0, stderr: "" })
    })
  )
})
