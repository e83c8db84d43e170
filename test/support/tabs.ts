/** A hub, and a site whose tabs share a connection to it, in a real Chromium. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Browser, BrowserContext, Page } from "playwright-core"
import * as Origin from "@millrace/core/codec/Origin"
import * as HubServer from "@millrace/node/HubServer"
import { bundle } from "./page.ts"
import type * as TabPage from "./tabPage.ts"

let bundled: Promise<ReadonlyMap<string, string>> | undefined

const scripts = (): Promise<ReadonlyMap<string, string>> =>
  (bundled ??= Promise.all([bundle("tabPage.ts"), bundle("tabWorker.ts")]).then(
    ([page, worker]) =>
      new Map([
        ["/page.js", page],
        ["/worker.js", worker],
        ["/broken.js", "throw new Error('broken')"],
        ["/mute.js", ""]
      ])
  ))

/** Where the tabs come from. */
const site = Effect.acquireRelease(
  Effect.promise(async () => {
    const files = await scripts()
    const server = createServer(({ url = "/" }, response) => {
      const file = files.get(url.split("?")[0]!)
      if (file !== undefined) response.writeHead(200, { "Content-Type": "text/javascript" }).end(file)
      else if (url === "/") {
        response.writeHead(200, { "Content-Type": "text/html" })
        response.end('<!doctype html><title>tab</title><link rel="icon" href="data:,"><script src="/page.js"></script>')
      } else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return server
  }),
  (server) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

type Exports = typeof TabPage

/** One tab. */
export class Tab {
  readonly page: Page

  constructor(page: Page) {
    this.page = page
  }

  /** Calls what the page exports. */
  call<Name extends "listen" | "publish" | "role" | "start" | "stop">(
    name: Name,
    ...args: Parameters<Exports[Name]>
  ): Promise<Awaited<ReturnType<Exports[Name]>>> {
    return this.page.evaluate(`modules.${name}(...${JSON.stringify(args)})`)
  }

  /** What the page has gathered. */
  get<Name extends "data" | "failures" | "heard" | "roles" | "states">(name: Name): Promise<Array<string>> {
    return this.page.evaluate(`modules.${name}`)
  }

  close(): Promise<void> {
    return this.page.close({ runBeforeUnload: false })
  }

  /** Ends its process, without a word. */
  async crash(): Promise<void> {
    const session = await this.page.context().newCDPSession(this.page)
    const crashed = new Promise((resolve) => this.page.once("crash", resolve))
    session.send("Page.crash").catch(() => {})
    await crashed
  }
}

export interface Site {
  /** Ends the hub. */
  readonly stop: Effect.Effect<void>
  readonly context: BrowserContext
  /** A new tab, which takes part. */
  readonly open: (worker?: string) => Promise<Tab>
  /** How many the hub has now. */
  readonly connections: () => Promise<number>
}

export const make = (browser: Browser, init?: () => void): Effect.Effect<Site, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const serving = HubServer.serve({ origin: Origin.any, history: { maxEntries: 100_000 } })
    const hub = yield* Scope.provide(Effect.orDie(serving), scope)
    const server = yield* site
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext()),
      (context) => Effect.promise(() => context.close())
    )
    if (init !== undefined) yield* Effect.promise(() => context.addInitScript(init))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const url = `${hub.url}/ws`
    const open = async (worker?: string) => {
      const page = await context.newPage()
      await page.goto(address)
      const tab = new Tab(page)
      const script = worker === undefined ? {} : { worker: `/${worker}?hub=${encodeURIComponent(url)}` }
      await tab.call("start", { url, ...script })
      return tab
    }
    const connections = async () => {
      const response = await fetch(`http://127.0.0.1:${hub.port}/health`)
      return ((await response.json()) as { readonly connections: number }).connections
    }
    return { context, open, connections, stop: Scope.close(scope, Exit.void) }
  })
