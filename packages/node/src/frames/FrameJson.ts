/**
 * What went over a connection as objects for JSON, an object for each entry of a `Recorder`: docs/protocol.md, "Frames".
 *
 * Names are those of a recording, and the content is for people: text of 2 KiB or 1 KiB in hexadecimal at most, inflated
 * where it was compressed. A recording that is to be played is `RecordingText`.
 */
import * as CloseCode from "@millrace/core/codec/CloseCode"
import { Opcode } from "@millrace/core/codec/Frame"
import * as Recording from "@millrace/core/protocol/Recording"
import * as Result from "effect/Result"
import * as FrameContent from "./FrameContent.ts"

type Role = Recording.Recorded["from"]

/** What was agreed on: comes first. */
export interface Opened {
  readonly type: "opened"
  /** In milliseconds since 1970-01-01 UTC. */
  readonly start: number
  readonly subprotocol?: string | undefined
  /** As the server's answer lists them. */
  readonly extensions?: string | undefined
}

/** What a frame says, as far as it is shown: one of `text`, `hex`, or `code` and `reason`; nothing for no bytes. */
export interface Shown {
  readonly text?: string | undefined
  readonly hex?: string | undefined
  /** Of a Close; 1005 for one that has none. */
  readonly code?: number | undefined
  readonly reason?: string | undefined
  /** Bytes behind what is shown. */
  readonly cut?: number | undefined
}

export interface Frame extends Shown {
  readonly type: "frame"
  readonly from: Role
  /** Milliseconds since `start`. */
  readonly t: number
  readonly op: string
  readonly opcode: number
  readonly fin: boolean
  /** RSV1 to 3 as 4, 2 and 1. */
  readonly rsv: number
  readonly masked: boolean
  /** Bytes of the payload on the wire, as its header says them. */
  readonly length: number
  /** It is of a message that is compressed. */
  readonly compressed?: true | undefined
  /** Bytes of the message as it is, with its last frame; `undefined` where it could not be inflated. */
  readonly inflated?: number | undefined
  /** Bytes of the compressed message, with the last of several frames. */
  readonly whole?: number | undefined
  /** Bytes of the payload that never came. */
  readonly torn?: number | undefined
}

/** Bytes that are no frame. */
export interface Raw extends Shown {
  readonly type: "raw"
  readonly from: Role
  readonly t: number
  readonly length: number
  readonly violation?: string | undefined
}

/** One side sends no more. */
export interface Ended {
  readonly type: "ended"
  readonly from: Role
  readonly t: number
  readonly ended: "orderly" | "abruptly"
}

/** The connection is over: comes last. */
export interface End {
  readonly type: "end"
  readonly t: number
  readonly error?: string | undefined
}

export type Line = Opened | Frame | Raw | Ended | End

/** How much is shown of a frame, in bytes. */
export const maxTextBytes = 2_048
export const maxHexBytes = 1_024

const names: ReadonlyMap<Opcode, string> = new Map([
  [Opcode.continuation, "continuation"],
  [Opcode.text, "text"],
  [Opcode.binary, "binary"],
  [Opcode.close, "close"],
  [Opcode.ping, "ping"],
  [Opcode.pong, "pong"]
])

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const textOf = (bytes: Uint8Array): string => {
  const isCut = bytes.length > maxTextBytes
  // Half a character at the cut is left out.
  const text = decoder.decode(bytes.subarray(0, maxTextBytes), { stream: isCut })
  if (isCut) decoder.decode()
  return text
}

const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, maxHexBytes)).toString("hex")

/** `length` is that of all there is, `bytes` what was kept of it. */
const show = (bytes: Uint8Array, isText: boolean, length: number): Shown => {
  if (bytes.length === 0) return {}
  const shown = Math.min(bytes.length, isText ? maxTextBytes : maxHexBytes)
  const cut = length > shown ? length - shown : undefined
  return isText ? { text: textOf(bytes), cut } : { hex: hexOf(bytes), cut }
}

const showClose = (payload: Uint8Array): Shown => {
  if (payload.length === 0) return { code: CloseCode.CloseCode.noStatus, reason: "" }
  const status = CloseCode.decode(payload)
  return Result.isFailure(status) ? { hex: hexOf(payload) } : status.success
}

/** Makes objects of the entries of one connection, in their order. */
export class FrameJson {
  private readonly sides: Readonly<Record<Role, FrameContent.Side>>

  /** A message of more bytes than that, inflated, is shown as it came. */
  constructor(maxMessageBytes: number) {
    this.sides = { client: new FrameContent.Side(maxMessageBytes), server: new FrameContent.Side(maxMessageBytes) }
  }

  /** `undefined` for an entry that says nothing of what went over the wire. */
  line(entry: Recording.Header | Recording.Entry): Line | undefined {
    switch (entry._tag) {
      case "Header": {
        const { extensions, start, subprotocol } = entry
        return { type: "opened", start, subprotocol, extensions }
      }
      case "Frame":
        return this.frame(entry)
      case "Raw": {
        const { bytes, cut, from, t, violation } = entry
        const length = bytes.length + cut
        return { type: "raw", from, t, length, violation, ...show(bytes, false, length) }
      }
      case "Ended":
        return { type: "ended", from: entry.from, t: entry.t, ended: entry.abruptly ? "abruptly" : "orderly" }
      case "Omitted":
        return undefined
      case "End":
        return { type: "end", t: entry.t, error: entry.error }
    }
  }

  private frame(frame: Recording.Recorded): Frame {
    const { fin, from, opcode, payload, rsv, t, torn } = frame
    const { bytes, coded, isText } = this.sides[from].read(frame)
    const length = Recording.length(frame)
    const shown =
      opcode === Opcode.close && torn === 0 ? showClose(payload) : show(bytes, isText, coded?.inflated ?? length - torn)
    return {
      type: "frame",
      from,
      t,
      op: names.get(opcode) ?? "",
      opcode,
      fin,
      rsv,
      // Anything else has broken the rule that no frame of it is recorded by: RFC 6455 section 5.1.
      masked: from === "client",
      length,
      compressed: coded && true,
      inflated: coded?.inflated,
      whole: coded?.whole,
      torn: torn > 0 ? torn : undefined,
      ...shown
    }
  }
}
