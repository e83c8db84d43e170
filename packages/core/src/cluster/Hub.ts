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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Prepared from "../connection/Prepared.ts"
import * as Message from "../protocol/Message.ts"
import { Broker, type Missed, type Receipt } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as CatchUp from "./CatchUp.ts"
import type { Member, Notice } from "./Member.ts"
import * as MemoryBroker from "./MemoryBroker.ts"
import * as Parcel from "./Parcel.ts"
import type { Position } from "./Position.ts"
import { Publication } from "./Publication.ts"
import { type Published, PublishError, type PublishOptions } from "./Published.ts"
import * as SlowConsumer from "./SlowConsumer.ts"
import { Spoken } from "./Spoken.ts"
import * as Target from "./Target.ts"
import * as TargetCast from "./TargetCast.ts"
import { type SeatOptions, Topics } from "./Topics.ts"

export { type Published, PublishError, type PublishOptions } from "./Published.ts"
export type { Member, Notice }

/** What becomes of a publication while the broker cannot be reached. Members of this node get it at once in either case. */
export type WhenDown =
  /** `publish` fails. */
  | { readonly _tag: "Fail" }
  /** `publish` waits for the broker to come back, and fails when that takes longer. */
  | { readonly _tag: "Wait"; readonly atMost: Duration.Input }

/** What a hub does with members that do not keep up, and with its broker. */
export interface Options {
  /** For all topics, or for each. Default: `Disconnect` with 1013, Try Again Later. */
  readonly slowConsumer?: SlowConsumer.SlowConsumer | ((topic: string) => SlowConsumer.SlowConsumer) | undefined
  /** Default: `Fail`. */
  readonly whenDown?: WhenDown | undefined
}

export interface EnterOptions<E = never, R = never> extends SeatOptions {
  /** Where the member was: it gets what it missed, in order, or a `Gap`. Default: it begins now. */
  readonly since?: Position | undefined
  /** Run when the topics are subscribed to, before the first message: `at` is behind what the member will not get. */
  readonly admitted?: ((at: Position | undefined) => Effect.Effect<unknown, E, R>) | undefined
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
     * The same for several topics and without a scope: whoever enters has to leave. Succeeds when the member is in and
     * has what it missed, or when it has gone. Interrupted or failed, it is in none of them.
     */
    readonly enter: <E = never, R = never>(
      topics: ReadonlyArray<string>,
      member: Member,
      options?: EnterOptions<E, R>
    ) => Effect.Effect<void, BrokerError | E, R>
    /** At once; `false` when nothing changed. What other nodes publish it gets when the broker knows of it. */
    readonly joinUnsafe: (topic: string, member: Member, options?: SeatOptions) => boolean
    readonly leaveUnsafe: (topic: string, member: Member) => boolean
    /**
     * Publishes to a topic, which gives it a place in the log; or to a target, which delivers it to who is there now, on
     * all nodes, at most once.
     */
    readonly publish: (
      to: string | Target.Target,
      message: Message.Sendable | Prepared.Prepared,
      options?: PublishOptions
    ) => Effect.Effect<Published, PublishError>
    /** What was published to these topics behind a position, as far as it is kept. */
    readonly since: (
      topics: ReadonlyArray<string>,
      position: Position | undefined
    ) => Effect.Effect<Missed<Parcel.Parcel>, BrokerError>
    /** Takes members of this node out of a topic, and tells them. Succeeds with how many. */
    readonly kick: (target: Target.Target, topic: string, reason: string) => Effect.Effect<number>
    /** Takes members of this node out of one topic and into another, and tells them. Succeeds with how many. */
    readonly move: (target: Target.Target, from: string, to: string) => Effect.Effect<number>
    /** How many topics have a member here now, or somebody on the way in. */
    readonly topics: () => number
    readonly names: () => Iterable<string>
    /** How many members a topic has here now. */
    readonly members: (topic: string) => number
    /** Those members. Must be read in one turn. */
    readonly membersOf: (topic: string) => Iterable<Member>
    readonly counters: () => Readonly<SlowConsumer.Counters>
    readonly traffic: () => Readonly<Traffic>
    /** From now on. */
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
    const policyOf =
      typeof slowConsumer === "function"
        ? (topic: string) => SlowConsumer.check(slowConsumer(topic))
        : (
            (checked) => () =>
              checked
          )(SlowConsumer.check(slowConsumer))
    const context = yield* Effect.context<never>()
    const run = Effect.runForkWith(context)
    const clock = Context.get(context, Clock.Clock)
    const lifecycle = yield* PubSub.sliding<Lifecycle>(lifecycleBehind)
    const spoken = new Spoken()
    const replays = new CatchUp.Replays()
    /** What was delivered last: in one process that is what `publish` has just published. */
    let last: { readonly offset: number; readonly receivers: number } | undefined
    /** What somebody had prepared and is publishing now. */
    let given: Prepared.Prepared | undefined
    let sequence = 0
    const traffic: Traffic = { publications: 0, deliveries: 0 }
    const passed = (receivers: number): number => {
      traffic.publications++
      traffic.deliveries += receivers
      return receivers
    }

