/**
 * Opening a connection by a request of HTTP, for those that are no WebSocket: the request for an address as people write
 * it, and why there is no connection, by the same errors as a WebSocket's.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { InvalidRequest, NetworkError } from "./EventSourceError.ts"
import * as EventSourceRequest from "./EventSourceRequest.ts"
import type { Request, Response } from "./Fetch.ts"
import { InvalidOptions, InvalidUrl, type OpenError } from "./OpenError.ts"
import { Refused } from "./Refused.ts"
import { TransportError } from "./WebSocketError.ts"

export type Reason = OpenError["reason"]

/** Both names of each scheme. */
const schemes: ReadonlyArray<readonly [RegExp, string]> = [
  [/^ws:/i, "http:"],
  [/^wss:/i, "https:"]
]

/**
 * A request. `ws:` and `wss:` mean `http:` and `https:`, and in a page a relative address is against the page's own.
 */
export const requestOf = (input: string, options: EventSourceRequest.Options): Result.Result<Request, Reason> => {
  const { document, location } = globalThis as {
    readonly document?: { readonly baseURI?: string }
    readonly location?: { readonly href?: string }
  }
  const base = document?.baseURI ?? location?.href
  if (!URL.canParse(input, base)) return Result.fail(new InvalidUrl({ url: input, detail: "it is no URL" }))
  let { href } = new URL(input, base)
  for (const [scheme, plain] of schemes) href = href.replace(scheme, plain)
  return Result.mapError(EventSourceRequest.make(href, options), (error) =>
    error.part === "URL" ? new InvalidUrl({ url: input, detail: error.detail }) : new InvalidOptions({ cause: error })
  )
}

/** Why there was no answer. */
export const unsent = (error: InvalidRequest | NetworkError): Reason =>
  error._tag === "InvalidRequest" ? new InvalidOptions({ cause: error }) : new TransportError({ cause: error.cause })

/** The most of the body of a refusal that is kept, in bytes. */
const maxRefusalBytes = 65_536

/** Reads what the server says instead, as far as it is kept. */
export const refuse = (
  { body, headers, status, url }: Response,
  detail: string | undefined
): Effect.Effect<never, Reason> => {
  let text = new Uint8Array(0)
  let whole = true
  const reading = Stream.runForEachWhile(body, (chunk) =>
    Effect.sync(() => {
      const taken = chunk.subarray(0, maxRefusalBytes - text.length)
      const longer = new Uint8Array(text.length + taken.length)
      longer.set(text)
      longer.set(taken, text.length)
      text = longer
      whole = taken.length === chunk.length
      return whole
    })
  )
  return Effect.flatMap(Effect.exit(reading), (exit) => {
    const truncated = Exit.isFailure(exit) || !whole
    return Effect.fail(new Refused({ status, headers, url, body: text, truncated, detail }))
  })
}
