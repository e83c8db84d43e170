/**
 * The half of a connection that receives: from the transport, through the decoder of frames and the state machine, to
 * whoever pulls. Nothing is read that nobody pulls, but for one inbox.
 *
 * What extensions of the peer have coded is decoded when it is pulled, in the fiber that pulls it.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Frame from "../codec/Frame.ts"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import * as Utf8 from "../codec/Utf8.ts"
import * as Message from "../protocol/Message.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import * as Coding from "./Coding.ts"
import type * as Extension from "./Extension.ts"
import { Coded, Inbox, type Pieces } from "./Inbox.ts"
import { failWith, Sending } from "./Sending.ts"
import type { Settings } from "./Settings.ts"
import { Arriving, type StreamedMessage } from "./StreamedMessage.ts"
import type * as TimerWheel from "./TimerWheel.ts"
import type { Receiver, Transport } from "./Transport.ts"
import type { WebSocket } from "./WebSocket.ts"
import { ConnectionLost, type TransportError, WebSocketError } from "./WebSocketError.ts"

/** What a pull gives: an `Exit` at once, or what takes a moment. */
type Pulled<A> = Effect.Effect<A, WebSocketError | Cause.Done>

type Messages = Arr.NonEmptyReadonlyArray<Message.Message>

/** Whoever waits for messages: at most so many, or the next one as a stream. */
type Puller =
  | { readonly _tag: "Messages"; readonly most: number; readonly resume: (messages: Pulled<Messages>) => void }
  | { readonly _tag: "Streamed"; readonly resume: (message: Pulled<StreamedMessage>) => void }

/** How many milliseconds the closing handshake may wait for an application that pulls. */
const longestDelay = 1_000

const notText = () => new ProtocolViolation({ closeCode: 1007, clause: "RFC 6455 8.1", detail: "text is not UTF-8" })

export abstract class Receiving extends Sending implements Receiver, TimerWheel.Timed {
  slot: Set<TimerWheel.Timed> | undefined
  protected readonly wheel: TimerWheel.TimerWheel
  protected readonly inbox = new Inbox()
  protected paused = false
  /** There was no room for a message while closing: those that follow are dropped too. */
  protected dropping = false
  /** The last message that was given out as a stream. */
  protected streamed: Arriving | undefined
  /** The peer's Close, while it waits to be answered. */
  protected lastPart: Frame.FramePart | undefined
  /** How the messages end; set when no more can come. */
  protected end: Exit.Exit<never, WebSocketError | Cause.Done> | undefined
  protected heartbeat: "Idle" | "Awaiting" | "Heard" = "Idle"
  private readonly decoder: Frame.Decoder
  /** While closing, the deadline for making room in the inbox. */
  private patience: TimerWheel.Timed | undefined
  private puller: Puller | undefined
  private hasPulled = false
  /** Set while a message takes its time to be decoded: whoever comes meanwhile, as when its fiber was interrupted. */
  private decoding: Array<() => void> | undefined
  /** Whoever waits for more of the message that is read as a stream. */
  private reader: (() => void) | undefined
  private peerHasEnded = false

  constructor(
    transport: Transport,
    settings: Settings,
    wheel: TimerWheel.TimerWheel,
    extensions: Extension.Agreed | undefined
  ) {
    super(transport, settings, extensions)
    this.wheel = wheel
    this.decoder = new Frame.Decoder(this.settings.expected)
  }

  abstract ended(error: TransportError | undefined): void

  abstract expired(): void

  protected endTransport(): void {
    this.outbox.flush()
    this.transport.end()
  }

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
    return this.hasPulled && this.puller === undefined && this.reader === undefined && this.state._tag === "Open"
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

