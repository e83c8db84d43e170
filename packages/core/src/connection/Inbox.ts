/**
 * Messages that have come and wait for the application, and the one that is arriving in pieces.
 */
import type * as Arr from "effect/Array"
import { Chunks } from "../codec/Chunks.ts"
import * as Message from "../protocol/Message.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"

/** Messages cost memory besides their bytes: without this, empty ones would be free to whoever sends them. */
const messageOverhead = 64

/** A whole message as an extension of the peer has coded it. It is decoded when it is pulled. */
export class Coded {
  readonly kind: Protocol.Kind
  readonly content: Message.Content
  readonly rsv: number

  constructor(kind: Protocol.Kind, content: Message.Content, rsv: number) {
    this.kind = kind
    this.content = content
    this.rsv = rsv
  }
}

export type Arrived = Message.Message | Coded

/** A message in pieces: one that has not ended yet, or one that is read as a stream. */
export class Pieces {
  readonly kind: Protocol.Kind
  readonly rsv: number
  ended = false
  /** Those that have come and were not taken. */
  private chunks = new Chunks()

  constructor(kind: Protocol.Kind, rsv: number) {
    this.kind = kind
    this.rsv = rsv
  }

  get length(): number {
    return this.chunks.length
  }

  push(piece: Uint8Array): void {
    this.chunks.push(piece)
  }

  take(): Chunks {
    const { chunks } = this
    this.chunks = new Chunks()
    return chunks
  }
}

export class Inbox {
  /** What the waiting messages keep in memory, in bytes: each buffer that one of them lies in, whole and once. */
  cost = 0
  /** Whether any of them is coded. */
  private hasCoded = false
  private lastBuffer: ArrayBufferLike | undefined
  /** The message that has not ended yet. */
  private arriving: Pieces | undefined
  /** The message that somebody reads as a stream; `arriving` too, until it has ended. */
  private streamed: Pieces | undefined
  /** The same, while `cost` has it still: that goes down when all are taken. */
  private counted: Pieces | undefined
  private waiting: Array<Arrived> = []
  /** Bytes of what the next message was decoded to, while it waits. */
  private decoded = 0

  get size(): number {
    return this.waiting.length
  }

  /** Whether a message has begun, and nobody reads it yet. */
  get hasBegun(): boolean {
    return this.arriving !== undefined && this.arriving !== this.streamed
  }

  /** Bytes of the message that has begun and is nobody's yet. */
  get begun(): number {
    return this.arriving === undefined || this.arriving === this.streamed ? 0 : this.arriving.length
  }

  /** Bytes that wait for whoever reads a message as a stream. */
  get unread(): number {
    return this.streamed === undefined || this.streamed === this.counted ? 0 : this.streamed.length
  }

  /**
   * Takes a piece; gives the message when it was the last one, unless it is read as a stream. The usual message comes
   * whole and is never copied.
   */
  assemble({ fin, kind, payload, rsv }: Protocol.Fragment): Arrived | undefined {
    let content: Message.Content = payload
    if (!fin || this.arriving !== undefined) {
      const arriving = (this.arriving ??= new Pieces(kind, rsv))
      arriving.push(payload)
      if (!fin) return undefined
      this.arriving = undefined
      arriving.ended = true
      if (arriving === this.streamed) return undefined
      content = arriving.take()
      rsv = arriving.rsv
    }
    if (rsv !== 0) return new Coded(kind, content, rsv)
    return kind === "text" ? new Message.Text(content) : new Message.Binary(content)
  }

  add(message: Arrived): void {
    const { content } = message
    this.waiting.push(message)
    this.hasCoded ||= message instanceof Coded
    this.cost += messageOverhead
    if (!(content instanceof Uint8Array)) {
      this.cost += content.length
    } else if (content.buffer !== this.lastBuffer) {
      // A message is a view of what the socket read, of which it may be a sliver.
      this.cost += content.buffer.byteLength
      this.lastBuffer = content.buffer
    }
  }

  /** As many as wait, at most `most`; `undefined` for none, or where one of them has to be decoded: see `first`. */
  take(most: number): Arr.NonEmptyReadonlyArray<Message.Message> | undefined {
    if (this.waiting.length === 0 || this.hasCoded) return undefined
    let taken = this.waiting
    if (most < taken.length) {
      taken = this.waiting.splice(0, most)
    } else {
      this.waiting = []
      this.emptied()
    }
    return taken as unknown as Arr.NonEmptyReadonlyArray<Message.Message>
  }

  /** The next message, which stays. */
  get first(): Arrived | undefined {
    return this.waiting[0]
  }

  /** Puts in the place of the next message what it was decoded to, if it still waits. */
  replaceFirst(coded: Arrived, message: Message.Message): void {
    if (this.waiting[0] !== coded) return
    this.waiting[0] = message
    this.decoded = message.length
    this.cost += message.length
  }

  /** Takes the next message away. */
  removeFirst(): void {
    this.waiting.shift()
    this.cost -= this.decoded
    this.decoded = 0
    if (this.waiting.length === 0) this.emptied()
  }

  /** The next message as pieces, though it may not have ended; `undefined` when none has begun. */
  takeStreamed(): Pieces | undefined {
    const { first } = this
    if (first === undefined) return (this.streamed = this.arriving)
    const isCounted = this.decoded === 0
    this.removeFirst()
    const pieces = (this.streamed =
      first instanceof Coded
        ? new Pieces(first.kind, first.rsv)
        : new Pieces(first._tag === "Text" ? "text" : "binary", 0))
    const { content } = first
    for (const piece of content instanceof Uint8Array ? [content] : content.pieces) pieces.push(piece)
    pieces.ended = true
    this.counted = isCounted && this.waiting.length > 0 ? pieces : undefined
    return pieces
  }

  /** Forgets all messages, the one that is arriving too: no more of it may be added. */
  clear(): void {
    this.waiting = []
    this.arriving = undefined
    this.streamed = undefined
    this.emptied()
  }

  private emptied(): void {
    this.cost = 0
    this.decoded = 0
    this.hasCoded = false
    this.lastBuffer = undefined
    this.counted = undefined
  }
}
