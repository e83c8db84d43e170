/**
 * What the checks of `brokerKit` stand on: nodes of a broker, ears that write down what they are told, waiting, and the
 * account of what was published.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Message from "@millrace/core/protocol/Message"
import { type Broker, type Delivery, type Gap, type Receipt } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import type { Position } from "@millrace/core/cluster/Position"
import { expect } from "vitest"

export type Node = Broker["Service"]

/** What can be done to a broker. Nodes that it is not done to should not notice. */
export interface Faults {
  /** Ends the connections of the node to the server. It may come back at once. */
  readonly cut?: (node: Node) => Effect.Effect<void>
  /** Kills the server and starts it again, with empty memory. */
  readonly restart?: Effect.Effect<void>
  /** The server does not answer, and its connections hold, as long as the scope is open. */
  readonly pause?: Effect.Effect<void, never, Scope.Scope>
  /** Nothing goes from the node to the server or back, and nobody is told, as long as the scope is open. */
  readonly partition?: (node: Node) => Effect.Effect<void, never, Scope.Scope>
}

export interface Made {
  /** Another node, as long as the scope is open. It need not be connected yet. */
  readonly connect: Effect.Effect<Node, unknown, Scope.Scope>
  /** Most bytes of a parcel. */
  readonly maxBytes?: number | undefined
  /** How many publications of a topic are kept at least; of three times as many the first are gone. */
  readonly maxEntries?: number | undefined
  readonly faults?: Faults | undefined
}

/** What some brokers have not: a fault that cannot be made, a bound, a fence against earlier lives. */
export type Need = keyof Faults | "maxBytes" | "maxEntries" | "fence"

export interface Spec {
  readonly make: Effect.Effect<Made, unknown, Scope.Scope>
  /** What this broker has not. What needs it is not checked. */
  readonly lacks?: ReadonlyArray<Need> | undefined
  readonly clock?: "live" | "test" | undefined
  /** For how many milliseconds something is waited for. Default 30,000. */
  readonly patience?: number | undefined
  /** Of the random histories. Default: three. */
  readonly seeds?: ReadonlyArray<number> | undefined
}

export interface Check {
  readonly name: string
  /** What it cannot do without. */
  readonly needs: ReadonlyArray<Need>
  readonly run: (kit: Kit) => Effect.Effect<void, unknown, Scope.Scope>
}

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

export const text = (value: string, key?: Parcel.Key, except?: ReadonlyArray<string>): Parcel.Parcel =>
  Parcel.make(new Message.Text(value), key, except)

export const textOf = ({ message }: Parcel.Parcel): string => (message as Message.Text).text

/** What somebody was told, in order. */
export type Told =
  | { readonly _tag: "Delivery"; readonly delivery: Delivery }
  | { readonly _tag: "Gap"; readonly gap: Gap }

/** One who subscribes, and writes down what comes. */
export interface Ear {
  readonly node: Node
  readonly told: Array<Told>
  readonly subscribe: (topic: string) => Effect.Effect<Position | undefined, BrokerError>
  readonly unsubscribe: (topic: string) => void
  /** Where it began, by topic. */
  readonly began: Map<string, Position | undefined>
}

export const deliveries = (ear: Ear, topic?: string): ReadonlyArray<Delivery> =>
  ear.told.flatMap((told) =>
    told._tag === "Delivery" && (topic === undefined || told.delivery.topic === topic) ? [told.delivery] : []
  )

export const texts = (ear: Ear, topic?: string): ReadonlyArray<string> =>
  deliveries(ear, topic).map(({ parcel }) => textOf(parcel))

export const gaps = (ear: Ear, topic?: string): ReadonlyArray<Gap> =>
  ear.told.flatMap((told) =>
    told._tag === "Gap" && (topic === undefined || told.gap.topic === topic) ? [told.gap] : []
  )

/** Whether a position lies in what was told to be lost. */
const covers = ({ from, to }: Gap, { epoch, offset }: Position): boolean => {
  if (to.epoch === epoch) return offset <= to.offset && (from?.epoch !== epoch || offset > from.offset)
  return from === undefined || from.epoch !== epoch || offset > from.offset
}

/** What was published, as whoever did it knows. */
export interface Published {
  readonly topic: string
  readonly text: string
  /** `undefined`: nobody knows whether it is there. */
  readonly position: Position | undefined
}

/** A broker, and how to wait for it. */
export class Kit {
  readonly made: Made
  readonly patience: number
  readonly seeds: ReadonlyArray<number>
  private readonly clock: Clock.Clock
  private readonly name = Identifier.Source.defaultValue()().slice(0, 8)
  private count = 0

  constructor(made: Made, spec: Spec, clock: Clock.Clock) {
    this.made = made
    this.patience = spec.patience ?? 30_000
    this.seeds = spec.seeds ?? [1, 2, 3]
    this.clock = clock
  }

  /** A name that nobody has used. */
  get unique(): string {
    return `${this.name}-${this.count++}`
  }

  get faults(): Faults {
    return this.made.faults ?? {}
  }