  protected release(): void {
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

  protected deliver(fragment: Protocol.Fragment, before: Protocol.State): void {
    if (this.dropping) return
    const message = this.inbox.assemble(fragment)
    if (message === undefined) return
    // While we close there may be nobody who pulls, and reading must go on until the peer's Close. What is dropped is
    // the end of what the peer sent, never something in the middle.
    this.dropping ||= before._tag !== "Open" && !this.hasPulled && this.inbox.cost > this.settings.inboxBytes
    if (this.dropping) return
    this.inbox.add(message)
  }

  protected handOver(): void {
    const { puller } = this
    if (puller?._tag === "Messages" && (this.inbox.size > 0 || this.end !== undefined)) {
      this.puller = undefined
      puller.resume(this.take(puller.most))
    } else if (puller?._tag === "Streamed" && (this.inbox.hasBegun || this.inbox.size > 0 || this.end !== undefined)) {
      this.puller = undefined
      puller.resume(this.takeStreamed())
    }
    this.reader?.()
    this.checkMemory()
    // What has begun is what a puller waits for. When nobody does, it is one more thing that nobody has asked for.
    const unasked = this.inbox.unread + (this.puller === undefined ? this.inbox.begun : 0)
    if (this.paused || this.lastPart !== undefined || this.inbox.cost + unasked <= this.settings.inboxBytes) return
    if (this.state._tag === "Open" || this.isPatient()) {
      this.paused = true
      this.transport.pause()
    }
  }

  /** Bytes of what was received and is still here. */
  private get received(): number {
    return this.inbox.cost + this.inbox.begun + this.inbox.unread
  }

  private checkMemory(): void {
    if (this.state._tag === "Closed" || this.received <= this.settings.maxReceivedBytes) return
    const detail = "no memory left for this message"
    this.commit(
      Protocol.fail(
        this.settings,
        this.state,
        new ProtocolViolation({ closeCode: 1009, clause: "RFC 6455 10.4", detail })
      )
    )
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

  protected endPatience(): void {
    if (this.patience !== undefined) this.wheel.cancel(this.patience)
    this.patience = undefined
  }

  private take(most: number): Pulled<Messages> {
    const messages = this.inbox.take(most)
    if (messages !== undefined) {
      this.hasRoom()
      return Exit.succeed(messages)
    }
    return this.inbox.size === 0 ? this.end! : this.takeDecoded(most)
  }

  private hasRoom(): void {
    if (this.inbox.size === 0) this.unpause()
    else if (this.patience !== undefined) this.startPatience(this.patience)
  }

  /** As `take`, while some are coded: as many as are decoded at once, and not many more bytes than an inbox holds. */
  private takeDecoded(most: number): Pulled<Messages> {
    const messages: Array<Message.Message> = []
    let length = 0
    for (let next; (next = this.inbox.first) !== undefined && messages.length < most;) {
      const decoding = next instanceof Coded ? this.decode(next) : Exit.succeed(next)
      const decoded = Coding.settled(decoding)
      if (decoded === undefined) {
        if (messages.length > 0) break
        this.decoding = []
        // Not to be interrupted: what is decoded has moved the decoder's context. It waits here for whoever comes next
        // when this fiber is.
        return Effect.andThen(
          Effect.uninterruptible(
            Effect.matchEffect(decoding, {
              onFailure: (violation) => {
                this.violated(violation)
                this.decoded()
                return this.end!
              },
              onSuccess: (message) => {
                this.inbox.replaceFirst(next, message)
                this.decoded()
                return Exit.void
              }
            })
          ),
          this.pullUpTo(most)
        )
      }
      if (Exit.isFailure(decoded)) {
        const violation = decoded.cause.reasons[0]
        if (violation?._tag !== "Fail") return Exit.failCause(decoded.cause as Cause.Cause<never>)
        this.violated(violation.error)
        break
      }
      this.inbox.removeFirst()
      messages.push(decoded.value)
      length += decoded.value.length
      if (length > this.settings.inboxBytes) break
    }
    if (messages.length === 0) return this.end!
    this.hasRoom()
    return Exit.succeed(messages as unknown as Messages)
  }

  private decoded(): void {
    const { decoding = [] } = this
    this.decoding = undefined
    for (const goOn of decoding) goOn()
  }

  /** What it was before the peer's extensions coded it. */
  private decode({ content, kind, rsv }: Coded): Effect.Effect<Message.Message, ProtocolViolation> {
    const { maxMessageBytes, maxReceivedBytes } = this.settings
    const room = Math.min(maxMessageBytes, Math.max(maxReceivedBytes - this.received, 0))
    const decoding = this.coding?.decode(content, rsv, room)
    const toMessage = (bytes: Message.Content): Exit.Exit<Message.Message, ProtocolViolation> => {
      const message = kind === "text" ? new Message.Text(bytes) : new Message.Binary(bytes)
      if (kind === "text" && Utf8.validate(Utf8.accept, message.bytes) !== Utf8.accept) return Exit.fail(notText())
      return Exit.succeed(message)
    }
    return decoding === undefined ? toMessage(content) : Coding.andThen(decoding, toMessage)
  }

  /** The peer's fault in what was there already: nothing of what came behind it is given out. */
  private violated(violation: ProtocolViolation): WebSocketError {
    this.inbox.clear()
    this.lastPart = undefined
    this.commit(Protocol.fail(this.settings, this.state, violation))
    // It waited for its Close to be answered, which it is not any more.
    if (this.peerHasEnded) this.endTransport()
    // The closing handshake may be over by now.
    const error = new WebSocketError({ reason: violation })
    this.end = Exit.fail(error)
    this.unpause()
    return error
  }

  private takeStreamed(): Pulled<StreamedMessage> {
    const pieces = this.inbox.takeStreamed()
    if (pieces === undefined) return this.end!
    this.hasRoom()
    const { coding } = this
    this.streamed = new Arriving({
      kind: pieces.kind,
      pieces: this.pullPieces(pieces),
      decode:
        pieces.rsv === 0 || coding === undefined
          ? undefined
          : (stream) => coding.decodeStream(stream, pieces.rsv, this.settings.maxMessageBytes) ?? stream,
      violated: (violation) => this.violated(violation)
    })
    return Exit.succeed(this.streamed)
  }

  private pullPieces(
    pieces: Pieces
  ): Effect.Effect<Arr.NonEmptyReadonlyArray<Uint8Array>, WebSocketError | Cause.Done> {
    return Effect.callback((resume) => {
      if (this.reader !== undefined)
        return resume(Effect.die(new Error("a streamed message is for one fiber at a time")))
      if (!pieces.ended && pieces.length === 0) this.release()
      const ready = this.takePieces(pieces)
      if (ready !== undefined) return resume(ready)
      const read = () => {
        // Taking makes room, and a transport may use it in the call.
        this.reader = undefined
        const taken = this.takePieces(pieces)
        if (taken === undefined) this.reader = read
        else resume(taken)
      }
      this.reader = read
      if (this.inbox.size === 0) this.unpause()
      return Effect.sync(() => {
        if (this.reader === read) this.reader = undefined
      })
    })
  }

  private takePieces(pieces: Pieces): Pulled<Arr.NonEmptyReadonlyArray<Uint8Array>> | undefined {
    if (pieces.length > 0) {
      const taken = pieces.take().pieces
      if (this.inbox.size === 0) this.unpause()
      return Exit.succeed(taken as unknown as Arr.NonEmptyReadonlyArray<Uint8Array>)
    }
    if (pieces.ended) return Cause.done()
    if (this.end === undefined) return undefined
    const { end } = this
    const isOrdinary = Exit.isFailure(end) && end.cause.reasons.some((r) => r._tag === "Fail" && Cause.isDone(r.error))
    // An ordinary close in the middle of a message is none for whoever reads it.
    return isOrdinary ? failWith(this.lost()) : (end as Exit.Exit<never, WebSocketError>)
  }

  protected lost(): ConnectionLost {
    const { state } = this
    if (state._tag === "Open") return new ConnectionLost({ by: "network", sent: undefined, received: undefined })
    return new ConnectionLost({ by: state.by, sent: state.sent, received: state.received })
  }

  protected unpause(): void {
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
      if (this.decoding !== undefined) return void this.decoding.push(() => resume(this.pullUpTo(most)))
      const skip = this.skipStreamed()
      if (skip !== undefined) return resume(Effect.andThen(skip, this.pullUpTo(most)))
      if (this.inbox.size > 0 || this.end !== undefined) return resume(this.take(most))
      return this.park({ _tag: "Messages", most, resume })
    })
  }

