/**
 * JSON as text: what can be read off it without making a value of it, so that what a client wrote is passed on as it was.
 * Pure.
 */

declare const checked: unique symbol

/** One JSON text, known to be well-formed and to hold no line break. Made by `memberOf` and `toJson` only. */
export type JsonText = string & { readonly [checked]: "JsonText" }

/**
 * The JSON text of a value that this program made. As with `JSON.stringify`, what JSON
 * has no word for becomes `null`; a cycle or a BigInt is the caller's mistake and throws.
 */
export const toJson = (value: unknown): JsonText => (JSON.stringify(value) ?? "null") as JsonText

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a

/** `[` and `{`. */
const opens = (unit: number): boolean => unit === 0x5b || unit === 0x7b
/** `]` and `}`. */
const closes = (unit: number): boolean => unit === 0x5d || unit === 0x7d

/** Where the string that begins at `start` has its closing quote; the text's length when it has none. */
const endOfString = (text: string, start: number): number => {
  for (let from = start + 1; ;) {
    const end = text.indexOf('"', from)
    if (end === -1) return text.length
    let escapes = end
    while (text.charCodeAt(escapes - 1) === backslash) escapes--
    if ((end - escapes) % 2 === 0) return end
    from = end + 1
  }
}

/**
 * Read off the brackets, before anything builds or walks a value: a million of them cost a scan of 65. Text that is
 * not JSON may get either answer, and is refused either way.
 */
export const isTooDeep = (text: string, maxDepth: number): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === quote) i = endOfString(text, i)
    else if (opens(unit)) {
      if (++depth > maxDepth) return true
    } else if (closes(unit)) depth--
  }
  return false
}

/** A name in an object may be spelled with escapes, and `"d\u0061ta"` is `data`. */
const spells = (json: string, name: string): boolean =>
  json === `"${name}"` || (json.length <= 6 * name.length + 2 && json.includes("\\") && JSON.parse(json) === name)

/**
 * The text of a member, of an object that is known to be well-formed and to have one of that name, in ASCII; of several
 * the last, as JSON.parse has it. Line breaks and tabs can only stand between tokens there; they become spaces, so that
 * every message of the hub is one line.
 */
export const memberOf = (json: string, wanted: string): JsonText => {
  let depth = 0
  let name = ""
  let start = -1
  let text = ""
  for (let i = 0; i < json.length; i++) {
    const unit = json.charCodeAt(i)
    if (unit === quote) {
      const end = endOfString(json, i)
      if (depth === 1 && start === -1) name = json.slice(i, end + 1)
      i = end
    } else if (opens(unit)) depth++
    else if (depth === 1) {
      if (unit === colon) start = i + 1
      else if (unit === comma || closes(unit)) {
        if (spells(name, wanted)) text = json.slice(start, i)
        start = -1
      }
      if (closes(unit)) depth--
    } else if (closes(unit)) depth--
  }
  return text.trim().replaceAll(/[\t\n\r]/g, " ") as JsonText
}
