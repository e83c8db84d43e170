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
import {
  type Id,
  isId,
  isProducer,
  isTopic,
  maxDepth,
  maxIdLength,
  maxPositionLength,
  maxProducerBytes
} from "./HubName.ts"
import { refuse, type Refusal, reasons } from "./HubRefusal.ts"
import { isTooDeep, type JsonText, memberOf } from "./JsonText.ts"
import { isKey, type Key } from "./Parcel.ts"
import * as Position from "./Position.ts"

export * from "./HubName.ts"
export { type ErrorCode, refuse, refuseBroker, type Refusal } from "./HubRefusal.ts"
export { type JsonText, toJson } from "./JsonText.ts"

/** The subprotocol that is selected when a client offers it. One that offers none is served the same. */
export const subprotocol = "millrace.v1.json"

/** The number in `welcome`. It goes up when a client written for the number before would misunderstand. */
export const protocol = 1

/** From now on, messages of this topic. */
export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly topic: string
  /** Where the client was: what it missed comes first. */
  readonly position: Position.Position | undefined
  /** Whether it wants to be there for the others, and be told who is: with what they are to know of it. */
  readonly presence: { readonly info: JsonText | undefined } | undefined
  readonly id: Id | undefined
}

/** Who is in a topic? */
export interface AskPresence {
  readonly _tag: "Presence"
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
  /** By which a repeat is known. Of this client: see `HubKey`. */
  readonly key: Key | undefined
  /** Whether the client wants it, too, where it is subscribed. */
  readonly echo: boolean
  readonly id: Id | undefined
}

/** Is anybody there? For web pages, which cannot send a Ping frame. */
export interface Ping {
  readonly _tag: "Ping"
  readonly id: Id | undefined
}

/** What a client may say. */
export type ClientMessage = Subscribe | Unsubscribe | Publish | AskPresence | Ping

/** Everything the hub says except `message`, which {@link encodeMessage} prints. Undefined fields are left out. */
export type ServerMessage =
  | {
      readonly type: "welcome"
      readonly client: string
      readonly protocol: typeof protocol
      readonly node?: string | undefined
      readonly nodes?: ReadonlyArray<string> | undefined
      readonly frames?: string | undefined
    }
  | {
      readonly type: "subscribed"
      readonly topic: string
      readonly position?: string | undefined
      readonly id?: Id | undefined
    }
  | {
      readonly type: "unsubscribed"
      readonly topic: string
      readonly id?: Id | undefined
      readonly reason?: "kicked" | undefined
      readonly message?: string | undefined
    }
  | { readonly type: "moved"; readonly from: string; readonly to: string; readonly position?: string | undefined }
  | {
      readonly type: "gap"
      readonly topics: ReadonlyArray<string>
      readonly from?: string | undefined
      readonly to?: string | undefined
    }
  | { readonly type: "position"; readonly topic: string; readonly position: string }
  | {
      readonly type: "published"
      readonly topic: string
      readonly id: Id
      readonly receivers: number
      readonly position?: string | undefined
      readonly repeated?: true | undefined
    }
  | { readonly type: "pong"; readonly id?: Id | undefined }
  | Refusal
  // What `HubPresence` prints, with an info that is JSON text as it was written.
  | {
      readonly type: "present"
      readonly topic: string
      readonly users: ReadonlyArray<Present>
      readonly count: { readonly users: number; readonly connections: number }
      readonly id?: Id | undefined
    }
  | ({ readonly type: "joined" | "updated" | "left"; readonly topic: string } & Present)

/** A user who is in a topic. */
export interface Present {
  readonly user: string
  readonly info: unknown
  readonly connections: number
  /** In milliseconds since 1970, UTC. */
  readonly since: number
}

/**
 * The JSON text of what was published, out of a text that {@link encodeMessage} printed; `undefined` for any other
 * text.
 */
