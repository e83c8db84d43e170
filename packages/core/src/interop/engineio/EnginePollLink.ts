/**
 * A client's session of Engine.IO as a link: `EnginePolling` carried out, with requests that `Fetch` makes, and a WebSocket
 * where there is a way to open one. Its messages are what they would be over a WebSocket alone.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { CloseStatus } from "../../codec/CloseCode.ts"
import type { Request } from "../../connection/Fetch.ts"
import type { Link, Owner } from "../../connection/Link.ts"
import type { Reason } from "../../connection/OpenByFetch.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { TransportError, WebSocketError } from "../../connection/WebSocketError.ts"
import type * as Message from "../../protocol/Message.ts"
import * as Packet from "./Packet.ts"
import * as Polling from "./EnginePolling.ts"

/** The part of a WebSocket that a session needs. */
export type Socket = Pick<WebSocket, "pull" | "sendAll">

export interface Options {
  readonly handshake: Packet.Handshake
  /** What the first poll has brought: the handshake, and maybe more. */
  readonly opening: ReadonlyArray<Packet.Packet>
  /** A poll or, with a body, a post; succeeds with the body of the answer. */
  readonly ask: (body: Request["body"]) => Effect.Effect<Uint8Array, Reason>
  /** Of the answers to polls. */
  readonly payload: Packet.Options
  /** Opens the WebSocket of the session, as long as the scope. `undefined` where none is wanted. */
  readonly socket: Effect.Effect<Socket, unknown, Scope.Scope> | undefined
  /** Ends what is under way. */
  readonly scope: Scope.Closeable
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

const encoder = new TextEncoder()

/** As the session has been ended by a packet, there are no words for it. */
const ordinary: CloseStatus = { code: 1005, reason: "" }

const dataOf = (message: Message.Message): string | Uint8Array =>
  message._tag === "Text" ? message.text : message.bytes

const failureOf = (error: unknown): TransportError =>
  error instanceof TransportError ? error : new TransportError({ cause: error })

export class EnginePollLink implements Link {
  readonly subprotocol = ""
  readonly extensions = ""
  readonly canPause = true
  readonly tellsDrained = true
  isOpen = true
  buffered = 0
  private readonly owner: Owner
  private readonly options: Options
  private state: Polling.State
  private socket: Socket | undefined
  /** Done when the WebSocket is to be closed. */
  private readonly enough = Deferred.makeUnsafe<void>()
  private outgoing: Array<Packet.Packet> = []
  private isPaused = false
  private goOn: (() => void) | undefined
  private failure: TransportError | undefined
  /** What the WebSocket was closed with. */
  private received: CloseStatus | undefined

  constructor(owner: Owner, options: Options) {
    this.owner = owner
    this.options = options
    const [state, actions] = Polling.open(options.handshake, options.opening, options.socket !== undefined)
    this.state = state
    // Its owner has it when this is over.
    options.run(
      Effect.andThen(
        Effect.yieldNow,
        Effect.sync(() => this.carryOut(actions))
      )
    )
  }

  // Of the connection.

  pause(): void {
    this.isPaused = true
    this.take(Polling.hold(this.state, true))
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    const { goOn } = this
    this.goOn = undefined
    goOn?.()
    this.take(Polling.hold(this.state, false))
  }

