/**
 * What one kind of value is on the wire, and back: a schema that has been compiled once.
 *
 * On the wire a value is JSON, in which bytes may stand as they are (`Uint8Array`): a `MessageCodec` makes text or
 * bytes of it. Here are coders of any Standard Schema; those of Effect's are in `SchemaCoder`, so that who has no use
 * for `effect/Schema` does not load it.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { StandardSchemaV1 } from "effect/StandardSchema"

/** A value is not what its schema says. Whose fault that is, is told by the error that carries it. */
export class CodingError extends Data.TaggedError("CodingError")<{
  /** A `SchemaError` with all its paths, or the issues of a Standard Schema. */
  readonly cause: unknown
}> {
  override get message(): string {
    return wordsOf(this.cause)
  }
}

const wordsOf = (cause: unknown): string => {
  if (cause instanceof Error) return cause.message
  // What a schema throws may be anything, also what cannot be made a string.
  if (!Array.isArray(cause)) return typeof cause === "string" ? cause : "the schema has thrown what is no error"
  try {
    return cause.map((issue: StandardSchemaV1.Issue) => `${issue.message}${pathOf(issue)}`).join("; ")
  } catch {
    return "the schema has found issues that are none"
  }
}

const pathOf = ({ path = [] }: StandardSchemaV1.Issue): string =>
  path.length === 0 ? "" : ` at ${path.map((key) => String(typeof key === "object" ? key.key : key)).join(".")}`

/** How a value is encoded by who sends it, and decoded by who receives it. Neither throws, and both are pure. */
export interface Coder<in Sent = never, out Received = unknown> {
  readonly encode: (value: Sent) => Result.Result<unknown, CodingError>
  readonly decode: (wire: unknown) => Result.Result<Received, CodingError>
  /**
   * Whether bytes may be in what it encodes. `true` also where nobody can tell, as for a Standard Schema: then a
   * `MessageCodec` has to look.
   */
  readonly hasBytes: boolean
  /** The schema that it was made of: for who describes it, as `ContractDocument` does. */
  readonly source: unknown
  /** The shape that it has on the wire, in a few words: the same for the same shape, whoever asks. */
  readonly signature: () => string
}

const failed = (cause: unknown): Result.Result<never, CodingError> => Result.fail(new CodingError({ cause }))

/** Nothing is said: the wire has `null`, or nothing at all. */
export const nothing: Coder<void, void> = {
  encode: () => Result.succeed(null),
  decode: (wire) =>
    wire === null || wire === undefined ? Result.succeed(undefined) : failed(new TypeError("expected nothing")),
  hasBytes: false,
  source: undefined,
  signature: () => "nothing"
}

/** There is no such value: for what has no errors of its own. */
export const never: Coder<never, never> = {
  encode: () => failed(new TypeError("there is no such value")),
  decode: () => failed(new TypeError("there is no such value")),
  hasBytes: false,
  source: undefined,
  signature: () => "never"
}

const validate = (schema: StandardSchemaV1, value: unknown): Result.Result<unknown, CodingError> => {
  try {
    const result = schema["~standard"].validate(value)
    if ("then" in result) {
      // It goes on without us, and nobody is to be told of how it ends.
      result.then(undefined, () => undefined)
      return failed(new TypeError("the schema validates asynchronously, which a message does not wait for"))
    }
    return result.issues === undefined ? Result.succeed(result.value) : failed(result.issues)
  } catch (cause) {
    return failed(cause)
  }
}

/**
 * The coder of a Standard Schema, version 1. Such a schema goes one way only, so what is sent is its input, checked and
 * otherwise left alone, and what is received is its output.
 */
export const fromStandard = <S extends StandardSchemaV1>(
  schema: S
): Coder<StandardSchemaV1.InferInput<S>, StandardSchemaV1.InferOutput<S>> => ({
  encode: (value) => Result.map(validate(schema, value), () => value as unknown),
  decode: (wire) => validate(schema, wire) as Result.Result<StandardSchemaV1.InferOutput<S>, CodingError>,
  hasBytes: true,
  source: schema,
  // It tells nothing of its shape, so any two of one vendor are taken to be alike.
  signature: () => schema["~standard"].vendor
})
