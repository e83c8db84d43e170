/** Positions of topics, over a database and a note that the test has: what is written, in which order, and after a failure. */
import * as Effect from "effect/Effect"
import { assert, describe, it } from "@effect/vitest"
import { StoreUnavailable } from "@millrace/core/messaging/StoreError"
import type { LeaveNote } from "@millrace/browser/storage/LeaveNote"
import { Positions } from "@millrace/browser/storage/Positions"
import { Writes } from "@millrace/browser/storage/Writes"

const full = new StoreUnavailable({ inUse: false, cause: "full" })

type Reached = { readonly position: string; readonly order: number }

/** What outlives them: the records of a database whose transactions end when the test says so, and a note. */
const world = () => {
  const records = new Map<string, unknown>()
  const ends: Array<(failure?: StoreUnavailable) => void> = []
  let noted: string | undefined
  /** Nothing is even begun. */
  const gone = { is: false }
  const note = {
    read: () => JSON.parse(noted ?? "null") as unknown,
    write: (value: unknown) => void (noted = JSON.stringify(value)),
    clear: () => void (noted = undefined)
  } as LeaveNote
  const begin = (capacity = 10) => {
    ends.length = 0
    const writes = new Writes((body, done) => {
      const changes: Array<() => void> = []
      const store = {
        put: (value: unknown, key: string) => changes.push(() => records.set(key, value)),
        delete: (key: string) => changes.push(() => records.delete(key))
      }
      if (!gone.is) body({ objectStore: () => store } as never)
      ends.push((failure) => {
        if (failure === undefined) for (const change of changes) change()
        done(failure)
      })
    })
    const positions = new Positions(writes, capacity, note)
    // A database gives its records in the order of their keys.
    const keys = [...records.keys()].sort()
    const damaged = positions.loaded({ keys, values: keys.map((key) => records.get(key)) })
    return {
      positions,
      damaged,
      ends,
      reach: (topic: string, position: string) => Effect.runSyncExit(positions.reached(topic, position))._tag,
      all: () => [...positions.all],
      /** Writes what there is, and ends that. */
      write: (failure?: StoreUnavailable) => {
        writes.flush()
        // What has failed with others is tried alone.
        for (let end = ends.shift(); end !== undefined; end = ends.shift()) end(failure)
      }
    }
  }
  return { begin, gone, records, hasNote: () => noted !== undefined, note }
}

describe("positions", () => {
  it("are in the order in which they were reached, also in the next life and after it", () => {
    const { begin } = world()
    const first = begin()
    for (const topic of ["zebra", "ape", "mole"]) first.reach(topic, "k:1")
    first.reach("zebra", "k:2")
    first.write()
    const second = begin()
    assert.deepStrictEqual(
      second.all().map(([topic]) => topic),
      ["ape", "mole", "zebra"]
    )
    second.reach("ape", "k:3")
    second.write()
    assert.deepStrictEqual(begin().all(), [
      ["mole", "k:1"],
      ["zebra", "k:2"],
      ["ape", "k:3"]
    ])
  })

  it("beyond the capacity are forgotten from the one that was reached least recently, also by a life with less room", () => {
    const { begin, records } = world()
    const first = begin()
    for (const topic of ["zebra", "ape", "mole", "cat"]) first.reach(topic, "k:1")
    first.write()
    const second = begin(2)
    assert.deepStrictEqual(
      second.all().map(([topic]) => topic),
      ["mole", "cat"]
    )
    second.write()
    assert.deepStrictEqual([...records.keys()].sort(), ["cat", "mole"])
    second.reach("mole", "k:2")
    second.reach("ape", "k:2")
    assert.deepStrictEqual(
      second.all().map(([topic]) => topic),
      ["mole", "ape"]
    )
  })

  it("of a first time are written at once, and of later times at leisure", () => {
    const { begin, records } = world()
    const { reach, write } = begin()
    const written = () => (records.get("lobby") as Reached | undefined)?.position
    reach("lobby", "k:1")
    // A first write has begun, and what comes now is for the next.
    reach("lobby", "k:2")
    write()
    assert.strictEqual(written(), "k:2")
    reach("lobby", "k:3")
    assert.strictEqual(written(), "k:2")
    write()
    assert.strictEqual(written(), "k:3")
  })

  it("that could not be written are told once of, and written with the next", () => {
    const { begin, records } = world()
    const { reach, write } = begin()
    assert.strictEqual(reach("lobby", "k:1"), "Success")
    write(full)
    assert.strictEqual(records.size, 0)
    assert.strictEqual(reach("attic", "k:2"), "Failure")
    assert.strictEqual(reach("cellar", "k:3"), "Success")
    write()
    assert.deepStrictEqual([...records.keys()].sort(), ["attic", "cellar", "lobby"])
  })
})

