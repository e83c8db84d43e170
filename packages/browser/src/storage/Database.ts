/**
 * A database of the platform: Indexed Database API 3.0. It may be taken away at any moment, by its user who clears what
 * sites keep, or by another page that deletes it or has a newer program: then it is closed, and all that is asked of it
 * fails with the reason.
 *
 * Not in here: whose it is, which is `Owner`.
 */
import { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Whether what is written has reached the disk (`strict`) or the operating system (`relaxed`), which a page, a tab and a
 * browser that crash do not harm, but a power failure does.
 */
export type Durability = "relaxed" | "strict"

export interface Options {
  readonly name: string
  /** What makes a layout of the one before it. The version is how many there are: only ever added to. */
  readonly layouts: ReadonlyArray<(database: IDBDatabase) => void>
  readonly durability: Durability
  /** How long opening may take. */
  readonly timeout: Duration.Input
}

export const unavailable = (cause: unknown): StoreUnavailable => new StoreUnavailable({ inUse: false, cause })

/** Told once how it ended. */
export type Done = (failure: StoreUnavailable | undefined) => void

export class Database {
  private readonly database: IDBDatabase
  private readonly stores: ReadonlyArray<string>
  private readonly durability: Durability
  private failure: StoreUnavailable | undefined

  constructor(database: IDBDatabase, durability: Durability) {
    this.database = database
    this.stores = [...database.objectStoreNames]
    this.durability = durability
    database.addEventListener("versionchange", () =>
      this.lose(unavailable(new Error("another page deletes it, or has a newer program")))
    )
    database.addEventListener("close", () =>
      this.lose(unavailable(new Error("it was taken away, as when a user clears what sites keep")))
    )
  }

  /** From now on all fails with this. */
  lose(failure: StoreUnavailable): void {
    this.failure ??= failure
    this.database.close()
  }

  /** Begins in this very call, behind all that was begun before. `body` may throw: then nothing of it is written. */
  transact(mode: IDBTransactionMode, body: (transaction: IDBTransaction) => void, done: Done): void {
    if (this.failure !== undefined) return done(this.failure)
    let transaction: IDBTransaction | undefined
    try {
      transaction = this.database.transaction(this.stores, mode, { durability: this.durability })
      body(transaction)
    } catch (cause) {
      transaction?.abort()
      return done(unavailable(cause))
    }
    const begun = transaction
    begun.addEventListener("complete", () => done(undefined))
    begun.addEventListener("abort", () =>
      done(this.failure ?? unavailable(begun.error ?? new Error("it was given up")))
    )
  }
}

const request = ({ layouts, name, timeout }: Options): Effect.Effect<IDBDatabase, StoreUnavailable> => {
  let delay = "it does not open"
  const opened = Effect.callback<IDBDatabase, StoreUnavailable>((resume) => {
    let isAwaited = true
    const fail = (cause: unknown) => resume(Effect.fail(unavailable(cause)))
    try {
      const opening = indexedDB.open(name, layouts.length)
      opening.addEventListener("upgradeneeded", ({ oldVersion }) => {
        for (const layout of layouts.slice(oldVersion)) layout(opening.result)
      })
      opening.addEventListener("blocked", () => {
        delay = "a page with an older program has it open"
      })
      opening.addEventListener("error", () => fail(opening.error))
      opening.addEventListener("success", () =>
        isAwaited ? resume(Effect.succeed(opening.result)) : opening.result.close()
      )
    } catch (cause) {
      // There is none, or this page may not have one.
      fail(cause)
    }
    return Effect.sync(() => {
      isAwaited = false
    })
  })
  return Effect.timeoutOrElse(opened, {
    duration: timeout,
    orElse: () => Effect.fail(unavailable(new Error(delay)))
  })
}

/** Opens it, for as long as the scope. */
export const open = (options: Options): Effect.Effect<Database, StoreUnavailable, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(request(options), (database) => new Database(database, options.durability)),
    (database) => Effect.sync(() => database.lose(unavailable(new Error("its scope has ended")))),
    { interruptible: true }
  )
