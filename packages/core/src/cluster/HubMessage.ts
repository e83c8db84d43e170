/**
 * The messages of the hub, protocol 1, as docs/protocol.md describes them for clients in any language: what a client
 * may say, what the hub answers, and the names and limits both keep to.
 *
 * Pure: text to value and value to text. Who is subscribed to what, how many topics a connection has joined, and
 * what a Binary message is answered with are the hub's; only the words for it are here.
 *
 * What a client publishes is checked and then passed on as it was written, never parsed into JavaScript and printed
 * again: a 64-bit integer keeps its last digits, 1e400 does not become null, and nothing is printed per receiver.
 */
import * as Result from "effect/Result"

/** The subprotocol that is selected when a client offers it. One that offers none is served the same. */
export const subprotocol = "millrace.v1.json"

/** The number in `welcome`. It goes up when a client written for the number before would misunderstand. */
export const protocol = 1

/** Longest topic, in bytes of UTF-8. */
export const maxTopicBytes = 256

/** Most topics that one connection may have joined at a time. */
export const maxTopics = 128

/** Longest client name, in code points. */
export const maxNameLength = 64

/** Longest `id` that is a string, in code points. */
export const maxIdLength = 64

/**
 * Most arrays and objects inside one another, the message's own object counted. It is the default of .NET's JSON
 * reader, the lowest among those in common use, so what one client may send every other can read.
 */
export const maxDepth = 64

/** `from` in messages that came by HTTP. Names that begin with `@` are the hub's own: see {@link isClientName}. */
export const httpClient = "@http"

/** What an answer is recognised by: chosen by the client, repeated by the hub. */
export type Id = string | number

declare const checked: unique symbol

/** One JSON text, known to be well-formed and to hold no line break. Made by {@link decode} and {@link toJson} only. */
export type JsonText = string & { readonly [checked]: "JsonText" }

/** From now on, messages of this topic. */
export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly topic: string
  readonly id: Id | undefined
}

/** No more of them. */
export interface Unsubscribe {
  readonly _tag: "Unsubscribe"
  readonly topic: string
  readonly id: Id | undefined
}

/** Something for everybody who is subscribed to the topic. */
export interface Publish {
  readonly _tag: "Publish"
  readonly topic: string
  readonly dataJson: JsonText
  readonly id: Id | undefined
}

/** Is anybody there? For web pages, which cannot send a Ping frame. */
export interface Ping {
  readonly _tag: "Ping"
  readonly id: Id | undefined
}

/** What a client may say. */
export type ClientMessage = Subscribe | Unsubscribe | Publish | Ping

/** What was wrong with a message: docs/protocol.md has them in a table. */
export type ErrorCode =
  | "bad-json"
  | "bad-message"
  | "unknown-type"
  | "bad-topic"
  | "too-many-topics"
  | "binary"
  | "too-deep"
  | "unavailable"

/**
 * Why the hub did not do what it was asked; the connection stays open. It is the very message that {@link encode}
 * takes. Plain data rather than an error class: a client that sends nothing but nonsense must not make the hub
 * capture a stack for each.
 */
export interface Refusal {
  readonly type: "error"
  readonly code: ErrorCode
  /** For people. Clients go by `code`. */
  readonly message: string
  /** Present when the refused message had one that could be read. */
  readonly id?: Id
}

/** Everything the hub says except `message`, which {@link encodeMessage} prints. Undefined fields are left out. */
export type ServerMessage =
  | { readonly type: "welcome"; readonly client: string; readonly protocol: typeof protocol }
  | { readonly type: "subscribed" | "unsubscribed"; readonly topic: string; readonly id?: Id | undefined }
  | { readonly type: "published"; readonly topic: string; readonly id: Id; readonly receivers: number }
  | { readonly type: "pong"; readonly id?: Id | undefined }
  | Refusal

