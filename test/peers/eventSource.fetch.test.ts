/**
 * An event source over everything that can make its requests, against servers of bare `node:http`: what is sent, what
 * comes back, and what is left behind.
 */
import type { ServerResponse } from "node:http"
import * as zlib from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventSource from "@millrace/core/connection/EventSource"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as EffectHttpClient from "@millrace/node/EffectHttpClient"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import * as bare from "../support/bareServer.ts"
import { start } from "../support/connection.ts"
import { eventually, settled } from "../support/eventually.ts"
import { dataOf } from "../support/eventSource.ts"
import { nobodysPort } from "../support/nobodysPort.ts"

const ofClient = (layer: Layer.Layer<HttpClient.HttpClient>): Effect.Effect<Fetch.Fetch, never, Scope.Scope> =>
  Effect.map(Effect.provide(HttpClient.HttpClient, Layer.fresh(layer)), EffectHttpClient.fetch)

const built = (layer: Layer.Layer<HttpClient.HttpClient>) =>
  Effect.flatMap(Layer.build(layer), (context) => Effect.provide(ofClient(Layer.succeedContext(context)), context))

/** Each gives a `Fetch` that lasts as long as the test. */
const fetches: ReadonlyArray<readonly [name: string, Effect.Effect<Fetch.Fetch, never, Scope.Scope>]> = [
  ["node:http", Effect.sync(() => NodeEventSource.fetch())],
  ["the global fetch", Effect.sync(() => Fetch.fromWeb(globalThis.fetch))],
  ["the HttpClient of Effect on node:http", built(NodeHttpClient.layerNodeHttp)],
  ["the HttpClient of Effect on undici", built(NodeHttpClient.layerUndici)],
  ["the HttpClient of Effect on fetch", built(FetchHttpClient.layer)]
]

/** What a server may be doing when its client goes. */
const left: ReadonlyArray<(response: ServerResponse) => unknown> = [
  () => "thinking",
  (response) => bare.stream(response),
  (response) => bare.stream(response, "data: 1\n\n"),
  (response) => response.writeHead(500).write("it never ends")
]

const reconnect = Schedule.spaced("10 millis")

