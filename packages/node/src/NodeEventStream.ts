/**
 * Event streams as responses of `node:http`, `node:https` and `node:http2`: WHATWG HTML 9.2.
 *
 *     const streams = yield* NodeEventStream.make()
 *     const server = http.createServer((request, response) =>
 *       Effect.runFork(streams.respond(request, response, ({ lastEventId }) => eventsAfter(lastEventId))))
 *
 * A response is a stream of events, or a member of a hub (`open`). Not in here: which path it is at, who may have it and
 * the answer 204, which tells clients to stay away: whoever knows answers before.
 */
import * as http from "node:http"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import type {
  Http2ServerRequest,
  Http2ServerResponse,
  IncomingHttpHeaders as Http2Headers,
  ServerHttp2Stream
} from "node:http2"
import type { Socket } from "node:net"
import type { InvalidEvent } from "@millrace/core/codec/EventStreamError"
import type { Printable } from "@millrace/core/codec/EventStream"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type * as Origin from "@millrace/core/codec/Origin"
import * as EventStreamBody from "@millrace/core/connection/EventStreamBody"
import * as TimerWheel from "@millrace/core/connection/TimerWheel"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DrainOptions } from "./Connections.ts"
import * as CrossOrigin from "./CrossOrigin.ts"
import {
  type EventEncoding,
  EventStreamResponse,
  looksInStall,
  messages,
  type Settings
} from "./EventStreamResponse.ts"

export { encoding, type EventEncoding, type EventStreamResponse, messages } from "./EventStreamResponse.ts"

/** A request for an event stream. */
export interface EventStreamRequest {
  /** The last event that the client has had, as it says; empty when it has had none. Anybody can say anything here. */
  readonly lastEventId: string
  /** The target without its query, as it was sent. */
  readonly path: string
  readonly query: URLSearchParams
  /** With names in lower case. */
  readonly headers: IncomingHttpHeaders | Http2Headers
}

/** What one response is like. */
export interface ResponseOptions {
  /** More fields for the head, such as those of CORS. They take the place of ours. */
  readonly headers?: Headers | undefined
  /** What a member of a hub makes of a publication. Made once for all. Default: `messages`, a text message as it is. */
  readonly encoding?: EventEncoding | undefined
}

/** What all responses are like. Nothing of it is required. */
export interface Options extends EventStreamBody.Options {
  /** What may be asked with; HEAD may be where GET may. Default: GET. */
  readonly methods?: ReadonlyArray<string> | undefined
  /**
   * Which pages may ask. Those of other origins are let in by CORS, also where they have to ask before: with
   * `Last-Event-ID`, fields of their own, or another method than GET and POST. Other pages get 403. Default: nothing is said
   * of it, so every browser keeps the response from pages of other origins, unless `headers` lets them in.
   */
  readonly origin?: Origin.Policy | undefined
  /**
   * A parameter of the query that says the last event ID where there is no field `Last-Event-ID`: for clients that cannot
   * send one, `lastEventId` for common polyfills. Default: none.
   */
  readonly lastEventIdParameter?: string | undefined
  /** A member of a hub that has more bytes to read than this is too slow. Default 1 MiB. */
  readonly outboxBytes?: number | undefined
  /**
   * How long a client may read nothing at all while its stream has more to say than the socket takes. Then the response
   * is cut, a quarter of it later at most, and the scope of its stream is closed. `Duration.infinity` for as long as it
   * likes. Default 60 s.
   */
  readonly stallTimeout?: Duration.Input | undefined
  /** How responses end when the scope does. */
  readonly drain?: DrainOptions | undefined
}

type AnyRequest = IncomingMessage | Http2ServerRequest
type AnyResponse = ServerResponse | Http2ServerResponse

