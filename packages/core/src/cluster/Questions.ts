/**
 * Questions that every node answers for itself: who is connected there, how many, do this there. What comes back is what
 * came in time, and the list of the nodes that have not answered: never silence.
 *
 * A question goes to all nodes that are there when it is asked, this one too, which needs no network. A node that comes
 * later is not waited for; one that goes in between is one that has not answered, at once. A question that was asked
 * again is not answered again, and what is answered twice or too late is not heard. Whether a node that has not answered
 * did what it was asked is not known.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Broker, maxCastBytes } from "./Broker.ts"
import type { BrokerError } from "./BrokerError.ts"
import * as Cast from "./Cast.ts"
import type { Json } from "./Cast.ts"
import * as Life from "./Life.ts"
import { type Node, Nodes } from "./Nodes.ts"
import { Declined, QuestionError, QuestionTooLarge, Silent, TooManyQuestions } from "./QuestionError.ts"
import * as QuestionMessage from "./QuestionMessage.ts"

export type { Json }

/** Nothing of it is required. */
export interface Options {
  /** Questions of this node that wait for answers. Default 1,024. */
  readonly maxAsked?: number | undefined
  /**
   * Questions of other nodes that are being answered; more are declined as `Busy`, and when as many are being declined,
   * not answered at all. Default 256.
   */
  readonly maxAnswered?: number | undefined
}

export const defaults = { maxAsked: 1_024, maxAnswered: 256 } satisfies Options

/** How long is waited, unless it is said. */
export const defaultTimeout: Duration.Input = "1 second"

/** Longest that is waited, whatever is said. */
export const maxTimeout: Duration.Input = "1 minute"

export interface AskOptions {
  /** Default 1 s, at most 1 minute. Who answers is interrupted after as long. */
  readonly timeout?: Duration.Input | undefined
}

/** What one node has answered: its word, or why it has none. */
export interface Answered {
  readonly node: Node
  readonly answer: Result.Result<Json, Declined>
}

/** Together all the nodes that were there, in the order of `Nodes.list`. */
export interface Answers {
  readonly answers: ReadonlyArray<Answered>
  /** Those that have not answered in time, have gone, or could not be asked as the broker was not reachable. */
  readonly silent: ReadonlyArray<Node>
}

/** Answers on this node. What it fails with is the answer. The payload is somebody's on another node: look at it. */
export type Handler = (payload: Json) => Effect.Effect<Json, Json>

/** Questions between nodes, as a service. */
export class Questions extends Context.Service<
  Questions,
  {
    /** Answers as long as the scope is open. A name that is answered already, or has not 1 to 128 bytes, is a defect. */
    readonly answer: (name: string, handler: Handler) => Effect.Effect<void, never, Scope.Scope>
    /** Asks all nodes. Fails with `QuestionTooLarge` or `TooManyQuestions` only. Can be interrupted at any time. */
    readonly ask: (name: string, payload: Json, options?: AskOptions) => Effect.Effect<Answers, QuestionError>
    /** Asks one node, which may be this one. Fails with `Declined` and `Silent`, too. */
    readonly askNode: (
      id: string,
      name: string,
      payload: Json,
      options?: AskOptions
    ) => Effect.Effect<Json, QuestionError>
    /** Messages that could not be read, since the start. */
    readonly unread: () => number
  }
>()("@millrace/core/cluster/Questions") {
  static readonly layer = (options?: Options): Layer.Layer<Questions, BrokerError, Broker | Nodes> =>
    Layer.effect(
      Questions,
      Effect.gen(function* () {
        return yield* make(yield* Broker, yield* Nodes, options)
      })
    )
}

/** On which everybody is asked. */
export const channel = "$questions"

/** On which one node is asked, and answered. */
export const channelOf = (id: string): string => `$asked:${id}`

/** Questions of other nodes that are remembered, so that one that comes twice is answered once. */
const remembered = 1_024

/** A question that waits for its answers. */
interface Waiting {
  readonly expected: Map<string, Node>
  readonly answers: Map<string, Answered>
  wake: (() => void) | undefined
}

