/**
 * Something to be done for the peer.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { MessageCoder, RequestCoder, StreamCoder } from "./Contract.ts"
import * as Packet from "./Packet.ts"

/** A message, a request or a stream that has come. A message has the number 0. */
export class Call {
  /** When it came, among all that the peer has said. */
  readonly order: number
  readonly id: number
  readonly coder: MessageCoder | RequestCoder | StreamCoder
  readonly payload: unknown
  readonly meta: Packet.Meta | undefined
  /** What it takes. */
  readonly bytes: number
  /** What is said instead of asking anybody. */
  refusal: Packet.Fail | undefined
  /** Of a question that may be asked again: see `Repeats`. */
  digest: string | undefined
  fiber: Fiber.Fiber<void> | undefined
  /** Whether it is to be interrupted as soon as there is a fiber. */
  isCancelled = false
  /** How many fibers are at it. */
  hands = 0
  /** How many elements may be sent. */
  credit = 0
  private producer: (() => void) | undefined

  constructor(
    order: number,
    id: number,
    coder: Call["coder"],
    payload: unknown,
    meta: Packet.Meta | undefined,
    bytes: number
  ) {
    this.order = order
    this.id = id
    this.coder = coder
    this.payload = payload
    this.meta = meta
    this.bytes = bytes
  }

  grant(credit: number): void {
    this.credit = Math.min(this.credit + credit, Packet.maxCredit)
    const { producer } = this
    this.producer = undefined
    producer?.()
  }

  /** Waits until something may be sent. */
  get allowed(): Effect.Effect<void> {
    if (this.credit > 0) return Effect.void
    return Effect.callback<void>((resume) => {
      // The fiber may have yielded since it was looked, and nobody was there to be woken.
      if (this.credit > 0) return resume(Effect.void)
      this.producer = () => resume(Effect.void)
      return Effect.sync(() => {
        this.producer = undefined
      })
    })
  }

  interrupt(): void {
    this.isCancelled = true
    this.fiber?.interruptUnsafe()
  }
}
