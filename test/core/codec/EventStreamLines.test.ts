import * as fc from "fast-check"
import { afterEach, describe, expect, it, vi } from "vitest"
import * as Lines from "@millrace/core/codec/EventStreamLines"
import * as Simd from "@millrace/core/codec/Simd"

const isEnd = (byte: number) => byte === 0x0a || byte === 0x0d

/** Bytes in the middle of a buffer whose other bytes are all ends of lines, at any alignment. */
const surrounded = (length: number, before: number, fill: number) => {
  const buffer = new Uint8Array(before + length + 5).fill(0x0a)
  return buffer.subarray(before, before + length).fill(fill)
}

/** Bytes that a wide search may take for CR or LF: below 0x0e, with the highest bit, and next to them. */
const others = [0x00, 0x09, 0x0b, 0x0c, 0x0e, 0x0f, 0x20, 0x7f, 0x80, 0x8a, 0x8d, 0x8e, 0xff]

/** The ends that a finder finds. */
const ends = (finder: Lines.Finder, bytes: Uint8Array) => Array.from(finder.ends.subarray(0, finder.find(bytes)))

describe.each([
  ["in WebAssembly", Lines.finder()],
  ["in JavaScript", Lines.makePlain()]
])("a finder %s", (_, finder) => {
  it("finds CR and LF at every place of a run, whatever the bytes in it and around it are", () => {
    for (const fill of others) {
      const bytes = surrounded(100, 3, fill)
      expect(ends(finder, bytes), `among ${fill}`).toEqual([])
      for (let at = 0; at < bytes.length; at++) {
        bytes[at] = at % 2 === 0 ? 0x0a : 0x0d
        expect(ends(finder, bytes), `among ${fill}`).toEqual([at])
        bytes[at] = fill
      }
    }
  })

  it("finds all of them, in order, and none of what was searched before", () => {
    const byte = fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(0x61, 0x62) },
      { weight: 2, arbitrary: fc.constantFrom(...others) },
      { weight: 2, arbitrary: fc.constantFrom(0x0a, 0x0d) }
    )
    fc.assert(
      fc.property(fc.array(byte, { minLength: 1, maxLength: 200, size: "max" }), fc.nat({ max: 7 }), (all, before) => {
        const bytes = surrounded(all.length, before, 0)
        bytes.set(all)
        expect(ends(finder, bytes)).toEqual(all.flatMap((each, at) => (isEnd(each) ? [at] : [])))
      })
    )
  })

  it("has room for as many as there can be", () => {
    for (const length of [Lines.mostBytes - 1, Lines.mostBytes]) {
      expect(ends(finder, surrounded(length, 1, 0x0d))).toEqual(Array.from({ length }, (_, at) => at))
      const bytes = surrounded(length, 1, 0x61)
      expect(ends(finder, bytes)).toEqual([])
      bytes[length - 1] = 0x0a
      expect(ends(finder, bytes)).toEqual([length - 1])
    }
  })
})

describe("finder", () => {
  afterEach(() => {
    vi.unstubAllGlobals()
    vi.resetModules()
  })

  it("is one for all who ask, and that of WebAssembly where there is one", () => {
    expect(Lines.finder()).toBe(Lines.finder())
    expect(Lines.finder().ends === Simd.kernels()!.lineEnds).toBe(true)
  })

  it("finds the same where there is none", async () => {
    vi.resetModules()
    vi.stubGlobal("WebAssembly", undefined)
    const finder = (await import("@millrace/core/codec/EventStreamLines")).finder()
    expect(ends(finder, new TextEncoder().encode("a\r\n\nb\r"))).toEqual([1, 2, 3, 5])
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
