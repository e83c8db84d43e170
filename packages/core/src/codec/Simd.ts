/**
 * Loops over long runs of bytes, in WebAssembly SIMD: 16 bytes at a time where JavaScript does 4, or 1.
 *
 * Bytes are copied into its memory in blocks and, for masking, back again. Measured on 256 KiB, with the copies counted,
 * masking takes a quarter of the time of the plain loop, and so does validating text that is not ASCII. Finding the ends
 * of short lines takes a third of it, and that already on 60 bytes. Where
 * WebAssembly or SIMD is missing or forbidden (a content security policy without `wasm-unsafe-eval`), `kernels()` is
 * `undefined` and callers run their plain loops.
 */
import * as SimdModule from "./SimdModule.ts"

/** A block is what a loop takes at once. It fits the level-two cache with room for the source. */
const blockLength = 65_536

/** Below this many bytes the copies cost more than the loop saves. Measured. */
export const worthwhileLength = 2_048

export interface Kernels {
  /** XORs `bytes` in place; `key` is the masking key as a 32-bit integer whose first wire byte is the lowest. */
  readonly mask: (bytes: Uint8Array, key: number) => void
  /** Whether `bytes` are UTF-8 as a whole. */
  readonly isUtf8: (bytes: Uint8Array) => boolean
  /** Finds LF and CR in 1 to 65,536 bytes. How many there are; where they are is in `lineEnds`, up to the next call. */
  readonly findLineEnds: (bytes: Uint8Array) => number
  readonly lineEnds: Int32Array
}

/** Where the block that starts at `from` ends: before a character, with room for 16 bytes, or at the end. */
const wholeCharacters = (bytes: Uint8Array, from: number): number => {
  const to = from + blockLength - 16
  if (to >= bytes.length) return bytes.length
  for (let back = 0; back < 4; back++) if ((bytes[to - back]! & 0xc0) !== 0x80) return to - back
  return to
}

const instantiate = (): Kernels | undefined => {
  if (typeof WebAssembly === "undefined") return undefined
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(SimdModule.bytes()))
    const {
      b: memory,
      m: mask,
      h: highBits,
      u: notUtf8,
      l: findLineEnds
    } = exports as {
      readonly b: { readonly buffer: ArrayBuffer }
      readonly m: (length: number, key: number) => void
      readonly h: (length: number) => number
      readonly u: (length: number) => number
      readonly l: (length: number) => number
    }
    const block = new Uint8Array(memory.buffer, 0, blockLength)
    return {
      mask: (bytes, key) => {
        for (let from = 0; from < bytes.length; from += blockLength) {
          const part = bytes.subarray(from, from + blockLength)
          block.set(part)
          mask(part.length, key)
          part.set(part.length === blockLength ? block : block.subarray(0, part.length))
        }
      },
      isUtf8: (bytes) => {
        for (let from = 0; from < bytes.length;) {
          const to = wholeCharacters(bytes, from)
          const length = to - from
          block.set(bytes.subarray(from, to))
          // Behind a character that is cut short comes no continuation, nor what an earlier block left there.
          block.fill(0, length, length + 16)
          if (highBits(length) !== 0 && notUtf8(length + 1) !== 0) return false
          from = to
        }
        return true
      },
      findLineEnds: (bytes) => {
        block.set(bytes)
        return findLineEnds(bytes.length)
      },
      lineEnds: new Int32Array(memory.buffer, SimdModule.tableOffset, blockLength)
    }
  } catch {
    return undefined
  }
}

let instance: { readonly kernels: Kernels | undefined } | undefined

/** The kernels, made when first asked for, or `undefined` where this runtime has none. */
export const kernels = (): Kernels | undefined => (instance ??= { kernels: instantiate() }).kernels
