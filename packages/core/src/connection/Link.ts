/**
 * What sends and hands over whole messages, below a connection that has no transport of its own: the WebSocket of a page,
 * where frames, Pings and masks are the browser's; an event stream with POST.
 */
import type { CloseStatus } from "../codec/CloseCode.ts"
import type { TransportError, Unresponsive } from "./WebSocketError.ts"

/** Who is told what happens, in this order: `opened` at most once, then `message` and `drained`, then `ended`, once. */
export interface Owner {
  readonly opened: () => void
  readonly message: (data: string | Uint8Array) => void
  /** There may be room again for who waits to send. */
  readonly drained: () => void
  /**
   * `status` is what the peer's Close said, with 1005 for one that said nothing, and `undefined` where none came. Then
   * `failure` is why, as far as that is known.
   */
  readonly ended: (status: CloseStatus | undefined, failure?: TransportError | Unresponsive) => void
}

/** It is being opened, or open already, when it is made. */
export interface Link {
  /** The one that was chosen; empty for none. Known when it is open. */
  readonly subprotocol: string
  /** As the server listed them. Known when it is open. */
  readonly extensions: string
  /** Whether messages may be sent: not before it is open, nor when a Close was sent or has come. */
  readonly isOpen: boolean
  /** Bytes that wait for the network. */
  readonly buffered: number
  /** Whether it tells with `drained` that there are fewer. Otherwise somebody has to look. */
  readonly tellsDrained: boolean
  /** Whether the peer has to wait while nobody reads: `pause` and `resume` do something. */
  readonly canPause: boolean
  readonly pause: () => void
  readonly resume: () => void
  readonly send: (data: string | Uint8Array) => void
  /** Sends a Close behind what was sent: without a code for 1005. */
  readonly close: (status: CloseStatus) => void
  /**
   * Runs it when the platform has told of all that it had at hand. Where there is such a moment, a reader is told of the
   * first message at once and of those behind it together.
   */
  readonly afterwards?: ((run: () => void) => void) | undefined
  /** Gives up, before it is open or after, and tells its owner nothing any more. */
  readonly abandon: () => void
}
