/**
 * What is said over Action Cable: `actioncable-v1-json` of Rails 5 to 8, and `actioncable-v1-ext-json` of AnyCable,
 * which adds history, whispers and presence. Each is one text message with a JSON object in it.
 *
 * A subscription is known by its identifier, a string that the client has made: JSON with the name of a channel and its
 * parameters. It is compared and said again as it is and never made anew, as the client finds its subscription by it.
 *
 * Who may say what and when is not in here; nor what a channel is, which is looked up in a table and never by a name of
 * the language's.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as WireValue from "../../codec/WireValue.ts"

/** The subprotocols, the plain one and the one with more. */
export const subprotocol = "actioncable-v1-json"
export const extendedSubprotocol = "actioncable-v1-ext-json"

/** A JSON object. */
export type Payload = Readonly<Record<string, unknown>>

/** Where a message stands in a stream. Positions of two epochs cannot be compared. Extended. */
export interface Position {
  readonly epoch: string
  readonly offset: number
}

/** What a client wants to have again. Extended. */
export interface HistoryRequest {
  /** What came after this time, in seconds since 1970, of streams that are not named. */
  readonly since: number | undefined
  /** What came after these positions, by the names of streams. */
  readonly streams: ReadonlyMap<string, Position>
}

export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly identifier: string
  /** Extended. */
  readonly history: HistoryRequest | undefined
  /** Wants to be seen by the others as present, as soon as it is in. Extended. */
  readonly presence?: Present | undefined
}

export interface Unsubscribe {
  readonly _tag: "Unsubscribe"
  readonly identifier: string
}

/** The `message` of the wire: an action of a channel is called. */
export interface Perform {
  readonly _tag: "Perform"
  readonly identifier: string
  /** `receive` where the client has named none. */
  readonly action: string
  /** What stood beside `action`. */
  readonly data: Payload
}

/** Extended. */
export interface History {
  readonly _tag: "History"
  readonly identifier: string
  readonly history: HistoryRequest
}

/** The answer to a ping, where a server wants one. Extended. */
export interface Pong {
  readonly _tag: "Pong"
}

/** Something for the other subscribers, that no channel sees. Extended. */
export interface Whisper {
  readonly _tag: "Whisper"
  readonly identifier: string
  readonly data: unknown
}

/** Wants to be seen by the others as present. Extended. */
export interface Join {
  readonly _tag: "Join"
  readonly identifier: string
  readonly id: string
  readonly info: unknown
}

/** Wants to be seen no more. Extended. */
export interface Leave {
  readonly _tag: "Leave"
  readonly identifier: string
}

/** Asks who is present. Extended. */
export interface Presence {
  readonly _tag: "Presence"
  readonly identifier: string
  /** Or only how many. */
  readonly records: boolean
}

/** What a client says. */
export type Command = History | Join | Leave | Perform | Pong | Presence | Subscribe | Unsubscribe | Whisper

/** What a server says first, when it lets a client in. */
export interface Welcome {
  readonly _tag: "Welcome"
  /** The name of the session, by which a client can come back to it: a secret. Extended. */
  readonly sid: string | undefined
  /** The identifiers that need no new subscription; `undefined` when the session is a new one. Extended. */
  readonly restored: ReadonlyArray<string> | undefined
}

export interface Ping {
  readonly _tag: "Ping"
  /** Seconds since 1970, where the server says them. */
  readonly time: number | undefined
}

export interface ConfirmSubscription {
  readonly _tag: "ConfirmSubscription"
  readonly identifier: string
}

export interface RejectSubscription {
  readonly _tag: "RejectSubscription"
  readonly identifier: string
}

/** Something for a subscription. */
export interface Message {
  readonly _tag: "Message"
  readonly identifier: string
  readonly message: unknown
  /** Extended, where the stream has a history. */
  readonly position: (Position & { readonly stream: string }) | undefined
}

/** What a server says last. */
export interface Disconnect {
  readonly _tag: "Disconnect"
  /** Such as `unauthorized`, `server_restart`, `remote`. */
  readonly reason: string | undefined
  /** Whether the client should come back. */
  readonly reconnect: boolean
}

