/** What the stores of this package have in common: how one is opened, and given up. */
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Database from "./Database.ts"
import * as Entries from "./Entries.ts"
import * as Owner from "./Owner.ts"
import * as Writes from "./Writes.ts"

export interface Options {
  /** Whose it is: one for each server, and for each user of it, who would send what another has left. */
  readonly name: string
  /** How many entries are kept at most. Beyond it: `StoreFull`. Default 1,000. */
  readonly capacity?: number | undefined
  /** Bytes that they take at most, estimated, where a character counts as two. Beyond it: `StoreFull`. Default 4 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * `strict` also survives a power failure, where each write waits for the disk. Default `relaxed`: a page, a tab and a
   * browser that crash lose nothing.
   */
  readonly durability?: Database.Durability | undefined
  /**
   * How long to wait for another client to go, such as one in another tab. Default 1 s: a page that is loaded again may
   * be there before it has gone.
   */
  readonly wait?: Duration.Input | undefined
  /** How long opening the database may take. Default 5 s. */
  readonly timeout?: Duration.Input | undefined
}

export const defaults = {
  capacity: 1_000,
  maxBytes: 4_194_304,
  durability: "relaxed",
  wait: "1 second",
  timeout: "5 seconds"
} as const satisfies Omit<Options, "name">

export interface Opened {
  readonly database: Database.Database
  readonly writes: Writes.Writes
  readonly entries: Entries.Entries
}

const layout = (database: IDBDatabase): void => {
  Owner.layout(database)
  Entries.layout(database)
}

/** Opens the database of this name with a store of entries, and others, and owns it until the scope ends. */
export const open = (
  prefix: string,
  layouts: ReadonlyArray<(database: IDBDatabase) => void>,
  options: Options
): Effect.Effect<Opened, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const { capacity, durability, maxBytes, timeout, wait } = options
    const name = `${prefix}${options.name}`
    const database = yield* Database.open({
      name,
      layouts: [layout, ...layouts],
      durability: durability ?? defaults.durability,
      timeout: timeout ?? defaults.timeout
    })
    const write = yield* Owner.claim(database, name, wait ?? defaults.wait)
    const writes = yield* Writes.make(write)
    const limits = { capacity: capacity ?? defaults.capacity, maxBytes: maxBytes ?? defaults.maxBytes }
    return { database, writes, entries: new Entries.Entries(writes, limits) }
  })

/** What some stores have at one moment. */
export const readAll = <const Names extends ReadonlyArray<string>>(
  { database }: Opened,
  names: Names
): Effect.Effect<{ readonly [I in keyof Names]: Entries.Contents }, StoreUnavailable> =>
  Effect.callback((resume) => {
    let reading: ReadonlyArray<{ keys: IDBRequest<Array<IDBValidKey>>; values: IDBRequest<Array<unknown>> }> = []
    database.transact(
      "readonly",
      (transaction) => {
        reading = names.map((name) => {
          const store = transaction.objectStore(name)
          return { keys: store.getAllKeys(), values: store.getAll() }
        })
      },
      (failure) =>
        resume(
          failure === undefined
            ? Effect.succeed(reading.map(({ keys, values }) => ({ keys: keys.result, values: values.result })) as never)
            : Effect.fail(failure)
        )
    )
  })
