/**
 * Packets of Socket.IO, protocol revision 5: what clients of versions 3 and 4 say.
 *
 * A packet is text, and where there are bytes in it so many binary messages behind it, each a message of Engine.IO:
 *
 *     type [attachments "-"] [namespace ","] [ack id] [JSON]
 *
 *     451-["up",{"_placeholder":true,"num":0}]     (the 4 is Engine.IO's), and then the bytes
 *
 * Who may say what and when is not in here. Where the reference takes what its grammar does not have, such as numbers
 * with an exponent or attachments that nobody asks for, this does not: a packet means the same to both or is refused.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as ReservedName from "../../codec/ReservedName.ts"
import * as WireValue from "../../codec/WireValue.ts"

/** Where a packet goes. */
interface Addressed {
  /** Begins with `/`, and is nothing but that for the main one. */
  readonly namespace: string
  /** What stood behind a `?`. It is no part of the name, but a client knows answers only by all that it has said. */
  readonly query: string | undefined
}

/** A JSON object. */
export type Payload = Readonly<Record<string, unknown>>

/** A client wants to join a namespace, with credentials; a server has let it in, and says under which `sid`. */
export interface Connect extends Addressed {
  readonly _tag: "Connect"
  readonly payload: Payload | undefined
}

/** Either end leaves a namespace. */
export interface Disconnect extends Addressed {
  readonly _tag: "Disconnect"
}

/** Something that happened. With an `id`, an answer is wanted. */
export interface Event extends Addressed {
  readonly _tag: "Event"
  readonly id: number | undefined
  /** Never one that a client or a server uses itself: see `isReserved`. A number on the wire is its digits here. */
  readonly name: string
  /** Values of JSON, in which a `Uint8Array` may stand. */
  readonly args: ReadonlyArray<unknown>
}

/** The answer to the event with this `id`. */
export interface Ack extends Addressed {
  readonly _tag: "Ack"
  readonly id: number
  readonly args: ReadonlyArray<unknown>
}

/** A server does not let a client in. */
export interface ConnectError extends Addressed {
  readonly _tag: "ConnectError"
  readonly message: string
  /** What the application has added. */
  readonly data: unknown
}

export type Packet = Ack | Connect | ConnectError | Disconnect | Event

/** A packet as it goes over Engine.IO: a text message, and behind it a binary one for each attachment. */
export interface Encoded {
  readonly text: string
  readonly attachments: ReadonlyArray<Uint8Array>
}

/** The peer's fault. `detail` is for people and quotes nothing that the peer has sent. */
export class SocketIoViolation extends Data.TaggedError("SocketIoViolation")<{
  /** It is no packet; there is more of it than we take; or a packet with a value that is not taken from anybody. */
  readonly reason: "limit" | "syntax" | "value"
  readonly detail: string
}> {
  override get message(): string {
    return `not a packet of Socket.IO: ${this.detail}`
  }
}

/** The caller's fault: what the other end would not get as it is. Nothing was encoded. */
export class UnsendablePacket extends Data.TaggedError("UnsendablePacket")<{ readonly detail: string }> {
  override get message(): string {
    return `not to be sent over Socket.IO: ${this.detail}`
  }
}

/** All hold for one packet, for what is sent as for what is received. */
export interface Options {
  /** Longest namespace, with its query, in UTF-16 units. Default 512. */
  readonly maxNamespaceLength?: number | undefined
  /** Most arrays and objects inside one another, the one that holds the arguments counted. Default 64. */
  readonly maxDepth?: number | undefined
  /** Most attachments. Default 10, as in the reference. */
  readonly maxAttachments?: number | undefined
  /** Most bytes of all its attachments. Default 10,000,000: as many as the reference takes of its longest messages. */
  readonly maxAttachmentBytes?: number | undefined
}

export const defaults = {
  maxNamespaceLength: 512,
  maxDepth: WireValue.defaultMaxDepth,
  maxAttachments: 10,
  maxAttachmentBytes: 10_000_000
} as const

type Limits = { readonly [K in keyof Options]-?: number }

const limitsOf = (options: Options): Limits => ({
  maxNamespaceLength: options.maxNamespaceLength ?? defaults.maxNamespaceLength,
  maxDepth: options.maxDepth ?? defaults.maxDepth,
  maxAttachments: options.maxAttachments ?? defaults.maxAttachments,
  maxAttachmentBytes: options.maxAttachmentBytes ?? defaults.maxAttachmentBytes
})

const lifecycle: ReadonlySet<string> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener"
])

/**
 * Whether an event may not have this name: clients and servers tell their own users so what happens to a connection.
 */
export const isReserved = (name: string): boolean => lifecycle.has(name) || ReservedName.is(name)

