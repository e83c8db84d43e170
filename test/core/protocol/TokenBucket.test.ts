/** A token bucket at moments that were worked out by hand. */
import { describe, expect, it } from "vitest"
import * as TokenBucket from "@millrace/core/protocol/TokenBucket"

/** A bucket that remembers. What is asked for is one message of so many bytes; the answer is short. */
const bucket = (options: TokenBucket.Options, start = 0) => {
  const rate = TokenBucket.make(options)
  let state = TokenBucket.full(rate, start)
  return {
    take: (now: number, bytes = 0) => {
      const [next, verdict] = TokenBucket.take(rate, state, now, { messages: 1, bytes })
      state = next
      return verdict._tag === "Taken" ? "taken" : `${verdict.limit} ${verdict.wait}`
    },
    excuse: (now: number) => {
      state = TokenBucket.excuse(rate, state, now)
    },
    admit: (now: number, lengths: ReadonlyArray<number>, from?: number) => {
      const messages = lengths.map((length) => ({ length }))
      const admitted = TokenBucket.admit(rate, state, now, messages, from)
      state = admitted.state
      return [admitted.until, admitted.tooSoon?.limit, admitted.tooSoon?.wait]
    }
  }
}

describe("messages", () => {
  it("come as many at once as the burst says, and then one whenever its time has come", () => {
    const { take } = bucket({ messagesPerSecond: 2, burstMessages: 3 })
    expect([take(0), take(0), take(0), take(0)]).toEqual(["taken", "taken", "taken", "messages 500"])
    expect([take(499), take(500), take(500)]).toEqual(["messages 1", "taken", "messages 500"])
  })

  it("are saved up to the burst and no further", () => {
    const { take } = bucket({ messagesPerSecond: 2, burstMessages: 3 })
    const hour = 3_600_000
    expect([take(hour), take(hour), take(hour), take(hour)]).toEqual(["taken", "taken", "taken", "messages 500"])
  })

  it("come at once as in a second, unless it is said otherwise", () => {
    const { take } = bucket({ messagesPerSecond: 2 })
    expect([take(0), take(0), take(0)]).toEqual(["taken", "taken", "messages 500"])
  })

  it("may be less than one a second", () => {
    const { take } = bucket({ messagesPerSecond: 0.1 })
    expect([take(0), take(0), take(9_999), take(10_000)]).toEqual(["taken", "messages 10000", "messages 1", "taken"])
  })

  it("without a burst come one by one, each in its time", () => {
    const { take } = bucket({ messagesPerSecond: 4, burstMessages: 0 })
    expect([take(0), take(0), take(250), take(10_000), take(10_000)]).toEqual([
      "taken",
      "messages 250",
      "taken",
      "taken",
      "messages 250"
    ])
  })

  it("at a rate of 0 are as many as the burst, ever", () => {
    const { take } = bucket({ messagesPerSecond: 0, burstMessages: 2 })
    expect([take(0), take(1e9), take(1e12)]).toEqual(["taken", "taken", "messages Infinity"])
    expect(bucket({ messagesPerSecond: 0 }).take(0)).toBe("messages Infinity")
  })

  it("are without a limit where none is given, or an infinite one", () => {
    for (const options of [{}, { burstMessages: 1 }, { messagesPerSecond: Infinity, bytesPerSecond: Infinity }]) {
      const { take } = bucket(options)
      expect(Array.from({ length: 1000 }, () => take(0, 1e12)).every((verdict) => verdict === "taken")).toBe(true)
    }
    expect(bucket({ messagesPerSecond: 1, burstMessages: Infinity }).take(0)).toBe("taken")
  })
})

describe("bytes", () => {
  it("are counted beside the messages, and are taken with them or not at all", () => {
    const { take } = bucket({ messagesPerSecond: 10, bytesPerSecond: 100, burstMessages: 2, burstBytes: 100 })
    expect(take(0, 80)).toBe("taken")
    // Nothing is taken of the messages either: there is one left after this.
    expect(take(0, 30)).toBe("bytes 100")
    expect(take(0, 20)).toBe("taken")
    expect(take(0, 1)).toBe("messages 100")
  })

  it("that have to be waited for longer are what is waited for", () => {
    const { take } = bucket({ messagesPerSecond: 10, bytesPerSecond: 100, burstMessages: 1, burstBytes: 50 })
    expect([take(0, 50), take(0, 5), take(0, 20)]).toEqual(["taken", "messages 100", "bytes 200"])
  })

  it("of a message that is longer than the burst are taken from a full bucket, and paid off afterwards", () => {
    const { take } = bucket({ bytesPerSecond: 10, burstBytes: 10 })
    expect(take(0, 35)).toBe("taken")
    expect([take(0, 1), take(2_599, 1), take(2_600, 1)]).toEqual(["bytes 2600", "bytes 1", "taken"])
    // 9 are missing, for which it waits although there would never be 35.
    expect([take(2_700, 35), take(3_600, 35)]).toEqual(["bytes 900", "taken"])
  })

  it("of a message that is longer than the burst are never paid off at a rate of 0", () => {
    expect(bucket({ bytesPerSecond: 0, burstBytes: 10 }).take(0, 11)).toBe("bytes Infinity")
  })
})

