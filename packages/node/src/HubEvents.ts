/**
 * The topics of a hub as event streams: `GET /events?topic=a&topic=b`, and the same as a subscriber of Mercure asks for
 * it. A client that comes back with the last event ID gets what it missed, in order and once, or an event `gap`.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as History from "@millrace/core/cluster/History"
import * as Position from "@millrace/core/cluster/Position"
import type * as Hub from "@millrace/core/cluster/Hub"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Printable } from "@millrace/core/codec/EventStream"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Origin from "@millrace/core/codec/Origin"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import type { Message } from "@millrace/core/protocol/Message"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as EventFront from "./EventFront.ts"
import type { EventEncoding, EventStreamResponse } from "./EventStreamResponse.ts"
import * as NodeEventStream from "./NodeEventStream.ts"

/** One way to ask for topics, and to be told of what was published. */
interface Dialect {
  /** The parameters of the query that name a topic. */
  readonly parameters: ReadonlyArray<string>
  /** The parameters of the query that may say the last event ID. */
  readonly positions: ReadonlyArray<string>
  /** The last event ID that asks for all there is. */
  readonly earliest: string | undefined
  readonly dataOf: (text: string) => string
  readonly encoding: EventEncoding
  /** The field of the response that says from where a client is told what it missed. */
  readonly resumedFrom: string | undefined
}

const make = (
  dataOf: Dialect["dataOf"],
  rest: Pick<Dialect, "earliest" | "parameters" | "positions" | "resumedFrom">
): Dialect => ({
  ...rest,
  dataOf,
  encoding: NodeEventStream.encoding(({ message: { message }, position }) =>
    message._tag === "Text" ? { id: position, data: dataOf(message.text) } : undefined
  )
})

/** Ours: the data is the message as a WebSocket gets it. */
const plain = make((text) => text, {
  parameters: ["topic"],
  positions: ["lastEventId"],
  earliest: undefined,
  resumedFrom: undefined
})

/** Mercure's, draft-dunglas-mercure: the data is what was published, and topics are compared as they are. */
const mercure = make((text) => HubMessage.dataOf(text) ?? text, {
  parameters: ["topic", "match"],
  positions: ["last_event_id", "lastEventID", "Last-Event-ID"],
  earliest: "earliest",
  resumedFrom: "Mercure-Last-Event-ID"
})

/** The dialect of a path. */
export const dialects: ReadonlyMap<string, Dialect> = new Map([
  ["/events", plain],
  ["/.well-known/mercure", mercure]
])

/** What the event streams of a hub need to know. */
export interface Options {
  readonly hub: Hub.Hub["Service"]
  readonly history: History.History<Message>
  readonly streams: NodeEventStream.EventStreams
  readonly origin: Origin.Policy
  readonly refuse: (
    response: ServerResponse,
    status: number,
    code: string,
    message: string,
    headers?: Readonly<Record<string, string>>
  ) => void
}

/** The fields that let a page of another origin read the response; `undefined` when it may not. */
const crossOrigin = (policy: Origin.Policy, { headers: { host = "", origin } }: Request): Headers | undefined => {
  if (!Origin.permits(policy, origin, { host })) return undefined
  if (origin === undefined) return [["Vary", "Origin"]]
  return [
    ["Vary", "Origin"],
    ["Access-Control-Allow-Origin", origin],
    ["Access-Control-Expose-Headers", "Mercure-Last-Event-ID"],
    // Every page may read, and so none with what the user is known by.
    ...(policy._tag === "Any" ? [] : [["Access-Control-Allow-Credentials", "true"] as const])
  ]
}

/** An answer to a page's question whether it may ask, with fields that need asking for. */
const preflight = (response: ServerResponse, headers: Headers): void => {
  response.statusCode = 204
  for (const [name, value] of headers) response.setHeader(name, value)
  response.setHeader("Access-Control-Allow-Methods", "GET")
  response.setHeader("Access-Control-Allow-Headers", "Last-Event-ID, Cache-Control")
  response.setHeader("Access-Control-Max-Age", "600")
  response.end()
}

/** What is written to a client that catches up, before it is asked whether it has room for more. */
const batchLength = 65_536

const gapOf = ({ from, gap }: History.Missed<Message>): Printable => ({
  event: "gap",
  id: Position.print(from),
  data: JSON.stringify({ type: "gap", topics: gap })
})

/** Sends what was missed, in pieces that the socket has room for. */
const replay = (
  opened: EventStreamResponse,
  { dataOf }: Dialect,
  missed: History.Missed<Message>,
  from: string
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const events: Array<Printable> = [missed.gap.length > 0 ? gapOf(missed) : { id: from }]
    let length = 0
    for (const { offset, value } of missed.entries) {
      if (value._tag !== "Text") continue
      const id = Position.print({ epoch: missed.to.epoch, offset })
      events.push({ id, data: dataOf(value.text) })
      length += value.length
      if (length < batchLength) continue
      yield* opened.send(EventStreamBody.print(events.splice(0)).text)
      length = 0
    }
    yield* opened.send(EventStreamBody.print(events).text)
  })

