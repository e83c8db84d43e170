/**
 * The UTF-8 kernel, which looks at 16 bytes at once and at what came before them: every kind of byte beside every
 * other, at every place in a vector, and at the ends of its blocks; against the platform.
 */
import { isUtf8 as platform } from "node:buffer"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Simd from "@millrace/core/codec/Simd"
import * as Utf8 from "@millrace/core/codec/Utf8"
import { concat, toHex } from "../../support/frames.ts"
import { hex, utf8 } from "../../support/wire.ts"

const { isUtf8 } = Simd.kernels()!

/** One byte of each kind that a rule of RFC 3629 section 4 tells from its neighbours. */
const kinds = hex("00 41 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f8 ff")

/** Where it disagrees with the platform, if it does. */
const disagreement = (bytes: Uint8Array) => (isUtf8(bytes) === platform(bytes) ? undefined : toHex(bytes))

describe("isUtf8", () => {
  it("is right about any two bytes at any place in a vector", () => {
    const bytes = new Uint8Array(48).fill(0x61)
    const wrong: Array<string> = []
    for (let place = 12; place < 34; place++) {
      for (let first = 0x7f; first < 256; first++) {
        for (let second = 0; second < 256; second++) {
          bytes[place] = first
          bytes[place + 1] = second
          if (isUtf8(bytes) !== (first < 0x80 ? second < 0x80 : first > 0xc1 && first < 0xe0 && second >> 6 === 2)) {
            wrong.push(`${place}: ${first} ${second}`)
          }
        }
      }
      bytes.fill(0x61)
    }
    expect(wrong).toEqual([])
  })

  it("is right about any four kinds of bytes, within a vector, across two and at the end", () => {
    const wrong: Array<string | undefined> = []
    for (const [length, place] of [
      [32, 4],
      [32, 13],
      [32, 14],
      [32, 15],
      [32, 28],
      [20, 16]
    ] as const) {
      const bytes = new Uint8Array(length).fill(0x61)
      for (const a of kinds) {
        for (const b of kinds) {
          for (const c of kinds) {
            bytes.set([a, b, c], place)
            // What comes fourth matters only behind three that may go on.
            for (const d of a < 0xc0 ? [0x41, 0x80] : kinds) {
              bytes[place + 3] = d
              const found = disagreement(bytes)
              if (found !== undefined) wrong.push(found)
            }
          }
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([])
  })

  it("takes every character there is, and no surrogate, in any place", () => {
    const all: Array<string> = []
    for (let point = 0; point <= 0x10ffff; point += point < 0x3000 ? 1 : 13) {
      if (point < 0xd800 || point > 0xdfff) all.push(String.fromCodePoint(point))
    }
    for (const shift of [0, 1, 2, 3, 5, 8]) {
      const bytes = utf8("x".repeat(shift) + all.join("x".repeat(shift)))
      expect(isUtf8(bytes)).toBe(true)
    }
    for (let point = 0xd800; point <= 0xdfff; point += 7) {
      const surrogate = Uint8Array.of(0xed, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
      expect(isUtf8(concat([utf8("é".repeat(20)), surrogate, utf8("é".repeat(20))]))).toBe(false)
    }
  })

  it("is right about any mistake near the end of a block and of the whole", () => {
    const mistakes = ["80", "bf", "c2", "e2 82", "f0 9f 98", "ed a0 80", "e0 80 80", "f5", "ff", "c0 80"].map(hex)
    const wrong: Array<string> = []
    for (const unit of ["a", "é", "€", "😀"]) {
      const long = utf8(unit.repeat(Math.ceil(140_000 / utf8(unit).length)))
      for (const edge of [65_520, 65_536, 131_040, 131_072, long.length]) {
        for (let off = -20; off <= 4; off++) {
          const at = edge + off
          // A mistake in place of some bytes, and just the end at that place.
          for (const mistake of [...mistakes, hex("")]) {
            if (at < 0 || at + mistake.length > long.length) continue
            const bytes = mistake.length === 0 ? long.subarray(0, at) : long.slice(0, Math.min(long.length, at + 3000))
            bytes.set(mistake, mistake.length === 0 ? 0 : at)
            if (isUtf8(bytes) !== platform(bytes)) wrong.push(`${unit} ${toHex(mistake)} at ${at}`)
          }
        }
      }
    }
    expect(wrong).toEqual([])
  }, 60_000)
})

describe("validate, in long text of any language", () => {
  const unit = fc.constantFrom("a", "é", "߿", "€", "ࠀ", "퟿", "", "😀", "\u{10ffff}", "дом ", "日本語", "naïve ")
  const piece = fc.tuple(unit, fc.integer({ min: 1, max: 2000 })).map(([unit, times]) => utf8(unit.repeat(times)))
  const change = fc.tuple(fc.nat(), fc.constantFrom(...kinds))

  it("is what the platform says, and comes to the same state when it comes in short runs", () => {
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1, maxLength: 12 }),
        fc.array(change, { maxLength: 2 }),
        fc.nat(),
        (pieces, changes, cut) => {
          const bytes = concat(pieces)
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte
          expect(Utf8.isValid(bytes)).toBe(platform(bytes))
          // In two, and in runs too short for the kernel: the state must be the same.
          const at = cut % (bytes.length + 1)
          const states = [
            [0, at, bytes.length],
            Array.from({ length: Math.ceil(bytes.length / 999) + 1 }, (_, i) => i * 999)
          ].map((ends) => {
            let state = Utf8.accept
            for (let i = 1; i < ends.length && state !== Utf8.reject; i++) {
              state = Utf8.validate(state, bytes.subarray(ends[i - 1], ends[i]))
            }
            return state
          })
          expect(states).toEqual([Utf8.validate(Utf8.accept, bytes), Utf8.validate(Utf8.accept, bytes)])
        }
      ),
      { numRuns: 1000 }
    )
  })
})
