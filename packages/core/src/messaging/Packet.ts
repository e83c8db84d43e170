/**
 * What the two ends of a session say to each other, as values: docs/session-protocol.md has the same for those who write
 * the other end in another language.
 *
 * A packet is an array on the wire, whose first element says what it is. Pure: no state, no schema; what a payload
 * means, its contract knows. Not in here: how an array becomes text or bytes, which is `MessageCodec`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

/** What a client says first. */
export interface Hello {
  readonly _tag: "Hello"
  readonly contract: string
  readonly version: string
  readonly hash: string
  readonly credentials: unknown
}

/** What a server answers to it. */
export interface Welcome {
  readonly _tag: "Welcome"
  readonly contract: string
  readonly version: string
  readonly hash: string
  /** The name of the session, chosen by the server. */
  readonly session: string
}

/** What goes with a message beside its payload. */
export interface Meta {
  /** Says that a request is the same as one before: see `Contract.RequestDefinition.idempotent`. */
  readonly key?: string | undefined
  /** The `traceparent` of W3C Trace Context: who asked in the course of what. */
  readonly trace?: string | undefined
}

/** An event or a command: nobody answers it. */
export interface Emit {
  readonly _tag: "Emit"
  readonly name: string
  readonly payload: unknown
  readonly meta: Meta | undefined
}

/** A question with one answer. Who asks chooses the number, and never uses one again in a session. */
export interface Ask {
  readonly _tag: "Ask"
  readonly id: number
  readonly name: string
  readonly payload: unknown
  readonly meta: Meta | undefined
}

/** A question that is answered by a stream, which may have `credit` elements at first. */
export interface Open {
  readonly _tag: "Open"
  readonly id: number
  readonly name: string
  readonly payload: unknown
  readonly credit: number
  readonly meta: Meta | undefined
}

/** The answer to a request. */
export interface Ok {
  readonly _tag: "Ok"
  readonly id: number
  readonly value: unknown
}

/** Elements of a stream, at least one, and no more than there is credit for. */
export interface Items {
  readonly _tag: "Items"
  readonly id: number
  readonly elements: ReadonlyArray<unknown>
}

/** Allows a stream `credit` elements more. */
export interface More {
  readonly _tag: "More"
  readonly id: number
  readonly credit: number
}

/** The end of a stream. */
export interface End {
  readonly _tag: "End"
  readonly id: number
}

/** A request or a stream failed with an error of the contract. */
export interface Err {
  readonly _tag: "Err"
  readonly id: number
  readonly error: unknown
}

/** Why a request or a stream failed that is none of the contract's errors. */
export type FailCode =
  /** The contract has no such name, or it is no question. */
  | "unknown"
  /** The payload is not what the contract says. */
  | "invalid"
  /** It went wrong where it was answered; no details. */
  | "defect"
  /** Nobody answers it here, or not any more. */
  | "unavailable"
  /** The key was used before for another question. */
  | "conflict"

/** A request or a stream failed otherwise. */
export interface Fail {
  readonly _tag: "Fail"
  readonly id: number
  readonly code: FailCode
  readonly detail: string
}

/** Who asked is not interested any more. It is not answered. */
export interface Cancel {
  readonly _tag: "Cancel"
  readonly id: number
}

/** Asks for a sign of life. Who asks chooses the number, each greater than the one before. */
export interface Ping {
  readonly _tag: "Ping"
  readonly id: number
}

/** The answer to a ping, and to those before it. */
export interface Pong {
  readonly _tag: "Pong"
  readonly id: number
}

export type Packet = Ask | Cancel | Emit | End | Err | Fail | Hello | Items | More | Ok | Open | Ping | Pong | Welcome

/** The peer's fault: what it sent is no packet. */
export class InvalidPacket extends Data.TaggedError("InvalidPacket")<{ readonly detail: string }> {
  override get message(): string {
    return `not a packet: ${this.detail}`
  }
}

const failCodes: ReadonlyArray<string> = [
  "unknown",
  "invalid",
  "defect",
  "unavailable",
  "conflict"
] satisfies Array<FailCode>

/** What a peer has said; a code that nobody knows is a defect. */
export const failCodeOf = (said: unknown): FailCode =>
  failCodes.includes(said as string) ? (said as FailCode) : "defect"

/** No session asks more often. */
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0

const isCredit = (value: unknown): value is number => isId(value) && value <= maxCredit

/** The most credit that one packet may give, in elements. */
export const maxCredit = 1_048_576

const invalid = (detail: string) => Result.fail(new InvalidPacket({ detail }))

const own = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined

const stringOr = (value: unknown, otherwise: string): string => (typeof value === "string" ? value : otherwise)

const isShort = (value: unknown): value is string => typeof value === "string" && value.length <= maxMetaLength

/** The longest `key` and the longest `trace`, in UTF-16 units. */
export const maxMetaLength = 256

