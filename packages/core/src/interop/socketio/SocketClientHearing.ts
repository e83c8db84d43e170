/**
 * Events that have come, on their way to whoever listens for them.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { type Backlog, type Bound, isReached, Shelf } from "../../messaging/Backlog.ts"
import type { SocketClientError } from "./SocketClientError.ts"

/** What is listened to: events have a name. */
interface Named {
  readonly name: string
}

interface Kept<A> {
  readonly event: A
  readonly bytes: number
}

/** How it has ended: in order, or not. */
export type End = Exit.Exit<never, Cause.Done | SocketClientError>

export class SocketClientHearing<A extends Named> {
  /** Those of one name; those of all have `undefined` for one. A set stays, empty: somebody has listened once. */
  private readonly listeners = new Map<string | undefined, Set<Shelf<A>>>()
  /** What came when nobody had ever listened for it: the first one gets it. */
  private early: Array<Kept<A>> = []
  private earlyBytes = 0
  private end: End | undefined
  private readonly backlog: Backlog
  private readonly bound: Bound
  /** Events that nobody has listened for, and for which there was no room. */
  dropped = 0

  /** `bound`: what may wait for one listener, and what in all for those who are still to come. */
  constructor(backlog: Backlog, bound: Bound) {
    this.backlog = backlog
    this.bound = bound
  }

  /** Hands an event to all who listen for it. Where nobody ever has, it is kept. */
  put(event: A, bytes: number): void {
    const named = this.listeners.get(event.name)
    const all = this.listeners.get(undefined)
    if (named === undefined && all === undefined) return this.keep(event, bytes)
    // As it is now: some leave as soon as they are told, and come back in the same call, to hear what is next.
    for (const listeners of [named, all]) {
      const told = [...(listeners ?? [])]
      for (const listener of told) if (listeners!.has(listener)) listener.put(event, bytes)
    }
  }

  private keep(event: A, bytes: number): void {
    if (isReached(this.bound, this.early.length, this.earlyBytes)) {
      this.dropped++
      return
    }
    this.early.push({ event, bytes })
    this.earlyBytes += bytes
  }

  /** The events of a name, or all; from when the stream is first pulled, with those for which nobody had listened. */
  stream(name: string | undefined): Stream.Stream<A, SocketClientError> {
    const listening = Effect.acquireRelease(
      Effect.sync(() => this.listen(name)),
      (shelf) => Effect.sync(() => this.leave(name, shelf))
    )
    return Stream.scoped(Stream.fromPull(Effect.map(listening, (shelf) => this.pullOf(shelf))))
  }

  private listen(name: string | undefined): Shelf<A> {
    const shelf = new Shelf<A>(this.backlog, this.bound)
    const listeners = this.listeners.get(name)
    if (listeners === undefined) this.listeners.set(name, new Set([shelf]))
    else listeners.add(shelf)
    const { early } = this
    this.early = name === undefined ? [] : early.filter(({ event }) => event.name !== name)
    this.earlyBytes = this.early.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { bytes, event } of early) if (name === undefined || event.name === name) shelf.put(event, bytes)
    return shelf
  }

  private leave(name: string | undefined, shelf: Shelf<A>): void {
    this.listeners.get(name)?.delete(shelf)
    shelf.takeAll()
  }

  private pullOf(shelf: Shelf<A>): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, SocketClientError> {
    const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, SocketClientError> = Effect.suspend(() => {
      if (shelf.length > 0) return Effect.succeed(shelf.takeAll() as Arr.NonEmptyReadonlyArray<A>)
      return this.end ?? Effect.andThen(shelf.something, pull)
    })
    return pull
  }

  /** What has come is still handed out. */
  ended(end: End): void {
    this.end = end
    for (const listeners of this.listeners.values()) for (const listener of listeners) listener.wake()
  }
}