/** All that was missing has been said. Extended. */
export interface ConfirmHistory {
  readonly _tag: "ConfirmHistory"
  readonly identifier: string
}

/** What is missing is not known any more. Extended. */
export interface RejectHistory {
  readonly _tag: "RejectHistory"
  readonly identifier: string
}

/** Somebody who is present. */
export interface Present {
  readonly id: string
  readonly info: unknown
}

/** What a server says of who is present. Extended. */
export interface PresenceEvent {
  readonly _tag: "PresenceEvent"
  readonly identifier: string
  readonly event:
    | (Present & { readonly type: "join" })
    | { readonly type: "leave"; readonly id: string }
    | { readonly type: "info"; readonly total: number; readonly records: ReadonlyArray<Present> | undefined }
    | { readonly type: "error" }
}

/** What a server says. */
export type Transmission =
  | ConfirmHistory
  | ConfirmSubscription
  | Disconnect
  | Message
  | Ping
  | PresenceEvent
  | RejectHistory
  | RejectSubscription
  | Welcome

/** The peer's fault. `detail` is for people and quotes nothing that the peer has sent. */
export class CableViolation extends Data.TaggedError("CableViolation")<{
  /**
   * Not what the protocol says; more than we take; a value that is taken from nobody; or something that nobody here
   * knows, which a newer peer may well say.
   */
  readonly reason: "limit" | "syntax" | "unknown" | "value"
  readonly detail: string
}> {
  override get message(): string {
    return `not of Action Cable: ${this.detail}`
  }
}

/** The caller's fault: what JSON cannot carry as it is. Nothing was encoded. */
export class UnsendableValue extends Data.TaggedError("UnsendableValue")<{ readonly detail: string }> {
  override get message(): string {
    return `not to be sent over Action Cable: ${this.detail}`
  }
}

/** All hold for what is received. Lengths are in UTF-16 units. */
export interface Options {
  /** Whether it is AnyCable's protocol: what only that has is unknown in the other. Default false. */
  readonly extended?: boolean | undefined
  /** Longest message, of which the rest is part. Default 262,144. */
  readonly maxLength?: number | undefined
  /** Longest identifier, and longest name of a stream, of an epoch and of somebody who is present. Default 2,048. */
  readonly maxIdentifierLength?: number | undefined
  /** Longest `data` of a command. Default 65,536. */
  readonly maxDataLength?: number | undefined
  /** Most streams in one request for history. Default 100. */
  readonly maxStreams?: number | undefined
  /** Most arrays and objects inside one another. Default 64. */
  readonly maxDepth?: number | undefined
}

export const defaults = {
  extended: false,
  maxLength: 262_144,
  maxIdentifierLength: 2_048,
  maxDataLength: 65_536,
  maxStreams: 100,
  maxDepth: WireValue.defaultMaxDepth
} as const

const violates = (reason: CableViolation["reason"], detail: string) =>
  Result.fail(new CableViolation({ reason, detail }))

type Parsed<A> = Result.Result<A, CableViolation>

