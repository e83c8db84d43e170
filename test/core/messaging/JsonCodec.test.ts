import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as JsonCodec from "@millrace/core/messaging/JsonCodec"
import * as Message from "@millrace/core/protocol/Message"
import { hex, utf8 } from "../../support/wire.ts"
import { nested } from "../../support/wireValues.ts"

const codec = JsonCodec.make()

const decode = (sent: Message.Sendable, of = codec) => of.decode(Message.from(sent))
const value = (sent: Message.Sendable, of = codec) => Result.getOrThrow(decode(sent, of))

const detail = (sent: Message.Sendable, of = codec) => {
  const decoded = decode(sent, of)
  return Result.isFailure(decoded) ? decoded.failure.detail : { taken: decoded.success }
}

const uint32 = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]

/** An envelope around any head. */
const envelope = (head: string, bytes: ReadonlyArray<number> = []) => {
  const json = utf8(head)
  return Uint8Array.from([...uint32(json.length), ...json, ...bytes])
}

const attachments = (count: number) => Array.from({ length: count }, () => hex("01"))

/** Each beside the message it is. */
const binary: ReadonlyArray<readonly [value: unknown, message: Uint8Array]> = [
  // [null,[[[],3]]]
  [hex("01 02 03"), hex("00 00 00 0f 5b 6e 75 6c 6c 2c 5b 5b 5b 5d 2c 33 5d 5d 5d 01 02 03")],
  [
    ["emit", "draw", { image: hex("ff d8") }],
    envelope('[["emit","draw",{"image":null}],[[[2,"image"],2]]]', [255, 216])
  ],
  [
    { "0": hex("01"), a: [null, hex(""), hex("02 03")] },
    envelope('[{"0":null,"a":[null,null,null]},[[["0"],1],[["a",1],0],[["a",2],2]]]', [1, 2, 3])
  ]
]

describe("a value without bytes", () => {
  it.each([
    [["ask", 1, "rename", "Ada"], '["ask",1,"rename","Ada"]'],
    [null, "null"],
    [undefined, "null"],
    [{ a: undefined, b: [undefined] }, '{"b":[null]}'],
    ["\u2028 \ud800", '"\u2028 \\ud800"']
  ])("is text: %j", (wire, text) => {
    expect(codec.encode(wire)).toBe(text)
    expect(value(text)).toEqual(JSON.parse(text))
  })
})

describe("a value with bytes", () => {
  it.each(binary)("is one binary message, in which they stand as they are: %j", (wire, message) => {
    expect(codec.encode(wire)).toEqual(message)
    expect(value(message)).toEqual(wire)
  })

  it("may be in the middle of a buffer", () => {
    const [wire, message] = binary[1]!
    const around = Uint8Array.from([9, 9, 9, ...message, 9])
    expect(value(around.subarray(3, 3 + message.length))).toEqual(wire)
  })

  it("has no Buffer in it, whatever the message is made of", () => {
    const received = value(Buffer.from(codec.encode([hex("01 02")]) as Uint8Array)) as ReadonlyArray<Uint8Array>
    expect(Object.getPrototypeOf(received[0])).toBe(Uint8Array.prototype)
  })

  it("may come as a binary message that has none in the end", () => {
    expect(value(envelope('[["end",1],[]]'))).toEqual(["end", 1])
  })

  it("has no more of them than maxAttachments, where it is sent as where it is received", () => {
    const message = codec.encode(attachments(64))
    expect(value(message)).toEqual(attachments(64))
    expect(() => codec.encode(attachments(65))).toThrow(TypeError)
    const more = JsonCodec.make({ maxAttachments: 65 }).encode(attachments(65))
    expect(detail(more)).toBe("too many attachments")
    expect(detail(message, JsonCodec.make({ maxAttachments: 63 }))).toBe("too many attachments")
  })
})

