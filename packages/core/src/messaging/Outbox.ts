/**
 * Messages that wait for a connection, in order, up to a bound.
 */
import * as Effect from "effect/Effect"
import type * as Client from "./Client.ts"
import type { Conversation } from "./Conversation.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import { OutboxFull, SessionError } from "./SessionError.ts"

export const defaults = { capacity: 256, overflow: "Fail" } as const satisfies Required<Client.Outbox>

/** Says a message over a session. */
type Say = (conversation: Conversation) => Effect.Effect<void, SessionError>

export class Outbox {
  private readonly capacity: number
  private readonly overflow: Client.Overflow
  private messages: Array<Say> = []
  private waiting: Array<() => void> = []
  private end: SessionEnd | undefined
  /** Messages there was no room for. */
  dropped = 0

  constructor({ capacity = defaults.capacity, overflow = defaults.overflow }: Client.Outbox = {}) {
    this.capacity = capacity
    this.overflow = overflow
  }

  get isEmpty(): boolean {
    return this.messages.length === 0
  }

  /** Keeps a message for later, or does what was declared where there is no room for it. */
  put(say: Say): Effect.Effect<void, SessionError> {
    return Effect.suspend(() => {
      if (this.end !== undefined) return this.end.forCalls
      if (this.messages.length < this.capacity) {
        this.messages.push(say)
        return Effect.void
      }
      switch (this.overflow) {
        case "Fail":
          return Effect.fail(new SessionError({ reason: new OutboxFull({ capacity: this.capacity }) }))
        case "Suspend":
          return Effect.andThen(this.room, this.put(say))
        case "DropOldest":
          this.dropped++
          this.messages.shift()
          this.messages.push(say)
          return Effect.void
        case "DropNewest":
          this.dropped++
          return Effect.void
      }
    })
  }

  private readonly room: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const go = () => resume(Effect.void)
    this.waiting.push(go)
    return Effect.sync(() => {
      this.waiting = this.waiting.filter((other) => other !== go)
    })
  })

  /** Says what waits, in order. What could not be said before the session ended stays for the next. */
  flush(conversation: Conversation): Effect.Effect<void> {
    const next: Effect.Effect<void> = Effect.suspend(() => {
      const [say] = this.messages
      if (say === undefined) return Effect.void
      return Effect.matchEffect(say(conversation), {
        onSuccess: () =>
          Effect.andThen(
            Effect.sync(() => this.said(say)),
            next
          ),
        onFailure: ({ reason }) => {
          if (reason._tag === "Disconnected") return Effect.void
          // It cannot be said at all, and nobody waits to be told.
          this.dropped++
          this.said(say)
          return next
        }
      })
    })
    return next
  }

  private said(say: Say): void {
    const at = this.messages.indexOf(say)
    if (at >= 0) this.messages.splice(at, 1)
    this.wake()
  }

  private wake(): void {
    const { waiting } = this
    this.waiting = []
    for (const go of waiting) go()
  }

  /** Nothing will be said any more. */
  ended(end: SessionEnd): void {
    this.end = end
    this.messages = []
    this.wake()
  }
}
