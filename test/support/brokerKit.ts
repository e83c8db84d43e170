/**
 * What every broker must pass, whoever has made it:
 *
 *     brokerKit("a broker of mine", {
 *       make: Effect.gen(function* () {
 *         const server = yield* startServer                      // Scoped: one for each check, or one that is shared.
 *         return {
 *           connect: MyBroker.make({ url: server.url }),         // A further node each time.
 *           maxBytes: 1_048_576,                                 // Of a parcel. Without it nothing is too large.
 *           maxEntries: 100,                                     // Of a topic that are kept.
 *           faults: { restart: server.restart, ... }             // As many as it can.
 *         }
 *       })
 *     })
 *
 * Each check is an effect in `checks`, too, and can be run by `run`: where a broker is wrong, it is to be seen to fail.
 * What a broker has not, `lacks` says; a check that needs something which is neither given nor lacked fails. With
 * `clock: "test"` the clock is that of `TestClock`, driven from here, for brokers without a network; else the real one.
 *
 * It stands on `effect`, `vitest` and `@millrace/core` alone.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { describe, expect, it } from "vitest"
import { type Broker, type Delivery, type Gap, maxCastBytes, type Receipt } from "@millrace/core/cluster/Broker"
import type { BrokerError } from "@millrace/core/cluster/BrokerError"
import * as Parcel from "@millrace/core/cluster/Parcel"
import type { Position } from "@millrace/core/cluster/Position"
import * as Identifier from "@millrace/core/messaging/Identifier"
import * as Message from "@millrace/core/protocol/Message"

type Node = Broker["Service"]

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
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

export const text = (value: string, key?: Parcel.Key, except?: ReadonlyArray<string>): Parcel.Parcel =>
  Parcel.make(new Message.Text(value), key, except)

const textOf = ({ message }: Parcel.Parcel): string => (message as Message.Text).text

/** What somebody was told, in order. */
type Told = { readonly _tag: "Delivery"; readonly delivery: Delivery } | { readonly _tag: "Gap"; readonly gap: Gap }

/** One who subscribes, and writes down what comes. */
export interface Ear {
  readonly node: Node
  readonly told: Array<Told>
  readonly subscribe: (topic: string) => Effect.Effect<Position | undefined, BrokerError>
  readonly unsubscribe: (topic: string) => void
  /** Where it began, by topic. */
  readonly began: Map<string, Position | undefined>
}

const deliveries = (ear: Ear, topic?: string): ReadonlyArray<Delivery> =>
  ear.told.flatMap((told) =>
    told._tag === "Delivery" && (topic === undefined || told.delivery.topic === topic) ? [told.delivery] : []
  )

const texts = (ear: Ear, topic?: string): ReadonlyArray<string> =>
  deliveries(ear, topic).map(({ parcel }) => textOf(parcel))

const gaps = (ear: Ear, topic?: string): ReadonlyArray<Gap> =>
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

/** Why something failed, as the tag of the reason; `Published` when it did not. */
const outcomeOf = <A, R>(effect: Effect.Effect<A, BrokerError, R>): Effect.Effect<string, never, R> =>
  Effect.match(effect, { onSuccess: () => "succeeded", onFailure: ({ reason }) => reason._tag })

const check = (
  name: string,
  run: (kit: Kit) => Effect.Effect<void, unknown, Scope.Scope>,
  ...needs: ReadonlyArray<Need>
): Check => ({ name, run, needs })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Of 0 bytes, around where lengths get longer, and long. */
const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]

const letters = (length: number): string => "aé€😀".repeat(Math.ceil(length / 10)).slice(0, length)

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255)

/** Names that mean something to somebody. */
export const oddTopics: ReadonlyArray<string> = [
  " ",
  "a b",
  " a",
  "a.b",
  "a.*",
  "*",
  ">",
  "a.>",
  "$SYS.>",
  "$JS.API",
  "_INBOX.x",
  "{a}",
  "{}",
  "a{b}c",
  "}",
  "[a-z]",
  "?",
  "a:b",
  ":",
  "a/b",
  "__proto__",
  "constructor",
  "toString",
  "..",
  ".",
  "a..b",
  "\n",
  "a\r\nb",
  "\t",
  "\0",
  "a\0b",
  "%20",
  '"',
  "'",
  "\\",
  "é",
  "e\u0301",
  "😀",
  "A",
  "a",
  "x".repeat(256),
  "😀".repeat(64)
]

// What every broker promises.

