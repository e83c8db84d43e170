/**
 * What stands between the nodes of a cluster: a log of what was published, that all of them can write to and hear.
 *
 * What every broker promises, and `test/support/brokerKit` checks:
 *
 * - **Order.** A publication gets an offset when it is published. A topic is delivered in the order of offsets, the same
 *   on every node; so are all topics of an attachment together, as long as the server tells them so and no more than
 *   16 MiB has to wait for what is read again: one position says where a reader is in all of them. Of one
 *   publisher that waits for each, that is the order in which it published.
 * - **Once.** What is subscribed to is delivered once to each attachment that is there, from the position on that
 *   `subscribe` gave, or it lies inside a gap that is told by `lost`. A repeat, known by its key within the window, is
 *   acknowledged with the position of the first and not delivered again.
 * - **No silence.** When continuity is lost (the broker was not reachable, has forgotten, or is another one than before)
 *   what was missed is delivered from the history, in order, before anything newer; what is not there any more is told by
 *   `lost`. So is all of it when the epoch is a new one.
 * - **Down is a state.** While the broker cannot be reached, `publish` fails with `Unavailable` in bounded time,
 *   `status` says so, and subscriptions are kept and restored on return.
 *
 * A message that was acknowledged is as durable as the broker is: see docs/guides/cluster.md, which has the table.
 * Not in here: who listens on this node (`Hub`), and how a server is spoken to (`Engine`).
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { BrokerError } from "./BrokerError.ts"
import type { Missed } from "./History.ts"
import type { Key, Parcel } from "./Parcel.ts"
import type { Position } from "./Position.ts"

/** A publication that has its place. */
export interface Delivery {
  readonly topic: string
  readonly position: Position
  readonly parcel: Parcel
}

/** What was published to a topic in between may not have been delivered. */
export interface Gap {
  readonly topic: string
  /** Where the attachment was; `undefined` when it had been told nothing yet. */
  readonly from: Position | undefined
  /** Behind which it is told everything again. */
  readonly to: Position
}

/** Who is told of what was published. It is called in the turn in which the news comes, and must not throw. */
export interface Subscriber {
  readonly deliver: (delivery: Delivery) => void
  readonly lost: (gap: Gap) => void
}

/** The subscriptions of one subscriber. */
export interface Attachment {
  /**
   * Succeeds when the topic is subscribed to, with the position behind which everything is delivered; `undefined` while
   * the broker cannot be reached: the subscription is made on return, and a gap told. A topic that is subscribed to
   * already stays so. Fails when the broker refuses.
   */
  readonly subscribe: (topic: string) => Effect.Effect<Position | undefined, BrokerError>
  /** At once; nothing of the topic is delivered from now on. */
  readonly unsubscribe: (topic: string) => void
}

/** What the publisher of something is told. */
export interface Receipt {
  /** The publication's own. */
  readonly position: Position
  /** It was there already, known by its key: nothing was delivered now. */
  readonly repeated: boolean
}

/** Whether the broker can be reached. */
export type Status =
  /** It never was, and is being tried. */
  | { readonly _tag: "Connecting" }
  | { readonly _tag: "Up"; readonly since: number }
  /** Since when in milliseconds, why, and how often it was tried since. */
  | { readonly _tag: "Down"; readonly since: number; readonly error: BrokerError; readonly attempts: number }

/** A broker, as a service. */
export class Broker extends Context.Service<
  Broker,
  {
    /** What it is, for people: `memory`, `redis`, `nats`, `workers`. */
    readonly name: string
    /** Whether it is in this process, is always up, and has delivered when `publish` succeeds. */
    readonly isLocal: boolean
    /** This node's, as no other's: random text of base64url, made anew each time. */
    readonly node: string
    /** As long as the scope is open. */
    readonly attach: (subscriber: Subscriber) => Effect.Effect<Attachment, never, Scope.Scope>
    /** Succeeds when it is in the log. Safe to be interrupted, but then nobody knows whether it is. */
    readonly publish: (topic: string, parcel: Parcel) => Effect.Effect<Receipt, BrokerError>
    /**
     * What was published to these topics behind a position, as far as it is kept; all that is kept for `undefined`,
     * with a gap.
     */
    readonly since: (
      topics: ReadonlyArray<string>,
      position: Position | undefined
    ) => Effect.Effect<Missed<Parcel>, BrokerError>
    /** Where a reader is that has missed nothing. */
    readonly position: Effect.Effect<Position, BrokerError>
    /**
     * Tells all who `hear` the channel, on all nodes, this one too: at most once, in the order of this node, and not
     * kept. At most `maxCastBytes`. For what nodes say to each other.
     */
    readonly cast: (channel: string, bytes: Uint8Array) => Effect.Effect<void, BrokerError>
    /** Succeeds when it hears, or will when the broker is back; as long as the scope is open. `heard` must not throw. */
    readonly hear: (
      channel: string,
      heard: (bytes: Uint8Array) => void
    ) => Effect.Effect<void, BrokerError, Scope.Scope>
    readonly status: () => Status
    /** The status as it is, and each one after it. */
    readonly statuses: Stream.Stream<Status>
  }
>()("@millrace/core/cluster/Broker") {}

/** Most bytes of a cast. */
export const maxCastBytes = 262_144

/** What of publications is kept, and for how long repeats are known. Brokers may keep more. */
export interface Retention {
  /** Publications of one topic. Default 1,000. */
  readonly maxEntries?: number | undefined
  /** How long. Default 5 minutes. */
  readonly maxAge?: Duration.Input | undefined
  /** For how long a repeat is known. Default 2 minutes. */
  readonly repeatWindow?: Duration.Input | undefined
}

export type { Key, Missed, Parcel, Position }