  get receiveStream(): WebSocket["receiveStream"] {
    return this.pullStreamed()
  }

  private pullStreamed(): WebSocket["receiveStream"] {
    return Effect.callback((resume) => {
      if (this.decoding !== undefined) return void this.decoding.push(() => resume(this.pullStreamed()))
      const skip = this.skipStreamed()
      if (skip !== undefined) return resume(Effect.andThen(skip, this.pullStreamed()))
      if (this.inbox.hasBegun || this.inbox.size > 0 || this.end !== undefined) return resume(this.takeStreamed())
      return this.park({ _tag: "Streamed", resume })
    })
  }

  /** Whoever comes for the next message has done with those before: what is left of one must be read first. */
  private skipStreamed(): Effect.Effect<void, WebSocketError> | undefined {
    this.hasPulled = true
    const { streamed } = this
    if (streamed !== undefined && !streamed.isRead) return streamed.skip
    this.streamed = undefined
    if (this.inbox.size === 0) this.release()
    return undefined
  }

  private park(puller: Puller): Effect.Effect<void> | undefined {
    if (this.puller !== undefined) {
      puller.resume(Effect.die(new Error("the messages of a WebSocket are for one fiber at a time")))
      return undefined
    }
    this.puller = puller
    this.unpause()
    return Effect.sync(() => {
      if (this.puller === puller) this.puller = undefined
    })
  }

  get messages(): Stream.Stream<Message.Message, WebSocketError> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }
}