const reasons: { readonly [code in ErrorCode]: string } = {
  "bad-json": "not a JSON text",
  "bad-message": 'a message is a JSON object with a "type"',
  "unknown-type": '"type" is one of subscribe, unsubscribe, publish, ping',
  "bad-topic": `a topic has 1 to ${maxTopicBytes} bytes of UTF-8, no control characters, and does not begin with "$"`,
  "too-many-topics": `a connection can be subscribed to ${maxTopics} topics at a time`,
  binary: "messages are text, not binary",
  "too-deep": `arrays and objects may be nested ${maxDepth} deep, the message itself counted`,
  unavailable: "what stands between the nodes cannot be reached"
}

/** A refusal, in the words of its code unless there is a better `message`. */
export const refuse = (code: ErrorCode, id?: Id, message: string = reasons[code]): Refusal =>
  id === undefined ? { type: "error", code, message } : { type: "error", code, message, id }

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

const isId = (value: unknown): value is Id =>
  typeof value === "string"
    ? value.length <= maxIdLength || (value.length <= 2 * maxIdLength && [...value].length <= maxIdLength)
    : Number.isSafeInteger(value)

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a

/** `[` and `{`. */
const opens = (unit: number): boolean => unit === 0x5b || unit === 0x7b
/** `]` and `}`. */
const closes = (unit: number): boolean => unit === 0x5d || unit === 0x7d

/** Where the string that begins at `start` has its closing quote; the text's length when it has none. */
const endOfString = (text: string, start: number): number => {
  for (let from = start + 1; ;) {
    const end = text.indexOf('"', from)
    if (end === -1) return text.length
    let escapes = end
    while (text.charCodeAt(escapes - 1) === backslash) escapes--
    if ((end - escapes) % 2 === 0) return end
    from = end + 1
  }
}

/**
 * Read off the brackets, before anything builds or walks a value: a million of them cost a scan of 65. Text that is
 * not JSON may get either answer, and is refused either way.
 */
const isTooDeep = (text: string): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === quote) i = endOfString(text, i)
    else if (opens(unit)) {
      if (++depth > maxDepth) return true
    } else if (closes(unit)) depth--
  }
  return false
}

/** A name in an object may be spelled with escapes, and `"d\u0061ta"` is `data`. */
const isDataName = (json: string): boolean =>
  json === '"data"' || (json.length <= 26 && json.includes("\\") && JSON.parse(json) === "data")

/**
 * The text of the member `data`, of an object that is known to be well-formed and to have one; of several the last,
 * as JSON.parse has it. Line breaks and tabs can only stand between tokens there; they become spaces, so that every
 * message of the hub is one line.
 */
const textOfData = (json: string): JsonText => {
  let depth = 0
  let name = ""
  let start = -1
  let data = ""
  for (let i = 0; i < json.length; i++) {
    const unit = json.charCodeAt(i)
    if (unit === quote) {
      const end = endOfString(json, i)
      if (depth === 1 && start === -1) name = json.slice(i, end + 1)
      i = end
    } else if (opens(unit)) depth++
    else if (depth === 1) {
      if (unit === colon) start = i + 1
      else if (unit === comma || closes(unit)) {
        if (isDataName(name)) data = json.slice(start, i)
        start = -1
      }
      if (closes(unit)) depth--
    } else if (closes(unit)) depth--
  }
  return data.trim().replaceAll(/[\t\n\r]/g, " ") as JsonText
}

/**
 * The JSON text of what was published, out of a text that {@link encodeMessage} printed; `undefined` for any other
 * text.
 */
export const dataOf = (text: string): JsonText | undefined => {
  try {
    const value = JSON.parse(text) as Fields | null
    return value !== null && value["type"] === "message" && Object.hasOwn(value, "data") ? textOfData(text) : undefined
  } catch {
    return undefined
  }
}

/**
 * The JSON text of a value that this program made, for {@link encodeMessage}. As with `JSON.stringify`, what JSON
 * has no word for becomes `null`; a cycle or a BigInt is the caller's mistake and throws.
 */
