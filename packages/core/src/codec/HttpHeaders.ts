/**
 * Header fields of HTTP as a plain list, in the order of the wire: lookups, tokens, comma-separated lists, and the
 * check that keeps one field from becoming two.
 *
 * A name that a peer chooses is never the key of an object, so `__proto__` is a name like any other. Everything here is
 * linear in its input: no regular expression, no backtracking.
 */
import * as Result from "effect/Result"
import { InvalidHead } from "./HandshakeError.ts"

/** Fields as they were sent, repeated ones included. Characters above U+00FF cannot occur on the wire. */
export type Headers = ReadonlyArray<readonly [name: string, value: string]>

const tokenCharacters: ReadonlySet<string> = new Set(
  "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

/** RFC 9110 section 5.6.2. `character` is one character. */
export const isTokenCharacter = (character: string): boolean => tokenCharacters.has(character)

/** One or more token characters: the name of a field, a method, a subprotocol. RFC 9110 section 5.6.2. */
export const isToken = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (!isTokenCharacter(text[i]!)) return false
  return text !== ""
}

/** One or more ASCII digits. */
export const isDigits = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (text[i]! < "0" || text[i]! > "9") return false
  return text !== ""
}

const isWhitespace = (code: number) => code === 0x20 || code === 0x09

/** Without spaces and tabs at both ends, and only those: `String.prototype.trim` knows 23 more. RFC 9110 5.6.3. */
export const trim = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isWhitespace(text.charCodeAt(start))) start++
  while (end > start && isWhitespace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

const lower = (code: number) => (code >= 0x41 && code <= 0x5a ? code + 0x20 : code)

/** Whether two texts differ at most in the case of ASCII letters. The Kelvin sign is not a `k` here. */
export const equalsIgnoringCase = (a: string, b: string): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (lower(a.charCodeAt(i)) !== lower(b.charCodeAt(i))) return false
  return true
}

/** The trimmed values of every field of that name, in order; empty when there is none. */
export const values = (headers: Headers, name: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [candidate, value] of headers) if (equalsIgnoringCase(candidate, name)) found.push(trim(value))
  return found
}

/** The one value that repeated fields stand for, or `undefined` when there is no such field. RFC 9110 section 5.3. */
export const combined = (headers: Headers, name: string): string | undefined => {
  const found = values(headers, name)
  return found.length === 0 ? undefined : found.join(", ")
}

/** The elements of a comma-separated list; empty ones are dropped, as RFC 9110 section 5.6.1.2 tells recipients. */
export const elements = (list: string): ReadonlyArray<string> =>
  list
    .split(",")
    .map(trim)
    .filter((element) => element !== "")

/** Whether a list of tokens, such as `Connection`, has that token. A missing field has none. */
export const hasToken = (headers: Headers, name: string, token: string): boolean =>
  elements(combined(headers, name) ?? "").some((element) => equalsIgnoringCase(element, token))

/**
 * Whether `text` may be printed into a head: visible ASCII, spaces, and U+00A0 to U+00FF.
 *
 * Stricter than what is accepted from a peer, which may send tabs and bytes 0x80 to 0x9f (UTF-8 has them): those are
 * control characters to somebody who reads the text, and some software takes U+0085 or U+001C for the end of a line.
 */
export const isPrintable = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || (code > 0x7e && code < 0xa0) || code > 0xff) return false
  }
  return true
}

/**
 * The fields themselves, when each may be printed as it is; otherwise the caller's fault: a name that is no token, a
 * value with a control character, with a character above U+00FF, or with white space around it that would be lost.
 */
export const validate = (headers: Headers): Result.Result<Headers, InvalidHead> => {
  for (const [name, value] of headers) {
    if (!isToken(name)) {
      return Result.fail(new InvalidHead({ part: "field name", clause: "RFC 9110 5.1", detail: "not a token" }))
    }
    if (!isPrintable(value) || trim(value) !== value) {
      return Result.fail(
        new InvalidHead({ part: "field value", clause: "RFC 9110 5.5", detail: `the value of ${name} cannot be sent` })
      )
    }
  }
  return Result.succeed(headers)
}
