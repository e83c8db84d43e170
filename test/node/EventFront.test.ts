/** Event streams on sockets of their own: which requests get one, what they see, and that all others see `node:http`. */
import * as http from "node:http"
import { type AddressInfo, Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Origin from "@millrace/core/codec/Origin"
import * as EventFront from "@millrace/node/EventFront"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import { eventually, settled } from "../support/eventually.ts"
import * as RawPeer from "../support/RawPeer.ts"

const head = (...fields: ReadonlyArray<string>) =>
  ["GET /events?topic=a HTTP/1.1", "Host: a", ...fields, "\r\n"].join("\r\n")

const requestOf = (text: string) => EventFront.requestOf(Buffer.from(text, "latin1"), (path) => path === "/events")

const connected = Effect.gen(function* () {
  const running = yield* HubServer.serve({ drain: { window: "1 millis" } })
  return { ...running, peer: yield* RawPeer.connect(running.port) }
})

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Waits until the topic has so many members. */
const members = (running: HubServer.Running, count: number) => eventually(() => running.hub.members("a") === count)

describe("a request", () => {
  it("is taken when it is plain, with the fields that matter", () => {
    const taken = requestOf(
      head("Accept: text/event-stream", "Last-Event-ID: e:1", "Origin: http://a", "User-Agent: x")
    )
    assert.deepStrictEqual(taken, {
      method: "GET",
      url: "/events?topic=a",
      headers: { host: "a", accept: "text/event-stream", "last-event-id": "e:1", origin: "http://a" }
    })
    assert.isDefined(requestOf(head("Connection: Keep-Alive")))
    assert.isDefined(requestOf(head("__proto__: x", "constructor: y")))
  })

  it.each([
    ["of another method", head().replace("GET", "HEAD")],
    ["of HTTP/1.0", head().replace("1.1", "1.0")],
    ["of another path", head().replace("/events", "/eventually")],
    ["for a proxy", head().replace("/events", "http://a/events")],
    ["without a host", head().replace("Host", "Hosts")],
    ["with two hosts", head("Host: b")],
    ["with a field twice", head("Last-Event-ID: 1", "last-event-id: 2")],
    ["with a body", head("Content-Length: 1")],
    ["with chunks", head("Transfer-Encoding: chunked")],
    ["that expects something", head("Expect: 100-continue")],
    ["for an upgrade", head("Connection: Upgrade", "Upgrade: websocket")],
    ["whose connection is something else", head("Connection: x")],
    ["that is not all there", head().slice(0, -1)],
    ["with another one behind it", head() + head()],
    ["that is malformed", head("no colon")],
    ["that is too long", head(`X: ${"x".repeat(10_000)}`)],
    ["that is none", "\r\n\r\n"]
  ])("%s is left", (_, text) => {
    assert.isUndefined(requestOf(text))
  })
})

describe("an event stream on a socket of its own", () => {
  it.live("says in its head what it would through `node:http`, and that it is all there will be", () =>
    Effect.gen(function* () {
      const { peer, port } = yield* connected
      const other = yield* RawPeer.connect(port)
      const own = new Set(["connection", "date", "keep-alive", "transfer-encoding"])
      const fieldsOf = ({ headers }: RawPeer.Head) =>
        headers.map(([name, value]) => [name.toLowerCase(), value] as const).filter(([name]) => !own.has(name))
      const asked = head("Origin: http://a")
      peer.send(asked)
      other.send(asked.slice(0, 20))
      yield* settled
      other.send(asked.slice(20))
      const [ours, theirs] = [yield* peer.head, yield* other.head]
      assert.deepStrictEqual(fieldsOf(ours), fieldsOf(theirs))
      assert.deepStrictEqual([ours.start, theirs.start], ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"])
      assert.deepStrictEqual([ours.header("connection"), theirs.header("connection")], ["close", "keep-alive"])
      assert.match(ours.header("date") ?? "", /^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/)
      assert.strictEqual(ours.header("transfer-encoding"), "chunked")
    })
  )

  it.live("has events in it, and its end when the hub has one; what else the client asks is not heard", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const running = yield* Scope.provide(HubServer.serve({ drain: { window: "1 millis" } }), scope)
      const peer = yield* RawPeer.connect(running.port)
      peer.send(head())
      yield* members(running, 1)
      peer.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
      yield* settled
      yield* running.hub.publish("a", "one")
      yield* settled
      yield* Scope.close(scope, Exit.void)
      yield* peer.head
      const body = (yield* peer.rest).toString()
      assert.match(body, /^4\r\n: \n\n\r\n[\da-f]+\r\nid: \S+\n\n\r\n[\da-f]+\r\nid: \S+\ndata: one\n\n\r\n0\r\n\r\n$/)
    })
  )

  it.live.each(["ends its side", "resets"])("leaves its topics when the client %s", (how) =>
    Effect.gen(function* () {
      const { peer, ...running } = yield* connected
      peer.send(head())
      yield* members(running, 1)
      if (how === "resets") peer.reset()
      else peer.socket.end()
      yield* members(running, 0)
      const health = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${running.port}/health`).then((one) => one.json())
      )
      assert.include(health, { connections: 0 })
    })
  )
})

describe.each([
  ["a socket of its own", [head()]],
  ["`node:http`", [head().slice(0, 9), head().slice(9)]]
] as const)("an event stream of a hub on %s", (_, pieces) => {
  it.effect.each([
    ["keeps its side open", "75 seconds"],
    // As `Socket.end` of Node.js: what was to be read can still be, for the 5 s that any end has.
    ["ends its side", "25 seconds"]
  ] as const)("is cut when its client reads nothing and %s, though there is room in its outbox", ([how, within]) =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({ drain: { window: "1 millis" }, limits: { outboxBytes: 1_000_000_000 } })
      const peer = yield* RawPeer.connect(running.port)
      peer.socket.pause()
      for (const piece of pieces) {
        peer.send(piece)
        yield* settled
      }
      yield* members(running, 1)
      for (let i = 0; i < 200; i++) {
        yield* running.hub.publish("a", "x".repeat(100_000))
        yield* turn
      }
      if (how === "ends its side") {
        peer.socket.end()
        yield* settled
      } else {
        yield* TestClock.adjust("50 seconds")
        yield* settled
        assert.strictEqual(running.hub.members("a"), 1)
      }
      yield* TestClock.adjust(within)
      yield* members(running, 0)
    })
  )
})

/** A server whose event streams are on their sockets, and somebody who has asked for one. */
const asked = (options: NodeEventStream.Options & NodeEventStream.ResponseOptions) =>
  Effect.gen(function* () {
    const streams = yield* NodeEventStream.make(options)
    const thrown: Array<unknown> = []
    const server = http.createServer((_, response) => response.end("node"))
    EventFront.divert(server, {
      patience: 10_000,
      isServed: () => true,
      serve: (request, socket, hand) => {
        try {
          if (streams.openSocketUnsafe(request, socket, options) === undefined) hand()
        } catch (error) {
          thrown.push((error as NodeJS.ErrnoException).code)
          hand()
        }
      }
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
    )
    const peer = yield* RawPeer.connect((server.address() as AddressInfo).port)
    peer.send(head())
    return { peer, thrown }
  })

describe("an event stream on a socket", () => {
  it.live.each([
    ["name", "X\r\nY", "z", "ERR_INVALID_HTTP_TOKEN"],
    ["value", "X", "y\r\nZ: z", "ERR_INVALID_CHAR"],
    // In Latin-1 these would be CR and LF.
    ["value", "X", "y\u010d\u010aZ: z", "ERR_INVALID_CHAR"]
  ] as const)(
    "has no field whose %s is none: nothing is written, and the caller has the error",
    ([, name, value, code]) =>
      Effect.gen(function* () {
        const { peer, thrown } = yield* asked({ headers: [[name, value]] })
        const { header, status } = yield* peer.head
        assert.deepStrictEqual([status, header("content-type"), header("z")], [200, undefined, undefined])
        assert.deepStrictEqual(thrown, [code])
        peer.reset()
      })
  )

  it.live("is written to also by a fiber that yields between looking for room and waiting for it", () =>
    Effect.gen(function* () {
      const streams = yield* NodeEventStream.make()
      // Whatever is written has left at the end of the turn.
      const socket = new Socket()
      socket._writev = (_, done) => process.nextTick(done)
      socket._write = (_, __, done) => process.nextTick(done)
      const opened = streams.openSocketUnsafe({ headers: {} }, socket)!
      for (let operations = 3; operations < 9; operations++) {
        yield* Effect.forEach(
          Array.from({ length: 50 }, () => "x".repeat(socket.writableHighWaterMark)),
          (text) => opened.send(text),
          { discard: true }
        ).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations))
      }
      opened.cut()
    })
  )

  it.live("is no answer where GET is no method", () =>
    Effect.gen(function* () {
      const { peer } = yield* asked({ methods: ["POST"] })
      assert.isUndefined((yield* peer.head).header("content-type"))
      peer.reset()
    })
  )
})

/** The answer as far as it has come, without what says which of the two has given it. */
const said = (bytes: Buffer) => {
  const [head = "", ...body] = bytes.toString("latin1").split("\r\n\r\n")
  const own = /^(connection|content-length|date|keep-alive|transfer-encoding):/i
  const [status, ...fields] = head.split("\r\n").filter((line) => !own.test(line))
  const lower = fields.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase()))
  // Where a chunk ends is nobody's business.
  return [status, ...lower.sort(), body.join("").replaceAll(/^[\da-f]+\r\n|\r\n(?=$|[\da-f]+\r\n)/gm, "")]
}

describe("who asks at once and who asks in pieces", () => {
  const targets = [
    "/events?topic=a",
    "/events?topic=a&topic=a&topic=b",
    "/events",
    "/events?",
    "/events?topic=",
    "/events?topic=%0d%0adata:x",
    "/events?topic=%ff",
    "/events?topic=a#b",
    "/events#b?topic=a",
    "/events?topic=a?topic=b",
    "/events/?topic=a",
    "//events?topic=a",
    "/%65vents?topic=a",
    `/events?topic=${"x".repeat(300)}`,
    `/events?${Array.from({ length: 200 }, (_, i) => `topic=${i}`).join("&")}`,
    "/events?topic=a&lastEventId=epoch:0",
    "/events?topic=a&lastEventId=x%0d%0ay:1",
    "/.well-known/mercure?topic=a&last_event_id=earliest",
    "/.well-known/mercure?topic=a&last_event_id=x%0d%0aX-Y:%20z:1",
    "http://a/events?topic=a",
    "*"
  ].map((target) => head().replace("/events?topic=a", target))
  const fields = [
    "Origin: http://a",
    "Origin:http://a\t",
    "Origin: http://b",
    "Origin: null",
    "Origin:",
    "Origin: http://a, http://b",
    "Origin: HTTP://A:80",
    "Last-Event-ID: epoch:0",
    "Last-Event-ID: epoch:9",
    "Last-Event-ID: \u00ff\u0080",
    "Last-Event-ID: a\tb",
    "Last-Event-ID: a\0b",
    "Last-Event-ID: a\rdata: x",
    "Accept: text/html",
    "Accept: text/event-stream;q=0",
    "Accept:",
    "X: y\r\n folded",
    "X: y\nZ: z",
    "X : y",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Content-Length: 0\r\nContent-Length: 1",
    "Expect: x",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    "Host: b",
    `X: ${"y".repeat(9_000)}`,
    `X: ${"y".repeat(70_000)}`
  ].map((field) => head(field))
  const lines = ["get", "HEAD", "OPTIONS", "POST", "QUERY"].map((method) => head().replace("GET", method))
  const rest = [
    head().replace("HTTP/1.1", "HTTP/1.0"),
    head().replace("HTTP/1.1", "HTTP/1.2"),
    head().replace("Host: a", "Host:"),
    head().replace("Host: a", "Host: a b"),
    head("Origin: http://b").replace("Host: a", "Host: b"),
    head().replaceAll("\r\n", "\n"),
    `\r\n${head()}`,
    `${head().slice(0, -2)}\r\r\n`
  ]

  it.live.each([["same"], ["any"]] as const)("get the same answer: %s origin", ([policy]) =>
    Effect.gen(function* () {
      const running = yield* HubServer.serve({
        drain: { window: "1 millis" },
        origin: policy === "any" ? Origin.any : Origin.sameOrigin,
        history: { epoch: "epoch" }
      })
      for (const text of ["one", "two"]) yield* running.hub.publish("a", text)
      const asked = (text: string, pieces: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          const { socket } = yield* RawPeer.connect(running.port)
          const received: Array<Buffer> = []
          socket.on("data", (chunk: Buffer) => received.push(chunk))
          let from = 0
          for (const to of [...pieces, text.length]) {
            socket.write(Buffer.from(text.slice(from, to), "latin1"))
            from = to
            yield* settled
          }
          let length = 0
          // Until nothing more comes.
          while (length === 0 || length < Buffer.concat(received).length) {
            length = Buffer.concat(received).length
            yield* settled
            yield* settled
          }
          socket.destroy()
          return said(Buffer.concat(received))
        }).pipe(Effect.scoped)
      for (const text of [...targets, ...fields, ...lines, ...rest]) {
        assert.deepStrictEqual(yield* asked(text, []), yield* asked(text, [9]), JSON.stringify(text.slice(0, 200)))
      }
    })
  )
})

describe("any other answer comes from `node:http`", () => {
  it.live.each([
    [400, head().replace("topic=a", "")],
    [403, head("Origin: http://evil")],
    [406, head("Accept: text/html")],
    [405, head().replace("GET", "PUT")],
    [200, head().replace("/events?topic=a", "/health")],
    [200, head().replace("GET", "HEAD")],
    [200, head("Content-Length: 0")],
    [400, head("no colon")]
  ] as const)("%s", ([status, text]) =>
    Effect.gen(function* () {
      const { peer } = yield* connected
      peer.send(text)
      assert.strictEqual((yield* peer.head).status, status)
    })
  )

  it.live("to two requests that come together, one behind the other", () =>
    Effect.gen(function* () {
      const { peer } = yield* connected
      const health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
      peer.send(health + health)
      for (let i = 0; i < 2; i++) {
        const { header, status } = yield* peer.head
        assert.strictEqual(status, 200)
        yield* peer.bytes(Number(header("content-length")))
      }
      // The connection was handed over, and stays so.
      peer.send(head())
      assert.strictEqual((yield* peer.head).header("connection"), "keep-alive")
    })
  )

  it.live("and who says nothing is cut", () =>
    Effect.gen(function* () {
      const server = http.createServer((_, response) => response.end("node"))
      EventFront.divert(server, { patience: 20, isServed: () => true, serve: (_, __, hand) => hand() })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const { port } = server.address() as AddressInfo
      const mute = yield* RawPeer.connect(port)
      assert.strictEqual((yield* mute.rest).toString(), "")
      const other = yield* RawPeer.connect(port)
      other.send(head("Connection: close"))
      assert.include((yield* other.rest).toString(), "\r\n\r\nnode")
    })
  )
})
