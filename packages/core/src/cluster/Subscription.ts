/**
 * Topics as a stream, in the process of the hub: what is published, in order, and what could not be had of it.
 *
 * A subscription is a member like any other. It has room for `capacity` elements that nobody has pulled yet; beyond that
 * it is a slow consumer, with which the hub deals by its policy.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { Prepared } from "../connection/Prepared.ts"
import type { Written } from "../connection/WebSocket.ts"
import type { Message } from "../protocol/Message.ts"
import type { BrokerError } from "./BrokerError.ts"
import type { Hub } from "./Hub.ts"
import type { Member, Notice } from "./Member.ts"
import * as Position from "./Position.ts"
import type { Publication } from "./Publication.ts"
import type { SeatOptions } from "./Topics.ts"

/** What was published. */
export interface Published {
  readonly _tag: "Message"
  /** Empty for what was published to a target. */
  readonly topic: string
  readonly message: Message
  /** Behind it; `undefined` for what has no place in the log. */
  readonly position: Position.Position | undefined
}

/** One element: a message, or what else there is to be told, a `Gap` above all. */
export type Element = Published | Notice

/** The hub has closed the subscription, being too slow by the hub's policy. What was had before comes before it. */
export class Closed extends Data.TaggedError("Closed")<{ readonly code: number; readonly reason: string }> {
  override get message(): string {
    return `the hub has closed the subscription: ${this.code} ${this.reason}`
  }
}

export interface Options extends SeatOptions {
  /** Where the reader was: it gets what it missed, in order, or a `Gap`. Default: it begins now. */
  readonly since?: Position.Position | undefined
  /** Elements that wait to be pulled, at most. Default 256. */
  readonly capacity?: number | undefined
  /** By which it is left out of what is published, sent to, kicked or moved. Default: none. */
  readonly id?: string | undefined
}

export const defaultCapacity = 256

class Reader<A> implements Member {
  readonly id: string | undefined
  /** Those that it is in, or on its way into. */
  readonly topics: Set<string>
  private readonly capacity: number
  private items: Array<A | Element> = []
  private wake: (() => void) | undefined
  private waiting: Array<() => void> = []
  private isClosed = false
  private failure: Effect.Effect<never, unknown> | undefined
  /** What is published up to here is known already. */
  after: Position.Position | undefined

  constructor(topics: ReadonlyArray<string>, capacity: number, id: string | undefined) {
    this.topics = new Set(topics)
    this.capacity = capacity
    this.id = id
  }

  tryWriteUnsafe({ message }: Prepared, { at: position, topic }: Publication): Written {
    const isKnown = position !== undefined && this.after !== undefined && !Position.isBehind(position, this.after)
    return isKnown ? "Written" : this.add({ _tag: "Message", topic, message, position })
  }

  tellUnsafe(notice: Notice): Written {
    const written = this.add(notice)
    if (written !== "Written") return written
    if (notice._tag === "Moved") this.topics.add(notice.to).delete(notice.from)
    if (notice._tag === "Kicked") this.topics.delete(notice.topic)
    if (this.topics.size === 0) this.end(Cause.done())
    return written
  }

  add(item: A | Element): Written {
    if (this.isClosed) return "NotOpen"
    if (this.items.length >= this.capacity) return "Full"
    this.items.push(item)
    this.stir()
    return "Written"
  }

  /** Waits for room. */
  put(item: A | Element): Effect.Effect<void> {
    return Effect.suspend(() => (this.add(item) === "Full" ? Effect.andThen(this.room, this.put(item)) : Effect.void))
  }

  get room(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.isClosed || this.items.length < this.capacity) return resume(Effect.void)
      const go = () => resume(Effect.void)
      this.waiting.push(go)
      return Effect.sync(() => {
        this.waiting = this.waiting.filter((other) => other !== go)
      })
    })
  }

  close(code: number, reason: string): Effect.Effect<void> {
    return Effect.sync(() => this.end(Effect.fail(new Closed({ code, reason }))))
  }

  /** Once: nothing is added from now on, and what is there comes first. */
  end(failure: Effect.Effect<never, unknown>): void {
    if (this.isClosed) return
    this.isClosed = true
    this.failure = failure
    this.stir()
    this.makeRoom()
  }

  /** All that there is, when there is something. */
  readonly take: Effect.Effect<Arr.NonEmptyReadonlyArray<A | Element>, unknown> = Effect.callback((resume) => {
    const go = () => {
      const { items } = this
      if (items.length > 0) {
        this.items = []
        // Behind the array that is handed over, so that what is written now is in the next.
        this.makeRoom()
        return resume(Effect.succeed(items as unknown as Arr.NonEmptyReadonlyArray<A | Element>))
      }
      if (this.failure !== undefined) return resume(this.failure)
      this.wake = go
    }
    go()
    return Effect.sync(() => {
      this.wake = undefined
    })
  })

  private stir(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

  private makeRoom(): void {
    for (const go of this.waiting.splice(0)) go()
  }
}

