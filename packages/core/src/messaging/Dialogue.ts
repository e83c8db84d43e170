/**
 * The machinery behind `Session`: reads packets, and hands each to what it is for. What was said to it, and what it
 * says, goes through one place each.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import * as CloseCode from "../codec/CloseCode.ts"
import type { Message, Sendable } from "../protocol/Message.ts"
import { Answering, type Handlers } from "./Answering.ts"
import { Asking } from "./Asking.ts"
import { Backlog } from "./Backlog.ts"
import type * as Contract from "./Contract.ts"
import type { Conversation } from "./Conversation.ts"
import { Hearing } from "./Hearing.ts"
import * as MessageCodec from "./MessageCodec.ts"
import type * as Packet from "./Packet.ts"
import type * as Repeats from "./Repeats.ts"
import { SessionCode } from "./SessionCode.ts"
import * as SessionEnd from "./SessionEnd.ts"
import { Disconnected, SessionError, SessionViolation, Undecodable, Unencodable } from "./SessionError.ts"
import type { Limits } from "./SessionLimits.ts"
import type { SessionMeter } from "./SessionMeter.ts"
import * as Tracing from "./Tracing.ts"
import type { Wire } from "./Wire.ts"

/** What is done with something that the peer may not say. */
export type Verdict = "Ignore" | "Close"

/** What was not as it should be, since the session began. Nothing of it was handed to the program. */
export interface Counters {
  /** No message of the codec, or no packet. */
  readonly malformed: number
  /** Names that the contract has not. */
  readonly unknown: number
  /** Payloads that the contract does not decode. */
  readonly undecodable: number
  /** Answers to what nobody waits for any more. Some are to be expected. */
  readonly late: number
  /** Answers to what was never asked. */
  readonly foreign: number
  /** Messages that nobody listens for. */
  readonly unheard: number
}

export interface Options {
  readonly wire: Wire
  readonly codec: MessageCodec.MessageCodec
  readonly says: Contract.Coders
  readonly hears: Contract.Coders
  readonly limits: Limits
  readonly judge: (error: SessionViolation | Undecodable) => Verdict
  readonly repeats: Repeats.Repeats
  readonly principal: string
  readonly meter: SessionMeter
  /** Who listens beyond this session: a client that comes back. Default: nobody. */
  readonly audience?: Audience | undefined
}

/** Who listens, and what holds the reader up while they do not. */
export interface Audience {
  readonly backlog: Backlog
  readonly hearing: Hearing
  /** Told of a session that they listen to, before anything of it is read. */
  readonly joined: (conversation: Conversation) => void
}

/** A batch of elements longer than this is said in two. In bytes, or in UTF-16 units of text. */
const longBatch = 262_144

const nameOf = (packet: Packet.Packet): string => ("name" in packet ? packet.name : packet._tag)

const lengthOf = (message: Sendable): number => message.length

/** Why the session has to end. */
interface Breach {
  readonly code: number
  readonly error: SessionViolation | Undecodable
}

export class Dialogue {
  readonly asking: Asking
  readonly answering: Answering
  readonly hearing: Hearing
  readonly counters = { malformed: 0, unknown: 0, undecodable: 0, late: 0, foreign: 0, unheard: 0 }
  private readonly backlog: Backlog
  private readonly options: Options
  private readonly ending = Deferred.makeUnsafe<SessionEnd.SessionEnd>()
  private end: SessionEnd.SessionEnd | undefined
  /** How many messages have come. */
  private received = 0
  /** How often the peer was asked whether it is there. */
  private pings = 0
  private readonly pinging = new Map<number, () => void>()
  /** Which of the peer's pings is being answered. While that waits for the peer to read, those that come are one. */
  private ponging: number | undefined

