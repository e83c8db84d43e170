/** Nodes that serve Socket.IO at one path, behind a balancer that knows nothing of sessions; and clients. */
import * as Effect from "effect/Effect"
import { io as connectClient, type Socket as Client } from "socket.io-client"
import type { Broker } from "@millrace/core/cluster/Broker"
import * as Hub from "@millrace/core/cluster/Hub"
import * as Origin from "@millrace/core/codec/Origin"
import type * as Socket from "@millrace/core/interop/socketio/Socket"
import * as SocketServer from "@millrace/core/interop/socketio/SocketServer"
import * as NodeSocketIoServer from "@millrace/node/NodeSocketIoServer"
import * as EngineNodes from "./engineNodes.ts"
import { eventually } from "./eventually.ts"
import * as RoundRobin from "./roundRobin.ts"

export type Connect = Socket.Connect<NodeSocketIoServer.Asking>

/** `connectOf` is given the number of the node. */
export const make = (
  brokers: ReadonlyArray<Broker["Service"]>,
  connectOf: (node: number) => Connect,
  { identify, ...options }: Pick<SocketServer.Options, "recovery"> & Pick<NodeSocketIoServer.Options, "identify"> = {}
) =>
  Effect.gen(function* () {
    const servers = yield* Effect.forEach(brokers, (broker, index) =>
      Effect.gen(function* () {
        const cluster = yield* EngineNodes.clusterOf(broker, `n${index}`)
        const hub = yield* Hub.on(broker)
        const connect = connectOf(index)
        const io = yield* Effect.provideService(
          SocketServer.make({ ...options, namespaces: { "/": connect, "/admin": connect }, cluster }),
          Hub.Hub,
          hub
        )
        const { url } = yield* NodeSocketIoServer.serve({ origin: Origin.any, identify }, io)
        return { cluster, hub, io, url: url.replace("ws:", "http:") }
      })
    )
    yield* eventually(() => servers.every(({ cluster }) => cluster.nodes.list().length === brokers.length))
    return { servers, balancer: yield* RoundRobin.make(servers.map(({ url }) => url)) }
  })

/** What a client heard, bytes as numbers. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array || value instanceof ArrayBuffer ? [...new Uint8Array(value as ArrayBuffer)] : value

export interface Listening {
  readonly client: Client
  readonly heard: Array<ReadonlyArray<unknown>>
  readonly recovered: Array<boolean>
}

/** Comes back by itself, soon. */
export const connect = (url: string, transports: ReadonlyArray<string>, options: object = {}) =>
  Effect.acquireRelease(
    Effect.sync((): Listening => {
      const client = connectClient(url, {
        transports: [...transports],
        forceNew: true,
        reconnectionDelay: 20,
        reconnectionDelayMax: 40,
        ...options
      })
      const listening: Listening = { client, heard: [], recovered: [] }
      client.onAny((...args: ReadonlyArray<unknown>) => void listening.heard.push(args.map(plain)))
      client.on("connect", () => void listening.recovered.push(client.recovered === true))
      return listening
    }),
    ({ client }) => Effect.sync(() => void client.disconnect())
  )

/** Ends its connection, as if the network had. */
export const cut = ({ client }: Listening): void => {
  const { transport } = client.io.engine as unknown as { transport: { onError: (why: string) => void } }
  transport.onError("cut by the test")
}
