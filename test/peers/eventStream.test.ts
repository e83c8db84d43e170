/**
 * Clients that know nothing of ours at our event streams: they say what arrived, are cut in the middle, and come back
 * for the rest.
 */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import { spawn } from "node:child_process"
import * as http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { EventSource as NpmEventSource } from "eventsource"
import type { Browser } from "playwright-core"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Printable } from "@millrace/core/codec/EventStream"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"

/** What an event is, to a client. */
interface Heard {
  readonly type: string
  readonly data: string
  readonly lastEventId: string
}

const total = 20

/** What makes a difference: lines, an empty one, other languages, what looks like a field. */
const texts = ["one", "two\nlines", "", " a space", "größe 🌊", "data: no\nid: no", "\n\n"]

const eventAt = (n: number): Printable => {
  const data = texts[n % texts.length]!
  return n % 3 === 0 ? { id: `ü${n}`, event: "third", data } : { id: `ü${n}`, data }
}

const expected: ReadonlyArray<Heard> = Array.from({ length: total }, (_, i) => {
  const { data = "", event = "message", id = "" } = eventAt(i + 1)
  return { type: event, data, lastEventId: id }
})

interface Server {
  readonly url: string
  /** The last event IDs that were asked with. */
  readonly asked: ReadonlyArray<string>
}

/** Says `total` events, cuts each client twice in the middle, and tells it to stay away at the end. */
const serve: Effect.Effect<Server, never, Scope.Scope> = Effect.gen(function* () {
  const streams = yield* NodeEventStream.make({ retry: "1 millis" })
  const asked: Array<string> = []
  const server = http.createServer((request, response) => {
    if (request.url !== "/events") return void response.writeHead(200, { "Content-Type": "text/html" }).end("<p>here")
    const from = Number(NodeEventStream.requestOf(request).lastEventId.slice(1))
    if (from === total) return void response.writeHead(204).end()
    const events = ({ lastEventId }: NodeEventStream.EventStreamRequest) => {
      asked.push(lastEventId)
      const to = Math.min(from + 8, total)
      const some = Stream.map(Stream.range(from + 1, to), eventAt)
      // The second time in the middle of an event, with a reset.
      return from !== 8 ? some : Stream.concat(some, cut(request.socket))
    }
    Effect.runFork(streams.respond(request, response, events))
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
})

const cut = (socket: Socket): Stream.Stream<never> =>
  Stream.fromEffectDrain(
    Effect.callback<void>((resume) => {
      setImmediate(() => {
        socket.write("e\r\nid: nothing\ndata: \r\n")
        socket.end(() => {
          socket.destroy()
          resume(Effect.void)
        })
      })
    })
  )

/** What a client of the standard's interface hears until it is told to stay away. */
const listen = (source: NpmEventSource): Effect.Effect<ReadonlyArray<Heard>> =>
  Effect.gen(function* () {
    const heard: Array<Heard> = []
    const hear = ({ data, lastEventId, type }: Heard) => heard.push({ type, data, lastEventId })
    source.addEventListener("message", hear as never)
    source.addEventListener("third", hear as never)
    yield* eventually(() => source.readyState === 2, 10_000)
    return heard
  })

const asked = ["", "ü8", "ü16"]

describe("the eventsource of npm", () => {
  it.live("hears every event once and in order, over two cuts", () =>
    Effect.gen(function* () {
      const server = yield* serve
      const source = new NpmEventSource(`${server.url}/events`)
      assert.deepStrictEqual(yield* listen(source), expected)
      assert.deepStrictEqual(server.asked, asked)
    })
  )

  it.live("has the topics of a hub, and what it missed of them", () =>
    Effect.gen(function* () {
      const { hub, port } = yield* HubServer.serve({ events: { retry: "1 millis" } })
      const source = yield* Effect.acquireRelease(
        Effect.sync(() => new NpmEventSource(`http://127.0.0.1:${port}/events?topic=a&topic=b`)),
        (source) => Effect.sync(() => source.close())
      )
      const heard: Array<unknown> = []
      source.addEventListener("message", ({ data }) => heard.push(JSON.parse(data).data))
      const publish = (topic: string, n: number) =>
        hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson: HubMessage.toJson(n), from: "test", time: 0 }))
      yield* eventually(() => hub.members("b") === 1)
      yield* publish("a", 1)
      yield* publish("b", 2)
      yield* eventually(() => heard.length === 2)
      assert.deepStrictEqual(heard, [1, 2])
    })
  )
})

