/**
 * A client of Socket.IO on Node.js: `SocketClient` over `NodeWebSocket`.
 *
 *     const socket = yield* NodeSocketIoClient.connect("https://example.com", { auth: { token } })
 *     yield* socket.on("said").pipe(Stream.runForEach(({ args }) => Console.log(args)))
 */
import * as SocketClient from "@millrace/core/interop/socketio/SocketClient"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NodeWebSocket from "./NodeWebSocket.ts"

export interface Options<R = never> extends SocketClient.Options<R> {
  /** How each connection is opened: headers, certificates, the limits of messages. */
  readonly webSocket?: NodeWebSocket.Options | undefined
}

/**
 * A client that lives as long as the scope: see `SocketClient.make`. `url` is the address of the server, `http:`, `https:`,
 * `ws:` or `wss:`; where it has no path, that is `/socket.io/`.
 */
export const connect = <R = never>(
  url: string | URL,
  { webSocket, ...options }: Options<R> = {}
): Effect.Effect<SocketClient.SocketClient, never, R | Scope.Scope> =>
  SocketClient.make(NodeWebSocket.open(SocketClient.address(url), webSocket), options)
