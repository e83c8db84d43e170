/**
 * Who has the log, and tells all nodes of it.
 *
 * Nothing that it holds for a node is without bounds. While more than `outboxBytes` wait for one, the host reads from
 * nobody, so that nobody publishes faster than all can hear; a node that takes nothing at all for `patience` meanwhile
 * is cut. It finds out by its gap what it has missed, when it comes back.
 */
import type { Socket } from "node:net"
import type { Position } from "@millrace/core/cluster/Position"
import * as Result from "effect/Result"
import * as Log from "./Log.ts"
import { Pipe, Run } from "./Pipe.ts"
import * as Wire from "./Wire.ts"

/** Nothing of it is required. */
export interface Options extends Log.Options {
  /** Most bytes that wait for one node while others are still read. Default 4 MiB. */
  readonly outboxBytes?: number | undefined
  /** How many milliseconds a node that is behind may take nothing. Default 2 s. */
  readonly patience?: number | undefined
  /** Most bytes of a parcel. Default 16 MiB. */
  readonly maxParcelBytes?: number | undefined
}

export const defaults = { outboxBytes: 4_194_304, patience: 2_000, maxParcelBytes: 16_777_216 } satisfies Options

/** What goes to the same nodes is joined as far as this many bytes. */
const runBytes = 65_536

/** A node, as the host knows it. */
class Member {
  readonly topics = new Set<string>()
  readonly channels = new Set<string>()
  readonly pipe: Pipe
  private readonly host: Host

  constructor(host: Host, socket: Socket, maxPacketBytes: number) {
    this.host = host
    this.pipe = new Pipe(socket, maxPacketBytes, {
      packet: (bytes) => this.host.packet(this, bytes),
      drained: () => this.host.drained(this),
      ended: () => this.host.left(this)
    })
  }
}

const subscribe = (table: Map<string, Set<Member>>, name: string, member: Member): void => {
  const members = table.get(name)
  if (members === undefined) table.set(name, new Set([member]))
  else members.add(member)
}

const unsubscribe = (table: Map<string, Set<Member>>, name: string, member: Member): void => {
  const members = table.get(name)
  members?.delete(member)
  if (members?.size === 0) table.delete(name)
}

export class Host {
  private readonly log: Log.Log
  private readonly now: () => number
  private readonly outboxBytes: number
  private readonly patience: number
  private readonly maxParcelBytes: number
  private readonly members = new Set<Member>()
  private readonly listeners = new Map<string, Set<Member>>()
  private readonly hearers = new Map<string, Set<Member>>()
  private readonly behind = new Set<Member>()
  /** What goes to the same nodes, and has not been given to them yet. */
  private readonly run = new Run()
  private to: ReadonlySet<Member> | undefined

  /** `epoch` must never have been that of another one; `now` is in milliseconds. */
  constructor(epoch: string, now: () => number, options: Options = {}) {
    this.log = new Log.Log(epoch, options)
    this.now = now
    this.outboxBytes = options.outboxBytes ?? defaults.outboxBytes
    this.patience = options.patience ?? defaults.patience
    this.maxParcelBytes = options.maxParcelBytes ?? defaults.maxParcelBytes
  }

  get position(): Position {
    return this.log.position
  }

  /** How many nodes there are. */
  get size(): number {
    return this.members.size
  }

  /** How many topics and channels somebody listens to. */
  get names(): number {
    return this.listeners.size + this.hearers.size
  }

  /** Takes who has connected. */
  serve(socket: Socket): void {
    const member = new Member(this, socket, this.maxParcelBytes + Wire.maxOverhead)
    this.members.add(member)
    this.tell(member, { _tag: "Welcome", version: Wire.version, position: this.log.position })
    if (this.behind.size > 0) member.pipe.pause()
  }

  /** Cuts all of them. */
  end(cause: unknown): void {
    for (const { pipe } of this.members) pipe.end(cause)
  }

  packet(member: Member, bytes: Uint8Array): void {
    const packet = Wire.decodeFromNode(bytes)
    if (Result.isFailure(packet)) return member.pipe.end(new Error(`a packet cannot be read: ${packet.failure}`))
    this.answer(member, packet.success)
    this.look(member)
  }

