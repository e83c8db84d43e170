/**
 * Topics and who listens to them, on one node: what is published on any node reaches every member.
 *
 * The hub stands on a `Broker`, which gives each publication its place in a log that all nodes share. It delivers what
 * the broker does: in order and once to a member that stays, and to one that comes back with its position what it missed,
 * or a `Gap`. While the broker is away, members of this node still get what is published here.
 *
 * Not in here: what clients say to join and publish (`HubSession`), who is in a topic on all nodes (`Presence`).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Prepared from "../connection/Prepared.ts"
import type * as Message from "../protocol/Message.ts"
import { Broker, type Missed } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import { type EnterOptions, Entrance } from "./Entrance.ts"
import type { Member, Notice } from "./Member.ts"
import * as MemoryBroker from "./MemoryBroker.ts"
import type * as Parcel from "./Parcel.ts"
import type * as Position from "./Position.ts"
import { Publication } from "./Publication.ts"
import type { Published, PublishError, PublishOptions } from "./Published.ts"
import { Publishing, type WhenDown } from "./Publishing.ts"
import * as SlowConsumer from "./SlowConsumer.ts"
import { Spoken } from "./Spoken.ts"
import * as Target from "./Target.ts"
import * as TargetCast from "./TargetCast.ts"
import { type SeatOptions, Topics } from "./Topics.ts"

export { type Published, PublishError, type PublishOptions } from "./Published.ts"
export type { EnterOptions, Member, Notice, WhenDown }

/** What a hub does with members that do not keep up, and with its broker. */
export interface Options {
  /** For all topics, or for each. Default: `Disconnect` with 1013, Try Again Later. */
  readonly slowConsumer?: SlowConsumer.SlowConsumer | ((topic: string) => SlowConsumer.SlowConsumer) | undefined
  /** Default: `Fail`. */
  readonly whenDown?: WhenDown | undefined
}

/** What went through a hub since it was made. */
export interface Traffic {
  /** That this node got, or said to its own members while the broker was away. */
  publications: number
  /** To how many members they were written at once. */
  deliveries: number
}

/** A topic has a first member on this node, or had its last. */
export interface Lifecycle {
  readonly _tag: "Opened" | "Closed"
  readonly topic: string
}

/** How many of them somebody may be behind who reads `lifecycle`; the oldest are dropped then. */
export const lifecycleBehind = 4_096

/** The hub of a program, as a service. */
export class Hub extends Context.Service<
  Hub,
  {
    readonly broker: Broker["Service"]
    /** Makes a member of a topic as long as the scope is open. Joining twice is being in it once. */
    readonly join: <E = never, R = never>(
      topic: string,
      member: Member,
      options?: EnterOptions<E, R>
    ) => Effect.Effect<void, BrokerError | E, R | Scope.Scope>
    /**
     * The same for several topics and without a scope: whoever enters has to leave, also when it was interrupted, which
     * may have been when it was in. Succeeds when the member is in and has what it missed, or when it has gone; failed, it
     * is in none of them. Where it is in already, or on its way in, it stays, with the new filter. A member that is full and has no `room` is closed with 1013.
     */
    readonly enter: <E = never, R = never>(
      topics: ReadonlyArray<string>,
      member: Member,
      options?: EnterOptions<E, R>
    ) => Effect.Effect<void, BrokerError | E, R>
    /** At once; `false` when nothing changed. What other nodes publish it gets when the broker knows of it. */
    readonly joinUnsafe: (topic: string, member: Member, options?: SeatOptions) => boolean
    readonly leaveUnsafe: (topic: string, member: Member) => boolean
    /** Out of the topic, or of where it was moved to from there: for who made it enter, at its end. */
    readonly departUnsafe: (topic: string, member: Member) => void
    /**
     * Publishes to a topic, which gives it a place in the log; or to a target, which delivers it to who is there now, on
     * all nodes, at most once and without a key. Dies of a `RangeError` for a target that is nested deeper than 16.
     */
    readonly publish: (
      to: string | Target.Target,
      message: Message.Sendable | Prepared.Prepared,
      options?: PublishOptions
    ) => Effect.Effect<Published, PublishError>
    /** What was published to these topics behind a position, as far as it is kept. */
    readonly since: (
      topics: ReadonlyArray<string>,
      position: Position.Position | undefined
    ) => Effect.Effect<Missed<Parcel.Parcel>, BrokerError>
    /** Takes members of this node out of a topic, and tells them. Succeeds with how many. */
    readonly kick: (target: Target.Target, topic: string, reason: string) => Effect.Effect<number>
    /**
     * Takes members of this node out of one topic and into another in one step, and tells them. Succeeds with how many;
     * fails, with nobody moved, when the broker refuses.
     */
    readonly move: (target: Target.Target, from: string, to: string) => Effect.Effect<number, BrokerError>
    /** How many topics have a member here now, those on the way in counted. */
    readonly topics: () => number
    readonly names: () => Iterable<string>
    /** How many members a topic has here now, without those that are not admitted yet. */
    readonly members: (topic: string) => number
    /** The same by the wires that they have, `other` for those that have none. They are walked. */
    readonly wires: (topic: string) => ReadonlyMap<string, number>
    /** Those members, and those that are not admitted yet. Must be read in one turn. */
    readonly membersOf: (topic: string) => Iterable<Member>
    readonly counters: () => Readonly<SlowConsumer.Counters>
    readonly traffic: () => Readonly<Traffic>
    /** From when the stream is run on, and never ends but with the hub. */
    readonly lifecycle: Stream.Stream<Lifecycle>
  }
