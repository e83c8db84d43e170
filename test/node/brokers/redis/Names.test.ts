import { describe, expect, it } from "vitest"
import * as Names from "@millrace/node/brokers/redis/Names"

describe("the names of keys", () => {
  it("are those that docs/brokers/redis.md has, whatever is in a topic", () => {
    const names = Names.make("millrace", 3)
    expect([names.log, names.marks, names.check]).toEqual(["{millrace}:log", "{millrace}:marks", "{millrace}:check"])
    expect([names.topic("{a}:✓"), names.last("{a}"), names.producer("log")]).toEqual([
      "{millrace}:topic:{a}:✓",
      "{millrace}:last:{a}",
      "{millrace}:producer:log"
    ])
    expect([names.appended, names.cast]).toEqual(["{millrace}:3:appended:", "{millrace}:3:cast:"])
  })

  it("have a prefix that makes a hash tag", () => {
    expect(["millrace", "a:b", "✓ "].map(Names.isPrefix)).toEqual([true, true, true])
    expect(["", "{", "a}", "{a}"].map(Names.isPrefix)).toEqual([false, false, false, false])
  })

  it("are in the slot that the specification of Redis Cluster gives them", () => {
    // CRC-16/XMODEM of this is 0x31c3, says the specification; the others were asked of a Redis 7.0 by CLUSTER KEYSLOT.
    expect(Names.slotOf("123456789")).toBe(0x31c3)
    expect(["millrace", "foo", "✓"].map(Names.slotOf)).toEqual([9_274, 12_182, 8_205])
  })
})