/** What of a request decides how it is answered. */
type Request = Pick<IncomingMessage, "headers" | "method" | "url">

/** What an answer is written to. */
interface Carrier {
  /** `undefined` when another answer is due, and given. */
  readonly open: (options: NodeEventStream.ResponseOptions) => EventStreamResponse | undefined
  readonly refuse: (status: number, code: string, message: string, headers: Readonly<Record<string, string>>) => void
  readonly preflight: (headers: Headers) => void
}

/** Answers a request. Succeeds when the client has what it missed and is a member of its topics, or when it has gone. */
export const respond = (
  options: Options,
  dialect: Dialect,
  request: IncomingMessage,
  response: ServerResponse
): Effect.Effect<void> =>
  answer(options, dialect, request, {
    open: (settings) => options.streams.openUnsafe(request, response, settings),
    refuse: (...refusal) => options.refuse(response, ...refusal),
    preflight: (headers) => preflight(response, headers)
  })

/** The same on the socket of a request that was read by `EventFront`. Calls `hand` at once when it is to have no events. */
export const respondOn = (
  options: Options,
  dialect: Dialect,
  request: EventFront.Request,
  socket: Socket,
  hand: () => void
): Effect.Effect<void> =>
  answer(options, dialect, request, {
    open: (settings) => {
      const opened = options.streams.openSocketUnsafe(request, socket, settings)
      if (opened === undefined) hand()
      return opened
    },
    refuse: hand,
    preflight: hand
  })

const answer = (
  { history, hub, origin }: Options,
  dialect: Dialect,
  request: Request,
  { open, preflight, refuse }: Carrier
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const cors = crossOrigin(origin, request)
    if (cors === undefined) {
      return refuse(403, "forbidden-origin", "pages of this origin may not connect", { Vary: "Origin" })
    }
    if (request.method === "OPTIONS") return preflight(cors)
    const { lastEventId, query } = NodeEventStream.requestOf(
      request,
      dialect.positions.find((name) => hasQuery(request, name))
    )
    const topics = new Set(dialect.parameters.flatMap((name) => query.getAll(name)))
    const wrong = topics.size === 0 ? "bad-message" : [...topics].every(HubMessage.isTopic) ? undefined : "bad-topic"
    const code = topics.size > HubMessage.maxTopics ? "too-many-topics" : wrong
    if (code !== undefined) {
      const { message } = HubMessage.refuse(code)
      const detail = code === "bad-message" ? `ask for topics: ?${dialect.parameters[0]}=lobby` : message
      return refuse(400, code, detail, Object.fromEntries(cors))
    }

    const clock = yield* Clock.Clock
    const since = (position: Position.Position | undefined) =>
      history.since(topics, position, clock.currentTimeMillisUnsafe())
    const start = lastEventId === "" ? history.position : Position.parse(lastEventId)
    const isEarliest = lastEventId !== "" && lastEventId === dialect.earliest
    let missed = since(isEarliest ? { ...history.position, offset: 0 } : start)
    if (isEarliest) missed = { ...missed, gap: [] }
    const before =
      missed.gap.length === 0 ? missed.from.offset : (missed.entries[0]?.offset ?? missed.to.offset + 1) - 1
    const from = Position.print({ epoch: missed.from.epoch, offset: before })
    const headers: Headers =
      dialect.resumedFrom === undefined || lastEventId === "" ? cors : [...cors, [dialect.resumedFrom, from]]

    const opened = open({ encoding: dialect.encoding, headers })
    if (opened === undefined) return
    for (let first = true; first || missed.entries.length > 0 || missed.gap.length > 0; first = false) {
      if (!opened.isOpen) return
      yield* replay(opened, dialect, missed, Position.print(missed.from))
      missed = since(missed.to)
    }
    // In the same turn as what was missed last: nothing comes between the two.
    // As an array, which takes 300 bytes less than a set.
    join(hub, [...topics], opened)
  })

/** A member until its client goes. What is kept for it is this, and no fiber. */
const join = (hub: Options["hub"], topics: ReadonlyArray<string>, opened: EventStreamResponse): void => {
  for (const topic of topics) hub.joinUnsafe(topic, opened)
  opened.whenClosed(() => {
    for (const topic of topics) hub.leaveUnsafe(topic, opened)
  })
}

const hasQuery = ({ url = "" }: Request, name: string): boolean =>
  new URLSearchParams(url.split("?").slice(1).join("?")).has(name)
