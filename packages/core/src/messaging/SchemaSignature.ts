/**
 * The shape of what a schema has on the wire, as a string: the same for the same shape, in whatever order its fields
 * and the members of its unions were written. For telling contracts apart (`Contract.hash`), not for reading.
 *
 * It looks at names, types, literals and which fields may be missing, not at checks: those do not change the shape.
 */
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaBytes from "./SchemaBytes.ts"

type AST = SchemaAST.AST

/** Where nodes were met first. `undefined`: what is suspended is not looked at. */
type Met = { readonly nodes: Map<AST, number>; count: number } | undefined

/** What a schema encodes to. */
export const of = (schema: Schema.Constraint): string =>
  print(SchemaAST.toEncoded(schema.ast), { nodes: new Map(), count: 0 })

const print = (ast: AST, met: Met): string => {
  if (met !== undefined) {
    // A place, not a node, is counted: two ends may share the same shape among their schemas differently.
    const place = met.count++
    if (!met.nodes.has(ast)) met.nodes.set(ast, place)
  }
  switch (ast._tag) {
    case "Objects": {
      const properties = ast.propertySignatures
        .map(({ name, type }) => ({ name: JSON.stringify(String(name)), type }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, type }) => `${name}${isOptional(type) ? "?" : ""}:${print(type, met)}`)
      const others = ast.indexSignatures.map(({ parameter, type }) => `[${print(parameter, met)}]:${print(type, met)}`)
      return `{${[...properties, ...others].join()}}`
    }
    case "Arrays": {
      const elements = ast.elements.map((element) => `${print(element, met)}${isOptional(element) ? "?" : ""}`)
      return `[${[...elements, ...ast.rest.map((rest) => `...${print(rest, met)}`)].join()}]`
    }
    case "Union":
      return `(${ast.types
        .map((type) => ({ outline: print(type, undefined), type }))
        .toSorted((a, b) => (a.outline < b.outline ? -1 : a.outline > b.outline ? 1 : 0))
        .map(({ outline, type }) => (met === undefined ? outline : print(type, met)))
        .join("|")})`
    case "Literal":
      return typeof ast.literal === "bigint" ? `${ast.literal}n` : JSON.stringify(ast.literal)
    case "TemplateLiteral":
      return `\`${ast.parts.map((part) => print(part, met)).join("+")}\``
    case "Enum":
      return `(${ast.enums
        .map(([, value]) => JSON.stringify(value))
        .toSorted()
        .join("|")})`
    case "Suspend":
      return printSuspended(ast, met)
    case "Declaration":
      return SchemaBytes.isKept(ast) ? "bytes" : nameOf(ast)
    default:
      return ast._tag
  }
}

/** A schema that contains itself comes back to what has been met. */
const printSuspended = (ast: SchemaAST.Suspend, met: Met): string => {
  if (met === undefined) return "..."
  const inside = ast.thunk()
  const before = met.nodes.get(inside)
  return before === undefined ? print(inside, met) : `#${before}`
}

const nameOf = ({ annotations = {} }: SchemaAST.Declaration): string => {
  const { expected, identifier } = annotations
  return `<${typeof identifier === "string" ? identifier : typeof expected === "string" ? expected : "?"}>`
}

const isOptional = (ast: AST): boolean => ast.context?.isOptional === true
