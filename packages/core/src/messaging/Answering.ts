/**
 * What the peer has asked and this end answers: handlers as effects, in order or as many at a time as was said.
 */
import * as Cause from "effect/Cause"
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
  fiber: Fiber.Fiber<void> | undefined
  /** How many elements may be sent. */
  credit: number
  private producer: (() => void) | undefined

  constructor(
    order: number,
    id: number,
    coder: MessageCoder | RequestCoder | StreamCoder,
    payload: unknown,
    meta: Packet.Meta | undefined,
    credit: number,
    refusal?: Packet.Fail
  ) {
    this.refusal = refusal
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

/** Where answers go. */
export interface Options {
  readonly say: Say
  readonly backlog: Backlog
  /** How many calls may wait or be answered before no more is read. */
  readonly bound: number
  readonly repeats: Repeats.Repeats
  /** Whose keys are told apart: see `Repeats`. */
  readonly principal: string
}

export class Answering {
  private readonly options: Options
  private readonly calls = new Map<number, Call>()
  private waiting: Array<Call> = []
  private running = 0
  private full = false
  private pumping = false
  private lastId = 0
  private handlers: Handlers | undefined
  private over = false

  constructor(options: Options) {
    this.options = options
  }

  /** How many calls are waiting or being answered. */
  get size(): number {
    return this.waiting.length + this.running
  }

  /** Whether that number may be used for a question: it is higher than all before it. */
  isNew(id: number): boolean {
    return id > this.lastId
  }

  /** A message for which there is a handler. `false` when there are handlers, and none for it. */
  message(order: number, coder: MessageCoder, payload: unknown, meta: Packet.Meta | undefined): boolean {
    if (this.handlers?.byName.has(coder.name) !== true) return false
    this.add(new Call(order, 0, coder, payload, meta, 0))
    return true
  }

  request(order: number, { id, meta }: Packet.Ask, coder: RequestCoder, payload: unknown): void {
    this.open(new Call(order, id, coder, payload, meta, 0))
  }

  stream(order: number, { credit, id, meta }: Packet.Open, coder: StreamCoder, payload: unknown): void {
    this.open(new Call(order, id, coder, payload, meta, credit))
  }

  private open(call: Call): void {
    this.lastId = call.id
    this.calls.set(call.id, call)
    this.add(call)
  }

  /** A question that is none of the contract's. Its refusal waits for its turn, and so is bounded as answers are. */
  refuse(order: number, refusal: Packet.Fail): void {
    this.open(new Call(order, refusal.id, refused, undefined, undefined, 0, refusal))
  }

  /** What is known of `id`, which has been answered or never asked, is nothing to be upset about. */
  cancel(id: number): void {
    const call = this.calls.get(id)
    if (call === undefined) return
    this.calls.delete(id)
    if (call.fiber !== undefined) return call.fiber.interruptUnsafe()
    const at = this.waiting.indexOf(call)
    if (at >= 0) this.waiting.splice(at, 1)
    this.measure()
  }

  more(id: number, credit: number): void {
    this.calls.get(id)?.grant(credit)
  }

  private add(call: Call): void {
    this.waiting.push(call)
    this.pump()
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
      for (const { order, value } of early(name)) this.waiting.push(new Call(order, 0, coder, value, undefined, 0))
    }
    this.waiting.sort((one, other) => one.order - other.order)
    this.over = false
    this.handlers = handlers
    this.pump()
  }

  /** Nobody answers any more, and what has begun is interrupted. Waits for its end. */
  stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.over = true
      this.handlers = undefined
      const fibers = [...this.calls.values(), ...this.messages].flatMap(({ fiber }) => fiber ?? [])
      for (const { id } of this.waiting) this.calls.delete(id)
      this.waiting = []
      this.measure()
      return Fiber.interruptAll(fibers)
    })
  }

  /** Messages that are being dealt with: they have no number. */
  private readonly messages = new Set<Call>()

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
    const handler = handlers.byName.get(call.coder.name)
    const isStream = call.coder._tag === "Stream"
    const fiber = Effect.runForkWith(handlers.context)(this.answer(call, handler))
    // Most are done by now.
    if (fiber.pollUnsafe() !== undefined) return this.done(call)
    call.fiber = fiber
    // A stream goes on beside the others.
    if (!isStream) this.running++
    if (call.id === 0) this.messages.add(call)
    fiber.addObserver(() => {
      if (!isStream) this.running--
      this.messages.delete(call)
      this.done(call)
      this.pump()
    })
  }

  private done(call: Call): void {
    if (this.calls.get(call.id) === call) this.calls.delete(call.id)
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
          meta?.key === undefined || !coder.idempotent
            ? reply
            : this.options.repeats.once(
                { principal: this.options.principal, key: meta.key, name: coder.name, payload },
                reply
              )
        return Effect.flatMap(once, (reply) => this.say(call, { ...reply, id: call.id } as Packet.Packet))
      }
      case "Stream":
        return Tracing.received(coder.name, meta?.trace, this.produce(call, coder, handler))
    }
  }

  /** Elements as there is credit for them. A stream that nobody reads is not pulled. */
  private produce(call: Call, coder: StreamCoder, handler: Handler): Effect.Effect<void> {
    const elements = Effect.scoped(
      Effect.flatMap(
        Effect.suspend(() => Stream.toPull(handler(call.payload) as Stream.Stream<unknown, unknown>)),
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
        const said = this.options.say({ _tag: "Items", id: call.id, elements })
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
      this.calls.has(call.id) && !this.over ? Effect.ignore(this.options.say(packet)) : Effect.void
    )
  }
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
