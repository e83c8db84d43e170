/**
 * What comes while a client waits for what it has missed: old and new, in any order, and some of it twice. It is kept
 * until the server says that this is all, and then given in the order of its streams. Pure but for what it holds.
 */
import type * as Packet from "./Packet.ts"

/** What came, and how long its text was. */
export interface Gathered {
  readonly message: Packet.Message
  readonly length: number
}

/** Most that is kept, as a number of messages. A server of AnyCable's keeps 100 for each stream. */
export const maxGathered = 16_384

export class CatchUp {
  /** When it was asked for, in milliseconds. */
  readonly since: number
  private readonly maxLength: number
  private gathered: Array<Gathered> = []
  private length = 0

  constructor(since: number, maxLength: number) {
    this.since = since
    this.maxLength = maxLength
  }

  /** `false` when there is no room for more: it must be given up. */
  add(message: Packet.Message, length: number): boolean {
    this.gathered.push({ message, length })
    this.length += length
    return this.gathered.length < maxGathered && this.length < this.maxLength
  }

  /** All of it. Each stream is in its own order, in the places where something of it came. */
  get inOrder(): ReadonlyArray<Gathered> {
    const streams = new Map<string, Array<Gathered>>()
    const nameOf = ({ message: { position } }: Gathered) =>
      position === undefined ? undefined : `${position.epoch} ${position.stream}`
    for (const one of this.gathered) {
      const name = nameOf(one)
      if (name === undefined) continue
      const others = streams.get(name)
      if (others === undefined) streams.set(name, [one])
      else others.push(one)
    }
    const offset = ({ message }: Gathered) => message.position?.offset ?? 0
    for (const all of streams.values()) all.sort((one, other) => offset(other) - offset(one))
    return this.gathered.map((one) => {
      const name = nameOf(one)
      return name === undefined ? one : streams.get(name)!.pop()!
    })
  }
}
