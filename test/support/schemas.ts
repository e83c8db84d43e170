/** Schemas of any shape, with values of theirs, for properties of what is made of schemas. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"
import * as SchemaSignature from "@millrace/core/messaging/SchemaSignature"

type Codec = SchemaCoder.Codec

export interface Shape {
  readonly schema: Codec
  /** The same in another order: fields, and members of unions. */
  readonly reordered: Codec
  readonly values: fc.Arbitrary<unknown>
  /** Whether `null` on the wire is a value of it: such a field cannot tell `undefined` from it. */
  readonly isNullable: boolean
  readonly hasBytes: boolean
}

const leaf = (schema: Codec, values: fc.Arbitrary<unknown>, marks: Partial<Shape> = {}): Shape => ({
  schema,
  reordered: schema,
  values,
  isNullable: false,
  hasBytes: false,
  ...marks
})

/** Any name that a field may have. */
const names = fc
  .oneof(
    { weight: 8, arbitrary: fc.string({ maxLength: 6 }) },
    { weight: 1, arbitrary: fc.constantFrom("length", "then", "_tag", "0") }
  )
  .filter((name) => name !== "prototype" && !(name in Object.prototype))

const json = fc.jsonValue({ maxDepth: 2 }).filter((value) => !JSON.stringify(value).includes("__proto__"))

const leaves: ReadonlyArray<Shape> = [
  leaf(Schema.String, fc.string({ unit: "binary" })),
  leaf(Schema.Finite, fc.double({ noNaN: true, noDefaultInfinity: true })),
  leaf(Schema.Number, fc.double()),
  leaf(Schema.Int, fc.maxSafeInteger()),
  leaf(Schema.Boolean, fc.boolean()),
  leaf(Schema.BigInt, fc.bigInt()),
  leaf(Schema.Date, fc.date({ noInvalidDate: true })),
  leaf(Schema.Uint8Array, fc.uint8Array({ maxLength: 8 }), { hasBytes: true }),
  leaf(Schema.Literals(["a", "b", 1]), fc.constantFrom("a", "b", 1)),
  leaf(Schema.Null, fc.constant(null), { isNullable: true }),
  leaf(Schema.Undefined, fc.constant(undefined), { isNullable: true }),
  leaf(Schema.Unknown, json, { isNullable: true }),
  leaf(Schema.FiniteFromString, fc.integer()),
  leaf(
    Schema.Duration,
    fc.oneof(
      fc.nat().map((millis) => Duration.millis(millis)),
      fc.bigInt({ min: 0n }).map((nanos) => Duration.nanos(nanos)),
      fc.constant(Duration.infinity)
    )
  )
]

type Field = "required" | "optional" | "optionalKey"

const fieldOf = (field: Field, schema: Codec): Codec =>
  field === "required" ? schema : field === "optional" ? Schema.optional(schema) : Schema.optionalKey(schema)

const structOf = (fields: ReadonlyArray<readonly [name: string, field: Field, shape: Shape]>): Shape => {
  const made = fields.map(([name, field, shape]) => {
    return { name, shape, field: field === "optional" && shape.isNullable ? "required" : field } as const
  })
  const struct = (parts: typeof made, of: (shape: Shape) => Codec): Codec =>
    Schema.Struct(Object.fromEntries(parts.map(({ field, name, shape }) => [name, fieldOf(field, of(shape))])))
  const required = made.filter(({ field }) => field === "required").map(({ name }) => name)
  const values = made.map(
    ({ field, name, shape }) =>
      [name, field === "optional" ? fc.option(shape.values, { nil: undefined }) : shape.values] as const
  )
  return {
    schema: struct(made, ({ schema }) => schema),
    reordered: struct(made.toReversed(), ({ reordered }) => reordered),
    values: fc.record(Object.fromEntries(values), { requiredKeys: required, noNullPrototype: true }),
    isNullable: false,
    hasBytes: made.some(({ shape }) => shape.hasBytes)
  }
}