  constructor(options: Options) {
    this.options = options
    const backlog = (this.backlog = options.audience?.backlog ?? new Backlog())
    const { limits, principal, repeats } = options
    // Half of what the other end takes, if it has the same limits: see `Asking`.
    this.asking = new Asking(this.say, Math.max(1, limits.maxPending >>> 1))
    const bound = { count: limits.maxPending, bytes: limits.maxPendingBytes }
    this.answering = new Answering({ say: this.say, backlog, bound, repeats, principal })
    this.hearing = options.audience?.hearing ?? new Hearing(backlog, { ...bound, count: limits.maxUnread })
  }

  /** Waits for the end. */
  get ended(): Effect.Effect<SessionEnd.SessionEnd> {
    return Deferred.await(this.ending)
  }

  /** Another number after whatever has come: `NaN` while nothing is read, as nobody can know then whether it has. */
  get heard(): number {
    return this.backlog.isFull ? Number.NaN : this.received
  }

  /** Asks the peer whether it is there, and waits for the answer. */
  readonly ping: Effect.Effect<void, SessionError> = Effect.suspend(() => {
    const id = ++this.pings
    const answered = Effect.callback<void>((resume) => {
      this.pinging.set(id, () => resume(Effect.void))
    })
    const asked = Effect.andThen(this.say({ _tag: "Ping", id }), Deferred.await(this.ending))
    const over = Effect.flatMap(asked, ({ forCalls }) => forCalls)
    return Effect.ensuring(
      Effect.raceFirst(answered, over),
      Effect.sync(() => this.pinging.delete(id))
    )
  })

  /** It is as if it had ended: nothing is said any more. Who reads is to be interrupted. */
  giveUp(reason: SessionError["reason"]): void {
    this.finish(SessionEnd.failed(reason))
  }

  readonly say = (packet: Packet.Packet): Effect.Effect<void, SessionError> =>
    Effect.suspend(() => {
      if (this.end !== undefined) return this.end.forCalls
      let message: Sendable
      try {
        message = MessageCodec.write(this.options.codec, packet)
      } catch (cause) {
        return Effect.fail(new SessionError({ reason: new Unencodable({ name: nameOf(packet), cause }) }))
      }
      const length = lengthOf(message)
      if (length > longBatch && packet._tag === "Items" && packet.elements.length > 1) return this.sayInTwo(packet)
      this.options.meter.said(length)
      return Effect.mapError(this.options.wire.send(message), lost)
    })

  private sayInTwo(items: Packet.Items): Effect.Effect<void, SessionError> {
    const half = items.elements.length >>> 1
    return Effect.andThen(
      this.say({ ...items, elements: items.elements.slice(0, half) }),
      this.say({ ...items, elements: items.elements.slice(half) })
    )
  }

  /** Reads until the end, and tells everybody of it. */
  readonly read: Effect.Effect<void> = Effect.suspend(() => {
    const once = Effect.flatMap(this.options.wire.pull, (messages) => this.receiveAll(messages, 0))
    return Effect.onExit(Effect.forever(once, { disableYield: true }), (exit) => this.over(exit)) as Effect.Effect<
      never,
      never
    >
  }).pipe(Effect.ignoreCause)

  private receiveAll(messages: ReadonlyArray<Message>, from: number): Effect.Effect<void, SessionError> {
    for (let next = from; next < messages.length;) {
      const breach = this.receive(messages[next++]!)
      if (breach !== undefined) return this.broken(breach)
      if (!this.backlog.isFull) continue
      // Behind the end of the connection there is little left, which must not keep the end from being seen.
      const room = Effect.raceFirst(this.backlog.room, this.options.wire.closed)
      return Effect.flatMap(room, () => this.receiveAll(messages, next))
    }
    return Effect.void
  }

  private broken({ code, error }: Breach): Effect.Effect<never, SessionError> {
    this.finish(SessionEnd.failed(error))
    return Effect.andThen(this.shut(code, error.message), Effect.fail(new SessionError({ reason: error })))
  }

