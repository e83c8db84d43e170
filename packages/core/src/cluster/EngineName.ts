/**
 * Which names of topics and channels can be said to a server. Servers know bytes: a lone surrogate has no UTF-8, and what
 * is written in its place is another name, on which nobody listens.
 */
import * as Effect from "effect/Effect"
import { BrokerError, Rejected } from "./BrokerError.ts"

/** Longest name in bytes of UTF-8, for engines that do not say less. */
export const maxBytes = 65_535

const encoder = new TextEncoder()

/** Why a name cannot be said, in words; `undefined` when it can. */
export const wrong = (name: string, limit: number): string | undefined => {
  if (name.toWellFormed() !== name) return "a name that is not well-formed text, so two of them could be one"
  const isShort = name.length * 3 <= limit || (name.length <= limit && encoder.encode(name).length <= limit)
  return isShort ? undefined : `a name of more than ${limit} bytes`
}

/** Does it when the name can be said, and fails with `Rejected` otherwise. */
export const checked = <A, R>(
  name: string,
  limit: number,
  effect: Effect.Effect<A, BrokerError, R>
): Effect.Effect<A, BrokerError, R> => {
  const cause = wrong(name, limit)
  return cause === undefined
    ? effect
    : Effect.fail(new BrokerError({ reason: new Rejected({ cause: new Error(cause) }) }))
}
