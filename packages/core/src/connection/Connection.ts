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
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import * as Utf8 from "../codec/Utf8.ts"
import * as Message from "../protocol/Message.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import * as Coding from "./Coding.ts"
import * as Extension from "./Extension.ts"
import * as Fragments from "./Fragments.ts"
import { Coded, Inbox, type Pieces } from "./Inbox.ts"
import { Outbox, type Owner, type Payload } from "./Outbox.ts"
import type { Prepared } from "./Prepared.ts"
import { type Settings, withReservedBits } from "./Settings.ts"
import { StreamedMessage } from "./StreamedMessage.ts"
import type * as TimerWheel from "./TimerWheel.ts"
import type { Receiver, Transport } from "./Transport.ts"
import { Waiters } from "./Waiters.ts"
import type { StreamOptions, WebSocket, Written } from "./WebSocket.ts"
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

/** What a pull gives: an `Exit` at once, or what takes a moment. */
type Pulled<A> = Effect.Effect<A, WebSocketError | Cause.Done>

type Messages = Arr.NonEmptyReadonlyArray<Message.Message>

/** Whoever waits for messages: at most so many, or the next one as a stream. */
type Puller =
  | { readonly _tag: "Messages"; readonly most: number; readonly resume: (messages: Pulled<Messages>) => void }
  | { readonly _tag: "Streamed"; readonly resume: (message: Pulled<StreamedMessage>) => void }

/** How many milliseconds the closing handshake may wait for an application that pulls. */
const longestDelay = 1_000

const noBytes = new Uint8Array(0)

const failWith = (reason: WebSocketError["reason"]): Exit.Exit<never, WebSocketError> =>
  Exit.fail(new WebSocketError({ reason }))

const whole = (kind: Protocol.Kind, payload: Payload, rsv = 0): Protocol.Fragment<Payload> => ({
  kind,
  payload,
  first: true,
  fin: true,
  rsv
})

const fragmentOf = (message: Message.Sendable): Protocol.Fragment<Payload> =>
  typeof message === "string"
    ? whole("text", message)
    : message instanceof Uint8Array
      ? whole("binary", message)
      : whole(message._tag === "Text" ? "text" : "binary", message.content)

const outgoingOf = (message: Message.Sendable): Extension.Outgoing =>
  typeof message === "string"
    ? { kind: "text", payload: message, compress: undefined }
    : message instanceof Uint8Array
      ? { kind: "binary", payload: message, compress: undefined }
      : { kind: message._tag === "Text" ? "text" : "binary", payload: message.content, compress: message.compress }

const notText = () => new ProtocolViolation({ closeCode: 1007, clause: "RFC 6455 8.1", detail: "text is not UTF-8" })

export class Connection<Handshake> implements WebSocket<Handshake>, Receiver, Owner, TimerWheel.Timed {
  readonly subprotocol: string | undefined
  readonly extensions: WebSocket["extensions"]
  readonly handshake: Handshake
  slot: Set<TimerWheel.Timed> | undefined
  private readonly transport: Transport
  private readonly settings: Settings
  private readonly wheel: TimerWheel.TimerWheel
  private readonly observer: Observer | undefined
  private readonly decoder: Frame.Decoder
  private readonly outbox: Outbox
  private readonly coding: Extension.Coder | undefined
  private readonly ending = Deferred.makeUnsafe<Protocol.Closed>()
  private state: Protocol.State = Protocol.initial
  private readonly inbox = new Inbox()
  private paused = false
  /** There was no room for a message while closing: those that follow are dropped too. */
  private dropping = false
  /** While closing, the deadline for making room in the inbox. */
  private patience: TimerWheel.Timed | undefined
  private puller: Puller | undefined
  private hasPulled = false
  /** The last message that was given out as a stream. */
  private streamed: StreamedMessage | undefined
  /** Whoever waits for more of it. */
  private reader: (() => void) | undefined
  /** The peer's Close, while it waits to be answered. */
  private lastPart: Frame.FramePart | undefined
  private peerHasEnded = false
  /** How the messages end; set when no more can come. */
  private end: Exit.Exit<never, WebSocketError | Cause.Done> | undefined
  /** Messages that wait for the outbox or for the end of another one, in order. Made when there is one. */
  private waiters: Waiters | undefined
  /** Who sends a message as a stream and waits for the outbox. */
  private streamer: (() => void) | undefined
  /** A Pong that waits for the outbox; a newer one takes its place. RFC 6455 section 5.5.3. */
  private pong: Frame.Frame | undefined
  private heartbeat: "Idle" | "Awaiting" | "Heard" = "Idle"
  private failure: TransportError | Unresponsive | undefined

