/**
 * The machinery behind `SocketClient`: what the two state machines want done is done here, over one connection after the
 * other. That there is another one is `Comeback`'s business.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Comeback from "../../connection/Comeback.ts"
import { Watched } from "../../connection/Watched.ts"
import { WebSocketError } from "../../connection/WebSocketError.ts"
import { Backlog } from "../../messaging/Backlog.ts"
import type * as Message from "../../protocol/Message.ts"
import * as EngineProtocol from "../engineio/EngineClientProtocol.ts"
import * as EnginePacket from "../engineio/Packet.ts"
import * as Packet from "./Packet.ts"
import type * as SocketClient from "./SocketClient.ts"
import * as SocketClientAgain from "./SocketClientAgain.ts"
import * as Errors from "./SocketClientError.ts"
import { SocketClientHearing } from "./SocketClientHearing.ts"
import * as Protocol from "./SocketClientProtocol.ts"

export const defaults = {
  capacity: 256,
  overflow: "Fail",
  maxUnread: 1_024,
  maxUnreadBytes: 1_048_576,
  /** In milliseconds. */
  askTimeout: 20_000
} as const

/** How long the end of a client may take to say what is left, in milliseconds, before the connection is closed. */
const farewellTimeout = 5_000

/** One connection. */
interface Session {
  readonly wire: SocketClient.Wire
  readonly decoder: Packet.Decoder
  engine: EngineProtocol.State
  /** Bytes of the packet that is being put together. */
  size: number
  /** How many messages have come. */
  heard: number
  /** When it was last heard of, by the clock, and how long the next ping may take from there; both in milliseconds. */
  since: number
  patience: number
  /** Whether it is not read, as those who listen have enough. */
  isHeld: boolean
  /** The pong that is still to be said. */
  pong: EnginePacket.Packet | undefined
  end: Errors.Cause | undefined
}

type Sayable = string | Uint8Array

/** What waits to be said. */
interface Outgoing {
  readonly messages: ReadonlyArray<Sayable>
  readonly question: Question | undefined
  /** The connection over which it may be said; `undefined` for any. */
  readonly attempt: number | undefined
}

/** Somebody who has something to say, and no room for it. */
interface Waiter {
  readonly entry: Outgoing
  readonly resume: (effect: Effect.Effect<void, Errors.SocketClientError>) => void
}

interface Question {
  readonly id: number
  readonly name: string
  /** Goes on with who has asked. */
  settle: ((answer: Answer) => void) | undefined
}

type Answer = Exit.Exit<ReadonlyArray<unknown>, Errors.SocketClientError>

const failure = (reason: Errors.SocketClientError["reason"]) => Exit.fail(new Errors.SocketClientError({ reason }))

/** Bytes of the longest of them, as the server counts. */
const sizeOf = (data: ReadonlyArray<Sayable>): number =>
  data.reduce<number>(
    (most, data) =>
      Math.max(most, typeof data === "string" ? EnginePacket.payloadLength({ _tag: "Message", data }) : data.length),
    0
  )

const isEntrance = (value: SocketClient.Entrance | "Over" | undefined): value is SocketClient.Entrance =>
  typeof value === "object"

const ended = (error: Extract<Errors.Cause, { readonly _tag: "Ended" }>["error"]): Errors.Cause => ({
  _tag: "Ended",
  error
})

/** An attempt that has failed with what a session ends with. */
class Failed {
  readonly cause: Errors.Cause
  constructor(cause: Errors.Cause) {
    this.cause = cause
  }
}

export class SocketClientReturning implements SocketClient.SocketClient {
  private readonly options: SocketClient.Options
  private readonly capacity: number
  private readonly comeback: Comeback.Comeback<Session, Errors.Cause>
  private readonly backlog = new Backlog()
  private readonly hearing: SocketClientHearing<SocketClient.Event>
  private readonly entrance = new Watched<SocketClient.Entrance | "Over" | undefined>(
    undefined,
    (value) => value === "Over"
  )
  private protocol: Protocol.State
  private session: Session | undefined
  private outgoing: Array<Outgoing> = []
  private readonly questions = new Map<number, Question>()
  /** Answers to those who do not wait for them yet, as their fiber has yielded. */
  private readonly early = new Map<number, Answer>()
  /** Who says what waits, while there is nothing. */
  private sender: (() => void) | undefined
  /** Whether the connection is taking something, and cannot at once. */
  private isSaying = false
  /** Who waits for room, in order. */
  private readonly line = new Set<Waiter>()
  private end: Exit.Exit<never, Errors.SocketClientError> | undefined
  /** Most bytes that the server takes in a message, as it has said last. */
  private maxPayload = Infinity
  private lost = 0

