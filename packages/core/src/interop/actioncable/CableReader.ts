/**
 * What waits to be taken of one subscription. Pure but for what it holds.
 *
 * Who does not take it holds up nobody: what has no room is not kept, and a `Gap` stands where it would have been.
 */
import type { CableClientError } from "./CableClientError.ts"
import type * as Packet from "./Packet.ts"

/** Something that was broadcast, or transmitted to this client alone. */
export interface Message {
  readonly _tag: "Message"
  /** Any value of JSON. */
  readonly data: unknown
  /** Where it stands in its stream, which a server of AnyCable's protocol says. */
  readonly position: Packet.Message["position"]
}

/** Something may be missing here, and cannot be had any more. */
export interface Gap {
  readonly _tag: "Gap"
  /** Nobody was there to hear it; the server does not have it any more; or there was no room for it here. */
  readonly why: "Disconnected" | "Forgotten" | "Overflow"
}

/** Somebody has come. AnyCable's protocol. */
export interface Joined extends Packet.Present {
  readonly _tag: "Joined"
}

/** Somebody has gone. AnyCable's protocol. */
export interface Left {
  readonly _tag: "Left"
  readonly id: string
}

export type Element = Gap | Joined | Left | Message

/** How many elements may wait, and how long the messages may be that they came in, in UTF-16 units. */
export interface Bounds {
  readonly capacity: number
  readonly capacityLength: number
}

export const defaults = { capacity: 1_024, capacityLength: 4_194_304 } as const satisfies Bounds

export class CableReader {
  readonly identifier: string
  /** Why it is over, to be told behind what waits. */
  end: CableClientError["reason"] | undefined
  /** Called when there is something to take, or it is over. */
  readonly waiters = new Set<() => void>()
  private readonly bounds: Bounds
  private elements: Array<Element> = []
  private length = 0
  private isMissing = false

  constructor(identifier: string, bounds: Bounds) {
    this.identifier = identifier
    this.bounds = bounds
  }

  get isEmpty(): boolean {
    return this.elements.length === 0
  }

  take(): ReadonlyArray<Element> {
    const { elements } = this
    this.elements = []
    this.length = 0
    return elements
  }

  /** There is always room for one. */
  put(element: Element, length: number): void {
    const { capacity, capacityLength } = this.bounds
    const isFull = this.elements.length >= capacity || this.length + length > capacityLength
    if (isFull && this.elements.length > 0) {
      if (!this.isMissing) this.elements.push({ _tag: "Gap", why: "Overflow" })
      this.isMissing = true
      return
    }
    this.isMissing = false
    this.elements.push(element)
    this.length += length
    this.wake()
  }

  fail(reason: CableClientError["reason"]): void {
    this.end ??= reason
    this.wake()
  }

  private wake(): void {
    for (const waiter of Array.from(this.waiters)) waiter()
  }
}
