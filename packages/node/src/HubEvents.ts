/**
 * The topics of a hub as event streams: `GET /events?topic=a&topic=b`, and the same as a subscriber of Mercure asks for
 * it. A client that comes back with the last event ID gets what it missed, in order and once, or an event `gap`.
 */
import { randomBytes } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import type * as Hub from "@millrace/core/cluster/Hub"
import type { Access, Client } from "@millrace/core/cluster/HubAccess"
import * as HubEncoding from "@millrace/core/cluster/HubEncoding"
import * as Position from "@millrace/core/cluster/Position"
import * as HubMessage from "@millrace/core/cluster/HubMessage"
import type { Printable } from "@millrace/core/codec/EventStream"
import type { Publication } from "@millrace/core/cluster/Publication"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type * as Origin from "@millrace/core/codec/Origin"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import type { Prepared } from "@millrace/core/connection/Prepared"
import type { Written } from "@millrace/core/connection/WebSocket"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as CrossOrigin from "./CrossOrigin.ts"
import type * as EventFront from "./EventFront.ts"
import type { EventEncoding, EventStreamResponse } from "./EventStreamResponse.ts"
import * as Answer from "./hub/Answer.ts"
import * as Guest from "./hub/Guest.ts"
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
  readonly streams: NodeEventStream.EventStreams
  readonly origin: Origin.Policy
  readonly identify?: Guest.Identify | undefined
  readonly authorize?: Access<Guest.Request> | undefined
  readonly refuse: (
    response: ServerResponse,
    status: number,
    code: string,
    message: string,
    headers?: Readonly<Record<string, string>>
  ) => void
}

/** The fields that let a page of another origin read the response; `undefined` when it may not. */
export const crossOrigin = (policy: Origin.Policy, request: CrossOrigin.Asked): Headers | undefined =>
  CrossOrigin.fields(policy, request, "Mercure-Last-Event-ID, Retry-After")

const notFromHere = ["forbidden-origin", "pages of this origin may not connect", { Vary: "Origin" }] as const

/** The answer to a page of an origin that may not ask. */
export const foreign = (refuse: Options["refuse"], response: ServerResponse): void =>
  refuse(response, 403, ...notFromHere)

/** An answer to a page's question whether it may ask, with fields that need asking for. */
export const preflight = (response: ServerResponse, headers: Headers, method: string, fields: string): void => {
  response.statusCode = 204
  for (const [name, value] of CrossOrigin.preflight(headers, method, fields)) response.setHeader(name, value)
  response.end()
}

/** What is kept of who a client is: what it came with is not. */
type Known = Omit<Client, "request">

const nobody: Omit<Known, "id"> = { name: HubMessage.httpClient, user: undefined }

/** A client as a member of its topics. */
class HubStream implements Hub.Member {
  /** The topics that it is in, or on its way into. An array takes 300 bytes less than a set. */
  readonly topics: Array<string>
  /** Who it is, when somebody has asked: most clients are nobody in particular. */
  private client: Known | undefined
  private readonly opened: EventStreamResponse
  /** Whether it has asked for all there is: then it is told of no gap before that. */
  private wantsAll: boolean
  private hasLeft = false

  constructor(client: Known | undefined, opened: EventStreamResponse, topics: Array<string>, wantsAll: boolean) {
    this.client = client
    this.opened = opened
    this.topics = topics
    this.wantsAll = wantsAll
  }

  get id(): string {
    return (this.client ??= { id: randomBytes(16).toString("base64url"), ...nobody }).id
  }

  get wire(): string {
    return "sse"
  }

  get name(): string {
    return (this.client ?? nobody).name
  }

  get user(): string | undefined {
    return (this.client ?? nobody).user
  }

  hasAll(): void {
    this.wantsAll = false
  }

  leave(): void {
    this.hasLeft = true
  }

  tryWriteUnsafe(message: Prepared, publication: Publication): Written {
    return this.hasLeft ? "NotOpen" : this.opened.tryWriteUnsafe(message, publication)
  }

  tellUnsafe(notice: Hub.Notice): Written {
    if (this.hasLeft) return "NotOpen"
    if (notice._tag === "Gap" && this.wantsAll) return "Written"
    const { topics } = this
    if (notice._tag === "Kicked" && topics.includes(notice.topic)) topics.splice(topics.indexOf(notice.topic), 1)
    if (notice._tag === "Moved") {
      if (topics.includes(notice.from)) topics.splice(topics.indexOf(notice.from), 1)
      if (!topics.includes(notice.to)) topics.push(notice.to)
    }
    return this.opened.trySayUnsafe(EventStreamBody.print([eventOf(notice)]).text)
  }

  get room(): Effect.Effect<void> {
    return this.opened.room
  }

  close(): Effect.Effect<void> {
    return this.opened.close()
  }
}

/**
 * What a client is told beside messages, as a WebSocket is, with its type for a name. An event with an id and no data sets
 * the last event ID and is not dispatched.
 */
const eventOf = (notice: Hub.Notice): Printable => {
  if (notice._tag === "Advanced") return { id: Position.print(notice.position) }
  const message = HubEncoding.notice(notice)
  const at = notice._tag === "Gap" ? notice.to : undefined
  return { event: message.type, id: at && Position.print(at), data: HubMessage.encode(message) }
}

