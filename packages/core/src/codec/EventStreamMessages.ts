/**
 * The messages of a connection that is no WebSocket: down they come as events of an event stream, up they go as bodies of
 * POST. docs/session-protocol.md, "Over an event stream and POST".
 *
 * Pure. Not in here: the event stream itself, which is `EventStream`, and who sends what when.
 */
import { TaggedError } from "effect/Data"
import * as Result from "effect/Result"
import * as Base64 from "./Base64.ts"
import * as CloseCode from "./CloseCode.ts"
import type * as EventStream from "./EventStream.ts"
import { type Headers, combined, isDigits, trim } from "./HttpHeaders.ts"

/** Text, or bytes. */
export type Data = string | Uint8Array

/** The fields of a request. */
export const Field = {
  /** The secret of a connection that is open: 22 characters. Without it a POST opens one. */
  session: "Millrace-Session",
  /** What number this POST has, from 1: optional. */
  sequence: "Millrace-Sequence",
  /** The subprotocols that a client offers as it opens. */
  protocol: "Millrace-Protocol",
  /** With DELETE: the code and the reason. */
  close: "Millrace-Close"
} as const

/** The peer's fault: something that cannot be read. `detail` quotes nothing of it. */
export class InvalidExchange extends TaggedError("InvalidExchange")<{
  /** What a server answers. */
  readonly status: 400 | 413 | 415
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

const invalid = (status: InvalidExchange["status"], detail: string) =>
  Result.fail(new InvalidExchange({ status, detail }))

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

// Down.

/** What the first event says. */
export interface Opening {
  /** Shown with each request that belongs to the connection, and to nobody else. */
  readonly session: string
  /** The subprotocol that the server has chosen; empty for none. */
  readonly protocol: string
  /** In milliseconds: how long the server is silent at most. `undefined` when it may be silent for ever. */
  readonly heartbeat: number | undefined
}

/** What an event says. */
export type Heard =
  | { readonly _tag: "Message"; readonly data: Data }
  | ({ readonly _tag: "Open" } & Opening)
  | { readonly _tag: "Close"; readonly status: CloseCode.CloseStatus }
  /** Of a kind that is not known here: it does not count. */
  | { readonly _tag: "Other" }

/** The text of an event without a line end in its data. */
const eventOf = (event: string, data: string): string => `event: ${event}\ndata: ${data}\n\n`

/**
 * The text of the event that a message is: text without line ends as it is, other text and bytes in base64, which names
 * them `text` and `binary`. An event stream would change a line end.
 */
export const printMessage = (data: Data): string => {
  if (typeof data !== "string") return eventOf("binary", Base64.encode(data))
  return /[\r\n]/.test(data) ? eventOf("text", Base64.encode(encoder.encode(data))) : `data: ${data}\n\n`
}

/** The text of the first event. */
export const printOpening = (opening: Opening): string => eventOf("open", JSON.stringify(opening))

/** The text of the last event. The code is 1005 for a Close that says nothing. */
export const printClose = ({ code, reason }: CloseCode.CloseStatus): string =>
  eventOf("close", JSON.stringify({ code, reason }))

/** How long the event of a message may be that has so many bytes. */
export const eventBytes = (message: number): number => Math.ceil(message / 3) * 4

const record = (text: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined
  } catch {
    return undefined
  }
}

const statusOf = (code: unknown, reason: unknown): CloseCode.CloseStatus | undefined => {
  if (typeof code !== "number" || typeof reason !== "string") return undefined
  return code === CloseCode.CloseCode.noStatus || CloseCode.isOnWire(code) ? { code, reason } : undefined
}

const readOpening = (text: string): Heard | undefined => {
  const { heartbeat, protocol = "", session } = record(text) ?? {}
  if (typeof session !== "string" || !isSecret(session) || typeof protocol !== "string") return undefined
  if (heartbeat !== undefined && !(typeof heartbeat === "number" && heartbeat > 0)) return undefined
  return { _tag: "Open", session, protocol, heartbeat }
}

const readClose = (text: string): Heard | undefined => {
  const { code, reason = "" } = record(text) ?? {}
  const status = statusOf(code, reason)
  return status === undefined ? undefined : { _tag: "Close", status }
}

/** What an event says. Total; `undefined` for one that is not what its name says: the server's fault. */
export const read = ({ data, event }: EventStream.Event): Heard | undefined => {
  switch (event) {
    case "message":
      return { _tag: "Message", data }
    case "binary": {
      const bytes = Base64.decode(data)
      return bytes === undefined ? undefined : { _tag: "Message", data: bytes }
    }
    case "text": {
      const bytes = Base64.decode(data)
      const text = bytes === undefined ? undefined : textOf(bytes)
      return text === undefined ? undefined : { _tag: "Message", data: text }
    }
    case "open":
      return readOpening(data)
    case "close":
      return readClose(data)
    default:
      return { _tag: "Other" }
  }
}