/** Event streams of one server. */
export interface EventStreams {
  /**
   * Answers with a stream of events, and lasts as long as the response. The head and the first bytes leave at once. The
   * stream is pulled when the socket has room. When the client goes, or does not read for `stallTimeout`, or the server
   * ends, it is interrupted and its scope is closed; that is an ordinary end. When it ends or fails, so does the
   * response, behind what came before.
   *
   * Fails as the stream does, and with `InvalidEvent` at an event that cannot be printed. A request that is to have
   * another answer gets it, and `events` is not called: see `open`.
   */
  readonly respond: <E, R>(
    request: AnyRequest,
    response: AnyResponse,
    events: (request: EventStreamRequest) => Stream.Stream<Printable, E, R>,
    options?: ResponseOptions
  ) => Effect.Effect<void, E | InvalidEvent, R>
  /** The same for a stream of HTTP/2 and its fields. */
  readonly respondStream: <E, R>(
    stream: ServerHttp2Stream,
    headers: Http2Headers,
    events: (request: EventStreamRequest) => Stream.Stream<Printable, E, R>,
    options?: ResponseOptions
  ) => Effect.Effect<void, E | InvalidEvent, R>
  /**
   * Answers with an event stream that a hub or a program writes to, for as long as the scope is open. `undefined` when
   * another answer was due: 200 without a body for HEAD, 405 for another method, 406 for a client that does not accept
   * event streams, 503 while the server ends; with `origin`, 403 for a page that may not ask, and 204 for OPTIONS.
   */
  readonly open: (
    request: AnyRequest,
    response: AnyResponse,
    options?: ResponseOptions
  ) => Effect.Effect<EventStreamResponse | undefined, never, Scope.Scope>
  /** The same without a scope: until the client goes or the server ends, unless it is finished before. */
  readonly openUnsafe: (
    request: AnyRequest,
    response: AnyResponse,
    options?: ResponseOptions
  ) => EventStreamResponse | undefined
  /**
   * The same on the socket of a request that was read elsewhere, which carries this response and nothing else: it is
   * closed behind it, and what the client goes on to send is dropped. `undefined`, and nothing is written, when another
   * answer is due.
   */
  readonly openSocketUnsafe: (
    request: Pick<EventStreamRequest, "headers">,
    socket: Socket,
    options?: ResponseOptions
  ) => EventStreamResponse | undefined
  /** How many there are now. */
  readonly size: () => number
}

/** What a response may hold, and how long it may wait, unless other bounds are given. */
export const defaults = { outboxBytes: 1_048_576, stallTimeout: "60 seconds" } satisfies Options

/** A request, whatever brought it. */
interface Asked {
  readonly method: string
  readonly headers: IncomingHttpHeaders | Http2Headers
  readonly target: string
  readonly response: AnyResponse | ServerHttp2Stream
}

const askedBy = (request: AnyRequest, response: AnyResponse): Asked => {
  // HTTP/2's tells what goes wrong with its stream, and nobody need listen.
  if ("stream" in request) request.on("error", ignore)
  return { method: request.method ?? "GET", headers: request.headers, target: request.url ?? "/", response }
}

const askedOn = (stream: ServerHttp2Stream, headers: Http2Headers): Asked => {
  stream.on("error", ignore)
  return { method: headers[":method"] ?? "GET", headers, target: headers[":path"] ?? "/", response: stream }
}

const ignore = () => {}