export const toJson = (value: unknown): JsonText => (JSON.stringify(value) ?? "null") as JsonText

type Fields = { readonly [name: string]: unknown }

const decodeObject = (text: string): Result.Result<Fields, Refusal> => {
  if (isTooDeep(text)) return Result.fail(refuse("too-deep"))
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    // The engine says where, which helps whoever types by hand.
    const where = error instanceof SyntaxError ? `: ${error.message}` : ""
    return Result.fail(refuse("bad-json", undefined, reasons["bad-json"] + where))
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Result.succeed(value as Fields)
    : Result.fail(refuse("bad-message"))
}

const decodeTopic = (fields: Fields, id: Id | undefined): Result.Result<string, Refusal> => {
  const topic = fields["topic"]
  if (typeof topic !== "string") return Result.fail(refuse("bad-message", id, '"topic" is missing or not a string'))
  return isTopic(topic) ? Result.succeed(topic) : Result.fail(refuse("bad-topic", id))
}

const decodePublishFields = (text: string, fields: Fields, id: Id | undefined): Result.Result<Publish, Refusal> => {
  const topic = decodeTopic(fields, id)
  if (Result.isFailure(topic)) return Result.fail(topic.failure)
  if (!Object.hasOwn(fields, "data")) {
    return Result.fail(refuse("bad-message", id, '"data" is missing; null is a value too'))
  }
  return Result.succeed({ _tag: "Publish", topic: topic.success, dataJson: textOfData(text), id })
}

/**
 * What a client's Text message asks for. Total: any string gives a message or a refusal to answer with, in time
 * linear in its length. Fields that protocol 1 does not know are ignored; of a name that occurs twice the last counts.
 */
export const decode = (text: string): Result.Result<ClientMessage, Refusal> => {
  const decoded = decodeObject(text)
  if (Result.isFailure(decoded)) return Result.fail(decoded.failure)
  const fields = decoded.success

  // Many a serializer prints null for a field that was not set.
  const given = fields["id"] ?? undefined
  if (given !== undefined && !isId(given)) {
    return Result.fail(
      refuse(
        "bad-message",
        undefined,
        `"id" is a string of at most ${maxIdLength} characters or an integer within ±(2^53 - 1)`
      )
    )
  }
  const id = given === 0 ? 0 : given // not -0

  switch (fields["type"]) {
    case "subscribe":
    case "unsubscribe": {
      const topic = decodeTopic(fields, id)
      if (Result.isFailure(topic)) return Result.fail(topic.failure)
      return Result.succeed({
        _tag: fields["type"] === "subscribe" ? "Subscribe" : "Unsubscribe",
        topic: topic.success,
        id
      })
    }
    case "publish":
      return decodePublishFields(text, fields, id)
    case "ping":
      return Result.succeed({ _tag: "Ping", id })
    default:
      return Result.fail(
        typeof fields["type"] === "string"
          ? refuse("unknown-type", id)
          : refuse("bad-message", id, '"type" is missing or not a string')
      )
  }
}

/** The body of `POST /publish`: a `publish` without `type` and `id`. Total, as {@link decode} is. */
export const decodePublish = (text: string): Result.Result<Publish, Refusal> => {
  const decoded = decodeObject(text)
  return Result.isFailure(decoded)
    ? Result.fail(decoded.failure)
    : decodePublishFields(text, decoded.success, undefined)
}

/** The text of anything the hub says to one client. */
export const encode = (message: ServerMessage): string => JSON.stringify(message)

/**
 * The text of a `message`, made once for all receivers. `dataJson` goes in as it is; `time` is in milliseconds since
 * 1970, UTC.
 */
export const encodeMessage = (message: {
  readonly topic: string
  readonly dataJson: JsonText
  readonly from: string
  readonly time: number
}): string =>
  `{"type":"message","topic":${JSON.stringify(message.topic)},"data":${message.dataJson},` +
  `"from":${JSON.stringify(message.from)},"time":${message.time}}`
