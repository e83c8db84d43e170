/**
 * What this end of a session has asked and waits for: requests, and streams with the credit that they were given.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Coder } from "./Coder.ts"
import type { RequestCoder, StreamCoder } from "./Contract.ts"
import * as Packet from "./Packet.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import * as Tracing from "./Tracing.ts"
import { Failed, RequestTimeout, SessionError, Undecodable, Unencodable } from "./SessionError.ts"

/** Says something to the peer. Fails when the session has ended, and with `Unencodable` for what the codec cannot say. */
export type Say = (packet: Packet.Packet) => Effect.Effect<void, SessionError>

/** What came for a question. */
export type Answer = Packet.Ok | Packet.Items | Packet.End | Packet.Err | Packet.Fail

/** What became of an answer. `Late`: nobody waits any more. `Foreign`: nobody has asked. `Overrun`: more than allowed. */
export type Heard = "Taken" | "Late" | "Foreign" | "Overrun"

const fail = (reason: SessionError["reason"]): Exit.Exit<never, SessionError> => Exit.fail(new SessionError({ reason }))

type Settled = Exit.Exit<unknown, unknown>

const errorOf = (coder: Coder<unknown>, name: string, wire: unknown): Exit.Exit<never, unknown> => {
  const error = coder.decode(wire)
  return Result.isSuccess(error) ? Exit.fail(error.success) : fail(new Undecodable({ name, cause: error.failure }))
}

const failed = (answer: Answer, name: string): Exit.Exit<never, SessionError> =>
  answer._tag === "Fail"
    ? fail(new Failed({ name, code: answer.code, detail: answer.detail }))
    : Exit.die(new TypeError(`${answer._tag} is no answer to this`))

/** A request that is waited for. */
class Request {
  /** Whether the peer may know of it. */
  isSaid = false
  private readonly coder: RequestCoder
  private settled: Settled | undefined
  private resume: ((exit: Settled) => void) | undefined

  constructor(coder: RequestCoder) {
    this.coder = coder
  }

  readonly wait: Effect.Effect<unknown, unknown> = Effect.callback<unknown, unknown>((resume) => {
    if (this.settled !== undefined) resume(this.settled)
    else this.resume = resume
  })

  settle(exit: Settled): void {
    this.settled = exit
    this.resume?.(exit)
  }

  /** Whether it may be answered so. */
  check(answer: Answer): "Answer" | "End" | "Foreign" {
    return answer._tag === "Items" || answer._tag === "End" ? "Foreign" : "End"
  }

  receive(answer: Answer): void {
    this.settle(this.exitOf(answer))
  }

  private exitOf(answer: Answer): Settled {
    const { error, name, success } = this.coder
    switch (answer._tag) {
      case "Ok": {
        const value = success.decode(answer.value)
        return Result.isSuccess(value)
          ? Exit.succeed(value.success)
          : fail(new Undecodable({ name, cause: value.failure }))
      }
      case "Err":
        return errorOf(error, name, answer.error)
      default:
        return failed(answer, name)
    }
  }
}

/** A stream that is read. Its elements stay as they came until they are pulled. */
class Reading {
  /** Whether the peer may know of it. */
  isSaid = false
  readonly coder: StreamCoder
  private elements: Array<unknown> = []
  private end: Exit.Exit<never, unknown> | undefined
  private reader: (() => void) | undefined
  /** How many elements the peer may still send. */
  private credit: number

  constructor(coder: StreamCoder, credit: number) {
    this.coder = coder
    this.credit = credit
  }

  grant(credit: number): void {
    this.credit += credit
  }

  get isOver(): boolean {
    return this.end !== undefined
  }

  settle(exit: Exit.Exit<never, unknown>): void {
    this.end ??= exit
    this.wake()
  }

  private wake(): void {
    const { reader } = this
    this.reader = undefined
    reader?.()
  }

  /** Whether it may be answered so. */
  check(answer: Answer): "Answer" | "End" | "Foreign" | "Overrun" {
    switch (answer._tag) {
      case "Items":
        return answer.elements.length > this.credit ? "Overrun" : "Answer"
      case "Ok":
        return "Foreign"
      default:
        return "End"
    }
  }

  receive(answer: Answer): void {
    const { error, name } = this.coder
    switch (answer._tag) {
      case "Items":
        this.credit -= answer.elements.length
        // Behind an element that is none, nothing counts.
        if (this.end !== undefined) return
        for (const element of answer.elements) this.elements.push(element)
        return this.wake()
      case "End":
        return this.settle(Exit.fail(Cause.Done()))
      case "Err":
        return this.settle(errorOf(error, name, answer.error))
      default:
        return this.settle(failed(answer, name))
    }
  }