/** As `node:http` does when the client has ended its side. */
function endSoon(this: Socket): void {
  this.destroySoon()
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * A field that should be UTF-8, 9.2.3, and comes from Node.js as if it were Latin-1. What is not UTF-8 is taken as it
 * is: the `EventSource` of Node.js does send Latin-1.
 */
const utf8Of = (value: string): string => {
  try {
    return utf8.decode(Buffer.from(value, "latin1"))
  } catch {
    return value
  }
}

/** What a request asks for, for whoever has to know before there is a response. `parameter` as `lastEventIdParameter`. */
export const requestOf = (
  request: { readonly headers: EventStreamRequest["headers"]; readonly url?: string | undefined },
  parameter?: string
): EventStreamRequest => readRequest({ headers: request.headers, target: request.url ?? "/" }, parameter)

const readRequest = (
  { headers, target }: Pick<Asked, "headers" | "target">,
  parameter: string | undefined
): EventStreamRequest => {
  const [path = "/", ...rest] = target.split("?")
  const query = new URLSearchParams(rest.join("?"))
  const field = headers["last-event-id"]
  const asParameter = parameter === undefined ? undefined : query.get(parameter)
  return { lastEventId: typeof field === "string" ? utf8Of(field) : (asParameter ?? ""), path, query, headers }
}

/** How much a range of `Accept` wants an event stream: RFC 9110 section 12.5.1. */
const weightOf = (parameters: ReadonlyArray<string>): number => {
  const weight = parameters.map((one) => /^\s*q\s*=\s*([\d.]+)\s*$/i.exec(one)?.[1]).find((one) => one !== undefined)
  return weight === undefined ? 1 : Number(weight)
}

/** Whether `Accept` allows an event stream. The most exact range decides. */
export const accepts = (accept: string | undefined): boolean => {
  if (accept === undefined || accept.trim() === "") return true
  const weights = new Map<string, number>()
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";")
    weights.set(type.trim().toLowerCase(), weightOf(parameters))
  }
  return (weights.get("text/event-stream") ?? weights.get("text/*") ?? weights.get("*/*") ?? 0) > 0
}

const isStream = (response: Asked["response"]): response is ServerHttp2Stream => "rstCode" in response

/** Fields by their names in lower case; the last of a name counts. */
const fieldsOf = (...all: ReadonlyArray<Headers>): ReadonlyMap<string, string> =>
  new Map(all.flat().map(([name, value]) => [name.toLowerCase(), value]))

/** Writes the head, at once. */
const writeHead = (response: Asked["response"], fields: ReadonlyMap<string, string>): void => {
  if (isStream(response)) {
    if (!response.destroyed) response.respond({ ":status": 200, ...Object.fromEntries(fields) })
    return
  }
  // Not with `setHeader`, of which each response would keep a kilobyte.
  if ("stream" in response) return void response.writeHead(200, Object.fromEntries(fields))
  response.writeHead(200, [...fields].flat())
  response.flushHeaders()
}

/** The fields that a page wants to send. Who may ask at all may say what it likes with it. */
const wanted = ({ headers }: Asked): string => String(headers["access-control-request-headers"] ?? "Last-Event-ID")

/** Answers with something else. */
const answer = (response: Asked["response"], status: number, headers: Headers, body = ""): void => {
  const fields = fieldsOf([["Content-Type", "text/plain; charset=utf-8"]], headers)
  if (isStream(response)) {
    if (response.destroyed) return
    response.respond({ ":status": status, ...Object.fromEntries(fields) })
    return void response.end(body)
  }
  response.statusCode = status
  for (const [name, value] of fields) response.setHeader(name, value)
  response.end(body)
}

/** Writes what a stream of events has. */
const writeAll = <E, R>(
  opened: EventStreamResponse,
  events: Stream.Stream<Printable, E, R>
): Effect.Effect<void, E | InvalidEvent, R> =>
  Stream.runForEachArray(events, (batch) => {
    const { invalid, text } = EventStreamBody.print(batch)
    const sent = opened.send(text)
    return invalid === undefined ? sent : Effect.andThen(sent, Effect.fail(invalid))
  })

/**
 * Runs `written` in a fiber of its own, which is interrupted when nothing more can be said; that is no failure. Whoever
 * waits does so in one callback: to race, or to fork a child and await it, takes more than a kilobyte more. Measured.
 */
const startUntilClosed = <E, R>(
  opened: EventStreamResponse,
  written: Effect.Effect<void, E, R>,
  context: Context.Context<R>,
  resume: (exit: Effect.Effect<void, E>) => void
): Effect.Effect<void> => {
  const fiber = Effect.runForkWith(context)(written)
  fiber.addObserver((exit) => {
    const left = !opened.isOpen && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    opened.finish()
    resume(left ? Effect.void : exit)
  })
  opened.whenClosed(() => fiber.interruptUnsafe())
  return Fiber.interrupt(fiber)
}

const batchesInWindow = 10
const smallestBatch = 100

