/**
 * What went over one connection, frame by frame and in both directions, as a value: a bug report that can be played
 * again. `RecordingText` prints and parses it.
 *
 * Not in here: taking one (`connection/Recorder`), playing one (`connection/Player`), and messages, which are frames
 * put together (`Transcript`).
 */
import * as Data from "effect/Data"
import * as Frame from "../codec/Frame.ts"
import type { Role } from "./WebSocketProtocol.ts"

/** What was agreed on before the first frame. */
export interface Header {
  readonly _tag: "Header"
  /** The end at which it was recorded. */
  readonly role: Role
  /** What was opened; on a server the target of the request. `undefined` where nobody said. */
  readonly url: string | undefined
  readonly subprotocol: string | undefined
  /** As the server's answer lists them: RFC 6455 section 9.1. `undefined` for none. */
  readonly extensions: string | undefined
  /** In milliseconds since 1970-01-01 UTC. */
  readonly start: number
}

interface At {
  /** Milliseconds since the start. */
  readonly t: number
}

/** A frame, when its last byte was there. The payload is unmasked, and compressed if it was. */
export interface Recorded extends At, Frame.Frame {
  readonly _tag: "Frame"
  readonly from: Role
  /** How many bytes of the payload came and were not kept. */
  readonly cut: number
  /** How many bytes the header announced that never came, because that side ended first. */
  readonly torn: number
}

/** Bytes that are no frame: from the first one that breaks a rule on, or the start of a frame whose rest never came. */
export interface Raw extends At {
  readonly _tag: "Raw"
  readonly from: Role
  /** As they were on the wire. */
  readonly bytes: Uint8Array
  readonly cut: number
  /** The rule that was broken, where one was and these are the first bytes of it. */
  readonly violation: string | undefined
}

/** One side sends no more. */
export interface Ended extends At {
  readonly _tag: "Ended"
  readonly from: Role
  /** The side that recorded cut the transport, and did not wait for what was on its way. */
  readonly abruptly: boolean
}

/** The recording was full: what is behind the entry before is not in it. */
export interface Omitted extends At {
  readonly _tag: "Omitted"
  /** Bytes on the wire, headers included. */
  readonly bytes: number
}

/** The end of the transport. The last entry, where the connection was recorded to its end. */
export interface End extends At {
  readonly _tag: "End"
  /** How the network failed, if it did. */
  readonly error: string | undefined
}

export type Entry = Recorded | Raw | Ended | Omitted | End

export interface Recording {
  readonly header: Header
  readonly entries: ReadonlyArray<Entry>
}

/**
 * What is in a recording cannot be played, or not in that way. `entry` is its place in `entries`; in the text form its
 * line is two more.
 */
export class Unplayable extends Data.TaggedError("Unplayable")<{ readonly entry: number; readonly why: string }> {
  override get message(): string {
    return `entry ${this.entry} of the recording, line ${this.entry + 2} of its text: ${this.why}`
  }
}

/** The other end. */
export const other = (role: Role): Role => (role === "client" ? "server" : "client")

/** Bytes that the payload was to have: what its header said. */
export const length = ({ cut, payload, torn }: Pick<Recorded, "cut" | "payload" | "torn">): number =>
  payload.length + cut + torn

/** Bytes on the wire. */
export const wireLength = (entry: Entry): number => {
  if (entry._tag === "Raw") return entry.bytes.length + entry.cut
  if (entry._tag !== "Frame") return 0
  return Frame.headerLength(length(entry), entry.from === "client") + entry.payload.length + entry.cut
}

/** Whether it has all entries of a connection, from the first to its end. */
export const isWhole = ({ entries }: Recording): boolean =>
  entries.at(-1)?._tag === "End" && !entries.some(({ _tag }) => _tag === "Omitted")
