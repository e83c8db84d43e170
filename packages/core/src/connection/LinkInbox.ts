/**
 * Messages that have come over a link and wait to be pulled.
 */
import type * as Arr from "effect/Array"
import * as Message from "../protocol/Message.ts"

/** Messages cost memory besides their bytes: without this, empty ones would be free to whoever sends them. */
const messageOverhead = 64

export class LinkInbox {
  /** What the waiting messages keep in memory, in bytes: for text twice its length, as a character may take two. */
  cost = 0
  private waiting: Array<Message.Message> = []

  get size(): number {
    return this.waiting.length
  }

  /** The link has seen to it that text is UTF-8. */
  add(data: string | Uint8Array): void {
    const isText = typeof data === "string"
    this.waiting.push(isText ? new Message.Text(data) : new Message.Binary(data))
    this.cost += messageOverhead + (isText ? 2 * data.length : data.length)
  }

  /** As many as wait, at most `most`. There has to be one. */
  take(most: number): Arr.NonEmptyReadonlyArray<Message.Message> {
    let taken = this.waiting
    if (most < taken.length) {
      taken = this.waiting.splice(0, most)
    } else {
      this.waiting = []
      this.cost = 0
    }
    return taken as unknown as Arr.NonEmptyReadonlyArray<Message.Message>
  }

  /** Forgets all. */
  clear(): void {
    this.waiting = []
    this.cost = 0
  }
}