type Service = Hub["Service"]

/** A stream of a member that is in the topics as long as it runs. */
const read = <A, E>(
  hub: Service,
  topics: ReadonlyArray<string>,
  { capacity = defaultCapacity, filter, id, since }: Options,
  admitted: (reader: Reader<A>, at: Position.Position | undefined) => Effect.Effect<void, E>
): Stream.Stream<A | Element, BrokerError | Closed | E> => {
  if (!(capacity >= 1)) throw new RangeError(`a subscription with room for ${capacity} elements gets none`)
  return Stream.unwrap(
    Effect.gen(function* () {
      const reader = new Reader<A>(topics, capacity, id)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          reader.end(Cause.done())
          for (const topic of topics) hub.departUnsafe(topic, reader)
        })
      )
      // In a fiber of its own: it waits for what is read here.
      const entering = hub.enter(topics, reader, { since, filter, admitted: (at) => admitted(reader, at) })
      const failed = Effect.onError(entering, (cause) => Effect.sync(() => reader.end(Effect.failCause(cause))))
      yield* Effect.forkScoped(Effect.exit(failed), { startImmediately: true })
      const pull = reader.take as Pull.Pull<Arr.NonEmptyReadonlyArray<A | Element>, BrokerError | Closed | E>
      return Stream.fromPull(Effect.succeed(pull))
    })
  )
}

/**
 * What is published to topics, from when the stream is run on, or from a position. Ends when it was kicked out of all of
 * them. Fails with `Closed` when it was too slow, and with a `BrokerError` when the topics cannot be subscribed to or
 * what was missed cannot be read. Throws a `RangeError` for a capacity below 1.
 */
export const stream = (
  hub: Service,
  topics: ReadonlyArray<string>,
  options: Options = {}
): Stream.Stream<Element, BrokerError | Closed> => read<never, never>(hub, topics, options, () => Effect.void)

/** The state of something as it was read. */
export interface Snapshot<out A> {
  readonly _tag: "Snapshot"
  readonly value: A
  /** What is published up to here is in it. */
  readonly position: Position.Position | undefined
}

/**
 * A state, and then everything that is published behind it. The topic is subscribed to first, then `snapshot` is run
 * with where that begins; so nothing is missed in between. When it tells its own position, nothing of what follows is in
 * it already, and what is behind an older one is read from the log; when it does not, what was published while it was
 * read follows, and may be in it. Fails as `snapshot` does.
 */
export const snapshotThenLive = <A, E, R>(
  hub: Service,
  topic: string,
  snapshot: (
    at: Position.Position | undefined
  ) => Effect.Effect<{ readonly value: A; readonly position?: Position.Position | undefined }, E, R>,
  options: Omit<Options, "since"> = {}
): Stream.Stream<Snapshot<A> | Element, BrokerError | Closed | E, R> =>
  Stream.unwrap(
    Effect.map(Effect.context<R>(), (context) =>
      read<Snapshot<A>, BrokerError | E>(hub, [topic], options, (reader, at) =>
        Effect.gen(function* () {
          const { position, value } = yield* Effect.provideContext(snapshot(at), context)
          yield* reader.put({ _tag: "Snapshot", value, position: position ?? at })
          if (position === undefined) return
          reader.after = position
          const isOlder = at !== undefined && (position.epoch !== at.epoch || position.offset < at.offset)
          if (!isOlder) return
          const { entries, gap, to } = yield* hub.since([topic], position)
          const missed = entries.filter(({ offset }) => to.epoch !== at.epoch || offset <= at.offset)
          if (gap.length > 0) {
            const end = { epoch: to.epoch, offset: (missed[0]?.offset ?? at.offset + 1) - 1 }
            yield* reader.put({ _tag: "Gap", topics: gap, from: position, to: end })
          }
          for (const { offset, value: parcel } of missed) {
            if (options.id !== undefined && parcel.except.includes(options.id)) continue
            yield* reader.put({
              _tag: "Message",
              topic,
              message: parcel.message,
              position: { epoch: to.epoch, offset }
            })
          }
        })
      )
    )
  )
