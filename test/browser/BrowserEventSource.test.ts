/** Event sources of a page, over its own `fetch`: what they ask, what they are told, and how they come back. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import type * as http from "node:http"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Origin from "@millrace/core/codec/Origin"
import * as NodeEventStream from "@millrace/node/NodeEventStream"
import * as bare from "../support/bareServer.ts"
import { launch } from "../support/chromium.ts"
import { cutting } from "../support/cuttingProxy.ts"
import { eventually } from "../support/eventually.ts"
import { nobodysPort } from "../support/nobodysPort.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  // Playwright and the headless shell leave pages out of the back/forward cache unless they are told.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"], args: ["--enable-bfcache"] })
}, 60_000)
afterAll(() => browser.close())

/** A site with an empty page in `/dir/`, and what the test says everywhere else. */
const site = (handle: bare.Handle) =>
  bare.listen((request, response) => {
    if (!request.url?.startsWith("/dir/page")) return handle(request, response)
    response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>page</title>")
  })

/** The requests that were not those of the browser itself. */
const askedOf = ({ asked }: bare.BareServer) =>
  asked.filter(({ url }) => !url?.startsWith("/dir/page") && url !== "/favicon.ico")

/** A site of its own, and a page of it. */
const visit = (handle: bare.Handle) =>
  Effect.gen(function* () {
    const server = yield* site(handle)
    return { server, ...(yield* Page.open(browser, `${server.url}/dir/page`)) }
  })

type Options = Omit<Page.Modules.BrowserEventSource.Options, "reconnect">

/** The data of all events of one connection, or why there is no more. */
const once = ({ run }: Pick<Page.Running, "run">, url: string, options: Options = {}) =>
  run(
    ({ BrowserEventSource, Effect, outcome, Schedule, Stream }, url, options) => {
      const events = BrowserEventSource.stream(url, { ...options, reconnect: Schedule.recurs(0) })
      return outcome(Effect.map(Stream.runCollect(events), (events) => events.map(({ data }) => data)))
    },
    url,
    options
  )

const reasonOf = (outcome: Page.Modules.Outcome): Readonly<Record<string, unknown>> =>
  "reason" in outcome ? outcome.reason! : { outcome }

/** Lets pages of every origin in, whatever they say and whoever they are. */
const open = (request: http.IncomingMessage): Record<string, string> => ({
  "Access-Control-Allow-Origin": request.headers.origin ?? "*",
  "Access-Control-Allow-Credentials": "true",
  "Access-Control-Allow-Methods": "POST, PUT",
  "Access-Control-Allow-Headers": "Last-Event-ID, Authorization, X-Key",
  "Access-Control-Expose-Headers": "*, Retry-After, X-Why"
})

/** Answers what a browser asks before it asks, and leaves the rest. */
const preflight =
  (handle: bare.Handle): bare.Handle =>
  (request, response) => {
    if (request.method === "OPTIONS") return void response.writeHead(204, open(request)).end()
    for (const [name, value] of Object.entries(open(request))) response.setHeader(name, value)
    return handle(request, response)
  }

