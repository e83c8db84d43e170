/**
 * What is said of a publication by who publishes it, and what that one is told.
 */
import * as Data from "effect/Data"
import type { BrokerError } from "./BrokerError.ts"
import type { Key } from "./Parcel.ts"
import type { Position } from "./Position.ts"

export interface PublishOptions {
  /** By which a repeat is known: it is acknowledged, and not delivered again. */
  readonly key?: Key | undefined
  /** The ids of members that do not get it. */
  readonly except?: ReadonlyArray<string> | undefined
}

/** What a publisher is told. */
export interface Published {
  /** Behind the publication; `undefined` for what is not in the log, as it went to a target. */
  readonly position: Position | undefined
  /** It was published before, and is not delivered again. */
  readonly repeated: boolean
  /** To how many members of this node it was written. */
  readonly receivers: number
}

/** It is not known to be in the log. Members of this node may have it all the same: `receivers` says how many. */
export class PublishError extends Data.TaggedError("PublishError")<{
  readonly reason: BrokerError["reason"]
  readonly receivers: number
}> {
  override get message(): string {
    return this.reason.message
  }
}
