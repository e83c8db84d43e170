/**
 * What was read and waits for the program, in several places, each with a bound: the reader goes on when all of them
 * have room. So a slow program slows the peer, and nothing is lost.
 */
import * as Effect from "effect/Effect"

/** How many may wait in one place, and how much. What reaches it is taken whole, and nothing more. */
export interface Bound {
  readonly count: number
  readonly bytes: number
}

export const isReached = (bound: Bound, count: number, bytes: number): boolean =>
  count >= bound.count || bytes >= bound.bytes

export class Backlog {
  /** How many packets have come, which tells what came before what. */
  arrived = 0
  /** What the last of them takes, in bytes. */
  bytes = 0
  private over = 0
  private reader: (() => void) | undefined

  /** Suspends the one who reads, as long as there is a place without room. */
  readonly room: Effect.Effect<void> = Effect.suspend(() =>
    this.over === 0
      ? Effect.void
      : Effect.callback<void>((resume) => {
          // The fiber may have yielded since it was looked, and nobody was there to be woken.
          if (this.over === 0) return resume(Effect.void)
          this.reader = () => resume(Effect.void)
          return Effect.sync(() => {
            this.reader = undefined
          })
        })
  )

  get isFull(): boolean {
    return this.over > 0
  }

  /** A place is at its bound. */
  filled(): void {
    this.over++
  }

  /** A place has room again, or is given up. */
  emptied(): void {
    if (--this.over > 0) return
    const { reader } = this
    this.reader = undefined
    reader?.()
  }
}

/** One such place: first in, first out, for one fiber that takes all that is there. */
export class Shelf<A> {
  private items: Array<A> = []
  private bytes = 0
  private taker: (() => void) | undefined
  /** Somebody was to be woken who did not wait yet: a fiber may yield between looking and waiting. */
  private woken = false
  private full = false
  private readonly backlog: Backlog
  private readonly bound: Bound

  constructor(backlog: Backlog, bound: Bound) {
    this.backlog = backlog
    this.bound = bound
  }

  get length(): number {
    return this.items.length
  }

  put(item: A, bytes: number): void {
    this.items.push(item)
    this.bytes += bytes
    if (!this.full && isReached(this.bound, this.items.length, this.bytes)) {
      this.full = true
      this.backlog.filled()
    }
    this.wake()
  }

  /** All that is there; none when it is empty. */
  takeAll(): ReadonlyArray<A> {
    const { items } = this
    this.items = []
    this.bytes = 0
    if (this.full) {
      this.full = false
      this.backlog.emptied()
    }
    return items
  }

  /** Waits until somebody calls `put` or `wake`. */
  readonly something: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const { woken } = this
    this.woken = false
    if (woken) return resume(Effect.void)
    this.taker = () => resume(Effect.void)
    return Effect.sync(() => {
      this.taker = undefined
    })
  })

  wake(): void {
    const { taker } = this
    this.taker = undefined
    if (taker === undefined) this.woken = true
    else taker()
  }
}