  constructor(open: Effect.Effect<SocketClient.Wire, unknown, Scope.Scope>, options: SocketClient.Options) {
    const { maxUnread = defaults.maxUnread, maxUnreadBytes = defaults.maxUnreadBytes, namespace = "/" } = options
    const encoded = Packet.encode({ _tag: "Disconnect", namespace, query: undefined }, options.packets)
    if (Result.isFailure(encoded)) throw new TypeError(encoded.failure.message)
    this.options = options
    this.capacity = options.capacity ?? defaults.capacity
    this.hearing = new SocketClientHearing(this.backlog, { count: maxUnread, bytes: maxUnreadBytes })
    this.protocol = Protocol.make(namespace, options.place)
    this.comeback = new Comeback.Comeback<Session, Errors.Cause>(
      {
        open: this.meet(open),
        failed: (error) => (error instanceof Failed ? error.cause : { _tag: "NotOpened", error }),
        nameOf: () => (this.protocol.at._tag === "Joined" ? this.protocol.at.sid : ""),
        live: (session) => this.converse(session),
        heard: ({ heard, isHeld }) => (isHeld ? Number.NaN : heard),
        check: (session) => this.overdue(session),
        silent: ({ patience }) => ended(new Errors.Silent({ silence: patience })),
        again: options.again ?? SocketClientAgain.decide,
        leave: (close, ending) => (ending === "Stopped" ? Effect.andThen(this.farewell, close) : close),
        stopped: (cause, mistake) => this.stopped(cause, mistake)
      },
      { reconnect: options.reconnect, openTimeout: options.openTimeout, surroundings: options.surroundings }
    )
  }

  get start(): Effect.Effect<void, never, Scope.Scope> {
    return this.comeback.start
  }

  // What a program is given.

  get state() {
    return this.comeback.state
  }

  get states() {
    return this.comeback.states
  }

  get retry() {
    return this.comeback.retry
  }

  get place(): Effect.Effect<Protocol.Place | undefined> {
    return Effect.sync(() => this.protocol.place)
  }

  get dropped(): () => number {
    return () => this.lost + this.hearing.dropped
  }

  get events() {
    return this.hearing.stream(undefined)
  }

  get on() {
    return (name: string) => this.hearing.stream(name)
  }

  get entrances(): Stream.Stream<SocketClient.Entrance, Errors.SocketClientError> {
    const entrances = Stream.filter(this.entrance.changes, isEntrance)
    const over: Stream.Stream<never, Errors.SocketClientError> = Stream.unwrap(
      Effect.sync(() => Stream.fromPull(Effect.succeed(this.ending)))
    )
    return Stream.concat(entrances, over)
  }

  get entered(): Effect.Effect<SocketClient.Entrance, Errors.SocketClientError> {
    const first = Stream.runHead(Stream.filter(this.entrance.changes, (value) => value !== undefined))
    return Effect.flatMap(first, (head) =>
      head._tag === "Some" && typeof head.value === "object" ? Effect.succeed(head.value) : this.end!
    )
  }

  get emit() {
    return (name: string, ...args: ReadonlyArray<unknown>): Effect.Effect<void, Errors.SocketClientError> =>
      Effect.suspend(() => {
        const messages = this.encode(name, args, undefined)
        return Result.isFailure(messages)
          ? failure(messages.failure)
          : this.put({ messages: messages.success, question: undefined, attempt: undefined })
      })
  }

  get emitVolatile() {
    return (name: string, ...args: ReadonlyArray<unknown>): Effect.Effect<boolean, Errors.SocketClientError> =>
      Effect.suspend(() => {
        if (this.end !== undefined) return this.end
        const messages = this.encode(name, args, undefined)
        if (Result.isFailure(messages)) return failure(messages.failure)
        if (!this.isIn || this.isSaying || this.outgoing.length > 0) return Effect.succeed(false)
        return Effect.as(this.put({ messages: messages.success, question: undefined, attempt: undefined }), true)
      })
  }

