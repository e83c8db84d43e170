/**
 * Frames for tests: an encoder and a reader as slow and literal as section 5.2 of RFC 6455 draws them, which share
 * nothing with the ones they test, and frames made at random with the sizes that matter on purpose.
 */
import * as fc from "fast-check"
import * as Frame from "@millrace/core/codec/Frame"

/** Bytes as the RFC prints them. */
export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

const bigEndian = (value: number, size: number): ReadonlyArray<number> =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** (size - 1 - i)) % 256)

/** The header of section 5.2 for a payload of that length. */
export const header = (frame: Omit<Frame.Frame, "payload">, length: number, key?: number): Uint8Array =>
  Uint8Array.of(
    (frame.fin ? 128 : 0) + frame.rsv * 16 + frame.opcode,
    (key === undefined ? 0 : 128) + (length < 126 ? length : length < 65_536 ? 126 : 127),
    ...(length < 126 ? [] : bigEndian(length, length < 65_536 ? 2 : 8)),
    ...(key === undefined ? [] : bigEndian(key, 4))
  )

/** Section 5.3, octet by octet. */
export const mask = (payload: Uint8Array, key: number, position = 0): Uint8Array => {
  const octets = bigEndian(key < 0 ? key + 2 ** 32 : key, 4)
  return payload.map((octet, i) => octet ^ octets[(position + i) % 4]!)
}

export const encode = (frame: Frame.Frame, key?: number): Uint8Array =>
  concat([header(frame, frame.payload.length, key), key === undefined ? frame.payload : mask(frame.payload, key)])

export interface Seen extends Frame.Frame {
  readonly key: number | undefined
}

/** Reads whole frames; throws when bytes are left over. */
export const read = (wire: Uint8Array): ReadonlyArray<Seen> => {
  const seen: Array<Seen> = []
  let at = 0
  const number = (size: number) => {
    if (at + size > wire.length) throw new Error(`${wire.length} bytes end within a frame`)
    let value = 0
    for (const end = at + size; at < end; at++) value = value * 256 + wire[at]!
    return value
  }
  while (at < wire.length) {
    const first = number(1)
    const second = number(1)
    const short = second % 128
    const length = short === 127 ? number(8) : short === 126 ? number(2) : short
    const key = second < 128 ? undefined : number(4)
    if (at + length > wire.length) throw new Error(`${wire.length} bytes end within a payload`)
    const payload = wire.slice(at, (at += length))
    seen.push({
      fin: first >= 128,
      rsv: Math.floor(first / 16) % 8,
      opcode: (first % 16) as Frame.Opcode,
      key,
      payload: key === undefined ? payload : mask(payload, key)
    })
  }
  return seen
}

export const frame = (opcode: Frame.Opcode, payload: Uint8Array, fin = true): Frame.Frame => ({
  fin,
  rsv: 0,
  opcode,
  payload
})

/** Lengths at which a header changes its form, and those around them. */
export const boundaries = [0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537] as const

/** Bytes that are not all alike, so that one in the wrong place is seen. */
export const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff)

/** 32 bits, those with the highest bit and with equal octets among them. */
export const key = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 0xff, 0x80000000, 0xffffffff, 0x01020304)
)

/** `undefined` on a server, a key on a client. */
export const maybeKey = fc.option(key, { nil: undefined })

const control = fc.record({
  fin: fc.constant(true),
  rsv: fc.constant(0),
  opcode: fc.constantFrom(Frame.Opcode.close, Frame.Opcode.ping, Frame.Opcode.pong),
  payload: fc.uint8Array({ maxLength: 125 })
})

/** Any frame that section 5 allows; every length at which the header changes is reached. */
export const any: fc.Arbitrary<Frame.Frame> = fc.oneof(
  { weight: 1, arbitrary: control },
  {
    weight: 2,
    arbitrary: fc.record({
      fin: fc.boolean(),
      rsv: fc.constant(0),
      opcode: fc.constantFrom(Frame.Opcode.continuation, Frame.Opcode.text, Frame.Opcode.binary),
      payload: fc.oneof(
        { weight: 6, arbitrary: fc.uint8Array({ maxLength: 300 }) },
        { weight: 2, arbitrary: fc.constantFrom(0, 1, 124, 125, 126, 127).map(counting) },
        { weight: 1, arbitrary: fc.constantFrom(...boundaries).map(counting) }
      )
    })
  }
)

/** Where to cut, for `cut`: a few places anywhere, or many near the start, within the headers. */
export const positions = fc.oneof(
  fc.array(fc.nat(), { maxLength: 12 }),
  fc.array(fc.nat({ max: 40 }), { maxLength: 30 })
)

/** A frame, or as much of it as has come. */
export interface Joined extends Frame.Frame {
  readonly remaining: number
}

/** The parts that a decoder gave, joined to frames again; throws when one does not follow on the one before. */
export const joinParts = (parts: ReadonlyArray<Frame.FramePart>): ReadonlyArray<Joined> => {
  const groups: Array<Array<Frame.FramePart>> = []
  for (const part of parts) {
    const group = groups.at(-1)
    const last = group?.at(-1)
    const goesOn = last !== undefined && last.remaining > 0
    if (part.offset === 0 && !goesOn) {
      groups.push([part])
    } else if (
      goesOn &&
      part.offset === last.offset + last.payload.length &&
      part.payload.length + part.remaining === last.remaining &&
      part.opcode === last.opcode &&
      part.fin === last.fin &&
      part.rsv === last.rsv
    ) {
      group!.push(part)
    } else {
      throw new Error(`a part at ${part.offset} does not follow on what came before`)
    }
  }
  return groups.map((group) => {
    const { fin, rsv, opcode } = group[0]!
    return {
      fin,
      rsv,
      opcode,
      payload: concat(group.map(({ payload }) => payload)),
      remaining: group.at(-1)!.remaining
    }
  })
}
