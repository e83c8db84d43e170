/** The client of the hub in a page, over a line that is cut: what it says is heard once, and it misses nothing. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { assert, describe, inject, it } from "@effect/vitest"
import * as BrowserWebSocket from "@millrace/browser/BrowserWebSocket"
import * as PageLife from "@millrace/browser/PageLife"
import * as HubClient from "@millrace/core/cluster/HubClient"
import * as Line from "../support/line.ts"

const topic = "test/page/HubClient"

const connecting = (port: number, name: string) =>
  HubClient.make(
    BrowserWebSocket.open(`ws://127.0.0.1:${port}/ws?name=${name}`, { subprotocols: HubClient.subprotocols }),
    { reconnect: Schedule.spaced("20 millis"), surroundings: PageLife.surroundings }
  )

describe("the client of the hub in a page", () => {
  it.live("misses nothing and says nothing twice, however often its line is cut", () =>
    Effect.gen(function* () {
      const line = yield* Line.to(inject("servers").hub)
      const ada = yield* connecting(line.port, "ada")
      const bob = yield* connecting(inject("servers").hub, "bob")
      const heard: Array<HubClient.Element> = []
      const count = 500
      const listening = yield* Effect.forkChild(
        ada.subscribe(topic).pipe(
          Stream.tap((element) => Effect.sync(() => void heard.push(element))),
          Stream.filter(({ _tag }) => _tag === "Message"),
          Stream.take(2 * count),
          Stream.runDrain
        ),
        { startImmediately: true }
      )
      // It is in: a client's questions are answered in order.
      yield* ada.ping
      const publishing = (client: HubClient.HubClient, name: string) =>
        Effect.forEach(
          Array.from({ length: count }, (_, i) => `${name} ${i}`),
          (data) => client.publish(topic, data),
          { concurrency: 20 }
        )
      const saying = yield* Effect.forkChild(
        Effect.all([publishing(ada, "ada"), publishing(bob, "bob")], { concurrency: 2 }),
        { startImmediately: true }
      )
      for (let i = 0; i < 4; i++) {
        yield* ada.name
        yield* line.cut
        yield* Stream.runHead(Stream.filter(ada.states, ({ _tag }) => _tag !== "Open"))
      }
      yield* Fiber.join(saying)
      yield* Fiber.join(listening)
      const own = (name: string) =>
        heard.flatMap((element) =>
          element._tag === "Message" && String(element.data).startsWith(name) ? [element.data] : []
        )
      for (const name of ["ada", "bob"]) {
        assert.deepStrictEqual(
          own(name),
          Array.from({ length: count }, (_, i) => `${name} ${i}`)
        )
      }
      assert.deepStrictEqual(
        heard.filter(({ _tag }) => _tag === "Gap"),
        []
      )
    })
  )
})
