import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as Packet from "@millrace/core/messaging/Packet"

const detail = (wire: unknown) => {
  const parsed = Packet.parse(wire)
  return Result.isFailure(parsed) ? parsed.failure.detail : { taken: parsed.success }
}

const withTrace = (trace: unknown) => detail(["emit", "a", 1, { trace }])

/** Each beside the array that it is. */
const packets: ReadonlyArray<readonly [wire: ReadonlyArray<unknown>, packet: Packet.Packet]> = [
  [
    ["hello", { contract: "chat", version: "1", hash: "abc", credentials: { token: "t" } }],
    { _tag: "Hello", contract: "chat", version: "1", hash: "abc", credentials: { token: "t" } }
  ],
  [
    ["welcome", { contract: "chat", version: "1", hash: "abc", session: "s1" }],
    { _tag: "Welcome", contract: "chat", version: "1", hash: "abc", session: "s1" }
  ],
  [["emit", "say", { text: "hi" }], { _tag: "Emit", name: "say", payload: { text: "hi" }, meta: undefined }],
  [
    ["ask", 1, "rename", "Ada", { key: "k", trace: "00-1-2-01" }],
    { _tag: "Ask", id: 1, name: "rename", payload: "Ada", meta: { key: "k", trace: "00-1-2-01" } }
  ],
  [["ok", 1, null], { _tag: "Ok", id: 1, value: null }],
  [["err", 1, { taken: true }], { _tag: "Err", id: 1, error: { taken: true } }],
  [["fail", 1, "invalid", "no text"], { _tag: "Fail", id: 1, code: "invalid", detail: "no text" }],
  [
    ["open", 2, "history", null, 256],
    { _tag: "Open", id: 2, name: "history", payload: null, credit: 256, meta: undefined }
  ],
  [["items", 2, ["a", null]], { _tag: "Items", id: 2, elements: ["a", null] }],
  [["more", 2, 128], { _tag: "More", id: 2, credit: 128 }],
  [["end", 2], { _tag: "End", id: 2 }],
  [["cancel", 2], { _tag: "Cancel", id: 2 }],
  [["ping", 3], { _tag: "Ping", id: 3 }],
  [["pong", 3], { _tag: "Pong", id: 3 }]
]

describe("a packet", () => {
  it.each(packets)("is an array: %j", (wire, packet) => {
    expect(Packet.print(packet)).toEqual(wire)
    expect(Result.getOrThrow(Packet.parse(wire))).toEqual(packet)
  })

  it.each(packets)("may have more at its end, from a peer that is newer: %j", (wire, packet) => {
    const all = wire[0] === "emit" ? 4 : wire[0] === "ask" ? 5 : wire[0] === "open" ? 6 : wire.length
    const longer = [...wire, ...Array.from({ length: all - wire.length }, () => null), { more: 1 }]
    expect(Result.getOrThrow(Packet.parse(longer))).toEqual(packet)
  })

  it("leaves out what is not said, and hears nothing as null", () => {
    const meta = { key: undefined, trace: undefined }
    expect(detail(["ask", 1, "a"])).toEqual({
      taken: { _tag: "Ask", id: 1, name: "a", payload: undefined, meta: undefined }
    })
    expect(detail(["ask", 1, "a", null, null])).toEqual({
      taken: { _tag: "Ask", id: 1, name: "a", payload: null, meta: undefined }
    })
    expect(detail(["emit", "a", 1, {}])).toEqual({ taken: { _tag: "Emit", name: "a", payload: 1, meta } })
    expect(detail(["emit", "a", 1, { key: null, trace: null }])).toEqual({
      taken: { _tag: "Emit", name: "a", payload: 1, meta }
    })
  })

  it("has no trace rather than one that it does not understand, and no key that is too long", () => {
    const without = { taken: { _tag: "Emit", name: "a", payload: 1, meta: { key: undefined, trace: undefined } } }
    expect(withTrace("t".repeat(Packet.maxMetaLength))).toEqual({
      taken: { ...without.taken, meta: { key: undefined, trace: "t".repeat(256) } }
    })
    for (const value of ["t".repeat(Packet.maxMetaLength + 1), 1, {}]) expect(withTrace(value)).toEqual(without)
    for (const packet of [
      ["ask", 1, "a", 1],
      ["open", 1, "a", 1, 1],
      ["emit", "a", 1]
    ]) {
      expect(detail([...packet, { key: "k".repeat(256) }])).toHaveProperty("taken.meta.key")
      for (const key of ["k".repeat(257), 1, {}]) expect(detail([...packet, { key }])).toBe("a key that is none")
    }
  })

  it("that fails with a code that this end does not know, has failed", () => {
    for (const code of ["newer", 1, null, undefined, ["unknown"], "toString"]) {
      expect(detail(["fail", 1, code, 2])).toEqual({ taken: { _tag: "Fail", id: 1, code: "defect", detail: "" } })
    }
  })

  it("needs no hash, and has no credentials that it did not bring itself", () => {
    expect(detail(["hello", { contract: "a", version: "1" }])).toEqual({
      taken: { _tag: "Hello", contract: "a", version: "1", hash: "", credentials: undefined }
    })
    expect(detail(["welcome", { contract: "a", version: "1", session: "s", hash: 1 }])).toEqual({
      taken: { _tag: "Welcome", contract: "a", version: "1", hash: "", session: "s" }
    })
    expect(detail(["hello", Object.create({ contract: "a", version: "1" })])).toBe("hello without contract and version")
  })
})

