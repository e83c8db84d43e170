/**
 * A unix socket between a node and the host: packets as binary frames of RFC 6455, without a handshake and without
 * masks, as both ends are ours. What is sent in a turn leaves in one write; who says `pause` is brought nothing more,
 * also nothing that was read already.
 */
import type { Socket } from "node:net"
import { Chunks } from "@millrace/core/codec/Chunks"
import * as Frame from "@millrace/core/codec/Frame"
import { Outbox } from "@millrace/core/connection/Outbox"
import type { Transport } from "@millrace/core/connection/Transport"
import * as NodeTransport from "../../NodeTransport.ts"
import * as Wire from "./Wire.ts"

/** Who reads. Nothing is told after `ended`. */
export interface Owner {
  /** A packet: a view of what was read, which nobody writes over. */
  readonly packet: (bytes: Uint8Array) => void
  /** Something has left, so `waiting` is lower, perhaps. */
  readonly drained: () => void
  /** Once. With why when it was not the other end that ended it in order. */
  readonly ended: (cause: unknown) => void
}

/** What waits is written in pieces of this length, so that a drain can be told of each. */
const highWater = 262_144

/** A packet up to this long needs no bytes of its own: `Outbox` copies what is short to where it is written from. */
const maxCopied = 2_048

const scratch = new Uint8Array(maxCopied)

const forAMoment: Wire.Allocate = (length) =>
  length <= maxCopied ? scratch.subarray(0, length) : new Uint8Array(length)

const frame = <Payload>(payload: Payload): Frame.Frame<Payload> => ({
  fin: true,
  rsv: 0,
  opcode: Frame.Opcode.binary,
  payload
})

const empty = frame(undefined)

const blockLength = 65_536

/** Packets in their frames, one behind the other, for several pipes: encoded once, where they are written from. */
export class Run {
  private block = new Uint8Array(0)
  private start = 0
  private end = 0
  private full: Array<Uint8Array> = []
  /** In bytes. */
  length = 0

  push(packet: Wire.FromNode | Wire.FromHost): void {
    Wire.encode(packet, (length) => {
      const size = Frame.headerLength(length, false) + length
      if (this.block.length - this.end < size) {
        this.seal()
        this.block = new Uint8Array(Math.max(size, blockLength))
        this.start = this.end = 0
      }
      const from = Frame.encodeHeaderInto(this.block, this.end, empty, length)
      this.end = from + length
      this.length += size
      return this.block.subarray(from, this.end)
    })
  }

  /** The frames, which nobody may change any more. It goes on with none. */
  take(): ReadonlyArray<Uint8Array> {
    this.seal()
    const frames = this.full
    this.full = []
    this.length = 0
    return frames
  }

  private seal(): void {
    if (this.end > this.start) this.full.push(this.block.subarray(this.start, this.end))
    this.start = this.end
  }
}

export class Pipe {
  private readonly socket: Socket
  private readonly transport: Transport
  private readonly outbox: Outbox
  private readonly decoder: Frame.Decoder
  private readonly owner: Owner
  /** The packet that has not come whole. */
  private begun: Chunks | undefined
  /** What was read and not told, as it was paused; `at` is where it goes on. */
  private held: ReadonlyArray<Frame.FramePart> = []
  private at = 0
  private paused = false
  private telling = false
  private hasEnded = false

  constructor(socket: Socket, maxPacketBytes: number, owner: Owner) {
    this.owner = owner
    this.socket = socket
    this.decoder = Frame.makeDecoder({ masked: false, rsv: 0, maxPayloadLength: maxPacketBytes })
    this.transport = NodeTransport.make(socket, new Uint8Array(0), { closeTimeout: 1_000, outboxBytes: highWater })
    this.outbox = new Outbox(this.transport, undefined, {
      flushed: () => {
        if (!this.hasEnded) this.owner.drained()
      },
      broken: (defect) => this.end(defect)
    })
    this.transport.open({
      data: (chunk) => this.receive(chunk),
      drained: () => {
        if (!this.hasEnded) this.owner.drained()
      },
      ended: (error) => this.end(error)
    })
  }

  /** Bytes that were sent and are not with the system yet. */
  get waiting(): number {
    return this.hasEnded ? 0 : this.outbox.length
  }

  send(packet: Wire.FromNode | Wire.FromHost): void {
    if (!this.hasEnded) this.outbox.append(frame(Wire.encode(packet, forAMoment)))
  }

  /** What a run has taken together. */
  sendRun(frames: ReadonlyArray<Uint8Array>): void {
    if (this.hasEnded) return
    // Who does not read must not keep a whole block, which others fill, for each small frame.
    const isSlow = this.transport.writableLength > 0
    for (const bytes of frames) this.outbox.appendEncoded(isSlow ? bytes.slice() : bytes)
  }

  /**
   * The end when nothing moves for so many milliseconds, in either direction; 0 for as long as it likes. A write that
   * goes on in parts is a move, which Node.js sees and does not tell otherwise.
   */
  limitStalls(patience: number): void {
    if (this.hasEnded) return
    this.socket.removeAllListeners("timeout")
    this.socket.setTimeout(patience)
    if (patience > 0) this.socket.on("timeout", () => this.end(new Error(`it took nothing for ${patience} ms`)))
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.transport.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.tell()
    if (!this.paused && !this.hasEnded) this.transport.resume()
  }

  /** What was sent in this turn goes out before it, as far as the system takes it at once. */
  end(cause: unknown): void {
    if (this.hasEnded) return
    try {
      this.outbox.flush()
    } catch {
      // It is broken already.
    }
    this.hasEnded = true
    this.outbox.discard()
    this.held = []
    this.begun = undefined
    this.transport.destroy()
    this.owner.ended(cause)
  }

  private receive(chunk: Uint8Array): void {
    if (this.hasEnded) return
    const { parts, violation } = this.decoder.push(chunk)
    this.held = this.at === this.held.length ? parts : [...this.held.slice(this.at), ...parts]
    this.at = 0
    this.tell()
    if (violation !== undefined) this.end(violation)
  }

  private tell(): void {
    if (this.telling) return
    this.telling = true
    while (!this.paused && this.at < this.held.length) {
      const { fin, offset, opcode, payload, remaining } = this.held[this.at++]!
      if (!fin || opcode !== Frame.Opcode.binary) {
        this.end(new Error("a frame that is no packet"))
      } else if (offset === 0 && remaining === 0) {
        this.owner.packet(payload)
      } else {
        this.begun ??= new Chunks()
        this.begun.push(payload)
        if (remaining > 0) continue
        const whole = this.begun.join()
        this.begun = undefined
        this.owner.packet(whole)
      }
    }
    this.telling = false
  }
}
