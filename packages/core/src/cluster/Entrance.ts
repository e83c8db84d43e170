/**
 * How members get into topics: subscribed to first, then in with what they missed, and out of all of them when anything
 * fails or is interrupted on the way.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Attachment, Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as CatchUp from "./CatchUp.ts"
import type { Member } from "./Member.ts"
import * as Position from "./Position.ts"
import { disconnect } from "./SlowConsumer.ts"
import type { SeatOptions, Topics } from "./Topics.ts"

export interface EnterOptions<E = never, R = never> extends SeatOptions {
  /** Where the member was: it gets what it missed, in order, or a `Gap`. Default: it begins now. */
  readonly since?: Position.Position | undefined
  /**
   * Run when the topics are subscribed to, before the first message: `at` is behind what the member will not get, and
   * `undefined` while the broker is away.
   */
  readonly admitted?: ((at: Position.Position | undefined) => Effect.Effect<unknown, E, R>) | undefined
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** One for each hub. */
export class Entrance {
  private readonly broker: Broker["Service"]
  private readonly attachment: Attachment
  private readonly topics: Topics
  private readonly run: (effect: Effect.Effect<unknown>) => void
  private readonly replays = new CatchUp.Replays()
  /** Those that came in in this turn. */
  private fresh: Array<readonly [topic: string, member: Member]> = []

  constructor(
    broker: Broker["Service"],
    attachment: Attachment,
    topics: Topics,
    run: (effect: Effect.Effect<unknown>) => void
  ) {
    this.broker = broker
    this.attachment = attachment
    this.topics = topics
    this.run = run
  }

  /** Publications that are held for those who are reading what they missed. */
  get replayed(): number {
    return this.replays.size
  }

  /** Succeeds with the topics that the member was not in before. */
  enter<E, R>(
    names: ReadonlyArray<string>,
    member: Member,
    options: EnterOptions<E, R> = {}
  ): Effect.Effect<ReadonlyArray<string>, BrokerError | E, R> {
    return Effect.uninterruptibleMask((restore) => this.entering(restore, names, member, options))
  }

  /** As long as the scope is open. */
  join<E, R>(
    name: string,
    member: Member,
    options: EnterOptions<E, R> | undefined,
    leave: () => void
  ): Effect.Effect<void, BrokerError | E, R | Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.entering(restore, [name], member, options ?? {}), (entered) =>
        entered.length === 0 ? Effect.void : Effect.addFinalizer(() => Effect.sync(leave))
      )
    )
  }

  private entering<E, R>(
    restore: Restore,
    names: ReadonlyArray<string>,
    member: Member,
    { admitted, filter, since }: EnterOptions<E, R>
  ): Effect.Effect<ReadonlyArray<string>, BrokerError | E, R> {
    const { topics } = this
    return Effect.suspend(() => {
      const wanted = [...new Set(names)]
      const kept = new CatchUp.Kept()
      for (const name of wanted) topics.hold(name)
      // Where it is already it stays, and has missed nothing.
      const entered: ReadonlyArray<string> = wanted.filter((name) =>
        topics.join(name, member, { filter, keeper: kept })
      )
      const isIn = (name: string) => topics.isKept(name, member, kept)
      const seated: Array<string> = []
      const done = (reached: (topic: string) => Position.Position | undefined) => {
        for (const name of entered) {
          if (!isIn(name)) continue
          seated.push(name)
          // A broker delivers nothing of one topic that is not behind where it said that it was subscribed to.
          this.seat(name, member, since === undefined && wanted.length === 1 ? undefined : reached(name))
        }
      }
      const leave = () => {
        for (const name of entered) if (isIn(name)) topics.leave(name, member)
        for (const name of seated) topics.leave(name, member)
      }
      const catchUp = (at: Position.Position | undefined): Effect.Effect<void, BrokerError> => {
        const mustRead = since !== undefined && entered.length > 0
        topics.admit(entered, member, kept)
        if (!mustRead && kept.isEmpty) {
          done(() => at)
          return Effect.void
        }
        const catching: CatchUp.Catching = {
          member,
          from: since ?? at,
          mustRead,
          isIn,
          wants: (publication) => topics.wants(member, publication),
          kept,
          done
        }
        return Effect.map(CatchUp.run(this.broker, this.replays, entered, catching), (end) => {
          if (end === "Done") return
          leave()
          if (end === "Full") topics.disconnect(member, disconnect.code)
        })
      }
      const go = Effect.flatMap(this.subscribe(wanted), (at): Effect.Effect<void, BrokerError | E, R> =>
        // Looked at when it is admitted: what came until then is kept.
        admitted === undefined ? catchUp(at) : Effect.flatMap(admitted(at), () => catchUp(at))
      )
      const reading = since === undefined ? go : this.replays.reading(go)
      return Effect.as(
        Effect.onExit(restore(reading), (exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit)) leave()
            for (const name of wanted) topics.release(name)
          })
        ),
        entered
      )
    })
  }

  /** Succeeds with the position behind which everything is delivered, of all of them. */
  private subscribe(names: ReadonlyArray<string>): Effect.Effect<Position.Position | undefined, BrokerError> {
    if (names.length === 1) return this.attachment.subscribe(names[0]!)
    const subscribed = Effect.forEach(names, (name) => this.attachment.subscribe(name), { concurrency: atOnce })
    return Effect.map(subscribed, (positions) => {
      let at = positions.at(-1)
      for (const position of positions) {
        // The broker was away for one of them: nobody knows.
        if (position === undefined || at === undefined) return undefined
        if (Position.isBehind(position, at)) at = position
      }
      return at
    })
  }

  /** It has what is up to there. Brokers deliver late what can be read from their logs already. */
  seat(name: string, member: Member, after: Position.Position | undefined): void {
    this.topics.seat(name, member, after)
    // In one process it comes in the same turn. There may be many topics, and few that anything is published to.
    if (after === undefined || !this.broker.isLocal) return
    this.fresh.push([name, member])
    if (this.fresh.length > 1) return
    const settle = Effect.sync(() => {
      for (const [topic, one] of this.fresh.splice(0)) this.topics.seat(topic, one, undefined)
    })
    this.run(Effect.andThen(Effect.yieldNow, settle))
  }
}

/** Subscriptions of one member that are asked for at once. */
const atOnce = 16
