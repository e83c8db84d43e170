/**
 * What a session goes over: messages in, messages out, an end. Every WebSocket connection is one, whatever carries it;
 * so is an event stream with POST.
 */
import type { WebSocket } from "../connection/WebSocket.ts"

/** The part of a connection that a session needs. */
export interface Wire extends Pick<WebSocket, "close" | "closed" | "pull" | "receive" | "send" | "subprotocol"> {
  /**
   * For the first message of somebody who is not known yet, of whom no more is to be read than such a message may have.
   * A wire that has its own limit before that may leave it out.
   */
  readonly receiveStream?: WebSocket["receiveStream"] | undefined
}
