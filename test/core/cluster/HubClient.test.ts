import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubClient from "@millrace/core/cluster/HubClient"
import { start } from "../../support/connection.ts"
import { hubNetwork, listening, turns, words } from "../../support/hubNetwork.ts"

describe("A client of the hub", () => {
  it.effect("hears what it and others publish, and is told that the hub has it", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const client = yield* HubClient.make(hubNetwork(hub).connect)
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      const receipt = yield* client.publish("lobby", { text: "hello" })
      yield* turns
      expect(receipt).toMatchObject({ receivers: 1, repeated: false })
      expect(words(heard)).toEqual(["Subscribed", { text: "hello" }])
      expect(heard[1]).toMatchObject({ topic: "lobby", from: "ada", position: receipt.position })
      expect(yield* client.name).toBe("ada")
    })
  )

  it.effect("comes back to where each stream was, and says again what was not answered", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const network = hubNetwork(hub)
      const client = yield* HubClient.make(network.connect)
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* client.publish("lobby", 1)
      network.last.cut()
      const other = yield* HubClient.make(hubNetwork(hub).connect)
      yield* other.publish("lobby", 2)
      const asked = yield* start(client.publish("lobby", 3))
      yield* turns
      yield* TestClock.adjust("1 second")
      yield* turns
      expect((yield* Fiber.join(asked)).repeated).toBe(false)
      yield* turns
      expect(words(heard)).toEqual(["Subscribed", 1, 2, 3])
      expect(network.attempts).toBe(2)
    })
  )
})
