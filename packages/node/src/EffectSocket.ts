/**
 * Our connections as Effect's `Socket`, for what is written against it: `RpcClient`, `DevTools`, channels.
 *
 *     const client = RpcClient.layerProtocolSocket().pipe(
 *       Layer.provide([EffectSocket.layer("wss://example.com/rpc"), RpcSerialization.layerJson])
 *     )
 *
 * What Effect calls unstable, `effect/socket`, is known to this file, `EffectSocketServer` and `effect/` only.
 * Not in here: what a `Socket` has no words for, such as subprotocols, streamed messages and compression for each
 * message. Who needs those uses the connection.
 */
import * as CloseCode from "@millrace/core/codec/CloseCode"
import type { Headers } from "@millrace/core/codec/HttpHeaders"
import type { OpenError } from "@millrace/core/connection/OpenError"
import type { WebSocket } from "@millrace/core/connection/WebSocket"
import type { WebSocketError } from "@millrace/core/connection/WebSocketError"
import type * as Message from "@millrace/core/protocol/Message"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { WebSocketLike } from "./effect/WebSocketLike.ts"
import * as NodeWebSocket from "./NodeWebSocket.ts"

type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array | string>

const toChunk = (message: Message.Message): Uint8Array | string =>
  message._tag === "Text" ? message.text : message.bytes

const toChunks = (messages: Arr.NonEmptyReadonlyArray<Message.Message>): Chunks =>
  messages.map(toChunk) as unknown as Chunks

// How a connection ends, as a `Socket` says it.

const closeError = (code: number, reason: string | undefined) =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code, closeReason: reason || undefined }) })

/**
 * The end of a connection that was open. Always a close: with the code of the peer's Close, with ours where the peer
 * broke a rule, and with 1006 where the network ended it.
 */
const ended = (connection: WebSocket, error: WebSocketError | Cause.Done): Effect.Effect<never, Socket.SocketError> => {
  if (Cause.isDone(error)) {
    return Effect.flatMap(connection.closed, ({ received }) =>
      Effect.fail(closeError(received?.code ?? CloseCode.CloseCode.abnormal, received?.reason))
    )
  }
  const { reason } = error
  switch (reason._tag) {
    case "ConnectionLost":
      return Effect.fail(closeError(reason.code, reason.received?.reason))
    case "ProtocolViolation":
      return Effect.fail(closeError(reason.closeCode, reason.detail))
    default:
      return Effect.fail(closeError(CloseCode.CloseCode.abnormal, reason.message))
  }
}

/** Whether that is how a connection ended that was open. */
export const isClose = (error: unknown): boolean =>
  Socket.isSocketError(error) && error.reason._tag === "SocketCloseError"

const writeError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })

/** The caller's, the server's or the network's fault: the cause says whose, with the status of a refusal. */
const openError = (cause: OpenError) =>
  new Socket.SocketError({
    reason: new Socket.SocketOpenError({
      kind: cause.reason._tag === "HandshakeTimeout" ? "Timeout" : "Unknown",
      cause
    })
  })

// Its two sides.

const readerOf = (connection: WebSocket): Socket.Reader => ({
  pull: Effect.matchEffect(connection.pull, {
    onFailure: (error) => ended(connection, error),
    onSuccess: (messages) => Effect.succeed(toChunks(messages))
  }),
  upgrade: Socket.SocketUpgradeError.unsupported
})

type Writable = Uint8Array | string | Socket.CloseEvent

/** A Close is sent and not waited for: the connection sees to its end itself, within its `closeTimeout`. */
const writeOn =
  (chunk: Writable) =>
  (connection: WebSocket): Effect.Effect<void, WebSocketError> =>
    Socket.isCloseEvent(chunk)
      ? Effect.raceFirst(connection.close(chunk.code, chunk.reason), Effect.void)
      : connection.send(chunk)

/** The connection that is written to, from the moment in which there is one. */
class Current implements Socket.Writer {
  private connection: WebSocket | undefined
  private readonly opened = Latch.makeUnsafe(false)
  /** Whether there will be another one when it has ended. */
  private readonly again: boolean

  constructor(again: boolean) {
    this.again = again
  }

  set(connection: WebSocket): void {
    this.connection = connection
    this.opened.openUnsafe()
  }

  unset(connection: WebSocket): void {
    if (this.connection !== connection || !this.again) return
    this.connection = undefined
    this.opened.closeUnsafe()
  }

  readonly write: Socket.Writer["write"] = (chunk) => this.run(writeOn(chunk))

  readonly writeAll: Socket.Writer["writeAll"] = (chunks) => this.run((connection) => connection.sendAll(chunks))

