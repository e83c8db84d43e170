/**
 * The machinery behind `WebSocket`: joins the decoder, the state machine, the inbox and the outbox, and keeps the
 * deadlines. Everything here but waiting is synchronous.
 *
 * It is the one place where a connection's state is kept. Three parties move it: the transport (`data`, `drained`,
 * `ended`), the application (`pull`, `send`, `close`, the finalizer) and the timer wheel (`expired`).
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Frame from "../codec/Frame.ts"
import type * as Message from "../protocol/Message.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import type * as Extension from "./Extension.ts"
import { Inbox } from "./Inbox.ts"
import { Outbox, type Owner, type Payload } from "./Outbox.ts"
import type { Prepared } from "./Prepared.ts"
import type { Settings } from "./Settings.ts"
import type * as TimerWheel from "./TimerWheel.ts"
import type { Receiver, Transport } from "./Transport.ts"
import type { WebSocket, Written } from "./WebSocket.ts"
import { ConnectionLost, type TransportError, Unresponsive, WebSocketError } from "./WebSocketError.ts"

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

type Resume = (effect: Effect.Effect<void, WebSocketError>) => void

type PullResume = (
  effect: Effect.Effect<Arr.NonEmptyReadonlyArray<Message.Message>, WebSocketError | Cause.Done>
) => void

/** How many milliseconds the closing handshake may wait for an application that pulls. */
const longestDelay = 1_000

const noBytes = new Uint8Array(0)

const failWith = (reason: WebSocketError["reason"]): Exit.Exit<never, WebSocketError> =>
  Exit.fail(new WebSocketError({ reason }))

const fragmentOf = (message: Message.Sendable): Protocol.Fragment<Payload> =>
  typeof message === "string"
    ? { kind: "text", payload: message, fin: true }
    : message instanceof Uint8Array
      ? { kind: "binary", payload: message, fin: true }
      : { kind: message._tag === "Text" ? "text" : "binary", payload: message.content, fin: true }

export class Connection<Handshake> implements WebSocket<Handshake>, Receiver, Owner, TimerWheel.Timed {
  readonly subprotocol: string | undefined
  readonly handshake: Handshake
  slot: Set<TimerWheel.Timed> | undefined
  private readonly transport: Transport
  private readonly settings: Settings
  private readonly wheel: TimerWheel.TimerWheel
  private readonly observer: Observer | undefined
  private readonly decoder: Frame.Decoder
  private readonly outbox: Outbox
  private readonly ending = Deferred.makeUnsafe<Protocol.Closed>()
  private state: Protocol.State = Protocol.initial
  private readonly inbox = new Inbox()
  private paused = false
  /** There was no room for a message while closing: those that follow are dropped too. */
  private dropping = false
  /** While closing, the deadline for making room in the inbox. */
  private patience: TimerWheel.Timed | undefined
  private puller: PullResume | undefined
  private pullerMost = 0
  private hasPulled = false
  /** The peer's Close, while it waits to be answered. */
  private lastPart: Frame.FramePart | undefined
  private peerHasEnded = false
  /** How the messages end; set when no more can come. */
  private end: Exit.Exit<never, WebSocketError | Cause.Done> | undefined
  /** Messages in `send` that wait for the outbox, in order. */
  private senders: Array<() => void> | undefined
  /** A Pong that waits for the outbox; a newer one takes its place. RFC 6455 section 5.5.3. */
  private pong: Frame.Frame | undefined
  private heartbeat: "Idle" | "Awaiting" | "Heard" = "Idle"
  private failure: TransportError | Unresponsive | undefined

  constructor(options: Options<Handshake>) {
    this.transport = options.transport
    this.settings = options.settings
    this.wheel = options.wheel
    this.subprotocol = options.subprotocol
    this.handshake = options.handshake
    this.observer = options.observer
    this.decoder = new Frame.Decoder(options.settings.expected)
    this.outbox = new Outbox(options.transport, options.settings.maskingKey, this)
  }

  open(): this {
    if (this.settings.pingInterval !== Infinity) this.wheel.schedule(this, this.settings.pingInterval)
    this.transport.open(this)
    return this
  }

  // Receiving: from the transport to whoever pulls.

  data(chunk: Uint8Array): void {
    if (this.heartbeat === "Awaiting") this.heartbeat = "Heard"
    // Behind a Close nothing counts: section 1.4.
    if (this.lastPart !== undefined || (this.state._tag === "Closing" && this.state.discarding)) return
    try {
      const { parts, violation } = this.decoder.push(chunk)
      this.receiveParts(parts)
      if (violation !== undefined && this.lastPart === undefined) {
        this.handOver()
        this.commit(Protocol.fail(this.settings, this.state, violation))
      }
    } catch (defect) {
      return this.broken(defect)
    }
    this.handOver()
  }

