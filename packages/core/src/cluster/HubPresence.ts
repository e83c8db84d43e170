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
import type { HubMember, Shown } from "./HubMember.ts"
import * as HubMessage from "./HubMessage.ts"
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

/** One client in one topic. */
interface There {
  readonly info: string | undefined
  /** It was moved here, and there was no room for it: it is told so, and is not there. */
  readonly refused: PresenceError | undefined
  /**
   * Told what changes; or `Behind`, and told everything when it has room; or `Moved`, and told everything when it knows
   * that it was.
   */
  state: "Told" | "Behind" | "Moved"
}

/** Who is told of one topic. */
interface Watched {
  readonly members: Map<HubMember, There>
  readonly stop: () => void
}

/** One for all clients of a node. Nothing is kept of who is not there. */
export class HubPresence implements Shown {
  readonly presence: Presence["Service"]
  private readonly run: (effect: Effect.Effect<void>) => void
  private readonly watched = new Map<string, Watched>()

  constructor(presence: Presence["Service"], run: (effect: Effect.Effect<void>) => void) {
    this.presence = presence
    this.run = run
  }

  /** How many topics are watched. */
  get size(): number {
    return this.watched.size
  }

  /** It is there for the others, with what they are to know of it. Failed, nothing has changed. */
  enter(topic: string, member: HubMember, info: string | undefined): Result.Result<void, PresenceError> {
    return Result.map(this.join(topic, member, info), () =>
      this.watch(topic, member, { info, refused: undefined, state: "Told" })
    )
  }

  /** It is there no more, and told nothing. */
  leave(topic: string, member: HubMember): void {
    this.part(topic, member)
  }

  taken(member: HubMember, from: string, to: string | undefined): void {
    const there = this.part(from, member)
    // Where it is already it stays, as it is.
    if (there === undefined || to === undefined || this.thereOf(to, member) !== undefined) return
    const { info } = there
    const joined = this.join(to, member, info)
    const refused = Result.isFailure(joined) ? joined.failure : undefined
    this.watch(to, member, { info, refused, state: "Moved" })
  }

  arrived(member: HubMember, topic: string): void {
    const there = this.thereOf(topic, member)
    if (there?.state === "Moved") this.tellAll(topic, member, there)
  }

  private thereOf(topic: string, member: HubMember): There | undefined {
    return this.watched.get(topic)?.members.get(member)
  }

  private join(topic: string, member: HubMember, info: string | undefined) {
    return this.presence.joinUnsafe(topic, { member: member.id, user: member.user ?? member.name, info })
  }

  private part(topic: string, member: HubMember): There | undefined {
    const watched = this.watched.get(topic)
    const there = watched?.members.get(member)
    if (watched === undefined || there === undefined) return undefined
    watched.members.delete(member)
    if (watched.members.size === 0) {
      this.watched.delete(topic)
      watched.stop()
    }
    if (there.refused === undefined) this.presence.leaveUnsafe(topic, member.id)
    return there
  }

  private watch(topic: string, member: HubMember, there: There): void {
    member.shown = this
    const watched = this.watched.get(topic)
    if (watched !== undefined) return void watched.members.set(member, there)
    const members = new Map([[member, there]])
    const stop = this.presence.watchUnsafe(topic, (changes) => {
      const messages = changes.map((change) => Prepared.make(Message.text(printChange(topic, change))))
      for (const [each, there] of members) this.tell(topic, each, there, messages)
    })
    this.watched.set(topic, { members, stop })
  }

  private tell(topic: string, member: HubMember, there: There, messages: ReadonlyArray<Prepared.Prepared>): void {
    // What it is told later says this, too.
    if (there.state !== "Told") return
    for (const message of messages) if (member.sayUnsafe(message) === "Full") return this.wait(topic, member, there)
  }

  private tellAll(topic: string, member: HubMember, there: There): void {
    // It has left, or has come again and was told.
    if (this.thereOf(topic, member) !== there) return
    const text =
      there.refused === undefined
        ? printPresent(this.presence, topic)
        : HubMessage.encode(HubMessage.refuse("no-presence", undefined, there.refused.message))
    if (member.sayUnsafe(Prepared.make(Message.text(text))) === "Full") return this.wait(topic, member, there)
    there.state = "Told"
    if (there.refused !== undefined) this.part(topic, member)
  }

  /** Told everything as soon as there is room. */
  private wait(topic: string, member: HubMember, there: There): void {
    there.state = "Behind"
    const tellAll = Effect.sync(() => this.tellAll(topic, member, there))
    // Room was told of, and may be gone already.
    this.run(Effect.andThen(member.room, Effect.andThen(Effect.yieldNow, tellAll)))
  }
}
