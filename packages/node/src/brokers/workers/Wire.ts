/**
 * What a node and the host of a log say to each other, each packet as the payload of one binary frame of RFC 6455. A
 * packet is a byte that says which, and its fields in order; `name` is a length of 2 bytes and UTF-8, `count` 8 bytes,
 * `id` 4, which the answer repeats; all numbers are big-endian.
 *
 *     from a node
 *       1 append      id, flags (1: has a key), [producer name, epoch count, sequence count], topic name, bytes
 *       2 since       id, flags (1: has a position), [epoch name, offset count], topic name
 *       3 position    id
 *       4 listen      id, topic names                    5 unlisten   topic names
 *       6 cast        id, channel name, bytes
 *       7 hear        id, channel names                  8 unhear     channel names
 *
 *     from the host
 *      16 welcome     version (1 byte), epoch name, offset count
 *      17 appended    id, flags (1: repeated), offset count
 *      18 delivered   offset count, flags (1: previous is known), previous count, topic name, bytes
 *      19 entry       id, offset count, bytes            of the answer to `since`; the tail comes behind them
 *      20 tail        id, flags (1: gap), offset count
 *      21 positioned  id, offset count
 *      22 done        id                                 the answer to listen, cast and hear
 *      23 heard       channel name, bytes
 *      24 refused     id, reason (1 byte), words
 *
 * Offsets are of the epoch of the welcome. Pure.
 */
import { toUSVString } from "node:util"
import * as Result from "effect/Result"
import { type Key, maxProducerBytes } from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"

/** Of the packets. A host and a node of different versions do not talk. */
export const version = 1

