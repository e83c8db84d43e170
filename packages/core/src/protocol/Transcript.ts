/**
 * What two ends have said to each other, as far as it matters to them: the frames of a `Recording` put together to
 * messages, and where two recordings differ.
 */
import * as Result from "effect/Result"
import { Chunks } from "../codec/Chunks.ts"
import * as CloseCode from "../codec/CloseCode.ts"
import { Opcode } from "../codec/Frame.ts"
import * as Utf8 from "../codec/Utf8.ts"
import { type Entry, isWhole, other, type Recorded, type Recording } from "./Recording.ts"
import type { Kind, Role } from "./WebSocketProtocol.ts"

interface Saying {
  readonly from: Role
  /** Milliseconds since the start, when the last of it was there. */
  readonly t: number
  /** The entry that made it whole. */
  readonly entry: number
}

/** A message, however many frames it came in. */
export interface Message extends Saying {
  readonly _tag: "Message"
  readonly kind: Kind
  /** Of its first frame: other than 0 for what an extension has coded. */
  readonly rsv: number
  readonly payload: Uint8Array
  /** Bytes of it that came and were not kept. */
  readonly cut: number
  /** Its end never came. */
  readonly torn: boolean
}

/** A Close, Ping or Pong. */
export interface Control extends Saying {
  readonly _tag: "Close" | "Ping" | "Pong"
  readonly payload: Uint8Array
}

/** Bytes that are no frame. */
export interface Raw extends Saying {
  readonly _tag: "Raw"
  readonly payload: Uint8Array
  readonly cut: number
}

export type Said = Message | Control | Raw

/** A message whose last frame is still to come. */
interface Unfinished {
  readonly first: Recorded
  readonly entry: number
  readonly payload: Chunks
  cut: number
}

const controls: ReadonlyMap<Opcode, Control["_tag"]> = new Map([
  [Opcode.close, "Close"],
  [Opcode.ping, "Ping"],
  [Opcode.pong, "Pong"]
])

/** Puts frames together, entry by entry, both sides at once. */
export class Reader {
  private readonly unfinished = new Map<Role, Unfinished>()
  private at = 0

  /** What the next entry makes whole; `undefined` when that is nothing. */
  push(value: Entry): Said | undefined {
    const entry = this.at++
    if (value._tag === "Raw") {
      const { bytes, cut, from, t } = value
      return { _tag: "Raw", from, t, entry, payload: bytes, cut }
    }
    if (value._tag !== "Frame") return undefined
    const { from, payload, t } = value
    const control = controls.get(value.opcode)
    if (control !== undefined) return { _tag: control, from, t, entry, payload }
    const message = this.unfinished.get(from) ?? { first: value, entry, payload: new Chunks(), cut: 0 }
    message.payload.push(payload)
    message.cut += value.cut
    if (value.fin && value.torn === 0) {
      this.unfinished.delete(from)
      return this.toMessage(message, t, entry, false)
    }
    this.unfinished.set(from, message)
    return undefined
  }

  /** Messages whose end never came. */
  get rest(): ReadonlyArray<Message> {
    return [...this.unfinished.values()].map((message) => this.toMessage(message, message.first.t, message.entry, true))
  }

  private toMessage({ cut, first, payload }: Unfinished, t: number, entry: number, torn: boolean): Message {
    const kind = first.opcode === Opcode.text ? "text" : "binary"
    return { _tag: "Message", from: first.from, t, entry, kind, rsv: first.rsv, payload: payload.join(), cut, torn }
  }
}

/** All that was said, in the order in which it was whole. What was never whole comes last. */
export const read = ({ entries }: Recording): ReadonlyArray<Said> => {
  const reader = new Reader()
  const said = entries.map((entry) => reader.push(entry)).filter((one) => one !== undefined)
  return [...said, ...reader.rest]
}

/** The first thing that was said otherwise. `index` counts what is compared of that side, from 0. */
export type Difference =
  /** It was not said any more. */
  | { readonly _tag: "Missing"; readonly index: number; readonly from: Role; readonly expected: Said }
  /** There was no more to be said. */
  | { readonly _tag: "Unexpected"; readonly index: number; readonly from: Role; readonly actual: Said }
  | {
      readonly _tag: "Changed"
      readonly index: number
      readonly from: Role
      readonly expected: Said
      readonly actual: Said
    }

