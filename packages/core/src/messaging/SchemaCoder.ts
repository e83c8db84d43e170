/**
 * What one kind of value is on the wire, by a schema of Effect's: its canonical JSON, but for bytes, which stay bytes.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ReservedName from "../codec/ReservedName.ts"
import { type Coder, CodingError } from "./Coder.ts"
import * as SchemaBytes from "./SchemaBytes.ts"
import * as SchemaNodes from "./SchemaNodes.ts"
import * as SchemaSignature from "./SchemaSignature.ts"

/** A schema that needs no service and decides at once. */
export type Codec = Schema.ConstraintCodec<unknown, unknown>

/**
 * The schema of what is on the wire: JSON for everything but bytes. The same for the same schema, so that what was done
 * to it before its first use, as `SchemaJit` does, has been done to the coder.
 */
export const wireOf = (schema: Codec): Codec => {
  const known = wires.get(schema.ast)
  if (known !== undefined) return known
  const wire = Schema.toCodecJson(SchemaBytes.keep(schema)) as Codec
  wires.set(schema.ast, wire)
  return wire
}

const wires = new WeakMap<SchemaAST.AST, Codec>()

const coded = <A>(code: () => Result.Result<A, unknown>): Result.Result<A, CodingError> => {
  let result: Result.Result<A, unknown>
  try {
    result = code()
  } catch (cause) {
    // A transformation that throws, or that waits.
    return Result.fail(new CodingError({ cause }))
  }
  return Result.isSuccess(result)
    ? (result as Result.Result<A, never>)
    : Result.fail(new CodingError({ cause: result.failure }))
}

/** What an object has without a field of that name, `effect/Schema` takes for the field. */
const isRefused = (name: string): boolean => ReservedName.is(name) || name in Object.prototype

const refuseNames = (nodes: ReadonlySet<SchemaAST.AST>): void => {
  for (const node of nodes) {
    if (node._tag !== "Objects") continue
    const refused = node.propertySignatures.find(({ name }) => isRefused(String(name)))
    if (refused !== undefined) throw new TypeError(`${JSON.stringify(refused.name)} is no name for a field`)
  }
}

/** JSON is the one type of its own that is on the wire, but for bytes; of any other, nobody knows what is in it. */
const mayHaveBytes = (ast: SchemaAST.AST): boolean =>
  ast._tag === "Any" || (ast._tag === "Declaration" && !json.has(idOf(ast)))

const idOf = (ast: SchemaAST.AST): unknown => {
  const representation = ast.annotations?.["representation"] as { readonly id?: unknown } | undefined
  return representation?.id
}

const json: ReadonlySet<unknown> = new Set([Schema.Json, Schema.MutableJson].map(({ ast }) => idOf(ast)))

/**
 * The coder of a schema, compiled when it is first used. Dies of a `TypeError` when a field has the name of a member of
 * `Object.prototype`, or is named `prototype`, in the program or on the wire.
 */
export const make = <S extends Codec>(schema: S): Coder<S["Type"], S["Type"]> => {
  const wire = wireOf(schema)
  const nodes = SchemaNodes.of(SchemaAST.toEncoded(wire.ast))
  refuseNames(nodes)
  refuseNames(SchemaNodes.of(SchemaAST.toType(schema.ast)))
  let compiled: Pick<Coder<S["Type"], S["Type"]>, "decode" | "encode"> | undefined
  const compile = () => {
    const decode = Schema.decodeUnknownResult(wire)
    const encode = Schema.encodeUnknownResult(wire)
    return (compiled = {
      decode: (value) => coded(() => decode(value)),
      encode: (value) => coded(() => encode(value))
    })
  }
  return {
    decode: (value) => (compiled ?? compile()).decode(value),
    encode: (value) => (compiled ?? compile()).encode(value),
    hasBytes: [...nodes].some(mayHaveBytes),
    source: schema,
    signature: () => SchemaSignature.of(wire)
  }
}

/** The schema of Effect's that a coder was made of, if it was. */
export const sourceOf = ({ source }: Coder<never>): Codec | undefined =>
  Schema.isSchema(source) && !("~standard" in source) ? (source as unknown as Codec) : undefined