export type FromNode =
  | {
      readonly _tag: "Append"
      readonly id: number
      readonly topic: string
      readonly key: Key | undefined
      readonly bytes: Uint8Array
    }
  | { readonly _tag: "Since"; readonly id: number; readonly topic: string; readonly after: Position | undefined }
  | { readonly _tag: "Position"; readonly id: number }
  | { readonly _tag: "Listen"; readonly id: number; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Unlisten"; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Cast"; readonly id: number; readonly channel: string; readonly bytes: Uint8Array }
  | { readonly _tag: "Hear"; readonly id: number; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Unhear"; readonly names: ReadonlyArray<string> }

export type FromHost =
  | { readonly _tag: "Welcome"; readonly version: number; readonly position: Position }
  | { readonly _tag: "Appended"; readonly id: number; readonly repeated: boolean; readonly offset: number }
  | {
      readonly _tag: "Delivered"
      readonly offset: number
      readonly previous: number | undefined
      readonly topic: string
      readonly bytes: Uint8Array
    }
  | { readonly _tag: "Entry"; readonly id: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Tail"; readonly id: number; readonly gap: boolean; readonly offset: number }
  | { readonly _tag: "Positioned"; readonly id: number; readonly offset: number }
  | { readonly _tag: "Done"; readonly id: number }
  | { readonly _tag: "Heard"; readonly channel: string; readonly bytes: Uint8Array }
  | { readonly _tag: "Refused"; readonly id: number; readonly reason: Refusal; readonly words: string }

/** Why the host does not do something. */
export type Refusal = "StaleKey" | "TooLarge"

const refusals: ReadonlyArray<Refusal> = ["StaleKey", "TooLarge"]

/** Longest name of a topic, a channel or an epoch, in bytes of UTF-8. */
export const maxNameBytes = 65_535

/** Most bytes of a packet besides the bytes that it carries: two names and the numbers. */
export const maxOverhead = 2 * maxNameBytes + 64

/** Most bytes of names in one packet; more go in several. */
const maxNamesBytes = 65_536

const codes = {
  Append: 1,
  Since: 2,
  Position: 3,
  Listen: 4,
  Unlisten: 5,
  Cast: 6,
  Hear: 7,
  Unhear: 8,
  Welcome: 16,
  Appended: 17,
  Delivered: 18,
  Entry: 19,
  Tail: 20,
  Positioned: 21,
  Done: 22,
  Heard: 23,
  Refused: 24
} as const satisfies Record<(FromNode | FromHost)["_tag"], number>

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Whether it can be said: text that is well-formed, and short enough. */
export const isName = (name: string): boolean =>
  toUSVString(name) === name && (name.length * 3 <= maxNameBytes || sizeOf(name) <= maxNameBytes)

/** Names as they are put into packets: as many to each as it may have. */
export const portions = (names: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
  const portions: Array<Array<string>> = []
  let room = 0
  for (const name of names) {
    const length = 2 + name.length * 3
    if (length > room) {
      portions.push([])
      room = maxNamesBytes
    }
    portions.at(-1)!.push(name)
    room -= length
  }
  return portions
}

/** Gives room of that length, which is filled at once. */
export type Allocate = (length: number) => Uint8Array

const ofItsOwn: Allocate = (length) => new Uint8Array(length)

/** Bytes of UTF-8. Most names are ASCII, and short, and asking the platform takes longer. Measured. */
const sizeOf = (name: string): number => {
  for (let at = 0; at < name.length; at++) {
    if (name.charCodeAt(at) > 0x7f) return Buffer.byteLength(name)
  }
  return name.length
}

/** Fills bytes of a length that is known before. */
class Writer {
  readonly bytes: Uint8Array
  private at = 1

  constructor(code: number, length: number, allocate: Allocate) {
    this.bytes = allocate(1 + length)
    this.bytes[0] = code
  }

  byte(value: number): this {
    this.bytes[this.at++] = value
    return this
  }

  id(value: number): this {
    const { bytes } = this
    bytes[this.at++] = value >>> 24
    bytes[this.at++] = value >>> 16
    bytes[this.at++] = value >>> 8
    bytes[this.at++] = value
    return this
  }

  count(value: number): this {
    return this.id(Math.floor(value / 2 ** 32)).id(value >>> 0)
  }

  name(name: string, size: number): this {
    this.byte(size >>> 8).byte(size)
    return this.text(name, size)
  }

  text(text: string, size: number): this {
    if (size === text.length) for (let i = 0; i < size; i++) this.bytes[this.at + i] = text.charCodeAt(i)
    else encoder.encodeInto(text, this.bytes.subarray(this.at))
    this.at += size
    return this
  }

  rest(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
    return this
  }
}

/**
 * As bytes: of their own, or where `allocate` says. Names must be such, numbers within their bounds: the caller has seen
 * to it.
 */
export const encode = (packet: FromNode | FromHost, allocate: Allocate = ofItsOwn): Uint8Array => {
  const code = codes[packet._tag]
  const writer = (length: number) => new Writer(code, length, allocate)
  switch (packet._tag) {
    case "Append": {
      const { bytes, id, key, topic } = packet
      const title = sizeOf(topic)
      const length = 5 + 2 + title + bytes.length
      if (key === undefined) return writer(length).id(id).byte(0).name(topic, title).rest(bytes).bytes
      const producer = sizeOf(key.producer)
      return writer(length + 18 + producer)
        .id(id)
        .byte(1)
        .name(key.producer, producer)
        .count(key.epoch)
        .count(key.sequence)
        .name(topic, title)
        .rest(bytes).bytes
    }
    case "Since": {
      const { after, id, topic } = packet
      const title = sizeOf(topic)
      if (after === undefined)
        return writer(7 + title)
          .id(id)
          .byte(0)
          .name(topic, title).bytes
      const epoch = sizeOf(after.epoch)
      return writer(17 + epoch + title)
        .id(id)
        .byte(1)
        .name(after.epoch, epoch)
        .count(after.offset)
        .name(topic, title).bytes
    }
    case "Listen":
    case "Hear":
    case "Unlisten":
    case "Unhear": {
      const asked = packet._tag === "Listen" || packet._tag === "Hear"
      const length = packet.names.reduce((sum, name) => sum + 2 + sizeOf(name), asked ? 4 : 0)
      const filled = writer(length)
      if (asked) filled.id(packet.id)
      for (const name of packet.names) filled.name(name, sizeOf(name))
      return filled.bytes
    }
    case "Cast": {
      const { bytes, channel, id } = packet
      const title = sizeOf(channel)
      return writer(6 + title + bytes.length)
        .id(id)
        .name(channel, title)
        .rest(bytes).bytes
    }
    case "Heard": {
      const { bytes, channel } = packet
      const title = sizeOf(channel)
      return writer(2 + title + bytes.length)
        .name(channel, title)
        .rest(bytes).bytes
    }
    case "Position":
    case "Done":
      return writer(4).id(packet.id).bytes
    case "Welcome": {
      const { epoch, offset } = packet.position
      const size = sizeOf(epoch)
      return writer(11 + size)
        .byte(packet.version)
        .name(epoch, size)
        .count(offset).bytes
    }
    case "Appended":
      return writer(13)
        .id(packet.id)
        .byte(packet.repeated ? 1 : 0)
        .count(packet.offset).bytes
    case "Delivered": {
      const { bytes, offset, previous, topic } = packet
      const title = sizeOf(topic)
      return writer(19 + title + bytes.length)
        .count(offset)
        .byte(previous === undefined ? 0 : 1)
        .count(previous ?? 0)
        .name(topic, title)
        .rest(bytes).bytes
    }
    case "Entry":
      return writer(12 + packet.bytes.length)
        .id(packet.id)
        .count(packet.offset)
        .rest(packet.bytes).bytes
    case "Tail":
      return writer(13)
        .id(packet.id)
        .byte(packet.gap ? 1 : 0)
        .count(packet.offset).bytes
    case "Positioned":
      return writer(12).id(packet.id).count(packet.offset).bytes
    case "Refused": {
      const size = sizeOf(packet.words)
      return writer(5 + size)
        .id(packet.id)
        .byte(refusals.indexOf(packet.reason))
        .text(packet.words, size).bytes
    }
  }
}

/** What is wrong with it, in words. */
class Unreadable {
  readonly words: string

  constructor(words: string) {
    this.words = words
  }
}

/** Reads what is there; throws `Unreadable` where that is not what should be. */
class Reader {
  private readonly bytes: Uint8Array
  private at = 1

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length
  }

  byte(): number {
    const byte = this.bytes[this.at++]
    if (byte === undefined) throw new Unreadable("it is cut short")
    return byte
  }

  flag(): boolean {
    const byte = this.byte()
    if (byte > 1) throw new Unreadable("it has flags that are not known")
    return byte === 1
  }

  id(): number {
    return ((this.byte() << 24) | (this.byte() << 16) | (this.byte() << 8) | this.byte()) >>> 0
  }

  count(): number {
    const high = this.id()
    if (high > 0x1f_ffff) throw new Unreadable("it has a number that is too high")
    return high * 2 ** 32 + this.id()
  }

  name(maxLength = maxNameBytes): string {
    const length = (this.byte() << 8) | this.byte()
    const end = this.at + length
    if (end > this.bytes.length) throw new Unreadable("it is cut short")
    if (length > maxLength) throw new Unreadable("its key is out of bounds")
    return this.text(end)
  }

  names(): ReadonlyArray<string> {
    const names: Array<string> = []
    while (!this.isAtEnd) names.push(this.name())
    return names
  }

  words(): string {
    return this.text(this.bytes.length)
  }

  /** A view of it. */
  rest(): Uint8Array {
    const rest = this.bytes.subarray(this.at)
    this.at = this.bytes.length
    return rest
  }

  private text(end: number): string {
    const text = this.bytes.subarray(this.at, end)
    this.at = end
    try {
      return decoder.decode(text)
    } catch {
      throw new Unreadable("it has a name that is not UTF-8")
    }
  }
}

const read = <A>(bytes: Uint8Array, body: (code: number, reader: Reader) => A): Result.Result<A, string> => {
  const code = bytes[0]
  if (code === undefined) return Result.fail("it is empty")
  try {
    const reader = new Reader(bytes)
    const packet = body(code, reader)
    return reader.isAtEnd ? Result.succeed(packet) : Result.fail("it goes on behind its end")
  } catch (error) {
    if (error instanceof Unreadable) return Result.fail(error.words)
    throw error
  }
}

const readKey = (reader: Reader): Key => {
  const producer = reader.name(maxProducerBytes)
  if (producer === "") throw new Unreadable("its key is out of bounds")
  return { producer, epoch: reader.count(), sequence: reader.count() }
}

const fromNode = (code: number, reader: Reader): FromNode => {
  switch (code) {
    case codes.Append: {
      const id = reader.id()
      const key = reader.flag() ? readKey(reader) : undefined
      return { _tag: "Append", id, key, topic: reader.name(), bytes: reader.rest() }
    }
    case codes.Since: {
      const id = reader.id()
      const after = reader.flag() ? { epoch: reader.name(), offset: reader.count() } : undefined
      return { _tag: "Since", id, after, topic: reader.name() }
    }
    case codes.Position:
      return { _tag: "Position", id: reader.id() }
    case codes.Listen:
      return { _tag: "Listen", id: reader.id(), names: reader.names() }
    case codes.Unlisten:
      return { _tag: "Unlisten", names: reader.names() }
    case codes.Cast:
      return { _tag: "Cast", id: reader.id(), channel: reader.name(), bytes: reader.rest() }
    case codes.Hear:
      return { _tag: "Hear", id: reader.id(), names: reader.names() }
    case codes.Unhear:
      return { _tag: "Unhear", names: reader.names() }
    default:
      throw new Unreadable("it is of no kind that a node sends")
  }
}

const fromHost = (code: number, reader: Reader): FromHost => {
  switch (code) {
    case codes.Welcome: {
      const theirs = reader.byte()
      return { _tag: "Welcome", version: theirs, position: { epoch: reader.name(), offset: reader.count() } }
    }
    case codes.Appended:
      return { _tag: "Appended", id: reader.id(), repeated: reader.flag(), offset: reader.count() }
    case codes.Delivered: {
      const offset = reader.count()
      const isKnown = reader.flag()
      const previous = reader.count()
      if (!isKnown && previous !== 0) throw new Unreadable("it has an offset that is not known")
      const topic = reader.name()
      return { _tag: "Delivered", offset, previous: isKnown ? previous : undefined, topic, bytes: reader.rest() }
    }
    case codes.Entry:
      return { _tag: "Entry", id: reader.id(), offset: reader.count(), bytes: reader.rest() }
    case codes.Tail:
      return { _tag: "Tail", id: reader.id(), gap: reader.flag(), offset: reader.count() }
    case codes.Positioned:
      return { _tag: "Positioned", id: reader.id(), offset: reader.count() }
    case codes.Done:
      return { _tag: "Done", id: reader.id() }
    case codes.Heard:
      return { _tag: "Heard", channel: reader.name(), bytes: reader.rest() }
    case codes.Refused: {
      const id = reader.id()
      const reason = refusals[reader.byte()]
      if (reason === undefined) throw new Unreadable("it has a reason that is not known")
      return { _tag: "Refused", id, reason, words: reader.words() }
    }
    default:
      throw new Unreadable("it is of no kind that a host sends")
  }
}

/** What a node says. Bytes are views of the packet's. Fails with what is wrong, in words. */
export const decodeFromNode = (bytes: Uint8Array): Result.Result<FromNode, string> => read(bytes, fromNode)

/** What a host says. Bytes are views of the packet's. Fails with what is wrong, in words. */
export const decodeFromHost = (bytes: Uint8Array): Result.Result<FromHost, string> => read(bytes, fromHost)
