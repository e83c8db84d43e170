/**
 * The accounts of a soak: what was published and where its place is, what each client was told of each topic, and what
 * follows from the two. Everything that has its place between where a client began and where it ended was delivered to
 * it once, in order, or lies inside a gap that it was told of. Pure.
 */
import type { Position } from "@millrace/core/cluster/Position"

/** What a client is told of one topic, in its order. */
export type Heard =
  /** `position` is `undefined` for what was said on its node while the broker was away. */
  | { readonly _tag: "Message"; readonly number: number; readonly position: Position | undefined }
  /** `undefined` where that was not told. */
  | { readonly _tag: "Gap"; readonly from: Position | undefined; readonly to: Position | undefined }
  /** It has come back, to this node or to another. */
  | { readonly _tag: "Returned" }

/** One topic of one client. */
export interface Account {
  readonly client: string
  readonly topic: string
  /** Behind which it is to be told everything. */
  begin: Position | undefined
  readonly heard: Array<Heard>
}

interface Sent {
  readonly topic: string
  position: Position | undefined
}

/** What is wrong: one publication, one client. */
export interface Fault {
  readonly _tag: "Lost" | "Twice" | "Disordered" | "Unknown"
  readonly client: string
  readonly topic: string
  readonly number: number
  readonly position: Position | undefined
  /** What the client heard around it. */
  readonly around: ReadonlyArray<Heard>
}

export interface Balance {
  /** That were told, with their place or without. */
  deliveries: number
  /** To be told, and told. */
  delivered: number
  /** To be told, and not told, but inside a gap that was. */
  inGaps: number
  gaps: number
  returns: number
  /** Told without a place, as the broker was away. */
  unplaced: number
  /** Told without a place, and with it when the client had gone to where nobody knew that. */
  unplacedAndAgain: number
  /** Told in two epochs: published again when the broker had forgotten that it was there. */
  inTwoEpochs: number
  readonly faults: Array<Fault>
}

export const nothing = (): Balance => ({
  deliveries: 0,
  delivered: 0,
  inGaps: 0,
  gaps: 0,
  returns: 0,
  unplaced: 0,
  unplacedAndAgain: 0,
  inTwoEpochs: 0,
  faults: []
})

/** How much of what a client heard is shown around a fault. */
const shown = 4

export class Ledger {
  private readonly sent: Array<Sent> = []
  /** In the order in which they were seen first. */
  private readonly epochs: Array<string> = []

  get published(): number {
    return this.sent.length
  }

  get acknowledged(): number {
    return this.sent.reduce((sum, { position }) => sum + (position === undefined ? 0 : 1), 0)
  }

  get epochsSeen(): number {
    return this.epochs.length
  }

  /** The number of a publication that is about to be made. */
  begin(topic: string): number {
    return this.sent.push({ topic, position: undefined }) - 1
  }

  /** It is in the log. */
  acknowledge(number: number, position: Position): void {
    this.see(position)
    this.sent[number]!.position = position
  }

  /** Whoever is told of positions says so in the order of time, as epochs have no other. */
  see({ epoch }: Position): void {
    if (this.epochs.at(-1) !== epoch && !this.epochs.includes(epoch)) this.epochs.push(epoch)
  }

  /** Whether `a` is behind `b`, or at it. */
  private reaches(a: Position, b: Position): boolean {
    if (a.epoch === b.epoch) return a.offset >= b.offset
    return this.epochs.indexOf(a.epoch) > this.epochs.indexOf(b.epoch)
  }

  private covers({ from, to }: Extract<Heard, { readonly _tag: "Gap" }>, position: Position): boolean {
    return (from === undefined || !this.reaches(from, position)) && (to === undefined || this.reaches(to, position))
  }

  /** Whether the client was told of a publication, or of a gap around it. */
  reached(account: Account, number: number): boolean {
    const position = this.sent[number]?.position
    return account.heard.some((heard) => {
      if (heard._tag === "Message") return heard.number === number
      return heard._tag === "Gap" && position !== undefined && this.covers(heard, position)
    })
  }

  /** Adds one account to the balance; its end is the place of the publication with that number. */
  settle(balance: Balance, account: Account, last: number): void {
    const { begin, client, heard, topic } = account
    const end = this.sent[last]?.position
    const tell = (tag: Fault["_tag"], number: number, position: Position | undefined, at: number) =>
      balance.faults.push({
        _tag: tag,
        client,
        topic,
        number,
        position,
        around: heard.slice(Math.max(0, at - shown), at + shown)
      })

    const told = new Map<number, Array<{ readonly position: Position | undefined; readonly returns: number }>>()
    const gaps: Array<Extract<Heard, { readonly _tag: "Gap" }>> = []
    let returns = 0
    let latest: Position | undefined
    let open: { readonly from: Position | undefined } | undefined
    for (const [at, item] of heard.entries()) {
      if (item._tag === "Returned") {
        returns++
        continue
      }
      if (item._tag === "Gap") {
        balance.gaps++
        // What was not told of it is what the client knows: behind what it had, before what it hears next.
        const from = item.from ?? latest ?? begin
        if (item.to !== undefined) gaps.push({ _tag: "Gap", from, to: item.to })
        else open = { from }
        continue
      }
      const { number, position } = item
      balance.deliveries++
      if (position === undefined) balance.unplaced++
      if (this.sent[number]?.topic !== topic) tell("Unknown", number, position, at)
      const before = told.get(number)
      if (before === undefined) told.set(number, [{ position, returns }])
      else {
        const inOtherEpochs = before.every(
          (one) => one.position !== undefined && position !== undefined && one.position.epoch !== position.epoch
        )
        const unplaced = before.every((one) => one.position === undefined && one.returns < returns)
        if (inOtherEpochs) balance.inTwoEpochs++
        else if (unplaced) balance.unplacedAndAgain++
        else tell("Twice", number, position, at)
        before.push({ position, returns })
        if (!inOtherEpochs && !unplaced) continue
      }
      if (position === undefined) continue
      if (open !== undefined) {
        gaps.push({ _tag: "Gap", from: open.from, to: { epoch: position.epoch, offset: position.offset - 1 } })
        open = undefined
      }
      if (latest !== undefined && this.reaches(latest, position)) tell("Disordered", number, position, at)
      else latest = position
    }
    if (open !== undefined) gaps.push({ _tag: "Gap", from: open.from, to: undefined })
    balance.returns += returns

    for (const [number, { position, topic: its }] of this.sent.entries()) {
      if (its !== topic || position === undefined || begin === undefined || end === undefined) continue
      if (this.reaches(begin, position) || !this.reaches(end, position)) continue
      if (told.has(number)) balance.delivered++
      else if (gaps.some((gap) => this.covers(gap, position))) balance.inGaps++
      else {
        const next = heard.findIndex(
          (item) => item._tag === "Message" && item.position !== undefined && this.reaches(item.position, position)
        )
        tell("Lost", number, position, next === -1 ? heard.length : next)
      }
    }
  }
}
