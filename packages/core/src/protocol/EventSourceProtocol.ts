/**
 * A client of an event stream as a state machine: WHATWG HTML sections 9.2.2 (ready state, reconnection time, last event
 * ID), 9.2.3 (what a response means, connecting again) and 9.2.4 (`Last-Event-ID`).
 *
 * No network, no clock, no randomness. A transition takes a state and what happened, and gives the next state with the
 * actions it calls for, to be carried out in order. All are total: what a server does is never an exception, and what
 * can no longer happen changes nothing.
 *
 *     start                 respond: 200                ended
 *    -------> Connecting ------------------> Open ----------------> Waiting
 *               ^  `------- ended, or a status to come back after ---^  |
 *               `--------------------- elapsed -------------------------'
 *
 * and from each of them to Closed, which is final: by `close`, by 204, or by what coming back would not mend.
 *
 * Times are in milliseconds. How long to wait beyond what is asked for, as the standard lets a client do after failures,
 * and who gets a request's credentials after a redirect to another origin, is for whoever carries the actions out.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as EventStream from "../codec/EventStream.ts"
import type { EventStreamViolation } from "../codec/EventStreamError.ts"
import * as HttpHeaders from "../codec/HttpHeaders.ts"
import * as Redirection from "../codec/Redirection.ts"
import * as RetryAfter from "../codec/RetryAfter.ts"

/**
 * A last event ID that cannot be the value of a header field: it has a control character other than a tab. RFC 9110
 * section 5.5. Where a client begins with it, it is the caller's fault; where a server has sent it, the server's.
 */
export class UnsendableLastEventId extends Data.TaggedError("UnsendableLastEventId")<{
  readonly lastEventId: string
}> {
  override get message(): string {
    return "last event ID with a control character, which no header field can hold (RFC 9110 5.5)"
  }
}

/** What of a response counts before its body. */
export interface Response {
  /** Not 1xx: the final one. */
  readonly status: number
  readonly headers: HttpHeaders.Headers
}

/** The server answered with something other than an event stream, and is not asked again: section 9.2.3. */
export class UnexpectedResponse extends Data.TaggedError("UnexpectedResponse")<{
  /** Another status than 200, a 200 that is no event stream, or one redirect too many. */
  readonly reason: "status" | "type" | "redirects"
  readonly response: Response
}> {
  override get message(): string {
    switch (this.reason) {
      case "status":
        return `The server answered with status ${this.response.status} (WHATWG HTML 9.2.3)`
      case "type":
        return "The server answered with something other than text/event-stream (WHATWG HTML 9.2.3)"
      case "redirects":
        return "The server redirected too often (WHATWG Fetch 4.4)"
    }
  }
}

/** Why there will be no more events. */
export type Reason =
  /** We closed it. */
  | { readonly _tag: "Done" }
  /** The server answered 204: it has no more. Section 9.2.1. Not an error. */
  | { readonly _tag: "NoContent" }
  | UnexpectedResponse
  | EventStreamViolation
  | UnsendableLastEventId

/** What every state knows, for the next request. */
interface Position {
  /** The last event ID string: that of the last block that was dispatched, or empty. Section 9.2.2. */
  readonly lastEventId: string
  /** How long to wait before connecting again: the configured time, or the server's, within the bounds. 9.2.2. */
  readonly reconnectionTime: number
}

/** A request is on its way. */
export interface Connecting extends Position {
  readonly _tag: "Connecting"
  /** How many attempts before this one, in a row, have brought no byte of an event stream. */
  readonly failures: number
  /** How many redirects this attempt has followed. */
  readonly redirects: number
}

/** Events may come. */
export interface Open extends Position {
  readonly _tag: "Open"
  /** How many attempts in a row have brought no byte of an event stream, with this one until it has brought one. */
  readonly failures: number
}

/** No request is on its way; the next one follows in a while. */
export interface Waiting extends Position {
  readonly _tag: "Waiting"
  readonly failures: number
}

/** Nothing more will happen. */
export interface Closed extends Position {
  readonly _tag: "Closed"
  readonly reason: Reason
}

export type State = Connecting | Open | Waiting | Closed