/** Whether that may be a secret: what stands in the field of a request is not to be anything. */
export const isSecret = (text: string): boolean => /^[\w-]{16,128}$/.test(text)

// Up.

/** The types of a body. */
export const BodyType = {
  /** Text messages, one a line. Lines that are empty do not count. */
  lines: "application/x-ndjson",
  /** One text message, whatever line ends it has. */
  text: "application/json",
  /** One binary message. */
  binary: "application/octet-stream",
  /** Any messages: of each a byte, 0 for text and 1 for binary, its length in four, the highest first, and itself. */
  mixed: "application/vnd.millrace.messages"
} as const

/** What is sent with POST. */
export interface Body {
  readonly type: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

const headLength = 5

/** The most messages in one body: little ones take many times their length. `PostLink` sends fewer, five bytes each at least. */
export const maxMessages = 16_384

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

const headOf = (kind: 0 | 1, length: number): Uint8Array => {
  const head = new Uint8Array(headLength)
  head[0] = kind
  new DataView(head.buffer).setUint32(1, length)
  return head
}

const isLine = (data: Data): boolean => typeof data === "string" && data !== "" && !/[\r\n]/.test(data)

/** The body that some messages are, at least one: as lines where they are lines. */
export const encode = (messages: ReadonlyArray<Data>): Body => {
  if (messages.every(isLine)) return { type: BodyType.lines, bytes: encoder.encode(`${messages.join("\n")}\n`) }
  const [first] = messages
  if (messages.length === 1 && first instanceof Uint8Array) return { type: BodyType.binary, bytes: concat([first]) }
  const parts = messages.flatMap((data) => {
    const bytes = typeof data === "string" ? encoder.encode(data) : data
    return [headOf(typeof data === "string" ? 0 : 1, bytes.length), bytes]
  })
  return { type: BodyType.mixed, bytes: concat(parts) }
}

const decodeMixed = (bytes: Uint8Array): Result.Result<ReadonlyArray<Data>, InvalidExchange> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const messages: Array<Data> = []
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < headLength) return invalid(400, "a message without its length")
    const kind = view.getUint8(at)
    const length = view.getUint32(at + 1)
    at += headLength
    if (kind > 1) return invalid(400, "a message that is neither text nor binary")
    if (bytes.length - at < length) return invalid(400, "a message that is cut")
    const part = bytes.subarray(at, at + length)
    const data = kind === 0 ? textOf(part) : part
    if (data === undefined) return invalid(400, "text that is not UTF-8")
    if (messages.length === maxMessages) return tooMany
    // Of its own, or it would keep the whole body in memory.
    messages.push(data instanceof Uint8Array ? data.slice() : data)
    at += length
  }
  return Result.succeed(messages)
}

/** The media type without its parameters, in lower case; `undefined` where it has another character set than UTF-8. */
const typeOf = (field: string): string | undefined => {
  const [type = "", ...parameters] = field.toLowerCase().split(";").map(trim)
  const charset = parameters.find((one) => one.startsWith("charset="))
  return charset === undefined || /^charset="?utf-8"?$/.test(charset) ? type : undefined
}

const tooMany = invalid(413, `more than ${maxMessages} messages`)

/** The messages that a body has, in order; `type` is the value of its `Content-Type`. */
export const decode = (type: string, bytes: Uint8Array): Result.Result<ReadonlyArray<Data>, InvalidExchange> => {
  if (bytes.length === 0 && type === "") return Result.succeed([])
  switch (typeOf(type)) {
    case BodyType.lines: {
      const text = textOf(bytes)
      if (text === undefined) return invalid(400, "text that is not UTF-8")
      const lines = text.split(/\r\n|\r|\n/).filter((line) => line !== "")
      return lines.length > maxMessages ? tooMany : Result.succeed(lines)
    }
    case BodyType.text: {
      const text = textOf(bytes)
      return text === undefined ? invalid(400, "text that is not UTF-8") : Result.succeed([text])
    }
    case BodyType.binary:
      return Result.succeed([bytes])
    case BodyType.mixed:
      return decodeMixed(bytes)
    default:
      return invalid(415, `send ${BodyType.lines}, in UTF-8`)
  }
}

/** The field of a Close: its code, and its reason percent-encoded. */
export const printStatus = ({ code, reason }: CloseCode.CloseStatus): string =>
  `${code} ${encodeURIComponent(reason.toWellFormed())}`.trimEnd()

/** What such a field says; without one 1005. `undefined` when it is none. */
export const readStatus = (headers: Headers): CloseCode.CloseStatus | undefined => {
  const field = combined(headers, Field.close)
  if (field === undefined) return { code: CloseCode.CloseCode.noStatus, reason: "" }
  const [code = "", reason = ""] = field.split(" ")
  try {
    return isDigits(code)
      ? statusOf(Number(code), decodeURIComponent(reason).slice(0, CloseCode.maxReasonBytes))
      : undefined
  } catch {
    return undefined
  }
}
