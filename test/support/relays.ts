/** Clients that share the connection of another one, over networks in memory. */
import * as Effect from "effect/Effect"
import type * as HubClient from "@millrace/core/cluster/HubClient"
import * as HubRelay from "@millrace/core/cluster/HubRelay"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import { start } from "./connection.ts"
import type { Heard } from "./hubSession.ts"
import { type Link, Network } from "./returning.ts"

/** A network whose server is whichever relay there is when it is connected to. */
export const relayNetwork = (upstream: () => HubClient.HubClient) => {
  const network = new Network()
  network.serve = ({ server }: Link) => Effect.suspend(() => HubRelay.serve(upstream(), server))
  return network
}

/** One that a relay serves, and that says what the test writes. */
export const relayed = (upstream: HubClient.HubClient) =>
  Effect.gen(function* () {
    const { client, server } = yield* WebSocket.makePair()
    const serving = yield* start(HubRelay.serve(upstream, server))
    const heard: Array<Heard> = []
    const read = Effect.forever(
      Effect.map(client.receive, (message) => {
        if (message._tag === "Text") heard.push(JSON.parse(message.text) as Heard)
      }),
      { disableYield: true }
    )
    const listen = Effect.forkScoped(Effect.exit(read), { startImmediately: true })
    const say = (...messages: ReadonlyArray<object | string | Uint8Array>) =>
      client.sendAll(
        messages.map((message) =>
          typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message)
        )
      )
    return {
      client,
      serving,
      say,
      /** Reads from now on. */
      listen,
      /** What it has heard since it was asked last. */
      heard: () => heard.splice(0)
    }
  })
