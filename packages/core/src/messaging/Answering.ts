/**
 * What the peer has asked and this end answers: handlers as effects, in order or as many at a time as was said.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Waiters } from "../connection/Waiters.ts"
import type { Say } from "./Asking.ts"
import { type Backlog, type Bound, isReached } from "./Backlog.ts"
import { Call } from "./Call.ts"
import * as Coder from "./Coder.ts"
import type { Coders, MessageCoder, RequestCoder, StreamCoder } from "./Contract.ts"
import type { Early } from "./Hearing.ts"
import type * as Packet from "./Packet.ts"
import * as Repeats from "./Repeats.ts"
import * as Replying from "./Replying.ts"
import * as Tracing from "./Tracing.ts"

/** Who answers, from when on. */
export interface Handlers {
  readonly byName: ReadonlyMap<string, Replying.Handler>
  /** How many messages and requests at a time. 1: each waits for the one before it. */
  readonly concurrency: number
  readonly context: Context.Context<never>
}

/** Nothing of a contract. */
const refused: MessageCoder = { _tag: "Message", name: "", payload: Coder.nothing as Coder.Coder<unknown> }

const nobody: Handlers = { byName: new Map(), concurrency: Infinity, context: Context.empty() }

/** Where answers go. */
export interface Options {
  readonly say: Say
  readonly backlog: Backlog
  /**
   * What messages and requests may wait or be answered before no more is read, and what streams there may be before
   * another is refused. Those do not make the peer wait: it has to be heard for them to go on.
   */
  readonly bound: Bound
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
  /** What all but the streams take, and what those take. */
  private bytes = 0
  private streamBytes = 0
  private full = false
  private pumping = false
  private handlers: Handlers | undefined
  private over = false
  private idlers: Array<() => void> = []

  private readonly turns = new Waiters()

  constructor(options: Options) {
    this.options = options
  }

  private readonly alone: Replying.Alone = (effect) => this.turns.alone(effect, () => this.turns.wake(() => true))

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
    this.add(new Call(order, 0, coder, payload, meta, this.options.backlog.bytes))
    return true
  }

  request(order: number, packet: Packet.Ask, coder: RequestCoder, payload: unknown): void {
    const { id, meta, name } = packet
    const call = new Call(order, id, coder, payload, meta, this.options.backlog.bytes)
    if (coder.idempotent && meta?.key !== undefined) call.digest = Repeats.digestOf(name, packet.payload)
    this.calls.set(id, call)
    this.add(call)
  }

  stream(order: number, { credit, id, meta }: Packet.Open, coder: StreamCoder, payload: unknown): void {
    if (isReached(this.options.bound, this.streams, this.streamBytes)) {
      return this.refuse(order, { _tag: "Fail", id, code: "unavailable", detail: "too many streams are open" })
    }
    const call = new Call(order, id, coder, payload, meta, this.options.backlog.bytes)
    call.credit = credit
    this.calls.set(id, call)
    this.add(call)
  }

  /** A question that nobody is asked. Needs no handlers, and makes the peer wait when it does not read the refusals. */
  refuse(order: number, refusal: Packet.Fail): void {
    const call = new Call(order, refusal.id, refused, undefined, undefined, 0)
    call.refusal = refusal
    this.calls.set(call.id, call)
    this.start(call, nobody)
    this.measure()
  }

  /** What is known of `id`, which has been answered or never asked, is nothing to be upset about. */
  cancel(id: number): void {
    const call = this.calls.get(id)
    if (call === undefined) return
    this.calls.delete(id)
    if (call.hands > 0) return call.interrupt()
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

  private count({ bytes, coder, refusal }: Call, by: 1 | -1): void {
    if (refusal !== undefined) return
    if (coder._tag === "Message") this.messages += by
    if (coder._tag === "Stream") {
      this.streams += by
      this.streamBytes += by * bytes
    } else this.bytes += by * bytes
  }

  private measure(): void {
    const full = isReached(this.options.bound, this.size, this.bytes)
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
      for (const { bytes, order, value } of early(name)) {
        const call = new Call(order, 0, coder, value, undefined, bytes)
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
          // The fiber may have yielded since it was looked.
          if (this.messages === 0) return resume(Effect.void)
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

  private answer(call: Call, handler: Replying.Handler | undefined): Effect.Effect<void> {
    const { coder, id, meta, payload, refusal } = call
    if (refusal !== undefined) return this.say(call, refusal)
    if (handler === undefined) return this.fail(call, "unavailable", "nobody answers this here")
    switch (coder._tag) {
      case "Message":
        return Tracing.received(coder.name, meta?.trace, Replying.deal(coder.name, handler, payload))
      case "Request": {
        const reply = Tracing.received(coder.name, meta?.trace, Replying.reply(coder, handler, payload))
        const once =
          call.digest === undefined || meta?.key === undefined
            ? reply
            : this.options.repeats.once(
                { principal: this.options.principal, key: meta.key, digest: call.digest },
                this.kept(call, reply)
              )
        return Effect.flatMap(once, (reply) => this.say(call, { ...reply, id }))
      }
      case "Stream": {
        const produced = Replying.produce(call, coder, handler, this.options.say, this.alone)
        return Effect.flatMap(Tracing.received(coder.name, meta?.trace, produced), (end) =>
          this.say(call, { ...end, id })
        )
      }
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

  private fail(call: Call, code: Packet.FailCode, detail: string): Effect.Effect<void> {
    return call.id === 0 ? Effect.void : this.say(call, { _tag: "Fail", id: call.id, code, detail })
  }

  /** To a peer that still waits. That the session has ended, who asked knows. */
  private say(call: Call, packet: Packet.Packet): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.calls.get(call.id) === call && !this.over
        ? Effect.catch(this.options.say(packet), (error) =>
            error.reason._tag === "Unencodable"
              ? Effect.andThen(Replying.logged(call.coder.name, Cause.fail(error)), this.fail(call, "defect", ""))
              : Effect.void
          )
        : Effect.void
    )
  }
}

/** Waits for all that have a fiber: what has none yet is asking for it. */
const interruptAll = (calls: ReadonlyArray<Call>): Effect.Effect<void> => {
  for (const call of calls) call.isCancelled = true
  return Fiber.interruptAll(calls.flatMap(({ fiber }) => fiber ?? []))
}
