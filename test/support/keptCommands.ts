/** A storage of commands in memory, which takes its time, and whose state is known at any moment. */
import * as Effect from "effect/Effect"
import * as OutboxStore from "@millrace/core/messaging/OutboxStore"
import { type StoreError, StoreFull, StoreUnavailable } from "@millrace/core/messaging/StoreError"

export interface Kept {
  readonly store: OutboxStore.OutboxStore
  /** What a next life would find now. */
  readonly left: () => ReadonlyArray<OutboxStore.Left>
  /** From now on it fails with this. */
  readonly fail: (error: StoreUnavailable) => void
}

/** `wrote` is called with each write. */
export const keptCommands = (
  left: ReadonlyArray<OutboxStore.Left> = [],
  { capacity = Infinity, wrote = () => {} }: { readonly capacity?: number; readonly wrote?: () => void } = {}
): Kept => {
  const commands = new Map(left.map((command) => [command.id, command]))
  let failure: StoreUnavailable | undefined
  const write = (change: () => void) =>
    Effect.andThen(
      Effect.yieldNow,
      Effect.suspend((): Effect.Effect<void, StoreUnavailable> => {
        if (failure !== undefined) return Effect.fail(failure)
        change()
        wrote()
        return Effect.void
      })
    )
  const storage: OutboxStore.Storage = {
    left: () => left,
    keep: (command) =>
      Effect.suspend((): Effect.Effect<void, StoreError> => {
        if (commands.size >= capacity) return Effect.fail(new StoreFull({ capacity }))
        return write(() => commands.set(command.id, { ...command, isOnItsWay: false }))
      }),
    mark: (id, isOnItsWay) =>
      write(() => {
        const command = commands.get(id)
        if (command !== undefined) commands.set(id, { ...command, isOnItsWay })
      }),
    remove: (id) => write(() => commands.delete(id))
  }
  return {
    store: OutboxStore.make(storage),
    left: () => [...commands.values()],
    fail: (error) => {
      failure = error
    }
  }
}

export const unavailable = (inUse = false) => new StoreUnavailable({ inUse, cause: new Error("gone") })