const types = ["Connect", "Disconnect", "Event", "Ack", "ConnectError", "BinaryEvent", "BinaryAck"] as const

const fault = (reason: SocketIoViolation["reason"], detail: string) => new SocketIoViolation({ reason, detail })

const violates = (reason: SocketIoViolation["reason"], detail: string) => Result.fail(fault(reason, detail))

const isDigit = (text: string, at: number): boolean => {
  const unit = text.charCodeAt(at)
  return unit >= 0x30 && unit <= 0x39
}

const afterDigits = (text: string, start: number): number => {
  let at = start
  while (isDigit(text, at)) at++
  return at
}

/** A JSON array or object, and where it was said that bytes belong, in the order of their numbers. */
interface Body {
  readonly value: unknown
  readonly places: ReadonlyArray<Place>
}

/** A property of its own that this object has, and which holds a placeholder. */
interface Place {
  readonly holder: Record<string | number, unknown>
  readonly name: string | number
}

const isObject = (value: unknown): value is Payload =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isPlaceholder = (value: Payload): boolean =>
  Object.hasOwn(value, "_placeholder") && value["_placeholder"] === true

/**
 * Finds each placeholder where it stands, and says what is wrong with them. It is no level of its own, as it is none
 * for whoever sends bytes; what is not one may be `maxDepth` deep.
 */
