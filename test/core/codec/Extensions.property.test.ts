import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Extensions from "@millrace/core/codec/Extensions"
import { prototypeNames } from "../../support/handshake.ts"

const token = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.string({ unit: fc.constantFrom(..."abYZ09-_!#$%&'*+.^`|~"), minLength: 1, maxLength: 8 })
  },
  { weight: 1, arbitrary: fc.constantFrom<string>(...prototypeNames) }
)
const param: fc.Arbitrary<Extensions.Param> = fc.tuple(token, fc.option(token, { nil: undefined }))
const extension: fc.Arbitrary<Extensions.Extension> = fc.record({
  name: token,
  params: fc.array(param, { maxLength: 4 })
})
const extensions = fc.array(extension, { minLength: 1, maxLength: 4 })

/** A value as a token, as a quoted string, or as one with quoted pairs. */
const quote = (value: string, how: number) =>
  how === 0 ? value : `"${[...value].map((c, i) => (how === 2 && i % 2 === 0 ? `\\${c}` : c)).join("")}"`

describe("Extensions", () => {
  it("parses what it prints", () => {
    fc.assert(
      fc.property(extensions, (list) => {
        expect(Extensions.parse(Result.getOrThrow(Extensions.print(list)))).toEqual(Result.succeed(list))
      })
    )
  })

  it("parses the same list written with any white space and quoting that the grammar allows", () => {
    const space = fc.string({ unit: fc.constantFrom(" ", "\t"), maxLength: 2 })
    fc.assert(
      fc.property(extensions, space, space, fc.integer({ min: 0, max: 2 }), (list, before, after, how) => {
        const around = (mark: string) => before + mark + after
        const text = list
          .map(({ name, params }) =>
            [name, ...params.map(([n, v]) => (v === undefined ? n : n + around("=") + quote(v, how)))].join(around(";"))
          )
          .join(around(","))
        expect(Extensions.parse(before + text + after)).toEqual(Result.succeed(list))
      })
    )
  })

  it("either refuses any text, or gives what prints and parses as the same list", () => {
    const noise = fc.string({ unit: fc.constantFrom(...'ab;,="\\ \t\u0000\u00e9'), maxLength: 16 })
    let accepted = 0
    fc.assert(
      fc.property(noise, (text) => {
        const parsed = Extensions.parse(text)
        if (Result.isFailure(parsed)) return
        accepted++
        expect(Extensions.parse(Result.getOrThrow(Extensions.print(parsed.success)))).toEqual(parsed)
      }),
      { numRuns: 5000 }
    )
    expect(accepted).toBeGreaterThan(50)
  })
})
