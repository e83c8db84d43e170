/**
 * What a replay has shown, in words for a person and in JSON for a program: whether a server says what it said in the
 * recording, and where first it does not.
 */
import * as Base64 from "@millrace/core/codec/Base64"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Utf8 from "@millrace/core/codec/Utf8"
import * as Recording from "@millrace/core/protocol/Recording"
import * as Transcript from "@millrace/core/protocol/Transcript"
import * as Result from "effect/Result"
import * as words from "./words.ts"

/** What the server said otherwise. */
export type Difference =
  | Transcript.Difference
  /** It chose another subprotocol, or none. */
  | {
      readonly _tag: "Subprotocol"
      readonly expected: string | undefined
      readonly actual: string | undefined
    }

/** The first difference; `undefined` for none. Where the recording has no subprotocol, any will do. */
export const compare = (recording: Recording.Recording, played: Recording.Recording): Difference | undefined => {
  const [expected, actual] = [recording.header.subprotocol, played.header.subprotocol]
  if (expected !== undefined && expected !== actual) return { _tag: "Subprotocol", expected, actual }
  return Transcript.compare(recording, played)
}

const isCompared = ({ _tag, from }: Transcript.Said): boolean => from === "server" && _tag !== "Ping" && _tag !== "Pong"

/** What the server said in the recording, of that which is compared. */
export const answers = (recording: Recording.Recording): ReadonlyArray<Transcript.Said> =>
  Transcript.read(recording).filter(isCompared)

/** What is shown of a payload, in bytes. */
const excerpt = 60

/** So much of what is still the same is shown before what is not. */
const before = 20

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const isText = (said: Transcript.Said): boolean =>
  said._tag === "Message" && said.kind === "text" && said.rsv === 0 && Utf8.isValid(said.payload)

const shortened = (said: Transcript.Said, at: number): string => {
  const { payload } = said
  let start = at > excerpt - before ? at - before : 0
  let end = Math.min(start + excerpt, payload.length)
  if (isText(said)) {
    // Not within a character.
    while (start > 0 && (payload[start]! & 0xc0) === 0x80) start--
    while (end < payload.length && (payload[end]! & 0xc0) === 0x80) end++
  }
  const shown = payload.subarray(start, end)
  const content = isText(said)
    ? words.line(decoder.decode(shown))
    : Array.from(shown, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
  return `${start > 0 ? "…" : ""}${content}${end < payload.length ? "…" : ""}`
}

const named = (said: Transcript.Said): string => {
  switch (said._tag) {
    case "Message":
      return `${said.torn ? "the start of a " : ""}${said.rsv === 0 ? "" : "compressed "}${said.kind}`
    case "Raw":
      return "no frame"
    default:
      return said._tag.toLowerCase()
  }
}

const cutOf = (said: Transcript.Said): number => ("cut" in said ? said.cut : 0)

/** What was said, with what is around that byte of it. */
const show = (said: Transcript.Said, at: number): string => {
  if (said._tag === "Close") {
    const status = CloseCode.decode(said.payload)
    if (Result.isSuccess(status)) return `close ${words.line(words.closeStatus(status.success))}`
  }
  const length = said.payload.length + cutOf(said)
  return `${named(said)}, ${length} ${length === 1 ? "byte" : "bytes"}: ${shortened(said, at)}`
}

/** Where two begin to differ; the length of the shorter one, where that is how it begins. */
const differsAt = (a: Uint8Array, b: Uint8Array): number => {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return at
  return length
}

/** How the connection stood when nothing more came. */
const silence = (played: Recording.Recording): string => {
  const end = played.entries.at(-1)
  if (end?._tag === "End")
    return end.error === undefined ? "it ended the connection" : `the connection was lost: ${end.error}`
  if (end?._tag === "Omitted") return "it had said too much by then"
  return "it was silent"
}

/** What is known besides a difference. */
export interface Context {
  /** The file of the recording. */
  readonly path: string
  /** The line of what was expected, counted from 1; `undefined` where nothing was. */
  readonly line: number | undefined
  /** `answers` of the recording. */
  readonly answers: ReadonlyArray<Transcript.Said>
  readonly played: Recording.Recording
}

const table = (title: string, expected: string, actual: string): string =>
  `${title}:\n  recorded  ${expected}\n  now       ${actual}`

/** A difference, in three lines without the last line break. */
export const print = (difference: Difference, { line, path, played }: Context): string => {
  if (difference._tag === "Subprotocol") {
    const { actual = "none", expected = "none" } = difference
    return table("the server chooses another subprotocol", words.line(expected), words.line(actual))
  }
  const where = line === undefined ? "" : `, line ${line} of ${words.line(path)}`
  const title = `no. ${difference.index + 1} of what the server says${where}`
  switch (difference._tag) {
    case "Missing":
      return table(title, show(difference.expected, 0), `nothing: ${silence(played)}`)
    case "Unexpected":
      return table(title, "nothing more", show(difference.actual, 0))
    case "Changed": {
      const { actual, expected } = difference
      const at = differsAt(expected.payload, actual.payload)
      const from = at > excerpt - before ? `, from byte ${at + 1} on` : ""
      return table(`${title}${from}`, show(expected, at), show(actual, at))
    }
  }
}

const fields = (said: Transcript.Said): object => {
  const { _tag, payload } = said
  const cut = cutOf(said) === 0 ? {} : { cut: cutOf(said) }
  const op = _tag === "Message" ? said.kind : _tag.toLowerCase()
  const torn = _tag === "Message" && said.torn ? { torn: true } : {}
  const status = _tag === "Close" ? Result.getOrUndefined(CloseCode.decode(payload)) : undefined
  const content = status ?? (isText(said) ? { text: decoder.decode(payload) } : { base64: Base64.encode(payload) })
  return { op, ...content, length: payload.length + cutOf(said), ...cut, ...torn }
}

/** The same for a program: an object in one line. */
export const json = (difference: Difference | undefined, { answers, line }: Context): string => {
  if (difference === undefined) return words.json({ same: true, answers: answers.length })
  if (difference._tag === "Subprotocol") {
    const { actual, expected } = difference
    return words.json({ same: false, difference: "subprotocol", expected, actual })
  }
  const expected = "expected" in difference ? fields(difference.expected) : undefined
  const actual = "actual" in difference ? fields(difference.actual) : undefined
  const kind = difference._tag.toLowerCase()
  return words.json({ same: false, difference: kind, index: difference.index, line, expected, actual })
}

const plural = (count: number, one: string, many: string): string => (count === 1 ? `1 ${one}` : `${count} ${many}`)

/** That there is no difference, as a sentence. */
export const same = ({ answers }: Pick<Context, "answers">): string => {
  const messages = answers.filter(({ _tag }) => _tag === "Message").length
  const counted = messages === 0 ? "no message" : plural(messages, "message", "messages")
  const closed = answers.some(({ _tag }) => _tag === "Close") ? " and a Close" : ""
  return `no difference: ${counted}${closed} from the server, as recorded`
}