  /** All that has come, decoded; waits for something. What came before an end is handed out before it. */
  readonly pull: Effect.Effect<Arr.NonEmptyReadonlyArray<unknown>, unknown> = Effect.suspend(() => {
    if (this.elements.length > 0) return this.decoded()
    if (this.end !== undefined) return this.end
    return Effect.andThen(
      Effect.callback<void>((resume) => {
        // The fiber may have yielded since it was looked, and nobody was there to be woken.
        if (this.elements.length > 0 || this.end !== undefined) return resume(Effect.void)
        this.reader = () => resume(Effect.void)
        return Effect.sync(() => {
          this.reader = undefined
        })
      }),
      this.pull
    )
  })

  private decoded(): Effect.Effect<Arr.NonEmptyReadonlyArray<unknown>, unknown> {
    const { elements } = this
    this.elements = []
    const values: Array<unknown> = []
    for (const element of elements) {
      const value = this.coder.element.decode(element)
      if (Result.isFailure(value)) {
        const undecodable = fail(new Undecodable({ name: this.coder.name, cause: value.failure }))
        // What came before it is handed out before it; nothing behind it counts.
        this.end = undecodable
        if (values.length === 0) return undecodable
        break
      }
      values.push(value.success)
    }
    return Effect.succeed(values as unknown as Arr.NonEmptyReadonlyArray<unknown>)
  }
}

/** Options of one question. */
export interface AskOptions {
  readonly timeout: Duration.Input
  readonly key: string | undefined
  readonly trace: string | undefined
}

/** Options of one stream. */
export interface OpenOptions {
  readonly credit: number
  readonly trace: string | undefined
}

const metaOf = ({ key, trace }: { readonly key?: string | undefined; readonly trace: string | undefined }) =>
  key === undefined && trace === undefined ? undefined : { key, trace }

const isCredit = (credit: number): boolean => Number.isSafeInteger(credit) && credit > 0 && credit <= Packet.maxCredit

export class Asking {
  private open: Map<number, Request | Reading> = new Map()
  private lastId = 0
  private readonly say: Say
  private readonly bound: number
  private end: Exit.Exit<never, SessionError> | undefined
  /** How many requests the peer has not answered. */
  private requests = 0
  /** Requests that wait until one of those is answered, the first first. */
  private readonly turns = new Set<() => void>()

  /**
   * `bound`: how many requests may be unanswered at a time. It has to be fewer than those that make the peer stop reading,
   * or else two ends that ask one another would both wait for the other to read.
   */
  constructor(say: Say, bound: number) {
    this.say = say
    this.bound = bound
  }

  /** How many questions are waited for. */
  get size(): number {
    return this.open.size
  }

  receive(answer: Answer): Heard {
    const asked = this.open.get(answer.id)
    if (asked === undefined) return answer.id <= this.lastId ? "Late" : "Foreign"
    const heard = asked.check(answer)
    if (heard === "Foreign" || heard === "Overrun") return heard
    // First, as whoever waits goes on in the call, and has nothing to give up any more.
    if (heard === "End") this.forget(answer.id, asked)
    asked.receive(answer)
    this.takeTurns()
    return "Taken"
  }

  private forget(id: number, asked: Request | Reading): void {
    this.open.delete(id)
    if (asked instanceof Request) this.requests--
  }

  private takeTurns(): void {
    for (const go of this.turns) {
      if (this.requests >= this.bound) return
      this.turns.delete(go)
      go()
    }
  }

  private readonly turn: Effect.Effect<void> = Effect.callback<void>((resume) => {
    // The fiber may have yielded since it was looked, and nobody would wake it.
    if (this.end !== undefined || (this.turns.size === 0 && this.requests < this.bound)) return resume(Effect.void)
    const go = () => resume(Effect.void)
    this.turns.add(go)
    return Effect.sync(() => this.turns.delete(go))
  })

  /** Asks, and waits for the answer. To be interrupted is to cancel it at the other end. */
  request(coder: RequestCoder, payload: unknown, options: AskOptions): Effect.Effect<unknown, unknown> {
    return Effect.suspend(() => {
      if (this.end !== undefined) return this.end
      const wire = coder.payload.encode(payload)
      if (Result.isFailure(wire)) return fail(new Unencodable({ name: coder.name, cause: wire.failure }))
      const asked = Effect.suspend(() => this.ask(coder, wire.success, options))
      const answer = this.turns.size > 0 || this.requests >= this.bound ? Effect.andThen(this.turn, asked) : asked
      const timeout = Duration.toMillis(options.timeout)
      return timeout === Infinity
        ? answer
        : Effect.timeoutOrElse(answer, {
            duration: timeout,
            orElse: () => fail(new RequestTimeout({ name: coder.name, timeout }))
          })
    })
  }

