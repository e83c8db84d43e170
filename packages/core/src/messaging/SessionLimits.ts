/**
 * What a session may hold and how long it may wait: one value, with defaults. What a connection may, is in
 * `connection/Limits`.
 */
import type * as Duration from "effect/Duration"

export interface Limits {
  /** How long a server waits for the first message, and then for `authenticate`. Beyond it: 4408. Default 10 s. */
  readonly helloTimeout: Duration.Input
  /** The longest first message, in bytes. Beyond it: 4400. Default 16 KiB. */
  readonly maxHelloBytes: number
  /**
   * Requests and messages of the peer that wait or are being answered: at this bound no more is read. As many streams may
   * go on beside them, and more are refused as `unavailable`. Of our own requests half as many are asked at a time, and
   * more wait for their turn, so that two ends that ask one another never both wait for the other to read. Default 1,024.
   */
  readonly maxPending: number
  /**
   * What those requests and messages may have of bytes together, as they came: at this bound no more is read, however few
   * they are. The same holds for what waits for one listener; the payloads of streams that are open, beyond which another
   * is refused; and what nobody has listened for yet, beyond which it is dropped. Default 4 MiB.
   */
  readonly maxPendingBytes: number
  /** Messages that wait for one listener. At this bound no more is read. Default 1,024. */
  readonly maxUnread: number
  /** Elements of a stream that may be on their way or wait: its credit. Default 256. */
  readonly credit: number
  /** How long an answer is waited for. Default 30 s. */
  readonly requestTimeout: Duration.Input
}

export const defaults: Limits = {
  helloTimeout: "10 seconds",
  maxHelloBytes: 16_384,
  maxPending: 1_024,
  maxPendingBytes: 4_194_304,
  maxUnread: 1_024,
  credit: 256,
  requestTimeout: "30 seconds"
}
