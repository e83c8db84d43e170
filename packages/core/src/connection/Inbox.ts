/**
 * Messages that have come and wait for the application, and the one that is arriving in pieces.
 */
import type * as Arr from "effect/Array"
import { Chunks } from "../codec/Chunks.ts"
import * as Message from "../protocol/Message.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"

/** Messages cost memory besides their bytes: without this, empty ones would be free to whoever sends them. */
const messageOverhead = 64

export class Inbox {
  /** What the waiting messages keep in memory, in bytes: each buffer that one of them lies in, whole and once. */
  cost = 0
  private lastBuffer: ArrayBufferLike | undefined
  private arriving: Chunks | undefined
  private waiting: Array<Message.Message> = []

  get size(): number {
    return this.waiting.length
  }

  /** Takes a piece; gives the message when it was the last one. The usual message comes whole and is never copied. */
  assemble({ fin, kind, payload }: Protocol.Fragment): Message.Message | undefined {
    let content: Message.Content = payload
    if (!fin || this.arriving !== undefined) {
      this.arriving ??= new Chunks()
      this.arriving.push(payload)
      if (!fin) return undefined
      content = this.arriving
      this.arriving = undefined
    }
    return kind === "text" ? new Message.Text(content) : new Message.Binary(content)
  }

  add(message: Message.Message): void {
    const { content } = message
    this.waiting.push(message)
    this.cost += messageOverhead
    if (!(content instanceof Uint8Array)) {
      this.cost += content.length
    } else if (content.buffer !== this.lastBuffer) {
      // A message is a view of what the socket read, of which it may be a sliver.
      this.cost += content.buffer.byteLength
      this.lastBuffer = content.buffer
    }
  }

  /** As many as wait, at most `most`; `undefined` for none. */
  take(most: number): Arr.NonEmptyReadonlyArray<Message.Message> | undefined {
    if (this.waiting.length === 0) return undefined
    let taken = this.waiting
    if (most < taken.length) {
      taken = this.waiting.splice(0, most)
    } else {
      this.waiting = []
      this.cost = 0
      this.lastBuffer = undefined
    }
    return taken as unknown as Arr.NonEmptyReadonlyArray<Message.Message>
  }
}
