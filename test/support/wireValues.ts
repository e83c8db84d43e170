/** Values that codecs of messages have to carry, and what a peer may send instead of them. */
import * as fc from "fast-check"
import * as ReservedName from "@millrace/core/codec/ReservedName"

const names = fc
  .oneof(
    { weight: 6, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
    { weight: 1, arbitrary: fc.constantFrom("length", "toString", "toJSON", "hasOwnProperty", "0", "1", "") },
    { weight: 1, arbitrary: fc.string({ minLength: 60, maxLength: 300 }) }
  )
  .filter((name) => !ReservedName.is(name))

const numbers = fc
  .oneof(
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noDefaultInfinity: true, noNaN: true }),
    fc.constantFrom(0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, -1, -32, -33, -128, -129, -32_768, -32_769),
    fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, -(2 ** 31), -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER)
  )
  // JSON has no -0.
  .map((n) => n + 0)

const strings = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(0, 1, 31, 32, 33, 64, 65, 255, 256, 65_535, 65_536).map((length) => "a".repeat(length)),
  fc.constantFrom("__proto__", "constructor", "\uFEFFa", `\uFEFF${"é".repeat(70)}`, "\\u005f", "[[[[{{{{")
)

const byteses = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom(255, 256, 65_535, 65_536).map((length) => new Uint8Array(length).fill(length))
)

const arrays = (of: fc.Arbitrary<unknown>) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.array(of, { maxLength: 5 }) },
    { weight: 1, arbitrary: fc.constantFrom(15, 16, 17).map((length) => Array.from({ length }, () => null)) }
  )

/** JSON, in which bytes stand, at most 5 deep. */
export const wireValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(numbers, strings, fc.boolean(), fc.constant(null), byteses),
    arrays(tie("value")),
    fc.dictionary(names, tie("value"), { maxKeys: 5, noNullPrototype: true }),
    fc.constantFrom(15, 16, 17).map((n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i])))
  )
})).value

/** A value with `depth` arrays around it. */
export const nested = (depth: number, inside: unknown = null): unknown => {
  let value = inside
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

/** What has been done to a message on its way: cut, lengthened, or some bytes of it changed. */
export const mutated = (message: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      message,
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.uint8Array({ maxLength: 4 })
    )
    .map(([bytes, length, changes, more]) => {
      const changed = Uint8Array.from(bytes.subarray(0, length % 3 === 0 ? length % (bytes.length + 1) : bytes.length))
      for (const [at, byte] of changes) if (changed.length > 0) changed[at % changed.length] = byte
      return length % 5 === 0 ? Uint8Array.from([...changed, ...more]) : changed
    })
