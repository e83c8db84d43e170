/**
 * Packets as MessagePack: a binary message each, of the formats that every implementation has. Bytes are `bin`.
 *
 * It is written by `msgpackr`, an optional peer dependency that only this file imports, and read by
 * `MessagePackReader`.
 */
import { Packr } from "msgpackr/pack"
import * as Result from "effect/Result"
import * as WireValue from "../codec/WireValue.ts"
import { MalformedMessage, type MessageCodec } from "./MessageCodec.ts"
import * as MessagePackReader from "./MessagePackReader.ts"

export interface Options {
  /** Most arrays and objects inside one another, those of the packet counted. Default 64. */
  readonly maxDepth?: number | undefined
}

export const defaults = { maxDepth: WireValue.defaultMaxDepth } as const

/** The subprotocol that stands for it. */
export const subprotocol = "millrace.msgpack"

const isWellFormed = (value: unknown): boolean => {
  if (typeof value === "string") return value.toWellFormed() === value
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return true
  if (Array.isArray(value)) return value.every(isWellFormed)
  for (const name in value) {
    if (!isWellFormed(name) || !isWellFormed((value as Readonly<Record<string, unknown>>)[name])) return false
  }
  return true
}

/** The same with U+FFFD for lone surrogates, of which `msgpackr` would make bytes that are not UTF-8. */
const toWellFormed = (value: unknown): unknown => {
  if (typeof value === "string") return value.toWellFormed()
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(toWellFormed)
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), toWellFormed(inner)]))
}

/**
 * Up to here, in bytes, messages share a buffer that the library writes them to one behind the other. It makes a buffer
 * four times as long as a message that does not fit, for the whole process and for good: without a copy, a few bytes that
 * wait for a slow peer would keep 4 MiB, once somebody had been sent 1 MiB.
 */
const sharedBuffer = 16_384

const own = (packed: Uint8Array): Uint8Array =>
  packed.buffer.byteLength <= sharedBuffer ? packed : new Uint8Array(packed)

/**
 * A codec of MessagePack. Bytes in a message that was received are views of it, and so keep it alive.
 *
 * `encode` throws a `TypeError` for what cannot be represented, which is the fault of the value's schema: see
 * `WireValue.countBytes`. Lone surrogates become U+FFFD, as everywhere on the web. What one end has encoded, an end with
 * the same options decodes.
 */
export const make = (options: Options = {}): MessageCodec => {
  const { maxDepth = defaults.maxDepth } = options
  const packr = new Packr({
    useRecords: false,
    structuredClone: false,
    moreTypes: false,
    variableMapSize: true,
    encodeUndefinedAsNil: true,
    // As JSON has it: a property that is undefined is left out.
    skipValues: [undefined]
  })
  return {
    subprotocol,
    encode: (wire) => {
      WireValue.countBytes(wire, maxDepth)
      return own(packr.pack(isWellFormed(wire) ? wire : toWellFormed(wire)))
    },
    decode: (message) => {
      if (message._tag === "Text") return Result.fail(new MalformedMessage({ detail: "text" }))
      try {
        return Result.succeed(MessagePackReader.read(message.bytes, maxDepth))
      } catch (cause) {
        return Result.fail(cause as MalformedMessage)
      }
    }
  }
}

/** With the defaults. */
export const messagePack: MessageCodec = make()
