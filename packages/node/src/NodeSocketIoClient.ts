/**
 * A client of Socket.IO on Node.js: `SocketClient` over `NodeWebSocket`, or over `node:http` where it polls.
 *
 *     const socket = yield* NodeSocketIoClient.connect("https://example.com", { auth: { token } })
 *     yield* socket.on("said").pipe(Stream.runForEach(({ args }) => Console.log(args)))
 */
import * as http from "node:http"
import * as https from "node:https"
import type { TransportName } from "@millrace/core/interop/engineio/EngineRequest"
import * as EngineWire from "@millrace/core/interop/engineio/EngineWire"
import * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NodeEventSource from "./NodeEventSource.ts"
import * as NodeWebSocket from "./NodeWebSocket.ts"

/**
 * What a connection goes over, the first that is tried first. With `polling` in front and `websocket` behind it begins with
 * polls, and goes on over a WebSocket when there is one; the other way round it polls where no WebSocket opens.
 */
export type Transports = readonly [TransportName, ...ReadonlyArray<TransportName>]

export interface Options<R = never> extends SocketClient.Options<R> {
  /** Default: `["websocket"]`. */
  readonly transports?: Transports | undefined
  /** How each connection is opened: headers, certificates, the limits of messages. Polls and posts are made alike. */
  readonly webSocket?: NodeWebSocket.Options | undefined
}

/** One or two connections that are used again, for polls and posts. */
const agentOf = (url: string | URL): Effect.Effect<http.Agent, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new (/^(https|wss):/i.test(`${url}`) ? https : http).Agent({ keepAlive: true })),
    (agent) => Effect.sync(() => agent.destroy())
  )

const polling = (url: string | URL, options: NodeWebSocket.Options, isUpgraded: boolean) =>
  Effect.flatMap(options.agent === undefined ? agentOf(url) : Effect.succeed(options.agent), (agent) => {
    const { handshakeTimeout, headers, limits, socketPath, tls } = options
    return EngineWire.open(url, {
      fetch: NodeEventSource.fetch({ agent, socketPath, tls }),
      handshakeTimeout,
      headers,
      limits,
      webSocket: isUpgraded ? (address) => NodeWebSocket.open(address, options) : undefined
    })
  })

/**
 * A client that lives as long as the scope: see `SocketClient.make`. `url` is the address of the server, `http:`, `https:`,
 * `ws:` or `wss:`; where it has no path, that is `/socket.io/`.
 */
export const connect = <R = never>(
  url: string | URL,
  { transports = ["websocket"], webSocket = {}, ...options }: Options<R> = {}
): Effect.Effect<SocketClient.SocketClient, never, R | Scope.Scope> => {
  const polls = transports.indexOf("polling")
  const sockets = transports.indexOf("websocket")
  const open = NodeWebSocket.open(SocketClient.address(url), webSocket)
  if (polls === -1) return SocketClient.make(open, options)
  const begin = polling(url, webSocket, sockets > polls)
  return SocketClient.make<unknown, Scope.Scope, R>(
    sockets !== -1 && sockets < polls ? Effect.catch(open, () => begin) : begin,
    options
  )
}
