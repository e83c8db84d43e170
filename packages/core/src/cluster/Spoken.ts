/**
 * What was delivered on this node while the broker was away, and to whom: when it gets its place in the log after all,
 * those members do not get it again. Bounded; what is forgotten may be delivered twice.
 */
import type { Member } from "./Member.ts"
import type { Key } from "./Parcel.ts"

/** How many publications are remembered, and to how many members all of them were delivered. */
export const maxSpoken = 10_000
export const maxHeard = 1_000_000

const nameOf = ({ epoch, producer, sequence }: Key): string => `${epoch}:${sequence}:${producer}`

export class Spoken {
  private readonly heard = new Map<string, ReadonlySet<Member>>()
  private members = 0

  get isEmpty(): boolean {
    return this.heard.size === 0
  }

  has(key: Key): boolean {
    return this.heard.has(nameOf(key))
  }

  add(key: Key, members: ReadonlySet<Member>): void {
    this.heard.set(nameOf(key), members)
    this.members += members.size
    for (const [name, them] of this.heard) {
      if (this.heard.size <= maxSpoken && this.members <= maxHeard) return
      this.heard.delete(name)
      this.members -= them.size
    }
  }

  /** Who has it already; forgets it, as it comes once. */
  take(key: Key): ReadonlySet<Member> | undefined {
    const name = nameOf(key)
    const members = this.heard.get(name)
    if (members === undefined) return undefined
    this.heard.delete(name)
    this.members -= members.size
    return members
  }
}