    const tell = (event: Lifecycle) => void PubSub.publishUnsafe(lifecycle, event)
    const topics: Topics = new Topics({
      slowConsumer: policyOf,
      run: (effect) => void run(effect),
      opened: (topic) => tell({ _tag: "Opened", topic }),
      closed: (topic) => {
        attachment.unsubscribe(topic)
        tell({ _tag: "Closed", topic })
      }
    })

    const attachment = yield* broker.attach({
      deliver: ({ parcel, position, topic }) => {
        const prepared = given?.message === parcel.message ? given : Prepared.make(parcel.message)
        const publication = new Publication(topic, prepared, position)
        const heard = parcel.key === undefined || spoken.isEmpty ? undefined : spoken.take(parcel.key)
        for (const member of heard ?? []) topics.insist(member, { _tag: "Advanced", topic, position })
        const receivers = passed(topics.publish(publication, leftOut(parcel.except, heard)))
        last = { offset: position.offset, receivers }
      },
      lost: ({ from, to, topic }) => topics.tell(topic, { _tag: "Gap", topics: [topic], from, to })
    })

    // Entering.

    const enter = <E, R>(
      names: ReadonlyArray<string>,
      member: Member,
      { admitted, filter, since }: EnterOptions<E, R> = {}
    ): Effect.Effect<void, BrokerError | E, R> => {
      const seat = () => {
        for (const name of names) topics.join(name, member, { filter })
      }
      const go = Effect.gen(function* () {
        let at: Position | undefined
        for (const name of names) at = yield* attachment.subscribe(name)
        if (since === undefined) {
          if (admitted !== undefined) yield* admitted(at)
          return seat()
        }
        const standIn = new CatchUp.StandIn(member)
        const stand = Effect.sync(() => {
          for (const name of names) topics.join(name, standIn)
        })
        const step = Effect.sync(() => {
          for (const name of names) topics.leave(name, standIn)
        })
        yield* Effect.ensuring(
          Effect.gen(function* () {
            yield* stand
            if (admitted !== undefined) yield* admitted(at)
            const wants = filter ?? (() => true)
            // In the same turn as what was missed last: nothing comes between the two.
            if (yield* CatchUp.run(broker, replays, names, member, standIn, since, wants)) seat()
          }),
          step
        )
      })
      return Effect.acquireUseRelease(
        Effect.sync(() => {
          for (const name of names) topics.hold(name)
        }),
        () => go,
        () =>
          Effect.sync(() => {
            for (const name of names) topics.release(name)
          })
      )
    }

    const joinUnsafe = (topic: string, member: Member, seat?: SeatOptions): boolean => {
      const isNew = topics.join(topic, member, seat)
      if (isNew) run(Effect.ignore(attachment.subscribe(topic), { log: "Warn" }))
      return isNew
    }

    // Publishing.

    const published = (topic: string, { position, repeated }: Receipt): Effect.Effect<Published> => {
      const isLast = last?.offset === position.offset && broker.isLocal
      const receivers = repeated ? 0 : isLast ? last!.receivers : topics.count(topic)
      const value = Effect.succeed({ position, repeated, receivers })
      return policyIsSuspend(topic) ? Effect.andThen(topics.settled(topic), value) : value
    }
    const policyIsSuspend = (topic: string) => topics.count(topic) > 0 && policyOf(topic)._tag === "Suspend"

    /** To the members of this node alone, once. */
    const speak = (topic: string, parcel: Parcel.Parcel): number => {
      const key = parcel.key!
      if (spoken.has(key)) return 0
      const members = new Set(topics.ofTopic(topic))
      for (const id of parcel.except) for (const one of members) if (one.id === id) members.delete(one)
      const publication = new Publication(topic, Prepared.make(parcel.message))
      const receivers = passed(topics.publish(publication, leftOut(parcel.except)))
      spoken.add(key, members)
      return receivers
    }

