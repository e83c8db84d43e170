/** The log in a real Redis: offsets, repeats, what is kept, and when a gap is told. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import type { Tail } from "@millrace/core/cluster/Engine"
import type { Position } from "@millrace/core/cluster/Position"
import * as Producers from "@millrace/core/cluster/Producers"
import * as RedisEngine from "@millrace/node/brokers/RedisEngine"
import { describeWith } from "../../support/describeWith.ts"
import { eventually } from "../../support/eventually.ts"
import { asker, bytes, opened, text } from "../../support/redisLink.ts"
import { redisServer } from "../../support/redisServer.ts"

const entriesOf = ({ entries }: Tail) => entries.map(({ bytes, offset }) => `${offset} ${text(bytes)}`)

const key = (sequence: number, epoch = 1, producer = "ada") => ({ producer, epoch, sequence })

const failed = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)

describeWith("redis-server")("the log in Redis", () => {
  it.live("counts the publications of all topics, and tells each with the one before it in its topic", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const one = yield* opened({ url })
      const other = yield* opened({ url })
      yield* one.link.listen(["a", "b"])
      yield* other.link.listen(["b"])
      const before = yield* other.link.position
      expect(before.offset).toBe(0)
      expect(before.epoch).toMatch(/^[\w.-]{20,40}$/)
      for (const [topic, text] of ["a1", "b2", "a3", "b4", "c5"].map((text) => [text[0]!, text] as const)) {
        const { position, repeated } = yield* other.link.append(topic, bytes(text), undefined)
        expect([position.epoch, position.offset, repeated]).toEqual([before.epoch, Number(text[1]), false])
      }
      yield* eventually(() => one.appended.length === 4 && other.appended.length === 2)
      expect(one.lines()).toEqual(["a 1 0 a1", "b 2 0 b2", "a 3 1 a3", "b 4 2 b4"])
      expect(other.lines()).toEqual(["b 2 0 b2", "b 4 2 b4"])
      expect(new Set(one.appended.map(({ position }) => position.epoch))).toEqual(new Set([before.epoch]))
      expect(yield* one.link.position).toEqual({ epoch: before.epoch, offset: 5 })
      const redis = yield* asker(port)
      expect(yield* Effect.promise(() => redis.client("LIST"))).toMatch(/^(.*\n?){5}$/)
    })
  )

  it.live("carries any bytes, in topics of any text", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { appended, heard, link } = yield* opened({ url })
      const topics = ["$nodes", "ab c\n", "{x}:y}", "naïve ✓ 𝄞", "日".repeat(85), ":", "__proto__", "a\0b"]
      const all = Uint8Array.from({ length: 1_024 }, (_, at) => at & 0xff)
      yield* link.listen(topics)
      yield* link.hear(topics)
      for (const topic of topics) {
        yield* link.append(topic, all, undefined)
        const tail = yield* link.since(topic, { epoch: (yield* link.position).epoch, offset: 0 })
        expect(tail.gap).toBe(false)
        expect(tail.entries.map(({ bytes }) => Buffer.from(bytes).equals(all))).toEqual([true])
        yield* link.cast(topic, bytes(topic))
      }
      yield* eventually(() => appended.length === topics.length && heard.length === topics.length)
      expect(appended.map(({ topic }) => topic)).toEqual(topics)
      expect(appended.every(({ bytes }) => Buffer.from(bytes).equals(all))).toBe(true)
      expect(heard).toEqual(topics.map((topic) => [topic, topic]))
      yield* link.append("$nodes", new Uint8Array(0), undefined)
      yield* eventually(() => appended.length === topics.length + 1)
      expect(appended.at(-1)!.bytes.length).toBe(0)
    })
  )

  it.live("takes as many bytes as it says, and refuses one more before it is sent", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { appended, link } = yield* opened({ url })
      expect(RedisEngine.make().maxBytes).toBe(8_388_608)
      yield* link.listen(["a"])
      yield* link.append("a", new Uint8Array(8_388_608).fill(7), undefined)
      yield* eventually(() => appended.length === 1)
      expect(appended[0]!.bytes.length).toBe(8_388_608)
      for (const send of [
        link.append("a", new Uint8Array(8_388_609), undefined),
        link.cast("a", new Uint8Array(8_388_609))
      ]) {
        const { reason } = yield* failed(send)
        expect(reason).toMatchObject({ _tag: "TooLarge", length: 8_388_609, limit: 8_388_608 })
      }
      expect((yield* link.position).offset).toBe(1)
    })
  )

  it.live("answers a repeat with the place of the first, and tells nobody", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const one = yield* opened({ url })
      const other = yield* opened({ url })
      yield* one.link.listen(["a", "b"])
      const { position } = yield* one.link.append("a", bytes("x"), key(5))
      yield* one.link.append("a", bytes("y"), key(6))
      expect(yield* other.link.append("b", bytes("again"), key(5))).toEqual({ position, repeated: true })
      expect((yield* other.link.append("a", bytes("z"), key(5, 1, "bo"))).repeated).toBe(false)
      expect((yield* other.link.append("a", bytes("late"), key(4))).repeated).toBe(false)
      expect((yield* other.link.append("a", bytes("born again"), key(5, 2))).repeated).toBe(false)
      // It was used in the life before.
      expect((yield* other.link.append("a", bytes("new"), key(6, 2))).repeated).toBe(false)
      expect((yield* failed(other.link.append("a", bytes("x"), key(5, 1)))).reason).toMatchObject({
        _tag: "StaleKey",
        key: key(5, 1)
      })
      yield* eventually(() => one.appended.length === 6)
      expect(one.lines()).toEqual(["a 1 0 x", "a 2 1 y", "a 3 2 z", "a 4 3 late", "a 5 4 born again", "a 6 5 new"])
    })
  )

  it.live("knows repeats as the broker in memory does, whatever keys are used in which order", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { link } = yield* opened({ url })
      // Sequences that are near each other, far from each other, and a thousand apart; of two lives.
      const keys = fc.array(
        fc.record({
          producer: fc.constantFrom("ada", "bo"),
          epoch: fc.constantFrom(1, 1, 1, 1, 2),
          sequence: fc.oneof(
            fc.nat(5),
            fc.nat(3_000),
            fc.constantFrom(998, 999, 1_000, 1_001, 1_002, Number.MAX_SAFE_INTEGER)
          )
        }),
        { maxLength: 60, size: "max" }
      )
      let run = 0
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(keys, async (keys) => {
            const model = new Producers.Producers()
            run++
            for (const each of keys) {
              const its = { ...each, producer: `${each.producer}${run}` }
              const expected = model.ask(its, 0)
              const got = await Effect.runPromise(Effect.result(link.append("a", bytes("x"), its)))
              if (got._tag === "Failure") expect(expected._tag, JSON.stringify(its)).toBe("Stale")
              else {
                const { position, repeated } = got.success
                expect(expected, JSON.stringify(its)).toEqual(
                  repeated ? { _tag: "Repeat", offset: position.offset } : { _tag: "New" }
                )
                if (!repeated) model.record(its, position.offset, 0)
              }
            }
          }),
          { numRuns: 60 }
        )
      )
    })
  )

  it.live("knows the last thousand keys of a producer, and takes room for no more", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { link } = yield* opened({ url })
      const redis = yield* asker(port)
      const publish = (sequence: number) => link.append("a", bytes("x"), key(sequence))
      yield* Effect.forEach(
        Array.from({ length: 2_500 }, (_, at) => at),
        publish,
        { concurrency: 500 }
      )
      expect((yield* publish(1_500)).position.offset).toBe(1_501)
      expect((yield* publish(1_500)).repeated).toBe(true)
      expect((yield* failed(publish(1_499))).reason._tag).toBe("StaleKey")
      expect(yield* Effect.promise(() => redis.hlen("{millrace}:producer:ada"))).toBe(1_003)
      // By steps of seven there are never a thousand to be known.
      for (let sequence = 10_000; sequence < 24_000; sequence += 7) yield* publish(sequence)
      expect(yield* Effect.promise(() => redis.hlen("{millrace}:producer:ada"))).toBeLessThanOrEqual(1_003)
      expect(yield* Effect.promise(() => redis.pttl("{millrace}:producer:ada"))).toBeGreaterThan(110_000)
    })
  )

  it.live("reads what is behind a position, over several pages, and all of it", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { link } = yield* opened({ url })
      const { epoch } = yield* link.position
      yield* Effect.forEach(
        Array.from({ length: 600 }, (_, at) => at + 1),
        (at) => link.append(at % 2 === 0 ? "even" : "odd", bytes(`${at} `.padEnd(3_000, ".")), undefined),
        { concurrency: 50 }
      )
      for (const after of [0, 1, 2, 301, 598, 599, 600]) {
        const tail = yield* link.since("odd", { epoch, offset: after })
        const expected = Array.from({ length: 300 }, (_, at) => at * 2 + 1).filter((offset) => offset > after)
        expect([tail.gap, tail.to]).toEqual([false, { epoch, offset: 600 }])
        expect(tail.entries.map(({ bytes, offset }) => [offset, text(bytes).split(" ")[0]])).toEqual(
          expected.map((offset) => [offset, `${offset}`])
        )
      }
      const nothing = yield* link.since("never", { epoch, offset: 0 })
      expect(nothing).toEqual({ entries: [], gap: false, to: { epoch, offset: 600 } })
    })
  )

  it.live("tells of a gap for a position that it cannot know", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { link } = yield* opened({ url })
      yield* link.append("a", bytes("x"), undefined)
      const to = yield* link.position
      for (const after of [undefined, { epoch: "another", offset: 1 }, { ...to, offset: 2 }]) {
        const tail = yield* link.since("a", after)
        expect([entriesOf(tail), tail.gap, tail.to]).toEqual([["1 x"], true, to])
      }
    })
  )

  it.live("keeps as many entries as it is told, and tells of a gap when one more is missed", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { link } = yield* opened({ url, retention: { maxEntries: 300 } })
      const redis = yield* asker(port)
      for (let at = 1; at <= 1_990; at++) yield* link.append("a", bytes(`${at}`), undefined)
      const { epoch } = yield* link.position
      const enough = yield* link.since("a", { epoch, offset: 1_690 })
      expect([enough.entries.length, enough.gap]).toEqual([300, false])
      const short = yield* link.since("a", { epoch, offset: 1_689 })
      expect([short.entries.length, short.entries[0]!.offset, short.gap]).toEqual([300, 1_691, true])
      expect(yield* Effect.promise(() => redis.xlen("{millrace}:topic:a"))).toBeLessThan(500)
    })
  )

  it.live("reads no more bytes of a topic than it may, and says that there was more", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { link } = yield* opened({ url, maxTailBytes: 1_000_000 })
      const { epoch } = yield* link.position
      for (let at = 1; at <= 30; at++) yield* link.append("a", new Uint8Array(100_000), undefined)
      const tail = yield* link.since("a", { epoch, offset: 0 })
      expect([tail.gap, tail.entries.at(-1)!.offset, tail.entries.length]).toEqual([true, 30, 10])
      expect((yield* link.since("a", { epoch, offset: 20 })).gap).toBe(false)
    })
  )

  it.live("keeps nothing of what it may not, and says so", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { appended, link } = yield* opened({ url, retention: { maxEntries: 0 } })
      yield* link.listen(["a"])
      const before = yield* link.position
      yield* link.append("a", bytes("x"), undefined)
      const tail = yield* link.since("a", before)
      expect([entriesOf(tail), tail.gap]).toEqual([[], true])
      expect((yield* link.since("a", tail.to)).gap).toBe(false)
      yield* eventually(() => appended.length === 1)
    })
  )

  it.live("does not count what is too old, and still knows that it was there", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { link } = yield* opened({ url, retention: { maxAge: "40 millis" } })
      // Keeps it for five minutes.
      const { link: other } = yield* opened({ url })
      const { epoch } = yield* link.position
      yield* other.append("a", bytes("old"), undefined)
      yield* eventuallyGone(link.since("a", { epoch, offset: 0 }))
      expect(entriesOf(yield* other.since("a", { epoch, offset: 0 }))).toEqual(["1 old"])
      const tail = yield* link.since("a", { epoch, offset: 0 })
      expect([entriesOf(tail), tail.gap]).toEqual([[], true])
      expect((yield* link.since("a", tail.to)).gap).toBe(false)
      yield* link.append("a", bytes("new"), undefined)
      expect((yield* link.since("a", { epoch, offset: 0 })).gap).toBe(true)
      expect((yield* link.since("a", { epoch, offset: 1 })).gap).toBe(false)
    })
  )

  it.live("does not know, when nothing was published anywhere for very long", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { link } = yield* opened({ url, rememberTopics: "20 millis", retention: { maxAge: 5 } })
      const redis = yield* asker(port)
      const before = yield* link.position
      yield* link.append("a", bytes("x"), undefined)
      const gone = Effect.repeat(
        Effect.promise(() => redis.exists("{millrace}:last:a")),
        { until: (count) => count === 0 }
      )
      yield* gone
      expect((yield* link.since("a", before)).gap).toBe(true)
      expect((yield* link.since("a", { ...before, offset: 1 })).gap).toBe(false)
    })
  )

  it.live("begins a new epoch when Redis has forgotten, each time", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { appended, link } = yield* opened({ url })
      const redis = yield* asker(port)
      yield* link.listen(["a"])
      const epochs = new Set<string>()
      let before = (yield* link.append("a", bytes("x"), key(1))).position
      for (let time = 0; time < 3; time++) {
        epochs.add(before.epoch)
        yield* Effect.promise(() => redis.flushall())
        const tail = yield* link.since("a", before)
        expect([entriesOf(tail), tail.gap, tail.to.offset]).toEqual([[], true, 0])
        const { position, repeated } = yield* link.append("a", bytes("x"), key(1))
        expect([position, repeated]).toEqual([{ epoch: tail.to.epoch, offset: 1 }, false])
        before = position
      }
      expect(epochs.size).toBe(3)
      expect(epochs).not.toContain(before.epoch)
      yield* eventually(() => appended.length === 4)
      expect(appended.map(({ previous }) => previous)).toEqual([0, 0, 0, 0])
    })
  )

  it.live("takes nothing that another log has left for its own", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { appended, link } = yield* opened({ url })
      const redis = yield* asker(port)
      yield* link.listen(["a"])
      for (const at of [1, 2, 3]) yield* link.append("a", bytes(`${at}`), key(at))
      yield* Effect.promise(() => redis.del("{millrace}:log"))
      const empty = yield* link.since("a", undefined)
      expect(entriesOf(empty)).toEqual([])
      const first = yield* link.append("a", bytes("first"), key(2))
      expect([first.position.offset, first.repeated]).toEqual([1, false])
      expect(entriesOf(yield* link.since("a", undefined))).toEqual(["1 first"])
      expect(yield* Effect.promise(() => redis.xlen("{millrace}:topic:a"))).toBe(1)
      expect((yield* link.append("b", bytes("second"), key(3))).repeated).toBe(false)
      yield* eventually(() => appended.length === 4)
      expect(appended[3]!.previous).toBe(0)
    })
  )

  it.live("begins a new epoch when the server was started again, and goes on behind what was kept", () =>
    Effect.gen(function* () {
      const server = yield* redisServer({ args: ["--appendonly", "yes", "--appendfsync", "always"] })
      const lives: Array<Position> = []
      for (let life = 0; life < 3; life++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { link } = yield* opened({ url: server.url })
            for (const [at, before] of lives.entries()) {
              const tail = yield* link.since("a", before)
              expect([tail.gap, tail.to.offset]).toEqual([true, 2 * life])
              // Nothing of what there was up to then.
              expect(tail.entries.map(({ offset }) => offset)).toEqual([3, 4, 5, 6].slice(2 * at, 2 * life - 2))
              // Who was behind gets what is still there.
              const behind = yield* link.since("a", { ...before, offset: before.offset - 1 })
              expect([behind.gap, behind.entries[0]!.offset]).toEqual([true, before.offset])
              // What was acknowledged and is gone is no reason to skip what came instead.
              expect((yield* link.since("a", { ...before, offset: 99 })).entries).toEqual(tail.entries)
            }
            expect(entriesOf(yield* link.since("a", undefined)).length).toBe(2 * life)
            if (life > 0) expect((yield* link.append("a", bytes("x"), key(2 * life))).repeated).toBe(true)
            yield* link.append("a", bytes("x"), key(2 * life + 1))
            const { position } = yield* link.append("a", bytes("x"), key(2 * life + 2))
            expect((yield* link.since("a", position)).gap).toBe(false)
            // Another node that comes and goes is no reason for an epoch.
            yield* Effect.scoped(opened({ url: server.url }))
            expect(yield* link.position).toEqual(position)
            lives.push(position)
            yield* server.restart
            yield* link.ended
          })
        )
      }
      expect(new Set(lives.map(({ epoch }) => epoch)).size).toBe(3)
    })
  )

  it.live("never says that nothing was missed when something was, however much it has forgotten", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const { appended, link } = yield* opened({
        url,
        rememberTopics: "60 millis",
        retention: { maxAge: 20, maxEntries: 20 }
      })
      const topics = ["a", "b", "c", "d", "e"]
      yield* link.listen(topics)
      const published: Array<readonly [topic: string, offset: number]> = []
      let whole = 0
      let gaps = 0
      const until = performance.now() + 1_500
      let random = 1
      const next = (below: number) => (random = (random * 48_271) % 2_147_483_647) % below
      while (performance.now() < until) {
        // Some topics are published to all the time, and others seldom.
        const topic = topics[Math.min(next(2_000), next(2_000)) % 499 === 0 ? 3 + next(2) : next(3)]!
        const { position } = yield* link.append(topic, bytes("x"), undefined)
        published.push([topic, position.offset])
        if (next(4) > 0) continue
        const asked = topics[next(5)]!
        const after = { ...position, offset: Math.max(0, position.offset - next(400)) }
        const tail = yield* link.since(asked, after)
        const missed = published.flatMap(([of, offset]) => (of === asked && offset > after.offset ? [offset] : []))
        const got = tail.entries.map(({ offset }) => offset)
        expect(got).toEqual(missed.slice(missed.length - got.length))
        if (tail.gap) gaps++
        else {
          expect(got).toEqual(missed)
          whole++
        }
      }
      expect(Math.min(whole, gaps)).toBeGreaterThan(20)
      yield* eventually(() => appended.length === published.length)
      // What is told of is either exact, or says that it is not known.
      const last = new Map<string, number>()
      for (const { position, previous, topic } of appended) {
        if (previous !== undefined) expect(previous).toBe(last.get(topic) ?? 0)
        last.set(topic, position.offset)
      }
    })
  )

  it.live("does not forget too early when the clock of the server was set back", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { link } = yield* opened({ url })
      const redis = yield* asker(port)
      const day = 86_400_000
      const ahead = Date.now() + 10 * day
      // As if it had been ten days ahead.
      yield* Effect.promise(() => redis.hset("{millrace}:log", "time", ahead))
      for (const topic of ["a", "b", "a"]) yield* link.append(topic, bytes("x"), undefined)
      // Not a day from now: by then nobody would say that there was something a day ago.
      expect(yield* Effect.promise(() => redis.pttl("{millrace}:last:a"))).toBeGreaterThan(10 * day)
      expect(entriesOf(yield* link.since("a", undefined))).toEqual(["1 x", "3 x"])
      expect(yield* Effect.promise(() => redis.xrange("{millrace}:topic:a", "-", "+"))).toMatchObject([
        [`${ahead}-1`, ["previous", "0", "parcel", "x"]],
        [`${ahead}-3`, ["previous", "1", "parcel", "x"]]
      ])
    })
  )

  it.live("trusts no key that is gone when the server forgets keys because it is full", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer({ args: ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"] })
      const { appended, link } = yield* opened({ url })
      const redis = yield* asker(port)
      yield* link.listen(["a"])
      const before = yield* link.position
      yield* link.append("a", bytes("1"), undefined)
      yield* link.append("b", bytes("2"), undefined)
      expect((yield* link.since("a", before)).gap).toBe(false)
      yield* Effect.promise(() => redis.del("{millrace}:topic:a", "{millrace}:last:a"))
      expect((yield* link.since("a", before)).gap).toBe(true)
      expect((yield* link.since("a", { ...before, offset: 2 })).gap).toBe(false)
      yield* link.append("a", bytes("3"), undefined)
      expect((yield* link.since("a", { ...before, offset: 1 })).gap).toBe(true)
      yield* eventually(() => appended.length === 2)
      expect(appended.map(({ previous }) => previous)).toEqual([0, 2])
    })
  )

  it.live("loads its scripts again where they were forgotten", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { appended, link } = yield* opened({ url })
      const redis = yield* asker(port)
      yield* link.listen(["a"])
      yield* Effect.promise(() => redis.script("FLUSH"))
      yield* link.append("a", bytes("x"), undefined)
      yield* Effect.promise(() => redis.script("FLUSH"))
      expect((yield* link.position).offset).toBe(1)
      expect(entriesOf(yield* link.since("a", undefined))).toEqual(["1 x"])
      yield* eventually(() => appended.length === 1)
    })
  )

  it.live("hears ten thousand topics over two connections, and none that it has left", () =>
    Effect.gen(function* () {
      const { port, url } = yield* redisServer()
      const { appended, link } = yield* opened({ url })
      const redis = yield* asker(port)
      const topics = Array.from({ length: 10_000 }, (_, at) => `t${at}`)
      yield* link.listen(topics)
      yield* link.append("t0", bytes("x"), undefined)
      yield* link.append("t9999", bytes("x"), undefined)
      yield* eventually(() => appended.length === 2)
      expect((yield* Effect.promise(() => redis.client("LIST"))) as string).toMatch(/^(.*\n){3}$/)
      // Left and taken up again in one turn, the others left for good.
      link.unlisten(topics)
      yield* link.listen(["t5"])
      yield* link.append("t4", bytes("nobody hears it"), undefined)
      yield* link.append("t5", bytes("heard"), undefined)
      yield* eventually(() => appended.length === 3)
      expect(text(appended[2]!.bytes)).toBe("heard")
      expect(yield* Effect.promise(() => redis.pubsub("CHANNELS"))).toEqual(["{millrace}:0:appended:t5"])
    })
  )

  it.live("shares a server with others: other prefixes and other databases are other logs", () =>
    Effect.gen(function* () {
      const { url } = yield* redisServer()
      const links = yield* Effect.all([
        opened({ url }),
        opened({ url, prefix: "other" }),
        opened({ url: `${url}/3` }),
        opened({ url, connection: { db: 4 } })
      ])
      for (const { link } of links) {
        yield* link.listen(["a"])
        yield* link.hear(["a"])
      }
      for (const [at, { link }] of links.entries()) {
        expect((yield* link.append("a", bytes(`${at}`), key(1))).position.offset).toBe(1)
        yield* link.cast("a", bytes(`${at}`))
      }
      yield* eventually(() => links.every(({ appended, heard }) => appended.length >= 1 && heard.length >= 1))
      expect(links.map(({ lines }) => lines())).toEqual([["a 1 0 0"], ["a 1 0 1"], ["a 1 0 2"], ["a 1 0 3"]])
      expect(links.map(({ heard }) => heard)).toEqual([[["a", "0"]], [["a", "1"]], [["a", "2"]], [["a", "3"]]])
    })
  )

  it("refuses a prefix that is none, and more bytes than Redis takes", () => {
    for (const prefix of ["", "{a}", "a}b"]) expect(() => RedisEngine.make({ prefix })).toThrow(RangeError)
    for (const maxBytes of [0, Number.NaN, 600_000_000])
      expect(() => RedisEngine.make({ maxBytes })).toThrow(RangeError)
  })
})

const eventuallyGone = (since: Effect.Effect<Tail, unknown>): Effect.Effect<void, unknown> =>
  Effect.flatMap(since, ({ entries }) => (entries.length === 0 ? Effect.void : eventuallyGone(since)))
