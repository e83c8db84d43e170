/**
 * A WebSocket connection over a transport, after the opening handshake: messages in as arrays or as a `Stream`,
 * messages out as effects, and a closing handshake when its scope closes.
 *
 * Between the transport and the application stand no queue and no second fiber. The transport's callback decodes what
 * it read into the inbox, and hands the inbox to the fiber that waits in `pull`, in the same turn. Not in here: the
 * opening handshake (`codec/Handshake`), sockets (the platform packages), reconnecting.
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type { Extension } from "../codec/Extensions.ts"
import type * as Message from "../protocol/Message.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"
import { Connection, type Options } from "./Connection.ts"
import * as Agreed from "./Extension.ts"
import type { Limits } from "./Limits.ts"
import type { Prepared } from "./Prepared.ts"
import { makeWheel, type Settings, settings } from "./Settings.ts"
import type { StreamedMessage } from "./StreamedMessage.ts"
import type { Tap } from "./Tap.ts"
import * as Transport from "./Transport.ts"
import type { WebSocketError } from "./WebSocketError.ts"

export type { Observer, Options } from "./Connection.ts"
export { makeWheel, type Settings, settings }

/** What `tryWriteUnsafe` did: `Full` and `NotOpen` wrote nothing. */
export type Written = "Written" | "Full" | "NotOpen"

/** How a message is sent as a stream. */
export interface StreamOptions {
  /** Whether to compress it where both ends can. Default: yes. */
  readonly compress?: boolean | undefined
  /** The longest payload of a fragment, in bytes. What comes together is sent together, up to this. Default 16 KiB. */
  readonly fragmentBytes?: number | undefined
}

/**
 * A connection. `Handshake` is what the opening handshake found out, such as who the user is.
 *
 * `send`, `sendAll` and `close` may be passed around without it: `Stream.runForEach(connection.messages,
 * connection.send)`.
 */
export interface WebSocket<out Handshake = unknown> {
  /**
   * The messages that have come, at least one, in order; waits for them. Ends with `Done` on an ordinary close and
   * fails on any other end, both after what was received before it. For one fiber at a time: a second one dies.
   */
  readonly pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Message.Message>, WebSocketError>
  /** The next message alone, for a conversation in steps; the others stay where they are. Otherwise as `pull`. */
  readonly receive: Pull.Pull<Message.Message, WebSocketError>
  /**
   * The same as `pull`, as a stream. Nothing is lost by starting it late. A stream that is ended early, as by
   * `Stream.take`, drops what it has pulled together with its last message: use `receive` for the first messages and
   * the stream for the rest.
   */
  readonly messages: Stream.Stream<Message.Message, WebSocketError>
  /**
   * Sends a message: a string as text, bytes as binary. Suspends while the outbox is over `outboxBytes`; until then it
   * can be interrupted and nothing is sent. Succeeds when the message is in the outbox, which leaves in one write at
   * the end of the turn. Bytes must not be changed afterwards. Safe to call from many fibers; they go in order.
   *
   * Fails with `NotOpen` when the connection is closing or closed.
   */
  readonly send: (message: Message.Sendable) => Effect.Effect<void, WebSocketError>
  /** Sends several messages, one behind the other, in one write. */
  readonly sendAll: (messages: Iterable<Message.Sendable>) => Effect.Effect<void, WebSocketError>
  /**
   * The next message before it has ended, as soon as its first piece is there: for what is too long to be held. What
   * the program leaves of it unread is read and dropped when it comes for the next message, in whatever way. Otherwise
   * as `pull`, with which it can take turns.
   *
   * `maxMessageBytes` holds for it as for any message; no more than `inboxBytes` of it wait at a time.
   */
  readonly receiveStream: Pull.Pull<StreamedMessage, WebSocketError>
  /**
   * Sends one message whose end is not known yet, in fragments, as it comes; suspends while the outbox is full. Other
   * messages wait until it has ended, Pings and Pongs do not. A stream that fails, or is interrupted when something of
   * it was sent already, leaves half a message behind, which nothing can make good: the connection is closed with 1011.
   *
   * Fails with `NotOpen` as `send` does, or as the stream does. Dies of a `RangeError` for `fragmentBytes` below 1.
   */
  readonly sendStream: {
    <E, R>(
      kind: "text",
      stream: Stream.Stream<string, E, R>,
      options?: StreamOptions
    ): Effect.Effect<void, WebSocketError | E, R>
    <E, R>(
      kind: "binary",
      stream: Stream.Stream<Uint8Array, E, R>,
      options?: StreamOptions
    ): Effect.Effect<void, WebSocketError | E, R>
  }
  /** For broadcasts: writes now or not at all, and tells which. Never suspends, never fails. */
  readonly tryWriteUnsafe: (message: Prepared) => Written
  /**
   * Waits until `tryWriteUnsafe` may find room, behind those who wait to send already, or until the connection is not
   * open any more. Succeeds at once when there is room.
   */
  readonly room: Effect.Effect<void>
  /**
   * Performs the closing handshake: sends a Close frame (1000 unless told otherwise; 1005 for an empty one), waits for
   * the peer's and for the end of the transport, at most `closeTimeout`, then cuts. Messages that arrive in between
   * can still be pulled; when the inbox is full and nobody does for a second, the rest of them is dropped, at once if
   * nobody ever has. A connection that is closing already is only waited for.
   *
   * Fails with `InvalidCloseCode` for a code that may not be sent. A reason longer than 123 bytes is cut.
   */
  readonly close: (code?: number, reason?: string) => Effect.Effect<void, WebSocketError>
  /**
   * Fails the connection for what the peer did, as the protocol does when a rule of its own is broken: a Close with the
   * code and the detail of the violation, behind which nothing counts that the peer sends. RFC 6455 section 7.1.7. The
   * messages end with the violation. Waits for nothing. A connection that is past it stays as it is.
   */
  readonly fail: (violation: ProtocolViolation) => Effect.Effect<void>
  /** How the connection ended: who closed it, what each side said. Waits for it. */
  readonly closed: Effect.Effect<Protocol.Closed>
  /** The subprotocol both ends agreed on. RFC 6455 section 1.9. */
  readonly subprotocol: string | undefined
  /** The extensions both ends agreed on, as the server's answer lists them. RFC 6455 section 9.1. */
  readonly extensions: ReadonlyArray<Extension>
  /** On a server what its `handshake` accepted with; on a client the server's answer. */
  readonly handshake: Handshake
}

