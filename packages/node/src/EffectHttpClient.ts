/**
 * The `HttpClient` of an Effect application as what an event source asks with: its middleware, its cookies, its tracing.
 *
 *     const events = Effect.map(HttpClient.HttpClient, (client) =>
 *       EventSource.stream("https://example.com/events", { fetch: EffectHttpClient.fetch(client) })
 *     )
 *
 * What Effect calls unstable, `effect/http`, is known to this file and to `EffectHttpServer` only.
 */
import { type NetworkError, networkError } from "@millrace/core/connection/EventSourceError"
import type { Fetch } from "@millrace/core/connection/Fetch"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/**
 * Makes requests with that client. It is not to follow redirects, as an event source does that itself: a client of
 * `fetch` is told so here, and `HttpClient.followRedirects` should be left out.
 *
 * A failure of the client's own is a `NetworkError`, with what it was as its cause.
 */
export const fetch = (client: HttpClient.HttpClient): Fetch => {
  const scoped = HttpClient.withScope(client)
  return ({ body, headers, method, url }) => {
    const fields = new Map<string, string>()
    for (const [name, value] of headers) {
      const key = name.toLowerCase()
      const before = fields.get(key)
      fields.set(key, before === undefined ? value : `${before}${key === "cookie" ? "; " : ", "}${value}`)
    }
    const plain = HttpClientRequest.make(method as HttpMethod)(url).pipe(HttpClientRequest.setHeaders(fields))
    const request =
      body === undefined ? plain : HttpClientRequest.bodyUint8Array(plain, body, fields.get("content-type"))
    return Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      yield* Effect.addFinalizer(() => Deferred.succeed(closed, undefined))
      const response = yield* scoped.execute(request)
      return {
        status: response.status,
        headers: Object.entries(response.headers),
        url,
        // `fetch` undoes it, and leaves the field where it was.
        coding: Option.isSome(HttpClientResponse.toWeb(response)) ? undefined : response.headers["content-encoding"],
        // The streams of Node.js that Effect reads do not wake who waits for them when they are let go of.
        body: Stream.mapError(untilClosed(response.stream, closed), failureOf)
      }
    }).pipe(Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }), Effect.mapError(failureOf))
  }
}

const untilClosed = <A, E>(self: Stream.Stream<A, E>, closed: Deferred.Deferred<void>): Stream.Stream<A, E> =>
  Stream.transformPull(self, (pull) =>
    Effect.succeed(Effect.raceFirst(pull, Effect.andThen(Deferred.await(closed), Cause.done())))
  )

const failureOf = (error: HttpClientError): NetworkError => {
  const { reason } = error
  return networkError("cause" in reason ? (reason.cause ?? error) : error)
}