class Streams {
  private readonly responses = new Set<EventStreamResponse>()
  private readonly options: Options
  private readonly settings: Settings
  private readonly opening: string
  private readonly withEncoding = new WeakMap<EventEncoding, Settings>()
  private draining = false

  constructor(options: Options, settings: Settings, opening: string) {
    this.options = options
    this.settings = settings
    this.opening = opening
  }

  get size(): number {
    return this.responses.size
  }

  /** Answers, with an event stream unless another answer is due. */
  begin(asked: Asked, { encoding, headers = [] }: ResponseOptions): EventStreamResponse | undefined {
    const { response } = asked
    const methods = this.options.methods ?? ["GET"]
    const isHead = asked.method === "HEAD" && methods.includes("GET")
    const permitted = this.crossOrigin(asked)
    if (permitted === undefined) {
      answer(response, 403, [["Vary", "Origin"]], "pages of this origin may not ask\n")
      return undefined
    }
    if (asked.method === "OPTIONS" && this.options.origin !== undefined && !methods.includes("OPTIONS")) {
      answer(response, 204, CrossOrigin.preflight(permitted, methods.join(", "), wanted(asked)))
      return undefined
    }
    // A page that may read is to know also why it has no events.
    const cors = [...permitted, ...headers.filter(([name]) => CrossOrigin.isField(name))]
    if (!isHead && !methods.includes(asked.method)) {
      const allow = methods.includes("GET") ? ["HEAD", ...methods] : methods
      answer(response, 405, [...cors, ["Allow", allow.join(", ")]], "method not allowed\n")
      return undefined
    }
    if (!accepts(asked.headers.accept)) {
      answer(response, 406, cors, "this is an event stream: text/event-stream\n")
      return undefined
    }
    if (this.draining) {
      answer(response, 503, [...cors, ["Retry-After", "1"]], "the server is shutting down\n")
      return undefined
    }
    const fields = fieldsOf(EventStreamBody.headers, permitted, headers)
    if (isHead) {
      answer(response, 200, [...fields])
      return undefined
    }
    writeHead(response, fields)
    const settings = encoding === undefined ? this.settings : this.settingsWith(encoding)
    const opened = new EventStreamResponse(response, settings, this.opening, this.forget)
    if (opened.isOpen) this.responses.add(opened)
    return opened
  }

  /** The fields for a page of another origin, if it may ask. */
  private crossOrigin(asked: CrossOrigin.Asked): Headers | undefined {
    const { origin } = this.options
    return origin === undefined ? [] : CrossOrigin.fields(origin, asked, "Retry-After")
  }

  /** Of all responses with that encoding. */
  private settingsWith(encoding: EventEncoding): Settings {
    let settings = this.withEncoding.get(encoding)
    if (settings === undefined) this.withEncoding.set(encoding, (settings = { ...this.settings, encoding }))
    return settings
  }

  /** Answers on a socket of its own, unless another answer is due. */
  beginOn(
    asked: Pick<EventStreamRequest, "headers">,
    socket: Socket,
    { encoding, headers = [] }: ResponseOptions
  ): EventStreamResponse | undefined {
    const { methods = ["GET"] } = this.options
    const permitted = this.crossOrigin(asked)
    if (permitted === undefined) return undefined
    if (!methods.includes("GET") || !accepts(asked.headers.accept) || this.draining) return undefined
    let head = "HTTP/1.1 200 OK\r\n"
    for (const [name, value] of fieldsOf(EventStreamBody.headers, permitted, headers)) {
      // As `node:http` does: a U+010A would leave as a line feed.
      http.validateHeaderName(name)
      http.validateHeaderValue(name, value)
      head += `${name}: ${value}\r\n`
    }
    head += `Date: ${new Date(this.settings.now()).toUTCString()}\r\n`
    head += "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    socket.on("error", ignore).on("end", endSoon).resume()
    socket.write(head, "latin1")
    const settings = encoding === undefined ? this.settings : this.settingsWith(encoding)
    const opened = new EventStreamResponse(socket, settings, this.opening, this.forget)
    if (opened.isOpen) this.responses.add(opened)
    return opened
  }

  private readonly forget = (response: EventStreamResponse): void => void this.responses.delete(response)

