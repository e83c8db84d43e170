/** The two ends of ours together: `millrace listen` at `millrace serve`, and what it missed while it was away. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import { server, shared, start } from "../support/command.ts"
import { start as fork } from "../support/connection.ts"
import { eventually } from "../support/eventually.ts"

const hub = shared(server("serve"))

const publish = (topic: string, data: unknown) =>
  Effect.promise(async () => {
    const headers = { "Content-Type": "application/json" }
    const body = JSON.stringify({ topic, data })
    const response = await fetch(`http://127.0.0.1:${hub().port}/publish`, { method: "POST", headers, body })
    expect(response.status).toBe(200)
    await response.text()
  })

const urlOf = (topic: string) => `http://127.0.0.1:${hub().port}/events?topic=${topic}`

interface Shown {
  readonly event: string
  readonly data: string
  readonly id: string
}

const shown = (stdout: string): ReadonlyArray<Shown> =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Shown)

describe("millrace listen at the hub", () => {
  it.live("shows what is published, and goes on where it was after it was away", () =>
    Effect.gen(function* () {
      const first = yield* start("listen", urlOf("a"), "--json")
      yield* first.reports(/connected to .*\n/)
      yield* publish("a", 1)
      yield* first.says(/\n$/)
      const [one] = shown(first.stdout)
      first.signal("SIGINT")
      const { stderr } = yield* first.end
      expect(stderr).toContain(`closed, behind the event ${one!.id}\n`)
      yield* publish("a", 2)
      yield* publish("other", "not ours")
      yield* publish("a", 3)
      const second = yield* start("listen", urlOf("a"), "--json", `--last-event-id=${one!.id}`)
      yield* second.says(/^(.*\n){2}$/)
      yield* publish("a", 4)
      yield* second.says(/^(.*\n){3}$/)
      expect([one!, ...shown(second.stdout)].map(({ data }) => JSON.parse(data).data)).toEqual([1, 2, 3, 4])
    })
  )
})

describe("an event source at the hub", () => {
  it.live("misses nothing and gets nothing twice, however often it is interrupted", () =>
    Effect.gen(function* () {
      const count = 200
      const seen: Array<number> = []
      let lastEventId = ""
      const listening = Effect.suspend(() =>
        Stream.runForEach(NodeEventSource.stream(urlOf("b"), { lastEventId }), ({ data, id }) =>
          Effect.sync(() => {
            seen.push(JSON.parse(data).data as number)
            lastEventId = id
          })
        )
      )
      // From here on it has a position.
      const first = yield* fork(listening)
      for (let n = 0; seen.length === 0; n--) yield* publish("b", n)
      yield* Fiber.interrupt(first)
      seen.length = 0
      for (let n = 1; n <= count; n += 10) {
        const reading = yield* fork(listening)
        for (let i = 0; i < 10; i++) yield* publish("b", n + i)
        yield* eventually(() => seen.length > n / 2)
        yield* Fiber.interrupt(reading)
      }
      const rest = yield* fork(listening)
      yield* eventually(() => seen.at(-1) === count)
      yield* Fiber.interrupt(rest)
      expect(seen.filter((n) => n > 0)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
    })
  )
})
