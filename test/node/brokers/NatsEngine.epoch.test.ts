import { cpSync, rmSync } from "node:fs"
import { headers } from "@nats-io/transport-node"
import * as Effect from "effect/Effect"
import { beforeEach, expect, it } from "vitest"
import type { Link } from "@millrace/core/cluster/Engine"
import * as NatsEngine from "@millrace/node/brokers/NatsEngine"
import * as Subjects from "@millrace/node/brokers/nats/Subjects"
import { shared } from "../../support/command.ts"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { folder } from "../../support/folder.ts"
import { bytes, client, failureOf, Heard, publish, run, streamOf, tailOf } from "../../support/natsLink.ts"
import { natsServer } from "../../support/natsServer.ts"

const epochOf = (link: Link) => Effect.map(link.position, ({ epoch }) => epoch)

/** A server that can be set back to what it had on disk before. */
const withStore = Effect.gen(function* () {
  const store = `${yield* folder}/store`
  const own = yield* natsServer({ args: ["--store_dir", store] })
  return {
    own,
    save: Effect.andThen(
      own.kill,
      Effect.andThen(
        Effect.sync(() => cpSync(store, `${store}.saved`, { recursive: true })),
        own.restart
      )
    ),
    setBack: Effect.andThen(
      own.kill,
      Effect.andThen(
        Effect.sync(() => {
          rmSync(store, { recursive: true })
          cpSync(`${store}.saved`, store, { recursive: true })
        }),
        own.restart
      )
    )
  }
})

let prefixes = 0

