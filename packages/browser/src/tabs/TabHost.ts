/**
 * The one that has the connection, be it a tab or a worker: a client of the hub, and a relay to it for each tab.
 */
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as HubRelay from "@millrace/core/cluster/HubRelay"
import type { Happening } from "@millrace/core/connection/Surroundings"
import { Watched } from "@millrace/core/connection/Watched"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BrowserWebSocket from "../BrowserWebSocket.ts"
import * as PageLife from "../PageLife.ts"
import type { Port, PortLink } from "./PortLink.ts"
import * as TabLock from "./TabLock.ts"
import * as TabWire from "./TabWire.ts"

/** Of the one connection. */
export interface Options extends Omit<HubClient.Options, "store"> {
  /** Of the hub's WebSocket, as in a link: of a tab against its page, of a worker against its script. */
  readonly url: string | URL
  /** How it is opened. */
  readonly socket?: BrowserWebSocket.Options | undefined
}

/** How the connection is, for those who are served. */
export interface Note {
  readonly isOpen: boolean
  /** How many attempts in a row have failed. */
  readonly failures: number
}

/** Any script of this origin can say something between two tabs. */
export const isNote = (said: unknown): said is Note => {
  const { failures, isOpen } = Object(said) as { readonly [Name in keyof Note]: unknown }
  return typeof isOpen === "boolean" && typeof failures === "number"
}

export interface TabHost {
  /** Serves a tab until it goes, or this one does; `life` is the lock that the tab holds as long as it lives. */
  readonly serve: (port: Port, life: string | undefined) => Effect.Effect<void>
  /** Serves none of them any more, in this very turn. */
  readonly leave: () => void
  /** Whether the connection has stopped for good. */
  readonly hasStopped: () => boolean
}

/** A WebSocket of the hub. */
export const connect = ({ socket, url }: Options): ReturnType<typeof BrowserWebSocket.open> =>
  BrowserWebSocket.open(url, { subprotocols: HubClient.subprotocols, ...socket })

/** What a client in a page has where nothing else is said: it can send no Ping. */
export const defaults = { heartbeat: "25 seconds" } as const

/** Connects, and serves as long as the scope. `life` is the lock that it holds as long as it lives. */
export const make = (options: Options, life: string | undefined): Effect.Effect<TabHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { surroundings = PageLife.surroundings } = options
    const context = yield* Effect.context<never>()
    const happenings = new Watched<Happening>("Retry", () => false)
    const heed = Stream.runForEach(surroundings, (happening) => Effect.sync(() => happenings.set(happening)))
    const upstream = yield* HubClient.make(connect(options), {
      ...defaults,
      ...options,
      surroundings: happenings.changes,
      store: undefined
    })
    yield* Effect.forkScoped(heed, { startImmediately: true })
    let hasStopped = false
    const watch = Stream.runForEach(upstream.states, ({ _tag }) =>
      Effect.sync(() => {
        hasStopped = _tag === "Stopped"
      })
    )
    yield* Effect.forkScoped(watch, { startImmediately: true })
    const onAside = (said: unknown) => {
      // A tab may know of what this one is not told: it was looked at, or its user has had enough of waiting.
      if (said === "Retry" || said === "Check") happenings.set(said)
    }
    const served = new Set<PortLink>()
    const serve = (port: Port, tab: string | undefined) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { connection, link } = TabWire.over(port, context, { life: { name: life }, onAside })
          served.add(link)
          yield* Effect.addFinalizer((exit) => {
            served.delete(link)
            return connection.shutdown(exit)
          })
          if (tab !== undefined) yield* TabWire.untilDeath(tab, link)
          const tell = Stream.runForEach(upstream.states, (state) =>
            Effect.sync(() => {
              const failures =
                state._tag === "Connecting" ? state.failures : state._tag === "Waiting" ? state.lost.failures : 0
              link.aside({ isOpen: state._tag === "Open", failures } satisfies Note)
            })
          )
          yield* Effect.forkScoped(tell, { startImmediately: true })
          yield* HubRelay.serve(upstream, connection)
        })
      )
    const leave = () => {
      for (const link of served) link.leave()
    }
    return { serve, leave, hasStopped: () => hasStopped }
  })

/** A name that nobody else has, for a lock that is held now; `undefined` where there are none. */
export const live = (base: string, name: string) =>
  Effect.matchEffect(TabLock.hold(`${base} ${name}`), {
    onFailure: () => Effect.undefined,
    onSuccess: (release) => Effect.succeed({ name: `${base} ${name}`, release })
  })