const parse = (json: string): unknown => {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** No property is read of it whose name a prototype could have. */
const isObject = (value: unknown): value is Payload =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parseObject = (json: string, maxDepth: number, what: string): Parsed<Payload> => {
  const value = parse(json)
  if (!isObject(value)) return violates("syntax", `${what} that is no JSON object`)
  const why = WireValue.refusal(value, maxDepth)
  return why === undefined ? Result.succeed(value) : violates("value", why)
}

const parseMessage = (text: string, options: Options): Parsed<Payload> => {
  const { maxDepth = defaults.maxDepth, maxLength = defaults.maxLength } = options
  return text.length > maxLength
    ? violates("limit", `a message of more than ${maxLength} characters`)
    : parseObject(text, maxDepth, "a message")
}

const isName = (value: unknown, options: Options): value is string =>
  typeof value === "string" && value.length <= (options.maxIdentifierLength ?? defaults.maxIdentifierLength)

/** What an identifier says. */
export interface Identified {
  /** What a client has written: it is looked up in a table of channels. */
  readonly channel: string
  readonly params: Payload
}

/**
 * What an identifier says. Two that say the same are two subscriptions all the same. Total: `CableViolation` where a
 * server has nothing to say but `reject_subscription`.
 */
export const parseIdentifier = (identifier: string, options: Options = {}): Parsed<Identified> => {
  if (!isName(identifier, options)) return violates("limit", "an identifier that is too long")
  const value = parseObject(identifier, options.maxDepth ?? defaults.maxDepth, "an identifier")
  if (Result.isFailure(value)) return Result.fail(value.failure)
  const { channel, ...params } = value.success
  return typeof channel === "string" && channel !== ""
    ? Result.succeed({ channel, params })
    : violates("syntax", "an identifier without a channel")
}

const isOffset = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const historyOf = (value: unknown, options: Options): Parsed<HistoryRequest> => {
  if (!isObject(value)) return violates("syntax", "a history that is no object")
  const { since = undefined, streams: given = {} } = value
  if (since !== undefined && (typeof since !== "number" || since < 0)) return violates("syntax", "a time that is none")
  if (!isObject(given)) return violates("syntax", "streams that are no object")
  const names = Object.keys(given)
  const { maxStreams = defaults.maxStreams } = options
  if (names.length > maxStreams) return violates("limit", `more than ${maxStreams} streams`)
  const streams = new Map<string, Position>()
  for (const name of names) {
    const position = given[name]
    const { epoch, offset } = isObject(position) ? position : {}
    if (!isName(name, options) || !isName(epoch, options) || !isOffset(offset)) {
      return violates("syntax", "a stream without a position")
    }
    streams.set(name, { epoch, offset })
  }
  return Result.succeed({ since, streams })
}

const performOf = (identifier: string, data: unknown, options: Options): Parsed<Perform> => {
  if (typeof data !== "string") return violates("syntax", "data that is no string")
  const { maxDataLength = defaults.maxDataLength, maxDepth = defaults.maxDepth } = options
  if (data.length > maxDataLength) return violates("limit", `data of more than ${maxDataLength} characters`)
  const value = parseObject(data, maxDepth, "data")
  if (Result.isFailure(value)) return Result.fail(value.failure)
  const { action: given, ...rest } = value.success
  // Rails takes what is blank for no name.
  const action = given === undefined || given === null || given === "" ? "receive" : given
  return typeof action === "string"
    ? Result.succeed({ _tag: "Perform", identifier, action, data: rest })
    : violates("syntax", "an action that is no string")
}

/** The ID of a user may be a number in the program that joins. */
const presentIdOf = (id: unknown, options: Options): string | undefined => {
  const name = Number.isSafeInteger(id) ? String(id) : id
  return isName(name, options) && name !== "" ? name : undefined
}

const joinOf = (identifier: string, presence: unknown, options: Options): Parsed<Join> => {
  const { id: given, info } = isObject(presence) ? presence : {}
  const id = presentIdOf(given, options)
  return id === undefined
    ? violates("syntax", "nobody to join")
    : Result.succeed({ _tag: "Join", identifier, id, info })
}

const commandOf = (command: string, identifier: string, value: Payload, options: Options): Parsed<Command> => {
  const { extended = defaults.extended } = options
  switch (command) {
    case "subscribe": {
      // Who does not speak the extended protocol may have any properties, which nobody reads.
      if (!extended) return Result.succeed({ _tag: "Subscribe", identifier, history: undefined })
      const presence = presentOf(value["presence"], options)
      const present = presence === undefined ? {} : { presence }
      if (value["history"] === undefined) {
        return Result.succeed({ _tag: "Subscribe", identifier, history: undefined, ...present })
      }
      return Result.map(historyOf(value["history"], options), (history): Subscribe => ({
        _tag: "Subscribe",
        identifier,
        history,
        ...present
      }))
    }
    case "unsubscribe":
      return Result.succeed({ _tag: "Unsubscribe", identifier })
    case "message":
      return performOf(identifier, value["data"], options)
  }
  if (extended) {
    switch (command) {
      case "history":
        return Result.map(historyOf(value["history"], options), (history): History => ({
          _tag: "History",
          identifier,
          history
        }))
      case "whisper":
        return Object.hasOwn(value, "data")
          ? Result.succeed({ _tag: "Whisper", identifier, data: value["data"] })
          : violates("syntax", "a whisper of nothing")
      case "join":
        return joinOf(identifier, value["presence"], options)
      case "leave":
        return Result.succeed({ _tag: "Leave", identifier })
      case "presence": {
        const data = value["data"]
        return Result.succeed({
          _tag: "Presence",
          identifier,
          records: !isObject(data) || data["return_records"] !== false
        })
      }
    }
  }
  return violates("unknown", "a command that nobody knows")
}

/** What a client says in a text message. Total: of what is unknown the reference takes no notice. */
export const decodeCommand = (text: string, options: Options = {}): Parsed<Command> => {
  const parsed = parseMessage(text, options)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const { command, identifier } = parsed.success
  if (typeof command !== "string") return violates("syntax", "a message without a command")
  if (command === "pong" && options.extended === true) return Result.succeed({ _tag: "Pong" })
  if (typeof identifier !== "string") return violates("syntax", "a command without an identifier")
  if (!isName(identifier, options)) return violates("limit", "an identifier that is too long")
  return commandOf(command, identifier, parsed.success, options)
}

const positionOf = ({ epoch, offset, stream_id: stream }: Payload): Message["position"] =>
  typeof stream === "string" && typeof epoch === "string" && isOffset(offset) ? { stream, epoch, offset } : undefined

const presentOf = (value: unknown, options: Options): Present | undefined => {
  const { id: given, info } = isObject(value) ? value : {}
  const id = presentIdOf(given, options)
  return id === undefined ? undefined : { id, info }
}

const presenceOf = (identifier: string, value: unknown, options: Options): Parsed<PresenceEvent> => {
  const { records: given, total, type } = isObject(value) ? value : {}
  const said = (event: PresenceEvent["event"]) => Result.succeed({ _tag: "PresenceEvent" as const, identifier, event })
  if (type === "error") return said({ type })
  if (type === "info") {
    const records = Array.isArray(given) ? given.map((one) => presentOf(one, options)) : undefined
    return isOffset(total) && records?.includes(undefined) !== true
      ? said({ type, total, records: records as ReadonlyArray<Present> | undefined })
      : violates("syntax", "a presence of nobody")
  }
  const present = presentOf(value, options)
  if (present === undefined) return violates("syntax", "a presence of nobody")
  if (type === "join") return said({ type, ...present })
  return type === "leave"
    ? said({ type, id: present.id })
    : violates("unknown", "a presence of a type that nobody knows")
}

const isNames = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((name) => typeof name === "string")

/** What a server says in a text message. Total: of what is unknown a client takes no notice. */
export const decodeTransmission = (text: string, options: Options = {}): Parsed<Transmission> => {
  const parsed = parseMessage(text, options)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const value = parsed.success
  const { extended = defaults.extended } = options
  switch (value["type"]) {
    case "welcome": {
      const sid = extended && typeof value["sid"] === "string" ? value["sid"] : undefined
      const ids = value["restored_ids"] ?? []
      const restored = extended && value["restored"] === true ? ids : undefined
      return restored === undefined || isNames(restored)
        ? Result.succeed({ _tag: "Welcome", sid, restored })
        : violates("syntax", "identifiers that are none")
    }
    case "ping": {
      const time = value["message"]
      return Result.succeed({ _tag: "Ping", time: typeof time === "number" ? time : undefined })
    }
    case "disconnect": {
      const reason = value["reason"]
      return Result.succeed({
        _tag: "Disconnect",
        reason: typeof reason === "string" ? reason : undefined,
        reconnect: value["reconnect"] === true
      })
    }
  }
  const { identifier } = value
  if (typeof identifier !== "string") return violates("syntax", "neither a type nor an identifier")
  switch (value["type"]) {
    case "confirm_subscription":
      return Result.succeed({ _tag: "ConfirmSubscription", identifier })
    case "reject_subscription":
      return Result.succeed({ _tag: "RejectSubscription", identifier })
    case undefined:
      return Object.hasOwn(value, "message")
        ? Result.succeed({
            _tag: "Message",
            identifier,
            message: value["message"],
            position: extended ? positionOf(value) : undefined
          })
        : violates("syntax", "neither a type nor a message")
  }
  if (extended) {
    switch (value["type"]) {
      case "confirm_history":
        return Result.succeed({ _tag: "ConfirmHistory", identifier })
      case "reject_history":
        return Result.succeed({ _tag: "RejectHistory", identifier })
      case "presence":
        return presenceOf(identifier, value["message"], options)
    }
  }
  return violates("unknown", "a type that nobody knows")
}

/** JSON of what has been checked: bytes and what else it cannot carry is refused. */
const print = (value: unknown): Result.Result<string, UnsendableValue> => {
  try {
    return WireValue.countBytes(value, defaults.maxDepth) === 0
      ? Result.succeed(JSON.stringify(value))
      : Result.fail(new UnsendableValue({ detail: "bytes" }))
  } catch (error) {
    // What `countBytes` throws; a getter of the caller's may throw anything.
    const detail = error instanceof TypeError ? error.message : "a value that cannot be read"
    return Result.fail(new UnsendableValue({ detail }))
  }
}

/** An identifier, as a client makes one. It is kept: what is made again may be another. */
export const printIdentifier = ({ channel, params }: Identified): Result.Result<string, UnsendableValue> =>
  print(Object.assign({ channel }, params, { channel }))

const printHistory = ({ since, streams }: HistoryRequest): unknown => ({
  since,
  streams: Object.fromEntries([...streams].map(([name, { epoch, offset }]) => [name, { offset, epoch }]))
})

/** A client's text message. Fails with `UnsendableValue` for what JSON cannot carry: see `WireValue.countBytes`. */
export const encodeCommand = (command: Command): Result.Result<string, UnsendableValue> => {
  switch (command._tag) {
    case "Subscribe": {
      const history = command.history === undefined ? undefined : printHistory(command.history)
      const { identifier, presence } = command
      return print({ command: "subscribe", identifier, history, presence })
    }
    case "Unsubscribe":
      return print({ command: "unsubscribe", identifier: command.identifier })
    case "Perform":
      return Result.flatMap(print({ ...command.data, action: command.action }), (data) =>
        print({ command: "message", identifier: command.identifier, data })
      )
    case "History":
      return print({ command: "history", identifier: command.identifier, history: printHistory(command.history) })
    case "Pong":
      return print({ command: "pong" })
    case "Whisper":
      return print({ command: "whisper", identifier: command.identifier, data: command.data ?? null })
    case "Join":
      return print({
        command: "join",
        identifier: command.identifier,
        presence: { id: command.id, info: command.info }
      })
    case "Leave":
      return print({ command: "leave", identifier: command.identifier })
    case "Presence":
      return print({ command: "presence", identifier: command.identifier, data: { return_records: command.records } })
  }
}

/** A server's text message. Fails with `UnsendableValue` for what JSON cannot carry: see `WireValue.countBytes`. */
export const encodeTransmission = (said: Transmission): Result.Result<string, UnsendableValue> => {
  switch (said._tag) {
    case "Welcome":
      return print(
        said.restored === undefined
          ? { type: "welcome", sid: said.sid }
          : { type: "welcome", sid: said.sid, restored: true, restored_ids: said.restored }
      )
    case "Ping":
      return print({ type: "ping", message: said.time })
    case "ConfirmSubscription":
      return print({ identifier: said.identifier, type: "confirm_subscription" })
    case "RejectSubscription":
      return print({ identifier: said.identifier, type: "reject_subscription" })
    case "Message": {
      const { stream: stream_id = undefined, epoch = undefined, offset = undefined } = said.position ?? {}
      return print({ identifier: said.identifier, message: said.message ?? null, stream_id, epoch, offset })
    }
    case "Disconnect":
      return print({ type: "disconnect", reason: said.reason, reconnect: said.reconnect })
    case "ConfirmHistory":
      return print({ identifier: said.identifier, type: "confirm_history" })
    case "RejectHistory":
      return print({ identifier: said.identifier, type: "reject_history" })
    case "PresenceEvent":
      return print({ type: "presence", identifier: said.identifier, message: said.event })
  }
}
