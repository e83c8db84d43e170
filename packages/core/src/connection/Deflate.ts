/**
 * Raw DEFLATE (RFC 1951) as a service: what a platform has to bring for `Compression`.
 *
 * A message is compressed and inflated by itself, and the window that context takeover carries from one message to
 * the next is handed in as a dictionary. So an idle connection holds bytes that can be counted, and no state of zlib.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { WindowBits } from "../codec/PerMessageDeflate.ts"

/** How bytes are compressed. */
export interface DeflateOptions {
  /** The window is 2 to the power of this, in bytes. */
  readonly windowBits: WindowBits
  /** What the receiver's window ends in: at most a window's worth of bytes, not to be changed meanwhile. */
  readonly dictionary: Uint8Array | undefined
}

/** How bytes are inflated. */
export interface InflateOptions extends DeflateOptions {
  /** How many bytes may come out. Inflating stops at one more. */
  readonly maxBytes: number
}

/**
 * The peer's fault: what it sent is no DEFLATE, ends in the middle of a block, or has so many final blocks that each
 * cannot have had a purpose. `detail` quotes nothing of what it sent.
 */
export class CorruptData extends Data.TaggedError("CorruptData")<{ readonly detail: string }> {
  override get message(): string {
    return `what was to be inflated is corrupt: ${this.detail}`
  }
}

/** The peer's fault: more than `maxBytes` would come out. */
export class TooLong extends Data.TaggedError("TooLong")<{ readonly maxBytes: number }> {
  override get message(): string {
    return `more than ${this.maxBytes} bytes come out of what was to be inflated`
  }
}

export type InflateError = CorruptData | TooLong

/** What all compressed bytes end in, and what is left out of them and added again. RFC 7692 section 7.2.1. */
export const tail: Uint8Array = Uint8Array.of(0x00, 0x00, 0xff, 0xff)

/**
 * What a platform does for us. An effect that is done in the call is given as an `Exit`, which costs no fiber
 * anything; a long message may be given to a thread. What comes out belongs to the caller.
 *
 * All compressed bytes end at a byte boundary behind an empty block without its last four bytes, `tail`: RFC 7692
 * sections 7.2.1 and 7.2.2. So what was deflated piece by piece is joined by writing `tail` between the pieces. Blocks
 * with the final bit set may be in between. No bytes at all are deflated to the one byte `00` (section 7.2.3.6), and inflate to none.
 */
export interface Service {
  /** The smallest window that `deflate` can keep to. 9 with zlib. */
  readonly smallestWindowBits: WindowBits
  readonly deflate: (bytes: Uint8Array, options: DeflateOptions) => Effect.Effect<Uint8Array>
  /** The same bytes, in the call, however long it takes: for what goes to many, who are not to wait for a thread. */
  readonly deflateNow: (bytes: Uint8Array, options: DeflateOptions) => Uint8Array
  readonly inflate: (bytes: Uint8Array, options: InflateOptions) => Effect.Effect<Uint8Array, InflateError>
  /**
   * Pieces of a message, cut anywhere. Gives pieces of at most 64 KiB, and pulls the next when all that comes out of the
   * one before has been taken. Holds whatever it needs from the first piece to the end of the stream, however it ends.
   */
  readonly inflateStream: (
    options: InflateOptions
  ) => <E, R>(pieces: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E | InflateError, R>
}

/** Implemented by `NodeDeflate` of `@millrace/node`. */
export class Deflate extends Context.Service<Deflate, Service>()("@millrace/core/connection/Deflate") {}
