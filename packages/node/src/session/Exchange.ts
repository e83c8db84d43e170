/**
 * Connections over an event stream and POST, of one endpoint: who may open one, which request belongs to which, and what
 * is answered. docs/session-protocol.md, "Over an event stream and POST".
 */
import { randomBytes } from "node:crypto"
import type { Duplex } from "node:stream"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as Messages from "@millrace/core/codec/EventStreamMessages"
import type { Refusal } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import type * as Origin from "@millrace/core/codec/Origin"
import { ProtocolViolation } from "@millrace/core/codec/ProtocolViolation"
import { LinkConnection, type LinkLimits } from "@millrace/core/connection/LinkConnection"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Connections } from "../Connections.ts"
import * as CrossOrigin from "../CrossOrigin.ts"
import type * as Endpoint from "../Endpoint.ts"
import type { EventStreamResponse } from "../EventStreamResponse.ts"
import * as NodeEventStream from "../NodeEventStream.ts"
import * as Upgrade from "../Upgrade.ts"
import { type AnyRequest, type AnyResponse, type Asking, askingOf } from "./Asking.ts"
import * as RequestBody from "./RequestBody.ts"
import { type Answer, type Posted, type Relay, unknown } from "./Relay.ts"
import { ResponseLink } from "./ResponseLink.ts"

/** What all connections of an endpoint have in common. */
export interface Options {
  readonly streams: NodeEventStream.EventStreams
  readonly connections: Connections
  readonly settled: Pick<Endpoint.Endpoint<never, never, never>, "grace" | "settings">
  readonly origin: Origin.Policy
  readonly subprotocols: ReadonlyArray<string>
  readonly limits: LinkLimits
  /** The longest first message, in bytes. */
  readonly maxHelloBytes: number
  /** In milliseconds; infinite for a server that may be silent. */
  readonly heartbeat: number
  /** How long a client may take to ask, and whoever decides to decide. */
  readonly patience: Duration.Input
  readonly admit: ((request: Asking) => Effect.Effect<unknown, Refusal>) | undefined
  /** The life of a connection. To return is to close. */
  readonly live: (connection: WebSocket<undefined>, greeted: () => void) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly context: Context.Context<never>
  /** Where there are other nodes: what belongs to a connection of theirs goes there. */
  readonly relay: Relay | undefined
}

/** How long a POST may take to come, and wait for room. Then it is to be sent again. */
const postTimeout: Duration.Input = "30 seconds"
const roomTimeout: Duration.Input = "20 seconds"

/** What a body may have beside the longest message. In bytes. */
const bodySlack = 65_536

/** A connection that is open. */
interface Live {
  readonly connection: LinkConnection<undefined>
  readonly link: ResponseLink
  /** A POST is being read, or waits for room. */
  busy: boolean
  /** The number that the next POST has. */
  next: number
  /** The client has said what it is to say first. */
  greeted: boolean
}

const fieldOf = (request: AnyRequest, name: string): string | undefined => {
  const value = request.headers[name.toLowerCase()]
  return typeof value === "string" ? value : undefined
}

const duplexOf = (request: AnyRequest): Duplex => ("stream" in request ? request.stream : request.socket)

export class Exchange {
  private readonly options: Options
  private readonly lives = new Map<string, Live>()

  constructor(options: Options) {
    this.options = options
  }

  /** The longest body of all, in bytes. */
  private get maxBytes(): number {
    return this.options.limits.maxMessageBytes + bodySlack
  }

  /** How many connections there are now. */
  get size(): number {
    return this.lives.size
  }

  /** Answers a request, whatever it is. */
  respond(request: AnyRequest, response: AnyResponse): void {
    request.on("error", ignore)
    response.on("error", ignore)
    const cors = CrossOrigin.fields(this.options.origin, request)
    if (cors === undefined) return answer(response, 403, [["Vary", "Origin"]], "pages of this origin may not connect")
    const secret = fieldOf(request, Messages.Field.session)
    switch (request.method) {
      case "OPTIONS":
        return answer(response, 204, CrossOrigin.preflight(cors, methods, allowed))
      case "POST":
        return secret === undefined ? this.open(request, response, cors) : this.post(request, response, cors, secret)
      case "DELETE":
        return this.close(request, response, cors, secret)
      default:
        return answer(response, 405, [...cors, ["Allow", methods]], "use POST, or a WebSocket")
    }
  }

  // A connection, from its request to its end.

  private open(request: AnyRequest, response: AnyResponse, cors: HttpHeaders.Headers): void {
    const { connections, context, settled } = this.options
    if (connections.isDraining)
      return answer(response, 503, [...cors, ["Retry-After", "1"]], "the server is shutting down")
    const duplex = duplexOf(request)
    const life = (host: Endpoint.Host) => this.admit(request, response, cors, host)
    connections.fork(settled, { duplex } as Upgrade.Upgrade, life, context)
  }

