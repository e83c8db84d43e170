/**
 * What makes a request: the network, as an argument. `fromWeb` makes one of any WHATWG `fetch`; others are in the
 * platform packages, and one of your own is a function.
 *
 * Not in here: redirects and their rules, which are those of whoever asks.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Scope from "effect/Scope"
import type { Headers } from "../codec/HttpHeaders.ts"
import { type InvalidRequest, type NetworkError, networkError } from "./EventSourceError.ts"

export interface Request {
  readonly method: string
  /** `http:` or `https:`, without a user and without a fragment. */
  readonly url: string
  /** Checked: no name is anything but a token, no value has a control character, none is above U+00FF. */
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer> | undefined
  /**
   * Whether what the platform knows by itself may be shown, such as a client certificate or cookies. Not to another
   * origin to which a redirect leads.
   */
  readonly credentials: boolean
}

export interface Response {
  readonly status: number
  readonly headers: Headers
  /** Where it came from. That is another URL than the request's only where the platform has followed redirects. */
  readonly url: string
  /** The content coding that is still to be undone, if any; most platforms undo it themselves. RFC 9110 section 8.4. */
  readonly coding?: string | undefined
  /** Why the platform shows no more of it than this. */
  readonly detail?: string | undefined
  /** Read once at most, and no faster than it is pulled. */
  readonly body: Stream.Stream<Uint8Array, NetworkError>
}

/**
 * Sends a request, from no cache, and waits for the head of the response. It follows no redirect, unless the platform
 * knows no other way.
 *
 * All of it lasts as long as the scope: closing it ends the exchange and its body, also for a fiber that waits for more
 * of it. Interrupting the effect leaves nothing behind.
 */
export type Fetch = (request: Request) => Effect.Effect<Response, InvalidRequest | NetworkError, Scope.Scope>

// WHATWG.

interface WebReader {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  readonly cancel: () => Promise<void>
}

/** As much as is needed of the response of a WHATWG `fetch`. */
export interface WebResponse {
  readonly status: number
  readonly url: string
  readonly type: string
  readonly headers: { readonly forEach: (each: (value: string, name: string) => void) => void }
  readonly body: { readonly getReader: () => WebReader; readonly cancel: () => Promise<void> } | null
}

export interface WebInit {
  readonly method: string
  readonly headers: Array<[string, string]>
  readonly body?: Uint8Array<ArrayBuffer>
  readonly redirect: "follow" | "manual"
  readonly cache: "no-store"
  readonly credentials?: "include" | "omit" | "same-origin"
  readonly signal: AbortSignal
}

/** Any WHATWG `fetch`, such as `globalThis.fetch`. */
export type WebFetch = (url: string, init: WebInit) => Promise<WebResponse>

/** How a WHATWG `fetch` is called. What else is in here is handed on to it, such as the `dispatcher` of `undici`. */
export interface WebOptions {
  /**
   * `manual`, the default, leaves redirects to the event source, which shows no header of yours to another origin.
   * Browsers do not show redirects to anybody: there, `follow` lets them follow by their own rules, by which only
   * `Authorization` is left out.
   */
  readonly redirect?: "follow" | "manual" | undefined
  /** Whether a browser sends cookies: see `RequestInit`. */
  readonly credentials?: "include" | "omit" | "same-origin" | undefined
  readonly [option: string]: unknown
}

/** A `Fetch` by way of any WHATWG `fetch`. It undoes content codings itself. */
export const fromWeb =
  (fetch: WebFetch, options: WebOptions = {}): Fetch =>
  (request) =>
    Effect.map(
      Effect.acquireRelease(send(fetch, options, request), ({ close }) => close, { interruptible: true }),
      ({ response }) => response
    )

interface Exchange {
  readonly response: Response
  readonly close: Effect.Effect<void>
}

const send = (fetch: WebFetch, options: WebOptions, request: Request): Effect.Effect<Exchange, NetworkError> =>
  Effect.callback<Exchange, NetworkError>((resume, signal) => {
    const { credentials, redirect = "manual", ...rest } = options
    const shown = request.credentials ? credentials : "omit"
    const init: WebInit = {
      cache: "no-store",
      ...rest,
      redirect,
      method: request.method,
      headers: request.headers.map(([name, value]) => [name, value]),
      signal,
      ...(request.body !== undefined && { body: request.body }),
      ...(shown !== undefined && { credentials: shown })
    }
    const failed = (cause: unknown) => resume(Effect.fail(networkError(cause)))
    const answered = (response: WebResponse) => {
      // Interrupting and being answered may meet: then nobody will close it but we.
      if (signal.aborted) void response.body?.cancel().catch(ignore)
      else resume(Effect.succeed(exchange(request, response)))
    }
    try {
      fetch(request.url, init).then(answered, failed)
    } catch (cause) {
      failed(cause)
    }
  })

const ignore = () => {}

const exchange = (request: Request, response: WebResponse): Exchange => {
  const headers: Array<[string, string]> = []
  response.headers.forEach((value, name) => headers.push([name, value]))
  const { status } = response
  const url = response.url === "" ? request.url : response.url
  const detail = response.type === "opaqueredirect" ? "a redirect, which this platform does not show" : undefined
  if (response.body === null)
    return { response: { status, headers, url, detail, body: Stream.empty }, close: Effect.void }
  const reader = response.body.getReader()
  return {
    response: { status, headers, url, detail, body: bodyOf(reader) },
    // Whoever reads is at the end then.
    close: Effect.sync(() => void reader.cancel().catch(ignore))
  }
}

const bodyOf = (reader: WebReader): Stream.Stream<Uint8Array, NetworkError> => {
  /** A read whose fiber was interrupted is for the next one. */
  let reading: ReturnType<WebReader["read"]> | undefined
  const pull = Effect.callback<readonly [Uint8Array], Cause.Done | NetworkError>((resume) => {
    let waiting = true
    const settle = (result: typeof pull) => {
      if (!waiting) return
      reading = undefined
      resume(result)
    }
    reading ??= reader.read()
    reading.then(
      ({ value }) => settle(value === undefined ? Cause.done() : Effect.succeed([value])),
      (cause: unknown) => settle(Effect.fail(networkError(cause)))
    )
    return Effect.sync(() => {
      waiting = false
    })
  })
  return Stream.fromPull(Effect.succeed(pull))
}
