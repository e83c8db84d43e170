/** The client of a page in a real browser, whose network goes and returns, whose server falls silent, and which is left. */
import type { Browser, Page as Tab } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import { serve } from "../support/lively.ts"
import * as Page from "../support/page.ts"
import { parting } from "../support/partingProxy.ts"

let browser: Browser
beforeAll(async () => {
  // Playwright and the headless shell leave pages out of the back/forward cache unless they are told.
  browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"], args: ["--enable-bfcache"] })
}, 60_000)
afterAll(() => browser.close())

const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

/** A page with a client that says hello, keeps its states and what it hears, and would come back in an hour. */
const connected = ({
  wait = 3_600_000,
  before = () => Promise.resolve()
}: {
  readonly wait?: number
  readonly before?: (page: Tab) => Promise<unknown>
} = {}) =>
  Effect.gen(function* () {
    const server = yield* serve
    const line = yield* parting(server.port)
    const { page, run } = yield* Page.open(browser)
    yield* promise(() => before(page))
    yield* run(
      async ({ BrowserClient, Contract, Effect, Schedule, Schema, Stream }, url, wait) => {
        const Life = Contract.make("life", {
          version: "1",
          events: { told: Schema.String },
          commands: { say: Schema.String }
        })
        const states: Array<string> = []
        const told: Array<string> = []
        Object.assign(globalThis, { states, told })
        const program = Effect.gen(function* () {
          const client = yield* BrowserClient.make(Life, url, { reconnect: Schedule.spaced(wait) })
          Object.assign(globalThis, { say: (text: string) => Effect.runPromise(client.emit("say", text)) })
          Object.assign(globalThis, { ping: () => Effect.runPromise(client.ping) })
          yield* Effect.forkScoped(Stream.runForEach(client.states, ({ _tag }) => Effect.sync(() => states.push(_tag))))
          yield* Effect.forkScoped(
            Stream.runForEach(client.events("told"), (text) => Effect.sync(() => told.push(text)))
          )
          yield* client.emit("say", "hello")
          return yield* Effect.never
        })
        Effect.runFork(Effect.scoped(program))
      },
      `ws://127.0.0.1:${line.port}/life`,
      wait
    )
    yield* eventually(() => server.said.length === 1)
    const kept = (name: "states" | "told") =>
      promise(() => page.evaluate((name) => Reflect.get(globalThis, name) as ReadonlyArray<string>, name))
    const until = (state: string) =>
      promise(() =>
        page.waitForFunction((state) => (Reflect.get(globalThis, "states") as Array<string>).at(-1) === state, state, {
          polling: 10
        })
      )
    const say = (text: string) =>
      promise(() => page.evaluate((text) => (Reflect.get(globalThis, "say") as (text: string) => unknown)(text), text))
    return { ...server, line, page, run, kept, until, say }
  })

describe("a page's client", () => {
  it.live("is connected as soon as the network has returned, and not an hour later", () =>
    Effect.gen(function* () {
      const { kept, line, page, said, say, until } = yield* connected()
      yield* promise(() => page.context().setOffline(true))
      yield* line.cut
      yield* until("Waiting")
      yield* say("while away")
      yield* promise(() => page.context().setOffline(false))
      yield* until("Open")
      yield* eventually(() => said.length === 2)
      assert.deepStrictEqual(said, ["hello", "while away"])
      assert.deepStrictEqual(yield* kept("states"), ["Connecting", "Open", "Waiting", "Connecting", "Open"])
    })
  )

  it.live("goes into the back/forward cache, which its server sees as a close in order, and comes back connected", () =>
    Effect.gen(function* () {
      const { ends, kept, page, said, say, sessions, until } = yield* connected()
      const home = page.url()
      yield* sessions[0]!.emit("told", "before")
      yield* promise(() => page.waitForFunction(() => (Reflect.get(globalThis, "told") as Array<string>).length === 1))
      yield* promise(() => page.goto(`${home}elsewhere`))
      yield* eventually(() => ends.length === 1)
      assert.deepStrictEqual(ends, ["Success"])
      yield* promise(() => page.evaluate(() => void setTimeout(() => history.back())))
      yield* promise(() => page.waitForURL(home, { waitUntil: "commit" }))
      // The same page, with all that it had.
      yield* until("Open")
      yield* say("back")
      yield* eventually(() => said.length === 2)
      assert.deepStrictEqual(said, ["hello", "back"])
      yield* sessions[1]!.emit("told", "after")
      yield* promise(() => page.waitForFunction(() => (Reflect.get(globalThis, "told") as Array<string>).length === 2))
      assert.deepStrictEqual(yield* kept("told"), ["before", "after"])
      assert.deepStrictEqual(yield* kept("states"), ["Connecting", "Open", "Away", "Connecting", "Open"])
    })
  )

  it.live("finds out on waking that its server is silent, and comes back to it", () =>
    Effect.gen(function* () {
      const { kept, line, page, until } = yield* connected({ wait: 0, before: (page) => page.clock.install() })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* line.part
          // The lid is closed for an hour; 5 s behind that the server has shown nothing.
          yield* promise(() => page.clock.fastForward(3_600_000))
          assert.deepStrictEqual(yield* kept("states"), ["Connecting", "Open"])
          yield* promise(() => page.clock.fastForward(5_000))
          yield* until("Connecting")
        })
      )
      yield* promise(() => page.clock.runFor(1_000))
      yield* until("Open")
    })
  )

  it.live("keeps a server that answers on waking, however often the clock jumps", () =>
    Effect.gen(function* () {
      const { kept, page, run, sessions } = yield* connected({ before: (page) => page.clock.install() })
      const pinged = run(async () => {
        await (Reflect.get(globalThis, "ping") as () => Promise<unknown>)()
      })
      for (let n = 0; n < 3; n++) {
        yield* promise(() => page.clock.fastForward(3_600_000))
        yield* pinged
        yield* promise(() => page.clock.fastForward(20_000))
        yield* pinged
      }
      assert.deepStrictEqual(yield* kept("states"), ["Connecting", "Open"])
      assert.lengthOf(sessions, 1)
    })
  )

  it.live("finds out by its heartbeat that its server is silent, though nothing wakes it", () =>
    Effect.gen(function* () {
      const { kept, line, page, until } = yield* connected({ wait: 0, before: (page) => page.clock.install() })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* line.part
          yield* promise(() => page.clock.runFor(40_000))
          assert.deepStrictEqual(yield* kept("states"), ["Connecting", "Open"])
          yield* promise(() => page.clock.runFor(6_000))
          yield* until("Connecting")
        })
      )
      yield* promise(() => page.clock.runFor(1_000))
      yield* until("Open")
    })
  )

  it.live("has other surroundings, and no heartbeat, where it is told", () =>
    Effect.gen(function* () {
      const server = yield* serve
      const { run } = yield* Page.open(browser)
      const states = yield* run(async ({ BrowserClient, Contract, Effect, Stream }, url) => {
        const program = Effect.gen(function* () {
          const client = yield* BrowserClient.make(Contract.make("life", { version: "1" }), url, {
            surroundings: Stream.make("Leave" as const),
            heartbeat: Infinity
          })
          return yield* Stream.runCollect(Stream.takeUntil(client.states, ({ _tag }) => _tag === "Away"))
        })
        return (await Effect.runPromise(Effect.scoped(program))).map(({ _tag }) => _tag)
      }, server.url)
      assert.deepStrictEqual(states, ["Away"])
    })
  )
})