  respond<E, R>(
    asked: Asked,
    events: (request: EventStreamRequest) => Stream.Stream<Printable, E, R>,
    options: ResponseOptions
  ): Effect.Effect<void, E | InvalidEvent, R> {
    return Effect.contextWith((context: Context.Context<R>) => {
      const opened = this.begin(asked, options)
      if (opened === undefined) return Effect.void
      // What is asked for is let go once there is a stream, unless that keeps it.
      return Effect.callback<void, E | InvalidEvent>((resume) => {
        const written = Effect.suspend(() =>
          writeAll(opened, events(readRequest(asked, this.options.lastEventIdParameter)))
        )
        return startUntilClosed(opened, written, context, resume)
      })
    })
  }

  /** Ends the responses, in batches over the window, and waits until clients have read their ends, or were cut. */
  drain({ window = "1 second" }: DrainOptions): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      const all = [...this.responses]
      const batch = Math.max(smallestBatch, Math.ceil(all.length / batchesInWindow))
      const pause = Duration.millis(Duration.toMillis(window) / batchesInWindow)
      const finishFrom = (from: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          for (const response of all.slice(from, from + batch)) response.finish()
          const next = from + batch
          return next < all.length ? Effect.andThen(Effect.sleep(pause), finishFrom(next)) : Effect.void
        })
      return Effect.andThen(
        finishFrom(0),
        Effect.forEach(all, (response) => response.ended, { discard: true })
      )
    })
  }
}

/**
 * Event streams of a server, which end when the scope does: then each response gets its end, in batches over
 * `drain.window`; who does not read it within 5 s is cut. Whoever comes after that is answered with 503.
 *
 * All of them share one timer. Dies when `retry` is not finite.
 */
export const make = (options: Options = {}): Effect.Effect<EventStreams, never, Scope.Scope> =>
  Effect.gen(function* () {
    const heartbeat = Duration.toMillis(options.heartbeat ?? EventStreamBody.defaultHeartbeat)
    const opening = Result.getOrThrow(EventStreamBody.opening(options))
    const stallTimeout = Duration.toMillis(options.stallTimeout ?? defaults.stallTimeout)
    const wheel = yield* TimerWheel.make(Duration.millis(Math.min(heartbeat, stallTimeout / looksInStall, 5_000)))
    const clock = yield* Clock.Clock
    const settings: Settings = {
      wheel,
      heartbeat,
      stallTimeout,
      outboxBytes: options.outboxBytes ?? defaults.outboxBytes,
      encoding: messages,
      now: () => clock.currentTimeMillisUnsafe()
    }
    const streams = yield* Effect.acquireRelease(
      Effect.sync(() => new Streams(options, settings, opening)),
      (streams) => streams.drain(options.drain ?? {})
    )
    const openUnsafe: EventStreams["openUnsafe"] = (request, response, options = {}) =>
      streams.begin(askedBy(request, response), options)
    return {
      respond: (request, response, events, options = {}) =>
        streams.respond(askedBy(request, response), events, options),
      respondStream: (stream, headers, events, options = {}) =>
        streams.respond(askedOn(stream, headers), events, options),
      openUnsafe,
      openSocketUnsafe: (request, socket, options = {}) => streams.beginOn(request, socket, options),
      open: (request, response, options) =>
        Effect.acquireRelease(
          Effect.sync(() => openUnsafe(request, response, options)),
          (opened) => Effect.sync(() => opened?.finish())
        ),
      size: () => streams.size
    }
  })

/** One response, as `EventStreams.respond`, with a timer of its own. A server of many makes its `EventStreams` once. */
export const respond = <E, R>(
  request: AnyRequest,
  response: AnyResponse,
  events: (request: EventStreamRequest) => Stream.Stream<Printable, E, R>,
  options: Options & ResponseOptions = {}
): Effect.Effect<void, E | InvalidEvent, R> =>
  Effect.scoped(
    Effect.flatMap(make(options), (streams) => streams.respond(request, response, events, options))
  ) as Effect.Effect<void, E | InvalidEvent, R>