const fail = (reason: QuestionError["reason"]) => Effect.fail(new QuestionError({ reason }))

/** Asks and answers as long as the scope is open. Fails when the broker refuses to let it hear. */
export const make = (
  broker: Broker["Service"],
  nodes: Nodes["Service"],
  options: Options = {}
): Effect.Effect<Questions["Service"], BrokerError, Scope.Scope> =>
  Effect.gen(function* () {
    const maxAsked = options.maxAsked ?? defaults.maxAsked
    const maxAnswered = options.maxAnswered ?? defaults.maxAnswered
    const clock = yield* Clock.Clock
    const life = Life.next(broker, clock.currentTimeMillisUnsafe())
    const id = broker.node
    const handlers = new Map<string, Handler>()
    const asked = new Map<number, Waiting>()
    const seen = new Set<string>()
    let number = 0
    let unread = 0
    let answering = 0
    let declining = 0

    const settle = (waiting: Waiting, node: string, answer: Answered["answer"] | undefined) => {
      const its = waiting.expected.get(node)
      if (its === undefined) return
      if (answer !== undefined) waiting.answers.set(node, { node: its, answer })
      waiting.expected.delete(node)
      if (waiting.expected.size === 0) waiting.wake?.()
    }

    const give = (waiting: Waiting) => {
      waiting.expected.clear()
      waiting.wake?.()
    }

    const answerTo = (name: string, payload: Json, timeout: number): Effect.Effect<Answered["answer"] | undefined> =>
      Effect.suspend(() => {
        const handler = handlers.get(name)
        if (handler === undefined)
          return Effect.succeed(Result.fail(new Declined({ because: "Unknown", detail: name })))
        return Effect.flatMap(
          Effect.exit(Effect.timeoutOption(Effect.result(Effect.suspend(() => handler(payload))), timeout)),
          (exit) => {
            if (Exit.isSuccess(exit)) {
              return Effect.succeed(
                Option.getOrUndefined(
                  Option.map(
                    exit.value,
                    Result.mapError((detail) => new Declined({ because: "Failed", detail }))
                  )
                )
              )
            }
            return Effect.as(
              Effect.logError(`an answer to ${name} failed`, exit.cause),
              Result.fail(new Declined({ because: "Failed", detail: null }))
            )
          }
        )
      })

    const send = (question: QuestionMessage.Question, answer: Answered["answer"]) => {
      const { asker, life, number } = question
      const message = { _tag: "Answer", asker, life, number, node: id } as const
      const bytes = QuestionMessage.encode({ ...message, answer })
      return Effect.ignore(
        broker.cast(
          channelOf(asker),
          bytes.length <= maxCastBytes
            ? bytes
            : QuestionMessage.encode({
                ...message,
                answer: Result.fail(new Declined({ because: "TooLarge", detail: bytes.length }))
              })
        )
      )
    }

    // What is being answered ends before nothing is heard any more.
    const run = yield* Effect.flatMap(FiberSet.make<void, never>(), (fibers) => FiberSet.runtime(fibers)<never>())

    const heard = (bytes: Uint8Array) => {
      const message = QuestionMessage.decode(bytes)
      if (message === undefined) return void unread++
      if (message._tag === "Answer") {
        const waiting = message.asker === id && message.life === life ? asked.get(message.number) : undefined
        if (waiting !== undefined) settle(waiting, message.node, message.answer)
        return
      }
      if (message.asker === id) return
      const key = `${message.asker} ${message.life} ${message.number}`
      if (seen.has(key)) return
      seen.add(key)
      if (seen.size > remembered) seen.delete(seen.values().next().value!)
      if (answering >= maxAnswered) {
        // While the broker takes nothing, what is to be said must not heap up; who asked waits no longer than it wants.
        if (declining >= maxAnswered) return
        declining++
        return void run(
          Effect.ensuring(
            send(message, Result.fail(new Declined({ because: "Busy", detail: null }))),
            Effect.sync(() => void declining--)
          )
        )
      }
      answering++
      run(
        Effect.ensuring(
          Effect.flatMap(
            answerTo(message.name, message.payload, Math.min(message.timeout, Duration.toMillis(maxTimeout))),
            (answer) => (answer === undefined ? Effect.void : send(message, answer))
          ),
          Effect.sync(() => void answering--)
        )
      )
    }

    const put = (
      to: string,
      expected: ReadonlyArray<Node>,
      name: string,
      payload: Json,
      { timeout: wanted }: AskOptions = {}
    ): Effect.Effect<Answers, QuestionError> =>
      Effect.suspend(() => {
        if (!Cast.isText(name, QuestionMessage.maxNameBytes))
          throw new TypeError("a question has a name of 1 to 128 bytes")
        if (asked.size >= maxAsked) return fail(new TooManyQuestions({ limit: maxAsked }))
        const timeout = Math.min(Duration.toMillis(wanted ?? defaultTimeout), Duration.toMillis(maxTimeout))
        const which = ++number
        const question = { _tag: "Question", asker: id, life, number: which, name, payload } as const
        const bytes = QuestionMessage.encode({ ...question, timeout: Math.ceil(timeout) })
        if (bytes.length > maxCastBytes)
          return fail(new QuestionTooLarge({ length: bytes.length, limit: maxCastBytes }))
        const waiting: Waiting = {
          expected: new Map(expected.map((node) => [node.id, node])),
          answers: new Map(),
          wake: undefined
        }
        const others = expected.some((node) => node.id !== id)
        const own = waiting.expected.has(id)
          ? Effect.map(answerTo(name, payload, timeout), (answer) => settle(waiting, id, answer))
          : Effect.void
        const cast = others
          ? Effect.catch(broker.cast(to, bytes), () =>
              Effect.sync(() => {
                for (const node of expected) if (node.id !== id) settle(waiting, node.id, undefined)
              })
            )
          : Effect.void
        const all = Effect.callback<void>((resume) => {
          if (waiting.expected.size === 0) return resume(Effect.void)
          waiting.wake = () => resume(Effect.void)
          return Effect.sync(() => {
            waiting.wake = undefined
          })
        })
        return Effect.acquireUseRelease(
          Effect.sync(() => asked.set(which, waiting)),
          () =>
            Effect.timeoutOption(Effect.all([own, cast, all], { concurrency: "unbounded", discard: true }), timeout),
          () => Effect.sync(() => asked.delete(which))
        ).pipe(
          Effect.map(() => ({
            answers: expected.flatMap((node) => waiting.answers.get(node.id) ?? []),
            silent: expected.filter((node) => !waiting.answers.has(node.id))
          }))
        )
      })

    yield* nodes.listen({
      left: (node) => {
        for (const waiting of asked.values()) settle(waiting, node.id, undefined)
      }
    })
    yield* broker.hear(channel, heard)
    yield* broker.hear(channelOf(id), heard)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const waiting of asked.values()) give(waiting)
      })
    )

    return Questions.of({
      answer: (name, handler) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => {
              if (!Cast.isText(name, QuestionMessage.maxNameBytes))
                throw new TypeError("a question has a name of 1 to 128 bytes")
              if (handlers.has(name)) throw new TypeError(`${name} is answered already`)
              handlers.set(name, handler)
            }),
            () => Effect.sync(() => handlers.delete(name))
          )
        ),
      ask: (name, payload, options) => Effect.suspend(() => put(channel, nodes.list(), name, payload, options)),
      askNode: (its, name, payload, options) =>
        Effect.suspend(() => {
          const node = nodes.get(its)
          if (node === undefined) return fail(new Silent({ node: its }))
          return Effect.flatMap(put(channelOf(its), [node], name, payload, options), ({ answers: [answered] }) => {
            if (answered === undefined) return fail(new Silent({ node: its }))
            return Result.isSuccess(answered.answer)
              ? Effect.succeed(answered.answer.success)
              : fail(answered.answer.failure)
          })
        }),
      unread: () => unread
    })
  })