/** How two recordings are compared. */
export interface CompareOptions {
  /** The side that is looked at. Default: the one that was not played. */
  readonly from?: Role | undefined
  /** Whether two things that were said are the same to you, for what has times or names in it. Default: `isSame`. */
  readonly isSame?: ((expected: Said, actual: Said) => boolean) | undefined
}

const startsWith = (whole: Uint8Array, start: Uint8Array): boolean =>
  whole.length >= start.length && start.every((byte, i) => whole[i] === byte)

/**
 * The same kind of thing with the same bytes, whatever the frames and the times. Of what was cut, what is left and the
 * length are compared.
 */
export const isSame = (expected: Said, actual: Said): boolean => {
  if (expected._tag !== actual._tag) return false
  const [a, b] = [expected.payload, actual.payload]
  const [cutA, cutB] = ["cut" in expected ? expected.cut : 0, "cut" in actual ? actual.cut : 0]
  if (a.length + cutA !== b.length + cutB) return false
  if (!startsWith(a, b.subarray(0, a.length))) return false
  if (expected._tag !== "Message" || actual._tag !== "Message") return true
  return expected.kind === actual.kind && expected.rsv === actual.rsv && expected.torn === actual.torn
}

/** Pings and Pongs come when they come. */
const isCompared = ({ _tag }: Said): boolean => _tag !== "Ping" && _tag !== "Pong"

/**
 * What one side said in two recordings: the first difference, or `undefined` for none. Messages, Closes and bytes that
 * are no frames are compared, in order; times, fragments, Pings and Pongs are not. Where the first recording is not whole,
 * what comes behind it in the second is no difference.
 */
export const compare = (
  expected: Recording,
  actual: Recording,
  options: CompareOptions = {}
): Difference | undefined => {
  const { from = other(actual.header.role), isSame: same = isSame } = options
  const [before, after] = [expected, actual].map((one) => read(one).filter((s) => s.from === from && isCompared(s)))
  for (let index = 0; index < Math.max(before!.length, after!.length); index++) {
    const [a, b] = [before![index], after![index]]
    if (b === undefined) return { _tag: "Missing", index, from, expected: a! }
    if (a === undefined) return isWhole(expected) ? { _tag: "Unexpected", index, from, actual: b } : undefined
    if (!same(a, b)) return { _tag: "Changed", index, from, expected: a, actual: b }
  }
  return undefined
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const excerpt = 120

/** What was said in a line, for people. */
export const show = (said: Said): string => {
  const { _tag, payload } = said
  if (_tag === "Close") {
    const status = CloseCode.decode(payload)
    if (Result.isSuccess(status)) return `Close ${status.success.code} ${JSON.stringify(status.success.reason)}`
  }
  const isText = _tag === "Message" ? said.kind === "text" && said.rsv === 0 : _tag !== "Raw"
  const start = payload.subarray(0, excerpt)
  const more = payload.length > excerpt ? "…" : ""
  const content =
    isText && Utf8.isValid(payload)
      ? `${JSON.stringify(decoder.decode(payload).slice(0, excerpt))}${more}`
      : `${Array.from(start, (byte) => byte.toString(16).padStart(2, "0")).join(" ")}${more}`
  const name = _tag === "Message" ? `${said.rsv === 0 ? "" : "coded "}${said.kind}` : _tag
  return `${name} of ${payload.length + ("cut" in said ? said.cut : 0)} bytes: ${content}`
}

/** A difference in a line, for people. */
export const showDifference = (difference: Difference): string => {
  const where = `${difference.from}'s no. ${difference.index + 1}`
  switch (difference._tag) {
    case "Missing":
      return `${where} is missing: ${show(difference.expected)}`
    case "Unexpected":
      return `${where} was not expected: ${show(difference.actual)}`
    case "Changed":
      return `${where} was ${show(difference.actual)}, expected ${show(difference.expected)}`
  }
}