  private run(
    write: (connection: WebSocket) => Effect.Effect<void, WebSocketError>
  ): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      const { connection } = this
      if (connection === undefined) return this.opened.whenOpen(this.run(write))
      return Effect.catch(write(connection), (error) => {
        if (error.reason._tag !== "NotOpen" || !this.again) return Effect.fail(writeError(error))
        // Nothing of it was sent, so the next connection may have it.
        this.unset(connection)
        return this.run(write)
      })
    })
  }
}

/**
 * A `Socket` over the connections that `acquire` makes, one for each reader, in the reader's scope. With `again` what is
 * written while there is none waits for the next one, and otherwise it fails when the one there was has ended.
 */
export const over = <R>(
  acquire: Effect.Effect<WebSocket, Socket.SocketError, R>,
  again: boolean
): Effect.Effect<Socket.Socket, never, Exclude<R, Scope.Scope>> =>
  Effect.contextWith((context: Context.Context<Exclude<R, Scope.Scope>>) => {
    const current = new Current(again)
    const reader = Effect.gen(function* () {
      const connection = yield* acquire
      // Finalizers run last to first: nobody writes to a connection that is being closed.
      yield* Effect.acquireRelease(
        Effect.sync(() => current.set(connection)),
        () => Effect.sync(() => current.unset(connection))
      )
      return readerOf(connection)
    })
    const provided = Effect.updateContext(
      reader as Effect.Effect<Socket.Reader, Socket.SocketError, Exclude<R, Scope.Scope> | Scope.Scope>,
      (scope: Context.Context<Scope.Scope>) => Context.merge(context, scope)
    )
    return Effect.succeed(Socket.make({ reader: provided, writer: Effect.succeed(current) }))
  })

/**
 * A connection that is open, as a `Socket`. The scope of its reader ends the connection: with 1000 on success, with 1001
 * when it is interrupted and with 1011 on a failure.
 *
 * Reading and writing have the connection's backpressure: nothing is read that nobody pulls, and a write waits for room
 * in the outbox. One element is one message, and a string is text. Every end is a `SocketCloseError`. A write to a
 * connection that is not open any more fails with a `SocketWriteError`.
 */
export const fromConnection = (connection: WebSocket): Socket.Socket => {
  const current = new Current(false)
  current.set(connection)
  return Socket.make({
    reader: Effect.acquireRelease(Effect.succeed(readerOf(connection)), (_, exit) =>
      Effect.ignore(connection.close(codeOf(exit)))
    ),
    writer: Effect.succeed(current)
  })
}

/** The code that the end of a scope is told by. */
export const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return CloseCode.CloseCode.normal
  return Cause.hasInterruptsOnly(exit.cause) ? CloseCode.CloseCode.goingAway : CloseCode.CloseCode.internalError
}

/**
 * A `Socket` that opens a connection for each reader, in the reader's scope, which ends it; so it comes back when what
 * reads is retried. What is written while no connection is open waits for the next one. Otherwise as `fromConnection`.
 *
 * A connection that cannot be opened is a `SocketOpenError` whose cause is the `OpenError`, with the status of a refusal.
 */
export const make = <R>(
  open: Effect.Effect<WebSocket, OpenError, R>
): Effect.Effect<Socket.Socket, never, Exclude<R, Scope.Scope>> => over(Effect.mapError(open, openError), true)

/**
 * A `Socket` to a URL, as `NodeWebSocket.open` takes it: for `RpcClient.layerProtocolSocket` and the like. An effect for
 * the URL is asked again for each connection.
 */
export const layer = (
  url: string | URL | Effect.Effect<string | URL>,
  options: NodeWebSocket.Options = {}
): Layer.Layer<Socket.Socket> =>
  Layer.effect(
    Socket.Socket,
    make(Effect.flatMap(Effect.isEffect(url) ? url : Effect.succeed(url), (url) => NodeWebSocket.open(url, options)))
  )

/**
 * Makes WebSockets of ours for `Socket.makeWebSocket` and what opens them by itself, such as the runners of a cluster. The
 * object that it makes has nothing to wait with, so what is written to it piles up while its server does not read:
 * `layer` is better wherever it can be had.
 */
export const layerWebSocketConstructor = (
  options: Omit<NodeWebSocket.Options, "subprotocols"> = {}
): Layer.Layer<Socket.WebSocketConstructor> =>
  Layer.succeed(Socket.WebSocketConstructor, (url, asked) => {
    const { headers, protocols } =
      typeof asked === "string" || Array.isArray(asked) ? { protocols: asked } : (asked ?? {})
    const subprotocols = typeof protocols === "string" ? [protocols] : protocols
    const own = headers === undefined ? options.headers : [...entries(options.headers), ...entries(headers)]
    return new WebSocketLike(NodeWebSocket.open(url, { ...options, subprotocols, headers: own }))
  })

const entries = (headers: NodeWebSocket.Options["headers"] = []): Headers =>
  Array.isArray(headers) ? (headers as Headers) : Object.entries(headers)
