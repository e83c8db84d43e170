/**
 * Event sources of a page or a worker, over the platform's `fetch`.
 *
 *     const program = BrowserEventSource.stream("/events", { headers: { Authorization: "Bearer 123" } }).pipe(
 *       Stream.runForEach(({ event, data }) => Console.log(event, data))
 *     )
 *
 * Where the platform's own `EventSource` can only ask with GET, sets no header, tells of no status and cannot be paused,
 * this one can, does and is. The rules are those of `connection/EventSource`, as on a server.
 */
import type { Event } from "@millrace/core/codec/EventStream"
import * as EventSource from "@millrace/core/connection/EventSource"
import type { EventSourceError } from "@millrace/core/connection/EventSourceError"
import * as Fetch from "@millrace/core/connection/Fetch"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as PageLife from "./PageLife.ts"
import * as PageUrl from "./socket/PageUrl.ts"

/**
 * How to connect, and to come back. Nothing of it is required. `surroundings` are by default those of the page:
 * `PageLife.surroundings`; with `Stream.empty` there are none.
 */
export interface Options extends Omit<EventSource.Options, "fetch"> {
  /** Whether cookies and the like are shown: see `RequestInit`. Default `same-origin`: to the page's own origin only. */
  readonly credentials?: "include" | "omit" | "same-origin" | undefined
  /**
   * `follow`, the default, leaves redirects to the browser, as it shows them to nobody: it follows 20, and takes
   * `Authorization`, but no other header of yours, away on the way to another origin. With `manual` a redirect is
   * `Refused`, with status 0.
   */
  readonly redirect?: "follow" | "manual" | undefined
}

/**
 * An event source: see `EventSource.make`. `url` is as in a link: `/events` is on the page's own host, or on that of the
 * worker's script.
 *
 * What differs from one on a server:
 *
 * - `NetworkError` is all that a page is told when a name, a certificate, the line or CORS is at fault. All of them
 *   are come back from, as nobody can say which may pass.
 * - Another origin has to allow the page by CORS, and every header of yours, which it is asked about first. That is
 *   also so of `Last-Event-ID`: without `Access-Control-Allow-Headers: Last-Event-ID` there is no coming back.
 * - A page that is frozen or left has no connection: another is opened when it goes on, behind the last event. With
 *   the network, when the page is seen, and after a sleep the next attempt is made at once; with `heartbeat`, a
 *   connection that was silent for too long has a second left.
 * - Over HTTP/1.1 a browser has six connections for a host, in all tabs, of which each source has one.
 */
export const make = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<EventSource.EventSource, never, Scope.Scope> =>
  EventSource.make(PageUrl.resolve(url), settled(options))

/** The events alone: see `EventSource.stream`. */
export const stream = (url: string | URL, options: Options = {}): Stream.Stream<Event, EventSourceError> =>
  EventSource.stream(PageUrl.resolve(url), settled(options))

const settled = (options: Options): EventSource.Options => ({
  ...options,
  surroundings: options.surroundings ?? PageLife.surroundings,
  fetch: fetch(options)
})

/** Makes requests with the platform's `fetch`. */
export const fetch = ({
  credentials,
  redirect = "follow"
}: Pick<Options, "credentials" | "redirect"> = {}): Fetch.Fetch =>
  Fetch.fromWeb(globalThis.fetch, { credentials, redirect })
