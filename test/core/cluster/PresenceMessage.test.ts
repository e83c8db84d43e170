/** What nodes tell each other about who is there, as bytes. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { maxCastBytes } from "@millrace/core/cluster/Broker"
import * as Cast from "@millrace/core/cluster/Cast"
import * as PresenceMessage from "@millrace/core/cluster/PresenceMessage"
import type { Change, Delta, Full, Member } from "@millrace/core/cluster/PresenceState"

const utf8 = new TextEncoder()
const upTo = (bytes: number, min = 1) =>
  fc
    .string({ unit: "grapheme", minLength: min, maxLength: 40 })
    .filter((text) => text.length >= min && utf8.encode(text).length <= bytes)

const member: fc.Arbitrary<Member> = fc.record({
  node: fc.constant("a"),
  member: upTo(128),
  user: upTo(256),
  info: fc.json({ maxDepth: 1 }).filter((text) => text.length < 1_000),
  since: fc.maxSafeNat(),
  updated: fc.maxSafeNat()
})

const change: fc.Arbitrary<Change> = fc
  .tuple(upTo(256), member, fc.boolean())
  .map(([topic, now, isThere]) => ({ topic, member: now.member, now: isThere ? now : undefined }))

const big = (i: number): Member => ({
  node: "a",
  member: `${i}`.padStart(128, "m"),
  user: "u".repeat(256),
  info: JSON.stringify("\u0001".repeat(2_500)),
  since: 1,
  updated: 2
})

describe("a delta", () => {
  it("is what was told", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 10 }), fc.nat(), fc.nat(), (changes, life, from) => {
        const delta: Delta = { _tag: "Delta", node: "a", life, from, changes }
        expect([...PresenceMessage.encodeDelta(delta)].map(PresenceMessage.decode)).toEqual([delta])
      })
    )
  })

  it("is several, one behind the other, where it is too long for one cast", () => {
    const changes = Array.from({ length: 50 }, (_, i) => ({
      topic: "t".repeat(256),
      member: big(i).member,
      now: big(i)
    }))
    const delta: Delta = { _tag: "Delta", node: "a", life: 1, from: 10, changes }
    const casts = [...PresenceMessage.encodeDelta(delta)]
    expect(casts.length).toBeGreaterThan(3)
    let from = 10
    for (const bytes of casts) {
      expect(bytes.length).toBeLessThanOrEqual(maxCastBytes)
      const part = PresenceMessage.decode(bytes) as Delta
      expect(part.from).toBe(from)
      from += part.changes.length
    }
    expect(casts.flatMap((bytes) => (PresenceMessage.decode(bytes) as Delta).changes)).toEqual(changes)
  })
})

describe("everything", () => {
  it("is in parts that a cast takes, the last of which says so", () => {
    const members = Array.from({ length: 50 }, (_, i) => ["t", big(i)] as const)
    const full: Full = { _tag: "Full", node: "a", life: 1, version: 60, members }
    const parts = [...PresenceMessage.encodeFull(full)].map((bytes) => {
      expect(bytes.length).toBeLessThanOrEqual(maxCastBytes)
      return PresenceMessage.decode(bytes) as PresenceMessage.Part
    })
    expect(parts.map(({ part }) => part)).toEqual([...parts.keys()])
    expect(parts.map(({ isLast }) => isLast)).toEqual(parts.map((_, i) => i === parts.length - 1))
    expect(parts.flatMap(({ members }) => members)).toEqual(members)
    const none = [...PresenceMessage.encodeFull({ ...full, members: [] })].map(PresenceMessage.decode)
    expect(none).toEqual([{ _tag: "Part", node: "a", life: 1, version: 60, part: 0, isLast: true, members: [] }])
  })
})

describe("a question and a goodbye", () => {
  it("are what was said", () => {
    for (const message of [
      { _tag: "Ask", asker: "a", life: 1, version: 2 },
      { _tag: "Bye", node: "a", life: 1 }
    ] as const) {
      expect(PresenceMessage.decode(PresenceMessage.encode(message))).toEqual(message)
    }
  })
})

describe("what is not a message, or is over a bound,", () => {
  const item = ["t", "m", "u", "null", 1, 1]
  const delta = ["delta", "a", 1, 0, [item]]
  const part = ["part", "a", 1, 1, 0, true, [item]]

  it("is nothing, all of it", () => {
    for (const good of [delta, part]) expect(PresenceMessage.decode(Cast.encode(good as Cast.Json))).toBeDefined()
    const wrong = [
      null,
      {},
      [],
      ["tell", "a", 1, 1],
      ["ask", "a", 1],
      ["ask", "", 1, 1],
      ["ask", "a", -1, 1],
      ["ask", "a", 1, 1.5],
      ["bye", "a"],
      ["bye", "x".repeat(129), 1],
      delta.slice(0, 4),
      ["delta", "a", 1, 0, { length: 0 }],
      part.with(4, -1),
      part.with(5, 1),
      part.with(6, [["t", "m"]]),
      ...[
        1,
        [],
        ["t"],
        ["t", 1],
        ["", "m"],
        ["t", "m", "u"],
        item.with(0, "é".repeat(129)),
        item.with(1, "é".repeat(65)),
        item.with(2, "é".repeat(129)),
        item.with(2, null as never),
        item.with(3, ""),
        item.with(3, "nul"),
        item.with(3, "[1,\n2]"),
        item.with(3, "1\r"),
        item.with(3, `"${"x".repeat(PresenceMessage.maxInfoBytes)}"`),
        item.with(4, -1),
        item.with(5, 0.5)
      ].map((one) => ["delta", "a", 1, 0, [item, one]])
    ]
    for (const value of wrong) {
      expect([value, PresenceMessage.decode(Cast.encode(value as Cast.Json))]).toEqual([value, undefined])
    }
  })

  it("never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.json(), (bytes, json) => {
        expect(PresenceMessage.decode(bytes)).toBeUndefined()
        expect(PresenceMessage.decode(Cast.encodeText(json))).toBeUndefined()
      })
    )
  })
})
