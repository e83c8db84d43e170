/**
 * What waits for a connection: messages and questions, in the order in which they were given, each kind up to a bound.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Client from "./Client.ts"
import type { Conversation } from "./Conversation.ts"
import type { SessionEnd } from "./SessionEnd.ts"
import { OutboxFull, SessionError } from "./SessionError.ts"

export const defaults = { capacity: 256, overflow: "Fail" } as const satisfies Required<Omit<Client.Outbox, "store">>

export const defaultMaxWaiting = 1_024

/** Says a message over a session. */
export interface Say {
  (conversation: Conversation): Effect.Effect<void, SessionError>
  /** Done when there was no room for it. */
  readonly dropped?: Effect.Effect<void>
}

/** Goes on with somebody who waits. */
type Resume<A> = (effect: Effect.Effect<A, SessionError>) => void

interface Message {
  readonly _tag: "Message"
  readonly place: number
  readonly say: Say
  /** Who waits until there is room for it; `undefined` when there was. */
  resume: Resume<void> | undefined
  /** Whether who waited does not any more. */
  isGivenUp: boolean
}

interface Question {
  readonly _tag: "Question"
  readonly place: number
  readonly resume: Resume<Conversation>
}

const full = (capacity: number) => Exit.fail(new SessionError({ reason: new OutboxFull({ capacity }) }))

export class Outbox {
  private readonly now: () => Conversation | undefined
  private readonly capacity: number
  private readonly overflow: Client.Overflow
  private readonly maxWaiting: number
  private entries = new Set<Message | Question>()
  /** Messages for which there was room. */
  private held = 0
  private questions = 0
  /** Whether something is being said that was here. */
  private flushing = false
  /** How many were given, which tells what came before what. */
  private places = 0
  /** How many messages are being said at this moment, all over one session. They may come back. */
  private underWay = 0
  private over: Conversation | undefined
  /** Who waits for them, to say what came after them. */
  private readonly behind: Array<() => void> = []
  private end: SessionEnd | undefined
  /** Messages that were given up, because there was no room for them or they cannot be said. */
  dropped = 0

  /** `now`: the session over which something may be said at this moment. */
  constructor(
    now: () => Conversation | undefined,
    { capacity = defaults.capacity, overflow = defaults.overflow }: Client.Outbox = {},
    maxWaiting = defaultMaxWaiting
  ) {
    this.now = now
    this.capacity = capacity
    this.overflow = overflow
    this.maxWaiting = maxWaiting
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.entries.size === 0 && !this.flushing
  }

  /** The session for who has nobody before them. A fiber may have yielded since it has last looked. */
  get free(): Conversation | undefined {
    if (!this.isEmpty) return undefined
    const now = this.now()
    return this.isAlone(now) ? now : undefined
  }

  /** Whether nothing is on its way over a session before this one, which may come back. */
  private isAlone(conversation: Conversation | undefined): boolean {
    return this.underWay === 0 || this.over === conversation
  }

  /**
   * Says a message when nobody is before it, or keeps it for later, or does what was declared where there is no room
   * for it. While there is a connection there soon is: then it waits. `say` fails where `now` gives another session, or
   * none.
   */
  put(say: Say): Effect.Effect<void, SessionError> {
    return Effect.suspend(() => this.placed(say, ++this.places))
  }

  private placed(say: Say, place: number): Effect.Effect<void, SessionError> {
    if (this.end !== undefined) return this.end.forCalls
    const { free } = this
    return free === undefined ? this.keep(say, place) : this.pass(say, place, free)
  }

  /** What was not sent after all has its place before those that came since. */
  private pass(say: Say, place: number, conversation: Conversation): Effect.Effect<void, SessionError> {
    let isUnderWay = true
    const arrive = () => {
      if (isUnderWay) this.arrived()
      isUnderWay = false
    }
    this.departed(conversation)
    const passed = Effect.catch(say(conversation), (error) => {
      if (error.reason._tag === "Unencodable") return Effect.fail(error)
      const kept = this.placed(say, place)
      arrive()
      return kept
    })
    return Effect.onExit(passed, () => {
      arrive()
      return Exit.void
    })
  }

  private departed(conversation: Conversation): void {
    this.underWay++
    this.over = conversation
  }

  private arrived(): void {
    if (--this.underWay > 0) return
    for (const wake of this.behind.splice(0)) wake()
  }

  private keep(say: Say, place: number): Effect.Effect<void, SessionError> {
    if (this.held < this.capacity) return this.hold(say, place)
    if (this.now() !== undefined) return this.suspend(say, place)
    switch (this.overflow) {
      case "Fail":
        return full(this.capacity)
      case "Suspend":
        return this.suspend(say, place)
      case "DropOldest":
        this.dropped++
        this.hold(say, place)
        return this.dropOldest()
      case "DropNewest":
        this.dropped++
        return say.dropped ?? Exit.void
    }
  }

