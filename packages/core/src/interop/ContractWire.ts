/**
 * A contract on wires that are no session's: what of it they can carry, as types; and what comes of what a client says,
 * the same on all of them.
 *
 * Not in here: the words of a wire, which are in `socketio/ContractNamespace` and `actioncable/ContractChannel`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { StandardSchemaV1 } from "effect/StandardSchema"
import * as WireValue from "../codec/WireValue.ts"
import * as Coder from "../messaging/Coder.ts"
import type * as Contract from "../messaging/Contract.ts"
import * as Packet from "../messaging/Packet.ts"
import type { Reply } from "../messaging/Repeats.ts"
import * as Replying from "../messaging/Replying.ts"
import type * as Session from "../messaging/Session.ts"
import { Failed, SessionError } from "../messaging/SessionError.ts"
import * as Tracing from "../messaging/Tracing.ts"

// What a wire can carry.

/** Those of these parts that a contract has something in. */
export type Parts<D extends Contract.Definition, Key extends keyof Contract.Definition> = {
  [K in Key]: K extends keyof D ? (keyof Exclude<D[K], undefined> extends never ? never : K) : never
}[Key]

/** Has to be said by whoever serves a contract on a wire that has no words for these parts: they are not there. */
export type Choice<Missing extends string, Options> = [Missing] extends [never]
  ? [options?: Options]
  : [options: Options & LeaveOut<Missing>]

export type LeaveOut<Missing extends string> = [Missing] extends [never]
  ? unknown
  : { readonly leaveOut: { readonly [Part in Missing]: true } }

/** A contract is not taken for what is in it: the type says what, and where. */
export type Refuse<Why extends string, What> = [What] extends [never] ? unknown : { readonly [W in Why]: What }

type Names<T> = keyof T & string

type Vocabulary<D extends Contract.Definition> = Contract.ClientSays<D>

type WithoutStreams<D extends Contract.Definition> = {
  readonly messages: Vocabulary<D>["messages"]
  readonly requests: Vocabulary<D>["requests"]
  readonly streams: {}
}

type OnlyStreams<D extends Contract.Definition> = {
  readonly messages: {}
  readonly requests: {}
  readonly streams: Vocabulary<D>["streams"]
}

/** What answers to a client: the handlers of a session, of which those of streams need not be there. */
export type Handlers<D extends Contract.Definition> = Session.Handlers<WithoutStreams<D>> &
  Partial<Session.Handlers<OnlyStreams<D>>>

/** All that a contract says, by its names: for who looks for something in it. */
type Wired<S> = S extends StandardSchemaV1
  ? StandardSchemaV1.InferInput<S>
  : S extends { readonly Encoded: infer Encoded }
    ? Encoded
    : never

type Levels = [never, 0, 1, 2, 3, 4]

type HasBytes<T, Depth extends number = 5> = [Depth] extends [never]
  ? false
  : unknown extends T
    ? false
    : T extends Uint8Array
      ? true
      : T extends string | number | boolean | bigint | symbol | null | undefined | ((...args: never) => unknown)
        ? false
        : T extends ReadonlyArray<infer Element>
          ? HasBytes<Element, Levels[Depth]>
          : { [K in keyof T]-?: HasBytes<T[K], Levels[Depth]> }[keyof T]

type Saying<T> = { [N in Names<T>]: true extends HasBytes<Wired<T[N]>> ? N : never }[Names<T>]

type Asking<T> = {
  [N in Names<T>]: true extends { [K in keyof T[N]]: HasBytes<Wired<T[N][K]>> }[keyof T[N]] ? N : never
}[Names<T>]

/** The names in a contract that have bytes on the wire, as far as types tell: down to five levels. */
export type WithBytes<D extends Contract.Definition> =
  | Saying<Contract.ServerSays<D>["messages"]>
  | Saying<Contract.ClientSays<D>["messages"]>
  | Asking<Contract.ClientSays<D>["requests"]>

/** The names that such a wire has a meaning of its own for. */
export type Named<D extends Contract.Definition, Reserved extends string> = Extract<
  | Names<Contract.ClientSays<D>["messages"]>
  | Names<Contract.ClientSays<D>["requests"]>
  | Names<Contract.ServerSays<D>["messages"]>
  | Names<Contract.ServerSays<D>["requests"]>,
  Reserved
>

/** What a program has of a client on any wire. */
export type Peer<D extends Contract.Definition, Known> = Pick<
  Session.Server<Contract.Contract<D>, Known>,
  "emit" | "id" | "known"
>

// What comes of what a client says.

/** The one answer to what was asked, with one of three words in it. */
export type Answer =
  /** What the contract calls `success`; `null` where it has none. */
  | { readonly ok: unknown }
  /** One of the errors of the contract. */
  | { readonly error: unknown }
  /** None of them. The codes are those of sessions. */
  | { readonly fail: { readonly code: Packet.FailCode; readonly detail: string } }

