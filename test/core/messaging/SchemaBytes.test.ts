/** Bytes stay bytes on the wire, wherever a schema has them; and nothing else about the schema is another. */
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { describe, expect, it } from "vitest"
import * as SchemaBytes from "@millrace/core/messaging/SchemaBytes"

const bytes = Uint8Array.of(1, 2, 3)
const Bytes = Schema.Uint8Array

class Part extends Schema.Class<Part>("Part")({ bytes: Bytes, at: Schema.Date }) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", { bytes: Bytes }) {}

interface Tree {
  readonly bytes: Uint8Array
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree> = Schema.Struct({
  bytes: Bytes,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

/** A type of its own that is told by its bytes. */
class Picture {
  readonly pixels: Uint8Array
  constructor(pixels: Uint8Array) {
    this.pixels = pixels
  }
}
const Picture_ = Schema.instanceOf(Picture, {
  toCodecJson: () =>
    Schema.link<Picture>()(
      Schema.Struct({ pixels: Bytes }),
      SchemaTransformation.transform({
        decode: ({ pixels }) => new Picture(pixels),
        encode: ({ pixels }) => ({ pixels })
      })
    )
})

const epoch = new Date(0)

type Codec = Schema.ConstraintCodec<unknown, unknown>

const cases: ReadonlyArray<readonly [where: string, schema: Codec, value: unknown, wire: unknown]> = [
  ["alone", Bytes, bytes, bytes],
  [
    "in a struct",
    Schema.Struct({ bytes: Bytes, at: Schema.Date }),
    { bytes, at: epoch },
    { bytes, at: epoch.toISOString() }
  ],
  ["in an optional field", Schema.Struct({ bytes: Schema.optional(Bytes) }), { bytes }, { bytes }],
  ["in a key that may be missing", Schema.Struct({ bytes: Schema.optionalKey(Bytes) }), { bytes }, { bytes }],
  ["in an array", Schema.Array(Bytes), [bytes], [bytes]],
  ["in a tuple", Schema.Tuple([Schema.BigInt, Bytes]), [1n, bytes], ["1", bytes]],
  [
    "behind the rest of a tuple",
    Schema.TupleWithRest(Schema.Tuple([Schema.String]), [Bytes]),
    ["a", bytes],
    ["a", bytes]
  ],
  ["in a record", Schema.Record(Schema.String, Bytes), { a: bytes }, { a: bytes }],
  ["in a union", Schema.Union([Schema.String, Bytes]), bytes, bytes],
  ["in a class", Part, new Part({ bytes, at: epoch }), { bytes, at: epoch.toISOString() }],
  ["in an error", Refused, new Refused({ bytes }), { _tag: "Refused", bytes }],
  [
    "in what contains itself",
    Tree,
    { bytes, children: [{ bytes, children: [] }] },
    { bytes, children: [{ bytes, children: [] }] }
  ],
  ["in an Option", Schema.Option(Bytes), Option.some(bytes), { _tag: "Some", value: bytes }],
  ["in a map", Schema.ReadonlyMap(Schema.String, Bytes), new Map([["a", bytes]]), [["a", bytes]]],
  ["in a type of somebody else's", Picture_, new Picture(bytes), { pixels: bytes }],
  [
    "behind a transformation",
    Schema.Struct({ bytes: Bytes }).pipe(Schema.encodeKeys({ bytes: "b" })),
    { bytes },
    { b: bytes }
  ],
  ["that are checked", Bytes.check(Schema.isMinLength(3)), bytes, bytes],
  ["that are branded", Bytes.pipe(Schema.brand("Key")), bytes, bytes],
  ["that are described", Bytes.annotate({ description: "a key" }), bytes, bytes]
]

const wireOf = (schema: Codec) => Schema.toCodecJson(SchemaBytes.keep(schema))

describe("bytes", () => {
  it.each(cases)("%s are bytes on the wire, and come back", (_, schema, value, wire) => {
    const codec = wireOf(schema)
    const encoded = Schema.encodeUnknownSync(codec)(value)
    expect(encoded).toStrictEqual(wire)
    expect(Schema.decodeUnknownSync(codec)(encoded)).toStrictEqual(value)
  })

  it("that are hidden are found behind what hides them", () => {
    const codec = wireOf(Schema.Redacted(Bytes))
    expect(Schema.encodeUnknownSync(codec)(Redacted.make(bytes))).toBe(bytes)
    expect(Redacted.value(Schema.decodeUnknownSync(codec)(bytes) as Redacted.Redacted<Uint8Array>)).toBe(bytes)
  })

  it("that are checked are checked still", () => {
    const decode = Schema.decodeUnknownResult(wireOf(Bytes.check(Schema.isMinLength(4))))
    expect(decode(bytes)._tag).toBe("Failure")
    expect(decode(Uint8Array.of(1, 2, 3, 4))._tag).toBe("Success")
  })

  it("are nothing else: no text, no array of numbers", () => {
    const decode = Schema.decodeUnknownResult(wireOf(Bytes))
    for (const wire of ["AQID", [1, 2, 3], { 0: 1 }, null, new ArrayBuffer(3)])
      expect(decode(wire)._tag).toBe("Failure")
  })

  it("are text where the schema asks for text", () => {
    expect(Schema.encodeUnknownSync(wireOf(Schema.Uint8ArrayFromBase64))(bytes)).toBe("AQID")
    const own = Bytes.annotate({
      toCodecJson: () => Schema.link<Uint8Array>()(Schema.String, SchemaTransformation.uint8ArrayFromBase64String)
    })
    expect(Schema.encodeUnknownSync(wireOf(own))(bytes)).toBe("AQID")
  })
})

describe("a schema", () => {
  it("without bytes is left alone, and so is the schema of bytes itself", () => {
    const schema = Schema.Struct({ at: Schema.Date, tags: Schema.Array(Schema.Option(Schema.String)) })
    expect(SchemaBytes.keep(schema)).toBe(schema)
    wireOf(Bytes)
    expect(Schema.encodeUnknownSync(Schema.toCodecJson(Bytes))(bytes)).toBe("AQID")
  })

  it("is the same copy each time, and a copy of a copy is itself", () => {
    const once = SchemaBytes.keep(Tree)
    expect(SchemaBytes.keep(Tree).ast).toBe(once.ast)
    expect(SchemaBytes.keep(once).ast).toBe(once.ast)
  })

  it("tells which of its nodes are bytes", () => {
    expect(SchemaBytes.isKept(SchemaAST.toEncoded(wireOf(Bytes).ast))).toBe(true)
    expect(SchemaBytes.isKept(Bytes.ast)).toBe(false)
    expect(SchemaBytes.isKept(Schema.Json.ast)).toBe(false)
  })
})
