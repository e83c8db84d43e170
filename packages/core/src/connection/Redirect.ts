/**
 * The request that a redirect asks for, by the rules of `codec/Redirection`.
 */
import * as Result from "effect/Result"
import * as Redirection from "../codec/Redirection.ts"
import type { Request } from "./Fetch.ts"

/**
 * The request to make next, at the value of `Location`; or why there is none, for people.
 *
 * To another origin go only headers that any page could send, and no credentials of the platform's; what was left out
 * stays so, also when the way leads back. From `https:` to `http:` there is none. The body goes where the method goes.
 */
export const follow = (request: Request, status: number, location: string): Result.Result<Request, string> => {
  const from = new URL(request.url)
  return Result.flatMap(Redirection.resolve(from, location), (to) => {
    if (to.protocol !== "http:" && to.protocol !== "https:") {
      return Result.fail("it redirects to a URL that is not HTTP")
    }
    const method = Redirection.methodAfter(status, request.method)
    const sameMethod = method === request.method
    const sameOrigin = from.origin === to.origin
    const told = sameOrigin ? request.headers : Redirection.toldToOthers(request.headers)
    return Result.succeed({
      method,
      url: to.href,
      headers: sameMethod ? told : Redirection.withoutBody(told),
      body: sameMethod ? request.body : undefined,
      credentials: request.credentials && sameOrigin
    })
  })
}