/** Runs a program to its end, and gives what it prints. */
const run = (command: string, args: ReadonlyArray<string>, input?: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  ).pipe(
    Effect.flatMap((child) =>
      Effect.callback<string>((resume) => {
        let text = ""
        child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
        child.on("error", (error) => resume(Effect.die(error)))
        child.on("close", () => resume(Effect.succeed(text)))
        child.stdin.end(input)
      })
    )
  )

describe("Node's own EventSource", () => {
  it.live("hears every event once and in order, over two cuts", () =>
    Effect.gen(function* () {
      const server = yield* serve
      const program = `
        const source = new EventSource(process.argv[1])
        const heard = []
        const hear = ({ data, lastEventId, type }) => heard.push({ type, data, lastEventId })
        source.addEventListener("message", hear)
        source.addEventListener("third", hear)
        // What it waits with keeps no process alive.
        const alive = setInterval(() => {}, 1_000)
        source.onerror = () => {
          if (source.readyState !== 2) return
          clearInterval(alive)
          console.log(JSON.stringify(heard))
        }`
      const flags = ["--no-warnings", "--experimental-eventsource", "-e", program, `${server.url}/events`]
      assert.deepStrictEqual(JSON.parse(yield* run(process.execPath, flags)), expected)
      assert.deepStrictEqual(server.asked, asked)
    })
  )
})

describe("curl", () => {
  it.live("prints the events as they come, and resumes where it is told", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const first = yield* run("curl", ["-sSN", "--max-time", "20", `${url}/events`])
      assert.isTrue(
        first.startsWith("retry: 1\n\nid: ü1\ndata: two\ndata: lines\n\nid: ü2\ndata: \n\nevent: third\nid: ü3\n")
      )
      const last = yield* run("curl", ["-sSN", "--max-time", "20", "-H", "Last-Event-ID: ü19", `${url}/events`])
      assert.strictEqual(
        last,
        "retry: 1\n\nid: ü20\ndata: \ndata: \ndata: \n\n".replace("data: \ndata: \ndata: \n", printed(20))
      )
    })
  )
})

const printed = (n: number) =>
  `${(eventAt(n).data ?? "")
    .split("\n")
    .map((line) => `data: ${line}\n`)
    .join("")}`

describe("Chromium", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  }, 60_000)
  afterAll(() => browser.close())

  const visit = (url: string) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const page = await (await browser.newContext()).newPage()
        await page.goto(url)
        return page
      }),
      (page) => Effect.promise(() => page.context().close())
    )

  it.live("hears every event once and in order, over two cuts", () =>
    Effect.gen(function* () {
      const server = yield* serve
      const page = yield* visit(server.url)
      const heard = yield* Effect.promise(() =>
        page.evaluate(
          () =>
            new Promise<ReadonlyArray<unknown>>((resolve) => {
              const source = new EventSource("/events")
              const heard: Array<unknown> = []
              const hear = ({ data, lastEventId, type }: MessageEvent) => heard.push({ type, data, lastEventId })
              source.addEventListener("message", hear)
              source.addEventListener("third", hear)
              source.addEventListener("error", () => {
                if (source.readyState === 2) resolve(heard)
              })
            })
        )
      )
      assert.deepStrictEqual(heard, expected)
      // What had come when the connection broke may not have reached the page: then it asks again.
      assert.deepStrictEqual([...new Set(server.asked)], asked)
    })
  )

  it.live("reads a hub of another origin where that is allowed, and is refused where it is not", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const page = yield* visit(url)
      const open = yield* HubServer.serve({ origin: Result.getOrThrow(Origin.allow([url])) })
      const closed = yield* HubServer.serve()
      const state = (port: number, withCredentials: boolean) =>
        Effect.promise(() =>
          page.evaluate(
            ([address, withCredentials]) =>
              new Promise((resolve) => {
                const source = new EventSource(address, { withCredentials })
                source.addEventListener("open", () => resolve("open"))
                source.addEventListener("error", () => resolve(source.readyState))
              }),
            [`http://127.0.0.1:${port}/events?topic=a`, withCredentials] as const
          )
        )
      assert.strictEqual(yield* state(open.port, false), "open")
      assert.strictEqual(yield* state(open.port, true), "open")
      assert.strictEqual(yield* state(closed.port, false), 2)
    })
  )
})
