/**
 * A client of Server-Sent Events: events as a `Stream` that comes back by itself. WHATWG HTML section 9.2.
 *
 *     const events = EventSource.stream("https://example.com/events", { fetch: Fetch.fromWeb(globalThis.fetch) })
 *     yield* Stream.runForEach(events, ({ event, data, id }) => ...)
 *
 * It connects when it is first pulled, and reads no faster than it is pulled. When a connection is lost it waits, as
 * long as the server has asked for and then as long as a `Schedule` says, and asks for what comes behind the last event.
 * Not in here: the network, which is `Fetch`, and what events mean, which is `messaging/TypedEvents`.
 */
import type * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as EventStream from "../codec/EventStream.ts"
import type { Headers } from "../codec/HttpHeaders.ts"
import type * as Protocol from "../protocol/EventSourceProtocol.ts"
import type { EventSourceError, NetworkError, OpenTimeout, Silent } from "./EventSourceError.ts"
import type * as EventSourceRequest from "./EventSourceRequest.ts"
import type { Fetch } from "./Fetch.ts"
import { Reconnecting } from "./Reconnecting.ts"
import type { Refused } from "./Refused.ts"
import type { Happening } from "./Surroundings.ts"

/** The server has ended a response in order. No error, but the end of a connection. */
export interface Ended {
  readonly _tag: "Ended"
  readonly message: string
}

/** Why there is no connection, where another one may be. What a `Schedule` is asked with. */
export interface Lost {
  readonly reason: Ended | NetworkError | OpenTimeout | Refused | Silent
  /**
   * How many connections in a row were lost, with this one. One that has brought an event, or was open for 10 s, begins
   * a new row, and the schedule anew.
   */
  readonly failures: number
  /**
   * What the server asks to be waited at least, in milliseconds, by `retry` and by `Retry-After`. The wait is this and
   * what the schedule adds.
   */
  readonly asked: number
}

/** A request is on its way, or will be as soon as somebody pulls. */
export interface Connecting {
  readonly _tag: "Connecting"
  /** Sent with the request, unless it is empty. */
  readonly lastEventId: string
}

/** The server has answered with an event stream. */
export interface Open {
  readonly _tag: "Open"
  /** After redirects. */
  readonly url: string
  readonly headers: Headers
}

/** The next request will be made in `delay` milliseconds. */
export interface Waiting {
  readonly _tag: "Waiting"
  readonly lost: Lost
  readonly delay: number
  readonly lastEventId: string
}

/**
 * No request is made until the surroundings say `Return`, and then at once. Not lost: no failure is counted, and what
 * comes next is asked for behind the last event.
 */
export interface Away {
  readonly _tag: "Away"
  readonly lastEventId: string
}

/** There will be no more requests. */
export interface Closed {
  readonly _tag: "Closed"
  /**
   * In order: whoever had it is `Done`; the server has `NoContent`, so no more to say, or has `Ended` its response when
   * the schedule had ended, too. Otherwise why it failed.
   */
  readonly reason: Done | Ended | EventSourceError["reason"] | NoContent
}

export interface Done {
  readonly _tag: "Done"
}

/** The server has answered with 204. */
export interface NoContent {
  readonly _tag: "NoContent"
}

/** The ready state of section 9.2.2, with what is true in it. For browsers, to wait is to be connecting. */
export type State = Away | Closed | Connecting | Open | Waiting

