/** The clients of Rails and AnyCable, unmodified, on our server. */
import { assert, describe, it } from "@effect/vitest"
import { createCable } from "@anycable/core"
import * as Effect from "effect/Effect"
import * as Hub from "@millrace/core/cluster/Hub"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Channel from "@millrace/core/interop/actioncable/Channel"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually } from "../support/eventually.ts"

/** As much of `@rails/actioncable` as is used here: it has no types of its own. */
interface Rails {
  readonly adapters: { WebSocket: unknown; logger?: unknown }
  readonly createConsumer: (url: string) => {
    readonly subscriptions: {
      readonly create: (
        channel: object,
        handlers: Readonly<Record<string, (data: unknown) => void>>
      ) => { readonly perform: (action: string, data: object) => void; readonly unsubscribe: () => void }
    }
    readonly disconnect: () => void
    readonly connection: { readonly isOpen: () => boolean; readonly getProtocol: () => string | undefined }
  }
}

/** They are made for pages. */
Object.assign(globalThis, {
  addEventListener: () => {},
  removeEventListener: () => {},
  document: { visibilityState: "visible", createElement: () => ({}), head: { querySelector: () => null } }
})

const serve = Effect.gen(function* () {
  const hub = yield* Hub.make()
  const left: Array<unknown> = []
  const ChatChannel: Channel.Channel = ({ params }) =>
    Effect.gen(function* () {
      const { room } = params
      if (typeof room !== "string" || room === "secret") return yield* Channel.reject
      yield* Effect.addFinalizer(() => Effect.sync(() => void left.push(room)))
      const topic = `room/${room}`
      return {
        topics: [topic],
        whispers: topic,
        perform: (_, data) => Effect.orDie(hub.publish(topic, toJson(data)))
      }
    })
  const cable = yield* CableServer.make({ channels: { ChatChannel } })
  const connections: Array<() => void> = []
  const server = yield* NodeWebSocketServer.serve(
    { host: "127.0.0.1", port: 0, subprotocols: CableServer.subprotocols },
    (connection) =>
      Effect.gen(function* () {
        connections.push(() => void Effect.runFork(connection.close(1012)))
        yield* Effect.provideService(cable.serve(connection, { user: "u", request: undefined }), Hub.Hub, hub)
      })
  )
  return { hub, cable, left, connections, url: `${server.url}/cable` }
})

describe.concurrent.each(["@rails/actioncable", "actioncable-7"])("%s", (name) => {
  const client = Effect.promise(async () => {
    const { adapters, createConsumer } = (await import(name)) as Rails
    adapters.WebSocket = WebSocket
    return createConsumer
  })

  it.live("subscribes, is rejected, performs and receives, unsubscribes, and comes back when it was cut", () =>
    Effect.gen(function* () {
      const { connections, hub, left, url } = yield* serve
      const createConsumer = yield* client
      const consumer = yield* Effect.acquireRelease(
        Effect.sync(() => createConsumer(url)),
        (consumer) => Effect.sync(() => consumer.disconnect())
      )
      const heard: Array<unknown> = []
      const handlers = {
        connected: () => void heard.push("connected"),
        rejected: () => void heard.push("rejected"),
        received: (data: unknown) => void heard.push(data)
      }
      const chat = consumer.subscriptions.create({ channel: "ChatChannel", room: "lobby" }, handlers)
      yield* eventually(() => heard.length === 1)
      assert.strictEqual(consumer.connection.getProtocol(), "actioncable-v1-json")
      chat.perform("speak", { text: "hé" })
      yield* eventually(() => heard.length === 2)
      yield* hub.publish("room/lobby", '"from elsewhere"')
      yield* eventually(() => heard.length === 3)
      consumer.subscriptions.create({ channel: "ChatChannel", room: "secret" }, handlers)
      yield* eventually(() => heard.length === 4)
      consumer.subscriptions.create({ channel: "NoSuchChannel" }, handlers)
      yield* eventually(() => heard.length === 5)
      assert.deepStrictEqual(heard.splice(0), ["connected", { text: "hé" }, "from elsewhere", "rejected", "rejected"])
      connections[0]!()
      yield* eventually(() => heard.length === 1)
      yield* hub.publish("room/lobby", "1")
      yield* eventually(() => heard.length === 2)
      assert.deepStrictEqual([heard.splice(0), left], [["connected", 1], ["lobby"]])
      chat.unsubscribe()
      yield* eventually(() => left.length === 2)
      yield* hub.publish("room/lobby", "2")
      assert.deepStrictEqual(heard, [])
    })
  )

  it.live("does not come back when it was told not to", () =>
    Effect.gen(function* () {
      const { cable, url } = yield* serve
      const createConsumer = yield* client
      const consumer = yield* Effect.acquireRelease(
        Effect.sync(() => createConsumer(url)),
        (consumer) => Effect.sync(() => consumer.disconnect())
      )
      const heard: Array<unknown> = []
      consumer.subscriptions.create(
        { channel: "ChatChannel", room: "lobby" },
        { connected: () => void heard.push("connected"), disconnected: (why) => void heard.push(why) }
      )
      yield* eventually(() => heard.length === 1)
      assert.strictEqual(yield* cable.disconnect("u", false), 1)
      yield* eventually(() => heard.length === 2)
      assert.deepStrictEqual(heard[1], { willAttemptReconnect: false })
    })
  )
})

describe.concurrent("@anycable/core", () => {
  it.live("subscribes, whispers, and after a cut gets what it has missed, once", () =>
    Effect.gen(function* () {
      const { connections, hub, url } = yield* serve
      const cables = yield* Effect.acquireRelease(
        Effect.sync(() =>
          ["ada", "bob"].map(() =>
            createCable(url, {
              protocol: "actioncable-v1-ext-json",
              websocketImplementation: WebSocket,
              logLevel: "error"
            } as never)
          )
        ),
        (cables) => Effect.sync(() => cables.forEach((cable) => void cable.disconnect()))
      )
      const heard = cables.map((): Array<unknown> => [])
      const channels = cables.map((cable, i) => {
        const channel = cable.subscribeTo("ChatChannel", { room: "lobby" })
        channel.on("message", (message: unknown) => void heard[i]!.push(message))
        return channel
      })
      yield* Effect.promise(() => Promise.all(channels.map((channel) => channel.ensureSubscribed())))
      yield* hub.publish("room/lobby", "1")
      yield* eventually(() => heard.every(({ length }) => length === 1))
      yield* Effect.promise(() => channels[0]!.perform("speak", { text: "2" }))
      yield* eventually(() => heard.every(({ length }) => length === 2))
      yield* Effect.promise(() => channels[0]!.whisper({ typing: true }))
      yield* eventually(() => heard[1]!.length === 3)
      assert.deepStrictEqual(heard, [
        [1, { text: "2" }],
        [1, { text: "2" }, { typing: true }]
      ])
      // What is published while nobody is there comes by the history.
      connections.forEach((cut) => cut())
      yield* eventually(() => cables.every(({ state }) => state === "disconnected"))
      for (let n = 3; n < 20; n++) yield* hub.publish("room/lobby", `${n}`)
      yield* eventually(() => heard.every(({ length }) => length >= 19))
      yield* hub.publish("room/lobby", "20")
      yield* eventually(() => heard.every((all) => all.at(-1) === 20))
      const rest = Array.from({ length: 18 }, (_, i) => i + 3)
      assert.deepStrictEqual(heard[0]!.slice(2), rest)
      assert.deepStrictEqual(heard[1]!.slice(3), rest)
    })
  )
})
