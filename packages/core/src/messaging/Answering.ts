/**
 * What the peer has asked and this end answers: handlers as effects, in order or as many at a time as was said.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Coder from "./Coder.ts"
import type { Say } from "./Asking.ts"
import type { Backlog } from "./Backlog.ts"
import type { Coders, MessageCoder, RequestCoder, StreamCoder } from "./Contract.ts"
import type { Early } from "./Hearing.ts"
import * as Packet from "./Packet.ts"
import * as Repeats from "./Repeats.ts"
import * as Tracing from "./Tracing.ts"

/** What answers: an effect for a message and a request, a stream for a stream. */
export type Handler = (payload: unknown) => Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>

/** Who answers, from when on. */
export interface Handlers {
  readonly byName: ReadonlyMap<string, Handler>
  /** How many messages and requests at a time. 1: each waits for the one before it. */
  readonly concurrency: number
  readonly context: Context.Context<never>
}

/** Something to be done for the peer. A message has no number. */
class Call {
  /** When it came, among all that the peer has said. */
  readonly order: number
  readonly id: number
  readonly coder: MessageCoder | RequestCoder | StreamCoder
  readonly payload: unknown
  readonly meta: Packet.Meta | undefined
  /** What is said instead of asking anybody. */
  readonly refusal: Packet.Fail | undefined
  /** Of a question that may be asked again: see `Repeats`. */
  readonly digest: string | undefined
  fiber: Fiber.Fiber<void> | undefined
  /** Whether it is to be interrupted as soon as there is a fiber. */
  isCancelled = false
  /** How many fibers are at it. */
  hands = 0
  /** How many elements may be sent. */
  credit: number
  private producer: (() => void) | undefined

  constructor(
    order: number,
    {
      credit = 0,
      id,
      meta
    }: { readonly credit?: number; readonly id: number; readonly meta?: Packet.Meta | undefined },
    coder: MessageCoder | RequestCoder | StreamCoder,
    payload: unknown,
    { digest, refusal }: { readonly digest?: string; readonly refusal?: Packet.Fail } = {}
  ) {
    this.refusal = refusal
    this.digest = digest
    this.order = order
    this.id = id
    this.coder = coder
    this.payload = payload
    this.meta = meta
    this.credit = credit
  }

  grant(credit: number): void {
    this.credit = Math.min(this.credit + credit, Packet.maxCredit)
    const { producer } = this
    this.producer = undefined
    producer?.()
  }

  /** Waits until something may be sent. */
  readonly allowed: Effect.Effect<void> = Effect.suspend(() =>
    this.credit > 0
      ? Effect.void
      : Effect.callback<void>((resume) => {
          this.producer = () => resume(Effect.void)
          return Effect.sync(() => {
            this.producer = undefined
          })
        })
  )
}

/** Nothing of a contract. */
const refused: MessageCoder = { _tag: "Message", name: "", payload: Coder.nothing as Coder.Coder<unknown> }

const nobody: Handlers = { byName: new Map(), concurrency: Infinity, context: Context.empty() }

/** Where answers go. */
export interface Options {
  readonly say: Say
  readonly backlog: Backlog
  /**
   * How many messages and requests may wait or be answered before no more is read, and how many streams there may be
   * before another is refused. Those do not make the peer wait: it has to be heard for them to go on.
   */
  readonly bound: number
  readonly repeats: Repeats.Repeats
  /** Whose keys are told apart: see `Repeats`. */
  readonly principal: string
}

export class Answering {
  private readonly options: Options
  /** Questions that the peer waits for, by their numbers. */
  private readonly calls = new Map<number, Call>()
  private waiting: Array<Call> = []
  /** What somebody is at, also what the peer does not wait for any more. */
  private readonly begun = new Set<Call>()
  /** How many of those are no streams. */
  private running = 0
  /** How many messages are waiting or dealt with. */
  private messages = 0
  /** How many streams are waiting or go on. */
  private streams = 0
  private full = false
  private pumping = false
  private handlers: Handlers | undefined
  private over = false
  private idlers: Array<() => void> = []

  constructor(options: Options) {
    this.options = options
  }

  /** How many calls are waiting or being answered, but for streams. */
  get size(): number {
    return this.waiting.length + this.running
  }

  /** Whether that number may be used for a question: none that waits for its answer has it. */
  isFree(id: number): boolean {
    return !this.calls.has(id)
  }