  private admit(
    request: AnyRequest,
    response: AnyResponse,
    cors: HttpHeaders.Headers,
    host: Endpoint.Host
  ): Effect.Effect<void> {
    const { admit, maxHelloBytes, patience } = this.options
    const decided = admit === undefined ? Effect.void : admit(askingOf(request))
    const asked = Effect.gen(function* () {
      const bytes = yield* RequestBody.read(request, maxHelloBytes, patience)
      const said = yield* Effect.fromResult(Messages.decode(fieldOf(request, "content-type") ?? "", bytes))
      yield* Effect.timeoutOrElse(decided, { duration: patience, orElse: () => Effect.fail(tooSlow) })
      return said
    })
    return Effect.matchCauseEffect(Effect.interruptible(asked), {
      onSuccess: (said) => this.begin(request, response, cors, host, said),
      onFailure: (cause) => {
        const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
        if (error === undefined) {
          const isOurs = !Cause.hasInterruptsOnly(cause)
          answer(response, isOurs ? 500 : 503, [...cors, ...(isOurs ? [] : [["Retry-After", "1"] as const])])
          return isOurs ? Effect.logError("the handshake of an event stream failed", cause) : Effect.void
        }
        if (error._tag === "Refusal") {
          answer(response, error.status, [...error.headers, ...cors], error.detail, error.body)
        } else refuseBody(response, cors, error)
        return Effect.void
      }
    })
  }

  private begin(
    request: AnyRequest,
    response: AnyResponse,
    cors: HttpHeaders.Headers,
    host: Endpoint.Host,
    said: ReadonlyArray<Messages.Data>
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const opened = this.options.streams.openUnsafe(request, response, { headers: cors })
      if (opened === undefined) return Effect.void
      const hasFinished = () => ("stream" in response ? response.stream.writableFinished : response.writableFinished)
      return Effect.catchCause(Effect.scoped(this.live(request, opened, hasFinished, host, said)), (cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the handler of a session failed", cause)
      )
    })
  }

  private live(
    request: AnyRequest,
    opened: EventStreamResponse,
    hasFinished: () => boolean,
    host: Endpoint.Host,
    said: ReadonlyArray<Messages.Data>
  ): Effect.Effect<void, unknown, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { context, heartbeat, limits, live, subprotocols } = this.options
      const offered = new Set(HttpHeaders.elements(fieldOf(request, Messages.Field.protocol) ?? ""))
      const protocol = subprotocols.find((one) => offered.has(one)) ?? ""
      const run = Effect.runForkWith(context)
      let link: ResponseLink | undefined
      const connection = new LinkConnection<undefined>({
        link: (owner) => (link = new ResponseLink(owner, protocol, opened, hasFinished, run)),
        handshake: undefined,
        limits,
        context
      })
      const secret = randomBytes(16).toString("base64url")
      const session = this.options.relay?.named(secret) ?? secret
      const entry: Live = { connection, link: link!, busy: false, next: 1, greeted: false }
      this.lives.set(session, entry)
      yield* Effect.addFinalizer((exit) =>
        Effect.ensuring(
          connection.shutdown(exit),
          Effect.sync(() => this.lives.delete(session))
        )
      )
      run(
        Effect.andThen(
          connection.closed,
          Effect.sync(() => host.ended())
        )
      )
      entry.link.watch()
      entry.link.say(
        Messages.printOpening({ session, protocol, heartbeat: Number.isFinite(heartbeat) ? heartbeat : undefined })
      )
      for (const data of said) connection.message(data)
      const greeted = () => {
        entry.greeted = true
      }
      yield* Effect.interruptible(live(connection, greeted))
    })
  }

  // What belongs to a connection.

  private post(request: AnyRequest, response: AnyResponse, cors: HttpHeaders.Headers, secret: string): void {
    const found = this.lives.get(secret)
    const node = found === undefined ? this.options.relay?.nodeOf(secret) : undefined
    if (found === undefined && node === undefined) return answer(response, 404, cors, "no such connection")
    if (found?.busy === true) return answer(response, busy.status, cors, busy.detail)
    const { relay } = this.options
    const read = (limit: number) =>
      Effect.map(RequestBody.read(request, limit, postTimeout), (bytes) => postedOf(request, bytes))
    const taken =
      found === undefined
        ? Effect.flatMap(read(this.maxBytes), (posted) => relay!.post(node!, secret, posted))
        : this.take(found, read(this.limitOf(found)))
    Effect.runForkWith(this.options.context)(
      Effect.matchEffect(taken, {
        onFailure: (error) => Effect.sync(() => refuseBody(response, cors, error)),
        onSuccess: ({ detail, headers, status }) =>
          Effect.sync(() => answer(response, status, [...cors, ...headers], detail))
      })
    )
  }

  /** The longest body that is taken, in bytes. */
  private limitOf({ greeted }: Live): number {
    const { limits, maxHelloBytes } = this.options
    return greeted ? limits.maxMessageBytes + bodySlack : maxHelloBytes
  }

  find(secret: string) {
    const found = this.lives.get(secret)
    return found === undefined ? undefined : { connection: found, limit: this.limitOf(found) }
  }

  /** Takes a POST that has come by another node. */
  takeRelayed(secret: string, posted: Posted): Effect.Effect<Answer> {
    const found = this.lives.get(secret)
    if (found === undefined) return Effect.succeed(unknown)
    const limit = this.limitOf(found)
    const reading = posted.bytes.length > limit ? Effect.fail(longerThan(limit)) : Effect.succeed(posted)
    return Effect.catch(this.take(found, reading), (error) =>
      Effect.succeed(
        error._tag === "InvalidExchange" ? { status: error.status, headers: [], detail: error.detail } : unknown
      )
    )
  }

  /** Takes the messages of a POST, one at a time. Comes back with how it is to be answered. Free for the next before it is. */
  private take(found: Live, reading: Effect.Effect<Posted, BodyError>): Effect.Effect<Answer, BodyError> {
    const { connection, link } = found
    const taken = Effect.gen(function* () {
      const { bytes, number, type } = yield* reading
      const said = yield* Effect.fromResult(Messages.decode(type, bytes))
      if (number !== undefined && number !== `${found.next}`) {
        return { status: 409, headers: [], detail: `this is not POST ${found.next}` }
      }
      const isRoom = yield* Effect.timeoutOption(link.room, roomTimeout)
      if (isRoom._tag === "None") {
        return { status: 503, headers: [["Retry-After", "0"]] as const, detail: "there is no room; send it again" }
      }
      if (!link.isOpen) return unknown
      found.next++
      for (const data of said) connection.message(data)
      return { status: 204, headers: [], detail: "" }
    })
    const bounded = Effect.catch(taken, (error) =>
      error._tag === "InvalidExchange" && error.status === 413
        ? Effect.andThen(connection.fail(tooBig), Effect.fail(error))
        : Effect.fail(error)
    )
    return Effect.suspend(() => {
      if (found.busy) return Effect.succeed(busy)
      found.busy = true
      return Effect.ensuring(
        bounded,
        Effect.sync(() => {
          found.busy = false
        })
      )
    })
  }

  private close(
    request: AnyRequest,
    response: AnyResponse,
    cors: HttpHeaders.Headers,
    secret: string | undefined
  ): void {
    const { context, relay } = this.options
    const status = Messages.readStatus(askingOf(request).headers)
    const node = secret === undefined || this.lives.has(secret) ? undefined : relay?.nodeOf(secret)
    if (secret !== undefined && node !== undefined && status !== undefined) {
      const told = Effect.map(relay!.close(node, secret, status), ({ detail, status: code }) =>
        answer(response, code, cors, detail)
      )
      return void Effect.runForkWith(context)(told)
    }
    if (secret === undefined || !this.lives.has(secret)) return answer(response, 404, cors, "no such connection")
    if (status === undefined) return answer(response, 400, cors, "no code that may be sent")
    this.closeRelayed(secret, status)
    answer(response, 204, cors)
  }

  /** Closes a connection as its client wants it, whichever node was told. */
  closeRelayed(secret: string, status: CloseCode.CloseStatus): Answer {
    const found = this.lives.get(secret)
    if (found === undefined) return unknown
    found.link.closedBy(status)
    return { status: 204, headers: [], detail: "" }
  }
}

