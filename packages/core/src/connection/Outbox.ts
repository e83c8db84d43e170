/**
 * What a connection has to write: frames are encoded one behind the other and leave in one write, at the end of the
 * turn of the event loop in which they were sent.
 *
 * An idle connection holds no buffer. Small frames of all connections are encoded into one shared block, whose bytes
 * are written once and never again; a long payload is not copied, except to mask it.
 */
import { Chunks } from "../codec/Chunks.ts"
import * as Frame from "../codec/Frame.ts"
import * as Mask from "../codec/Mask.ts"
import type { Transport } from "./Transport.ts"

/** What can be sent as the payload of a frame: bytes in one piece or in several, or text that is still a string. */
export type Payload = Uint8Array | Chunks | string

const blockLength = 65_536

/** A payload up to this long is copied behind its header; beyond, one more chunk in the write is cheaper. */
const maxCopied = 4_096

const encoder = new TextEncoder()

let block = new Uint8Array(0)
let used = 0

/** Makes room in the shared block. */
const reserve = (length: number): void => {
  if (block.length - used >= length) return
  block = new Uint8Array(blockLength)
  used = 0
}

/** What was sent in a turn, by however many connections: one callback at its end flushes all of it. */
class Turn {
  private readonly atEnd: (callback: () => void) => void
  private waiting: Array<Outbox> = []

  constructor(atEnd: (callback: () => void) => void) {
    this.atEnd = atEnd
  }

  add(outbox: Outbox): void {
    if (this.waiting.length === 0) this.atEnd(this.end)
    this.waiting.push(outbox)
  }

  private readonly end = (): void => {
    const outboxes = this.waiting
    this.waiting = []
    for (const outbox of outboxes) outbox.endTurn()
  }
}

/** One for each way in which transports tell that a turn has ended. */
const turns = new Map<(callback: () => void) => void, Turn>()

const turnOf = ({ atEndOfTurn = queueMicrotask }: Outlet): Turn => {
  let turn = turns.get(atEndOfTurn)
  if (turn === undefined) turns.set(atEndOfTurn, (turn = new Turn(atEndOfTurn)))
  return turn
}

/** What an outbox needs of a transport. */
export type Outlet = Pick<Transport, "atEndOfTurn" | "writableLength" | "write" | "writeAll">

/** Who is told what became of the bytes at the end of the turn. */
export interface Owner {
  /** The transport has them. It may have room now, and says so itself only when it had none. */
  readonly flushed: () => void
  /** The transport threw, which it must not. The other outboxes are not to suffer for it. */
  readonly broken: (defect: unknown) => void
}

/** What one connection has to write. Only its connection may use it. */
export class Outbox {
  private readonly transport: Outlet
  private readonly maskingKey: (() => number) | undefined
  private readonly owner: Owner
  private readonly turn: Turn
  private chunks: Array<Uint8Array> = []
  /** The run of the shared block that ends in our last frame, and is not in `chunks` yet. */
  private run: Uint8Array | undefined
  private start = 0
  private end = 0
  /** Bytes that wait for the end of the turn. */
  private pending = 0

  constructor(transport: Outlet, maskingKey: (() => number) | undefined, owner: Owner) {
    this.transport = transport
    this.maskingKey = maskingKey
    this.owner = owner
    this.turn = turnOf(transport)
  }

  /** Bytes that are not on the network yet. */
  get length(): number {
    return this.pending + this.transport.writableLength
  }

  /** Takes a frame. A string is encoded where it goes, without bytes of its own. */
  append(frame: Frame.Frame<Payload>): void {
    const { payload } = frame
    if (payload.length > maxCopied) {
      this.appendLong(frame, typeof payload === "string" ? encoder.encode(payload) : payload)
    } else {
      this.appendShort(frame, payload instanceof Chunks ? payload.join() : payload)
    }
  }

  /** Takes bytes that are encoded already, such as a frame that goes to many. */
  appendEncoded(bytes: Uint8Array): void {
    this.schedule()
    this.seal()
    this.chunks.push(bytes)
    this.pending += bytes.length
  }

  private appendLong(frame: Frame.Frame<unknown>, payload: Uint8Array | Chunks): void {
    const key = this.maskingKey?.()
    if (key !== undefined) {
      return this.appendEncoded(
        Frame.encode({ ...frame, payload: payload instanceof Chunks ? payload.join() : payload }, key)
      )
    }
    const header = new Uint8Array(Frame.headerLength(payload.length, false))
    Frame.encodeHeaderInto(header, 0, frame, payload.length)
    this.appendEncoded(header)
    for (const piece of payload instanceof Chunks ? payload.pieces : [payload]) this.appendEncoded(piece)
  }

  private appendShort(frame: Frame.Frame<unknown>, payload: Uint8Array | string): void {
    const key = this.maskingKey?.()
    const masked = key !== undefined
    this.schedule()
    reserve(Frame.maxHeaderLength + (typeof payload === "string" ? payload.length * 3 : payload.length))
    if (this.run !== block || this.end !== used) {
      this.seal()
      this.run = block
      this.start = this.end = used
    }
    let length = payload.length
    let at = used + Frame.headerLength(length, masked)
    if (typeof payload === "string") {
      // Most text is ASCII, so the header is expected to be what the number of characters asks for.
      length = encoder.encodeInto(payload, block.subarray(at)).written
      const expected = at
      at = used + Frame.headerLength(length, masked)
      if (at !== expected) block.copyWithin(at, expected, expected + length)
    } else {
      block.set(payload, at)
    }
    Frame.encodeHeaderInto(block, used, frame, length, key)
    if (key !== undefined) Mask.applyInPlace(block.subarray(at, at + length), key)
    this.pending += at + length - used
    used = this.end = at + length
  }

  private schedule(): void {
    if (this.pending === 0) this.turn.add(this)
  }

  private seal(): void {
    if (this.run !== undefined) {
      const bytes = this.run.subarray(this.start, this.end)
      // A peer that does not read must not keep a whole block, which others fill, for each small frame it is sent.
      this.chunks.push(this.transport.writableLength > 0 ? bytes.slice() : bytes)
    }
    this.run = undefined
  }

  /** For its turn. */
  endTurn(): void {
    try {
      this.flush()
      this.owner.flushed()
    } catch (defect) {
      this.owner.broken(defect)
    }
  }

  /** Hands to the transport what waits for the end of the turn. */
  flush(): void {
    if (this.pending === 0) return
    this.seal()
    const { chunks } = this
    this.chunks = []
    this.pending = 0
    if (chunks.length === 1) this.transport.write(chunks[0]!)
    else this.transport.writeAll(chunks)
  }

  /** Forgets what waits: there is nobody left to send it to. */
  discard(): void {
    this.chunks = []
    this.run = undefined
    this.pending = 0
  }
}
