/** Why a client of the hub could not do what it was asked for. */
import * as Data from "effect/Data"
import type * as Again from "../messaging/Again.ts"
import type { StoreError } from "./HubStore.ts"

/** The hub says no, by a code of docs/protocol.md: the caller's to mend, or the operator's. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly code: string
  readonly detail: string
  readonly topic: string | undefined
}> {
  override get message(): string {
    return `the hub says ${this.code}: ${this.detail}`
  }
}

/** The hub has taken the client out of the topic. It may try to come back. */
export class Kicked extends Data.TaggedError("Kicked")<{ readonly topic: string; readonly detail: string }> {
  override get message(): string {
    return `taken out of ${this.topic}: ${this.detail}`
  }
}

/** The client does not come back any more. */
export class Stopped extends Data.TaggedError("Stopped")<{
  /** `undefined` when whoever had it is done with it. */
  readonly cause: Again.Cause | undefined
}> {
  override get message(): string {
    return "the client has stopped"
  }
}

/** A topic, or data, that cannot be said at all: the caller's fault. */
export class Unsayable extends Data.TaggedError("Unsayable")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** It was said, and nobody can tell any more whether it was published: the key is forgotten. */
export class Uncertain extends Data.TaggedError("Uncertain")<{ readonly topic: string }> {
  override get message(): string {
    return `whether the publication to ${this.topic} was taken is not known`
  }
}

export class HubClientError extends Data.TaggedError("HubClientError")<{
  readonly reason: Kicked | Refused | Stopped | StoreError | Uncertain | Unsayable
}> {
  override get message(): string {
    return this.reason.message
  }
}
