/** What a history keeps, and what it says to who comes back. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as History from "@millrace/core/cluster/History"
import * as Position from "@millrace/core/cluster/Position"

/** One that holds what is published in this order, a second apart. */
const filled = (topics: ReadonlyArray<string>, options?: History.Options) => {
  const history = History.make<string>("e", options)
  for (const [i, topic] of topics.entries()) history.append(topic, `${topic}${i + 1}`, 100, i * 1_000)
  return history
}

const at = (offset: number): Position.Position => ({ epoch: "e", offset })
const values = ({ entries }: History.Missed<string>) => entries.map(({ value }) => value)

describe("a position", () => {
  it("is a text and back again", () => {
    for (const position of [at(0), { epoch: "a:b", offset: 9_007_199_254_740 }]) {
      expect(Position.parse(Position.print(position))).toEqual(position)
    }
  })

  it("is not read from anything else", () => {
    for (const text of ["", "e", "e:", "e:-1", "e:01", "e:1.5", "e:1e3", "e:99999999999999999", "e: 1", "e:1 "]) {
      expect(Position.parse(text)).toBeUndefined()
    }
  })
})

describe("last", () => {
  it("is the offset of what was published to the topic last, also when nothing of it is kept", () => {
    const history = filled(["a", "b", "a"], { maxAge: "5 seconds" })
    history.since([], undefined, 60_000)
    expect([history.last("a"), history.last("b"), history.last("c")]).toEqual([3, 2, 0])
    history.append("b", "b4", 1, 60_000)
    expect(history.last("b")).toBe(4)
  })

  it("is not known of a topic that may have been forgotten altogether", () => {
    const history = filled(["a", "b"], { maxTopics: 1 })
    expect([history.last("a"), history.last("b")]).toEqual([undefined, 2])
  })
})

describe("since", () => {
  it("is what came behind a position, of these topics, in the order of publication", () => {
    const history = filled(["a", "b", "c", "a", "b"])
    expect(history.since(["b", "a", "b"], at(1), 5_000)).toEqual({
      entries: [
        expect.objectContaining({ topic: "b", offset: 2, value: "b2" }),
        expect.objectContaining({ topic: "a", offset: 4, value: "a4" }),
        expect.objectContaining({ topic: "b", offset: 5, value: "b5" })
      ],
      gap: [],
      from: at(1),
      to: at(5)
    })
    expect(values(history.since(["c"], at(3), 5_000))).toEqual([])
    expect(history.since(["unheard of"], at(0), 5_000)).toMatchObject({ entries: [], gap: [] })
  })

  it("has a gap where something behind the position is not kept any more, and only there", () => {
    const history = filled(["a", "b", "a", "a"], { maxEntries: 2 })
    expect(history.since(["a", "b"], at(0), 4_000)).toMatchObject({ gap: ["a"], from: at(0), to: at(4) })
    expect(values(history.since(["a", "b"], at(0), 4_000))).toEqual(["b2", "a3", "a4"])
    expect(history.since(["a", "b"], at(1), 4_000).gap).toEqual([])
  })

  it("has a gap in every topic for a position of another epoch, of the future, or of nobody", () => {
    const history = filled(["a", "b"])
    for (const position of [{ epoch: "f", offset: 1 }, at(3), undefined]) {
      const missed = history.since(["a", "b"], position, 2_000)
      expect(missed).toMatchObject({ gap: ["a", "b"], from: at(0), to: at(2) })
      expect(values(missed)).toEqual(["a1", "b2"])
    }
  })
})

