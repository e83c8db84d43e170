/**
 * Sessions of AnyCable's protocol that a client can come back to, by a name that nobody can guess: what it was subscribed
 * to, and as which user. They are kept on this node, for a bounded time and in bounded memory; a name that is not known
 * here, or is another user's, is that of no session. Each name can be come back with once.
 *
 * No clock: `now` is in milliseconds, and does not go back. Not in here: who asks the channels again, which is
 * `CableSession`.
 */

/** Bounds of those that are away. Beyond them those that left first are forgotten. */
export interface Options {
  /** Most sessions. Default 10,000. */
  readonly maxSessions?: number | undefined
  /**
   * Most of all their identifiers, in UTF-16 units. One that has more than a 64th of it is not kept. Default 4,194,304.
   */
  readonly maxLength?: number | undefined
}

export const defaults = { maxSessions: 10_000, maxLength: 4_194_304 } as const

/** Most of `maxLength` that one session may have, so that one client does not make all others be forgotten. */
export const share = 1 / 64

/** Longest name that a client may bring, in UTF-16 units. Ours are shorter. */
export const maxSidLength = 64

/** Where a client says which session it had: `sid` in the query, or this header. */
export const parameter = "sid"
export const header = "x-anycable-restore-sid"

/** `undefined` where there is none, or one that is none of ours. Nothing else of it is checked. */
export const sidOf = (
  query: { readonly get: (name: string) => string | null },
  headerOf: (name: string) => string | undefined
): string | undefined => {
  const sid = headerOf(header) ?? query.get(parameter) ?? ""
  return sid === "" || sid.length > maxSidLength ? undefined : sid
}

interface Connected {
  readonly user: string | undefined
  readonly leave: () => ReadonlyArray<string>
}

interface Away {
  readonly user: string | undefined
  readonly identifiers: ReadonlyArray<string>
  readonly length: number
  readonly until: number
}

export class CableSessions {
  private readonly maxAway: number
  private readonly maxSessions: number
  private readonly maxLength: number
  private readonly connected = new Map<string, Connected>()
  /** Those that left first come first. */
  private readonly away = new Map<string, Away>()
  private length = 0

  /** `maxAway`: how long they are kept, in milliseconds. */
  constructor(maxAway: number, options: Options = {}) {
    this.maxAway = maxAway
    this.maxSessions = options.maxSessions ?? defaults.maxSessions
    this.maxLength = options.maxLength ?? defaults.maxLength
  }

  /** How many are away, those counted whose time is over and that were not forgotten yet. */
  get size(): number {
    return this.away.size
  }

  /** How many are connected. */
  get connections(): number {
    return this.connected.size
  }

  /** A client is connected. `leave` ends its connection when it comes back on another, and says what it has here. */
  connect(sid: string, user: string | undefined, leave: () => ReadonlyArray<string>): void {
    this.connected.set(sid, { user, leave })
  }

  /** A connection has ended. One that has nothing, or was come back to already, is not kept. */
  depart(sid: string, identifiers: ReadonlyArray<string>, now: number): void {
    const session = this.connected.get(sid)
    this.connected.delete(sid)
    const length = identifiers.reduce((sum, identifier) => sum + identifier.length, 0)
    if (session === undefined || length === 0 || length > this.maxLength * share) return
    this.away.set(sid, { user: session.user, identifiers, length, until: now + this.maxAway })
    this.length += length
    this.expire(now)
  }

  /**
   * What the session has, which is over with that: also where its connection still is, which may be dead for long without
   * anybody having noticed. `undefined` where there is none for that user, whose session it stays.
   */
  take(sid: string, user: string | undefined, now: number): ReadonlyArray<string> | undefined {
    this.expire(now)
    const session = this.connected.get(sid) ?? this.away.get(sid)
    if (session === undefined || session.user !== user) return undefined
    this.connected.delete(sid)
    this.forget(sid)
    return "leave" in session ? session.leave() : session.identifiers
  }

  /** A user was put out: none of its sessions that are away can be come back to. They are walked. */
  dismiss(user: string): void {
    for (const [sid, session] of this.away) if (session.user === user) this.forget(sid)
  }

  /** Forgets those whose time is over. */
  expire(now: number): void {
    for (const [sid, { until }] of this.away) {
      if (until > now && this.away.size <= this.maxSessions && this.length <= this.maxLength) return
      this.forget(sid)
    }
  }

  private forget(sid: string): void {
    this.length -= this.away.get(sid)?.length ?? 0
    this.away.delete(sid)
  }
}
