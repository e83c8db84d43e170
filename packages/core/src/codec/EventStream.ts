/**
 * `text/event-stream`, WHATWG HTML sections 9.2.5 and 9.2.6: an incremental parser over bytes cut anywhere, and the
 * printer.
 *
 * Pure or local: no clock, no network. Not here: when to connect again and with which `Last-Event-ID`, which is
 * `protocol/EventSourceProtocol`, and what the data of an event means.
 */
import * as Result from "effect/Result"
import { EventStreamViolation, InvalidEvent } from "./EventStreamError.ts"
import * as Lines from "./EventStreamLines.ts"

/** The media type of an event stream: 9.2.5. It is always UTF-8, whatever a parameter says. */
export const mediaType = "text/event-stream"

/** An event as it is dispatched: 9.2.6. */
export interface Event {
  /** Its type; `message` when the stream names none. */
  readonly event: string
  /** Its lines, joined with LF. May be empty. */
  readonly data: string
  /** The last event ID at this event: its own, or that of the last event before it that had one; otherwise empty. */
  readonly id: string
}

/** What some bytes brought. What came before a violation still counts. */
export interface Parsed {
  /** In order. */
  readonly events: ReadonlyArray<Event>
  /**
   * The last event ID string as it is after these bytes. An event that is not complete has not changed it, but one
   * without data has, although it is not among `events`.
   */
  readonly lastEventId: string
  /** The last reconnection time among these bytes, in milliseconds: an integer, 0 to 2^53 - 1. It may be absurd. */
  readonly retry: number | undefined
  /** The comments among these bytes, without the colon and one space behind it, when they were asked for. */
  readonly comments: ReadonlyArray<string>
  /** Why nothing more will be parsed. */
  readonly violation: EventStreamViolation | undefined
}

/** How much a peer may make us hold. Both are checked before more is taken. */
export interface Limits {
  /** The longest line, in bytes as they come, without its end. So an event's name and its id are no longer, either. */
  readonly maxLineBytes: number
  /** The most data of an event, in bytes of UTF-8, with the LF between its lines. */
  readonly maxEventBytes: number
}

/** 1 MiB each. */
export const defaultLimits: Limits = { maxLineBytes: 1_048_576, maxEventBytes: 1_048_576 }

/** What a parser is told; all of it may be left out. */
export interface Options extends Partial<Limits> {
  /**
   * The last event ID that the stream begins with. The standard lets each response begin with none, so that the first
   * event without an id would forget it; browsers carry it over, and so does who gives it here. Default empty.
   */
  readonly lastEventId?: string | undefined
  /** Whether comments are wanted. Default no. */
  readonly comments?: boolean | undefined
}

/** A mark at the start is ours to drop, once; anywhere else it is text. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const encoder = new TextEncoder()

const none: ReadonlyArray<never> = []
const nothing = new Uint8Array(0)

const lf = 0x0a
const cr = 0x0d
const colon = 0x3a
const byteOrderMark = 0xfeff
const replacement = "\ufffd"

/** A longer buffer for the start of a line is given up as soon as lines come whole again. */
const keptLength = 65_536

/** The bytes of UTF-8 that a part of a string makes. It comes out of a decoder, so its surrogates are in pairs. */
const utf8Length = (text: string, start: number, end: number): number => {
  let length = end - start
  for (let at = start; at < end; at++) {
    const unit = text.charCodeAt(at)
    if (unit >= 0x80) length += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return length
}

/** `data`, known to begin with `d`. Most lines are, and this is faster than a loop. Measured. */
const isData = (bytes: Uint8Array, at: number): boolean =>
  bytes[at + 1] === 0x61 && bytes[at + 2] === 0x74 && bytes[at + 3] === 0x61

/** `event`, known to begin with `e`. */
const isEvent = (bytes: Uint8Array, at: number): boolean =>
  bytes[at + 1] === 0x76 && bytes[at + 2] === 0x65 && bytes[at + 3] === 0x6e && bytes[at + 4] === 0x74

/** `id`, known to begin with `i`. */
const isId = (bytes: Uint8Array, at: number): boolean => bytes[at + 1] === 0x64

/** `retry`, known to begin with `r`. */
const isRetry = (bytes: Uint8Array, at: number): boolean =>
  bytes[at + 1] === 0x65 && bytes[at + 2] === 0x74 && bytes[at + 3] === 0x72 && bytes[at + 4] === 0x79

/**
 * Where the value starts of the line from `at` to `end`, if its field's name has `length` bytes, which are known to be
 * right; otherwise -1. A line without a colon has an empty value.
 */
const valueOf = (bytes: Uint8Array, at: number, end: number, length: number): number => {
  const after = at + length
  if (after === end) return end
  if (bytes[after] !== colon) return -1
  return bytes[after + 1] === 0x20 ? after + 2 : after + 1
}

/** An id with U+0000 is ignored. */
const hasNull = (bytes: Uint8Array, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) if (bytes[at] === 0) return true
  return false
}

