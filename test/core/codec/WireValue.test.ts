import { describe, expect, it } from "vitest"
import * as WireValue from "@millrace/core/codec/WireValue"
import { nested } from "../../support/wireValues.ts"

class Point {
  x = 1
}

const circle: Array<unknown> = []
circle.push({ circle })

describe("what is sent", () => {
  it("is JSON with bytes in it, which are counted", () => {
    const bytes = new Uint8Array(3)
    expect(WireValue.countBytes({ a: [1, "b", true, null, undefined], c: { d: -0.5 } }, 64)).toBe(0)
    expect(WireValue.countBytes({ a: [bytes, { b: bytes }], c: bytes }, 64)).toBe(3)
    expect(WireValue.countBytes(bytes, 0)).toBe(1)
    expect(WireValue.countBytes(Buffer.from("a"), 0)).toBe(1)
    expect(WireValue.countBytes(undefined, 0)).toBe(0)
  })

  it("may be an object without a prototype", () => {
    expect(WireValue.countBytes(Object.assign(Object.create(null), { a: new Uint8Array(1) }), 1)).toBe(1)
  })

  it.each([
    ["a bigint", 1n],
    ["a function", () => 1],
    ["a symbol", Symbol("a")],
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["-Infinity", Number.NEGATIVE_INFINITY],
    ["Date", new Date(0)],
    ["Map", new Map()],
    ["Float64Array", new Float64Array(1)],
    ["ArrayBuffer", new ArrayBuffer(1)],
    ["Point", new Point()],
    ["in a circle", circle],
    ["__proto__", JSON.parse('{"__proto__":1}')],
    ["constructor", { constructor: 1 }],
    ["prototype", { prototype: 1 }]
  ])("is not %s, wherever it stands", (words, value) => {
    for (const wire of [value, [value], { a: { b: value } }]) {
      expect(() => WireValue.countBytes(wire, 64)).toThrow(TypeError)
      expect(() => WireValue.countBytes(wire, 64)).toThrow(words)
    }
  })

  it("is nested as deep as it may be, and no deeper", () => {
    expect(WireValue.countBytes(nested(64, "a"), 64)).toBe(0)
    expect(() => WireValue.countBytes(nested(65, "a"), 64)).toThrow(/too deep/)
    expect(() => WireValue.countBytes(nested(100_000), 64)).toThrow(/too deep/)
  })
})

describe("what was received", () => {
  it("is taken when it is JSON", () => {
    expect(WireValue.refusal({ a: [1, "__proto__", true, null], toString: { d: -0.5 } }, 64)).toBeUndefined()
  })

  it.each(["__proto__", "constructor", "prototype"])("has no property %s, wherever it stands", (name) => {
    for (const json of [`{"${name}":1}`, `[0,{"${name}":[]}]`, `{"a":[{"b":{"${name}":null}}]}`]) {
      expect(WireValue.refusal(JSON.parse(json), 64)).toBe(`a property with the name ${name}`)
    }
  })

  it("is nested as deep as it may be, and no deeper", () => {
    expect(WireValue.refusal(nested(64, "a"), 64)).toBeUndefined()
    expect(WireValue.refusal(nested(65, "a"), 64)).toBe("nested too deep")
    expect(WireValue.refusal(nested(100_000), 64)).toBe("nested too deep")
  })

  it("has no number that is not finite", () => {
    expect(WireValue.refusal(JSON.parse('{"a":[1e400]}'), 64)).toBe("a number that is too large")
  })
})