  send(data: string | Uint8Array): void {
    const packet = Packet.decode(data)
    // Only who makes no packets can say what is none.
    if (Result.isFailure(packet) || !Packet.isPollable(packet.success)) {
      return this.fail(new Packet.UnsendableMessage())
    }
    this.buffered += data.length
    this.outgoing.push(packet.success)
    // What is said in the same turn goes together.
    if (this.outgoing.length === 1)
      this.options.run(
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => this.flush())
        )
      )
  }

  private flush(): void {
    const { outgoing } = this
    this.outgoing = []
    if (outgoing.length > 0) this.take(Polling.say(this.state, outgoing))
  }

  close(_status: CloseStatus): void {
    this.flush()
    this.isOpen = false
    this.take(Polling.leave(this.state))
  }

  abandon(): void {
    this.isOpen = false
    this.state = Polling.over
    this.letGo()
  }

  // Carrying out.

  private take([state, actions]: Polling.Transition): void {
    this.state = state
    this.carryOut(actions)
  }

  private carryOut(actions: ReadonlyArray<Polling.Action>): void {
    for (const action of actions) {
      switch (action._tag) {
        case "Poll":
          this.start(this.poll)
          break
        case "Post":
          this.start(this.saying(action.packets, this.post(action.packets)))
          break
        case "Write":
          this.start(this.saying(action.packets, this.write(action.packets)))
          break
        case "OpenSocket":
          this.start(this.converse)
          break
        case "Probe":
          this.start(Effect.ignore(this.write([{ _tag: "Ping", data: "probe" }])))
          break
        case "CloseSocket":
          Deferred.doneUnsafe(this.enough, Exit.void)
          break
        case "Deliver":
          this.owner.message(action.data)
          break
        case "Settle":
          this.take(Polling.settle(this.state))
          break
        case "End":
          this.isOpen = false
          this.letGo()
          this.owner.ended(this.received ?? (action.isOrderly ? ordinary : undefined), this.failure)
      }
    }
  }

  private start(effect: Effect.Effect<void>): void {
    const { run, scope } = this.options
    run(Effect.asVoid(Effect.forkIn(Effect.interruptible(effect), scope, { startImmediately: true })))
  }

  /** In a fiber of its own, as it ends those that carry out. */
  private letGo(): void {
    this.buffered = 0
    this.options.run(Scope.close(this.options.scope, Exit.void))
  }

  private fail(error: unknown): void {
    this.failure ??= failureOf(error)
    this.take(Polling.failed(this.state))
  }

  private get poll(): Effect.Effect<void> {
    return Effect.match(this.options.ask(undefined), {
      onFailure: (error) => this.fail(error),
      onSuccess: (body) => {
        const { packets, violation } = Packet.decodePayload(body, this.options.payload)
        this.take(Polling.polled(this.state, packets))
        if (violation !== undefined) this.fail(violation)
      }
    })
  }

  private post(packets: ReadonlyArray<Packet.Packet>): Effect.Effect<unknown, Reason> {
    // Each was looked at when it was said.
    return this.options.ask(encoder.encode(Result.getOrElse(Packet.encodePayload(packets), () => "")))
  }

  private write(packets: ReadonlyArray<Packet.Packet>): Effect.Effect<void, WebSocketError> {
    return this.socket === undefined ? Effect.void : this.socket.sendAll(packets.map(Packet.encode))
  }

  private saying(packets: ReadonlyArray<Packet.Packet>, effect: Effect.Effect<unknown, unknown>): Effect.Effect<void> {
    return Effect.match(effect, {
      onFailure: (error) => this.fail(error),
      onSuccess: () => {
        for (const packet of packets) this.buffered -= Packet.encode(packet).length
        this.take(Polling.said(this.state))
        this.owner.drained()
      }
    })
  }

  /** Reads the WebSocket to its end, or until it is not wanted any more. */
  private get converse(): Effect.Effect<void> {
    const { socket: open = Effect.never } = this.options
    const reading = Effect.gen({ self: this }, function* () {
      const socket = yield* open
      this.socket = socket
      this.take(Polling.socketOpened(this.state))
      for (;;) {
        if (this.isPaused) yield* this.resumed
        for (const message of yield* socket.pull) this.take(Polling.socketSaid(this.state, dataOf(message)))
      }
    })
    return Effect.raceFirst(reading, Deferred.await(this.enough)).pipe(
      Effect.scoped,
      Effect.matchCause({
        onFailure: (cause) => {
          const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
          this.socketEnded(error)
        },
        onSuccess: () => this.socketEnded(Cause.Done())
      })
    )
  }

  private socketEnded(error: unknown): void {
    if (this.state._tag === "Open" && this.state.over === "socket" && !Cause.isDone(error)) {
      if (error instanceof WebSocketError && error.reason._tag === "ConnectionLost")
        this.received = error.reason.received
      this.failure ??= failureOf(error)
    }
    this.socket = undefined
    this.take(Polling.socketEnded(this.state, Cause.isDone(error)))
  }

  private readonly resumed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (!this.isPaused) return resume(Effect.void)
    this.goOn = () => resume(Effect.void)
  })
}
