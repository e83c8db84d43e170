/**
 * What the hub says to a client, read as docs/protocol.md wants it read: what is not known is passed over, and so is what
 * cannot be, as from something that is no hub. Pure.
 */
import type { Advanced, Change, Message, Moved, Present, User } from "./HubElement.ts"
import { maxPositionLength } from "./HubName.ts"
import * as Position from "./Position.ts"

/** The answer to a publication. */
export interface Receipt {
  /** Connections of that node that it was handed to. */
  readonly receivers: number
  readonly position: Position.Position | undefined
  /** It had been published before, by an attempt whose answer was lost. */
  readonly repeated: boolean
}

export type Heard =
  | {
      readonly _tag: "Welcome"
      readonly client: string
      readonly protocol: unknown
      readonly nodes: ReadonlyArray<string>
    }
  | ({ readonly _tag: "Subscribed"; readonly topic: string; readonly position: Position.Position | undefined } & Answer)
  | ({ readonly _tag: "Unsubscribed"; readonly topic: string } & Answer)
  | { readonly _tag: "Kicked"; readonly topic: string; readonly detail: string }
  | ({ readonly _tag: "Published"; readonly receipt: Receipt } & Answer)
  | {
      readonly _tag: "Gap"
      readonly topics: ReadonlyArray<string>
      readonly from: Position.Position | undefined
      readonly to: Position.Position | undefined
    }
  | ({ readonly _tag: "Here"; readonly present: Present } & Answer)
  | ({ readonly _tag: "Pong" } & Answer)
  | ({ readonly _tag: "Error"; readonly code: string; readonly detail: string } & Answer)
  | Advanced
  | Change
  | Message
  | Moved

interface Answer {
  /** Of what was said: a client of ours uses integers. */
  readonly id: number | undefined
}

type Fields = { readonly [name: string]: unknown }

const isText = (value: unknown): value is string => typeof value === "string"
const isNumber = (value: unknown): value is number => typeof value === "number"

const positionOf = (value: unknown): Position.Position | undefined =>
  isText(value) && value.length <= maxPositionLength ? Position.parse(value) : undefined

const idOf = ({ id }: Fields): number | undefined => (isNumber(id) ? id : undefined)

const userOf = (value: unknown): User | undefined => {
  const { connections, info, since, user } = Object(value) as Fields
  return isText(user) && isNumber(connections) && isNumber(since)
    ? { user, info: info ?? null, connections, since }
    : undefined
}

const presentOf = (topic: string, { count, users }: Fields): Present | undefined => {
  const counted = Object(count) as Fields
  if (!Array.isArray(users) || !isNumber(counted["users"]) || !isNumber(counted["connections"])) return undefined
  const read = users.map(userOf)
  if (read.includes(undefined)) return undefined
  return {
    _tag: "Present",
    topic,
    users: read as ReadonlyArray<User>,
    count: { users: counted["users"], connections: counted["connections"] }
  }
}

const changes = { joined: "Joined", updated: "Updated", left: "Left" } as const

/** What is said of one topic. */
const decodeTopic = (fields: Fields, topic: string): Heard | undefined => {
  const id = idOf(fields)
  const { type } = fields
  switch (type) {
    case "message": {
      const { from, time } = fields
      if (!isText(from) || !isNumber(time) || !Object.hasOwn(fields, "data")) return undefined
      return { _tag: "Message", topic, data: fields["data"], from, time, position: positionOf(fields["position"]) }
    }
    case "subscribed":
      return { _tag: "Subscribed", topic, position: positionOf(fields["position"]), id }
    case "unsubscribed": {
      const { message } = fields
      // Of the one that was asked for, or nobody has asked.
      if (id !== undefined) return { _tag: "Unsubscribed", topic, id }
      return { _tag: "Kicked", topic, detail: isText(message) ? message : "" }
    }
    case "published": {
      const { receivers, repeated } = fields
      if (!isNumber(receivers)) return undefined
      const receipt = { receivers, position: positionOf(fields["position"]), repeated: repeated === true }
      return { _tag: "Published", receipt, id }
    }
    case "position": {
      const position = positionOf(fields["position"])
      return position && { _tag: "Advanced", topic, position }
    }
    case "present": {
      const present = presentOf(topic, fields)
      return present && { _tag: "Here", present, id }
    }
    case "joined":
    case "updated":
    case "left": {
      const user = userOf(fields)
      return user && { _tag: changes[type], topic, user }
    }
    default:
      return undefined
  }
}

/** Total: `undefined` for what a client of protocol 1 has to pass over. */
export const decode = (text: string): Heard | undefined => {
  let fields: Fields
  try {
    fields = Object(JSON.parse(text)) as Fields
  } catch {
    return undefined
  }
  const { topic } = fields
  switch (fields["type"]) {
    case "welcome": {
      const { client, nodes, protocol } = fields
      if (!isText(client)) return undefined
      return { _tag: "Welcome", client, protocol, nodes: Array.isArray(nodes) ? nodes.filter(isText) : [] }
    }
    case "gap": {
      const { topics } = fields
      if (!Array.isArray(topics)) return undefined
      return {
        _tag: "Gap",
        topics: topics.filter(isText),
        from: positionOf(fields["from"]),
        to: positionOf(fields["to"])
      }
    }
    case "moved": {
      const { from, to } = fields
      if (!isText(from) || !isText(to)) return undefined
      return { _tag: "Moved", topic: to, from, position: positionOf(fields["position"]) }
    }
    case "pong":
      return { _tag: "Pong", id: idOf(fields) }
    case "error": {
      const { code, message } = fields
      if (!isText(code)) return undefined
      return { _tag: "Error", code, detail: isText(message) ? message : "", id: idOf(fields) }
    }
    default:
      return isText(topic) ? decodeTopic(fields, topic) : undefined
  }
}
