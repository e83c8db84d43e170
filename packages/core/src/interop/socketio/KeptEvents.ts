/**
 * What was said to one client and to nobody else, kept for when its connection is recovered: what was published is in the
 * log of the hub, and this is not. Pure but for what it holds.
 *
 * Where a client is, it says by the last position that it has seen: that of a publication, or of an event that is kept
 * here, which is that of the publication before it and `~` and its number.
 */
import * as Position from "../../cluster/Position.ts"
import type { Wire } from "./SocketWire.ts"

export interface KeptEvent {
  /** Of the publication before it. */
  readonly at: Position.Position
  /** Counted from 1. */
  readonly number: number
  readonly wire: Wire
}

/** Where a client is. */
export interface Place {
  readonly at: Position.Position
  /** Of the last kept event; `undefined` where a publication came after it. */
  readonly number: number | undefined
}

export const print = (at: Position.Position, number: number): string => `${Position.print(at)}~${number}`

/** `undefined` for what nobody has told a client. Clients can say anything. */
export const parse = (text: string): Place | undefined => {
  const tilde = text.lastIndexOf("~")
  const digits = tilde === -1 ? "" : text.slice(tilde + 1)
  const isNumber = /^[1-9]\d{0,14}$/.test(digits)
  const at = Position.parse(isNumber ? text.slice(0, tilde) : text)
  return at === undefined ? undefined : { at, number: isNumber ? Number(digits) : undefined }
}

/** Most events of one client, and most bytes of them, about. The oldest are forgotten. */
export const maxEvents = 256
export const maxBytes = 262_144

const lengthOf = ({ messages }: Wire): number => messages.reduce((sum, { length }) => sum + length, 0)

export class KeptEvents {
  private events: Array<KeptEvent> = []
  private bytes = 0
  private forgotten: KeptEvent | undefined
  private last = 0

  /** With some that were kept elsewhere, when so many had been. Those that are missing were seen. */
  static restore(events: ReadonlyArray<KeptEvent>, last: number): KeptEvents {
    const kept = new KeptEvents()
    for (const event of events) {
      kept.last = event.number - 1
      kept.add(event.at, event.wire)
    }
    kept.last = last
    return kept
  }

  /** The number of the next one. */
  get next(): number {
    return this.last + 1
  }

  add(at: Position.Position, wire: Wire): void {
    this.events.push({ at, number: ++this.last, wire })
    this.bytes += lengthOf(wire)
    while (this.events.length > maxEvents || this.bytes > maxBytes) {
      this.forgotten = this.events.shift()!
      this.bytes -= lengthOf(this.forgotten.wire)
    }
  }

  /** What a client that is there has not got, or one that knows of nothing; `undefined` where some of it is forgotten. */
  after(place: Place | undefined): ReadonlyArray<KeptEvent> | undefined {
    const isMissed = ({ at, number }: KeptEvent): boolean =>
      place === undefined || (place.number === undefined ? !Position.isBehind(place.at, at) : number > place.number)
    if (this.forgotten !== undefined && isMissed(this.forgotten)) return undefined
    return this.events.filter(isMissed)
  }
}
