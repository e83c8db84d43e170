/**
 * The schemas of a contract in the words of JSON Schema, draft 2020-12: of what is on the wire, not of what a program
 * makes of it. `ContractDocument` makes documents of them.
 */
import * as JsonSchema from "effect/JsonSchema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import type { StandardJSONSchemaV1 } from "effect/StandardSchema"
import * as Coder from "./Coder.ts"
import type * as Contract from "./Contract.ts"
import * as SchemaCoder from "./SchemaCoder.ts"

type Document = JsonSchema.Document<"draft-2020-12">

/** One schema of a contract, and its name in a document: who says it, what it is part of, which part. */
interface Part {
  readonly key: string
  readonly coder: Coder.Coder<unknown>
}

/** Both ends. */
export const roles = ["client", "server"] as const satisfies ReadonlyArray<Contract.Role>

const partsOfCoder = (coder: Contract.MessageCoder | Contract.RequestCoder | Contract.StreamCoder) => {
  switch (coder._tag) {
    case "Message":
      return { payload: coder.payload }
    case "Request":
      return { payload: coder.payload, success: coder.success, error: coder.error }
    case "Stream":
      return { payload: coder.payload, element: coder.element, error: coder.error }
  }
}

/** Whether there is no such value. */
export const isNever = (coder: Coder.Coder<unknown>): boolean => (coder as unknown) === Coder.never

const partsOf = ({ credentials, says }: Contract.Contract): ReadonlyArray<Part> => [
  { key: "client.credentials", coder: credentials },
  ...roles.flatMap((role) =>
    [...says[role].values()].flatMap((coder) =>
      Object.entries(partsOfCoder(coder))
        .filter(([, part]) => !isNever(part))
        .map(([part, of]) => ({ key: `${role}.${coder.name}.${part}`, coder: of }))
    )
  )
]

const anything: Document = { dialect: "draft-2020-12", schema: {}, definitions: {} }

/** Data, in which nothing is a reference. */
const data: ReadonlySet<string> = new Set(["const", "default", "enum", "examples"])

/** A schema with each of its references rewritten. */
export const withReferences = (schema: unknown, rewrite: (reference: string) => string): unknown => {
  if (Array.isArray(schema)) return schema.map((inner) => withReferences(inner, rewrite))
  if (typeof schema !== "object" || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      if (key === "$ref" && typeof value === "string") return [key, rewrite(value)]
      return [key, data.has(key) ? value : withReferences(value, rewrite)]
    })
  )
}

const mapDocument = ({ definitions, schema }: Document, rewrite: (reference: string) => string): Document => ({
  dialect: "draft-2020-12",
  schema: withReferences(schema, rewrite) as JsonSchema.JsonSchema,
  definitions: Object.fromEntries(
    Object.entries(definitions).map(([name, one]) => [name, withReferences(one, rewrite) as JsonSchema.JsonSchema])
  )
})

/** A name within a pointer: RFC 6901 sections 3 and 6. */
export const pointed = (name: string): string => encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"))

/** Where definitions are pointed to. */
export const own = "#/$defs/"

/** What a Standard Schema says of its input, which is what is on the wire, if it says something. */
const describeStandard = ({ coder: { source }, key }: Part): Document => {
  const standard = (source as Partial<StandardJSONSchemaV1> | undefined)?.["~standard"]
  if (standard?.jsonSchema === undefined) return anything
  let document: Document
  try {
    const schema = standard.jsonSchema.input({ target: "draft-2020-12" })
    document = JsonSchema.fromSchemaDraft2020_12(schema as JsonSchema.JsonSchema)
  } catch {
    // It has no words for it, which it may say so.
    return anything
  }
  // Its definitions come among those of others, and the whole is not the root any more.
  const renamed = mapDocument(document, (reference) =>
    reference === "#"
      ? own + pointed(key)
      : reference.startsWith(own)
        ? own + pointed(`${key}.`) + reference.slice(own.length)
        : reference
  )
  const { $schema: _, ...schema } = renamed.schema
  const definitions = Object.entries(renamed.definitions).map(([name, one]) => [`${key}.${name}`, one] as const)
  return { dialect: "draft-2020-12", schema, definitions: Object.fromEntries(definitions) }
}

/** All of them together, as schemas with the same name may be in many parts. */
const describeSchemas = (asts: ReadonlyArray<SchemaAST.AST>): JsonSchema.MultiDocument<"draft-2020-12"> | undefined => {
  const [first, ...others] = asts
  if (first === undefined) return undefined
  return SchemaRepresentation.toJsonSchemaMultiDocument(SchemaRepresentation.toRepresentations([first, ...others]))
}

/** The schemas of a contract in words. */
export interface Described {
  /** By the keys of the parts. */
  readonly schemas: ReadonlyMap<string, JsonSchema.JsonSchema>
  /** What they refer to, by `#/$defs/`. */
  readonly definitions: JsonSchema.Definitions
}

/** What is on the wire, for each part of a contract. */
export const describe = (contract: Contract.Contract): Described => {
  const parts = partsOf(contract)
  const schemas = new Map<string, JsonSchema.JsonSchema>()
  const ours = parts.flatMap(({ coder, key }) => {
    const source = SchemaCoder.sourceOf(coder)
    return source === undefined ? [] : [{ key, ast: SchemaCoder.wireOf(source).ast }]
  })
  const together = describeSchemas(ours.map(({ ast }) => ast))
  ours.forEach(({ key }, i) => schemas.set(key, together?.schemas[i] ?? {}))
  const definitions = { ...together?.definitions }
  for (const part of parts) {
    if (schemas.has(part.key)) continue
    const document =
      (part.coder as unknown) === Coder.nothing ? { ...anything, schema: { type: "null" } } : describeStandard(part)
    schemas.set(part.key, document.schema)
    Object.assign(definitions, document.definitions)
  }
  return { schemas, definitions }
}
