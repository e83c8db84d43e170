/**
 * What a redirect means, for every client: RFC 9110 section 15.4, and WHATWG Fetch, HTTP-redirect fetch.
 *
 * What was meant for one origin is told to no other. `fetch` leaves out `Authorization` and cookies only, and would send
 * an `X-Api-Key` on to wherever a server points.
 *
 * Not in here: how many are followed, and what the platform knows by itself, such as a client certificate, which is for
 * whoever makes the next request.
 */
import * as Result from "effect/Result"
import { equalsIgnoringCase, type Headers } from "./HttpHeaders.ts"

const statuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Whether a response of this status, with a `Location`, asks for the same elsewhere. */
export const isRedirection = (status: number): boolean => statuses.has(status)

/**
 * The method of the next request: GET in place of POST after 301 and 302, and of all but HEAD after 303. A request whose
 * method changes loses its body, and the fields that describe it.
 */
export const methodAfter = (status: number, method: string): string => {
  if ((status === 301 || status === 302) && method === "POST") return "GET"
  return status === 303 && method !== "HEAD" ? "GET" : method
}

const isSecure = ({ protocol }: URL): boolean => protocol === "https:" || protocol === "wss:"

/**
 * Where the value of `Location` leads from that URL, without a fragment; or why it is not followed, for people. A URL
 * with a user is not, nor one without TLS from one with it. Any scheme that has none of its own is for the caller to
 * refuse.
 */
export const resolve = (from: URL, location: string | undefined): Result.Result<URL, string> => {
  if (location === undefined || !URL.canParse(location, from.href)) return Result.fail("it redirects to no URL")
  const to = new URL(location, from.href)
  if (isSecure(from) && (to.protocol === "http:" || to.protocol === "ws:")) {
    return Result.fail("it redirects to a URL without TLS")
  }
  if (to.username !== "" || to.password !== "") return Result.fail("it redirects to a URL with a user")
  to.hash = ""
  return Result.succeed(to)
}

/** What may be told to anybody. */
const harmless = ["Accept", "Accept-Language", "Content-Language", "Content-Type", "Last-Event-ID", "User-Agent"]

/** What describes a body that is left out. */
const describing = ["Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Type"]

const isAmong = (names: ReadonlyArray<string>, name: string) => names.some((known) => equalsIgnoringCase(known, name))

/** Those fields that another origin is told: what any page could send. */
export const toldToOthers = (headers: Headers): Headers => headers.filter(([name]) => isAmong(harmless, name))

/** The fields of a request that has lost its body. */
export const withoutBody = (headers: Headers): Headers => headers.filter(([name]) => !isAmong(describing, name))
