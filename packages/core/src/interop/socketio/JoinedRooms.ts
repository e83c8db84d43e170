/**
 * The rooms that a socket is in, by their topics. Most sockets are in very few: a table of two would be the largest thing
 * that an idle socket has.
 */
import type * as Position from "../../cluster/Position.ts"

export interface Joined {
  readonly topic: string
  /** Empty for the topic of all. */
  readonly name: string
  /** Where it was joined: nothing before is its. */
  at: Position.Position | undefined
  readonly since: Position.Position | undefined
}

/** Up to here they are looked through. */
const few = 8

/** In the order in which they were joined. What iterates over them is not disturbed by what comes and goes meanwhile. */
export class JoinedRooms {
  private rooms: ReadonlyArray<Joined> | Map<string, Joined> = []

  get(topic: string): Joined | undefined {
    const { rooms } = this
    return rooms instanceof Map ? rooms.get(topic) : rooms.find((room) => room.topic === topic)
  }

  has(topic: string): boolean {
    return this.get(topic) !== undefined
  }

  /** Puts it last, or in the place of the one with its topic. */
  add(room: Joined): void {
    const { rooms } = this
    if (rooms instanceof Map) {
      rooms.set(room.topic, room)
      return
    }
    const at = rooms.findIndex(({ topic }) => topic === room.topic)
    if (at !== -1) this.rooms = rooms.with(at, room)
    else if (rooms.length === few) this.rooms = new Map([...rooms, room].map((one) => [one.topic, one]))
    // Measured: what is spread has room for sixteen more.
    else this.rooms = rooms.concat(room)
  }

  /** Whether it was there. */
  delete(topic: string): boolean {
    const { rooms } = this
    if (rooms instanceof Map) return rooms.delete(topic)
    const others = rooms.filter((room) => room.topic !== topic)
    if (others.length === rooms.length) return false
    this.rooms = others
    return true
  }

  /** As they are now. */
  get all(): ReadonlyArray<Joined> {
    const { rooms } = this
    return rooms instanceof Map ? [...rooms.values()] : rooms
  }

  get topics(): Array<string> {
    return this.all.map(({ topic }) => topic)
  }
}
