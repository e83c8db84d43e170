/**
 * Presence for clients of AnyCable's protocol: who is in a topic, over all nodes, whatever wire they use. One for all
 * clients of a server.
 *
 * A change is looked at once for all who are told, and printed once for those who have the same identifier. The protocol
 * has no word for another info: it is told as somebody who joins again.
 */
import * as Result from "effect/Result"
import type { Change, Presence } from "../../cluster/Presence.ts"
import { toJson } from "../../cluster/JsonText.ts"
import * as Prepared from "../../connection/Prepared.ts"
import * as Packet from "./Packet.ts"

/** Most users of one answer. How many there are is said beside them. */
export const maxUsers = 1_000

/** Who is told: a subscription. */
export interface Listener {
  readonly identifier: string
  readonly tellUnsafe: (prepared: Prepared.Prepared) => void
}

interface Watched {
  readonly listeners: Set<Listener>
  readonly stop: () => void
}

type Event = Packet.PresenceEvent["event"]

export class CablePresence {
  private readonly presence: Presence["Service"]
  private readonly watched = new Map<string, Watched>()

  constructor(presence: Presence["Service"]) {
    this.presence = presence
  }

  /** How many topics are watched. */
  get size(): number {
    return this.watched.size
  }

  /** `member` is there for the others as `id`. `false` where it cannot be: an info too long, a topic too full. */
  join(topic: string, member: string, { id, info }: Packet.Present): boolean {
    const joining = { member, user: id, info: toJson(info ?? null) }
    return Result.isSuccess(this.presence.joinUnsafe(topic, joining))
  }

  /** It is there no more. The others are told when it has not come back in a few seconds: see `Presence`. */
  leave(topic: string, member: string): void {
    this.presence.leaveUnsafe(topic, member)
  }

  /** Who is there now. */
  info(topic: string, hasRecords: boolean): Event {
    const { users: total } = this.presence.count(topic)
    if (!hasRecords) return { type: "info", total, records: undefined }
    const users = this.presence.users(topic).slice(0, maxUsers)
    return { type: "info", total, records: users.map(({ info, user }) => ({ id: user, info: JSON.parse(info) })) }
  }

  /** Tells who comes and goes from now on, until the function is called that it gives. */
  watch(topic: string, listener: Listener): () => void {
    const watched = this.watched.get(topic) ?? this.begin(topic)
    watched.listeners.add(listener)
    return () => {
      if (!watched.listeners.delete(listener) || watched.listeners.size > 0) return
      this.watched.delete(topic)
      watched.stop()
    }
  }

  private begin(topic: string): Watched {
    const listeners = new Set<Listener>()
    // What those who are told know of whom.
    const known = new Map(this.presence.users(topic).map(({ info, user }) => [user, info]))
    const stop = this.presence.watchUnsafe(topic, (changes) => {
      for (const change of changes) {
        const event = eventOf(change, known)
        if (event !== undefined) tell(listeners, event)
      }
    })
    const watched = { listeners, stop }
    this.watched.set(topic, watched)
    return watched
  }
}

const eventOf = ({ _tag, user: { info, user } }: Change, known: Map<string, string>): Event | undefined => {
  if (_tag === "Left") {
    known.delete(user)
    return { type: "leave", id: user }
  }
  // More connections of somebody are nothing new.
  if (known.get(user) === info) return undefined
  known.set(user, info)
  return { type: "join", id: user, info: JSON.parse(info) }
}

const tell = (listeners: ReadonlySet<Listener>, event: Event): void => {
  const printed = new Map<string, Prepared.Prepared | undefined>()
  for (const { identifier, tellUnsafe } of listeners) {
    if (!printed.has(identifier)) {
      const text = Packet.encodeTransmission({ _tag: "PresenceEvent", identifier, event })
      printed.set(identifier, Result.isSuccess(text) ? Prepared.make(text.success) : undefined)
    }
    const prepared = printed.get(identifier)
    if (prepared !== undefined) tellUnsafe(prepared)
  }
}
