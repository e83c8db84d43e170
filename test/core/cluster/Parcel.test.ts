/** A parcel as bytes, which nodes of other versions and other programs read and write, too. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import { utf8 } from "../../support/wire.ts"

const key = { producer: "é", epoch: 1, sequence: 258 }
const decode = (...bytes: ReadonlyArray<number>) => Parcel.decode(Uint8Array.from(bytes))
/** Why it is none. */
const why = (...bytes: ReadonlyArray<number>) => Result.getOrThrow(Result.flip(decode(...bytes)))
const printed = (...except: ReadonlyArray<string>) =>
  Parcel.encode(Parcel.make(new Message.Text(""), undefined, except))
const zeros = (length: number) => Array.from({ length }, () => 0)
const is = (its: Partial<Parcel.Key>) => Parcel.isKey({ producer: "p", epoch: 0, sequence: 0, ...its })
const plain = ({ except, key: its, message }: Parcel.Parcel) => ({
  tag: message._tag,
  compress: message.compress,
  bytes: Array.from(message.bytes),
  key: its,
  except
})

/** What is printed, beside its bytes. */
const vectors: ReadonlyArray<readonly [string, Parcel.Parcel, ReadonlyArray<number>]> = [
  ["text", Parcel.make(new Message.Text("é")), [1, 0xc3, 0xa9]],
  ["no text", Parcel.make(new Message.Text("")), [1]],
  ["bytes", Parcel.make(new Message.Binary(Uint8Array.of(0, 255))), [0, 0, 255]],
  ["text that is not to be compressed", Parcel.make(new Message.Text("a", false)), [9, 0x61]],
  [
    "a key",
    Parcel.make(new Message.Text("a"), key),
    [3, 0, 2, 0xc3, 0xa9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0x61]
  ],
  [
    "exceptions",
    Parcel.make(new Message.Binary(Uint8Array.of(7)), undefined, ["ab", "", "é"]),
    [4, 0, 3, 0, 2, 0x61, 0x62, 0, 0, 0, 2, 0xc3, 0xa9, 7]
  ],
  [
    "all of it",
    Parcel.make(new Message.Text("z", false), { producer: "p", epoch: 0, sequence: 0 }, ["x"]),
    [15, 0, 1, 0x70, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 0x7a]
  ],
  [
    "the largest numbers",
    Parcel.make(new Message.Text(""), {
      producer: "p",
      epoch: Number.MAX_SAFE_INTEGER,
      sequence: Number.MAX_SAFE_INTEGER
    }),
    [3, 0, 1, 0x70, 0, 0x1f, 255, 255, 255, 255, 255, 255, 0, 0x1f, 255, 255, 255, 255, 255, 255]
  ]
]

describe("a parcel", () => {
  for (const [name, parcel, bytes] of vectors) {
    it(`of ${name} is these bytes, and is read from them`, () => {
      expect(Array.from(Parcel.encode(parcel))).toEqual(bytes)
      expect(plain(Result.getOrThrow(decode(...bytes)))).toEqual(plain(parcel))
    })
  }

  it("is not read from less or from something else", () => {
    expect(why()).toBe("it is empty")
    expect(why(16)).toBe("it has flags that are not known")
    expect(why(255)).toBe("it has flags that are not known")
    expect(why(1, 0xc3)).toBe("its text is not UTF-8")
    for (const bytes of [[2], [2, 0], [2, 0, 1], [2, 0, 2, 0x61], [2, 0, 1, 0x61, ...zeros(15)]]) {
      expect(why(...bytes)).toBe("its key cannot be read")
    }
    expect(why(2, 0, 1, 0xff, ...zeros(16))).toBe("its key cannot be read")
    expect(why(2, 0, 0, ...zeros(16))).toBe("its key is out of bounds")
    expect(why(2, 0, 1, 0x61, 0, 0x20, ...zeros(14))).toBe("its key is out of bounds")
    expect(why(2, 0, 1, 0x61, ...zeros(8), 0xff, ...zeros(7))).toBe("its key is out of bounds")
    for (const bytes of [[4], [4, 0], [4, 0, 1], [4, 0, 1, 0], [4, 0, 1, 0, 1], [4, 0, 1, 0, 1, 0xff]]) {
      expect(why(...bytes)).toBe("its exceptions cannot be read")
    }
  })

  it("takes no more memory than it has bytes, whatever they say of themselves", () => {
    const many = new Uint8Array(70_000)
    many.set([4, 255, 255])
    expect(Result.isFailure(Parcel.decode(many))).toBe(true)
  })

  it("is not printed with more exceptions than can be counted, nor with longer ones", () => {
    const most = Array.from({ length: 65_535 }, () => "")
    expect(Result.getOrThrow(Parcel.decode(printed(...most))).except).toHaveLength(65_535)
    expect(Result.getOrThrow(Parcel.decode(printed("x".repeat(65_535)))).except[0]).toHaveLength(65_535)
    expect(() => printed(...most, "")).toThrow(RangeError)
    expect(() => printed("x".repeat(65_536))).toThrow(RangeError)
  })

  it("is read where the bytes lie, also in the midst of others, and its payload is a view of them", () => {
    const bytes = utf8("xxé")
    bytes[1] = 1
    const { message } = Result.getOrThrow(Parcel.decode(bytes.subarray(1)))
    expect((message as Message.Text).text).toBe("é")
    expect(message.bytes.buffer).toBe(bytes.buffer)
  })

  it("keeps a byte order mark in names and in text", () => {
    const parcel = Parcel.make(new Message.Text("\uFEFFa"), { producer: "\uFEFFp", epoch: 0, sequence: 0 }, ["\uFEFF"])
    expect(plain(Result.getOrThrow(Parcel.decode(Parcel.encode(parcel))))).toEqual(plain(parcel))
  })
})

