/**
 * Where the lines of an event stream end, in bytes: WHATWG HTML 9.2.5. LF, CR and CR LF each end a line.
 *
 * In UTF-8 a byte below 0x80 is never part of another character, so lines can be found, and their lengths checked,
 * before anything is decoded.
 */
import * as Simd from "./Simd.ts"

const lf = 0x0a
const cr = 0x0d

const isEnd = (byte: number): boolean => byte === lf || byte === cr

/** The most bytes that are searched at once. A socket's read is seldom longer. */
export const mostBytes = 65_536

/** Searches bytes once for every LF and CR. */
export interface Finder {
  /** How many there are in 1 to `mostBytes` bytes. */
  readonly find: (bytes: Uint8Array) => number
  /** Where they are, in order, up to the next call. All finders may share it. */
  readonly ends: Int32Array
}

/** Its bits at `highBits` are not all 0 when one of four bytes is below 0x0e, as LF and CR are, and only then. */
const low = (word: number): number => (word - 0x0e0e0e0e) & ~word
const highBits = 0x80808080

/** A finder in JavaScript, which looks at 32 bytes at a time where there are no ends. */
export const makePlain = (): Finder => {
  const ends = new Int32Array(mostBytes)
  return {
    ends,
    find: (bytes) => {
      let count = 0
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      for (let at = 0; at < bytes.length;) {
        const block = at
        at = Math.min(at + 32, bytes.length)
        if (at === block + 32) {
          const found =
            low(view.getInt32(block, true)) |
            low(view.getInt32(block + 4, true)) |
            low(view.getInt32(block + 8, true)) |
            low(view.getInt32(block + 12, true)) |
            low(view.getInt32(block + 16, true)) |
            low(view.getInt32(block + 20, true)) |
            low(view.getInt32(block + 24, true)) |
            low(view.getInt32(block + 28, true))
          if ((found & highBits) === 0) continue
        }
        for (let index = block; index < at; index++) if (isEnd(bytes[index]!)) ends[count++] = index
      }
      return count
    }
  }
}

let shared: Finder | undefined

/** The fastest finder that can be had here. All who ask get the same one. */
export const finder = (): Finder => {
  if (shared === undefined) {
    const kernels = Simd.kernels()
    shared = kernels === undefined ? makePlain() : { find: kernels.findLineEnds, ends: kernels.lineEnds }
  }
  return shared
}

/** Where the first line starts that has more than `max` bytes before its end, or the length of `bytes`. */
export const firstOver = (bytes: Uint8Array, max: number): number => {
  if (bytes.length <= max) return bytes.length
  let start = 0
  for (let at = 0; at < bytes.length; at++) {
    if (isEnd(bytes[at]!)) start = at + 1
    else if (at - start === max) return start
  }
  return bytes.length
}