const busy: Answer = { status: 409, headers: [], detail: "one POST at a time" }

const longerThan = (limit: number) => new Messages.InvalidExchange({ status: 413, detail: `more than ${limit} bytes` })

const postedOf = (request: AnyRequest, bytes: Uint8Array): Posted => ({
  type: fieldOf(request, "content-type") ?? "",
  number: fieldOf(request, Messages.Field.sequence),
  bytes
})

const ignore = () => {}

const methods = "POST, DELETE, OPTIONS"

/** The fields of its own that a page may send. */
const allowed = ["Authorization", "Content-Type", ...Object.values(Messages.Field)].join(", ")

const tooBig = new ProtocolViolation({
  closeCode: CloseCode.CloseCode.messageTooBig,
  clause: "RFC 6455 7.4.1",
  detail: "message too big"
})

const tooSlow = {
  _tag: "Refusal",
  status: 503,
  headers: [],
  body: undefined,
  detail: "the handshake took too long"
} as const

type BodyError = RequestBody.BodyCut | RequestBody.BodyLate | Messages.InvalidExchange

const refuseBody = (response: AnyResponse, cors: HttpHeaders.Headers, error: BodyError): void => {
  // Nobody is there to be told.
  if (error._tag === "BodyCut") return
  const [status, detail] = error._tag === "BodyLate" ? [408, "it took too long"] : [error.status, error.detail]
  // What is left of the body is not read.
  answer(response, status, "stream" in response ? cors : [...cors, ["Connection", "close"]], detail)
}

const answer = (
  response: AnyResponse,
  status: number,
  headers: HttpHeaders.Headers,
  detail = "",
  body = detail === "" ? "" : `${detail}\n`
): void => {
  if (response.destroyed || response.headersSent) return
  response.statusCode = status
  response.setHeader("Cache-Control", "no-store")
  response.setHeader("X-Content-Type-Options", "nosniff")
  if (body !== "") response.setHeader("Content-Type", "text/plain; charset=utf-8")
  for (const [name, value] of headers) response.setHeader(name, value)
  response.end(body)
}