const name = fc.string({ unit: "binary", maxLength: 20 })
const anyKey = fc.record({
  producer: fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
  epoch: fc.maxSafeNat(),
  sequence: fc.maxSafeNat()
})
const anyParcel = fc
  .record({
    text: fc.boolean(),
    bytes: fc.uint8Array({ maxLength: 300 }),
    string: fc.string({ unit: "grapheme", maxLength: 100 }),
    compress: fc.constantFrom(undefined, false as const),
    key: fc.option(anyKey, { nil: undefined }).filter((its) => its === undefined || Parcel.isKey(its)),
    except: fc.array(name, { maxLength: 5 })
  })
  .map((of) =>
    Parcel.make(
      of.text ? new Message.Text(of.string, of.compress) : new Message.Binary(of.bytes, of.compress),
      of.key,
      of.except
    )
  )

describe("any", () => {
  it("parcel comes back from its bytes", () => {
    fc.assert(
      fc.property(anyParcel, (parcel) => {
        expect(plain(Result.getOrThrow(Parcel.decode(Parcel.encode(parcel))))).toEqual(plain(parcel))
      })
    )
  })

  it("bytes are a parcel that prints them again, or are refused in words", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(fc.nat(17), fc.uint8Array({ maxLength: 60 })).map(([flags, rest]) => Uint8Array.of(flags, ...rest)),
      fc.tuple(anyParcel, fc.nat(), fc.nat(255), fc.nat()).map(([parcel, at, byte, cut]) => {
        const damaged = Parcel.encode(parcel)
        damaged[at % damaged.length] = byte
        return damaged.subarray(0, cut % 3 === 0 ? cut % damaged.length : damaged.length)
      })
    )
    fc.assert(
      fc.property(bytes, (some) => {
        const read = Parcel.decode(some)
        if (Result.isFailure(read)) {
          expect(read.failure).toMatch(/^it/)
          return
        }
        const again = Parcel.encode(read.success)
        // That there are no exceptions can be said in two ways.
        if (read.success.except.length > 0 || (some[0]! & 4) === 0) expect(again).toEqual(some.slice())
        if (read.success.key !== undefined) expect(Parcel.isKey(read.success.key)).toBe(true)
      }),
      { numRuns: 1_000 }
    )
  })
})

describe("a key", () => {
  it("has a producer of 1 to 128 bytes, and counts", () => {
    expect(is({})).toBe(true)
    expect([is({ producer: "" }), is({ producer: "a".repeat(128) }), is({ producer: "a".repeat(129) })]).toEqual([
      false,
      true,
      false
    ])
    expect([is({ producer: "é".repeat(64) }), is({ producer: "é".repeat(65) })]).toEqual([true, false])
    expect(is({ producer: "\ud800" })).toBe(false)
    for (const count of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect([is({ epoch: count }), is({ sequence: count })]).toEqual([false, false])
    }
    expect(is({ epoch: Number.MAX_SAFE_INTEGER, sequence: Number.MAX_SAFE_INTEGER })).toBe(true)
  })
})
