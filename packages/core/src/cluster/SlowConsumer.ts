/**
 * What happens to a member whose outbox is full when a message comes.
 *
 * What a policy keeps for a member is in a `Lag`, as long as the member is behind. Whatever is not kept and is not
 * replaced by something newer is told: the member gets a `Gap` when it has room again, and the counters of the hub grow.
 */
import * as CloseCode from "../codec/CloseCode.ts"
import type { Gap, Member } from "./Member.ts"
import type { Publication } from "./Publication.ts"

export type SlowConsumer =
  /**
   * Publishers wait until it has room. What other nodes publish cannot wait: at most `maxPending` of it is kept, then the
   * member is disconnected with 1013.
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
export const disconnect: SlowConsumer = { _tag: "Disconnect", code: CloseCode.CloseCode.tryAgainLater }

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

/** What the hub has to do about a publication that a member had no room for. */
export type Verdict = "Kept" | "Dropped" | "Disconnect"

/** What waits for a member that is behind, in one topic. */
export class Lag {
  private readonly policy: SlowConsumer
  private readonly counters: Counters
  /** In order. By key when the policy has keys, else by number. */
  private readonly pending = new Map<string | number, Publication>()
  private next = 0
  private gap: Gap | undefined
  private waiting: Array<() => void> = []

  constructor(policy: SlowConsumer, counters: Counters) {
    this.policy = policy
    this.counters = counters
  }

  get isEmpty(): boolean {
    return this.pending.size === 0 && this.gap === undefined
  }

  /** A publication for which there is no room, or that has to come behind others. */
  add(publication: Publication): Verdict {
    const { counters, pending, policy } = this
    switch (policy._tag) {
      case "Disconnect":
        return "Disconnect"
      case "DropNewest":
        this.drop(publication)
        return "Dropped"
      case "Suspend":
        if (pending.size >= (policy.maxPending ?? defaultPending)) return "Disconnect"
        pending.set(this.next++, publication)
        return "Kept"
      case "DropOldest":
      case "Coalesce": {
        const key = policy._tag === "Coalesce" ? policy.key(publication) : this.next++
        // Behind all others, so that positions go up.
        if (pending.delete(key)) counters.coalesced++
        else if (pending.size >= (policy.maxPending ?? defaultPending)) {
          const [oldest, dropped] = pending.entries().next().value!
          pending.delete(oldest)
          this.drop(dropped)
        }
        pending.set(key, publication)
        return "Kept"
      }
    }
  }

  /** The member is to be told of a gap, when it has room. */
  tell(notice: Gap): void {
    this.gap = this.gap === undefined ? notice : { ...notice, from: this.gap.from }
  }

  /** Writes what there is room for, in order. */
  flush(member: Member): void {
    const { gap, pending } = this
    if (gap !== undefined) {
      if (member.tellUnsafe?.(gap) === "Full") return
      this.gap = undefined
    }
    for (const [key, publication] of pending) {
      if (member.tryWriteUnsafe(publication.message, publication) === "Full") return
      pending.delete(key)
    }
    if (this.isEmpty) this.release()
  }

  /** Calls back when nothing waits any more. */
  whenEmpty(callback: () => void): () => void {
    this.waiting.push(callback)
    return () => void (this.waiting = this.waiting.filter((other) => other !== callback))
  }

  /** Nobody waits for this any more. */
  release(): void {
    for (const callback of this.waiting.splice(0)) callback()
  }

  private drop({ at, topic }: Publication): void {
    this.counters.dropped++
    const from = at === undefined ? undefined : { epoch: at.epoch, offset: at.offset - 1 }
    this.tell({ _tag: "Gap", topics: [topic], from, to: at })
  }
}