/** Only ASCII digits, and at least one: there is no integer in an empty value, though browsers differ in it. */
const integerOf = (value: string): number | undefined => {
  for (let at = 0; at < value.length; at++) {
    const unit = value.charCodeAt(at)
    if (unit < 0x30 || unit > 0x39) return undefined
  }
  return value === "" ? undefined : Math.min(Number(value), Number.MAX_SAFE_INTEGER)
}

/**
 * An incremental parser: push the stream in chunks, cut anywhere. One parser is for one response.
 *
 * Between two chunks it holds the start of one line and the data of one event, up to the limits; chunks are copied, so
 * they may be used again. Bytes that are not UTF-8 become U+FFFD. When the stream ends, what has not been dispatched is
 * to be forgotten with the parser: 9.2.6. A violation is final: later pushes give nothing.
 */
export class Parser {
  private readonly maxLineBytes: number
  private readonly maxEventBytes: number
  private readonly wantsComments: boolean
  private failed = false
  /** Whether the first line has been decoded, and with it a byte order mark. */
  private started = false
  /** The last chunk ended with CR: an LF that comes next belongs to it. */
  private afterReturn = false
  /** The start of a line, in the first `heldLength` bytes. Kept as bytes, as it may end within a character. */
  private held = nothing
  private heldLength = 0
  private readonly finder = Lines.finder()
  /** The buffers of 9.2.6. `undefined` is no `data` line yet; an empty one counts. */
  private data: string | undefined
  private name = ""
  private id: string
  /** `id` when an event was last dispatched. */
  private lastEventId: string
  /** The bytes of `data`, once it is long enough for that to matter. */
  private dataBytes: number | undefined

  constructor(options: Options = {}) {
    const { comments = false, lastEventId = "" } = options
    this.maxLineBytes = options.maxLineBytes ?? defaultLimits.maxLineBytes
    this.maxEventBytes = options.maxEventBytes ?? defaultLimits.maxEventBytes
    this.wantsComments = comments
    this.id = this.lastEventId = lastEventId
  }

  push(chunk: Uint8Array): Parsed {
    return chunk.length > Lines.mostBytes ? this.pushPieces(chunk) : this.pushPiece(chunk)
  }

  /** In pieces that can be searched at once. */
  private pushPieces(chunk: Uint8Array): Parsed {
    const events: Array<Event> = []
    const comments: Array<string> = []
    let retry: number | undefined
    for (let at = 0; ; at += Lines.mostBytes) {
      const parsed = this.pushPiece(chunk.subarray(at, at + Lines.mostBytes))
      for (const event of parsed.events) events.push(event)
      for (const comment of parsed.comments) comments.push(comment)
      retry = parsed.retry ?? retry
      if (this.failed || at + Lines.mostBytes >= chunk.length) return { ...parsed, events, comments, retry }
    }
  }