/**
 * Runs the protocol over a transport whose opening handshake is done. It reads at once, as far as the inbox allows.
 *
 * The connection lives as long as the scope. Closing the scope starts the closing handshake with 1000 on success, 1001
 * when interrupted and 1011 on failure, waits for it at most `closeTimeout`, and ends the transport in every case.
 */
export const make = <Handshake>(options: Options<Handshake>): Effect.Effect<WebSocket<Handshake>, never, Scope.Scope> =>
  // Written out instead of `acquireRelease`, which would keep a kilobyte more for each connection.
  Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => openIn(scope, new Connection(options))))

const openIn = <Handshake>(scope: Scope.Scope, connection: Connection<Handshake>) =>
  Effect.map(
    Scope.addFinalizerExit(scope, (exit) => connection.shutdown(exit)),
    () => connection.open()
  )

/** The two ends of a connection in one process. */
export interface Pair {
  readonly client: WebSocket<undefined>
  readonly server: WebSocket<undefined>
}

/**
 * A client and a server that are connected in memory, as long as the scope is open: for tests of what is done with a
 * connection. Under `TestClock` all their deadlines pass in no time. `taps` are put beneath the one or the other.
 */
export const makePair = (
  limits?: Partial<Limits>,
  taps: Partial<Record<Protocol.Role, Tap>> = {}
): Effect.Effect<Pair, never, Scope.Scope> =>
  Effect.gen(function* () {
    const [near, far] = Transport.makePair()
    let keys = 0
    // Masking hides what is sent from what is in between. In memory there is nothing, so any keys will do.
    const client = yield* over(
      tapped(near, "client", taps.client),
      settings("client", limits, () => keys++)
    )
    const server = yield* over(tapped(far, "server", taps.server), settings("server", limits))
    // Together: neither is to wait for what the other, which the same scope ends, would do afterwards.
    yield* Effect.addFinalizer(() =>
      Effect.ignore(Effect.all([client.close(), server.close()], { concurrency: "unbounded" }))
    )
    return { client, server }
  })

const tapped = (transport: Transport.Transport, role: Protocol.Role, tap: Tap | undefined) =>
  tap?.(transport, { role, url: undefined, subprotocol: undefined, extensions: Agreed.none }) ?? transport

const over = (transport: Transport.Transport, settings: Settings) =>
  Effect.flatMap(makeWheel(settings), (wheel) =>
    make({ transport, settings, wheel, subprotocol: undefined, handshake: undefined })
  )
