/**
 * One stream of one topic: what waits to be pulled, and where it is. So that several of them can share what the hub sends
 * for the topic, each takes what is behind its own position, once and in order, and passes over the rest.
 *
 * Pure but for what it holds. Not in here: when the hub is asked for what (`HubSubscriptions`).
 */
import type { HubClientError } from "./HubClientError.ts"
import type { Element, Message, Moved, PresenceElement } from "./HubElement.ts"
import type { JsonText } from "./JsonText.ts"
import * as Position from "./Position.ts"

/** How many elements may wait, and how much JSON text. */
export interface Bounds {
  readonly capacity: number
  readonly capacityLength: number
}

export const defaults = { capacity: 1_024, capacityLength: 4_194_304 } as const satisfies Bounds

export type State =
  /** The hub has yet to say that it is in. */
  | "Waiting"
  /** It gets what comes. */
  | "Live"
  /** It has no room, and has left: it comes back with its position. */
  | "Lagging"
  /** Nothing comes any more. */
  | "Over"

interface Item {
  readonly element: Element | PresenceElement
  readonly length: number
}

/** What an element takes that has no text of its own. */
const small = 64

export class HubReader {
  /** Another one after a move. */
  topic: string
  /** Behind what it was given last, or has to be. */
  at: Position.Position | undefined
  /** Behind what the program has dealt with. */
  done: Position.Position | undefined
  /** What others are to know of the client; `undefined` when it is not there for them. */
  readonly presence: JsonText | "" | undefined
  state: State = "Waiting"
  /** Why it is over, to be told behind what waits. */
  end: HubClientError["reason"] | undefined
  /** Called when there is something to take, or it is over. */
  waiter: (() => void) | undefined
  /** Whether it was live before. */
  hasBegun = false
  /** Something was not given to it that cannot be asked for again. */
  private hasMissed = false
  private readonly bounds: Bounds
  private items: Array<Item> = []
  private length = 0
  /** Of what was taken last. */
  private taken: Position.Position | undefined

  constructor(
    topic: string,
    position: Position.Position | undefined,
    presence: JsonText | "" | undefined,
    bounds: Bounds
  ) {
    this.topic = topic
    this.at = this.done = this.taken = position
    this.presence = presence
    this.bounds = bounds
  }

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  /** Who comes for more has dealt with what it has taken before. */
  comesForMore(): void {
    this.done = this.taken
  }

  /** What waits, `most` at most. */
  take(most: number): ReadonlyArray<Element | PresenceElement> {
    this.comesForMore()
    const items = this.items.splice(0, most)
    for (const { element, length } of items) {
      this.length -= length
      const position = reachedBy(element)
      if (position !== undefined && element.topic === this.topic) this.taken = position
    }
    const { capacity, capacityLength } = this.bounds
    if (this.state === "Lagging" && this.items.length <= capacity / 2 && this.length <= capacityLength / 2) {
      this.state = "Waiting"
    }
    return items.map(({ element }) => element)
  }

  /** The hub has it in. `start` is where what comes begins, for one that has no position of its own. */
  begin(start: Position.Position | undefined): void {
    const { topic } = this
    const isNew = !this.hasBegun
    this.state = "Live"
    this.hasBegun = true
    if (isNew) {
      this.at ??= start
      // There is always room for the first.
      return this.insist({ _tag: "Subscribed", topic, position: this.at })
    }
    const { hasMissed } = this
    this.hasMissed = false
    if (this.at === undefined) this.lose(undefined, start)
    else if (hasMissed) this.lose(this.at, undefined)
  }

  /** The subscription is gone, with its connection or by an answer. */
  suspend(): void {
    if (this.state === "Live") this.state = "Waiting"
  }

  message(message: Message, length: number): void {
    const { position } = message
    if (this.state !== "Live") {
      if (position === undefined && this.hasBegun) this.hasMissed = true
      return
    }
    if (position === undefined) {
      if (!this.put(message, length)) this.hasMissed = true
      return
    }
    if (this.at !== undefined && !Position.isBehind(position, this.at)) return
    // Of another log, and nobody has said so.
    if (this.at !== undefined && this.at.epoch !== position.epoch) {
      this.lose(this.at, { epoch: position.epoch, offset: position.offset - 1 })
    }
    if (this.put(message, length)) this.at = position
  }

  gap(from: Position.Position | undefined, to: Position.Position | undefined): void {
    if (this.state !== "Live") {
      // With a place it is told again, to who comes back with one before it.
      if (to === undefined && this.hasBegun) this.hasMissed = true
      return
    }
    const { at } = this
    if (at === undefined || to === undefined) return this.lose(from ?? at, to)
    // A log that has lost its end gives the same offsets again.
    const hasGoneBack = from !== undefined && from.epoch === to.epoch && from.offset > to.offset
    if (!Position.isBehind(to, at) && !hasGoneBack) return
    this.lose(from !== undefined && from.epoch === at.epoch && from.offset > at.offset ? from : at, to)
  }

  advance(position: Position.Position): void {
    if (this.state !== "Live" || (this.at !== undefined && !Position.isBehind(position, this.at))) return
    if (this.put({ _tag: "Advanced", topic: this.topic, position }, small)) this.at = position
  }

  /** What is told of who is there. It is told anew to who comes back. */
  change(element: PresenceElement, length: number): void {
    if (this.state === "Live" && this.presence !== undefined) this.put(element, length)
  }

  /** It is in another topic from here on. What it had yet to get of the one before it does not get. */
  move(moved: Moved): void {
    if (this.state !== "Live") this.insist({ _tag: "Gap", topic: moved.from, from: this.at, to: undefined })
    this.insist(moved)
    this.topic = moved.topic
    this.at = moved.position
    this.hasMissed = false
  }

  fail(reason: HubClientError["reason"] | undefined): void {
    this.state = "Over"
    this.end = reason
  }

  private lose(from: Position.Position | undefined, to: Position.Position | undefined): void {
    const isTold = this.put({ _tag: "Gap", topic: this.topic, from, to }, small)
    if (isTold && to !== undefined) this.at = to
    if (!isTold && (to === undefined || this.at === undefined)) this.hasMissed = true
  }

  private insist(element: Element): void {
    this.items.push({ element, length: small })
    this.length += small
  }

  /** `false` when there is no room. */
  private put(element: Element | PresenceElement, length: number): boolean {
    if (this.state === "Lagging") return false
    const { capacity, capacityLength } = this.bounds
    const isFull = this.items.length >= capacity || this.length + length > capacityLength
    if (isFull && this.items.length > 0) {
      this.state = "Lagging"
      return false
    }
    this.items.push({ element, length })
    this.length += length
    return true
  }
}

/** Where a reader is who has an element. */
const reachedBy = (element: Element | PresenceElement): Position.Position | undefined => {
  switch (element._tag) {
    case "Advanced":
    case "Message":
    case "Moved":
    case "Subscribed":
      return element.position
    case "Gap":
      return element.to
    default:
      return undefined
  }
}
