/**
 * What servers and emitters of Socket.IO publish for each other by its adapter for Redis's pub/sub, in any language: an
 * event for rooms of a namespace, as MessagePack on a channel. Pure.
 *
 *     channel    KEY#NAMESPACE#  or, for one room,  KEY#NAMESPACE#ROOM#
 *     message    [who, { type, data: [name, ...arguments], nsp }, { rooms, except, flags }]
 *
 * What is not in it: the requests that go by other channels, to make sockets join, leave or disconnect.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as MessagePackCodec from "../../messaging/MessagePackCodec.ts"
import type { MalformedMessage } from "../../messaging/MessageCodec.ts"
import * as MessagePackReader from "../../messaging/MessagePackReader.ts"
import * as Packet from "./Packet.ts"

export interface Emission {
  /** Who has published it: `emitter`, or the name of a server. */
  readonly from: string
  /** Begins with `/`. */
  readonly namespace: string
  /** The event's: none of those that `Packet.isReserved`. A number on the wire is its digits here. */
  readonly name: string
  /** Values of JSON, in which a `Uint8Array` may stand. */
  readonly args: ReadonlyArray<unknown>
  /** None are all clients of the namespace. */
  readonly rooms: ReadonlyArray<string>
  /** Who is in one of these does not get it. */
  readonly except: ReadonlyArray<string>
  /** Such as `volatile`: what else the publisher says, as it was said. */
  readonly flags: Readonly<Record<string, unknown>>
}

/** It is nothing that an emitter says. */
export class EmissionViolation extends Data.TaggedError("EmissionViolation")<{
  /** There is more of it than we take; it is no MessagePack; or a value that is no event. */
  readonly reason: "limit" | "syntax" | "value"
  readonly detail: string
}> {
  override get message(): string {
    return `not what an emitter of Socket.IO says: ${this.detail}`
  }
}

/** The caller's fault: it has no form. */
export class UnsendableEmission extends Data.TaggedError("UnsendableEmission")<{ readonly detail: string }> {
  override get message(): string {
    return `nothing that an emitter of Socket.IO could say: ${this.detail}`
  }
}

export interface Options {
  /** Longest message in bytes. Default 1 MiB. */
  readonly maxBytes?: number | undefined
  /** Most arrays and objects inside one another, the message's own two counted. Default 64. */
  readonly maxDepth?: number | undefined
  /** Most rooms in one message, those counted that are left out. Default 1,024. */
  readonly maxRooms?: number | undefined
  /** Longest namespace in UTF-16 units. Default 256. */
  readonly maxNamespaceLength?: number | undefined
}

export const defaults = { maxBytes: 1_048_576, maxDepth: 64, maxRooms: 1_024, maxNamespaceLength: 256 } as const

/** What channels begin with, unless emitters were told another. */
export const defaultKey = "socket.io"

/** What all channels for events begin with: namespaces have a `/` there. */
export const channels = (key: string): string => `${key}#/`

/** Where an event is published. */
export const channelOf = (key: string, { namespace, rooms }: Pick<Emission, "namespace" | "rooms">): string =>
  rooms.length === 1 ? `${key}#${namespace}#${rooms[0]}#` : `${key}#${namespace}#`

const fault = (reason: EmissionViolation["reason"], detail: string) => new EmissionViolation({ reason, detail })

const violates = (reason: EmissionViolation["reason"], detail: string) => Result.fail(fault(reason, detail))

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

/** `undefined` for what is no list of names. Rooms may be numbers. */
const namesOf = (value: unknown): ReadonlyArray<string> | undefined => {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) return undefined
  const all = value as ReadonlyArray<unknown>
  return all.every((name) => typeof name === "string" || typeof name === "number") ? all.map(String) : undefined
}

const nanosecondsOf = (view: DataView): number | undefined => {
  switch (view.byteLength) {
    case 4:
      return 0
    case 8:
      return view.getUint32(0) >>> 2
    case 12:
      return view.getUint32(0)
    default:
      return undefined
  }
}