describe("a message that is refused", () => {
  it.each([
    ["", "not JSON"],
    ["{", "not JSON"],
    ["[1]]", "not JSON"],
    ["undefined", "not JSON"],
    ["\ufeff[]", "not JSON"],
    ["[1e400]", "a number that is too large"],
    ['{"__proto__":{"admin":true}}', "a property with the name __proto__"],
    ['["ask",1,"a",{"b":[{"\\u005f_proto\\u005F_":1}]}]', "a property with the name __proto__"],
    ['{"c\\u006fnstructor":1}', "a property with the name constructor"],
    ['{"prototype":1}', "a property with the name prototype"]
  ])("%s", (text, why) => {
    expect(detail(text)).toBe(why)
  })

  it.each([
    ["nothing", hex(""), "too short for a length"],
    ["three bytes", hex("00 00 00"), "too short for a length"],
    ["a head of 4 GiB", hex("ff ff ff ff 5b 5d"), "shorter than it says"],
    ["a head that is cut", envelope("[null,[]]").subarray(0, 10), "shorter than it says"],
    ["a head that is no JSON", envelope("[null,[]"), "not JSON of a value and its attachments"],
    ["a head that is not UTF-8", hex("00 00 00 08 5b 22 ff 22 2c 5b 5d 5d"), "not JSON of a value and its attachments"],
    [
      "a head that is another JSON",
      envelope('{"0":null,"1":[],"length":2}'),
      "not JSON of a value and its attachments"
    ],
    ["a head of one element", envelope("[null]"), "not JSON of a value and its attachments"],
    ["a head of three elements", envelope("[null,[],1]"), "not JSON of a value and its attachments"],
    ["attachments that are no array", envelope("[null,{}]"), "not JSON of a value and its attachments"],
    ["an attachment that is no array", envelope("[null,[1]]"), "an attachment without a length"],
    ["an attachment without a length", envelope("[null,[[[]]]]"), "an attachment without a length"],
    ["a negative length", envelope("[null,[[[],-1]]]"), "an attachment without a length"],
    ["a length that is no integer", envelope("[null,[[[],0.5]]]", [1]), "an attachment without a length"],
    ["a length of 2^53 - 1", envelope("[null,[[[],9007199254740991]]]", [1]), "shorter than it says"],
    ["a length beyond the end", envelope("[null,[[[],2]]]", [1]), "shorter than it says"],
    ["bytes that nobody claims", envelope("[null,[[[],1]]]", [1, 2]), "longer than it says"],
    ["__proto__ in the value", envelope('[{"__proto__":null},[]]'), "a property with the name __proto__"]
  ])("%s", (_, message, why) => {
    expect(detail(message)).toBe(why)
  })

  it.each([
    ["no array", '[{"a":null},[["a",0]]]'],
    ["nothing", '[{"a":null},[[null,0]]]'],
    ["a name that is not there", '[{"a":null},[[["b"],0]]]'],
    ["an inherited name", '[{"a":null},[[["toString"],0]]]'],
    ["a prototype", '[{"a":null},[[["__proto__"],0]]]'],
    ["the null behind Object.prototype", '[{"a":null},[[["__proto__","__proto__"],0]]]'],
    ["a constructor's prototype", '[{"a":null},[[["constructor","prototype"],0]]]'],
    ["what is no null", '[{"a":0},[[["a"],0]]]'],
    ["the inside of a null", '[{"a":null},[[["a","b"],0]]]'],
    ["the inside of a string", '[{"a":"bc"},[[["a",0],0]]]'],
    ["the length of an array", '[[null],[[["length"],0]]]'],
    ["a place behind an array", "[[null],[[[1],0]]]"],
    ["a place before an array", "[[null],[[[-1],0]]]"],
    ["a place within an array, as a string", '[[null],[[["0"],0]]]'],
    ["a name that is a number", '[{"0":null},[[[0],0]]]'],
    ["an array for a name", '[{"a":null},[[[["a"]],0]]]'],
    ["where bytes are already", '[{"a":null},[[["a"],0],[["a"],0]]]'],
    ["within bytes", '[{"a":null},[[["a"],2],[["a",0],0]]]']
  ])("a path that is or leads to %s", (_, head) => {
    expect(detail(envelope(head, head.includes("2]") ? [1, 2] : []))).toBe("an attachment whose path leads to no null")
    expect(({} as { a?: unknown }).a).toBeUndefined()
  })

  it("is followed by others, which are read", () => {
    for (const wrong of ["{", "[".repeat(1_000), hex("ff ff ff ff"), envelope("[null,[1]]")]) {
      expect(Result.isFailure(decode(wrong))).toBe(true)
      expect(value('["end",1]')).toEqual(["end", 1])
      expect(value(binary[1]![1])).toEqual(binary[1]![0])
    }
  })
})

describe("nesting", () => {
  it("is allowed as deep as maxDepth, in both forms and in both directions", () => {
    for (const inside of [1, hex("01")]) {
      expect(value(codec.encode(nested(64, inside)))).toEqual(nested(64, inside))
      expect(() => codec.encode(nested(65, inside))).toThrow(TypeError)
      const deeper = JsonCodec.make({ maxDepth: 65 }).encode(nested(65, inside))
      expect(detail(deeper)).toBe("nested too deep")
      expect(detail(deeper, JsonCodec.make({ maxDepth: 65 }))).toEqual({ taken: nested(65, inside) })
    }
  })

  it("is no matter of brackets in strings", () => {
    const wire = ["[".repeat(1_000), { ["{".repeat(100)]: 1 }]
    expect(value(codec.encode(wire))).toEqual(wire)
  })

  it.each(["[", '{"a":', "[{}", "[[],"])("of a mebibyte of %s overflows nothing", (one) => {
    const many = one.repeat(Math.floor(1_048_576 / one.length))
    expect(detail(many)).toBe("not JSON")
    expect(detail(envelope(many))).toBe("not JSON of a value and its attachments")
  })

  it("of a mebibyte that is well-formed overflows nothing", () => {
    const deep = "[".repeat(524_288) + "]".repeat(524_288)
    expect(detail(deep)).toBe("nested too deep")
    expect(detail(envelope(`[${deep},[]]`))).toBe("nested too deep")
    expect(detail(envelope(`[null,[[${deep},0]]]`))).toBe("an attachment whose path leads to no null")
    expect(detail(envelope(`[null,[[[${deep}],0]]]`))).toBe("an attachment whose path leads to no null")
  })
})

describe("what cannot be represented", () => {
  it.each([1n, () => 1, Number.NaN, new Date(0), new Map(), { constructor: 1 }])("is a TypeError: %s", (wire) => {
    expect(() => codec.encode(["emit", "a", wire])).toThrow(TypeError)
    expect(() => codec.encode(["emit", hex("01"), wire])).toThrow(TypeError)
    expect(codec.encode(1)).toBe("1")
  })
})

it("is named by its subprotocol, with the defaults or not", () => {
  expect([codec.subprotocol, JsonCodec.json.subprotocol]).toEqual(["millrace.json", "millrace.json"])
  expect(value(JsonCodec.json.encode(attachments(64)), JsonCodec.json)).toEqual(attachments(64))
})
