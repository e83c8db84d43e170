/**
 * The server's end of a connection over an event stream and POST: messages go as events of a response, and come in the
 * bodies of requests.
 */
import type { CloseStatus } from "@millrace/core/codec/CloseCode"
import * as Messages from "@millrace/core/codec/EventStreamMessages"
import type { Link, Owner } from "@millrace/core/connection/Link"
import * as Effect from "effect/Effect"
import type { EventStreamResponse } from "../EventStreamResponse.ts"

/** Whether the system has taken the response to its end. */
export type HasFinished = () => boolean

export class ResponseLink implements Link {
  readonly canPause = true
  readonly tellsDrained = true
  readonly extensions = ""
  readonly subprotocol: string
  isOpen = true
  buffered = 0
  private readonly owner: Owner
  private readonly response: EventStreamResponse
  private readonly hasFinished: HasFinished
  private readonly run: (effect: Effect.Effect<void>) => void
  private pending = ""
  private writing = false
  /** The last thing that is said, once it is. */
  private closing: CloseStatus | undefined
  private over = false
  private paused = false
  private waiting: Array<() => void> = []

  constructor(
    owner: Owner,
    subprotocol: string,
    response: EventStreamResponse,
    hasFinished: HasFinished,
    run: (effect: Effect.Effect<void>) => void
  ) {
    this.owner = owner
    this.subprotocol = subprotocol
    this.response = response
    this.hasFinished = hasFinished
    this.run = run
  }

  /** Tells the owner when the client has gone, which it may have already. */
  watch(): void {
    this.response.whenClosed(() => {
      // The end that we have written is told of when the client has it.
      if (this.closing === undefined) this.end(undefined)
    })
  }

  // Down.

  /** Writes some text behind what was said. */
  say(text: string): void {
    this.pending += text
    this.buffered += text.length
    if (this.writing) return
    this.writing = true
    this.run(this.write)
  }

  private readonly write: Effect.Effect<void> = Effect.suspend(() => {
    const text = this.pending
    if (text === "") {
      this.writing = false
      return this.closing === undefined ? Effect.void : this.finish(this.closing)
    }
    this.pending = ""
    return Effect.flatMap(this.response.send(text), () => {
      this.buffered -= text.length
      this.owner.drained()
      return this.write
    })
  })

  private finish(status: CloseStatus): Effect.Effect<void> {
    this.response.finish()
    return Effect.andThen(
      this.response.ended,
      Effect.sync(() => this.end(this.hasFinished() ? status : undefined))
    )
  }

  send(data: Messages.Data): void {
    this.say(Messages.printMessage(data))
  }

  close(status: CloseStatus): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.closing = status
    this.say(Messages.printClose(status))
  }

  abandon(): void {
    this.over = true
    this.isOpen = false
    this.wake()
    this.response.cut()
  }

  // Up.

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.wake()
  }

  private wake(): void {
    const { waiting } = this
    this.waiting = []
    for (const go of waiting) go()
  }

  /** Waits until there is room for messages, or nobody wants them any more. */
  readonly room: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (!this.paused || this.over) return resume(Effect.void)
    const go = () => resume(Effect.void)
    this.waiting.push(go)
    return Effect.sync(() => {
      this.waiting = this.waiting.filter((other) => other !== go)
    })
  })

  /** The client closes: it is answered with the same, and with the end of its stream. */
  closedBy(status: CloseStatus): void {
    if (this.over) return
    if (this.closing === undefined) {
      this.isOpen = false
      this.closing = status
      this.say(Messages.printClose(status))
    }
    this.end(status)
  }

  private end(status: CloseStatus | undefined): void {
    if (this.over) return
    this.over = true
    this.isOpen = false
    this.wake()
    this.owner.ended(status)
  }
}
