/**
 * Packets of Engine.IO, protocol revision 4: what goes beneath Socket.IO, over WebSockets and over HTTP long-polling.
 *
 * A packet is a digit and text. A message of bytes is nothing but them in a WebSocket, and `b` with base64 in the body
 * of a poll, where packets are separated by U+001E. Revision 3, which counts characters, is not in here, and neither is
 * WebTransport; who may say what and when, is `EngineProtocol`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Base64 from "../../codec/Base64.ts"

/** The `EIO` of the query. */
export const revision = 4

/** What a server says first. The data is JSON: see `decodeHandshake`. */
export interface Open {
  readonly _tag: "Open"
  readonly data: string
}

/** The session is over. */
export interface Close {
  readonly _tag: "Close"
}

/** A server's, to see whether the client is there; a client's, with `probe` in it, to see whether a WebSocket is. */
export interface Ping {
  readonly _tag: "Ping"
  readonly data: string
}

/** The answer to a ping, with the same data. */
export interface Pong {
  readonly _tag: "Pong"
  readonly data: string
}

/** The application's. */
export interface Message {
  readonly _tag: "Message"
  readonly data: string | Uint8Array
}

/** A client's: from here on it speaks over the WebSocket. */
export interface Upgrade {
  readonly _tag: "Upgrade"
}

/** Nothing, so that a poll is answered. */
export interface Noop {
  readonly _tag: "Noop"
}

export type Packet = Close | Message | Noop | Open | Ping | Pong | Upgrade

/** What a server tells a client about their session. */
export interface Handshake {
  /** The name of the session. It is a secret: who knows it can speak for the client. */
  readonly sid: string
  /** What the session can go on over, such as `websocket`. */
  readonly upgrades: ReadonlyArray<string>
  /** How often the server pings, in milliseconds. */
  readonly pingInterval: number
  /** How long it waits for the pong, in milliseconds. */
  readonly pingTimeout: number
  /** Most bytes of a body or a message that the server takes. `undefined` where a server does not say: before 6.2. */
  readonly maxPayload: number | undefined
}

/** The peer's fault. `detail` is for people and quotes nothing that the peer has sent. */
export class EngineViolation extends Data.TaggedError("EngineViolation")<{
  /** It is no packet, or there is more of it than we take. */
  readonly reason: "limit" | "syntax"
  readonly detail: string
}> {
  override get message(): string {
    return `not a payload of Engine.IO: ${this.detail}`
  }
}

/** The caller's fault: text with a U+001E in it would be two packets in the body of a poll. Nothing was encoded. */
export class UnsendableMessage extends Data.TaggedError("UnsendableMessage")<{}> {
  override get message(): string {
    return "text with a U+001E in it, which separates packets in the body of a poll"
  }
}

/** All hold for one body. */
export interface Options {
  /** Most bytes. Default 1,000,000, as in the reference. */
  readonly maxBytes?: number | undefined
  /** Most packets. Default 1,000. */
  readonly maxPackets?: number | undefined
}

export const defaults = { maxBytes: 1_000_000, maxPackets: 1_000 } as const

/** Between packets in the body of a poll. It is one byte of UTF-8. */
export const separator = "\u001e"

const close: Close = { _tag: "Close" }
const upgrade: Upgrade = { _tag: "Upgrade" }
const noop: Noop = { _tag: "Noop" }

const violates = (reason: EngineViolation["reason"], detail: string) =>
  Result.fail(new EngineViolation({ reason, detail }))

/**
 * The packet that a message of a WebSocket is. What stands behind a packet that has nothing to say, such as `5`, is
 * left out, as nobody reads it. Total: `EngineViolation` for text that begins with no digit of a packet.
 */
export const decode = (message: string | Uint8Array): Result.Result<Packet, EngineViolation> =>
  typeof message === "string" ? decodeText(message) : Result.succeed({ _tag: "Message", data: message })

const decodeText = (text: string): Result.Result<Packet, EngineViolation> => {
  switch (text.charAt(0)) {
    case "0":
      return Result.succeed({ _tag: "Open", data: text.slice(1) })
    case "1":
      return Result.succeed(close)
    case "2":
      return Result.succeed({ _tag: "Ping", data: text.slice(1) })
    case "3":
      return Result.succeed({ _tag: "Pong", data: text.slice(1) })
    case "4":
      return Result.succeed({ _tag: "Message", data: text.slice(1) })
    case "5":
      return Result.succeed(upgrade)
    case "6":
      return Result.succeed(noop)
    default:
      return violates("syntax", text === "" ? "a packet of nothing" : "a packet without a type")
  }
}

/** The message of a WebSocket that a packet is: bytes for a message of bytes, and text for all else. */
export const encode = (packet: Packet): string | Uint8Array => {
  switch (packet._tag) {
    case "Open":
      return `0${packet.data}`
    case "Close":
      return "1"
    case "Ping":
      return `2${packet.data}`
    case "Pong":
      return `3${packet.data}`
    case "Message":
      return encodeMessage(packet.data)
    case "Upgrade":
      return "5"
    case "Noop":
      return "6"
  }
}

/** The same for a packet that is a message. */
export const encodeMessage = (data: string | Uint8Array): string | Uint8Array =>
  typeof data === "string" ? `4${data}` : data

