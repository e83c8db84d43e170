/**
 * Where those wait who want something of a client of the hub: each until it may go on, and all of them no longer than
 * until the client has its end.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { HubClientError } from "./HubClientError.ts"

/** Where somebody waits. */
export interface Seat {
  /** Called when it may be worth another look; `undefined` while nobody waits. */
  waiter: (() => void) | undefined
}

export class HubSeats {
  /** Everybody who waits for something, to be told of the end. */
  private readonly taken = new Set<Seat>()
  private last: Exit.Exit<never, HubClientError> | undefined

  /** `undefined` as long as the client lives. */
  get end(): Exit.Exit<never, HubClientError> | undefined {
    return this.last
  }

  /** Nobody sits down any more. Who waits learns of it when what comes back is called. */
  close(end: Exit.Exit<never, HubClientError>): () => void {
    this.last = end
    return () => {
      for (const seat of this.taken) seat.waiter?.()
    }
  }

  /** Does something when it may be done, or fails with the end of the client. */
  until<A, E>(mayGo: () => boolean, go: () => Effect.Effect<A, E>, seat: Seat): Effect.Effect<A, E | HubClientError> {
    return Effect.suspend((): Effect.Effect<A, E | HubClientError> => {
      if (mayGo()) return go()
      if (this.last !== undefined) return this.last
      return Effect.andThen(this.wait(mayGo, seat), this.until(mayGo, go, seat))
    })
  }

  /** Until the seat is woken or there is the end; not at all where it may go on. */
  wait(mayGo: () => boolean, seat: Seat): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      // The fiber may have yielded since it was looked, and nobody was there to be woken.
      if (mayGo() || this.last !== undefined) return resume(Effect.void)
      const leave = () => {
        seat.waiter = undefined
        this.taken.delete(seat)
      }
      seat.waiter = () => {
        leave()
        resume(Effect.void)
      }
      this.taken.add(seat)
      return Effect.sync(leave)
    })
  }
}