export const fail = (code: Packet.FailCode, detail: string): Answer => ({
  fail: { code, detail: detail.slice(0, 1_024) }
})

const answerOf = (reply: Reply): Answer => {
  switch (reply._tag) {
    case "Ok":
      return { ok: reply.value ?? null }
    case "Err":
      return { error: reply.error }
    case "Fail":
      return fail(reply.code, reply.detail)
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An answer that a client has given, as what came of the request. Fails when it is none, or not what the contract says. */
export const read = (
  { error, name, success }: Contract.RequestCoder,
  answer: unknown
): Result.Result<Result.Result<unknown, unknown>, unknown> => {
  if (isObject(answer)) {
    if (Object.hasOwn(answer, "ok")) return Result.map(success.decode(answer["ok"]), Result.succeed)
    if (Object.hasOwn(answer, "error")) return Result.map(error.decode(answer["error"]), Result.fail)
    const { fail } = answer
    if (isObject(fail)) {
      const detail = typeof fail["detail"] === "string" ? fail["detail"].slice(0, 1_024) : ""
      const reason = new Failed({ name, code: Packet.failCodeOf(fail["code"]), detail })
      return Result.succeed(Result.fail(new SessionError({ reason })))
    }
  }
  return Result.fail(new TypeError("no answer: an object with ok, error or fail"))
}

/** A command is done with nothing, whatever its handler succeeds with, and has no errors. */
const dealt: Pick<Contract.RequestCoder, "error" | "idempotent" | "success"> = {
  success: { ...Coder.nothing, encode: () => Result.succeed(null) },
  error: Coder.never as unknown as Coder.Coder<unknown>,
  idempotent: false
}

/** Handlers by their names, as they are looked up: no name that a client chooses is the key of an object. */
export const byName = (handlers: object): ReadonlyMap<string, Replying.Handler> =>
  new Map(Object.entries(handlers as Readonly<Record<string, Replying.Handler>>))

/** What it stands in on a wire is one of the levels itself. */
const maxDepth = WireValue.defaultMaxDepth - 1

/** Why a wire that has bytes, or has not, cannot say it; `undefined` where it can. */
export const whyNot = (value: unknown, hasBytes: boolean): TypeError | undefined => {
  try {
    const count = WireValue.countBytes(value, maxDepth)
    return count === 0 || hasBytes ? undefined : new TypeError("cannot be sent: bytes")
  } catch (cause) {
    return cause as TypeError
  }
}

/** What a client has left out is nothing, or `null`: JSON has no other word for what a schema calls `undefined`. */
export const decode = (coder: Coder.Coder<unknown>, wire: unknown): Result.Result<unknown, Coder.CodingError> => {
  const decoded = coder.decode(wire)
  return Result.isFailure(decoded) && wire === undefined ? coder.decode(null) : decoded
}

/** Who answers, and on which wire. */
export interface Hearing {
  readonly says: Contract.Coders
  readonly handlers: ReadonlyMap<string, Replying.Handler>
  readonly hasBytes: boolean
}

/**
 * Deals with what a client has said or asked, and gives the answer. What is not in the contract, does not decode or goes
 * wrong is an answer too; a defect is logged, and the client is told no more than that it was one.
 */
export const hear = (
  { handlers, hasBytes, says }: Hearing,
  name: string,
  args: ReadonlyArray<unknown>
): Effect.Effect<Answer> => {
  const coder = says.get(name)
  if (coder === undefined || coder._tag === "Stream") {
    return Effect.succeed(fail("unknown", `nothing is called ${JSON.stringify(name.slice(0, 64))}`))
  }
  if (args.length > 1) return Effect.succeed(fail("invalid", "more than one argument"))
  const payload = decode(coder.payload, args[0])
  if (Result.isFailure(payload)) return Effect.succeed(fail("invalid", payload.failure.message))
  const handler = handlers.get(name)
  if (handler === undefined) return Effect.succeed(fail("unavailable", "nobody answers this here"))
  const request: Contract.RequestCoder = coder._tag === "Request" ? coder : { ...coder, ...dealt, _tag: "Request" }
  const reply = Tracing.received(name, undefined, Replying.reply(request, handler, payload.success))
  return Effect.flatMap(reply, (reply) => {
    const answer = answerOf(reply)
    const cause = whyNot(answer, hasBytes)
    return cause === undefined
      ? Effect.succeed(answer)
      : Effect.as(Replying.logged(name, Cause.die(cause)), fail("defect", ""))
  })
}

/** Says in the log what nobody waits to be told. */
export const unheard = (wire: string, name: string, answer: Answer): Effect.Effect<void> =>
  "fail" in answer && answer.fail.code !== "defect"
    ? Effect.annotateLogs(Effect.logDebug(`${wire}: not dealt with, ${answer.fail.code}`, answer.fail.detail), { name })
    : Effect.void