/** What of a request decides how it is answered. */
type Request = Pick<IncomingMessage, "headers" | "method" | "url"> & Partial<Pick<IncomingMessage, "rawHeaders">>

/** What an answer is written to. */
interface Carrier {
  /** `undefined` when another answer is due, and given. */
  readonly open: (options: NodeEventStream.ResponseOptions) => EventStreamResponse | undefined
  readonly refuse: (status: number, code: string, message: string, headers: Readonly<Record<string, string>>) => void
  readonly refuseAs: (refusal: Refusal, headers: Headers) => void
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
    refuseAs: (refusal, headers) => Answer.refusal(response, refusal, headers),
    preflight: (headers) => preflight(response, headers, "GET", "Last-Event-ID, Cache-Control, Authorization")
  })

/**
 * Whether a request may be answered by `respondOn`: not where somebody has to be asked before there is an answer, as nobody
 * watches the socket meanwhile, and what is known of the request is not all of it.
 */
export const isAtOnce = ({ authorize, hub, identify }: Options, { earliest }: Dialect): boolean =>
  identify === undefined && authorize?.join === undefined && (hub.broker.isLocal || earliest === undefined)

/**
 * The same on the socket of a request that was read by `EventFront`, if it `isAtOnce`. Calls `hand` at once when it is to
 * have no events.
 */
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
    refuseAs: hand,
    preflight: hand
  })

const answer = (
  { authorize, hub, identify, origin }: Options,
  dialect: Dialect,
  request: Request,
  { open, preflight, refuse, refuseAs }: Carrier
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const cors = crossOrigin(origin, request)
    if (cors === undefined) {
      return refuse(403, ...notFromHere)
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

    let client: Known | undefined
    if (identify !== undefined || authorize?.join !== undefined) {
      const asked = Guest.requestOf("events", { url: request.url, rawHeaders: request.rawHeaders ?? [] })
      const known = yield* Effect.result(Guest.clientOf(identify, asked))
      if (Result.isFailure(known)) return refuseAs(known.failure, cors)
      const join = authorize?.join ?? (() => Effect.void)
      const may = yield* Effect.result(Effect.forEach(topics, (topic) => join(known.success, topic), { discard: true }))
      if (Result.isFailure(may)) return refuse(403, "forbidden", may.failure.message, Object.fromEntries(cors))
      const { id, name, user } = known.success
      client = { id, name, user }
    }

    const start = lastEventId === "" ? undefined : yield* startOf(hub, dialect, lastEventId)
    const names = [...topics]
    const resumed =
      start === undefined || dialect.resumedFrom === undefined
        ? []
        : [[dialect.resumedFrom, yield* resumedFrom(hub, names, start)] as const]
    const opened = open({ encoding: dialect.encoding, headers: [...cors, ...resumed] })
    if (opened === undefined) return
    const wantsAll = lastEventId !== "" && lastEventId === dialect.earliest
    const member = new HubStream(client, opened, [...names], wantsAll)
    // A client that has not been told where it is could not come back.
    const admitted = (at: Position.Position | undefined) => {
      const from = start === undefined ? at : wantsAll ? start : undefined
      return from === undefined ? Effect.void : opened.send(EventStreamBody.print([{ id: Position.print(from) }]).text)
    }
    yield* Effect.matchEffect(hub.enter(names, member, { since: start, admitted }), {
      onFailure: () => opened.close(),
      onSuccess: () =>
        Effect.sync(() => {
          member.hasAll()
          // It was taken out while it was getting what it had missed.
          for (const name of names) if (!member.topics.includes(name)) hub.leaveUnsafe(name, member)
          // What is kept for it is this, and no fiber.
          opened.whenClosed(() => {
            member.leave()
            for (const name of member.topics) hub.departUnsafe(name, member)
          })
        })
    })
  })

/** What can be said in a field of a response again, whatever came in the query. */
const isVisible = /^[\x20-\x7e]*$/

/** Where the client was. One that cannot be read is that of another hub: everything is missing. */
const startOf = (
  { broker }: Options["hub"],
  { earliest }: Dialect,
  lastEventId: string
): Effect.Effect<Position.Position> => {
  if (lastEventId !== earliest) {
    const position = isVisible.test(lastEventId) ? Position.parse(lastEventId) : undefined
    return Effect.succeed(position ?? nowhere)
  }
  return Effect.match(broker.position, {
    onFailure: () => nowhere,
    onSuccess: ({ epoch }) => ({ epoch, offset: 0 })
  })
}

const nowhere: Position.Position = { epoch: "", offset: 0 }

/** Behind which the client is told what it missed. */
const resumedFrom = (hub: Options["hub"], topics: ReadonlyArray<string>, start: Position.Position) =>
  Effect.match(hub.since(topics, start), {
    onFailure: () => Position.print(start),
    onSuccess: ({ entries, from, gap, to }) => {
      const offset = gap.length === 0 ? from.offset : (entries[0]?.offset ?? to.offset + 1) - 1
      return Position.print({ epoch: to.epoch, offset })
    }
  })

const hasQuery = ({ url = "" }: Request, name: string): boolean =>
  new URLSearchParams(url.split("?").slice(1).join("?")).has(name)
