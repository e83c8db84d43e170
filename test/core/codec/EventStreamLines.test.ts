import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Lines from "@millrace/core/codec/EventStreamLines"

const isEnd = (byte: number) => byte === 0x0a || byte === 0x0d

/** Bytes in the middle of a buffer whose other bytes are all ends of lines, at any alignment. */
const surrounded = (length: number, before: number, fill: number) => {
  const buffer = new Uint8Array(before + length + 5).fill(0x0a)
  return buffer.subarray(before, before + length).fill(fill)
}

/** Bytes that a wide search may take for CR or LF: below 0x0e, with the highest bit, and next to them. */
const others = [0x00, 0x09, 0x0b, 0x0c, 0x0e, 0x0f, 0x20, 0x7f, 0x80, 0x8a, 0x8d, 0x8e, 0xff]

describe("lastEnd", () => {
  it("finds CR and LF at every place of a long run, whatever the bytes around them are", () => {
    for (const fill of others) {
      const bytes = surrounded(400, 3, fill)
      expect(Lines.lastEnd(bytes, 0), `none among ${fill}`).toBe(-1)
      for (let at = 0; at < bytes.length; at++) {
        bytes[at] = at % 2 === 0 ? 0x0a : 0x0d
        expect(Lines.lastEnd(bytes, 0), `among ${fill}`).toBe(at)
        bytes[at] = fill
      }
    }
  })

  it("is the last of several, and not before where the search begins", () => {
    const byte = fc.oneof(
      { weight: 60, arbitrary: fc.constantFrom(0x61, 0x62) },
      { weight: 10, arbitrary: fc.constantFrom(...others) },
      { weight: 1, arbitrary: fc.constantFrom(0x0a, 0x0d) }
    )
    fc.assert(
      fc.property(
        fc.array(byte, { maxLength: 700, size: "max" }),
        fc.nat({ max: 1 }),
        fc.nat({ max: 7 }),
        (all, from, before) => {
          const bytes = surrounded(all.length, before, 0)
          bytes.set(all)
          const start = Math.min(from, all.length)
          const found = all.findLastIndex((byte, at) => at >= start && isEnd(byte))
          expect(Lines.lastEnd(bytes, start)).toBe(found)
        }
      )
    )
  })
})

describe("firstOver", () => {
  it.each([
    ["aaa\nbbb\n", 3, 8],
    ["aaa\nbbb\n", 2, 0],
    ["aa\nbbb\n", 2, 3],
    ["aa\nbbb", 2, 3],
    ["aa\r\nbb\r\rb", 2, 9],
    ["\n\n\n", 0, 3],
    ["\n\na\n", 0, 2],
    ["", 0, 0],
    ["aaaa", 4, 4]
  ])("%j with lines of at most %d is right up to %d", (text, max, over) => {
    expect(Lines.firstOver(new TextEncoder().encode(text), max)).toBe(over)
  })
})