  get ask() {
    return (
      name: string,
      args: ReadonlyArray<unknown>,
      options: SocketClient.AskOptions = {}
    ): Effect.Effect<ReadonlyArray<unknown>, Errors.SocketClientError> =>
      Effect.suspend(() => {
        const [state, id] = Protocol.ask(this.protocol)
        this.protocol = state
        const messages = this.encode(name, args, id)
        if (Result.isFailure(messages)) return failure(messages.failure)
        const question: Question = { id, name, settle: undefined }
        const entry: Outgoing = { messages: messages.success, question, attempt: undefined }
        const timeout = Duration.toMillis(options.timeout ?? defaults.askTimeout)
        const asked = Effect.onExit(Effect.andThen(this.put(entry), this.answered(question)), () =>
          Effect.sync(() => this.withdraw(entry, question))
        )
        return timeout === Infinity
          ? asked
          : Effect.timeoutOrElse(asked, {
              duration: timeout,
              orElse: () => failure(new Errors.Late({ name, timeout }))
            })
      })
  }

  private answered(question: Question): Effect.Effect<ReadonlyArray<unknown>, Errors.SocketClientError> {
    return Effect.callback<ReadonlyArray<unknown>, Errors.SocketClientError>((resume) => {
      const early = this.early.get(question.id)
      if (early !== undefined) return resume(early)
      if (this.end !== undefined) return resume(this.end)
      question.settle = resume
    })
  }

  private settle(id: number, answer: Answer): void {
    const question = this.questions.get(id)
    if (question === undefined) return
    this.questions.delete(id)
    if (question.settle === undefined) this.early.set(id, answer)
    else question.settle(answer)
  }

  private withdraw(entry: Outgoing, { id }: Question): void {
    this.questions.delete(id)
    this.early.delete(id)
    this.protocol = Protocol.forget(this.protocol, id)
    const at = this.outgoing.indexOf(entry)
    if (at < 0) return
    this.outgoing.splice(at, 1)
    this.admit()
  }

  private encode(
    name: string,
    args: ReadonlyArray<unknown>,
    id: number | undefined
  ): Result.Result<ReadonlyArray<Sayable>, Packet.UnsendablePacket> {
    const { namespace } = this.protocol
    return this.encodePacket({ _tag: "Event", namespace, query: undefined, id, name, args })
  }

  private encodePacket(packet: Packet.Packet): Result.Result<ReadonlyArray<Sayable>, Packet.UnsendablePacket> {
    const encoded = Packet.encode(packet, this.options.packets)
    if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
    const { attachments, text } = encoded.success
    const data = [text, ...attachments]
    return sizeOf(data) > this.maxPayload
      ? Result.fail(
          new Packet.UnsendablePacket({ detail: `longer than the ${this.maxPayload} bytes the server takes` })
        )
      : Result.succeed(data.map((data) => EnginePacket.encode({ _tag: "Message", data })))
  }

  private reply(id: number | undefined, attempt: number): SocketClient.Event["reply"] {
    let isDone = id === undefined
    return (...args) =>
      Effect.suspend(() => {
        if (isDone || !Protocol.mayAnswer(this.protocol, attempt)) return Effect.succeed(false)
        const { namespace } = this.protocol
        const messages = this.encodePacket({ _tag: "Ack", namespace, query: undefined, id: id!, args })
        if (Result.isFailure(messages)) return failure(messages.failure)
        isDone = true
        return Effect.as(this.put({ messages: messages.success, question: undefined, attempt }), true)
      })
  }

  // What waits to be said.

  private get isIn(): boolean {
    return this.protocol.at._tag === "Joined"
  }

  private put(entry: Outgoing): Effect.Effect<void, Errors.SocketClientError> {
    return Effect.suspend((): Effect.Effect<void, Errors.SocketClientError> => {
      if (this.end !== undefined) return this.end
      if (this.hasRoom && this.line.size === 0) return this.add(entry)
      if (this.isIn) return this.wait(entry)
      // Who has asked over a connection that has ended does not wait any more.
      if (entry.attempt !== undefined) return Effect.void
      switch (entry.question === undefined ? (this.options.overflow ?? defaults.overflow) : "Fail") {
        case "Fail":
          return failure(new Errors.OutboxFull({ capacity: this.capacity }))
        case "DropNewest":
          this.lost++
          return Effect.void
        case "DropOldest": {
          const oldest = this.outgoing.findIndex(({ question }) => question === undefined)
          if (oldest < 0) return failure(new Errors.OutboxFull({ capacity: this.capacity }))
          this.outgoing.splice(oldest, 1)
          this.lost++
          return this.add(entry)
        }
      }
    })
  }

