/**
 * What changes, by key, for somebody who may be slow: of each key no more than one change waits, and that is the sum of
 * those that came. So nothing is lost, and what waits is bounded by what there is.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"

/** Where changes come from. */
export interface Source<Key, Change> {
  readonly keyOf: (change: Change) => Key
  /** What two changes of one key come to, the second behind the first; `undefined` when nothing has changed. */
  readonly sum: (first: Change, second: Change) => Change | undefined
  /** From now on calls `tell` in the turn in which something changes. Gives what would lead to what there is now. */
  readonly open: (tell: (changes: ReadonlyArray<Change>) => void, end: () => void) => ReadonlyArray<Change>
  readonly close: (tell: (changes: ReadonlyArray<Change>) => void) => void
}

/** What there is, then what changes. Ends when `end` is called, behind what came before. */
export const stream = <Key, Change>(source: Source<Key, Change>): Stream.Stream<Change> => {
  const watch = Effect.acquireRelease(
    Effect.sync(() => {
      const watcher = {
        waiting: new Map<Key, Change>(),
        over: false,
        wake: undefined as (() => void) | undefined,
        tell: (changes: ReadonlyArray<Change>) => {
          for (const change of changes) {
            const key = source.keyOf(change)
            const before = watcher.waiting.get(key)
            const sum = before === undefined ? change : source.sum(before, change)
            // Behind the others, so that they come in the order in which they came about.
            watcher.waiting.delete(key)
            if (sum !== undefined) watcher.waiting.set(key, sum)
          }
          watcher.wake?.()
        },
        end: () => {
          watcher.over = true
          watcher.wake?.()
        }
      }
      watcher.tell(source.open(watcher.tell, watcher.end))
      return watcher
    }),
    ({ tell }) => Effect.sync(() => source.close(tell))
  )
  return Stream.scoped(
    Stream.fromPull(
      Effect.map(watch, (watcher) => {
        const isReady = () => watcher.waiting.size > 0 || watcher.over
        const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Change>> = Effect.suspend(() => {
          if (!isReady()) return Effect.andThen(ready, pull)
          if (watcher.waiting.size === 0) return Cause.done()
          const changes = [...watcher.waiting.values()]
          watcher.waiting.clear()
          return Effect.succeed(changes as unknown as Arr.NonEmptyReadonlyArray<Change>)
        })
        const ready = Effect.callback<void>((resume) => {
          // The fiber may have yielded since it was looked, and nobody was there to be woken.
          if (isReady()) return resume(Effect.void)
          watcher.wake = () => {
            if (!isReady()) return
            watcher.wake = undefined
            resume(Effect.void)
          }
          return Effect.sync(() => {
            watcher.wake = undefined
          })
        })
        return pull
      })
    )
  )
}