  private hold(say: Say, place: number): Exit.Exit<void> {
    this.add({ _tag: "Message", place, say, resume: undefined, isGivenUp: false })
    this.held++
    return Exit.void
  }

  private suspend(say: Say, place: number): Effect.Effect<void, SessionError> {
    return Effect.callback<void, SessionError>((resume) => {
      if (this.end !== undefined || this.free !== undefined || this.held < this.capacity) {
        return resume(Effect.suspend(() => this.placed(say, place)))
      }
      const message: Message = { _tag: "Message", place, say, resume, isGivenUp: false }
      this.add(message)
      return Effect.sync(() => {
        if (message.resume === undefined) return
        this.entries.delete(message)
        message.isGivenUp = true
      })
    })
  }

  /** Who comes back was before those that have come since. */
  private add(entry: Message | Question): void {
    if (entry.place === this.places) this.entries.add(entry)
    else this.entries = new Set([...this.entries, entry].sort((one, other) => one.place - other.place))
  }

  private dropOldest(): Effect.Effect<void> {
    for (const entry of this.entries) {
      if (entry._tag !== "Message" || entry.resume !== undefined) continue
      this.entries.delete(entry)
      this.held--
      return entry.say.dropped ?? Exit.void
    }
    return Exit.void
  }

  /** What an earlier life has left, before all else: there is room for it. */
  restore(say: Say): void {
    this.hold(say, ++this.places)
  }

  /** The next session, when all that came before this was said over it. */
  readonly turn: Effect.Effect<Conversation, SessionError> = Effect.callback<Conversation, SessionError>((resume) => {
    if (this.end !== undefined) return resume(this.end.forCalls)
    const { free } = this
    if (free !== undefined) return resume(Effect.succeed(free))
    if (this.questions >= this.maxWaiting) return resume(full(this.maxWaiting))
    const question: Question = { _tag: "Question", place: ++this.places, resume }
    this.add(question)
    this.questions++
    return Effect.sync(() => {
      if (this.entries.delete(question)) this.questions--
    })
  })

  /**
   * Says what waits, in order, as long as it may. What could not be said stays for the next session.
   *
   * Not to be interrupted: between a message that is sent and the knowledge of it nothing may come, or it would be sent
   * again. It ends with the connection at the latest, which lets nobody wait beyond its end.
   */
  flush(conversation: Conversation): Effect.Effect<void> {
    const next: Effect.Effect<void> = Effect.suspend(() => {
      const [entry] = this.entries
      this.flushing = entry !== undefined && this.now() === conversation
      if (entry === undefined || !this.flushing) return Effect.void
      if (!this.isAlone(conversation)) return Effect.andThen(this.alone(conversation), next)
      this.entries.delete(entry)
      if (entry._tag === "Question") {
        this.questions--
        entry.resume(Effect.succeed(conversation))
        return next
      }
      if (entry.resume === undefined) this.held--
      this.departed(conversation)
      return Effect.matchCauseEffect(entry.say(conversation), {
        onSuccess: () => {
          this.arrived()
          this.said(entry, Exit.void)
          return next
        },
        onFailure: (cause) => {
          const error = Cause.findErrorOption(cause)
          if (error._tag === "Some" && error.value.reason._tag !== "Unencodable") {
            this.putBack(entry)
            this.arrived()
            return Effect.void
          }
          this.arrived()
          // It cannot be said at all, to nobody.
          if (entry.resume === undefined) this.dropped++
          this.said(entry, Exit.failCause(cause))
          return Cause.hasDies(cause) ? Effect.andThen(Effect.logError("A message cannot be said", cause), next) : next
        }
      })
    })
    return Effect.uninterruptible(next)
  }

  /** Waits for what is on its way over a session before this one: that ends with its connection at the latest. */
  private alone(conversation: Conversation): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.isAlone(conversation)) return resume(Effect.void)
      this.behind.push(() => resume(Effect.void))
    })
  }

  private said({ resume }: Message, exit: Exit.Exit<void, SessionError>): void {
    resume?.(exit)
    this.admit()
  }

  /** There is room for those who wait for it. */
  private admit(): void {
    for (const entry of this.entries) {
      if (this.held >= this.capacity) return
      if (entry._tag !== "Message" || entry.resume === undefined) continue
      const { resume } = entry
      entry.resume = undefined
      this.held++
      resume(Exit.void)
    }
  }

  private putBack(message: Message): void {
    this.flushing = false
    if (message.isGivenUp) return
    if (this.end !== undefined) return void message.resume?.(this.end.forCalls)
    this.add(message)
    if (message.resume === undefined) this.held++
  }

  /** Nothing will be said any more. */
  ended(end: SessionEnd): void {
    this.end = end
    const { entries } = this
    this.entries = new Set()
    for (const { resume } of entries) resume?.(end.forCalls)
  }
}
