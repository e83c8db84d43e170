/**
 * Frames, RFC 6455 section 5: the header, a decoder over chunks of bytes cut anywhere, and the encoder.
 *
 * Pure or local: no clock, no randomness, no knowledge of whether the connection is open, what a message is, or
 * whether text is UTF-8 (that is `protocol/WebSocketProtocol`). Lengths and offsets are in bytes; integers on the wire
 * are big-endian.
 */
import * as Mask from "./Mask.ts"
import { ProtocolViolation } from "./ProtocolViolation.ts"

/** RFC 6455 section 5.2. */
export const Opcode = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa
} as const

/** What a frame is, in four bits. */
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

const isOpcode = (bits: number): bits is Opcode => bits <= 0x2 || (bits >= 0x8 && bits <= 0xa)

/** Close, Ping and Pong. Section 5.5. */
export const isControl = (opcode: Opcode): boolean => opcode >= 0x8

/** The longest payload of a control frame. Section 5.5. */
export const maxControlPayload = 125

/** The longest header: two bytes, eight of length, four of masking key. */
export const maxHeaderLength = 14

/**
 * One frame. `rsv` holds RSV1, RSV2 and RSV3 as the bits 4, 2 and 1; without an extension it is 0. The payload is as
 * the application means it: the encoder masks it, the decoder has unmasked it.
 */
export interface Frame<out Payload = Uint8Array> {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: Opcode
  readonly payload: Payload
}

/**
 * What the decoder gives: a frame, or the next part of one. A control frame is always whole; a data frame that is cut
 * by the chunks comes in parts, so that nothing has to wait, or be held, until all of it is there.
 *
 * A whole frame has `offset` 0 and `remaining` 0.
 */
export interface FramePart extends Frame {
  /** How many bytes of this frame's payload came in earlier parts. */
  readonly offset: number
  /** How many are still to come. */
  readonly remaining: number
}

/** A header as read from the wire: what the next `payloadLength` bytes are. */
export interface FrameHeader {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: Opcode
  /** 32 bits, or `undefined` when the frame is not masked. */
  readonly maskingKey: number | undefined
  readonly payloadLength: number
  /** 2 to 14: where the payload starts, counted from the first byte of the header. */
  readonly headerLength: number
}

/** What the receiving endpoint accepts. */
export interface Expected {
  /** `true` on a server, `false` on a client. Section 5.1. */
  readonly masked: boolean
  /** The reserved bits that a negotiated extension gave a meaning, as in `Frame.rsv`. */
  readonly rsv: number
  /**
   * The longest payload of a data frame, at most `Number.MAX_SAFE_INTEGER`. Control frames have their own limit, so that
   * a small one here does not keep a Ping from its Pong or a Close from its answer.
   */
  readonly maxPayloadLength: number
}

const violation = (clause: string, detail: string, closeCode: 1002 | 1009 = 1002) =>
  new ProtocolViolation({ closeCode, clause, detail })

/**
 * Decodes the header that starts at `offset` and leaves the payload alone.
 *
 * Gives `undefined` while bytes are missing: keep what you have and ask again. Rules that need only the first two
 * bytes are checked as soon as those are there, and the length before a byte of the payload, so that a peer cannot
 * make us wait for, or hold, the rest of a frame that is already wrong.
 *
 * Gives a violation with 1002 when a rule of section 5.1, 5.2 or 5.5 is broken, and with 1009 when the payload is
 * longer than `maxPayloadLength`. Both are the peer's fault.
 */
