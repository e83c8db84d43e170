/**
 * WebSocket clients in a page or a worker, with the connection that a server has.
 *
 *     const program = Effect.gen(function* () {
 *       const connection = yield* BrowserWebSocket.open("/chat", { subprotocols: ["chat"] })
 *       yield* connection.send("hello")
 *       yield* Stream.runForEach(connection.messages, Console.log)
 *     }).pipe(Effect.scoped)
 *
 * It is the platform's `WebSocket` underneath, which cannot make a peer wait: see `BrowserWebSocketStream` for the one
 * that can. Not in here: reconnecting.
 */
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { EventLink } from "./socket/EventLink.ts"
import { type Limits, type Options, type Opened, openOn } from "./socket/Opening.ts"

export type { Limits, Opened, Options }

/**
 * Opens a connection that lives as long as the scope, whose closing closes it with 1000, also when interrupted, and with
 * 4011 on failure: a page may send no others of the protocol's own codes. That takes `closeTimeout` at most. Interrupting
 * `open` ends what was begun.
 *
 * `url` is as in a link: `/chat` and `chat?room=1` are resolved against the page's; `http:` and `https:` mean `ws:` and
 * `wss:`.
 *
 * Fails with `OpenError`, whose reason is `InvalidUrl` or `InvalidOptions`, the caller's fault; `HandshakeTimeout`; or
 * `Undisclosed` for everything else, as a page is told nothing of it.
 *
 * What differs from a connection on a server:
 *
 * - `close` with 1001 sends 1000; with another code below 3000 that a page may not send, the code and 3000: 4008 for
 *   1008. `closed` says what was sent. `fail` does the same with the code of its violation.
 * - More than `inboxBytes` that nobody has pulled close the connection with 4009, and fail its messages with `InboxFull`.
 * - What comes when `close` was called is dropped by the platform.
 * - The peer's Close is answered at once, and a Ping by the platform: none of ours is sent, so a peer that has vanished is
 *   noticed when the platform does.
 * - A reset, a broken rule of the peer's and an end without a Close are all `ConnectionLost` with 1006.
 * - `sendStream` and `receiveStream` have whole messages in memory, as the platform has no others. A stream that fails
 *   has sent nothing, and the connection stays open.
 */
export const open = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<WebSocket<Opened>, OpenError, Scope.Scope> =>
  openOn((url, subprotocols, owner) => new EventLink(url, subprotocols, owner), 16_777_216, url, options)