export const dataOf = (text: string): JsonText | undefined => {
  try {
    const value = JSON.parse(text) as Fields | null
    return value !== null && value["type"] === "message" && Object.hasOwn(value, "data")
      ? memberOf(text, "data")
      : undefined
  } catch {
    return undefined
  }
}

type Fields = { readonly [name: string]: unknown }

const decodeObject = (text: string): Result.Result<Fields, Refusal> => {
  if (isTooDeep(text, maxDepth)) return Result.fail(refuse("too-deep"))
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
  const key = decodeKey(fields["key"] ?? undefined, id)
  if (Result.isFailure(key)) return Result.fail(key.failure)
  const echo = fields["echo"] ?? true
  if (typeof echo !== "boolean") return Result.fail(refuse("bad-message", id, '"echo" is true or false'))
  return Result.succeed({
    _tag: "Publish",
    topic: topic.success,
    dataJson: memberOf(text, "data"),
    key: key.success,
    echo,
    id
  })
}

const badKey =
  `"key" is an object with "producer", 1 to ${maxProducerBytes} bytes of UTF-8, ` +
  `and "epoch" and "sequence", integers from 0 to 2^53 - 1`

const decodeKey = (value: unknown, id: Id | undefined): Result.Result<Key | undefined, Refusal> => {
  if (value === undefined) return Result.succeed(undefined)
  const { epoch, producer, sequence } = Object(value) as { readonly [name in keyof Key]?: unknown }
  if (typeof producer !== "string" || typeof epoch !== "number" || typeof sequence !== "number") {
    return Result.fail(refuse("bad-message", id, badKey))
  }
  // Not -0.
  const key = { producer, epoch: epoch + 0, sequence: sequence + 0 }
  return isProducer(producer) && isKey(key) ? Result.succeed(key) : Result.fail(refuse("bad-message", id, badKey))
}

const badPresence = '"presence" is true, or an object whose "info" is any JSON value'

/** Others get `info` in an object of the users of a message. */
const maxInfoDepth = maxDepth - 3

/** `info` goes to others as it was written. */
const decodePresence = (
  text: string,
  value: unknown,
  id: Id | undefined
): Result.Result<Subscribe["presence"], Refusal> => {
  if (value === undefined || value === false) return Result.succeed(undefined)
  if (value === true) return Result.succeed({ info: undefined })
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return Result.fail(refuse("bad-message", id, badPresence))
  }
  if (!Object.hasOwn(value, "info")) return Result.succeed({ info: undefined })
  const info = memberOf(memberOf(text, "presence"), "info")
  return isTooDeep(info, maxInfoDepth)
    ? Result.fail(refuse("too-deep", id, `"info" may be nested ${maxInfoDepth} deep: others get it inside of more`))
    : Result.succeed({ info })
}

/** A position that a client says it is at; `undefined` for a text that no hub has told it. */
export const decodePosition = (text: string): Position.Position | undefined =>
  text.length <= maxPositionLength ? Position.parse(text) : undefined

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
    case "subscribe": {
      const topic = decodeTopic(fields, id)
      if (Result.isFailure(topic)) return Result.fail(topic.failure)
      const given = fields["position"] ?? undefined
      const position = typeof given === "string" ? decodePosition(given) : undefined
      if (given !== undefined && position === undefined) {
        return Result.fail(refuse("bad-message", id, '"position" is one that a hub has told'))
      }
      const presence = decodePresence(text, fields["presence"] ?? undefined, id)
      return Result.map(presence, (presence) => ({ _tag: "Subscribe", topic: topic.success, position, presence, id }))
    }
    case "presence": {
      const topic = decodeTopic(fields, id)
      return Result.map(topic, (topic) => ({ _tag: "Presence", topic, id }))
    }
    case "unsubscribe": {
      const topic = decodeTopic(fields, id)
      return Result.map(topic, (topic) => ({ _tag: "Unsubscribe", topic, id }))
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