  /** A message, if there is a handler for it; else `false`. */
  message(order: number, coder: MessageCoder, payload: unknown, meta: Packet.Meta | undefined): boolean {
    if (this.handlers?.byName.has(coder.name) !== true) return false
    this.add(new Call(order, { id: 0, meta }, coder, payload))
    return true
  }

  request(order: number, packet: Packet.Ask, coder: RequestCoder, payload: unknown): void {
    const isKeyed = coder.idempotent && packet.meta?.key !== undefined
    const call = new Call(order, packet, coder, payload, {
      ...(isKeyed && { digest: Repeats.digestOf(packet.name, packet.payload) })
    })
    this.calls.set(call.id, call)
    this.add(call)
  }

  stream(order: number, packet: Packet.Open, coder: StreamCoder, payload: unknown): void {
    const { id } = packet
    if (this.streams >= this.options.bound) {
      return this.refuse(order, { _tag: "Fail", id, code: "unavailable", detail: "too many streams are open" })
    }
    const call = new Call(order, packet, coder, payload)
    this.calls.set(id, call)
    this.add(call)
  }

  /** A question that nobody is asked. Needs no handlers, and makes the peer wait when it does not read the refusals. */
  refuse(order: number, refusal: Packet.Fail): void {
    const call = new Call(order, refusal, refused, undefined, { refusal })
    this.calls.set(call.id, call)
    this.start(call, nobody)
    this.measure()
  }

  /** What is known of `id`, which has been answered or never asked, is nothing to be upset about. */
  cancel(id: number): void {
    const call = this.calls.get(id)
    if (call === undefined) return
    this.calls.delete(id)
    if (call.hands > 0) return interrupt(call)
    this.waiting.splice(this.waiting.indexOf(call), 1)
    this.count(call, -1)
    this.measure()
  }

  more(id: number, credit: number): void {
    this.calls.get(id)?.grant(credit)
  }

  private add(call: Call): void {
    this.waiting.push(call)
    this.count(call, 1)
    this.pump()
  }

  private count({ coder, refusal }: Call, by: 1 | -1): void {
    if (refusal !== undefined) return
    if (coder._tag === "Message") this.messages += by
    if (coder._tag === "Stream") this.streams += by
  }

  private measure(): void {
    const full = this.size >= this.options.bound
    if (full === this.full) return
    this.full = full
    if (full) this.options.backlog.filled()
    else this.options.backlog.emptied()
  }

  /** Begins to answer, also what has come before, in the order in which it came. */
  serve(handlers: Handlers, early: (name: string) => ReadonlyArray<Early>, hears: Coders): void {
    if (this.handlers !== undefined) throw new TypeError("the session has handlers already")
    for (const name of handlers.byName.keys()) {
      const coder = hears.get(name)
      if (coder?._tag !== "Message") continue
      for (const { order, value } of early(name)) {
        const call = new Call(order, { id: 0 }, coder, value)
        this.waiting.push(call)
        this.count(call, 1)
      }
    }
    this.waiting.sort((one, other) => one.order - other.order)
    this.handlers = handlers
    this.pump()
  }