export const decodeHeader = (
  bytes: DataView,
  offset: number,
  expected: Expected
): FrameHeader | ProtocolViolation | undefined => {
  const available = bytes.byteLength - offset
  if (available < 2) return undefined

  const first = bytes.getUint8(offset)
  const second = bytes.getUint8(offset + 1)
  const fin = (first & 0x80) !== 0
  const rsv = (first >> 4) & 0x7
  const opcode = first & 0xf
  const masked = (second & 0x80) !== 0
  const length7 = second & 0x7f

  if (!isOpcode(opcode)) return violation("RFC 6455 5.2", "reserved opcode")
  if (rsv !== 0) {
    // An extension claims its bits for whole messages, so they stand on the frame that names the kind of message.
    const meant = opcode === Opcode.text || opcode === Opcode.binary ? expected.rsv : 0
    if ((rsv & ~meant) !== 0) return violation("RFC 6455 5.2", "reserved bit set")
  }
  if (isControl(opcode)) {
    if (!fin) return violation("RFC 6455 5.5", "fragmented control frame")
    if (length7 > maxControlPayload) return violation("RFC 6455 5.5", "control frame longer than 125 bytes")
  }
  if (masked !== expected.masked) {
    return violation("RFC 6455 5.1", masked ? "masked frame from a server" : "unmasked frame from a client")
  }

  const lengthSize = length7 === 127 ? 8 : length7 === 126 ? 2 : 0
  if (available < 2 + lengthSize) return undefined

  let payloadLength = length7
  if (lengthSize === 2) payloadLength = bytes.getUint16(offset + 2)
  if (lengthSize === 8) payloadLength = bytes.getUint32(offset + 2) * 2 ** 32 + bytes.getUint32(offset + 6)
  if ((lengthSize === 2 && payloadLength < 126) || (lengthSize === 8 && payloadLength < 2 ** 16)) {
    return violation("RFC 6455 5.2", "length not in the shortest form")
  }
  // The bit itself, not the number: 2^63 - 1 is not one that a double can hold.
  if (lengthSize === 8 && bytes.getUint8(offset + 2) >= 0x80) {
    return violation("RFC 6455 5.2", "most significant bit of the length set")
  }
  if (payloadLength > expected.maxPayloadLength && !isControl(opcode)) {
    return violation("RFC 6455 7.4.1", "message too big", 1009)
  }

  const headerLength = 2 + lengthSize + (masked ? 4 : 0)
  if (available < headerLength) return undefined
  const maskingKey = masked ? bytes.getUint32(offset + headerLength - 4) : undefined
  return { fin, rsv, opcode, maskingKey, payloadLength, headerLength }
}

/** What one chunk completed. What came before a violation still counts. */
export interface Decoded {
  readonly parts: ReadonlyArray<FramePart>
  readonly violation: ProtocolViolation | undefined
}

/**
 * An incremental decoder: push the stream in chunks, cut anywhere.
 *
 * It takes the chunks over: masked payloads are unmasked in place, and the parts it gives are views of them. Between
 * two chunks it holds at most one header and the payload of one control frame, 139 bytes; joining parts is left to
 * whoever wants messages. A violation is final: later pushes give nothing.
 */
export class Decoder {
  private readonly expected: Expected
  /** The data frame whose payload goes on in the next chunk, and how much of it has come. */
  private current: FrameHeader | undefined
  private received = 0
  /** The start of a frame that was cut before any of it could be given. */
  private held: Uint8Array | undefined
  private failed = false

  constructor(expected: Expected) {
    this.expected = expected
  }

  push(chunk: Uint8Array): Decoded {
    const parts: Array<FramePart> = []
    if (this.failed || chunk.length === 0) return { parts, violation: undefined }
    if (this.held !== undefined) {
      const start = this.held
      this.held = undefined
      return this.pushAfter(start, chunk)
    }
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    let offset = 0
    if (this.current !== undefined) offset = this.take(parts, view, 0, this.current)
    while (offset < chunk.length) {
      const header = decodeHeader(view, offset, this.expected)
      if (header instanceof ProtocolViolation) {
        this.failed = true
        return { parts, violation: header }
      }
      const incomplete =
        header === undefined ||
        (isControl(header.opcode) && chunk.length - offset < header.headerLength + header.payloadLength)
      if (incomplete) {
        // Copied also where the chunk is a `Buffer`, whose `slice` keeps all of it.
        this.held = new Uint8Array(chunk.subarray(offset))
        break
      }
      offset = this.take(parts, view, offset + header.headerLength, header)
    }
    return { parts, violation: undefined }
  }

