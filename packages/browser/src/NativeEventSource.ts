/**
 * The platform's own `EventSource` as an event source of `connection/EventSource`: less to load, and the browser comes back
 * by itself. It asks with GET, sets no header, tells of no status and cannot be paused: `BrowserEventSource` can.
 *
 *     const ticks = NativeEventSource.stream("/ticks", { events: ["tick"] })
 */
import type { Event } from "@millrace/core/codec/EventStream"
import type * as EventSource from "@millrace/core/connection/EventSource"
import { EventSourceError, InvalidRequest } from "@millrace/core/connection/EventSourceError"
import { Undisclosed } from "@millrace/core/connection/OpenError"
import { Watched } from "@millrace/core/connection/Watched"
import { InboxFull } from "@millrace/core/connection/WebSocketError"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as PageUrl from "./socket/PageUrl.ts"

/** How to listen. Nothing of it is required. */
export interface Options {
  /** The names of the events that are wanted: a page is told of no others. Default `message`, those without a name. */
  readonly events?: ReadonlyArray<string> | undefined
  /** Whether cookies are shown to another origin. Default `same-origin`: no. */
  readonly credentials?: "include" | "same-origin" | undefined
  /**
   * Bytes of events that wait to be pulled, two for each character, and one event more. Above it the source closes, and
   * ends with `InboxFull` behind what has come. Default 16 MiB.
   */
  readonly inboxBytes?: number | undefined
}

type Events = Arr.NonEmptyReadonlyArray<Event>
type Ending = Exit.Exit<never, Cause.Done | EventSourceError>

class NativeSource implements EventSource.EventSource {
  private readonly url: string
  private readonly options: Options
  private readonly names: ReadonlySet<string>
  private readonly inboxBytes: number
  private readonly watched = new Watched<EventSource.State>(
    { _tag: "Connecting", lastEventId: "" },
    ({ _tag }) => _tag === "Closed"
  )
  private source: globalThis.EventSource | undefined
  private inbox: Array<Event> = []
  private bytes = 0
  private lastEventId = ""
  private ending: Ending | undefined
  private wake: (() => void) | undefined

  constructor(url: string, options: Options) {
    const { events = ["message"], inboxBytes = 16_777_216 } = options
    this.url = url
    this.options = options
    this.names = new Set(events)
    this.inboxBytes = inboxBytes
  }

  get state(): Effect.Effect<EventSource.State> {
    return Effect.sync(() => this.watched.value)
  }

  get states(): Stream.Stream<EventSource.State> {
    return this.watched.changes
  }

  get events(): Stream.Stream<Event, EventSourceError> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  readonly pull: Pull.Pull<Events, EventSourceError> = Effect.suspend(() => {
    if (this.wake !== undefined) return Effect.die(new Error("an event source is for one fiber at a time"))
    if (this.source === undefined && this.ending === undefined) this.open()
    const taken = this.take()
    if (taken !== undefined) return taken
    return Effect.callback<Events, Cause.Done | EventSourceError>((resume) => {
      this.wake = () => {
        this.wake = undefined
        resume(this.take()!)
      }
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
  })

  private take(): Exit.Exit<Events, Cause.Done | EventSourceError> | undefined {
    const { inbox } = this
    if (inbox.length === 0) return this.ending
    this.inbox = []
    this.bytes = 0
    return Exit.succeed(inbox as unknown as Events)
  }

  private open(): void {
    const withCredentials = this.options.credentials === "include"
    try {
      this.source = new globalThis.EventSource(this.url, { withCredentials })
    } catch (cause) {
      return this.finish(new InvalidRequest({ part: "URL", detail: "it is no URL", cause }))
    }
    for (const name of new Set(["open", "error", ...this.names])) this.source.addEventListener(name, this.hear)
  }

  /** A server may call its events as it likes, also as the platform calls its own. */
  private readonly hear = (event: globalThis.Event): void => {
    if (event instanceof MessageEvent) return this.names.has(event.type) ? this.receive(event) : undefined
    const { readyState, url } = this.source!
    if (readyState === 2) this.finish(new Undisclosed({ url }))
    else if (readyState === 1) this.watched.set({ _tag: "Open", url, headers: [] })
    else this.watched.set({ _tag: "Connecting", lastEventId: this.lastEventId })
  }

  private receive({ data, lastEventId, type }: MessageEvent<string>): void {
    this.inbox.push({ event: type, data, id: lastEventId })
    this.bytes += 2 * (type.length + data.length + lastEventId.length)
    this.lastEventId = lastEventId
    if (this.wake !== undefined) this.wake()
    else if (this.bytes > this.inboxBytes) this.finish(new InboxFull({ limit: this.inboxBytes }))
  }

  /** Whoever is first says how it ended. */
  finish(reason: EventSource.Done | EventSourceError["reason"]): void {
    if (this.ending !== undefined) return
    this.ending = Exit.fail(reason._tag === "Done" ? Cause.Done() : new EventSourceError({ reason }))
    this.source?.close()
    this.watched.set({ _tag: "Closed", reason })
    this.wake?.()
  }
}

/**
 * An event source that lives as long as the scope, and connects when it is first pulled. `url` is as in a link.
 *
 * It has what an event source has, and tells less:
 *
 * - When it is lost the browser waits and comes back, by the server's `retry` and its own rules, and with the last event
 *   ID. Meanwhile `states` says `Connecting`. `Open` has no headers, and not the URL after redirects.
 * - Any answer but an event stream is the end, 503 and 204 alike: `Undisclosed`, as a page is not told which.
 * - It never waits for the page: see `inboxBytes`.
 */
export const make = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<EventSource.EventSource, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new NativeSource(PageUrl.resolve(url), options)),
    (source) => Effect.sync(() => source.finish({ _tag: "Done" }))
  )

/** The events of a source that lives as long as the stream runs; each run is a source of its own. */
export const stream = (url: string | URL, options: Options = {}): Stream.Stream<Event, EventSourceError> =>
  Stream.unwrap(Effect.map(make(url, options), ({ events }) => events))
