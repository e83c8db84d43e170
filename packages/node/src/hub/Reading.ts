/**
 * What the hub says of its topics: `GET /topics`, `/topics/:topic/history` and `/topics/:topic/presence`. Who may join a
 * topic may read it, and sees that it is there.
 */
import type * as http from "node:http"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import type * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Cluster from "@millrace/core/cluster/Cluster"
import type * as Hub from "@millrace/core/cluster/Hub"
import type { Access, Client } from "@millrace/core/cluster/HubAccess"
import * as HubEncoding from "@millrace/core/cluster/HubEncoding"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import * as HubPresence from "@millrace/core/cluster/HubPresence"
import type { Node } from "@millrace/core/cluster/Nodes"
import * as Position from "@millrace/core/cluster/Position"
import type { Presence } from "@millrace/core/cluster/Presence"
import { Publication } from "@millrace/core/cluster/Publication"
import * as Prepared from "@millrace/core/connection/Prepared"
import type * as Message from "@millrace/core/protocol/Message"
import * as Effect from "effect/Effect"
import * as Answer from "./Answer.ts"
import * as Guest from "./Guest.ts"
import * as Publishing from "./Publishing.ts"

export interface Options {
  readonly hub: Hub.Hub["Service"]
  readonly identify?: Guest.Identify | undefined
  readonly authorize?: Access<Guest.Request> | undefined
  readonly cluster: Cluster.Cluster["Service"]
  readonly presence: Presence["Service"]
}

/** Which of many are asked for. */
export interface Page {
  /** Those behind this one. */
  readonly after: string | undefined
  readonly limit: number
}

/** Most entries of an answer, and how many there are unless it is said. */
export const maxPage = Cluster.maxPage
export const defaultPage = 100

/** What of the topics is asked for; `undefined` for a path that is none of ours. */
export interface Place {
  /** As it is in the path; `undefined` for all of them. */
  readonly topic: string | undefined
  readonly part: "topics" | "history" | "presence"
}

export const placeOf = (path: string): Place | undefined => {
  if (path === "/topics") return { topic: undefined, part: "topics" }
  const [, topic, part] = /^\/topics\/([^/]*)\/(history|presence)$/.exec(path) ?? []
  return part === undefined ? undefined : { topic, part: part as "history" | "presence" }
}

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const limitOf = (query: URLSearchParams): number | undefined => {
  const given = query.get("limit")
  if (given === null) return defaultPage
  return /^[1-9]\d{0,5}$/.test(given) ? Math.min(Number(given), maxPage) : undefined
}

/** The answer, as a value or as JSON text, or why there is none. */
type Found = Effect.Effect<object | string, HubMessage.Refusal | Refusal>

const wrong = (code: HubMessage.ErrorCode, message?: string) => Effect.fail(HubMessage.refuse(code, undefined, message))

/** Answers a request. `cors` is for all answers. */
export const read = (
  options: Options,
  place: Place,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  cors: HttpHeaders.Headers
): Effect.Effect<void> =>
  Effect.match(found(options, place, Guest.requestOf("read", request)), {
    onSuccess: (value) =>
      Answer.jsonText(
        response,
        200,
        typeof value === "string" ? value : JSON.stringify(value),
        Object.fromEntries(cors)
      ),
    onFailure: (why) =>
      "type" in why ? Publishing.refuse(response, why, Object.fromEntries(cors)) : Answer.refusal(response, why, cors)
  })

const found = (options: Options, { part, topic: encoded }: Place, request: Guest.Request): Found =>
  Effect.gen(function* () {
    const client = yield* Guest.clientOf(options.identify, request)
    const limit = limitOf(request.query)
    if (limit === undefined) return yield* wrong("bad-message", `"limit" is a number from 1 to ${maxPage}`)
    const page = { after: request.query.get("after") ?? undefined, limit }
    if (part === "topics") return yield* topicsOf(options, client, page)
    const topic = decoded(encoded!)
    if (topic === undefined || !HubMessage.isTopic(topic)) return yield* wrong("bad-topic")
    yield* mayJoin(options, client, topic)
    return yield* part === "history" ? historyOf(options, topic, page) : presenceOf(options, topic, page)
  })

