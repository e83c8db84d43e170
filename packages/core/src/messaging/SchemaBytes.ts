/**
 * Bytes that stay bytes on the wire: Effect's canonical JSON has base64 where a schema says `Schema.Uint8Array`, and a
 * `MessageCodec` knows better. All that differs is one annotation, `toCodecJson`, which decides how such a leaf is put
 * into JSON; here is a copy of the schema in which each of those leaves has another.
 *
 * Who asks for text, gets it: `Schema.Uint8ArrayFromBase64` is a string on the wire still.
 */
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

type AST = SchemaAST.AST

type ToLink = (typeParameters: ReadonlyArray<Schema.Constraint>) => SchemaAST.Link | undefined

/** How `Schema.Uint8Array` is put into JSON, unless someone has annotated it otherwise. */
const toBase64 = Schema.Uint8Array.ast.annotations?.["toCodecJson"]

const asItIs: ToLink = () => undefined

/** Whether this node is bytes, and will be on the wire. */
export const isKept = (ast: AST): boolean => ast.annotations?.["toCodecJson"] === asItIs

/** Nodes are plain values with a prototype, and are copied as Effect copies them. */
const copy = <A extends AST>(ast: A, changes: Partial<A>): A =>
  Object.assign(Object.create(Object.getPrototypeOf(ast)), ast, changes)

const annotated = (ast: SchemaAST.Declaration, toCodecJson: ToLink): SchemaAST.Declaration =>
  copy(ast, { annotations: { ...ast.annotations, toCodecJson } })

/** With a word for who reads a JSON Schema of it: JSON has no type for bytes. */
const asBytes = (ast: SchemaAST.Declaration): SchemaAST.Declaration =>
  copy(ast, { annotations: { format: "binary", ...ast.annotations, toCodecJson: asItIs } })

const keptAll = (nodes: ReadonlyArray<AST>): ReadonlyArray<AST> => {
  const copies = nodes.map(kept)
  return copies.every((node, i) => node === nodes[i]) ? nodes : copies
}

/** What a type is on the wire may be told by the type itself, as a map is told to be an array of pairs. */
const linkOf = ({ annotations = {} }: SchemaAST.Declaration): ToLink | undefined => {
  const toLink = annotations["toCodecJson"] ?? annotations["toCodec"]
  return typeof toLink === "function" ? (toLink as ToLink) : undefined
}

const keptLink = (link: SchemaAST.Link): SchemaAST.Link => {
  const to = kept(link.to)
  return to === link.to ? link : new SchemaAST.Link(to, link.transformation)
}

const keptDeclaration = (declaration: SchemaAST.Declaration): SchemaAST.Declaration => {
  if (declaration.annotations?.["toCodecJson"] === toBase64) return asBytes(declaration)
  const typeParameters = keptAll(declaration.typeParameters)
  const ast = typeParameters === declaration.typeParameters ? declaration : copy(declaration, { typeParameters })
  const toLink = linkOf(ast)
  if (toLink === undefined) return ast
  const link = toLink(typeParameters.map((parameter) => Schema.make(SchemaAST.toEncoded(parameter))))
  if (link === undefined || keptLink(link) === link) return ast
  return annotated(ast, (parameters) => {
    const made = toLink(parameters)
    return made === undefined ? undefined : keptLink(made)
  })
}

const keptInside = (ast: AST): AST => {
  switch (ast._tag) {
    case "Declaration":
      return keptDeclaration(ast)
    case "Objects": {
      const properties = keptAll(ast.propertySignatures.map(({ type }) => type))
      const others = keptAll(ast.indexSignatures.map(({ type }) => type))
      const isSame =
        ast.propertySignatures.every(({ type }, i) => type === properties[i]) &&
        ast.indexSignatures.every(({ type }, i) => type === others[i])
      if (isSame) return ast
      return copy(ast, {
        propertySignatures: ast.propertySignatures.map(
          ({ name, type }, i) => new SchemaAST.PropertySignature(name, properties[i] ?? type)
        ),
        indexSignatures: ast.indexSignatures.map(
          ({ parameter, type }, i) => new SchemaAST.IndexSignature(parameter, others[i] ?? type)
        )
      })
    }
    case "Arrays": {
      const [elements, rest] = [keptAll(ast.elements), keptAll(ast.rest)]
      return elements === ast.elements && rest === ast.rest ? ast : copy(ast, { elements, rest })
    }
    case "Union": {
      const types = keptAll(ast.types)
      return types === ast.types ? ast : copy(ast, { types })
    }
    case "Suspend":
      return new SchemaAST.Suspend(() => kept(ast.thunk()), ast.annotations, undefined, undefined, ast.context)
    default:
      return ast
  }
}

/** Of what is transformed, the end of the chain is on the wire. */
const keptAtEnd = (ast: AST, encoding: SchemaAST.Encoding): AST => {
  const last = encoding[encoding.length - 1] as SchemaAST.Link
  const link = keptLink(last)
  if (link === last) return ast
  const [first, ...others] = [...encoding.slice(0, -1), link] as unknown as SchemaAST.Encoding
  return copy(ast, { encoding: [first, ...others] })
}

/** The same copy for the same node: a schema that contains itself has an end. */
const copies = new WeakMap<AST, AST>()

const kept = (ast: AST): AST => {
  const known = copies.get(ast)
  if (known !== undefined) return known
  const result = ast.encoding === undefined ? keptInside(ast) : keptAtEnd(ast, ast.encoding)
  copies.set(ast, result)
  copies.set(result, result)
  return result
}

/** The same schema, of which `Schema.toCodecJson` leaves bytes as they are, wherever they stand. */
export const keep = <S extends Schema.Constraint>(schema: S): S => {
  const ast = kept(schema.ast)
  return ast === schema.ast ? schema : Schema.make<S>(ast)
}
