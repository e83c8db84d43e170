/** The shape of what is on the wire, as a string: what is in it, and what makes no difference. */
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as SchemaCoder from "@millrace/core/messaging/SchemaCoder"
import * as SchemaSignature from "@millrace/core/messaging/SchemaSignature"
import { shapes } from "../../support/schemas.ts"

const of = (schema: SchemaCoder.Codec) => SchemaSignature.of(SchemaCoder.wireOf(schema))

interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}

const treeOf = (name: Schema.Codec<string>, reversed = false): Schema.Codec<Tree> => {
  const children = Schema.Array(Schema.suspend(() => tree))
  const tree: Schema.Codec<Tree> = Schema.Struct(reversed ? { children, name } : { name, children })
  return tree
}

/** As many structs as are asked for, each of which may contain any of them. */
const entangled = (count: number): SchemaCoder.Codec => {
  const suspended = Array.from({ length: count }, (_, i) => Schema.suspend(() => all[i] ?? Schema.Never))
  const fields = Object.fromEntries(suspended.map((one, i) => [`to${i}`, Schema.optionalKey(one)]))
  const all: ReadonlyArray<SchemaCoder.Codec> = suspended.map((_, i) =>
    Schema.Struct({ kind: Schema.Literal(i), ...fields })
  )
  return Schema.Union(all)
}

const suspended = (schema: SchemaCoder.Codec) => Schema.Array(Schema.suspend(() => schema))

/** Another one each time, of equal parts. */
const nameOf = () => Schema.Struct({ first: Schema.String, last: Schema.String.annotate({}) })

class Named extends Schema.Class<Named>("Named")({ name: Schema.String }) {}

describe("the signature of a schema", () => {
  it("tells names, types, literals and what may be missing", () => {
    const given = Schema.Struct({
      text: Schema.String,
      at: Schema.optionalKey(Schema.Date),
      kind: Schema.Literals(["a", "b"]),
      pair: Schema.Tuple([Schema.Boolean, Schema.Finite]),
      data: Schema.Uint8Array,
      more: Schema.Record(Schema.String, Schema.Unknown)
    })
    expect(of(given)).toBe(
      '{"at"?:String,"data":bytes,"kind":("a"|"b"),"more":{[String]:<JSON value>},"pair":[Boolean,Number],"text":String}'
    )
  })

  const base = Schema.Struct({ text: Schema.String, kind: Schema.Literal("a") })

  it.each<readonly [string, SchemaCoder.Codec]>([
    ["another name", Schema.Struct({ words: Schema.String, kind: Schema.Literal("a") })],
    ["another type", Schema.Struct({ text: Schema.Finite, kind: Schema.Literal("a") })],
    ["another literal", Schema.Struct({ text: Schema.String, kind: Schema.Literal("b") })],
    [
      "a field that may be missing",
      Schema.Struct({ text: Schema.optionalKey(Schema.String), kind: Schema.Literal("a") })
    ],
    ["a field more", Schema.Struct({ text: Schema.String, kind: Schema.Literal("a"), more: Schema.String })],
    ["bytes", Schema.Struct({ text: Schema.Uint8Array, kind: Schema.Literal("a") })],
    ["anything", Schema.Struct({ text: Schema.Unknown, kind: Schema.Literal("a") })],
    ["an array of it", Schema.Array(base)]
  ])("is another for %s", (_, schema) => {
    expect(of(schema)).not.toBe(of(base))
  })

  it.each<readonly [string, SchemaCoder.Codec, SchemaCoder.Codec]>([
    ["members of a union", Schema.Union([Schema.String, base]), Schema.Union([base, Schema.String])],
    ["literals", Schema.Literals(["a", "b"]), Schema.Literals(["b", "a"])],
    ["fields inside", Schema.Array(treeOf(Schema.String)), Schema.Array(treeOf(Schema.String, true))]
  ])("is the same for %s in another order", (_, one, other) => {
    expect(of(one)).toBe(of(other))
  })

  it.each<readonly [string, SchemaCoder.Codec, SchemaCoder.Codec]>([
    ["a check", Schema.String, Schema.String.check(Schema.isMinLength(3))],
    ["a brand", Schema.String, Schema.String.pipe(Schema.brand("Name"))],
    ["a description", Schema.String, Schema.String.annotate({ description: "a name" })],
    ["a class", Schema.Struct({ name: Schema.String }), Named],
    ["what becomes of it", Schema.String, Schema.FiniteFromString]
  ])("is the same with or without %s: it is not on the wire", (_, one, other) => {
    expect(of(one)).toBe(of(other))
  })

  it("has an end when the schema contains itself, and tells such schemas apart", () => {
    expect(of(treeOf(Schema.String))).toBe('{"children":[...#0],"name":String}')
    expect(of(treeOf(Schema.String))).toBe(of(treeOf(Schema.String)))
    expect(of(Schema.Struct({ name: Schema.String, children: Schema.Array(Schema.String) }))).not.toBe(
      of(treeOf(Schema.String))
    )
  })

  it("looks at what is suspended where it has not met it yet", () => {
    expect(of(suspended(base))).toBe(of(Schema.Array(base)))
    expect(of(suspended(base))).not.toBe(of(suspended(Schema.String)))
  })

  it("does not depend on which parts are one value and which are equal", () => {
    const shared = nameOf()
    const tree = treeOf(Schema.String)
    expect(of(Schema.Struct({ a: shared, b: shared, tree }))).toBe(
      of(Schema.Struct({ a: nameOf(), b: nameOf(), tree }))
    )
  })

  it("is short also where everything contains everything", () => {
    expect(of(entangled(20)).length).toBeLessThan(20_000)
  })

  it("is the same for any schema and the same in another order", () => {
    fc.assert(
      fc.property(shapes, ({ reordered, schema }) => {
        expect(of(reordered)).toBe(of(schema))
      }),
      { numRuns: 300 }
    )
  })
})
