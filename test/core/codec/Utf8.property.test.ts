/** UTF-8 against `TextDecoder`, over bytes that are nearly right. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Utf8 from "@millrace/core/codec/Utf8"
import { concat } from "../../support/frames.ts"
import { cut, hex, utf8 } from "../../support/wire.ts"

/** Characters of every length, and the beginnings and likenesses of some. */
const piece: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: "binary", maxLength: 4 }).map(utf8) },
  { weight: 3, arbitrary: fc.constantFrom("é", "߿", "ࠀ", "퟿", "", "￿", "𐀀", "\u{10ffff}").map(utf8) },
  { weight: 2, arbitrary: fc.nat({ max: 20 }).map((length) => utf8("x".repeat(length))) },
  { weight: 1, arbitrary: fc.constantFrom("c0 80", "e0 9f bf", "f0 8f bf bf", "ed a0 80", "ed bf bf").map(hex) },
  { weight: 1, arbitrary: fc.constantFrom("f4 90 80 80", "f5", "fe", "ff", "80", "bf", "c1").map(hex) },
  { weight: 1, arbitrary: fc.constantFrom("c2", "e0", "e0 a0", "ed 9f", "f0 90", "f4 8f bf").map(hex) },
  { weight: 1, arbitrary: fc.uint8Array({ min: 0x80, maxLength: 4 }) }
)

const bytes = fc.array(piece, { maxLength: 6 }).map(concat)

const platform = (sequence: Uint8Array): boolean => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(sequence)
    return true
  } catch {
    return false
  }
}

/** One of these completes any beginning of a character: at most three bytes are missing, and only the first is choosy. */
const completions = ["", "80", "90", "a0", "80 80", "90 80", "a0 80", "80 80 80", "90 80 80", "a0 80 80"].map(hex)

/** Length of the shortest prefix that nothing can make right, or `undefined`. By trying. */
const firstBad = (sequence: Uint8Array): number | undefined => {
  for (let length = 0; length <= sequence.length; length++) {
    const prefix = sequence.subarray(0, length)
    if (!completions.some((end) => platform(concat([prefix, end])))) return length
  }
  return undefined
}

describe("Utf8", () => {
  it("is what the platform takes for UTF-8", () => {
    fc.assert(
      fc.property(bytes, (sequence) => {
        expect(Utf8.isValid(sequence)).toBe(platform(sequence))
      }),
      { numRuns: 3000 }
    )
  })

  it("comes to the same state at every split", () => {
    fc.assert(
      fc.property(bytes, (sequence) => {
        const state = Utf8.validate(Utf8.accept, sequence)
        for (let at = 0; at <= sequence.length; at++) {
          const half = Utf8.validate(Utf8.accept, sequence.subarray(0, at))
          const end = half === Utf8.reject ? half : Utf8.validate(half, sequence.subarray(at))
          expect(end).toBe(state)
        }
      }),
      { numRuns: 1000 }
    )
  })

  it("refuses at the first byte after which nothing can be right any more", () => {
    fc.assert(
      fc.property(bytes, (sequence) => {
        let state = Utf8.accept
        let length = 0
        while (length < sequence.length && state !== Utf8.reject) {
          state = Utf8.validate(state, sequence.subarray(length, ++length))
        }
        expect(state === Utf8.reject ? length : undefined).toBe(firstBad(sequence))
      }),
      { numRuns: 1000 }
    )
  })

  it("is the same in a text long enough for another way", () => {
    const place = fc.oneof(fc.nat({ max: 5000 }), fc.integer({ min: 2030, max: 2070 }))
    fc.assert(
      fc.property(bytes, place, fc.nat({ max: 5000 }), fc.array(fc.nat(), { maxLength: 3 }), (middle, a, b, at) => {
        const sequence = concat([utf8("a".repeat(a)), middle, utf8("z".repeat(b))])
        let state = Utf8.accept
        for (const part of cut(sequence, at)) if (state !== Utf8.reject) state = Utf8.validate(state, part)
        expect(state === Utf8.accept).toBe(platform(sequence))
      }),
      { numRuns: 500 }
    )
  })
})
