/**
 * Event streams as routes of an Effect `HttpRouter` application, on any server of its.
 *
 *     HttpRouter.add("GET", "/events", EffectEventStream.respond(({ lastEventId }) => eventsAfter(lastEventId)))
 *
 * What Effect calls unstable, `effect/http`, is known to this file, `EffectHttpServer` and `EffectHttpClient` only. Not
 * in here: members of a hub and what they cost, which is for `NodeEventStream`.
 */
import type { Printable } from "@millrace/core/codec/EventStream"
import type { InvalidEvent } from "@millrace/core/codec/EventStreamError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import * as NodeEventStream from "./NodeEventStream.ts"

/** What a response is like. Nothing of it is required. */
export interface Options extends EventStreamBody.Options {
  /** More fields for the head. They take the place of ours. */
  readonly headers?: Headers | undefined
  /** As in `NodeEventStream.Options`. */
  readonly lastEventIdParameter?: string | undefined
}

/**
 * A response whose body is an event stream. Its head and its first bytes leave at once, the stream is pulled as the
 * client reads, and its scope is closed when the client goes. The server logs what it fails with, and cuts the response.
 */
export const response = <E>(
  events: Stream.Stream<Printable, E>,
  options: Options = {}
): HttpServerResponse.HttpServerResponse => {
  const headers = [...EventStreamBody.headers, ...(options.headers ?? [])].map(([name, value]) => [
    name.toLowerCase(),
    value
  ])
  const body: Stream.Stream<Uint8Array, E | InvalidEvent> = EventStreamBody.encode(options)(events)
  // The content type is said twice, as the server would otherwise say one of its own.
  const fields = Object.fromEntries(headers) as Record<string, string>
  return HttpServerResponse.stream(body, { contentType: fields["content-type"], headers: fields })
}

/**
 * A route that answers with events, which have the services of the route. 406, and `events` is not called, when the
 * client does not accept event streams.
 */
export const respond = <E, R>(
  events: (request: NodeEventStream.EventStreamRequest) => Stream.Stream<Printable, E, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | HttpServerRequest.HttpServerRequest> =>
  Effect.contextWith((context: Context.Context<R | HttpServerRequest.HttpServerRequest>) =>
    Effect.sync(() => {
      const { headers, url } = Context.get(context, HttpServerRequest.HttpServerRequest)
      if (!NodeEventStream.accepts(headers["accept"])) return notAcceptable
      const request = NodeEventStream.requestOf({ headers, url }, options.lastEventIdParameter)
      return response(Stream.provideContext(events(request), context), options)
    })
  )

const notAcceptable = HttpServerResponse.text("this is an event stream: text/event-stream\n", { status: 406 })