  /**
   * Nobody answers any more, until others do: what has not begun waits for them. What has is interrupted, and the peer is
   * told. Waits for its end, but not for what has a key, which goes on.
   */
  stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.handlers = undefined
      const begun = [...this.begun]
      const unanswered = begun.filter((call) => this.calls.get(call.id) === call)
      const { say } = this.options
      const told = Effect.gen(function* () {
        for (const { id } of unanswered) {
          yield* Effect.ignore(say({ _tag: "Fail", id, code: "unavailable", detail: "it was interrupted" }))
        }
      })
      const tell = this.over ? Effect.void : Effect.forkDetach(told, { startImmediately: true })
      return Effect.andThen(interruptAll(begun), tell)
    })
  }

  /** The peer waits for nothing any more. What it has said is still dealt with. */
  end(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.over = true
      this.drop((call) => call.coder._tag !== "Message")
      return interruptAll([...this.begun].filter(({ id }) => id !== 0))
    })
  }

  /** Nothing is dealt with any more. Waits for the end of what was. */
  abandon(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.over = true
      this.handlers = undefined
      this.drop(() => true)
      return interruptAll([...this.begun])
    })
  }

  private drop(isDropped: (call: Call) => boolean): void {
    const { waiting } = this
    this.waiting = []
    for (const call of waiting) {
      if (!isDropped(call)) {
        this.waiting.push(call)
        continue
      }
      if (this.calls.get(call.id) === call) this.calls.delete(call.id)
      this.count(call, -1)
    }
    this.measure()
    this.wakeIdlers()
  }

  /** Waits until all messages that have come were dealt with. */
  readonly idle: Effect.Effect<void> = Effect.suspend(() =>
    this.messages === 0
      ? Effect.void
      : Effect.callback<void>((resume) => {
          this.idlers.push(() => resume(Effect.void))
        })
  )

  private wakeIdlers(): void {
    if (this.messages > 0) return
    const { idlers } = this
    this.idlers = []
    for (const wake of idlers) wake()
  }

  private pump(): void {
    if (this.pumping) return
    this.pumping = true
    while (this.handlers !== undefined && this.waiting.length > 0 && this.running < this.handlers.concurrency) {
      this.start(this.waiting.shift()!, this.handlers)
    }
    this.pumping = false
    this.measure()
  }

  private start(call: Call, handlers: Handlers): void {
    this.take(call)
    const fiber = Effect.runForkWith(handlers.context)(this.answer(call, handlers.byName.get(call.coder.name)))
    call.fiber = fiber
    // By the handler itself, as when it stops all of them.
    if (call.isCancelled) fiber.interruptUnsafe()
    // Most are done by now.
    fiber.addObserver(() => {
      if (this.calls.get(call.id) === call) this.calls.delete(call.id)
      this.leave(call)
    })
  }

  /** A stream goes on beside the others. */
  private take(call: Call): void {
    if (call.hands++ > 0) return
    this.begun.add(call)
    if (call.coder._tag !== "Stream") this.running++
  }

  private leave(call: Call): void {
    if (--call.hands > 0) return
    this.begun.delete(call)
    if (call.coder._tag !== "Stream") this.running--
    this.count(call, -1)
    this.pump()
    this.wakeIdlers()
  }

  private answer(call: Call, handler: Handler | undefined): Effect.Effect<void> {
    const { coder, meta, payload, refusal } = call
    if (refusal !== undefined) return this.say(call, refusal)
    if (handler === undefined) return this.fail(call, "unavailable", "nobody answers this here")
    switch (coder._tag) {
      case "Message":
        return Tracing.received(
          coder.name,
          meta?.trace,
          Effect.catchCause(
            Effect.suspend(() => handler(payload) as Effect.Effect<unknown, unknown>),
            (cause) => logged(coder.name, cause)
          )
        )
      case "Request": {
        const reply = Tracing.received(coder.name, meta?.trace, replyOf(coder, handler, payload))
        const once =
          call.digest === undefined || meta?.key === undefined
            ? reply
            : this.options.repeats.once(
                { principal: this.options.principal, key: meta.key, digest: call.digest },
                this.kept(call, reply)
              )
        return Effect.flatMap(once, (reply) => this.say(call, { ...reply, id: call.id } as Packet.Packet))
      }
      case "Stream":
        return Tracing.received(coder.name, meta?.trace, this.produce(call, coder, handler))
    }
  }

  /** It goes on when nobody waits for it any more, and takes its place among the others until its end. */
  private kept(call: Call, reply: Effect.Effect<Repeats.Reply>): Effect.Effect<Repeats.Reply> {
    const taken = Effect.suspend(() => {
      this.take(call)
      return reply
    })
    return Effect.onExit(taken, () => Effect.sync(() => this.leave(call)))
  }

  /** Elements as there is credit for them. A stream that nobody reads is not pulled. */
  private produce(call: Call, coder: StreamCoder, handler: Handler): Effect.Effect<void> {
    const elements = Effect.scoped(
      Effect.flatMap(
        Effect.flatMap(Effect.scope, (scope) => {
          const { channel } = handler(call.payload) as Stream.Stream<unknown, unknown>
          // Not `Stream.toPull`: a page would load the semaphore by which that keeps a second fiber away.
          return Channel.toPullScoped(channel, scope)
        }),
        (pull) => this.send(call, coder, pull)
      )
    )
    return Effect.matchCauseEffect(elements, {
      onSuccess: () => Effect.void,
      onFailure: (cause) => {
        if (Cause.hasInterruptsOnly(cause)) return this.fail(call, "unavailable", "it was interrupted")
        const error = Cause.findErrorOption(cause)
        if (error._tag === "Some" && Cause.isDone(error.value)) return this.say(call, { _tag: "End", id: call.id })
        if (error._tag === "Some") {
          const wire = coder.error.encode(error.value)
          if (Result.isSuccess(wire)) return this.say(call, { _tag: "Err", id: call.id, error: wire.success })
        }
        return Effect.andThen(logged(coder.name, cause), this.fail(call, "defect", ""))
      }
    })
  }

  private send(
    call: Call,
    coder: StreamCoder,
    pull: Pull.Pull<ReadonlyArray<unknown>, unknown>
  ): Effect.Effect<never, unknown> {
    const some = (wires: ReadonlyArray<unknown>): Effect.Effect<void, unknown> =>
      Effect.flatMap(call.allowed, () => {
        const elements = wires.length <= call.credit ? wires : wires.slice(0, call.credit)
        call.credit -= elements.length
        const said = Effect.catch(this.options.say({ _tag: "Items", id: call.id, elements }), (error) =>
          // Nobody is there to hear of it, and nothing is wrong with the stream.
          error.reason._tag === "Unencodable" ? Effect.die(error) : Effect.interrupt
        )
        return elements === wires ? said : Effect.flatMap(said, () => some(wires.slice(elements.length)))
      })
    const one = Effect.flatMap(
      Effect.flatMap(call.allowed, () => pull),
      (elements) => {
        const wires: Array<unknown> = []
        for (const element of elements) {
          const wire = coder.element.encode(element)
          if (Result.isFailure(wire)) return Effect.flatMap(some(wires), () => Effect.die(wire.failure))
          wires.push(wire.success)
        }
        return some(wires)
      }
    )
    return Effect.forever(one, { disableYield: true })
  }

  private fail(call: Call, code: Packet.FailCode, detail: string): Effect.Effect<void> {
    return call.id === 0 ? Effect.void : this.say(call, { _tag: "Fail", id: call.id, code, detail })
  }

  /** To a peer that still waits. That the session has ended, who asked knows. */
  private say(call: Call, packet: Packet.Packet): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.calls.get(call.id) === call && !this.over
        ? Effect.catch(this.options.say(packet), (error) =>
            error.reason._tag === "Unencodable"
              ? Effect.andThen(logged(call.coder.name, Cause.fail(error)), this.fail(call, "defect", ""))
              : Effect.void
          )
        : Effect.void
    )
  }
}