    const append = (topic: string, message: Message.Message, { except, key }: PublishOptions) => {
      if (broker.isLocal) return placed(topic, Parcel.make(message, key, except))
      const parcel = Parcel.make(message, key ?? { producer: broker.node, epoch: 0, sequence: sequence++ }, except)
      return Effect.catch(placed(topic, parcel), (error) => {
        if (error.reason._tag !== "Unavailable") return Effect.fail(error)
        const receivers = speak(topic, parcel)
        const failed = Effect.fail(new PublishError({ reason: error.reason, receivers }))
        if (whenDown._tag === "Fail") return failed
        const deadline = clock.currentTimeMillisUnsafe() + Duration.toMillis(whenDown.atMost)
        const again: Effect.Effect<Published, PublishError> = Effect.suspend(() => {
          const left = deadline - clock.currentTimeMillisUnsafe()
          if (left <= 0) return failed
          return isUp(broker).pipe(
            Effect.timeoutOrElse({ duration: left, orElse: () => failed }),
            Effect.andThen(placed(topic, parcel)),
            Effect.catch((next) => (next.reason._tag === "Unavailable" ? again : Effect.fail(next)))
          )
        })
        return Effect.map(again, (value) => ({ ...value, receivers }))
      })
    }

    const placed = (topic: string, parcel: Parcel.Parcel): Effect.Effect<Published, PublishError> =>
      Effect.matchEffect(broker.publish(topic, parcel), {
        onFailure: ({ reason }) => Effect.fail(new PublishError({ reason, receivers: 0 })),
        onSuccess: (receipt) => published(topic, receipt)
      })

    const targets = yield* TargetCast.make(broker, (target, message) => {
      const publication = new Publication("", Prepared.make(message))
      let receivers = 0
      for (const member of Target.select(target, topics)) {
        if (member.tryWriteUnsafe(publication.message, publication) === "Written") receivers++
        else topics.counters.dropped++
      }
      return receivers
    })

    return Hub.of({
      broker,
      join: (topic, member, seat) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            const wasIn = [...topics.ofTopic(topic)].includes(member)
            return Effect.as(enter([topic], member, seat), !wasIn)
          }),
          (joined) => Effect.sync(() => joined && topics.leave(topic, member)),
          { interruptible: true }
        ).pipe(Effect.asVoid),
      enter,
      joinUnsafe,
      leaveUnsafe: (topic, member) => topics.leave(topic, member),
      publish: (to, sendable, publication = {}) =>
        Effect.suspend(() => {
          given = sendable instanceof Prepared.Prepared ? sendable : undefined
          const message = given?.message ?? Message.from(sendable as Message.Sendable)
          return typeof to === "string" ? append(to, message, publication) : targets.publish(to, message)
        }),
      since: broker.since,
      kick: (target, topic, reason) =>
        Effect.sync(() => {
          let kicked = 0
          for (const member of Target.select(target, topics)) {
            if (!topics.leave(topic, member)) continue
            kicked++
            topics.insist(member, { _tag: "Kicked", topic, reason })
          }
          return kicked
        }),
      move: (target, from, to) =>
        Effect.gen(function* () {
          let moved = 0
          for (const member of Target.select(target, topics)) {
            if (!topics.leave(from, member)) continue
            moved++
            const admitted = (position: Position | undefined) =>
              Effect.sync(() => topics.insist(member, { _tag: "Moved", from, to, position }))
            yield* Effect.ignore(enter([to], member, { admitted }), { log: "Warn" })
          }
          return moved
        }),
      topics: () => topics.size,
      names: () => topics.names(),
      members: (topic) => topics.count(topic),
      membersOf: (topic) => topics.ofTopic(topic),
      counters: () => ({ ...topics.counters }),
      traffic: () => ({ ...traffic }),
      lifecycle: Stream.fromPubSub(lifecycle)
    })
  })

/** Succeeds when the broker can be reached. */
const isUp = (broker: Broker["Service"]): Effect.Effect<void> =>
  broker.statuses.pipe(
    Stream.filter((status) => status._tag === "Up"),
    Stream.take(1),
    Stream.runDrain
  )

/** Who does not get a publication; `undefined` when everybody does. */
const leftOut = (
  except: ReadonlyArray<string>,
  heard?: ReadonlySet<Member>
): ((member: Member) => boolean) | undefined => {
  if (except.length === 0) return heard === undefined ? undefined : (member) => heard.has(member)
  return (member) => heard?.has(member) === true || (member.id !== undefined && except.includes(member.id))
}
