/**
 * A server that others run, as `EngineBroker` needs it to make a broker of it: Redis, NATS, the hub of several workers.
 * One who writes an engine says how to append and read, and reports what it hears; order, repeats, gaps, restored
 * subscriptions and the status are made by `EngineBroker`, once for all engines.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BrokerError } from "./BrokerError.ts"
import type { Key } from "./Parcel.ts"
import type { Position } from "./Position.ts"

/** A publication as the engine tells of it. */
export interface Appended {
  readonly topic: string
  readonly position: Position
  /**
   * The offset of the one before it in the same topic: 0 for none. `undefined` when the engine does not know any more,
   * which says that nothing was for very long.
   */
  readonly previous: number | undefined
  /** A `Parcel`. */
  readonly bytes: Uint8Array
}

/** What is told of, in the turn in which it is heard. The bytes are not touched again. */
export interface Receiver {
  /**
   * In any order, several times, or not at all: as it comes. But where something may have been lost the link ends, as
   * the last publication of a topic is missed by nobody.
   */
  readonly appended: (appended: Appended) => void
  /** Once at most, in the order in which its node has cast. */
  readonly heard: (channel: string, bytes: Uint8Array) => void
}

/** What was appended to a topic behind an offset. */
export interface Tail {
  /** In order, the oldest first; all that are kept behind the offset, up to `to` at least. Each is of `to.epoch`. */
  readonly entries: ReadonlyArray<{ readonly offset: number; readonly bytes: Uint8Array }>
  /** Whether something behind the offset is not kept any more, or may have been. */
  readonly gap: boolean
  /** The log's position when it was read. */
  readonly to: Position
}

/** A connection to the server, as long as its scope is open. Its calls may be made at the same time. */
export interface Link {
  /** Appends and tells all who listen, this node too, in one step. Succeeds with the position, of the first if it is a repeat. */
  readonly append: (
    topic: string,
    bytes: Uint8Array,
    key: Key | undefined
  ) => Effect.Effect<{ readonly position: Position; readonly repeated: boolean }, BrokerError>
  /** `after` of another epoch than the log's, or `undefined`, is 0 with a gap. Knows what was appended before it was asked. */
  readonly since: (topic: string, after: Position | undefined) => Effect.Effect<Tail, BrokerError>
  /** The log's position. Asked now and then to know whether the server is there. */
  readonly position: Effect.Effect<Position, BrokerError>
  /** Succeeds when what is appended to them from now on will be told. */
  readonly listen: (topics: ReadonlyArray<string>) => Effect.Effect<void, BrokerError>
  readonly unlisten: (topics: ReadonlyArray<string>) => void
  /** Lets all hear it, this node too. */
  readonly cast: (channel: string, bytes: Uint8Array) => Effect.Effect<void, BrokerError>
  /** Succeeds when what is cast from now on will be told. */
  readonly hear: (channels: ReadonlyArray<string>) => Effect.Effect<void, BrokerError>
  readonly unhear: (channels: ReadonlyArray<string>) => void
  /** Succeeds with why when the connection is gone. It is not made again: whoever needs one opens another. */
  readonly ended: Effect.Effect<BrokerError>
}

export interface Engine {
  /** For people. */
  readonly name: string
  /** Most bytes of a parcel, and of a cast. */
  readonly maxBytes: number
  /** Longest name of a topic or a channel, in bytes of UTF-8. Default 65,535. */
  readonly maxNameBytes?: number
  /** Connects. Fails when it cannot, within a time of its own or when it is interrupted. */
  readonly open: (receiver: Receiver) => Effect.Effect<Link, BrokerError, Scope.Scope>
}