describe("the clock", () => {
  it("may go backwards: it stands still, and then goes on from there", () => {
    const { take } = bucket({ messagesPerSecond: 1 }, 5_000)
    expect([take(5_000), take(1_000), take(1_999), take(2_000)]).toEqual([
      "taken",
      "messages 1000",
      "messages 1",
      "taken"
    ])
  })

  it("is read in whole milliseconds, of which none is lost however often it is read", () => {
    const { take } = bucket({ messagesPerSecond: 1_000, burstMessages: 1 })
    expect([take(0.2), take(0.9), take(0.9), take(1.1), take(1.9), take(2)]).toEqual([
      "taken",
      "messages 1",
      "messages 1",
      "taken",
      "messages 1",
      "taken"
    ])
  })

  it("may say anything: nothing is taken too much, and it goes on", () => {
    for (const wrong of [NaN, Infinity, -Infinity]) {
      const { take } = bucket({ messagesPerSecond: 1, bytesPerSecond: 0, burstBytes: 9 }, wrong)
      expect(take(wrong), `${wrong}`).toBe("taken")
      take(1_000)
      take(1_000)
      expect([take(1_000), take(2_000, 10)], `${wrong}`).toEqual(["messages 1000", "bytes Infinity"])
    }
  })
})

it("after three days, and a take at each millisecond that allows one, not one is missing or too much", () => {
  const rate = TokenBucket.make({ messagesPerSecond: 3.3, burstMessages: 2 })
  let state = TokenBucket.full(rate, 0)
  let now = 0
  let count = 0
  const days = 3 * 86_400_000
  for (let asked = 0; now <= days && asked < 2e6; asked++) {
    const [next, verdict] = TokenBucket.take(rate, state, now, { messages: 1, bytes: 0 })
    state = next
    if (verdict._tag === "Taken") count++
    else now += verdict.wait
  }
  expect(count).toBe(2 + (days / 1_000) * 3.3)
})

describe("a rate", () => {
  it("is kept to a thousandth, and is not 0 because it is small", () => {
    expect(bucket({ messagesPerSecond: 0.001, burstMessages: 0 }).take(0)).toBe("taken")
    const odd = bucket({ messagesPerSecond: 1.001, burstMessages: 1_001 })
    expect(
      odd.admit(
        0,
        Array.from({ length: 1_001 }, () => 0)
      )[0]
    ).toBe(1_001)
    expect(
      odd.admit(
        1_000_000,
        Array.from({ length: 1_002 }, () => 0)
      )
    ).toEqual([1_001, "messages", 1_000])
    const { take } = bucket({ messagesPerSecond: 1e-9, burstMessages: 1 })
    expect([take(0), take(0)]).toEqual(["taken", "messages 1000000"])
  })

  it.each([
    [{ messagesPerSecond: -1 }],
    [{ bytesPerSecond: NaN }],
    [{ messagesPerSecond: 1, burstMessages: -1 }],
    [{ bytesPerSecond: 1, burstBytes: NaN }]
  ])("that is none is the programmer's fault: %o", (options) => {
    expect(() => TokenBucket.make(options)).toThrow(RangeError)
  })
})

describe("several messages", () => {
  it("pass as far as each of them may", () => {
    const { admit } = bucket({ messagesPerSecond: 4, bytesPerSecond: 100 })
    expect(admit(0, [10, 10])).toEqual([2, undefined, undefined])
    expect(admit(0, [10, 10, 10, 10])).toEqual([2, "messages", 250])
    expect(admit(500, [70, 30, 30], 1)).toEqual([3, undefined, undefined])
    expect(admit(1_000, [0, 0, 0, 0, 0], 2)).toEqual([4, "messages", 250])
  })

  it("that are longer than the burst together are not one that is", () => {
    const { admit } = bucket({ bytesPerSecond: 100 })
    expect(admit(0, [60, 60, 60])).toEqual([1, "bytes", 200])
  })

  it("of which one is longer than the burst pass as far as to that one and with it", () => {
    const { admit } = bucket({ bytesPerSecond: 100 })
    expect(admit(0, [150, 0, 1])).toEqual([1, "bytes", 500])
    expect(admit(1_500, [0, 150, 1])).toEqual([2, "bytes", 510])
  })

  it("of which none is left pass", () => {
    expect(bucket({ messagesPerSecond: 0 }).admit(0, [1], 1)).toEqual([1, undefined, undefined])
  })
})

describe("who had to wait for us", () => {
  it("may send at once what they have saved up meanwhile, also beyond the burst", () => {
    const { admit, excuse } = bucket({ messagesPerSecond: 2 })
    expect(admit(0, [1, 1])).toEqual([2, undefined, undefined])
    excuse(3_000)
    expect(
      admit(
        3_000,
        Array.from({ length: 7 }, () => 1)
      )
    ).toEqual([6, "messages", 500])
  })

  it("lose it as slowly as they won it, down to the burst", () => {
    const { admit, excuse } = bucket({ messagesPerSecond: 2 })
    excuse(3_000)
    // 2, and 6 more, less 4.
    expect(admit(5_000, [1, 1, 1, 1, 1])).toEqual([4, "messages", 500])
    excuse(10_000)
    expect(admit(60_000, [1, 1, 1])).toEqual([2, "messages", 500])
  })

  it("win nothing at a rate of 0, or while the clock goes backwards", () => {
    const { excuse, take } = bucket({ messagesPerSecond: 0 })
    excuse(1e12)
    expect(take(1e12)).toBe("messages Infinity")
    const other = bucket({ messagesPerSecond: 1 }, 1_000)
    expect(other.take(1_000)).toBe("taken")
    other.excuse(0)
    expect(other.take(0)).toBe("messages 1000")
  })
})
