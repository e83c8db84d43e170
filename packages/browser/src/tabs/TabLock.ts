/**
 * Locks of the platform (W3C Web Locks): one is held as long as whoever holds it lives, so that others can wait for its
 * death, which no other way tells them of: a page that crashes says nothing. It is also whose a store is.
 *
 * Needs a secure context. A page that holds one, or waits for one, is not kept for "back" by browsers.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** The platform has no locks, or none for this page: the context is not secure, or its storage is forbidden. */
export class LocksMissing extends Data.TaggedError("LocksMissing")<{ readonly cause: unknown }> {
  override get message(): string {
    return "this page has no locks"
  }
}

/** Whether there are any, as far as can be told without asking for one. */
export const areThere = (): boolean => globalThis.navigator?.locks !== undefined

const request = (name: string, mode: LockMode): Effect.Effect<() => void, LocksMissing, Scope.Scope> =>
  Effect.suspend(() => {
    const aborting = new AbortController()
    let release: (() => void) | undefined
    const held = new Promise<void>((resolve) => (release = resolve))
    const letGo = () => {
      aborting.abort()
      release?.()
    }
    // Before it is asked for, so that nothing can come in between.
    const lettingGo = Effect.addFinalizer(() => Effect.sync(letGo))
    const granted = Effect.callback<() => void, LocksMissing>((resume) => {
      if (!areThere()) return resume(Effect.fail(new LocksMissing({ cause: undefined })))
      const { signal } = aborting
      const hold = () => {
        resume(Effect.succeed(letGo))
        return held
      }
      const refused = (cause: unknown) => resume(Effect.fail(new LocksMissing({ cause })))
      void navigator.locks.request(name, { mode, signal }, hold).catch(refused)
      // Who does not wait any more is not to have it in the end: the scope may live on.
      return Effect.sync(letGo)
    })
    return Effect.andThen(lettingGo, granted)
  })

/** Holds it until the scope closes, or until what it gives is called. Suspends until nobody else does. */
export const hold = (name: string): Effect.Effect<() => void, LocksMissing, Scope.Scope> => request(name, "exclusive")

/** Suspends until nobody holds it, which it is as well before anybody does. */
export const released = (name: string): Effect.Effect<void, LocksMissing> =>
  Effect.asVoid(Effect.scoped(request(name, "shared")))