  private add(entry: Outgoing): Exit.Exit<void> {
    if (entry.question !== undefined) this.questions.set(entry.question.id, entry.question)
    this.outgoing.push(entry)
    this.wakeSender()
    return Exit.void
  }

  private get hasRoom(): boolean {
    return this.outgoing.length < this.capacity
  }

  /** Until there is room for it, behind those who wait already, or no connection any more. */
  private wait(entry: Outgoing): Effect.Effect<void, Errors.SocketClientError> {
    return Effect.callback<void, Errors.SocketClientError>((resume) => {
      // The fiber may have yielded since it was looked, and nobody was there to be told.
      if (this.end !== undefined || !this.isIn || (this.hasRoom && this.line.size === 0)) return resume(this.put(entry))
      const waiter: Waiter = { entry, resume }
      this.line.add(waiter)
      return Effect.sync(() => this.line.delete(waiter))
    })
  }

  /** There may be room for those who wait for it, or no sense in waiting. */
  private admit(): void {
    for (const waiter of this.line) {
      const isOver = this.end !== undefined || !this.isIn
      if (!isOver && !this.hasRoom) return
      this.line.delete(waiter)
      waiter.resume(isOver ? this.put(waiter.entry) : this.add(waiter.entry))
    }
  }

  private wakeSender(): void {
    const { sender } = this
    this.sender = undefined
    sender?.()
  }

  /** All that waits, as one write. */
  private take(session: Session): { readonly messages: ReadonlyArray<Sayable>; readonly ids: ReadonlyArray<number> } {
    const { pong } = session
    const messages: Array<Sayable> = pong === undefined ? [] : [EnginePacket.encode(pong)]
    const ids: Array<number> = []
    for (const { messages: more, question } of this.outgoing) {
      if (!this.isOpen(question)) continue
      for (const message of more) messages.push(message)
      if (question !== undefined) ids.push(question.id)
    }
    return { messages, ids }
  }

  /** Says what there is to say. Where it cannot, the reader learns why. */
  private saying(session: Session): Effect.Effect<never> {
    const hasWork = () => session.pong !== undefined || this.outgoing.length > 0
    const work = Effect.callback<void>((resume) => {
      if (hasWork()) return resume(Effect.void)
      const wake = () => resume(Effect.void)
      this.sender = wake
      return Effect.sync(() => {
        if (this.sender === wake) this.sender = undefined
      })
    })
    // Not to be interrupted between taking what there is and knowing what has become of it.
    const say = Effect.uninterruptibleMask((restore) => {
      const { ids, messages } = this.take(session)
      const { outgoing } = this
      // Before, as an answer may be faster than this fiber.
      this.protocol = Protocol.said(this.protocol, ids)
      this.outgoing = []
      session.pong = undefined
      this.isSaying = true
      return Effect.onExit(restore(session.wire.sendAll(messages)), (exit) =>
        Effect.sync(() => {
          this.isSaying = false
          if (Exit.isSuccess(exit)) return this.admit()
          // Nothing of it was said.
          for (const id of ids) this.protocol = Protocol.forget(this.protocol, id)
          this.outgoing = [...outgoing.filter(({ question }) => this.isOpen(question)), ...this.outgoing]
        })
      )
    })
    const once = Effect.suspend(() => (hasWork() ? say : work))
    return Effect.catch(Effect.forever(once, { disableYield: true }), () => Effect.never)
  }

  private isOpen(question: Question | undefined): boolean {
    return question === undefined || this.questions.has(question.id)
  }

  /**
   * Says what is left. Not that the client leaves the namespace: the reference forgets, for a Disconnect, events that have
   * come just before it. The end of the connection is word enough, and the next life of the program may have its place.
   */
  private readonly farewell: Effect.Effect<void> = Effect.suspend(() => {
    const { session } = this
    if (session === undefined || !this.isIn) return Effect.void
    const said = session.wire.sendAll(this.take(session).messages)
    return Effect.asVoid(Effect.timeoutOption(Effect.exit(said), farewellTimeout))
  })

  // One connection after the other.

