/**
 * A stream of bytes or of text as the payloads of fragments: RFC 6455 section 5.4.
 */
import type * as Arr from "effect/Array"
import * as Stream from "effect/Stream"

/** Bytes in one fragment of a streamed message, unless the sender says otherwise. */
export const defaultLength = 16_384

/**
 * What came together, joined and cut into payloads of at most `length` bytes. Only the last is shorter, so that nothing
 * waits for what has not come.
 */
export const cut = (pieces: Arr.NonEmptyReadonlyArray<Uint8Array>, length: number): ReadonlyArray<Uint8Array> => {
  const payloads: Array<Uint8Array> = []
  let small: Uint8Array | undefined
  let used = 0
  const seal = () => {
    if (small !== undefined && used > 0) payloads.push(small.subarray(0, used))
    small = undefined
    used = 0
  }
  let left = pieces.reduce((sum, piece) => sum + piece.length, 0)
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      if (used === 0 && (piece.length - at >= length || piece.length - at === left)) {
        // Long enough by itself, or all there is: not copied.
        const payload = piece.subarray(at, at + length)
        payloads.push(payload)
        at += payload.length
        left -= payload.length
        continue
      }
      small ??= new Uint8Array(Math.min(length, left))
      const taken = piece.subarray(at, at + small.length - used)
      small.set(taken, used)
      used += taken.length
      at += taken.length
      left -= taken.length
      if (used === small.length) seal()
    }
  }
  seal()
  return payloads
}

const encoder = new TextEncoder()

/** A character outside the Basic Multilingual Plane is two code units, which may come in two strings. */
const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

/** Strings in UTF-8. A lone surrogate becomes U+FFFD, but not one whose other half comes next. */
export const encodeText = <E, R>(strings: Stream.Stream<string, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    let half = ""
    const encode = (string: string): Uint8Array => {
      const whole = half + string
      half = isHighSurrogate(whole.charCodeAt(whole.length - 1)) ? whole.slice(-1) : ""
      return encoder.encode(half === "" ? whole : whole.slice(0, -1))
    }
    const rest = Stream.suspend(() => (half === "" ? Stream.empty : Stream.succeed(encoder.encode(half))))
    return Stream.concat(Stream.map(strings, encode), rest)
  })
