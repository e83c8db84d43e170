/**
 * The same as `BrowserWebSocket` on the platform's `WebSocketStream`, where it has one: a peer that sends more than the
 * page pulls has to wait, however long.
 */
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as BrowserWebSocket from "./BrowserWebSocket.ts"
import { type Options, type Opened, openOn } from "./socket/Opening.ts"
import { StreamLink } from "./socket/StreamLink.ts"

/** Whether the platform has it: Chromium does. */
export const isThere = StreamLink.isThere

/**
 * Opens a connection as `BrowserWebSocket.open` does, and where there is no `WebSocketStream` just that.
 *
 * No more of what has come waits for the page than `inboxBytes`, 64 KiB, and a message; then nothing is read until it is
 * pulled, and it is never `InboxFull`. `send` is woken by the platform, where otherwise it looks every 10 ms.
 */
export const open = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<WebSocket<Opened>, OpenError, Scope.Scope> =>
  isThere()
    ? openOn((url, subprotocols, owner) => new StreamLink(url, subprotocols, owner), 65_536, url, options)
    : BrowserWebSocket.open(url, options)
