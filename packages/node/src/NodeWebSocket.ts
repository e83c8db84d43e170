/**
 * WebSocket clients on Node.js.
 *
 *     const program = Effect.gen(function* () {
 *       const connection = yield* NodeWebSocket.open("wss://example.com/chat", { subprotocols: ["chat"] })
 *       yield* connection.send("hello")
 *       yield* Stream.runForEach(connection.messages, Console.log)
 *     }).pipe(
 *       Effect.scoped,
 *       Effect.catchReason("OpenError", "Refused", ({ status, text }) => Console.error(`no: ${status} ${text}`))
 *     )
 *
 * Over HTTP/1.1 (`client/Http1`), or over HTTP/2 on a connection of its own or one that is shared (`client/Http2`,
 * `NodeHttp2Session`). Not in here: reconnecting.
 */
import { randomFillSync } from "node:crypto"
import type * as http from "node:http"
import type { InvalidHead, MalformedHead } from "@millrace/core/codec/HandshakeError"
import * as HttpHeaders from "@millrace/core/codec/HttpHeaders"
import * as Redirection from "@millrace/core/codec/Redirection"
import * as Extension from "@millrace/core/connection/Extension"
import type { Limits } from "@millrace/core/connection/Limits"
import { HandshakeTimeout, InvalidOptions, OpenError } from "@millrace/core/connection/OpenError"
import type { Refused } from "@millrace/core/connection/Refused"
import type { Tap } from "@millrace/core/connection/Tap"
import type { Transport } from "@millrace/core/connection/Transport"
import * as WebSocket from "@millrace/core/connection/WebSocket"
import type { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type Answer, type Asked, Held, Refusing } from "./client/Answer.ts"
import * as Dial from "./client/Dial.ts"
import * as Hop from "./client/Hop.ts"
import * as Http1 from "./client/Http1.ts"
import * as Http2 from "./client/Http2.ts"

export type { TlsOptions } from "./client/Hop.ts"

/** How to open a connection. Nothing of it is required. */
export interface Options {
  /** Cookies, authorization and the like. Those that the handshake is made of cannot be among them. */
  readonly headers?: HttpHeaders.Headers | Readonly<Record<string, string>> | undefined
  /** The one it likes best first. The server may choose one of them, or none. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /** What is offered to the server, which may agree to it or not. In the order of preference. Default: none. */
  readonly extensions?: ReadonlyArray<Extension.Extension> | undefined
  /** The origin of the page that this client acts for, such as `https://example.com`. Programs send none. */
  readonly origin?: string | undefined
  /** How long everything may take until the connection is open: DNS, TCP, TLS, redirects, the answer. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /** For `wss:`, such as `ca`, `cert` and `key`. The last two are not shown to another origin after a redirect. */
  readonly tls?: Hop.TlsOptions | undefined
  /**
   * The WebSocket over HTTP/2: RFC 8441. `true`: on a connection of its own; over HTTP/1.1 where a server of `wss:` has
   * not HTTP/2, or no WebSockets over it. For `ws:` there is no such other way, as the first bytes have to be those of
   * the right version. A session: on that connection, with its `tls` and `socketPath`, and on no other. Default: not
   * over HTTP/2.
   */
  readonly http2?: boolean | Http2.Session | undefined
  /** Makes the connections, through a proxy for instance. Default: one connection, which nothing else will use. */
  readonly agent?: http.Agent | undefined
  /** A unix socket to connect to; the URL then says only what to ask for there. */
  readonly socketPath?: string | undefined
  /**
   * How many redirects are followed. Default 0: a redirect is a refusal. To another origin go only headers that any
   * page could send, and no client certificate; from `wss:` to `ws:` none is followed.
   */
  readonly maxRedirects?: number | undefined
  readonly limits?: Partial<Limits> | undefined
  /** What to put beneath the connection, such as a `Recorder`. Default: nothing. */
  readonly tap?: Tap | undefined
}

/** The server's answer that opened the connection. */
export interface Opened extends Pick<Answer, "headers" | "httpVersion" | "status"> {
  /** Where it was opened, after redirects. */
  readonly url: string
}

