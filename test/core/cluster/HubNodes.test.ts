import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubClient from "@millrace/core/cluster/HubClient"
import { HubNodes } from "@millrace/core/cluster/HubNodes"
import * as MemoryBroker from "@millrace/core/cluster/MemoryBroker"
import { HandshakeTimeout, OpenError } from "@millrace/core/connection/OpenError"
import { hubNetwork, listening, turns, words } from "../../support/hubNetwork.ts"

const using = (nodes: HubNodes) => nodes.using((all) => Effect.succeed(all.join("")))

describe("The nodes of a hub", () => {
  it.effect("are tried one after the other, and then where the client began", () =>
    Effect.gen(function* () {
      const nodes = new HubNodes()
      expect(yield* using(nodes)).toBe("")
      nodes.know(["a", "b", "c"])
      const tried: Array<string> = []
      for (let i = 0; i < 9; i++) {
        tried.push(yield* using(nodes))
        // The same ones, as each hub says that it meets.
        nodes.know(["a", "b", "c"])
      }
      expect(`${tried.join(" ")} ${tried.join(" ")}`).toContain("abc bca cab  abc bca cab ")
      nodes.know([])
      expect(yield* using(nodes)).toBe("")
    }).pipe(Random.withSeed("nodes"))
  )

  it.effect("are each somebody's first", () =>
    Effect.gen(function* () {
      const first = new Set<string>()
      for (let i = 0; i < 100; i++) {
        const nodes = new HubNodes()
        nodes.know(["a", "b", "c"])
        first.add((yield* using(nodes))[0] ?? "none")
      }
      expect([...first].toSorted()).toEqual(["a", "b", "c"])
    }).pipe(Random.withSeed("nodes"))
  )
})

describe("A client of a cluster", () => {
  it.effect("goes to another node when its own has gone, and misses nothing", () =>
    Effect.gen(function* () {
      const broker = yield* MemoryBroker.make()
      const addresses = ["https://one.example.com", "https://two.example.com"]
      const [one, two] = yield* Effect.all([Hub.on(broker), Hub.on(broker)])
      const networks = [one, two].map((hub) => hubNetwork(hub, { nodes: () => addresses }))
      const tried: Array<number> = []
      const client = yield* HubClient.make(([node = addresses[0]!]) => {
        const which = addresses.indexOf(node)
        tried.push(which)
        return networks[which]!.connect
      })
      yield* turns
      const { heard } = yield* listening(client.subscribe("lobby"))
      yield* turns
      yield* client.publish("lobby", 1)
      networks[0]!.answer = () => Effect.fail(new OpenError({ reason: new HandshakeTimeout({ timeout: 1 }) }))
      networks[0]!.last.cut()
      yield* turns
      yield* two.publish("lobby", `{"type":"message","topic":"lobby","data":2,"from":"bob","time":1}`)
      for (let i = 0; i < 5; i++) {
        yield* TestClock.adjust("10 seconds")
        yield* turns
      }
      expect(yield* client.publish("lobby", 3)).toMatchObject({ receivers: 1 })
      yield* turns
      expect(words(heard)).toEqual(["Subscribed", 1, 2, 3])
      expect([tried[0], tried.at(-1)]).toEqual([0, 1])
      expect([one.members("lobby"), two.members("lobby")]).toEqual([0, 1])
    }).pipe(Random.withSeed("nodes"))
  )
})
