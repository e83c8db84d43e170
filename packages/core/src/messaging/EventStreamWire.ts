/**
 * A connection over plain HTTP, for a session where a WebSocket does not get through: what the server says comes as an
 * event stream, what we say goes by POST. docs/session-protocol.md, "Over an event stream and POST".
 *
 *     const open = EventStreamWire.open("https://example.com/chat", { fetch: Fetch.fromWeb(globalThis.fetch) })
 *     const chat = yield* Client.make(Chat, open)
 *
 * It has the face of a WebSocket connection. Not in here: which of the two to take, which is `Fallback`; the server,
 * which is in the platform packages.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventStream from "../codec/EventStream.ts"
import * as Messages from "../codec/EventStreamMessages.ts"
import * as HttpHeaders from "../codec/HttpHeaders.ts"
import * as EventSourceRequest from "../connection/EventSourceRequest.ts"
import type { Fetch, Request, Response } from "../connection/Fetch.ts"
import { defaults } from "../connection/Limits.ts"
import { LinkConnection } from "../connection/LinkConnection.ts"
import * as OpenByFetch from "../connection/OpenByFetch.ts"
import type { Reason } from "../connection/OpenByFetch.ts"
import { HandshakeTimeout, OpenError } from "../connection/OpenError.ts"
import { type Begun, PostLink } from "../connection/PostLink.ts"
import type { WebSocket } from "../connection/WebSocket.ts"
import { TransportError } from "../connection/WebSocketError.ts"

/** What a connection may take, and how long it may wait. Sizes are in bytes. */
export interface Limits {
  /** Longest message received. Default 1 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Bytes of received messages that wait to be pulled. Above it no more is read. Default 64 KiB. */
  readonly inboxBytes?: number | undefined
  /** Bytes that wait to be posted, or for the answer. Above it `send` suspends. Default 1 MiB. */
  readonly outboxBytes?: number | undefined
  /** How long the closing may take before it is cut. Default 5 s. */
  readonly closeTimeout?: Duration.Input | undefined
}

/** How to open a connection. Nothing but `fetch` is required. */
export interface Options {
  readonly fetch: Fetch
  /** Sent with every request: Authorization and the like. A page of another origin has to be allowed to. */
  readonly headers?: HttpHeaders.Headers | Readonly<Record<string, string>> | undefined
  /** What is spoken, the one it likes best first: `Session.subprotocols`. Default: the server decides. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /** How long everything may take until the connection is open. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  readonly limits?: Limits | undefined
}

/** What opened. */
export interface Opened {
  /** Where, as it was resolved. */
  readonly url: string
}

/** The request that opens. */
const requestOf = (input: string, { headers, subprotocols = [] }: Options): Result.Result<Request, Reason> =>
  Result.map(OpenByFetch.requestOf(input, { method: "POST", headers }), (request) =>
    EventSourceRequest.withFields(request, [
      ["Accept", EventStream.mediaType],
      ...(subprotocols.length === 0 ? [] : [[Messages.Field.protocol, subprotocols.join(", ")] as const])
    ])
  )

const typeOf = (response: Response): string =>
  (HttpHeaders.combined(response.headers, "Content-Type") ?? "").split(";")[0]!.trim().toLowerCase()

/** Asks, and waits for the first event. */
const begin = (fetch: Fetch, request: Request, maxMessageBytes: number): Effect.Effect<Begun, Reason, Scope.Scope> =>
  Effect.gen(function* () {
    const response = yield* Effect.mapError(fetch(request), OpenByFetch.unsent)
    if (response.status !== 200) return yield* OpenByFetch.refuse(response, response.detail)
    const type = typeOf(response)
    if (type !== EventStream.mediaType)
      return yield* OpenByFetch.refuse(response, `its type is ${type === "" ? "not said" : type}`)
    const pull = yield* Stream.toPull(response.body)
    const limit = Messages.eventBytes(maxMessageBytes)
    const parser = EventStream.makeParser({ maxEventBytes: limit, maxLineBytes: limit + 64 })
    for (;;) {
      const chunks = yield* Effect.mapError(pull, (error) => (error._tag === "Done" ? cut : OpenByFetch.unsent(error)))
      const events = chunks.flatMap((chunk) => parser.push(chunk).events)
      const [first, ...early] = events
      if (first === undefined) continue
      const opening = Messages.read(first)
      if (opening?._tag !== "Open")
        return yield* OpenByFetch.refuse({ ...response, body: Stream.empty }, "it is another event stream")
      return { opening, url: response.url, early, parser, pull }
    }
  })

const cut = new TransportError({ cause: new Error("the response ended before it had begun") })

/**
 * Opens a connection that lives as long as the scope, whose closing closes it with 1000 on success, 1001 when interrupted
 * and 1011 on failure. That takes `closeTimeout` at most. `ws:` and `wss:` mean `http:` and `https:`, so that one address
 * serves for both ways.
 *
 * Fails with `OpenError` as a WebSocket does: `Refused` when the server answers with something else than a connection,
 * with its status, its fields and its body; `HandshakeTimeout`; `TransportError`; `InvalidUrl` or `InvalidOptions`, the
 * caller's fault. Redirects are not followed.
 *
 * What differs from a WebSocket: messages up go in order, one POST at a time with all that waits; the server is silent no
 * longer than it says, and when nothing comes for twice as long the connection has failed with `Unresponsive`;
 * `sendStream` and `receiveStream` have whole messages in memory.
 */
export const open = (url: string | URL, options: Options): Effect.Effect<WebSocket<Opened>, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { fetch, handshakeTimeout = "10 seconds", limits = {} } = options
      const timeout = Duration.toMillis(handshakeTimeout)
      const maxMessageBytes = limits.maxMessageBytes ?? defaults.maxMessageBytes
      const context = yield* Effect.context<never>()
      const run = Effect.runForkWith(context)
      // The response outlives what waits for it: closing has an answer to wait for.
      const scope = yield* Scope.make()
      const request = yield* Effect.mapError(
        Effect.fromResult(requestOf(`${url}`, options)),
        (reason) => new OpenError({ reason })
      )
      const begun = yield* begin(fetch, request, maxMessageBytes).pipe(
        Scope.provide(scope),
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new HandshakeTimeout({ timeout })) }),
        Effect.mapError((reason) => new OpenError({ reason })),
        restore,
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      const headers = request.headers.filter(([name]) => !/^(accept|millrace-protocol)$/i.test(name))
      let link: PostLink | undefined
      const connection = new LinkConnection({
        link: (owner) => (link = new PostLink(owner, { begun, fetch, headers, scope, run })),
        handshake: { url: begun.url },
        limits: {
          maxMessageBytes,
          inboxBytes: limits.inboxBytes ?? defaults.inboxBytes,
          outboxBytes: limits.outboxBytes ?? defaults.outboxBytes,
          closeTimeout: Duration.toMillis(limits.closeTimeout ?? defaults.closeTimeout)
        },
        context
      })
      yield* Effect.addFinalizer((exit) => Effect.andThen(connection.shutdown(exit), Scope.close(scope, Exit.void)))
      yield* Effect.forkIn(Effect.interruptible(link!.watch), scope)
      yield* Effect.forkIn(Effect.interruptible(link!.read), scope, { startImmediately: true })
      return connection
    })
  )
