/**
 * A connection over a link: the same messages, errors and ends as over a transport, as far as the link tells them.
 *
 * Three parties move it: the link (`message`, `drained`, `ended`), the application (`pull`, `send`, `close`, the
 * finalizer), and the deadline of a closing handshake. Everything here but waiting is synchronous.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as CloseCode from "../codec/CloseCode.ts"
import type { Extension } from "../codec/Extensions.ts"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import * as Message from "../protocol/Message.ts"
import * as Protocol from "../protocol/WebSocketProtocol.ts"
import type { Link, Owner } from "./Link.ts"
import { LinkInbox } from "./LinkInbox.ts"
import type { Prepared } from "./Prepared.ts"
import { Waiters } from "./Waiters.ts"
import type { StreamOptions, WebSocket, Written } from "./WebSocket.ts"
import { ConnectionLost, InboxFull, type TransportError, type Unresponsive, WebSocketError } from "./WebSocketError.ts"
import { WholeMessage } from "./WholeMessage.ts"

/** In bytes, and in milliseconds. */
export interface LinkLimits {
  readonly maxMessageBytes: number
  readonly inboxBytes: number
  readonly outboxBytes: number
  readonly closeTimeout: number
}

/** What a connection over a link is made of. */
export interface Options<Handshake> {
  /** Begins to open. May throw what the platform throws. */
  readonly link: (owner: Owner) => Link
  readonly handshake: Handshake
  readonly limits: LinkLimits
  readonly context: Context.Context<never>
  /**
   * The code that the link sends in the place of one that is asked for, where it may not send every code; `undefined`
   * for one that no endpoint may send. Default: the same.
   */
  readonly codeFor?: ((code: number) => number | undefined) | undefined
  /** Told once, when it is open or never will be. Not before the constructor has returned, unless the link is that fast. */
  readonly onSettled?: (() => void) | undefined
}

/** Messages may go both ways; or a Close was sent, or is about to be, and why; or all is over. */
type State =
  | { readonly _tag: "Open" }
  | {
      readonly _tag: "Closing"
      readonly sent: CloseCode.CloseStatus
      /** Nothing that the peer sends counts any more. */
      readonly failure: InboxFull | ProtocolViolation | undefined
    }
  | { readonly _tag: "Closed" }

type Messages = Arr.NonEmptyReadonlyArray<Message.Message>

/** Whoever waits for messages, at most so many. */
interface Puller {
  readonly most: number
  readonly resume: (messages: Exit.Exit<Messages, WebSocketError | Cause.Done>) => void
}

/** How many milliseconds pass between two looks at what the link has still to send. */
const lookAgain = 10

const open: State = { _tag: "Open" }

const failWith = (reason: WebSocketError["reason"]): Exit.Exit<never, WebSocketError> =>
  Exit.fail(new WebSocketError({ reason }))

const anyCode = (code: number): number | undefined =>
  code === CloseCode.CloseCode.noStatus || CloseCode.isOnWire(code) ? code : undefined

const encoder = new TextEncoder()

/** The reason as far as it fits: cut after its last whole character within 123 bytes. */
const cut = (reason: string): string =>
  reason.slice(0, encoder.encodeInto(reason, new Uint8Array(CloseCode.maxReasonBytes)).read).toWellFormed()

const dataOf = (message: Message.Sendable): string | Uint8Array =>
  typeof message === "string" || message instanceof Uint8Array
    ? message
    : message._tag === "Text"
      ? message.text
      : message.bytes

/** Whether its UTF-8 is longer, looked at closely only where its number of characters leaves that open. */
const isLonger = (data: string | Uint8Array, most: number): boolean =>
  data.length > most || (typeof data === "string" && data.length * 3 > most && encoder.encode(data).length > most)

