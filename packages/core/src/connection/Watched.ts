/**
 * A value that changes, and whoever watches it: the state of a client, such as an `EventSource`.
 *
 * Small where a `PubSub` is not: this is part of what a page loads.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"

/** How many values somebody who watches may be behind; the oldest are dropped then. */
export const behind = 16

interface Watcher<A> {
  values: Array<A>
  wake: (() => void) | undefined
}

export class Watched<A> {
  private current: A
  private readonly isLast: (value: A) => boolean
  private readonly watchers = new Set<Watcher<A>>()

  /** `isLast`: behind which values there will be no other. */
  constructor(value: A, isLast: (value: A) => boolean) {
    this.current = value
    this.isLast = isLast
  }

  get value(): A {
    return this.current
  }

  set(value: A): void {
    this.current = value
    for (const watcher of this.watchers) {
      if (watcher.values.push(value) > behind) watcher.values.shift()
      const { wake } = watcher
      watcher.wake = undefined
      wake?.()
    }
  }

  /** The value as it is, and each one after it. Ends behind the last. Who is more than 16 behind misses the oldest. */
  get changes(): Stream.Stream<A> {
    const watch = Effect.acquireRelease(
      Effect.sync(() => {
        const watcher: Watcher<A> = { values: [this.current], wake: undefined }
        this.watchers.add(watcher)
        return watcher
      }),
      (watcher) => Effect.sync(() => this.watchers.delete(watcher))
    )
    return Stream.scoped(Stream.fromPull(Effect.map(watch, (watcher) => this.pullOf(watcher))))
  }

  private pullOf(watcher: Watcher<A>): Pull.Pull<Arr.NonEmptyReadonlyArray<A>> {
    let over = false
    const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>> = Effect.suspend(() => {
      const { values } = watcher
      if (over) return Cause.done()
      if (values.length === 0) return Effect.andThen(waiting, pull)
      watcher.values = []
      over = this.isLast(values.at(-1)!)
      return Effect.succeed(values as unknown as Arr.NonEmptyReadonlyArray<A>)
    })
    const waiting = Effect.callback<void>((resume) => {
      // The fiber may have yielded since it was looked, and nobody was there to be woken.
      if (watcher.values.length > 0) return resume(Effect.void)
      watcher.wake = () => resume(Effect.void)
      return Effect.sync(() => {
        watcher.wake = undefined
      })
    })
    return pull
  }
}