  private ask(coder: RequestCoder, payload: unknown, options: AskOptions): Effect.Effect<unknown, unknown> {
    let id = 0
    const answer = Effect.suspend(() => {
      if (this.end !== undefined) return this.end
      id = ++this.lastId
      const request = new Request(coder)
      this.open.set(id, request)
      this.requests++
      const said = this.said(request, { _tag: "Ask", id, name: coder.name, payload, meta: metaOf(options) })
      return Effect.andThen(said, request.wait)
    })
    return Effect.onExit(answer, () => this.giveUp(id))
  }

  private said(asked: Request | Reading, packet: Packet.Packet): Effect.Effect<void, SessionError> {
    // Before it is: a fiber may yield, and be interrupted, between saying it and noting that it has been said. A question
    // that the peer answers for ever costs more than a cancel of what it never heard of, which it ignores.
    asked.isSaid = true
    return Effect.mapError(this.say(packet), (error) => {
      asked.isSaid = false
      return error
    })
  }

  /**
   * Opens a stream when it is first pulled. To stop reading it is to cancel it at the other end. Dies of a `RangeError`
   * for a credit that is none.
   */
  stream(coder: StreamCoder, payload: unknown, options: OpenOptions): Stream.Stream<unknown, unknown> {
    const reading = Effect.contextWith((context: Context.Context<Scope.Scope>) =>
      this.reading(coder, payload, { credit: options.credit, trace: options.trace ?? Tracing.current(context) })
    )
    return Stream.scoped(Stream.fromPull(reading))
  }

  private reading(
    coder: StreamCoder,
    payload: unknown,
    { credit, ...meta }: OpenOptions
  ): Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<unknown>, unknown>, unknown, Scope.Scope> {
    if (this.end !== undefined) return this.end
    if (!isCredit(credit)) return Effect.die(new RangeError(`a credit of ${credit} elements`))
    const wire = coder.payload.encode(payload)
    if (Result.isFailure(wire)) return fail(new Unencodable({ name: coder.name, cause: wire.failure }))
    const id = ++this.lastId
    const open = Effect.suspend(() => {
      if (this.end !== undefined) return this.end
      const reading = new Reading(coder, credit)
      this.open.set(id, reading)
      const packet = { _tag: "Open", id, name: coder.name, payload: wire.success, credit, meta: metaOf(meta) } as const
      return Effect.as(this.said(reading, packet), this.pullOf(id, reading, credit))
    })
    return Effect.andThen(
      Effect.addFinalizer(() => this.giveUp(id)),
      open
    )
  }

  private pullOf(id: number, reading: Reading, credit: number): Pull.Pull<Arr.NonEmptyReadonlyArray<unknown>, unknown> {
    // Handed out and dealt with, as somebody pulls again: the peer may send as many more.
    let handedOut = 0
    const pulled = Effect.map(reading.pull, (elements) => {
      handedOut += elements.length
      return elements
    })
    return Effect.suspend(() => {
      const dealtWith = handedOut
      if (dealtWith * 2 < credit || reading.isOver) return pulled
      handedOut = 0
      reading.grant(dealtWith)
      // When nothing can be said any more, what has come is read to its end all the same.
      return Effect.andThen(Effect.ignore(this.say({ _tag: "More", id, credit: dealtWith })), pulled)
    })
  }

  /**
   * Tells the peer that nobody waits any more, if it does not know. Does not wait for that: who is interrupted while the
   * outbox is full goes on at once.
   */
  private giveUp(id: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const asked = this.open.get(id)
      if (asked === undefined) return Effect.void
      this.forget(id, asked)
      const told =
        asked.isSaid && this.end === undefined
          ? Effect.forkDetach(Effect.ignore(this.say({ _tag: "Cancel", id })), { startImmediately: true })
          : Effect.void
      return Effect.map(told, () => this.takeTurns())
    })
  }

  /** Nothing will be answered any more. */
  ended(end: SessionEnd): void {
    this.end = end.forCalls
    const { open } = this
    this.open = new Map()
    this.requests = 0
    for (const asked of open.values()) asked.settle(end.forCalls)
    this.takeTurns()
  }
}
