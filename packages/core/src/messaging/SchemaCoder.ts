/**
 * What one kind of value is on the wire, by a schema of Effect's: its canonical JSON, but for bytes, which stay bytes.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Coder, CodingError } from "./Coder.ts"
import * as SchemaSignature from "./SchemaSignature.ts"

/** A schema that needs no service and decides at once. */
export type Codec = Schema.ConstraintCodec<unknown, unknown>

/** The schema of what is on the wire: JSON for everything but bytes. */
export const wireOf = (schema: Codec) => Schema.toCodecJson(schema)

const coded = <A, E>(result: Result.Result<A, E>): Result.Result<A, CodingError> =>
  Result.isSuccess(result)
    ? (result as Result.Result<A, never>)
    : Result.fail(new CodingError({ cause: result.failure }))

/** The coder of a schema. It is compiled when it is first used. */
export const make = <S extends Codec>(schema: S): Coder<S["Type"], S["Type"]> => {
  let compiled: Pick<Coder<S["Type"], S["Type"]>, "decode" | "encode"> | undefined
  const compile = () => {
    const wire = wireOf(schema)
    const decode = Schema.decodeUnknownResult(wire)
    const encode = Schema.encodeUnknownResult(wire)
    return (compiled = {
      decode: (value) => coded(decode(value)),
      encode: (value) => coded(encode(value))
    })
  }
  return {
    decode: (wire) => (compiled ?? compile()).decode(wire),
    encode: (value) => (compiled ?? compile()).encode(value),
    source: schema,
    signature: () => SchemaSignature.of(wireOf(schema))
  }
}
