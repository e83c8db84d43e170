/**
 * How fast a peer may send: `shape` makes it wait, `enforce` closes its connection. RFC 6455 section 10.4.
 *
 * Under the rate this costs one look at the clock for each array of messages: no fiber, no queue and no timer. It is
 * not `Stream.throttle`, which counts one thing and not two, lets an array through as one whatever is in it, and drops
 * what is too much where we close.
 *
 * Bytes are those of messages as they are received, whole and inflated. Control frames are not counted, nor messages
 * that are read as streams. Options that are no rate throw a `RangeError`: see `TokenBucket.make`.
 */
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type * as Message from "../protocol/Message.ts"
import * as TokenBucket from "../protocol/TokenBucket.ts"
import type { WebSocket } from "./WebSocket.ts"
import { WebSocketError } from "./WebSocketError.ts"

/** Messages and bytes a second, and how many of them at once: by default as many as in a second. */
export type Options = TokenBucket.Options

type Messages = Arr.NonEmptyReadonlyArray<Message.Message>

/** The peer's fault: it sent more than it was to. 1008. */
export class RateExceeded extends ProtocolViolation {
  readonly limit: "bytes" | "messages"
  readonly perSecond: number

  constructor(limit: "bytes" | "messages", perSecond: number) {
    const detail = `more than ${perSecond} ${limit} a second`
    super({ closeCode: 1008, clause: "RFC 6455 7.4.1", detail })
    this.limit = limit
    this.perSecond = perSecond
  }
}

/** Milliseconds that only go forward. The time of day may be set. */
const millis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** At least one of them; all of them as they are. */
const slice = (messages: Messages, from: number, until: number): Messages =>
  from === 0 && until === messages.length ? messages : (messages.slice(from, until) as Array<Message.Message> as never)

const shaped = <E, R>(pull: Pull.Pull<Messages, E, void, R>, rate: TokenBucket.Rate): typeof pull => {
  let state: TokenBucket.State | undefined
  /** Pulled and not passed on yet, from `from` on: kept here, so that who is interrupted while it waits loses nothing. */
  let waiting: Messages | undefined
  let from = 0
  const admit = (clock: Clock.Clock, messages: Messages): typeof pull => {
    const now = millis(clock)
    const admitted = TokenBucket.admit(rate, (state ??= TokenBucket.full(rate, now)), now, messages, from)
    const { tooSoon, until } = admitted
    state = admitted.state
    waiting = tooSoon === undefined ? undefined : messages
    if (tooSoon !== undefined && until === from) {
      return Effect.flatMap(Effect.sleep(tooSoon.wait), () => admit(clock, messages))
    }
    const passed = slice(messages, from, until)
    from = tooSoon === undefined ? 0 : until
    return Exit.succeed(passed)
  }
  return Clock.clockWith((clock) =>
    waiting !== undefined ? admit(clock, waiting) : Effect.flatMap(pull, (messages) => admit(clock, messages))
  )
}

/**
 * Passes messages on no faster than that. What comes faster waits, and since nothing is pulled meanwhile, the inbox
 * fills, the transport is paused, and in the end the peer has to wait. Nothing is lost and the order is kept.
 *
 * A message with more bytes than the burst waits until nothing is missing, and what follows until it is made up for.
 * The end of the connection comes behind what was received before it, and so may come late.
 */
export const shape = (
  options: Options
): (<E, R>(messages: Stream.Stream<Message.Message, E, R>) => Stream.Stream<Message.Message, E, R>) => {
  const rate = TokenBucket.make(options)
  return (messages) => Stream.transformPull(messages, (pull) => Effect.sync(() => shaped(pull, rate)))
}

/** `shape` for who pulls. For one fiber at a time, as what it pulls from. */
export const shapePull = <E, R>(pull: Pull.Pull<Messages, E, void, R>, options: Options): typeof pull =>
  shaped(pull, TokenBucket.make(options))

/** What `enforce` needs of a connection. */
export type Enforced = Pick<WebSocket, "fail" | "pull">

const enforced = (connection: Enforced, rate: TokenBucket.Rate): WebSocket["pull"] => {
  let state: TokenBucket.State | undefined
  let exceeded: RateExceeded | undefined
  const fail = (violation: RateExceeded) =>
    Effect.andThen(connection.fail(violation), Effect.fail(new WebSocketError({ reason: violation })))
  const admit = (clock: Clock.Clock, messages: Messages): WebSocket["pull"] => {
    const now = millis(clock)
    const admitted = TokenBucket.admit(rate, (state ??= TokenBucket.full(rate, now)), now, messages)
    const { tooSoon, until } = admitted
    state = admitted.state
    if (tooSoon === undefined) return Exit.succeed(messages)
    exceeded = new RateExceeded(tooSoon.limit, rate[tooSoon.limit].perSecond)
    // Those before it may still be answered. They are dealt with when somebody comes for more.
    return until === 0 ? fail(exceeded) : Exit.succeed(slice(messages, 0, until))
  }
  return Clock.clockWith((clock) => {
    if (exceeded !== undefined) return fail(exceeded)
    if (state !== undefined) state = TokenBucket.excuse(rate, state, millis(clock))
    return Effect.flatMap(connection.pull, (messages) => admit(clock, messages))
  })
}

/**
 * The messages of a connection that is closed with 1008, policy violation (section 7.4.1), when they come faster than
 * that. What came before is passed on first, to be answered; then the connection is failed, and the stream with it,
 * with a `WebSocketError` whose reason is `RateExceeded`.
 *
 * The clock starts with the stream. It runs while a handler is busy: what comes meanwhile may be as much as the rate
 * allows for that time. What a network holds up and then delivers at once is not excused, so the burst should be as
 * much as may come in a second or two.
 */
export const enforce = (connection: Enforced, options: Options): Stream.Stream<Message.Message, WebSocketError> => {
  const rate = TokenBucket.make(options)
  return Stream.fromPull(Effect.sync(() => enforced(connection, rate)))
}

/** `enforce` for who pulls. */
export const enforcePull = (connection: Enforced, options: Options): WebSocket["pull"] =>
  enforced(connection, TokenBucket.make(options))
