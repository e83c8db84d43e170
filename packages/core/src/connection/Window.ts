/**
 * What went one way, compressed, as far back as a compressor may refer to it: the sliding window that context takeover
 * carries from one message to the next. RFC 7692 section 7.1.1.
 *
 * It holds what has come and no more, so that a connection on which little was said costs little: 1 KiB after a first
 * message of 1 KiB, and never more than `size`.
 */

const nothing = new Uint8Array(0)

/** So many messages are kept by reference. With more of them, those before are forgotten. */
const mostShared = 16

export class Window {
  private readonly size: number
  /** Its first `used` bytes are taken. It is this window's own, and changes. */
  private buffer = nothing
  private used = 0
  /** What came behind those, and other windows hold too. Not copied before somebody asks for the bytes. */
  private shared: Array<Uint8Array> | undefined
  private sharedLength = 0

  /** `size` in bytes is how far back one may refer. */
  constructor(size: number) {
    this.size = size
  }

  /** Takes what comes next, by copying as much of it as it may hold. */
  push(bytes: Uint8Array): void {
    this.gather()
    const tail = bytes.length > this.size ? bytes.subarray(bytes.length - this.size) : bytes
    const kept = Math.min(this.used, this.size - tail.length)
    const length = kept + tail.length
    if (length > this.buffer.length) {
      const grown = new Uint8Array(Math.min(this.size, Math.max(length, this.buffer.length * 2)))
      grown.set(this.buffer.subarray(this.used - kept, this.used))
      this.buffer = grown
    } else if (kept < this.used) {
      this.buffer.copyWithin(0, this.used - kept, this.used)
    }
    this.buffer.set(tail, kept)
    this.used = length
  }

  /**
   * Takes what comes next without copying it: at most `size` bytes, the last of what went to many, which must not change
   * any more. What is kept is still an end of all that came, though it may be less than `size` bytes.
   */
  share(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    const shared = (this.shared ??= [])
    shared.push(bytes)
    this.sharedLength += bytes.length
    while (shared.length > mostShared || this.sharedLength - shared[0]!.length >= this.size) {
      this.sharedLength -= shared.shift()!.length
      this.forgetOwn()
    }
    if (this.sharedLength >= this.size) this.forgetOwn()
  }

  private forgetOwn(): void {
    this.buffer = nothing
    this.used = 0
  }

  private gather(): void {
    const { shared } = this
    if (shared === undefined) return
    this.shared = undefined
    this.sharedLength = 0
    for (const bytes of shared) this.push(bytes)
  }

  /** The bytes, oldest first; `undefined` when there are none. A view that the next `push` changes. */
  get bytes(): Uint8Array | undefined {
    if (this.used === 0 && this.shared?.length === 1) return this.shared[0]
    this.gather()
    return this.used === 0 ? undefined : this.buffer.subarray(0, this.used)
  }

  /** A window that goes on from here by itself. */
  copy(): Window {
    const copy = new Window(this.size)
    const { bytes } = this
    if (bytes !== undefined) copy.push(bytes)
    return copy
  }
}
