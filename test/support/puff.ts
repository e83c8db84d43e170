/**
 * An inflater for tests, as slow and literal as RFC 1951 describes it, that shares nothing with zlib. It says how far
 * back the bytes refer, which zlib does not.
 */

/** What was read. */
export interface Inflated {
  /** Without the history. */
  readonly bytes: Uint8Array
  /** The longest distance of a reference. */
  readonly farthest: number
  /** The type of each block, whether it was final, and how many bytes came out of it. */
  readonly blocks: ReadonlyArray<{ readonly type: number; readonly final: boolean; readonly length: number }>
}

class Bits {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get done(): boolean {
    return this.at >= this.bytes.length * 8
  }

  bit(): number {
    const byte = this.bytes[this.at >> 3]
    if (byte === undefined) throw new Error("the bytes end in the middle of a block")
    return (byte >> (this.at++ & 7)) & 1
  }

  /** The least significant bit comes first. */
  number(length: number): number {
    let value = 0
    for (let i = 0; i < length; i++) value += this.bit() * 2 ** i
    return value
  }

  align(): void {
    this.at = (this.at + 7) & ~7
  }
}

/** Section 3.2.2: symbols by their codes, written as `length:code`. */
type Codes = ReadonlyMap<string, number>

/** Throws for lengths that leave codes without a symbol, unless there is one code only, or symbols without a code. */
const codesOf = (lengths: ReadonlyArray<number>, maySpare = false): Codes => {
  const longest = Math.max(...lengths)
  const used = lengths.reduce((sum, length) => sum + (length === 0 ? 0 : 2 ** (15 - length)), 0)
  if (used > 2 ** 15 || (used > 0 && used < 2 ** 15 && !(maySpare && longest === 1))) {
    throw new Error("these lengths make no set of codes")
  }
  const codes = new Map<string, number>()
  let code = 0
  for (let length = 1; length <= 15; length++) {
    code *= 2
    for (const [symbol, own] of lengths.entries()) {
      if (own === length) codes.set(`${length}:${code++}`, symbol)
    }
  }
  return codes
}

const symbol = (bits: Bits, codes: Codes): number => {
  let code = 0
  for (let length = 1; length <= 15; length++) {
    code = code * 2 + bits.bit()
    const found = codes.get(`${length}:${code}`)
    if (found !== undefined) return found
  }
  throw new Error("there is no such code")
}

const repeat = (length: number, value: number): ReadonlyArray<number> => Array.from({ length }, () => value)

/** Section 3.2.6. */
const fixedLengths = codesOf([...repeat(144, 8), ...repeat(112, 9), ...repeat(24, 7), ...repeat(8, 8)])
const fixedDistances = codesOf(repeat(32, 5))

/** Section 3.2.5: the first value of each symbol, and its extra bits. */
const lengths = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258
]
const lengthBits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const distanceBits = Array.from({ length: 30 }, (_, i) => Math.max(0, (i >> 1) - 1))
const distances = distanceBits.map((_, i) => 1 + distanceBits.slice(0, i).reduce((sum, bits) => sum + 2 ** bits, 0))

/** Section 3.2.7. */
const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

const dynamic = (bits: Bits): readonly [Codes, Codes] => {
  const [literals, distances, own] = [bits.number(5) + 257, bits.number(5) + 1, bits.number(4) + 4]
  if (literals > 286 || distances > 30) throw new Error("there are no so many symbols")
  const ownLengths = repeat(19, 0).slice()
  for (const symbol of order.slice(0, own)) ownLengths[symbol] = bits.number(3)
  const codes = codesOf(ownLengths)
  const found: Array<number> = []
  while (found.length < literals + distances) {
    const next = symbol(bits, codes)
    if (next < 16) found.push(next)
    else if (next === 16) {
      const last = found.at(-1)
      if (last === undefined) throw new Error("there is no length to repeat")
      found.push(...repeat(3 + bits.number(2), last))
    } else found.push(...repeat(next === 17 ? 3 + bits.number(3) : 11 + bits.number(7), 0))
  }
  if (found.length > literals + distances) throw new Error("there are more lengths than symbols")
  if (found[256] === 0) throw new Error("no code ends the block")
  return [codesOf(found.slice(0, literals), true), codesOf(found.slice(literals), true)]
}

/** Reads blocks to the end of the bytes; throws when they end in the middle of one. `history` is what came before. */
export const inflate = (bytes: Uint8Array, history: Uint8Array = new Uint8Array(0)): Inflated => {
  const bits = new Bits(bytes)
  const out = Array.from(history)
  const blocks: Array<Inflated["blocks"][number]> = []
  let farthest = 0
  const copy = (length: number, distance: number) => {
    if (distance > out.length) throw new Error(`${distance} bytes back is before the first`)
    farthest = Math.max(farthest, distance)
    for (let i = 0; i < length; i++) out.push(out[out.length - distance]!)
  }
  const compressed = ([literals, far]: readonly [Codes, Codes]) => {
    for (let next = symbol(bits, literals); next !== 256; next = symbol(bits, literals)) {
      if (next < 256) {
        out.push(next)
        continue
      }
      if (next > 285) throw new Error("there is no such length")
      const length = lengths[next - 257]! + bits.number(lengthBits[next - 257]!)
      const distance = symbol(bits, far)
      if (distance > 29) throw new Error("there is no such distance")
      copy(length, distances[distance]! + bits.number(distanceBits[distance]!))
    }
  }
  while (!bits.done) {
    const final = bits.bit() === 1
    const type = bits.number(2)
    const before = out.length
    if (type === 0) {
      bits.align()
      const length = bits.number(16)
      if (length + bits.number(16) !== 65_535) throw new Error("a length and its complement do not fit")
      for (let i = 0; i < length; i++) out.push(bits.number(8))
    } else if (type === 1) compressed([fixedLengths, fixedDistances])
    else if (type === 2) compressed(dynamic(bits))
    else throw new Error("there is no such type of block")
    // RFC 7692 section 7.2.1: behind a final block the next one starts at a byte.
    if (final) bits.align()
    blocks.push({ type, final, length: out.length - before })
  }
  return { bytes: Uint8Array.from(out.slice(history.length)), farthest, blocks }
}
