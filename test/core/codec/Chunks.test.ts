/** Pieces joined: right in any size, and never at the cost of more memory than about twice what was sent. */
import * as fc from "fast-check"
import { describe, expect, it, vi } from "vitest"
import { Chunks } from "@millrace/core/codec/Chunks"
import { concat, counting } from "../../support/frames.ts"

/** A piece as a socket gives it: a view of a buffer with something before it and something behind. */
const piece = (bytes: Uint8Array, before: number, after: number): Uint8Array => {
  const buffer = new Uint8Array(before + bytes.length + after).fill(0xee)
  buffer.set(bytes, before)
  return buffer.subarray(before, before + bytes.length)
}

/** What a view costs besides its bytes, with the `ArrayBuffer` under it: measured on V8, about 200 bytes. */
const viewCost = 200

/** Bytes that it keeps alive: every buffer once, and every view. */
const retained = (chunks: Chunks): number => {
  const buffers = new Set<ArrayBufferLike>()
  let views = 0
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    if (!ArrayBuffer.isView(value)) return
    buffers.add(value.buffer)
    views++
  }
  Object.values(chunks).forEach(look)
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, views * viewCost)
}

const size = fc.oneof(
  fc.nat({ max: 100 }),
  fc.constantFrom(0, 1, 63, 64, 65, 511, 512, 513, 4096, 40_000, 65_536, 70_000)
)

const spare = fc.oneof(fc.constant(0), fc.nat({ max: 100 }), fc.constantFrom(65_536, 100_000))

describe("Chunks", () => {
  it("joins nothing to nothing", () => {
    expect(new Chunks().join()).toEqual(new Uint8Array(0))
    const chunks = new Chunks()
    chunks.push(new Uint8Array(0))
    expect([chunks.length, chunks.join().length]).toEqual([0, 0])
  })

  it("joins pieces of any size from buffers of any size, and again when more has come", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ length: size, before: spare, after: spare, join: fc.boolean() }), { maxLength: 20 }),
        (pieces) => {
          const chunks = new Chunks()
          const all: Array<Uint8Array> = []
          const joins: Array<readonly [Uint8Array, Uint8Array]> = []
          for (const { length, before, after, join } of pieces) {
            const bytes = counting(length).map((byte) => byte + all.length)
            chunks.push(piece(bytes, before, after))
            all.push(bytes)
            if (join) joins.push([chunks.join(), concat(all)])
          }
          joins.push([chunks.join(), concat(all)])
          // Only now, so that a later piece that was written into an earlier answer is seen.
          for (const [joined, right] of joins) expect(joined).toEqual(right)
          expect(chunks.length).toBe(concat(all).length)
        }
      )
    )
  })

  it("copies no piece that fills its buffer, when there is only one", () => {
    const bytes = counting(5000)
    const chunks = new Chunks()
    chunks.push(bytes)
    expect(chunks.join().buffer).toBe(bytes.buffer)
  })

  it("copies a sliver, so that the buffer it lies in can go", () => {
    const sliver = piece(counting(10), 30_000, 30_000)
    const chunks = new Chunks()
    chunks.push(sliver)
    sliver.fill(0)
    expect(chunks.join()).toEqual(counting(10))
    expect(retained(chunks)).toBeLessThan(1000)
  })
})

describe("its memory", () => {
  it.each([
    ["1 MiB in bytes that each lie in 64 KiB", 1 << 20, 1, 65_535],
    ["1 MiB in bytes that each lie in two", 1 << 20, 1, 1],
    ["1 MiB in bytes that each have a buffer of their own", 1 << 20, 1, 0],
    ["1 MiB in 7 bytes that each have a buffer of their own", 1 << 20, 7, 0],
    ["1 MiB in 1,000 bytes that each lie in 64 KiB", 1 << 20, 1000, 64_536],
    ["1 MiB in 1,448 bytes, a TCP segment each", 1 << 20, 1448, 0],
    ["1 MiB in a quarter of 64 KiB each", 1 << 20, 16_384, 49_152],
    ["1 MiB in just less than half of 64 KiB", 1 << 20, 32_767, 32_769],
    ["1 MiB in just half of 64 KiB", 1 << 20, 32_768, 32_768],
    ["1,000 bytes in bytes that each lie in 64 KiB", 1000, 1, 65_535]
  ])("stays at about twice the bytes: %s", (_, total, length, after) => {
    const chunks = new Chunks()
    const most = () => chunks.length * 2.5 + 70_000
    // 65,536 buffers of 64 KiB are more than a test can have, but that many of them are enough to see one kept.
    const buffers = Array.from({ length: 64 }, () => new Uint8Array(length + after))
    for (let sent = 0, next = 0; sent < total; sent += length, next++) {
      const buffer = after > 1000 ? buffers[next % 64]! : new Uint8Array(length + after)
      chunks.push(buffer.subarray(0, length))
      if (next === 100) expect(retained(chunks)).toBeLessThan(most())
    }
    expect(retained(chunks)).toBeLessThan(most())
    expect(chunks.join().length).toBe(chunks.length)
  })

  it("stays at about three times the bytes in the worst order of large and small", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ length: size, after: spare }), { minLength: 50, maxLength: 100 }), (pieces) => {
        const chunks = new Chunks()
        for (const { length, after } of pieces) chunks.push(piece(counting(length), 0, after))
        expect(retained(chunks)).toBeLessThan(chunks.length * 3 + 100_000)
      }),
      { numRuns: 40 }
    )
  })

  it("takes time in proportion: no byte is copied a second time before all are joined", () => {
    const set = vi.spyOn(Uint8Array.prototype, "set")
    const copied = () => set.mock.calls.reduce((sum, [source]) => sum + source.length, 0)
    try {
      const chunks = new Chunks()
      const bytes = new Uint8Array(64)
      for (let sent = 0; sent < 10_000; sent++) chunks.push(bytes.subarray(0, 7))
      expect(copied()).toBeLessThanOrEqual(70_000)
      chunks.join()
      expect(copied()).toBeLessThanOrEqual(140_000)
    } finally {
      set.mockRestore()
    }
  })
})
