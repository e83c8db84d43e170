/**
 * One session of Engine.IO in which Socket.IO is spoken: `SocketProtocol` carried out.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Timed, TimerWheel } from "../../connection/TimerWheel.ts"
import type { Written } from "../../connection/WebSocket.ts"
import type { SessionClosed } from "../engineio/EngineProtocol.ts"
import type { EngineSession, Owner } from "../engineio/EngineSession.ts"
import type { LiveSocket } from "./LiveSocket.ts"
import * as Packet from "./Packet.ts"
import * as Protocol from "./SocketProtocol.ts"
import * as SocketWire from "./SocketWire.ts"

export type Join = Extract<Protocol.Action, { readonly _tag: "Join" }>

/** What all sessions of a server have in common. */
export interface Settings {
  readonly protocol: Protocol.Config
  readonly packets: Packet.Options
  /** In milliseconds. */
  readonly connectTimeout: number
  readonly wheel: TimerWheel
  /** Runs what nobody waits for. */
  readonly run: (effect: Effect.Effect<unknown>) => void
  /** A client wants to. Who decides calls `seat`, and `accept` or `refuse`. */
  readonly join: (session: SocketSession, join: Join) => void
  /** It is over, be it that nobody has joined anything. */
  readonly over: (session: SocketSession) => void
}

/** A socket; or, until it is known whose that would be, what is to be given up when its client has gone. */
export type Seated = Pick<LiveSocket, "answered" | "deliver" | "left">

/** The socket of an attempt. */
interface Seat {
  readonly attempt: number
  readonly socket: Seated
  readonly next: Seat | undefined
}

const without = (seat: Seat | undefined, attempt: number): Seat | undefined => {
  if (seat === undefined) return undefined
  return seat.attempt === attempt ? seat.next : { ...seat, next: without(seat.next, attempt) }
}

export class SocketSession implements Owner, Timed {
  slot: Set<Timed> | undefined
  readonly who: unknown
  private readonly settings: Settings
  /** It is not there yet when this is made. */
  private link: EngineSession | (() => EngineSession)
  private readonly decoder: Packet.Decoder
  /** The first; mostly there is no other. A table, or an array, would be larger than all the rest. */
  private seats: Seat | undefined
  private state: Protocol.State
  /** How long the packet that is being taken was, in UTF-16 units and bytes. */
  private size = 0

  /** `who`: whatever `Settings.join` wants to know of it. */
  constructor(settings: Settings, engine: () => EngineSession, who: unknown) {
    this.settings = settings
    this.link = engine
    this.who = who
    this.decoder = Packet.makeDecoder(settings.packets)
    const [state, actions] = Protocol.open
    this.state = state
    for (const { _tag } of actions) if (_tag === "SetDeadline") settings.wheel.schedule(this, settings.connectTimeout)
  }

  // The session of Engine.IO.

  private get engine(): EngineSession {
    const { link } = this
    return typeof link === "function" ? (this.link = link()) : link
  }

  deliver(data: string | Uint8Array): Effect.Effect<void> {
    this.size += data.length
    const decoded = this.decoder.push(data)
    if (Result.isFailure(decoded)) return this.take(Protocol.violated(this.state, decoded.failure))
    if (decoded.success === undefined) return Effect.void
    const taken = this.take(Protocol.receive(this.state, decoded.success, this.settings.protocol))
    this.size = 0
    return taken
  }

  ended(): void {
    this.settings.over(this)
    this.settings.run(this.take(Protocol.ended(this.state)))
  }

  expired(): void {
    this.settings.run(this.take(Protocol.expire(this.state)))
  }

  // Its sockets.

  /** Says whose the attempt is; `false` where it is over already. */
  seat(namespace: string, attempt: number, socket: Seated): boolean {
    const isThere = this.state._tag === "Open" && this.state.namespaces.get(namespace)?.attempt === attempt
    if (isThere) this.seats = { attempt, socket, next: without(this.seats, attempt) }
    return isThere
  }

  accept(namespace: string, attempt: number, acceptance: Protocol.Acceptance): Effect.Effect<void> {
    return Effect.suspend(() => this.take(Protocol.accept(this.state, namespace, attempt, acceptance)))
  }

  refuse(namespace: string, attempt: number, message: string, data: unknown): Effect.Effect<void> {
    return Effect.suspend(() => this.take(Protocol.refuse(this.state, namespace, attempt, message, data)))
  }

  disconnect(namespace: string, attempt: number): Effect.Effect<void> {
    return Effect.suspend(() => this.take(Protocol.disconnect(this.state, namespace, attempt)))
  }

