/**
 * What a node publishes, on its way to a server: in the order of the calls, with a bound on what is under way, and again
 * with the same key when the link broke before there was an answer.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Receipt } from "./Broker.ts"
import { BrokerError, Unavailable } from "./BrokerError.ts"
import { type EngineLink, errorOf, silent, unavailable } from "./EngineLink.ts"
import type { Key } from "./Parcel.ts"
import { maxSequences } from "./Producers.ts"

/** How much may be under way. What is over it waits. */
export interface Bounds {
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
  /** Of those that are under way or wait, with what each of them takes beside; one may be over it alone. */
  readonly maxQueuedBytes: number
  /** In milliseconds, from when the link broke. */
  readonly publishTimeout: number
}

export interface Publication {
  readonly topic: string
  readonly bytes: Uint8Array
  readonly key: Key
  /** The key was made here: nobody else knows it, and a repeat is one of ours. */
  readonly isOwn: boolean
}

/** What a publication that waits takes beside its bytes, about. */
const overhead = 1_024

type Answer = Effect.Success<ReturnType<EngineLink["link"]["append"]>>

interface Pending {
  readonly publication: Publication
  /** `undefined` when nobody waits any more. */
  settle: ((receipt: Effect.Effect<Receipt, BrokerError>) => void) | undefined
  /** It has its answer, or is not to be sent. */
  isDone: boolean
  /** It may be in the log. */
  wasSent: boolean
  /** Under way since, in milliseconds. */
  sentAt: number
  /** When the link broke first, in milliseconds. */
  brokeAt: number | undefined
  fiber: Fiber.Fiber<Answer, BrokerError> | undefined
}

export class EngineOutbox {
  private readonly bounds: Bounds
  private readonly clock: Clock.Clock
  private readonly context: Context.Context<never>
  private link: EngineLink | undefined
  private queue: Array<Pending> = []
  /** Those before it are done and gone. */
  private first = 0
  /** Those from it on are not under way. */
  private next = 0
  private bytes = 0
  private queued = 0
  private pumping = false

  constructor(bounds: Bounds, clock: Clock.Clock, context: Context.Context<never>) {
    // Of a producer, so many repeats are told apart.
    this.bounds = { ...bounds, maxInFlight: Math.max(1, Math.min(bounds.maxInFlight, maxSequences)) }
    this.clock = clock
    this.context = context
  }

  /** Bytes that are under way. */
  get inFlight(): number {
    return this.bytes
  }

  /** How many have no answer yet, those that wait included. */
  get size(): number {
    return this.queue.length - this.first
  }

  /** Since when the oldest that is under way is so, in milliseconds. */
  get oldest(): number | undefined {
    return this.next > this.first ? this.queue[this.first]!.sentAt : undefined
  }

  publish(publication: Publication): Effect.Effect<Receipt, BrokerError> {
    return Effect.callback((resume) => {
      const takes = publication.bytes.length + overhead
      if (this.queued > 0 && this.queued + takes > this.bounds.maxQueuedBytes) {
        return resume(Effect.fail(unavailable(new Error("more publications wait for it than may"))))
      }
      this.queued += takes
      const pending: Pending = {
        publication,
        settle: resume,
        isDone: false,
        wasSent: false,
        sentAt: 0,
        brokeAt: undefined,
        fiber: undefined
      }
      this.queue.push(pending)
      this.pump()
      return Effect.sync(() => {
        pending.settle = undefined
        // What is under way stays so: its place among the others is taken.
        if (pending.fiber === undefined) this.done(pending)
      })
    })
  }

  /** There is a link again. What was on its way when the last one broke goes first. */
  open(link: EngineLink): void {
    this.link = link
    this.pump()
  }

  /** What was on its way may be there, and the server that knows is gone: nobody can send it again and be sure. */
  forget(cause: unknown): void {
    for (const pending of this.queue.slice(this.first)) if (pending.wasSent) this.fail(pending, cause)
  }

  /** The link is gone. */
  broken(): void {
    this.link = undefined
    const now = this.clock.currentTimeMillisUnsafe()
    this.next = this.first
    this.bytes = 0
    for (const pending of this.queue.slice(this.first)) {
      const { fiber } = pending
      pending.fiber = undefined
      pending.brokeAt ??= now
      fiber?.interruptUnsafe()
      // Nobody waits for it, and so nobody sends it again.
      if (pending.settle === undefined) this.done(pending)
    }
  }

