/**
 * The machinery behind `WebSocket`: joins the decoder, the state machine, the inbox and the outbox, and keeps the
 * deadlines. Everything here but waiting is synchronous.
 *
 * It is the one place where a connection's state is kept. Three parties move it: the transport (`data`, `drained`,
 * `ended`), the application (`pull`, `send`, `close`, the finalizer) and the timer wheel (`expired`). The halves are in
 * files of their own, `Sending` and `Receiving`; here is what moves the state, and how it ends.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import type * as Extension from "./Extension.ts"
import type { Payload } from "./Outbox.ts"
import { Receiving } from "./Receiving.ts"
import { failWith } from "./Sending.ts"
import type { Settings } from "./Settings.ts"
import type * as TimerWheel from "./TimerWheel.ts"
import type { Transport } from "./Transport.ts"
import type { WebSocket } from "./WebSocket.ts"
import { ConnectionLost, type TransportError, Unresponsive } from "./WebSocketError.ts"

/** Who is told of the end without waiting for it. */
export interface Observer {
  readonly ended: () => void
}

/** What a connection is made of, once its opening handshake is done. */
export interface Options<out Handshake> {
  /** Not opened yet. */
  readonly transport: Transport
  readonly settings: Settings
  /** Keeps the deadlines, of as many connections as like to share it: see `makeWheel`. */
  readonly wheel: TimerWheel.TimerWheel
  /** What the handshake agreed on. */
  readonly subprotocol: string | undefined
  readonly handshake: Handshake
  /** The extensions that both ends agreed on. Default: none. */
  readonly extensions?: Extension.Agreed | undefined
  /** Told once, when the transport has ended: for whoever has to look after those that do not wait for it. */
  readonly observer?: Observer | undefined
}

const noBytes = new Uint8Array(0)

export class Connection<Handshake> extends Receiving implements WebSocket<Handshake> {
  readonly subprotocol: string | undefined
  readonly handshake: Handshake
  private readonly observer: Observer | undefined
  private readonly ending = Deferred.makeUnsafe<Protocol.Closed>()
  private failure: TransportError | Unresponsive | undefined

  constructor(options: Options<Handshake>) {
    super(options.transport, options.settings, options.wheel, options.extensions)
    this.subprotocol = options.subprotocol
    this.handshake = options.handshake
    this.observer = options.observer
  }

  open(): this {
    if (this.settings.pingInterval !== Infinity) this.wheel.schedule(this, this.settings.pingInterval)
    this.transport.open(this)
    return this
  }

  /** State and bytes move in one synchronous step: nothing can come between deciding to send and sending. */
  protected commit([next, actions]: Protocol.Transition<Payload>): void {
    const before = this.state
    this.state = next
    for (const action of actions) {
      switch (action._tag) {
        case "Deliver":
          this.deliver(action.fragment, before)
          break
        case "Write":
          this.write(action.frame)
          break
        case "EndTransport":
          this.endTransport()
      }
    }
    if (next._tag === "Closing" && next.discarding) {
      // Behind the last Close, and behind the end that a server has made already, nothing may be written.
      this.pong = undefined
      this.endMessages(next)
    }
    // Last, because it wakes those who wait to send, and they may go on to pull.
    if (before._tag === "Open" && next._tag !== "Open") this.leftOpen()
  }

  /** A mistake of ours, or of the transport's, must reach whoever waits, and no other connection. */
  broken(defect: unknown): void {
    this.end ??= Exit.die(defect)
    this.transport.destroy()
    this.handOver()
  }

  // Ending: the closing handshake, and the transport's end.

  get close(): WebSocket["close"] {
    return (code = CloseCode.CloseCode.normal, reason = "") =>
      Effect.suspend(() => {
        this.release()
        const closing = Protocol.close(this.state, { code, reason })
        if (Result.isSuccess(closing)) this.commit(closing.success)
        else if (closing.failure._tag === "InvalidCloseCode") return failWith(closing.failure)
        return this.awaitEnd
      })
  }

  get fail(): WebSocket["fail"] {
    return (violation) =>
      Effect.sync(() => {
        this.release()
        this.commit(Protocol.fail(this.settings, this.state, violation))
        this.handOver()
      })
  }

