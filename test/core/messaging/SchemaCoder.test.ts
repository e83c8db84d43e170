/** Values of Effect's schemas on the wire: the ones that are odd, and what is refused. */
import { deepStrictEqual } from "node:assert"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { describe, expect, it } from "vitest"
import * as Coder from "@millrace/core/messaging/Coder"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"

class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", { name: Schema.String, at: Schema.Date }) {}

const epoch = new Date(0)

/** What is heard goes through it. */
const through = (decode: SchemaGetter.Getter<string, string>) =>
  SchemaCoder.make(Schema.String.pipe(Schema.decodeTo(Schema.String, { decode, encode: SchemaGetter.passthrough() })))

describe("a coder of a schema", () => {
  it.each<readonly [string, SchemaCoder.Codec, unknown, unknown]>([
    ["a number that is none", Schema.Number, Number.NaN, "NaN"],
    ["infinity", Schema.Number, Number.NEGATIVE_INFINITY, "-Infinity"],
    ["negative zero", Schema.Number, -0, -0],
    ["a bigint", Schema.BigInt, 2n ** 70n, "1180591620717411303424"],
    ["a date", Schema.Date, epoch, "1970-01-01T00:00:00.000Z"],
    ["undefined", Schema.Undefined, undefined, null],
    [
      "an optional field that is undefined",
      Schema.Struct({ a: Schema.optional(Schema.String) }),
      { a: undefined },
      { a: null }
    ],
    ["no value", Schema.Option(Schema.Date), Option.none(), { _tag: "None" }],
    ["a value", Schema.Option(Schema.Date), Option.some(epoch), { _tag: "Some", value: epoch.toISOString() }],
    ["a map", Schema.ReadonlyMap(Schema.Date, Schema.BigInt), new Map([[epoch, 1n]]), [[epoch.toISOString(), "1"]]],
    ["a set", Schema.ReadonlySet(Schema.BigInt), new Set([1n]), ["1"]],
    [
      "an error",
      NameTaken,
      new NameTaken({ name: "ada", at: epoch }),
      { _tag: "NameTaken", name: "ada", at: epoch.toISOString() }
    ]
  ])("brings %s to the other end", (_, schema, value, wire) => {
    const { decode, encode } = SchemaCoder.make(schema)
    deepStrictEqual(Result.getOrThrow(encode(value)), wire)
    deepStrictEqual(Result.getOrThrow(decode(wire)), value)
  })

  it("gives an error back as the class that it is", () => {
    const { decode } = SchemaCoder.make(NameTaken)
    const error = Result.getOrThrow(decode({ _tag: "NameTaken", name: "ada", at: epoch.toISOString() }))
    expect(error).toBeInstanceOf(NameTaken)
    expect(error).toBeInstanceOf(Error)
  })

  it("brings what is hidden to the other end, and hides it there", () => {
    const { decode, encode } = SchemaCoder.make(Schema.Redacted(Schema.String))
    expect(Result.getOrThrow(encode(Redacted.make("secret")))).toBe("secret")
    expect(String(Result.getOrThrow(decode("secret")))).toBe("<redacted>")
  })

  it("says nothing of fields that the schema does not have, and hears nothing of them", () => {
    const { decode, encode } = SchemaCoder.make(Schema.Struct({ name: Schema.String }))
    const more = { name: "ada", password: "secret" }
    expect(Result.getOrThrow(encode(more))).toEqual({ name: "ada" })
    expect(Result.getOrThrow(decode(more))).toEqual({ name: "ada" })
  })

  it.each<readonly [string, SchemaCoder.Codec, unknown]>([
    ["a date that is none", Schema.Date, new Date(Number.NaN)],
    ["a class under `Unknown`", Schema.Unknown, { at: epoch }],
    ["bytes under `Unknown`", Schema.Unknown, Uint8Array.of(1)],
    ["a circle under `Unknown`", Schema.Unknown, ((circle: Array<unknown>) => (circle.push(circle), circle))([])],
    ["what a check forbids", Schema.String.check(Schema.isMinLength(3)), "ab"]
  ])("does not say %s", (_, schema, value) => {
    const result = SchemaCoder.make(schema).encode(value)
    expect(Result.isFailure(result) && result.failure._tag).toBe("CodingError")
  })

  it("says what is wrong, and where", () => {
    const { decode } = SchemaCoder.make(Schema.Struct({ list: Schema.Array(Schema.Finite) }))
    const result = decode({ list: [1, "two"] })
    expect(Result.isFailure(result) && result.failure.message).toMatch(/number[^]*\["list"\]\[1\]/)
  })

  it("fails and does not throw when a transformation throws, or waits", () => {
    const throwing = SchemaGetter.transform<string, string>(() => {
      throw new Error("broken")
    })
    const waiting = SchemaGetter.transformEffect<string, string>(() => Effect.as(Effect.sleep("1 second"), "late"))
    for (const getter of [throwing, waiting]) {
      const result = through(getter).decode("a")
      expect(Result.isFailure(result) && result.failure._tag).toBe("CodingError")
    }
  })

  it("keeps a key of a record a key, whatever its name", () => {
    const { decode, encode } = SchemaCoder.make(Schema.Record(Schema.String, Schema.Finite))
    const given: unknown = JSON.parse('{"__proto__":1,"constructor":2,"toString":3}')
    for (const code of [decode, encode]) {
      const result = Result.getOrThrow(code(given as never)) as object
      expect(Object.entries(result)).toEqual(Object.entries(given as object))
      expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
    }
  })

  it("passes what is nested ten thousand times under `Unknown`", () => {
    let deep: unknown = []
    for (let i = 0; i < 10_000; i++) deep = [deep]
    expect(Result.isSuccess(SchemaCoder.make(Schema.Unknown).decode(deep))).toBe(true)
  })

  it("fails and does not throw when a schema that contains itself meets what is nested ten thousand times", () => {
    interface Nested extends ReadonlyArray<Nested> {}
    const Nested: Schema.Codec<Nested> = Schema.Array(Schema.suspend((): Schema.Codec<Nested> => Nested))
    let deep: Nested = []
    for (let i = 0; i < 10_000; i++) deep = [deep]
    const { decode, encode } = SchemaCoder.make(Nested)
    for (const result of [decode(deep), encode(deep)]) expect(Result.isFailure(result)).toBe(true)
  })
})