/** Random bytes are drawn many at a time: a call for four costs as much as one for thousands. */
const keys = new Int32Array(2_048)
let drawn = keys.length

/** An unpredictable key, for one frame: RFC 6455 sections 5.3 and 10.3. */
const maskingKey = (): number => {
  if (drawn === keys.length) {
    randomFillSync(keys)
    drawn = 0
  }
  return keys[drawn++]!
}

type Reason = OpenError["reason"]

/** A connection whose opening handshake is done. */
interface Handshaken {
  readonly transport: Transport
  readonly subprotocol: string | undefined
  readonly extensions: Extension.Agreed
  readonly handshake: Opened
  readonly answer: Answer
}

/** What is wrong with options that do not go together. */
const conflict = ({ agent, http2, socketPath, tls }: Options, hop: Hop.Hop): string | undefined => {
  if (http2 === undefined || http2 === false) return undefined
  if (agent !== undefined) return "an agent makes connections of HTTP/1.1"
  if (http2 === true) return undefined
  if (tls !== undefined || socketPath !== undefined) return "tls and socketPath are those of the session"
  if (hop.socketPath !== undefined && hop.socketPath !== http2.socketPath) return "the session is with another socket"
  return hop.url.origin === http2.origin ? undefined : `the session is one with ${http2.origin}`
}

/** A connection that is being opened: at most one request at a time, and what has become of it. */
class Opening {
  private readonly options: Options
  private readonly settings: WebSocket.Settings
  private readonly held = new Held()
  private refusing: Refusing | undefined

  constructor(options: Options, settings: WebSocket.Settings) {
    this.options = options
    this.settings = settings
  }

  /** Leaves no socket behind, not even one that was upgraded. */
  abort(): void {
    this.held.release()
  }

  /** Why it is not open when the time is over. A refusal counts, though its body has not come to an end. */
  late(timeout: number): HandshakeTimeout | Refused {
    return this.refusing?.end(true) ?? new HandshakeTimeout({ timeout })
  }

  /** Goes where the URL says. */
  start(url: string | URL): Effect.Effect<Handshaken, Reason> {
    return Effect.gen({ self: this }, function* () {
      const { extensions = [], maxRedirects = 0, origin, subprotocols } = this.options
      const hop = yield* Effect.fromResult(Hop.first(url, this.options))
      const composed = yield* Effect.try({
        try: () => Extension.compose(extensions),
        catch: (cause) => new InvalidOptions({ cause })
      })
      const wrong = conflict(this.options, hop)
      if (wrong !== undefined) return yield* new InvalidOptions({ cause: new TypeError(wrong) })
      const asked = { subprotocols, origin, extensions: composed.flatMap(({ offers }) => offers) }
      return yield* this.follow(hop, asked, maxRedirects)
    })
  }

  /** Asks there, and where the answer sends us. */
  private follow(hop: Hop.Hop, asked: Asked, redirectsLeft: number): Effect.Effect<Handshaken, Reason> {
    return Effect.flatMap(this.ask(hop, asked), (answer) => {
      const { agreed, headers, httpVersion, status, transport } = answer
      if (Result.isSuccess(agreed) && transport !== undefined) {
        const { subprotocol } = agreed.success
        const handshake = { status, headers, httpVersion, url: hop.url.href }
        return Effect.map(
          Effect.fromResult(Extension.verify(this.options.extensions ?? [], agreed.success.extensions)),
          (extensions) => {
            const facts = { role: "client", url: handshake.url, subprotocol, extensions } as const
            const tapped = this.options.tap?.(transport, facts) ?? transport
            return { transport: tapped, subprotocol, extensions, handshake, answer }
          }
        )
      }
      if (Result.isFailure(agreed) && agreed.failure._tag === "HandshakeViolation") return Effect.fail(agreed.failure)
      const next = this.next(hop, answer, redirectsLeft)
      if (Result.isFailure(next)) {
        this.refusing = new Refusing(answer, hop.url.href, next.failure)
        return this.refusing.read
      }
      this.abort()
      return this.follow(next.success, asked, redirectsLeft - 1)
    })
  }

