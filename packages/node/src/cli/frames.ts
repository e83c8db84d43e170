/**
 * Frames as lines for a person: what went over a connection, in both directions, as it comes out of a `Recorder`.
 *
 *     →    0.0121  text    fin rsv1       34 B  (inflated: 400 B) one one one one…
 *     ←    0.0130  close   fin            11 B  1003 (unsupported data) text only
 *
 * Not in here: what a frame holds, inflated where it is compressed (`FrameContent`), and where the lines go.
 */
import { styleText } from "node:util"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import { isControl, Opcode } from "@millrace/core/codec/Frame"
import type { Facts } from "@millrace/core/connection/Tap"
import * as Recording from "@millrace/core/protocol/Recording"
import * as Result from "effect/Result"
import * as FrameContent from "../frames/FrameContent.ts"
import * as words from "./words.ts"

/** How frames are to look. */
export interface Look {
  /** How wide a line may be, in columns. Asked for each line, as a terminal changes. */
  readonly columns: () => number
  readonly isColoured: boolean
  /** Of a message, in bytes. A longer one is not inflated. */
  readonly maxMessageBytes: number
}

type Role = Recording.Recorded["from"]

const names: ReadonlyMap<Opcode, string> = new Map([
  [Opcode.continuation, "cont"],
  [Opcode.text, "text"],
  [Opcode.binary, "binary"],
  [Opcode.close, "close"],
  [Opcode.ping, "ping"],
  [Opcode.pong, "pong"]
])

/** Content has so many columns at least, on a terminal that is narrower than that. */
const leastRoom = 16

/** What looks like one character may be made of several, of four bytes each. */
const bytesPerColumn = 16

const graphemes = new Intl.Segmenter()

/** What a character takes no column for. */
const isWithoutWidth = (character: string): boolean => /\p{Mark}|\p{Format}/u.test(character)

/**
 * No less columns than a terminal needs: of what may be wide, it is not looked up whether it is, and not every terminal
 * joins several emoji to one.
 */
const widthOf = (grapheme: string): number => {
  let width = 0
  for (const character of grapheme) {
    if (!isWithoutWidth(character)) width += character.codePointAt(0)! < 0x1100 ? 1 : 2
  }
  return width
}

/** As much of `text` as there is room for, with an ellipsis where it was cut or `goesOn`. */
const fit = (text: string, room: number, goesOn = false): string => {
  let [width, kept] = [0, ""]
  let whole = ""
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment)
    if (width > room) return `${kept}…`
    whole += segment
    if (width < room) kept = whole
  }
  return goesOn ? `${kept}…` : whole
}

const hex = (bytes: Uint8Array, room: number): string => {
  const digits = Array.from(bytes.subarray(0, room), (byte) => byte.toString(16).padStart(2, "0"))
  return fit(digits.join(" "), room, bytes.length > room)
}

/** The start of some text, which may have been cut within a character at either end. */
const text = (bytes: Uint8Array, room: number): string => {
  const start = bytes.subarray(0, room * bytesPerColumn)
  const isCut = start.length < bytes.length
  // Half a character at the cut is left out.
  const decoded = new TextDecoder("utf-8", { ignoreBOM: true }).decode(start, { stream: isCut })
  return fit(words.line(decoded), room, isCut)
}

const close = (payload: Uint8Array): string | undefined => {
  if (payload.length === 0) return ""
  const status = CloseCode.decode(payload)
  return Result.isFailure(status) ? undefined : words.line(words.closeStatus(status.success))
}

type Style = Parameters<typeof styleText>[0]

/** What there is to say of how it was sent. */
const noteOf = ({ coded }: FrameContent.Content): string | undefined => {
  if (coded === undefined) return undefined
  const { inflated, whole } = coded
  if (inflated === undefined) return "compressed"
  return `${whole === undefined ? "" : `all ${whole} B `}inflated: ${inflated} B`
}

const flagsOf = ({ fin, rsv }: Recording.Recorded): string =>
  [fin ? "fin" : "more", ...[4, 2, 1].flatMap((bit, i) => ((rsv & bit) === 0 ? [] : [`rsv${i + 1}`]))].join(" ")

