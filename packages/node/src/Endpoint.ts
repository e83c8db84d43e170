/**
 * An endpoint: what a server does with a request to open a WebSocket, as a value. Who may connect, how that is found
 * out, what the limits are, and the handler that is the life of a connection.
 */
import { type InvalidHead, Refusal } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import * as Negotiation from "@millrace/core/codec/Negotiation"
import * as Origin from "@millrace/core/codec/Origin"
import * as Extension from "@millrace/core/connection/Extension"
import type { Limits } from "@millrace/core/connection/Limits"
import type * as TimerWheel from "@millrace/core/connection/TimerWheel"
import type { Tap } from "@millrace/core/connection/Tap"
import type { Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as NodeTransport from "./NodeTransport.ts"
import * as Upgrade from "./Upgrade.ts"

/** A handshake's "yes", with what the connection is to carry. */
export interface Accepted<out A> {
  readonly value: A
  /** In place of the first of the endpoint's `subprotocols` that the client offers. It must have offered it. */
  readonly subprotocol?: string | undefined
  /** Fields for the response, such as `Set-Cookie`. */
  readonly headers?: Headers | undefined
  /** What to put beneath this connection, in place of the endpoint's `tap`. */
  readonly tap?: Tap | undefined
}

/** Accepts with a value. */
export const accept = <A>(value: A, options?: Omit<Accepted<A>, "value">): Accepted<A> => ({ ...options, value })

/** Refuses with a status from 300 to 599. The client is sent `body`, as plain text unless `headers` say otherwise. */
export const refuse = (
  status: number,
  options: { readonly headers?: Headers; readonly body?: string } = {}
): Effect.Effect<never, Refusal> =>
  Effect.fail(
    new Refusal({
      status,
      headers: options.headers ?? [],
      clause: "RFC 6455 4.2.2",
      detail: "refused",
      body: options.body
    })
  )

/** Who may connect, and what a connection may take. Nothing of it is required. */
export interface Options<A, RH = never> {
  /** Which pages may connect. Default: those of the same origin. A client that is no browser sends none, and may. */
  readonly origin?: Origin.Policy | undefined
  /** The subprotocols spoken here, the preferred one first. A client that offers none of them is served without. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /**
   * Spoken where the client offers them, and applied in this order. Default: none, so nothing is compressed. Two that
   * cannot be used together are a `TypeError`.
   */
  readonly extensions?: ReadonlyArray<Extension.Extension> | undefined
  /** Looks at the request and accepts with a value that the connection carries, or refuses. Default: accepts. */
  readonly handshake?: ((request: Upgrade.UpgradeRequest) => Effect.Effect<Accepted<A>, Refusal, RH>) | undefined
  /** How long `handshake` may take before the client is refused with 503. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /**
   * Bytes of the target of a request and of the names and values of its fields, as they are when they are not
   * compressed. Beyond it: 431. Default 16 KiB.
   */
  readonly maxHandshakeBytes?: number | undefined
  /** Fields of a request, repeated ones too. Beyond it: 431. Default 128. */
  readonly maxHandshakeFields?: number | undefined
  readonly limits?: Partial<Limits> | undefined
  /**
   * How long a handler may go on after its connection has ended, whatever it is at, before it is interrupted. Default:
   * the `closeTimeout` of `limits`. More for a handler that works through what it has received, such as writes to a
   * database, which an interruption would cut short.
   */
  readonly grace?: Duration.Input | undefined
  /** What to put beneath each connection, such as a `Recorder`. Default: nothing. */
  readonly tap?: Tap | undefined
}

/**
 * The life of a connection, in a scope of its own: when it returns, the connection is closed with 1000, with 1011 when
 * it fails and with 1001 when it is interrupted. A handler that still runs `grace` after its connection has ended
 * is interrupted, whatever it is at; what has to be done in any case belongs in a finalizer.
 */
export type Handler<A, E, R> = (connection: WebSocket.WebSocket<A>) => Effect.Effect<unknown, E, R>

/** Made by `make`; where it is, a server says. */
export interface Endpoint<A, E, R> {
  readonly options: Options<A, R>
  readonly handler: Handler<A, E, R>
  readonly settings: WebSocket.Settings
  readonly extensions: ReadonlyArray<Extension.Extension>
  readonly maxima: Upgrade.Limits
  /** In milliseconds. */
  readonly grace: number
}

/**
 * An endpoint, for `Connections.serve` or a server of your own; most want `NodeWebSocketServer.route`. Throws a
 * `TypeError` for extensions that cannot be used together.
 */
export const make = <A = undefined, E = never, R = never, RH = never>(
  options: Options<A, RH>,
  handler: Handler<A, E, R>
): Endpoint<A, E, R | RH> => {
  const settings = WebSocket.settings("server", options.limits)
  const grace = options.grace === undefined ? settings.closeTimeout : Duration.toMillis(options.grace)
  const { maxHandshakeBytes, maxHandshakeFields } = Upgrade.defaultLimits
  return {
    options: options as Options<A, R | RH>,
    handler,
    settings,
    extensions: Extension.compose(options.extensions ?? []),
    maxima: {
      maxHandshakeBytes: options.maxHandshakeBytes ?? maxHandshakeBytes,
      maxHandshakeFields: options.maxHandshakeFields ?? maxHandshakeFields
    },
    grace
  }
}

/** What an endpoint needs of the server that it runs on; told when the connection has ended. */
export interface Host extends WebSocket.Observer {
  readonly wheel: TimerWheel.TimerWheel
}

/**
 * Answers an upgrade and, when it was accepted, runs the handler to its end. Never fails: a refusal is an answer, a
 * connection that was lost is logged at level Debug, and any other failure of the handler at level Error.
 *
 * Where there is nobody to ask, the answer is given in the call. Not only is that less to do: what is captured by the
 * functions that effects are made of may stay in memory until the next major collection.
 */
export const serve = <A, E, R>(
  endpoint: Endpoint<A, E, R>,
  upgrade: Upgrade.Upgrade,
  host: Host
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> => {
  if (upgrade.cutEarly()) return Effect.void
  if (endpoint.options.handshake !== undefined) return serveAsking(endpoint, upgrade, host)
  const begun = begin(endpoint, upgrade)
  if (Result.isFailure(begun)) {
    upgrade.refuse(begun.failure)
    return Effect.void
  }
  const finished = finish(endpoint, begun.success, unasked as Accepted<A>)
  if (Result.isSuccess(finished)) return run(endpoint, finished.success, host)
  upgrade.refuse(Upgrade.internalError)
  return reportHandshake(finished.failure)
}

/** What an endpoint without a handshake accepts with: only then may `A` be left to its default, `undefined`. */
const unasked: Accepted<unknown> = { value: undefined }

const serveAsking = <A, E, R>(
  endpoint: Endpoint<A, E, R>,
  upgrade: Upgrade.Upgrade,
  host: Host
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
  Effect.matchCauseEffect(open(endpoint, upgrade), {
    onFailure: (cause) =>
      Effect.suspend(() => {
        const refusal = cause.reasons.find((reason) => reason._tag === "Fail")?.error
        upgrade.refuse(refusal ?? Upgrade.internalError)
        return refusal === undefined ? reportHandshake(cause) : Effect.void
      }),
    onSuccess: (opened) => run(endpoint, opened, host)
  }).pipe(Effect.uninterruptible) as Effect.Effect<void, never, Exclude<R, Scope.Scope>>

const reportHandshake = (why: unknown) => Effect.logError("the handshake of a WebSocket failed", why)

/** A connection that was accepted and that nobody has read from. */
export interface Opened<A> {
  readonly transport: Transport
  readonly subprotocol: string | undefined
  readonly extensions: Extension.Agreed
  readonly handshake: A
}

/**
 * Accepts an upgrade, and then somebody has to `run` it; or fails with the refusal, and then somebody has to send it.
 * Until it has accepted it can be interrupted, and is refused with 503. Dies when `handshake` does, or accepts with
 * what cannot be sent.
 */
export const open = <A, R>(
  endpoint: Endpoint<A, unknown, R>,
  upgrade: Upgrade.Upgrade
): Effect.Effect<Opened<A>, Refusal, R> =>
  Effect.suspend((): Effect.Effect<Opened<A>, Refusal, R> => {
    const { handshake, handshakeTimeout } = endpoint.options
    const begun = begin(endpoint, upgrade)
    if (Result.isFailure(begun)) return Effect.fail(begun.failure)
    const accepted =
      handshake === undefined
        ? Effect.succeed(unasked as Accepted<A>)
        : ask(handshake(begun.success.request), handshakeTimeout, upgrade)
    return Effect.map(accepted, (accepted) => Result.getOrThrow(finish(endpoint, begun.success, accepted)))
  }).pipe(Effect.uninterruptible)

interface Begun extends Upgrade.Asked {
  readonly transport: Transport
}

const begin = <A, R>(
  { maxima, options, settings }: Endpoint<A, unknown, R>,
  upgrade: Upgrade.Upgrade
): Result.Result<Begun, Refusal> => {
  const read = upgrade.read(maxima)
  if (Result.isFailure(read)) return Result.fail(read.failure)
  const { accept, request } = read.success
  const origin = Negotiation.checkOrigin(request.client, options.origin, request.scheme)
  if (Result.isFailure(origin)) return Result.fail(origin.failure)
  // Taken over before anything waits, so that a client which goes away is noticed and harms nobody.
  const transport = NodeTransport.make(upgrade.duplex, upgrade.head, settings)
  return Result.succeed({ accept, request, transport })
}

/** Fails for what cannot be sent, a mistake of the handshake: a header, a subprotocol nobody offered. */
const finish = <A>(
  { extensions, options }: Pick<Endpoint<A, never, unknown>, "extensions" | "options">,
  { accept, request, transport }: Begun,
  { headers, subprotocol, tap = options.tap, value }: Accepted<A>
): Result.Result<Opened<A>, InvalidHead> => {
  const { client } = request
  const chosen = subprotocol ?? Negotiation.chooseSubprotocol(client, options.subprotocols ?? [])
  const agreed = Extension.accept(extensions, client.extensions)
  const accepted = accept({ subprotocol: chosen, extensions: agreed.response, headers })
  return Result.map(accepted, () => {
    const opened = { transport, subprotocol: chosen, extensions: agreed, handshake: value }
    if (tap === undefined) return opened
    const query = request.query.size === 0 ? "" : `?${request.query}`
    const facts = { role: "server", url: request.path + query, subprotocol: chosen, extensions: agreed } as const
    return { ...opened, transport: tap(transport, facts) }
  })
}

/** What `handshake` says, for as long as the client, the server and our patience last. */
const ask = <A, R>(
  handshake: Effect.Effect<Accepted<A>, Refusal, R>,
  timeout: Duration.Input = "10 seconds",
  { duplex }: Upgrade.Upgrade
): Effect.Effect<Accepted<A>, Refusal, R> =>
  Effect.raceFirst(
    Effect.timeoutOrElse(handshake, { duration: timeout, orElse: () => Effect.fail(tooSlow) }),
    Effect.andThen(NodeTransport.closed(duplex), Effect.fail(gone))
  ).pipe(
    Effect.interruptible,
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.fail(Upgrade.shuttingDown) : Effect.failCause(cause)
    )
  )

const tooSlow = new Refusal({
  status: 503,
  headers: [],
  clause: "RFC 9110 15.6.4",
  detail: "the handshake took too long"
})

const gone = new Refusal({ status: 400, headers: [], clause: "RFC 6455 4.2", detail: "the client has gone" })

/** Runs the handler of a connection that was accepted. Never fails, and what went wrong is logged, as by `serve`. */
export const run = <A, E, R>(
  endpoint: Endpoint<A, E, R>,
  opened: Opened<A>,
  host: Host
): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
  Effect.uninterruptible(Effect.catchCause(Effect.scoped(Effect.suspend(() => live(endpoint, opened, host))), report))

/**
 * The effects of a connection's life, made when it starts: what waits on a fiber's stack keeps the effect it belongs
 * to, so whatever is described around the handler would stay in memory as long as the connection.
 */
const live = <A, E, R>(
  { handler, settings }: Endpoint<A, E, R>,
  { extensions, handshake, subprotocol, transport }: Opened<A>,
  host: Host
): Effect.Effect<void, E, R | Scope.Scope> =>
  Effect.flatMap(
    WebSocket.make({ transport, settings, wheel: host.wheel, subprotocol, extensions, handshake, observer: host }),
    // Only the handler: a connection that was accepted is closed properly, whenever the interruption comes.
    (connection) => Effect.interruptible(handler(connection)) as Effect.Effect<void, E, R>
  )

const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const isOurs = cause.reasons.some((reason) => reason._tag !== "Interrupt" && !isEndOfConnection(reason))
  const log = isOurs ? Effect.logError : Effect.logDebug
  return log("the handler of a WebSocket ended with a failure", cause)
}

/**
 * How `pull` and `receive` end, `Done` on an ordinary close, and how a session does: a handler that does nothing about it
 * does nothing wrong.
 */
const isEndOfConnection = (reason: object): boolean => {
  if (!("error" in reason)) return false
  const error = reason.error as { readonly _tag?: unknown; readonly reason?: { readonly _tag?: unknown } } | undefined
  if (Cause.isDone(error) || error?._tag === "WebSocketError") return true
  return error?._tag === "SessionError" && error.reason?._tag !== "Unencodable"
}