  answer(namespace: string, attempt: number, id: number, args: ReadonlyArray<unknown>): Effect.Effect<void> {
    return Effect.suspend(() => this.take(Protocol.answer(this.state, namespace, attempt, id, args)))
  }

  /** What an event is on this wire; `undefined` where nothing can be said any more. */
  event(
    namespace: string,
    attempt: number,
    name: string,
    args: ReadonlyArray<unknown>
  ): Result.Result<SocketWire.Wire, Packet.UnsendablePacket> | undefined {
    const [state, actions] = Protocol.emit(this.state, namespace, attempt, name, args)
    this.state = state
    for (const action of actions)
      if (action._tag === "Send") return SocketWire.encode(action.packet, this.settings.packets)
    return undefined
  }

  /** Asks, and gives the id by which the answer is known; `undefined` where it has so much to answer already. */
  ask(
    namespace: string,
    attempt: number,
    name: string,
    args: ReadonlyArray<unknown>
  ): Result.Result<{ readonly id: number; readonly wire: SocketWire.Wire }, Packet.UnsendablePacket> | undefined {
    const [state, actions, id] = Protocol.ask(this.state, namespace, attempt, name, args, this.settings.protocol)
    const action = actions[0]
    if (id === undefined || action?._tag !== "Send") return undefined
    const wire = SocketWire.encode(action.packet, this.settings.packets)
    if (Result.isSuccess(wire)) this.state = state
    return Result.map(wire, (wire) => ({ id, wire }))
  }

  forget(namespace: string, attempt: number, id: number): void {
    this.state = Protocol.forget(this.state, namespace, attempt, id)[0]
  }

  send({ messages }: SocketWire.Wire): Effect.Effect<void, SessionClosed | Packet.UnsendablePacket> {
    return Effect.mapError(this.engine.send(messages), (error) =>
      error._tag === "SessionClosed" ? error : new Packet.UnsendablePacket({ detail: error.message })
    )
  }

  tryWriteUnsafe({ frames, messages }: SocketWire.Wire): Written {
    return this.engine.tryWriteUnsafe(messages, frames)
  }

  get room(): Effect.Effect<void> {
    return this.engine.room
  }

  /** Ends the session at once, as if the network had: the client comes back. */
  cutUnsafe(): void {
    this.ended()
    this.engine.shutdownUnsafe()
  }

  /** The server ends it, and nobody can go on with it. */
  get shutdown(): Effect.Effect<void> {
    return Effect.suspend(() => this.take(Protocol.shutdown(this.state)))
  }

  // Carrying out.

  private socketOf(attempt: number): Seated | undefined {
    let seat = this.seats
    while (seat !== undefined && seat.attempt !== attempt) seat = seat.next
    return seat?.socket
  }

  private take([state, actions]: Protocol.Transition): Effect.Effect<void> {
    this.state = state
    if (actions.length === 0) return Effect.void
    return actions.length === 1
      ? this.carryOut(actions[0]!)
      : Effect.forEach(actions, (action) => this.carryOut(action), { discard: true })
  }

  private carryOut(action: Protocol.Action): Effect.Effect<void> {
    switch (action._tag) {
      case "Send":
        return Result.match(SocketWire.encode(action.packet, this.settings.packets), {
          onFailure: (unsendable) => Effect.logError("Socket.IO: something that cannot be said", unsendable),
          onSuccess: (wire) => Effect.ignore(this.send(wire))
        })
      case "Join":
        return Effect.sync(() => this.settings.join(this, action))
      case "Leave":
        return Effect.suspend(() => {
          const socket = this.socketOf(action.attempt)
          this.seats = without(this.seats, action.attempt)
          return socket?.left(this, action.reason) ?? Effect.void
        })
      case "Deliver":
        return this.socketOf(action.attempt)?.deliver(action, this.size) ?? Effect.void
      case "Answered":
        return Effect.sync(() => this.socketOf(action.attempt)?.answered(action.id, action.args))
      case "SetDeadline":
        return Effect.sync(() => this.settings.wheel.schedule(this, this.settings.connectTimeout))
      case "ClearDeadline":
        return Effect.sync(() => this.settings.wheel.cancel(this))
      case "Close":
        return Effect.andThen(
          action.violation === undefined ? Effect.void : Effect.logDebug("Socket.IO: refused", action.violation),
          Effect.sync(() => this.engine.shutdownUnsafe())
        )
    }
  }
}
