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
import * as Base64 from "../codec/Base64.ts"
import * as Sha1 from "../codec/Sha1.ts"
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
  /** What is asked, as `digestOf` has it. */
  readonly digest: string
}

/** How much is remembered. */
export interface Limits {
  /** The most keys, those that are being answered counted; the oldest answers are forgotten first. Default 10,000. */
  readonly capacity: number
  /** How long an answer is remembered. Default 5 minutes. */
  readonly age: Duration.Input
  /** What the answers may take, in bytes, estimated; the oldest are forgotten first. Default 16 MiB. */
  readonly maxBytes: number
}

export const defaults: Limits = { capacity: 10_000, age: "5 minutes", maxBytes: 16_777_216 }

/** A question that is being answered. */
interface Asked {
  readonly digest: string
  readonly reply: Deferred.Deferred<Reply>
}

/** One that was. */
interface Answered {
  readonly digest: string
  readonly reply: Reply
  /** In milliseconds of the clock. */
  readonly since: number
  readonly bytes: number
}

const conflict: Reply = { _tag: "Fail", code: "conflict", detail: "the key was used for another question" }
const busy: Reply = { _tag: "Fail", code: "unavailable", detail: "too many questions with keys are being answered" }

export class Repeats {
  private readonly asked = new Map<string, Asked>()
  /** The oldest first. */
  private readonly answered = new Map<string, Answered>()
  private bytes = 0
  private readonly capacity: number
  private readonly age: number
  private readonly maxBytes: number

  constructor(limits: Partial<Limits> = {}) {
    this.capacity = limits.capacity ?? defaults.capacity
    this.age = Duration.toMillis(limits.age ?? defaults.age)
    this.maxBytes = limits.maxBytes ?? defaults.maxBytes
  }

  /** How many keys are known. */
  get size(): number {
    return this.asked.size + this.answered.size
  }

  /**
   * The reply, found once for a question. Whoever stops waiting for it does not stop it. A key that was used for another
   * question is a conflict. That nobody could answer is not remembered, so that it can be asked again.
   */
  once(question: Question, reply: Effect.Effect<Reply>): Effect.Effect<Reply> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.forget(now)
      const key = JSON.stringify([question.principal, question.key])
      const answered = this.answered.get(key)
      if (answered !== undefined) {
        return Effect.succeed(answered.digest === question.digest ? answered.reply : conflict)
      }
      const asked = this.asked.get(key)
      if (asked !== undefined) {
        return asked.digest === question.digest ? Deferred.await(asked.reply) : Effect.succeed(conflict)
      }
      if (this.asked.size >= this.capacity) return Effect.succeed(busy)
      return this.find(key, question.digest, reply)
    })
  }

  private find(key: string, digest: string, reply: Effect.Effect<Reply>): Effect.Effect<Reply> {
    const deferred = Deferred.makeUnsafe<Reply>()
    const found = Effect.onExit(reply, (exit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        this.asked.delete(key)
        if (exit._tag === "Success") this.remember(key, digest, exit.value, now)
        Deferred.doneUnsafe(deferred, exit)
      })
    )
    const begun = Effect.suspend(() => {
      this.asked.set(key, { digest, reply: deferred })
      return Effect.forkDetach(found, { startImmediately: true })
    })
    return Effect.andThen(Effect.uninterruptible(begun), Deferred.await(deferred))
  }

  private remember(key: string, digest: string, reply: Reply, since: number): void {
    if (reply._tag === "Fail" && reply.code === "unavailable") return
    const bytes = perKey + key.length * 2 + bytesOf(reply, maxDepth)
    if (!(bytes <= this.maxBytes)) return
    this.answered.set(key, { digest, reply: holdsView(reply) ? (detached(reply) as Reply) : reply, since, bytes })
    this.bytes += bytes
    this.forget(since)
  }

  private forget(now: number): void {
    for (const [key, { bytes, since }] of this.answered) {
      if (this.size <= this.capacity && this.bytes <= this.maxBytes && now - since < this.age) return
      this.answered.delete(key)
      this.bytes -= bytes
    }
  }
}

/** What a key takes beside its answer, in bytes, about. */
const perKey = 256

/** Deeper than any codec lets pass. */
const maxDepth = 256

/** What a value of a reply takes in memory, about; infinite for what goes in a circle. */
const bytesOf = (value: unknown, depth: number): number => {
  if (typeof value === "string") return 16 + value.length * 2
  if (typeof value !== "object" || value === null) return 8
  if (value instanceof Uint8Array) return 64 + value.length
  if (depth === 0) return Infinity
  let bytes = 32
  for (const name in value) {
    bytes += 8 + bytesOf((value as Readonly<Record<string, unknown>>)[name], depth - 1)
    if (bytes === Infinity) return bytes
  }
  return bytes
}

const isView = (bytes: Uint8Array): boolean => bytes.length < bytes.buffer.byteLength

/** Whether bytes of an answer are a view of more: of the question's message, which it would keep in memory whole. */
const holdsView = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  return value instanceof Uint8Array ? isView(value) : Object.values(value).some(holdsView)
}

/** The same with bytes of its own. */
const detached = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) return isView(value) ? new Uint8Array(value) : value
  if (Array.isArray(value)) return value.map(detached)
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, detached(inner)]))
}

/** Bytes are told apart though JSON does not know them. */
const replacer = (_key: string, value: unknown): unknown =>
  value instanceof Uint8Array ? { [""]: Base64.encode(value) } : value

/** 28 characters that stand for a question: its name, and its payload as it came over the wire. */
export const digestOf = (name: string, payload: unknown): string =>
  Base64.encode(Sha1.digest(new TextEncoder().encode(JSON.stringify([name, payload], replacer))))

/** The window of a process, which all its sessions share. Others may be provided. */
export const Current: Context.Reference<Repeats> = Context.Reference<Repeats>("@millrace/core/messaging/Repeats", {
  defaultValue: () => new Repeats()
})