const mayJoin = ({ authorize }: Options, client: Client<Guest.Request>, topic: string) =>
  authorize?.join === undefined
    ? Effect.void
    : Effect.catch(authorize.join(client, topic), ({ message }) => wrong("forbidden", message))

/** Topics of all nodes, by name. With `next` there may be more behind it; `silent` are nodes that have not answered. */
const topicsOf = (options: Options, client: Client<Guest.Request>, page: Page): Found =>
  Effect.gen(function* () {
    const found = yield* Effect.mapError(options.cluster.topics(page), ({ message }) =>
      HubMessage.refuse("unavailable", undefined, message)
    )
    const topics = yield* Effect.filter(found.topics, ({ topic }) =>
      Effect.match(mayJoin(options, client, topic), { onFailure: () => false, onSuccess: () => true })
    )
    const next = found.topics.length === page.limit ? found.topics.at(-1)?.topic : undefined
    return { node: options.hub.broker.node, topics, next, silent: namesOf(found.silent) }
  })

const namesOf = (nodes: ReadonlyArray<Node>): ReadonlyArray<string> => nodes.map(({ name }) => name)

/** What is kept of a topic behind a position, the oldest first, and where who has read it is. */
const historyOf = ({ hub }: Options, topic: string, { after, limit }: Page): Found =>
  Effect.gen(function* () {
    const from = after === undefined ? undefined : HubMessage.decodePosition(after)
    if (after !== undefined && from === undefined) {
      return yield* wrong("bad-message", '"after" is a position that a hub has told')
    }
    const missed = yield* Effect.mapError(hub.since([topic], from), (error) => HubMessage.refuseBroker(error))
    const { epoch } = missed.to
    const some = missed.entries.slice(0, limit)
    const isAll = some.length === missed.entries.length
    const to = isAll ? missed.to : { epoch, offset: some.at(-1)!.offset }
    // Without a position nobody has asked for what was before.
    const gap = from !== undefined && missed.gap.length > 0
    const entries = some.map(({ offset, value: { message } }) => printed(message, { epoch, offset }))
    const rest = { gap, position: Position.print(to), more: !isAll }
    return `{"topic":${JSON.stringify(topic)},"entries":[${entries.join(",")}],${JSON.stringify(rest).slice(1)}`
  })

/** A message as a WebSocket gets it, whose data is as it was written; anything else as text, or in base64. */
const printed = (message: Message.Message, at: Position.Position): string => {
  const publication = new Publication("", Prepared.make(message), at)
  if (message._tag === "Text" && HubMessage.dataOf(message.text) !== undefined) {
    return (publication.encodedBy(HubEncoding.withPosition)!.message as Message.Text).text
  }
  return JSON.stringify(
    message._tag === "Text"
      ? { text: message.text, position: publication.position }
      : { base64: Buffer.from(message.bytes).toString("base64"), position: publication.position }
  )
}

/** Who is present, on any node, and how many members the topic has, present or not, also by the wires that they have. */
const presenceOf = ({ cluster, presence }: Options, topic: string, page: Page): Found =>
  Effect.gen(function* () {
    const members = yield* Effect.mapError(cluster.wires(topic), ({ message }) =>
      HubMessage.refuse("unavailable", undefined, message)
    )
    const present = HubPresence.printPresent(presence, topic, undefined, page.limit)
    const wires = Object.fromEntries([...members.wires].sort(([one], [other]) => (one < other ? -1 : 1)))
    const rest = { members: members.count, wires, silent: namesOf(members.silent) }
    return `${present.slice(0, -1)},${JSON.stringify(rest).slice(1)}`
  })
