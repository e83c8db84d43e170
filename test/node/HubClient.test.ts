/** The client of the hub over real connections, that are cut anywhere, to a hub that comes and goes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import { cutting } from "../support/cuttingProxy.ts"
import { eventually } from "../support/eventually.ts"

const options: Omit<HubClient.Options, "store"> = { reconnect: Schedule.spaced("1 millis") }

const opening = (port: () => number) =>
  Effect.suspend(() =>
    NodeWebSocket.open(`ws://127.0.0.1:${port()}/ws?name=ada`, { subprotocols: HubClient.subprotocols })
  )

describe("A client of a hub", () => {
  it.live(
    "publishes 10,000 messages over connections that are cut at any byte, of which each is heard once and in order",
    () =>
      Effect.gen(function* () {
        const running = yield* HubServer.serve()
        const proxy = yield* cutting(running.port, 3_001)
        const client = yield* HubClient.make(
          opening(() => proxy.port),
          options
        )
        const count = 10_000
        const heard: Array<unknown> = []
        const gaps: Array<HubClient.Element> = []
        yield* Effect.forkScoped(
          Stream.runForEach(client.subscribe("lobby"), (element) =>
            Effect.sync(() => {
              if (element._tag === "Message") heard.push(element.data)
              if (element._tag === "Gap") gaps.push(element)
            })
          )
        )
        const numbers = Array.from({ length: count }, (_, i) => i)
        const receipts = yield* Effect.forEach(numbers, (i) => client.publish("lobby", i), { concurrency: 400 })
        yield* eventually(() => heard.length + gaps.length >= count)
        assert.deepStrictEqual(gaps, [])
        assert.deepStrictEqual(heard, numbers)
        const positions = new Set(receipts.map(({ position }) => `${position?.epoch}:${position?.offset}`))
        assert.strictEqual(positions.size, count)
        assert.isAbove(proxy.connections(), 20)
        assert.isTrue(receipts.some(({ repeated }) => repeated))
      }),
    60_000
  )

  it.live("is told of the gap when the hub is another one that has forgotten everything, and goes on", () =>
    Effect.gen(function* () {
      let port = 0
      const start = Effect.gen(function* () {
        const scope = yield* Scope.make()
        const running = yield* Scope.provide(HubServer.serve(), scope)
        port = running.port
        return scope
      })
      const first = yield* start
      const client = yield* HubClient.make(
        opening(() => port),
        options
      )
      const heard: Array<HubClient.Element> = []
      yield* Effect.forkScoped(
        Stream.runForEach(client.subscribe("lobby"), (element) => Effect.sync(() => void heard.push(element)))
      )
      yield* eventually(() => heard.length === 1)
      yield* client.publish("lobby", "before")
      yield* Scope.close(first, Exit.void)
      const asked = yield* Effect.forkChild(client.publish("lobby", "between"), { startImmediately: true })
      const second = yield* start
      yield* Fiber.join(asked)
      yield* eventually(() => heard.length >= 4)
      const words = heard.map((element) => (element._tag === "Message" ? element.data : element._tag))
      assert.deepStrictEqual(words, ["Subscribed", "before", "Gap", "between"])
      yield* Scope.close(second, Exit.void)
    })
  )
})
