/**
 * The script of a `SharedWorker` that has the connection to the hub for all tabs: see `BrowserTabs`.
 *
 *     Effect.runFork(BrowserTabsWorker.serve({ url: "/ws" }))
 */
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TabHost from "./tabs/TabHost.ts"
import type { Call } from "./tabs/Tabs.ts"

export type Options = TabHost.Options

interface Hosting {
  readonly host: TabHost.TabHost
  readonly scope: Scope.Closeable
}

/**
 * Connects when the first tab comes, and serves all that come. Never ends by itself: with the last tab the platform ends
 * the worker. Has to be run before the script has come to its end, as tabs are only told to who listens by then.
 */
export const serve = (options: Options): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const scope = yield* Effect.scope
      const run = Effect.runForkWith(context)
      const random = Context.get(context, Identifier.Source)
      let hosting: Hosting | undefined
      /** Whoever comes when it has stopped may have other credentials. */
      const hosted = (life: string | undefined): Effect.Effect<TabHost.TabHost> =>
        Effect.suspend(() => {
          if (hosting !== undefined && !hosting.host.hasStopped()) return Effect.succeed(hosting.host)
          const before = hosting
          const scope = Scope.makeUnsafe()
          return Effect.tap(Scope.provide(TabHost.make(options, life), scope), (host) => {
            hosting = { host, scope }
            return before === undefined ? Effect.void : Scope.close(before.scope, Exit.void)
          })
        })
      // Held for as long as the worker lives.
      const living = yield* Effect.cached(Scope.provide(TabHost.live("millrace.v1", random()), scope))
      const welcome = (port: MessagePort, life: string | undefined) =>
        Effect.flatMap(living, (own) => Effect.flatMap(hosted(own?.name), (host) => host.serve(port, life)))
      const connected = ({ ports: [port] }: MessageEvent) => {
        const heard = ({ data }: MessageEvent<Call>) => {
          if (data?._tag === "Hello") run(welcome(port!, data.life))
        }
        port!.addEventListener("message", heard, { once: true })
        port!.start()
      }
      const listening = new AbortController()
      addEventListener("connect", connected as (event: Event) => void, { signal: listening.signal })
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          listening.abort()
          return hosting === undefined ? Effect.void : Scope.close(hosting.scope, Exit.void)
        })
      )
      return yield* Effect.never
    })
  )
