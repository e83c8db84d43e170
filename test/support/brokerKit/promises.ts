/** What every broker promises while nothing goes wrong. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Parcel from "@millrace/core/cluster/Parcel"
import * as Message from "@millrace/core/protocol/Message"
import {
  cast,
  type Check,
  check,
  deliveries,
  type Ear,
  gaps,
  hearing,
  outcomeOf,
  type Published,
  start,
  text,
  textOf,
  texts
} from "./Kit.ts"
import { maxCastBytes, type Receipt } from "@millrace/core/cluster/Broker"
import { expect } from "vitest"

/** Of 0 bytes, around where lengths get longer, and long. */
const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]

const letters = (length: number): string => "aé€".repeat(Math.ceil(length / 3)).slice(0, length)

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
    expect(texts(ear)).toHaveLength(oddTopics.length)
    for (const topic of oddTopics) expect(texts(ear, topic)).toEqual([`in ${topic}`])
    const { entries, gap } = yield* other!.since(oddTopics, before)
    expect(gap).toEqual([])
    expect(entries.map(({ topic, value }) => [topic, textOf(value)])).toEqual(
      oddTopics.map((topic) => [topic, `in ${topic}`])
    )
  })
)

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

export const promises: ReadonlyArray<Check> = [
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
  interrupted
]
