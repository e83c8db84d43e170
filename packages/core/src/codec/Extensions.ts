/**
 * The value of `Sec-WebSocket-Extensions`: the grammar of RFC 6455 section 9.1, both ways.
 *
 * What the parameters of an extension mean is not here: see `PerMessageDeflate`. Parameters are a list and not an
 * object, because their order and repetition matter and because a peer chooses their names.
 */
import * as Result from "effect/Result"
import { InvalidHead, MalformedHead } from "./HandshakeError.ts"
import * as HttpHeaders from "./HttpHeaders.ts"

/** `undefined` is a parameter without a value, which is not the same as an empty one (and there is no empty one). */
export type Param = readonly [name: string, value: string | undefined]

/** One element of an offer or of a response. Names and values are tokens. */
export interface Extension {
  readonly name: string
  readonly params: ReadonlyArray<Param>
}

/** How much a peer may list. Beyond it, `parse` fails with 400. */
export interface Limits {
  readonly maxExtensions: number
  /** For each extension. */
  readonly maxParams: number
}

/** 32 extensions with 32 parameters each: a browser sends one with one. */
export const defaultLimits: Limits = { maxExtensions: 32, maxParams: 32 }

const malformed = (detail: string) => Result.fail(new MalformedHead({ status: 400, clause: "RFC 6455 9.1", detail }))

/** A place in the text. It only moves forward, so parsing is linear. */
interface Cursor {
  readonly text: string
  at: number
}

const skipWhitespace = (cursor: Cursor): void => {
  while (cursor.text[cursor.at] === " " || cursor.text[cursor.at] === "\t") cursor.at++
}

/** Steps over `character`, and over white space before it, if it comes next. */
const accept = (cursor: Cursor, character: string): boolean => {
  skipWhitespace(cursor)
  if (cursor.text[cursor.at] !== character) return false
  cursor.at++
  return true
}

/** The token that comes next, or the empty string when none does. */
const token = (cursor: Cursor): string => {
  skipWhitespace(cursor)
  const start = cursor.at
  while (cursor.at < cursor.text.length && HttpHeaders.isTokenCharacter(cursor.text[cursor.at]!)) cursor.at++
  return cursor.text.slice(start, cursor.at)
}

/** A token, or a quoted string that is a token once it is unescaped; the empty string when neither comes next. */
const tokenOrQuoted = (cursor: Cursor): string => {
  if (!accept(cursor, '"')) return token(cursor)
  let value = ""
  for (;;) {
    const next = cursor.text[cursor.at++]
    if (next === '"') return value
    const character = next === "\\" ? cursor.text[cursor.at++] : next
    if (character === undefined || !HttpHeaders.isTokenCharacter(character)) return ""
    value += character
  }
}

/** The parameters that follow a name, up to the comma. */
const parseParams = (cursor: Cursor, limits: Limits): Result.Result<ReadonlyArray<Param>, MalformedHead> => {
  const params: Array<Param> = []
  while (accept(cursor, ";")) {
    if (params.length === limits.maxParams) return malformed("too many extension parameters")
    const name = token(cursor)
    if (name === "") return malformed("extension parameter without a name")
    const value = accept(cursor, "=") ? tokenOrQuoted(cursor) : undefined
    if (value === "") return malformed("extension parameter whose value is not a token")
    params.push([name, value])
  }
  return Result.succeed(params)
}

/**
 * The extensions that a field value lists, in order, at least one.
 *
 * Repeated fields are joined with a comma first (`HttpHeaders.combined`). Fails with `MalformedHead` 400, the peer's
 * fault, when the value does not follow the grammar or goes over a limit; the connection must then be failed (RFC 6455
 * section 9.1). Empty elements between commas are skipped, as RFC 2616 section 2.1 has it, but count towards the limit.
 */
export const parse = (
  value: string,
  limits: Limits = defaultLimits
): Result.Result<ReadonlyArray<Extension>, MalformedHead> => {
  const cursor: Cursor = { text: value, at: 0 }
  const extensions: Array<Extension> = []
  let elements = 0
  do {
    if (elements++ === limits.maxExtensions) return malformed("too many extensions")
    const name = token(cursor)
    if (name === "") continue
    const params = parseParams(cursor, limits)
    if (Result.isFailure(params)) return Result.fail(params.failure)
    extensions.push({ name, params: params.success })
  } while (accept(cursor, ","))
  if (cursor.at < value.length) return malformed("unexpected character in a list of extensions")
  return extensions.length === 0 ? malformed("empty list of extensions") : Result.succeed(extensions)
}

const isPrintable = ([name, value]: Param): boolean =>
  HttpHeaders.isToken(name) && (value === undefined || HttpHeaders.isToken(value))

const printParam = ([name, value]: Param): string => (value === undefined ? `; ${name}` : `; ${name}=${value}`)

/**
 * The field value that lists `extensions`; the empty string for none, and then no field may be sent. Fails with
 * `InvalidHead`, the caller's fault, when a name or a value is not a token.
 */
export const print = (extensions: ReadonlyArray<Extension>): Result.Result<string, InvalidHead> => {
  for (const { name, params } of extensions) {
    if (!HttpHeaders.isToken(name) || !params.every(isPrintable)) {
      return Result.fail(new InvalidHead({ part: "extension", clause: "RFC 6455 9.1", detail: "not made of tokens" }))
    }
  }
  return Result.succeed(extensions.map(({ name, params }) => name + params.map(printParam).join("")).join(", "))
}