  /** Lets those go whose link broke too long ago. */
  expire(cause: unknown): void {
    const before = this.clock.currentTimeMillisUnsafe() - this.bounds.publishTimeout
    for (const pending of this.queue.slice(this.first)) {
      if (pending.brokeAt === undefined || pending.brokeAt > before) return
      this.fail(pending, cause)
    }
  }

  /** Lets all go. */
  close(cause: unknown): void {
    this.broken()
    for (const pending of this.queue.slice(this.first)) this.fail(pending, cause)
  }

  /** What is under way stays so, for its place. */
  private fail(pending: Pending, cause: unknown): void {
    const outcome = pending.wasSent ? "Unknown" : "NotPublished"
    this.settle(pending, Effect.fail(new BrokerError({ reason: new Unavailable({ outcome, cause }) })))
    if (pending.fiber === undefined) this.done(pending)
  }

  private settle(pending: Pending, receipt: Effect.Effect<Receipt, BrokerError>): void {
    const { settle } = pending
    pending.settle = undefined
    settle?.(receipt)
  }

  private done(pending: Pending): void {
    if (!pending.isDone) this.queued -= pending.publication.bytes.length + overhead
    pending.isDone = true
    while (this.queue[this.first]?.isDone === true) this.first++
    this.next = Math.max(this.next, this.first)
    if (this.first > 32 && this.first * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.first)
      this.next -= this.first
      this.first = 0
    }
    this.pump()
  }

  private mayGo({ publication: { bytes } }: Pending): boolean {
    if (this.next === this.first) return true
    return this.next - this.first < this.bounds.maxInFlight && this.bytes + bytes.length <= this.bounds.maxInFlightBytes
  }

  /** Whoever is woken by an answer may publish, or the answer may come at once. */
  private pump(): void {
    if (this.pumping) return
    this.pumping = true
    for (let link = this.link; link !== undefined; link = this.link) {
      const pending = this.queue[this.next]
      if (pending === undefined || !(pending.isDone || this.mayGo(pending))) break
      this.next++
      if (!pending.isDone) this.send(link, pending)
    }
    this.pumping = false
  }

  private send(link: EngineLink, pending: Pending): void {
    const { bytes, key, topic } = pending.publication
    pending.wasSent = true
    pending.sentAt = this.clock.currentTimeMillisUnsafe()
    this.bytes += bytes.length
    const fiber = Effect.runForkWith(this.context)(link.link.append(topic, bytes, key))
    pending.fiber = fiber
    fiber.addObserver((exit) => {
      // Of a link that broke meanwhile.
      if (pending.fiber !== fiber) return
      this.answered(link, pending, exit)
    })
  }

  private answered(link: EngineLink, pending: Pending, exit: Exit.Exit<Answer, BrokerError>): void {
    const { bytes, isOwn } = pending.publication
    if (Exit.isSuccess(exit)) {
      const { position, repeated } = exit.value
      link.news = true
      this.settle(pending, Effect.succeed({ position, repeated: repeated && !isOwn }))
    } else {
      const error = errorOf(exit)
      const { reason } = error
      // It is sent again over the next link, which is opened now.
      if (reason._tag === "Unavailable") return link.lose(error)
      if (reason._tag === "StaleKey" && isOwn) {
        const unknown = new Unavailable({ outcome: "Unknown", cause: reason })
        this.settle(pending, Effect.fail(new BrokerError({ reason: unknown })))
      } else this.settle(pending, Effect.fail(error))
    }
    pending.fiber = undefined
    this.bytes -= bytes.length
    this.done(pending)
  }

  /** Ends the link when the oldest that is under way is so for too long. Gives how long that is off, in milliseconds. */
  watch(link: EngineLink): number {
    const { oldest } = this
    if (oldest === undefined) return link.callTimeout
    const left = oldest + link.callTimeout - this.clock.currentTimeMillisUnsafe()
    if (left <= 0) link.lose(silent(link.callTimeout))
    return left
  }
}