describe("what is kept", () => {
  it("is bounded in bytes for each topic", () => {
    const history = filled(["a", "a", "a", "b"], { maxBytes: 2 * 356 })
    expect(values(history.since(["a", "b"], at(0), 4_000))).toEqual(["a2", "a3", "b4"])
    expect(history.size).toBe(3 * 356)
  })

  it("is bounded in bytes for all topics, and forgets the oldest of any", () => {
    const history = filled(["a", "b", "b", "c"], { maxTotalBytes: 2 * 356 })
    const missed = history.since(["a", "b", "c"], at(0), 4_000)
    expect(values(missed)).toEqual(["b3", "c4"])
    expect(missed.gap).toEqual(["a", "b"])
  })

  it("is not older than its age, however long nobody publishes", () => {
    const history = filled(["a", "b", "a"], { maxAge: "2 seconds" })
    expect(values(history.since(["a", "b"], at(0), 3_000))).toEqual(["b2", "a3"])
    expect(history.since(["a", "b"], at(0), 10_000)).toMatchObject({ entries: [], gap: ["a", "b"] })
    expect(history.since(["a", "b"], at(3), 10_000).gap).toEqual([])
    expect(history.size).toBe(0)
  })

  it("may be too long to be kept at all: then there is a gap", () => {
    const history = filled([], { maxBytes: 500 })
    history.append("a", "short", 100, 0)
    history.append("a", "long", 1_000, 0)
    expect(history.since(["a"], at(1), 0)).toMatchObject({ entries: [], gap: ["a"] })
    expect(history.size).toBe(0)
  })

  it("is of so many topics; one that was forgotten may have been any", () => {
    const history = filled(["a", "b", "c", "b", "d"], { maxTopics: 3 })
    expect(history.since(["a"], at(0), 5_000).gap).toEqual(["a"])
    expect(history.since(["e"], at(0), 5_000).gap).toEqual(["e"])
    expect(history.since(["a"], at(1), 5_000).gap).toEqual([])
    expect(values(history.since(["b", "c", "d"], at(0), 5_000))).toEqual(["b2", "c3", "b4", "d5"])
  })

  it("holds no more than is kept, whichever topic is busy", () => {
    const history = History.make<string>("e", { maxEntries: 10 })
    history.append("quiet", "q", 1, 0)
    for (let i = 0; i < 10_000; i++) history.append("busy", "b", 1, 0)
    expect(history.size).toBe(11 * 257)
    expect((history as unknown as { readonly order: ReadonlyArray<unknown> }).order.length).toBeLessThan(100)
  })
})

describe("any history", () => {
  const act = fc.record({
    topic: fc.constantFrom("a", "b", "c", "d", "__proto__"),
    length: fc.integer({ min: 0, max: 400 }),
    pause: fc.integer({ min: 0, max: 500 })
  })
  const bounds = fc.record({
    maxEntries: fc.integer({ min: 0, max: 8 }),
    maxBytes: fc.integer({ min: 0, max: 3_000 }),
    maxTotalBytes: fc.integer({ min: 0, max: 5_000 }),
    maxAge: fc.integer({ min: 0, max: 3_000 }),
    maxTopics: fc.integer({ min: 1, max: 4 })
  })

  it("gives all that was missed, in order and once, or tells of the gap; and keeps to its bounds", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 80 }), bounds, fc.integer({ min: 0, max: 80 }), (acts, options, since) => {
        const history = History.make<number>("e", options)
        let now = 0
        for (const [i, { length, pause, topic }] of acts.entries()) {
          now += pause
          expect(history.append(topic, i + 1, length, now)).toEqual(at(i + 1))
          expect(history.size).toBeLessThanOrEqual(options.maxTotalBytes)
        }
        const offset = Math.min(since, acts.length)
        for (const topics of [["a"], ["b", "c"], ["a", "b", "c", "d", "__proto__"]]) {
          const missed = history.since(topics, at(offset), now)
          const all = acts.flatMap(({ topic }, i) => (i >= offset && topics.includes(topic) ? [i + 1] : []))
          const got = missed.entries.map(({ value }) => value)
          // In order, once, and nothing but what was missed.
          expect(got).toEqual(all.filter((one) => got.includes(one)))
          for (const topic of topics) {
            const ofTopic = (one: number) => acts[one - 1]!.topic === topic
            if (!missed.gap.includes(topic)) expect(got.filter(ofTopic)).toEqual(all.filter(ofTopic))
          }
        }
      }),
      { numRuns: 1_000 }
    )
  })

  it("tells of no gap where its bounds are far away", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 80 }), fc.integer({ min: 0, max: 80 }), (acts, since) => {
        const history = History.make<number>("e")
        for (const [i, { length, topic }] of acts.entries()) history.append(topic, i, length, i)
        expect(history.since(["a", "b"], at(Math.min(since, acts.length)), acts.length).gap).toEqual([])
      })
    )
  })
})
