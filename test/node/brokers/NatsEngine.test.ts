import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { beforeEach, describe, expect, it } from "vitest"
import * as NatsEngine from "@millrace/node/brokers/NatsEngine"
import { shared } from "../../support/command.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { bytes, client, Heard, publish, run, streamOf, tailOf, text } from "../../support/natsLink.ts"
import { natsServer } from "../../support/natsServer.ts"

let prefixes = 0

describeWith("nats-server")("NatsEngine", () => {
  const server = shared(natsServer())
  let prefix = ""
  beforeEach(() => {
    prefix = `test-${++prefixes}`
  })

  const engine = (options: Partial<NatsEngine.Options> = {}) =>
    NatsEngine.make({ url: server().url, prefix, ...options })
  const open = (options: Partial<NatsEngine.Options> = {}, heard = new Heard()) => engine(options).open(heard)

  it("gives each publication of all topics the next offset, and tells who listens what was before it in its topic", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        yield* link.listen(["a", "b"])
        expect(yield* publish(link, "a", "1")).toEqual([1])
        expect(yield* publish(link, "c", "unheard")).toEqual([2])
        expect(yield* publish(link, "b", "2")).toEqual([3])
        expect(yield* publish(link, "a", "3")).toEqual([4])
        yield* eventually(() => heard.publications.length === 3)
        const { epoch } = yield* link.position
        expect(
          heard.publications.map(({ bytes, position, previous, topic }) => ({
            topic,
            position,
            previous,
            text: text(bytes)
          }))
        ).toEqual([
          { topic: "a", position: { epoch, offset: 1 }, previous: undefined, text: "1" },
          { topic: "b", position: { epoch, offset: 3 }, previous: undefined, text: "2" },
          { topic: "a", position: { epoch, offset: 4 }, previous: 1, text: "3" }
        ])
        expect(yield* link.position).toEqual({ epoch, offset: 4 })
      })
    ))

  it("takes topics of any text, and tells them apart", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        const topics = [
          "",
          "_",
          "a.b",
          "a.>",
          "*",
          ">",
          " ",
          "\r\nPUB x 0\r\n",
          "\u{1f642}",
          "A",
          "a",
          "é".repeat(128),
          "$SYS.>"
        ]
        yield* link.listen(topics)
        for (const topic of topics) yield* publish(link, topic, `to ${topic}`)
        yield* eventually(() => heard.publications.length === topics.length)
        expect(heard.publications.map(({ topic }) => topic)).toEqual(topics)
        expect(heard.texts).toEqual(topics.map((topic) => `to ${topic}`))
        for (const topic of topics) expect((yield* tailOf(link, topic, undefined)).texts).toEqual([`to ${topic}`])
      })
    ))

  it("knows a repeat by its key, also of another link, and does not tell it again", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const one = yield* open({}, heard)
        const other = yield* open()
        yield* one.listen(["a"])
        const key = { producer: "ada\r\nNats-Rollup: all", epoch: 2, sequence: 9 }
        const first = yield* one.append("a", bytes("once"), key)
        expect(first.repeated).toBe(false)
        yield* publish(other, "a", "between")
        expect(yield* other.append("a", bytes("once"), key)).toEqual({ position: first.position, repeated: true })
        const next = yield* other.append("a", bytes("next"), { ...key, sequence: 10 })
        expect(next).toEqual({ position: { epoch: first.position.epoch, offset: 3 }, repeated: false })
        yield* eventually(() => heard.publications.length === 3)
        expect(heard.texts).toEqual(["once", "between", "next"])
      })
    ))

  it("keeps publications for as long as it knows repeats, where it was told to keep them shorter", () =>
    run(
      Effect.gen(function* () {
        yield* open({ retention: { maxAge: "1 second", repeatWindow: "5 seconds" } })
        const { jsm } = yield* client(server().url)
        const name = yield* streamOf(jsm, prefix)
        const { config } = yield* Effect.promise(() => jsm.streams.info(name))
        expect([config.max_age, config.duplicate_window]).toEqual([5_000_000_000, 5_000_000_000])
      })
    ))

  it("publishes many at a time, in the order in which they were begun", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        yield* link.listen(["a"])
        const numbers = Array.from({ length: 2_000 }, (_, i) => `${i}`)
        const receipts = yield* Effect.forEach(numbers, (number) => link.append("a", bytes(number), undefined), {
          concurrency: "unbounded"
        })
        expect(receipts.map(({ position }) => position.offset)).toEqual(numbers.map((_, i) => i + 1))
        yield* eventually(() => heard.publications.length === numbers.length)
        expect(heard.texts).toEqual(numbers)
      })
    ))

  it("tells nothing of a topic that it does not listen to any more", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        yield* link.listen(["a", "b"])
        link.unlisten(["a", "never"])
        yield* publish(link, "a", "1")
        yield* publish(link, "b", "2")
        yield* eventually(() => heard.publications.length > 0)
        expect(heard.texts).toEqual(["2"])
        yield* link.listen(["a"])
        yield* publish(link, "a", "3")
        yield* eventually(() => heard.publications.length > 1)
        expect(heard.texts).toEqual(["2", "3"])
      })
    ))

  it("casts to all who hear the channel, itself too, and to nobody else", () =>
    run(
      Effect.gen(function* () {
        const [near, far] = [new Heard(), new Heard()]
        const one = yield* open({}, near)
        const other = yield* open({}, far)
        yield* one.hear(["x", "y"])
        yield* other.hear(["x"])
        yield* one.cast("y", bytes("1"))
        yield* one.cast("x", bytes("2"))
        yield* eventually(() => near.casts.length === 2 && far.casts.length === 1)
        other.unhear(["x"])
        yield* one.cast("x", bytes("3"))
        yield* one.cast("z", bytes("4"))
        yield* eventually(() => near.casts.length === 3)
        yield* other.hear(["z"])
        yield* one.cast("z", bytes("5"))
        yield* eventually(() => far.casts.length === 2)
        expect(near.casts).toEqual([
          ["y", "1"],
          ["x", "2"],
          ["x", "3"]
        ])
        expect(far.casts).toEqual([
          ["x", "2"],
          ["z", "5"]
        ])
      })
    ))

  it("does not hear another prefix, though it says the same", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        const other = yield* open({ prefix: `${prefix}.more` })
        yield* link.listen(["a"])
        yield* link.hear(["a"])
        yield* publish(other, "a", "theirs")
        yield* other.cast("a", bytes("theirs"))
        yield* publish(link, "a", "ours")
        yield* link.cast("a", bytes("ours"))
        yield* eventually(() => heard.publications.length > 0 && heard.casts.length > 0)
        expect(heard.texts).toEqual(["ours"])
        expect(heard.casts).toEqual([["a", "ours"]])
        expect((yield* link.position).epoch).not.toBe((yield* other.position).epoch)
      })
    ))

  describe("since", () => {
    it("gives what was published behind a position, in order, and where the log is", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open()
          const { epoch } = yield* link.position
          const at = (offset: number) => ({ epoch, offset })
          expect(yield* tailOf(link, "a", at(0))).toEqual({ texts: [], gap: false, to: 0 })
          yield* publish(link, "a", "1", "2")
          yield* publish(link, "b", "3")
          yield* publish(link, "a", "4")
          yield* publish(link, "c", "5")
          expect(yield* tailOf(link, "a", at(0))).toEqual({ texts: ["1", "2", "4"], gap: false, to: 5 })
          expect(yield* tailOf(link, "a", at(1))).toEqual({ texts: ["2", "4"], gap: false, to: 5 })
          expect(yield* tailOf(link, "a", at(3))).toEqual({ texts: ["4"], gap: false, to: 5 })
          expect(yield* tailOf(link, "a", at(4))).toEqual({ texts: [], gap: false, to: 5 })
          expect(yield* tailOf(link, "a", at(5))).toEqual({ texts: [], gap: false, to: 5 })
          expect(yield* tailOf(link, "d", at(2))).toEqual({ texts: [], gap: false, to: 5 })
          expect(yield* tailOf(link, "a", undefined)).toEqual({ texts: ["1", "2", "4"], gap: true, to: 5 })
          expect(yield* tailOf(link, "a", { epoch: "other", offset: 4 })).toEqual({
            texts: ["1", "2", "4"],
            gap: true,
            to: 5
          })
          expect(yield* tailOf(link, "a", at(99))).toEqual({ texts: ["1", "2", "4"], gap: true, to: 5 })
        })
      ))

    it("tells a gap as soon as one more was missed than is kept, and not before", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open({ retention: { maxEntries: 5 } })
          const { epoch } = yield* link.position
          yield* publish(link, "b", "first")
          yield* publish(link, "a", "1", "2", "3", "4", "5")
          expect(yield* tailOf(link, "a", { epoch, offset: 1 })).toMatchObject({
            texts: ["1", "2", "3", "4", "5"],
            gap: false
          })
          yield* publish(link, "a", "6", "7")
          expect(yield* tailOf(link, "a", { epoch, offset: 1 })).toMatchObject({
            texts: ["2", "3", "4", "5", "6", "7"],
            gap: true
          })
          expect(yield* tailOf(link, "a", { epoch, offset: 3 })).toMatchObject({
            texts: ["3", "4", "5", "6", "7"],
            gap: false
          })
          expect(yield* tailOf(link, "b", { epoch, offset: 1 })).toMatchObject({ texts: [], gap: false })
          expect(yield* tailOf(link, "c", { epoch, offset: 1 })).toMatchObject({ texts: [], gap: false })
        })
      ))

    it("tells a gap when all that was missed has grown too old, and none of what came before that", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open({ retention: { maxAge: 200, repeatWindow: 100 } })
          const { jsm } = yield* client(server().url)
          const stream = yield* streamOf(jsm, prefix)
          const { epoch } = yield* link.position
          yield* publish(link, "a", "1", "2")
          const isEmpty = Effect.promise(async () => (await jsm.streams.info(stream)).state.messages === 0)
          while (!(yield* isEmpty)) yield* Effect.yieldNow
          expect(yield* tailOf(link, "a", { epoch, offset: 0 })).toEqual({ texts: [], gap: true, to: 2 })
          expect(yield* tailOf(link, "a", { epoch, offset: 1 })).toEqual({ texts: [], gap: true, to: 2 })
          expect(yield* tailOf(link, "a", { epoch, offset: 2 })).toEqual({ texts: [], gap: false, to: 2 })
          // However slow this machine is.
          yield* Effect.promise(() => jsm.streams.update(stream, { max_age: 60_000_000_000 }))
          yield* publish(link, "a", "3")
          expect(yield* tailOf(link, "a", { epoch, offset: 2 })).toEqual({ texts: ["3"], gap: false, to: 3 })
        })
      ))

    it("tells a gap of what was pushed out by the bytes of other topics", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open({ maxLogBytes: 20_000 })
          const { epoch } = yield* link.position
          yield* publish(link, "a", "1", "2")
          for (let i = 0; i < 5; i++) yield* publish(link, "b", "x".repeat(5_000))
          expect(yield* tailOf(link, "a", { epoch, offset: 1 })).toEqual({ texts: [], gap: true, to: 7 })
          expect((yield* tailOf(link, "b", { epoch, offset: 0 })).gap).toBe(true)
          const { gap, texts } = yield* tailOf(link, "b", { epoch, offset: 5 })
          expect([gap, texts.length]).toEqual([false, 2])
        })
      ))

    it("gives thousands, and those of a mebibyte each", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open({ retention: { maxEntries: 5_000 }, maxTailBytes: 67_108_864 })
          const { epoch } = yield* link.position
          const numbers = Array.from({ length: 3_000 }, (_, i) => `${i}`)
          yield* Effect.forEach(numbers, (number) => link.append("a", bytes(number), undefined), {
            concurrency: "unbounded",
            discard: true
          })
          expect(yield* tailOf(link, "a", { epoch, offset: 0 })).toEqual({ texts: numbers, gap: false, to: 3_000 })
          const long = new Uint8Array(1_048_576 - 1_024).fill(120)
          for (let i = 0; i < 12; i++) yield* link.append("b", long, undefined)
          const { entries, gap } = yield* link.since("b", { epoch, offset: 3_000 })
          expect([gap, entries.map(({ bytes }) => bytes.length)]).toEqual([false, Array(12).fill(long.length)])
        })
      ))

    it("holds no more bytes than it may, and tells that there is a gap before the newest", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open({ maxTailBytes: 25 })
          const { epoch } = yield* link.position
          yield* publish(link, "a", "1".repeat(10), "2".repeat(10), "3".repeat(10))
          expect(yield* tailOf(link, "a", { epoch, offset: 0 })).toEqual({
            texts: ["2".repeat(10), "3".repeat(10)],
            gap: true,
            to: 3
          })
          yield* publish(link, "a", "4".repeat(30))
          expect(yield* tailOf(link, "a", { epoch, offset: 0 })).toEqual({ texts: ["4".repeat(30)], gap: true, to: 4 })
          expect((yield* tailOf(link, "a", { epoch, offset: 3 })).gap).toBe(false)
        })
      ))

    it("tells no gap of a topic that was quiet while it was listened to, however long ago, and one of what came later", () =>
      run(
        Effect.gen(function* () {
          const retention = { maxAge: 200, repeatWindow: 100 }
          const { jsm } = yield* client(server().url)
          const knowing = engine({ retention })
          const stranger = yield* open({ retention })
          const stream = yield* streamOf(jsm, prefix)
          const isEmpty = Effect.promise(async () => (await jsm.streams.info(stream)).state.messages === 0)
          const gone = Effect.gen(function* () {
            while (!(yield* isEmpty)) yield* Effect.yieldNow
          })
          const before = yield* Effect.scoped(
            Effect.gen(function* () {
              const link = yield* knowing.open(new Heard())
              yield* link.listen(["a", "b"])
              const before = yield* link.position
              yield* publish(link, "c", "1", "2")
              yield* publish(stranger, "b", "3")
              yield* publish(link, "c", "4")
              yield* gone
              // It asks where the log is, now and then.
              while ((yield* tailOf(link, "a", before)).gap) yield* TestClock.adjust("5 seconds")
              return before
            })
          )
          const again = yield* knowing.open(new Heard())
          expect(yield* tailOf(again, "a", before)).toEqual({ texts: [], gap: false, to: 4 })
          expect(yield* tailOf(again, "b", before)).toEqual({ texts: [], gap: true, to: 4 })
          expect(yield* tailOf(again, "c", before)).toEqual({ texts: [], gap: true, to: 4 })
          expect(yield* tailOf(stranger, "a", before)).toEqual({ texts: [], gap: true, to: 4 })
          yield* publish(stranger, "a", "5")
          yield* gone
          expect(yield* tailOf(again, "a", before)).toEqual({ texts: [], gap: true, to: 5 })
        }).pipe(Effect.provide(TestClock.layer()))
      ))

    it("tells a gap of a log that an operator has purged, and goes on counting", () =>
      run(
        Effect.gen(function* () {
          const link = yield* open()
          const { jsm } = yield* client(server().url)
          yield* publish(link, "a", "1", "2")
          const before = yield* link.position
          yield* Effect.promise(async () => jsm.streams.purge(await jsm.streams.find(`${prefix}.log.>`)))
          expect(yield* link.position).toEqual(before)
          expect(yield* tailOf(link, "a", { ...before, offset: 1 })).toEqual({ texts: [], gap: true, to: 2 })
          expect(yield* tailOf(link, "a", before)).toEqual({ texts: [], gap: false, to: 2 })
          expect(yield* publish(link, "a", "3")).toEqual([3])
        })
      ))
  })
})
