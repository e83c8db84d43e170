/**
 * One connection to the hub for all tabs of a site: each has a client of its own, and one of them, or a worker, has the
 * connection.
 *
 *     const hub = yield* BrowserTabs.hub({ name: "chat", url: "/ws" })
 *     yield* Effect.forkScoped(Stream.runForEach(hub.subscribe("lobby"), (element) => Console.log(element)))
 *     yield* hub.publish("lobby", { text: "hello" })
 *
 * Not in here: the worker's own script, which is `BrowserTabsWorker`.
 */
import * as HubClient from "@millrace/core/cluster/HubClient"
import type { HubStore, StoreUnavailable } from "@millrace/core/cluster/HubStore"
import { Watched } from "@millrace/core/connection/Watched"
import type * as Client from "@millrace/core/messaging/Client"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as PageLife from "./PageLife.ts"
import * as TabHost from "./tabs/TabHost.ts"
import { Tabs, type Options as TabsOptions, type Role } from "./tabs/Tabs.ts"

export type { Role }

/**
 * Of the connection, and of the tab's own client: `timeout`, `capacity`, `capacityLength`, `maxUnanswered`,
 * `maxMessageBytes` and `window` are for both, `reconnect`, `again`, `heartbeat` and `socket` of the connection. Where a
 * worker has it they are those that the worker was given.
 */
export interface Options extends TabsOptions {
  /** What outlives this tab: its own publications and positions. No other tab may have the same. Default: nothing. */
  readonly store?: HubStore | undefined
}

/** A client of the hub whose connection may be another tab's. Its `state` is that of the connection. */
export interface TabsHub extends HubClient.HubClient {
  /** Who has the connection. */
  readonly role: Effect.Effect<Role>
  /** The same, and each one after it. Who is more than 16 behind misses the oldest. */
  readonly roles: Stream.Stream<Role>
}

/**
 * A client that takes part as long as the scope. With `worker` the connection is the worker's; without, where the platform
 * has none, and where the worker's script fails or says nothing for 8 s, one of the tabs is elected. Where there are no
 * Web Locks, as on a page that is not secure, each tab has a connection of its own: `role` is `Alone`.
 *
 * When the one who has the connection closes, crashes or is put away, another takes over at once: subscriptions go on
 * where they were, and what was not answered is said again with the key that it had. What the hub keeps is not lost; what
 * it does not is told as a `Gap`.
 *
 * Fails with `StoreUnavailable` where there is a store and it cannot be read.
 */
export const hub: {
  (options: Options & { readonly store: HubStore }): Effect.Effect<TabsHub, StoreUnavailable, Scope.Scope>
  (options: Options & { readonly store?: undefined }): Effect.Effect<TabsHub, never, Scope.Scope>
} = ((options: Options) =>
  Effect.gen(function* () {
    const { store, surroundings = PageLife.surroundings } = options
    const context = yield* Effect.context<never>()
    let latest: Client.State = { _tag: "Connecting", failures: 0 }
    const watched = new Watched<Client.State>(latest, ({ _tag }) => _tag === "Stopped")
    const look = () => {
      const { note } = tabs
      const isHidden = latest._tag === "Open" && note !== undefined && !note.isOpen
      const state: Client.State = isHidden ? { _tag: "Connecting", failures: note.failures } : latest
      if (state !== watched.value && watched.value._tag !== "Stopped") watched.set(state)
    }
    const run = Effect.runForkWith(context)
    const tabs = new Tabs(options, Context.get(context, Identifier.Source), run, look)
    yield* Effect.acquireRelease(
      Effect.sync(() => tabs.enter()),
      () => Effect.sync(() => tabs.leave())
    )
    const client = yield* HubClient.make(tabs.open, {
      ...TabHost.defaults,
      ...options,
      surroundings,
      reconnect: tabs.reconnect,
      again: tabs.again,
      store: store as HubStore
    })
    const follow = Stream.runForEach(client.states, (state) =>
      Effect.sync(() => {
        latest = state
        // Who does not come back is not to be in the way of who is started anew.
        if (state._tag === "Stopped") tabs.leave()
        look()
      })
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        latest = { _tag: "Stopped", cause: undefined }
        look()
      })
    )
    yield* Effect.forkScoped(follow, { startImmediately: true })
    const heed = Stream.runForEach(surroundings, (happening) => Effect.sync(() => tabs.heed(happening)))
    yield* Effect.forkScoped(heed, { startImmediately: true })
    return {
      subscribe: client.subscribe,
      publish: client.publish,
      present: client.present,
      leftovers: client.leftovers,
      forget: client.forget,
      name: client.name,
      ping: client.ping,
      retry: Effect.andThen(
        client.retry,
        Effect.sync(() => tabs.tell("Retry"))
      ),
      state: Effect.sync(() => watched.value),
      states: watched.changes,
      role: Effect.sync(() => tabs.role.value),
      roles: tabs.role.changes
    } satisfies TabsHub
  })) as never
