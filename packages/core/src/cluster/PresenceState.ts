/**
 * Who is in a topic, over all nodes: the state of it, and how what nodes tell each other comes together.
 *
 * Each node alone says who is there by it, and counts what changes: a version is the number of changes since the start of
 * its life, and what is known of a node is always what was true there at some version. So it does not matter in which
 * order things are heard, nor how often: what counts is the highest life of a node, and in it the highest version that
 * was reached without a hole. What was lost in between is made good by being told everything once.
 *
 * Everybody knows everything. A node that knew only the topics that somebody has joined there would have to ask the
 * others before it can say who is in one, for each topic; as it is, one number says whether a node is up to date with
 * another, and every node can answer. The price is memory: what one member takes, on each node; see docs/guides/presence.md.
 *
 * Pure but for what it holds. Time is an argument.
 */

/** Someone's connection, or what else is there for a user. */
export interface Member {
  /** Where it is. */
  readonly node: string
  /** Its name, of no other there. */
  readonly member: string
  readonly user: string
  /** One line of JSON text. */
  readonly info: string
  /** When it came, and when it said its info, in milliseconds since 1970 by the clock of its node. */
  readonly since: number
  readonly updated: number
}

/** Somebody in a topic, with all members together. */
export interface User {
  readonly user: string
  /** What was said last, whichever connection said it: one line of JSON text. */
  readonly info: string
  readonly connections: number
  /** When the first of those that are there came. */
  readonly since: number
}

/** One change, which is one version of its node. */
export interface Change {
  readonly topic: string
  readonly member: string
  /** As it is from now on; `undefined`: it is not there any more. */
  readonly now: Member | undefined
}

/** The changes behind version `from`, without a hole. The last of them is version `from + changes.length`. */
export interface Delta {
  readonly _tag: "Delta"
  readonly node: string
  readonly life: number
  readonly from: number
  readonly changes: ReadonlyArray<Change>
}

/** All there is at a version. */
export interface Full {
  readonly _tag: "Full"
  readonly node: string
  readonly life: number
  readonly version: number
  readonly members: ReadonlyArray<readonly [topic: string, member: Member]>
}

/** How far a node is, or is known. */
export interface Mark {
  readonly life: number
  readonly version: number
}

/** What came of being told something. */
export type Merged =
  /** It was new. */
  | "New"
  /** It was known. */
  | "Known"
  /** Something before it is missing. It is kept, and counts when that is there. */
  | "Ahead"
  /** The node has more members than any may have, and none of them counts. */
  | "Refused"

export interface Options {
  /** Members that one node may have; the own one is bounded by who calls `join`. */
  readonly maxMembers: number
  /** Changes of the own node that are kept, for who has missed some. */
  readonly maxChanges: number
}

/** Changes of a node that are kept while some before them are missing. More are as if they were lost. */
export const maxAhead = 4_096

interface Known {
  life: number
  version: number
  topics: Map<string, Map<string, Member>>
  size: number
  ahead: Array<Delta>
  refused: boolean
}

interface Topic {
  readonly users: Map<string, Set<Member>>
  connections: number
}

const nothing = (life: number): Known => ({
  life,
  version: 0,
  topics: new Map(),
  size: 0,
  ahead: [],
  refused: false
})

/** Whether what one says of its user comes behind what the other says, the same on every node. */
const isLater = (one: Member, other: Member): boolean => {
  if (one.updated !== other.updated) return one.updated > other.updated
  if (one.node !== other.node) return one.node > other.node
  return one.member > other.member
}

const isSame = (one: Member, other: Member): boolean =>
  one.user === other.user && one.info === other.info && one.since === other.since && one.updated === other.updated

/** Those that came first come first; of two that came at once, the same on every node. */
export const byTime = (one: User, other: User): number => one.since - other.since || (one.user < other.user ? -1 : 1)

export class PresenceState {
  private readonly node: string
  private readonly options: Options
  private readonly own: Known
  private readonly nodes = new Map<string, Known>()
  private readonly topics = new Map<string, Topic>()
  /** The last changes of the own node; the last one is its version. */
  private changes: Array<Change> = []
  private touched = new Map<string, Set<string>>()
  private members = 0

