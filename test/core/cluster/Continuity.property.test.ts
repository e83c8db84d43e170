/** Any schedule of what comes, of what is asked, and of what breaks, against the log itself. */
import * as fc from "fast-check"
import { expect, it } from "vitest"
import { type Actions, type Came, Continuity, maxHeld, type Tail } from "@millrace/core/cluster/Continuity"
import type { Position } from "@millrace/core/cluster/Position"

type Step =
  | { readonly _tag: "Append"; readonly to: "topic" | "other" }
  | { readonly _tag: "Arrive" | "Repeat" | "Drop"; readonly which: number }
  /** The log is read for what was asked. */
  | { readonly _tag: "Read" }
  | { readonly _tag: "Answer" }
  | { readonly _tag: "Break" | "Restore" | "Restart" }
  | { readonly _tag: "Forget"; readonly count: number }
  /** So many at once that they cannot all be held. */
  | { readonly _tag: "Flood" }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ _tag: fc.constant("Append" as const), to: fc.constantFrom("topic", "other") }) },
  {
    weight: 12,
    arbitrary: fc.record({ _tag: fc.constantFrom("Arrive" as const, "Arrive", "Repeat", "Drop"), which: fc.nat(3) })
  },
  { weight: 5, arbitrary: fc.record({ _tag: fc.constantFrom("Read" as const, "Answer" as const) }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constantFrom("Break" as const, "Restore", "Restore", "Restart") }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Forget" as const), count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Flood" as const) }) }
) as fc.Arbitrary<Step>

interface Entry {
  readonly position: Position
  readonly previous: number
}

const keyOf = ({ epoch, offset }: Position) => `${epoch}:${offset}`

/** A log, and everything that is on its way. */
class World {
  readonly budget = { left: 40_000 }
  readonly continuity = new Continuity<string>(this.budget)
  /** All that ever was in the topic. */
  readonly ever: Array<Position> = []
  readonly told: Array<Actions<string>[number]> = []
  private life = 0
  private offset = 0
  private last = 0
  private entries: Array<Entry> = []
  private forgotten = 0
  private under: Array<Entry> = []
  private asked: Position | undefined
  private read: Tail<string> | undefined
  private isBroken = false

  get position(): Position {
    return { epoch: `${this.life}`, offset: this.offset }
  }

  private act(actions: Actions<string>): void {
    for (const action of actions) {
      if (action._tag === "Ask") {
        expect(this.asked, "one question at a time").toBeUndefined()
        this.asked = action.after
        this.read = undefined
      } else this.told.push(action)
    }
    expect(this.continuity.held).toBeLessThanOrEqual(maxHeld)
    expect(this.budget.left).toBeGreaterThanOrEqual(0)
  }

  begin(): void {
    this.act(this.continuity.begin(this.position))
  }

  private append(): void {
    const position = { epoch: `${this.life}`, offset: ++this.offset }
    const entry = { position, previous: this.last }
    this.last = position.offset
    this.entries.push(entry)
    this.ever.push(position)
    this.under.push(entry)
  }

  private arrive(entry: Entry | undefined): void {
    if (entry === undefined || this.isBroken) return
    const came: Came<string> = { ...entry, value: keyOf(entry.position), bytes: 100 }
    this.act(this.continuity.came(came))
  }

  private look(): void {
    const { asked } = this
    if (asked === undefined) return
    const known = asked.epoch === `${this.life}` && asked.offset <= this.offset
    const after = known ? asked.offset : 0
    const entries = this.entries.filter(({ position }) => position.offset > after)
    this.read = {
      entries: entries.map(({ position }) => ({ offset: position.offset, value: keyOf(position) })),
      gap: !known || this.forgotten > after,
      to: this.position
    }
  }

  private answer(): void {
    const { read } = this
    if (read === undefined) return
    this.read = this.asked = undefined
    this.act(this.continuity.tail(read))
  }

  private restore(): void {
    if (!this.isBroken) return
    this.isBroken = false
    this.act(this.continuity.restored())
  }

  step(step: Step): void {
    const { under } = this
    if (step._tag === "Append") {
      if (step.to === "topic") this.append()
      else this.offset++
    } else if (step._tag === "Arrive") this.arrive(under.splice(step.which % Math.max(1, under.length), 1)[0])
    else if (step._tag === "Repeat") this.arrive(under[step.which % Math.max(1, under.length)])
    else if (step._tag === "Drop") under.splice(step.which % Math.max(1, under.length), 1)
    else if (step._tag === "Read") this.look()
    else if (step._tag === "Answer") this.answer()
    else if (step._tag === "Restore") this.restore()
    else if (step._tag === "Break") {
      this.isBroken = true
      this.under = []
      this.asked = this.read = undefined
      this.continuity.broken()
    } else if (step._tag === "Restart") {
      this.life++
      this.offset = this.last = this.forgotten = 0
      this.entries = []
    } else if (step._tag === "Forget") {
      for (let i = 0; i < step.count; i++) this.forgotten = this.entries.shift()?.position.offset ?? this.forgotten
    } else {
      for (let i = 0; i < maxHeld + 20; i++) this.append()
      for (const entry of this.under.splice(0)) this.arrive(entry)
    }
  }

  /** Nothing goes wrong any more, and something is published. */
  settle(): void {
    this.restore()
    this.append()
    for (const entry of this.under.splice(0)) this.arrive(entry)
    for (let i = 0; this.asked !== undefined; i++) {
      expect(i, "it comes to an end").toBeLessThan(20)
      this.look()
      this.answer()
    }
  }
}

const covers = ({ from, to }: { from: Position; to: Position }, { epoch, offset }: Position): boolean => {
  if (to.epoch === epoch) return offset <= to.offset && (from.epoch !== epoch || offset > from.offset)
  return from.epoch !== epoch || offset > from.offset
}

it("delivers each publication once, in order, or tells the gap in which it lies; and holds little", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.array(step, { maxLength: 80 }), (before, after) => {
      const world = new World()
      for (const each of before) if (each._tag !== "Break") world.step(each)
      const began = world.position
      world.begin()
      for (const each of after) world.step(each)
      world.settle()
      let at = began
      const delivered = new Set<string>()
      for (const told of world.told) {
        if (told._tag === "Lost") {
          expect(told.from.epoch).toBe(at.epoch)
          expect(told.from.offset).toBeGreaterThanOrEqual(at.offset)
          at = told.to
        } else if (told._tag === "Deliver") {
          expect(told.position.epoch).toBe(at.epoch)
          expect(told.position.offset).toBeGreaterThan(at.offset)
          expect(told.value).toBe(keyOf(told.position))
          at = told.position
          delivered.add(told.value)
        }
      }
      const lost = world.told.flatMap((told) => (told._tag === "Lost" ? [told] : []))
      for (const position of world.ever) {
        const wasBefore =
          position.epoch === began.epoch ? position.offset <= began.offset : position.epoch < began.epoch
        if (wasBefore) expect(delivered).not.toContain(keyOf(position))
        else if (!delivered.has(keyOf(position))) {
          expect(
            lost.some((gap) => covers(gap, position)),
            `${keyOf(position)} is lost and nobody is told`
          ).toBe(true)
        }
      }
      expect(world.continuity.isLive).toBe(true)
      expect(world.continuity.held).toBe(0)
      expect(world.budget.left).toBe(40_000)
      expect(delivered).toContain(keyOf(world.ever.at(-1)!))
    }),
    { numRuns: 500 }
  )
})