>()("@millrace/core/cluster/Hub") {
  /** A hub in one process, whose broker is memory. */
  static readonly layer = (options?: Options & { readonly history?: MemoryBroker.Options }): Layer.Layer<Hub> =>
    Layer.effect(Hub, make(options))
  /** A hub on the broker that there is. */
  static readonly layerBroker = (options?: Options): Layer.Layer<Hub, BrokerError, Broker> =>
    Layer.effect(
      Hub,
      Effect.flatMap(Broker, (broker) => on(broker, options))
    )
}

/** A hub of its own in one process, as long as the scope is open. */
export const make = (
  options: Options & { readonly history?: MemoryBroker.Options | undefined } = {}
): Effect.Effect<Hub["Service"], never, Scope.Scope> =>
  // Nobody can refuse in one process.
  Effect.flatMap(MemoryBroker.make(options.history), (broker) => Effect.orDie(on(broker, options)))

/** A hub on a broker, as long as the scope is open. Fails when the broker refuses to be heard. Dies of a `TypeError` or `RangeError` for a policy that cannot be. */
export const on = (
  broker: Broker["Service"],
  options: Options = {}
): Effect.Effect<Hub["Service"], BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { slowConsumer = SlowConsumer.disconnect, whenDown = { _tag: "Fail" } } = options
    const context = yield* Effect.context<never>()
    const fork = Effect.runForkWith(context)
    const run = (effect: Effect.Effect<unknown>) => void fork(effect)
    const clock = Context.get(context, Clock.Clock)
    const lifecycle = yield* Effect.acquireRelease(PubSub.sliding<Lifecycle>(lifecycleBehind), PubSub.shutdown)
    const tell = (event: Lifecycle) => void PubSub.publishUnsafe(lifecycle, event)
    const spoken = new Spoken()
    const topics: Topics = new Topics({
      slowConsumer: policyOf(slowConsumer, run),
      spoken,
      run,
      opened: (topic) => tell({ _tag: "Opened", topic }),
      closed: (topic) => {
        attachment.unsubscribe(topic)
        tell({ _tag: "Closed", topic })
      }
    })
    const publishing = new Publishing(broker, topics, spoken, whenDown, clock)
    /** What was delivered last, of any topic. */
    let latest: Position.Position | undefined
    const attachment = yield* broker.attach({
      deliver: ({ parcel, position, topic }) => {
        latest = position
        publishing.deliver(topic, parcel, position)
      },
      lost: ({ from, to, topic }) => topics.tell(topic, { _tag: "Gap", topics: [topic], from, to })
    })
    const entrance = new Entrance(broker, attachment, topics, run)

    const targets = yield* TargetCast.make(broker, (target, prepared) => {
      const publication = new Publication("", prepared)
      let receivers = 0
      for (const member of Target.select(target, topics)) {
        const written = member.tryWriteUnsafe(prepared, publication)
        if (written === "Written") receivers++
        else if (written === "Full") topics.counters.dropped++
      }
      return receivers
    })

    /** Where those are now that were moved, for who makes them leave at the end. */
    const moves = new WeakMap<Member, Map<string, string>>()
    const leaveUnsafe = (topic: string, member: Member): boolean => {
      const isOut = topics.leave(topic, member)
      const moved = isOut ? moves.get(member) : undefined
      if (moved !== undefined) for (const [from, to] of moved) if (to === topic) moved.delete(from)
      return isOut
    }
    const departUnsafe = (topic: string, member: Member): void => {
      for (let name: string | undefined = topic; name !== undefined;) {
        if (leaveUnsafe(name, member)) return
        const next: string | undefined = moves.get(member)?.get(name)
        moves.get(member)?.delete(name)
        name = next
      }
    }

    const joinUnsafe = (topic: string, member: Member, seat?: SeatOptions): boolean => {
      const isNew = topics.join(topic, member, seat)
      if (!isNew) return false
      const refused = (error: BrokerError) =>
        Effect.sync(() => {
          if (topics.leave(topic, member)) topics.insist(member, { _tag: "Kicked", topic, reason: error.message })
        })
      run(Effect.catch(attachment.subscribe(topic), refused))
      return true
    }

    /** Those of a topic that are in a target as well. */
    const selected = (target: Target.Target, topic: string): ReadonlyArray<Member> =>
      [...topics.ofTopic(topic)].filter((member) => Target.includes(target, member, (name) => topics.has(name, member)))

    const move = (target: Target.Target, from: string, to: string) =>
      Effect.acquireUseRelease(
        Effect.sync(() => topics.hold(to)),
        () =>
          Effect.map(attachment.subscribe(to), (at) => {
            // Something may have been delivered since; it is told where it really begins.
            const isLater = at !== undefined && latest?.epoch === at.epoch && latest.offset > at.offset
            const position = isLater ? latest : at
            const members = selected(target, from)
            for (const member of members) {
              topics.leave(from, member)
              topics.join(to, member)
              const known = moves.get(member) ?? new Map<string, string>()
              moves.set(member, known.set(from, to))
              known.delete(to)
              topics.insist(member, { _tag: "Moved", from, to, position })
            }
            return members.length
          }),
        () => Effect.sync(() => topics.release(to))
      )

    return Hub.of({
      broker,
      join: (topic, member, seat) => entrance.join(topic, member, seat, () => departUnsafe(topic, member)),
      enter: (names, member, seat) => Effect.asVoid(entrance.enter(names, member, seat)),
      joinUnsafe,
      leaveUnsafe,
      departUnsafe,
      publish: (to, sendable, publication = {}) =>
        Effect.suspend(() => {
          const prepared = sendable instanceof Prepared.Prepared ? sendable : Prepared.make(sendable)
          return typeof to === "string"
            ? publishing.publish(to, prepared, publication)
            : targets.publish(exceptOf(to, publication), prepared)
        }),
      since: broker.since,
      kick: (target, topic, reason) =>
        Effect.sync(() => {
          const members = selected(target, topic)
          for (const member of members) {
            leaveUnsafe(topic, member)
            topics.insist(member, { _tag: "Kicked", topic, reason })
          }
          return members.length
        }),
      move: (target, from, to) => (from === to ? Effect.succeed(0) : move(target, from, to)),
      topics: () => topics.size,
      names: () => topics.names(),
      members: (topic) => topics.count(topic),
      wires: (topic) => topics.wires(topic),
      membersOf: (topic) => topics.ofTopic(topic),
      counters: () => ({ ...topics.counters }),
      traffic: () => ({ publications: publishing.publications, deliveries: publishing.deliveries }),
      lifecycle: Stream.fromPubSub(lifecycle)
    })
  })

/** What to do about a member of a topic that does not keep up. One that cannot be is the program's fault, and not that of who publishes. */
const policyOf = (
  policy: NonNullable<Options["slowConsumer"]>,
  run: (effect: Effect.Effect<unknown>) => void
): ((topic: string) => SlowConsumer.SlowConsumer) => {
  if (typeof policy !== "function") {
    const checked = SlowConsumer.check(policy)
    return () => checked
  }
  return (topic) => {
    try {
      return SlowConsumer.check(policy(topic))
    } catch (cause) {
      run(Effect.logError(`there is no policy for ${JSON.stringify(topic)}`, cause))
      return SlowConsumer.disconnect
    }
  }
}

const exceptOf = (target: Target.Target, { except = [] }: PublishOptions): Target.Target =>
  except.length === 0 ? target : Target.except(target, Target.union(...except.map(Target.member)))