describe("the request", () => {
  it.live("goes where a link would lead", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => bare.stream(response, `data: ${request.url}\n\n`).end())
      for (const [url, path] of [
        ["events", "/dir/events"],
        ["/events?a=é#b", "/events?a=%C3%A9"],
        ["../events", "/events"],
        [`//127.0.0.1:${page.server.port}/a`, "/a"],
        [`${page.server.url}/b`, "/b"]
      ] as const) {
        assert.deepStrictEqual(yield* once(page, url), { value: [path] })
      }
      yield* Effect.promise(() =>
        page.page.evaluate(() =>
          document.head.append(Object.assign(document.createElement("base"), { href: "/base/" }))
        )
      )
      assert.deepStrictEqual(yield* once(page, "events"), { value: ["/base/events"] })
    })
  )

  it.live("of a worker goes where its script is from", () =>
    Effect.gen(function* () {
      const script = `${yield* Effect.promise(Page.script)}
        const { BrowserEventSource, Effect, Schedule, Stream } = modules
        const events = BrowserEventSource.stream("events", { reconnect: Schedule.recurs(0) })
        Effect.runFork(Stream.runForEach(events, ({ data }) => Effect.sync(() => postMessage(data))))`
      const { page } = yield* visit((request, response) => {
        if (!request.url!.endsWith(".js")) return void bare.stream(response, `data: ${request.url}\n\n`).end()
        return void response.writeHead(200, { "Content-Type": "text/javascript" }).end(script)
      })
      const said = yield* Effect.promise(() =>
        page.evaluate(
          () =>
            new Promise((resolve) => {
              new Worker("/workers/one.js").addEventListener("message", ({ data }) => resolve(data))
            })
        )
      )
      assert.strictEqual(said, "/workers/events")
    })
  )

  it.live("is not made to what is no URL of HTTP: the caller's fault", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      for (const url of ["http://", "ftp://127.0.0.1/", "http://ada:secret@127.0.0.1/", "ws://127.0.0.1/"]) {
        const { _tag, part } = reasonOf(yield* once(page, url))
        assert.deepStrictEqual([_tag, part], ["InvalidRequest", "URL"], url)
      }
      assert.strictEqual(askedOf(page.server).length, 0)
    })
  )

  it.live("may be a POST, with a body and headers of its own, to another origin that lets it", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      const other = yield* bare.listen(
        preflight((request, response) => {
          void bare.bodyOf(request).then((body) => {
            const { authorization, "x-key": key } = request.headers
            bare.stream(response, `data: ${[request.method, body, authorization, key].join()}\n\n`).end()
          })
        })
      )
      const headers = { Authorization: "Bearer 123", "X-Key": "k" }
      const body = "why? é"
      assert.deepStrictEqual(yield* once(page, other.url, { body, headers }), {
        value: ["POST,why? é,Bearer 123,k"]
      })
      assert.deepStrictEqual(
        other.asked.map(({ method }) => method),
        ["OPTIONS", "POST"]
      )
      const { headers: sent } = other.asked[1]!
      assert.deepStrictEqual([sent.accept, sent["cache-control"]], ["text/event-stream", "no-cache"])
    })
  )

  it.live("shows cookies to its own origin, and to another only when it is told to", () =>
    Effect.gen(function* () {
      const tell: bare.Handle = (request, response) =>
        void bare.stream(response, `data: ${request.headers.cookie ?? "none"}\n\n`).end()
      const page = yield* visit(tell)
      const other = yield* bare.listen(preflight(tell))
      yield* Effect.promise(() => page.page.evaluate(() => (document.cookie = "name=ada; path=/")))
      assert.deepStrictEqual(yield* once(page, "/events"), { value: ["name=ada"] })
      assert.deepStrictEqual(yield* once(page, "/events", { credentials: "omit" }), { value: ["none"] })
      // Cookies know of hosts, and nothing of ports.
      assert.deepStrictEqual(yield* once(page, other.url), { value: ["none"] })
      assert.deepStrictEqual(yield* once(page, other.url, { credentials: "include" }), { value: ["name=ada"] })
    })
  )
})