const sameOrder = check("delivers in one order, once, on all nodes, that of each publisher kept", (kit) =>
  Effect.gen(function* () {
    const nodes = yield* kit.nodes(3)
    const topics = [kit.unique, kit.unique]
    const ears = yield* Effect.all(nodes.map((node) => kit.ear(node, ...topics)))
    const published: Array<Published> = []
    yield* Effect.forEach(
      nodes,
      (node, n) =>
        Effect.gen(function* () {
          for (let i = 0; i < 40; i++) {
            const topic = topics[i % 2]!
            const what = `${n}:${i}`
            const { position, repeated } = yield* node.publish(topic, text(what))
            expect(repeated).toBe(false)
            published.push({ topic, text: what, position })
          }
        }),
      { concurrency: "unbounded" }
    )
    for (const ear of ears) yield* kit.heard(ear, 120)
    for (const topic of topics) {
      const first = deliveries(ears[0]!, topic).map(({ parcel, position }) => [position.offset, textOf(parcel)])
      expect(first).toHaveLength(60)
      for (const ear of ears) {
        kit.account(ear, topic, published)
        expect(gaps(ear)).toEqual([])
        expect(deliveries(ear, topic).map(({ parcel, position }) => [position.offset, textOf(parcel)])).toEqual(first)
        for (const n of [0, 1, 2]) {
          const own = texts(ear, topic).filter((what) => what.startsWith(`${n}:`))
          expect(own).toEqual(
            published.filter((each) => each.topic === topic && own.includes(each.text)).map((each) => each.text)
          )
        }
      }
    }
  })
)

const burst = check("keeps the order of a publisher that waits for none", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const topic = kit.unique
    const ear = yield* kit.ear(other!, topic)
    const wanted = Array.from({ length: 600 }, (_, i) => `${i}`)
    yield* Effect.forEach(wanted, (what) => one!.publish(topic, text(what)), {
      concurrency: "unbounded",
      discard: true
    })
    yield* kit.heard(ear, wanted.length)
    expect(texts(ear)).toEqual(wanted)
  })
)

const live = check("is subscribed when it says so: what is published then comes", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const ear = yield* kit.ear(other!)
    for (let i = 0; i < 20; i++) {
      const topic = kit.unique
      const from = yield* ear.subscribe(topic)
      expect(from).toBeDefined()
      const { position } = yield* one!.publish(topic, text(`${i}`))
      expect(position.epoch).toBe(from!.epoch)
      expect(position.offset).toBeGreaterThan(from!.offset)
      yield* kit.heard(ear, i + 1)
      expect(texts(ear, topic)).toEqual([`${i}`])
    }
  })
)

const racing = check("delivers all behind the position that subscribing gave, and nothing before it", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const topic = kit.unique
    const published: Array<Published> = []
    const publishing = yield* start(
      Effect.gen(function* () {
        for (let i = 0; i < 200; i++) {
          const { position } = yield* one!.publish(topic, text(`${i}`))
          published.push({ topic, text: `${i}`, position })
        }
      })
    )
    const ears: Array<Ear> = []
    for (let i = 0; i < 10; i++) {
      ears.push(yield* kit.ear(other!, topic))
      const short = yield* kit.ear(other!, topic)
      short.unsubscribe(topic)
      yield* Effect.sleep(1)
    }
    yield* Fiber.join(publishing)
    published.push(yield* kit.mark(one!, ears, topic))
    for (const ear of ears) {
      kit.account(ear, topic, published)
      const began = ear.began.get(topic)!
      expect(texts(ear)).toEqual(
        published.filter(({ position }) => position!.offset > began.offset).map((each) => each.text)
      )
    }
  })
)

const unsubscribed = check("delivers nothing of a topic that was unsubscribed, until it is subscribed again", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const [topic, still] = [kit.unique, kit.unique]
    const ear = yield* kit.ear(other!, topic, still)
    yield* one!.publish(topic, text("1"))
    yield* kit.heard(ear, 1)
    ear.unsubscribe(topic)
    yield* one!.publish(topic, text("2"))
    yield* one!.publish(still, text("3"))
    yield* kit.heard(ear, 2)
    ear.unsubscribe("never subscribed")
    yield* ear.subscribe(topic)
    yield* one!.publish(topic, text("4"))
    yield* kit.heard(ear, 3)
    expect(texts(ear)).toEqual(["1", "3", "4"])
    for (let i = 0; i < 10; i++) {
      ear.unsubscribe(topic)
      yield* ear.subscribe(topic)
    }
    yield* one!.publish(topic, text("5"))
    yield* kit.heard(ear, 4)
    expect(texts(ear)).toEqual(["1", "3", "4", "5"])
  })
)

const attachments = check("delivers once to each attachment, whatever the others do", (kit) =>
  Effect.gen(function* () {
    const node = yield* kit.node
    const topic = kit.unique
    const scope = yield* Scope.make()
    const [first, second] = [yield* kit.ear(node, topic, topic), yield* kit.ear(node, topic)]
    const third = yield* Scope.provide(kit.ear(node, topic), scope)
    yield* node.publish(topic, text("1"))
    for (const ear of [first, second, third]) yield* kit.heard(ear, 1)
    yield* Scope.close(scope, Exit.void)
    second.unsubscribe(topic)
    yield* node.publish(topic, text("2"))
    yield* kit.heard(first, 2)
    expect([texts(first), texts(second), texts(third)]).toEqual([["1", "2"], ["1"], ["1"]])
  })
)

