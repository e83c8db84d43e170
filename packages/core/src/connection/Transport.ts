/**
 * The duplex of bytes under a connection: a TCP or TLS socket, an HTTP/2 stream, or a pair in memory.
 *
 * It is as thin as what platforms have, and synchronous where they are: bytes that arrive are a callback, bytes that
 * leave are taken at once, so state and bytes can move in one step. Waiting is somebody else's business.
 */
import type { TransportError } from "./WebSocketError.ts"

/** What a transport tells. It calls none of these before `open`, and nothing after `ended`. */
export interface Receiver {
  /** Bytes in order. They are the receiver's from now on: it may write into them. */
  readonly data: (chunk: Uint8Array) => void
  /** What was written has been taken by the network, so `writableLength` is low again. */
  readonly drained: () => void
  /**
   * The peer will send no more, but may still read: the receiver ends our direction when it has said what it owes. A
   * transport that cannot tell, or whose peer cannot read any more, goes on to `ended`.
   */
  readonly peerEnded?: (() => void) | undefined
  /** The end, once: the peer ended or went away, or we did. With an error when the network failed. */
  readonly ended: (error: TransportError | undefined) => void
}

/** What a connection needs of it. None of these may throw. */
export interface Transport {
  /** Starts the flow of bytes to the receiver. To be called once. */
  readonly open: (receiver: Receiver) => void
  /** Stops the flow; with it, in the end, the peer. */
  readonly pause: () => void
  readonly resume: () => void
  /** Takes the bytes, all of them, in order. They must not change until they are on the network. */
  readonly write: (bytes: Uint8Array) => void
  /** The same for several, as one write where the platform can. */
  readonly writeAll: (chunks: ReadonlyArray<Uint8Array>) => void
  /** Bytes taken and not yet on the network. */
  readonly writableLength: number
  /**
   * Calls back when the event loop has gone through what is there to be read now: what is sent until then leaves in one
   * write. The same function for all transports of a kind. Without it, that is the end of the microtasks.
   */
  readonly atEndOfTurn?: ((callback: () => void) => void) | undefined
  /** Ends our direction after what was written. Idempotent. */
  readonly end: () => void
  /** Ends both directions at once and drops what was not sent. Idempotent. */
  readonly destroy: () => void
}

/** One end of a pair in memory. */
class MemoryTransport implements Transport {
  writableLength = 0
  private receiver: Receiver | undefined
  private far: MemoryTransport | undefined
  private readonly incoming: Array<Uint8Array> = []
  private paused = false
  private scheduled = false
  private farEnded = false
  private finished = false
  private done = false

  static pair(): readonly [MemoryTransport, MemoryTransport] {
    const [near, far] = [new MemoryTransport(), new MemoryTransport()]
    near.far = far
    far.far = near
    return [near, far]
  }

  open(receiver: Receiver): void {
    this.receiver = receiver
    this.schedule()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.schedule()
  }

  write(bytes: Uint8Array): void {
    if (this.finished || this.far === undefined || this.far.done) return
    this.writableLength += bytes.length
    // Copied, as a network does: the two ends may each write into what is theirs. (A `Buffer`'s `slice` would not.)
    this.far.incoming.push(new Uint8Array(bytes))
    this.far.schedule()
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    for (const chunk of chunks) this.write(chunk)
  }

  end(): void {
    if (this.finished) return
    this.finished = true
    if (this.far !== undefined) {
      this.far.farEnded = true
      this.far.schedule()
    }
    this.schedule()
  }

  destroy(): void {
    this.end()
    this.incoming.length = 0
    this.farEnded = true
    this.schedule()
  }

  private schedule(): void {
    if (this.scheduled || this.done) return
    this.scheduled = true
    queueMicrotask(() => {
      this.scheduled = false
      this.deliver()
    })
  }

  private deliver(): void {
    const { receiver, far } = this
    if (receiver === undefined || far === undefined) return
    while (!this.paused && !this.done && this.incoming.length > 0) {
      const chunk = this.incoming.shift()!
      far.writableLength -= chunk.length
      receiver.data(chunk)
      if (far.writableLength === 0) far.receiver?.drained()
    }
    if (this.farEnded && this.incoming.length === 0 && !this.done) {
      this.done = true
      this.end()
      receiver.ended(undefined)
    }
  }
}

/**
 * Two transports joined in memory: what one writes, the other receives, in order, in later microtasks, and as far as
 * it is not paused. For tests and for two ends in one process.
 */
export const makePair = (): readonly [Transport, Transport] => MemoryTransport.pair()