describe("what a page is told", () => {
  it.live("is the status of a refusal, its headers and its body", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        const status = Number(request.url!.slice(1))
        response.writeHead(status, { "X-Why": "because", "Retry-After": "7" }).end(`no: ${status}`)
      })
      for (const status of [400, 401, 403, 404, 410, 429, 500, 503]) {
        const outcome = yield* page.run(
          ({ BrowserEventSource, Effect, outcome, Schedule, Stream }, url) =>
            outcome(
              Stream.runDrain(BrowserEventSource.stream(url, { reconnect: Schedule.recurs(0) })).pipe(
                Effect.catchReason("EventSourceError", "Refused", (refused) =>
                  Effect.succeed([
                    refused.status,
                    refused.text,
                    refused.retryAfter(0),
                    refused.headers.find(([name]) => name === "x-why")?.[1]
                  ])
                )
              )
            ),
          `/${status}`
        )
        assert.deepStrictEqual(outcome, { value: [status, `no: ${status}`, 7_000, "because"] })
      }
    })
  )

  it.live("is that there is no more, by 204, and what came instead of an event stream", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        if (request.url === "/204") return void response.writeHead(204).end()
        return void response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Log in!")
      })
      assert.deepStrictEqual(yield* once(page, "/204"), { value: [] })
      const { _tag, detail, status } = reasonOf(yield* once(page, "/html"))
      assert.deepStrictEqual([_tag, status, detail], ["Refused", 200, "its type is text/html"])
    })
  )

  it.live("is where a redirect has led; or that there was one, when it was not to be followed", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        if (request.url === "/there") return void bare.stream(response, "data: here\n\n").end()
        return void response.writeHead(307, { Location: request.url === "/loop" ? "/loop" : "/there" }).end()
      })
      assert.deepStrictEqual(yield* once(page, "/here"), { value: ["here"] })
      const refused = reasonOf(yield* once(page, "/here", { redirect: "manual" }))
      assert.deepStrictEqual(
        [refused["_tag"], refused["status"], refused["detail"]],
        ["Refused", 0, "a redirect, which this platform does not show"]
      )
      assert.strictEqual(reasonOf(yield* once(page, "/loop"))["_tag"], "NetworkError")
    })
  )

  it.live("is no more than that the network failed, where nobody is there, or another origin does not let it in", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      const closed = yield* bare.listen((_, response) => bare.stream(response, "data: secret\n\n").end())
      for (const url of [`http://127.0.0.1:${nobodysPort}/`, closed.url]) {
        assert.strictEqual(reasonOf(yield* once(page, url))["_tag"], "NetworkError")
      }
    })
  )

  it.live("is that a server is mute, or has fallen silent", () =>
    Effect.gen(function* () {
      const { server, ...page } = yield* visit((request, response) => {
        if (request.url === "/silent") bare.stream(response, "data: 1\n\n")
      })
      assert.strictEqual(reasonOf(yield* once(page, "/mute", { openTimeout: "50 millis" }))["_tag"], "OpenTimeout")
      assert.strictEqual(reasonOf(yield* once(page, "/silent", { heartbeat: "25 millis" }))["_tag"], "Silent")
      yield* eventually(() => askedOf(server).every(({ socket }) => socket.destroyed))
    })
  )
})

/** Numbers behind the last event that was had, as far as `last`, and then 204. */
const counting =
  (streams: NodeEventStream.EventStreams, last: number): bare.Handle =>
  (request, response) => {
    if (request.headers["last-event-id"] === `${last}`) return void response.writeHead(204).end()
    const numbers = ({ lastEventId }: NodeEventStream.EventStreamRequest) =>
      Stream.map(Stream.range(Number(lastEventId) + 1, last), (n) => ({ id: `${n}`, data: `${n}` }))
    Effect.runFork(streams.respond(request, response, numbers))
  }

