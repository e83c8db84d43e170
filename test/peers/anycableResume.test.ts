/** Sessions of AnyCable's client, unmodified, that outlive its connections, on our hub. */
import { assert, describe, it } from "@effect/vitest"
import { createCable } from "@anycable/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Rejection } from "@millrace/core/cluster/HubAccess"
import * as HubServer from "@millrace/node/HubServer"
import { eventually } from "../support/eventually.ts"
import { parting } from "../support/partingProxy.ts"

interface Options {
  /** Where each of its connections goes; the last of them for all others. */
  readonly ports: ReadonlyArray<number>
  readonly topics?: ReadonlyArray<string>
  /** In milliseconds: when it comes back by itself. */
  readonly delay?: number
  /** In milliseconds: after twice that without a word it takes its connection for dead. */
  readonly pingInterval?: number
}

/** A client in these topics, what it has said to each server, and what it has heard. */
const client = (user: string, { delay = 1, pingInterval = 5_000, ports, topics = ["lobby"] }: Options) =>
  Effect.gen(function* () {
    const said: Array<{ readonly command: string; readonly identifier: string }> = []
    const urls: Array<URL> = []
    class Recorded extends WebSocket {
      constructor(text: string, protocols: string) {
        const url = new URL(text)
        url.port = `${ports[Math.min(urls.length, ports.length - 1)]}`
        urls.push(url)
        super(url.href, protocols)
      }
      override send(data: string) {
        said.push(JSON.parse(data))
        super.send(data)
      }
    }
    const cable = yield* Effect.acquireRelease(
      Effect.sync(() =>
        createCable(`ws://127.0.0.1:${ports[0]}/cable?user=${user}`, {
          protocol: "actioncable-v1-ext-json",
          websocketImplementation: Recorded,
          logLevel: "error",
          pingInterval,
          reconnectStrategy: () => delay
        } as never)
      ),
      (cable) => Effect.sync(() => void cable.disconnect())
    )
    const welcomes: Array<boolean> = []
    cable.on("connect", (event) => void welcomes.push((event as { readonly restored?: boolean }).restored === true))
    const channels = topics.map((topic) => {
      const channel = cable.subscribeTo("TopicChannel", { topic })
      const heard: Array<unknown> = []
      channel.on("message", (message) => void heard.push(message))
      return { channel, heard }
    })
    yield* Effect.promise(() => Promise.all(channels.map(({ channel }) => channel.ensureSubscribed())))
    const commands = (command: string) => said.filter((one) => one.command === command).length
    return { cable, channels, commands, heard: channels[0]!.heard, urls, welcomes }
  })

const identify = (request: { readonly query: URLSearchParams }) =>
  Effect.succeed({ user: request.query.get("user") ?? undefined })

const serve = (options: HubServer.Options = {}) =>
  HubServer.serve({ host: "127.0.0.1", identify, ...options, cable: { pingInterval: "100 millis", ...options.cable } })

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

