/**
 * A transport whose far end is the test: push bytes in, see what was written and when it ended. All of it at once, in
 * the call that makes it happen: harder on a connection than any network, which comes back later.
 */
import type { Receiver, Transport } from "@millrace/core/connection/Transport"
import type { TransportError } from "@millrace/core/connection/WebSocketError"
import { concat, read, type Seen, toHex } from "./frames.ts"
import { hex } from "./wire.ts"

export class TestTransport implements Transport {
  writableLength = 0
  /** What was asked of the transport, in order: `write 81 00`, `pause`, `resume`, `end`, `destroy`. */
  readonly log: Array<string> = []
  /** Every write, with the very chunks that were given. */
  readonly writes: Array<ReadonlyArray<Uint8Array>> = []
  /** Thrown by the next writes, if it is there. */
  broken: Error | undefined
  paused = false
  ended = false
  private receiver: Receiver | undefined
  private stalled = false
  private readonly incoming: Array<Uint8Array> = []
  /** The first of them that was not delivered yet: there may be a million. */
  private next = 0

  // The near end.

  open(receiver: Receiver): void {
    this.receiver = receiver
    this.deliver()
  }

  pause(): void {
    this.log.push("pause")
    this.paused = true
  }

  resume(): void {
    this.log.push("resume")
    this.paused = false
    this.deliver()
  }

  write(bytes: Uint8Array): void {
    this.writeAll([bytes])
  }

  writeAll(chunks: ReadonlyArray<Uint8Array>): void {
    if (this.broken !== undefined) throw this.broken
    const bytes = concat(chunks)
    this.log.push(`write ${toHex(bytes.subarray(0, 16))}${bytes.length > 16 ? " ..." : ""}`)
    this.writes.push(chunks)
    if (this.stalled) this.writableLength += bytes.length
  }

  end(): void {
    this.log.push("end")
  }

  destroy(): void {
    this.log.push("destroy")
    this.hangUp()
  }

  // The far end.

  /** Bytes arrive, now or when they are wanted again. A string is hex. */
  push(bytes: Uint8Array | string): void {
    if (this.ended) return
    this.incoming.push(typeof bytes === "string" ? hex(bytes) : bytes.slice())
    this.deliver()
  }

  /** The network takes nothing any more. */
  stall(): void {
    this.stalled = true
  }

  /** The network takes everything again, or but for so many bytes; says so when it is all. */
  drain(left = 0): void {
    this.stalled = left > 0
    this.writableLength = left
    if (left === 0) this.receiver?.drained()
  }

  /** The end of the transport: the peer went away, or the network failed. */
  hangUp(error?: TransportError): void {
    if (this.ended) return
    this.ended = true
    this.incoming.length = this.next = 0
    this.receiver?.ended(error)
  }

  /** All bytes that were written. */
  get sent(): Uint8Array {
    return concat(this.writes.flat())
  }

  /** The frames in them. */
  get frames(): ReadonlyArray<Seen> {
    return read(this.sent)
  }

  private deliver(): void {
    while (!this.paused && this.receiver !== undefined && this.next < this.incoming.length) {
      this.receiver.data(this.incoming[this.next++]!)
    }
    if (this.next < this.incoming.length) return
    this.incoming.length = 0
    this.next = 0
  }
}
