/**
 * A proxy that cuts every connection: the first after one byte of the response, the next after two, and so on, so at
 * every byte of heads, lines and events. Nothing is lost, and nothing comes twice.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as EventSource from "@millrace/core/connection/EventSource"
import * as Fetch from "@millrace/core/connection/Fetch"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import * as bare from "../support/bareServer.ts"
import { cutting } from "../support/cuttingProxy.ts"

const count = 10_000

const printed = (n: number) => `id: ${n}\r\nevent: e${n % 3}\rdata: ${n}\ndata: ${"é🌊".repeat(n % 5)}\n: comment\n\n`

/** As many events as a connection can take before it is cut. */
const perResponse = 500

/** Sends what comes behind the last event that the client has seen; when there is nothing, says so. */
const resume: bare.Handle = (request, response) => {
  const last = Number(request.headers["last-event-id"] ?? "0")
  if (last === count) return void response.writeHead(204).end()
  const events = Array.from({ length: Math.min(perResponse, count - last) }, (_, i) => printed(last + 1 + i))
  bare.stream(response, events.join("")).end()
}

describe.each([
  ["node:http", NodeEventSource.fetch()],
  ["the global fetch", Fetch.fromWeb(globalThis.fetch)]
] as const)("over %s", (_, fetch) => {
  it.live("10,000 events come in order and once through a proxy that cuts at any byte", () =>
    Effect.gen(function* () {
      const server = yield* bare.listen(resume)
      const proxy = yield* cutting(server.port)
      const events = EventSource.stream(`http://127.0.0.1:${proxy.port}/`, { fetch, reconnect: Schedule.forever })
      let next = 1
      yield* Stream.runForEach(events, ({ data, event, id }) =>
        Effect.sync(() => {
          if (id !== `${next}` || event !== `e${next % 3}` || data !== `${next}\n${"é🌊".repeat(next % 5)}`) {
            throw new Error(`not the event ${next}: ${JSON.stringify({ data, event, id })}`)
          }
          next++
        })
      )
      expect(next).toBe(count + 1)
      expect(proxy.connections()).toBeGreaterThan(500)
    })
  )
})
