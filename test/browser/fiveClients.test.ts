/**
 * One page with the clients of all wires on one topic, as their makers have them: Millrace's own, the browser's
 * `EventSource`, those of Socket.IO 4 and 3, of Action Cable and of AnyCable.
 */
import * as Effect from "effect/Effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as HubServer from "@millrace/node/HubServer"
import { launch } from "../support/chromium.ts"
import { eventually } from "../support/eventually.ts"
import type * as Modules from "../support/everyClient.ts"
import * as HubPeer from "../support/hubClient.ts"
import { bundle } from "../support/page.ts"
import { parting } from "../support/partingProxy.ts"

const promise = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

let browser: Browser
let script: string
beforeAll(async () => {
  script = await bundle("everyClient.ts")
  browser = await launch()
}, 60_000)
afterAll(() => browser.close())

const topic = "lobby"

/** Those that the page has. An event source only hears. */
const publishers = ["Millrace", "Socket.IO 4", "Socket.IO 3", "Action Cable", "AnyCable"]
const clients = [...publishers, "EventSource"]

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, n) => n)

/** What a publisher has counted in what was published. */
const numbersOf = (published: ReadonlyArray<unknown>, name: string): ReadonlyArray<unknown> =>
  (published as ReadonlyArray<ReadonlyArray<unknown>>).flatMap(([, who, n]) => (who === name ? [n] : []))

const serve = (options?: HubServer.Options) =>
  Effect.gen(function* () {
    const { hub, port } = yield* HubServer.serve(options)
    const say = (...data: ReadonlyArray<unknown>) =>
      hub.publish(topic, HubMessage.encodeMessage({ topic, dataJson: toJson(data), from: "program", time: 0 }))
    /** All that was published, in the order of the log. */
    const published: Array<unknown> = []
    const listener = yield* HubPeer.connect(port, "listener")
    yield* HubPeer.subscribe(listener, topic)
    yield* Effect.forkScoped(
      Effect.forever(Effect.map(listener.hear, (heard) => heard.type === "message" && published.push(heard["data"])))
    )
    return { line: yield* parting(port), published, say }
  })

const visit = (port: number) =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      promise(() => browser.newContext()),
      (context) => promise(() => context.close())
    )
    const page = yield* promise(() => context.newPage())
    const complaints: Array<string> = []
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    const origin = `http://127.0.0.1:${port}`
    yield* promise(async () => {
      // A page of the hub's own origin, which has nothing on it.
      await page.goto(`${origin}/health`)
      await page.setContent('<!doctype html><title>every client</title><link rel="icon" href="data:,">')
      await page.addScriptTag({ content: script })
    })
    const run = <A, Args extends ReadonlyArray<unknown>>(
      program: (modules: typeof Modules, ...args: Args) => A,
      ...args: Args
    ): Effect.Effect<A> => promise(async () => page.evaluate<A>(`(${program})(modules, ...${JSON.stringify(args)})`))
    const until = (holds: (columns: ReturnType<typeof Modules.look>, more: number) => boolean, more = 0) =>
      promise(() =>
        page
          .waitForFunction(`(${holds})(modules.look(), ${more})`, undefined, { polling: 20, timeout: 60_000 })
          .catch(async (cause) => {
            const columns = await page.evaluate("modules.look()")
            throw new Error(`${holds} did not come about: ${JSON.stringify(columns)}`, { cause })
          })
      )
    yield* run((modules, hub, topic) => modules.start(hub, topic), origin, topic)
    yield* until((columns) => columns.every(({ isIn }) => isIn))
    return { complaints, context, page, run, until }
  })