const many = check("subscribes to hundreds of topics at once", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const topics = Array.from({ length: 300 }, () => kit.unique)
    const ear = yield* kit.ear(other!)
    yield* Effect.forEach(topics, ear.subscribe, { concurrency: "unbounded", discard: true })
    yield* Effect.forEach(topics, (topic) => one!.publish(topic, text(topic)), { concurrency: 50, discard: true })
    yield* kit.heard(ear, topics.length)
    for (const topic of topics) expect(texts(ear, topic)).toEqual([topic])
  })
)

const positions = check("knows on each node what was published behind a position", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const [t, u, silent] = [kit.unique, kit.unique, kit.unique]
    const before = yield* other!.position
    const receipts: Array<Receipt> = []
    for (let i = 0; i < 10; i++) receipts.push(yield* one!.publish(i % 2 === 0 ? t : u, text(`${i}`)))
    const offsets = receipts.map(({ position }) => position.offset)
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b))
    expect(new Set(offsets).size).toBe(10)
    for (const node of [one!, other!]) {
      const now = yield* node.position
      expect(now.epoch).toBe(before.epoch)
      expect(now.offset).toBeGreaterThanOrEqual(offsets.at(-1)!)
      const all = yield* node.since([u, t, t, silent], before)
      expect(all.entries.map(({ offset, topic, value }) => [topic, offset, textOf(value)])).toEqual(
        offsets.map((offset, i) => [i % 2 === 0 ? t : u, offset, `${i}`])
      )
      expect(all).toMatchObject({ gap: [], from: before, to: { epoch: before.epoch } })
      expect(all.to.offset).toBeGreaterThanOrEqual(offsets.at(-1)!)
      const some = yield* node.since([t], receipts[3]!.position)
      expect(some.entries.map(({ value }) => textOf(value))).toEqual(["4", "6", "8"])
      expect(some.gap).toEqual([])
      const none = yield* node.since([t, u], all.to)
      expect([none.entries, none.gap]).toEqual([[], []])
      const nothing = yield* node.since([], before)
      expect([nothing.entries, nothing.gap]).toEqual([[], []])
      const future = { epoch: before.epoch, offset: Number.MAX_SAFE_INTEGER }
      for (const position of [undefined, { epoch: "nobody's", offset: 1 }, future]) {
        const kept = yield* node.since([t, u], position)
        expect([...kept.gap].sort()).toEqual([t, u].sort())
        expect(kept.entries.map(({ value }) => textOf(value))).toEqual(receipts.map((_, i) => `${i}`))
        expect(kept.from).toEqual({ epoch: before.epoch, offset: 0 })
      }
    }
  })
)

const bounded = check(
  "has a gap where it has forgotten, and keeps what came last",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const [topic, quiet] = [kit.unique, kit.unique]
      const kept = kit.made.maxEntries!
      const before = yield* one!.position
      yield* one!.publish(quiet, text("quiet"))
      const wanted = Array.from({ length: kept * 3 }, (_, i) => `${i}`)
      yield* Effect.forEach(wanted, (what) => one!.publish(topic, text(what)), { concurrency: 32, discard: true })
      const missed = yield* other!.since([topic, quiet], before)
      expect(missed.gap).toEqual([topic])
      const found = missed.entries.filter((entry) => entry.topic === topic).map(({ value }) => textOf(value))
      expect(found.length).toBeGreaterThanOrEqual(kept)
      expect(found.length).toBeLessThan(wanted.length)
      expect(found).toEqual(wanted.slice(-found.length))
      expect(missed.entries.filter((entry) => entry.topic === quiet)).toHaveLength(1)
    }),
  "maxEntries"
)

const repeats = check("knows a repeat by its key, on any node, and delivers it once", (kit) =>
  Effect.gen(function* () {
    const [one, other, third] = yield* kit.nodes(3)
    const topic = kit.unique
    const ears = [yield* kit.ear(one!, topic), yield* kit.ear(third!, topic)]
    const producer = kit.unique
    const key = (sequence: number, epoch = 0): Parcel.Key => ({ producer, epoch, sequence })
    const first = yield* one!.publish(topic, text("0", key(0)))
    expect(first.repeated).toBe(false)
    for (const node of [one!, other!, third!]) {
      expect(yield* node.publish(topic, text("0", key(0)))).toEqual({ position: first.position, repeated: true })
    }
    const same = yield* Effect.forEach(
      Array.from({ length: 30 }, (_, i) => [one!, other!, third!][i % 3]!),
      (node) => node.publish(topic, text("1", key(1))),
      { concurrency: "unbounded" }
    )
    expect(same.filter(({ repeated }) => !repeated)).toHaveLength(1)
    expect(new Set(same.map(({ position }) => position.offset)).size).toBe(1)
    // Of another producer, or of none, the same is another publication.
    yield* one!.publish(topic, text("2", { ...key(0), producer: kit.unique }))
    yield* one!.publish(topic, text("3"))
    yield* one!.publish(topic, text("4", key(0, 1)))
    for (const ear of ears) {
      yield* kit.mark(other!, [ear], topic)
      expect(texts(ear).filter((what) => !what.startsWith("mark"))).toEqual(["0", "1", "2", "3", "4"])
    }
    const { entries } = yield* other!.since([topic], first.position)
    expect(entries.map(({ value }) => textOf(value)).filter((what) => !what.startsWith("mark"))).toEqual([
      "1",
      "2",
      "3",
      "4"
    ])
  })
)

