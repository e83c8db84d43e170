/**
 * What was delivered on this node while the broker was away: when it gets its place in the log after all, those who had
 * it do not get it again. Bounded; what is forgotten may be delivered twice.
 *
 * Nobody is remembered for what they heard, only those who came later, as long as they are there: members that have gone
 * are not kept alive by it.
 */
import type { Member } from "./Member.ts"
import type { Key } from "./Parcel.ts"

/** How many publications are remembered. */
export const maxSpoken = 10_000

export const nameOf = ({ epoch, producer, sequence }: Key): string => `${epoch}:${sequence}:${producer}`

interface Topic {
  readonly name: string
  /** Those who came in since the first that is remembered, and what was the next to be spoken then. */
  readonly newcomers: Map<Member, number>
  remembered: number
}

interface Entry {
  readonly topic: Topic
  readonly at: number
}

export class Spoken {
  private readonly entries = new Map<string, Entry>()
  private readonly topics = new Map<string, Topic>()
  private next = 0

  get isEmpty(): boolean {
    return this.entries.size === 0
  }

  has(key: Key): boolean {
    return this.entries.has(nameOf(key))
  }

  /** It was delivered to all members that the topic has now. */
  add(name: string, key: Key): void {
    let topic = this.topics.get(name)
    if (topic === undefined) this.topics.set(name, (topic = { name, newcomers: new Map(), remembered: 0 }))
    topic.remembered++
    this.entries.set(nameOf(key), { topic, at: this.next++ })
    if (this.entries.size > maxSpoken) this.forget(...this.entries.entries().next().value!)
  }

  /** Who has it already; forgets it, as it comes once. What has its key in another topic is something else. */
  take(topic: string, key: Key): ((member: Member) => boolean) | undefined {
    const name = nameOf(key)
    const entry = this.entries.get(name)
    if (entry?.topic.name !== topic) return undefined
    const { newcomers } = entry.topic
    this.forget(name, entry)
    return (member) => (newcomers.get(member) ?? 0) <= entry.at
  }

  joined(name: string, member: Member): void {
    this.topics.get(name)?.newcomers.set(member, this.next)
  }

  left(name: string, member: Member): void {
    this.topics.get(name)?.newcomers.delete(member)
  }

  private forget(name: string, { topic }: Entry): void {
    this.entries.delete(name)
    if (--topic.remembered === 0) this.topics.delete(topic.name)
  }
}
