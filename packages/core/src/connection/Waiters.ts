/**
 * Who waits to send, in order, and whether somebody is sending a message that takes more than a moment.
 */
import * as Effect from "effect/Effect"

interface Waiter {
  readonly go: () => void
  readonly bytes: number
}

export class Waiters {
  private waiting: Array<Waiter> = []
  private taken = false
  /** Bytes of the messages that were left here to be sent. */
  bytes = 0

  get isEmpty(): boolean {
    return this.waiting.length === 0
  }

  /** Somebody is in `alone`: no other message may be sent. */
  get isTaken(): boolean {
    return this.taken
  }

  /**
   * Goes on with `go` when it is its turn. Can be interrupted until then, and has not been there. `hasToWait` is asked
   * once more, as the fiber may have yielded since it was found so, and nobody was there to be woken.
   */
  wait<A, E, R>(hasToWait: () => boolean, go: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.callback((resume) => {
      if (!hasToWait()) return resume(Effect.suspend(() => (hasToWait() ? this.wait(hasToWait, go) : go())))
      const waiter = { go: () => resume(Effect.suspend(go)), bytes: 0 }
      this.waiting.push(waiter)
      return Effect.sync(() => {
        const at = this.waiting.indexOf(waiter)
        if (at >= 0) this.waiting.splice(at, 1)
      })
    })
  }

  /** Leaves something to be done when it is its turn. */
  leave(go: () => void, bytes: number): void {
    this.waiting.push({ go, bytes })
    this.bytes += bytes
  }

  /**
   * Runs an effect while no other message is sent; waits until that is so. `done` is called when the others may go on.
   */
  alone<A, E, R>(effect: Effect.Effect<A, E, R>, done: () => void): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      const run = (): Effect.Effect<A, E, R> => {
        if (this.taken)
          return Effect.flatten(
            restore(
              this.wait(
                () => this.taken,
                () => Effect.succeed(Effect.suspend(run))
              )
            )
          )
        this.taken = true
        return Effect.onExit(restore(effect), () =>
          Effect.sync(() => {
            this.taken = false
            done()
          })
        )
      }
      return Effect.suspend(run)
    })
  }

  /** Lets one after the other go on, each to its end or to where it waits, as long as there are any and they may. */
  wake(mayGo: () => boolean): void {
    while (this.waiting.length > 0 && !this.taken && mayGo()) {
      const { bytes, go } = this.waiting.shift()!
      this.bytes -= bytes
      go()
    }
  }
}
