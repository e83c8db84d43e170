/**
 * What is told of many topics, in the order of their log: while it is not known what one of them has missed, what comes
 * of the others behind that waits. So a position is one for all topics, and a client that is cut off in the middle of
 * them has not passed over anything.
 *
 * That holds for what a server tells in order on a link, and for what is filled in when a link is new. A publication that
 * a server loses on a link that goes on is noticed with the next of its topic; what was told of other topics meanwhile
 * was told. When more waits than may, it goes on without it.
 *
 * What waits when a link breaks waits for the next one: what was missed may be before it. So on a link that loses all
 * the time nothing might be told for long, but what is over the bound; an engine ends such a link.
 */
import type { Position } from "./Position.ts"

interface Late {
  readonly log: number
  readonly position: Position
  readonly tell: () => void
}

export class EngineOrder<T> {
  private readonly maxBytes: number
  private readonly unsettled = new Set<T>()
  private late: Array<Late> = []
  private bytes = 0
  /** Of which log what is offered is: how many there were before it. */
  private log = 0
  private epoch: string | undefined

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** How many publications and gaps wait. */
  get size(): number {
    return this.late.length
  }

  /** Whether what is offered is told at once. */
  get isOpen(): boolean {
    return this.unsettled.size === 0
  }

  /** It is not known any more what the topic has missed. */
  hold(topic: T): void {
    this.unsettled.add(topic)
  }

  /** It is, or nobody wants it any more. */
  settle(topic: T): void {
    if (this.unsettled.delete(topic) && this.unsettled.size === 0) this.flush()
  }

  /** What is offered from now on is of another log than before, whatever its positions are called. */
  begin(): void {
    this.log++
  }

  /** Something up to this position is to be told. */
  offer(position: Position, bytes: number, tell: () => void): void {
    if (this.unsettled.size === 0) return tell()
    if (position.epoch !== this.epoch) this.begin()
    this.epoch = position.epoch
    this.late.push({ log: this.log, position, tell })
    this.bytes += bytes
    if (this.bytes > this.maxBytes) this.flush()
  }

  /** Of one log by its offsets, and what has the same as it came. */
  private flush(): void {
    const { late } = this
    this.late = []
    this.bytes = 0
    late.sort((one, other) => one.log - other.log || one.position.offset - other.position.offset)
    for (const { tell } of late) tell()
  }
}