export class LinkConnection<Handshake> implements Owner, WebSocket<Handshake> {
  readonly handshake: Handshake
  readonly link: Link
  private readonly limits: LinkLimits
  private readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  private readonly codeFor: (code: number) => number | undefined
  private onSettled: (() => void) | undefined
  private state: State = open
  private readonly inbox = new LinkInbox()
  /** What comes is not kept any more. */
  private dropping = false
  private puller: Puller | undefined
  /** The reader was told of a message, and is told of those behind it together, when the platform has told of all. */
  private gathering = false
  /** How the messages end; set when no more can come. */
  private end: Exit.Exit<never, WebSocketError | Cause.Done> | undefined
  private readonly waiters = new Waiters()
  /** Looks whether there is room again, while somebody waits. */
  private looking: Fiber.Fiber<void> | undefined
  private deadline: Fiber.Fiber<void> | undefined
  private readonly left = Deferred.makeUnsafe<void>()
  private readonly ending = Deferred.makeUnsafe<Protocol.Closed>()

  /** Throws what the link throws. */
  constructor({ codeFor = anyCode, context, handshake, limits, link, onSettled }: Options<Handshake>) {
    this.handshake = handshake
    this.limits = limits
    this.run = Effect.runForkWith(context)
    this.codeFor = codeFor
    this.onSettled = onSettled
    this.link = link(this)
  }

  get subprotocol(): string | undefined {
    return this.link.subprotocol === "" ? undefined : this.link.subprotocol
  }

  get extensions(): ReadonlyArray<Extension> {
    const { extensions } = this.link
    // Whoever opened it has parsed it, and agreed to it.
    return extensions === "" ? [] : extensions.split(",").map(parseExtension)
  }

  // What the link tells.

  opened(): void {
    this.settled()
  }

  private settled(): void {
    const { onSettled } = this
    this.onSettled = undefined
    onSettled?.()
  }

  message(data: string | Uint8Array): void {
    if (this.dropping) return
    const { inboxBytes, maxMessageBytes } = this.limits
    if (isLonger(data, maxMessageBytes)) {
      return this.failFor(
        new ProtocolViolation({ closeCode: 1009, clause: "RFC 6455 7.4.1", detail: "message too big" })
      )
    }
    if (this.inbox.cost > inboxBytes) {
      // Paused, it takes what was under way. While we close, what is dropped is the end of what the peer sent.
      if (this.state._tag !== "Open") this.dropping = true
      else if (!this.link.canPause) return this.failFor(new InboxFull({ limit: inboxBytes }))
      if (this.dropping) return
    }
    this.inbox.add(data)
    if (!this.gathering || this.inbox.cost > inboxBytes) this.handOver()
    if (!this.gathering) this.gather()
    if (this.inbox.cost > inboxBytes && this.state._tag === "Open") this.link.pause()
  }

  private gather(): void {
    const { afterwards } = this.link
    if (afterwards === undefined) return
    this.gathering = true
    afterwards(this.gathered)
  }

  private readonly gathered = (): void => {
    this.gathering = false
    this.handOver()
  }

  drained(): void {
    this.waiters.wake(() => this.state._tag !== "Open" || !this.isFull())
  }

  ended(received: CloseCode.CloseStatus | undefined, failure?: TransportError | Unresponsive): void {
    const { state } = this
    if (state._tag === "Closed") return
    const closed = closedBy(state, received)
    this.state = { _tag: "Closed" }
    this.deadline?.interruptUnsafe()
    this.endMessages(closed, state._tag === "Open" ? failure : undefined)
    if (state._tag === "Open") this.leftOpen()
    Deferred.doneUnsafe(this.ending, Exit.succeed(closed))
    this.handOver()
    this.settled()
  }

  private endMessages(closed: Protocol.Closed, failure: TransportError | Unresponsive | undefined): void {
    const { by, received, sent, violation } = closed
    if (violation !== undefined) this.end ??= failWith(violation)
    else if (Protocol.isOrdinary(closed)) this.end ??= Exit.fail(Cause.Done())
    else if (failure !== undefined) this.end ??= failWith(failure)
    else this.end ??= failWith(new ConnectionLost({ by, sent, received }))
  }

  // Receiving.

  private handOver(): void {
    const { puller } = this
    if (puller === undefined || (this.inbox.size === 0 && this.end === undefined)) return
    this.puller = undefined
    puller.resume(this.take(puller.most))
  }

  private take(most: number): Exit.Exit<Messages, WebSocketError | Cause.Done> {
    if (this.inbox.size === 0) return this.end!
    const messages = this.inbox.take(most)
    if (this.inbox.size === 0) this.link.resume()
    return Exit.succeed(messages)
  }

