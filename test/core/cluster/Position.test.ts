/** A position as clients are told it, and tell it again. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Position from "@millrace/core/cluster/Position"

describe("a position", () => {
  it("is printed as its epoch, a colon and its offset", () => {
    expect(Position.print({ epoch: "e", offset: 0 })).toBe("e:0")
    expect(Position.print({ epoch: "a:b", offset: Number.MAX_SAFE_INTEGER })).toBe("a:b:9007199254740991")
  })

  it("is read from what was printed, whatever its epoch is", () => {
    expect(Position.parse("a:b:7")).toEqual({ epoch: "a:b", offset: 7 })
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.maxSafeNat(), (epoch, offset) => {
        expect(Position.parse(Position.print({ epoch, offset }))).toEqual({ epoch, offset })
      })
    )
  })

  it("is read from nothing that would be printed otherwise", () => {
    const close = fc.stringMatching(/^[a:]{0,3}[-+0-9.e ]{0,18}$/)
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), close), (text) => {
        const position = Position.parse(text)
        if (position !== undefined) expect(Position.print(position)).toBe(text)
      }),
      { numRuns: 1_000 }
    )
    for (const text of ["e:9007199254740992", "e:9999999999999999", "e:00", "e:+1", "e:1\n"]) {
      expect(Position.parse(text)).toBeUndefined()
    }
  })
})