/** What a body has brought. Packets that came before a violation still count. */
export interface Payload {
  readonly packets: ReadonlyArray<Packet>
  readonly violation: EngineViolation | undefined
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const refused = (reason: EngineViolation["reason"], detail: string): Payload => ({
  packets: [],
  violation: new EngineViolation({ reason, detail })
})

const decodeBase64 = (text: string): Result.Result<Packet, EngineViolation> => {
  const data = Base64.decode(text)
  return data === undefined
    ? violates("syntax", "bytes that are not base64")
    : Result.succeed({ _tag: "Message", data })
}

/**
 * The packets of the body of a poll, in order, up to the first that is none. Total. No more of a body is looked at than
 * `maxPackets` packets, and nothing of one that has more than `maxBytes` or is not UTF-8.
 */
export const decodePayload = (body: Uint8Array, options: Options = {}): Payload => {
  const { maxBytes = defaults.maxBytes, maxPackets = defaults.maxPackets } = options
  if (body.length > maxBytes) return refused("limit", `more than ${maxBytes} bytes`)
  const text = textOf(body)
  if (text === undefined) return refused("syntax", "not UTF-8")
  const packets: Array<Packet> = []
  for (let at = 0; at <= text.length;) {
    if (packets.length === maxPackets) {
      return { packets, violation: new EngineViolation({ reason: "limit", detail: `more than ${maxPackets} packets` }) }
    }
    const next = text.indexOf(separator, at)
    const end = next === -1 ? text.length : next
    const packet = text.charAt(at) === "b" ? decodeBase64(text.slice(at + 1, end)) : decodeText(text.slice(at, end))
    if (Result.isFailure(packet)) return { packets, violation: packet.failure }
    packets.push(packet.success)
    at = end + 1
  }
  return { packets, violation: undefined }
}

/** A packet as it stands in a body. */
const printed = (packet: Packet): string => {
  const encoded = encode(packet)
  return typeof encoded === "string" ? encoded : `b${Base64.encode(encoded)}`
}

/** Whether it can be in a body: see `UnsendableMessage`. */
export const isPollable = (packet: Packet): boolean =>
  !("data" in packet) || typeof packet.data !== "string" || !packet.data.includes(separator)

/** The body of packets, at least one. Fails when one of them is not `isPollable`. */
export const encodePayload = (packets: ReadonlyArray<Packet>): Result.Result<string, UnsendableMessage> =>
  packets.every(isPollable)
    ? Result.succeed(packets.map(printed).join(separator))
    : Result.fail(new UnsendableMessage())

/** How many bytes of UTF-8 text is. */
const utf8Length = (text: string): number => {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    // Of a pair each half counts for two bytes; one alone is sent as U+FFFD, which has three.
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      i++
      length += 2
    } else {
      length += unit < 0x800 ? 1 : 2
    }
  }
  return length
}

/** How many bytes a packet has in a body. */
export const payloadLength = (packet: Packet): number => {
  if (!("data" in packet)) return 1
  return typeof packet.data === "string" ? 1 + utf8Length(packet.data) : 1 + 4 * Math.ceil(packet.data.length / 3)
}

/** How many packets, from the first on, make a body of at most `maxBytes`: one at least, where there is one. */
export const countWithin = (packets: ReadonlyArray<Packet>, maxBytes: number): number => {
  let length = -1
  for (const [i, packet] of packets.entries()) {
    length += 1 + payloadLength(packet)
    if (i > 0 && length > maxBytes) return i
  }
  return packets.length
}

/** The data of the packet that opens a session. */
export const encodeHandshake = ({ maxPayload, pingInterval, pingTimeout, sid, upgrades }: Handshake): string =>
  JSON.stringify({ sid, upgrades, pingInterval, pingTimeout, maxPayload })

const parse = (json: string): unknown => {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** What a timer can be set to: no more than 2^31 - 1 ms. */
const isDuration = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) < 2 ** 31

/** The longest name of a session that is taken, in UTF-16 units, and the most ways to upgrade. */
const maxSidLength = 256
const maxUpgrades = 16

/** What a server says of a session. Total: other properties are left out. */
export const decodeHandshake = (data: string): Result.Result<Handshake, EngineViolation> => {
  const value = parse(data)
  if (typeof value !== "object" || value === null) return violates("syntax", "a handshake that is no JSON object")
  const { maxPayload, pingInterval, pingTimeout, sid, upgrades } = value as {
    readonly [K in keyof Handshake]?: unknown
  }
  if (typeof sid !== "string" || sid === "" || sid.length > maxSidLength) return violates("syntax", "no sid")
  if (!Array.isArray(upgrades) || upgrades.length > maxUpgrades || !upgrades.every((way) => typeof way === "string")) {
    return violates("syntax", "no upgrades")
  }
  if (!isDuration(pingInterval) || !isDuration(pingTimeout))
    return violates("syntax", "no pingInterval and pingTimeout")
  if (maxPayload !== undefined && (!Number.isSafeInteger(maxPayload) || (maxPayload as number) < 1)) {
    return violates("syntax", "a maxPayload that is none")
  }
  return Result.succeed({
    sid,
    upgrades: upgrades as ReadonlyArray<string>,
    pingInterval,
    pingTimeout,
    maxPayload: maxPayload as number | undefined
  })
}
