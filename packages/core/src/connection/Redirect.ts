/**
 * Where a redirect leads, and what is told there: RFC 9110 section 15.4.
 *
 * What was meant for one origin is told to no other. `fetch` leaves out `Authorization` and cookies only, and would send
 * an `X-Api-Key` on to wherever a server points.
 */
import * as Result from "effect/Result"
import { equalsIgnoringCase } from "../codec/HttpHeaders.ts"
import { redirectedMethod } from "../protocol/EventSourceProtocol.ts"
import type { Request } from "./Fetch.ts"

/** What may be told to anybody. */
const harmless = ["Accept", "Accept-Language", "Content-Language", "Content-Type", "Last-Event-ID", "User-Agent"]

/** What describes a body that is left out. */
const describing = ["Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Type"]

const isAmong = (names: ReadonlyArray<string>, name: string) => names.some((known) => equalsIgnoringCase(known, name))

/**
 * The request to make next, at the value of `Location`; or why there is none, for people.
 *
 * To another origin go only headers that any page could send, and no credentials of the platform's; what was left out
 * stays so, also when the way leads back. From `https:` to `http:` there is none. The body goes where the method goes.
 */
export const follow = (request: Request, status: number, location: string): Result.Result<Request, string> => {
  if (!URL.canParse(location, request.url)) return Result.fail("it redirects to no URL")
  const from = new URL(request.url)
  const to = new URL(location, request.url)
  to.hash = ""
  if (to.protocol !== "http:" && to.protocol !== "https:") return Result.fail("it redirects to a URL that is not HTTP")
  if (from.protocol === "https:" && to.protocol === "http:") return Result.fail("it redirects to a URL without TLS")
  if (to.username !== "" || to.password !== "") return Result.fail("it redirects to a URL with a user")
  const method = redirectedMethod(status, request.method)
  const sameMethod = method === request.method
  const sameOrigin = from.origin === to.origin
  return Result.succeed({
    method,
    url: to.href,
    headers: request.headers.filter(
      ([name]) => (sameOrigin || isAmong(harmless, name)) && (sameMethod || !isAmong(describing, name))
    ),
    body: sameMethod ? request.body : undefined,
    credentials: request.credentials && sameOrigin
  })
}
