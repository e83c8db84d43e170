/** Who is there over all nodes, as a state: what it says, and what it makes of what it is told. */
import { describe, expect, it } from "vitest"
import { maxAhead, PresenceState } from "@millrace/core/cluster/PresenceState"

const options = { maxMembers: 100, maxChanges: 4 }
const state = (node: string, life = 1) => new PresenceState(node, life, options)

/** Tells one everything of the other. */
const tell = (to: PresenceState, from: PresenceState) => to.merge(from.full())

describe("a state", () => {
  it("is nobody in no topic at first", () => {
    const one = state("a")
    expect(one.mark).toEqual({ life: 1, version: 0 })
    expect(one.users("t")).toEqual([])
    expect(one.user("t", "ada")).toBeUndefined()
    expect([one.connections("t"), one.size, one.topicCount]).toEqual([0, 0, 0])
    expect(one.leave("t", "m")).toBe(false)
    expect(one.mark.version).toBe(0)
  })

  it("has the members of one user as one, with what was said last and the time of the first", () => {
    const one = state("a")
    one.join("t", "m1", "ada", "1", 10)
    one.join("t", "m2", "bob", "2", 5)
    one.join("t", "m3", "ada", "3", 20)
    expect(one.users("t")).toEqual([
      { user: "bob", info: "2", connections: 1, since: 5 },
      { user: "ada", info: "3", connections: 2, since: 10 }
    ])
    one.join("t", "m1", "ada", "4", 30)
    expect(one.user("t", "ada")).toEqual({ user: "ada", info: "4", connections: 2, since: 10 })
    one.leave("t", "m1")
    expect(one.user("t", "ada")).toEqual({ user: "ada", info: "3", connections: 1, since: 20 })
    expect([one.connections("t"), one.size, one.topicCount]).toEqual([2, 2, 1])
    one.leave("t", "m3")
    one.leave("t", "m2")
    expect([one.connections("t"), one.size, one.topicCount]).toEqual([0, 0, 0])
    expect(one.mark.version).toBe(7)
  })

  it("has a member of another user as that one, and not as the one before", () => {
    const one = state("a")
    one.join("t", "m", "ada", "1", 10)
    one.join("t", "m", "bob", "2", 20)
    expect(one.users("t")).toEqual([{ user: "bob", info: "2", connections: 1, since: 20 }])
  })

  it("says the same on every node of what was said at one time", () => {
    const [one, other] = [state("a"), state("b")]
    one.join("t", "m", "ada", '"a"', 1)
    other.join("t", "m", "ada", '"b"', 1)
    other.join("t", "l", "ada", '"c"', 1)
    tell(one, other)
    tell(other, one)
    expect(one.users("t")).toEqual([{ user: "ada", info: '"b"', connections: 3, since: 1 }])
    expect(other.users("t")).toEqual(one.users("t"))
  })

  it("keeps nothing of a topic that nobody is in", () => {
    const [one, other] = [state("a"), state("b")]
    for (let i = 0; i < 10; i++) {
      one.join(`t${i}`, "m", "ada", "1", i)
      tell(other, one)
      one.leave(`t${i}`, "m")
      tell(other, one)
    }
    for (const it of [one, other]) {
      expect(it["topics"].size).toBe(0)
      for (const known of it["nodes"].values()) expect(known.topics.size).toBe(0)
    }
  })

  it("takes names for what they are", () => {
    const one = state("__proto__")
    for (const name of ["__proto__", "constructor", "toString"]) {
      expect(one.user(name, name)).toBeUndefined()
      one.join(name, name, name, "{}", 1)
      expect(one.users(name)).toEqual([{ user: name, info: "{}", connections: 1, since: 1 }])
      expect(one.leave(name, name)).toBe(true)
    }
    expect(one.size).toBe(0)
  })

  it("says of whom something may have changed, once", () => {
    const one = state("a")
    one.join("t", "m", "ada", "1", 10)
    one.join("u", "m", "bob", "1", 10)
    one.join("t", "n", "cy", "1", 10)
    expect([...one.takeTouched()]).toEqual([
      ["t", new Set(["ada", "cy"])],
      ["u", new Set(["bob"])]
    ])
    expect(one.takeTouched().size).toBe(0)
    const other = state("b")
    tell(other, one)
    other.takeTouched()
    one.join("t", "n", "cy", "2", 20)
    one.leave("u", "m")
    tell(other, one)
    expect([...other.takeTouched()]).toEqual([
      ["u", new Set(["bob"])],
      ["t", new Set(["cy"])]
    ])
  })
})

