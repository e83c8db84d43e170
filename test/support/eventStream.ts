/**
 * `text/event-stream` as slow and literal as the prose of WHATWG HTML 9.2.5 and 9.2.6, which shares nothing with the
 * parser that it tests; and streams made at random, with what matters in them on purpose.
 */
import * as fc from "fast-check"
import type * as EventStream from "@millrace/core/codec/EventStream"
import { concat } from "./frames.ts"
import { utf8 } from "./wire.ts"

/** All that a stream comes to, and how it ended: by itself, or because of a limit. */
export interface Outcome {
  readonly events: ReadonlyArray<EventStream.Event>
  readonly lastEventId: string
  readonly retry: number | undefined
  readonly comments: ReadonlyArray<string>
  readonly over: "line" | "event" | undefined
}

/**
 * "end-of-line = ( cr lf / cr / lf )". Gives the lines that are ended, and what comes after the last. Of bytes as well
 * as of characters.
 */
const splitLines = <A>(units: ReadonlyArray<A>, cr: A, lf: A): ReadonlyArray<ReadonlyArray<A>> => {
  const lines: Array<Array<A>> = [[]]
  for (let at = 0; at < units.length; at++) {
    const unit = units[at]!
    if (unit === cr && units[at + 1] === lf) at++
    if (unit === cr || unit === lf) lines.push([])
    else lines.at(-1)!.push(unit)
  }
  return lines
}

const isAsciiDigits = (value: string) => [...value].every((character) => "0123456789".includes(character))

/** What the standard makes of a whole stream, and what limits, of which it has none, leave of it. */
export const interpret = (bytes: Uint8Array, limits: EventStream.Limits, initial = ""): Outcome => {
  // "Streams must be decoded using the UTF-8 decode algorithm", which "strips one leading BOM, if any".
  const characters = [...new TextDecoder("utf-8").decode(bytes)]
  const lines = splitLines(characters, "\r", "\n").map((line) => line.join(""))
  const lengths = splitLines([...bytes], 0x0d, 0x0a).map((line) => line.length)

  let data = ""
  let eventType = ""
  let lastEventIdBuffer = initial
  let lastEventId = initial
  let retry: number | undefined
  const events: Array<EventStream.Event> = []
  const comments: Array<string> = []
  const outcome = (over?: "line" | "event"): Outcome => ({ events, lastEventId, retry, comments, over })

  const dispatch = () => {
    // 1. "Set the last event ID string of the event source to the value of the last event ID buffer."
    lastEventId = lastEventIdBuffer
    // 2. "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and
    // return."
    if (data === "") {
      eventType = ""
      return
    }
    // 3. "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character".
    if (data.endsWith("\n")) data = data.slice(0, -1)
    // 4. to 6.
    events.push({ event: eventType === "" ? "message" : eventType, data, id: lastEventId })
    // 7. "Set the data buffer and the event type buffer to the empty string."
    data = ""
    eventType = ""
  }

  const process = (field: string, value: string) => {
    if (field === "event") eventType = value
    else if (field === "data") data += `${value}\n`
    else if (field === "id") {
      if (!value.includes("\u0000")) lastEventIdBuffer = value
    } else if (field === "retry") {
      if (value !== "" && isAsciiDigits(value)) retry = Math.min(Number.parseInt(value, 10), Number.MAX_SAFE_INTEGER)
    }
  }

  for (const [index, line] of lines.entries()) {
    if (lengths[index]! > limits.maxLineBytes) return outcome("line")
    // "Once the end of the file is reached, any pending data must be discarded." So is a line without an end.
    if (index === lines.length - 1) break
    const colon = line.indexOf(":")
    if (line === "") dispatch()
    else if (colon === -1) process(line, "")
    else {
      const value = line.slice(colon + 1)
      const trimmed = value.startsWith(" ") ? value.slice(1) : value
      if (colon === 0) comments.push(trimmed)
      else process(line.slice(0, colon), trimmed)
    }
    if (data !== "" && utf8(data.slice(0, -1)).length > limits.maxEventBytes) return outcome("event")
  }
  return outcome()
}

const end = fc.constantFrom("\n", "\n", "\n", "\r\n", "\r\n", "\r")

/** Values with what may be taken for something else in them. */
const value = fc.oneof(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.string({
    unit: fc.constantFrom("a", " ", ":", "\u0000", "\u0001", "\t", "é", "€", "😀", "\ufeff", "\ufffd", "7"),
    maxLength: 8
  }),
  fc.constantFrom("", " ", "1", "0012", "1.5", "-1", "+1", "1e3", "٣", "9007199254740993", "9".repeat(400)),
  fc.nat({ max: 70 }).map((length) => "x".repeat(length)),
  fc.nat({ max: 40 }).map((length) => "é€".repeat(length))
)

const name = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("data", "data", "data", "event", "id", "retry", "") },
  {
    weight: 2,
    arbitrary: fc.constantFrom("Data", " data", "data ", "dat", "datas", "dxta")
  },
  { weight: 2, arbitrary: fc.constantFrom("events", "evenx", "i", "ix", "ids", "retr", "retrx", "x") },
  { weight: 1, arbitrary: fc.constantFrom("\ufeffdata", "__proto__", "constructor", "\u0000id") }
)

const line = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(name, fc.constantFrom(":", ": ", ":", "", ":  "), value).map((parts) => parts.join(""))
  },
  { weight: 4, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.tuple(name).map(([only]) => only) },
  { weight: 1, arbitrary: value }
)

/** Lines that mean something or look like it, with every way to end them. */
const text = fc.array(fc.tuple(line, end), { maxLength: 24 }).map((lines) => utf8(lines.flat().join("")))

/** Bytes that are not UTF-8, or only the start of a character, and ends of lines. */
const noise = fc.oneof(
  fc.uint8Array({ maxLength: 8 }),
  fc
    .constantFrom(
      [0xef, 0xbb],
      [0xef],
      [0xe2, 0x82],
      [0xf0, 0x9f, 0x98],
      [0xed, 0xa0, 0x80],
      [0xc0, 0x80],
      [0xff],
      [0x80]
    )
    .map((bytes) => Uint8Array.from(bytes)),
  fc.constantFrom("\r", "\n", "\r\n", "\r\n\r\n", "\n\n").map(utf8)
)

/** Any stream: mostly text, with byte order marks, noise in between, and an end that may be anywhere. */
export const stream: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.constantFrom("", "", "\ufeff", "\ufeff\ufeff").map(utf8),
    fc.array(fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: noise }), { maxLength: 5 }),
    fc.constantFrom("", "\n\n", "\r\r", "\r\n\r\n", "data", "data: unfinished", "id: 1\n").map(utf8)
  )
  .map(([mark, parts, rest]) => concat([mark, ...parts, rest]))

/** Limits that these streams do not reach, and some that they often do. */
export const limits: fc.Arbitrary<EventStream.Limits> = fc.oneof(
  fc.constant({ maxLineBytes: 1 << 20, maxEventBytes: 1 << 20 }),
  fc.record({
    maxLineBytes: fc.oneof(fc.nat({ max: 120 }), fc.constant(1 << 20)),
    maxEventBytes: fc.oneof(fc.nat({ max: 90 }), fc.constant(1 << 20))
  })
)