describe("whether there may be bytes", () => {
  it.each<readonly [string, SchemaCoder.Codec, boolean]>([
    ["in bytes", Schema.Uint8Array, true],
    [
      "in an array of classes with an optional field of them",
      Schema.Array(Schema.Struct({ a: Schema.optional(Schema.Uint8Array) })),
      true
    ],
    ["in anything", Schema.Any, true],
    ["in text", Schema.Struct({ a: Schema.String, b: Schema.Option(Schema.Date) }), false],
    [
      "in JSON",
      Schema.Struct({ a: Schema.Json, b: Schema.Unknown, c: Schema.MutableJson, d: Schema.ObjectKeyword }),
      false
    ],
    ["in bytes as text", Schema.Uint8ArrayFromBase64, false]
  ])("%s is known before anything is encoded", (_, schema, hasBytes) => {
    expect(SchemaCoder.make(schema).hasBytes).toBe(hasBytes)
  })
})

const field = (name: string, schema: SchemaCoder.Codec = Schema.String) => Schema.Struct({ [name]: schema })

describe("a field", () => {
  it.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"])("is not named %s", (name) => {
    expect(() => SchemaCoder.make(field(name))).toThrow(new TypeError(`"${name}" is no name for a field`))
  })

  it("is not so named wherever it is", () => {
    const wrong = field("__proto__")
    const many = [
      Schema.Array(wrong),
      Schema.Option(wrong),
      field("a", Schema.optional(wrong)),
      Schema.Union([Schema.String, wrong]),
      Schema.Record(Schema.String, wrong),
      Schema.suspend(() => wrong),
      field("a").pipe(Schema.encodeKeys({ a: "constructor" })),
      field("constructor").pipe(Schema.encodeKeys({ constructor: "a" }))
    ]
    for (const schema of many) expect(() => SchemaCoder.make(schema)).toThrow(TypeError)
  })
})

it("the schema on the wire is one for a schema, so that it can be compiled before its first use", () => {
  const schema = Schema.Struct({ a: Schema.Date })
  expect(SchemaCoder.wireOf(schema)).toBe(SchemaCoder.wireOf(schema))
})

it("a coder tells the schema of Effect's that it was made of, and none where there is none", () => {
  const schema = Schema.Struct({ a: Schema.Date })
  expect(SchemaCoder.sourceOf(SchemaCoder.make(schema))).toBe(schema)
  expect(SchemaCoder.sourceOf(Coder.fromStandard(Schema.toStandardSchemaV1(schema)))).toBe(undefined)
  for (const coder of [Coder.nothing, Coder.never]) expect(SchemaCoder.sourceOf(coder)).toBe(undefined)
})
