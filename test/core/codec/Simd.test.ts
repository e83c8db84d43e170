/** The WebAssembly loops, at the ends of their vectors of 16 bytes and of their blocks of 65,536. */
import { afterEach, describe, expect, it, vi } from "vitest"
import * as Simd from "@millrace/core/codec/Simd"
import { counting, mask, toHex } from "../../support/frames.ts"

const kernels = Simd.kernels()!

const block = 65_536

const lengths = [
  ...Array.from({ length: 50 }, (_, i) => i),
  ...Array.from({ length: 36 }, (_, i) => block - 18 + i),
  2 * block - 1,
  2 * block,
  2 * block + 1,
  3 * block + 17
]

/** Its first wire byte is the lowest of the kernel's key. */
const swapped = (key: number) => new DataView(Uint8Array.of(key, key >>> 8, key >>> 16, key >>> 24).buffer).getInt32(0)

describe("kernels", () => {
  it("are there in this runtime, and made once", () => {
    expect(kernels).toBeDefined()
    expect(Simd.kernels()).toBe(kernels)
  })

  it("mask any length, and nothing around it", () => {
    for (const length of lengths) {
      const buffer = counting(length + 24)
      kernels.mask(buffer.subarray(8, 8 + length), swapped(0x91a2b3c4))
      const right = counting(length + 24)
      right.set(mask(right.subarray(8, 8 + length), 0x91a2b3c4), 8)
      expect(buffer, `${length} bytes`).toEqual(right)
    }
  })

  it("find a high bit wherever it is", () => {
    for (const length of lengths) {
      const bytes = new Uint8Array(length).fill(0x7f)
      expect(kernels.isUtf8(bytes), `${length} bytes of ASCII`).toBe(true)
      const places = new Set([
        0,
        1,
        15,
        16,
        17,
        block - 1,
        block,
        block + 1,
        length - 17,
        length - 16,
        length - 2,
        length - 1
      ])
      for (const place of places) {
        if (place < 0 || place >= length) continue
        bytes[place] = 0x80
        expect(kernels.isUtf8(bytes), `0x80 at ${place} of ${length} bytes`).toBe(false)
        bytes[place] = 0x7f
      }
    }
  })

  it("find every byte above 0x7f, and none below", () => {
    const bytes = new Uint8Array(33)
    for (let byte = 0; byte < 256; byte++) {
      bytes[20] = byte
      expect(kernels.isUtf8(bytes)).toBe(byte < 0x80)
    }
  })

  it("look at nothing that an earlier call left behind", () => {
    for (const length of [1, 15, 16, 17, 100, block - 1, block + 1]) {
      kernels.mask(new Uint8Array(2 * block), -1)
      expect(kernels.isUtf8(new Uint8Array(length)), `${length} bytes`).toBe(true)
    }
  })

  it("look at no byte outside of what they are given", () => {
    const buffer = new Uint8Array(200).fill(0xff)
    buffer.fill(0x20, 50, 150)
    expect(kernels.isUtf8(buffer.subarray(50, 150))).toBe(true)
    expect(kernels.isUtf8(buffer.subarray(49, 150))).toBe(false)
    expect(kernels.isUtf8(buffer.subarray(50, 151))).toBe(false)
    kernels.mask(buffer.subarray(50, 60), 0)
    expect(toHex(buffer.subarray(48, 62))).toBe("ff ff 20 20 20 20 20 20 20 20 20 20 20 20")
  })
})

/** The module in a runtime whose `WebAssembly` is this. */
const load = async (webAssembly: unknown): Promise<typeof Simd> => {
  vi.resetModules()
  vi.stubGlobal("WebAssembly", webAssembly)
  return await import("@millrace/core/codec/Simd")
}

describe("where they cannot be had", () => {
  afterEach(() => {
    vi.unstubAllGlobals()
    vi.resetModules()
  })

  it("are undefined without WebAssembly", async () => {
    expect((await load(undefined)).kernels()).toBeUndefined()
  })

  it.each([
    ["it is forbidden", new EvalError("'wasm-unsafe-eval' is not an allowed source of script")],
    ["it knows no SIMD", new SyntaxError("invalid opcode 0xfd")]
  ])("are undefined where %s, which is asked once", async (_, error) => {
    const Module = vi.fn(function refuse() {
      throw error
    })
    const { kernels } = await load({ Module, Instance: WebAssembly.Instance })
    expect([kernels(), kernels()]).toEqual([undefined, undefined])
    expect(Module).toHaveBeenCalledTimes(1)
  })
})
