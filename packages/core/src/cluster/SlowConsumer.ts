/**
 * What happens to a member whose outbox is full when a message comes.
 *
 * What a policy keeps for a member is in a `Backlog`, as long as the member is behind. Whatever is not kept and is not
 * replaced by something newer is told: the member gets a `Gap` when it has room again, and the counters of the hub grow.
 */
import * as CloseCode from "../codec/CloseCode.ts"
import type { Publication } from "./Publication.ts"

export type SlowConsumer =
  /**
   * Publishers wait until it has what it is behind by. What other nodes publish cannot wait, nor what is on its way to the
   * broker already: at most `maxPending` of it is kept, then the member is disconnected with 1013. So is one that cannot
   * say when it has room.
   */
  | { readonly _tag: "Suspend"; readonly maxPending?: number | undefined }
  /** The last `maxPending` messages are kept for it, and those before them dropped. */
  | { readonly _tag: "DropOldest"; readonly maxPending?: number | undefined }
  /** It does not get this message. */
  | { readonly _tag: "DropNewest" }
  /**
   * Of messages with the same key the last is kept, for at most `maxPending` keys; then those are dropped that waited for
   * longest.
   */
  | {
      readonly _tag: "Coalesce"
      readonly key: (publication: Publication) => string
      readonly maxPending?: number | undefined
    }
  /** It is closed with this code, and can come back when it has the time. */
  | { readonly _tag: "Disconnect"; readonly code: number }

/** Messages that wait for one member of one topic, at most, unless the policy says otherwise. */
export const defaultPending = 128

/** Try Again Later: the client may come back and ask for what it missed. */
export const disconnect = { _tag: "Disconnect", code: CloseCode.CloseCode.tryAgainLater } satisfies SlowConsumer

/** Throws a `TypeError` or `RangeError` for a policy that cannot be followed. */
export const check = (policy: SlowConsumer): SlowConsumer => {
  if (policy._tag === "Disconnect" && !CloseCode.isOnWire(policy.code)) {
    throw new TypeError(`${policy.code} is not a close code that may be sent`)
  }
  if ("maxPending" in policy && policy.maxPending !== undefined && !(policy.maxPending >= 1)) {
    throw new RangeError(`a member for which ${policy.maxPending} messages may wait gets none`)
  }
  return policy
}

/** What the policies have done since the hub was made. */
export interface Counters {
  /** Messages that a member did not get. */
  dropped: number
  /** Messages that a member got a newer one instead of. */
  coalesced: number
  /** Members that were closed. */
  disconnected: number
  /** Publications that had to wait. */
  suspended: number
}
