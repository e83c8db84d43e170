/**
 * Several extensions as one: what is sent passes through their coders in order, what is received in reverse.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Stream from "effect/Stream"
import type { ProtocolViolation } from "../codec/ProtocolViolation.ts"
import type * as Message from "../protocol/Message.ts"
import type { Agreed, Coder, Encoded, Outgoing, Rsv, Shared } from "./Extension.ts"

interface Member {
  readonly rsv: Rsv
  readonly coder: Coder
}

/** An effect that is done already. */
export const settled = <A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> | undefined =>
  Exit.isExit(effect) ? (effect as Exit.Exit<A, E>) : undefined

/** `Effect.flatMap` for what may be done already, and then stays so. */
export const andThen = <A, B, E, F>(
  effect: Effect.Effect<A, E>,
  next: (a: A) => Effect.Effect<B, F>
): Effect.Effect<B, E | F> => {
  const exit = settled(effect)
  if (exit === undefined) return Effect.flatMap(effect, next)
  return Exit.isSuccess(exit) ? next(exit.value) : Exit.failCause(exit.cause)
}

class Composed implements Coder {
  private readonly members: ReadonlyArray<Member>
  readonly shared: Shared | undefined

  constructor(members: ReadonlyArray<Member>) {
    this.members = members
    this.shared = undefined
  }

  encode(message: Outgoing): Effect.Effect<Encoded> | undefined {
    let all: Effect.Effect<Encoded> | undefined
    for (const { coder } of this.members) {
      if (all === undefined) {
        all = coder.encode(message)
        continue
      }
      all = andThen(all, (before) => {
        const encoding = coder.encode({ ...message, payload: before.payload })
        if (encoding === undefined) return Exit.succeed(before)
        return andThen(encoding, ({ payload, rsv, written }) =>
          Exit.succeed({
            payload,
            rsv: before.rsv | rsv,
            written: () => {
              before.written?.()
              written?.()
            }
          })
        )
      })
    }
    return all
  }

  encodeStream<E, R>(message: Outgoing<Stream.Stream<Uint8Array, E, R>>) {
    let all: { readonly rsv: Rsv; readonly pieces: Stream.Stream<Uint8Array, E, R> } | undefined
    for (const { coder } of this.members) {
      const coded = coder.encodeStream({ ...message, payload: all?.pieces ?? message.payload })
      if (coded !== undefined) all = { rsv: (all?.rsv ?? 0) | coded.rsv, pieces: coded.pieces }
    }
    return all
  }

  decode(
    payload: Message.Content,
    rsv: Rsv,
    maxBytes: number
  ): Effect.Effect<Uint8Array, ProtocolViolation> | undefined {
    let all: Effect.Effect<Uint8Array, ProtocolViolation> | undefined
    for (const member of this.members.toReversed()) {
      const bits = rsv & member.rsv
      if (bits === 0) continue
      all =
        all === undefined
          ? member.coder.decode(payload, bits, maxBytes)
          : andThen(all, (bytes) => member.coder.decode(bytes, bits, maxBytes) ?? Exit.succeed(bytes))
    }
    return all
  }

  decodeStream<E, R>(pieces: Stream.Stream<Uint8Array, E, R>, rsv: Rsv, maxBytes: number) {
    let all: Stream.Stream<Uint8Array, E | ProtocolViolation, R> = pieces
    for (const member of this.members.toReversed()) {
      const bits = rsv & member.rsv
      if (bits !== 0) all = member.coder.decodeStream(all, bits, maxBytes) ?? all
    }
    return all
  }
}

/** What was agreed on, at work on one connection; `undefined` where that is nothing. */
export const make = ({ coders }: Agreed): Coder | undefined => {
  const [first, ...more] = coders
  // The only extension sees the bits it has, as no others are agreed on.
  if (first === undefined || more.length === 0) return first?.makeCoder()
  return new Composed(coders.map(({ makeCoder, rsv }) => ({ rsv, coder: makeCoder() })))
}