/** What a transition calls for. */
export type Action =
  /**
   * Make the request anew, at the URL that the client began with, adding these fields. It must not be answered from a
   * cache: section 9.2.2.
   */
  | { readonly _tag: "Connect"; readonly headers: HttpHeaders.Headers }
  /**
   * Make the same request at this place, relative to where it was made, with the method of `Redirection.methodAfter`. Where
   * this is no URL, or another origin that may not be asked, the attempt has `ended`.
   */
  | { readonly _tag: "Redirect"; readonly location: string; readonly status: number }
  /** Hand these events, at least one, to the application. */
  | { readonly _tag: "Deliver"; readonly events: ReadonlyArray<EventStream.Event> }
  /** Let go of the request, and of the response that has come, without reading on. */
  | { readonly _tag: "Cancel" }
  /**
   * Say `elapsed` after this many milliseconds, or more: after `failures` attempts in a row without success it is good
   * manners to wait longer each time.
   */
  | { readonly _tag: "Wait"; readonly delay: number; readonly failures: number }

/** The next state, and what is to be done, in this order. */
export type Transition = readonly [state: State, actions: ReadonlyArray<Action>]

/** What does not change while a client lasts. */
export interface Config {
  /** The reconnection time until the server names one. */
  readonly reconnectionTime: number
  /** The least and the most that a server's `retry` can make of it. */
  readonly minReconnectionTime: number
  readonly maxReconnectionTime: number
  /** The most that a `Retry-After` can make a client wait. */
  readonly maxRetryAfter: number
  /** Redirects followed in one attempt. */
  readonly maxRedirects: number
  /** Statuses after which the client comes back. Neither 200 nor 204, and no redirect that is followed. */
  readonly retryStatuses: ReadonlyArray<number>
}

/** What the standard says: a response with any other status than 200 is the end. Section 9.2.3. */
export const standardStatuses: ReadonlyArray<number> = []

/**
 * What passes by itself, or is meant to: 408, 425, 429, and 500, 502, 503 and 504, which a server, or a proxy before it,
 * also gives while it is started anew. The standard, and so every browser, gives up for good on each of them.
 */
export const transientStatuses: ReadonlyArray<number> = [408, 425, 429, 500, 502, 503, 504]

/**
 * 3 s, which the server may make 100 ms to 5 min; for a `Retry-After` up to an hour; 20 redirects, as in Fetch; back
 * again after `transientStatuses`.
 */
export const defaults: Config = {
  reconnectionTime: 3_000,
  minReconnectionTime: 100,
  maxReconnectionTime: 300_000,
  maxRetryAfter: 3_600_000,
  maxRedirects: 20,
  retryStatuses: transientStatuses
}

/** The attribute of section 9.2.2. */
export const readyState = (state: State): "connecting" | "open" | "closed" =>
  state._tag === "Open" ? "open" : state._tag === "Closed" ? "closed" : "connecting"

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * A last event ID as the value of `Last-Event-ID`: its UTF-8, each byte a character, which is what `fetch` and
 * `node:http` take. Section 9.2.3. Without white space around it, which HTTP does not carry.
 */
export const printLastEventId = (lastEventId: string): Result.Result<string, UnsendableLastEventId> => {
  let value = ""
  for (const byte of encoder.encode(lastEventId)) {
    if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) return Result.fail(new UnsendableLastEventId({ lastEventId }))
    value += String.fromCharCode(byte)
  }
  return Result.succeed(HttpHeaders.trim(value))
}

/**
 * For a server: the last event ID that a request's fields name, each character of them one byte, or `undefined`. Any
 * string may be in it: the client has chosen it. Section 9.2.4.
 */
export const readLastEventId = (headers: HttpHeaders.Headers): string | undefined => {
  const value = HttpHeaders.values(headers, "Last-Event-ID").at(-1)
  if (value === undefined) return undefined
  const bytes = Uint8Array.from(value, (character) => character.charCodeAt(0))
  // What somebody has decoded already is left as it is.
  return bytes.every((byte, at) => byte === value.charCodeAt(at)) ? decoder.decode(bytes) : value
}

/** Whether the type is that of an event stream, whatever its parameters say. */
const isEventStream = ({ headers }: Response): boolean => {
  const [essence = ""] = (HttpHeaders.values(headers, "Content-Type").at(-1) ?? "").split(";")
  return HttpHeaders.equalsIgnoringCase(HttpHeaders.trim(essence), EventStream.mediaType)
}

const clamp = (time: number, least: number, most: number) => Math.min(Math.max(time, least), most)

const cancel: Action = { _tag: "Cancel" }

const positionOf = ({ lastEventId, reconnectionTime }: State): Position => ({ lastEventId, reconnectionTime })

const connecting = (position: Position, failures: number, value: string): Transition => [
  { _tag: "Connecting", ...position, failures, redirects: 0 },
  [
    {
      _tag: "Connect",
      headers: [
        ["Accept", EventStream.mediaType],
        ...(position.lastEventId === "" ? [] : [["Last-Event-ID", value] as const])
      ]
    }
  ]
]

