/**
 * What may be on the wire, before a codec makes text or bytes of it: a value of JSON, in which a `Uint8Array` may stand.
 *
 * Both codecs keep to the same rules, here in one place: how deep a value may be, which names no object may have, and
 * what is not sent at all. Nothing here recurses deeper than it is told to, whatever it is given.
 */
import * as ReservedName from "./ReservedName.ts"

/** Most arrays and objects inside one another, those of the packet counted. */
export const defaultMaxDepth = 64

/** Made by `{}` or without a prototype, in whatever realm: the only prototype that has none itself is that of `Object`. */
const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null
}

const nameOf = (value: object): string => {
  const maker: unknown = Object.getPrototypeOf(value)?.constructor
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an object of a class"
}

const tooDeep = (): TypeError => new TypeError("cannot be sent: nested too deep, or in a circle")

/**
 * How many `Uint8Array`s are in a value that is to be sent. `undefined` is allowed: a property is left out, and anything
 * else is `null`, as `JSON.stringify` has it.
 *
 * Throws a `TypeError` for what the other end would not get as it is: a `bigint`, a function, a symbol, a number that is
 * not finite, an object of a class (a `Date`, a `Map`), a reserved name, more than `maxDepth` levels, a circle.
 */
export const countBytes = (value: unknown, maxDepth: number): number => {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return 0
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`cannot be sent: ${value}`)
      return 0
    case "object":
      break
    default:
      throw new TypeError(`cannot be sent: a ${typeof value}`)
  }
  if (value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    if (maxDepth === 0) throw tooDeep()
    for (let i = 0; i < value.length; i++) count += countBytes(value[i], maxDepth - 1)
    return count
  }
  if (value instanceof Uint8Array) return 1
  if (maxDepth === 0) throw tooDeep()
  if (!isPlain(value)) throw new TypeError(`cannot be sent: ${nameOf(value)}`)
  for (const name in value) {
    if (ReservedName.is(name)) throw new TypeError(`cannot be sent: a property with the name ${name}`)
    count += countBytes((value as Readonly<Record<string, unknown>>)[name], maxDepth - 1)
  }
  return count
}

/**
 * Why a value that `JSON.parse` has made is not taken; `undefined` when it is. For a small message this costs a ninth of
 * the parsing, and less than looking for the names in its text.
 */
export const refusal = (value: unknown, maxDepth: number): string | undefined => {
  // `JSON.parse` makes Infinity of 1e400.
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "a number that is too large"
  if (typeof value !== "object" || value === null) return undefined
  if (maxDepth === 0) return "nested too deep"
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const why = refusal(value[i], maxDepth - 1)
      if (why !== undefined) return why
    }
    return undefined
  }
  for (const name in value) {
    if (ReservedName.is(name)) return `a property with the name ${name}`
    const why = refusal((value as Readonly<Record<string, unknown>>)[name], maxDepth - 1)
    if (why !== undefined) return why
  }
  return undefined
}
