/**
 * Frames as a load generator needs them: written once, masked once, sent many times; counted when they come back, with
 * no more of RFC 6455 than that takes. Not the codec of the toolkit, so that the two cannot be wrong together.
 */

export type Kind = "text" | "binary"

const alphabet = "Sphinx of black quartz, judge my vow; the mill turns while the water runs. "

/** `size` bytes of ASCII, which any decoder's fast path likes equally. */
export const payload = (size: number): Buffer => Buffer.alloc(size, alphabet)

/** FIN, and what RFC 7692 marks a compressed message with: RSV1. */
const fin = 0x80
const rsv1 = 0x40

/** A whole message in one frame as a client sends it: FIN, masked. Section 5.2. */
export const encode = (
  kind: Kind | "pong",
  body: Uint8Array,
  compressed = false,
  key: readonly [number, number, number, number] = [0x9d, 0x41, 0x5e, 0xc7]
): Buffer => {
  const first = fin | (compressed ? rsv1 : 0) | { text: 0x1, binary: 0x2, pong: 0xa }[kind]
  const size = body.length
  const header =
    size < 126
      ? Buffer.of(first, 0x80 | size)
      : size < 65_536
        ? Buffer.of(first, 0x80 | 126, size >> 8, size & 0xff)
        : Buffer.of(first, 0x80 | 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 0xff, (size >> 8) & 0xff, size & 0xff)
  return Buffer.concat([header, Buffer.from(key), body.map((byte, index) => byte ^ (key[index & 3] ?? 0))])
}

export interface Events {
  /** A message is complete: the length of its payload over all its fragments, and whether it is marked as compressed. */
  readonly message: (length: number, compressed: boolean) => void
  readonly ping: (body: Buffer) => void
  readonly close: (code: number) => void
}

/** Takes bytes in any cut; `content` is called with every piece of a message's payload. */
export type Counter = (bytes: Buffer, content?: (piece: Buffer) => void) => void

const empty = Buffer.alloc(0)

/** Counts the messages in what a server sends: unmasked frames, which it trusts to be well formed. */
export const counter = (events: Events): Counter => {
  const header = Buffer.alloc(10)
  let have = 0 // bytes of the header so far
  let left = 0 // bytes of this frame's payload still to come
  let total = 0 // bytes of this message
  let compressed = false // this message
  let control = empty

  const frameEnded = () => {
    const first = header.readUInt8(0)
    have = 0
    const opcode = first & 0x0f
    if (opcode === 0x1 || opcode === 0x2) compressed = (first & rsv1) !== 0
    if (opcode === 0x9) events.ping(control)
    else if (opcode === 0x8) events.close(control.length >= 2 ? control.readUInt16BE(0) : 1005)
    else if (opcode < 0x8 && first >= fin) {
      const length = total
      total = 0
      events.message(length, compressed)
    }
    if (control !== empty) control = empty
  }

  return (bytes, content) => {
    let at = 0
    while (at < bytes.length) {
      if (left > 0) {
        const step = Math.min(left, bytes.length - at)
        if (header.readUInt8(0) & 0x08) control = Buffer.concat([control, bytes.subarray(at, at + step)])
        else content?.(bytes.subarray(at, at + step))
        at += step
        left -= step
        if (left === 0) frameEnded()
        continue
      }
      header.writeUInt8(bytes.readUInt8(at++), have++)
      if (have < 2) continue
      const short = header.readUInt8(1)
      if (short < 126) left = short
      else if (short === 126 && have === 4) left = header.readUInt16BE(2)
      else if (short === 127 && have === 10) left = Number(header.readBigUInt64BE(2))
      else continue
      if ((header.readUInt8(0) & 0x08) === 0) total += left
      if (left === 0) frameEnded()
    }
  }
}