/** What is shown of an entry. */
interface Row {
  readonly from: Role
  readonly t: number
  readonly name: string
  readonly style: Style
  readonly flags?: string
  readonly length?: number
  readonly note?: string | undefined
  readonly content?: (room: number) => string
}

/** Makes lines of one connection. */
export class Frames {
  private readonly look: Look
  private readonly sides: Readonly<Record<Role, FrameContent.Side>>
  private readonly role: Role
  private readonly flagsWidth: number

  constructor({ extensions, role }: Facts, look: Look) {
    this.look = look
    this.role = role
    const { maxMessageBytes } = look
    this.sides = { client: new FrameContent.Side(maxMessageBytes), server: new FrameContent.Side(maxMessageBytes) }
    // Without extensions no bit is ever set.
    this.flagsWidth = extensions.rsv === 0 ? 4 : 9
  }

  /** The line for an entry, without its line break; `undefined` for what says nothing to a person. */
  line(entry: Recording.Header | Recording.Entry): string | undefined {
    switch (entry._tag) {
      case "Header":
        return this.paint("dim", "→ sent, ← received; seconds since it was open; bytes of payload as on the wire")
      case "Frame":
        return this.print(this.frame(entry))
      case "Raw": {
        const { bytes, cut, from, t, violation } = entry
        const content = (room: number) => hex(bytes, room)
        const note = violation === undefined ? "no whole frame" : words.line(violation)
        return this.print({ from, t, name: "raw", style: "red", length: bytes.length + cut, note, content })
      }
      case "Ended":
        return this.print({ from: entry.from, t: entry.t, name: entry.abruptly ? "cut" : "end", style: "dim" })
      case "Omitted":
        return this.paint("dim", `  ${seconds(entry.t)}  what follows is not recorded`)
      case "End":
        return entry.error === undefined
          ? undefined
          : this.paint("red", `  ${seconds(entry.t)}  lost    ${words.line(entry.error)}`)
    }
  }

  private frame(frame: Recording.Recorded): Row {
    const { from, opcode, payload, t, torn } = frame
    const content = this.sides[from].read(frame)
    const { bytes, isText } = content
    const status = opcode === Opcode.close ? close(payload) : undefined
    const note = torn > 0 ? `${torn} B never came` : noteOf(content)
    const style = isControl(opcode) ? (opcode === Opcode.close ? "yellow" : "dim") : this.directionStyle(from)
    const shown = (room: number) =>
      status !== undefined ? fit(status, room) : isText ? text(bytes, room) : hex(bytes, room)
    const length = Recording.length(frame)
    return { from, t, name: names.get(opcode) ?? "", style, flags: flagsOf(frame), length, note, content: shown }
  }

  private directionStyle(from: Role): Style {
    return from === this.role ? "cyan" : "green"
  }

  private print({ content, flags = "", from, length, name, note, style, t }: Row): string {
    const arrow = this.paint(this.directionStyle(from), from === this.role ? "→" : "←")
    const size = length === undefined ? "" : `${length} B`
    const columns = [seconds(t), name.padEnd(6), flags.padEnd(this.flagsWidth), size.padStart(8)] as const
    const said = note === undefined ? "" : `(${note}) `
    const taken = 2 + columns.join("  ").length + 2 + said.length
    const shown = content?.(Math.max(this.look.columns() - taken, leastRoom)) ?? ""
    const [time, named, flagged, sized] = columns
    const start = `${arrow} ${this.paint("dim", time)}  ${this.paint(style, named)}`
    return `${start}  ${this.paint("dim", `${flagged}  ${sized}  ${said}`)}${shown}`.trimEnd()
  }

  private paint(style: Style, text: string): string {
    return this.look.isColoured ? styleText(style, text, { validateStream: false }) : text
  }
}

/** Milliseconds, as seconds. */
const seconds = (t: number): string => (t / 1_000).toFixed(4).padStart(9)