describe.concurrent("@anycable/core", () => {
  it.live("whose connection breaks again and again subscribes once, and hears each message once and in order", () =>
    Effect.gen(function* () {
      const { hub, port } = yield* serve()
      const proxy = yield* parting(port)
      const ada = yield* client("ada", { ports: [proxy.port], topics: ["lobby", "hall"] })
      let published = 0
      const signal = { isOver: false }
      const publishing = yield* Effect.forkScoped(
        Effect.gen(function* () {
          while (!signal.isOver) {
            published++
            yield* hub.publish("lobby", `${published}`)
            yield* hub.publish("hall", `${published}`)
            // No more than is kept while it is away.
            yield* eventually(() => signal.isOver || published - ada.heard.length < 50)
          }
        })
      )
      for (let cut = 1; cut <= 5; cut++) {
        const before = ada.heard.length
        yield* eventually(() => ada.heard.length >= before + 20)
        yield* proxy.cut
        yield* eventually(() => ada.welcomes.length === 1 + cut)
      }
      signal.isOver = true
      yield* Fiber.join(publishing)
      yield* eventually(() => ada.channels.every(({ heard }) => heard.at(-1) === published))
      for (const { heard } of ada.channels) assert.deepStrictEqual(heard, numbers(1, published))
      assert.deepStrictEqual(ada.welcomes, [false, true, true, true, true, true])
      assert.deepStrictEqual([ada.commands("subscribe"), ada.commands("history")], [2, 10])
      assert.strictEqual(new Set(ada.urls.map((url) => url.searchParams.get("sid"))).size, 6)
    })
  )

  it.live("takes over from a connection that is dead, and of which the server does not know that", () =>
    Effect.gen(function* () {
      const { hub, port } = yield* serve()
      const proxy = yield* parting(port)
      const ada = yield* client("ada", { ports: [proxy.port, port], pingInterval: 500 })
      yield* hub.publish("lobby", "1")
      yield* eventually(() => ada.heard.length === 1)
      yield* proxy.part
      yield* hub.publish("lobby", "2")
      yield* eventually(() => ada.welcomes.length > 1)
      yield* hub.publish("lobby", "3")
      yield* eventually(() => ada.heard.length === 3)
      assert.deepStrictEqual(
        [ada.heard, ada.welcomes.slice(0, 2), ada.commands("subscribe")],
        [[1, 2, 3], [false, true], 1]
      )
      yield* eventually(() => hub.members("lobby") === 1)
    })
  )

  it.live("is not back in what it may not be in any more, and in the rest", () =>
    Effect.gen(function* () {
      let isOpen = true
      const { hub, port } = yield* serve({
        authorize: {
          join: (_, topic) =>
            topic === "lobby" && !isOpen ? Effect.fail(new Rejection({ message: "closed" })) : Effect.void
        }
      })
      const proxy = yield* parting(port)
      const ada = yield* client("ada", { ports: [proxy.port], topics: ["lobby", "hall"] })
      isOpen = false
      yield* proxy.cut
      yield* eventually(() => ada.channels[0]!.channel.state === "closed")
      yield* hub.publish("lobby", "1")
      yield* hub.publish("hall", "2")
      yield* eventually(() => ada.channels[1]!.heard.length === 1)
      assert.deepStrictEqual([ada.welcomes, ada.heard, ada.channels[1]!.heard], [[false, true], [], [2]])
    })
  )

  it.live("that was put out while it was away is a new one when it comes back, as is one elsewhere", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* serve(), yield* serve()]
      const proxy = yield* parting(one.port)
      // They come back when they are told to.
      const ada = yield* client("ada", { ports: [proxy.port], delay: 1_000_000 })
      const bob = yield* client("bob", { ports: [proxy.port, two.port], delay: 1_000_000 })
      const eve = yield* client("eve", { ports: [proxy.port], delay: 1_000_000 })
      yield* proxy.cut
      yield* eventually(() => [ada, bob, eve].every(({ cable }) => cable.state === "disconnected"))
      yield* eventually(() => one.hub.members("lobby") === 0)
      yield* one.cable!.disconnect("ada", false)
      yield* Effect.promise(() => Promise.all([ada, bob, eve].map(({ cable }) => cable.connect())))
      assert.deepStrictEqual(
        [ada, bob, eve].map(({ welcomes }) => welcomes),
        [
          [false, false],
          [false, false],
          [false, true]
        ]
      )
      yield* eventually(() => one.hub.members("lobby") === 2 && two.hub.members("lobby") === 1)
      assert.deepStrictEqual(
        [ada, bob, eve].map(({ commands }) => commands("subscribe")),
        [2, 2, 1]
      )
    })
  )

  it.live("subscribes again where sessions are not resumed", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ cable: { resume: false } })
      const proxy = yield* parting(port)
      const ada = yield* client("ada", { ports: [proxy.port] })
      yield* proxy.cut
      yield* eventually(() => ada.commands("subscribe") === 2)
      assert.deepStrictEqual(
        [ada.welcomes, ada.urls.map((url) => url.searchParams.has("sid"))],
        [
          [false, false],
          [false, false]
        ]
      )
    })
  )
})
