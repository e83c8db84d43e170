/** Of any schema and any value of it: what is encoded is on the wire as it should be, and comes back. */
import { deepStrictEqual } from "node:assert"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"
import { shapesWithValues } from "../../support/schemas.ts"

const isPlain = (value: object) => [Object.prototype, null].includes(Object.getPrototypeOf(value))

/** How many bytes stand in a value of JSON; `NaN` when it is none. */
const bytesIn = (wire: unknown): number => {
  if (wire === null || ["boolean", "string"].includes(typeof wire)) return 0
  if (typeof wire === "number") return Number.isFinite(wire) ? 0 : Number.NaN
  if (wire instanceof Uint8Array) return 1
  if (typeof wire !== "object" || !(Array.isArray(wire) || isPlain(wire))) return Number.NaN
  return Object.values(wire).reduce((sum: number, inner) => sum + bytesIn(inner), 0)
}

it("any value of any schema comes back from the wire, where it is JSON but for bytes", () => {
  fc.assert(
    fc.property(shapesWithValues, ([{ hasBytes, schema }, values]) => {
      const coder = SchemaCoder.make(schema)
      expect(coder.hasBytes).toBe(hasBytes)
      for (const value of values) {
        const wire = Result.getOrThrow(coder.encode(value))
        const bytes = bytesIn(wire)
        expect(bytes).not.toBeNaN()
        if (!hasBytes) expect(bytes).toBe(0)
        deepStrictEqual(Result.getOrThrow(coder.decode(wire)), value)
      }
    }),
    { numRuns: 500 }
  )
})

it("what comes from the wire is decoded or refused, whatever it is", () => {
  const wires = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withTypedArray: true,
    withNullPrototype: true
  })
  fc.assert(
    fc.property(shapesWithValues, wires, ([{ schema }], wire) => {
      const { decode } = SchemaCoder.make(schema)
      const result = decode(wire)
      if (Result.isFailure(result)) expect(result.failure._tag).toBe("CodingError")
    }),
    { numRuns: 500 }
  )
})
