/**
 * The body of a response that is an event stream: a `Stream` of events becomes a `Stream` of bytes. WHATWG HTML 9.2.5.
 *
 *     events.pipe(EventStreamBody.encode({ retry: "2 seconds" }))
 *
 * For any server that takes a body as a stream of bytes. Not in here: the head of the response, whose fields are
 * `headers`, and servers (the platform packages).
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventStream from "../codec/EventStream.ts"
import type { InvalidEvent } from "../codec/EventStreamError.ts"
import type { Headers } from "../codec/HttpHeaders.ts"

/** How a body begins, and what it says while there is nothing to say. Nothing of it is required. */
export interface Options {
  /** How long the client is to wait before it connects again, in whole milliseconds. Default: it chooses itself. */
  readonly retry?: Duration.Input | undefined
  /**
   * After how long without a byte a comment is sent, so that proxies do not close the connection, clients do not give it
   * up and we notice when they are gone: 9.2.7. `Duration.infinity` for never. Default 15 s.
   */
  readonly heartbeat?: Duration.Input | undefined
}

/** 15 seconds: 9.2.7 advises it, and common proxies give up after 30 or 60. */
export const defaultHeartbeat: Duration.Input = "15 seconds"

/**
 * The fields of a response whose body is an event stream. They keep caches and proxies from storing, changing and
 * collecting it, and browsers from taking it for something else.
 */
export const headers: Headers = [
  ["Content-Type", EventStream.mediaType],
  // A cache that does not know the one may know the other; `no-transform` is for proxies that compress.
  ["Cache-Control", "no-cache, no-store, no-transform"],
  ["X-Accel-Buffering", "no"],
  ["X-Content-Type-Options", "nosniff"]
]

/** The text of some events, up to the first that cannot be printed. */
export interface Printed {
  readonly text: string
  /** Why that one cannot be: the caller's fault. The text is that of those before it. */
  readonly invalid: InvalidEvent | undefined
}

/** Prints events one behind the other. */
export const print = (events: ReadonlyArray<EventStream.Printable>): Printed => {
  let text = ""
  for (const event of events) {
    const printed = EventStream.print(event)
    if (Result.isFailure(printed)) return { text, invalid: printed.failure }
    text += printed.success
  }
  return { text, invalid: undefined }
}

/**
 * What a body begins with: never empty, so that the head of the response leaves at once, through proxies that wait for
 * a body, too. Fails when `retry` is not finite.
 */
export const opening = ({ retry }: Options): Result.Result<string, InvalidEvent> =>
  retry === undefined
    ? Result.succeed(EventStream.printComment(""))
    : EventStream.print({ retry: Math.ceil(Duration.toMillis(retry)) })

const encoder = new TextEncoder()

/**
 * Encodes events: those that come together are one chunk. The first chunk comes at once, before there is an event.
 *
 * The stream of events is pulled when the bytes are, and not before. It fails as it does, and with `InvalidEvent` at
 * the first that cannot be printed; what came before that is delivered first.
 */
export const encode =
  (options: Options = {}) =>
  <E, R>(events: Stream.Stream<EventStream.Printable, E, R>): Stream.Stream<Uint8Array, E | InvalidEvent, R> =>
    Stream.transformPull(events, (upstream, scope) => Effect.sync(() => pullFrom<E>(upstream, scope, options)))

const pullFrom = <E>(
  upstream: Pull.Pull<Arr.NonEmptyReadonlyArray<EventStream.Printable>, E>,
  scope: Scope.Scope,
  options: Options
): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E | InvalidEvent> => {
  const heartbeat = Duration.fromInputUnsafe(options.heartbeat ?? defaultHeartbeat)
  let begun = false
  let invalid: InvalidEvent | undefined
  /** It waits for events over as many heartbeats as it takes: a pull that is interrupted may lose some. */
  let waiting: Fiber.Fiber<Arr.NonEmptyReadonlyArray<EventStream.Printable>, E | Cause.Done> | undefined

  const encode = (events: ReadonlyArray<EventStream.Printable>) => {
    const printed = print(events)
    invalid = printed.invalid
    if (invalid !== undefined && printed.text === "") return Effect.fail(invalid)
    return Effect.succeed([encoder.encode(printed.text)] as const)
  }

  const wait = Effect.gen(function* () {
    waiting ??= yield* Effect.forkIn(upstream, scope, { startImmediately: true })
    const exit =
      waiting.pollUnsafe() ?? Option.getOrUndefined(yield* Effect.timeoutOption(Fiber.await(waiting), heartbeat))
    if (exit === undefined) return [EventStream.heartbeat] as const
    waiting = undefined
    return yield* Effect.flatMap(exit, encode)
  })

  return Effect.suspend(() => {
    if (invalid !== undefined) return Effect.fail(invalid)
    if (begun) return Duration.isFinite(heartbeat) ? wait : Effect.flatMap(upstream, encode)
    begun = true
    return Effect.map(Effect.fromResult(opening(options)), (text) => [encoder.encode(text)] as const)
  })
}