  private pullUpTo(most: number): WebSocket["pull"] {
    return Effect.callback((resume) => {
      if (this.inbox.size > 0 || this.end !== undefined) return resume(this.take(most))
      if (this.puller !== undefined) {
        return resume(Effect.die(new Error("the messages of a WebSocket are for one fiber at a time")))
      }
      const puller: Puller = { most, resume }
      this.puller = puller
      return Effect.sync(() => {
        if (this.puller === puller) this.puller = undefined
      })
    })
  }

  readonly pull = this.pullUpTo(Number.POSITIVE_INFINITY)

  get receive(): WebSocket["receive"] {
    return Effect.map(this.pullUpTo(1), ([message]) => message)
  }

  get messages(): WebSocket["messages"] {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  get receiveStream(): WebSocket["receiveStream"] {
    return Effect.map(this.receive, (message) => new WholeMessage(message))
  }

  // Sending.

  private get isOpen(): boolean {
    return this.state._tag === "Open" && this.link.isOpen
  }

  private isFull(): boolean {
    return this.link.buffered >= this.limits.outboxBytes
  }

  get send(): WebSocket["send"] {
    return (message) => Effect.suspend(() => this.sendMessages([message]))
  }

  get sendAll(): WebSocket["sendAll"] {
    return (messages) =>
      Effect.suspend(() => this.sendMessages(Array.isArray(messages) ? messages : Array.from(messages)))
  }

  private hasToWait(): boolean {
    return this.isOpen && (!this.waiters.isEmpty || this.isFull())
  }

  private sendMessages(messages: ReadonlyArray<Message.Sendable>): Effect.Effect<void, WebSocketError> {
    return this.hasToWait() ? this.whenRoom(() => this.sendNow(messages)) : this.sendNow(messages)
  }

  private whenRoom<E>(go: () => Effect.Effect<void, E>): Effect.Effect<void, E> {
    const waiting = this.waiters.wait(() => this.hasToWait(), go)
    if (!this.link.tellsDrained) this.looking ??= this.run(this.look)
    return waiting
  }

  get room(): Effect.Effect<void> {
    return Effect.suspend(() => (this.hasToWait() ? this.whenRoom(() => Effect.void) : Effect.void))
  }

  private sendNow(messages: ReadonlyArray<Message.Sendable>): Exit.Exit<void, WebSocketError> {
    if (!this.isOpen) return this.notOpen()
    for (const message of messages) this.link.send(dataOf(message))
    return Exit.void
  }

  private notOpen(): Exit.Exit<never, WebSocketError> {
    return failWith(new Protocol.NotOpen({ state: this.state._tag === "Closed" ? "Closed" : "Closing" }))
  }

  /** The link says nothing when it has sent something: for as long as somebody waits, we look. */
  private readonly look: Effect.Effect<void> = Effect.flatMap(Effect.sleep(lookAgain), () => {
    this.drained()
    if (!this.waiters.isEmpty) return this.look
    this.looking = undefined
    return Effect.void
  })

  get sendStream(): WebSocket["sendStream"] {
    return <E, R>(
      kind: Protocol.Kind,
      stream: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
      { fragmentBytes = 1 }: StreamOptions = {}
    ): Effect.Effect<void, WebSocketError | E, R> =>
      Effect.suspend(() => {
        if (!(fragmentBytes >= 1)) return Effect.die(new RangeError(`fragments of ${fragmentBytes} bytes have no end`))
        const pieces: Array<string | Uint8Array> = []
        const collect = Stream.runForEachArray<string | Uint8Array, E, R, void, never, never>(stream, (more) =>
          Effect.sync(() => void pieces.push(...more))
        )
        const left = Effect.flatMap(Deferred.await(this.left), () => this.notOpen())
        return Effect.flatMap(this.isOpen ? Effect.raceFirst(collect, left) : this.notOpen(), () =>
          this.sendMessages([joined(kind, pieces)])
        )
      })
  }

  tryWriteUnsafe(prepared: Prepared): Written {
    if (!this.isOpen) return "NotOpen"
    if (!this.waiters.isEmpty || this.isFull()) return "Full"
    this.link.send(dataOf(prepared.message))
    return "Written"
  }

  // Ending.

  get close(): WebSocket["close"] {
    return (code = CloseCode.CloseCode.normal, reason = "") =>
      Effect.suspend(() => {
        const sent = this.codeFor(code)
        if (this.isOpen && sent === undefined) return failWith(new Protocol.InvalidCloseCode({ code }))
        if (sent !== undefined) this.startClosing(sent, reason, undefined)
        return this.awaitEnd
      })
  }

  get fail(): WebSocket["fail"] {
    return (violation) => Effect.sync(() => this.failFor(violation))
  }

  /** Nothing counts any more that the peer sends. What came before can still be pulled. */
  private failFor(failure: InboxFull | ProtocolViolation): void {
    const { state } = this
    if (state._tag === "Closed" || (state._tag === "Closing" && state.failure !== undefined)) return
    if (state._tag === "Open" && !this.link.isOpen) return
    this.dropping = true
    this.end = failWith(failure)
    if (state._tag === "Closing") this.state = { ...state, failure }
    else if (failure._tag === "InboxFull") this.startClosing(4_009, "not pulled in time", failure)
    else this.startClosing(this.codeFor(failure.closeCode)!, failure.detail, failure)
    this.handOver()
  }

  private startClosing(code: number, reason: string, failure: Extract<State, { _tag: "Closing" }>["failure"]): void {
    if (!this.isOpen) return
    const sent = { code, reason: code === CloseCode.CloseCode.noStatus ? "" : cut(reason) }
    this.state = { _tag: "Closing", sent, failure }
    this.link.close(sent)
    this.startDeadline()
    this.leftOpen()
  }

  private leftOpen(): void {
    Deferred.doneUnsafe(this.left, Exit.void)
    // An inbox that nobody empties must not keep the peer's Close from us.
    this.link.resume()
    this.drained()
  }

  /** The other end may wait with its answer for as long as it likes. */
  private startDeadline(): void {
    this.deadline ??= this.run(
      Effect.andThen(
        Effect.sleep(this.limits.closeTimeout),
        Effect.sync(() => {
          this.deadline = undefined
          this.link.abandon()
          this.ended(undefined)
        })
      )
    )
  }

  private get awaitEnd(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.state._tag !== "Closed") this.startDeadline()
      return Effect.asVoid(Deferred.await(this.ending))
    })
  }

  get closed(): Effect.Effect<Protocol.Closed> {
    return Deferred.await(this.ending)
  }

  /** The finalizer: 1000 on success, 1001 when interrupted, 1011 on failure, or what is sent for them. What is unread is dropped. */
  shutdown(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.dropping = true
      this.inbox.clear()
      const { goingAway, internalError, normal } = CloseCode.CloseCode
      const code = Exit.isSuccess(exit) ? normal : Cause.hasInterruptsOnly(exit.cause) ? goingAway : internalError
      this.startClosing(this.codeFor(code)!, "", undefined)
      return this.awaitEnd
    })
  }
}

/** How it ended, when `received` is what the peer has said. A link answers a Close in the peer's words. */
const closedBy = (state: State, received: CloseCode.CloseStatus | undefined): Protocol.Closed => {
  if (state._tag === "Closing") {
    const { failure, sent } = state
    const violation = failure?._tag === "ProtocolViolation" ? failure : undefined
    return { _tag: "Closed", by: "local", sent, received: failure === undefined ? received : undefined, violation }
  }
  const by = received === undefined ? "network" : "remote"
  return { _tag: "Closed", by, sent: received, received, violation: undefined }
}

const joined = (kind: Protocol.Kind, pieces: ReadonlyArray<string | Uint8Array>): string | Uint8Array => {
  if (kind === "text") return pieces.join("")
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces as ReadonlyArray<Uint8Array>) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

const parseExtension = (element: string): Extension => {
  const [name = "", ...params] = element.split(";").map((part) => part.trim())
  return {
    name,
    params: params.map((param) => {
      const [key = "", value] = param.split("=")
      return [key, value?.replaceAll('"', "")] as const
    })
  }
}
