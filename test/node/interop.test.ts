/** One topic of one hub on every wire: what is said on any of them is heard on all others, in the words of each. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { io as connectSocketIo } from "socket.io-client"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import { toJson } from "@millrace/core/cluster/JsonText"
import * as Origin from "@millrace/core/codec/Origin"
import * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import type * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as HubServer from "@millrace/node/HubServer"
import * as NodeEventSource from "@millrace/node/NodeEventSource"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import * as NodeWebSocket from "@millrace/node/NodeWebSocket"
import * as NodeWebSocketServer from "@millrace/node/NodeWebSocketServer"
import { eventually } from "../support/eventually.ts"

const http = (url: string) => url.replace("ws:", "http:")

const connect: Socket.Connect<NodeSocketIoServer.Asking> = (socket) =>
  Effect.gen(function* () {
    yield* Effect.orDie(socket.join("lobby"))
    return { say: (args) => socket.to("lobby").emit("said", ...args) }
  })

const ofRails = (data: unknown) =>
  HubMessage.encodeMessage({ topic: "lobby", dataJson: toJson(data), from: "rails", time: 0 })

const servers = Effect.gen(function* () {
  const { hub, url } = yield* HubServer.serve()
  const onHub = Effect.provideService(Hub.Hub, hub)
  const io = yield* onHub(SocketServer.make({ namespaces: { "/": connect } }))
  const socketio = yield* NodeSocketIoServer.serve({ origin: Origin.any }, io)
  const cable = yield* CableServer.make({
    channels: {
      ChatChannel: () =>
        Effect.succeed({
          topics: ["lobby"],
          perform: (_, { text }) => Effect.orDie(hub.publish("lobby", ofRails(["said", text])))
        })
    }
  })
  const cables = yield* NodeWebSocketServer.serve({ subprotocols: CableServer.subprotocols }, (connection) =>
    onHub(cable.serve(connection, { request: undefined }))
  )
  return { hub, url, socketio: http(socketio.url), cable: cables.url }
})

/** A WebSocket's messages as values of JSON, and a way to say some. */
const open = (url: string, subprotocols: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const connection = yield* NodeWebSocket.open(url, { subprotocols })
    const heard: Array<Record<string, unknown>> = []
    const reading = Stream.runForEach(connection.messages, (message) =>
      Effect.sync(() => {
        if (message._tag === "Text") heard.push(JSON.parse(message.text) as Record<string, unknown>)
      })
    )
    yield* Effect.forkScoped(Effect.ignore(reading))
    return { heard, say: (value: object) => connection.send(JSON.stringify(value)) }
  })

describe("one topic", () => {
  it.live("is heard over Socket.IO, Action Cable, an event stream and the hub's own protocol, whoever speaks", () =>
    Effect.gen(function* () {
      const { cable, hub, socketio, url } = yield* servers
      const said: Record<string, Array<unknown>> = { socketio: [], cable: [], native: [], sse: [] }

      const client = yield* Effect.acquireRelease(
        Effect.sync(() => connectSocketIo(socketio, { forceNew: true })),
        (client) => Effect.sync(() => client.disconnect())
      )
      client.onAny((...event: ReadonlyArray<unknown>) => void said["socketio"]!.push(event))

      const rails = yield* open(`${cable}/cable`, ["actioncable-v1-json"])
      const identifier = JSON.stringify({ channel: "ChatChannel" })
      yield* rails.say({ command: "subscribe", identifier })

      const native = yield* open(`${url}/ws`, [])
      yield* native.say({ type: "subscribe", topic: "lobby" })

      const reading = NodeEventSource.stream(`${http(url)}/events?topic=lobby`).pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => void said["sse"]!.push((JSON.parse(event.data) as { readonly data: unknown }).data))
        )
      )
      yield* Effect.forkScoped(Effect.ignore(reading))
      yield* eventually(() => hub.members("lobby") === 4)

      // One after the other, so that all hear them in this order.
      const isEverywhere = (count: number) =>
        eventually(() => {
          said["cable"] = rails.heard.flatMap(({ message, type }) => (type === undefined ? [message] : []))
          said["native"] = native.heard.flatMap(({ data, type }) => (type === "message" ? [data] : []))
          return [said["cable"], said["native"], said["sse"]!].every(({ length }) => length >= count)
        })
      client.emit("say", "from Socket.IO", { n: 1 })
      yield* isEverywhere(1)
      yield* rails.say({ command: "message", identifier, data: JSON.stringify({ text: "from Action Cable" }) })
      yield* isEverywhere(2)
      yield* native.say({ type: "publish", topic: "lobby", data: ["said", "from the hub's client"] })
      yield* isEverywhere(3)
      yield* native.say({ type: "publish", topic: "lobby", data: { no: "event" } })
      yield* isEverywhere(4)
      yield* eventually(() => said["socketio"]!.length === 3)

      const all = [
        ["said", "from Socket.IO", { n: 1 }],
        ["said", "from Action Cable"],
        ["said", "from the hub's client"],
        { no: "event" }
      ]
      assert.deepStrictEqual(said, {
        // Who says something in a room does not hear it.
        socketio: [all[1], all[2], ["message", { no: "event" }]],
        cable: all,
        native: all,
        sse: all
      })
    })
  )
})
