/**
 * What a person types to a server of Socket.IO, a line each, and how events are shown. Pure.
 *
 *     say "hi" {"to": [1, 2]}      an event: its name, and arguments in JSON; a word that is no JSON is a text
 *     ["say", "hi"]                the same as JSON
 *     ?upper tea                   an event whose answer is wanted
 *     ! true                       the answer to the oldest question of the server's
 *
 * Bytes are `{"base64": "AAH/"}`, both ways.
 */
import * as Base64 from "@millrace/core/codec/Base64"
import * as Result from "effect/Result"

export type Line =
  | { readonly _tag: "Answer"; readonly args: ReadonlyArray<unknown> }
  | { readonly _tag: "Ask" | "Emit"; readonly name: string; readonly args: ReadonlyArray<unknown> }

const parse = (json: string): Result.Result<unknown, undefined> => {
  try {
    return Result.succeed(JSON.parse(json, (_, value: unknown) => bytesOf(value) ?? value) as unknown)
  } catch {
    return Result.fail(undefined)
  }
}

const bytesOf = (value: unknown): Uint8Array | undefined => {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 1) return undefined
  const { base64 } = value as { readonly base64?: unknown }
  return typeof base64 === "string" ? Base64.decode(base64) : undefined
}

const opening = new Set(["{", "[", '"'])
const closing = new Set(["}", "]"])

/** Where a text of JSON ends that begins at `start`; the end of the line where it does not. */
const endOfString = (line: string, start: number): number => {
  for (let at = start + 1; at < line.length; at++) {
    if (line[at] === "\\") at++
    else if (line[at] === '"') return at + 1
  }
  return line.length
}

/** Where a word ends that begins at `start`: one that JSON has brackets or quotes for may have spaces in it. */
const endOfWord = (line: string, start: number): number => {
  let at = start
  let depth = 0
  if (!opening.has(line[at]!)) {
    while (at < line.length && !/\s/.test(line[at]!)) at++
    return at
  }
  while (at < line.length) {
    const character = line[at]!
    if (character === '"') at = endOfString(line, at)
    else {
      if (opening.has(character)) depth++
      else if (closing.has(character)) depth--
      at++
    }
    if (depth <= 0) return at
  }
  return at
}

/** The words of a line as values; or the first one that begins like JSON and is none. */
const wordsOf = (line: string): Result.Result<ReadonlyArray<unknown>, string> => {
  const values: Array<unknown> = []
  for (let at = 0; at < line.length;) {
    if (/\s/.test(line[at]!)) {
      at++
      continue
    }
    const end = endOfWord(line, at)
    const word = line.slice(at, end)
    const value = parse(word)
    if (Result.isSuccess(value)) values.push(value.success)
    else if (opening.has(word[0]!)) return Result.fail(word)
    else values.push(word)
    at = end
  }
  return Result.succeed(values)
}

/** What a line says; `undefined` for one of nothing but spaces. Fails with a sentence for a person. */
export const read = (line: string): Result.Result<Line | undefined, string> => {
  const trimmed = line.trim()
  if (trimmed === "") return Result.succeed(undefined)
  const sign = trimmed[0]!
  const isSigned = sign === "?" || sign === "!"
  const words = wordsOf(isSigned ? trimmed.slice(1) : trimmed)
  if (Result.isFailure(words)) return Result.fail(`this is not JSON: ${words.failure}`)
  if (sign === "!") return Result.succeed({ _tag: "Answer", args: words.success })
  const [first, ...rest] = words.success
  const whole = Array.isArray(first) && rest.length === 0 ? (first as ReadonlyArray<unknown>) : words.success
  const [name, ...args] = whole
  if (typeof name === "string") return Result.succeed({ _tag: sign === "?" ? "Ask" : "Emit", name, args })
  // A word that is a number, as in `42 "tea"`, is the name of an event all the same.
  return typeof name === "number"
    ? Result.succeed({ _tag: sign === "?" ? "Ask" : "Emit", name: String(name), args })
    : Result.fail('an event begins with its name, as in: say "hi"')
}

/** A value in which bytes may stand, as one of JSON. */
const shown = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return { base64: Base64.encode(value) }
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shown(inner)]))
}

/** An event as a value of JSON: the array that Socket.IO has of it. */
export const event = (name: string, args: ReadonlyArray<unknown>): unknown => [name, ...args.map(shown)]

/** An answer, with what it is the answer to. */
export const answer = (name: string, args: ReadonlyArray<unknown>): unknown => ({ to: name, answer: args.map(shown) })
