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
  /** What the waiting messages cost, in bytes. */
  cost = 0
  private arriving: Chunks | undefined
  private waiting: Array<Message.Message> = []

  get size(): number {
    return this.waiting.length
  }

  /** Takes a piece; gives the message when it was the last one. The usual message comes whole and is never copied. */
  assemble({ fin, kind, payload }: Protocol.Fragment): Message.Message | undefined {
    let bytes = payload
    if (!fin || this.arriving !== undefined) {
      this.arriving ??= new Chunks()
      this.arriving.push(payload)
      if (!fin) return undefined
      bytes = this.arriving.join()
      this.arriving = undefined
    }
    return kind === "text" ? new Message.Text(bytes) : new Message.Binary(bytes)
  }

  add(message: Message.Message): void {
    this.waiting.push(message)
    this.cost += message.bytes.length + messageOverhead
  }

  /** All that wait, or `undefined`. */
  take(): Arr.NonEmptyReadonlyArray<Message.Message> | undefined {
    if (this.waiting.length === 0) return undefined
    const taken = this.waiting as unknown as Arr.NonEmptyReadonlyArray<Message.Message>
    this.waiting = []
    this.cost = 0
    return taken
  }
}
