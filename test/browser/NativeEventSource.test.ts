/** The platform's own event source, behind the same interface as ours. */
// oxlint-disable unicorn/consistent-function-scoping -- what a page evaluates has no outer scope
import type * as http from "node:http"
import * as Effect from "effect/Effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as bare from "../support/bareServer.ts"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import * as Page from "../support/page.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

/** A site with an empty page, and what the test says everywhere else. */
const visit = (handle: bare.Handle) =>
  Effect.gen(function* () {
    const asked: Array<http.IncomingMessage> = []
    const server = yield* bare.listen((request, response) => {
      if (request.url === "/favicon.ico") return void response.writeHead(404).end()
      if (request.url === "/page") {
        return void response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>page</title>")
      }
      asked.push(request)
      return handle(request, response)
    })
    return { asked, ...(yield* Page.open(browser, `${server.url}/page`)) }
  })

/** What comes until there are so many, or to the end. */
const taking = (
  { run }: Pick<Page.Running, "run">,
  url: string,
  options: Page.Modules.NativeEventSource.Options,
  count = Infinity
) =>
  run(
    async ({ Effect, NativeEventSource, outcome, Stream }, url, options, count) => {
      const had: Array<unknown> = []
      const events = Stream.take(NativeEventSource.stream(url, options), count ?? Infinity)
      const end = await outcome(Stream.runForEach(events, (event) => Effect.sync(() => had.push(event))))
      return { had, end: "reason" in end ? end.reason?.["_tag"] : end }
    },
    url,
    options,
    count
  )

