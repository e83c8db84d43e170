/**
 * As much of JSON Schema as our documents use, in drafts 07 and 2020-12. It throws at a keyword that it does not know,
 * so that nothing is taken to be checked that is not. What is `"format": "binary"` has to be bytes.
 */

type Schema = boolean | Readonly<Record<string, unknown>>

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : value instanceof Uint8Array ? "bytes" : typeof value

const isType = (value: unknown, type: unknown): boolean =>
  Array.isArray(type)
    ? type.some((one) => isType(value, one))
    : type === "integer"
      ? Number.isInteger(value)
      : typeOf(value) === type

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const known = new Set(
  "$schema $comment $defs title description items additionalItems additionalProperties properties".split(" ")
)

/** What a pointer leads to; throws when that is nothing. */
export const resolve = (root: unknown, reference: string): unknown => {
  if (!reference.startsWith("#")) throw new Error(`${reference} is not in here`)
  return reference
    .slice(2)
    .split("/")
    .filter((_, i) => reference !== "#" || i > 0)
    .map((token) => decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((inside: unknown, token) => {
      if (typeof inside !== "object" || inside === null || !Object.hasOwn(inside, token)) {
        throw new Error(`${reference} leads nowhere`)
      }
      return (inside as Readonly<Record<string, unknown>>)[token]
    }, root)
}

const all = (rule: unknown) => rule as ReadonlyArray<unknown>
const number = (rule: unknown, holds: (limit: number) => boolean) => holds(rule as number)

/** Whether a value is what a schema says, which is somewhere in `root`. */
export const isValid = (root: unknown, schema: unknown, value: unknown): boolean => {
  if (typeof schema === "boolean") return schema
  const rules = schema as Readonly<Record<string, unknown>>
  const is = (one: unknown, inner: unknown) => isValid(root, one as Schema, inner)
  const list = Array.isArray(value) ? (value as ReadonlyArray<unknown>) : undefined
  const object = typeOf(value) === "object" ? (value as Readonly<Record<string, unknown>>) : undefined

  const holds = (keyword: string, rule: unknown): boolean => {
    switch (keyword) {
      case "$ref":
        return is(resolve(root, rule as string), value)
      case "type":
        return isType(value, rule)
      case "const":
        return isSame(value, rule)
      case "enum":
        return all(rule).some((one) => isSame(value, one))
      case "format":
        return rule !== "binary" || value instanceof Uint8Array
      case "anyOf":
        return all(rule).some((one) => is(one, value))
      case "oneOf":
        return all(rule).filter((one) => is(one, value)).length === 1
      case "allOf":
        return all(rule).every((one) => is(one, value))
      case "not":
        return !is(rule, value)
      case "required":
        return object === undefined || all(rule).every((name) => Object.hasOwn(object, name as string))
      case "minItems":
        return list === undefined || number(rule, (limit) => list.length >= limit)
      case "maxItems":
        return list === undefined || number(rule, (limit) => list.length <= limit)
      case "minLength":
        return typeof value !== "string" || number(rule, (limit) => [...value].length >= limit)
      case "maxLength":
        return typeof value !== "string" || number(rule, (limit) => [...value].length <= limit)
      case "pattern":
        return typeof value !== "string" || new RegExp(rule as string, "u").test(value)
      case "minimum":
        return typeof value !== "number" || number(rule, (limit) => value >= limit)
      case "maximum":
        return typeof value !== "number" || number(rule, (limit) => value <= limit)
      case "prefixItems":
        return list === undefined || all(rule).every((one, i) => i >= list.length || is(one, list[i]))
      default:
        if (!known.has(keyword)) throw new Error(`unknown keyword ${keyword}`)
        return true
    }
  }
  if (!Object.entries(rules).every(([keyword, rule]) => holds(keyword, rule))) return false

  if (list !== undefined) {
    // In draft 07 `items` is what `prefixItems` is in 2020-12.
    const isTuple = Array.isArray(rules["items"])
    const first = isTuple ? all(rules["items"]) : all(rules["prefixItems"] ?? [])
    const rest = isTuple ? rules["additionalItems"] : rules["items"]
    const fits = list.every((one, i) => (i < first.length ? is(first[i], one) : rest === undefined || is(rest, one)))
    if (!fits) return false
  }
  if (object === undefined) return true
  const properties = (rules["properties"] ?? {}) as Readonly<Record<string, unknown>>
  const others = rules["additionalProperties"]
  return Object.entries(object).every(([name, inner]) =>
    Object.hasOwn(properties, name) ? is(properties[name], inner) : others === undefined || is(others, inner)
  )
}

/** All references of a document. */
export const references = (document: unknown): ReadonlyArray<string> => {
  if (typeof document !== "object" || document === null) return []
  return Object.entries(document).flatMap(([key, value]) =>
    key === "$ref" && typeof value === "string" ? [value] : references(value)
  )
}