  constructor(node: string, life: number, options: Options) {
    this.node = node
    this.options = options
    this.own = nothing(life)
    this.nodes.set(node, this.own)
  }

  /** How far the own node is. */
  get mark(): Mark {
    return { life: this.own.life, version: this.own.version }
  }

  /** How many members there are in all topics. */
  get size(): number {
    return this.members
  }

  /** How many topics have a member. */
  get topicCount(): number {
    return this.topics.size
  }

  /** Members in a topic. */
  connections(topic: string): number {
    return this.topics.get(topic)?.connections ?? 0
  }

  /** A user in a topic, with all members together; `undefined` when there is none of it. */
  user(topic: string, user: string): User | undefined {
    const members = this.topics.get(topic)?.users.get(user)
    if (members === undefined) return undefined
    let last: Member | undefined
    let since = Number.POSITIVE_INFINITY
    for (const member of members) {
      if (last === undefined || isLater(member, last)) last = member
      if (member.since < since) since = member.since
    }
    return { user, info: last!.info, connections: members.size, since }
  }

  /** All users of a topic, the one that came first first. */
  users(topic: string): ReadonlyArray<User> {
    return Array.from(this.topics.get(topic)?.users.keys() ?? [], (user) => this.user(topic, user)!).sort(byTime)
  }

  /** A member of the own node. */
  member(topic: string, member: string): Member | undefined {
    return this.own.topics.get(topic)?.get(member)
  }

  /** The users of each topic of whom something may have changed since this was asked last. */
  takeTouched(): ReadonlyMap<string, ReadonlySet<string>> {
    const { touched } = this
    if (touched.size > 0) this.touched = new Map()
    return touched
  }

  /** A member of the own node comes, or is another than before. */
  join(topic: string, member: string, user: string, info: string, now: number): void {
    const before = this.member(topic, member)
    const since = before?.user === user ? before.since : now
    this.change({ topic, member, now: { node: this.node, member, user, info, since, updated: now } })
  }

  /** `false` when it was not there. */
  leave(topic: string, member: string): boolean {
    if (this.member(topic, member) === undefined) return false
    this.change({ topic, member, now: undefined })
    return true
  }

  /** What the own node tells who knows it up to a version of this life; `undefined` when some of it is not kept. */
  since(version: number): Delta | undefined {
    const { life, version: to } = this.own
    const missed = to - version
    if (missed < 0 || missed > this.changes.length) return undefined
    const changes = this.changes.slice(this.changes.length - missed)
    return { _tag: "Delta", node: this.node, life, from: version, changes }
  }

  /** What the own node tells who knows nothing of it. It is not changed by what happens afterwards. */
  full(): Full {
    const { life, topics, version } = this.own
    const members: Array<readonly [string, Member]> = []
    for (const [topic, its] of topics) for (const member of its.values()) members.push([topic, member])
    return { _tag: "Full", node: this.node, life, version, members }
  }

  /** How far another node is known; `undefined` when nothing of it is. */
  known(node: string): Mark | undefined {
    const known = this.nodes.get(node)
    return known === undefined ? undefined : { life: known.life, version: known.version }
  }

  /** Whether there is more to be known of a node that is as far as this. */
  isBehind(node: string, { life, version }: Mark): boolean {
    const known = this.nodes.get(node)
    if (node === this.node) return false
    if (known === undefined || known.life < life) return version > 0 || known !== undefined
    return known.life === life && known.version < version && !known.refused
  }