describe("a native source", () => {
  it.live("gives the events that it was told to listen for, also those that are called as the platform's own", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => {
        bare.stream(
          response,
          "data: 1\n\nid: a\nevent: tick\ndata: 2\n\nevent: other\ndata: 3\n\nevent: error\ndata: 4\n\nevent: open\ndata: 5\n\ndata: 6\ndata: 7\n\n"
        )
      })
      const first = { event: "message", data: "1", id: "" }
      const last = { event: "message", data: "6\n7", id: "a" }
      assert.deepStrictEqual((yield* taking(page, "/events", {}, 2)).had, [first, last])
      const events = ["message", "tick", "tick", "error", "open"]
      assert.deepStrictEqual((yield* taking(page, "/events", { events }, 5)).had, [
        first,
        { event: "tick", data: "2", id: "a" },
        { event: "error", data: "4", id: "a" },
        { event: "open", data: "5", id: "a" },
        last
      ])
      yield* eventually(() => page.asked.every(({ socket }) => socket.destroyed))
    })
  )

  it.live("comes back by itself, behind the last event, and says so", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        const last = Number(request.headers["last-event-id"] ?? 0)
        bare.stream(response, `retry: 10\nid: ${last + 1}\ndata: ${last + 1}\n\n`).end()
      })
      const states = yield* page.run(({ Effect, NativeEventSource, outcome, Stream }) =>
        outcome(
          Effect.gen(function* () {
            const said: Array<unknown> = []
            const source = yield* NativeEventSource.make("/events")
            yield* Effect.forkChild(
              Stream.runForEach(source.states, (state) => Effect.sync(() => said.push(state))),
              { startImmediately: true }
            )
            yield* Stream.runForEach(Stream.take(source.events, 3), ({ data }) => Effect.sync(() => said.push(data)))
            return said.slice()
          })
        )
      )
      const url = new URL("/events", page.page.url()).href
      const open = { _tag: "Open", url, headers: [] }
      const connecting = (lastEventId: string) => ({ _tag: "Connecting", lastEventId })
      assert.deepStrictEqual(states, {
        value: [connecting(""), open, "1", connecting("1"), open, "2", connecting("2"), open, "3"]
      })
      assert.strictEqual(page.asked[2]!.headers["last-event-id"], "2")
    })
  )

  it.live("is told by no refusal what it was: the end, behind what came before", () =>
    Effect.gen(function* () {
      const page = yield* visit((request, response) => {
        if (request.headers["last-event-id"] !== undefined) return void response.writeHead(503).end()
        if (request.url === "/events") return void bare.stream(response, "retry: 10\nid: 1\ndata: 1\n\n").end()
        return void response.writeHead(Number(request.url!.slice(1)), { "Content-Type": "text/plain" }).end()
      })
      for (const status of [200, 204, 401, 503]) {
        assert.deepStrictEqual(yield* taking(page, `/${status}`, {}), { had: [], end: "Undisclosed" })
      }
      assert.deepStrictEqual(yield* taking(page, "/events", {}), {
        had: [{ event: "message", data: "1", id: "1" }],
        end: "Undisclosed"
      })
    })
  )

  it.live("is not made for what is no URL", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      assert.deepStrictEqual(yield* taking(page, "http://", {}), { had: [], end: "InvalidRequest" })
    })
  )

  it.live("shows cookies to another origin when it is told to", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => void response.end())
      const other = yield* bare.listen((request, response) => {
        response.setHeader("Access-Control-Allow-Origin", request.headers.origin!)
        response.setHeader("Access-Control-Allow-Credentials", "true")
        bare.stream(response, `data: ${request.headers.cookie}\n\n`)
      })
      yield* Effect.promise(() => page.page.evaluate(() => (document.cookie = "name=ada; path=/")))
      const cookies: Array<unknown> = []
      for (const credentials of [undefined, "same-origin", "include"] as const) {
        cookies.push(...(yield* taking(page, other.url, { credentials }, 1)).had)
      }
      assert.deepStrictEqual(
        cookies,
        ["undefined", "undefined", "name=ada"].map((data) => ({ event: "message", data, id: "" }))
      )
    })
  )

  it.live("closes when more has come than it may hold, and gives what it has", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => {
        bare.stream(response, "data: first\n\n")
        for (let i = 0; i < 100; i++) response.write(`data: ${"x".repeat(1_000)}\n\n`)
      })
      const outcome = yield* page.run(({ Effect, eventually, NativeEventSource, outcome, Stream }) =>
        outcome(
          Effect.gen(function* () {
            const source = yield* NativeEventSource.make("/events", { inboxBytes: 20_000 })
            const [first] = yield* source.pull
            let tag = ""
            yield* Effect.forkChild(
              Stream.runForEach(source.states, ({ _tag }) => Effect.sync(() => void (tag = _tag))),
              { startImmediately: true }
            )
            yield* Effect.promise(() => eventually(() => tag === "Closed"))
            const rest = yield* source.pull
            const { reason } = yield* Effect.flip(Effect.scoped(Stream.runDrain(source.events)))
            return [first.data, rest.length, reason.message]
          })
        )
      )
      // Two bytes for each of 1,007 characters, and one event more.
      assert.deepStrictEqual(outcome, { value: ["first", 10, "more than 20000 bytes came that were not pulled"] })
      yield* eventually(() => page.asked.every(({ socket }) => socket.destroyed))
    })
  )

  it.live("does not count what was pulled", () =>
    Effect.gen(function* () {
      let stream: http.ServerResponse | undefined
      const page = yield* visit((request, response) => {
        if (request.url === "/events") return void (stream = bare.stream(response, "data: first\n\n"))
        stream!.write(`data: ${"x".repeat(8_000)}\n\n`)
        return void response.end()
      })
      const outcome = yield* page.run(({ Effect, eventually, NativeEventSource, outcome }) =>
        outcome(
          Effect.gen(function* () {
            let heard = 0
            const { addEventListener } = EventSource.prototype
            Reflect.set(
              EventSource.prototype,
              "addEventListener",
              function (this: EventSource, name: string, listener: never) {
                addEventListener.call(this, name, listener)
                // Behind the one that keeps it.
                if (name === "message") addEventListener.call(this, name, () => heard++)
              }
            )
            const source = yield* NativeEventSource.make("/events", { inboxBytes: 20_000 })
            yield* source.pull
            for (let i = 2; i <= 4; i++) {
              yield* Effect.promise(() => fetch("/more"))
              yield* Effect.promise(() => eventually(() => heard === i))
              yield* source.pull
            }
            return (yield* source.state)._tag
          })
        )
      )
      assert.deepStrictEqual(outcome, { value: "Open" })
    })
  )

  it.live("gives 10,000 events in order, and connects when it is pulled, not before", () =>
    Effect.gen(function* () {
      const page = yield* visit((_, response) => {
        bare.stream(response)
        for (let i = 1; i <= 10_000; i++) response.write(`data: ${i}\n\n`)
      })
      const outcome = yield* page.run(({ Effect, NativeEventSource, outcome, Stream }) =>
        outcome(
          Effect.gen(function* () {
            const source = yield* NativeEventSource.make("/events")
            const idle = yield* NativeEventSource.make("/idle")
            const count = yield* Stream.runFold(
              Stream.take(source.events, 10_000),
              () => 0,
              (count, { data }) => (data === `${count + 1}` ? count + 1 : Number.NaN)
            )
            return [count, (yield* idle.state)._tag]
          })
        )
      )
      assert.deepStrictEqual(outcome, { value: [10_000, "Connecting"] })
      assert.deepStrictEqual(
        page.asked.map(({ url }) => url),
        ["/events"]
      )
    })
  )

  it.live("is for one fiber at a time, can be interrupted, and ends what waits when its scope closes", () =>
    Effect.gen(function* () {
      const responses: Array<http.ServerResponse> = []
      const page = yield* visit((_, response) => void responses.push(bare.stream(response, "data: 1\n\n")))
      const outcome = yield* page.run(({ Effect, Exit, Fiber, NativeEventSource, outcome, outcomeOf, Scope }) =>
        outcome(
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const source = yield* Scope.provide(NativeEventSource.make("/events"), scope)
            const first = yield* source.pull
            const waiting = yield* Effect.forkChild(source.pull, { startImmediately: true })
            const second = outcomeOf(yield* Effect.exit(source.pull))
            yield* Fiber.interrupt(waiting)
            const last = yield* Effect.forkChild(source.pull, { startImmediately: true })
            yield* Scope.close(scope, Exit.void)
            const state = yield* source.state
            return [first.length, "end" in second && second.end, outcomeOf(yield* Fiber.await(last)), state]
          })
        )
      )
      assert.deepStrictEqual(outcome, {
        value: [1, "defect", { end: "done" }, { _tag: "Closed", reason: { _tag: "Done" } }]
      })
      yield* eventually(() => responses[0]!.destroyed)
    })
  )
})