describe("a position that has no room with what else is written", () => {
  it("is written without it", () => {
    const { begin, records } = world()
    const { ends, reach } = begin()
    reach("lobby", "k:1")
    // With something else, as it is the first of its topic.
    ends.shift()!(full)
    while (ends.length > 0) ends.shift()!()
    assert.deepStrictEqual(records.get("lobby"), { position: "k:1", order: 1 })
  })
})

describe("positions whose database is gone", () => {
  it("are tried again with each that comes, which says so", () => {
    const { begin, gone, records } = world()
    const { ends, reach } = begin()
    gone.is = true
    reach("lobby", "k:1")
    while (ends.length > 0) ends.shift()!(full)
    assert.strictEqual(reach("lobby", "k:2"), "Failure")
    gone.is = false
    reach("attic", "k:3")
    while (ends.length > 0) ends.shift()!()
    assert.deepStrictEqual([...records.keys()].sort(), ["attic", "lobby"])
  })
})

describe("what a page notes when it goes", () => {
  it("is all that was not written, and nothing where all is", () => {
    const { begin, hasNote, note } = world()
    const { positions, reach, write } = begin()
    reach("lobby", "k:1")
    write()
    positions.leave()
    assert.isFalse(hasNote())
    reach("attic", "k:2")
    reach("lobby", "k:3")
    positions.leave()
    assert.deepStrictEqual(Object.keys(note.read() as object).sort(), ["attic", "lobby"])
  })

  it("is taken for what is later than what was written, and not for what is earlier", () => {
    const { begin, hasNote, note } = world()
    const first = begin()
    first.reach("lobby", "k:1")
    first.reach("attic", "k:1")
    first.positions.leave()
    const early = note.read()
    first.reach("lobby", "k:2")
    first.write()
    // The note of before, as if it had not been removed; and something of the attic that was never written.
    note.write({ ...(early as object), attic: { position: "k:9", order: 99 } })
    const second = begin()
    assert.deepStrictEqual(second.all(), [
      ["lobby", "k:2"],
      ["attic", "k:9"]
    ])
    assert.isTrue(hasNote())
    second.reach("lobby", "k:4")
    second.write()
    assert.isFalse(hasNote())
    // What comes behind the note is later than it.
    assert.deepStrictEqual(begin().all(), [
      ["attic", "k:9"],
      ["lobby", "k:4"]
    ])
  })

  it("that is of the same moment as what was written changes nothing", () => {
    const { begin, note, records } = world()
    const first = begin()
    first.reach("lobby", "k:1")
    first.write()
    const { order } = records.get("lobby") as Reached
    note.write({ lobby: { position: "k:7", order } })
    assert.deepStrictEqual(begin().all(), [["lobby", "k:1"]])
  })

  it("is passed over where it is nothing that can be read, and what is damaged in the database is counted and removed", () => {
    const { begin, note, records } = world()
    records.set("lobby", { position: "k:1", order: 1 })
    records.set("attic", { position: "k:1", order: -1 })
    records.set("cellar", "nothing")
    note.write({ roof: { position: 3, order: 5 }, yard: null })
    const { all, damaged, write } = begin()
    assert.deepStrictEqual([all(), damaged], [[["lobby", "k:1"]], 2])
    write()
    assert.deepStrictEqual([...records.keys()], ["lobby"])
  })
})
