/** Clients of Action Cable that come back, over connections in memory that the test cuts. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Hub from "@millrace/core/cluster/Hub"
import * as CableClient from "@millrace/core/interop/actioncable/CableClient"
import type { CableClientError } from "@millrace/core/interop/actioncable/CableClientError"
import type * as CableServer from "@millrace/core/interop/actioncable/CableServer"
import * as Packet from "@millrace/core/interop/actioncable/Packet"
import { start } from "./connection.ts"
import { turns } from "./hubNetwork.ts"
import { type Link, Network } from "./returning.ts"

/** What both ends are to take for agreed on. */
const agreed = <A extends object>(wire: A, subprotocol: string | undefined): A =>
  new Proxy(wire, {
    get: (target, name) => (name === "subprotocol" ? subprotocol : (Reflect.get(target, name, target) as unknown))
  })

/** A network, and what its clients have been given to come back with. */
export class CableNetwork extends Network {
  readonly sids: Array<string | undefined> = []
  subprotocol: string | undefined

  constructor(subprotocol: string | undefined) {
    super()
    this.subprotocol = subprotocol
  }

  readonly dial: CableClient.Open<unknown, never> = ((sid: string | undefined) => {
    this.sids.push(sid)
    return Effect.map(this.connect, (wire) => agreed(wire, this.subprotocol))
  }) as never

  /** What its server does with each connection, and with the name of the session that it is to go on with. */
  serveWith(serve: (server: Link["server"], sid: string | undefined) => Effect.Effect<unknown, unknown, never>): void {
    this.serve = ({ server }) => serve(agreed(server, this.subprotocol), this.sids.at(-1))
  }
}

/** A network whose server is ours. */
export const cableNetwork = (hub: Hub.Hub["Service"], cable: CableServer.CableServer, extended: boolean) => {
  const network = new CableNetwork(extended ? Packet.extendedSubprotocol : Packet.subprotocol)
  network.serveWith((server) =>
    Effect.provideService(cable.serve(server, { name: "u", user: "u", request: undefined }), Hub.Hub, hub)
  )
  return network
}

/** A server that says what the test has it say, and what it was told. */
export const scripted = (subprotocol: string | undefined, first: ReadonlyArray<object> = [{ type: "welcome" }]) => {
  const network = new CableNetwork(subprotocol)
  const told: Array<unknown> = []
  network.serve = ({ server }) =>
    Effect.andThen(
      Effect.forEach(first, (said) => server.send(JSON.stringify(said))),
      Stream.runForEach(server.messages, (message) =>
        Effect.sync(() => void told.push(message._tag === "Text" ? JSON.parse(message.text) : "(bytes)"))
      )
    )
  const say = (...all: ReadonlyArray<object>) =>
    Effect.andThen(
      Effect.forEach(all, (said) => network.last.server.send(JSON.stringify(said))),
      turns
    )
  /** What it was told since it was asked last. */
  return { network, say, told: () => told.splice(0) }
}

/** What a stream gives, as it comes, and how it ends. */
export const listening = ({ messages }: CableClient.Subscription) =>
  Effect.gen(function* () {
    const heard: Array<CableClient.Element> = []
    const fiber = yield* start(
      Effect.exit(Stream.runForEach(messages, (element) => Effect.sync(() => void heard.push(element))))
    )
    return { heard, fiber }
  })

/** The data of messages, and of all else what it is. */
export const plain = (heard: ReadonlyArray<CableClient.Element>): ReadonlyArray<unknown> =>
  heard.map((element) => {
    switch (element._tag) {
      case "Message":
        return element.data
      case "Gap":
        return `gap: ${element.why}`
      case "Joined":
        return `joined: ${element.id}`
      case "Left":
        return `left: ${element.id}`
    }
  })

/** Why it fails, by the tag of its reason. */
export const reasonOf = <A, R>(effect: Effect.Effect<A, CableClientError, R>): Effect.Effect<string, never, R> =>
  Effect.match(effect, { onSuccess: () => "succeeded", onFailure: ({ reason }) => reason._tag })