  /** Together, as what is being answered must not go on for as long as a closing handshake may take. */
  private shut(code: number, reason?: string): Effect.Effect<void> {
    const closing = Effect.forkChild(Effect.ignore(this.options.wire.close(code, reason)), { startImmediately: true })
    // Not `Effect.all`, which would be most of a kilobyte more for each page to load.
    return Effect.flatMap(closing, (fiber) =>
      Effect.andThen(this.answering.abandon(), Effect.asVoid(Fiber.await(fiber)))
    )
  }

  private over(exit: Exit.Exit<never, Cause.Done | SessionError | WebSocketError>): Effect.Effect<void> {
    if (Exit.isSuccess(exit)) return Effect.void
    if (Cause.hasDies(exit.cause)) return this.died(exit.cause)
    // `broken` has told of a breach already.
    this.finish(SessionEnd.of(exit as Exit.Exit<never, Cause.Done | WebSocketError>))
    return this.answering.end()
  }

  /** A mistake of ours, or of `onInvalid`, must reach whoever waits. */
  private died(cause: Cause.Cause<unknown>): Effect.Effect<void> {
    const exit = Exit.failCause(cause as Cause.Cause<never>)
    this.finish({ forStreams: exit, forCalls: exit })
    return Effect.andThen(Effect.logError("A session has failed", cause), this.shut(CloseCode.CloseCode.internalError))
  }

  private finish(end: SessionEnd.SessionEnd): void {
    if (this.end !== undefined) return
    this.end = end
    this.asking.ended(end)
    if (this.options.audience === undefined) this.hearing.ended(end)
    Deferred.doneUnsafe(this.ending, Effect.succeed(end) as Exit.Exit<SessionEnd.SessionEnd>)
  }

  /** Begins to answer. */
  serve(handlers: Handlers): void {
    this.answering.serve(handlers, (name) => this.hearing.takeEarly(name), this.options.hears)
  }

  /** Says something that is not answered. */
  emit(coder: Contract.MessageCoder, payload: unknown): Effect.Effect<void, SessionError> {
    const wire = coder.payload.encode(payload)
    if (Result.isFailure(wire)) {
      return Effect.fail(new SessionError({ reason: new Unencodable({ name: coder.name, cause: wire.failure }) }))
    }
    return Effect.contextWith((context: Context.Context<never>) => {
      const trace = Tracing.current(context)
      const meta = trace === undefined ? undefined : { trace }
      return this.say({ _tag: "Emit", name: coder.name, payload: wire.success, meta })
    })
  }

  /** Ends what nobody will hear of any more, and gives the cause in a word. */
  readonly abandon: Effect.Effect<string> = Effect.suspend(() => {
    this.finish(SessionEnd.ordinary)
    return Effect.as(this.answering.abandon(), SessionEnd.causeOf(this.end ?? SessionEnd.ordinary))
  })

  private receive(message: Message): Breach | undefined {
    this.options.meter.heard(message.length)
    this.received++
    this.backlog.bytes = message.length
    const packet = MessageCodec.read(this.options.codec, message)
    if (Result.isFailure(packet)) {
      this.counters.malformed++
      return this.judge(SessionCode.violation, violation(SessionCode.violation, packet.failure.message))
    }
    return this.take(packet.success)
  }

  private take(packet: Packet.Packet): Breach | undefined {
    this.backlog.arrived++
    switch (packet._tag) {
      case "Emit":
        return this.emitted(packet)
      case "Ask":
      case "Open":
        return this.asked(packet)
      case "Cancel":
        this.answering.cancel(packet.id)
        return undefined
      case "More":
        this.answering.more(packet.id, packet.credit)
        return undefined
      case "Ping":
        this.pinged(packet.id)
        return undefined
      case "Pong":
        return this.ponged(packet.id)
      case "Hello":
      case "Welcome":
        return breach(`a second ${packet._tag.toLowerCase()}`)
      default:
        return this.answered(packet)
    }
  }

