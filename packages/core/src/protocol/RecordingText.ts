/**
 * Recordings as text, a JSON object in each line: docs/protocol.md describes it. What is printed can be parsed again to
 * the same value, and what people write by hand is read as well.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Base64 from "../codec/Base64.ts"
import * as CloseCode from "../codec/CloseCode.ts"
import { Opcode } from "../codec/Frame.ts"
import * as Utf8 from "../codec/Utf8.ts"
import type { Entry, Header, Raw, Recorded, Recording } from "./Recording.ts"
import type { Role } from "./WebSocketProtocol.ts"

/** What the first line says. */
export const format = "millrace-recording"
export const version = 1

/** The text is no recording. Whoever wrote it is at fault. `line` counts from 1. */
export class InvalidRecording extends Data.TaggedError("InvalidRecording")<{
  readonly line: number
  readonly detail: string
}> {
  override get message(): string {
    return `line ${this.line} of the recording: ${this.detail}`
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

type OpcodeName = keyof typeof Opcode

const opcodes: ReadonlyMap<string, Opcode> = new Map(Object.entries(Opcode))
const names: ReadonlyMap<Opcode, OpcodeName> = new Map(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name as OpcodeName])
)

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])

// Printing.

type Fields = Readonly<Record<string, unknown>>

/** A Close whose body says something is printed with what it says. */
const statusFields = ({ payload }: Recorded): Fields | undefined => {
  const status = CloseCode.decode(payload)
  if (Result.isFailure(status) || !isSame(CloseCode.encode(status.success), payload)) return undefined
  const { code, reason } = status.success
  return reason === "" ? { code } : { code, reason }
}

const contentFields = (frame: Recorded): Fields => {
  const { opcode, payload, rsv } = frame
  const fields = opcode === Opcode.close ? statusFields(frame) : undefined
  if (fields !== undefined) return fields
  const isText = opcode !== Opcode.binary && opcode !== Opcode.close && rsv === 0 && Utf8.isValid(payload)
  return isText ? { text: decoder.decode(payload) } : { base64: Base64.encode(payload) }
}

/** Only what is there: nobody is to wonder at zeros. */
const missing = ({ cut, torn }: { readonly cut: number; readonly torn?: number }): Fields => ({
  ...(cut === 0 ? {} : { cut }),
  ...(torn === undefined || torn === 0 ? {} : { torn })
})

const frameFields = (frame: Recorded): Fields => {
  const { cut, fin, from, opcode, payload, rsv, t, torn } = frame
  const length = payload.length + cut + torn
  return { t, from, op: names.get(opcode), fin, rsv, ...contentFields(frame), length, ...missing(frame) }
}

const rawFields = (raw: Raw): Fields => {
  const { bytes, cut, from, t, violation } = raw
  const length = bytes.length + cut
  return { t, from, raw: Base64.encode(bytes), length, violation, ...missing(raw) }
}

const entryFields = (entry: Entry): Fields => {
  switch (entry._tag) {
    case "Frame":
      return frameFields(entry)
    case "Raw":
      return rawFields(entry)
    case "Ended":
      return { t: entry.t, from: entry.from, ended: entry.abruptly ? "abruptly" : "orderly" }
    case "Omitted":
      return { t: entry.t, omitted: entry.bytes }
    case "End":
      return { t: entry.t, end: entry.error === undefined ? "closed" : "failed", error: entry.error }
  }
}

/** One line, without its line break: for what is written down while it goes on. */
export const printLine = (line: Header | Entry): string => {
  if (line._tag !== "Header") return JSON.stringify(entryFields(line))
  const { extensions, role, start, subprotocol, url } = line
  return JSON.stringify({ format, version, role, url, subprotocol, extensions, start })
}

/** All of it. Each line ends in a line break. */
export const print = ({ entries, header }: Recording): string =>
  [header, ...entries].map((line) => `${printLine(line)}\n`).join("")

// Parsing: what is wrong with a line is a string, until it is known which line it is.

type Parsed<A> = Result.Result<A, string>

type Line = ReadonlyMap<string, unknown>

const parseLine = (text: string): Parsed<Line> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return Result.fail("not JSON")
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return Result.fail("not a JSON object")
  return Result.succeed(new Map(Object.entries(value)))
}

const isRole = (value: unknown): value is Role => value === "client" || value === "server"

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isTime = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0

const isString = (value: unknown): value is string => typeof value === "string"

const isBoolean = (value: unknown): value is boolean => typeof value === "boolean"

/** The field of that name, which has to be there unless it may be something else. */
const field = <A, B = never>(
  line: Line,
  name: string,
  is: (value: unknown) => value is A,
  what: string,
  absent?: { readonly is: B }
): Parsed<A | B> => {
  const value = line.get(name)
  if (value === undefined && absent !== undefined) return Result.succeed(absent.is)
  return is(value) ? Result.succeed(value) : Result.fail(`"${name}" is not ${what}`)
}

const none = { is: undefined }
const zero = { is: 0 }

const parseHeader = (line: Line): Parsed<Header> =>
  Result.gen(function* () {
    if (line.get("format") !== format) return yield* Result.fail(`"format" is not "${format}"`)
    if (line.get("version") !== version) return yield* Result.fail("a version that is not known here")
    return {
      _tag: "Header" as const,
      role: yield* field(line, "role", isRole, '"client" or "server"'),
      url: yield* field(line, "url", isString, "a string", none),
      subprotocol: yield* field(line, "subprotocol", isString, "a string", none),
      extensions: yield* field(line, "extensions", isString, "a string", none),
      start: yield* field(line, "start", isTime, "a time", zero)
    }
  })