describeWith("nats-server")("The epoch of NatsEngine", () => {
  const server = shared(natsServer())
  let prefix = ""
  beforeEach(() => {
    prefix = `test-${++prefixes}`
  })

  const engine = (options: Partial<NatsEngine.Options> = {}) =>
    NatsEngine.make({ url: server().url, prefix, ...options })
  const open = (options: Partial<NatsEngine.Options> = {}, heard = new Heard()) => engine(options).open(heard)

  it("is one for all who make the log at the same time", () =>
    run(
      Effect.gen(function* () {
        const links = yield* Effect.all(
          Array.from({ length: 8 }, () => open()),
          { concurrency: "unbounded" }
        )
        const epochs = yield* Effect.forEach(links, epochOf)
        expect(new Set(epochs).size).toBe(1)
      })
    ))

  it("stays when the server is killed and started again with its store, and so does what was acknowledged", () =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer()
        const first = engine({ url: own.url })
        const link = yield* first.open(new Heard())
        const offsets = yield* publish(link, "a", "1", "2", "3")
        const before = yield* link.position
        const receipt = yield* link.append("a", bytes("4"), { producer: "p", epoch: 1, sequence: 1 })
        yield* own.restart
        expect((yield* link.ended).reason._tag).toBe("Unavailable")
        const again = yield* first.open(new Heard())
        expect(yield* again.append("a", bytes("4"), { producer: "p", epoch: 1, sequence: 1 })).toEqual({
          position: receipt.position,
          repeated: true
        })
        expect(yield* again.position).toEqual({ ...before, offset: before.offset + 1 })
        expect((yield* again.since("a", { ...before, offset: 0 })).entries.map(({ offset }) => offset)).toEqual([
          ...offsets,
          receipt.position.offset
        ])
      })
    ))

  it.each(["file", "memory"] as const)("is another when what was kept in %s is gone with the server", (storage) =>
    run(
      Effect.gen(function* () {
        const own = yield* natsServer()
        const first = engine({ url: own.url, storage })
        const link = yield* first.open(new Heard())
        yield* publish(link, "a", "1", "2")
        const before = yield* link.position
        yield* storage === "file" ? own.restartEmpty : own.restart
        yield* link.ended
        const again = yield* first.open(new Heard())
        const after = yield* again.position
        expect(after.offset).toBe(0)
        expect(after.epoch).not.toBe(before.epoch)
        expect(yield* tailOf(again, "a", before)).toEqual({ texts: [], gap: true, to: 0 })
      })
    )
  )

  it("is another when the stream was deleted, which ends the links at once and is noticed before anything is published", () =>
    run(
      Effect.gen(function* () {
        const [one, other] = [yield* open(), yield* open()]
        const before = yield* one.position
        const { jsm } = yield* client(server().url)
        yield* publish(one, "a", "1")
        const name = yield* streamOf(jsm, prefix)
        yield* Effect.promise(() => jsm.streams.delete(name))
        for (const link of [one, other]) expect((yield* link.ended).reason._tag).toBe("Unavailable")
        expect(yield* failureOf(one.append("a", bytes("2"), undefined))).toMatchObject({
          _tag: "Unavailable",
          outcome: "NotPublished"
        })
        const again = yield* open()
        expect((yield* again.position).epoch).not.toBe(before.epoch)
        expect(yield* publish(again, "a", "3")).toEqual([1])
      })
    ))

  it("is not taken from another stream: a link that hears of one ends, and tells nothing of it", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        yield* link.listen(["a"])
        const { nats } = yield* client(server().url)
        const live = Subjects.make(prefix).live("a")
        nats.publish(live, "of nobody")
        const head = headers()
        head.set("Nats-Stream", `${prefix}-another`)
        head.set("Nats-Sequence", "1")
        nats.publish(live, "of another", { headers: head })
        expect((yield* link.ended).message).toContain("made anew")
        expect(heard.publications).toEqual([])
      })
    ))

  it("is another when somebody made the same stream again, name and all", () =>
    run(
      Effect.gen(function* () {
        const heard = new Heard()
        const link = yield* open({}, heard)
        const before = yield* link.position
        const { jsm } = yield* client(server().url)
        const name = yield* streamOf(jsm, prefix)
        yield* Effect.promise(async () => {
          const { config } = await jsm.streams.info(name)
          await jsm.streams.delete(name)
          await jsm.streams.add(config)
        })
        yield* link.ended
        const again = yield* open()
        expect((yield* again.position).epoch).not.toBe(before.epoch)
        expect(yield* streamOf(jsm, prefix)).toBe(name)
      })
    ))

  it("is another when more of a topic is kept than before: nobody knows what was let go", () =>
    run(
      Effect.gen(function* () {
        const link = yield* open({ retention: { maxEntries: 2 } })
        const before = yield* link.position
        yield* publish(link, "a", "1", "2", "3", "4")
        const more = yield* open({ retention: { maxEntries: 100 } })
        expect((yield* link.ended).message).toContain("changed")
        expect((yield* more.position).epoch).not.toBe(before.epoch)
        const tail = yield* tailOf(more, "a", before)
        expect(tail).toEqual({ texts: ["2", "3", "4"], gap: true, to: 4 })
        expect((yield* (yield* open({ retention: { maxEntries: 100 } })).position).epoch).toBe(
          (yield* more.position).epoch
        )
      })
    ))

  it("is another each time it is changed how much of a topic is kept, there and back, whoever does it", () =>
    run(
      Effect.gen(function* () {
        const { jsm } = yield* client(server().url)
        const epochs: Array<string> = []
        for (const maxEntries of [5, 2, 5]) epochs.push(yield* epochOf(yield* open({ retention: { maxEntries } })))
        const link = yield* open({ retention: { maxEntries: 5 } })
        const name = yield* streamOf(jsm, prefix)
        yield* Effect.promise(() => jsm.streams.update(name, { max_msgs_per_subject: 50 }))
        yield* link.ended
        epochs.push(yield* epochOf(yield* open({ retention: { maxEntries: 49 } })))
        expect(new Set(epochs).size).toBe(4)
      })
    ))

  it("stays when only times and bytes are changed, which who is connected does not notice", () =>
    run(
      Effect.gen(function* () {
        const link = yield* open()
        const before = yield* link.position
        const other = yield* open({ maxLogBytes: 1_000_000, retention: { maxAge: 60_000, repeatWindow: 1_000 } })
        expect(yield* other.position).toEqual(before)
        expect(yield* publish(link, "a", "1")).toEqual([1])
        const { jsm } = yield* client(server().url)
        const name = yield* streamOf(jsm, prefix)
        const { config } = yield* Effect.promise(() => jsm.streams.info(name))
        expect(config).toMatchObject({
          max_bytes: 1_000_000,
          max_age: 60_000_000_000,
          duplicate_window: 1_000_000_000,
          deny_delete: true
        })
      })
    ))

  it("is another when the store was set back, for whoever has known more and then for all", () =>
    run(
      Effect.gen(function* () {
        const { own, save, setBack } = yield* withStore
        const knowing = engine({ url: own.url })
        yield* publish(yield* knowing.open(new Heard()), "a", "1", "2")
        yield* save
        const link = yield* knowing.open(new Heard())
        yield* publish(link, "a", "3", "4")
        const before = yield* link.position
        yield* setBack
        const stranger = yield* engine({ url: own.url }).open(new Heard())
        expect((yield* stranger.position).epoch).toBe(before.epoch)
        const again = yield* knowing.open(new Heard())
        const after = yield* again.position
        expect(after.offset).toBe(2)
        expect(after.epoch).not.toBe(before.epoch)
        yield* stranger.ended
        expect(yield* (yield* engine({ url: own.url }).open(new Heard())).position).toEqual(after)
        expect(yield* tailOf(again, "a", before)).toEqual({ texts: ["1", "2"], gap: true, to: 2 })
      })
    ))

  it("is another when the store was set back and has grown beyond what was known, by something else", () =>
    run(
      Effect.gen(function* () {
        const { own, save, setBack } = yield* withStore
        for (const listens of [true, false]) {
          const topic = `${prefix}-${listens}`
          const knowing = engine({ url: own.url, prefix: topic })
          const mute = yield* engine({ url: own.url, prefix: topic }).open(new Heard())
          yield* publish(mute, "a", "1")
          yield* save
          const heard = new Heard()
          const publisher = yield* engine({ url: own.url, prefix: topic }).open(new Heard())
          if (!listens) yield* publish(publisher, "a", "2", "3")
          const link = yield* knowing.open(heard)
          const before = yield* link.position
          if (listens) {
            yield* link.listen(["a"])
            yield* publish(publisher, "a", "2", "3")
            yield* eventually(() => heard.publications.length === 2)
          }
          yield* setBack
          yield* publish(yield* engine({ url: own.url, prefix: topic }).open(new Heard()), "a", "x", "y", "z")
          const again = yield* knowing.open(new Heard())
          expect((yield* again.position).epoch).not.toBe(before.epoch)
        }
      })
    ))
})
