/**
 * Commands that wait for a connection, in IndexedDB: a page that is loaded again says them before anything new.
 *
 *     const store = yield* IndexedDbOutboxStore.make({ name: "chat of ada" })
 *     const chat = yield* Client.make(Chat, wire, { outbox: { store } })
 *
 * What survives, and what does not, is as with `IndexedDbHubStore`.
 */
import * as OutboxStore from "@millrace/core/messaging/OutboxStore"
import type { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { unavailable } from "./storage/Database.ts"
import type { Reading } from "./storage/Entries.ts"
import * as Storage from "./storage/Storage.ts"

export type Options = Storage.Options

export const defaults = Storage.defaults

export interface IndexedDbOutboxStore extends OutboxStore.OutboxStore {
  /** How many records could not be read and were removed: somebody else has written there. */
  readonly damaged: number
}

/** What an entry takes beside its payload, in bytes, about. */
const perEntry = 256

const replacer = (_key: string, value: unknown): unknown =>
  value instanceof Uint8Array ? "x".repeat(value.length / 2) : value

/** Throws for a circle, which no codec says either. */
const sizeOf = ({ payload }: OutboxStore.Command): number =>
  perEntry + 2 * (JSON.stringify(payload, replacer)?.length ?? 0)

/** Anybody of this origin can write there. */
const read = (record: unknown, mark: unknown): Reading<OutboxStore.Left> | undefined => {
  const { contract, id, name, payload, signature, version } = Object(record) as {
    readonly [Name in keyof OutboxStore.Command]: unknown
  }
  if (typeof contract !== "string" || typeof id !== "string" || typeof name !== "string") return undefined
  if (typeof signature !== "string" || typeof version !== "string") return undefined
  const command: OutboxStore.Command = { id, contract, version, signature, name, payload }
  try {
    return { key: id, bytes: sizeOf(command), value: { ...command, isOnItsWay: mark !== undefined } }
  } catch {
    return undefined
  }
}

/**
 * Opens it for one client, until the scope ends: what is to be written then is. Fails with `StoreUnavailable` where there
 * is no storage or it may not be used, and with `inUse` where another client has it, after `wait`.
 */
export const make = (options: Options): Effect.Effect<IndexedDbOutboxStore, StoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const opened = yield* Storage.open("millrace-outbox:", [], options)
    const { entries } = opened
    const [kept, marks] = yield* Storage.readAll(opened, ["entries", "marks"])
    const { damaged, values } = entries.loaded(kept, marks, read)
    // For another client of the same life.
    const left = new Map(values.map((command) => [command.id, command]))
    const store = OutboxStore.make({
      left: () => [...left.values()],
      keep: (command) =>
        Effect.suspend(() => {
          let bytes: number
          try {
            bytes = sizeOf(command)
          } catch (cause) {
            return Effect.fail(unavailable(cause))
          }
          return Effect.tap(entries.add(command.id, bytes, command), () =>
            Effect.sync(() => left.set(command.id, { ...command, isOnItsWay: false }))
          )
        }),
      mark: (id, isOnItsWay) =>
        Effect.suspend(() => {
          const command = left.get(id)
          if (command !== undefined) left.set(id, { ...command, isOnItsWay })
          return entries.mark(id, isOnItsWay ? 1 : undefined)
        }),
      remove: (id) =>
        Effect.suspend(() => {
          left.delete(id)
          return entries.remove(id)
        })
    })
    return { ...store, damaged }
  })