  /** What a node has told. Of the own node nothing is believed. */
  merge(told: Delta | Full): Merged {
    const { life, node } = told
    let known = this.nodes.get(node)
    if (node === this.node || (known !== undefined && life < known.life)) return "Known"
    if (known === undefined || life > known.life) {
      this.drop(node)
      this.nodes.set(node, (known = nothing(life)))
    }
    if (known.refused) return "Refused"
    const before = known.version
    if (told._tag === "Full") {
      if (told.version <= known.version) return "Known"
      this.replace(known, told)
    } else {
      if (told.from + told.changes.length <= known.version) return "Known"
      if (told.from > known.version) {
        const kept = known.ahead.reduce((sum, { changes }) => sum + changes.length, 0)
        if (kept + told.changes.length <= maxAhead) known.ahead.push(told)
        return "Ahead"
      }
      this.apply(known, told)
    }
    this.catchUp(known)
    if (known.size > this.options.maxMembers) {
      this.clear(known)
      known.refused = true
      return "Refused"
    }
    return known.version > before ? "New" : "Known"
  }

  /** A node is gone, and with it what was known of it. The own one is never. */
  drop(node: string): void {
    const known = this.nodes.get(node)
    if (known === undefined || node === this.node) return
    this.clear(known)
    this.nodes.delete(node)
  }

  private change(change: Change): void {
    this.set(this.own, change)
    this.own.version++
    this.changes.push(change)
    // Half of them at a time, so that it is not done at each change.
    if (this.changes.length >= 2 * this.options.maxChanges) {
      this.changes = this.changes.slice(-this.options.maxChanges)
    }
  }

  /** What was ahead and is not any more; what is known by now is forgotten. */
  private catchUp(known: Known): void {
    for (;;) {
      const next = known.ahead.find(
        ({ changes, from }) => from <= known.version && from + changes.length > known.version
      )
      if (next === undefined) break
      this.apply(known, next)
    }
    if (known.ahead.length > 0) known.ahead = known.ahead.filter(({ from }) => from > known.version)
  }

  /** A delta that begins at the version or before it. */
  private apply(known: Known, { changes, from }: Delta): void {
    for (let at = known.version - from; at < changes.length; at++) this.set(known, changes[at]!)
    known.version = from + changes.length
  }

  private replace(known: Known, { members, version }: Full): void {
    const now = new Map<string, Set<string>>()
    for (const [topic, { member }] of members) {
      const its = now.get(topic)
      if (its === undefined) now.set(topic, new Set([member]))
      else its.add(member)
    }
    for (const [topic, its] of known.topics) {
      for (const member of its.keys()) {
        if (now.get(topic)?.has(member) !== true) this.set(known, { topic, member, now: undefined })
      }
    }
    for (const [topic, member] of members) this.set(known, { topic, member: member.member, now: member })
    known.version = version
  }

  private clear(known: Known): void {
    for (const [topic, its] of known.topics) {
      for (const member of its.keys()) this.set(known, { topic, member, now: undefined })
    }
    known.ahead = []
  }

  /** The one place in which somebody comes, goes or is another: by node, and by user. */
  private set(known: Known, { member: name, now, topic: title }: Change): void {
    let members = known.topics.get(title)
    const before = members?.get(name)
    if (before === undefined && now === undefined) return
    if (before !== undefined && now !== undefined && isSame(before, now)) return
    let topic = this.topics.get(title)
    if (topic === undefined) this.topics.set(title, (topic = { users: new Map(), connections: 0 }))
    if (before !== undefined) {
      known.size--
      this.members--
      topic.connections--
      members!.delete(name)
      const its = topic.users.get(before.user)!
      its.delete(before)
      if (its.size === 0) topic.users.delete(before.user)
      this.touch(title, before.user)
    }
    if (now !== undefined) {
      known.size++
      this.members++
      topic.connections++
      if (members === undefined) known.topics.set(title, (members = new Map()))
      members.set(name, now)
      const its = topic.users.get(now.user)
      if (its === undefined) topic.users.set(now.user, new Set([now]))
      else its.add(now)
      this.touch(title, now.user)
    }
    if (members!.size === 0) known.topics.delete(title)
    if (topic.connections === 0) this.topics.delete(title)
  }

  private touch(topic: string, user: string): void {
    const users = this.touched.get(topic)
    if (users === undefined) this.touched.set(topic, new Set([user]))
    else users.add(user)
  }
}