describe("coming back", () => {
  it.live("after being cut anywhere gives each event once, in order", () =>
    Effect.gen(function* () {
      const streams = yield* NodeEventStream.make({ retry: "100 millis" })
      const page = yield* visit((_, response) => void response.end())
      const server = yield* bare.listen(preflight(counting(streams, 2_000)))
      // Not in the head: without TLS Chromium takes one that is cut for whole, and there is a refusal without a type.
      const proxy = yield* cutting(server.port, 1_501)
      const outcome = yield* page.run(
        ({ BrowserEventSource, Effect, outcome, Schedule, Stream }, url) =>
          outcome(
            Effect.map(
              Stream.runCollect(BrowserEventSource.stream(url, { reconnect: Schedule.spaced("1 millis") })),
              (events) => events.map(({ data }) => Number(data))
            )
          ),
        `http://127.0.0.1:${proxy.port}/`
      )
      assert.deepStrictEqual(outcome, { value: Array.from({ length: 2_000 }, (_, i) => i + 1) })
      assert.isAbove(proxy.connections(), 5)
    })
  )

  it.live("waits as long as a refusal asks for", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => {
        if (askedOf(page.server).length === 1) response.writeHead(503, { "Retry-After": "1" }).end()
        else if (askedOf(page.server).length === 2) response.writeHead(500).end()
        else bare.stream(response, "data: 1\n\n")
      })
      const states = yield* page.run(({ BrowserEventSource, Effect, Fiber, outcome, Schedule, Stream }) =>
        outcome(
          Effect.gen(function* () {
            const source = yield* BrowserEventSource.make("/events", { reconnect: Schedule.spaced("10 millis") })
            const told = yield* Effect.forkChild(
              Stream.runCollect(Stream.takeUntil(source.states, ({ _tag }) => _tag === "Open")),
              { startImmediately: true }
            )
            yield* source.pull
            return (yield* Fiber.join(told)).flatMap((state) => {
              if (state._tag !== "Waiting") return state._tag
              const { reason } = state.lost
              return [`${reason._tag === "Refused" ? reason.status : reason._tag}: ${state.delay}`]
            })
          })
        )
      )
      assert.deepStrictEqual(states, {
        value: ["Connecting", "503: 1010", "Connecting", "500: 10", "Connecting", "Open"]
      })
    })
  )
})

/** A source that waits a minute after each loss, and what it says, in `said`. The server numbers the connections. */
const living = Effect.gen(function* () {
  const responses: Array<http.ServerResponse> = []
  const { page, server } = yield* visit((request, response) => {
    const last = Number(request.headers["last-event-id"] ?? 0)
    responses.push(bare.stream(response, `id: ${last + 1}\ndata: ${last + 1}\n\n`))
  })
  yield* Effect.promise(() =>
    page.evaluate(`{
      const { BrowserEventSource, Effect, Schedule, Stream } = modules
      said = []
      const program = Effect.gen(function* () {
        const source = yield* BrowserEventSource.make("/events", { reconnect: Schedule.spaced("1 minute") })
        yield* Effect.forkScoped(Stream.runForEach(source.states, ({ _tag }) => Effect.sync(() => said.push(_tag))))
        yield* Stream.runForEach(source.events, ({ data }) => Effect.sync(() => said.push(data)))
      })
      Effect.runFork(Effect.scoped(program))
    }`)
  )
  const says = (text: string) => Effect.promise(() => page.waitForFunction((text) => said.join(" ") === text, text))
  yield* says("Connecting Open 1")
  return { page, server, responses, says }
})

/** In a page. */
declare const said: ReadonlyArray<string>

describe("the life of a page", () => {
  it.live("has it back, where it was, as soon as there is a network again", () =>
    Effect.gen(function* () {
      const { page, responses, says, server } = yield* living
      yield* Effect.promise(() => page.context().setOffline(true))
      // Chromium's emulation is for new requests.
      responses[0]!.destroy()
      yield* says("Connecting Open 1 Waiting")
      yield* Effect.promise(() => page.context().setOffline(false))
      yield* says("Connecting Open 1 Waiting Connecting Open 2")
      assert.strictEqual(askedOf(server).at(-1)!.headers["last-event-id"], "1")
    })
  )

  it.live("lets no request stand open in a page that is frozen or left, and goes on where it was when it does", () =>
    Effect.gen(function* () {
      const { page, responses, says, server } = yield* living
      // A headless Chromium freezes no page that is looked at: these are the events that it would send.
      const tell = (type: "freeze" | "pagehide" | "pageshow" | "resume") =>
        Effect.promise(() =>
          page.evaluate((type) => {
            const isOfPage = type.startsWith("page")
            const event = isOfPage ? new PageTransitionEvent(type, { persisted: true }) : new Event(type)
            const target = isOfPage ? globalThis : document
            target.dispatchEvent(event)
            // In the very turn: there may be no other.
            return said.at(-1)
          }, type)
        )
      for (const [i, [leave, comeBack]] of [
        ["pagehide", "pageshow"] as const,
        ["freeze", "resume"] as const,
        ["pagehide", "pageshow"] as const
      ].entries()) {
        assert.strictEqual(yield* tell(leave), "Away")
        yield* eventually(() => responses.length === i + 1 && responses[i]!.destroyed)
        yield* tell(comeBack)
        yield* says(
          `Connecting Open 1${[2, 3, 4]
            .slice(0, i + 1)
            .map((n) => ` Away Connecting Open ${n}`)
            .join("")}`
        )
      }
      assert.deepStrictEqual(
        askedOf(server).map(({ headers }) => headers["last-event-id"]),
        [undefined, "1", "2", "3"]
      )
    })
  )
})

