import { describe, expect, it } from "vitest"
import { type Bounds, defaults, HubReader } from "@millrace/core/cluster/HubReader"
import type * as Position from "@millrace/core/cluster/Position"
import { words } from "../../support/hubNetwork.ts"

const at = (offset: number, epoch = "e"): Position.Position => ({ epoch, offset })

const message = (data: unknown, position?: Position.Position) =>
  ({ _tag: "Message", topic: "t", data, from: "bob", time: 1, position }) as const

/** One that is live from a position on. */
const live = (position?: Position.Position, bounds: Partial<Bounds> = {}) => {
  const reader = new HubReader("t", undefined, undefined, { ...defaults, ...bounds })
  reader.begin(position)
  reader.take(1)
  return reader
}

const taken = (reader: HubReader) => reader.take(Infinity)

describe("A stream of a topic", () => {
  it("passes over what it has, and gives what has no place in the log each time that it comes", () => {
    const reader = live(at(5))
    for (const [data, position] of [
      ["old", at(5)],
      ["new", at(6)],
      ["new", at(6)],
      ["unplaced"],
      ["next", at(7)]
    ] as const) {
      reader.message(message(data, position), 10)
    }
    expect(words(taken(reader))).toEqual(["new", "unplaced", "next"])
  })

  it("is told where it is when what it has gets its place, and does not get it again", () => {
    const reader = live(at(5))
    reader.message(message("unplaced"), 10)
    reader.advance(at(6))
    reader.advance(at(6))
    reader.message(message("unplaced", at(6)), 10)
    expect(words(taken(reader))).toEqual(["unplaced", "Advanced"])
    expect(reader.at).toEqual(at(6))
  })

  it("passes over a gap in what it has, and is told one of which it has not all from where it is", () => {
    const reader = live(at(5))
    reader.gap(at(1), at(4))
    reader.gap(at(1), at(9))
    reader.gap(at(12), at(14))
    expect(taken(reader)).toEqual([
      { _tag: "Gap", topic: "t", from: at(5), to: at(9) },
      { _tag: "Gap", topic: "t", from: at(12), to: at(14) }
    ])
  })

  it("begins anew where a log has lost its end, whose offsets come again", () => {
    const reader = live(at(100))
    reader.gap(at(100), at(40))
    reader.message(message("again", at(41)), 10)
    expect(words(taken(reader))).toEqual(["Gap", "again"])
  })

  it("tells a gap of its own where another log goes on and nobody has said so", () => {
    const reader = live(at(5))
    reader.message(message("other", at(3, "f")), 10)
    expect(taken(reader)[0]).toEqual({ _tag: "Gap", topic: "t", from: at(5), to: at(2, "f") })
  })

  it("tells a gap when it comes back and something without a place was not given to it", () => {
    const reader = live(at(5), { capacity: 1 })
    reader.message(message("one", at(6)), 10)
    reader.message(message("no room"), 10)
    expect(reader.state).toBe("Lagging")
    expect(words(taken(reader))).toEqual(["one"])
    expect(reader.state).toBe("Waiting")
    reader.begin(at(9))
    expect(taken(reader)).toEqual([{ _tag: "Gap", topic: "t", from: at(6), to: undefined }])
  })

  it("tells a gap when it comes back and never knew where it was", () => {
    const reader = live()
    reader.suspend()
    reader.begin(at(9))
    expect(taken(reader)).toEqual([{ _tag: "Gap", topic: "t", from: undefined, to: at(9) }])
  })

  it("has room for one message however long it is, and for no second one", () => {
    const reader = live(at(0), { capacityLength: 100 })
    reader.message(message("long", at(1)), 1_000)
    reader.message(message("short", at(2)), 1)
    expect(reader.state).toBe("Lagging")
    expect(reader.at).toEqual(at(1))
    expect(words(taken(reader))).toEqual(["long"])
  })

  it("is where the program has come for more, and not where it was given something", () => {
    const reader = live(at(5))
    reader.message(message("one", at(6)), 10)
    reader.message(message("two", at(7)), 10)
    reader.take(1)
    expect(reader.done).toEqual(at(5))
    reader.take(1)
    expect(reader.done).toEqual(at(6))
  })
})