  private receiveParts(parts: ReadonlyArray<Frame.FramePart>): void {
    const received = Protocol.receive(this.settings, this.state, parts)
    if (this.state._tag !== "Open" || received[0]._tag === "Open") return this.commit(received)
    // The peer closes or breaks a rule in here. What came before that is handed over first, and may be answered.
    for (const part of parts) {
      if (this.lastPart !== undefined) return
      const ends = Protocol.receive(this.settings, this.state, [part])[0]._tag !== "Open"
      if (ends && this.state._tag === "Open") {
        this.handOver()
        if (part.opcode === Frame.Opcode.close && this.isBusy()) return this.holdBack(part)
      }
      this.commit(Protocol.receive(this.settings, this.state, [part]))
    }
  }

  /** Somebody has taken messages and has not come back for more. */
  private isBusy(): boolean {
    return this.hasPulled && this.puller === undefined && this.state._tag === "Open"
  }

  /**
   * Answers the peer's Close when the application has dealt with what came before it, or soon at all events: an answer
   * to its last message would not be allowed behind our Close. RFC 6455 section 5.5.1 lets an endpoint delay it.
   */
  private holdBack(close: Frame.FramePart): void {
    this.lastPart = close
    this.unpause()
    this.wheel.schedule(this, Math.min(this.settings.closeTimeout, longestDelay))
  }

  private release(): void {
    if (this.lastPart === undefined) return
    const parts = [this.lastPart]
    this.lastPart = undefined
    this.commit(Protocol.receive(this.settings, this.state, parts))
    if (this.peerHasEnded) this.endTransport()
  }

  /** A peer that has ended may still read what it is owed: the answer to its Close. */
  peerEnded(): void {
    this.peerHasEnded = true
    if (this.lastPart === undefined) this.endTransport()
  }

  private endTransport(): void {
    this.outbox.flush()
    this.transport.end()
  }

  /** A mistake of ours, or of the transport's, must reach whoever waits, and no other connection. */
  broken(defect: unknown): void {
    this.end ??= Exit.die(defect)
    this.transport.destroy()
    this.handOver()
  }

