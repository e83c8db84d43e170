/** Blocks of DEFLATE that no compressor would choose, written bit by bit as RFC 1951 section 3.2 describes them. */

/** The four octets of section 7.2.1, which a sender removes and a receiver appends. */
export const tail = Uint8Array.of(0x00, 0x00, 0xff, 0xff)

/** A stored block, of at most 65,535 bytes, and the octet in which the next one begins. */
export const stored = (bytes: Uint8Array): Uint8Array => {
  const [low, high] = [bytes.length & 255, bytes.length >> 8]
  return Uint8Array.of(0, low, high, ~low & 255, ~high & 255, ...bytes, 0)
}

/** A message that is so many bytes, 3 to 10, from that far back, 5 to 32,768, in a block with fixed codes. */
export const copied = (length: number, distance: number): Uint8Array => {
  const bits: Array<number> = []
  const number = (value: number, count: number) => {
    for (let i = 0; i < count; i++) bits.push((value >> i) & 1)
  }
  const code = (value: number, count: number) => {
    for (let i = count - 1; i >= 0; i--) bits.push((value >> i) & 1)
  }
  number(0b010, 3)
  code(length - 2, 7)
  const extra = 30 - Math.clz32(distance - 1)
  const half = ((distance - 1) >> extra) & 1
  code(2 * extra + 2 + half, 5)
  number((distance - 1) & ((1 << extra) - 1), extra)
  code(0, 7)
  // The header of the empty stored block, whose four last octets are taken away.
  number(0b000, 3)
  const bytes = new Uint8Array(Math.ceil(bits.length / 8))
  for (const [i, bit] of bits.entries()) bytes[i >> 3]! |= bit << (i & 7)
  return bytes
}
