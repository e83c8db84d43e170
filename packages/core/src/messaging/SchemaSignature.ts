/**
 * The shape of what a schema has on the wire, as a string: the same for the same shape, in whatever order its fields
 * were written. For telling contracts apart (`Contract.hash`), not for reading.
 *
 * It looks at names, types, literals and which fields may be missing, not at checks: those do not change the shape.
 */
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"

/** What a schema encodes to. A schema that contains itself is told by how many levels up it begins. */
export const of = (schema: Schema.Constraint): string => print(Schema.toEncoded(schema).ast, [])

const print = (ast: SchemaAST.AST, above: ReadonlyArray<SchemaAST.AST>): string => {
  const level = above.lastIndexOf(ast)
  if (level !== -1) return `^${above.length - level}`
  const inside = [...above, ast]
  switch (ast._tag) {
    case "Objects": {
      const properties = ast.propertySignatures.map(
        ({ name, type }) => `${JSON.stringify(String(name))}${isOptional(type) ? "?" : ""}:${print(type, inside)}`
      )
      const others = ast.indexSignatures.map(
        ({ parameter, type }) => `[${print(parameter, inside)}]:${print(type, inside)}`
      )
      return `{${[...properties.toSorted(), ...others].join()}}`
    }
    case "Arrays": {
      const elements = ast.elements.map((element) => `${print(element, inside)}${isOptional(element) ? "?" : ""}`)
      return `[${[...elements, ...ast.rest.map((rest) => `...${print(rest, inside)}`)].join()}]`
    }
    case "Union":
      return `(${ast.types
        .map((type) => print(type, inside))
        .toSorted()
        .join("|")})`
    case "Literal":
      return typeof ast.literal === "bigint" ? `${ast.literal}n` : JSON.stringify(ast.literal)
    case "TemplateLiteral":
      return `\`${ast.parts.map((part) => print(part, inside)).join("")}\``
    case "Enum":
      return `(${ast.enums
        .map(([, value]) => JSON.stringify(value))
        .toSorted()
        .join("|")})`
    case "Suspend":
      return print(ast.thunk(), inside)
    default:
      return ast._tag
  }
}

const isOptional = (ast: SchemaAST.AST): boolean => ast.context?.isOptional === true
