/** Clients of a real hub, over connections in memory that the test cuts. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import * as HubClient from "@millrace/core/cluster/HubClient"
import type { HubClientError } from "@millrace/core/cluster/HubClientError"
import * as HubSession from "@millrace/core/cluster/HubSession"
import { start, turn } from "./connection.ts"
import { type Link, Network } from "./returning.ts"

/** A network whose server is the hub. */
export const hubNetwork = (hub: Hub.Hub["Service"], options?: Omit<HubSession.Options, "client">) => {
  const network = new Network()
  network.serve = ({ server }: Link) =>
    Effect.provideService(HubSession.serve(server, { client: "ada", ...options }), Hub.Hub, hub)
  return network
}

/** What a stream gives, as it comes. */
export const listening = <A>(stream: Stream.Stream<A, HubClientError>) =>
  Effect.gen(function* () {
    const heard: Array<A> = []
    const fiber = yield* start(
      Effect.exit(Stream.runForEach(stream, (element) => Effect.sync(() => void heard.push(element))))
    )
    return { heard, fiber }
  })

/** Lets everything happen that happens without a timer. */
export const turns = Effect.gen(function* () {
  for (let i = 0; i < 12; i++) yield* turn
})

/** The data of messages, and the tags of all else. */
export const words = (heard: ReadonlyArray<HubClient.Element | HubClient.PresenceElement>): ReadonlyArray<unknown> =>
  heard.map((element) => (element._tag === "Message" ? element.data : element._tag))