  private pushPiece(chunk: Uint8Array): Parsed {
    if (this.failed || chunk.length === 0) return this.parsed(none)
    // An LF behind a CR in the chunk before: the first of the ends, which ends nothing.
    const from = this.afterReturn && chunk[0] === lf ? 1 : 0
    this.afterReturn = false
    const count = this.finder.find(chunk)
    if (count === from) return this.hold(chunk, from) ? this.parsed(none) : this.fail("line", this.parsed(none))
    this.afterReturn = chunk[chunk.length - 1] === cr
    const end = this.finder.ends[count - 1]! + 1
    const parsed = this.pushLines(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end), from)
    if (parsed.violation !== undefined || this.hold(chunk, end)) return parsed
    return this.fail("line", parsed)
  }

  private parsed(events: ReadonlyArray<Event>, retry?: number, comments: ReadonlyArray<string> = none): Parsed {
    return { events, lastEventId: this.lastEventId, retry, comments, violation: undefined }
  }

  private fail(over: "line" | "event", parsed: Parsed): Parsed {
    this.failed = true
    this.held = nothing
    this.data = undefined
    const limit = over === "line" ? this.maxLineBytes : this.maxEventBytes
    return { ...parsed, violation: new EventStreamViolation({ over, limit }) }
  }

  /** Keeps what starts at `from`, which has no line end, for later. `false` if the line is too long for that. */
  private hold(chunk: Uint8Array, from: number): boolean {
    const added = chunk.length - from
    if (added === 0) return true
    const length = this.heldLength + added
    if (length > this.maxLineBytes) return false
    this.append(from === 0 ? chunk : chunk.subarray(from), length)
    return true
  }

  private append(bytes: Uint8Array, length: number): void {
    if (length > this.held.length) {
      const grown = new Uint8Array(Math.max(length, this.held.length * 2, 256))
      grown.set(this.held.subarray(0, this.heldLength))
      this.held = grown
    }
    this.held.set(bytes, this.heldLength)
    this.heldLength = length
  }

  /** Whole lines that began at `from` of a chunk. The first of them may have its start in `held`. */
  private pushLines(added: Uint8Array, from: number): Parsed {
    const before = this.heldLength
    let lines = added
    if (before !== 0) {
      this.append(added, before + added.length)
      lines = this.held.subarray(0, this.heldLength)
      this.heldLength = 0
    } else if (this.held.length > keptLength) {
      // Lines that came whole: long ones that come in pieces have an end.
      this.held = nothing
    }
    const over = Lines.firstOver(lines, this.maxLineBytes)
    if (over === lines.length) return this.parse(lines, from, before - from)
    const parsed = this.parse(lines.subarray(0, over), from, before - from)
    return parsed.violation === undefined ? this.fail("line", parsed) : parsed
  }

  /**
   * Interprets whole lines. They end at those ends that were found, from the one with the index `firstEnd`, each
   * `shift` bytes further on. All is decoded at once: a call of the decoder takes as long as the rest of an event, and
   * for most streams a place in the bytes is the same place in the string. Measured.
   */
  private parse(lines: Uint8Array, firstEnd: number, shift: number): Parsed {
    const { ends } = this.finder
    const { length } = lines
    const text = decoder.decode(lines)
    // No character has more units than bytes, so then each has one of both, and so has each U+FFFD.
    const alike = text.length === length
    let events: Array<Event> | undefined
    let comments: Array<string> | undefined
    let retry: number | undefined
    let { data, id, lastEventId, name } = this
    let at = 0
    let next = firstEnd
    /** How much further this place is in bytes than in units. */
    let lag = 0
    if (!this.started && length > 0) {
      this.started = true
      if (text.charCodeAt(0) === byteOrderMark) {
        at = 3
        lag = 2
      }
    }
    while (at < length) {
      const end = ends[next++]! + shift
      if (end === at) {
        // An empty line dispatches the event. Without data there is none, but its id counts.
        lastEventId = id
        if (data !== undefined) {
          const event: Event = { event: name === "" ? "message" : name, data, id }
          if (events === undefined) events = [event]
          else events.push(event)
          data = undefined
          this.dataBytes = undefined
        }
        name = ""
        // The LF of CR LF counts as one more empty line, which changes nothing.
        at++
        continue
      }
      const first = lines[at]
      const to = alike ? end : text.indexOf(lines[end] === lf ? "\n" : "\r", at - lag)
      if (first === 0x64 && isData(lines, at)) {
        const start = valueOf(lines, at, end, 4)
        if (start !== -1) {
          data = this.addData(data, text, start - lag, to, end - start)
          if (data === undefined) {
            this.lastEventId = lastEventId
            return this.fail("event", this.parsed(events ?? none, retry, comments))
          }
        }
      } else if (first === 0x65 && isEvent(lines, at)) {
        const start = valueOf(lines, at, end, 5)
        if (start !== -1) name = text.slice(start - lag, to)
      } else if (first === 0x69 && isId(lines, at)) {
        const start = valueOf(lines, at, end, 2)
        if (start !== -1 && !hasNull(lines, start, end)) id = text.slice(start - lag, to)
      } else if (first === 0x72 && isRetry(lines, at)) {
        const start = valueOf(lines, at, end, 5)
        if (start !== -1) retry = integerOf(text.slice(start - lag, to)) ?? retry
      } else if (first === colon && this.wantsComments) {
        comments ??= []
        comments.push(text.slice(valueOf(lines, at, end, 0) - lag, to))
      }
      lag = end - to
      at = end + 1
      if (lines[end] === cr && lines[at] === lf) {
        at++
        next++
      }
    }
    this.data = data
    this.name = name
    this.id = id
    this.lastEventId = lastEventId
    return this.parsed(events ?? none, retry, comments)
  }

  /**
   * The data of an event with one line more, whose value is a part of `text` that was so many bytes. `undefined` if that
   * is too much.
   */
  private addData(
    before: string | undefined,
    text: string,
    start: number,
    end: number,
    bytes: number
  ): string | undefined {
    const units = before === undefined ? end - start : before.length + 1 + end - start
    // No unit is more than three bytes.
    if (units * 3 > this.maxEventBytes) {
      const held = this.dataBytes ?? (before === undefined ? 0 : utf8Length(before, 0, before.length))
      // What was not UTF-8 is longer now than it came.
      const added = text.includes(replacement) ? utf8Length(text, start, end) : bytes
      this.dataBytes = held + (before === undefined ? 0 : 1) + added
      if (this.dataBytes > this.maxEventBytes) return undefined
    }
    const value = text.slice(start, end)
    return before === undefined ? value : `${before}\n${value}`
  }
}