  /** State and bytes move in one synchronous step: nothing can come between deciding to send and sending. */
  private commit([next, actions]: Protocol.Transition<Payload>): void {
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

  private deliver(fragment: Protocol.Fragment, before: Protocol.State): void {
    const message = this.inbox.assemble(fragment)
    if (message === undefined) return
    // While we close there may be nobody who pulls, and reading must go on until the peer's Close. What is dropped is
    // the end of what the peer sent, never something in the middle.
    this.dropping ||= before._tag !== "Open" && !this.hasPulled && this.inbox.cost > this.settings.inboxBytes
    if (this.dropping) return
    this.inbox.add(message)
  }

  private write(frame: Frame.Frame<Payload>): void {
    const isPong = frame.opcode === Frame.Opcode.pong
    if (isPong && this.isFull()) this.pong = frame as Frame.Frame
    else this.outbox.append(frame)
  }

  private handOver(): void {
    const { puller } = this
    if (puller !== undefined && (this.inbox.size > 0 || this.end !== undefined)) {
      this.puller = undefined
      puller(this.take(this.pullerMost))
    }
    if (this.paused || this.lastPart !== undefined || this.inbox.cost <= this.settings.inboxBytes) return
    if (this.state._tag === "Open" || this.isPatient()) {
      this.paused = true
      this.transport.pause()
    }
  }

  /** Whether, while we close, whoever has pulled before is given time to make room. Starts that time. */
  private isPatient(): boolean {
    if (this.state._tag !== "Closing" || this.state.discarding || this.dropping || !this.hasPulled) return false
    const expired = () => {
      this.dropping = true
      this.unpause()
    }
    this.startPatience((this.patience = { slot: undefined, expired }))
    return true
  }

  private startPatience(patience: TimerWheel.Timed): void {
    this.wheel.schedule(patience, Math.min(this.settings.closeTimeout, longestDelay))
  }

  private endPatience(): void {
    if (this.patience !== undefined) this.wheel.cancel(this.patience)
    this.patience = undefined
  }

  private take(most: number): Exit.Exit<Arr.NonEmptyReadonlyArray<Message.Message>, WebSocketError | Cause.Done> {
    const messages = this.inbox.take(most)
    if (messages === undefined) return this.end!
    if (this.inbox.size === 0) this.unpause()
    else if (this.patience !== undefined) this.startPatience(this.patience)
    return Exit.succeed(messages)
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.endPatience()
    // The answer to a Ping may have waited outside for as long as we did not read.
    if (this.heartbeat === "Awaiting") this.heartbeat = "Heard"
    this.transport.resume()
  }

  readonly pull = this.pullUpTo(Number.POSITIVE_INFINITY)

  get receive(): WebSocket["receive"] {
    return Effect.map(this.pullUpTo(1), ([message]) => message)
  }

  private pullUpTo(most: number): WebSocket["pull"] {
    return Effect.callback((resume) => {
      this.hasPulled = true
      if (this.inbox.size === 0) this.release()
      if (this.inbox.size > 0 || this.end !== undefined) return resume(this.take(most))
      if (this.puller !== undefined) {
        return resume(Effect.die(new Error("the messages of a WebSocket are for one fiber at a time")))
      }
      this.puller = resume
      this.pullerMost = most
      return Effect.sync(() => {
        this.puller = undefined
      })
    })
  }

  get messages(): Stream.Stream<Message.Message, WebSocketError> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  // Sending: from the application to the outbox.

  // Functions that may be passed around, made when they are asked for: an idle connection holds none of them.

  get send(): WebSocket["send"] {
    return (message) => Effect.suspend(() => this.sendFragments([fragmentOf(message)]))
  }

  get sendAll(): WebSocket["sendAll"] {
    return (messages) =>
      Effect.suspend(() => {
        const fragments: Array<Protocol.Fragment<Payload>> = []
        for (const message of messages) fragments.push(fragmentOf(message))
        return this.sendFragments(fragments)
      })
  }

  private isFull(): boolean {
    return this.outbox.length >= this.settings.outboxBytes
  }

  /** Whether somebody waits already, or would have to. */
  private hasToWait(): boolean {
    return (this.senders !== undefined && this.senders.length > 0) || this.isFull()
  }

  private sendFragments(fragments: ReadonlyArray<Protocol.Fragment<Payload>>): Effect.Effect<void, WebSocketError> {
    if (this.state._tag !== "Open" || !this.hasToWait()) return this.sendNow(fragments)
    return Effect.callback((resume: Resume) => {
      const sender = () => resume(this.sendNow(fragments))
      const senders = (this.senders ??= [])
      senders.push(sender)
      return Effect.sync(() => {
        const at = senders.indexOf(sender)
        if (at >= 0) senders.splice(at, 1)
      })
    })
  }

  private sendNow(fragments: ReadonlyArray<Protocol.Fragment<Payload>>): Exit.Exit<void, WebSocketError> {
    const sending = Protocol.send(this.state, fragments)
    if (Result.isFailure(sending)) {
      // What is sent here is whole, so nothing can come between.
      return sending.failure._tag === "NotOpen" ? failWith(sending.failure) : Exit.die(sending.failure)
    }
    this.commit(sending.success)
    return Exit.void
  }

  drained(): void {
    const { pong } = this
    this.pong = undefined
    if (pong !== undefined) this.outbox.append(pong)
    this.wakeSenders()
  }

  /** What waited for room in a turn that sent much need not wait for `drained`, if the transport took it all at once. */
  flushed(): void {
    if ((this.senders !== undefined || this.pong !== undefined) && !this.isFull()) this.drained()
  }

  /** Each sends as it is woken, so nobody who comes later can get in before. */
  private wakeSenders(): void {
    const { senders } = this
    if (senders === undefined) return
    while (senders.length > 0 && (this.state._tag !== "Open" || !this.isFull())) senders.shift()!()
    if (senders.length === 0 && this.senders === senders) this.senders = undefined
  }

  tryWriteUnsafe(message: Prepared): Written {
    if (this.state._tag !== "Open") return "NotOpen"
    if (this.hasToWait()) return "Full"
    if (this.settings.role === "server") this.outbox.appendEncoded(message.serverFrame)
    else this.sendNow([fragmentOf(message.message)])
    return "Written"
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
      if (this.state._tag === "Closed") return Effect.void
      this.release()
      const code = Exit.isSuccess(exit)
        ? CloseCode.CloseCode.normal
        : Cause.hasInterruptsOnly(exit.cause)
          ? CloseCode.CloseCode.goingAway
          : CloseCode.CloseCode.internalError
      const closing = Protocol.close(this.state, { code, reason: "" })
      if (Result.isSuccess(closing)) this.commit(closing.success)
      this.inbox.take(Number.POSITIVE_INFINITY)
      this.dropping = true
      this.unpause()
      return this.awaitEnd
    })
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