  /** Where the answer sends us, when we go there; or why not, for the refusal of a redirect that was to be followed. */
  private next(
    hop: Hop.Hop,
    { headers, status }: Answer,
    redirectsLeft: number
  ): Result.Result<Hop.Hop, string | undefined> {
    const { http2, maxRedirects = 0 } = this.options
    if (maxRedirects === 0 || !Redirection.isRedirection(status)) return Result.fail(undefined)
    if (redirectsLeft === 0) return Result.fail("too many redirects")
    return Result.flatMap(Hop.next(hop, HttpHeaders.values(headers, "Location")[0]), (next) =>
      typeof http2 === "object" && next.url.origin !== http2.origin
        ? Result.fail("it redirects to another origin than that of the session")
        : Result.succeed(next)
    )
  }

  private ask(hop: Hop.Hop, asked: Asked): Effect.Effect<Answer, Exclude<Reason, Refused>> {
    const { agent, http2 } = this.options
    if (http2 === undefined || http2 === false) return this.askHttp1(hop, asked, { agent })
    const request = Http2.request(hop, asked)
    if (Result.isFailure(request)) return Effect.fail(request.failure)
    if (http2 !== true) return http2.ask(request.success, this.settings, this.held)
    const alpn = ["h2", "http/1.1"]
    return Effect.flatMap(Dial.dial(hop, alpn, this.held), (socket) => {
      if (Hop.isSecure(hop) && Dial.chosenProtocol(socket) !== "h2") return this.askHttp1(hop, asked, { socket })
      const { closeTimeout } = this.settings
      const session = new Http2.Session(hop, socket, { ...Http2.defaults, closeTimeout, isAlone: true })
      this.held.hold(() => session.destroy())
      const answer = Effect.andThen(session.ready, session.ask(request.success, this.settings, this.held))
      if (!Hop.isSecure(hop)) return answer
      return Effect.catchTag(answer, "Http2Unavailable", () => {
        this.abort()
        return this.askHttp1(hop, asked, {})
      })
    })
  }

  private askHttp1(
    hop: Hop.Hop,
    asked: Asked,
    way: Http1.Way
  ): Effect.Effect<Answer, InvalidHead | InvalidOptions | MalformedHead | TransportError> {
    return Http1.ask(hop, asked, way, this.settings, this.held)
  }
}

/**
 * Opens a connection that lives as long as the scope, whose closing closes it with 1000, with 1011 on failure and with
 * 1001 when interrupted. Interrupting `open` leaves no socket behind.
 *
 * `url` is `ws://host/chat`, `wss://host/chat` (`http:` and `https:` mean the same), or `ws+unix:/path/to.sock:/chat`
 * for a unix socket, where a colon in its path is written `%3A`.
 *
 * Fails with `OpenError`, whose reason says whose fault it was.
 */
export const open = (
  url: string | URL,
  options: Options = {}
): Effect.Effect<WebSocket.WebSocket<Opened>, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const settings = WebSocket.settings("client", options.limits, maskingKey)
      const timeout = Duration.toMillis(options.handshakeTimeout ?? "10 seconds")
      const opening = new Opening(options, settings)
      return opening.start(url).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(opening.late(timeout)) }),
        restore,
        Effect.onError(() => Effect.sync(() => opening.abort())),
        Effect.mapError((reason) => new OpenError({ reason })),
        Effect.flatMap((handshaken) => connect(handshaken, settings))
      )
    })
  )

/** Finalizers run last to first: the closing handshake is over when a session that was for this connection ends. */
const connect = (
  { answer, ...opened }: Handshaken,
  settings: WebSocket.Settings
): Effect.Effect<WebSocket.WebSocket<Opened>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { body, session } = answer
    if (session?.isAlone === true) yield* Effect.addFinalizer(() => session.shutdown)
    const wheel = yield* WebSocket.makeWheel(settings)
    const connection = yield* WebSocket.make({ ...opened, settings, wheel })
    session?.adopt(body, connection)
    return connection
  })
