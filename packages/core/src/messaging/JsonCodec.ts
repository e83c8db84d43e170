/**
 * Packets as JSON: a text message each. One that has bytes in it is a binary message, in which they stand as they are:
 *
 *     4 bytes    the length of the JSON that follows, in bytes, most significant first
 *     JSON       [value, [[path, length], ...]]: the value with null for bytes, and where they belong
 *     bytes      all of them, one behind the other in the order of the paths, to the end of the message
 *
 * docs/session-protocol.md has it for those who write the other end in another language.
 */
import * as Result from "effect/Result"
import * as WireValue from "../codec/WireValue.ts"
import type { Sendable } from "../protocol/Message.ts"
import { MalformedMessage, type MessageCodec } from "./MessageCodec.ts"

/** All are counts, and hold for what is sent as for what is received. */
export interface Options {
  /** Most arrays and objects inside one another, those of the packet counted. Default 64. */
  readonly maxDepth?: number | undefined
  /** Most `Uint8Array`s in one message. Default 64. */
  readonly maxAttachments?: number | undefined
}

export const defaults = { maxDepth: WireValue.defaultMaxDepth, maxAttachments: 64 } as const

/** The subprotocol that stands for it. */
export const subprotocol = "millrace.json"

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** From the outside in: names of properties, and places in arrays counted from 0. */
type Path = ReadonlyArray<string | number>

const prefixLength = 4

/** The value with `null` for bytes, which are added to `found`. */
const detach = (value: unknown, path: Path, found: Array<readonly [Path, Uint8Array]>): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) {
    found.push([path, value])
    return null
  }
  if (Array.isArray(value)) return value.map((element, i) => detach(element, [...path, i], found))
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, detach(inner, [...path, name], found)]))
}

const encodeBinary = (wire: unknown): Uint8Array => {
  const found: Array<readonly [Path, Uint8Array]> = []
  const value = detach(wire, [], found)
  const head = encoder.encode(JSON.stringify([value, found.map(([path, { length }]) => [path, length])]))
  let at = prefixLength + head.length
  const message = new Uint8Array(found.reduce((length, [, bytes]) => length + bytes.length, at))
  new DataView(message.buffer).setUint32(0, head.length)
  message.set(head, prefixLength)
  for (const [, bytes] of found) {
    message.set(bytes, at)
    at += bytes.length
  }
  return message
}

const malformed = (detail: string) => Result.fail(new MalformedMessage({ detail }))

type Decoded = Result.Result<unknown, MalformedMessage>

const parse = (json: string): unknown => {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

const decodeText = (text: string, maxDepth: number): Decoded => {
  const value = parse(text)
  if (value === undefined) return malformed("not JSON")
  const why = WireValue.refusal(value, maxDepth)
  return why === undefined ? Result.succeed(value) : malformed(why)
}

/** The JSON of a binary message, or `undefined` when its bytes are none. */
const parseHead = (bytes: Uint8Array): unknown => {
  try {
    return parse(decoder.decode(bytes))
  } catch {
    return undefined
  }
}

/** Puts bytes where a path leads to a `null`, and says whether it does. Only own properties are followed. */
const attach = (root: Array<unknown>, path: unknown, bytes: Uint8Array): boolean => {
  if (!Array.isArray(path)) return false
  let holder: object = root
  let step: string | number = 0
  for (const next of path as ReadonlyArray<unknown>) {
    const inner: unknown = (holder as Readonly<Record<string | number, unknown>>)[step]
    if (typeof inner !== "object" || inner === null) return false
    // An array has `length` for an own property, and "0" is no place in it.
    if (typeof next !== (Array.isArray(inner) ? "number" : "string")) return false
    // Object.prototype has a null too: it is behind two times __proto__.
    if (!Object.hasOwn(inner, next as string | number)) return false
    holder = inner
    step = next as string | number
  }
  const place = holder as Record<string | number, unknown>
  if (place[step] !== null) return false
  place[step] = bytes
  return true
}

const decodeBinary = (message: Uint8Array, { maxAttachments, maxDepth }: Required<Options>): Decoded => {
  if (message.length < prefixLength) return malformed("too short for a length")
  const headLength = new DataView(message.buffer, message.byteOffset).getUint32(0)
  let at = prefixLength + headLength
  if (at > message.length) return malformed("shorter than it says")
  const head = parseHead(message.subarray(prefixLength, at))
  if (!Array.isArray(head) || head.length !== 2) return malformed("not JSON of a value and its attachments")
  const [value, places] = head as ReadonlyArray<unknown>
  if (!Array.isArray(places)) return malformed("not JSON of a value and its attachments")
  if (places.length > maxAttachments!) return malformed("too many attachments")
  const why = WireValue.refusal(value, maxDepth!)
  if (why !== undefined) return malformed(why)
  const root = [value]
  for (const place of places as ReadonlyArray<unknown>) {
    const [path, length] = Array.isArray(place) ? (place as ReadonlyArray<unknown>) : []
    if (!Number.isSafeInteger(length) || (length as number) < 0) return malformed("an attachment without a length")
    const end = at + (length as number)
    if (end > message.length) return malformed("shorter than it says")
    const bytes = new Uint8Array(message.buffer, message.byteOffset + at, length as number)
    if (!attach(root, path, bytes)) return malformed("an attachment whose path leads to no null")
    at = end
  }
  return at === message.length ? Result.succeed(root[0]) : malformed("longer than it says")
}

/**
 * A codec of JSON. Bytes in a message that was received are views of it, and so keep it alive.
 *
 * `encode` throws a `TypeError` for what cannot be represented, which is the fault of the value's schema: see
 * `WireValue.countBytes`. What one end has encoded, an end with the same options decodes.
 */
export const make = (options: Options = {}): MessageCodec => {
  const { maxAttachments = defaults.maxAttachments, maxDepth = defaults.maxDepth } = options
  return {
    subprotocol,
    encode: (wire): Sendable => {
      const count = WireValue.countBytes(wire, maxDepth)
      if (count === 0) return JSON.stringify(wire ?? null)
      if (count > maxAttachments) throw new TypeError(`cannot be sent: ${count} times bytes in one message`)
      return encodeBinary(wire)
    },
    decode: (message) =>
      message._tag === "Text"
        ? decodeText(message.text, maxDepth)
        : decodeBinary(message.bytes, { maxAttachments, maxDepth })
  }
}

/** With the defaults. */
export const json: MessageCodec = make()
