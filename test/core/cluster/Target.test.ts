/** Targets are sets of members: their algebra against sets, and their text against any text. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { maxCastBytes } from "@millrace/core/cluster/Broker"
import * as Target from "@millrace/core/cluster/Target"

const names = ["a", "b", "c"]

const targets: fc.Arbitrary<Target.Target> = fc.letrec<{ target: Target.Target }>((tie) => ({
  target: fc.oneof(
    { maxDepth: 4, depthIdentifier: "target" },
    fc.constantFrom(...names).map(Target.topic),
    fc.constantFrom("0", "1", "2").map(Target.member),
    fc.constantFrom("even", "odd").map(Target.user),
    fc.array(tie("target"), { maxLength: 3 }).map((parts) => Target.union(...parts)),
    fc.tuple(tie("target"), tie("target")).map(([target, not]) => Target.except(target, not))
  )
})).target

interface One {
  readonly id: string
  readonly user: string
  readonly topics: ReadonlyArray<string>
}

const worlds = fc
  .array(fc.subarray(names), { maxLength: 6 })
  .map((all) => all.map((topics, i): One => ({ id: String(i), user: i % 2 === 0 ? "even" : "odd", topics })))

const placesOf = (all: ReadonlyArray<One>): Target.Places<One> => ({
  ofTopic: (topic) => all.filter(({ topics }) => topics.includes(topic)),
  ofMember: (id) => all.filter((one) => one.id === id),
  ofUser: (user) => all.filter((one) => one.user === user)
})

const wide = (parts: number) => Target.print(Target.topics(...Array.from({ length: parts - 1 }, () => "")))

/** What a target means, one member at a time. */
const means = (target: Target.Target, one: One): boolean => {
  if (target._tag === "Topic") return one.topics.includes(target.topic)
  if (target._tag === "Member") return one.id === target.id
  if (target._tag === "User") return one.user === target.user
  if (target._tag === "Union") return target.targets.filter((part) => means(part, one)).length > 0
  return means(target.target, one) && !means(target.not, one)
}

describe("Target", () => {
  it("selects who is in it, each once; `includes` says the same", () =>
    fc.assert(
      fc.property(targets, worlds, (target, all) => {
        const wanted = all.filter((one) => means(target, one))
        const selected = [...Target.select(target, placesOf(all))].toSorted((one, other) =>
          one.id < other.id ? -1 : 1
        )
        assert.deepStrictEqual(selected, wanted)
        const included = all.filter((one) => Target.includes(target, one, (topic) => one.topics.includes(topic)))
        assert.deepStrictEqual(included, wanted)
      })
    ))

  it("is read as it was printed", () =>
    fc.assert(fc.property(targets, (target) => assert.deepStrictEqual(Target.parse(Target.print(target)), target))))

  it("is not read from anything else, and nothing throws", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          targets.map((target) => Target.print(target).slice(0, -1))
        ),
        (text) => {
          const target = Target.parse(text)
          if (target !== undefined) Target.select(target, placesOf([]))
        }
      )
    )
    for (const text of [
      "",
      "null",
      "[]",
      '{"_tag":"Topic"}',
      '{"_tag":"Union","targets":[{}]}',
      '{"_tag":"toString"}'
    ]) {
      assert.isUndefined(Target.parse(text))
    }
    assert.isUndefined(Target.parse("[".repeat(1_000_000)))
  })

  it("has a depth and a number of parts that are read", () => {
    const nested = (depth: number): Target.Target =>
      depth === 1
        ? Target.topic("a")
        : depth % 2 === 0
          ? Target.union(nested(depth - 1))
          : Target.except(Target.topic(""), nested(depth - 1))
    assert.isFalse(Target.isTooDeep(nested(Target.maxDepth)))
    assert.isDefined(Target.parse(Target.print(nested(Target.maxDepth))))
    assert.isTrue(Target.isTooDeep(nested(Target.maxDepth + 1)))
    assert.isUndefined(Target.parse(Target.print(nested(Target.maxDepth + 1))))
    assert.isDefined(Target.parse(wide(Target.maxParts)))
    assert.isUndefined(Target.parse(wide(Target.maxParts + 1)))
    // So what is too wide is too long to be said.
    assert.isAbove(wide(Target.maxParts).length, maxCastBytes)
  })
})
