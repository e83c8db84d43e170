/** Coders of Standard Schemas, and of what has no schema. */
import * as Result from "effect/Result"
import type { StandardSchemaV1 } from "effect/StandardSchema"
import * as v from "valibot"
import { describe, expect, expectTypeOf, it } from "vitest"
import * as z from "zod"
import * as Coder from "@millrace/core/messaging/Coder"

const User = {
  zod: z.object({ name: z.string().min(1), born: z.iso.date().transform((date) => new Date(date)) }),
  valibot: v.object({
    name: v.pipe(v.string(), v.minLength(1)),
    born: v.pipe(
      v.string(),
      v.isoDate(),
      v.transform((date) => new Date(date))
    )
  })
} satisfies Record<string, StandardSchemaV1>

const ada = { name: "ada", born: "1815-12-10" }

const failureOf = (result: Result.Result<unknown, Coder.CodingError>) => {
  if (Result.isSuccess(result)) throw new Error("it has not failed")
  return result.failure
}

/** One that does as it is told. */
const schemaOf = (validate: (value: unknown) => unknown): StandardSchemaV1 => ({
  "~standard": { version: 1, vendor: "test", validate: validate as StandardSchemaV1["~standard"]["validate"] }
})

describe.each(Object.entries(User))("a coder of a schema of %s", (vendor, schema) => {
  const coder = Coder.fromStandard<StandardSchemaV1>(schema)

  it("says the input as it is, once it is checked, and hears the output", () => {
    expect(Result.getOrThrow(coder.encode(ada as never))).toBe(ada)
    expect(Result.getOrThrow(coder.decode(ada))).toEqual({ name: "ada", born: new Date("1815-12-10") })
  })

  it("fails with all that is wrong, and says where", () => {
    for (const code of [coder.encode, coder.decode]) {
      const error = failureOf(code({ name: "", born: "once" } as never))
      expect(error._tag).toBe("CodingError")
      expect(error.message).toMatch(/ at name; .* at born$/)
    }
  })

  it("has the signature of its vendor, and may have bytes", () => {
    expect(coder.signature()).toBe(vendor)
    expect(coder.hasBytes).toBe(true)
    expect(coder.source).toBe(schema)
  })
})

it("the types of a coder are the input and the output of its schema", () => {
  expectTypeOf(Coder.fromStandard(User.zod)).toEqualTypeOf<
    Coder.Coder<{ name: string; born: string }, { name: string; born: Date }>
  >()
  expectTypeOf(Coder.fromStandard(User.valibot)).toEqualTypeOf<
    Coder.Coder<{ name: string; born: string }, { name: string; born: Date }>
  >()
})

describe("a schema that does not do as it should", () => {
  it.each<readonly [string, StandardSchemaV1]>([
    ["of zod", z.string().refine(async () => true)],
    [
      "of valibot",
      v.pipeAsync(
        v.string(),
        v.checkAsync(async () => true)
      )
    ],
    ["that never ends", schemaOf(() => new Promise(() => {}))],
    ["that will fail", schemaOf(() => Promise.reject(new Error("late")))]
  ])("is refused when it is asynchronous: one %s", (_, schema) => {
    const coder = Coder.fromStandard(schema)
    for (const code of [coder.encode, coder.decode]) {
      expect(failureOf(code("a" as never)).message).toMatch(/asynchronous|Promise/)
    }
  })

  it("fails when it throws, with what it threw", () => {
    const cause = new Error("broken")
    const error = failureOf(
      Coder.fromStandard(
        schemaOf(() => {
          throw cause
        })
      ).decode(1)
    )
    expect(error.cause).toBe(cause)
    expect(error.message).toBe("broken")
  })

  it.each([Object.create(null), undefined, Symbol("s")])("fails also when it throws what is no error", (thrown) => {
    const throwing = schemaOf(() => {
      throw thrown
    })
    expect(failureOf(Coder.fromStandard(throwing).decode(1)).message).toBe("the schema has thrown what is no error")
  })

  it.each([
    [[null]],
    [[{ message: Symbol("s") }]],
    [[{ message: "m", path: null }]],
    [[{ message: "m", path: [null] }]]
  ])("has words also for issues that are none: %j", (issues) => {
    const { message } = failureOf(Coder.fromStandard(schemaOf(() => ({ issues }))).decode(1))
    expect(message).toBe("the schema has found issues that are none")
  })

  it("fails when it gives nothing at all", () => {
    expect(failureOf(Coder.fromStandard(schemaOf(() => undefined)).decode(1))._tag).toBe("CodingError")
  })

  it("is told by the keys of a path, whatever they are", () => {
    const issues = [{ message: "wrong", path: ["a", { key: 0 }, Symbol("s")] }, { message: "bad" }]
    expect(failureOf(Coder.fromStandard(schemaOf(() => ({ issues }))).decode(1)).message).toBe(
      "wrong at a.0.Symbol(s); bad"
    )
  })
})

describe("what has no schema", () => {
  it("says nothing as null, and hears it as null or as what is missing", () => {
    expect(Result.getOrThrow(Coder.nothing.encode())).toBe(null)
    for (const wire of [null, undefined]) expect(Result.getOrThrow(Coder.nothing.decode(wire))).toBe(undefined)
    for (const wire of [0, "", {}, []]) expect(failureOf(Coder.nothing.decode(wire)).message).toBe("expected nothing")
    expect([Coder.nothing.signature(), Coder.nothing.hasBytes]).toEqual(["nothing", false])
  })

  it("never has an error that is not in the contract", () => {
    expect(failureOf(Coder.never.encode(1 as never)).message).toBe("there is no such value")
    expect(failureOf(Coder.never.decode(null)).message).toBe("there is no such value")
    expect([Coder.never.signature(), Coder.never.hasBytes]).toEqual(["never", false])
  })
})
