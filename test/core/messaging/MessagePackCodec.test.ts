import { Packr } from "msgpackr"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as MessagePackCodec from "@millrace/core/messaging/MessagePackCodec"
import * as Message from "@millrace/core/protocol/Message"
import { hex, utf8 } from "../../support/wire.ts"
import { nested } from "../../support/wireValues.ts"

const codec = MessagePackCodec.make()

const decode = (sent: Message.Sendable, of = codec) => of.decode(Message.from(sent))
const value = (sent: Message.Sendable, of = codec) => Result.getOrThrow(decode(sent, of))

const detail = (sent: Message.Sendable, of = codec) => {
  const decoded = decode(sent, of)
  return Result.isFailure(decoded) ? decoded.failure.detail : { taken: decoded.success }
}

const printed = (bytes: Message.Sendable) =>
  Array.from(bytes as Uint8Array, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

const followed = (head: string, ...more: ReadonlyArray<number>) => Uint8Array.from([...hex(head), ...more])
const times = (length: number, byte: number) => Array.from({ length }, () => byte)
const letters = (length: number) => "a".repeat(length)
const nulls = (length: number) => Array.from({ length }, () => null)
const numbered = (length: number) => Object.fromEntries(Array.from({ length }, (_, i) => [`a${i}`, null]))

describe("a value", () => {
  // The formats of the specification, at the ends of what each of them can hold.
  it.each<[unknown, string]>([
    [null, "c0"],
    [undefined, "c0"],
    [false, "c2"],
    [true, "c3"],
    [0, "00"],
    [-0, "00"],
    [127, "7f"],
    [128, "cc 80"],
    [255, "cc ff"],
    [256, "cd 01 00"],
    [65_535, "cd ff ff"],
    [65_536, "ce 00 01 00 00"],
    [4_294_967_295, "ce ff ff ff ff"],
    [4_294_967_296, "cb 41 f0 00 00 00 00 00 00"],
    [Number.MAX_SAFE_INTEGER, "cb 43 3f ff ff ff ff ff ff"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0 df"],
    [-128, "d0 80"],
    [-129, "d1 ff 7f"],
    [-32_768, "d1 80 00"],
    [-32_769, "d2 ff ff 7f ff"],
    [-2_147_483_648, "d2 80 00 00 00"],
    [-2_147_483_649, "cb c1 e0 00 00 00 20 00 00"],
    [0.5, "cb 3f e0 00 00 00 00 00 00"],
    ["", "a0"],
    ["é", "a2 c3 a9"],
    ["😀", "a4 f0 9f 98 80"],
    [[], "90"],
    [[1, [2]], "92 01 91 02"],
    [{}, "80"],
    // The example of msgpack.org.
    [{ compact: true, schema: 0 }, "82 a7 63 6f 6d 70 61 63 74 c3 a6 73 63 68 65 6d 61 00"],
    [hex(""), "c4 00"],
    [hex("01 02"), "c4 02 01 02"],
    [{ a: undefined, b: [undefined] }, "81 a1 62 91 c0"],
    [["ask", 1, "rename", "Ada"], "94 a3 61 73 6b 01 a6 72 65 6e 61 6d 65 a3 41 64 61"]
  ])("%j is %s", (wire, bytes) => {
    expect(printed(codec.encode(wire))).toBe(bytes)
    // Nothing is said as JSON says it.
    const heard = wire === undefined ? null : wire instanceof Uint8Array ? wire : JSON.parse(JSON.stringify(wire))
    expect(value(hex(bytes))).toEqual(heard)
  })

  it.each<[string, unknown, Uint8Array]>([
    ["fixstr", letters(31), followed("bf", ...utf8(letters(31)))],
    ["str 8", letters(32), followed("d9 20", ...utf8(letters(32)))],
    ["the longest str 8", letters(255), followed("d9 ff", ...utf8(letters(255)))],
    ["str 16", letters(256), followed("da 01 00", ...utf8(letters(256)))],
    ["str 32", letters(65_536), followed("db 00 01 00 00", ...utf8(letters(65_536)))],
    ["str 8 by its bytes", "é".repeat(16), followed("d9 20", ...utf8("é".repeat(16)))],
    ["bin 8", new Uint8Array(255), followed("c4 ff", ...times(255, 0))],
    ["bin 16", new Uint8Array(256), followed("c5 01 00", ...times(256, 0))],
    ["bin 32", new Uint8Array(65_536), followed("c6 00 01 00 00", ...times(65_536, 0))],
    ["fixarray", nulls(15), followed("9f", ...times(15, 0xc0))],
    ["array 16", nulls(16), followed("dc 00 10", ...times(16, 0xc0))],
    ["array 32", nulls(65_536), followed("dd 00 01 00 00", ...times(65_536, 0xc0))]
  ])("of any length has the shortest format for it: %s", (_, wire, bytes) => {
    expect(printed(codec.encode(wire))).toBe(printed(bytes))
    expect(value(bytes)).toEqual(wire)
  })

  it.each([
    [15, "8f"],
    [16, "de 00 10"],
    [65_535, "de ff ff"],
    [65_536, "df 00 01 00 00"]
  ])("that is an object of %i properties begins with %s", (length, head) => {
    const sent = codec.encode(numbered(length)) as Uint8Array
    expect(printed(sent.subarray(0, hex(head).length))).toBe(head)
    expect(value(sent)).toEqual(numbered(length))
  })

  it.each<[string, string, unknown]>([
    ["uint 8", "cc 05", 5],
    ["uint 16", "cd 00 05", 5],
    ["uint 32", "ce 00 00 00 05", 5],
    ["uint 64", "cf 00 00 00 00 00 00 00 05", 5],
    ["uint 64", "cf 00 1f ff ff ff ff ff ff", Number.MAX_SAFE_INTEGER],
    ["int 8", "d0 05", 5],
    ["int 16", "d1 ff fb", -5],
    ["int 32", "d2 ff ff ff fb", -5],
    ["int 64", "d3 ff ff ff ff ff ff ff fb", -5],
    ["int 64", "d3 ff e0 00 00 00 00 00 01", Number.MIN_SAFE_INTEGER],
    ["float 32", "ca 3f 00 00 00", 0.5],
    ["str 8", "d9 01 61", "a"],
    ["str 16", "da 00 01 61", "a"],
    ["str 32", "db 00 00 00 01 61", "a"],
    ["bin 16", "c5 00 01 61", hex("61")],
    ["bin 32", "c6 00 00 00 01 61", hex("61")],
    ["array 16", "dc 00 01 05", [5]],
    ["array 32", "dd 00 00 00 01 05", [5]],
    ["map 16", "de 00 01 a1 61 05", { a: 5 }],
    ["map 32", "df 00 00 00 01 d9 01 61 05", { a: 5 }]
  ])("is taken in a longer format than it needs: %s", (_, bytes, wire) => {
    expect(value(hex(bytes))).toEqual(wire)
  })

  it("keeps a mark of byte order that a string begins with, however long it is", () => {
    for (const text of ["\uFEFF", `\uFEFF${letters(20)}`, `\uFEFF${letters(100)}`]) {
      expect(value(codec.encode([text, { [text]: 1 }]))).toEqual([text, { [text]: 1 }])
    }
  })

  it("has U+FFFD for lone surrogates, as it is UTF-8 for everybody", () => {
    const lone = { a: ["\ud800", { "\udc00b": `${letters(70)}\ud800` }, hex("01"), "😀"] }
    expect(printed(codec.encode("\ud800"))).toBe("a3 ef bf bd")
    expect(printed(codec.encode({ "\ud800": 1 }))).toBe("81 a3 ef bf bd 01")
    expect(value(codec.encode(lone))).toEqual({
      a: ["\ufffd", { "\ufffdb": `${letters(70)}\ufffd` }, hex("01"), "😀"]
    })
  })

  it("may be in the middle of a buffer, and has no Buffer in it", () => {
    const received = value(Buffer.from(hex("ff ff 92 c4 01 05 a1 61 ff")).subarray(2, 8)) as [Uint8Array, string]
    expect(received).toEqual([hex("05"), "a"])
    expect(Object.getPrototypeOf(received[0])).toBe(Uint8Array.prototype)
  })
})

describe("a message that is refused", () => {
  it.each([
    ["nothing", "", "it ends within a value"],
    ["a value and another", "01 02", "more behind its end"],
    ["c1", "c1", "the format c1, which is none"],
    ["fixext 1", "d4 01 02", "an extension type"],
    ["msgpackr's undefined", "d4 00 00", "an extension type"],
    ["msgpackr's record", "d4 72 40 91 a1 61 01", "an extension type"],
    ["fixext 2", "d5 01 02 03", "an extension type"],
    ["a timestamp", "d6 ff 00 00 00 00", "an extension type"],
    ["fixext 8", `d7 ff ${"00 ".repeat(8)}`, "an extension type"],
    ["fixext 16", `d8 01 ${"00 ".repeat(16)}`, "an extension type"],
    ["ext 8", "c7 01 05 00", "an extension type"],
    ["ext 16", "c8 00 01 05 00", "an extension type"],
    ["ext 32", "c9 00 00 00 01 05 00", "an extension type"],
    ["2^53", "cf 00 20 00 00 00 00 00 00", "an integer that is beyond 2^53 - 1"],
    ["2^64 - 1", "cf ff ff ff ff ff ff ff ff", "an integer that is beyond 2^53 - 1"],
    ["-2^53", "d3 ff e0 00 00 00 00 00 00", "an integer that is beyond 2^53 - 1"],
    ["-2^63", "d3 80 00 00 00 00 00 00 00", "an integer that is beyond 2^53 - 1"],
    ["NaN", "cb 7f f8 00 00 00 00 00 00", "a number that is not finite"],
    ["Infinity in 32 bits", "ca 7f 80 00 00", "a number that is not finite"],
    ["a short string that is not UTF-8", "a2 61 ff", "a string that is not UTF-8"],
    ["a surrogate in UTF-8", "a3 ed a0 80", "a string that is not UTF-8"],
    ["an overlong form in UTF-8", "a2 c1 a1", "a string that is not UTF-8"],
    ["a name that is a number", "81 01 02", "a name that is no string"],
    ["a name that is nil", "81 c0 02", "a name that is no string"],
    ["a name that is bytes", "81 c4 01 61 02", "a name that is no string"],
    ["a name that is an array", "81 90 02", "a name that is no string"],
    ["a name that is a long array", "81 dc 00 00 02", "a name that is no string"],
    ["__proto__", "81 a9 5f 5f 70 72 6f 74 6f 5f 5f 80", "a property with the name __proto__"],
    ["__proto__ as str 8", "81 d9 09 5f 5f 70 72 6f 74 6f 5f 5f 80", "a property with the name __proto__"],
    ["__proto__ as str 32", "81 db 00 00 00 09 5f 5f 70 72 6f 74 6f 5f 5f 80", "a property with the name __proto__"],
    ["constructor, inside", "91 81 ab 63 6f 6e 73 74 72 75 63 74 6f 72 80", "a property with the name constructor"],
    ["prototype", "81 a9 70 72 6f 74 6f 74 79 70 65 80", "a property with the name prototype"]
  ])("%s", (_, bytes, why) => {
    expect(detail(hex(bytes))).toBe(why)
    expect(detail(Uint8Array.from([0x91, ...hex(bytes)]).subarray(bytes === "01 02" ? 1 : 0))).toBe(why)
    expect(({} as { admin?: unknown }).admin).toBeUndefined()
  })

  it("has a string that is not UTF-8, wherever it is not", () => {
    for (const length of [1, 8, 9, 16, 31]) {
      for (let at = 0; at < length; at++) {
        const bytes = Uint8Array.from([0xa0 + length, ...times(length, 0x61)])
        bytes[1 + at] = 0xff
        expect(detail(bytes)).toBe("a string that is not UTF-8")
      }
    }
  })

  it("is text", () => {
    expect(detail("[]")).toBe("text")
  })

  it.each([
    ["str 8", "d9 ff 61"],
    ["str 16", "da ff ff 61"],
    ["str 32", "db ff ff ff ff 61"],
    ["bin 8", "c4 ff 61"],
    ["bin 16", "c5 ff ff 61"],
    ["bin 32", "c6 ff ff ff ff 61"],
    ["array 16", "dc ff ff 61"],
    ["array 32", "dd ff ff ff ff 61"],
    ["map 16", "de ff ff a1 61 c0"],
    ["map 32", "df ff ff ff ff a1 61 c0"],
    ["map 32 that is half there", "df 00 00 00 02 a1 61 c0"],
    ["fixstr", "bf 61"],
    ["fixarray", "9f 61"],
    ["fixmap", "8f a1 61 c0"]
  ])("says that it has more than it has, of which nothing is made: %s", (_, bytes) => {
    expect(detail(hex(bytes))).toBe("it ends within a value")
  })

  it("is any that is cut", () => {
    const whole = codec.encode([1, 200, 70_000, -5, 0.5, letters(40), "é", { a: [null] }, hex("01 02")]) as Uint8Array
    for (let length = 0; length < whole.length; length++) {
      expect([length, detail(whole.subarray(0, length))]).toEqual([length, "it ends within a value"])
    }
  })

  it("is followed by others, which are read", () => {
    for (const wrong of ["c1", "a2 61", "81 a1", "d4 72 40 91 a1 61 01", "dd ff ff ff ff", "91 91 91"]) {
      expect(Result.isFailure(decode(hex(wrong)))).toBe(true)
      expect(value(hex("81 a1 61 05"))).toEqual({ a: 5 })
    }
  })
})

describe("nesting", () => {
  it("is allowed as deep as maxDepth, in both directions", () => {
    expect(value(codec.encode(nested(64, hex("01"))))).toEqual(nested(64, hex("01")))
    expect(() => codec.encode(nested(65))).toThrow(TypeError)
    const deeper = MessagePackCodec.make({ maxDepth: 65 })
    expect(detail(deeper.encode(nested(65)))).toBe("nested too deep")
    expect(detail(deeper.encode(nested(65)), deeper)).toEqual({ taken: nested(65) })
  })

  it.each(["91", "81 a1 61", "dd 00 00 00 01", "9f", "80 91", "df 00 00 00 01 a1 61"])(
    "of a mebibyte of %s overflows nothing",
    (one) => {
      const bytes = hex(one)
      const many = Uint8Array.from({ length: 1_048_576 }, (_, at) => bytes[at % bytes.length]!)
      expect(detail(many)).toBe(one === "80 91" ? "more behind its end" : "nested too deep")
    }
  )
})

describe("what cannot be represented", () => {
  it.each([1n, () => 1, Symbol("a"), Number.NaN, new Date(0), new Map(), { constructor: 1 }])(
    "is a TypeError: %s",
    (wire) => {
      expect(() => codec.encode(["emit", "a", wire])).toThrow(TypeError)
      // It goes on with what can.
      expect(printed(codec.encode(["a"]))).toBe("91 a1 61")
    }
  )
})

describe("a message that was encoded", () => {
  it("says the same thing twice in full", () => {
    const thing = { a: 1 }
    expect(printed(codec.encode([thing, thing]))).toBe("92 81 a1 61 01 81 a1 61 01")
  })

  it("is not written over by the next", () => {
    const messages = Array.from({ length: 2_000 }, (_, i) => [i, codec.encode({ i }) as Uint8Array] as const)
    for (const [i, message] of messages) expect(value(message)).toEqual({ i })
  })

  it("keeps little more than itself in memory, also behind a long one", () => {
    const long = codec.encode([new Uint8Array(1_000_000), letters(100_000)]) as Uint8Array
    expect(long.buffer.byteLength).toBe(long.length)
    for (let i = 0; i < 100; i++) {
      expect((codec.encode({ i }) as Uint8Array).buffer.byteLength).toBeLessThanOrEqual(16_384)
    }
  })

  it("is the same to msgpackr, and what that writes without records is the same here", () => {
    const wire = ["ask", 1, "a", { b: [1.5, "é", letters(300)], c: Buffer.of(1, 2), d: 2 ** 40, e: null }]
    const packr = new Packr({ useRecords: false })
    expect(packr.unpack(codec.encode(wire) as Uint8Array)).toEqual(wire)
    expect(codec.encode(value(packr.pack(wire)))).toEqual(codec.encode(wire))
  })
})

it("is named by its subprotocol, with the defaults or not", () => {
  expect([codec.subprotocol, MessagePackCodec.messagePack.subprotocol]).toEqual([
    "millrace.msgpack",
    "millrace.msgpack"
  ])
  expect(value(MessagePackCodec.messagePack.encode([1]), MessagePackCodec.messagePack)).toEqual([1])
})