const parseHex = (text: string): Uint8Array | undefined => {
  const digits = text.replaceAll(" ", "")
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) return undefined
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16))
}

const orFail = <A>(value: A | undefined, detail: string): Parsed<A> =>
  value === undefined ? Result.fail(detail) : Result.succeed(value)

const parseStatus = (line: Line): Parsed<Uint8Array> =>
  Result.gen(function* () {
    const code = yield* field(line, "code", isCount, "a close code")
    if (code > 0xffff) return yield* Result.fail('"code" is not a close code')
    const reason = yield* field(line, "reason", isString, "a string", { is: "" })
    if (code === CloseCode.CloseCode.noStatus && reason !== "") return yield* Result.fail("1005 has no reason")
    if (encoder.encode(reason).length > CloseCode.maxReasonBytes) return yield* Result.fail('"reason" is too long')
    return CloseCode.encode({ code, reason })
  })

/** The payload, in one of the forms that there are; none is an empty one. */
const parseContent = (line: Line): Parsed<Uint8Array> =>
  Result.gen(function* () {
    const forms = ["text", "base64", "hex", "code"].filter((name) => line.has(name))
    if (forms.length > 1) return yield* Result.fail(`both "${forms[0]}" and "${forms[1]}"`)
    switch (forms[0]) {
      case "text":
        return encoder.encode(yield* field(line, "text", isString, "a string"))
      case "base64":
        return yield* orFail(Base64.decode(yield* field(line, "base64", isString, "a string")), "not base64")
      case "hex":
        return yield* orFail(parseHex(yield* field(line, "hex", isString, "a string")), "not hex")
      case "code":
        return yield* parseStatus(line)
      default:
        return new Uint8Array(0)
    }
  })

const checkLength = (line: Line, length: number): Parsed<void> => {
  const said = line.get("length")
  return said === undefined || said === length
    ? Result.succeed(undefined)
    : Result.fail(`"length" is not the ${length} that there are`)
}

const parseFrame = (line: Line, t: number): Parsed<Recorded> =>
  Result.gen(function* () {
    const op = yield* field(line, "op", isString, "a string")
    const frame = {
      _tag: "Frame" as const,
      t,
      from: yield* field(line, "from", isRole, '"client" or "server"'),
      opcode: yield* orFail(opcodes.get(op), '"op" is none that there is'),
      fin: yield* field(line, "fin", isBoolean, "true or false", { is: true }),
      rsv: yield* field(line, "rsv", isCount, "0 to 7", zero),
      payload: yield* parseContent(line),
      cut: yield* field(line, "cut", isCount, "a number of bytes", zero),
      torn: yield* field(line, "torn", isCount, "a number of bytes", zero)
    }
    if (frame.rsv > 7) return yield* Result.fail('"rsv" is not 0 to 7')
    yield* checkLength(line, frame.payload.length + frame.cut + frame.torn)
    return frame
  })

const parseRaw = (line: Line, t: number): Parsed<Raw> =>
  Result.gen(function* () {
    const text = yield* field(line, "raw", isString, "a string")
    const raw = {
      _tag: "Raw" as const,
      t,
      from: yield* field(line, "from", isRole, '"client" or "server"'),
      bytes: yield* orFail(Base64.decode(text), "not base64"),
      cut: yield* field(line, "cut", isCount, "a number of bytes", zero),
      violation: yield* field(line, "violation", isString, "a string", none)
    }
    yield* checkLength(line, raw.bytes.length + raw.cut)
    return raw
  })

const parseEntry = (line: Line): Parsed<Entry> =>
  Result.gen(function* () {
    const t = yield* field(line, "t", isTime, "a number of milliseconds")
    if (line.has("op")) return yield* parseFrame(line, t)
    if (line.has("raw")) return yield* parseRaw(line, t)
    if (line.has("ended")) {
      const from = yield* field(line, "from", isRole, '"client" or "server"')
      const how = line.get("ended")
      if (how !== "abruptly" && how !== "orderly") return yield* Result.fail('"ended" is not "orderly" or "abruptly"')
      return { _tag: "Ended" as const, t, from, abruptly: how === "abruptly" }
    }
    if (line.has("omitted")) {
      return { _tag: "Omitted" as const, t, bytes: yield* field(line, "omitted", isCount, "a number of bytes") }
    }
    if (line.get("end") === "closed") return { _tag: "End" as const, t, error: undefined }
    if (line.get("end") === "failed") {
      return { _tag: "End" as const, t, error: yield* field(line, "error", isString, "a string", { is: "" }) }
    }
    return yield* Result.fail("none of the lines that there are")
  })

/**
 * Reads a recording. Any text gives one or `InvalidRecording`. Empty lines are skipped, fields that are not known are
 * ignored, and nothing may come behind the end.
 */
export const parse = (text: string): Result.Result<Recording, InvalidRecording> => {
  let header: Header | undefined
  const entries: Array<Entry> = []
  for (const [i, content] of text.split("\n").entries()) {
    if (content.trim() === "") continue
    const line = parseLine(content)
    const wrong = (detail: string) => Result.fail(new InvalidRecording({ line: i + 1, detail }))
    if (Result.isFailure(line)) return wrong(line.failure)
    if (header === undefined) {
      const parsed = parseHeader(line.success)
      if (Result.isFailure(parsed)) return wrong(parsed.failure)
      header = parsed.success
      continue
    }
    if (entries.at(-1)?._tag === "End") return wrong("something behind the end")
    const parsed = parseEntry(line.success)
    if (Result.isFailure(parsed)) return wrong(parsed.failure)
    entries.push(parsed.success)
  }
  if (header === undefined) return Result.fail(new InvalidRecording({ line: 1, detail: "there is no first line" }))
  return Result.succeed({ header, entries })
}
