/**
 * The life of a page: it loses the network and gets it back, is hidden and shown, put into the back/forward cache and
 * taken out again, frozen and resumed; and the machine under it sleeps.
 *
 *     yield* PageLife.events.pipe(Stream.runForEach((event) => Effect.log(event._tag)))
 *     yield* Client.make(Chat, open, { surroundings: PageLife.surroundings })
 *
 * Runs in workers, too, which have no more of it than the network and the clock. It listens to neither `unload` nor
 * `beforeunload`: a page that does is not put into the cache.
 */
import type { Happening } from "@millrace/core/connection/Surroundings"
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** What has happened to the page: HTML section 8.1.7, Page Lifecycle, Page Visibility. */
export type PageEvent =
  /** There may be a network; that the server can be reached is not said. */
  | { readonly _tag: "Online" }
  | { readonly _tag: "Offline" }
  | { readonly _tag: "Visible" }
  | { readonly _tag: "Hidden" }
  /** Its timers and callbacks stand still from now on, to save power or for the cache. */
  | { readonly _tag: "Frozen" }
  | { readonly _tag: "Resumed" }
  /** It is left: `persisted` when it may go into the back/forward cache, else it is over. */
  | { readonly _tag: "Left"; readonly persisted: boolean }
  /** It is there: `persisted` when it has come out of the cache. */
  | { readonly _tag: "Shown"; readonly persisted: boolean }
  /** The clock has gone on without it, for so many milliseconds: the machine slept, or its clock was set. */
  | { readonly _tag: "Slept"; readonly lost: number }

/** What a page is at. */
export interface State {
  readonly isOnline: boolean
  /** Always in a worker. */
  readonly isVisible: boolean
}

/** How often the clock is looked at, in milliseconds. */
const tick = 5_000

/** So much more than it should be has to be gone for a sleep. What is less may be a page that was busy. */
const lateness = 5_000

/** How many events may wait for who pulls; the oldest are dropped then. */
const behind = 64

type Tell = (event: PageEvent) => void

/** A browser throttles the timers of what is not seen to one a minute: they tell nothing of sleep. */
const isVisible = (): boolean => globalThis.document?.visibilityState !== "hidden"

/** Until the signal. */
const listen = (tell: Tell, signal: AbortSignal): void => {
  const on = (target: EventTarget | undefined, type: string, event: (of: PageTransitionEvent) => PageEvent) =>
    target?.addEventListener(type, (of) => tell(event(of as PageTransitionEvent)), { signal })
  // For Chromium they are the document's; nobody else has them.
  const { document } = globalThis as { readonly document?: Document }
  on(globalThis, "online", () => ({ _tag: "Online" }))
  on(globalThis, "offline", () => ({ _tag: "Offline" }))
  on(document, "visibilitychange", () => ({ _tag: isVisible() ? "Visible" : "Hidden" }))
  on(document, "freeze", () => ({ _tag: "Frozen" }))
  on(document, "resume", () => ({ _tag: "Resumed" }))
  on(globalThis, "pagehide", ({ persisted }) => ({ _tag: "Left", persisted }))
  on(globalThis, "pageshow", ({ persisted }) => ({ _tag: "Shown", persisted }))
  let last = Date.now()
  let wasVisible = isVisible()
  const timer = setInterval(() => {
    const now = Date.now()
    const lost = now - last - tick
    if (lost > lateness && wasVisible && isVisible()) tell({ _tag: "Slept", lost })
    last = now
    wasVisible = isVisible()
  }, tick)
  signal.addEventListener("abort", () => clearInterval(timer))
}

/** Each run listens for itself, from when it is first pulled; who pulls is woken in the very turn of the event. */
const heard = <A>(each: () => (event: PageEvent) => A | undefined): Stream.Stream<A> => {
  const begin = Effect.sync(() => {
    const stopping = new AbortController()
    const of = each()
    let waiting: Array<A> = []
    let wake: (() => void) | undefined
    const tell: Tell = (event) => {
      const value = of(event)
      if (value === undefined) return
      if (waiting.push(value) > behind) waiting.shift()
      wake?.()
    }
    listen(tell, stopping.signal)
    const pull = Effect.callback<Arr.NonEmptyReadonlyArray<A>>((resume) => {
      wake = () => {
        if (waiting.length === 0) return
        wake = undefined
        const taken = waiting
        waiting = []
        resume(Effect.succeed(taken as unknown as Arr.NonEmptyReadonlyArray<A>))
      }
      wake()
      return Effect.sync(() => {
        wake = undefined
      })
    })
    return { pull, stopping }
  })
  const listening = Effect.acquireRelease(begin, ({ stopping }) => Effect.sync(() => stopping.abort()))
  return Stream.scoped(Stream.fromPull(Effect.map(listening, ({ pull }) => pull)))
}

/** The page as it is. */
export const state: Effect.Effect<State> = Effect.sync(() => ({
  // Where nobody can say, as in some workers, it is taken for granted.
  isOnline: globalThis.navigator?.onLine !== false,
  isVisible: isVisible()
}))

/** What happens from now on. Who does not pull misses the oldest of more than 64. */
export const events: Stream.Stream<PageEvent> = heard(() => (event) => event)

/**
 * What a client should make of it, and what the clients of this package do by default:
 *
 * - `Left` and `Frozen` are `Leave`: a page with an open connection is not put into the cache, and one that stands still
 *   reads nothing, while its server holds what it says. `Shown` and `Resumed` behind them are `Return`.
 * - `Online`, `Visible` and `Slept` are `Check`: an attempt is made at once where one is waited for, and an open
 *   connection has to show that it lives.
 *
 * `Offline` and `Hidden` are nothing to act upon: browsers are wrong about the former, and a page that is hidden listens.
 */
export const surroundings: Stream.Stream<Happening> = heard(() => {
  let isAway = false
  return ({ _tag }): Happening | undefined => {
    switch (_tag) {
      case "Left":
      case "Frozen":
        if (isAway) return undefined
        isAway = true
        return "Leave"
      case "Resumed":
      case "Shown":
        if (!isAway) return undefined
        isAway = false
        return "Return"
      case "Online":
      case "Slept":
      case "Visible":
        return isAway ? undefined : "Check"
      default:
        return undefined
    }
  }
})