const stale = check(
  "refuses a key of an earlier life of its producer, on any node",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(one!, topic)
      const producer = kit.unique
      yield* one!.publish(topic, text("new", { producer, epoch: 2, sequence: 0 }))
      for (const node of [one!, other!]) {
        expect(yield* outcomeOf(node.publish(topic, text("old", { producer, epoch: 1, sequence: 5 })))).toBe("StaleKey")
      }
      yield* kit.mark(one!, [ear], topic)
      expect(texts(ear)).toHaveLength(2)
    }),
  "fence"
)

/** A parcel, but for its key. */
const plain = ({ except, message }: Parcel.Parcel) => [
  message._tag,
  message.compress,
  Array.from(message.bytes).join(),
  [...except]
]

const payloads = check("carries text and bytes of any length, with all that belongs to them", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const topic = kit.unique
    const ear = yield* kit.ear(other!, topic)
    const before = yield* one!.position
    const limit = kit.made.maxBytes ?? Number.MAX_SAFE_INTEGER
    const key = { producer: "é", epoch: 3, sequence: 4 }
    const parcels = [
      ...sizes.flatMap((size) => [
        Parcel.make(new Message.Binary(bytesOf(size))),
        Parcel.make(new Message.Text(letters(size)))
      ]),
      Parcel.make(new Message.Text("{}", false), { ...key, producer: kit.unique }, ["a", "é", ""]),
      Parcel.make(new Message.Binary(bytesOf(256), false), { ...key, producer: kit.unique })
    ].filter((parcel) => Parcel.encode(parcel).length + 64 <= limit)
    for (const parcel of parcels) yield* one!.publish(topic, parcel)
    yield* kit.heard(ear, parcels.length)
    const wanted = parcels.map(plain)
    expect(deliveries(ear).map(({ parcel }) => plain(parcel))).toEqual(wanted)
    const { entries } = yield* other!.since([topic], before)
    expect(entries.map(({ value }) => plain(value))).toEqual(wanted)
    expect(deliveries(ear).at(-2)!.parcel.key).toMatchObject({ epoch: 3, sequence: 4 })
  })
)

const limit = check(
  "takes what is as long as it may be, and refuses a byte more",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(other!, topic)
      const most = kit.made.maxBytes!
      const key = { producer: kit.unique, epoch: 0, sequence: 0 }
      const around = Parcel.encode(Parcel.make(new Message.Binary(new Uint8Array(0)), key)).length
      const fits = bytesOf(most - around)
      yield* one!.publish(topic, Parcel.make(new Message.Binary(fits), key))
      yield* kit.heard(ear, 1)
      expect(deliveries(ear)[0]!.parcel.message.length).toBe(fits.length)
      expect(deliveries(ear)[0]!.parcel.message.bytes.every((byte, i) => byte === fits[i])).toBe(true)
      const over = Parcel.make(new Message.Binary(new Uint8Array(fits.length + 1)), { ...key, sequence: 1 })
      expect(yield* outcomeOf(one!.publish(topic, over))).toBe("TooLarge")
      yield* one!.publish(topic, text("then"))
      yield* kit.heard(ear, 2)
      expect(one!.status()._tag).toBe("Up")
    }),
  "maxBytes"
)

const names = check("takes any text as a topic, and mixes none of them up", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const ear = yield* kit.ear(other!)
    yield* Effect.forEach(oddTopics, ear.subscribe, { concurrency: "unbounded", discard: true })
    const before = yield* one!.position
    for (const topic of oddTopics) yield* one!.publish(topic, text(`in ${topic}`))
    yield* kit.heard(ear, oddTopics.length)
    expect(texts(ear)).toEqual(oddTopics.map((topic) => `in ${topic}`))
    for (const topic of oddTopics) expect(texts(ear, topic)).toEqual([`in ${topic}`])
    const { entries, gap } = yield* other!.since(oddTopics, before)
    expect(gap).toEqual([])
    expect(entries.map(({ topic, value }) => [topic, textOf(value)])).toEqual(
      oddTopics.map((topic) => [topic, `in ${topic}`])
    )
  })
)

/** Writes down the casts of a channel. */
const hearing = (node: Node, channel: string) => {
  const heard: Array<string> = []
  return Effect.as(
    node.hear(channel, (bytes) => void heard.push(new TextDecoder().decode(bytes))),
    heard
  )
}

