/**
 * A client's end of a connection of HTTP/2, and the opening handshake of a WebSocket on a stream of it: RFC 8441. The
 * rules of the handshake are those of `codec/ExtendedConnect`.
 */
import { executionAsyncResource } from "node:async_hooks"
import * as http2 from "node:http2"
import type { Socket } from "node:net"
import * as CloseCode from "@millrace/core/codec/CloseCode"
import * as ExtendedConnect from "@millrace/core/codec/ExtendedConnect"
import { type InvalidHead, MalformedHead } from "@millrace/core/codec/HandshakeError"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import { Http2Unavailable, InvalidOptions } from "@millrace/core/connection/OpenError"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import { TransportError } from "@millrace/core/connection/WebSocketError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as NodeTransport from "../NodeTransport.ts"
import type { Answer, Asked, Held } from "./Answer.ts"
import type { Way } from "./Dial.ts"
import * as Hop from "./Hop.ts"

const { NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = http2.constants

/** What the server may send before it has to wait for us, in bytes. */
export interface Windows {
  /** On one stream: RFC 9113 section 6.9.2. */
  readonly streamWindowBytes: number
  /** On all of them: RFC 9113 section 6.9.1. */
  readonly sessionWindowBytes: number
}

/** Enough for 5 MB/s on one stream, and 20 MB/s on all, to a server 50 ms away. */
export const defaults: Windows = { streamWindowBytes: 262_144, sessionWindowBytes: 1_048_576 }

export interface Settings extends Windows {
  /** In milliseconds. */
  readonly closeTimeout: number
  /** Whether it is for one WebSocket only, and ends with it. */
  readonly isAlone: boolean
}

/** As much as `node:http` takes of the head of an answer over HTTP/1.1. */
const maxHeaderListSize = 16_384

/**
 * The native parts of sessions that have not closed. Node.js collects that of a session as soon as it is destroyed, and
 * aborts the process (`current_nghttp2_memory_`) when the stream of a malformed answer has ended in the same turn, which
 * a server can bring about. Seen with 22.19, 24.21 and 26.10, and not with a session that is held until it has closed.
 */
const unclosed = new Set<object>()

type Failure = Http2Unavailable | MalformedHead | TransportError

/** As Node.js tells of what went wrong below. */
type Cause = Error & { readonly code?: string }

/** What breaks the rules of HTTP/2 itself, according to the library under Node.js. */
const isViolation = (cause: Cause | undefined): boolean => cause?.code === "ERR_HTTP2_ERROR"

const malformed = (detail: string) => new MalformedHead({ status: 400, clause: "RFC 9113 5.4", detail })

const ended = () => new TransportError({ cause: new Error("the HTTP/2 session has ended") })

const pairs = (raw: ReadonlyArray<string>): Headers => {
  const headers: Array<readonly [string, string]> = []
  for (let i = 0; i + 1 < raw.length; i += 2) headers.push([raw[i]!, raw[i + 1]!])
  return headers
}

/** A request for a WebSocket, and what its answer is held against. */
export interface Request {
  readonly fields: Headers
  readonly wanted: Asked
}

/** The request of a hop. Fails with `InvalidHead`, the caller's fault, for what cannot be sent. */
export const request = (hop: Hop.Hop, asked: Asked): Result.Result<Request, InvalidHead> => {
  const scheme = Hop.isSecure(hop) ? "https" : "http"
  const wanted = { ...asked, scheme, host: hop.url.host, target: Hop.target(hop), headers: hop.headers } as const
  return Result.map(ExtendedConnect.request(wanted), (fields) => ({ fields, wanted }))
}

/**
 * A connection of HTTP/2 to one origin, as `NodeHttp2Session.connect` makes it. It is for `NodeWebSocket.open`, which
 * takes it as `http2`.
 */
export class Session {
  /** The origin whose WebSockets it carries, and no other's: such as `wss://example.com:8443`. */
  readonly origin: string
  readonly socketPath: string | undefined
  private readonly session: http2.ClientHttp2Session
  private readonly socket: Socket
  private readonly settings: Settings
  private readonly readiness = Deferred.makeUnsafe<void, Failure>()
  private readonly over = Deferred.makeUnsafe<void, TransportError>()
  /** The streams there are, each with its WebSocket once that is open. */
  private readonly streams = new Map<http2.ClientHttp2Stream, WebSocket | undefined>()
  private cause: Cause | undefined
  private isEnding = false
  private isOver = false
  private timer: NodeJS.Timeout | undefined

  /** Takes the socket over, which has just been connected. */
  constructor(way: Way, socket: Socket, settings: Settings) {
    this.origin = way.url.origin
    this.socketPath = way.socketPath
    this.socket = socket
    this.settings = settings
    this.session = http2.connect(this.origin.replace("ws", "http"), {
      createConnection: () => socket,
      // What waits to be sent is bounded by the outbox of each WebSocket, and need not be by all of them together.
      maxSessionMemory: 1_024,
      settings: { enablePush: false, initialWindowSize: settings.streamWindowBytes, maxHeaderListSize }
    })
    this.session.setLocalWindowSize(settings.sessionWindowBytes)
    this.session.on("error", (cause) => (this.cause = cause))
    this.session.once("remoteSettings", (settings) => this.onSettings(settings, executionAsyncResource()))
    this.session.on("close", () => this.onClose())
  }

  private onClose(): void {
    this.isOver = true
    clearTimeout(this.timer)
    Deferred.doneUnsafe(this.readiness, Exit.fail(this.unready()))
    Deferred.doneUnsafe(
      this.over,
      this.cause === undefined ? Exit.void : Exit.fail(new TransportError({ cause: this.cause }))
    )
  }

  /** Waits for the end of the connection; fails when it did not end in good order. */
  get closed(): Effect.Effect<void, TransportError> {
    return Deferred.await(this.over)
  }

  /** Waits for the settings of the server, before which extended CONNECT must not be used: RFC 8441 section 3. */
  get ready(): Effect.Effect<void, Failure> {
    return Deferred.await(this.readiness)
  }

  get isAlone(): boolean {
    return this.settings.isAlone
  }

  /** `native` is what has called, before there is any stream. */
  private onSettings({ enableConnectProtocol }: http2.Settings, native: object): void {
    unclosed.add(native)
    this.session.on("close", () => unclosed.delete(native))
    const detail = "the server takes no WebSockets over HTTP/2"
    Deferred.doneUnsafe(
      this.readiness,
      enableConnectProtocol === true ? Exit.void : Exit.fail(new Http2Unavailable({ clause: "RFC 8441 3", detail }))
    )
  }

  private unready(): Failure {
    if (!isViolation(this.cause)) return this.failure(this.cause)
    return this.origin.startsWith("ws:")
      ? new Http2Unavailable({ clause: "RFC 9113 3.3", detail: "the server speaks no HTTP/2 without TLS" })
      : malformed("what the server sent is not HTTP/2")
  }

  /** Why there is no answer. */
  private failure(cause: Cause | undefined, code = NGHTTP2_NO_ERROR): Failure {
    if (code === NGHTTP2_HTTP_1_1_REQUIRED) {
      return new Http2Unavailable({ clause: "RFC 9113 7", detail: "the server wants HTTP/1.1 for this" })
    }
    if (isViolation(cause)) return malformed("the server broke a rule of HTTP/2")
    // Node.js resets the stream of a malformed answer itself, and does not tell whether it or the server has done so.
    if (code === NGHTTP2_PROTOCOL_ERROR) return malformed("the answer is malformed, or the request is to the server")
    return cause === undefined ? ended() : new TransportError({ cause })
  }

  /**
   * Asks for a WebSocket. Where the server allows no more streams, it waits until one has ended: RFC 9113 section
   * 5.1.2.
   */
  ask(
    { fields, wanted }: Request,
    settings: NodeTransport.Settings,
    held: Held
  ): Effect.Effect<Answer, Failure | InvalidOptions> {
    return Effect.callback((resume) => {
      if (this.isEnding || this.session.closed || this.session.destroyed) return resume(Effect.fail(ended()))
      let stream: http2.ClientHttp2Stream
      try {
        stream = this.session.request(fields.flat(), { endStream: false })
      } catch (cause) {
        return resume(Effect.fail(new InvalidOptions({ cause })))
      }
      this.remember(stream)
      held.hold(() => (this.settings.isAlone ? this.destroy() : NodeTransport.destroy(stream)))
      let cause: Cause | undefined
      const onError = (error: Cause) => (cause = error)
      const onClose = () => resume(Effect.fail(this.failure(cause, stream.rstCode)))
      stream.on("error", onError)
      stream.on("close", onClose)
      stream.once("response", (_headers, _flags, raw: ReadonlyArray<string>) => {
        stream.off("close", onClose)
        const headers = pairs(raw)
        const agreed = ExtendedConnect.verify(headers, wanted)
        const accepted = Result.isSuccess(agreed)
        const transport = accepted ? NodeTransport.make(stream, new Uint8Array(0), settings) : undefined
        // From here on the transport is told of errors, and nothing here must keep who has waited for the answer.
        if (accepted) stream.off("error", onError)
        resume(
          Effect.succeed({
            httpVersion: "2",
            status: Number(headers.find(([name]) => name === ":status")?.[1]),
            headers: headers.filter(([name]) => !name.startsWith(":")),
            agreed,
            transport,
            body: stream,
            session: this
          })
        )
      })
    })
  }

  private remember(stream: http2.ClientHttp2Stream): void {
    this.streams.set(stream, undefined)
    stream.on("close", () => {
      this.streams.delete(stream)
      if (this.settings.isAlone) this.end()
    })
  }

  /** Has the WebSocket closed when this ends before it does. `stream` is the body of the answer that opened it. */
  adopt(stream: Answer["body"], connection: WebSocket): void {
    const known = stream as http2.ClientHttp2Stream
    if (this.streams.has(known)) this.streams.set(known, connection)
  }

  /** Ends the connection when its streams have ended; cuts it when that takes longer than `closeTimeout`. */
  end(): void {
    this.isEnding = true
    this.session.close()
    this.cutLater()
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.isEnding = true
    this.session.destroy()
    this.cutLater()
  }

  private cutLater(): void {
    if (this.isOver) return
    this.timer ??= setTimeout(
      () => {
        this.session.destroy()
        this.socket.destroy()
      },
      Math.min(this.settings.closeTimeout, 2 ** 31 - 1)
    )
  }

  /** Closes the WebSockets that are still open, with 1001; then ends the connection, and waits for that. */
  get shutdown(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isEnding = true
      const closing: Array<Effect.Effect<void>> = []
      for (const [stream, connection] of this.streams) {
        if (connection === undefined) NodeTransport.destroy(stream)
        else closing.push(Effect.ignore(connection.close(CloseCode.CloseCode.goingAway)))
      }
      return Effect.all(closing, { concurrency: "unbounded", discard: true }).pipe(
        Effect.andThen(Effect.sync(() => this.end())),
        Effect.andThen(Effect.ignore(this.closed))
      )
    })
  }
}