  constructor(options: Options<Handshake>) {
    this.transport = options.transport
    const extensions = options.extensions ?? Extension.none
    this.extensions = extensions.response
    this.coding = Coding.make(extensions)
    this.settings = extensions.rsv === 0 ? options.settings : withReservedBits(options.settings, extensions.rsv)
    this.wheel = options.wheel
    this.subprotocol = options.subprotocol
    this.handshake = options.handshake
    this.observer = options.observer
    this.decoder = new Frame.Decoder(this.settings.expected)
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
    if (this.state._tag === "Closed" || this.received + this.outbox.length <= this.settings.maxMemoryBytes) return
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

  private endPatience(): void {
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
        // Not to be interrupted: what is decoded has moved the decoder's context.
        return Effect.uninterruptible(
          Effect.matchEffect(decoding, {
            onFailure: (violation) => {
              this.violated(violation)
              return this.end!
            },
            onSuccess: (message) => {
              this.inbox.removeFirst()
              this.hasRoom()
              return Exit.succeed<Messages>([message])
            }
          })
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

  /** What it was before the peer's extensions coded it. */
  private decode({ content, kind, rsv }: Coded): Effect.Effect<Message.Message, ProtocolViolation> {
    const { maxMemoryBytes, maxMessageBytes } = this.settings
    const room = Math.min(maxMessageBytes, Math.max(maxMemoryBytes - this.received - this.outbox.length, 0))
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
    this.streamed = new StreamedMessage({
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

  private lost(): ConnectionLost {
    const { state } = this
    if (state._tag === "Open") return new ConnectionLost({ by: "network", sent: undefined, received: undefined })
    return new ConnectionLost({ by: state.by, sent: state.sent, received: state.received })
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

  // Sending: from the application to the outbox.

  // Functions that may be passed around, made when they are asked for: an idle connection holds none of them.

  get send(): WebSocket["send"] {
    return (message) => Effect.suspend(() => this.sendMessages([message]))
  }

  get sendAll(): WebSocket["sendAll"] {
    return (messages) => Effect.suspend(() => this.sendMessages(Array.from(messages)))
  }

  private isFull(): boolean {
    const { length } = this.outbox
    const { maxMemoryBytes, outboxBytes } = this.settings
    return length >= outboxBytes || (length > 0 && length + this.received >= maxMemoryBytes)
  }

  /** Whether somebody waits already, or would have to. */
  private hasToWait(): boolean {
    const { waiters } = this
    return (waiters !== undefined && (waiters.isTaken || !waiters.isEmpty)) || this.isFull()
  }

  private sendMessages(messages: ReadonlyArray<Message.Sendable>): Effect.Effect<void, WebSocketError> {
    if (this.state._tag !== "Open" || !this.hasToWait()) return this.sendNow(messages)
    return (this.waiters ??= new Waiters()).wait(() => this.sendNow(messages))
  }

  private sendNow(messages: ReadonlyArray<Message.Sendable>): Effect.Effect<void, WebSocketError> {
    if (this.coding !== undefined && this.state._tag === "Open") return this.sendCoded(this.coding, messages, 0)
    return this.sendFragments(messages.map(fragmentOf))
  }

  private sendFragments(fragments: ReadonlyArray<Protocol.Fragment<Payload>>): Exit.Exit<void, WebSocketError> {
    const sending = Protocol.send(this.state, fragments)
    if (Result.isFailure(sending)) {
      // Nobody sends while a message is being sent in fragments, so nothing can come between.
      return sending.failure._tag === "NotOpen" ? failWith(sending.failure) : Exit.die(sending.failure)
    }
    this.commit(sending.success)
    return Exit.void
  }

  /** Those that extensions code in the call are sent in it. From the first that takes longer, nobody else sends. */
  private sendCoded(
    coding: Extension.Coder,
    messages: ReadonlyArray<Message.Sendable>,
    from: number
  ): Effect.Effect<void, WebSocketError> {
    for (let at = from; at < messages.length; at++) {
      const message = messages[at]!
      const encoding = coding.encode(outgoingOf(message))
      const encoded = encoding === undefined ? undefined : Coding.settled(encoding)
      if (encoding !== undefined && encoded === undefined) {
        return this.alone(Effect.suspend(() => this.sendSlowly(coding, messages, at)))
      }
      const sent = this.sendEncoded(message, encoded)
      if (Exit.isFailure(sent)) return sent
    }
    return Exit.void
  }

  private sendSlowly(
    coding: Extension.Coder,
    messages: ReadonlyArray<Message.Sendable>,
    from: number
  ): Effect.Effect<void, WebSocketError> {
    const message = messages[from]
    if (message === undefined) return Exit.void
    const encoding = coding.encode(outgoingOf(message))
    const encoded = encoding === undefined ? Effect.succeed(undefined) : Effect.exit(encoding)
    return Effect.flatMap(encoded, (exit) =>
      Effect.andThen(
        this.sendEncoded(message, exit),
        Effect.suspend(() => this.sendSlowly(coding, messages, from + 1))
      )
    )
  }

  private sendEncoded(
    message: Message.Sendable,
    encoded: Exit.Exit<Extension.Encoded> | undefined
  ): Exit.Exit<void, WebSocketError> {
    if (encoded === undefined) return this.sendFragments([fragmentOf(message)])
    if (Exit.isFailure(encoded)) return encoded
    const { payload, rsv, written } = encoded.value
    const sent = this.sendFragments([whole(fragmentOf(message).kind, payload, rsv)])
    if (Exit.isSuccess(sent)) written?.()
    return sent
  }

  private alone<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return (this.waiters ??= new Waiters()).alone(effect, () => this.wakeSenders())
  }

  get sendStream(): WebSocket["sendStream"] {
    return <E, R>(
      kind: Protocol.Kind,
      stream: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
      options: StreamOptions = {}
    ) =>
      Effect.suspend(() => {
        const bytes =
          kind === "text"
            ? Fragments.encodeText(stream as Stream.Stream<string, E, R>)
            : (stream as Stream.Stream<Uint8Array, E, R>)
        const send = this.alone(Effect.suspend(() => this.sendPieces(kind, bytes, options)))
        if (this.state._tag !== "Open" || !this.hasToWait()) return send
        return (this.waiters ??= new Waiters()).wait(() => send)
      })
  }

  /** A message in fragments. It cannot be taken back: when its stream does not come to its end, nor can the connection. */
  private sendPieces<E, R>(
    kind: Protocol.Kind,
    bytes: Stream.Stream<Uint8Array, E, R>,
    { compress, fragmentBytes = Fragments.defaultLength }: StreamOptions
  ): Effect.Effect<void, WebSocketError | E, R> {
    const coded = this.coding?.encodeStream({ kind, payload: bytes, compress })
    let first = true
    const send = (payload: Uint8Array, fin: boolean): Effect.Effect<void, WebSocketError> => {
      const sent = this.sendFragments([{ kind, payload, first, fin, rsv: coded?.rsv ?? 0 }])
      first = false
      return sent
    }
    const whenRoom = (payload: Uint8Array, fin: boolean): Effect.Effect<void, WebSocketError> =>
      this.state._tag === "Open" && this.isFull()
        ? Effect.andThen(
            this.room,
            Effect.suspend(() => whenRoom(payload, fin))
          )
        : send(payload, fin)
    const fragments = Stream.runForEachArray(coded?.pieces ?? bytes, (pieces) =>
      Effect.forEach(Fragments.cut(pieces, fragmentBytes), (payload) => whenRoom(payload, false), { discard: true })
    )
    const ended = Effect.suspend(() => whenRoom(new Uint8Array(0), true))
    return Effect.onError(Effect.andThen(fragments, ended), () =>
      Effect.sync(() => {
        if (first) return
        const status = { code: CloseCode.CloseCode.internalError, reason: "a message was not finished" }
        const closing = Protocol.close(this.state, status)
        if (Result.isSuccess(closing)) this.commit(closing.success)
      })
    )
  }

  /** Room in the outbox for whoever is sending a message in fragments. */
  private readonly room: Effect.Effect<void> = Effect.callback<void>((resume) => {
    this.streamer = () => resume(Effect.void)
    return Effect.sync(() => {
      this.streamer = undefined
    })
  })

  drained(): void {
    const { pong } = this
    this.pong = undefined
    if (pong !== undefined) this.outbox.append(pong)
    this.wakeSenders()
  }

  /** What waited for room in a turn that sent much need not wait for `drained`, if the transport took it all at once. */
  flushed(): void {
    const isAwaited = this.waiters !== undefined || this.streamer !== undefined || this.pong !== undefined
    if (isAwaited && !this.isFull()) this.drained()
  }

  /** Each sends as it is woken, so nobody who comes later can get in before. */
  private wakeSenders(): void {
    const mayGo = () => this.state._tag !== "Open" || !this.isFull()
    const { streamer } = this
    if (streamer !== undefined && mayGo()) {
      this.streamer = undefined
      streamer()
    }
    this.waiters?.wake(mayGo)
    if (this.waiters?.isEmpty === true && !this.waiters.isTaken) this.waiters = undefined
  }

  tryWriteUnsafe(message: Prepared): Written {
    if (this.state._tag !== "Open") return "NotOpen"
    const { waiters } = this
    if (waiters !== undefined && waiters.isTaken) {
      // Not slow: a message is on its way that takes its time, and this one comes behind it.
      if (this.outbox.length + waiters.bytes >= this.settings.outboxBytes) return "Full"
      waiters.leave(() => this.writePrepared(message), message.length)
      return "Written"
    }
    if (this.hasToWait()) return "Full"
    this.writePrepared(message)
    return "Written"
  }

  private writePrepared(message: Prepared): void {
    const shared = this.coding?.shared
    const isServer = this.settings.role === "server"
    if (this.state._tag !== "Open") return
    if (this.coding !== undefined && shared === undefined) {
      const sending = this.sendCoded(this.coding, [message.message], 0)
      if (!Exit.isExit(sending)) Effect.runFork(sending)
      return
    }
    const code = shared === undefined ? undefined : message.codedBy(shared)
    if (isServer) this.outbox.appendEncoded((code ?? message).serverFrame)
    else
      this.sendFragments([
        code === undefined ? fragmentOf(message.message) : whole(message.outgoing.kind, code.payload, code.rsv)
      ])
    if (code !== undefined) shared?.written(message.outgoing)
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
      if (this.state._tag === "Closed") return Effect.void
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
      const { streamed } = this
      return streamed === undefined ? this.awaitEnd : Effect.andThen(streamed.close, this.awaitEnd)
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
