/**
 * The half of a connection that sends: from the application, through what extensions make of it, to the outbox.
 *
 * Messages go out in the order in which they were given, one at a time where one takes more than a moment: because an
 * extension is at it, or because it is a stream. Who has to wait can be interrupted, and has then sent nothing.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Frame from "../codec/Frame.ts"
import type * as Message from "../protocol/Message.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import * as Coding from "./Coding.ts"
import * as Extension from "./Extension.ts"
import * as Fragments from "./Fragments.ts"
import { Outbox, type Owner, type Payload } from "./Outbox.ts"
import type { Prepared } from "./Prepared.ts"
import { type Settings, withReservedBits } from "./Settings.ts"
import type { Transport } from "./Transport.ts"
import { Waiters } from "./Waiters.ts"
import type { StreamOptions, WebSocket, Written } from "./WebSocket.ts"
import { WebSocketError } from "./WebSocketError.ts"

/** The end of what can be done here, with its reason. */
export const failWith = (reason: WebSocketError["reason"]): Exit.Exit<never, WebSocketError> =>
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

export abstract class Sending implements Owner {
  readonly extensions: WebSocket["extensions"]
  protected readonly transport: Transport
  protected readonly settings: Settings
  protected readonly outbox: Outbox
  protected readonly coding: Extension.Coder | undefined
  protected state: Protocol.State = Protocol.initial
  /** Messages that wait for the outbox or for the end of another one, in order. Made when there is one. */
  private waiters: Waiters | undefined
  /** Who sends a message as a stream and waits for the outbox. */
  private streamer: (() => void) | undefined
  /** Who sends a message as a stream, to be told when that cannot go on. */
  private streaming: (() => void) | undefined
  /** A Pong that waits for the outbox; a newer one takes its place. RFC 6455 section 5.5.3. */
  protected pong: Frame.Frame | undefined

  constructor(transport: Transport, settings: Settings, extensions = Extension.none) {
    this.transport = transport
    this.extensions = extensions.response
    this.coding = Coding.make(extensions)
    this.settings = extensions.rsv === 0 ? settings : withReservedBits(settings, extensions.rsv)
    this.outbox = new Outbox(transport, settings.maskingKey, this)
  }

  protected abstract commit(transition: Protocol.Transition<Payload>): void

  abstract broken(defect: unknown): void

  protected write(frame: Frame.Frame<Payload>): void {
    const isPong = frame.opcode === Frame.Opcode.pong
    if (isPong && this.isFull()) this.pong = frame as Frame.Frame
    else this.outbox.append(frame)
  }

  // Functions that may be passed around, made when they are asked for: an idle connection holds none of them.

  get send(): WebSocket["send"] {
    return (message) => Effect.suspend(() => this.sendMessages([message]))
  }

  get sendAll(): WebSocket["sendAll"] {
    return (messages) =>
      Effect.suspend(() => this.sendMessages(Array.isArray(messages) ? messages : Array.from(messages)))
  }

  private isFull(): boolean {
    return this.outbox.length >= this.settings.outboxBytes
  }

  /** Whether somebody waits already, or would have to. Who finds it closed is told at once. */
  private hasToWait(): boolean {
    const { waiters } = this
    if (this.state._tag !== "Open") return false
    return (waiters !== undefined && (waiters.isTaken || !waiters.isEmpty)) || this.isFull()
  }

  private sendMessages(messages: ReadonlyArray<Message.Sendable>): Effect.Effect<void, WebSocketError> {
    if (!this.hasToWait()) return this.sendNow(messages)
    return this.whenRoom(() => this.sendNow(messages))
  }

  private whenRoom<E, R>(go: () => Effect.Effect<void, E, R>): Effect.Effect<void, E, R> {
    return (this.waiters ??= new Waiters()).wait(() => this.hasToWait(), go)
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
    const encoded =
      encoding === undefined ? Effect.succeed(undefined) : Effect.exit(Effect.raceFirst(encoding, this.closing))
    return Effect.flatMap(encoded, (exit) =>
      Effect.andThen(
        this.sendEncoded(message, exit),
        Effect.suspend(() => this.sendSlowly(coding, messages, from + 1))
      )
    )
  }

  private sendEncoded(
    message: Message.Sendable,
    encoded: Exit.Exit<Extension.Encoded, WebSocketError> | undefined
  ): Exit.Exit<void, WebSocketError> {
    if (encoded === undefined) return this.sendFragments([fragmentOf(message)])
    if (Exit.isFailure(encoded)) return Exit.failCause(encoded.cause)
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
        return this.hasToWait() ? this.whenRoom(() => send) : send
      })
  }

  /** A message in fragments. It cannot be taken back: when its stream does not come to its end, nor can the connection. */
  private sendPieces<E, R>(
    kind: Protocol.Kind,
    bytes: Stream.Stream<Uint8Array, E, R>,
    { compress, fragmentBytes = Fragments.defaultLength }: StreamOptions
  ): Effect.Effect<void, WebSocketError | E, R> {
    if (!(fragmentBytes >= 1)) return Effect.die(new RangeError(`fragments of ${fragmentBytes} bytes have no end`))
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
            this.roomForFragment,
            Effect.suspend(() => whenRoom(payload, fin))
          )
        : send(payload, fin)
    const fragments = Stream.runForEachArray(coded?.pieces ?? bytes, (pieces) =>
      Effect.forEach(Fragments.cut(pieces, fragmentBytes), (payload) => whenRoom(payload, false), { discard: true })
    )
    const ended = Effect.suspend(() => whenRoom(new Uint8Array(0), true))
    return Effect.onError(Effect.raceFirst(Effect.andThen(fragments, ended), this.closing), () =>
      Effect.sync(() => {
        if (first) return
        const status = { code: CloseCode.CloseCode.internalError, reason: "a message was not finished" }
        const closing = Protocol.close(this.state, status)
        if (Result.isSuccess(closing)) this.commit(closing.success)
      })
    )
  }

  /** Fails when the connection is not open any more: a stream may have nothing to send for as long as it likes. */
  private get closing(): Effect.Effect<never, WebSocketError> {
    return Effect.callback((resume) => {
      this.streaming = () => {
        if (this.state._tag !== "Open") resume(failWith(new Protocol.NotOpen({ state: this.state._tag })))
      }
      // It may have waited for its turn until then.
      this.streaming()
      return Effect.sync(() => {
        this.streaming = undefined
      })
    })
  }

  /** Room in the outbox for whoever is sending a message in fragments. */
  private get roomForFragment(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      // The fiber may have yielded since it was looked.
      if (this.state._tag !== "Open" || !this.isFull()) return resume(Effect.void)
      this.streamer = () => resume(Effect.void)
      return Effect.sync(() => {
        this.streamer = undefined
      })
    })
  }

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
  protected wakeSenders(): void {
    this.streaming?.()
    const mayGo = () => this.state._tag !== "Open" || !this.isFull()
    const { streamer } = this
    if (streamer !== undefined && mayGo()) {
      this.streamer = undefined
      streamer()
    }
    this.waiters?.wake(mayGo)
    if (this.waiters?.isEmpty === true && !this.waiters.isTaken) this.waiters = undefined
  }

  get room(): Effect.Effect<void> {
    return Effect.suspend(() => (this.hasToWait() ? this.whenRoom(() => Effect.void) : Effect.void))
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
}
