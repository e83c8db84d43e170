/**
 * A session of Engine.IO with a clock: `EngineProtocol` carried out. Polls, posts and WebSockets are brought to it by
 * whoever has them; what the client says is handed on, and whoever takes it lets the client wait.
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Prepared from "../../connection/Prepared.ts"
import type { Timed, TimerWheel } from "../../connection/TimerWheel.ts"
import type { WebSocket, Written } from "../../connection/WebSocket.ts"
import type * as Message from "../../protocol/Message.ts"
import * as Protocol from "./EngineProtocol.ts"
import * as Packet from "./Packet.ts"

/** A request came at the wrong time, or with something wrong in it. 400, code 3. */
export class RequestRefused extends Data.TaggedError("RequestRefused")<{}> {
  override get message(): string {
    return "Bad request"
  }
}

/** What all sessions of a server have in common. Times are in milliseconds. */
export interface Settings {
  readonly pingInterval: number
  readonly pingTimeout: number
  readonly upgradeTimeout: number
  /** How long a session that the server has closed waits for a poll. */
  readonly closeTimeout: number
  /** What is said as `maxPayload`, and not looked at here. */
  readonly maxPayload: number
  readonly protocol: Protocol.Config
  readonly wheel: TimerWheel
  /** Runs what nobody waits for. */
  readonly run: (effect: Effect.Effect<unknown>) => void
  /** A session is over, once. */
  readonly over: (session: EngineSession) => void
}

/** The one that a session belongs to. */
export interface Owner {
  /** What the client has said, in order. The client says nothing more before it is dealt with. */
  readonly deliver: (data: string | Uint8Array) => Effect.Effect<void>
  /** The session is over, once. */
  readonly ended: (reason: Protocol.Reason) => void
}

/** How often a poll that waits is sent away while a WebSocket is probed. */
const nudgeInterval = 100

class Deadline implements Timed {
  slot: Set<Timed> | undefined
  private readonly timer: Protocol.Timer
  private readonly session: { readonly expire: (timer: Protocol.Timer) => void }

  constructor(session: { readonly expire: (timer: Protocol.Timer) => void }, timer: Protocol.Timer) {
    this.session = session
    this.timer = timer
  }

  expired(): void {
    this.session.expire(this.timer)
  }
}

type Polled = Exit.Exit<ReadonlyArray<Packet.Packet>, RequestRefused>

const refused = Exit.fail(new RequestRefused())

/** Clients take no notice of it. */
const noop: Packet.Packet = { _tag: "Noop" }

const dataOf = (message: Message.Message): string | Uint8Array =>
  message._tag === "Text" ? message.text : message.bytes

/** What a WebSocket has ended with is told by the transition; what a program has thrown is its own. */
const ended = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const defect = cause.reasons.find((reason) => reason._tag === "Die")
  return defect === undefined ? Effect.void : Effect.die(defect.defect)
}

export class EngineSession implements Timed {
  /** Of the ping or the pong that is waited for: always one of them, and anything else seldom. */
  slot: Set<Timed> | undefined
  readonly sid: string
  private readonly settings: Settings
  private readonly owner: Owner
  private state: Protocol.State
  private socket: WebSocket | undefined
  private answerPoll: ((answer: Polled) => void) | undefined
  /** What answers the first poll. */
  private opening: ReadonlyArray<Packet.Packet> | undefined
  private heartbeat: Protocol.Timer = "ping"
  /** Whether something that the client has said is dealt with, and nothing more is read. */
  private isDealing = false
  private others: Map<Protocol.Timer, Deadline> | undefined
  /** Those who wait for room in the queue of polls. */
  private waiting: Array<() => void> | undefined

  /** A session that has begun with a poll, whose answer is `opened`, or with this WebSocket, which is to be `read`. */
  constructor(sid: string, settings: Settings, owner: Owner, socket?: WebSocket) {
    this.sid = sid
    this.settings = settings
    this.owner = owner
    this.socket = socket
    const over = socket === undefined ? "polling" : "websocket"
    const { maxPayload, pingInterval, pingTimeout } = settings
    const upgrades = socket === undefined ? ["websocket"] : []
    const [state, actions] = Protocol.open({ sid, upgrades, pingInterval, pingTimeout, maxPayload }, over)
    this.state = state
    if (socket === undefined) this.answerPoll = (answer) => (this.opening = Exit.isSuccess(answer) ? answer.value : [])
    this.carryOut(actions)
  }

