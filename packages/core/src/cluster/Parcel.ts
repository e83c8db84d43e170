/**
 * What is published, as it goes from node to node: a message, and what else the nodes must know of it. As bytes:
 *
 *     flags       1 byte: 1 text, 2 has a key, 4 has exceptions, 8 not to be compressed; other bits are refused
 *     key         producer (length, UTF-8), epoch and sequence, 8 bytes each
 *     exceptions  how many, then each (length, UTF-8)
 *     payload     the rest
 *
 * Lengths and counts are 2 bytes; all numbers are big-endian. Pure.
 */
import * as Result from "effect/Result"
import * as Utf8 from "../codec/Utf8.ts"
import * as Message from "../protocol/Message.ts"

/**
 * What a publication is known by, so that a repeat is recognised: some name of who publishes, which life of that
 * producer it is, and how many it has published before in this life.
 */
export interface Key {
  /** 1 to 128 bytes of UTF-8. Nobody else may use it. */
  readonly producer: string
  /** Goes up each time the producer has forgotten its sequence. 0 to 2^53 - 1. */
  readonly epoch: number
  /** Goes up by one with each publication. 0 to 2^53 - 1. */
  readonly sequence: number
}

/** Made by `make` or `decode`. */
export interface Parcel {
  readonly message: Message.Message
  readonly key: Key | undefined
  /** The members that do not get it when it is delivered, by their ids. */
  readonly except: ReadonlyArray<string>
}

const nobody: ReadonlyArray<string> = []

export const make = (message: Message.Message, key?: Key, except: ReadonlyArray<string> = nobody): Parcel => ({
  message,
  key,
  except
})

const isText = 1
const hasKey = 2
const hasExceptions = 4
const isPlain = 8

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Most exceptions, and most bytes of one. */
const maxUint16 = 65_535

/**
 * As one piece of bytes, for whatever carries it. Throws a `RangeError` for more than 65,535 exceptions, and for one of
 * more bytes: what is printed is read again by all.
 */
export const encode = ({ except, key, message }: Parcel): Uint8Array => {
  const payload = message.bytes
  const producer = key === undefined ? undefined : encoder.encode(key.producer)
  const names = except.map((name) => encoder.encode(name))
  if (names.length > maxUint16 || names.some((name) => name.length > maxUint16)) {
    throw new RangeError("a parcel has at most 65535 exceptions, of at most 65535 bytes")
  }
  let length = 1 + payload.length
  if (producer !== undefined) length += 18 + producer.length
  if (names.length > 0) length += names.reduce((sum, name) => sum + 2 + name.length, 2)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  bytes[0] =
    (message._tag === "Text" ? isText : 0) |
    (key === undefined ? 0 : hasKey) |
    (names.length > 0 ? hasExceptions : 0) |
    (message.compress === false ? isPlain : 0)
  let at = 1
  const put = (name: Uint8Array) => {
    view.setUint16(at, name.length)
    bytes.set(name, at + 2)
    at += 2 + name.length
  }
  if (key !== undefined) {
    put(producer!)
    view.setBigUint64(at, BigInt(key.epoch))
    view.setBigUint64(at + 8, BigInt(key.sequence))
    at += 16
  }
  if (names.length > 0) {
    view.setUint16(at, names.length)
    at += 2
    names.forEach(put)
  }
  bytes.set(payload, at)
  return bytes
}

/**
 * Reads what `encode` has printed. The payload is a view of the bytes. Fails with what is wrong, in words: somebody else
 * may write where the nodes do, and what is no text must not reach a connection as text.
 */
export const decode = (bytes: Uint8Array): Result.Result<Parcel, string> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const flags = bytes[0]
  if (flags === undefined) return Result.fail("it is empty")
  if (flags > 15) return Result.fail("it has flags that are not known")
  let at = 1
  const left = (wanted: number) => bytes.length - at >= wanted
  const name = (): string | undefined => {
    if (!left(2)) return undefined
    const length = view.getUint16(at)
    at += 2
    if (!left(length)) return undefined
    at += length
    try {
      return decoder.decode(bytes.subarray(at - length, at))
    } catch {
      return undefined
    }
  }
  let key: Key | undefined
  if ((flags & hasKey) !== 0) {
    const producer = name()
    if (producer === undefined || !left(16)) return Result.fail("its key cannot be read")
    key = { producer, epoch: Number(view.getBigUint64(at)), sequence: Number(view.getBigUint64(at + 8)) }
    at += 16
    if (!isKey(key)) return Result.fail("its key is out of bounds")
  }
  const except: Array<string> = []
  if ((flags & hasExceptions) !== 0) {
    if (!left(2)) return Result.fail("its exceptions cannot be read")
    const count = view.getUint16(at)
    at += 2
    for (let i = 0; i < count; i++) {
      const member = name()
      if (member === undefined) return Result.fail("its exceptions cannot be read")
      except.push(member)
    }
  }
  const payload = bytes.subarray(at)
  const compress = (flags & isPlain) === 0 ? undefined : false
  if ((flags & isText) === 0) return Result.succeed(make(new Message.Binary(payload, compress), key, except))
  if (!Utf8.isValid(payload)) return Result.fail("its text is not UTF-8")
  return Result.succeed(make(new Message.Text(payload, compress), key, except))
}

/** Whether numbers and name are within their bounds. */
export const isKey = ({ epoch, producer, sequence }: Key): boolean =>
  isCount(epoch) &&
  isCount(sequence) &&
  producer !== "" &&
  producer.length <= maxProducerBytes &&
  producer.toWellFormed() === producer &&
  encoder.encode(producer).length <= maxProducerBytes

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** Longest name of a producer, in bytes of UTF-8. */
export const maxProducerBytes = 128
