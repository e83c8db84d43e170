/** Clients of Action Cable over connections in memory, as plain text that is said and heard. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Hub from "@millrace/core/cluster/Hub"
import type * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { start, turn } from "./connection.ts"

/** An identifier, as the client of Rails makes it. */
export const I = (channel: string, params: object = {}) => JSON.stringify({ channel, ...params })

export const confirmed = (identifier: string) => ({ identifier, type: "confirm_subscription" })
export const rejected = (identifier: string) => ({ identifier, type: "reject_subscription" })

/** Connects a client of that name, which is its user too, to a server on a hub. */
export const connector =
  (hub: Hub.Hub["Service"], cable: CableServer.CableServer) =>
  (
    name: string,
    { sid, subprotocol = Packet.subprotocol }: { readonly sid?: string | undefined; readonly subprotocol?: string } = {}
  ) =>
    Effect.gen(function* () {
      const { client, server } = yield* WebSocket.makePair()
      const agreed: WebSocket.WebSocket = Object.create(server, { subprotocol: { value: subprotocol } })
      const heard: Array<string> = []
      const reading = yield* start(
        Stream.runForEach(client.messages, (message) =>
          Effect.sync(() => void heard.push(message._tag === "Text" ? message.text : "(bytes)"))
        )
      )
      const serving = yield* start(
        Effect.provideService(
          Effect.exit(cable.serve(agreed, { name, user: name, request: undefined, sid })),
          Hub.Hub,
          hub
        )
      )
      yield* turn
      const say = (command: object | string) =>
        Effect.andThen(client.send(typeof command === "string" ? command : JSON.stringify(command)), turn)
      return {
        client,
        reading,
        serving,
        say,
        subscribe: (identifier: string, more: object = {}) => say({ command: "subscribe", identifier, ...more }),
        perform: (identifier: string, data: object) =>
          say({ command: "message", identifier, data: JSON.stringify(data) }),
        /** What it has heard since it was asked last, but for pings. */
        heard: () => heard.splice(0).map((text): unknown => JSON.parse(text))
      }
    })
