/**
 * What a node says of itself on the channel of nodes: that it is there, or that it goes. Pure.
 */
import * as Cast from "./Cast.ts"

/** Everything the others know of a node. Who reads it may not trust the texts: they come from its configuration. */
export interface Node {
  /** Its broker's: random, of no other node and of no other start of the same program. */
  readonly id: string
  /** For people, and not unique: a worker's number, a host and port. 1 to 128 bytes. */
  readonly name: string
  /** Where clients reach it, if it says so. */
  readonly url: string | undefined
  /** Milliseconds since 1970, by its own clock. */
  readonly started: number
  /** How many it had when it said so last. */
  readonly connections: number
  readonly topics: number
  /** What parts of it say with each heartbeat: see `Nodes.carry`. */
  readonly carried: ReadonlyMap<string, string>
}

/** That it is there. */
export interface Beat {
  readonly _tag: "Beat"
  readonly node: Node
  /** Which life of the node's `Nodes` it is, and how many it has sent in it. */
  readonly life: number
  readonly beat: number
}

/** That it goes, and says nothing any more in this life. */
export interface Goodbye {
  readonly _tag: "Goodbye"
  readonly id: string
  readonly life: number
}

export type NodeMessage = Beat | Goodbye

export const maxIdBytes = 128
export const maxNameBytes = 128
export const maxUrlBytes = 2_048
/** Of what is carried: how much, and how long each name and text may be. */
export const maxCarried = 16
export const maxCarriedBytes = 128
/** Longest message, in bytes. What keeps to the bounds above is shorter, however it is escaped. */
export const maxBytes = 65_536

export const encode = (message: NodeMessage): Uint8Array => {
  if (message._tag === "Goodbye") return Cast.encode(["bye", message.id, message.life])
  const { beat, life, node } = message
  const { carried, connections, id, name, started, topics, url } = node
  return Cast.encode(["beat", id, life, beat, name, url ?? null, started, connections, topics, [...carried]])
}

/** `undefined` for what is none, or over a bound. */
export const decode = (bytes: Uint8Array): NodeMessage | undefined => {
  const value = Cast.decode(bytes, maxBytes)
  if (!Array.isArray(value)) return undefined
  const [kind, id, life, beat, name, url, started, connections, topics, pairs] = value as ReadonlyArray<unknown>
  if (!Cast.isText(id, maxIdBytes) || !Cast.isCount(life)) return undefined
  if (kind === "bye") return { _tag: "Goodbye", id, life }
  if (kind !== "beat" || !Cast.isCount(beat) || !Cast.isText(name, maxNameBytes)) return undefined
  if (url !== null && !Cast.isText(url, maxUrlBytes)) return undefined
  if (!Cast.isCount(started) || !Cast.isCount(connections) || !Cast.isCount(topics)) return undefined
  if (!Array.isArray(pairs) || pairs.length > maxCarried) return undefined
  const carried = new Map<string, string>()
  for (const pair of pairs as ReadonlyArray<unknown>) {
    if (!Array.isArray(pair)) return undefined
    const [key, text] = pair as ReadonlyArray<unknown>
    if (!Cast.isText(key, maxCarriedBytes) || !Cast.isText(text, maxCarriedBytes, 0)) return undefined
    carried.set(key, text)
  }
  return { _tag: "Beat", life, beat, node: { id, name, url: url ?? undefined, started, connections, topics, carried } }
}
