/** The packets between a node and the host, as bytes. */
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Wire from "@millrace/node/brokers/workers/Wire"

const bytes = (...values: ReadonlyArray<number>) => new Uint8Array(values)
const name = (text: string) => [0, text.length, ...Buffer.from(text)]

const fromNode: ReadonlyArray<readonly [string, Wire.FromNode, Uint8Array]> = [
  [
    "append",
    { _tag: "Append", id: 0x01020304, topic: "a", key: undefined, bytes: bytes(9, 8) },
    bytes(1, 1, 2, 3, 4, 0, ...name("a"), 9, 8)
  ],
  [
    "append with a key",
    { _tag: "Append", id: 1, topic: "a", key: { producer: "p", epoch: 2, sequence: 2 ** 32 + 3 }, bytes: bytes() },
    bytes(1, 0, 0, 0, 1, 1, ...name("p"), 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, ...name("a"))
  ],
  [
    "since",
    { _tag: "Since", id: 1, topic: "ab", after: { epoch: "e", offset: 258 } },
    bytes(2, 0, 0, 0, 1, 1, ...name("e"), 0, 0, 0, 0, 0, 0, 1, 2, ...name("ab"))
  ],
  [
    "since the beginning",
    { _tag: "Since", id: 1, topic: "ab", after: undefined },
    bytes(2, 0, 0, 0, 1, 0, ...name("ab"))
  ],
  ["position", { _tag: "Position", id: 0xffff_ffff }, bytes(3, 255, 255, 255, 255)],
  ["listen", { _tag: "Listen", id: 1, names: ["a", "bc"] }, bytes(4, 0, 0, 0, 1, ...name("a"), ...name("bc"))],
  ["unlisten", { _tag: "Unlisten", names: ["a"] }, bytes(5, ...name("a"))],
  ["cast", { _tag: "Cast", id: 1, channel: "c", bytes: bytes(7) }, bytes(6, 0, 0, 0, 1, ...name("c"), 7)],
  ["hear", { _tag: "Hear", id: 1, names: [] }, bytes(7, 0, 0, 0, 1)],
  ["unhear", { _tag: "Unhear", names: ["c"] }, bytes(8, ...name("c"))]
]

