/**
 * What the nodes of a cluster say to each other, as bytes: one byte with the version of the format, then one JSON value
 * in UTF-8. Nodes of two versions may run at a time while a cluster is brought up to date: they ignore what they do not
 * understand. Pure.
 */

/** A value that JSON has. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

/** The one version there is. */
export const version = 1

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The bytes of a value that is JSON text already. */
export const encodeText = (json: string): Uint8Array => {
  const text = encoder.encode(json)
  const bytes = new Uint8Array(1 + text.length)
  bytes[0] = version
  bytes.set(text, 1)
  return bytes
}

export const encode = (value: Json): Uint8Array => encodeText(JSON.stringify(value))

/**
 * `undefined` for what is longer, of another version, or no JSON: a channel of the broker's is open to others. Names in
 * its objects were chosen by who sent it.
 */
export const decode = (bytes: Uint8Array, maxBytes: number): Json | undefined => {
  if (bytes.length < 2 || bytes.length > maxBytes || bytes[0] !== version) return undefined
  try {
    return JSON.parse(decoder.decode(bytes.subarray(1))) as Json
  } catch {
    return undefined
  }
}

/** Bytes of a text in UTF-8. */
export const lengthOf = (text: string): number => encoder.encode(text).length

/** Whether it is a text of `min` to `max` bytes. Only one that may be too long, by its characters, is encoded to find out. */
export const isText = (value: unknown, max: number, min = 1): value is string =>
  typeof value === "string" &&
  value.length >= min &&
  value.length <= max &&
  (value.length * 3 <= max || lengthOf(value) <= max)

/** A whole number from 0 to 2^53 - 1. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
