/** An event source against servers of bare `node:http2`: over a `Fetch` of the test's own, and by way of HTTP/1.1. */
import * as http2 from "node:http2"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as EventSource from "@millrace/core/connection/EventSource"
import { type NetworkError, networkError } from "@millrace/core/connection/EventSourceError"
import type { Fetch, Response } from "@millrace/core/connection/Fetch"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import { selfSigned } from "../support/certificate.ts"
import { start } from "../support/connection.ts"
import { dataOf } from "../support/eventSource.ts"
import { eventually } from "../support/eventually.ts"
import * as Http2Client from "../support/Http2Client.ts"
import { type Request, serve } from "../support/http2.ts"

/** The body of a stream of HTTP/2, one chunk for each pull. */
const bodyOf = (stream: http2.ClientHttp2Stream): Response["body"] => {
  let wake: (() => void) | undefined
  for (const event of ["readable", "end", "close"]) stream.on(event, () => wake?.())
  const pull: Effect.Effect<readonly [Uint8Array], NetworkError | Cause.Done> = Effect.callback((resume) => {
    wake = () => {
      const chunk = stream.read() as Buffer | null
      if (chunk !== null) resume(Effect.succeed([chunk]))
      else if (stream.readableEnded && stream.rstCode === 0) resume(Cause.done())
      else if (stream.closed) resume(Effect.fail(networkError(stream.errored)))
    }
    wake()
  })
  return Stream.fromPull(Effect.succeed(pull))
}

/** A `Fetch` over a session. */
const over =
  (session: http2.ClientHttp2Session): Fetch =>
  (request) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const { pathname, search } = new URL(request.url)
        const fields = Object.fromEntries(request.headers.map(([name, value]) => [name.toLowerCase(), value]))
        return session.request({ ":method": request.method, ":path": pathname + search, ...fields })
      }),
      (stream) => Effect.sync(() => stream.close(http2.constants.NGHTTP2_CANCEL))
    ).pipe(
      Effect.flatMap((stream) =>
        Effect.callback<Response, NetworkError>((resume) => {
          stream.on("error", (error) => resume(Effect.fail(networkError(error))))
          stream.on("response", ({ ":status": status = 0, ...fields }) => {
            const headers = Object.entries(fields).map(([name, value]) => [name, String(value)] as const)
            resume(Effect.succeed({ status, headers, url: request.url, body: bodyOf(stream) }))
          })
        })
      )
    )

const respond = ({ header, stream }: Request): void => {
  const last = Number(header("last-event-id") ?? "0")
  if (last === 3) return void stream.respond({ ":status": 204 }, { endStream: true })
  stream.respond({ ":status": 200, "content-type": "text/event-stream" })
  stream.write(`id: ${last + 1}\ndata: ${header(":path")} ${last + 1}\n\ndata: half`)
  if (last === 0) stream.end()
  else setImmediate(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
}

const reconnect = Schedule.spaced("1 millis")

describe("over HTTP/2", () => {
  it.live("events come, and go on behind the last one after the end of a stream and after a reset", () =>
    Effect.gen(function* () {
      const server = yield* serve(respond)
      const url = `http://127.0.0.1:${server.port}/events`
      const session = yield* Http2Client.connect(url)
      const events = EventSource.stream(url, { fetch: over(session), reconnect })
      expect(dataOf(yield* Stream.runCollect(events))).toEqual(["/events 1", "/events 2", "/events 3"])
      expect(server.connections()).toBe(1)
    })
  )

  it.live("whoever stops leaves no stream behind, and the session to others", () =>
    Effect.gen(function* () {
      const server = yield* serve(({ stream }) => {
        stream.respond({ ":status": 200, "content-type": "text/event-stream" })
        stream.write("data: 1\n\n")
      })
      const url = `http://127.0.0.1:${server.port}/`
      const session = yield* Http2Client.connect(url)
      const events = EventSource.stream(url, { fetch: over(session) })
      const seen: Array<string> = []
      const reading = yield* start(Stream.runForEach(events, ({ data }) => Effect.sync(() => seen.push(data))))
      yield* eventually(() => seen.length === 1)
      yield* Fiber.interrupt(reading)
      yield* eventually(() => server.asked[0]!.stream.closed)
      expect(dataOf(yield* Stream.runCollect(Stream.take(events, 1)))).toEqual(["1"])
      expect(server.connections()).toBe(1)
    })
  )
})

describe("over node:http", () => {
  it.live("a server of HTTP/2 that takes HTTP/1.1 as well is asked by that", () =>
    Effect.gen(function* () {
      const certificate = selfSigned("localhost")
      const server = yield* serve(() => {}, { certificate })
      server.server.on("request", (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" })
        response.end(`data: ${request.httpVersion}\n\n`)
      })
      const tls = { ca: certificate.cert }
      const events = NodeEventSource.stream(`https://localhost:${server.port}/`, { tls, reconnect: Schedule.recurs(0) })
      expect(dataOf(yield* Stream.runCollect(events))).toEqual(["1.1"])
    })
  )
})
