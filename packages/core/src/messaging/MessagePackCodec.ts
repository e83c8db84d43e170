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
 * In bytes: messages share buffers of that length at first, one behind the other. For a message that does not fit, the
 * library makes a buffer four times as long, and goes on with such buffers, in the whole process: a few bytes that wait
 * for a slow peer would keep 4 MiB, once somebody had been sent 1 MiB.
 */
const sharedBuffer = 8_192

/** On Node.js `Buffer`, which the library asks for what only that has. */
interface MakerOfBytes {
  new (length: number): Uint8Array
  readonly allocUnsafeSlow?: (length: number) => Uint8Array
}

/** Leaves a buffer that has grown to nobody. */
const own = (packr: Packr, packed: Uint8Array): Uint8Array => {
  if (packed.buffer.byteLength <= 2 * sharedBuffer) return packed
  const Bytes = packed.constructor as unknown as MakerOfBytes
  packr.useBuffer(Bytes.allocUnsafeSlow?.(sharedBuffer) ?? new Bytes(sharedBuffer))
  return new Uint8Array(packed)
}

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
      return own(packr, packr.pack(isWellFormed(wire) ? wire : toWellFormed(wire)))
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