const cast = (node: Node, channel: string, what: string) => node.cast(channel, new TextEncoder().encode(what))

const casts = check("lets all nodes hear what one casts, once, in its order, and keeps nothing", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const channel = `* > ${kit.unique}`
    const wanted = Array.from({ length: 50 }, (_, i) => `${i}`)
    const heard = [yield* hearing(one!, channel), yield* hearing(other!, channel), yield* hearing(other!, channel)]
    const wrong = yield* hearing(other!, kit.unique)
    for (const what of wanted) yield* cast(one!, channel, what)
    yield* kit.until(() => heard.every((each) => each.length >= wanted.length), "all casts are heard")
    for (const each of heard) expect(each).toEqual(wanted)
    const scope = yield* Scope.make()
    const short = yield* Scope.provide(hearing(other!, channel), scope)
    yield* cast(one!, channel, "x")
    yield* kit.until(() => short.includes("x"), "a late one hears")
    yield* Scope.close(scope, Exit.void)
    yield* cast(one!, channel, "")
    yield* cast(one!, channel, letters(60_000))
    yield* kit.until(() => heard[2]!.length >= wanted.length + 3, "a long one is heard")
    expect(heard[2]!.slice(-2)).toEqual(["", letters(60_000)])
    expect(short).toEqual(["x"])
    expect(wrong).toEqual([])
    const over = new Uint8Array(Math.min(maxCastBytes, kit.made.maxBytes ?? maxCastBytes) + 1)
    expect(yield* outcomeOf(one!.cast(channel, over))).toBe("TooLarge")
  })
)

const statuses = check("says that it is up, and names its nodes differently", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    expect(one!.status()._tag).toBe("Up")
    expect(yield* Stream.runCollect(Stream.take(one!.statuses, 1))).toEqual([one!.status()])
    expect(one!.node).toMatch(/^[\w-]{8,}$/)
    expect(one!.name).not.toBe("")
    if (!one!.isLocal) expect(other!.node).not.toBe(one!.node)
  })
)

const interrupted = check("goes on when who publishes or subscribes is interrupted", (kit) =>
  Effect.gen(function* () {
    const [one, other] = yield* kit.nodes(2)
    const topic = kit.unique
    const ear = yield* kit.ear(other!, topic)
    const published: Array<Published> = []
    for (let i = 0; i < 20; i++) {
      const publishing = yield* start(one!.publish(topic, text(`maybe ${i}`)))
      const subscribing = yield* start((yield* kit.ear(other!)).subscribe(kit.unique))
      if (i % 2 === 0) yield* Effect.yieldNow
      yield* Fiber.interrupt(publishing)
      yield* Fiber.interrupt(subscribing)
      published.push({ topic, text: `maybe ${i}`, position: undefined })
      published.push({ topic, text: `${i}`, position: (yield* one!.publish(topic, text(`${i}`))).position })
    }
    published.push(yield* kit.mark(one!, [ear], topic))
    kit.account(ear, topic, published)
    expect(gaps(ear)).toEqual([])
  })
)

// Faults.

/** That what was published, and is kept, was told without a gap. */
const wholly = (kit: Kit, ears: ReadonlyArray<Ear>, topic: string, published: ReadonlyArray<Published>): void => {
  for (const ear of ears) {
    kit.account(ear, topic, published)
    expect(gaps(ear, topic), "all of it is kept").toEqual([])
  }
}

/** Publishes one after the other until the scope ends. Each by its own key, until it is known to be there. */
const stream = (kit: Kit, node: Node, topic: string, published: Array<Published>, pace = 2) =>
  Effect.gen(function* () {
    const producer = kit.unique
    const state = { isOver: false }
    const running = yield* start(
      Effect.gen(function* () {
        for (let sequence = 0; !state.isOver; sequence++) {
          const what = `${producer} ${sequence}`
          const { position } = yield* kit.insist(node, topic, text(what, { producer, epoch: 0, sequence }))
          published.push({ topic, text: what, position })
          yield* Effect.sleep(pace)
        }
      })
    )
    return Effect.suspend(() => {
      state.isOver = true
      return Fiber.join(running)
    })
  })

const cutSubscriber = check(
  "fills what a node missed while its link was cut",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(other!, topic)
      const published: Array<Published> = []
      const stop = yield* stream(kit, one!, topic, published)
      for (let i = 0; i < 3; i++) {
        yield* kit.until(() => published.length > 10 * (i + 1), "something is published")
        yield* kit.faults.cut!(other!)
        yield* Effect.sleep(30)
        yield* kit.isUp(other!)
      }
      yield* stop
      published.push(yield* kit.mark(one!, [ear], topic))
      wholly(kit, [ear], topic, published)
    }),
  "cut"
)

