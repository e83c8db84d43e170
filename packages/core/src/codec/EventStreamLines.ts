/**
 * Where the lines of an event stream end, in bytes: WHATWG HTML 9.2.5. LF, CR and CR LF each end a line.
 *
 * In UTF-8 a byte below 0x80 is never part of another character, so lines can be found, and their lengths checked,
 * before anything is decoded.
 */

const lf = 0x0a
const cr = 0x0d

const decoder = new TextDecoder("utf-8")

const isEnd = (byte: number): boolean => byte === lf || byte === cr

/** Below this many bytes a plain loop is the fastest. Measured. */
const worthwhileLength = 256

/** Its bits at `highBits` are not all 0 when one of four bytes is below 0x0e, as LF and CR are, and only then. */
const low = (word: number): number => (word - 0x0e0e0e0e) & ~word
const highBits = 0x80808080

/** The index of the last LF or CR at or after `from`, or -1. */
export const lastEnd = (bytes: Uint8Array, from: number): number => {
  let at = bytes.length
  const near = Math.max(from, at - worthwhileLength)
  let seen = 0
  while (at > near) {
    const byte = bytes[--at]!
    if (isEnd(byte)) return at
    seen |= byte
  }
  if (at === from) return -1
  if (seen < 0x80) {
    // ASCII is decoded and searched by native code, a string to throw away, in a third of the time of the loop. Measured.
    const text = decoder.decode(bytes)
    if (!text.includes("\n") && !text.includes("\r")) return -1
  }
  // 32 bytes at a time. `indexOf` does not find either of two, and takes three times as long for both. Measured.
  const view = new DataView(bytes.buffer, bytes.byteOffset, at)
  while (at - from >= 32) {
    const block = at - 32
    const found =
      low(view.getInt32(block, true)) |
      low(view.getInt32(block + 4, true)) |
      low(view.getInt32(block + 8, true)) |
      low(view.getInt32(block + 12, true)) |
      low(view.getInt32(block + 16, true)) |
      low(view.getInt32(block + 20, true)) |
      low(view.getInt32(block + 24, true)) |
      low(view.getInt32(block + 28, true))
    if ((found & highBits) === 0) at = block
    else while (at > block) if (isEnd(bytes[--at]!)) return at
  }
  while (at > from) if (isEnd(bytes[--at]!)) return at
  return -1
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
