/** UTF-8 as section 4 of RFC 3629 tables it, byte by byte. */
import { describe, expect, it } from "vitest"
import * as Utf8 from "@millrace/core/codec/Utf8"
import { hex, utf8 } from "../../support/wire.ts"

/** How many bytes are taken until the one that is refused, or `undefined` when none is. */
const refusedAt = (bytes: Uint8Array): number | undefined => {
  let state = Utf8.accept
  for (let at = 0; at < bytes.length; at++) {
    state = Utf8.validate(state, bytes.subarray(at, at + 1))
    if (state === Utf8.reject) return at
  }
  return undefined
}

describe("is UTF-8", () => {
  it.each([
    ["nothing", ""],
    ["U+0000", "00"],
    ["U+007F", "7f"],
    ["U+0080, the first of two bytes", "c2 80"],
    ["U+07FF, the last of two bytes", "df bf"],
    ["U+0800, the first of three bytes", "e0 a0 80"],
    ["U+D7FF, the last before the surrogates", "ed 9f bf"],
    ["U+E000, the first after them", "ee 80 80"],
    ["U+FEFF, a byte order mark", "ef bb bf"],
    ["U+FFFF, a noncharacter", "ef bf bf"],
    ["U+10000, the first of four bytes", "f0 90 80 80"],
    ["U+10FFFF, the last of all", "f4 8f bf bf"],
    ["A≢Α. of RFC 3629 section 7", "41 e2 89 a2 ce 91 2e"],
    ["한국어 of the same section", "ed 95 9c ea b5 ad ec 96 b4"],
    ["日本語 of the same section", "e6 97 a5 e6 9c ac e8 aa 9e"],
    ["a mark and 𣎴 of the same section", "ef bb bf f0 a3 8e b4"]
  ])("%s", (_, bytes) => {
    expect(Utf8.isValid(hex(bytes))).toBe(true)
    expect(refusedAt(hex(bytes))).toBeUndefined()
  })
})

describe("is not UTF-8, from a byte on", () => {
  it.each([
    ["a continuation byte alone", "80", 0],
    ["the last continuation byte alone", "bf", 0],
    ["one more than it takes", "c2 80 80", 2],
    ["U+0000 in two bytes", "c0 80", 0],
    ["U+007F in two bytes", "c1 bf", 0],
    ["U+07FF in three bytes", "e0 9f bf", 1],
    ["U+FFFF in four bytes", "f0 8f bf bf", 1],
    ["U+D800, the first surrogate", "ed a0 80", 1],
    ["U+DFFF, the last surrogate", "ed bf bf", 1],
    ["a pair of surrogates", "ed a0 bd ed b8 80", 1],
    ["U+110000", "f4 90 80 80", 1],
    ["a lead byte for more than there is", "f5 80 80 80", 0],
    ["five bytes of old", "f8 88 80 80 80", 0],
    ["0xfe", "fe", 0],
    ["0xff", "ff", 0],
    ["a letter in the second place", "e2 41 a2", 1],
    ["a letter in the third place", "e2 89 41", 2],
    ["a letter in the fourth place", "f0 90 80 41", 3],
    ["a lead byte within a character", "e2 89 c2", 2],
    ["after text", "48 69 ff", 2]
  ])("%s", (_, bytes, at) => {
    expect(Utf8.isValid(hex(bytes))).toBe(false)
    expect(refusedAt(hex(bytes))).toBe(at)
    expect(Utf8.validate(Utf8.accept, hex(bytes))).toBe(Utf8.reject)
  })

  it("the whole of every one- and two-byte sequence agrees with the table", () => {
    for (let first = 0; first < 256; first++) {
      expect(Utf8.isValid(Uint8Array.of(first)), first.toString(16)).toBe(first < 0x80)
      for (let second = 0; second < 256; second++) {
        const valid = first < 0x80 ? second < 0x80 : first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf
        expect(Utf8.isValid(Uint8Array.of(first, second))).toBe(valid)
      }
    }
  })
})

describe("the state", () => {
  it("is neither accept nor reject within a character", () => {
    for (const start of ["c3", "e2", "e2 89", "f0", "f0 9f", "f0 9f 98"]) {
      const state = Utf8.validate(Utf8.accept, hex(start))
      expect([Utf8.accept, Utf8.reject]).not.toContain(state)
      expect(Utf8.isValid(hex(start))).toBe(false)
      expect(Utf8.validate(state, hex(""))).toBe(state)
    }
  })

  it("goes on in a long run of ASCII only when no character is open", () => {
    const ascii = new Uint8Array(5000).fill(0x61)
    const open = Utf8.validate(Utf8.accept, hex("e2 89"))
    expect(Utf8.validate(open, ascii)).toBe(Utf8.reject)
    ascii[0] = 0xa2
    expect(Utf8.validate(open, ascii)).toBe(Utf8.accept)
  })

  it("finds one bad byte anywhere in a long text", () => {
    for (const length of [7, 8, 9, 16, 100, 2047, 2048, 2049, 70_000]) {
      const bytes = utf8("a".repeat(length))
      for (const at of [0, 1, 6, 7, 8, 9, length >> 1, length - 8, length - 2, length - 1]) {
        if (at < 0 || at >= length) continue
        bytes[at] = 0xff
        expect(Utf8.validate(Utf8.accept, bytes), `at ${at} of ${length}`).toBe(Utf8.reject)
        bytes[at] = 0x61
      }
      expect(Utf8.validate(Utf8.accept, bytes)).toBe(Utf8.accept)
    }
  })

  it("stays within a character that the end of a long text cuts", () => {
    const bytes = utf8(`${"a".repeat(3000)}é`)
    const state = Utf8.validate(Utf8.accept, bytes.subarray(0, -1))
    expect(state).toBe(Utf8.validate(Utf8.accept, hex("c3")))
    expect(Utf8.validate(state, bytes.subarray(-1))).toBe(Utf8.accept)
  })
})