const cutPublisher = check(
  "publishes once what was on its way when the link was cut",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = [yield* kit.ear(other!, topic), yield* kit.ear(one!, topic)]
      const published: Array<Published> = []
      const repeated: Array<boolean> = []
      for (let round = 0; round < 3; round++) {
        yield* kit.isUp(one!)
        const publishing = yield* start(
          Effect.forEach(
            Array.from({ length: 100 }, (_, i) => `${round}:${i}`),
            (what) =>
              Effect.map(one!.publish(topic, text(what)), (receipt) => {
                published.push({ topic, text: what, position: receipt.position })
                repeated.push(receipt.repeated)
              }),
            { concurrency: "unbounded", discard: true }
          )
        )
        if (round > 0) yield* Effect.yieldNow
        yield* kit.faults.cut!(one!)
        yield* Fiber.join(publishing)
      }
      yield* kit.isUp(one!)
      published.push(yield* kit.mark(one!, ears, topic))
      expect(published).toHaveLength(301)
      expect(repeated).not.toContain(true)
      wholly(kit, ears, topic, published)
      const producer = kit.unique
      const key = { producer, epoch: 0, sequence: 0 }
      const first = yield* kit.insist(one!, topic, text("keyed", key))
      yield* kit.faults.cut!(one!)
      yield* kit.isUp(one!)
      expect(yield* kit.insist(one!, topic, text("keyed", key))).toEqual({ position: first.position, repeated: true })
    }),
  "cut"
)

const cutHearing = check(
  "restores casts, and tells who subscribed meanwhile where it begins",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const [channel, topic] = [kit.unique, kit.unique]
      const heard = yield* hearing(other!, channel)
      yield* kit.faults.cut!(other!)
      const ear = yield* kit.ear(other!, topic)
      yield* kit.isUp(other!)
      const began = ear.began.get(topic)
      if (began === undefined) yield* kit.until(() => gaps(ear, topic).length > 0, "a gap is told")
      yield* kit.insist(one!, topic, text("x"))
      yield* kit.heard(ear, 1)
      expect(gaps(ear, topic).map(({ from }) => from)).toEqual(began === undefined ? [undefined] : [])
      yield* Effect.gen(function* () {
        for (let i = 0; heard.length === 0 && i < 1_000; i++) {
          yield* cast(one!, channel, "y")
          yield* Effect.sleep(10)
        }
      })
      expect(heard).toContain("y")
    }),
  "cut"
)

const restarted = check(
  "tells that the server has forgotten, and goes on with what comes then",
  (kit) =>
    Effect.gen(function* () {
      const nodes = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = yield* Effect.all(nodes.map((node) => kit.ear(node, topic)))
      const published: Array<Published> = []
      const say = (node: Node, what: string) =>
        Effect.map(kit.insist(node, topic, text(what)), ({ position }) => {
          published.push({ topic, text: what, position })
        })
      for (let i = 0; i < 5; i++) yield* say(nodes[0]!, `before ${i}`)
      for (const ear of ears) yield* kit.heard(ear, 5)
      const { epoch } = yield* nodes[0]!.position
      yield* kit.faults.restart!
      for (const ear of ears) yield* kit.until(() => gaps(ear).length > 0, "a gap is told")
      for (const node of nodes) yield* kit.isUp(node)
      for (let i = 0; i < 5; i++) yield* say(nodes[i % 2]!, `after ${i}`)
      published.push(yield* kit.mark(nodes[1]!, ears, topic))
      for (const ear of ears) {
        kit.account(ear, topic, published)
        expect(gaps(ear)).toHaveLength(1)
        expect(gaps(ear)[0]!.from!.epoch).toBe(epoch)
        expect(gaps(ear)[0]!.to.epoch).not.toBe(epoch)
        expect(texts(ear).filter((what) => what.startsWith("after"))).toHaveLength(5)
      }
      const missed = yield* nodes[0]!.since([topic], published[0]!.position)
      expect(missed.gap).toEqual([topic])
    }),
  "restart"
)

/** A node that cannot be reached fails what is asked of it, says so, and is as before when it can. */
const unreachable = (
  kit: Kit,
  one: Node,
  cutOff: (node: Node) => Effect.Effect<void, never, Scope.Scope>
): Effect.Effect<ReadonlyArray<Published>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const topic = kit.unique
    const ear = yield* kit.ear(one, topic)
    const published: Array<Published> = []
    const seen: Array<string> = []
    yield* start(Stream.runForEach(one.statuses, ({ _tag }) => Effect.sync(() => seen.push(_tag))))
    yield* kit.insist(one, topic, text("before"))
    yield* kit.heard(ear, 1)
    published.push({ topic, text: "before", position: deliveries(ear)[0]!.position })
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* cutOff(one)
        const asked = yield* start(outcomeOf(one.publish(topic, text("on its way"))))
        published.push({ topic, text: "on its way", position: undefined })
        yield* kit.until(() => one.status()._tag === "Down", "it is down")
        expect(yield* Fiber.join(asked)).toBe("Unavailable")
        const at = yield* Effect.flip(one.publish(topic, text("never")))
        expect(at.reason).toMatchObject({ _tag: "Unavailable", outcome: "NotPublished" })
        expect(yield* outcomeOf(one.since([topic], undefined))).toBe("Unavailable")
        expect(yield* outcomeOf(one.position)).toBe("Unavailable")
        expect(yield* outcomeOf(cast(one, topic, "never"))).toBe("Unavailable")
      })
    )
    yield* kit.isUp(one)
    published.push({ topic, text: "then", position: (yield* kit.insist(one, topic, text("then"))).position })
    published.push(yield* kit.mark(one, [ear], topic))
    wholly(kit, [ear], topic, published)
    expect(seen).toEqual(expect.arrayContaining(["Up", "Down"]))
    expect(seen.at(-1)).toBe("Up")
    return published
  })