  drained(member: Member): void {
    if (this.behind.has(member)) this.look(member)
  }

  left(member: Member): void {
    this.members.delete(member)
    for (const topic of member.topics) unsubscribe(this.listeners, topic, member)
    for (const channel of member.channels) unsubscribe(this.hearers, channel, member)
    this.caughtUp(member)
  }

  private answer(member: Member, packet: Wire.FromNode): void {
    switch (packet._tag) {
      case "Append": {
        const { id, key, topic } = packet
        if (packet.bytes.length > this.maxParcelBytes) {
          return this.tell(member, { _tag: "Refused", id, reason: "TooLarge", words: `${this.maxParcelBytes}` })
        }
        const appended = this.log.append(topic, packet.bytes, key, this.now())
        if (appended._tag === "Stale") {
          return this.tell(member, { _tag: "Refused", id, reason: "StaleKey", words: "" })
        }
        const { offset } = appended
        if (appended._tag === "New") {
          const listeners = this.listeners.get(topic)
          const { bytes, previous } = appended
          if (listeners !== undefined) {
            this.tellAll(listeners, { _tag: "Delivered", offset, previous, topic, bytes })
          }
        }
        return this.tell(member, { _tag: "Appended", id, repeated: appended._tag === "Repeat", offset })
      }
      case "Since": {
        const { after, id, topic } = packet
        const { entries, gap } = this.log.since(topic, after, this.now())
        for (const { offset, value } of entries) this.tell(member, { _tag: "Entry", id, offset, bytes: value })
        return this.tell(member, { _tag: "Tail", id, gap, offset: this.log.position.offset })
      }
      case "Position":
        return this.tell(member, { _tag: "Positioned", id: packet.id, offset: this.log.position.offset })
      case "Listen":
        this.seal()
        for (const topic of packet.names) {
          member.topics.add(topic)
          subscribe(this.listeners, topic, member)
        }
        return this.tell(member, { _tag: "Done", id: packet.id })
      case "Unlisten":
        this.seal()
        for (const topic of packet.names) {
          member.topics.delete(topic)
          unsubscribe(this.listeners, topic, member)
        }
        return
      case "Cast": {
        const { bytes, channel, id } = packet
        const hearers = this.hearers.get(channel)
        if (hearers !== undefined) this.tellAll(hearers, { _tag: "Heard", channel, bytes })
        return this.tell(member, { _tag: "Done", id })
      }
      case "Hear":
        this.seal()
        for (const channel of packet.names) {
          member.channels.add(channel)
          subscribe(this.hearers, channel, member)
        }
        return this.tell(member, { _tag: "Done", id: packet.id })
      case "Unhear":
        this.seal()
        for (const channel of packet.names) {
          member.channels.delete(channel)
          unsubscribe(this.hearers, channel, member)
        }
    }
  }

  private tell(member: Member, packet: Wire.FromHost): void {
    member.pipe.send(packet)
  }

  /** Encoded once, and joined with what goes to the same nodes in the same turn. */
  private tellAll(to: ReadonlySet<Member>, packet: Wire.FromHost): void {
    if (this.to !== to) {
      if (this.to === undefined) setImmediate(() => this.seal())
      this.seal()
      this.to = to
    }
    this.run.push(packet)
    if (this.run.length >= runBytes) this.seal()
  }

  /** Gives what was joined to the nodes that it is for. */
  private seal(): void {
    const { to } = this
    if (to === undefined) return
    this.to = undefined
    const frames = this.run.take()
    for (const member of to) {
      member.pipe.sendRun(frames)
      this.look(member)
    }
  }

  /** Whether a node is behind. */
  private look(member: Member): void {
    if (member.pipe.waiting <= this.outboxBytes) return this.caughtUp(member)
    if (this.behind.has(member)) return
    this.behind.add(member)
    member.pipe.limitStalls(this.patience)
    if (this.behind.size === 1) for (const { pipe } of this.members) pipe.pause()
  }

  private caughtUp(member: Member): void {
    if (!this.behind.delete(member)) return
    member.pipe.limitStalls(0)
    if (this.behind.size > 0) return
    for (const { pipe } of this.members) {
      if (this.behind.size === 0) pipe.resume()
    }
  }
}