  /** Looks until it holds. Dies when it never does. */
  until(holds: () => boolean, what: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const deadline = this.clock.currentTimeMillisUnsafe() + this.patience
      const look: Effect.Effect<void> = Effect.suspend(() => {
        if (holds()) return Effect.void
        if (this.clock.currentTimeMillisUnsafe() > deadline)
          return Effect.die(new Error(`it never came to be: ${what}`))
        return Effect.andThen(Effect.sleep(5), look)
      })
      return look
    })
  }

  /** A further node, that is up. */
  get node(): Effect.Effect<Node, unknown, Scope.Scope> {
    return Effect.tap(this.made.connect, (node) => this.isUp(node))
  }

  nodes(count: number): Effect.Effect<ReadonlyArray<Node>, unknown, Scope.Scope> {
    return Effect.all(Array.from({ length: count }, () => this.node))
  }

  isUp(node: Node): Effect.Effect<void> {
    return this.until(() => node.status()._tag === "Up", "a node is up")
  }

  ear(node: Node, ...topics: ReadonlyArray<string>): Effect.Effect<Ear, unknown, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const told: Array<Told> = []
      const began = new Map<string, Position | undefined>()
      const attachment = yield* node.attach({
        deliver: (delivery) => void told.push({ _tag: "Delivery", delivery }),
        lost: (gap) => void told.push({ _tag: "Gap", gap })
      })
      const subscribe = (topic: string) =>
        Effect.tap(attachment.subscribe(topic), (position) => Effect.sync(() => began.set(topic, position)))
      for (const topic of topics) yield* subscribe(topic)
      return { node, told, began, subscribe, unsubscribe: attachment.unsubscribe }
    })
  }

  /** Waits until the ear was told as many. */
  heard(ear: Ear, count: number, topic?: string): Effect.Effect<void> {
    return this.until(() => deliveries(ear, topic).length >= count, `${count} deliveries`)
  }

  /** Something comes behind what was published before: whoever has this has all that was to come. */
  mark(node: Node, ears: ReadonlyArray<Ear>, topic: string): Effect.Effect<Published, unknown> {
    return Effect.gen({ self: this }, function* () {
      const mark = `mark ${this.unique}`
      const receipt = yield* this.insist(node, topic, text(mark))
      yield* this.until(
        () => ears.every((ear) => texts(ear, topic).includes(mark) || this.isLost(ear, topic, receipt.position)),
        `the mark ${mark} was heard by all`
      )
      return { topic, text: mark, position: receipt.position }
    })
  }

  private isLost(ear: Ear, topic: string, position: Position): boolean {
    return gaps(ear, topic).some((gap) => covers(gap, position))
  }

  /** Publishes until it is published. A key makes it once. */
  insist(node: Node, topic: string, parcel: Parcel.Parcel): Effect.Effect<Receipt, unknown> {
    const deadline = this.clock.currentTimeMillisUnsafe() + this.patience
    const attempt: Effect.Effect<Receipt, BrokerError> = Effect.catchIf(
      node.publish(topic, parcel),
      ({ reason }) =>
        reason._tag === "Unavailable" &&
        (parcel.key !== undefined || reason.outcome === "NotPublished") &&
        this.clock.currentTimeMillisUnsafe() < deadline,
      () =>
        Effect.andThen(
          Effect.sleep(20),
          Effect.suspend(() => attempt)
        )
    )
    return attempt
  }

  /**
   * That an ear was told of everything once, in order, or of a gap. `published` is all that was published to the topic
   * since it began, maybe more.
   */
  account(ear: Ear, topic: string, published: ReadonlyArray<Published>): void {
    const began = ear.began.get(topic)
    let at = began
    const found = new Map<string, Position>()
    for (const told of ear.told) {
      if (told._tag === "Gap") {
        const { from, to, topic: its } = told.gap
        if (its !== topic) continue
        if (from !== undefined && at !== undefined) {
          expect(from.epoch, "a gap begins where it was").toBe(at.epoch)
          // It may know that there was nothing since.
          expect(from.offset, "a gap begins where it was").toBeGreaterThanOrEqual(at.offset)
        }
        at = to
        continue
      }
      const { parcel, position, topic: its } = told.delivery
      if (its !== topic) continue
      if (at !== undefined) {
        expect(position.epoch, "no other epoch without a gap").toBe(at.epoch)
        expect(position.offset, "in order, and once").toBeGreaterThan(at.offset)
      }
      at = position
      const what = textOf(parcel)
      expect(found.has(what), `${what} is delivered once`).toBe(false)
      found.set(what, position)
    }
    const known = new Set(published.map((each) => each.text))
    for (const what of found.keys()) expect(known, "only what was published").toContain(what)
    for (const { position, text: what, topic: its } of published) {
      if (its !== topic || position === undefined) continue
      const delivered = found.get(what)
      if (delivered !== undefined) expect(delivered, `${what} is where the publisher was told`).toEqual(position)
      else {
        const wasBefore = began !== undefined && began.epoch === position.epoch && position.offset <= began.offset
        expect(wasBefore || this.isLost(ear, topic, position), `${what} is delivered or told as lost`).toBe(true)
      }
    }
  }
}

/** Why something failed, as the tag of the reason; `succeeded` when it did not. */
export const outcomeOf = <A, R>(effect: Effect.Effect<A, BrokerError, R>): Effect.Effect<string, never, R> =>
  Effect.match(effect, { onSuccess: () => "succeeded", onFailure: ({ reason }) => reason._tag })

export const check = (
  name: string,
  run: (kit: Kit) => Effect.Effect<void, unknown, Scope.Scope>,
  ...needs: ReadonlyArray<Need>
): Check => ({ name, run, needs })

export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Writes down the casts of a channel. */
export const hearing = (node: Node, channel: string) => {
  const heard: Array<string> = []
  return Effect.as(
    node.hear(channel, (bytes) => void heard.push(new TextDecoder().decode(bytes))),
    heard
  )
}

export const cast = (node: Node, channel: string, what: string) => node.cast(channel, new TextEncoder().encode(what))