const findPlaces = (
  value: object,
  places: Array<Place | undefined>,
  maxDepth: number
): SocketIoViolation | undefined => {
  if (maxDepth === 0) return fault("value", "nested too deep")
  const holder = value as Record<string | number, unknown>
  for (const name of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    const inner = holder[name]
    if (typeof inner !== "object" || inner === null) continue
    if (isObject(inner) && isPlaceholder(inner)) {
      const { num } = inner
      if (typeof num !== "number" || !Number.isInteger(num) || num < 0 || num >= places.length) {
        return fault("syntax", "a placeholder without an attachment")
      }
      if (Object.keys(inner).length !== 2) return fault("syntax", "a placeholder with more in it")
      if (places[num] !== undefined) return fault("syntax", "two placeholders for one attachment")
      places[num] = { holder, name }
      continue
    }
    const wrong = findPlaces(inner, places, maxDepth - 1)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const parse = (json: string): unknown => {
  // What JSON lets stand in front of a value, Socket.IO does not; and no packet is a number, which would be an id.
  if (!/^[[{"]/.test(json)) return undefined
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** What the text of a packet says. */
interface Head {
  readonly packet: Packet
  readonly places: ReadonlyArray<Place>
}

const decodeBody = (json: string, count: number, maxDepth: number): Result.Result<Body, SocketIoViolation> => {
  const value = parse(json)
  if (value === undefined) return violates("syntax", "not JSON")
  const why = WireValue.refusal(value, count === 0 ? maxDepth : maxDepth + 1)
  if (why !== undefined) return violates("value", why)
  if (count === 0) return Result.succeed({ value, places: [] })
  const places = Array.from({ length: count }, (): Place | undefined => undefined)
  const wrong = typeof value === "object" && value !== null ? findPlaces(value, places, maxDepth) : undefined
  if (wrong !== undefined) return Result.fail(wrong)
  // An attachment that nobody would see might as well not come.
  if (places.includes(undefined)) return violates("syntax", "an attachment without a placeholder")
  return Result.succeed({ value, places: places as ReadonlyArray<Place> })
}

const splitQuery = (whole: string): Addressed => {
  const at = whole.indexOf("?")
  return at === -1
    ? { namespace: whole, query: undefined }
    : { namespace: whole.slice(0, at), query: whole.slice(at + 1) }
}

const mainNamespace: Addressed = { namespace: "/", query: undefined }

const packetOf = (
  type: (typeof types)[number],
  address: Addressed,
  id: number | undefined,
  { places, value }: Body
): Result.Result<Head, SocketIoViolation> => {
  const found = (packet: Packet) => Result.succeed({ packet, places })
  switch (type) {
    case "Event":
    case "BinaryEvent": {
      if (!Array.isArray(value)) return violates("syntax", "an event that is no array")
      const first: unknown = value[0]
      if (typeof first !== "string" && typeof first !== "number") return violates("syntax", "an event without a name")
      const name = String(first)
      if (isReserved(name)) return violates("value", "an event with a reserved name")
      const args = (value as ReadonlyArray<unknown>).slice(1)
      if (places.length === 0) return found({ _tag: "Event", ...address, id, name, args })
      // The name is left out of what was found: what stands in the array itself is one place further on.
      const moved = places.map((place) =>
        place.holder === (value as unknown)
          ? { holder: args as unknown as Place["holder"], name: (place.name as number) - 1 }
          : place
      )
      return Result.succeed({ packet: { _tag: "Event", ...address, id, name, args }, places: moved })
    }
    case "Ack":
    case "BinaryAck":
      if (!Array.isArray(value)) return violates("syntax", "an ack that is no array")
      if (id === undefined) return violates("syntax", "an ack without an id")
      return found({ _tag: "Ack", ...address, id, args: value as ReadonlyArray<unknown> })
  }
  if (id !== undefined) return violates("syntax", "an id where nobody asks")
  switch (type) {
    case "Connect":
      return value === undefined || isObject(value)
        ? found({ _tag: "Connect", ...address, payload: value })
        : violates("syntax", "a payload that is no object")
    case "Disconnect":
      return value === undefined
        ? found({ _tag: "Disconnect", ...address })
        : violates("syntax", "a disconnect with a payload")
    case "ConnectError": {
      if (typeof value === "string") return found({ _tag: "ConnectError", ...address, message: value, data: undefined })
      if (!isObject(value)) return violates("syntax", "an error without a message")
      const { data, message } = value
      return found({ _tag: "ConnectError", ...address, message: typeof message === "string" ? message : "", data })
    }
  }
}

/** The longest that 2^53 - 1 is. */
const maxIdLength = 16

const decodeHead = (text: string, limits: Limits): Result.Result<Head, SocketIoViolation> => {
  const type = isDigit(text, 0) ? types[Number(text.charAt(0))] : undefined
  if (type === undefined) return violates("syntax", "no type")
  let at = 1
  let count = 0
  if (type === "BinaryEvent" || type === "BinaryAck") {
    at = afterDigits(text, 1)
    if (at === 1 || text.charAt(at) !== "-") return violates("syntax", "no number of attachments")
    count = Number(text.slice(1, at))
    if (count === 0) return violates("syntax", "no attachments")
    if (count > limits.maxAttachments) return violates("limit", `more than ${limits.maxAttachments} attachments`)
    at++
  }
  let address = mainNamespace
  if (text.charAt(at) === "/") {
    const comma = text.indexOf(",", at)
    const end = comma === -1 ? text.length : comma
    if (end - at > limits.maxNamespaceLength) return violates("limit", "a namespace that is too long")
    address = splitQuery(text.slice(at, end))
    at = Math.min(end + 1, text.length)
  }
  let id: number | undefined
  const afterId = afterDigits(text, at)
  if (afterId > at) {
    id = Number(text.slice(at, afterId))
    if (afterId - at > maxIdLength || !Number.isSafeInteger(id)) return violates("syntax", "an id above 2^53 - 1")
    at = afterId
  }
  if (at === text.length && count === 0) return packetOf(type, address, id, { value: undefined, places: [] })
  const body = decodeBody(text.slice(at), count, limits.maxDepth)
  return Result.isSuccess(body) ? packetOf(type, address, id, body.success) : Result.fail(body.failure)
}

/** A packet whose attachments are still to come. */
interface Pending {
  readonly packet: Packet
  readonly places: ReadonlyArray<Place>
  readonly attachments: Array<Uint8Array>
  bytes: number
}

/** Puts packets together. How long attachments may take is for whoever feeds it. */
export interface Decoder {
  /**
   * Takes the data of one message of Engine.IO: a packet, or `undefined` while attachments are missing.
   *
   * Total. After a `SocketIoViolation` all that belonged to what was wrong is forgotten, but for attachments that have
   * not come, and the decoder takes the next packet. Attachments are kept as they are given, not copied.
   */
  readonly push: (data: string | Uint8Array) => Result.Result<Packet | undefined, SocketIoViolation>
  /** How many attachments are missing. */
  readonly missing: () => number
}

class Assembly implements Decoder {
  private readonly limits: Limits
  private pending: Pending | undefined

  constructor(limits: Limits) {
    this.limits = limits
  }

  push(data: string | Uint8Array): Result.Result<Packet | undefined, SocketIoViolation> {
    return typeof data === "string" ? this.start(data) : this.attach(data)
  }

  missing(): number {
    const { pending } = this
    return pending === undefined ? 0 : pending.places.length - pending.attachments.length
  }

  private start(text: string): Result.Result<Packet | undefined, SocketIoViolation> {
    if (this.pending !== undefined) {
      this.pending = undefined
      return violates("syntax", "text where attachments are missing")
    }
    const head = decodeHead(text, this.limits)
    if (Result.isFailure(head)) return Result.fail(head.failure)
    const { packet, places } = head.success
    if (places.length === 0) return Result.succeed(packet)
    this.pending = { packet, places, attachments: [], bytes: 0 }
    return Result.succeed(undefined)
  }

  private attach(bytes: Uint8Array): Result.Result<Packet | undefined, SocketIoViolation> {
    const { limits, pending } = this
    if (pending === undefined) return violates("syntax", "an attachment of nothing")
    const { attachments, packet, places } = pending
    pending.bytes += bytes.length
    if (pending.bytes > limits.maxAttachmentBytes) {
      this.pending = undefined
      return violates("limit", `attachments of more than ${limits.maxAttachmentBytes} bytes`)
    }
    attachments.push(bytes)
    if (attachments.length < places.length) return Result.succeed(undefined)
    this.pending = undefined
    for (const [i, { holder, name }] of places.entries()) holder[name] = attachments[i]
    return Result.succeed(packet)
  }
}

/** Limits by the options that they come from: decoders of a server have the same. */
const known = new WeakMap<Options, Limits>()

const sharedLimits = (options: Options): Limits => {
  const found = known.get(options) ?? limitsOf(options)
  known.set(options, found)
  return found
}

const noOptions: Options = {}

/** A decoder for one direction of one session. What its options are, they stay. */
export const makeDecoder = (options: Options = noOptions): Decoder => new Assembly(sharedLimits(options))

const unsendable = (detail: string) => Result.fail(new UnsendablePacket({ detail }))

/** The value with placeholders for bytes, which are added to `found`. Throws a `TypeError` for a forged one. */
const detach = (value: unknown, found: Array<Uint8Array>): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) {
    found.push(value)
    return { _placeholder: true, num: found.length - 1 }
  }
  if (Array.isArray(value)) return value.map((element) => detach(element, found))
  if (isPlaceholder(value as Payload)) throw new TypeError("cannot be sent: a placeholder beside bytes")
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, detach(inner, found)]))
}

/** How a namespace stands in a packet; `undefined` when it cannot. */
const prefixOf = ({ namespace, query }: Addressed, maxLength: number): string | undefined => {
  if (namespace === "/" && query === undefined) return ""
  const whole = query === undefined ? namespace : `${namespace}?${query}`
  const isFit = namespace.startsWith("/") && !namespace.includes("?") && !whole.includes(",")
  return isFit && whole.length <= maxLength ? `${whole},` : undefined
}

const valueOf = (packet: Packet): unknown => {
  switch (packet._tag) {
    case "Connect":
      return packet.payload
    case "Disconnect":
      return undefined
    case "Event":
      return [packet.name, ...packet.args]
    case "Ack":
      return packet.args
    case "ConnectError":
      return { message: packet.message, data: packet.data }
  }
}

/**
 * A packet as it goes over Engine.IO. `undefined` is what `JSON.stringify` makes of it.
 *
 * Fails with `UnsendablePacket` for what the other end would not get as it is: what `WireValue.countBytes` refuses, a
 * reserved name, a namespace with a comma in it, a number that is no id, bytes elsewhere than in arguments, and an
 * object with `_placeholder: true` beside bytes, which would be taken for one of them.
 */
export const encode = (packet: Packet, options: Options = {}): Result.Result<Encoded, UnsendablePacket> => {
  const limits = limitsOf(options)
  const prefix = prefixOf(packet, limits.maxNamespaceLength)
  if (prefix === undefined) return unsendable("a namespace that no packet can have")
  const id = "id" in packet ? packet.id : undefined
  if (id !== undefined && (!Number.isSafeInteger(id) || id < 0)) return unsendable("an id that is no natural number")
  if (packet._tag === "Event" && isReserved(packet.name)) return unsendable("an event with a reserved name")
  const value = valueOf(packet)
  try {
    const count = WireValue.countBytes(value, limits.maxDepth)
    const tail = `${prefix}${id ?? ""}`
    if (count === 0) {
      const json = value === undefined ? "" : JSON.stringify(value)
      return Result.succeed({ text: `${types.indexOf(packet._tag)}${tail}${json}`, attachments: [] })
    }
    if (packet._tag !== "Event" && packet._tag !== "Ack") return unsendable("bytes elsewhere than in arguments")
    if (count > limits.maxAttachments) return unsendable(`more than ${limits.maxAttachments} attachments`)
    const attachments: Array<Uint8Array> = []
    const json = JSON.stringify(detach(value, attachments))
    const bytes = attachments.reduce((length, one) => length + one.length, 0)
    if (bytes > limits.maxAttachmentBytes) {
      return unsendable(`attachments of more than ${limits.maxAttachmentBytes} bytes`)
    }
    const type = types.indexOf(packet._tag === "Event" ? "BinaryEvent" : "BinaryAck")
    return Result.succeed({ text: `${type}${attachments.length}-${tail}${json}`, attachments })
  } catch (error) {
    // What `countBytes` and `detach` throw; a getter of the caller's may throw anything.
    return unsendable(error instanceof TypeError ? error.message : "a value that cannot be read")
  }
}
