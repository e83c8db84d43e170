/**
 * An answer that is not what was asked for, of a WebSocket as of an event source: one type, so that whoever handles
 * `Refused` handles both.
 */
import * as Data from "effect/Data"
import type { Headers } from "../codec/HttpHeaders.ts"
import * as RetryAfter from "../codec/RetryAfter.ts"

/**
 * The server answered, but not by opening a WebSocket, or not with an event stream: 401, 403, 404, 429, 503, another type,
 * a redirect that is not followed. Nobody's fault as such; the status says whether to come back (RFC 6455 section 4.1,
 * WHATWG HTML section 9.2.3).
 */
export class Refused extends Data.TaggedError("Refused")<{
  readonly status: number
  /** All of them, for `WWW-Authenticate`, `Location`, `Retry-After` and the versions of RFC 6455 section 4.4. */
  readonly headers: Headers
  /** Where it came from, after redirects. */
  readonly url: string
  /** The start of it, at most 64 KiB; still compressed where the platform does not undo that. */
  readonly body: Uint8Array
  /** Whether there was more of it, or would have been. */
  readonly truncated: boolean
  /** What is wrong with it beside its status: its type, why a redirect was not followed. */
  readonly detail?: string | undefined
}> {
  /** The start of the body as UTF-8. */
  get text(): string {
    return new TextDecoder().decode(this.body)
  }

  /**
   * For how many milliseconds from `now` the server asks to be left alone, as `RetryAfter.read` has it. Here, so that a
   * page that is never told of a refusal need not load how such a field is read.
   */
  retryAfter(now: number): number | undefined {
    return RetryAfter.read(this.headers, now)
  }

  override get message(): string {
    const { detail, status } = this
    return `the server answered with status ${status}${detail === undefined ? "" : `: ${detail}`}`
  }
}
