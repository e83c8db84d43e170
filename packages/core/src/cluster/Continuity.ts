/**
 * What is told of one topic, put in order: each publication once, never one behind a newer one; a hole is noticed and
 * asked for, and what nobody has any more is told as a gap.
 *
 * Pure but for what it holds. Not in here: who asks, and who listens (`EngineTopics`).
 */
import type { Position } from "./Position.ts"

/** A publication, as it came. */
export interface Came<out A> {
  readonly position: Position
  /** The offset of the one before it in the topic: 0 for none, `undefined` when there was none for very long. */
  readonly previous: number | undefined
  readonly value: A
  /** What it takes to hold it. */
  readonly bytes: number
}

/** What was published behind a position that was asked about. */
export interface Tail<out A> {
  /** In order, all of the epoch of `to`: all that there is behind the position, up to `to`. */
  readonly entries: ReadonlyArray<{ readonly offset: number; readonly value: A }>
  /** Something behind the position is not there any more, or may have been. */
  readonly gap: boolean
  /** The log's position when it was read. */
  readonly to: Position
}

/** To be done, in the order in which they are given. */
export type Action<A> =
  | { readonly _tag: "Deliver"; readonly position: Position; readonly value: A }
  /** What lies behind `from`, up to `to`, may be missing; all of it that is of another epoch than `to`. */
  | { readonly _tag: "Lost"; readonly from: Position; readonly to: Position }
  /** Ask what was published behind it. The answer goes to `tail`, or the link is lost: `broken`. */
  | { readonly _tag: "Ask"; readonly after: Position }

export type Actions<A> = ReadonlyArray<Action<A>>

const nothing: Actions<never> = []

/** How many publications of one topic are held while a hole is being filled. */
export const maxHeld = 256

/** What may be held, in bytes, by all topics together. */
export interface Budget {
  left: number
}

/** What comes while it is not known what was before it. */
interface Filling<A> {
  held: Array<Came<A>>
  /** How many of them came before it was asked: what is of another epoch than the answer is of an older one. */
  asked: number
  /** Some were let go, as they were too many: it has to be asked again. */
  overflowed: boolean
}

export class Continuity<A> {
  private readonly budget: Budget
  /** Everything up to it was delivered, or told as lost; `undefined` before `begin`. */
  private at: Position | undefined
  /** `undefined` when nothing is missing. */
  private filling: Filling<A> | undefined
  private isBroken = false

  /** It has begun to listen, and does not know yet where it is. */
  constructor(budget: Budget) {
    this.budget = budget
    this.filling = { held: [], asked: 0, overflowed: false }
  }

  /** Everything up to it was delivered, or told as lost; `undefined` before `begin`. */
  get position(): Position | undefined {
    return this.at
  }

  /** Whether everything that comes next is delivered as it comes. */
  get isLive(): boolean {
    return this.filling === undefined && !this.isBroken
  }

  /** How many publications are held. */
  get held(): number {
    return this.filling?.held.length ?? 0
  }

  /** It listened before the log was read at this position: what is behind it is delivered. */
  begin(position: Position): Actions<A> {
    if (this.at !== undefined || this.filling === undefined) return nothing
    this.at = position
    return this.goOn(this.filling, [])
  }

  /** A publication came, in whatever order, and maybe not for the first time. */
  came(came: Came<A>): Actions<A> {
    const { at, filling } = this
    // What came while nobody listened for sure is in the answer to what will be asked when somebody does.
    if (this.isBroken) return nothing
    if (filling !== undefined || at === undefined) return this.hold(filling!, came)
    const { position, previous } = came
    if (position.epoch === at.epoch) {
      if (position.offset <= at.offset) return nothing
      if (previous === undefined || previous <= at.offset) {
        this.at = position
        return [{ _tag: "Deliver", position, value: came.value }]
      }
    }
    const begun: Filling<A> = { held: [], asked: 0, overflowed: false }
    this.hold(begun, came)
    return this.ask(begun)
  }

  /** The answer to what was asked. */
  tail({ entries, gap, to }: Tail<A>): Actions<A> {
    const { at, filling } = this
    if (filling === undefined || at === undefined || this.isBroken) return nothing
    const actions: Array<Action<A>> = []
    // A log that went back has forgotten something, and gives the same offsets again.
    const isAnother = to.epoch !== at.epoch || to.offset < at.offset
    const first = entries[0]
    if (isAnother || gap) {
      const behind = first === undefined ? to : { epoch: to.epoch, offset: first.offset - 1 }
      actions.push({ _tag: "Lost", from: at, to: behind })
    }
    let offset = isAnother ? 0 : at.offset
    for (const entry of entries) {
      if (entry.offset <= offset) continue
      offset = entry.offset
      actions.push({ _tag: "Deliver", position: { epoch: to.epoch, offset }, value: entry.value })
    }
    this.at = offset > to.offset ? { epoch: to.epoch, offset } : to
    return this.goOn(filling, actions)
  }

  /** The link is gone. What was asked is not answered any more. */
  broken(): void {
    this.isBroken = true
    this.release()
    this.filling = undefined
  }

  /** It listens again, on another link. Only for who has begun. */
  restored(): Actions<A> {
    this.isBroken = false
    return this.ask({ held: [], asked: 0, overflowed: false })
  }

  /** Lets go of what it holds. */
  release(): void {
    if (this.filling === undefined) return
    for (const { bytes } of this.filling.held) this.budget.left += bytes
    this.filling.held = []
  }

  private ask(filling: Filling<A>): Actions<A> {
    filling.asked = filling.held.length
    filling.overflowed = false
    this.filling = filling
    return [{ _tag: "Ask", after: this.at! }]
  }

  private hold(filling: Filling<A>, came: Came<A>): Actions<A> {
    if (filling.held.length < maxHeld && came.bytes <= this.budget.left) {
      filling.held.push(came)
      this.budget.left -= came.bytes
      return nothing
    }
    for (const { bytes } of filling.held) this.budget.left += bytes
    filling.held = []
    filling.asked = 0
    filling.overflowed = true
    return nothing
  }

  /** Delivers what was held, as far as it follows on each other. */
  private goOn(filling: Filling<A>, actions: Array<Action<A>>): Actions<A> {
    const { asked, held, overflowed } = filling
    let at = this.at!
    const rest: Array<Came<A>> = []
    const following = held.filter((came, i) => {
      if (came.position.epoch === at.epoch) return true
      if (i >= asked) rest.push(came)
      else this.budget.left += came.bytes
      return false
    })
    following.sort((one, other) => one.position.offset - other.position.offset)
    let isHole = false
    for (const came of following) {
      const { position, previous, value } = came
      if (position.offset > at.offset) {
        isHole ||= previous === undefined ? overflowed : previous > at.offset
        if (isHole) {
          rest.push(came)
          continue
        }
        at = position
        actions.push({ _tag: "Deliver", position, value })
      }
      this.budget.left += came.bytes
    }
    this.at = at
    filling.held = rest
    if (rest.length > 0 || overflowed) actions.push(...this.ask(filling))
    else this.filling = undefined
    return actions
  }
}
