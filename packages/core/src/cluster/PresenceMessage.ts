/**
 * What nodes tell each other about who is there, as bytes. Pure.
 */
import { maxCastBytes } from "./Broker.ts"
import * as Cast from "./Cast.ts"
import * as NodeMessage from "./NodeMessage.ts"
import type { Change, Delta, Mark, Member } from "./PresenceState.ts"

/** A part of all there is at a version: the parts are numbered from 0. */
export interface Part {
  readonly _tag: "Part"
  readonly node: string
  readonly life: number
  readonly version: number
  readonly part: number
  readonly isLast: boolean
  readonly members: ReadonlyArray<readonly [topic: string, member: Member]>
}

/** Somebody wants to know what comes behind a mark; version 0 is knowing nothing. */
export interface Ask extends Mark {
  readonly _tag: "Ask"
  readonly asker: string
}

/** Nothing of this life is true any more. */
export interface Bye {
  readonly _tag: "Bye"
  readonly node: string
  readonly life: number
}

export type PresenceMessage = Delta | Part | Ask | Bye

/** Bytes of UTF-8. */
export const maxTopicBytes = 256
export const maxMemberBytes = 128
export const maxUserBytes = 256
/** More than this cannot be allowed. */
export const maxInfoBytes = 16_384

/** Whether it is one line of JSON text. */
export const isInfo = (text: string): boolean => {
  if (/[\n\r]/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const itemOf = (topic: string, name: string, member: Member | undefined): string =>
  JSON.stringify(
    member === undefined ? [topic, name] : [topic, name, member.user, member.info, member.since, member.updated]
  )

/** Room for what stands before the items. */
const headBytes = 1_024

/** Cuts items into pieces that a broker takes; one piece at least. */
function* pieces<A>(items: ReadonlyArray<A>, print: (item: A) => string) {
  let texts: Array<string> = []
  let length = 0
  let first = 0
  for (const [at, item] of items.entries()) {
    const text = print(item)
    const bytes = Cast.lengthOf(text) + 1
    if (length + bytes > maxCastBytes - headBytes) {
      yield { first, texts, isLast: false }
      texts = []
      length = 0
      first = at
    }
    texts.push(text)
    length += bytes
  }
  yield { first, texts, isLast: true }
}

const print = (head: ReadonlyArray<Cast.Json>, items: ReadonlyArray<string>): Uint8Array =>
  Cast.encodeText(`${JSON.stringify(head).slice(0, -1)},[${items.join(",")}]]`)

/** A delta as one that follows the other, as many as it takes. */
export function* encodeDelta({ changes, from, life, node }: Delta): Generator<Uint8Array, void> {
  for (const { first, texts } of pieces(changes, ({ member, now, topic }) => itemOf(topic, member, now))) {
    yield print(["delta", node, life, from + first], texts)
  }
}

/** All there is, in parts: each is printed when it is asked for. */
export function* encodeFull({
  life,
  members,
  node,
  version
}: {
  readonly node: string
  readonly life: number
  readonly version: number
  readonly members: ReadonlyArray<readonly [topic: string, member: Member]>
}): Generator<Uint8Array, void> {
  let part = 0
  for (const { isLast, texts } of pieces(members, ([topic, member]) => itemOf(topic, member.member, member))) {
    yield print(["part", node, life, version, part++, isLast], texts)
  }
}

export const encode = (message: Ask | Bye): Uint8Array =>
  Cast.encode(
    message._tag === "Ask" ? ["ask", message.asker, message.life, message.version] : ["bye", message.node, message.life]
  )

const changeOf = (node: string, item: unknown): Change | undefined => {
  if (!Array.isArray(item)) return undefined
  const [topic, member, user, info, since, updated] = item as ReadonlyArray<unknown>
  if (!Cast.isText(topic, maxTopicBytes) || !Cast.isText(member, maxMemberBytes)) return undefined
  if (item.length === 2) return { topic, member, now: undefined }
  if (!Cast.isText(user, maxUserBytes) || !Cast.isText(info, maxInfoBytes) || !isInfo(info)) return undefined
  if (!Cast.isCount(since) || !Cast.isCount(updated)) return undefined
  return { topic, member, now: { node, member, user, info, since, updated } }
}

/** `undefined` for what is none of them, or over a bound: nothing of it counts then. */
export const decode = (bytes: Uint8Array): PresenceMessage | undefined => {
  const value = Cast.decode(bytes, maxCastBytes)
  if (!Array.isArray(value)) return undefined
  const [kind, node, life, version, ...rest] = value as ReadonlyArray<unknown>
  if (!Cast.isText(node, NodeMessage.maxIdBytes) || !Cast.isCount(life)) return undefined
  if (kind === "bye") return { _tag: "Bye", node, life }
  if (!Cast.isCount(version)) return undefined
  if (kind === "ask") return { _tag: "Ask", asker: node, life, version }
  if (kind !== "delta" && kind !== "part") return undefined
  const items = rest.at(-1)
  if (!Array.isArray(items)) return undefined
  const changes: Array<Change> = []
  for (const item of items as ReadonlyArray<unknown>) {
    const change = changeOf(node, item)
    if (change === undefined) return undefined
    changes.push(change)
  }
  if (kind === "delta") return { _tag: "Delta", node, life, from: version, changes }
  const [part, isLast] = rest
  if (!Cast.isCount(part) || typeof isLast !== "boolean") return undefined
  const members: Array<readonly [string, Member]> = []
  for (const { now, topic } of changes) {
    if (now === undefined) return undefined
    members.push([topic, now])
  }
  return { _tag: "Part", node, life, version, part, isLast, members }
}
