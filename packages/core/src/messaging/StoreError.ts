/** Why something could not be kept for a next life of the program. */
import * as Data from "effect/Data"

/** There is no room for one more: what is kept is bounded. The program's, or its user's, to say. */
export class StoreFull extends Data.TaggedError("StoreFull")<{
  readonly capacity: number
  /** What `capacity` counts. Default: entries. */
  readonly unit?: "bytes" | "entries" | undefined
}> {
  override get message(): string {
    return `there is no room for one more: ${this.capacity} ${this.unit ?? "entries"} are kept at most`
  }
}

/** The storage cannot be used: it is forbidden, its quota is used up, it is gone, or another client has it (`inUse`). */
export class StoreUnavailable extends Data.TaggedError("StoreUnavailable")<{
  readonly inUse: boolean
  readonly cause: unknown
}> {
  override get message(): string {
    return this.inUse ? "another client uses this storage" : `the storage cannot be used: ${String(this.cause)}`
  }
}

export type StoreError = StoreFull | StoreUnavailable