describe.each(fetches)("over %s", (name, make) => {
  it.live("events come, a lost connection is opened anew with the last event ID, and 204 is the end", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((request, response) => {
        const last = request.headers["last-event-id"]
        if (last === undefined) bare.stream(response, "id: é1\ndata: one\n\ndata: half").socket?.end()
        else if (last === "\u00c3\u00a91") bare.stream(response, "id: 2\ndata: two\n\n").end()
        else response.writeHead(204).end()
      })
      const fetch = yield* make
      const events = yield* Stream.runCollect(
        EventSource.stream(`${server.url}/events?a=b`, { fetch, reconnect, headers: { "X-Key": "k" } })
      )
      expect(events).toEqual([
        { event: "message", data: "one", id: "é1" },
        { event: "message", data: "two", id: "2" }
      ])
      expect(server.asked.map(({ method, url }) => `${method} ${url}`)).toEqual(Array(3).fill("GET /events?a=b"))
      for (const { headers } of server.asked) {
        expect(headers).toMatchObject({ accept: "text/event-stream", "x-key": "k" })
      }
    })
  )

  it.live("a POST has its body and its type", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((request, response) => {
        void bare.bodyOf(request).then((body) => {
          bare.stream(response, `data: ${request.method} ${request.headers["content-type"]} ${body}\n\n`).end()
        })
      })
      const fetch = yield* make
      const headers = { "Content-Type": "application/json" }
      const events = yield* Stream.runCollect(EventSource.stream(server.url, { fetch, headers, body: '"é"' }))
      expect(dataOf(events)).toEqual(['POST application/json "é"'])
      expect(server.asked.length).toBe(1)
    })
  )

  it.live("nothing is told to another origin that was not meant for it", () =>
    Effect.gen(function* () {
      const other = yield* bare.listen((_, response) => bare.stream(response, "data: here\n\n").end())
      const server = yield* bare.listen((request, response) => {
        response.writeHead(307, { Location: request.url === "/" ? "/b" : other.url }).end("moved")
      })
      const fetch = yield* make
      const headers = { Authorization: "Bearer secret", Cookie: "a=secret", "X-Api-Key": "secret" }
      const options = { fetch, headers, lastEventId: "7", reconnect: Schedule.recurs(0) }
      expect(dataOf(yield* Stream.runCollect(EventSource.stream(server.url, options)))).toEqual(["here"])
      expect(server.asked.map(({ headers }) => headers["x-api-key"])).toEqual(["secret", "secret"])
      expect(other.asked[0]?.headers["last-event-id"]).toBe("7")
      expect(JSON.stringify(other.asked[0]?.rawHeaders)).not.toContain("secret")
    })
  )

  it.live("redirects in a circle come to an end", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((request, response) => {
        response.writeHead(302, { Location: request.url === "/a" ? "/b" : "/a" }).end()
      })
      const fetch = yield* make
      const error = yield* Effect.flip(Stream.runDrain(EventSource.stream(server.url, { fetch })))
      expect(error.message).toBe("the server answered with status 302: too many redirects")
      expect(server.asked.length).toBe(21)
    })
  )

  it.live("a refusal is an error with status, headers and body", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => {
        response.writeHead(401, { "WWW-Authenticate": "Bearer", "Content-Type": "text/plain" }).end("no token, é")
      })
      const fetch = yield* make
      const { reason } = yield* Effect.flip(Stream.runDrain(EventSource.stream(server.url, { fetch })))
      expect(reason._tag === "Refused" && [reason.status, reason.text, reason.truncated]).toEqual([
        401,
        "no token, é",
        false
      ])
      const found = reason._tag === "Refused" ? reason.headers.find(([name]) => /^www-auth/i.test(name)) : undefined
      expect(found?.[1]).toBe("Bearer")
    })
  )

  it.live("a compressed stream is read by who undoes it, and refused by who does not", () =>
    Effect.gen(function* () {
      const gzip = zlib.gzipSync("data: squeezed\n\n")
      const server = yield* bare.listen((_, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream", "Content-Encoding": "gzip" }).end(gzip)
      })
      const fetch = yield* make
      const events = EventSource.stream(server.url, { fetch, reconnect: Schedule.recurs(0) })
      const outcome = yield* Effect.match(Stream.runCollect(events), {
        onSuccess: (events) => dataOf(events).join(),
        onFailure: ({ message }) => message
      })
      const undoes = name.endsWith(" fetch")
      expect(outcome).toBe(undoes ? "squeezed" : "the server answered with status 200: it is compressed")
    })
  )

  it.live("whoever stops leaves no connection behind: before the head, while it waits, and in the middle", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => left[server.asked.length - 1]!(response))
      const fetch = yield* make
      for (let asked = 1; asked <= left.length; asked++) {
        const reading = yield* start(Stream.runDrain(EventSource.stream(server.url, { fetch })))
        yield* eventually(() => server.asked.length === asked)
        yield* settled
        yield* Fiber.interrupt(reading)
        yield* eventually(() => server.sockets.size === 0)
      }
    })
  )

  it.live("a redirect is not read to its end, and leaves no connection behind", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((request, response) => {
        if (request.url === "/b") return void bare.stream(response, "data: 1\n\n")
        response.writeHead(307, { Location: "/b" }).write("it never ends")
      })
      const fetch = yield* make
      const source = yield* EventSource.make(server.url, { fetch })
      expect(dataOf(yield* source.pull)).toEqual(["1"])
      yield* eventually(() => server.sockets.size === 1)
    })
  )

  it.live("whoever closes a source ends the connection, and who waits for its events", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response, "data: 1\n\n"))
      const fetch = yield* make
      const scope = yield* Scope.make()
      const source = yield* Scope.provide(EventSource.make(server.url, { fetch }), scope)
      yield* source.pull
      const waiting = yield* start(Effect.flip(source.pull))
      yield* settled
      yield* Scope.close(scope, Exit.void)
      expect(Cause.isDone(yield* Fiber.join(waiting))).toBe(true)
      yield* eventually(() => server.sockets.size === 0)
    })
  )

  it.live("whoever has taken enough leaves no connection behind", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen((_, response) => bare.stream(response, "data: 1\n\ndata: 2\n\n"))
      const fetch = yield* make
      yield* Stream.runDrain(Stream.take(EventSource.stream(server.url, { fetch }), 1))
      yield* eventually(() => server.sockets.size === 0)
    })
  )

  it.live("a server that is faster than whoever reads has to wait", () =>
    Effect.gen(function* () {
      let sent = 0
      const event = `data: ${"x".repeat(65_536)}\n\n`
      const server = yield* bare.listen((_, response) => {
        bare.stream(response)
        const send = () => {
          while (sent < 1_000) {
            sent++
            if (!response.write(event)) return void response.once("drain", send)
          }
        }
        send()
      })
      const fetch = yield* make
      const source = yield* EventSource.make(server.url, { fetch })
      const [first] = yield* source.pull
      expect(first.data.length).toBe(65_536)
      // What the sockets hold of the system is a few megabytes at most.
      yield* settled
      yield* settled
      const before = sent
      yield* settled
      expect([sent, before < 200]).toEqual([before, true])
      for (let i = 0; i < 200; i++) yield* source.pull
      yield* eventually(() => sent > before)
    })
  )

  it.live("a network that fails is an error with its cause", () =>
    Effect.gen(function* () {
      const fetch = yield* make
      const events = EventSource.stream(`http://127.0.0.1:${nobodysPort}/`, { fetch, reconnect: Schedule.recurs(2) })
      const { reason } = yield* Effect.flip(Stream.runDrain(events))
      expect(reason._tag).toBe("NetworkError")
      expect(reason.message).toContain("ECONNREFUSED")
    })
  )
})
