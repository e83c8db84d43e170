/**
 * The messages of a session that nobody answers, on their way to whoever listens for their name.
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { type Backlog, type Bound, isReached, Shelf } from "./Backlog.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import type { SessionError } from "./SessionError.ts"

/** A message that came before anybody has listened for its name. */
export interface Early {
  /** When it came, among all that the peer has said. */
  readonly order: number
  readonly name: string
  readonly value: unknown
  /** What it takes. */
  readonly bytes: number
}

export class Hearing {
  private readonly listeners = new Map<string, Set<Shelf<unknown>>>()
  /** Of names that nobody has ever listened for: the first listener gets them. */
  private readonly early = new Map<string, Array<Early>>()
  private earlyCount = 0
  private earlyBytes = 0
  private readonly backlog: Backlog
  private readonly bound: Bound
  private end: SessionEnd | undefined

  /** `bound`: what may wait for one listener, and what in all for those who are still to come. */
  constructor(backlog: Backlog, bound: Bound) {
    this.backlog = backlog
    this.bound = bound
  }

  /**
   * Hands a message to all who listen; `false` when nobody does. Where nobody ever has it is kept, unless it was
   * `handled` otherwise.
   */
  put(name: string, value: unknown, handled: boolean, order: number): boolean {
    const listeners = this.listeners.get(name)
    const { bytes } = this.backlog
    if (listeners === undefined) return !handled && this.keep({ order, name, value, bytes })
    // As it is now: some leave as soon as they are told, and come back in the same call, to hear what is next.
    const told = [...listeners]
    for (const listener of told) if (listeners.has(listener)) listener.put(value, bytes)
    return told.length > 0
  }

  private keep(message: Early): boolean {
    if (isReached(this.bound, this.earlyCount, this.earlyBytes)) return false
    const kept = this.early.get(message.name)
    if (kept === undefined) this.early.set(message.name, [message])
    else kept.push(message)
    this.earlyCount++
    this.earlyBytes += message.bytes
    return true
  }

  /** What came for a name before anybody has listened for it. From now on nothing is kept. */
  takeEarly(name: string): ReadonlyArray<Early> {
    const early = this.early.get(name) ?? []
    this.early.delete(name)
    this.earlyCount -= early.length
    this.earlyBytes = early.reduce((left, { bytes }) => left - bytes, this.earlyBytes)
    return early
  }

  /**
   * The messages of a name, from when the stream is first pulled, with those that came before anybody has listened for
   * it. Ends with the session.
   */
  stream(name: string): Stream.Stream<unknown, SessionError> {
    const listening = Effect.acquireRelease(
      Effect.sync(() => this.listen(name)),
      (shelf) => Effect.sync(() => this.leave(name, shelf))
    )
    return Stream.scoped(Stream.fromPull(Effect.map(listening, (shelf) => this.pullOf(shelf))))
  }

  private listen(name: string): Shelf<unknown> {
    const shelf = new Shelf<unknown>(this.backlog, this.bound)
    const listeners = this.listeners.get(name)
    if (listeners === undefined) this.listeners.set(name, new Set([shelf]))
    else listeners.add(shelf)
    for (const { bytes, value } of this.takeEarly(name)) shelf.put(value, bytes)
    return shelf
  }

  /** The set stays, empty: who has listened once has had what was early. */
  private leave(name: string, shelf: Shelf<unknown>): void {
    this.listeners.get(name)?.delete(shelf)
    shelf.takeAll()
  }

  private pullOf(shelf: Shelf<unknown>): Pull.Pull<Arr.NonEmptyReadonlyArray<unknown>, SessionError> {
    const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<unknown>, SessionError> = Effect.suspend(() => {
      if (shelf.length > 0) return Effect.succeed(shelf.takeAll() as Arr.NonEmptyReadonlyArray<unknown>)
      return this.end?.forStreams ?? Effect.andThen(shelf.something, pull)
    })
    return pull
  }

  /** What has come is still handed out. */
  ended(end: SessionEnd): void {
    this.end = end
    for (const listeners of this.listeners.values()) for (const listener of listeners) listener.wake()
  }
}
