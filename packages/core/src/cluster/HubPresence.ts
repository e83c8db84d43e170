/**
 * Presence for clients of the hub: who is in a topic, over all nodes, as messages. A client that asks for it when it
 * subscribes is there for the others, and is told who is there and what changes.
 *
 * What changes is printed once for all who are told. A client that has no room for a change is told everything anew when
 * it has, so that none is left with what is not true any more.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Prepared from "../connection/Prepared.ts"
import * as Message from "../protocol/Message.ts"
import type { HubMember } from "./HubMember.ts"
import type { Change, Presence } from "./Presence.ts"
import type { PresenceError } from "./PresenceError.ts"
import type { User } from "./PresenceState.ts"

/** Most users of one message. How many there are is said beside them. */
export const maxUsers = 1_000

/** The info is JSON text, and goes in as it is. */
const printUser = ({ connections, info, since, user }: User): string =>
  `"user":${JSON.stringify(user)},"info":${info},"connections":${connections},"since":${since}`

/** Everybody who is in a topic, those who came first first, at most `limit`; and how many there are. */
export const printPresent = (
  presence: Presence["Service"],
  topic: string,
  id?: string | number,
  limit = maxUsers
): string => {
  const { connections, users } = presence.count(topic)
  const some = presence.users(topic).slice(0, limit)
  return (
    `{"type":"present","topic":${JSON.stringify(topic)},"users":[${some.map((user) => `{${printUser(user)}}`).join(",")}],` +
    `"count":{"users":${users},"connections":${connections}}${id === undefined ? "" : `,"id":${JSON.stringify(id)}`}}`
  )
}

const types = { Joined: "joined", Updated: "updated", Left: "left" } as const

const printChange = (topic: string, { _tag, user }: Change): string =>
  `{"type":"${types[_tag]}","topic":${JSON.stringify(topic)},${printUser(user)}}`

/** Who is told of one topic. */
interface Watched {
  readonly members: Set<HubMember>
  readonly stop: () => void
}

/** One for all clients of a node. */
export class HubPresence {
  readonly presence: Presence["Service"]
  private readonly run: (effect: Effect.Effect<void>) => void
  private readonly watched = new Map<string, Watched>()

  constructor(presence: Presence["Service"], run: (effect: Effect.Effect<void>) => void) {
    this.presence = presence
    this.run = run
  }

  /** It is there for the others, with what they are to know of it. */
  enter(topic: string, member: HubMember, info: string | undefined): Result.Result<void, PresenceError> {
    const joined = this.presence.joinUnsafe(topic, { member: member.id, user: member.user ?? member.name, info })
    return Result.map(joined, () => {
      member.infos.set(topic, info)
      this.watch(topic, member)
    })
  }

  /** It is there no more, and told nothing. */
  leave(topic: string, member: HubMember): void {
    if (!member.infos.delete(topic)) return
    this.presence.leaveUnsafe(topic, member.id)
    const watched = this.watched.get(topic)
    watched?.members.delete(member)
    if (watched?.members.size !== 0) return
    this.watched.delete(topic)
    watched.stop()
  }

  private watch(topic: string, member: HubMember): void {
    const watched = this.watched.get(topic)
    if (watched !== undefined) return void watched.members.add(member)
    const members = new Set([member])
    const stop = this.presence.watchUnsafe(topic, (changes) => {
      const messages = changes.map((change) => Prepared.make(Message.text(printChange(topic, change))))
      for (const each of members) this.tell(topic, each, messages)
    })
    this.watched.set(topic, { members, stop })
  }

  private tell(topic: string, member: HubMember, messages: ReadonlyArray<Prepared.Prepared>): void {
    // What it is told when it has room says this, too.
    if (member.behind.has(topic)) return
    for (const message of messages) {
      if (member.sayUnsafe(message) !== "Full") continue
      member.behind.add(topic)
      this.run(this.tellAll(topic, member))
      return
    }
  }

  private tellAll(topic: string, member: HubMember): Effect.Effect<void> {
    return Effect.flatMap(member.room, () => {
      if (!member.infos.has(topic)) {
        member.behind.delete(topic)
        return Effect.void
      }
      const text = Prepared.make(Message.text(printPresent(this.presence, topic)))
      if (member.sayUnsafe(text) === "Full") return Effect.andThen(Effect.yieldNow, this.tellAll(topic, member))
      member.behind.delete(topic)
      return Effect.void
    })
  }
}
