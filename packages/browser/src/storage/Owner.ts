/**
 * Who may write to a database: one at a time. By a lock of the platform's (Web Locks API) where it has them, which ends
 * with its page, however that ends. Else by a lease, a record in the database that its owner renews: who sees it unchanged
 * for 3 s takes over, and who was taken over can write no more, as each transaction looks. No clocks are compared.
 */
import { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as TabLock from "../tabs/TabLock.ts"
import type { Database, Done } from "./Database.ts"
import { unavailable } from "./Database.ts"

/** The store of leases in a database. */
export const layout = (database: IDBDatabase): void => {
  database.createObjectStore("owner")
}

/** Writes as the owner: in one transaction, which is begun in this very call. */
export type Write = (body: (transaction: IDBTransaction) => void, done: Done) => void

const inUse = () => new StoreUnavailable({ inUse: true, cause: undefined })

/** How often a lease is renewed, and how long it holds without: in milliseconds. */
const beat = 1_000
const expiry = 3_000

/** A page that is loaded again may be there before its lock is free: in milliseconds. */
const least = 100

const lock = (database: Database, name: string, wait: number): Effect.Effect<Write, StoreUnavailable, Scope.Scope> => {
  const locked = Effect.mapError(TabLock.hold(name), ({ cause }) => unavailable(cause))
  const inTime =
    wait === Infinity
      ? locked
      : Effect.timeoutOrElse(locked, { duration: Math.max(wait, least), orElse: () => Effect.fail(inUse()) })
  const write: Write = (body, done) =>
    database.transact(
      "readwrite",
      (transaction) => {
        body(transaction)
        // Without it, a page that goes now would take it back.
        transaction.commit()
      },
      done
    )
  return Effect.as(inTime, write)
}

interface Lease {
  readonly owner: string
  readonly beat: number
}

const store = (transaction: IDBTransaction): IDBObjectStore => transaction.objectStore("owner")

const lease = (database: Database, wait: number): Effect.Effect<Write, StoreUnavailable, Scope.Scope> => {
  const owner = crypto.getRandomValues(new Uint32Array(4)).join("-")
  let beats = 0
  const renew = (transaction: IDBTransaction) => store(transaction).put({ owner, beat: ++beats } satisfies Lease, 0)

  const write: Write = (body, done) => {
    let isLost = false
    const ended: Done = (failure) => {
      if (isLost) database.lose(inUse())
      done(isLost ? inUse() : failure)
    }
    database.transact(
      "readwrite",
      (transaction) => {
        const request: IDBRequest<Lease | undefined> = store(transaction).get(0)
        request.addEventListener("success", () => {
          isLost = request.result?.owner !== owner
          if (isLost) return transaction.abort()
          body(transaction)
          transaction.commit()
        })
      },
      ended
    )
  }
  const written = (body: (transaction: IDBTransaction) => void) =>
    Effect.callback<void, StoreUnavailable>((resume) =>
      write(body, (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure)))
    )

  /** Takes it if it is free, or as it was seen: then who had it has gone. Gives who has it now. */
  const take = (seen: string | undefined) =>
    Effect.callback<string | undefined, StoreUnavailable>((resume) => {
      let now: string | undefined
      database.transact(
        "readwrite",
        (transaction) => {
          const request: IDBRequest<Lease | undefined> = store(transaction).get(0)
          request.addEventListener("success", () => {
            now = request.result === undefined ? undefined : JSON.stringify(request.result)
            if (now !== undefined && now !== seen) return
            now = undefined
            renew(transaction)
          })
        },
        (failure) => resume(failure === undefined ? Effect.succeed(now) : Effect.fail(failure))
      )
    })

  const taken = Effect.gen(function* () {
    let seen: string | undefined
    let since = 0
    for (let waited = 0; ; waited += beat / 4) {
      const now: string | undefined = yield* take(waited - since >= expiry ? seen : undefined)
      if (now === undefined) return
      if (now !== seen) {
        // It was renewed while we looked: it is in use.
        if (waited > 0 && waited >= wait) return yield* Effect.fail(inUse())
        seen = now
        since = waited
      }
      yield* Effect.sleep(beat / 4)
    }
  })
  return Effect.gen(function* () {
    yield* Effect.acquireRelease(taken, () => Effect.ignore(written((transaction) => store(transaction).delete(0))), {
      interruptible: true
    })
    yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.andThen(Effect.sleep(beat), written(renew)))))
    return write
  })
}

/**
 * Owns a database until the scope ends. Fails with `inUse` where another does and has not gone after `wait`; without locks it
 * takes up to 3 s longer to know.
 */
export const claim = (
  database: Database,
  name: string,
  wait: Duration.Input
): Effect.Effect<Write, StoreUnavailable, Scope.Scope> =>
  Effect.suspend(() => {
    const millis = Duration.toMillis(wait)
    return TabLock.areThere() ? lock(database, name, millis) : lease(database, millis)
  })
