/** What a topic's news are made of: in order, once, or a gap. */
import { describe, expect, it } from "vitest"
import { type Actions, Continuity, maxHeld } from "@millrace/core/cluster/Continuity"

const at = (offset: number, epoch = "e") => ({ epoch, offset })

/** What is to be done, in short. */
const short = (actions: Actions<string>) =>
  actions.map((action) => {
    if (action._tag === "Deliver") return action.value
    if (action._tag === "Ask") return `since ${action.after.epoch}${action.after.offset}`
    const { from, to } = action
    return `lost ${from.epoch}${from.offset}-${to.epoch}${to.offset}`
  })

/** Where it is, and what comes. */
const topic = (offset?: number, bytes = 1_000) => {
  const budget = { left: bytes }
  const continuity = new Continuity<string>(budget)
  if (offset !== undefined) continuity.begin(at(offset))
  return {
    continuity,
    budget,
    begin: (where: number) => short(continuity.begin(at(where))),
    came: (where: number, previous: number | undefined, epoch = "e") =>
      short(continuity.came({ position: at(where, epoch), previous, value: `${epoch}${where}`, bytes: 10 })),
    tail: (to: number, offsets: ReadonlyArray<number>, gap = false, epoch = "e") =>
      short(
        continuity.tail({
          to: at(to, epoch),
          gap,
          entries: offsets.map((each) => ({ offset: each, value: `${epoch}${each}` }))
        })
      ),
    restored: () => short(continuity.restored())
  }
}

describe("what comes", () => {
  it("is delivered when nothing was between it and what was delivered last", () => {
    const { came, continuity } = topic(5)
    expect([came(6, 0), came(9, 6), came(12, 9)]).toEqual([["e6"], ["e9"], ["e12"]])
    expect(continuity.position).toEqual(at(12))
  })

  it("is delivered when the one before it lies before where it began", () => {
    expect(topic(5).came(7, 3)).toEqual(["e7"])
  })

  it("is delivered when nobody knows of one before it", () => {
    expect(topic(5).came(7, undefined)).toEqual(["e7"])
  })

  it("is left out when it was there before", () => {
    const { came } = topic(5)
    expect([came(5, 0), came(6, 5), came(6, 5), came(4, 0)]).toEqual([[], ["e6"], [], []])
  })

  it("is held behind a hole, for which is asked once", () => {
    const { came, continuity, tail } = topic(5)
    expect([came(8, 7), came(9, 8), came(7, 6)]).toEqual([["since e5"], [], []])
    expect([continuity.held, continuity.isLive]).toEqual([3, false])
    expect(tail(8, [6, 7, 8])).toEqual(["e6", "e7", "e8", "e9"])
    expect([continuity.held, continuity.isLive]).toEqual([0, true])
  })

  it("is asked for again when there is another hole behind the answer", () => {
    const { came, tail } = topic(5)
    came(8, 7)
    came(12, 11)
    came(14, undefined)
    expect(tail(8, [6, 7, 8])).toEqual(["e6", "e7", "e8", "since e8"])
    expect(tail(14, [11, 12, 14])).toEqual(["e11", "e12", "e14"])
  })

  it("is let go when it is too much, and asked for again", () => {
    const many = topic(5, 1_000_000)
    many.came(8, 7)
    for (let i = 9; i < 9 + maxHeld; i++) expect(many.came(i, i - 1)).toEqual([])
    expect(many.continuity.held).toBeLessThanOrEqual(maxHeld)
    expect(many.tail(8, [8])).toEqual(["e8", "since e8"])
    const long = topic(5, 25)
    expect([long.came(8, 7), long.came(9, 8), long.came(10, 9)]).toEqual([["since e5"], [], []])
    expect([long.continuity.held, long.budget.left]).toEqual([0, 25])
    expect(long.tail(7, [7])).toEqual(["e7", "since e7"])
  })

  it("waits before it is known where it is", () => {
    const { begin, came } = topic()
    expect([came(7, 6), came(6, 3), came(4, 3)]).toEqual([[], [], []])
    expect(begin(4)).toEqual(["e6", "e7"])
    expect(begin(9)).toEqual([])
  })
})

describe("the answer", () => {
  it("is left out when nobody has asked", () => {
    expect(topic(5).tail(7, [6, 7])).toEqual([])
  })

  it("tells what is lost before what is left, and begins where all is there again", () => {
    const { came, tail } = topic(5)
    came(20, 19)
    expect(tail(20, [18, 19, 20], true)).toEqual(["lost e5-e17", "e18", "e19", "e20"])
  })

  it("tells that all is lost when nothing is left", () => {
    const { came, tail } = topic(5)
    came(20, 19)
    expect(tail(20, [], true)).toEqual(["lost e5-e20"])
  })

  it("may have more than was asked for", () => {
    const { came, continuity, tail } = topic(5)
    came(9, 8)
    expect(tail(8, [4, 5, 6, 8, 9])).toEqual(["e6", "e8", "e9"])
    expect(continuity.position).toEqual(at(9))
    came(12, 11)
    expect(tail(10, [11, 12])).toEqual(["e11", "e12"])
    expect(continuity.position).toEqual(at(12))
  })

  it("begins anew with another epoch, and leaves out what comes late of the old one", () => {
    const { came, continuity, tail } = topic(5)
    expect(came(2, 1, "f")).toEqual(["since e5"])
    came(3, 2, "f")
    expect(tail(2, [1, 2], true, "f")).toEqual(["lost e5-f0", "f1", "f2", "f3"])
    expect(came(6, 5)).toEqual(["since f3"])
    expect(tail(3, [], false, "f")).toEqual([])
    expect([continuity.position, continuity.isLive]).toEqual([at(3, "f"), true])
  })

  it("asks again for what came of yet another epoch while it was on its way", () => {
    const { came, tail } = topic(5)
    came(1, 0, "f")
    came(1, 0, "g")
    expect(tail(1, [1], true, "f")).toEqual(["lost e5-f0", "f1", "since f1"])
    expect(tail(1, [1], true, "g")).toEqual(["lost f1-g0", "g1"])
  })

  it("tells of a log that went back", () => {
    const { came, tail } = topic(5)
    came(9, 8)
    expect(tail(3, [])).toEqual(["lost e5-e3", "since e3"])
    expect(tail(9, [4, 9])).toEqual(["e4", "e9"])
  })
})

describe("a link that breaks", () => {
  it("lets go of what is held, and hears nothing until it is restored", () => {
    const { budget, came, continuity, restored, tail } = topic(5)
    came(9, 8)
    continuity.broken()
    expect([came(6, 5), tail(9, [6, 8, 9]), budget.left, continuity.held]).toEqual([[], [], 1_000, 0])
    expect(restored()).toEqual(["since e5"])
    expect(came(10, 9)).toEqual([])
    expect(tail(9, [6, 8, 9])).toEqual(["e6", "e8", "e9", "e10"])
  })

  it("is asked about from where it was", () => {
    const { continuity, restored } = topic(5)
    continuity.broken()
    restored()
    continuity.broken()
    expect(restored()).toEqual(["since e5"])
  })
})