/** How to connect, and to come back. Nothing but `fetch` is required. */
export interface Options extends EventSourceRequest.Options {
  readonly fetch: Fetch
  /** Where to begin: sent with the first request. Default: the server decides. */
  readonly lastEventId?: string | undefined
  /**
   * How long to wait on top of what the server asks for, and how often to come back; it begins anew after a connection
   * that was worth it. When it has ended, the end of the last connection is the end.
   *
   * Default `Reconnect.fullJitter()`; and for a request that is not safe, such as POST, `Reconnect.never`, as nobody but
   * you can know whether it may be made again.
   */
  readonly reconnect?: Schedule.Schedule<unknown, Lost> | undefined
  /**
   * The period in which the server sends something, be it a comment. When nothing comes for twice as long while events
   * are waited for, the connection is lost. Default: a server may be silent for ever.
   */
  readonly heartbeat?: Duration.Input | undefined
  /**
   * How long everything may take until a response begins: DNS, TCP, TLS, redirects. Some servers send no head before
   * the first event. Default 30 s.
   */
  readonly openTimeout?: Duration.Input | undefined
  /**
   * What goes on around it, as long as it lives. Default: nothing is known.
   *
   * `Retry` makes the next attempt at once, where one is waited for; a server that has ended the last response, or has
   * refused, is given the time that it has asked for. `Check` does, too, and where there is a `heartbeat`, has a
   * connection on which somebody waits looked at by the clock, as a timer stands still while its machine sleeps: one that
   * was silent for too long has a second left. Nothing can be asked of an event stream, so without a heartbeat
   * one that is open stays so.
   *
   * `Leave` ends the connection, and drops what it has brought and nobody has pulled: that comes again behind the last
   * event, if its server keeps it. Until `Return`, `pull` waits.
   *
   * For a request that is not safe and has no `reconnect` of yours it means nothing, as that is made once.
   */
  readonly surroundings?: Stream.Stream<Happening> | undefined
  /** How much a server may make us hold. Default 1 MiB for a line, and for the data of an event. */
  readonly limits?: Partial<EventStream.Limits> | undefined
  /**
   * The rules of the protocol: what a server may ask to be waited, after which statuses to come back, how many redirects
   * to follow. Default `EventSourceProtocol.defaults`, but that without a `retry` there is no wait but the schedule's.
   */
  readonly rules?: Partial<Protocol.Config> | undefined
}

/** A client of one URL. */
export interface EventSource {
  /**
   * The events that have come, at least one, in order; waits for them, and for connections as long as it takes. For one
   * fiber at a time: a second one dies. It can be interrupted, and pulled again.
   *
   * Ends with `Done` when the server has said that there is no more, with 204, or when it has ended its response and the
   * schedule has ended. Fails on any other end, after what came before it.
   */
  readonly pull: Pull.Pull<Arr.NonEmptyReadonlyArray<EventStream.Event>, EventSourceError>
  /**
   * The same as a stream. One that is ended early, as by `Stream.take`, drops what it has pulled together with its last
   * event. The ID of the last event that you have dealt with is its `id`.
   */
  readonly events: Stream.Stream<EventStream.Event, EventSourceError>
  readonly state: Effect.Effect<State>
  /**
   * The state as it is, and each one after it. Ends behind `Closed`. Who is more than 16 behind misses the oldest. As a
   * connection is looked at only when it is pulled, its loss shows no sooner.
   */
  readonly states: Stream.Stream<State>
}

/**
 * A client that lives as long as the scope. Closing it ends the connection, what waits in `pull`, and leaves nothing
 * behind. It never fails by itself: what is wrong with the options, too, is told by `pull`.
 */
export const make = (url: string, options: Options): Effect.Effect<EventSource, never, Scope.Scope> => {
  const { surroundings } = options
  const made = Effect.acquireRelease(
    Effect.sync(() => new Reconnecting(url, options)),
    ({ close }) => close
  )
  if (surroundings === undefined) return made
  return Effect.tap(made, (source) =>
    Effect.forkScoped(
      Stream.runForEach(surroundings, (happening) => source.happen(happening)),
      { startImmediately: true }
    )
  )
}

/** The events of a client that lives as long as the stream runs; each run is a client of its own. */
export const stream = (url: string, options: Options): Stream.Stream<EventStream.Event, EventSourceError> =>
  Stream.unwrap(Effect.map(make(url, options), ({ events }) => events))
