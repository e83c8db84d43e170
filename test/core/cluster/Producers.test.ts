/** Who has published what: against a model that forgets nothing, within the bounds. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { maxSequences, Producers } from "@millrace/core/cluster/Producers"

const key = (sequence: number, epoch = 0, producer = "p") => ({ producer, epoch, sequence })

describe("a key", () => {
  it("is new, and then a repeat of what was published with it", () => {
    const producers = new Producers()
    expect(producers.ask(key(5), 0)).toEqual({ _tag: "New" })
    producers.record(key(5), 42, 0)
    expect(producers.ask(key(5), 0)).toEqual({ _tag: "Repeat", offset: 42 })
    expect(producers.ask(key(6), 0)).toEqual({ _tag: "New" })
    expect(producers.ask(key(4), 0)).toEqual({ _tag: "New" })
    expect(producers.ask(key(5, 0, "q"), 0)).toEqual({ _tag: "New" })
  })

  it("of a new life of its producer is new, and those of the life before are stale", () => {
    const producers = new Producers()
    producers.record(key(5, 1), 1, 0)
    expect(producers.ask(key(5, 2), 0)).toEqual({ _tag: "New" })
    // Nothing was published with it yet.
    expect(producers.ask(key(5, 1), 0)).toEqual({ _tag: "Repeat", offset: 1 })
    producers.record(key(0, 2), 2, 0)
    expect(producers.ask(key(5, 1), 0)).toEqual({ _tag: "Stale" })
    expect(producers.ask(key(9, 1), 0)).toEqual({ _tag: "Stale" })
    expect(producers.size).toBe(1)
  })

  it("is stale when so many came behind it that nobody can tell", () => {
    const producers = new Producers()
    for (let i = 1; i <= maxSequences; i++) producers.record(key(i), i, 0)
    expect(producers.ask(key(1), 0)).toEqual({ _tag: "Repeat", offset: 1 })
    producers.record(key(maxSequences + 1), 0, 0)
    expect(producers.ask(key(1), 0)).toEqual({ _tag: "Stale" })
    expect(producers.ask(key(2), 0)).toEqual({ _tag: "Repeat", offset: 2 })
    expect(producers.size).toBe(maxSequences)
    // One that was left out long ago.
    producers.record(key(5_000), 0, 0)
    expect(producers.ask(key(4_000), 0)).toEqual({ _tag: "Stale" })
    expect(producers.ask(key(4_001), 0)).toEqual({ _tag: "New" })
  })

  it("is known among the last thousand by its number, in whatever order they came", () => {
    const producers = new Producers()
    producers.record(key(maxSequences), 7, 0)
    for (let i = 1; i < maxSequences; i++) producers.record(key(i), i, 0)
    producers.record(key(maxSequences + 1), 8, 0)
    expect(producers.ask(key(maxSequences), 0)).toEqual({ _tag: "Repeat", offset: 7 })
    expect(producers.ask(key(1), 0)).toEqual({ _tag: "Stale" })
    expect(producers.size).toBe(maxSequences)
    producers.record(key(3 * maxSequences), 9, 0)
    expect(producers.size).toBe(1)
  })

  it("is known for the window, which begins with the last that its producer published", () => {
    const producers = new Producers({ window: "100 millis" })
    producers.record(key(1), 1, 0)
    producers.record(key(2), 2, 60)
    expect(producers.ask(key(1), 160)).toEqual({ _tag: "Repeat", offset: 1 })
    expect(producers.ask(key(1), 161)).toEqual({ _tag: "New" })
    expect(producers.size).toBe(0)
  })

  it("is forgotten, when there are too many, with its producer that was silent for longest", () => {
    const producers = new Producers({ maxKeys: 4 })
    for (const producer of ["a", "b"]) for (const i of [1, 2]) producers.record(key(i, 0, producer), i, 0)
    producers.record(key(3, 0, "a"), 3, 0)
    expect([producers.ask(key(1, 0, "b"), 0)._tag, producers.ask(key(1, 0, "a"), 0)._tag]).toEqual(["New", "Repeat"])
    expect(producers.size).toBe(3)
    // One who publishes alone has its last thousand all the same.
    const alone = new Producers({ maxKeys: 2 })
    for (const i of [1, 2, 3]) alone.record(key(i), i, 0)
    expect(alone.ask(key(1), 0)._tag).toBe("Repeat")
  })

  it("is not mixed up with the names of Object.prototype", () => {
    const producers = new Producers()
    expect(producers.ask(key(0, 0, "__proto__"), 0)).toEqual({ _tag: "New" })
    producers.record(key(0, 0, "__proto__"), 1, 0)
    expect(producers.ask(key(0, 0, "constructor"), 0)).toEqual({ _tag: "New" })
    expect(producers.ask(key(0, 0, "__proto__"), 0)).toEqual({ _tag: "Repeat", offset: 1 })
  })
})

it("says of any history what one that forgets nothing says, or that it does not know; and never forgets a repeat early", () => {
  const step = fc.record({
    producer: fc.constantFrom("a", "b", "c"),
    epoch: fc.nat(2),
    sequence: fc.nat(30),
    wait: fc.constantFrom(0, 0, 0, 10, 60)
  })
  const bounds = fc.record({ window: fc.constantFrom(50, 1_000_000), maxKeys: fc.constantFrom(5, 100_000) })
  fc.assert(
    fc.property(bounds, fc.array(step, { maxLength: 200 }), ({ maxKeys, window }, steps) => {
      const producers = new Producers({ window, maxKeys })
      /** All that was published, by producer: its life, its keys and when it published last. */
      const model = new Map<string, { epoch: number; offsets: Map<number, number>; time: number }>()
      let now = 0
      let offset = 0
      for (const { wait, ...its } of steps) {
        now += wait
        const last = model.get(its.producer)
        // Who was silent for longer than the window begins anew.
        const known = last !== undefined && now - last.time <= window ? last : undefined
        const answer = producers.ask(its, now)
        const isKept = known !== undefined && maxKeys === 100_000
        const before = known?.epoch === its.epoch ? known.offsets.get(its.sequence) : undefined
        if (isKept) {
          if (its.epoch < known.epoch) expect(answer._tag).toBe("Stale")
          else if (before !== undefined) expect(answer).toEqual({ _tag: "Repeat", offset: before })
          else expect(answer._tag).toBe("New")
        }
        // Whatever it has forgotten, it makes nothing up.
        if (answer._tag === "Repeat") expect(answer.offset).toBe(before)
        if (answer._tag !== "New") continue
        producers.record(its, ++offset, now)
        const life =
          known?.epoch === its.epoch ? known : { epoch: its.epoch, offsets: new Map<number, number>(), time: 0 }
        life.offsets.set(its.sequence, offset)
        life.time = now
        model.set(its.producer, life)
        if (maxKeys === 5) expect(producers.size).toBeLessThanOrEqual(Math.max(5, life.offsets.size))
      }
    }),
    { numRuns: 500 }
  )
})