describe("what is told", () => {
  it("is what changed behind a version, or everything when that is not kept", () => {
    const one = state("a")
    for (let i = 0; i < 9; i++) one.join("t", `m${i}`, "ada", "1", i)
    expect(one.since(9)?.changes).toEqual([])
    expect(one.since(7)).toMatchObject({ from: 7, life: 1, node: "a", changes: [{ member: "m7" }, { member: "m8" }] })
    expect(one.since(4)?.changes).toHaveLength(5)
    expect(one.since(0)).toBeUndefined()
    expect(one.since(10)).toBeUndefined()
    expect(one.full().members).toHaveLength(9)
  })

  it("is as it was, whatever happens afterwards", () => {
    const one = state("a")
    one.join("t", "m", "ada", "1", 1)
    const [full, delta] = [one.full(), one.since(0)!]
    one.join("t", "m", "ada", "2", 2)
    one.leave("t", "m")
    for (const told of [full, delta]) {
      const other = state("b")
      expect(other.merge(told)).toBe("New")
      expect(other.users("t")).toEqual([{ user: "ada", info: "1", connections: 1, since: 1 }])
    }
  })

  it("counts once, and not when more is known already", () => {
    const [one, other] = [state("a"), state("b")]
    one.join("t", "m", "ada", "1", 1)
    const old = one.full()
    const delta = one.since(0)!
    one.join("t", "n", "ada", "1", 1)
    expect(tell(other, one)).toBe("New")
    expect(tell(other, one)).toBe("Known")
    expect(other.merge(old)).toBe("Known")
    expect(other.merge(delta)).toBe("Known")
    expect(other.connections("t")).toBe(2)
    expect(other.known("a")).toEqual({ life: 1, version: 2 })
  })

  it("waits for what is before it, and then counts", () => {
    const [one, other] = [state("a"), state("b")]
    one.join("t", "m", "ada", "1", 1)
    const first = one.since(0)!
    one.join("t", "n", "bob", "1", 1)
    const second = one.since(1)!
    one.leave("t", "m")
    const third = one.since(2)!
    expect(other.merge(third)).toBe("Ahead")
    expect(other.users("t")).toEqual([])
    expect(other.isBehind("a", { life: 1, version: 3 })).toBe(true)
    expect(other.merge(second)).toBe("Ahead")
    expect(other.merge(first)).toBe("New")
    expect(other.known("a")).toEqual({ life: 1, version: 3 })
    expect(other.isBehind("a", { life: 1, version: 3 })).toBe(false)
    expect(other.users("t").map(({ user }) => user)).toEqual(["bob"])
  })

  it("that begins before what is known counts from there on", () => {
    const [one, other] = [state("a"), state("b")]
    one.join("t", "m", "ada", "1", 1)
    tell(other, one)
    one.leave("t", "m")
    one.join("t", "m", "bob", "1", 1)
    expect(other.merge(one.since(0)!)).toBe("New")
    expect(other.users("t").map(({ user }) => user)).toEqual(["bob"])
  })

  it("is not kept without a bound while something before it is missing", () => {
    const other = state("b")
    const change = { topic: "t", member: "m", now: undefined }
    const ahead = (from: number, length: number) =>
      other.merge({ _tag: "Delta", node: "a", life: 1, from, changes: Array.from({ length }, () => change) })
    ahead(1, maxAhead - 1)
    ahead(maxAhead, 1)
    ahead(maxAhead + 1, 1)
    ahead(0, 1)
    expect(other.known("a")).toEqual({ life: 1, version: maxAhead + 1 })
  })

  it("of a later life puts an end to the one before, and of an earlier one is nothing", () => {
    const [old, young, other] = [state("a", 1), state("a", 2), state("b")]
    old.join("t", "m", "ada", "1", 1)
    tell(other, old)
    expect(other.isBehind("a", { life: 2, version: 0 })).toBe(true)
    young.join("t", "m", "bob", "1", 1)
    young.join("t", "n", "cy", "1", 1)
    expect(other.merge(young.since(1)!)).toBe("Ahead")
    expect(other.users("t")).toEqual([])
    expect(tell(other, young)).toBe("New")
    expect(tell(other, old)).toBe("Known")
    expect(other.isBehind("a", { life: 1, version: 9 })).toBe(false)
    expect(other.users("t").map(({ user }) => user)).toEqual(["bob", "cy"])
  })

  it("of the own node is not believed", () => {
    const [one, impostor] = [state("a", 1), state("a", 9)]
    one.join("t", "m", "ada", "1", 1)
    impostor.join("t", "n", "eve", "1", 1)
    expect(tell(one, impostor)).toBe("Known")
    expect(one.merge(impostor.since(0)!)).toBe("Known")
    expect(one.isBehind("a", { life: 9, version: 9 })).toBe(false)
    one.drop("a")
    expect(one.users("t").map(({ user }) => user)).toEqual(["ada"])
  })

  it("of a node that is gone is gone, and may be told again", () => {
    const [one, other] = [state("a"), state("b")]
    one.join("t", "m", "ada", "1", 1)
    tell(other, one)
    other.takeTouched()
    other.drop("a")
    expect(other.size).toBe(0)
    expect([...other.takeTouched()]).toEqual([["t", new Set(["ada"])]])
    expect(other.known("a")).toBeUndefined()
    expect(other.isBehind("a", one.mark)).toBe(true)
    expect(tell(other, one)).toBe("New")
    expect(other.size).toBe(1)
  })

  it("is nothing when a node has more members than one may have, until its next life", () => {
    const [one, other] = [state("a"), state("b")]
    for (let i = 0; i < 100; i++) one.join("t", `m${i}`, "ada", "1", i)
    expect(tell(other, one)).toBe("New")
    one.join("t", "one too many", "ada", "1", 1)
    expect(other.merge(one.since(100)!)).toBe("Refused")
    expect(other.size).toBe(0)
    expect(tell(other, one)).toBe("Refused")
    expect(other.isBehind("a", { life: 1, version: 999 })).toBe(false)
    const next = state("a", 2)
    next.join("t", "m", "ada", "1", 1)
    expect(tell(other, next)).toBe("New")
    expect(other.size).toBe(1)
  })
})