  /** Waits for the end of the transport, no longer than a closing handshake may take, and makes it then. */
  private get awaitEnd(): Effect.Effect<void> {
    return Deferred.await(this.ending).pipe(
      Effect.timeoutOption(this.settings.closeTimeout),
      Effect.andThen(Effect.sync(() => this.transport.destroy()))
    )
  }

  get closed(): Effect.Effect<Protocol.Closed> {
    return Deferred.await(this.ending)
  }

  /** The finalizer: 1000 on success, 1001 when interrupted, 1011 on failure. What is unread is dropped. */
  shutdown(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.state._tag === "Closed") return this.abandonStreamed()
      this.release()
      const code = Exit.isSuccess(exit)
        ? CloseCode.CloseCode.normal
        : Cause.hasInterruptsOnly(exit.cause)
          ? CloseCode.CloseCode.goingAway
          : CloseCode.CloseCode.internalError
      const closing = Protocol.close(this.state, { code, reason: "" })
      if (Result.isSuccess(closing)) this.commit(closing.success)
      this.inbox.clear()
      this.dropping = true
      this.unpause()
      return this.streamed === undefined ? this.awaitEnd : Effect.andThen(this.abandonStreamed(), this.awaitEnd)
    })
  }

  /** A message that is read as a stream holds its decoder until it is read, or until its connection's scope is over. */
  private abandonStreamed(): Effect.Effect<void> {
    return this.streamed === undefined ? Effect.void : this.streamed.abandon(failWith(this.lost()))
  }

  private leftOpen(): void {
    // An inbox that nobody empties must not keep the peer's Close from us: from here on it takes what it has room for.
    this.unpause()
    // The wheel cuts a peer that does not finish the closing handshake, though nobody may be waiting for it.
    this.wheel.schedule(this, this.settings.closeTimeout)
    this.wakeSenders()
  }

  private endMessages({ by, sent, received, violation }: Omit<Protocol.Closed, "_tag">): void {
    if (this.end !== undefined) return
    if (violation !== undefined) this.end = failWith(violation)
    else if (Protocol.isOrdinary({ received, sent, violation })) this.end = Exit.fail(Cause.Done())
    else this.end = failWith(this.failure ?? new ConnectionLost({ by, sent, received }))
  }

  ended(error: TransportError | undefined): void {
    if (this.state._tag === "Closed") return
    this.failure ??= error
    const wasOpen = this.state._tag === "Open"
    // A peer that does not wait for the answer to its Close, which was then not sent, has closed in good order all the
    // same.
    const { lastPart } = this
    this.lastPart = undefined
    const parts = lastPart === undefined ? [] : [lastPart]
    const answered = Protocol.transportEnded(Protocol.receive(this.settings, this.state, parts)[0])
    const closed = lastPart === undefined ? answered : { ...answered, sent: undefined }
    this.state = closed
    this.wheel.cancel(this)
    this.outbox.discard()
    this.endPatience()
    this.pong = undefined
    this.endMessages(answered)
    if (wasOpen) this.wakeSenders()
    Deferred.doneUnsafe(this.ending, Exit.succeed(closed))
    this.handOver()
    this.observer?.ended()
  }

  // The heartbeat, and the end of a closing handshake that takes too long.

  expired(): void {
    const { pingInterval, pingTimeout } = this.settings
    if (this.state._tag !== "Open") return this.transport.destroy()
    if (this.lastPart !== undefined) {
      this.release()
      return this.handOver()
    }
    // While we do not read, the peer's silence is ours.
    if (this.heartbeat === "Awaiting" && !this.paused) {
      this.failure = new Unresponsive({ silence: pingTimeout })
      return this.transport.destroy()
    }
    if (this.heartbeat === "Idle" || pingInterval <= pingTimeout) {
      this.heartbeat = "Awaiting"
      this.commit(Result.getOrElse(Protocol.ping(this.state, noBytes), (): Protocol.Transition => [this.state, []]))
      this.wheel.schedule(this, pingTimeout)
    } else {
      this.heartbeat = "Idle"
      this.wheel.schedule(this, pingInterval - pingTimeout)
    }
  }
}
