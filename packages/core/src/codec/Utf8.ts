/**
 * UTF-8 as RFC 3629 defines it, checked while it arrives: RFC 6455 section 8.1.
 *
 * A text message may be cut anywhere, also within a character, and a mistake in it must be noticed at its first byte
 * (there is no way on from it), not when the message ends. So the validator is a step from a state and some bytes to
 * the next state. Turning bytes into strings is not done here.
 */
import * as Simd from "./Simd.ts"

/**
 * What may come next. `accept` is the state at the start and after each whole character; `reject` is final; the others
 * are within a character.
 */
export type State = number

/** All characters so far are whole: a message may end here. */
export const accept: State = 0

/** The bytes are not UTF-8, whatever follows. */
export const reject: State = -1

// Each state within a character holds the range its next byte must be in, and how many more follow that one:
// low bound << 16 | high bound << 8 | bytes after the next. Only the byte after E0, ED, F0 and F4 has a narrower range
// than 80..BF: it keeps out overlong forms, surrogates and what is above U+10FFFF. RFC 3629 section 4.
const expecting = (low: number, high: number, after: number): State => (low << 16) | (high << 8) | after

const afterLead = (lead: number): State => {
  if (lead < 0xc2) return reject
  if (lead < 0xe0) return expecting(0x80, 0xbf, 0)
  if (lead < 0xf0) return expecting(lead === 0xe0 ? 0xa0 : 0x80, lead === 0xed ? 0x9f : 0xbf, 1)
  if (lead < 0xf5) return expecting(lead === 0xf0 ? 0x90 : 0x80, lead === 0xf4 ? 0x8f : 0xbf, 2)
  return reject
}

const step = (state: State, byte: number): State => {
  if (state === accept) return byte < 0x80 ? accept : afterLead(byte)
  if (byte < state >> 16 || byte > ((state >> 8) & 0xff)) return reject
  const after = state & 0xff
  return after === 0 ? accept : expecting(0x80, 0xbf, after - 1)
}

/** Where the last character starts, when it is no ASCII; otherwise the end. */
const beforeLast = (bytes: Uint8Array): number => {
  for (let back = 1; back <= 4; back++) if (bytes[bytes.length - back]! >= 0xc0) return bytes.length - back
  return bytes.length
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/**
 * Where the whole characters that start at `at` end: before a byte that cannot go on, or fewer than four bytes before
 * `end`. What is left is for `step`, which knows why. Twice as fast as a step for each byte.
 */
const afterCharacters = (bytes: Uint8Array, start: number, end: number): number => {
  let at = start
  while (at + 4 <= end) {
    const lead = bytes[at]!
    if (lead < 0x80) {
      // Most text is ASCII: eight bytes at a time while it is.
      const last = end - 8
      while (
        at <= last &&
        ((bytes[at]! |
          bytes[at + 1]! |
          bytes[at + 2]! |
          bytes[at + 3]! |
          bytes[at + 4]! |
          bytes[at + 5]! |
          bytes[at + 6]! |
          bytes[at + 7]!) &
          0x80) ===
          0
      ) {
        at += 8
      }
      while (at < end && bytes[at]! < 0x80) at++
      continue
    }
    const second = bytes[at + 1]!
    if (!isContinuation(second) || lead < 0xc2) return at
    if (lead < 0xe0) {
      at += 2
      continue
    }
    if (!isContinuation(bytes[at + 2]!)) return at
    if (lead < 0xf0) {
      if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return at
      at += 3
      continue
    }
    if (!isContinuation(bytes[at + 3]!) || lead > 0xf4) return at
    if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return at
    at += 4
  }
  return at
}

/**
 * The state after `bytes`. `reject` as soon as a byte cannot be part of UTF-8, though more of the character might have
 * come later; a message is whole only when its last state is `accept`.
 */
export const validate = (state: State, bytes: Uint8Array): State => {
  const end = bytes.length
  let current = state
  let at = 0
  if (state === accept && end >= Simd.worthwhileLength) {
    // The last character may go on in the next bytes. Where there is a mistake, the plain loop says so.
    const whole = beforeLast(bytes)
    if (Simd.kernels()?.isUtf8(bytes.subarray(0, whole)) === true) at = whole
  }
  while (at < end) {
    if (current === accept) {
      at = afterCharacters(bytes, at, end)
      if (at === end) return accept
    }
    current = step(current, bytes[at++]!)
    if (current === reject) return reject
  }
  return current
}

/** Whether `bytes` are UTF-8 as a whole. */
export const isValid = (bytes: Uint8Array): boolean => validate(accept, bytes) === accept
