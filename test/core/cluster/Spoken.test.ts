/** What was said while the broker was away, and who came too late for it. */
import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import type { Member } from "@millrace/core/cluster/Member"
import { maxSpoken, Spoken } from "@millrace/core/cluster/Spoken"

const member = (): Member => ({ tryWriteUnsafe: () => "Written", close: () => Effect.void })
const key = (sequence: number, epoch = 0) => ({ producer: "p", epoch, sequence })

describe("what was spoken", () => {
  it("was heard by those who were there, and not by who came later, or came back", () => {
    const spoken = new Spoken()
    const [there, late, back] = [member(), member(), member()]
    spoken.joined("room", there)
    spoken.add("room", key(1))
    spoken.joined("room", late)
    spoken.left("room", back)
    spoken.joined("room", back)
    spoken.add("room", key(2))
    const [first, second] = [spoken.take("room", key(1))!, spoken.take("room", key(2))!]
    expect([there, late, back].map(first)).toEqual([true, false, false])
    expect([there, late, back].map(second)).toEqual([true, true, true])
    expect(spoken.isEmpty).toBe(true)
  })

  it("is taken once, and by its topic and its whole key", () => {
    const spoken = new Spoken()
    spoken.add("room", key(1))
    expect([spoken.has(key(1)), spoken.has(key(1, 1)), spoken.take("room", key(2))]).toEqual([true, false, undefined])
    expect(spoken.take("hall", key(1))).toBeUndefined()
    expect(spoken.take("room", key(1))).toBeDefined()
    expect([spoken.has(key(1)), spoken.take("room", key(1))]).toEqual([false, undefined])
  })

  it("of the last so many are known", () => {
    const spoken = new Spoken()
    for (let i = 0; i <= maxSpoken; i++) spoken.add(`${i % 3}`, key(i))
    expect([spoken.has(key(0)), spoken.has(key(1)), spoken.has(key(maxSpoken))]).toEqual([false, true, true])
    for (let i = 1; i <= maxSpoken; i++) spoken.take(`${i % 3}`, key(i))
    expect(spoken.isEmpty).toBe(true)
  })
})
