/**
 * A client's session of Engine.IO over HTTP long-polling, from which it goes on over a WebSocket where there is a way to
 * one: for networks that let no WebSocket pass, or not always.
 *
 *     const open = EngineWire.open("https://example.com/socket.io/", {
 *       fetch: Fetch.fromWeb(globalThis.fetch),
 *       webSocket: (url) => NodeWebSocket.open(url)
 *     })
 *     const socket = yield* SocketClient.make(open)
 *
 * It has the face of a WebSocket that was opened with `transport=websocket`. What is said in it is read by
 * `EngineClientProtocol`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as HttpHeaders from "../../codec/HttpHeaders.ts"
import type { Fetch, Request } from "../../connection/Fetch.ts"
import { defaults as limits } from "../../connection/Limits.ts"
import { LinkConnection } from "../../connection/LinkConnection.ts"
import { HandshakeTimeout, OpenError } from "../../connection/OpenError.ts"
import * as OpenByFetch from "../../connection/OpenByFetch.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { TransportError } from "../../connection/WebSocketError.ts"
import { EnginePollLink, type Socket } from "./EnginePollLink.ts"
import * as EngineRequest from "./EngineRequest.ts"
import * as Packet from "./Packet.ts"

/** Sizes are in bytes. */
export interface Limits {
  /** Longest message received. Default 1 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Longest answer to a poll: a server puts into it all that waits. Default 16 MiB. */
  readonly maxPollBytes?: number | undefined
  /** What was received and waits to be pulled; above it there is no other poll. Default 64 KiB. */
  readonly inboxBytes?: number | undefined
  /** What waits to be said, or is on its way; above it `send` suspends. Default 1 MiB. */
  readonly outboxBytes?: number | undefined
  /** How long the end may take until it is cut. Default 5 s. */
  readonly closeTimeout?: Duration.Input | undefined
}

/** How to open a session. Nothing but `fetch` is required. */
export interface Options {
  readonly fetch: Fetch
  /** Sent with every request: Authorization and the like. The WebSocket's are its own affair. */
  readonly headers?: HttpHeaders.Headers | Readonly<Record<string, string>> | undefined
  /** Opens a WebSocket at this address, `ws:` or `wss:`. Default: none, and the session polls to its end. */
  readonly webSocket?: ((url: string) => Effect.Effect<Socket, unknown, Scope.Scope>) | undefined
  /** How long the first poll may take. Default 10 s. */
  readonly handshakeTimeout?: Duration.Input | undefined
  readonly limits?: Limits | undefined
}

export const defaults = { maxPollBytes: 16_777_216, maxPollPackets: 100_000, handshakeTimeout: "10 seconds" } as const

/** What opened. */
export interface Opened {
  /** The first poll's. */
  readonly url: string
}

const tooLong = (most: number) =>
  new TransportError({ cause: new Packet.EngineViolation({ reason: "limit", detail: `more than ${most} bytes` }) })

/** Makes a request, and reads the answer whole. */
const ask = (fetch: Fetch, request: Request, maxBytes: number): Effect.Effect<Uint8Array, OpenByFetch.Reason> =>
  Effect.scoped(
    Effect.gen(function* () {
      const response = yield* Effect.mapError(fetch(request), OpenByFetch.unsent)
      if (response.status !== 200) return yield* OpenByFetch.refuse(response, response.detail)
      const chunks: Array<Uint8Array> = []
      let length = 0
      yield* Effect.mapError(
        Stream.runForEach(response.body, (chunk) => {
          length += chunk.length
          if (length > maxBytes) return Effect.fail(tooLong(maxBytes))
          return Effect.sync(() => void chunks.push(chunk))
        }),
        (error) => (error._tag === "TransportError" ? error : OpenByFetch.unsent(error))
      )
      const body = new Uint8Array(length)
      let at = 0
      for (const chunk of chunks) {
        body.set(chunk, at)
        at += chunk.length
      }
      return body
    })
  )

const failed = (reason: OpenByFetch.Reason) => new OpenError({ reason })

/** The handshake that a first answer begins with; `undefined` where it is no session's. */
const handshakeOf = ([first]: ReadonlyArray<Packet.Packet>): Packet.Handshake | undefined =>
  first?._tag === "Open" ? Result.getOrUndefined(Packet.decodeHandshake(first.data)) : undefined

/**
 * Opens a session that lives as long as the scope, whose end says what is left, and then `1`. That takes `closeTimeout` at
 * most. `url` is the server's, absolute: see `EngineRequest.address`.
 *
 * Fails with `OpenError` as a WebSocket does: `Refused` when the server answers with something else than a session, with
 * its status, its fields and its body; `HandshakeTimeout`; `TransportError`; `InvalidUrl` or `InvalidOptions`, the caller's
 * fault. Redirects are not followed. A WebSocket that cannot be had is no failure.
 */
export const open = (url: string | URL, options: Options): Effect.Effect<WebSocket<Opened>, OpenError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { fetch, handshakeTimeout = defaults.handshakeTimeout, headers, webSocket } = options
      const { maxMessageBytes = limits.maxMessageBytes, maxPollBytes = defaults.maxPollBytes } = options.limits ?? {}
      const payload = { maxBytes: maxPollBytes, maxPackets: defaults.maxPollPackets }
      const timeout = Duration.toMillis(handshakeTimeout)
      const context = yield* Effect.context<never>()
      const run = Effect.runForkWith(context)
      const first = yield* Effect.mapError(
        Effect.fromResult(OpenByFetch.requestOf(EngineRequest.address(url, "polling"), { headers })),
        failed
      )
      const body = yield* ask(fetch, first, maxPollBytes).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(new HandshakeTimeout({ timeout })) }),
        Effect.mapError(failed),
        restore
      )
      const { packets, violation } = Packet.decodePayload(body, payload)
      const handshake = violation === undefined ? handshakeOf(packets) : undefined
      if (handshake === undefined) {
        const answer = { status: 200, headers: [], url: first.url, body: Stream.make(body) }
        return yield* Effect.mapError(OpenByFetch.refuse(answer, "it is no session of Engine.IO"), failed)
      }
      const sid = `&sid=${encodeURIComponent(handshake.sid)}`
      const scope = yield* Scope.make()
      const asked = (body: Request["body"]) => {
        const type = ["Content-Type", "text/plain;charset=UTF-8"] as const
        const more = body === undefined ? first.headers : [...first.headers, type]
        const method = body === undefined ? "GET" : "POST"
        return ask(fetch, { ...first, method, url: first.url + sid, headers: more, body }, maxPollBytes)
      }
      const socket = webSocket?.(EngineRequest.address(url, "websocket").replace(/^http/i, "ws") + sid)
      const connection = new LinkConnection({
        link: (owner) =>
          new EnginePollLink(owner, { handshake, opening: packets, ask: asked, payload, socket, scope, run }),
        handshake: { url: first.url },
        limits: {
          maxMessageBytes,
          inboxBytes: options.limits?.inboxBytes ?? limits.inboxBytes,
          outboxBytes: options.limits?.outboxBytes ?? limits.outboxBytes,
          closeTimeout: Duration.toMillis(options.limits?.closeTimeout ?? limits.closeTimeout)
        },
        context
      })
      yield* Effect.addFinalizer((exit) => Effect.andThen(connection.shutdown(exit), Scope.close(scope, Exit.void)))
      return connection
    })
  )