const fromHost: ReadonlyArray<readonly [string, Wire.FromHost, Uint8Array]> = [
  [
    "welcome",
    { _tag: "Welcome", version: 1, position: { epoch: "e", offset: Number.MAX_SAFE_INTEGER } },
    bytes(16, 1, ...name("e"), 0, 31, 255, 255, 255, 255, 255, 255)
  ],
  [
    "appended",
    { _tag: "Appended", id: 1, repeated: true, offset: 5 },
    bytes(17, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5)
  ],
  [
    "delivered",
    { _tag: "Delivered", offset: 5, previous: 4, topic: "\u00e9", bytes: bytes(1) },
    bytes(18, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0xc3, 0xa9, 1)
  ],
  [
    "delivered, with nothing known before it",
    { _tag: "Delivered", offset: 5, previous: undefined, topic: "", bytes: bytes() },
    bytes(18, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  ],
  ["entry", { _tag: "Entry", id: 1, offset: 5, bytes: bytes(1) }, bytes(19, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 1)],
  ["tail", { _tag: "Tail", id: 1, gap: true, offset: 5 }, bytes(20, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5)],
  ["positioned", { _tag: "Positioned", id: 1, offset: 5 }, bytes(21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5)],
  ["done", { _tag: "Done", id: 1 }, bytes(22, 0, 0, 0, 1)],
  ["heard", { _tag: "Heard", channel: "c", bytes: bytes(7) }, bytes(23, ...name("c"), 7)],
  [
    "refused",
    { _tag: "Refused", id: 1, reason: "TooLarge", words: "no" },
    bytes(24, 0, 0, 0, 1, 1, ...Buffer.from("no"))
  ]
]

const both = (encoded: Uint8Array): ReadonlyArray<Result.Result<Wire.FromNode | Wire.FromHost, string>> => [
  Wire.decodeFromNode(encoded),
  Wire.decodeFromHost(encoded)
]

describe("a packet of a node", () => {
  it.each(fromNode)("%s", (_, packet, encoded) => {
    expect(Wire.encode(packet)).toEqual(encoded)
    expect(Result.getOrThrow(Wire.decodeFromNode(encoded))).toEqual(packet)
  })

  it("is none of the host's", () => {
    for (const [, , encoded] of fromHost) expect(Wire.decodeFromNode(encoded)).toMatchObject({ _tag: "Failure" })
  })
})

describe("a packet of the host", () => {
  it.each(fromHost)("%s", (_, packet, encoded) => {
    expect(Wire.encode(packet)).toEqual(encoded)
    expect(Result.getOrThrow(Wire.decodeFromHost(encoded))).toEqual(packet)
  })

  it("is none of a node's", () => {
    for (const [, , encoded] of fromNode) expect(Wire.decodeFromHost(encoded)).toMatchObject({ _tag: "Failure" })
  })
})

describe("what cannot be read", () => {
  it.each([
    ["it is empty", bytes()],
    ["it is of no kind that a node sends", bytes(99)],
    ["it is cut short", bytes(3, 0, 0, 0)],
    ["it is cut short", bytes(5, 0, 2, 65)],
    ["it goes on behind its end", bytes(3, 0, 0, 0, 1, 0)],
    ["it has flags that are not known", bytes(2, 0, 0, 0, 1, 2, 0, 0)],
    ["it has a name that is not UTF-8", bytes(5, 0, 1, 255)],
    ["it has a number that is too high", bytes(2, 0, 0, 0, 1, 1, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0)],
    ["its key is out of bounds", bytes(1, 0, 0, 0, 1, 1, 0, 0, ...new Uint8Array(16), 0, 0)],
    ["its key is out of bounds", bytes(1, 0, 0, 0, 1, 1, 0, 129, ...new Uint8Array(129 + 16), 0, 0)]
  ])("%s", (words, encoded) => {
    expect(Wire.decodeFromNode(encoded)).toMatchObject({ failure: words })
  })

  it("is any bytes, and never an exception; what can be read is printed as it was", () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.constantFrom(...fromNode, ...fromHost), fc.nat(40), fc.nat(255), fc.nat(40))
        .map(([[, , encoded], at, value, end]) => {
          const changed = encoded.slice(0, Math.max(1, end))
          if (at < changed.length) changed[at] = value
          return changed
        })
    )
    fc.assert(
      fc.property(noise, (encoded) => {
        for (const read of both(encoded)) {
          if (Result.isSuccess(read)) expect(Wire.encode(read.success)).toEqual(encoded)
          else expect(read.failure).not.toBe("")
        }
      }),
      { numRuns: 5_000 }
    )
  })
})

describe("a name", () => {
  it("is any well-formed text that fits", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.uint8Array(), (topic, payload) => {
        const packet = { _tag: "Append", id: 1, topic, key: undefined, bytes: payload } as const
        expect(Wire.isName(topic)).toBe(true)
        expect(Result.getOrThrow(Wire.decodeFromNode(Wire.encode(packet)))).toEqual(packet)
      })
    )
    expect(Wire.isName("\ud800")).toBe(false)
    expect(Wire.isName("a".repeat(65_535))).toBe(true)
    expect(Wire.isName("a".repeat(65_536))).toBe(false)
    expect(Wire.isName("\u00e9".repeat(32_768))).toBe(false)
  })

  it("goes with as many others as one packet may have, and none is left out", () => {
    const names = [..."abc".repeat(100), "d".repeat(30_000), "e".repeat(65_535), "f"]
    const portions = Wire.portions(names)
    expect(portions.flat()).toEqual(names)
    expect(portions.length).toBeGreaterThan(2)
    for (const portion of portions) {
      const { length } = Wire.encode({ _tag: "Listen", id: 1, names: portion })
      expect(length).toBeLessThanOrEqual(Wire.maxOverhead)
    }
    expect(Wire.portions([])).toEqual([])
  })
})