/** Creates a `Parser`. */
export const makeParser = (options?: Options): Parser => new Parser(options)

/** What a whole stream says. */
export const parse = (bytes: Uint8Array, options?: Options): Parsed => makeParser(options).push(bytes)

/** What can be printed: an event, or only a part of one. */
export interface Printable {
  /** May have many lines. They end with LF where they arrive, also if it was CR or CR LF. */
  readonly data?: string | undefined
  /** A name without line ends, and not empty: that would arrive as `message`. Only with data. */
  readonly event?: string | undefined
  /** Without line ends and U+0000. The empty one forgets the last event ID. */
  readonly id?: string | undefined
  /** In milliseconds, an integer, 0 to 2^53 - 1. */
  readonly retry?: number | undefined
}

const lineEnd = /\r\n|\r|\n/

const invalid = (field: InvalidEvent["field"], clause: string, detail: string) =>
  Result.fail(new InvalidEvent({ field, clause, detail }))

/** What keeps a value from being one line, or from being the same string once it has been UTF-8. */
const flaw = (value: string): string | undefined =>
  lineEnd.test(value) ? "has a line end" : /\p{Surrogate}/u.test(value) ? "has half of a surrogate pair" : undefined

/**
 * The text of an event, with the empty line that dispatches it.
 *
 * What arrives is what was given, for `data` with each line end as LF and each lone surrogate as U+FFFD, whatever the
 * strings are: none can end its line, or add another field or event. Fails with `InvalidEvent`, the caller's fault,
 * when that cannot be: a line end in the name or the id, U+0000 in the id, which clients ignore, a lone surrogate in
 * either, a name that is empty or has no data to go with, a `retry` that is not such an integer.
 */
export const print = (printable: Printable): Result.Result<string, InvalidEvent> => {
  const { data, event, id, retry } = printable
  let text = ""
  if (event !== undefined) {
    const wrong = flaw(event)
    if (wrong !== undefined) return invalid("event", "WHATWG HTML 9.2.5", wrong)
    if (event === "") return invalid("event", "WHATWG HTML 9.2.6", "is empty, and would arrive as message")
    if (data === undefined) return invalid("event", "WHATWG HTML 9.2.6", "an event without data is not dispatched")
    text += `event: ${event}\n`
  }
  if (id !== undefined) {
    const wrong = flaw(id)
    if (wrong !== undefined) return invalid("id", "WHATWG HTML 9.2.5", wrong)
    if (id.includes("\0")) return invalid("id", "WHATWG HTML 9.2.6", "has a U+0000, and would be ignored")
    text += `id: ${id}\n`
  }
  if (retry !== undefined) {
    if (!Number.isSafeInteger(retry) || retry < 0) {
      return invalid("retry", "WHATWG HTML 9.2.6", "not an integer from 0 to 2^53 - 1")
    }
    text += `retry: ${retry}\n`
  }
  if (data !== undefined) for (const line of data.split(lineEnd)) text += `data: ${line}\n`
  return Result.succeed(`${text}\n`)
}

/** A comment, which no client shows to its user. Each of its lines is one; it can hold anything. */
export const printComment = (comment: string): string => `: ${comment.split(lineEnd).join("\n: ")}\n\n`

/** The bytes of `print`. */
export const encode = (printable: Printable): Result.Result<Uint8Array<ArrayBuffer>, InvalidEvent> =>
  Result.map(print(printable), (text) => encoder.encode(text))

/**
 * A comment as short as can be, in bytes: what a server sends to keep proxies from closing a silent connection, and
 * clients from giving it up. 9.2.7. The empty line is for readers that take a stream apart at empty lines.
 */
export const heartbeat: Uint8Array = encoder.encode(":\n\n")
