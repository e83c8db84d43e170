/**
 * What a client of the hub gets of a topic, as plain values.
 */
import type { Present as User } from "./HubMessage.ts"
import type { Position } from "./Position.ts"

export type { User }

/** The first element: the hub has the subscription, and whatever is not told from here on lies in a `Gap`. */
export interface Subscribed {
  readonly _tag: "Subscribed"
  readonly topic: string
  /** Where the stream begins; `undefined` where the hub does not know. */
  readonly position: Position | undefined
}

/** What was published. */
export interface Message {
  readonly _tag: "Message"
  readonly topic: string
  /** Any value of JSON, as its publisher said it. */
  readonly data: unknown
  /** Who published: a name that proves nothing, or `@http`. */
  readonly from: string
  /** When the hub took it, in milliseconds since 1970, by the hub's clock. */
  readonly time: number
  /** Behind it; `undefined` for what has no place in the log. */
  readonly position: Position | undefined
}

/** Something of the topic did not reach this stream, or may not have. No `Gap`, nothing lost. */
export interface Gap {
  readonly _tag: "Gap"
  readonly topic: string
  readonly from: Position | undefined
  readonly to: Position | undefined
}

/** What the stream has got its place since: it is there. */
export interface Advanced {
  readonly _tag: "Advanced"
  readonly topic: string
  readonly position: Position
}

/** The hub has moved the client to another topic. What follows is of that one. */
export interface Moved {
  readonly _tag: "Moved"
  /** Where it is now. */
  readonly topic: string
  readonly from: string
  readonly position: Position | undefined
}

/** Who is there: replaces what was known. */
export interface Present {
  readonly _tag: "Present"
  readonly topic: string
  /** At most 1,000 of them. */
  readonly users: ReadonlyArray<User>
  /** How many there are. */
  readonly count: { readonly users: number; readonly connections: number }
}

/** A user is there now, is there in another way, or was there. */
export interface Change {
  readonly _tag: "Joined" | "Left" | "Updated"
  readonly topic: string
  readonly user: User
}

/** The hub does not show who is there, or has no room for this client among them. Messages come all the same. */
export interface NoPresence {
  readonly _tag: "NoPresence"
  readonly topic: string
  readonly detail: string
}

/** What every subscription gives. */
export type Element = Advanced | Gap | Message | Moved | Subscribed

/** What one with `presence` gives besides. */
export type PresenceElement = Change | NoPresence | Present