  /** The answer to the request that has opened the session. */
  get opened(): ReadonlyArray<Packet.Packet> {
    const { opening = [] } = this
    this.opening = undefined
    return opening
  }

  get isOver(): boolean {
    return this.state._tag === "Closed"
  }

  get isUpgraded(): boolean {
    return this.state._tag === "Upgraded"
  }

  /** Whether a poll waits for something to be said. */
  get isPolled(): boolean {
    return this.state._tag === "Polling" && this.state.waiting
  }

  // What the client does.

  /** Waits until there is something to say; given up when it is interrupted. */
  get poll(): Effect.Effect<ReadonlyArray<Packet.Packet>, RequestRefused> {
    return Effect.callback((resume) => {
      const before = this.answerPoll
      let isAnswered = false
      const answer = (polled: Polled) => {
        isAnswered = true
        resume(polled)
      }
      const isWaiting = this.state._tag === "Polling" && this.state.waiting
      if (!isWaiting) this.answerPoll = answer
      const [state, actions] = Protocol.poll(this.state)
      this.state = state
      // Of two at once the first is the one that is told of the end.
      if (actions.some(({ _tag }) => _tag === "RefusePoll")) {
        answer(refused)
        this.answerPoll = isWaiting ? before : undefined
      }
      this.carryOut(actions)
      return Effect.sync(() => {
        if (isAnswered || this.answerPoll !== answer) return
        this.answerPoll = undefined
        this.take(Protocol.pollAborted(this.state))
      })
    })
  }

  /** Takes the body of a post, and succeeds when what is in it was dealt with. */
  post<E>(body: Effect.Effect<Uint8Array, E>): Effect.Effect<void, E | RequestRefused> {
    return Effect.suspend((): Effect.Effect<void, E | RequestRefused> => {
      if (this.step(Protocol.post(this.state)).isRefused) return refused
      return body.pipe(
        Effect.onError(() => Effect.sync(() => this.take(Protocol.postAborted(this.state)))),
        Effect.flatMap((bytes) => {
          const { delivered, isRefused } = this.step(Protocol.posted(this.state, bytes, this.settings.protocol))
          const dealt = this.deliver(delivered)
          if (Exit.isExit(dealt) || this.state._tag !== "Polling") {
            return Effect.andThen(dealt, isRefused ? refused : Effect.void)
          }
          // It is on its way until it is answered: another one, or an upgrade, would go ahead of it.
          this.take(Protocol.post(this.state))
          return Effect.onExit(this.dealing(dealt), () =>
            Effect.sync(() => this.take(Protocol.postAborted(this.state)))
          )
        })
      )
    })
  }

