/**
 * Messages of Django Channels as its layers on Redis, `channels_redis`, have them there: names, bytes and values. Pure.
 *
 * A message is a map whose `type` says which method of a consumer it is for, in MessagePack. The layer of pub/sub has it
 * as it is; the layer of queues, which calls itself the core layer, puts 12 random bytes before it, as a queue is a set,
 * and names in the map for which channels of the process it is. What is in no layer: encryption (`symmetric_encryption_keys`)
 * and serializers other than MessagePack.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as MessagePackCodec from "../../messaging/MessagePackCodec.ts"
import type { MalformedMessage } from "../../messaging/MessageCodec.ts"
import * as MessagePackReader from "../../messaging/MessagePackReader.ts"

/** A value of JSON, in which a `Uint8Array` may stand. `chat.message` is for the method `chat_message`. */
export interface Message {
  readonly type: string
  readonly [name: string]: unknown
}

/** It is no message of a layer: whose fault it is, nobody can tell who only sees the bytes. */
export class LayerViolation extends Data.TaggedError("LayerViolation")<{
  /** There is more of it than we take; it is no MessagePack; or a value that is no message. */
  readonly reason: "limit" | "syntax" | "value"
  readonly detail: string
}> {
  override get message(): string {
    return `not a message of a channel layer: ${this.detail}`
  }
}

/** The caller's fault: it has no form in a layer. */
export class UnsendableMessage extends Data.TaggedError("UnsendableMessage")<{ readonly detail: string }> {
  override get message(): string {
    return `no message of a channel layer: ${this.detail}`
  }
}

export interface Options {
  /** Longest message in bytes. Default 1 MiB. */
  readonly maxBytes?: number | undefined
  /** Most arrays and maps inside one another, the message counted. Default 64. */
  readonly maxDepth?: number | undefined
}

export const defaults = { maxBytes: 1_048_576, maxDepth: 64 } as const

/** What the layers' keys and channels begin with, unless a project has set another. */
export const defaultPrefix = "asgi"

/** A name of a group, or the part of a channel's name before its `!`: 1 to 99 of these characters. */
export const isName = (text: string): boolean => /^[A-Za-z0-9._-]{1,99}$/.test(text)

/** Layer of pub/sub: where messages for a group are published. */
export const groupChannel = (prefix: string, group: string): string => `${prefix}__group__${group}`

/** Layer of queues: the sorted set of the channels in a group, by when they were added, in seconds. */
export const groupKey = (prefix: string, group: string): string => `${prefix}:group:${group}`

/** Layer of queues: the sorted set of what waits for a channel. All channels of a process share what is before the `!`. */
export const queueKey = (prefix: string, channel: string): string => {
  const end = channel.indexOf("!")
  return prefix + (end === -1 ? channel : channel.slice(0, end + 1))
}

/** In the map of a queued message: for which channels it is. */
const channelsField = "__asgi_channel__"

/** How many random bytes stand before a queued message. */
export const randomLength = 12

const violates = (reason: LayerViolation["reason"], detail: string) =>
  Result.fail(new LayerViolation({ reason, detail }))

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

const isMessage = (value: unknown): value is Message =>
  isMap(value) && Object.hasOwn(value, "type") && typeof value["type"] === "string"

/** Of any bytes. Bytes in a message are views of them. */
export const decode = (bytes: Uint8Array, options: Options = {}): Result.Result<Message, LayerViolation> => {
  const { maxBytes = defaults.maxBytes, maxDepth = defaults.maxDepth } = options
  if (bytes.length > maxBytes) return violates("limit", `more than ${maxBytes} bytes`)
  let value: unknown
  try {
    value = MessagePackReader.read(bytes, maxDepth)
  } catch (cause) {
    return violates("syntax", (cause as MalformedMessage).detail)
  }
  if (!isMap(value)) return violates("value", "no map")
  return isMessage(value) ? Result.succeed(value) : violates("value", 'a map without a "type" that is a string')
}

/** What waits in a queue, and for which channels of its process. */
export interface Queued {
  readonly message: Message
  readonly channels: ReadonlyArray<string>
}

/** Of any bytes that waited in a queue. `maxBytes` is without the random ones. */
export const decodeQueued = (bytes: Uint8Array, options: Options = {}): Result.Result<Queued, LayerViolation> => {
  if (bytes.length < randomLength) return violates("syntax", "it ends within its random bytes")
  const decoded = decode(bytes.subarray(randomLength), options)
  if (Result.isFailure(decoded)) return Result.fail(decoded.failure)
  const { [channelsField]: named, ...message } = decoded.success
  const channels: unknown = typeof named === "string" ? [named] : named
  const isList = Array.isArray(channels) && channels.every((channel) => typeof channel === "string")
  if (!isList) return violates("value", "it names no channels")
  return Result.succeed({ message: message as Message, channels: channels as ReadonlyArray<string> })
}

/** Fails for what has no form, and for what `decode` with the same options would refuse. */
export const encode = (message: Message, options: Options = {}): Result.Result<Uint8Array, UnsendableMessage> => {
  const { maxBytes = defaults.maxBytes, maxDepth = defaults.maxDepth } = options
  if (!isMessage(message)) return Result.fail(new UnsendableMessage({ detail: 'a map with a "type" is one' }))
  let bytes: Uint8Array
  try {
    bytes = MessagePackCodec.make({ maxDepth }).encode(message) as Uint8Array
  } catch (cause) {
    return Result.fail(new UnsendableMessage({ detail: (cause as TypeError).message }))
  }
  return bytes.length > maxBytes
    ? Result.fail(new UnsendableMessage({ detail: `more than ${maxBytes} bytes` }))
    : Result.succeed(bytes)
}

/** What is put into the queue of a process. `random` are 12 bytes; `maxBytes` is without them. */
export const encodeQueued = (
  { channels, message }: Queued,
  random: Uint8Array,
  options: Options = {}
): Result.Result<Uint8Array, UnsendableMessage> =>
  Result.map(encode({ ...message, [channelsField]: channels }, options), (encoded) => {
    const bytes = new Uint8Array(randomLength + encoded.length)
    bytes.set(random.subarray(0, randomLength))
    bytes.set(encoded, randomLength)
    return bytes
  })