  /** One answer at a time, so that who asks and does not read costs no more than one. */
  private pinged(id: number): void {
    const isAnswering = this.ponging !== undefined
    this.ponging = id
    if (!isAnswering) Effect.runFork(Effect.ignore(this.pong))
  }

  private readonly pong: Effect.Effect<void, SessionError> = Effect.suspend(() => {
    const id = this.ponging!
    return Effect.flatMap(this.say({ _tag: "Pong", id }), () => {
      if (this.ponging !== id) return this.pong
      this.ponging = undefined
      return Effect.void
    })
  })

  private ponged(id: number): Breach | undefined {
    if (id > this.pings) return this.strange(id)
    for (const [asked, resume] of this.pinging) if (asked <= id) resume()
    return undefined
  }

  private strange(id: number): Breach | undefined {
    this.counters.foreign++
    return this.judge(SessionCode.violation, violation(SessionCode.violation, `an answer to ${id}`))
  }

  private emitted({ meta, name, payload }: Packet.Emit): Breach | undefined {
    const coder = this.options.hears.get(name)
    if (coder?._tag !== "Message") {
      this.counters.unknown++
      return this.judge(SessionCode.violation, violation(SessionCode.violation, `nothing is called ${shown(name)}`))
    }
    const value = coder.payload.decode(payload)
    if (Result.isFailure(value)) {
      this.counters.undecodable++
      return this.judge(CloseCode.CloseCode.invalidPayload, new Undecodable({ name, cause: value.failure }))
    }
    const handled = this.answering.message(this.backlog.arrived, coder, value.success, meta)
    if (!this.hearing.put(name, value.success, handled, this.backlog.arrived) && !handled) this.counters.unheard++
    return undefined
  }

  private asked(packet: Packet.Ask | Packet.Open): Breach | undefined {
    const { id, name } = packet
    if (!this.answering.isFree(id)) return breach(`the number ${id} for a second question`)
    const coder = this.options.hears.get(name)
    if (coder === undefined || coder._tag !== (packet._tag === "Ask" ? "Request" : "Stream")) {
      this.counters.unknown++
      return this.refuse(id, "unknown", `nothing to ask is called ${shown(name)}`)
    }
    const payload = coder.payload.decode(packet.payload)
    if (Result.isFailure(payload)) {
      this.counters.undecodable++
      return this.refuse(id, "invalid", payload.failure.message)
    }
    if (coder._tag === "Stream" && packet._tag === "Open") {
      this.answering.stream(this.backlog.arrived, packet, coder, payload.success)
    } else if (coder._tag === "Request" && packet._tag === "Ask") {
      this.answering.request(this.backlog.arrived, packet, coder, payload.success)
    }
    return undefined
  }

  private refuse(id: number, code: Packet.FailCode, detail: string): undefined {
    this.answering.refuse(this.backlog.arrived, { _tag: "Fail", id, code, detail: detail.slice(0, 1_024) })
  }

  private answered(packet: Packet.Ok | Packet.Items | Packet.End | Packet.Err | Packet.Fail): Breach | undefined {
    switch (this.asking.receive(packet)) {
      case "Taken":
        return undefined
      case "Late":
        this.counters.late++
        return undefined
      case "Foreign":
        return this.strange(packet.id)
      case "Overrun":
        return breach(`more elements than there was credit for, in ${packet.id}`)
    }
  }

  private judge(code: number, error: SessionViolation | Undecodable): Breach | undefined {
    return this.options.judge(error) === "Close" ? { code, error } : undefined
  }
}

const violation = (code: number, detail: string) => new SessionViolation({ code, detail })

const breach = (detail: string): Breach => ({
  code: SessionCode.violation,
  error: violation(SessionCode.violation, detail)
})

const lost = (cause: WebSocketError) => new SessionError({ reason: new Disconnected({ cause }) })

/** A name that a peer chose, for a message that is not to be filled by it. */
const shown = (name: string): string => JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)
