/**
 * What this end of a session has asked and waits for: requests, and streams with the credit that they were given.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Coder } from "./Coder.ts"
import type { RequestCoder, StreamCoder } from "./Contract.ts"
import type * as Packet from "./Packet.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import { Failed, RequestTimeout, SessionError, Undecodable, Unencodable } from "./SessionError.ts"

/** Says something to the peer. Fails when the session has ended; dies of what the codec cannot say. */
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

/** A request that is waited for. */
class Request {
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

  /** `undefined` when this is no answer to a request. */
  private exitOf(answer: Answer): Settled | undefined {
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
      case "Fail":
        return fail(new Failed({ name, code: answer.code, detail: answer.detail }))
      default:
        return undefined
    }
  }

  /** Whether it is over. */
  receive(answer: Answer): boolean | "Foreign" {
    const exit = this.exitOf(answer)
    if (exit === undefined) return "Foreign"
    this.settle(exit)
    return true
  }
}

/** A stream that is read. Its elements stay as they came until they are pulled. */
class Reading {
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

  receive(answer: Answer): boolean | "Foreign" | "Overrun" {
    const { error, name } = this.coder
    switch (answer._tag) {
      case "Items":
        if (answer.elements.length > this.credit) return "Overrun"
        this.credit -= answer.elements.length
        for (const element of answer.elements) this.elements.push(element)
        this.wake()
        return false
      case "End":
        this.settle(Exit.fail(Cause.Done()))
        return true
      case "Err":
        this.settle(errorOf(error, name, answer.error))
        return true
      case "Fail":
        this.settle(fail(new Failed({ name, code: answer.code, detail: answer.detail })))
        return true
      case "Ok":
        return "Foreign"
    }
  }

  /** All that has come, decoded; waits for something. What came before an end is handed out before it. */
  readonly pull: Effect.Effect<Arr.NonEmptyReadonlyArray<unknown>, unknown> = Effect.suspend(() => {
    if (this.elements.length > 0) return this.decoded()
    if (this.end !== undefined) return this.end
    return Effect.andThen(
      Effect.callback<void>((resume) => {
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

export class Asking {
  private open: Map<number, Request | Reading> = new Map()
  private lastId = 0
  private readonly say: Say
  private end: Exit.Exit<never, SessionError> | undefined

  constructor(say: Say) {
    this.say = say
  }

  /** How many questions are waited for. */
  get size(): number {
    return this.open.size
  }

  receive(answer: Answer): Heard {
    const asked = this.open.get(answer.id)
    if (asked === undefined) return answer.id <= this.lastId ? "Late" : "Foreign"
    const over = asked.receive(answer)
    if (typeof over === "string") return over
    if (over) this.open.delete(answer.id)
    return "Taken"
  }

  /** Asks, and waits for the answer. To be interrupted is to cancel it at the other end. */
  request(coder: RequestCoder, payload: unknown, options: AskOptions): Effect.Effect<unknown, unknown> {
    return Effect.suspend(() => {
      if (this.end !== undefined) return this.end
      const wire = coder.payload.encode(payload)
      if (Result.isFailure(wire)) return fail(new Unencodable({ name: coder.name, cause: wire.failure }))
      const id = ++this.lastId
      const request = new Request(coder)
      this.open.set(id, request)
      const ask: Packet.Ask = { _tag: "Ask", id, name: coder.name, payload: wire.success, meta: metaOf(options) }
      const answer = Effect.andThen(this.say(ask), request.wait)
      const timeout = Duration.toMillis(options.timeout)
      return Effect.onExit(
        timeout === Infinity
          ? answer
          : Effect.timeoutOrElse(answer, {
              duration: timeout,
              orElse: () => fail(new RequestTimeout({ name: coder.name, timeout }))
            }),
        () => this.giveUp(id)
      )
    })
  }

  /** Opens a stream when it is first pulled. To stop reading it is to cancel it at the other end. */
  stream(coder: StreamCoder, payload: unknown, options: OpenOptions): Stream.Stream<unknown, unknown> {
    return Stream.scoped(Stream.fromPull(Effect.suspend(() => this.reading(coder, payload, options))))
  }

  private reading(
    coder: StreamCoder,
    payload: unknown,
    options: OpenOptions
  ): Effect.Effect<Pull.Pull<Arr.NonEmptyReadonlyArray<unknown>, unknown>, unknown, Scope.Scope> {
    if (this.end !== undefined) return this.end
    const wire = coder.payload.encode(payload)
    if (Result.isFailure(wire)) return fail(new Unencodable({ name: coder.name, cause: wire.failure }))
    const { credit } = options
    const id = ++this.lastId
    const reading = new Reading(coder, credit)
    const open: Packet.Open = {
      _tag: "Open",
      id,
      name: coder.name,
      payload: wire.success,
      credit,
      meta: metaOf(options)
    }
    // Handed out and dealt with, as somebody pulls again: the peer may send as many more.
    let handedOut = 0
    const pull = Effect.suspend(() => {
      const dealtWith = handedOut
      if (dealtWith * 2 < credit || reading.isOver) return pulled
      handedOut = 0
      reading.grant(dealtWith)
      return Effect.andThen(this.say({ _tag: "More", id, credit: dealtWith }), pulled)
    })
    const pulled = Effect.map(reading.pull, (elements) => {
      handedOut += elements.length
      return elements
    })
    return Effect.as(
      Effect.acquireRelease(
        Effect.suspend(() => {
          this.open.set(id, reading)
          return this.say(open)
        }),
        () => this.giveUp(id)
      ),
      pull
    )
  }

  /** Tells the peer that nobody waits any more, if it does not know. */
  private giveUp(id: number): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.open.delete(id) && this.end === undefined ? Effect.ignore(this.say({ _tag: "Cancel", id })) : Effect.void
    )
  }

  /** Nothing will be answered any more. */
  ended(end: SessionEnd): void {
    this.end = end.forCalls
    const { open } = this
    this.open = new Map()
    for (const asked of open.values()) asked.settle(end.forCalls)
  }
}