describe("what is no packet", () => {
  it.each([
    [null, "not an array"],
    ["ask", "not an array"],
    [{ 0: "end", 1: 1, length: 2 }, "not an array"],
    [new Uint8Array(2), "not an array"],
    [[], "no kind"],
    [[null, 1], "a kind that nobody knows"],
    [["constructor", 1], "a kind that nobody knows"],
    [["ASK", 1, "a"], "a kind that nobody knows"],
    [[["end"], 1], "a kind that nobody knows"],
    [["hello"], "hello without contract and version"],
    [["hello", { contract: "a", version: 1 }], "hello without contract and version"],
    [["hello", { contract: null, version: "1" }], "hello without contract and version"],
    [["welcome", { contract: "a", version: "1" }], "welcome without contract, version and session"],
    [["welcome", { version: "1", session: "s" }], "welcome without contract, version and session"],
    [["welcome", { contract: "a", session: "s" }], "welcome without contract, version and session"],
    [["emit", 1, 1], "emit without a name"],
    [["ask", 1, null], "ask without a name"],
    [["open", 1, 1, null, 1], "open without a name and credit"],
    [["open", 1, "a", null], "open without a name and credit"],
    [["open", 1, "a", null, 0], "open without a name and credit"],
    [["open", 1, "a", null, 1_048_577], "open without a name and credit"],
    [["more", 1, 0], "no credit"],
    [["more", 1, 1.5], "no credit"],
    [["more", 1, -1], "no credit"],
    [["more", 1, 1_048_577], "no credit"],
    [["items", 1, []], "items without elements"],
    [["items", 1, { length: 1 }], "items without elements"],
    [["items", 1, new Uint8Array(1)], "items without elements"]
  ])("%j", (wire, why) => {
    expect(detail(wire)).toBe(why)
  })

  it.each(["ask", "open", "ok", "items", "more", "end", "err", "fail", "cancel"])("%s without a number", (kind) => {
    for (const id of [0, -1, 1.5, 2 ** 53, "1", null, undefined, Number.NaN, [1]]) {
      expect(detail([kind, id, "a", 1, 1])).toBe("no number")
    }
  })

  it("is known by its credit from what is one", () => {
    expect(detail(["more", 1, Packet.maxCredit])).toEqual({ taken: { _tag: "More", id: 1, credit: 1_048_576 } })
    expect(detail(["end", Number.MAX_SAFE_INTEGER])).toEqual({ taken: { _tag: "End", id: Number.MAX_SAFE_INTEGER } })
  })
})