  /** A connection over which the server has let the client in. */
  private meet(
    open: Effect.Effect<SocketClient.Wire, unknown, Scope.Scope>
  ): Effect.Effect<Session, unknown, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { auth } = this.options
      const known = Effect.isEffect(auth) ? yield* auth : auth
      const session = yield* this.begun(yield* open)
      while (session.engine._tag === "Opening" && session.end === undefined) yield* this.listen(session)
      if (session.end === undefined) yield* this.knock(session, known)
      while (!this.isIn && session.end === undefined) yield* this.listen(session)
      if (session.end !== undefined) return yield* Effect.fail(new Failed(session.end))
      return session
    })
  }

  /** What a connection is, as long as the scope of its attempt: however that ends, and at whichever moment. */
  private begun(wire: SocketClient.Wire): Effect.Effect<Session, never, Scope.Scope> {
    const begin = Effect.map(Clock.currentTimeMillis, (now) => {
      const session: Session = {
        wire,
        decoder: Packet.makeDecoder(this.options.packets),
        engine: EngineProtocol.opening,
        size: 0,
        heard: 0,
        since: now,
        patience: Infinity,
        isHeld: false,
        pong: undefined,
        end: undefined
      }
      this.session = session
      return session
    })
    return Effect.acquireRelease(begin, (session) => Effect.sync(() => this.leave(session)))
  }

  /** Behind the end of a connection the next one may have begun already. */
  private leave(session: Session): void {
    if (this.session !== session) return
    this.session = undefined
    this.perform(session, Protocol.lost(this.protocol))
    if (this.entrance.value !== "Over") this.entrance.set(undefined)
    this.outgoing = this.outgoing.filter(({ attempt }) => attempt === undefined)
    this.admit()
  }

  private knock(session: Session, auth: Packet.Payload | undefined): Effect.Effect<void, unknown> {
    const transition = Protocol.join(this.protocol, auth)
    const connect = transition[1].flatMap((action) => (action._tag === "Send" ? [action.packet] : []))
    this.perform(session, transition)
    return Effect.forEach(
      connect,
      (packet): Effect.Effect<void, unknown> => {
        const messages = this.encodePacket(packet)
        return Result.isFailure(messages)
          ? Effect.fail(messages.failure)
          : this.orLost(session.wire.sendAll(messages.success))
      },
      { discard: true }
    )
  }

  /** The next message, and the pong that it may want. */
  private listen(session: Session): Effect.Effect<void, unknown> {
    return Effect.gen({ self: this }, function* () {
      const message = yield* Pull.catchDone(this.orLost(session.wire.receive), () =>
        Effect.fail(new Failed(ended(new Errors.Lost({ cause: undefined }))))
      )
      this.hear(session, [message], yield* Clock.currentTimeMillis)
      const { pong } = session
      if (pong === undefined || this.isIn) return
      session.pong = undefined
      yield* this.orLost(session.wire.sendAll([EnginePacket.encode(pong)]))
    })
  }

  private orLost<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Failed> {
    return Effect.mapError(effect, (error) =>
      error instanceof WebSocketError ? new Failed(ended(new Errors.Lost({ cause: error }))) : error
    )
  }

  private converse(session: Session): Effect.Effect<Errors.Cause> {
    const read: Effect.Effect<Errors.Cause, Cause.Done | WebSocketError> = Effect.gen({ self: this }, function* () {
      while (session.end === undefined) {
        if (this.backlog.isFull) {
          session.isHeld = true
          yield* this.backlog.room
          // While it was not read, its silence was ours.
          session.since = yield* Clock.currentTimeMillis
          session.isHeld = false
        }
        const messages = yield* session.wire.pull
        this.hear(session, messages, yield* Clock.currentTimeMillis)
      }
      return session.end
    })
    const reading = read.pipe(
      Pull.catchDone(() => Effect.succeed(ended(new Errors.Lost({ cause: undefined })))),
      Effect.catch((error) => Effect.succeed(ended(new Errors.Lost({ cause: error }))))
    )
    return Effect.raceFirst(reading, Effect.raceFirst(this.saying(session), this.watch(session)))
  }

  /** Ends when no ping has come in time. */
  private watch(session: Session): Effect.Effect<Errors.Cause> {
    const look: Effect.Effect<Errors.Cause> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const left = session.isHeld ? session.patience : session.since + session.patience - now
      if (left > 0) return Effect.andThen(Effect.sleep(left), look)
      this.act(session, EngineProtocol.expire(session.engine), now)
      return Effect.succeed(session.end ?? ended(new Errors.Silent({ silence: session.patience })))
    })
    return look
  }

  /** A client cannot ask: the server pings when it likes. It has shown that it is there where that is not overdue. */
  private overdue(session: Session): Effect.Effect<void, Errors.Silent> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) =>
      session.isHeld || now - session.since < session.patience
        ? Effect.void
        : Effect.fail(new Errors.Silent({ silence: session.patience }))
    )
  }

  private hear(session: Session, messages: ReadonlyArray<Message.Message>, now: number): void {
    session.heard += messages.length
    for (const message of messages) {
      const data = message._tag === "Text" ? message.text : message.bytes
      this.act(session, EngineProtocol.receive(session.engine, data), now)
      if (session.end !== undefined) return
    }
  }

  private act(session: Session, [state, actions]: EngineProtocol.Transition, now: number): void {
    session.engine = state
    for (const action of actions) {
      switch (action._tag) {
        case "Opened":
          this.maxPayload = action.handshake.maxPayload ?? Infinity
          break
        case "Set":
          session.since = now
          session.patience = action.patience
          break
        case "Write":
          // Of pongs that wait the last is enough.
          session.pong = action.packet
          this.wakeSender()
          break
        case "Deliver":
          this.takeData(session, action.data)
          break
        case "End":
          session.end ??= endOf(action, session.patience)
      }
      if (session.end !== undefined) return
    }
  }

  private takeData(session: Session, data: string | Uint8Array): void {
    session.size += data.length
    const packet = session.decoder.push(data)
    if (Result.isFailure(packet)) return this.perform(session, Protocol.violated(this.protocol, packet.failure))
    if (packet.success === undefined) return
    const { size } = session
    session.size = 0
    this.perform(session, Protocol.receive(this.protocol, packet.success, size, this.options.protocol), size)
  }

  private perform(session: Session, [state, actions]: Protocol.Transition, size = 0): void {
    this.protocol = state
    for (const action of actions) {
      switch (action._tag) {
        case "Deliver": {
          const { args, attempt, id, name } = action
          const reply = this.reply(id, attempt)
          this.hearing.put({ name, args, isAsked: id !== undefined, reply }, size)
          break
        }
        case "Entered":
          this.entrance.set({ id: action.sid, recovered: action.recovered })
          break
        case "Answered":
          this.settle(action.id, Exit.succeed(action.args))
          break
        case "Unanswered": {
          const name = this.questions.get(action.id)?.name ?? ""
          this.settle(action.id, failure(new Errors.Unanswered({ name })))
          break
        }
        case "Refused": {
          const { data, message } = action
          session.end ??= { _tag: "Refused", error: new Errors.Refused({ message, data }) }
          break
        }
        case "PutOut":
          session.end ??= ended(new Errors.PutOut())
          break
        case "Violated":
          session.end ??= ended(new Errors.Violation({ violation: action.violation }))
          break
        case "Send":
          // `knock` does.
          break
      }
    }
  }

  // The end.

  /** How streams end. */
  private get ending(): Exit.Exit<never, Cause.Done | Errors.SocketClientError> {
    const { end } = this
    if (end === undefined) return Exit.fail(Cause.Done())
    const error = Cause.findErrorOption((end as Exit.Failure<never, Errors.SocketClientError>).cause)
    const isOrderly =
      error._tag === "Some" && error.value.reason._tag === "Stopped" && error.value.reason.cause === undefined
    return isOrderly ? Exit.fail(Cause.Done()) : end
  }

  private stopped(cause: Errors.Cause | Comeback.Died | undefined, mistake: Cause.Cause<never> | undefined) {
    const known = cause?._tag === "Died" ? undefined : cause
    this.end = mistake === undefined ? failure(new Errors.Stopped({ cause: known })) : Exit.failCause(mistake)
    return () => {
      const { end } = this
      for (const id of this.questions.keys()) this.settle(id, end!)
      this.hearing.ended(this.ending)
      this.entrance.set("Over")
      this.admit()
    }
  }
}

const endOf = (
  { reason, violation }: Extract<EngineProtocol.Action, { readonly _tag: "End" }>,
  patience: number
): Errors.Cause => {
  switch (reason) {
    case "violation":
      return ended(new Errors.Violation({ violation: violation! }))
    case "pingTimeout":
      return ended(new Errors.Silent({ silence: patience }))
    case "network":
    case "server":
      return ended(new Errors.Lost({ cause: undefined }))
  }
}
