/**
 * What is to be written, in order: one transaction at a time, with all that has come up since the last.
 */
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Done } from "./Database.ts"
import type * as Owner from "./Owner.ts"

type Body = (transaction: IDBTransaction) => void

interface Waiting {
  readonly body: Body
  readonly done: Done
}

/** What need not be written at once is, after so many milliseconds, or with what has to be. */
const leisure = 200

export class Writes {
  private readonly write: Owner.Write
  private waiting: Array<Waiting> = []
  private late: Waiting | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private isBusy = false

  constructor(write: Owner.Write) {
    this.write = write
  }

  put(body: Body, done: Done): void {
    this.waiting.push({ body, done })
    this.next()
  }

  /** Succeeds when it is written. Interrupting it takes back what has not begun. */
  written(body: Body): Effect.Effect<void, StoreUnavailable> {
    return Effect.callback((resume) => {
      const waiting: Waiting = {
        body,
        done: (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure))
      }
      this.waiting.push(waiting)
      this.next()
      return Effect.sync(() => {
        this.waiting = this.waiting.filter((other) => other !== waiting)
      })
    })
  }

  /** At leisure: one at a time, which may become more until then. */
  soon(body: Body, done: Done): void {
    this.late = { body, done }
    this.timer ??= setTimeout(() => this.flush(), leisure)
  }

  /** All that is to be written, begun in this very call: what begins later comes behind it. */
  flush(): void {
    const batch = this.taken()
    if (batch.length > 0) this.commit(batch)
  }

  private next(): void {
    if (this.isBusy || this.waiting.length === 0) return
    this.isBusy = true
    this.commit(this.taken(), () => {
      this.isBusy = false
      this.next()
    })
  }

  private taken(): ReadonlyArray<Waiting> {
    clearTimeout(this.timer)
    this.timer = undefined
    const batch = this.late === undefined ? this.waiting : [...this.waiting, this.late]
    this.waiting = []
    this.late = undefined
    return batch
  }

  /** In one transaction. What has no room with the others may have some without them, such as a removal. */
  private commit(batch: ReadonlyArray<Waiting>, settled?: () => void): void {
    this.write(
      (transaction) => {
        for (const { body } of batch) body(transaction)
      },
      (failure) => {
        if (failure === undefined || batch.length === 1) for (const { done } of batch) done(failure)
        else for (const one of batch) this.commit([one])
        settled?.()
      }
    )
  }

  /** Waits for all that is to be written. */
  readonly settled: Effect.Effect<void> = Effect.callback((resume) => {
    this.waiting.push({ body: () => {}, done: () => resume(Effect.void) })
    this.flush()
  })
}

/** For as long as the scope. What is to be written is, before it ends; and before its page goes, which waits for nothing. */
export const make = (write: Owner.Write): Effect.Effect<Writes, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const writes = new Writes(write)
      const listening = new AbortController()
      for (const event of ["pagehide", "visibilitychange"]) {
        globalThis.addEventListener?.(event, () => writes.flush(), { signal: listening.signal })
      }
      return { writes, listening }
    }),
    ({ listening, writes }) => {
      listening.abort()
      return writes.settled
    }
  ).pipe(Effect.map(({ writes }) => writes))