/** Told apart by their tags: what looks alike on the wire, no union can tell apart. */
const unionOf = (members: ReadonlyArray<Shape>): Shape => {
  const tagged = members.map((shape, i) =>
    structOf([
      ["_tag", "required", leaf(Schema.Literal(`member ${i}`), fc.constant(`member ${i}`))],
      ["value", "required", shape]
    ])
  )
  return {
    schema: Schema.Union(tagged.map(({ schema }) => schema)),
    reordered: Schema.Union(tagged.map(({ reordered }) => reordered).toReversed()),
    values: fc.oneof(...tagged.map(({ values }) => values)),
    isNullable: false,
    hasBytes: members.some(({ hasBytes }) => hasBytes)
  }
}

const around = (
  shape: Shape,
  wrap: (schema: Codec) => Codec,
  values: (inner: fc.Arbitrary<unknown>) => fc.Arbitrary<unknown>
): Shape => ({
  schema: wrap(shape.schema),
  reordered: wrap(shape.reordered),
  values: values(shape.values),
  isNullable: false,
  hasBytes: shape.hasBytes
})

const few = { maxLength: 3 }

const treeSchema = (value: Codec, isReordered: boolean): Codec => {
  const children = Schema.Array(Schema.suspend((): Codec => tree))
  const tree: Codec = Schema.Struct(isReordered ? { children, value } : { value, children })
  return tree
}

/** It contains itself. */
const treeOf = (shape: Shape): Shape => {
  const node = (children: fc.Arbitrary<unknown>) =>
    fc.record({ value: shape.values, children: fc.array(children, few) }, { noNullPrototype: true })
  return {
    ...shape,
    schema: treeSchema(shape.schema, false),
    reordered: treeSchema(shape.reordered, true),
    values: node(node(node(fc.constant(undefined)).map(({ value }) => ({ value, children: [] })))),
    isNullable: false
  }
}

const mapOf = (entries: ReadonlyArray<readonly [string, unknown]>) => new Map(entries)

/** Any shape, down to a depth of three. */
export const shapes: fc.Arbitrary<Shape> = fc.letrec<{ shape: Shape }>((tie) => {
  const inner = tie("shape")
  const fields = fc.uniqueArray(fc.tuple(names, fc.constantFrom<Field>("required", "optional", "optionalKey"), inner), {
    maxLength: 4,
    selector: ([name]) => name
  })
  return {
    shape: fc.oneof(
      { maxDepth: 3, depthIdentifier: "shape" },
      fc.constantFrom(...leaves),
      fields.map(structOf),
      fields.map(structOf),
      fc.array(inner, { minLength: 1, maxLength: 3 }).map(unionOf),
      inner.map(treeOf),
      inner.map((shape) => around(shape, Schema.Array, (values) => fc.array(values, few))),
      inner.map((shape) =>
        around(
          shape,
          (schema) => Schema.Record(Schema.String, schema),
          (values) => fc.dictionary(names, values, { maxKeys: 3, noNullPrototype: true })
        )
      ),
      inner.map((shape) =>
        around(
          shape,
          (schema) => Schema.Tuple([Schema.Boolean, schema]),
          (values) => fc.tuple(fc.boolean(), values)
        )
      ),
      inner.map((shape) =>
        around(shape, Schema.Option, (values) => fc.option(values.map(Option.some), { nil: Option.none() }))
      ),
      inner.map((shape) =>
        around(
          shape,
          (schema) => Schema.ReadonlyMap(Schema.String, schema),
          (values) => fc.uniqueArray(fc.tuple(fc.string(), values), { ...few, selector: ([key]) => key }).map(mapOf)
        )
      )
    )
  }
}).shape

/** A shape and some of its values. */
export const shapesWithValues: fc.Arbitrary<readonly [Shape, ReadonlyArray<unknown>]> = shapes.chain((shape) =>
  fc.tuple(fc.constant(withWords(shape)), fc.array(shape.values, { minLength: 1, maxLength: 4 }))
)

/** With a few words for who reads of a counterexample. */
const withWords = (shape: Shape): Shape =>
  Object.assign({ ...shape }, { [fc.toStringMethod]: () => SchemaSignature.of(SchemaCoder.wireOf(shape.schema)) })