const interrupt = (call: Call): void => {
  call.isCancelled = true
  call.fiber?.interruptUnsafe()
}

/** Waits for all that have a fiber: what has none yet is asking for it. */
const interruptAll = (calls: ReadonlyArray<Call>): Effect.Effect<void> => {
  for (const call of calls) call.isCancelled = true
  return Fiber.interruptAll(calls.flatMap(({ fiber }) => fiber ?? []))
}

const logged = (name: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : Effect.annotateLogs(Effect.logError("A handler has failed", cause), { name })

/** The answer to a request, whatever its handler does. A defect answers this one request, and is logged. */
const replyOf = (coder: RequestCoder, handler: Handler, payload: unknown): Effect.Effect<Repeats.Reply> =>
  Effect.matchCauseEffect(
    Effect.suspend(() => handler(payload) as Effect.Effect<unknown, unknown>),
    {
      onSuccess: (value) => {
        const wire = coder.success.encode(value)
        return Result.isSuccess(wire)
          ? Exit.succeed<Repeats.Reply>({ _tag: "Ok", value: wire.success })
          : defect(coder.name, Cause.die(wire.failure))
      },
      onFailure: (cause) => {
        if (Cause.hasInterruptsOnly(cause)) {
          return Exit.succeed<Repeats.Reply>({ _tag: "Fail", code: "unavailable", detail: "it was interrupted" })
        }
        const error = Cause.findErrorOption(cause)
        if (error._tag === "None") return defect(coder.name, cause)
        const wire = coder.error.encode(error.value)
        return Result.isSuccess(wire)
          ? Exit.succeed<Repeats.Reply>({ _tag: "Err", error: wire.success })
          : defect(coder.name, cause)
      }
    }
  )

const defect = (name: string, cause: Cause.Cause<unknown>): Effect.Effect<Repeats.Reply> =>
  Effect.as(logged(name, cause), { _tag: "Fail", code: "defect", detail: "" } as const)