describe("a page with the clients of all wires", () => {
  it.live("hears on each of them all that is published on any, each once and in one order", () =>
    Effect.gen(function* () {
      const { line, published, say } = yield* serve()
      const { complaints, run, until } = yield* visit(line.port)
      const count = 60
      // Clients of Socket.IO poll when that begins, and go over to their WebSockets meanwhile.
      const inPage = run(
        async ({ publish }, count, names) => {
          for (let n = 0; n < count; n++) {
            publish(n, names)
            await new Promise((resolve) => setTimeout(resolve))
          }
        },
        count,
        publishers
      )
      const program = Effect.forEach(upTo(count), (n) => say("said", "program", n))
      yield* Effect.all([inPage, program], { concurrency: 2 })
      const total = count * (publishers.length + 1)
      yield* eventually(() => published.length === total)
      yield* until((columns, total) => columns.every(({ count }) => count >= total), total)
      // What comes twice comes before what is said now.
      yield* say("said", "program", count)
      yield* until((columns, total) => columns.every(({ count }) => count > total), total)
      yield* eventually(() => published.length === total + 1)
      const heard = yield* run(({ heard }) => heard())
      assert.deepStrictEqual(heard, Object.fromEntries(clients.map((name) => [name, published])))
      for (const name of publishers) assert.deepStrictEqual(numbersOf(published, name), upTo(count))
      assert.deepStrictEqual(numbersOf(published, "program"), upTo(count + 1))
      yield* until((columns) => columns.every(({ way }) => way === "" || way === "over websocket"))
      assert.deepStrictEqual(complaints, [])
    })
  )

  it.live(
    "misses nothing and hears nothing twice where it can come back, however often its network goes",
    () =>
      Effect.gen(function* () {
        const { line, published, say } = yield* serve({ events: { retry: "200 millis" }, socketio: { recovery: true } })
        const { complaints, context, run, until } = yield* visit(line.port)
        // They say later what they cannot say now; the others say it at once or not at all.
        const patient = ["Millrace", "Socket.IO 4", "Socket.IO 3"]
        let said = 0
        const speak = Effect.forEach(upTo(20), () =>
          Effect.gen(function* () {
            const n = said++
            yield* say("said", "program", n)
            yield* run(({ publish }, n, names) => publish(n, names), n, patient)
          })
        )
        yield* speak
        // Who was never told where it is has nowhere to come back to.
        yield* until((columns) => columns.every(({ count }) => count > 0))
        for (const _ of upTo(3)) {
          // In the middle of it: what is on its way is lost.
          yield* Effect.all([speak, line.cut], { concurrency: 2 })
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* line.part
              yield* promise(() => context.setOffline(true))
              yield* line.cut
              yield* until((columns) => columns.every(({ isIn }) => !isIn))
              yield* speak
            })
          )
          yield* promise(() => context.setOffline(false))
          // The client of Rails looks whether it is connected every six seconds, and when somebody looks at the page.
          yield* run(() => void document.dispatchEvent(new Event("visibilitychange", { bubbles: true })))
          yield* until((columns) => columns.every(({ isIn }) => isIn))
          yield* speak
        }
        // What the hub's client has said is answered, or said again until it is.
        yield* eventually(() => numbersOf(published, "Millrace").length === said)
        yield* say("said", "program", "end")
        yield* until((columns) => columns.every(({ last }) => last === '["said","program","end"]'))
        yield* eventually(() => numbersOf(published, "program").length === said + 1)
        const heard = yield* run(({ heard }) => heard())
        for (const name of ["Millrace", "EventSource", "Socket.IO 4", "AnyCable"]) {
          assert.deepStrictEqual(heard[name], published, name)
        }
        // These do not come back to where they were: what they hear is once and in order.
        for (const name of ["Socket.IO 3", "Action Cable"]) {
          const those = new Set(heard[name]!.map((data) => JSON.stringify(data)))
          assert.deepStrictEqual(
            heard[name],
            published.filter((data) => those.has(JSON.stringify(data))),
            name
          )
        }
        assert.deepStrictEqual(numbersOf(published, "Millrace"), upTo(said))
        assert.deepStrictEqual(numbersOf(published, "program"), [...upTo(said), "end"])
        for (const name of ["Socket.IO 4", "Socket.IO 3"]) {
          const those = new Set(numbersOf(published, name))
          assert.deepStrictEqual(
            numbersOf(published, name),
            upTo(said).filter((n) => those.has(n)),
            name
          )
        }
        const told = yield* run(({ look }) => look().flatMap(({ told }) => told))
        assert.deepStrictEqual(
          told.filter((what) => what !== "history_received"),
          []
        )
        // The browser itself says that its network has gone.
        assert.deepStrictEqual(
          complaints.filter((text) => !/net::ERR_|^WebSocket connection to /.test(text)),
          []
        )
      }),
    180_000
  )
})
