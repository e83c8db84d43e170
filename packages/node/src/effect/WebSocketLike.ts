/**
 * A client as the object of a browser's kind that Effect's `Socket.WebSocketConstructor` makes.
 *
 * Its `send` has nothing to wait with, so what a server does not read piles up here. Reading can be paused, and
 * `Socket.fromWebSocket` does that.
 */
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type { Scope } from "effect/Scope"
import type * as Socket from "effect/socket/Socket"

type Type = "open" | "message" | "error" | "close"

/** What went wrong is our `OpenError`. */
interface Event extends Socket.WebSocketEvent {
  readonly error?: unknown
}

type Listener = (event: Event) => void

const connecting = 0
const open = 1
const closing = 2
const closed = 3

export class WebSocketLike implements Socket.WebSocketLike {
  readyState = connecting
  private readonly listeners: Readonly<Record<Type, Map<Listener, boolean>>> = {
    open: new Map(),
    message: new Map(),
    error: new Map(),
    close: new Map()
  }
  private readonly reading = Latch.makeUnsafe(true)
  private connection: WebSocket | undefined
  private readonly fiber: Fiber.Fiber<void>

  constructor(opening: Effect.Effect<WebSocket, OpenError, Scope>) {
    // Not in this turn: whoever makes it has yet to listen.
    this.fiber = Effect.runFork(Effect.scoped(Effect.andThen(Effect.yieldNow, this.live(opening))))
  }

  get isPaused(): boolean {
    return !this.reading.isOpen()
  }

  private live(opening: Effect.Effect<WebSocket, OpenError, Scope>): Effect.Effect<void, never, Scope> {
    return Effect.matchCauseEffect(opening, {
      onFailure: (cause) =>
        Effect.sync(() => {
          this.emit("error", { error: Cause.squash(cause) })
          this.end(1006, "")
        }),
      onSuccess: (connection) => {
        this.connection = connection
        this.readyState = open
        this.emit("open", {})
        return Effect.forever(this.reading.whenOpen(this.deliver(connection))).pipe(
          Effect.exit,
          Effect.andThen(connection.closed),
          Effect.map(({ received }) => this.end(received?.code ?? 1006, received?.reason ?? ""))
        )
      }
    })
  }

  private deliver(connection: WebSocket) {
    return Effect.map(connection.pull, (messages) => {
      for (const message of messages) {
        this.emit("message", { data: message._tag === "Text" ? message.text : message.bytes })
      }
    })
  }

  private end(code: number, reason: string): void {
    this.readyState = closed
    this.emit("close", { code, reason })
  }

  private emit(type: Type, event: Event): void {
    for (const [listener, once] of this.listeners[type]) {
      if (once) this.listeners[type].delete(listener)
      listener(event)
    }
  }

  addEventListener(type: Type, listener: Listener, options?: { readonly once?: boolean }): void {
    this.listeners[type].set(listener, options?.once === true)
  }

  removeEventListener(type: Type, listener: Listener): void {
    this.listeners[type].delete(listener)
  }

  pause(): void {
    this.reading.closeUnsafe()
  }

  resume(): void {
    this.reading.openUnsafe()
  }

  send(data: string | Uint8Array): void {
    if (this.connection === undefined) throw new Error("the WebSocket is not open yet")
    Effect.runFork(Effect.ignore(this.connection.send(data)))
  }

  /** Before it is open it is given up, which is a close with 1006. */
  close(code?: number, reason?: string): void {
    if (this.readyState >= closing) return
    this.readyState = closing
    if (this.connection !== undefined) {
      Effect.runFork(Effect.ignore(this.connection.close(code ?? 1005, reason)))
    } else {
      Effect.runFork(
        Effect.andThen(
          Fiber.interrupt(this.fiber),
          Effect.sync(() => this.end(1006, ""))
        )
      )
    }
  }
}
