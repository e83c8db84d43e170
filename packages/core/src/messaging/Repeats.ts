/**
 * Requests that are asked again: a window of keys and answers, so that what was done is not done twice.
 *
 * A client that lost its connection does not know whether its request was heard. It asks again, on another connection,
 * with the same key; the answer that was given is given again, and one that is still being found is waited for. Within
 * the window that is effectively once; behind it, it is asked anew.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Packet from "./Packet.ts"

/** An answer, without the number of the question. */
export type Reply =
  | Pick<Packet.Ok, "_tag" | "value">
  | Pick<Packet.Err, "_tag" | "error">
  | Pick<Packet.Fail, "_tag" | "code" | "detail">

/** What makes a request the same as another. */
export interface Question {
  /** Who asks: keys of others are not theirs. */
  readonly principal: string
  readonly key: string
  readonly name: string
  readonly payload: unknown
}

/** How much is remembered. */
export interface Limits {
  /** The most answers; the oldest are forgotten first. Default 10,000. */
  readonly capacity: number
  /** How long an answer is remembered. Default 5 minutes. */
  readonly age: Duration.Input
}

export const defaults: Limits = { capacity: 10_000, age: "5 minutes" }

interface Known {
  readonly question: string
  readonly reply: Deferred.Deferred<Reply>
  /** In milliseconds of the clock. */
  readonly since: number
}

export class Repeats {
  private readonly known = new Map<string, Known>()
  private readonly capacity: number
  private readonly age: number

  constructor(limits: Partial<Limits> = {}) {
    this.capacity = limits.capacity ?? defaults.capacity
    this.age = Duration.toMillis(limits.age ?? defaults.age)
  }

  get size(): number {
    return this.known.size
  }

  /**
   * The reply, found once for a question. Whoever stops waiting for it does not stop it. A key that was used for another
   * question is a conflict.
   */
  once(question: Question, reply: Effect.Effect<Reply>): Effect.Effect<Reply> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.forget(now)
      const key = JSON.stringify([question.principal, question.key])
      const asked = JSON.stringify([question.name, question.payload], replacer)
      const known = this.known.get(key)
      if (known !== undefined) {
        return known.question === asked
          ? Deferred.await(known.reply)
          : Effect.succeed<Reply>({ _tag: "Fail", code: "conflict", detail: "the key was used for another question" })
      }
      const deferred = Deferred.makeUnsafe<Reply>()
      this.known.set(key, { question: asked, reply: deferred, since: now })
      return Effect.andThen(
        Effect.forkDetach(Deferred.complete(deferred, reply), { startImmediately: true }),
        Deferred.await(deferred)
      )
    })
  }

  /** The oldest come first. */
  private forget(now: number): void {
    for (const [key, { since }] of this.known) {
      if (this.known.size < this.capacity && now - since < this.age) return
      this.known.delete(key)
    }
  }
}

/** The values of a payload are told apart though JSON does not know them. */
const replacer = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? Array.from(value) : value

/** The window of a process, which all its sessions share. Others may be provided. */
export const Current: Context.Reference<Repeats> = Context.Reference<Repeats>("@millrace/core/messaging/Repeats", {
  defaultValue: () => new Repeats()
})