const paused = check(
  "is down while the server does not answer, and loses nothing of it",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ear = yield* kit.ear(other!, topic)
      const published: Array<Published> = []
      const stop = yield* stream(kit, other!, topic, published)
      yield* unreachable(kit, one!, () => kit.faults.pause!)
      yield* kit.isUp(other!)
      yield* stop
      published.push(yield* kit.mark(one!, [ear], topic))
      wholly(kit, [ear], topic, published)
    }),
  "pause"
)

const partitioned = check(
  "is down on a node that is cut off, up on the others, and fills what it missed",
  (kit) =>
    Effect.gen(function* () {
      const [one, other] = yield* kit.nodes(2)
      const topic = kit.unique
      const ears = [yield* kit.ear(one!, topic), yield* kit.ear(other!, topic)]
      const published: Array<Published> = []
      const stop = yield* stream(kit, other!, topic, published, 50)
      yield* unreachable(kit, one!, kit.faults.partition!)
      expect(other!.status()._tag).toBe("Up")
      yield* stop
      published.push(yield* kit.mark(one!, ears, topic))
      wholly(kit, ears, topic, published)
    }),
  "partition"
)

// Random histories.

/**
 * Nodes that publish, subscribe and leave as a seed has it, while things happen to them; at the end each message is
 * accounted for at both ends.
 */
const history = (
  kit: Kit,
  seed: number,
  happenings: ReadonlyArray<(nodes: ReadonlyArray<Node>) => Effect.Effect<void>>
) =>
  Effect.gen(function* () {
    const next = random(seed)
    const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
    const forgets = happenings.includes(restartOf(kit)!)
    const nodes = yield* kit.nodes(3)
    const topics = [kit.unique, kit.unique, kit.unique]
    const published: Array<Published> = []
    const ears = yield* Effect.all(nodes.map((node) => kit.ear(node, ...topics)))
    const passing: Array<Ear> = []
    const publishers = nodes.map((node, n) =>
      Effect.gen(function* () {
        const producer = kit.unique
        for (let i = 0; i < 60; i++) {
          const topic = pick(topics)
          const what = `${seed}:${n}:${i}`
          const isKeyed = next() < 0.5
          const key = isKeyed ? { producer, epoch: 0, sequence: i } : undefined
          // Who has forgotten may take it twice: then nobody repeats.
          const attempt =
            isKeyed && !forgets ? kit.insist(node, topic, text(what, key)) : node.publish(topic, text(what, key))
          const exit = yield* Effect.exit(attempt)
          if (Exit.isSuccess(exit)) {
            published.push({ topic, text: what, position: exit.value.position })
            if (isKeyed && !forgets && next() < 0.3) {
              const again = yield* Effect.exit(kit.insist(pick(nodes), topic, text(what, key)))
              if (Exit.isSuccess(again)) expect(again.value).toEqual({ position: exit.value.position, repeated: true })
            }
          } else {
            const error = Cause.findError(exit.cause)
            if (Result.isFailure(error)) return yield* Effect.failCause(exit.cause)
            const { reason } = error.success as BrokerError
            expect(reason._tag).toBe("Unavailable")
            if (reason._tag === "Unavailable" && reason.outcome === "Unknown") {
              published.push({ topic, text: what, position: undefined })
            }
          }
          if (next() < 0.3) yield* Effect.sleep(Math.floor(next() * 10))
        }
      })
    )
    const comings = Effect.gen(function* () {
      for (let i = 0; i < 15; i++) {
        const topic = pick(topics)
        const ear = yield* kit.ear(pick(nodes), topic)
        passing.push(ear)
        yield* Effect.sleep(Math.floor(next() * 20))
        if (next() < 0.5) ear.unsubscribe(topic)
      }
    })
    const happening = Effect.gen(function* () {
      for (let i = 0; i < 5 && happenings.length > 0; i++) {
        yield* Effect.sleep(10 + Math.floor(next() * 60))
        yield* pick(happenings)(nodes)
      }
    })
    yield* Effect.all([...publishers, comings, happening], { concurrency: "unbounded", discard: true })
    for (const node of nodes) yield* kit.isUp(node)
    for (const topic of topics) published.push(yield* kit.mark(nodes[0]!, ears, topic))
    for (const topic of topics) {
      for (const ear of ears) kit.account(ear, topic, published)
      if (happenings.length > 0) continue
      const order = texts(ears[0]!, topic)
      for (const ear of ears) expect(texts(ear, topic)).toEqual(order)
    }
    // Who left in between was told all up to then; the order and what is told twice can be seen.
    for (const ear of passing) {
      for (const topic of ear.began.keys()) {
        const heard = new Set(texts(ear, topic))
        // What was published to it behind its leaving was not to come.
        const unsure = published.map((each) => ({
          topic: each.topic,
          text: each.text,
          position: heard.has(each.text) ? each.position : undefined
        }))
        kit.account(ear, topic, unsure)
      }
    }
    if (!forgets) for (const ear of ears) expect(gaps(ear), "all of it is kept").toEqual([])
  })

