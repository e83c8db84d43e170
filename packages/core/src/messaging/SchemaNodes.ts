/** All that a schema is made of. */
import type * as SchemaAST from "effect/SchemaAST"

type AST = SchemaAST.AST

/** What a node is made of; what it is encoded to is none of it. */
const partsOf = (ast: AST): ReadonlyArray<AST> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ type }) => type),
        ...ast.indexSignatures.flatMap(({ parameter, type }) => [parameter, type])
      ]
    case "Arrays":
      return [...ast.elements, ...ast.rest]
    case "Union":
      return ast.types
    case "TemplateLiteral":
      return ast.parts
    case "Suspend":
      return [ast.thunk()]
    default:
      return []
  }
}

/** A node and all that are in it, each once, also what is suspended. */
export const of = (ast: AST): ReadonlySet<AST> => {
  const nodes = new Set([ast])
  // A set is walked in the order of insertion, and what is added on the way is met on the way.
  for (const node of nodes) for (const part of partsOf(node)) nodes.add(part)
  return nodes
}
