/**
 * What the frames of one side hold, for people: the bytes of each, whether they are text, and those of a compressed
 * message as they are when it is inflated. RFC 7692 section 7.2.2.
 *
 * Not in here: how it is shown, on a terminal (`cli/frames`) or as JSON (`FrameJson`).
 */
import { Chunks } from "@millrace/core/codec/Chunks"
import { isControl, Opcode } from "@millrace/core/codec/Frame"
import * as Utf8 from "@millrace/core/codec/Utf8"
import { Window } from "@millrace/core/connection/Window"
import type * as Recording from "@millrace/core/protocol/Recording"
import * as Exit from "effect/Exit"
import { inflateNow } from "../Inflate.ts"

/** A message that an extension has coded, as far as it has come. */
interface Coded {
  readonly opcode: Opcode
  readonly payload: Chunks
  isWhole: boolean
}

/** What a frame holds, as far as it is to be shown. */
export interface Content {
  /** Of the last frame of a compressed message, all of the message; of those before it, nothing. */
  readonly bytes: Uint8Array
  readonly isText: boolean
  /** Of a frame of a compressed message. */
  readonly coded?:
    | {
        /** Bytes of the message as it is. `undefined` before its last frame, and where it cannot be inflated. */
        readonly inflated?: number
        /** Bytes of the message as it came, where it came in several frames. */
        readonly whole?: number
      }
    | undefined
}

const noBytes = new Uint8Array(0)

/** The largest there is holds what any that was agreed on does. RFC 7692 section 7.1.2. */
const windowSize = 2 ** 15

/** One side: what its frames belong to. */
export class Side {
  private readonly maxMessageBytes: number
  private window = new Window(windowSize)
  /** What the frames of the message are that has not ended. */
  private kind: Opcode = Opcode.binary
  private coded: Coded | undefined

  /** A message of more bytes than that, inflated, is left as it came. */
  constructor(maxMessageBytes: number) {
    this.maxMessageBytes = maxMessageBytes
  }

  /** What the next frame holds. */
  read(frame: Recording.Recorded): Content {
    const { opcode, payload, rsv } = frame
    if (isControl(opcode)) return { bytes: payload, isText: opcode !== Opcode.close && Utf8.isValid(payload) }
    const isFirst = opcode !== Opcode.continuation
    if (isFirst) this.kind = opcode
    if (isFirst && (rsv & 4) !== 0) this.coded = { opcode, payload: new Chunks(), isWhole: true }
    if (this.coded !== undefined) return this.readCoded(this.coded, frame)
    const isWhole = isFirst && frame.fin && frame.cut + frame.torn === 0
    return { bytes: payload, isText: this.kind === Opcode.text && (!isWhole || Utf8.isValid(payload)) }
  }

  private readCoded(coded: Coded, frame: Recording.Recorded): Content {
    const { cut, fin, payload, torn } = frame
    if (cut + torn > 0 || coded.payload.length + payload.length > 2 * this.maxMessageBytes) coded.isWhole = false
    if (coded.isWhole) coded.payload.push(payload)
    if (!fin) return { bytes: noBytes, isText: false, coded: {} }
    this.coded = undefined
    const inflated = coded.isWhole ? this.inflate(coded.payload) : undefined
    if (inflated === undefined) {
      // Messages behind it that refer to what is missing cannot be inflated either.
      this.window = new Window(windowSize)
      return { bytes: payload, isText: false, coded: {} }
    }
    this.window.push(inflated)
    const whole = coded.payload.length === payload.length ? {} : { whole: coded.payload.length }
    const isText = coded.opcode === Opcode.text && Utf8.isValid(inflated)
    return { bytes: inflated, isText, coded: { inflated: inflated.length, ...whole } }
  }

  /** `undefined` when it cannot be done. */
  private inflate(payload: Chunks): Uint8Array | undefined {
    if (payload.length === 0) return noBytes
    const { maxMessageBytes } = this
    const options = { windowBits: 15, dictionary: this.window.bytes, maxBytes: maxMessageBytes } as const
    const exit = inflateNow(payload.join(), options, maxMessageBytes)
    return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
  }
}
