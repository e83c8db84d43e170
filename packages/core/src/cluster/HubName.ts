/**
 * The names that the hub and its clients go by, and how long they may be. Pure.
 */

/** Longest topic, in bytes of UTF-8. */
export const maxTopicBytes = 256

/** Most topics that one connection may have joined at a time. */
export const maxTopics = 128

/** Longest client name, in code points. */
export const maxNameLength = 64

/** Longest `id` that is a string, in code points. */
export const maxIdLength = 64

/** Longest position that a client may come back with, in UTF-16 units: more than any that a hub has told. */
export const maxPositionLength = 128

/** Longest name of a producer in a client's key, in bytes of UTF-8. */
export const maxProducerBytes = 120

/**
 * Most arrays and objects inside one another, the message's own object counted. It is the default of .NET's JSON
 * reader, the lowest among those in common use, so what one client may send every other can read.
 */
export const maxDepth = 64

/** `from` in messages that came by HTTP. Names that begin with `@` are the hub's own: see {@link isClientName}. */
export const httpClient = "@http"

/** What an answer is recognised by: chosen by the client, repeated by the hub. */
export type Id = string | number

/** Unicode's category Cc. */
const isControl = (unit: number): boolean => unit < 0x20 || (unit >= 0x7f && unit < 0xa0)

/**
 * 1 to 256 bytes of UTF-8, no control characters, not beginning with `$`, which is kept for the hub's own topics.
 * A lone surrogate has no UTF-8, so a string that holds one is no topic.
 */
export const isTopic = (text: string): boolean => {
  // Every code unit is at least one byte: nothing long is walked.
  if (text.length === 0 || text.length > maxTopicBytes || text.startsWith("$")) return false
  let bytes = 0
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i)!
    if (isControl(point) || (point >= 0xd800 && point < 0xe000)) return false
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    if (point >= 0x10000) i++
  }
  return bytes <= maxTopicBytes
}

/**
 * 1 to 64 code points, no control characters, no lone surrogates, and no `@` in front: nobody can take the name of
 * {@link httpClient}. Names are neither unique nor authenticated.
 */
export const isClientName = (text: string): boolean => {
  if (text.length === 0 || text.length > 2 * maxNameLength || text.startsWith("@")) return false
  let length = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    if (isControl(point) || (point >= 0xd800 && point < 0xe000)) return false
    length++
  }
  return length <= maxNameLength
}

/** A string of at most 64 code points, or an integer. */
export const isId = (value: unknown): value is Id =>
  typeof value === "string"
    ? value.length <= maxIdLength || (value.length <= 2 * maxIdLength && [...value].length <= maxIdLength)
    : Number.isSafeInteger(value)

/** 1 to 120 bytes of UTF-8, and no lone surrogate. */
export const isProducer = (text: string): boolean =>
  text !== "" &&
  text.length <= maxProducerBytes &&
  text.toWellFormed() === text &&
  encoder.encode(text).length <= maxProducerBytes

const encoder = new TextEncoder()
