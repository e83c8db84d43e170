/**
 * What waits for one member that is behind, in all its topics: publications as their policies keep them, gaps and
 * notices.
 *
 * It is one for all topics of the member, in the order of publication, because a client's position is one: if what came
 * later in another topic went ahead, a client that comes back would not ask for what still waits here.
 */
import type { Gap, Member, Notice } from "./Member.ts"
import type { Publication } from "./Publication.ts"
import { type Counters, defaultPending, type SlowConsumer } from "./SlowConsumer.ts"

/** What the hub has to do about a publication that a member had no room for. */
export type Verdict = "Kept" | "Dropped" | "Disconnect"

/** What waits of one topic. */
interface Lag {
  readonly topic: string
  readonly policy: SlowConsumer
  /** Where each is in `items`, in that order. By key when the policy has keys, else by number. */
  readonly pending: Map<string | number, number>
  gap: Gap | undefined
  waiting: Array<() => void>
}

type Item =
  | { readonly lag: Lag; readonly key: string | number; readonly publication: Publication }
  | { readonly lag: undefined; readonly key: string; readonly notice: Notice }

/** Of several with the same name the last is told: what a member is behind by stays bounded. */
const nameOf = (notice: Notice): string => {
  switch (notice._tag) {
    case "Gap":
      return `Gap ${notice.topics.join(" ")}`
    case "Moved":
      return `Moved ${notice.from}`
    case "Advanced":
    case "Kicked":
      return `${notice._tag} ${notice.topic}`
  }
}

export class Backlog {
  private readonly counters: Counters
  private readonly lags = new Map<string, Lag>()
  private readonly items = new Map<number, Item>()
  private readonly notices = new Map<string, number>()
  private next = 0
  private isFlushing = false

  constructor(counters: Counters) {
    this.counters = counters
  }

  get isEmpty(): boolean {
    return this.lags.size === 0 && this.items.size === 0
  }

  /** Whether something of the topic waits. */
  has(topic: string): boolean {
    return this.lags.has(topic)
  }

  /** A publication for which there is no room, or that has to come behind others. `hasRoom`: the member says when it has. */
  add(publication: Publication, policy: SlowConsumer, hasRoom: boolean): Verdict {
    // It came of what is being written now, and so of a member that has room.
    if (this.isFlushing) return this.keep(publication, policy, this.next)
    switch (policy._tag) {
      case "Disconnect":
        return "Disconnect"
      case "DropNewest":
        this.drop(this.lagOf(publication.topic, policy), publication)
        return "Dropped"
      case "Suspend": {
        const pending = this.lags.get(publication.topic)?.pending.size ?? 0
        const isOver = pending >= (policy.maxPending ?? defaultPending)
        return isOver || !hasRoom ? "Disconnect" : this.keep(publication, policy, this.next)
      }
      case "DropOldest":
        return this.keep(publication, policy, this.next)
      case "Coalesce":
        return this.keep(publication, policy, policy.key(publication))
    }
  }

  /** What was dropped, or may not have come, is told before anything else of the topic. */
  lose(gap: Gap, topic: string, policy: SlowConsumer): void {
    const lag = this.lagOf(topic, policy)
    lag.gap = lag.gap === undefined ? gap : { ...gap, from: lag.gap.from }
  }

  /** Told in its turn. */
  tell(notice: Notice): void {
    const name = nameOf(notice)
    const known = this.notices.get(name)
    if (known !== undefined) this.items.delete(known)
    this.notices.set(name, this.next)
    this.items.set(this.next++, { lag: undefined, key: name, notice })
  }

  /** Writes what there is room for, in order. Gives who waited for that: they may publish as they are called. */
  flush(member: Member): ReadonlyArray<() => void> {
    if (this.isFlushing) return []
    this.isFlushing = true
    const settled: Array<Lag> = []
    try {
      this.write(member, settled)
    } finally {
      this.isFlushing = false
    }
    return settled.flatMap(({ waiting }) => waiting)
  }

  private write(member: Member, settled: Array<Lag>): void {
    const settle = (lag: Lag) => {
      if (lag.gap !== undefined || lag.pending.size > 0) return
      if (this.lags.get(lag.topic) === lag) this.lags.delete(lag.topic)
      settled.push(lag)
    }
    for (const lag of this.lags.values()) {
      const { gap } = lag
      if (gap === undefined) continue
      if (member.tellUnsafe?.(gap) === "Full") return
      if (lag.gap === gap) lag.gap = undefined
      settle(lag)
    }
    for (const [at, item] of this.items) {
      if (item.lag === undefined) {
        if (member.tellUnsafe?.(item.notice) === "Full") return
        if (this.notices.get(item.key) === at) this.notices.delete(item.key)
        this.items.delete(at)
        continue
      }
      const { key, lag, publication } = item
      if (member.tryWriteUnsafe(publication.message, publication) === "Full") return
      this.items.delete(at)
      if (lag.pending.get(key) === at) lag.pending.delete(key)
      settle(lag)
    }
  }

  /** The member is not in the topic any more. Gives who waited for it. */
  forget(topic: string): ReadonlyArray<() => void> {
    const lag = this.lags.get(topic)
    if (lag === undefined) return []
    for (const at of lag.pending.values()) this.items.delete(at)
    this.lags.delete(topic)
    return lag.waiting
  }

  /** Calls back when nothing of the topic waits any more; gives how to take that back. */
  whenSettled(topic: string, callback: () => void): () => void {
    const lag = this.lags.get(topic)
    if (lag === undefined) {
      callback()
      return () => undefined
    }
    lag.waiting.push(callback)
    return () => void (lag.waiting = lag.waiting.filter((other) => other !== callback))
  }

  private keep(publication: Publication, policy: SlowConsumer, key: string | number): Verdict {
    const lag = this.lagOf(publication.topic, policy)
    const { pending } = lag
    const replaced = pending.get(key)
    if (replaced !== undefined) {
      // The newer one comes behind all others, so that positions go up.
      this.counters.coalesced++
      pending.delete(key)
      this.items.delete(replaced)
    } else if (policy._tag !== "Suspend" && pending.size >= maxPendingOf(policy)) {
      const [oldest, at] = pending.entries().next().value!
      const item = this.items.get(at)!
      pending.delete(oldest)
      this.items.delete(at)
      if (item.lag !== undefined) this.drop(lag, item.publication)
    }
    pending.set(key, this.next)
    this.items.set(this.next++, { lag, key, publication })
    return "Kept"
  }

  private drop(lag: Lag, { at, topic }: Publication): void {
    this.counters.dropped++
    const from = at === undefined ? undefined : { epoch: at.epoch, offset: at.offset - 1 }
    this.lose({ _tag: "Gap", topics: [topic], from, to: at }, topic, lag.policy)
  }

  private lagOf(topic: string, policy: SlowConsumer): Lag {
    const known = this.lags.get(topic)
    if (known !== undefined) return known
    const lag: Lag = { topic, policy, pending: new Map(), gap: undefined, waiting: [] }
    this.lags.set(topic, lag)
    return lag
  }
}

const maxPendingOf = (policy: SlowConsumer): number =>
  "maxPending" in policy ? (policy.maxPending ?? defaultPending) : defaultPending
