/**
 * A received message that is read while it arrives.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import * as Utf8 from "../codec/Utf8.ts"
import type * as Protocol from "../protocol/WebSocketProtocol.ts"
import type { WebSocketError } from "./WebSocketError.ts"

/** Pieces as they come. */
export type Pieces<E> = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E>

/** What a message is read from: its connection. */
export interface Source {
  readonly kind: Protocol.Kind
  /** As they are on the wire, unmasked. */
  readonly pieces: Pieces<WebSocketError>
  /** Undoes what extensions did to the message; `undefined` when they did nothing. */
  readonly decode:
    | ((
        pieces: Stream.Stream<Uint8Array, WebSocketError>
      ) => Stream.Stream<Uint8Array, WebSocketError | ProtocolViolation>)
    | undefined
  /** Fails the connection for what the message turned out to be. */
  readonly violated: (violation: ProtocolViolation) => WebSocketError
}

/** A message in the order of its bytes. It is read once, by one fiber at a time; what is left of it is then skipped. */
export interface StreamedMessage {
  /** Section 5.6: text or binary. */
  readonly kind: Protocol.Kind
  /** Whether there is nothing left to read: it was read to its end, has failed, or was given up. */
  readonly isRead: boolean
  /** Its bytes, in pieces that may be cut anywhere. Fails when the connection ends before the message does. */
  readonly bytes: Stream.Stream<Uint8Array, WebSocketError>
  /** The same as text, in pieces of whole characters. In a binary message what is not UTF-8 becomes U+FFFD. */
  readonly text: Stream.Stream<string, WebSocketError>
  /** Reads to the end, for whoever goes on to the next message. */
  readonly skip: Effect.Effect<void, WebSocketError>
}

/** One that a connection of ours reads from its transport. */
export class Arriving implements StreamedMessage {
  readonly kind: Protocol.Kind
  private readonly source: Source
  /** How it ended for whoever reads it, which stays so: half of it is never taken for all of it. */
  private end: Exit.Exit<never, WebSocketError | Cause.Done> | undefined
  private pieces: Pieces<WebSocketError> | undefined
  /** Where the decoder lives. */
  private scope: Scope.Closeable | undefined
  private utf8: Utf8.State = Utf8.accept

  constructor(source: Source) {
    this.kind = source.kind
    this.source = source
  }

  get isRead(): boolean {
    return this.end !== undefined
  }

  get bytes(): Stream.Stream<Uint8Array, WebSocketError> {
    return Stream.fromPull(Effect.succeed(this.pull))
  }

  get text(): Stream.Stream<string, WebSocketError> {
    return Stream.suspend(() => {
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
      const pieces = Stream.map(this.bytes, (piece) => decoder.decode(piece, { stream: true }))
      const rest = Stream.suspend(() => Stream.succeed(decoder.decode()))
      return Stream.filter(Stream.concat(pieces, rest), (piece) => piece !== "")
    })
  }

  readonly skip: Effect.Effect<void, WebSocketError> = Effect.suspend(() =>
    this.isRead ? Effect.void : Pull.catchDone(Effect.forever(this.pull, { disableYield: true }), () => Effect.void)
  )

  /** Gives it up, for its connection: whoever goes on to read fails so. What was read to its end stays read. */
  abandon(end: Exit.Exit<never, WebSocketError>): Effect.Effect<void> {
    return this.finish(end)
  }

  /** Lets go of the decoder. */
  private finish(end: Exit.Exit<never, WebSocketError | Cause.Done>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.end ??= end
      const { scope } = this
      this.scope = undefined
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })
  }

  private readonly pull: Pieces<WebSocketError> = Effect.suspend(() => {
    if (this.end !== undefined) return this.end
    if (this.pieces !== undefined) return this.pieces
    const { decode } = this.source
    if (decode === undefined) {
      this.pieces = this.ending(this.source.pieces)
      return this.pieces
    }
    return Effect.flatMap(this.decoding(decode), (pieces) => (this.pieces = this.ending(pieces)))
  })

  private ending(pieces: Pieces<WebSocketError>): Pieces<WebSocketError> {
    return Effect.onExit(pieces, (exit) =>
      Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)
        ? Effect.void
        : this.finish(exit as Exit.Failure<never, WebSocketError | Cause.Done>)
    )
  }

  /**
   * The decoder's output. It runs in a fiber of its own, because a decoder that is interrupted in the middle could not
   * go on, neither with this message nor, where it keeps a context, with the next.
   */
  private decoding(decode: NonNullable<Source["decode"]>): Effect.Effect<Pieces<WebSocketError>> {
    const scope = (this.scope = Scope.makeUnsafe())
    const decoded = decode(Stream.fromPull(Effect.succeed(this.source.pieces)))
    const checked = this.kind === "text" ? this.checked(decoded) : decoded
    const typed = Stream.mapError(checked, (error) =>
      error instanceof ProtocolViolation ? this.source.violated(error) : error
    )
    let running: Fiber.Fiber<Arr.NonEmptyReadonlyArray<Uint8Array>, WebSocketError | Cause.Done> | undefined
    return Effect.map(Scope.provide(Stream.toPull(typed), scope), (pull) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          running === undefined ? Effect.forkIn(Effect.interruptible(pull), scope) : Effect.succeed(running),
          (fiber) => {
            running = fiber
            return Effect.flatMap(restore(Fiber.await(fiber)), (exit) => {
              running = undefined
              // Given up, the decoder is interrupted. Whoever reads is not.
              return Exit.isSuccess(exit) ? exit : (this.end ?? exit)
            })
          }
        )
      )
    )
  }

  /** RFC 6455 section 8.1, for text that was not text before it was decoded. */
  private checked<E>(pieces: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E | ProtocolViolation> {
    const notText = new ProtocolViolation({ closeCode: 1007, clause: "RFC 6455 8.1", detail: "text is not UTF-8" })
    const valid = Stream.mapEffect(pieces, (piece) => {
      this.utf8 = Utf8.validate(this.utf8, piece)
      return this.utf8 === Utf8.reject ? Exit.fail(notText) : Exit.succeed(piece)
    })
    return Stream.concat(
      valid,
      Stream.suspend(() => (this.utf8 === Utf8.accept ? Stream.empty : Stream.fail(notText)))
    )
  }
}
