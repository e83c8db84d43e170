/** A view and its buffer take about 200 bytes besides what they hold. Measured. */
const minKept = 512

/**
 * A payload that arrives in pieces, joined when it is whole and somebody wants it in one.
 *
 * Costs linear time and about twice the bytes it holds, at worst three times, however small the pieces: a piece that is
 * short, or only a sliver of the buffer it lies in, is copied, so that a peer that sends a message byte by byte cannot
 * make us hold a buffer for each.
 */
export class Chunks {
  /** Bytes so far. */
  length = 0
  private readonly kept: Array<Uint8Array> = []
  /** Where slivers are copied to; its first `used` bytes are taken, those from `from` on are not in `kept` yet. */
  private block: Uint8Array | undefined
  private from = 0
  private used = 0
  /** How many bytes were copied in all: what comes in slivers goes on doing so. */
  private copied = 0

  push(piece: Uint8Array): void {
    if (piece.length === 0) return
    this.length += piece.length
    if (piece.length >= minKept && piece.length * 2 >= piece.buffer.byteLength) {
      this.seal()
      this.kept.push(piece)
      return
    }
    if (this.block === undefined || this.block.length - this.used < piece.length) {
      this.seal()
      this.block = new Uint8Array(Math.max(piece.length, Math.min(this.copied * 2, 65_536), 64))
      this.from = this.used = 0
    }
    this.block.set(piece, this.used)
    this.used += piece.length
    this.copied += piece.length
  }

  private seal(): void {
    if (this.block === undefined || this.used === this.from) return
    this.kept.push(this.block.subarray(this.from, this.used))
    this.from = this.used
  }

  /** The bytes in order, in as many pieces as they are kept in. */
  get pieces(): ReadonlyArray<Uint8Array> {
    this.seal()
    return this.kept
  }

  /** All bytes, in order. The pieces stay what they are, so it may be asked again after more has come. */
  join(): Uint8Array {
    const { pieces } = this
    if (pieces.length === 1) return pieces[0]!
    const joined = new Uint8Array(this.length)
    let offset = 0
    for (const piece of pieces) {
      joined.set(piece, offset)
      offset += piece.length
    }
    return joined
  }
}