  /** Gives what the bytes from `start` on hold of the payload that `header` announces. Returns where it ended. */
  private take(parts: Array<FramePart>, view: DataView, start: number, header: FrameHeader): number {
    const { fin, rsv, opcode, maskingKey, payloadLength } = header
    const offset = this.received
    const end = Math.min(start + payloadLength - offset, view.byteLength)
    if (maskingKey !== undefined) Mask.applyInView(view, start, end, maskingKey, offset)
    const received = offset + end - start
    const whole = received === payloadLength
    this.current = whole ? undefined : header
    this.received = whole ? 0 : received
    // A header that ends its chunk is not worth a part of its own, unless the frame is empty.
    if (end > start || whole) {
      const payload = new Uint8Array(view.buffer, view.byteOffset + start, end - start)
      parts.push({ fin, rsv, opcode, payload, offset, remaining: payloadLength - received })
    }
    return end
  }

  /** Goes on with the start of a frame: only what completes it is copied, so a chunk of any size is walked once. */
  private pushAfter(start: Uint8Array, chunk: Uint8Array): Decoded {
    const longest = maxHeaderLength + maxControlPayload
    const joined = new Uint8Array(Math.min(start.length + chunk.length, longest))
    joined.set(start)
    joined.set(chunk.subarray(0, joined.length - start.length), start.length)
    const header = decodeHeader(new DataView(joined.buffer), 0, this.expected)
    if (header === undefined) {
      this.held = joined
      return { parts: [], violation: undefined }
    }
    if (header instanceof ProtocolViolation) return this.push(joined)
    const needed = header.headerLength + (isControl(header.opcode) ? header.payloadLength : 0)
    if (joined.length < needed) {
      this.held = joined
      return { parts: [], violation: undefined }
    }
    const completed = this.push(joined.subarray(0, needed))
    const rest = this.push(chunk.subarray(needed - start.length))
    return { parts: [...completed.parts, ...rest.parts], violation: rest.violation }
  }
}

/** Creates a `Decoder`. */
export const makeDecoder = (expected: Expected): Decoder => new Decoder(expected)

/** How many bytes a header takes for a payload of that length. */
export const headerLength = (payloadLength: number, masked: boolean): number =>
  (payloadLength > 0xffff ? 10 : payloadLength > 125 ? 4 : 2) + (masked ? 4 : 0)

/**
 * Writes a header at `offset`, in the shortest form (section 5.2), and returns where the payload starts. The target
 * must have room for `headerLength` bytes.
 */
export const encodeHeaderInto = (
  target: Uint8Array,
  offset: number,
  frame: Frame<unknown>,
  payloadLength: number,
  maskingKey?: number
): number => {
  let at = offset
  const masked = maskingKey === undefined ? 0 : 0x80
  target[at++] = (frame.fin ? 0x80 : 0) | (frame.rsv << 4) | frame.opcode
  if (payloadLength > 0xffff) {
    target[at++] = masked | 127
    const high = Math.floor(payloadLength / 2 ** 32)
    for (let shift = 24; shift >= 0; shift -= 8) target[at++] = high >>> shift
    for (let shift = 24; shift >= 0; shift -= 8) target[at++] = payloadLength >>> shift
  } else if (payloadLength > 125) {
    target[at++] = masked | 126
    target[at++] = payloadLength >> 8
    target[at++] = payloadLength
  } else {
    target[at++] = masked | payloadLength
  }
  if (maskingKey !== undefined) for (let shift = 24; shift >= 0; shift -= 8) target[at++] = maskingKey >>> shift
  return at
}

/**
 * Encodes a frame into new bytes, masked when a key is given: a client's duty, section 5.1. Never fails; a frame that
 * breaks a rule (a control frame of more than 125 bytes) is a mistake of the caller.
 */
export const encode = (frame: Frame, maskingKey?: number): Uint8Array => {
  const { payload } = frame
  const bytes = new Uint8Array(headerLength(payload.length, maskingKey !== undefined) + payload.length)
  const start = encodeHeaderInto(bytes, 0, frame, payload.length, maskingKey)
  bytes.set(payload, start)
  if (maskingKey !== undefined) Mask.applyInPlace(bytes.subarray(start), maskingKey)
  return bytes
}
