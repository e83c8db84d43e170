/**
 * A connection of HTTP/2 to one origin, for many WebSockets over it, each of them a stream: RFC 8441.
 *
 *     const program = Effect.gen(function* () {
 *       const session = yield* NodeHttp2Session.connect("https://example.com")
 *       const news = yield* NodeWebSocket.open("wss://example.com/news", { http2: session })
 *       const chat = yield* NodeWebSocket.open("wss://example.com/chat", { http2: session })
 *       yield* Stream.runForEach(news.messages, chat.send)
 *     })
 *
 * One WebSocket over HTTP/2 needs no session: `NodeWebSocket.open` with `http2: true` makes a connection for it.
 */
import { HandshakeTimeout, Http2Unavailable, InvalidOptions, OpenError } from "@millrace/core/connection/OpenError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Held } from "./client/Answer.ts"
import * as Dial from "./client/Dial.ts"
import * as Hop from "./client/Hop.ts"
import * as Http2 from "./client/Http2.ts"

export type { TlsOptions } from "./client/Hop.ts"
export type { Session } from "./client/Http2.ts"

/** How to connect. Nothing of it is required. */
export interface Options {
  /** For `https:`, such as `ca`, `cert` and `key`. */
  readonly tls?: Hop.TlsOptions | undefined
  /** A unix socket to connect to; the URL then says only what to ask for there. */
  readonly socketPath?: string | undefined
  /** How long everything may take until WebSockets can be opened: DNS, TCP, TLS, the server's settings. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /** How long the end of the TCP connection may take behind the last WebSocket before it is cut. Default 5 s. */
  readonly closeTimeout?: Duration.Input | undefined
  /**
   * Bytes that the server may send on one WebSocket before they are read: what can lie here, beside the inbox, while the
   * application takes no messages. Default 256 KiB. RFC 9113 section 6.9.2.
   */
  readonly streamWindowBytes?: number | undefined
  /**
   * The same for all WebSockets of the session together; one that is not read does not use it up. Default 1 MiB, at
   * least 65,535. RFC 9113 section 6.9.1.
   */
  readonly sessionWindowBytes?: number | undefined
}

const isWindow = (size: number, least: number) => Number.isInteger(size) && size >= least && size < 2 ** 31

/** Fails with `InvalidOptions`, the caller's fault, for a window that there cannot be. */
const settingsOf = (options: Options): Result.Result<Http2.Settings, InvalidOptions> => {
  const { closeTimeout = "5 seconds" } = options
  const {
    sessionWindowBytes = Http2.defaults.sessionWindowBytes,
    streamWindowBytes = Http2.defaults.streamWindowBytes
  } = options
  return isWindow(streamWindowBytes, 1) && isWindow(sessionWindowBytes, 65_535)
    ? Result.succeed({
        streamWindowBytes,
        sessionWindowBytes,
        closeTimeout: Duration.toMillis(closeTimeout),
        isAlone: false
      })
    : Result.fail(new InvalidOptions({ cause: new RangeError("no window of HTTP/2 has that size") }))
}

/** `node:tls` says so when the server has none of the protocols that were offered. */
const noProtocol = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL"

const unavailable = new Http2Unavailable({ clause: "RFC 9113 3.2", detail: "the server speaks no HTTP/2" })

/**
 * Connects to an origin and waits for its settings. The connection ends with the scope, after its WebSockets: those that
 * are still open then are closed with 1001.
 *
 * `url` is `https://host`, or `http://host` for a server that is known to speak HTTP/2 without TLS; `wss:` and `ws:` mean
 * the same, and a path is of no matter. `ws+unix:` and `wss+unix:` as for `NodeWebSocket.open`.
 *
 * When the server goes away, by GOAWAY, by an error or by the end of the TCP connection, no more WebSockets can be opened
 * over it, and those that are open end as over any connection that is lost; after a GOAWAY that tells of no error, those
 * that the server still serves go on. What is lost stays lost: whoever wants another connects again.
 *
 * Fails with `OpenError`: `Http2Unavailable` when the server speaks no HTTP/2 or takes no WebSockets over it.
 */
export const connect = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<Http2.Session, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const timeout = Duration.toMillis(options.handshakeTimeout ?? "10 seconds")
      const held = new Held()
      return Effect.gen(function* () {
        const settings = yield* Effect.fromResult(settingsOf(options))
        const way = yield* Effect.fromResult(Hop.first(url, options))
        const socket = yield* Effect.mapError(Dial.dial(way, ["h2"], held), (reason) =>
          reason._tag === "TransportError" && (reason.cause as { code?: unknown }).code === noProtocol
            ? unavailable
            : reason
        )
        if (Hop.isSecure(way) && Dial.chosenProtocol(socket) !== "h2") return yield* unavailable
        const session = new Http2.Session(way, socket, settings)
        held.hold(() => session.destroy())
        yield* session.ready
        return session
      }).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new HandshakeTimeout({ timeout })) }),
        restore,
        Effect.onError(() => Effect.sync(() => held.release())),
        Effect.mapError((reason) => new OpenError({ reason })),
        Effect.tap((session) => Effect.addFinalizer(() => session.shutdown))
      )
    })
  )
