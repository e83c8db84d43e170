/**
 * What a handler makes of a call, as packets.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import type { Say } from "./Asking.ts"
import type { Call } from "./Call.ts"
import type { RequestCoder, StreamCoder } from "./Contract.ts"
import type * as Packet from "./Packet.ts"
import type { Reply } from "./Repeats.ts"
import { SessionError } from "./SessionError.ts"

/** What answers: an effect for a message and a request, a stream for a stream. */
export type Handler = (payload: unknown) => Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown>

/** Says in the log what the peer is not told. */
export const logged = (name: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : Effect.annotateLogs(Effect.logError("A handler has failed", cause), { name })

const defect = (name: string, cause: Cause.Cause<unknown>): Effect.Effect<Reply> =>
  Effect.as(logged(name, cause), { _tag: "Fail", code: "defect", detail: "" } as const)

const unavailable = (detail: string): Reply => ({ _tag: "Fail", code: "unavailable", detail })

/** The answer to what has failed. */
const failure = (coder: RequestCoder | StreamCoder, cause: Cause.Cause<unknown>): Effect.Effect<Reply> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(unavailable("it was interrupted"))
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return defect(coder.name, cause)
  // Of something that the handler has said or asked in its turn: no answer, and nobody's defect.
  if (error.value instanceof SessionError) return Effect.succeed(unavailable("what it needs is not there"))
  const wire = coder.error.encode(error.value)
  return Result.isSuccess(wire)
    ? Effect.succeed<Reply>({ _tag: "Err", error: wire.success })
    : defect(coder.name, cause)
}

/** Deals with a message. */
export const deal = (name: string, handler: Handler, payload: unknown): Effect.Effect<void> =>
  Effect.matchCauseEffect(
    Effect.suspend(() => handler(payload) as Effect.Effect<unknown, unknown>),
    {
      onSuccess: () => Effect.void,
      onFailure: (cause) => (isSessionError(cause) ? Effect.void : logged(name, cause))
    }
  )

const isSessionError = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" && error.value instanceof SessionError
}

/** The answer to a request, whatever its handler does. A defect answers this one request, and is logged. */
export const reply = (coder: RequestCoder, handler: Handler, payload: unknown): Effect.Effect<Reply> =>
  Effect.matchCauseEffect(
    Effect.suspend(() => handler(payload) as Effect.Effect<unknown, unknown>),
    {
      onSuccess: (value) => {
        const wire = coder.success.encode(value)
        return Result.isSuccess(wire)
          ? Exit.succeed<Reply>({ _tag: "Ok", value: wire.success })
          : defect(coder.name, Cause.die(wire.failure))
      },
      onFailure: (cause) => failure(coder, cause)
    }
  )

/**
 * Lets one stream of a session say something at a time. What is said is encoded first and then waits for room in the
 * outbox: so only one of them holds what it has encoded, however many there are.
 */
export type Alone = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** Says the elements of a stream as there is credit for them, and gives its end. One that nobody reads is not pulled. */
export const produce = (
  call: Call,
  coder: StreamCoder,
  handler: Handler,
  say: Say,
  alone: Alone
): Effect.Effect<Reply | Pick<Packet.End, "_tag">> => {
  const elements = Effect.scoped(
    Effect.flatMap(
      Effect.flatMap(Effect.scope, (scope) => {
        const { channel } = handler(call.payload) as Stream.Stream<unknown, unknown>
        // Not `Stream.toPull`: a page would load the semaphore by which that keeps a second fiber away.
        return Channel.toPullScoped(channel, scope)
      }),
      (pull) => sayAll(call, coder, pull, say, alone)
    )
  )
  return Effect.catchCause(elements, (cause): Effect.Effect<Reply | Pick<Packet.End, "_tag">> => {
    const error = Cause.findErrorOption(cause)
    return error._tag === "Some" && Cause.isDone(error.value)
      ? Effect.succeed({ _tag: "End" } as const)
      : failure(coder, cause)
  })
}

const sayAll = (
  call: Call,
  coder: StreamCoder,
  pull: Pull.Pull<ReadonlyArray<unknown>, unknown>,
  say: Say,
  alone: Alone
): Effect.Effect<never, unknown> => {
  const some = (wires: ReadonlyArray<unknown>): Effect.Effect<void, unknown> =>
    Effect.flatMap(call.allowed, () => {
      const elements = wires.length <= call.credit ? wires : wires.slice(0, call.credit)
      call.credit -= elements.length
      const said = Effect.catch(alone(say({ _tag: "Items", id: call.id, elements })), (error) =>
        // Nobody is there to hear of it, and nothing is wrong with the stream.
        error.reason._tag === "Unencodable" ? Effect.die(error) : Effect.interrupt
      )
      return elements === wires ? said : Effect.flatMap(said, () => some(wires.slice(elements.length)))
    })
  const allowed = Effect.suspend(() => call.allowed)
  const one = Effect.flatMap(
    Effect.flatMap(allowed, () => pull),
    (elements) => {
      const wires: Array<unknown> = []
      for (const element of elements) {
        const wire = coder.element.encode(element)
        if (Result.isFailure(wire)) return Effect.flatMap(some(wires), () => Effect.die(wire.failure))
        wires.push(wire.success)
      }
      return some(wires)
    }
  )
  return Effect.forever(one, { disableYield: true })
}