const restarts = new WeakMap<Kit, (nodes: ReadonlyArray<Node>) => Effect.Effect<void>>()

const restartOf = (kit: Kit) => {
  const { restart } = kit.faults
  if (restart === undefined) return undefined
  const known = restarts.get(kit) ?? (() => restart)
  restarts.set(kit, known)
  return known
}

/** Cuts, pauses and partitions, of any node, for some time. */
const disturbances = (kit: Kit): ReadonlyArray<(nodes: ReadonlyArray<Node>) => Effect.Effect<void>> => {
  const { cut, partition, pause } = kit.faults
  let turn = 0
  const some = (nodes: ReadonlyArray<Node>) => nodes[turn++ % nodes.length]!
  const during = (fault: Effect.Effect<void, never, Scope.Scope>) =>
    Effect.scoped(Effect.andThen(fault, Effect.sleep((turn * 37) % 300)))
  return [
    ...(cut === undefined ? [] : [(nodes: ReadonlyArray<Node>) => cut(some(nodes))]),
    ...(pause === undefined ? [] : [() => during(pause)]),
    ...(partition === undefined ? [] : [(nodes: ReadonlyArray<Node>) => during(partition(some(nodes)))])
  ]
}

const histories: ReadonlyArray<Check> = [
  check("accounts for every message of a random history", (kit) =>
    Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, [])), { discard: true })
  ),
  check(
    "accounts for every message while links are cut, nodes are cut off, and the server is held up",
    (kit) =>
      Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, disturbances(kit))), { discard: true }),
    "cut"
  ),
  check(
    "accounts for every message, or tells a gap, while the server forgets as well",
    (kit) =>
      Effect.forEach(kit.seeds, (seed) => Effect.scoped(history(kit, seed, [restartOf(kit)!, ...disturbances(kit)])), {
        discard: true
      }),
    "restart"
  )
]

/** Everything that a broker is checked for. */
export const checks: ReadonlyArray<Check> = [
  sameOrder,
  burst,
  live,
  racing,
  unsubscribed,
  attachments,
  many,
  positions,
  bounded,
  repeats,
  stale,
  payloads,
  limit,
  names,
  casts,
  statuses,
  interrupted,
  cutSubscriber,
  cutPublisher,
  cutHearing,
  restarted,
  paused,
  partitioned,
  ...histories
]

/** Lets the clock of the test run. */
const driven: Effect.Effect<void> = Effect.forever(
  Effect.andThen(TestClock.adjust("5 millis") as Effect.Effect<void>, Effect.yieldNow)
)

const has = ({ faults, maxBytes, maxEntries }: Made, need: Need): boolean => {
  if (need === "fence") return true
  if (need === "maxBytes") return maxBytes !== undefined
  if (need === "maxEntries") return maxEntries !== undefined
  return faults?.[need] !== undefined
}

/** Runs a check. Fails, or dies, where the broker is wrong. */
export const run = ({ name, needs, run: its }: Check, spec: Spec): Effect.Effect<void, unknown> => {
  const running = Effect.scoped(
    Effect.gen(function* () {
      if (spec.clock === "test") yield* Effect.forkScoped(driven)
      const made = yield* spec.make
      const missing = needs.filter((need) => !has(made, need))
      if (missing.length > 0)
        return yield* Effect.die(new Error(`"${name}" needs ${missing.join(", ")}, or that it is lacked`))
      yield* its(new Kit(made, spec, yield* Clock.Clock))
    })
  )
  return spec.clock === "test" ? Effect.provide(running, TestClock.layer()) : running
}

/** Registers a test for each check. `timeout` is of each, in milliseconds; without one it is that of vitest. */
export const brokerKit = (name: string, spec: Spec, timeout?: number): void => {
  describe(name, () => {
    for (const each of checks) {
      if (each.needs.some((need) => spec.lacks?.includes(need))) continue
      it(each.name, () => Effect.runPromise(run(each, spec)), timeout)
    }
  })
}