const waiting = (
  state: Connecting | Open,
  failures: number,
  delay: number,
  before: ReadonlyArray<Action>
): Transition => [{ _tag: "Waiting", ...positionOf(state), failures }, [...before, { _tag: "Wait", delay, failures }]]

const closed = (state: State, reason: Reason, actions: ReadonlyArray<Action>): Transition => [
  { _tag: "Closed", ...positionOf(state), reason },
  actions
]

/**
 * The first request. A `lastEventId` takes up what an earlier client has left off. Fails when it cannot be sent, which
 * is the caller's fault.
 */
export const start = (config: Config, lastEventId = ""): Result.Result<Transition, UnsendableLastEventId> =>
  Result.map(printLastEventId(lastEventId), (value) =>
    connecting({ lastEventId, reconnectionTime: config.reconnectionTime }, 0, value)
  )

/**
 * The head of a response has come: section 9.2.3.
 *
 * | response                                              | what it means                             |
 * | ----------------------------------------------------- | ----------------------------------------- |
 * | 200 and `text/event-stream`                           | open                                      |
 * | 204                                                   | closed, as the server wishes              |
 * | 301, 302, 303, 307, 308 with a `Location`             | the same attempt, elsewhere               |
 * | one of `retryStatuses`                                | wait, at least as long as `Retry-After`   |
 * | any other, and 200 of another type                    | closed: `UnexpectedResponse`              |
 *
 * `now` is in milliseconds since 1970, for a `Retry-After` that names a date.
 */
export const respond = (config: Config, state: State, response: Response, now: number): Transition => {
  if (state._tag !== "Connecting") return [state, []]
  const { headers, status } = response
  if (status === 200 && isEventStream(response)) {
    return [{ _tag: "Open", ...positionOf(state), failures: state.failures + 1 }, []]
  }
  if (status === 204) return closed(state, { _tag: "NoContent" }, [cancel])
  const [location] = Redirection.isRedirection(status) ? HttpHeaders.values(headers, "Location") : []
  if (location !== undefined) {
    return state.redirects < config.maxRedirects
      ? [{ ...state, redirects: state.redirects + 1 }, [cancel, { _tag: "Redirect", location, status }]]
      : closed(state, new UnexpectedResponse({ reason: "redirects", response }), [cancel])
  }
  if (status !== 200 && config.retryStatuses.includes(status)) {
    const asked = Math.min(RetryAfter.read(headers, now) ?? 0, config.maxRetryAfter)
    return waiting(state, state.failures + 1, Math.max(state.reconnectionTime, asked), [cancel])
  }
  return closed(state, new UnexpectedResponse({ reason: status === 200 ? "type" : "status", response }), [cancel])
}

/**
 * Some of the body has come and is parsed, by a parser that began with the `lastEventId` of the state. Events are
 * delivered, `retry` and the last event ID are kept. Past a limit nothing would be better the next time, so that is the
 * end.
 */
export const receive = (config: Config, state: State, parsed: EventStream.Parsed): Transition => {
  if (state._tag !== "Open") return [state, []]
  const { events, lastEventId, retry, violation } = parsed
  const reconnectionTime =
    retry === undefined ? state.reconnectionTime : clamp(retry, config.minReconnectionTime, config.maxReconnectionTime)
  const actions: Array<Action> = events.length === 0 ? [] : [{ _tag: "Deliver", events }]
  const next: Open = { _tag: "Open", lastEventId, reconnectionTime, failures: 0 }
  return violation === undefined ? [next, actions] : closed(next, violation, [...actions, cancel])
}

/**
 * There is no response, or no more of it: the network failed, the body ended, or the server was silent for too long.
 * The client comes back: "reestablish the connection".
 */
export const ended = (state: State): Transition => {
  if (state._tag !== "Connecting" && state._tag !== "Open") return [state, []]
  return waiting(state, state._tag === "Open" ? state.failures : state.failures + 1, state.reconnectionTime, [])
}

/** What was asked for with `Wait` is over: the next attempt, which says what came last. */
export const elapsed = (state: State): Transition => {
  if (state._tag !== "Waiting") return [state, []]
  const value = printLastEventId(state.lastEventId)
  return Result.isSuccess(value)
    ? connecting(positionOf(state), state.failures, value.success)
    : closed(state, value.failure, [])
}

/** The method of section 9.2.2: nothing more is asked for, or delivered. */
export const close = (state: State): Transition => {
  if (state._tag === "Closed") return [state, []]
  return closed(state, { _tag: "Done" }, state._tag === "Waiting" ? [] : [cancel])
}
