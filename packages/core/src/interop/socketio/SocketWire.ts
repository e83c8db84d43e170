/**
 * Events of Socket.IO and publications of the hub: what one is as the other. Pure.
 *
 * An event is published as the array that Socket.IO has of it, `["said","hi"]`, so that all other wires get that; one with
 * bytes in it as a message of `JsonCodec`. What is published as an array that begins with the name of an event is that
 * event, and anything else is the event `message` with one argument.
 */
import * as Result from "effect/Result"
import type { Encoding, Publication } from "../../cluster/Publication.ts"
import * as Prepared from "../../connection/Prepared.ts"
import * as JsonCodec from "../../messaging/JsonCodec.ts"
import * as Message from "../../protocol/Message.ts"
import * as Content from "../Content.ts"
import * as Value from "../Value.ts"
import * as EnginePacket from "../engineio/Packet.ts"
import * as Packet from "./Packet.ts"

/** A packet as it goes over any session. Made by `encode`. */
export class Wire {
  /** For those that poll. */
  readonly messages: ReadonlyArray<string | Uint8Array>
  private prepared: ReadonlyArray<Prepared.Prepared> | undefined

  constructor(messages: ReadonlyArray<string | Uint8Array>) {
    this.messages = messages
  }

  /** For WebSockets: the same for all that it goes to, made for the first. */
  get frames(): ReadonlyArray<Prepared.Prepared> {
    return (this.prepared ??= this.messages.map((data) => Prepared.make(EnginePacket.encodeMessage(data))))
  }
}

const wireOf = (text: string, attachments: ReadonlyArray<Uint8Array>): Wire =>
  new Wire(attachments.length === 0 ? [text] : [text, ...attachments])

export const encode = (packet: Packet.Packet, options?: Packet.Options): Result.Result<Wire, Packet.UnsendablePacket> =>
  Result.map(Packet.encode(packet, options), ({ attachments, text }) => wireOf(text, attachments))

/**
 * What is published for an event, as `Value.toPublish` has it. Fails also for what Socket.IO has no form for, or no room.
 */
export const toPublish = (
  name: string,
  args: ReadonlyArray<unknown>,
  said: Value.By,
  options?: Packet.Options
): Result.Result<Message.Sendable, Packet.UnsendablePacket> =>
  Result.flatMap(
    Packet.encode({ _tag: "Event", namespace: "/", query: undefined, id: undefined, name, args }, options),
    () =>
      Result.mapError(
        Value.toPublish([name, ...args], said),
        ({ message }) => new Packet.UnsendablePacket({ detail: message })
      )
  )

const isEvent = (value: unknown): value is readonly [name: string, ...args: ReadonlyArray<unknown>] =>
  Array.isArray(value) && typeof value[0] === "string" && !Packet.isReserved(value[0])

/** The event as the JSON of an array; or, where bytes are in it, as a name and arguments. */
type Said = string | { readonly name: string; readonly args: ReadonlyArray<unknown> }

const saidOf = (content: Content.Content): Said => {
  if (content._tag === "Json") {
    return isEvent(JSON.parse(content.data)) ? content.data : `["message",${content.data}]`
  }
  const { bytes } = content
  const value = Result.getOrUndefined(JsonCodec.json.decode(new Message.Binary(bytes)))
  if (!isEvent(value)) return { name: "message", args: [bytes] }
  const [name, ...args] = value
  return { name, args }
}

/** The same for the clients of all namespaces. Never `undefined`. */
const said: Encoding<Said> = { encode: (publication) => saidOf(Content.of(publication)) }

/**
 * Publications for the clients that have said this name and query. `recovers`: each event has one more argument, the
 * position by which it is found again, or `null` where it has none: a client takes any text for one that stands last.
 */
export const encoding = (
  address: { readonly namespace: string; readonly query: string | undefined },
  recovers: boolean,
  options?: Packet.Options
): Encoding<Wire> => {
  // A packet of nothing but a type and where it goes.
  const prefix = Result.getOrThrow(Packet.encode({ _tag: "Disconnect", ...address }, options)).text.slice(1)
  return {
    encode: (publication: Publication): Wire | undefined => {
      const event = publication.encodedBy(said)!
      const more = recovers ? [publication.position ?? null] : []
      if (typeof event === "string") {
        const json = recovers ? `${event.slice(0, -1)},${JSON.stringify(more[0])}]` : event
        return wireOf(`2${prefix}${json}`, [])
      }
      const { args, name } = event
      const packet = { _tag: "Event", ...address, id: undefined, name, args: [...args, ...more] } as const
      return Result.getOrUndefined(encode(packet, options))
    }
  }
}

interface Shared {
  readonly encoding: Encoding<Wire>
  users: number
}

/** Encodings by what clients have said: those of many are the same. */
export class Encodings {
  private readonly recovers: boolean
  private readonly options: Packet.Options
  private readonly shared = new Map<string, Shared>()

  constructor(recovers: boolean, options: Packet.Options) {
    this.recovers = recovers
    this.options = options
  }

  get size(): number {
    return this.shared.size
  }

  /** Of as many who share it as have not released it. */
  use(namespace: string, query: string | undefined): Encoding<Wire> {
    const key = query === undefined ? namespace : `${namespace}?${query}`
    let known = this.shared.get(key)
    if (known === undefined) {
      known = { encoding: encoding({ namespace, query }, this.recovers, this.options), users: 0 }
      this.shared.set(key, known)
    }
    known.users++
    return known.encoding
  }

  release(namespace: string, query: string | undefined): void {
    const key = query === undefined ? namespace : `${namespace}?${query}`
    const known = this.shared.get(key)
    if (known !== undefined && --known.users === 0) this.shared.delete(key)
  }
}
