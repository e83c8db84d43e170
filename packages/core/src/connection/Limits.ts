/**
 * What a connection may take and how long it may wait: one value, with defaults.
 */
import * as Duration from "effect/Duration"

/** Sizes are in bytes. Who gives some of them gets the others from `defaults`. */
export interface Limits {
  /** Longest message received, in bytes over all its fragments. Beyond it: 1009. Default 1 MiB. */
  readonly maxMessageBytes: number
  /**
   * Longest frame received, in bytes of its payload. Beyond it: 1009. Default: as long as a message may be, which bounds
   * it already.
   */
  readonly maxFrameBytes: number
  /** Most fragments in one received message, empty ones too. Beyond it: 1008. Default 16,384. */
  readonly maxFragments: number
  /**
   * Bytes of received messages that wait for the application. Above it the transport is paused, so that the peer has
   * to wait, with at most one read more. Default 64 KiB.
   */
  readonly inboxBytes: number
  /** Bytes that wait for the network. Above it `send` suspends, and a broadcast applies its policy. Default 1 MiB. */
  readonly outboxBytes: number
  /**
   * All that a connection may hold, with one read and one message sent on top. The outbox has its share of it,
   * `outboxBytes` and at most half; the rest is for messages and pieces of them that have come and one that is being
   * inflated, and a message that does not fit in there beside the others: 1009. Default 8 MiB, or four times
   * `maxMessageBytes` where that is more.
   */
  readonly maxMemoryBytes: number | undefined
  /**
   * How long the closing handshake may take, and the peer to end the transport, before it is cut; and how long a
   * server's handler may go on after the end. Default 5 s.
   */
  readonly closeTimeout: Duration.Input
  /**
   * How often a Ping is sent, or every `pingTimeout` where that is longer: one Ping at a time. `Duration.infinity` sends
   * none. Default 25 s.
   */
  readonly pingInterval: Duration.Input
  /** How long after a Ping the peer may be silent; any byte is a sign of life. Default 20 s. */
  readonly pingTimeout: Duration.Input
}

/** Enough for most; docs/limits.md says of each what lies beyond it. */
export const defaults: Limits = {
  maxMessageBytes: 1_048_576,
  maxFrameBytes: Number.POSITIVE_INFINITY,
  maxFragments: 16_384,
  inboxBytes: 65_536,
  outboxBytes: 1_048_576,
  maxMemoryBytes: undefined,
  closeTimeout: Duration.seconds(5),
  pingInterval: Duration.seconds(25),
  pingTimeout: Duration.seconds(20)
}
