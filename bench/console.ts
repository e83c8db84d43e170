/**
 * `node bench/console.ts`: how soon the page of the hub is painted and connected, from a cold start: a browser that has
 * never been there, a hub on loopback, nothing cached. Prints medians, in milliseconds, and what they are between.
 */
import * as Effect from "effect/Effect"
import * as HubServer from "@millrace/node/HubServer"
import { launch } from "../test/support/chromium.ts"

const rounds = 15

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

const print = (what: string, numbers: ReadonlyArray<number>) =>
  console.log(
    `${what}: ${median(numbers).toFixed(0)} ms (${Math.min(...numbers).toFixed(0)}–${Math.max(...numbers).toFixed(0)})`
  )

const program = Effect.gen(function* () {
  const hub = yield* HubServer.serve({})
  const browser = yield* Effect.acquireRelease(
    Effect.promise(() => launch()),
    (browser) => Effect.promise(() => browser.close())
  )
  const visit = Effect.promise(async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${hub.port}/`)
    const times = await page.evaluate(async () => {
      while (document.querySelector("#state[data-state=connected]") === null) await new Promise(requestAnimationFrame)
      const connected = performance.now()
      const [paint] = performance.getEntriesByName("first-contentful-paint")
      return { painted: paint!.startTime, connected }
    })
    await context.close()
    return times
  })
  yield* visit // the first starts more than the page
  const all = yield* Effect.all(Array.from({ length: rounds }, () => visit))
  print(
    "first paint",
    all.map(({ painted }) => painted)
  )
  print(
    "connected",
    all.map(({ connected }) => connected)
  )
})

await Effect.runPromise(Effect.scoped(program))