/** `null` when it is not what it should be. */
const metaOf = (value: unknown): Meta | undefined | null => {
  if (value === undefined || value === null) return undefined
  // In many a language what is left out is written as null.
  const [key, trace] = [own(value, "key") ?? undefined, own(value, "trace")]
  if (key !== undefined && !isShort(key)) return null
  // What it does not understand of a trace, nobody has to: Trace Context section 3.2.
  return { key, trace: isShort(trace) ? trace : undefined }
}

type Parsed<P = Packet> = Result.Result<P, InvalidPacket>

const parseHello = (given: unknown): Parsed => {
  const [contract, version, hash] = [own(given, "contract"), own(given, "version"), own(given, "hash")]
  if (typeof contract !== "string" || typeof version !== "string") return invalid("hello without contract and version")
  return Result.succeed({
    _tag: "Hello",
    contract,
    version,
    hash: stringOr(hash, ""),
    credentials: own(given, "credentials")
  })
}

const parseWelcome = (given: unknown): Parsed => {
  const [contract, version, session] = [own(given, "contract"), own(given, "version"), own(given, "session")]
  if (typeof contract !== "string" || typeof version !== "string" || typeof session !== "string") {
    return invalid("welcome without contract, version and session")
  }
  return Result.succeed({ _tag: "Welcome", contract, version, hash: stringOr(own(given, "hash"), ""), session })
}

/** What an array that was received says. Total: whatever it is, it is a packet or an `InvalidPacket`. */
export const parse = (wire: unknown): Parsed => {
  if (!Array.isArray(wire)) return invalid("not an array")
  const [kind, second, third, fourth, fifth, sixth] = wire as ReadonlyArray<unknown>
  switch (kind) {
    case "emit": {
      if (typeof second !== "string") return invalid("emit without a name")
      const meta = metaOf(fourth)
      return meta === null
        ? invalid("a key that is none")
        : Result.succeed({ _tag: "Emit", name: second, payload: third, meta })
    }
    case "hello":
      return parseHello(second)
    case "welcome":
      return parseWelcome(second)
  }
  if (!isId(second)) return invalid(typeof kind === "string" ? "no number" : "no kind")
  switch (kind) {
    case "ask": {
      if (typeof third !== "string") return invalid("ask without a name")
      const meta = metaOf(fifth)
      return meta === null
        ? invalid("a key that is none")
        : Result.succeed({ _tag: "Ask", id: second, name: third, payload: fourth, meta })
    }
    case "ok":
      return Result.succeed({ _tag: "Ok", id: second, value: third })
    case "items":
      return Array.isArray(third) && third.length > 0
        ? Result.succeed({ _tag: "Items", id: second, elements: third })
        : invalid("items without elements")
    case "more":
      return isCredit(third) ? Result.succeed({ _tag: "More", id: second, credit: third }) : invalid("no credit")
    case "open": {
      if (typeof third !== "string" || !isCredit(fifth)) return invalid("open without a name and credit")
      const meta = metaOf(sixth)
      return meta === null
        ? invalid("a key that is none")
        : Result.succeed({ _tag: "Open", id: second, name: third, payload: fourth, credit: fifth, meta })
    }
    case "end":
      return Result.succeed({ _tag: "End", id: second })
    case "err":
      return Result.succeed({ _tag: "Err", id: second, error: third })
    case "fail":
      return Result.succeed({
        _tag: "Fail",
        id: second,
        // Of a code that is newer than this end, only that it failed is known.
        code: failCodeOf(third),
        detail: stringOr(fourth, "")
      })
    case "cancel":
      return Result.succeed({ _tag: "Cancel", id: second })
    case "ping":
      return Result.succeed({ _tag: "Ping", id: second })
    case "pong":
      return Result.succeed({ _tag: "Pong", id: second })
    default:
      return invalid("a kind that nobody knows")
  }
}

const withMeta = (wire: Array<unknown>, meta: Meta | undefined): ReadonlyArray<unknown> => {
  if (meta !== undefined) wire.push(meta)
  return wire
}

/** The array that says it. */
export const print = (packet: Packet): ReadonlyArray<unknown> => {
  switch (packet._tag) {
    case "Hello": {
      const { _tag, ...hello } = packet
      return ["hello", hello]
    }
    case "Welcome": {
      const { _tag, ...welcome } = packet
      return ["welcome", welcome]
    }
    case "Emit":
      return withMeta(["emit", packet.name, packet.payload], packet.meta)
    case "Ask":
      return withMeta(["ask", packet.id, packet.name, packet.payload], packet.meta)
    case "Open":
      return withMeta(["open", packet.id, packet.name, packet.payload, packet.credit], packet.meta)
    case "Ok":
      return ["ok", packet.id, packet.value]
    case "Items":
      return ["items", packet.id, packet.elements]
    case "More":
      return ["more", packet.id, packet.credit]
    case "End":
      return ["end", packet.id]
    case "Err":
      return ["err", packet.id, packet.error]
    case "Fail":
      return ["fail", packet.id, packet.code, packet.detail]
    case "Cancel":
      return ["cancel", packet.id]
    case "Ping":
      return ["ping", packet.id]
    case "Pong":
      return ["pong", packet.id]
  }
}