describe("the cache for pages that were left", () => {
  it.live("keeps a page that has one, which asks for what comes next when it is shown again", () =>
    Effect.gen(function* () {
      const { page, responses, says, server } = yield* living
      const home = page.url()
      yield* Effect.promise(() => page.goto(home.replace("page", "page?elsewhere")))
      yield* eventually(() => responses.length === 1 && responses[0]!.destroyed)
      yield* Effect.promise(() => page.evaluate(() => void setTimeout(() => history.back())))
      yield* Effect.promise(() => page.waitForURL(home, { waitUntil: "commit" }))
      // It is the same page: one that was loaded anew would know nothing of it.
      yield* says("Connecting Open 1 Away Connecting Open 2")
      assert.deepStrictEqual(
        askedOf(server).map(({ headers }) => headers["last-event-id"]),
        [undefined, "1"]
      )
    })
  )
})

describe("a server of another origin", () => {
  it.live("lets a page of an origin in that may ask, with where it was and what it is, and tells it when to come", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      const origin = Result.getOrThrow(Origin.allow([page.server.url]))
      const streams = yield* NodeEventStream.make({ origin })
      const asked: Array<ReadonlyArray<unknown>> = []
      const { url } = yield* bare.listen((request, response) =>
        Effect.runFork(
          streams.respond(request, response, ({ headers, lastEventId }) => {
            asked.push([lastEventId, headers.authorization])
            return Stream.succeed({ id: `${Number(lastEventId) + 1}`, data: "yes" })
          })
        )
      )
      const options = { headers: { Authorization: "Bearer me" } }
      const ids = yield* page.run(
        ({ BrowserEventSource, Effect, outcome, Schedule, Stream }, url, options) => {
          const events = BrowserEventSource.stream(url, { ...options, reconnect: Schedule.spaced(10) })
          const first = Stream.runCollect(Stream.take(events, 3))
          return outcome(Effect.map(first, (events) => events.map(({ id }) => id)))
        },
        url,
        options
      )
      assert.deepStrictEqual(ids, { value: ["1", "2", "3"] })
      assert.deepStrictEqual(asked.slice(0, 3), [
        ["", "Bearer me"],
        ["1", "Bearer me"],
        ["2", "Bearer me"]
      ])
    })
  )
})

/** What it comes to when nothing has been added to it for half a second. */
const standsStill = (value: () => number): Effect.Effect<number> =>
  Effect.suspend(() => {
    let last = value()
    let since = performance.now()
    return Effect.map(
      eventually(() => {
        if (value() !== last) {
          last = value()
          since = performance.now()
        }
        return performance.now() - since > 500
      }),
      () => last
    )
  })

