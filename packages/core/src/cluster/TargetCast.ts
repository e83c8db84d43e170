/**
 * What is published to a target: it goes to all nodes, each of which finds its own members. It has no place in the log,
 * and is delivered at most once, to who is there.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Result from "effect/Result"
import * as Prepared from "../connection/Prepared.ts"
import type { Message } from "../protocol/Message.ts"
import type { Broker } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as Parcel from "./Parcel.ts"
import { type Published, PublishError } from "./Published.ts"
import * as Target from "./Target.ts"

const channel = "$targets"

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true })

/** The node and the target as two lines of text, their length in 4 bytes before them, and the parcel behind them. */
const encode = (node: string, target: Target.Target, message: Message): Uint8Array => {
  const head = encoder.encode(`${node}\n${Target.print(target)}`)
  const parcel = Parcel.encode(Parcel.make(message))
  const bytes = new Uint8Array(4 + head.length + parcel.length)
  new DataView(bytes.buffer).setUint32(0, head.length)
  bytes.set(head, 4)
  bytes.set(parcel, 4 + head.length)
  return bytes
}

interface Cast {
  readonly node: string
  readonly target: Target.Target
  readonly message: Message
}

/** `undefined` for what `encode` has not made. */
const decode = (bytes: Uint8Array): Cast | undefined => {
  if (bytes.length < 4) return undefined
  const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  if (end > bytes.length) return undefined
  let head: string
  try {
    head = decoder.decode(bytes.subarray(4, end))
  } catch {
    return undefined
  }
  const line = head.indexOf("\n")
  const target = line === -1 ? undefined : Target.parse(head.slice(line + 1))
  const parcel = Parcel.decode(bytes.subarray(end))
  if (target === undefined || Result.isFailure(parcel)) return undefined
  return { node: head.slice(0, line), target, message: parcel.success.message }
}

/**
 * As long as the scope is open. `deliver` writes to this node's members of a target, and gives the number of those that
 * it was written to; it is called for what is published here, at once, and for what other nodes publish.
 */
export const make = (
  broker: Broker["Service"],
  deliver: (target: Target.Target, prepared: Prepared.Prepared) => number
): Effect.Effect<
  { readonly publish: (target: Target.Target, prepared: Prepared.Prepared) => Effect.Effect<Published, PublishError> },
  BrokerError,
  Scope.Scope
> =>
  Effect.as(
    broker.hear(channel, (bytes) => {
      const cast = decode(bytes)
      if (cast !== undefined && cast.node !== broker.node) deliver(cast.target, Prepared.make(cast.message))
    }),
    {
      publish: (target, prepared) =>
        Effect.suspend(() => {
          // Other nodes would not read it, and say nothing.
          if (Target.isTooDeep(target)) {
            return Effect.die(new RangeError(`a target may be nested ${Target.maxDepth} deep`))
          }
          const receivers = deliver(target, prepared)
          if (broker.isLocal) return Effect.succeed({ position: undefined, repeated: false, receivers })
          return Effect.matchEffect(broker.cast(channel, encode(broker.node, target, prepared.message)), {
            onFailure: ({ reason }) => Effect.fail(new PublishError({ reason, receivers })),
            onSuccess: () => Effect.succeed({ position: undefined, repeated: false, receivers })
          })
        })
    }
  )
