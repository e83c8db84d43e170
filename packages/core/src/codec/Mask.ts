/**
 * The masking transform of RFC 6455 section 5.3: octet `i` of the payload is XORed with octet `i mod 4` of the key.
 *
 * It keeps proxies from being fooled by what a client sends; it hides nothing. Masking twice gives the input back.
 */
import * as Simd from "./Simd.ts"

/**
 * Masks or unmasks `bytes` in place.
 *
 * `maskingKey` is the key as it stands in the frame, a 32-bit big-endian integer (negative values, as bitwise
 * operators make them, mean the same 32 bits). `position` says how many bytes of the payload came before `bytes`, for
 * a payload that is masked in parts.
 */
export const applyInPlace = (bytes: Uint8Array, maskingKey: number, position = 0): void =>
  applyInView(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, maskingKey, position)

/** The same, on the bytes of `view` from `start` to `end`, for callers that have a view already. */
export const applyInView = (view: DataView, start: number, end: number, maskingKey: number, position = 0): void => {
  const turn = (position & 3) << 3
  const key = turn === 0 ? maskingKey : (maskingKey << turn) | (maskingKey >>> (32 - turn))
  const fast = end - start >= Simd.worthwhileLength ? Simd.kernels() : undefined
  if (fast !== undefined) {
    fast.mask(new Uint8Array(view.buffer, view.byteOffset + start, end - start), swapBytes(key))
    return
  }
  // `DataView` reads and writes words at any address; V8 compiles it to plain loads and stores.
  let at = start
  for (const last = end - 4; at <= last; at += 4) view.setInt32(at, view.getInt32(at) ^ key)
  for (let shift = 24; at < end; at++, shift -= 8) view.setUint8(at, view.getUint8(at) ^ (key >>> shift))
}

const swapBytes = (word: number): number =>
  (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