describe("a response", () => {
  it.live("of 10,000 events is had in full and in order", () =>
    Effect.gen(function* () {
      const streams = yield* NodeEventStream.make()
      const page = yield* visit(counting(streams, 10_000))
      const outcome = yield* page.run(({ BrowserEventSource, outcome, Stream }) =>
        outcome(
          Stream.runFold(
            BrowserEventSource.stream("/events"),
            () => 0,
            (count, { data, id }) => (data === `${count + 1}` && id === data ? count + 1 : Number.NaN)
          )
        )
      )
      assert.deepStrictEqual(outcome, { value: 10_000 })
    })
  )

  it.live("waits for a page that does not pull, and is whole when it does", () =>
    Effect.gen(function* () {
      const block = "x".repeat(100_000)
      // Chromium reads some 64 MiB ahead.
      const total = 1_500
      let written = 0
      const { page, run } = yield* visit((_, response) => {
        bare.stream(response)
        const write = () => {
          while (written < total) if (!response.write(`data: ${++written}${block}\n\n`)) return
          response.end()
        }
        response.on("drain", write)
        write()
      })
      const finished = run(({ BrowserEventSource, Effect, outcome, Schedule, Stream }) =>
        outcome(
          Effect.gen(function* () {
            const options = { reconnect: Schedule.recurs(0) }
            const source = yield* BrowserEventSource.make("/events", options)
            let count = (yield* source.pull).length
            yield* Effect.promise(() => new Promise<void>((resolve) => Reflect.set(globalThis, "goOn", resolve)))
            const rest = yield* Stream.runCollect(source.events)
            rest.forEach(({ data }) => (count = data.startsWith(`${count + 1}x`) ? count + 1 : Number.NaN))
            return count
          })
        )
      )
      const fiber = yield* Effect.forkChild(finished, { startImmediately: true })
      yield* Effect.promise(() => page.waitForFunction("globalThis.goOn"))
      const standing = yield* standsStill(() => written)
      assert.isBelow(standing, 1_000)
      yield* Effect.promise(() => page.evaluate("goOn()"))
      assert.deepStrictEqual(yield* Fiber.join(fiber), { value: total })
    })
  )

  it.live("is ended with who reads it, and leaves nothing behind, whenever that is", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        if (request.url === "/open") bare.stream(response, "data: 1\n\n")
        if (request.url === "/refused") response.writeHead(503).write("later")
      })
      const interrupted = yield* page.run(async ({ BrowserEventSource, Effect, Fiber, Stream }) => {
        for (const url of ["/open", "/mute", "/refused"]) {
          for (let i = 0; i < 8; i++) {
            const fiber = Effect.runFork(Stream.runDrain(BrowserEventSource.stream(url)))
            await new Promise((resolve) => setTimeout(resolve, 4 * i))
            await Effect.runPromise(Fiber.interrupt(fiber))
          }
        }
        return true
      })
      assert.isTrue(interrupted)
      assert.isAbove(askedOf(page.server).length, 12)
      yield* eventually(() => askedOf(page.server).every(({ socket }) => socket.destroyed))
    })
  )

  it.live("is typed by the same schemas as on a server", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => {
        bare.stream(response, 'event: count\ndata: {"n":1}\n\nevent: count\ndata: {"n":"?"}\n\ndata: bye\n\n').end()
      })
      const outcome = yield* page.run(
        ({ BrowserEventSource, Effect, outcome, Schedule, Schema, Stream, TypedEvents }) => {
          const Counter = TypedEvents.make({
            count: Schema.Struct({ n: Schema.Number }),
            message: TypedEvents.text(Schema.String)
          })
          const bad: Array<string> = []
          const events = BrowserEventSource.stream("/events", { reconnect: Schedule.recurs(0) }).pipe(
            TypedEvents.decode(Counter, { onUndecodable: ({ event }) => Effect.sync(() => bad.push(event.data)) })
          )
          return outcome(
            Effect.map(Stream.runCollect(events), (events) => [
              events.map((event) => (event.event === "count" ? event.data.n + 1 : event.data)),
              bad
            ])
          )
        }
      )
      assert.deepStrictEqual(outcome, { value: [[2, "bye"], ['{"n":"?"}']] })
    })
  )
})
