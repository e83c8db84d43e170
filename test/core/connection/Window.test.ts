/** The end of what came, in no more memory than that takes. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Window } from "@millrace/core/connection/Window"
import { concat, counting } from "../../support/frames.ts"

/** Bytes that it keeps alive and nobody else does. */
const held = (window: Window): number =>
  Object.values(window)
    .filter((value) => value instanceof Uint8Array)
    .reduce((sum, view) => sum + view.buffer.byteLength, 0)

const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(0, 1, 63, 64, 65, 200).map(counting))

const step = fc.record({ bytes, shared: fc.boolean(), asked: fc.boolean() })

const take = (window: Window, size: number, { bytes, shared }: { bytes: Uint8Array; shared: boolean }) => {
  if (shared) window.share(bytes.slice(Math.max(bytes.length - size, 0)))
  else window.push(bytes)
}

describe("a window", () => {
  it("holds nothing at first, and has none of what is empty", () => {
    const window = new Window(64)
    expect(window.bytes).toBeUndefined()
    window.push(new Uint8Array(0))
    window.share(new Uint8Array(0))
    expect([window.bytes, held(window)]).toEqual([undefined, 0])
  })

  it("is the end of all that was pushed, as long as may be", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 20 }), fc.constantFrom(1, 7, 64, 256), (pushed, size) => {
        const window = new Window(size)
        for (const bytes of pushed) window.push(bytes)
        const all = concat(pushed)
        expect(window.bytes ?? new Uint8Array(0)).toEqual(all.slice(Math.max(all.length - size, 0)))
      })
    )
  })

  it("is an end of all that came, of one message at least, also where some of it is shared", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(64, 256, 8_192), (steps, size) => {
        const window = new Window(size)
        let all = new Uint8Array(0)
        let last = 0
        for (const step of steps) {
          take(window, size, step)
          all = new Uint8Array(concat([all, step.bytes]))
          if (step.bytes.length > 0) last = Math.min(step.bytes.length, size)
          if (!step.asked) continue
          const length = window.bytes?.length ?? 0
          expect(length).toBeGreaterThanOrEqual(last)
          expect(length).toBeLessThanOrEqual(size)
          expect(window.bytes ?? new Uint8Array(0)).toEqual(all.slice(all.length - length))
        }
      })
    )
  })

  it("does not change with what was pushed", () => {
    const window = new Window(64)
    const message = Uint8Array.of(1, 2, 3)
    window.push(message)
    message.fill(9)
    expect(window.bytes).toEqual(Uint8Array.of(1, 2, 3))
  })

  it("takes as much memory as has come, then at most twice that, and never more than its size", () => {
    const window = new Window(8_192)
    window.push(counting(1_000))
    expect(held(window)).toBe(1_000)
    let length = 1_000
    for (let pushed = 0; pushed < 40; pushed++) {
      window.push(counting(300))
      length += 300
      expect(held(window)).toBeLessThanOrEqual(Math.min(8_192, length * 2))
    }
    expect([held(window), window.bytes?.length]).toEqual([8_192, 8_192])
    window.push(counting(100_000))
    expect(held(window)).toBe(8_192)
  })

  it("has no copy of what is shared, and forgets what that puts out of reach", () => {
    const window = new Window(256)
    const first = counting(200)
    window.share(first)
    expect(window.bytes).toBe(first)
    expect(held(window)).toBe(0)
    window.push(counting(100))
    expect(held(window)).toBe(256)
    window.share(counting(100))
    expect(held(window)).toBe(256)
    window.share(counting(256))
    expect(held(window)).toBe(0)
    const other = new Window(256)
    other.push(first)
    other.share(counting(256))
    expect(held(other)).toBe(0)
  })

  it("keeps 16 messages by reference, and forgets all before the last 16", () => {
    const window = new Window(8_192)
    window.push(counting(1_000))
    for (let shared = 0; shared < 16; shared++) window.share(Uint8Array.of(shared))
    expect(held(window)).toBe(1_000)
    window.share(Uint8Array.of(16))
    expect(held(window)).toBe(0)
    expect(window.bytes).toEqual(Uint8Array.from({ length: 16 }, (_, i) => i + 1))
  })

  it("is copied to one that goes on by itself", () => {
    const window = new Window(64)
    window.push(Uint8Array.of(1))
    window.share(Uint8Array.of(2))
    const copy = window.copy()
    copy.push(Uint8Array.of(3))
    window.push(Uint8Array.of(4))
    expect([window.bytes, copy.bytes]).toEqual([Uint8Array.of(1, 2, 4), Uint8Array.of(1, 2, 3)])
    expect(new Window(64).copy().bytes).toBeUndefined()
  })
})
