/** Room for what zlib gives: how much to make for it, and how much of it may be kept. */

/** Bytes of the longest piece that comes out of a stream of zlib. */
export const pieceLength = 65_536

/** How much room to make for what is expected to come out, in bytes. What goes beyond takes as much again. */
export const roomFor = (expected: number): number => Math.max(64, Math.min(expected, pieceLength))

/**
 * The bytes for whoever keeps them: a copy, where they would keep much else in memory, such as the pool of Node.js. A
 * plain array and no `Buffer`, whose `slice` is not what it is elsewhere.
 */
export const owned = (bytes: Uint8Array): Uint8Array =>
  bytes.length * 2 < bytes.buffer.byteLength
    ? new Uint8Array(bytes)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
