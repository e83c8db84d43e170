/**
 * Masking against section 5.3 read literally, octet by octet, on both ways it is done: with the WebAssembly kernels and
 * with the plain loop. Masking twice gives the payload back with any mistake that is made twice, so it proves nothing.
 */
import * as fc from "fast-check"
import { afterAll, describe, expect, it, vi } from "vitest"
import { counting, key, mask, toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

type Mask = typeof import("@millrace/core/codec/Mask")
type Simd = typeof import("@millrace/core/codec/Simd")

/** The module in a runtime with WebAssembly or without; each asks for its kernels once, which is made to happen here. */
const load = async (webAssembly: boolean): Promise<Mask> => {
  vi.resetModules()
  if (!webAssembly) vi.stubGlobal("WebAssembly", undefined)
  const loaded: Mask = await import("@millrace/core/codec/Mask")
  const simd: Simd = await import("@millrace/core/codec/Simd")
  expect(simd.kernels() !== undefined).toBe(webAssembly)
  vi.unstubAllGlobals()
  return loaded
}

afterAll(() => {
  vi.resetModules()
})

/** Around the lengths from which masking takes another way, and around those at which its blocks end. */
const lengths = fc.oneof(
  fc.nat({ max: 70 }),
  fc
    .tuple(fc.constantFrom(2048, 4096, 65_536, 131_072, 196_608), fc.integer({ min: -20, max: 20 }))
    .map(([length, off]) => length + off)
)

const positions = fc.oneof(fc.nat({ max: 9 }), fc.constantFrom(65_535, 2 ** 31, 2 ** 32 + 3, Number.MAX_SAFE_INTEGER))

describe.each([
  ["with WebAssembly", await load(true)],
  ["with the plain loop", await load(false)]
])("%s", (_, Mask) => {
  it("masks what section 5.7 prints", () => {
    const bytes = utf8("Hello")
    Mask.applyInPlace(bytes, 0x37fa213d)
    expect(toHex(bytes)).toBe("7f 9f 4d 51 58")
  })

  it.each([
    [0, "01 02 03 04 01 02 03 04 01"],
    [1, "02 03 04 01 02 03 04 01 02"],
    [2, "03 04 01 02 03 04 01 02 03"],
    [3, "04 01 02 03 04 01 02 03 04"],
    [4, "01 02 03 04 01 02 03 04 01"]
  ])("begins with the octet of the key for position %i", (position, masked) => {
    const bytes = new Uint8Array(9)
    Mask.applyInPlace(bytes, 0x01020304, position)
    expect(toHex(bytes)).toBe(masked)
    const long = new Uint8Array(65_545)
    Mask.applyInPlace(long, 0x01020304, position)
    expect(toHex(long.subarray(0, 9))).toBe(masked)
    expect(toHex(long.subarray(65_536))).toBe(masked)
  })

  it("takes a negative key for the same 32 bits", () => {
    for (const length of [5, 2051]) {
      const bytes = new Uint8Array(length)
      Mask.applyInPlace(bytes, 0xfedcba98 | 0)
      expect(toHex(bytes.subarray(0, 5))).toBe("fe dc ba 98 fe")
    }
  })

  it("is XOR with octet i mod 4 of the key, whatever the length, the position and the place in a buffer", () => {
    fc.assert(
      fc.property(lengths, fc.nat({ max: 17 }), key, positions, (length, start, maskingKey, position) => {
        const buffer = counting(start + length + 17)
        const payload = buffer.slice(start, start + length)
        Mask.applyInPlace(buffer.subarray(start, start + length), maskingKey, position)
        expect(buffer.subarray(start, start + length)).toEqual(mask(payload, maskingKey, position % 4))
        expect(buffer.subarray(0, start)).toEqual(counting(start))
        expect(buffer.subarray(start + length)).toEqual(counting(start + length + 17).subarray(start + length))
      }),
      { numRuns: 150 }
    )
  })

  it("does the same to a part of a view", () => {
    fc.assert(
      fc.property(lengths, fc.nat({ max: 9 }), fc.nat({ max: 9 }), key, positions, (length, a, b, maskingKey, at) => {
        const buffer = counting(a + b + length + 7)
        const right = buffer.slice()
        right.set(mask(right.subarray(a + b, a + b + length), maskingKey, at % 4), a + b)
        Mask.applyInView(new DataView(buffer.buffer, a), b, b + length, maskingKey, at)
        expect(buffer).toEqual(right)
      }),
      { numRuns: 150 }
    )
  })

  it("in parts is the same as at once", () => {
    fc.assert(
      fc.property(lengths, key, fc.array(fc.nat(), { maxLength: 4 }), (length, maskingKey, cuts) => {
        const bytes = counting(length)
        let from = 0
        for (const to of [...cuts.map((at) => at % (length + 1)).sort((a, b) => a - b), length]) {
          Mask.applyInPlace(bytes.subarray(from, to), maskingKey, from)
          from = to
        }
        expect(bytes).toEqual(mask(counting(length), maskingKey))
      }),
      { numRuns: 100 }
    )
  })
})

it("the reference itself masks what section 5.7 prints", () => {
  expect(mask(hex("48 65 6c 6c 6f"), 0x37fa213d)).toEqual(hex("7f 9f 4d 51 58"))
})
