/**
 * Topics and who listens to them, in one process: a message that is published once reaches every member.
 *
 * A publication is one loop over the members with the same bytes: no fiber, no queue entry and no copy for a member
 * that keeps up. Delivery is at most once, in the order of publication for each topic. Not here: what clients say to
 * join and publish (`HubSession`), what was published before (`History`), other nodes, presence.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as CloseCode from "../codec/CloseCode.ts"
import * as Prepared from "../connection/Prepared.ts"
import type { Written } from "../connection/WebSocket.ts"
import type { Message, Sendable } from "../protocol/Message.ts"
import type { History } from "./History.ts"
import * as Position from "./Position.ts"
import { Publication } from "./Publication.ts"

/** What a member must be able to do: any WebSocket can, and any event stream. */
export interface Member {
  /**
   * Writes now or not at all, and tells which. `publication` is for whoever sends something else than the message as it
   * is: another encoding of it, or its position. Never suspends, never fails.
   */
  readonly tryWriteUnsafe: (message: Prepared.Prepared, publication: Publication) => Written
  /** Ends the connection, in its own time. The code is one of WebSocket's. */
  readonly close: (code: number, reason: string) => Effect.Effect<unknown, unknown>
}

/** What happens to a member whose outbox is full when a message comes. */
export type SlowConsumer =
  /** It does not get this message, and is not told. */
  | { readonly _tag: "DropNewest" }
  /** It is closed with this code, and can come back when it has the time. */
  | { readonly _tag: "Disconnect"; readonly code: number }

/** What a hub does with members that do not keep up, and with what was published. */
export interface Options {
  /** Default: `Disconnect` with 1013, Try Again Later. */
  readonly slowConsumer?: SlowConsumer | undefined
  /** Keeps what is published. From then on publications have a position. Default: none. */
  readonly history?: History<Message> | undefined
}

/** What slow members have cost since the hub was made. */
export interface Counters {
  readonly dropped: number
  readonly disconnected: number
}

/** The hub of a program, as a service. */
export class Hub extends Context.Service<
  Hub,
  {
    /** Makes a member of a topic as long as the scope is open. Joining twice is being in it once. */
    readonly join: (topic: string, member: Member) => Effect.Effect<void, never, Scope.Scope>
    /** The same without a scope: whoever joins has to leave. `false` when nothing changed. */
    readonly joinUnsafe: (topic: string, member: Member) => boolean
    readonly leaveUnsafe: (topic: string, member: Member) => boolean
    /** Sends to every member of a topic and succeeds with the number of those that it was written to. */
    readonly publish: (topic: string, message: Sendable | Prepared.Prepared) => Effect.Effect<number>
    /** How many topics have a member now. */
    readonly topics: () => number
    /** How many members a topic has now. */
    readonly members: (topic: string) => number
    readonly counters: () => Counters
  }
>()("@millrace/core/cluster/Hub") {
  static readonly layer = (options?: Options): Layer.Layer<Hub> => Layer.effect(Hub, make(options))
}

/** A hub of its own. It needs no scope: what it holds are its members, and they leave. */
export const make = (options: Options = {}): Effect.Effect<Hub["Service"]> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const slowConsumer = options.slowConsumer ?? { _tag: "Disconnect", code: CloseCode.CloseCode.tryAgainLater }
      if (slowConsumer._tag === "Disconnect" && !CloseCode.isOnWire(slowConsumer.code)) {
        throw new TypeError(`${slowConsumer.code} is not a close code that may be sent`)
      }
      const topics = new Map<string, Set<Member>>()
      const { history } = options
      const clock = Context.get(context, Clock.Clock)
      const counters = { dropped: 0, disconnected: 0 }
      const run = Effect.runForkWith(context)

      const joinUnsafe = (topic: string, member: Member): boolean => {
        const members = topics.get(topic)
        if (members?.has(member) === true) return false
        if (members === undefined) topics.set(topic, new Set([member]))
        else members.add(member)
        return true
      }

      const leaveUnsafe = (topic: string, member: Member): boolean => {
        const members = topics.get(topic)
        const left = members?.delete(member) === true
        if (members?.size === 0) topics.delete(topic)
        return left
      }

      const outrun = (topic: string, member: Member): void => {
        if (slowConsumer._tag === "DropNewest") {
          counters.dropped++
          return
        }
        // It leaves at once, so that it is told once; closing takes as long as the connection allows.
        leaveUnsafe(topic, member)
        counters.disconnected++
        run(Effect.ignore(member.close(slowConsumer.code, "too slow")))
      }

      const publishUnsafe = (topic: string, message: Sendable | Prepared.Prepared): number => {
        const members = topics.get(topic)
        if (members === undefined && history === undefined) return 0
        const prepared = message instanceof Prepared.Prepared ? message : Prepared.make(message)
        const position = history?.append(topic, prepared.message, prepared.length, clock.currentTimeMillisUnsafe())
        if (members === undefined) return 0
        const publication = new Publication(
          topic,
          prepared,
          position === undefined ? undefined : Position.print(position)
        )
        let written = 0
        const slow: Array<Member> = []
        for (const member of members) {
          const result = member.tryWriteUnsafe(prepared, publication)
          if (result === "Written") written++
          else if (result === "Full") slow.push(member)
        }
        // Closing wakes who waits to send, who may publish: not before everybody has this message.
        for (const member of slow) outrun(topic, member)
        return written
      }

      return Hub.of({
        join: (topic, member) =>
          Effect.acquireRelease(
            Effect.sync(() => joinUnsafe(topic, member)),
            (joined) => Effect.sync(() => joined && leaveUnsafe(topic, member))
          ),
        joinUnsafe,
        leaveUnsafe,
        publish: (topic, message) => Effect.sync(() => publishUnsafe(topic, message)),
        topics: () => topics.size,
        members: (topic) => topics.get(topic)?.size ?? 0,
        counters: () => ({ ...counters })
      })
    })
  )