  /** Takes a WebSocket with the name of the session, and reads it to its end; one that is not wanted is closed. */
  attach(socket: WebSocket): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [state, actions] = Protocol.attach(this.state)
      this.state = state
      if (actions.some(({ _tag }) => _tag === "RefuseSocket")) return Effect.ignore(socket.close())
      this.socket = socket
      this.carryOut(actions)
      return this.read(socket)
    })
  }

  /** Reads the WebSocket of the session to its end. */
  read(socket: WebSocket): Effect.Effect<void> {
    // What a fiber that waits has on its stack is memory of each client: here these two, and what they share.
    const next: Effect.Effect<void> = Effect.matchCauseEffect(socket.pull, {
      onFailure: ended,
      onSuccess: (messages) => {
        const received = this.receiveFrom(socket, messages, 0)
        return Exit.isExit(received) ? next : Effect.andThen(received, next)
      }
    })
    return Effect.onExit(next, () =>
      Effect.sync(() => {
        if (this.socket !== socket) return
        this.socket = undefined
        this.take(Protocol.socketEnded(this.state))
      })
    )
  }

  /** Deals with messages in order; an `Exit` where none of them takes a moment. */
  private receiveFrom(socket: WebSocket, messages: ReadonlyArray<Message.Message>, from: number): Effect.Effect<void> {
    for (let at = from; at < messages.length && this.socket === socket; at++) {
      const received = this.received(dataOf(messages[at]!))
      if (!Exit.isExit(received)) {
        return Effect.andThen(this.dealing(received), () => this.receiveFrom(socket, messages, at + 1))
      }
    }
    return Exit.void
  }

  private received(message: string | Uint8Array): Effect.Effect<void> {
    const transition = Protocol.receive(this.state, message)
    const [state, actions] = transition
    const action = actions[0]
    // What nearly all of them are.
    if (actions.length === 1 && action!._tag === "Deliver") {
      this.state = state
      return this.owner.deliver(action!.data)
    }
    return this.deliver(this.step(transition).delivered)
  }

  // What the server does.

  /** Sends messages in order, all or none; suspends while the client has too much to read. */
  send(
    messages: ReadonlyArray<string | Uint8Array>
  ): Effect.Effect<void, Packet.UnsendableMessage | Protocol.SessionClosed> {
    return Effect.suspend(() => {
      const { socket } = this
      if (this.state._tag === "Upgraded" && socket !== undefined) {
        const sent =
          messages.length === 1
            ? socket.send(Packet.encodeMessage(messages[0]!))
            : socket.sendAll(messages.map(Packet.encodeMessage))
        return Effect.mapError(sent, () => new Protocol.SessionClosed())
      }
      const sent = Protocol.send(this.state, messages, this.settings.protocol)
      if (Result.isSuccess(sent)) {
        this.take(sent.success)
        return Effect.void
      }
      const { failure } = sent
      return failure._tag === "QueueFull" ? Effect.andThen(this.room, () => this.send(messages)) : Effect.fail(failure)
    })
  }

  /** For broadcasts: writes now or not at all. `frames` are what is written to a WebSocket for `messages`. */
  tryWriteUnsafe(messages: ReadonlyArray<string | Uint8Array>, frames: ReadonlyArray<Prepared.Prepared>): Written {
    const { socket } = this
    if (this.state._tag === "Upgraded" && socket !== undefined) {
      let written: Written = "NotOpen"
      for (const [i, frame] of frames.entries()) {
        written = socket.tryWriteUnsafe(frame)
        if (written === "Written") continue
        // What was begun has to be ended: attachments wait for room.
        if (i > 0)
          this.settings.run(Effect.ignore(socket.sendAll(frames.slice(i).map(({ message }) => dataOf(message)))))
        return i === 0 ? written : "Written"
      }
      return written
    }
    const sent = Protocol.send(this.state, messages, this.settings.protocol)
    if (Result.isSuccess(sent)) {
      this.take(sent.success)
      return "Written"
    }
    return sent.failure._tag === "QueueFull" ? "Full" : "NotOpen"
  }

  /** Waits until there may be room again, or the session is over. */
  get room(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.socket !== undefined && this.state._tag === "Upgraded") return this.socket.room
      return Effect.callback<void>((resume) => {
        const { state } = this
        if (state._tag !== "Polling" || state.queue.count === 0) return resume(Effect.void)
        const go = () => resume(Effect.void)
        this.waiting ??= []
        this.waiting.push(go)
        return Effect.sync(() => {
          this.waiting = this.waiting?.filter((other) => other !== go)
        })
      })
    })
  }

  /** Ends the session. What was sent before reaches a client that polls once more. */
  shutdownUnsafe(): void {
    this.take(Protocol.shutdown(this.state))
  }

  expired(): void {
    if (this.heartbeat === "pong" && this.isDealing && this.isThere) this.take(Protocol.expire(this.state, "ping"))
    else this.expire(this.heartbeat)
  }

  /**
   * Whether the client is there as far as can be told without what it says: its pong may stand behind what is still dealt
   * with, and that is not its fault.
   */
  private get isThere(): boolean {
    const { socket, state } = this
    return state._tag === "Upgraded"
      ? socket?.tryWriteUnsafe(Prepared.make(Packet.encode(noop))) === "Written"
      : !Protocol.isPinged(state)
  }

  /** The same, during which nothing more that the client says is read. */
  private dealing<E>(dealt: Effect.Effect<void, E>): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      this.isDealing = true
      return Effect.onExit(dealt, () =>
        Effect.sync(() => {
          this.isDealing = false
        })
      )
    })
  }

  expire(timer: Protocol.Timer): void {
    this.take(Protocol.expire(this.state, timer))
  }

  // Carrying out.

  private take(transition: Protocol.Transition): void {
    this.state = transition[0]
    this.carryOut(transition[1])
  }

  /** The same, and tells what is for the application, and whether a post was refused. */
  private step([state, actions]: Protocol.Transition): {
    readonly delivered: ReadonlyArray<string | Uint8Array>
    readonly isRefused: boolean
  } {
    this.state = state
    const delivered: Array<string | Uint8Array> = []
    let isRefused = false
    for (const action of actions) {
      if (action._tag === "Deliver") delivered.push(action.data)
      else if (action._tag === "RefusePost") isRefused = true
    }
    this.carryOut(actions)
    return { delivered, isRefused }
  }

  private deliver(delivered: ReadonlyArray<string | Uint8Array>): Effect.Effect<void> {
    if (delivered.length === 0) return Exit.void
    return Effect.forEach(delivered, (data) => this.owner.deliver(data), { discard: true })
  }

  private carryOut(actions: ReadonlyArray<Protocol.Action>): void {
    for (const action of actions) {
      switch (action._tag) {
        case "AnswerPoll": {
          const { answerPoll } = this
          this.answerPoll = undefined
          answerPoll?.(Exit.succeed(action.packets))
          this.stir()
          break
        }
        case "Write":
          this.write(action.packets)
          break
        case "CloseSocket": {
          const { socket } = this
          this.socket = undefined
          if (socket !== undefined) this.settings.run(Effect.ignore(socket.close()))
          break
        }
        case "Set":
          this.set(action.timer)
          break
        case "Clear":
          this.clear(action.timer)
          break
        case "End":
          this.end(action.reason)
          break
        case "AnswerPost":
        case "Deliver":
        case "RefusePoll":
        case "RefusePost":
        case "RefuseSocket":
          // Those who have brought what these are about see to them.
          break
      }
    }
    // No poll will make room any more: over a WebSocket there is some, behind what was queued, or nothing is sent.
    if (this.state._tag !== "Polling") this.stir()
  }

  private write(packets: ReadonlyArray<Packet.Packet>): void {
    const { socket } = this
    if (socket === undefined) return
    const data = packets.map(Packet.encode)
    if (data.length === 1 && socket.tryWriteUnsafe(Prepared.make(data[0]!)) !== "Full") return
    this.settings.run(Effect.ignore(socket.sendAll(data)))
  }

  private set(timer: Protocol.Timer): void {
    const { closeTimeout, pingInterval, pingTimeout, upgradeTimeout, wheel } = this.settings
    const delay = {
      close: closeTimeout,
      nudge: nudgeInterval,
      ping: pingInterval,
      pong: pingTimeout,
      upgrade: upgradeTimeout
    }[timer]
    if (timer === "ping" || timer === "pong") {
      this.heartbeat = timer
      return wheel.schedule(this, delay)
    }
    this.others ??= new Map()
    let deadline = this.others.get(timer)
    if (deadline === undefined) this.others.set(timer, (deadline = new Deadline(this, timer)))
    wheel.schedule(deadline, delay)
  }

  private clear(timer: Protocol.Timer): void {
    const { wheel } = this.settings
    if (timer === "ping" || timer === "pong") {
      if (this.heartbeat === timer) wheel.cancel(this)
      return
    }
    const deadline = this.others?.get(timer)
    if (deadline !== undefined) wheel.cancel(deadline)
    this.others?.delete(timer)
    if (this.others?.size === 0) this.others = undefined
  }

  private end(reason: Protocol.Reason): void {
    const { wheel } = this.settings
    wheel.cancel(this)
    for (const deadline of this.others?.values() ?? []) wheel.cancel(deadline)
    this.others = undefined
    const { answerPoll } = this
    this.answerPoll = undefined
    answerPoll?.(refused)
    this.settings.over(this)
    this.owner.ended(reason)
  }

  private stir(): void {
    const { waiting } = this
    this.waiting = undefined
    for (const go of waiting ?? []) go()
  }
}
