/**
 * A soak in short, and its accounts: what `npm run soak` does for minutes, with every message counted. The accounts are
 * kept by a program, so that they are seen to find what is wrong.
 */
import { describe, expect, it } from "vitest"
import { type Account, type Balance, type Heard, Ledger, nothing } from "../../bench/soak/Ledger.ts"
import * as Soak from "../../bench/soak/Soak.ts"
import { describeWith } from "../support/describeWith.ts"

const at = (offset: number, epoch = "a") => ({ epoch, offset })

/** Six publications to one topic, at 1, 2 and 3 of two epochs, and what becomes of a client that heard this of them. */
const settled = (...heard: ReadonlyArray<Heard>): Balance => {
  const ledger = new Ledger()
  for (const epoch of ["a", "b"]) {
    for (let offset = 1; offset <= 3; offset++) ledger.acknowledge(ledger.begin("tea"), at(offset, epoch))
  }
  const balance = nothing()
  const account: Account = { client: "ada", topic: "tea", begin: at(0), heard: [...heard] }
  ledger.settle(balance, account, 5)
  return balance
}

const message = (number: number, position: Extract<Heard, { _tag: "Message" }>["position"]): Heard => ({
  _tag: "Message",
  number,
  position
})

const all = Array.from({ length: 6 }, (_, number) => message(number, at((number % 3) + 1, number < 3 ? "a" : "b")))

const faults = (balance: Balance) => balance.faults.map(({ _tag, number }) => `${_tag} ${number}`)

describe("the accounts of a soak", () => {
  it("a client that was told everything once, in order, has no fault", () => {
    const balance = settled(...all)
    expect(balance.faults).toEqual([])
    expect(balance.delivered).toBe(6)
  })

  it("what was not told, and lies in no gap, is lost", () => {
    expect(faults(settled(...all.toSpliced(1, 1)))).toEqual(["Lost 1"])
    expect(faults(settled(...all.slice(0, -1)))).toEqual(["Lost 5"])
  })

  it("what lies in a gap that was told is not lost, and what lies beside it is", () => {
    const gap: Heard = { _tag: "Gap", from: at(1), to: at(1, "b") }
    const balance = settled(all[0]!, gap, ...all.slice(4))
    expect([balance.inGaps, balance.delivered, balance.gaps]).toEqual([3, 3, 1])
    expect(balance.faults).toEqual([])
    expect(faults(settled(gap, ...all.slice(5)))).toEqual(["Lost 0", "Lost 4"])
  })

  it("a gap without ends lies between what was heard before it and what was heard behind it", () => {
    const gap: Heard = { _tag: "Gap", from: undefined, to: undefined }
    expect(settled(all[0]!, gap, ...all.slice(2)).faults).toEqual([])
    expect(faults(settled(all[0]!, gap, all[2]!, ...all.slice(4)))).toEqual(["Lost 3"])
    expect(settled(...all.slice(0, 3), gap).faults).toEqual([])
    expect(faults(settled(all[0]!, gap, all[1]!, ...all.slice(3)))).toEqual(["Lost 2"])
    expect(faults(settled(all[1]!, gap, ...all.slice(2)))).toEqual(["Lost 0"])
  })

  it("what came twice in one epoch is a fault, and in two it is counted: the broker had forgotten", () => {
    expect(faults(settled(all[0]!, ...all))).toEqual(["Twice 0"])
    expect(faults(settled(all[0]!, { _tag: "Returned" }, ...all))).toEqual(["Twice 0"])
    const again = settled(...all.slice(0, 3), message(2, at(0, "b")), ...all.slice(3))
    expect([again.inTwoEpochs, again.faults.length]).toEqual([1, 0])
  })

  it("what came without its place, and with it where nobody knew that, is counted; where it was known it is a fault", () => {
    const early = message(0, undefined)
    expect(settled(early, { _tag: "Returned" }, ...all)).toMatchObject({ unplacedAndAgain: 1, faults: [] })
    expect(faults(settled(early, ...all))).toEqual(["Twice 0"])
  })

  it("what came out of order is a fault, and so is what nobody published there", () => {
    expect(faults(settled(all[1]!, all[0]!, ...all.slice(2)))).toEqual(["Disordered 0"])
    expect(faults(settled(...all, message(77, at(9, "b"))))).toEqual(["Unknown 77"])
  })
})

describeWith("redis-server")("a soak", () => {
  it("sixty clients of three nodes over Redis, some of which are always being killed, are told everything once or of a gap", async () => {
    const summary = await Soak.run({
      broker: "redis",
      duration: 15_000,
      nodes: 3,
      clients: 60,
      topics: 10,
      publishers: 5,
      rate: 40,
      interval: 1_500,
      seed: 20_261_123
    })
    const { acknowledged, balance, crashes, published, stuck, unknown } = summary
    expect(balance.faults).toEqual([])
    expect({ crashes, stuck, unknown }).toEqual({ crashes: [], stuck: [], unknown: 0 })
    expect(acknowledged).toBe(published)
    // Something was there to be lost.
    expect(balance.delivered).toBeGreaterThan(500)
    expect(balance.returns).toBeGreaterThan(50)
  }, 180_000)
})