const secondsOf = (view: DataView): number => {
  switch (view.byteLength) {
    case 4:
      return view.getUint32(0)
    case 8:
      return (view.getUint32(0) & 3) * 0x1_0000_0000 + view.getUint32(4)
    default:
      return Number(view.getBigInt64(4))
  }
}

/** A `Date` in an emitter's arguments, as JSON has it: clients of Socket.IO's own servers get it so. */
const timestamp: MessagePackReader.Extension = (type, bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const nanoseconds = type === -1 ? nanosecondsOf(view) : undefined
  if (nanoseconds === undefined) return undefined
  const date = new Date(secondsOf(view) * 1_000 + Math.floor(nanoseconds / 1_000_000))
  // One that no `Date` is, is `null` in JSON.
  return date.toJSON()
}

/** Those of an event, and of one with bytes in it. */
const isEventType = (type: unknown): boolean => type === 2 || type === 5

/** Of any bytes. Bytes in the arguments are views of them, and a time is text: `2026-11-24T04:22:03.000Z`. */
export const decode = (bytes: Uint8Array, options: Options = {}): Result.Result<Emission, EmissionViolation> => {
  const { maxBytes = defaults.maxBytes, maxDepth = defaults.maxDepth } = options
  const { maxNamespaceLength = defaults.maxNamespaceLength, maxRooms = defaults.maxRooms } = options
  if (bytes.length > maxBytes) return violates("limit", `more than ${maxBytes} bytes`)
  let message: unknown
  try {
    message = MessagePackReader.read(bytes, maxDepth, timestamp)
  } catch (cause) {
    return violates("syntax", (cause as MalformedMessage).detail)
  }
  if (!Array.isArray(message)) return violates("value", "no array")
  const [from, packet, to = {}] = message as ReadonlyArray<unknown>
  if (typeof from !== "string") return violates("value", "nobody has said it")
  if (!isObject(packet) || !isEventType(packet["type"])) return violates("value", "no packet of an event")
  const { data, nsp: namespace = "/" } = packet
  if (typeof namespace !== "string" || !namespace.startsWith("/")) return violates("value", "no namespace")
  if (namespace.length > maxNamespaceLength) return violates("limit", "a namespace that is too long")
  if (!Array.isArray(data)) return violates("value", "an event that is no array")
  const [first, ...args] = data as ReadonlyArray<unknown>
  if (typeof first !== "string" && typeof first !== "number") return violates("value", "an event without a name")
  const name = String(first)
  if (Packet.isReserved(name)) return violates("value", "an event with a reserved name")
  if (!isObject(to)) return violates("value", "it is for nobody")
  const rooms = namesOf(to["rooms"])
  const except = namesOf(to["except"])
  if (rooms === undefined || except === undefined) return violates("value", "rooms that are no names")
  if (rooms.length + except.length > maxRooms) return violates("limit", "too many rooms")
  const flags = isObject(to["flags"]) ? to["flags"] : {}
  return Result.succeed({ from, namespace, name, args, rooms, except, flags })
}

/** Fails for what has no form, and for what `decode` with the same options would refuse. */
export const encode = (emission: Emission, options: Options = {}): Result.Result<Uint8Array, UnsendableEmission> => {
  const { args, except, flags, from, name, namespace, rooms } = emission
  const message = [from, { type: 2, data: [name, ...args], nsp: namespace }, { rooms, except, flags }]
  let bytes: Uint8Array
  try {
    bytes = MessagePackCodec.make({ maxDepth: options.maxDepth ?? defaults.maxDepth }).encode(message) as Uint8Array
  } catch (cause) {
    return Result.fail(new UnsendableEmission({ detail: (cause as TypeError).message }))
  }
  const refused = Result.flip(decode(bytes, options))
  return Result.isSuccess(refused)
    ? Result.fail(new UnsendableEmission({ detail: refused.success.detail }))
    : Result.succeed(bytes)
}
